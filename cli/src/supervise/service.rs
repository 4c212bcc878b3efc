//! What a supervisor runs.

use std::{ffi::OsString, path::PathBuf, time::Duration};

/// A program to run.
#[derive(Debug, Clone)]
pub struct Service {
    /// Unique among the running ones; stands before its lines.
    pub name: String,
    /// The program, by path or as found on `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment variables beside the inherited ones.
    pub env: Vec<(OsString, OsString)>,
    /// How it is seen to be ready.
    pub ready: Ready,
    /// Longest wait until then.
    pub ready_within: Duration,
}

impl Service {
    /// A program without arguments that is ready as soon as it runs.
    #[must_use]
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            ready: Ready::Started,
            ready_within: Duration::from_secs(60),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }
}

/// How a service is seen to be ready.
#[derive(Debug, Clone)]
pub enum Ready {
    /// It runs.
    Started,
    /// It wrote a line that holds this text.
    Line(String),
    /// This file is there.
    File(PathBuf),
    /// A GET of this URL is answered with a status of 200 to 299.
    Http(String),
    /// All of these, seen one after the other.
    All(Vec<Ready>),
}
