//! Cores, and the CPU time of another process by the kernel's own accounting.

use std::{fs, thread};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use super::BenchError;

/// Which cores do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cores {
    /// Envoy's, if there are two.
    pub envoy: Option<usize>,
    /// Everything else's.
    pub rest: Option<usize>,
}

impl Cores {
    /// The first two that this process may use; no pinning where there is but one.
    pub(super) fn choose() -> Self {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok();
        let allowed: Option<Vec<usize>> =
            allowed.map(|set| (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect());
        match allowed.unwrap_or_default().as_slice() {
            [first, second, ..] => Self { envoy: Some(*first), rest: Some(*second) },
            _ => Self { envoy: None, rest: None },
        }
    }

    /// Pins this process, and so every child that is not pinned elsewhere.
    pub(super) fn pin_self(self) {
        let Some(core) = self.rest else { return };
        let mut set = CpuSet::new();
        if set.set(core).is_err() || sched_setaffinity(Pid::from_raw(0), &set).is_err() {
            eprintln!("cannot pin to core {core}: the figures will be noisier");
        }
    }
}

/// Nanoseconds that a process has run, over all its threads (`/proc/PID/task/*/schedstat`, first field; proc(5)).
pub(super) fn time(pid: u32) -> Result<u64, BenchError> {
    let folder = format!("/proc/{pid}/task");
    let wrong = |source| BenchError::Io { what: format!("cannot read {folder}"), source };
    let mut total = 0_u64;
    for task in fs::read_dir(&folder).map_err(wrong)? {
        let path = task.map_err(wrong)?.path().join("schedstat");
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(path) else { continue };
        total += text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(total)
}

/// The machine in words: its processor and the number of its cores.
pub(super) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let all = info.lines().filter(|line| line.starts_with("processor")).count().max(cores);
    format!("{model}, {all} cores")
}

/// The load average of the last minute.
pub(super) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or_default()
}
