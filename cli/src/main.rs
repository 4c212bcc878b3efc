//! The `fingerpost` command: reads its arguments and hands over.

use std::process::ExitCode;

use clap::Parser;
use fingerpost::commands::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
