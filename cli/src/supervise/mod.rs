//! Runs other programs: starts them in process groups of their own, observes when they are ready, notices when one dies, and
//! stops them all. Nothing that it started outlives it, not even where it is killed itself.
//!
//! ```no_run
//! # async fn run() -> Result<(), fingerpost::supervise::Error> {
//! use fingerpost::supervise::{Ready, Service, Supervisor};
//!
//! let mut supervisor = Supervisor::default();
//! let mut backend = Service::new("backend", "my-backend");
//! backend.ready = Ready::Http("http://127.0.0.1:9101/health".to_owned());
//! supervisor.spawn(backend)?;
//! supervisor.ready("backend").await?;
//! supervisor.stop().await;
//! # Ok(())
//! # }
//! ```

mod guard;
mod keeper;
mod lines;
mod probe;
mod service;
mod terminal;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt, io, process::ExitStatus, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use self::lines::Log;
pub use self::{
    lines::{Sink, silent},
    service::{Ready, Service},
    terminal::Terminal,
};

/// How a supervisor treats what it runs.
#[derive(Clone)]
pub struct Options {
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Gets every line that a service writes.
    pub sink: Sink,
    /// Texts that no line may hold; `[secret]` stands in their place.
    pub secrets: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), sink: silent(), secrets: Vec::new() }
    }
}

/// What can go wrong with a service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its program does not start.
    #[error("cannot start {name} ({program}): {source}")]
    Start {
        /// The service.
        name: String,
        /// Its program, or that of the guard beside it.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Another service has its name.
    #[error("a service named `{0}` runs already")]
    Duplicate(String),
    /// No service has that name.
    #[error("no service named `{0}` runs")]
    Unknown(String),
    /// It ended before it was ready, or while it was to run.
    #[error("{0}")]
    Exited(Exit),
    /// It runs and is not ready in its time.
    #[error("{name} was not ready within {} s; its last lines:\n{}", within.as_secs_f32(), indented(tail))]
    Slow {
        /// The service.
        name: String,
        /// Its time.
        within: Duration,
        /// Its last lines.
        tail: Vec<String>,
    },
}

/// How a service ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The service.
    pub name: String,
    /// Its exit status; `None` where it cannot be had.
    pub status: Option<ExitStatus>,
    /// Its last lines.
    pub tail: Vec<String>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        write!(f, "{} ended by itself ({status})", self.name)?;
        if self.tail.is_empty() {
            return write!(f, " and wrote nothing");
        }
        write!(f, "; its last lines:\n{}", indented(&self.tail))
    }
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// A service that was started.
struct Running {
    group: i32,
    ready: Ready,
    ready_within: Duration,
    orders: mpsc::Sender<Signal>,
    ended: watch::Receiver<bool>,
    log: Arc<Log>,
}

/// Runs services. Dropped, it takes them with it at once; [`Supervisor::stop`] asks them first.
#[derive(Default)]
pub struct Supervisor {
    options: Options,
    running: HashMap<String, Running>,
    keepers: JoinSet<Exit>,
}

// Orders that wait for one service: SIGTERM and SIGKILL, with room for a test's own.
const ORDERS: usize = 16;

impl Supervisor {
    /// A supervisor that runs nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Starts a service. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where its program does not start, or its name is taken.
    pub fn spawn(&mut self, service: Service) -> Result<(), Error> {
        if self.is_running(&service.name) {
            return Err(Error::Duplicate(service.name));
        }
        let log = Arc::new(Log::new(&service, &self.options));
        let (orders, received) = mpsc::channel(ORDERS);
        let (ending, ended) = watch::channel(false);
        let keeper = keeper::Keeper::start(&service, Arc::clone(&log), received, ending)?;
        let running = Running {
            group: keeper.group(),
            ready: service.ready,
            ready_within: service.ready_within,
            orders,
            ended,
            log,
        };
        self.keepers.spawn(keeper.keep());
        self.running.insert(service.name, running);
        Ok(())
    }

    /// Waits until a service is ready.
    ///
    /// # Errors
    /// Where any service ends first, or its time passes.
    pub async fn ready(&mut self, name: &str) -> Result<(), Error> {
        let running = self.running.get(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let (within, log) = (running.ready_within, Arc::clone(&running.log));
        let ready = probe::ready(running.ready.clone(), Arc::clone(&log));
        tokio::select! {
            biased;
            Some(exit) = next_exit(&mut self.keepers) => Err(Error::Exited(exit)),
            waited = timeout(within, ready) => waited.map_err(|_| Error::Slow {
                name: name.to_owned(), within, tail: log.tail(),
            }),
        }
    }

    /// Waits for the next service that ends; `None` where none runs.
    pub async fn next_exit(&mut self) -> Option<Exit> {
        next_exit(&mut self.keepers).await
    }

    /// Whether a service was started and has not ended.
    #[must_use]
    pub fn is_running(&self, name: &str) -> bool {
        self.running.get(name).is_some_and(|running| !*running.ended.borrow())
    }

    /// The process id of a service, which is its process group's too.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<i32> {
        self.running.get(name).map(|running| running.group)
    }

    /// The last lines that a service wrote.
    #[must_use]
    pub fn tail(&self, name: &str) -> Vec<String> {
        self.running.get(name).map(|running| running.log.tail()).unwrap_or_default()
    }

    /// Sends a signal to a service's process group.
    ///
    /// # Errors
    /// Where it does not run.
    pub async fn signal(&self, name: &str, signal: Signal) -> Result<(), Error> {
        let unknown = || Error::Unknown(name.to_owned());
        let running = self.running.get(name).ok_or_else(unknown)?;
        running.orders.send(signal).await.map_err(|_| unknown())
    }

    /// Stops one service: SIGTERM, the grace period, SIGKILL. Returns once it has ended; its exit is still reported.
    ///
    /// # Errors
    /// Where it was never started.
    pub async fn stop_one(&mut self, name: &str) -> Result<(), Error> {
        let running = self.running.get(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
        running.stop(self.options.grace).await;
        self.running.remove(name);
        Ok(())
    }

    /// Stops everything: SIGTERM to all, the grace period, SIGKILL. Returns once all have ended.
    pub async fn stop(&mut self) {
        let mut stops = JoinSet::new();
        for (_, running) in self.running.drain() {
            let grace = self.options.grace;
            stops.spawn(async move { running.stop(grace).await });
        }
        stops.join_all().await;
        while self.keepers.join_next().await.is_some() {}
    }
}

impl Running {
    async fn stop(&self, grace: Duration) {
        let mut ended = self.ended.clone();
        // A service whose orders nobody takes has ended.
        if self.orders.send(Signal::SIGTERM).await.is_err() || timeout(grace, ended.wait_for(|e| *e)).await.is_ok() {
            return;
        }
        if self.orders.send(Signal::SIGKILL).await.is_ok() {
            // An error says that its keeper is gone, and the service with it.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }
}

async fn next_exit(keepers: &mut JoinSet<Exit>) -> Option<Exit> {
    loop {
        // A keeper that was aborted has nothing to report.
        if let Ok(exit) = keepers.join_next().await? {
            return Some(exit);
        }
    }
}
