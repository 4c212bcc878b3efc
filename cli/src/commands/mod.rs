//! The commands and their arguments.

mod ask;
mod check;
mod render;
mod up;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use fingerpost_core::config::Config;

use crate::{
    document::{self, ReadError},
    environment,
    render::{RenderError, envoy},
};

/// Routes LLM traffic by what it means: a Proxy-Wasm filter in Envoy, a classifier, one configuration file.
#[derive(Debug, Parser)]
#[command(name = "fingerpost", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Render(render::Args),
    Up(Box<up::Args>),
    Ask(ask::Args),
}

/// Why a command failed. Shown to the user as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file is refused.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The configuration cannot be rendered.
    #[error(transparent)]
    Envoy(#[from] envoy::Error),
    /// The rendered document cannot be written as text.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The stack does not run.
    #[error(transparent)]
    Up(#[from] crate::up::Error),
    /// The question got no answer.
    #[error(transparent)]
    Ask(#[from] crate::ask::Error),
    /// The asynchronous runtime does not start.
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    /// A file or the current folder cannot be used.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was to be done with it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Cli {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// What went wrong, as the user is to read it.
    pub fn run(self) -> Result<(), Error> {
        match self.command {
            Command::Check(args) => check::run(&args),
            Command::Render(args) => render::run(&args),
            Command::Up(args) => up::run(*args),
            Command::Ask(args) => ask::run(args),
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}

/// A configuration file that was read, and what rendering it needs beside.
struct Loaded {
    config: Config,
    options: envoy::Options,
}

fn load(file: &Path, wasm: Option<&Path>) -> Result<Loaded, Error> {
    let config = document::read(file)?;
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|source| Error::File { what: "find", path: path.to_owned(), source })
    };
    let base = absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
    let wasm = wasm.map_or_else(|| Ok(environment::filter()), absolute)?;
    Ok(Loaded { config, options: envoy::Options { wasm, system_ca: environment::system_ca(), base } })
}
