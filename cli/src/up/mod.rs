//! Runs the whole stack on this machine: the classifier, the state service and Envoy, from one configuration file.

mod find;
mod plan;

use std::{io, path::PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

pub use self::{
    find::{Envoy, FindError},
    plan::{Options, Plan},
};
use crate::{
    environment::Missing,
    render::{RenderError, envoy},
    supervise::{self, Exit, Supervisor, Terminal},
};

/// Why the stack does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration names things that this machine does not have.
    #[error("{}", .0.iter().map(|missing| format!("error: {missing}")).collect::<Vec<_>>().join("\n"))]
    Missing(Vec<Missing>),
    /// A program that it needs is not there.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The filter's code is not there.
    #[error("the filter's code is not at {}; build it with `make build`, or name it with --wasm", .0.display())]
    Filter(PathBuf),
    /// Something listens where the stack is to listen.
    #[error("cannot listen on {address} ({path}): {source}; stop what listens there, or change {path}")]
    Listen {
        /// The field of the configuration.
        path: &'static str,
        /// Its value.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The bootstrap cannot be made.
    #[error(transparent)]
    Envoy(#[from] envoy::Error),
    /// The bootstrap cannot be written as text.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A temporary file cannot be written, or signals cannot be received.
    #[error("cannot {what}: {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A service did not start, or ended.
    #[error(transparent)]
    Service(#[from] supervise::Error),
    /// A service ended while it was to run.
    #[error("{0}")]
    Ended(Exit),
}

/// Runs a plan until a signal asks it to end, which is no error, or a service ends, which is one.
///
/// # Errors
/// Where a service does not start or ends by itself; all others are stopped then.
pub async fn run(plan: Plan, terminal: &Terminal) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let mut supervisor = Supervisor::new(supervise::Options {
        sink: terminal.sink(),
        secrets: plan.secrets.clone(),
        ..supervise::Options::default()
    });
    let outcome = tokio::select! {
        failed = start_and_watch(&mut supervisor, &plan, terminal) => failed,
        () = signals.next() => Ok(()),
    };
    terminal.wait("stopping (again to stop at once)");
    // A second signal ends the wait; the supervisor, dropped, takes what still runs with it.
    tokio::select! {
        () = supervisor.stop() => {}
        () = signals.next() => {}
    }
    terminal.done();
    outcome
}

async fn start_and_watch(supervisor: &mut Supervisor, plan: &Plan, terminal: &Terminal) -> Result<(), Error> {
    for service in &plan.services {
        supervisor.spawn(service.clone())?;
    }
    for service in &plan.services {
        terminal.wait(format!("waiting for {}", service.name));
        supervisor.ready(&service.name).await?;
    }
    terminal.done();
    let management = plan.management.iter().map(|url| format!("the management API is described on {url}\n"));
    let management: String = management.collect();
    terminal.say(&format!("Fingerpost is ready on {}\n{management}\n{}\n", plan.url, plan.curls()));
    match supervisor.next_exit().await {
        Some(exit) => Err(Error::Ended(exit)),
        None => Ok(()),
    }
}

/// The signals that end a program, and the end of its terminal.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|source| Error::System { what: "receive signals", source });
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
