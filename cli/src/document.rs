//! Reads `fingerpost.yaml`, and says of everything wrong with it where it stands.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use fingerpost_core::config::{Config, ConfigError};
use serde_saphyr::UserMessageFormatter;

use crate::locate::{Position, Positions};

/// One thing wrong with a configuration file. Shown as `FILE:LINE:COLUMN: path: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line and column, from 1, where they can be had.
    pub at: Option<(usize, usize)>,
    /// The path in the document; empty where the document as a whole is meant.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.message)
    }
}

/// A configuration file that is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    File {
        /// The file, as it was named.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The document is wrong, in all these places.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
}

/// Reads and validates a configuration file.
///
/// # Errors
/// Everything that is wrong with it; a document that does not parse has one fault.
pub fn read(file: &Path) -> Result<Config, ReadError> {
    let text = std::fs::read_to_string(file).map_err(|source| ReadError::File { file: file.to_owned(), source })?;
    parse(file, &text)
}

/// Reads and validates a configuration whose text is at hand; `file` is what faults are said to stand in.
///
/// # Errors
/// As [`read`].
pub fn parse(file: &Path, text: &str) -> Result<Config, ReadError> {
    let positions = Positions::of(text);
    let fault = |path: String, message: String, at: Option<Position>| {
        let at = at.or_else(|| positions.find(&path)).map(|at| (at.line, at.column));
        Fault { file: file.to_owned(), at, path, message }
    };
    let config =
        deserialize(text).map_err(|failed| ReadError::Faults(vec![fault(failed.path, failed.message, failed.at)]))?;
    match config.validate() {
        Ok(()) => Ok(config),
        Err(ConfigError(problems)) => {
            Err(ReadError::Faults(problems.into_iter().map(|p| fault(p.path, p.message, None)).collect()))
        }
    }
}

/// A document that does not become a configuration.
struct Failed {
    path: String,
    message: String,
    at: Option<Position>,
}

fn deserialize(text: &str) -> Result<Config, Failed> {
    let mut path = String::new();
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |document| {
        serde_path_to_error::deserialize(document).map_err(|error: serde_path_to_error::Error<serde_saphyr::Error>| {
            path = known(&error.path().to_string());
            error.into_inner()
        })
    })
    .map_err(|error| Failed { path, message: message(&error), at: position(&error) })
}

/// A path as far as it is known: the root is shown as a dot, a key that could not be read as a question mark.
fn known(path: &str) -> String {
    let path = path.strip_suffix('?').unwrap_or(path);
    path.strip_suffix('.').unwrap_or(path).to_owned()
}

fn position(error: &serde_saphyr::Error) -> Option<Position> {
    // What is not there has no place but that of what should hold it, which the path tells.
    if message(error).starts_with("missing field") {
        return None;
    }
    let at = error.location()?;
    Some(Position { line: usize::try_from(at.line()).ok()?, column: usize::try_from(at.column()).ok()? })
}

/// What is wrong without where: the place is shown before it.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
    let text = text.trim().replace(&place.unwrap_or_default(), "");
    // serde-saphyr names Rust's integer types.
    if text == "invalid u32" || text == "invalid usize" { "must be a whole number".to_owned() } else { text }
}
