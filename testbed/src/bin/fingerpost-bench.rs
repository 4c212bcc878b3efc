//! `make bench`.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use fingerpost_testbed::{
    bench::{self, Kind, Options},
    harness::places,
};

/// Measures what the filter costs against bare Envoy and Envoy's own buffer filter, and writes docs/benchmarks.md.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    /// Length of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Measurements of each configuration and body size.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Sizes of the request bodies, in KiB.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 400])]
    bodies: Vec<usize>,
    /// Only these configurations, beside bare Envoy.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Where the table goes [default: the repository's docs/benchmarks.md].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let out = args.out.unwrap_or_else(|| places::root().join("docs/benchmarks.md"));
    let command =
        std::iter::once("fingerpost-bench".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ");
    let options = Options {
        seconds: args.seconds.clamp(0.1, 600.0),
        rounds: args.rounds.into(),
        bodies: args.bodies,
        only: args.only,
        out,
        command,
    };
    // One thread: it shares its core with nothing of ours but the classifier. I/O is looked at often, because the pacer never sleeps.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(4).build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(bench::run(&options)).map_err(|error| error.to_string()),
        Err(error) => Err(format!("cannot start the runtime: {error}")),
    };
    match outcome {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fingerpost-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
