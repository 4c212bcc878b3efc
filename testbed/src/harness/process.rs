//! A child process whose output is kept: searched by tests, waited on by the harness. It is killed when dropped.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time,
};

/// Most lines kept of one process; the oldest go first.
const MAX_LINES: usize = 20_000;

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// A name for messages.
    pub name: &'static str,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables beside the harness's own.
    pub env: Vec<(String, String)>,
}

/// Why a process is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {name} ({path}): {source}")]
    Spawn {
        /// Its name.
        name: &'static str,
        /// The executable.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It ended, or did not say in time what it should.
    #[error("{name} did not say `{wanted}` within {limit:?}; its last lines:\n{tail}")]
    Silent {
        /// Its name.
        name: &'static str,
        /// What was waited for.
        wanted: String,
        /// How long.
        limit: Duration,
        /// Its last lines.
        tail: String,
    },
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: Arc<Log>,
}

impl Process {
    /// Starts it. It stays in the process group of the harness, so that Ctrl-C reaches it too.
    ///
    /// # Errors
    /// [`ProcessError::Spawn`].
    pub fn start(program: Program) -> Result<Self, ProcessError> {
        let Program { name, path, args, env } = program;
        let mut command = Command::new(&path);
        command.args(args).envs(env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.kill_on_drop(true).spawn();
        let mut child =
            spawned.map_err(|source| ProcessError::Spawn { name, path: path.display().to_string(), source })?;
        let log = Arc::new(Log::default());
        if let Some(out) = child.stdout.take() {
            tokio::spawn(follow(out, Arc::clone(&log)));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(follow(err, Arc::clone(&log)));
        }
        Ok(Self { name, child, log })
    }

    /// Waits until a line holds `wanted`.
    ///
    /// # Errors
    /// [`ProcessError::Silent`], at once where the process ends first.
    pub async fn says(&mut self, wanted: &str, limit: Duration) -> Result<(), ProcessError> {
        let Self { name, child, log } = self;
        let said = tokio::select! {
            said = log.wait(wanted, limit) => said,
            _ended = child.wait() => log.wait(wanted, Duration::from_millis(200)).await,
        };
        let silent = || ProcessError::Silent { name, wanted: wanted.to_owned(), limit, tail: log.tail(30) };
        if said { Ok(()) } else { Err(silent()) }
    }

    /// Kills it as `kill -9` does, and returns once it is gone.
    pub async fn kill(mut self) {
        // It may have ended already; either way it is gone now.
        let _gone = self.child.kill().await;
    }

    /// Stops it where it is, or lets it go on. Its connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// It has ended.
    pub fn hold(&self, hold: bool) -> nix::Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).ok_or(nix::Error::ESRCH)?;
        let signal = if hold { Signal::SIGSTOP } else { Signal::SIGCONT };
        nix::sys::signal::kill(Pid::from_raw(id), signal)
    }

    /// Its output so far.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

async fn follow(output: impl AsyncRead + Unpin, log: Arc<Log>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        log.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}

/// Lines of output.
#[derive(Debug, Default)]
pub struct Log {
    lines: Mutex<VecDeque<String>>,
    count: watch::Sender<u64>,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        let mut lines = self.lock();
        if lines.len() >= MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
        drop(lines);
        self.count.send_modify(|count| *count += 1);
    }

    /// All lines kept.
    #[must_use]
    pub fn text(&self) -> String {
        self.lock().iter().fold(String::new(), |text, line| text + line + "\n")
    }

    /// The last `lines` lines.
    #[must_use]
    pub fn tail(&self, lines: usize) -> String {
        let kept = self.lock();
        kept.iter().skip(kept.len().saturating_sub(lines)).fold(String::new(), |text, line| text + line + "\n")
    }

    /// Whether a line holds `wanted`.
    #[must_use]
    pub fn holds(&self, wanted: &str) -> bool {
        self.lock().iter().any(|line| line.contains(wanted))
    }

    async fn wait(&self, wanted: &str, limit: Duration) -> bool {
        let mut count = self.count.subscribe();
        let search = async {
            while !self.holds(wanted) {
                if count.changed().await.is_err() {
                    return false;
                }
            }
            true
        };
        time::timeout(limit, search).await.unwrap_or(false)
    }
}
