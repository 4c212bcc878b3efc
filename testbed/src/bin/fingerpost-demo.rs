//! `make run`: three demo backends and `fingerpost up`, until Ctrl-C.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use fingerpost::{
    document, environment,
    render::envoy,
    supervise::{Ready, Service, Terminal},
    up,
};
use fingerpost_testbed::{
    fake::{Fake, FakeOptions},
    harness::places,
};

/// Brings Fingerpost up with three demo backends on 127.0.0.1:9101 to 9103. Ctrl-C ends everything.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    /// What stands behind the model `general`.
    #[arg(long, value_enum, default_value_t = Llm::Fake)]
    llm: Llm,
    /// The configuration [default: the repository's fingerpost.yaml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Envoy's worker threads [default: one a core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Llm {
    /// A fake that says who it is.
    Fake,
    /// A real llama.cpp server with Gemma 3 270M.
    Gemma,
}

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Read(#[from] document::ReadError),
    #[error(transparent)]
    Up(#[from] up::Error),
    #[error(transparent)]
    Missing(#[from] places::Missing),
    #[error("{0}; run `make setup-gemma`")]
    Gemma(String),
    #[error("cannot start the backend `{name}` on {address}: {source}; stop what listens there")]
    Backend { name: &'static str, address: SocketAddr, source: io::Error },
    #[error("cannot run: {0}")]
    Io(#[from] io::Error),
}

const BACKENDS: [(&str, u16); 3] = [("math-expert", 9101), ("law-expert", 9102), (GENERAL, 9103)];
const GENERAL: &str = "general";
const GENERAL_PORT: u16 = 9103;
/// Putting the weights together and loading them takes a while on a cold machine.
const GEMMA_PATIENCE: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: Args) -> Result<(), DemoError> {
    let file = args.config.unwrap_or_else(|| places::root().join("fingerpost.yaml"));
    let config = document::read(&file)?;
    let base = std::path::absolute(&file)?.parent().map(PathBuf::from).unwrap_or_default();
    let render = envoy::Options { wasm: places::wasm()?, system_ca: environment::system_ca(), base };
    let options = up::Options {
        file,
        envoy: std::env::var_os("FINGERPOST_ENVOY").map(PathBuf::from),
        classifier: Some(places::classifier()?),
        classifier_config: Some(places::classifier_config()?),
        run_classifier: true,
        state: Some(places::state()?),
        run_state: true,
        concurrency: args.concurrency,
        log_level: "warning".to_owned(),
    };
    let mut plan = up::Plan::new(&config, &render, &options)?;
    let mut fakes = Vec::new();
    for (name, port) in BACKENDS {
        if name == GENERAL && args.llm == Llm::Gemma {
            plan.services.insert(0, gemma()?);
            continue;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = Fake::start(FakeOptions { address, ..FakeOptions::named(name) }).await;
        fakes.push(started.map_err(|source| DemoError::Backend { name, address, source })?);
    }
    Ok(up::run(plan, &Terminal::default()).await?)
}

fn gemma() -> Result<Service, DemoError> {
    let python = places::python().map_err(|missing| DemoError::Gemma(missing.to_string()))?;
    let script = places::root().join("testbed/demo/gemma.py");
    let mut service =
        Service::new("gemma", python).args([script.into_os_string(), "--port".into(), GENERAL_PORT.to_string().into()]);
    service.ready = Ready::Http(format!("http://127.0.0.1:{GENERAL_PORT}/health"));
    service.ready_within = GEMMA_PATIENCE;
    Ok(service)
}
