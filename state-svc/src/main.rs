//! The `fingerpost-state` command: only wires what the library has.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command, LogFormat, ServeArgs};
use fingerpost_state::{
    config,
    serve::{ServeOptions, serve},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs(&cli);
    let Command::Serve(args) = cli.command;
    match run_serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn logs(cli: &Cli) {
    let filter = EnvFilter::try_new(&cli.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

fn run_serve(args: ServeArgs) -> Result<(), Failure> {
    // `rediss://` asks for the process's provider. Installing fails only where there is one already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let services = config::read(&args.config, args.overrides())?;
    let options = ServeOptions { ready_file: args.ready_file, ready: None };
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        serve(services, options, shutdown).await.map_err(Failure::from)
    });
    // A drain that timed out must not hold the process.
    runtime.shutdown_background();
    result
}
