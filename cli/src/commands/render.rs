//! `fingerpost render`.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Error, load};
use crate::render::{Format, envoy, to_text};

/// Write what other programs read from a configuration file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, clap::Subcommand)]
enum Target {
    /// The Envoy bootstrap, as `up` uses it. Holds no secret, only where Envoy finds them.
    Envoy(EnvoyArgs),
}

#[derive(Debug, clap::Args)]
struct EnvoyArgs {
    /// The configuration, fingerpost.yaml.
    file: PathBuf,
    /// The filter's code [default: beside this program, else target/wasm32-wasip1/wasm/].
    #[arg(long, env = "FINGERPOST_WASM", value_name = "PATH")]
    wasm: Option<PathBuf>,
    /// Where to write [default: standard output].
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let Target::Envoy(args) = &args.target;
    let loaded = load(&args.file, args.wasm.as_deref())?;
    let bootstrap = envoy::bootstrap(&loaded.config, &loaded.options)?;
    write(args.output.as_deref(), &to_text(&bootstrap, args.format)?)
}

fn write(output: Option<&Path>, text: &str) -> Result<(), Error> {
    let failed =
        |source| Error::File { what: "write", path: output.unwrap_or(Path::new("standard output")).into(), source };
    match output {
        None => io::stdout().write_all(text.as_bytes()).map_err(failed),
        Some(path) => {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
        }
    }
}
