//! `fingerpost up`.

use std::path::PathBuf;

use super::{Error, load};
use crate::{supervise::Terminal, up};

/// Run the classifier, the state service and Envoy on this machine from a configuration file.
///
/// Ends with Ctrl-C, and with everything that it started. Where one of them dies, the others are stopped and the exit
/// code is 1.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, fingerpost.yaml.
    file: PathBuf,
    /// Envoy or func-e [default: func-e or envoy on PATH, else what `make setup` installed].
    #[arg(long, env = "FINGERPOST_ENVOY", value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// The classifier [default: beside this program, else on PATH].
    #[arg(long, env = "FINGERPOST_CLASSIFIER", value_name = "PATH")]
    classifier: Option<PathBuf>,
    /// The classifier's configuration [default: classifier.yaml or classifier-svc/classifier.yaml beside FILE].
    #[arg(long, env = "FINGERPOST_CLASSIFIER_CONFIG", value_name = "FILE")]
    classifier_config: Option<PathBuf>,
    /// Do not run the classifier: it runs elsewhere, at callouts.classifier.address.
    #[arg(long)]
    no_classifier: bool,
    /// The state service [default: beside this program, else on PATH].
    #[arg(long, env = "FINGERPOST_STATE", value_name = "PATH")]
    state: Option<PathBuf>,
    /// Do not run the state service: it runs elsewhere, at callouts.state.address, and the management API with it. Not run either
    /// where that is a host name.
    #[arg(long)]
    no_state: bool,
    /// The filter's code [default: beside this program, else target/wasm32-wasip1/wasm/].
    #[arg(long, env = "FINGERPOST_WASM", value_name = "PATH")]
    wasm: Option<PathBuf>,
    /// Envoy's worker threads [default: one a core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Envoy's log level.
    #[arg(long, default_value = "warning", value_name = "LEVEL",
        value_parser = ["trace", "debug", "info", "warning", "error", "critical", "off"])]
    log_level: String,
}

pub(super) fn run(args: Args) -> Result<(), Error> {
    let loaded = load(&args.file, args.wasm.as_deref())?;
    let options = up::Options {
        file: args.file,
        envoy: args.envoy,
        classifier: args.classifier,
        classifier_config: args.classifier_config,
        run_classifier: !args.no_classifier,
        state: args.state,
        run_state: !args.no_state,
        concurrency: args.concurrency,
        log_level: args.log_level,
    };
    let plan = up::Plan::new(&loaded.config, &loaded.options, &options)?;
    let runtime = super::runtime()?;
    Ok(runtime.block_on(up::run(plan, &Terminal::default()))?)
}
