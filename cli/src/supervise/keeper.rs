//! One service's process, from its start to its end.

use std::{process::Stdio, sync::Arc, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use super::{Error, Exit, Service, guard::Guard, lines::Log};

// A process that left its group may hold the pipes of the ended service open.
const LAST_LINES: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    name: String,
    child: Child,
    group: Pid,
    guard: Guard,
    log: Arc<Log>,
    orders: mpsc::Receiver<Signal>,
    ending: watch::Sender<bool>,
}

impl Keeper {
    pub(super) fn start(
        service: &Service,
        log: Arc<Log>,
        orders: mpsc::Receiver<Signal>,
        ending: watch::Sender<bool>,
    ) -> Result<Self, Error> {
        let failed = |program: String| {
            let name = service.name.clone();
            move |source| Error::Start { name, program, source }
        };
        let child = Command::new(&service.program)
            .args(&service.args)
            .envs(service.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed(service.program.display().to_string()))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let group =
            group.ok_or_else(|| failed(service.program.display().to_string())(std::io::ErrorKind::NotFound.into()))?;
        let guard = Guard::of(group.as_raw()).map_err(failed(Guard::PROGRAM.to_owned()))?;
        Ok(Self { name: service.name.clone(), child, group, guard, log, orders, ending })
    }

    pub(super) const fn group(&self) -> i32 {
        self.group.as_raw()
    }

    /// Carries out orders until the process has ended, and what it left behind in its group with it.
    pub(super) async fn keep(mut self) -> Exit {
        let mut pumps = JoinSet::new();
        if let Some(pipe) = self.child.stdout.take() {
            pumps.spawn(Arc::clone(&self.log).pump(pipe));
        }
        if let Some(pipe) = self.child.stderr.take() {
            pumps.spawn(Arc::clone(&self.log).pump(pipe));
        }
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status.ok(),
                Some(signal) = self.orders.recv() => self.send(signal),
            }
        };
        self.send(Signal::SIGKILL);
        // Past this, what still writes is no part of the service any more.
        let _ = timeout(LAST_LINES, async { while pumps.join_next().await.is_some() {} }).await;
        self.guard.dismiss().await;
        self.ending.send_replace(true);
        Exit { name: self.name, status, tail: self.log.tail() }
    }

    fn send(&self, signal: Signal) {
        match killpg(self.group, signal) {
            // A group that is gone needs no signal.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => eprintln!("cannot send {signal} to {}: {error}", self.name),
        }
    }
}
