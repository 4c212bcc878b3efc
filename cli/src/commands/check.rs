//! `fingerpost check`.

use std::path::PathBuf;

use super::{Error, load};
use crate::environment;

/// Check a configuration file.
///
/// Prints every problem as FILE:LINE:COLUMN: path: message and exits with 1. Tokens and certificates that this machine
/// does not have are warnings, since Envoy may run elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, fingerpost.yaml.
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let loaded = load(&args.file, None)?;
    for missing in environment::missing(&loaded.config, &loaded.options) {
        eprintln!("warning: {missing}");
    }
    let config = &loaded.config;
    let endpoints = config.models.iter().map(|model| model.endpoints.len()).sum();
    println!(
        "{}: ok: {}, {}, {}",
        args.file.display(),
        count(config.models.len(), "model"),
        count(endpoints, "endpoint"),
        count(config.decisions.len(), "decision"),
    );
    Ok(())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
