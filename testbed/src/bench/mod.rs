//! `make bench`: what the filter costs, against the same Envoy without it. One pinned Envoy worker; load generator and backend
//! on another core; configurations interleaved within one run, so that a machine's moods hit them all alike.

mod backend;
mod core;
mod cpu;
mod load;
mod report;
mod signals;
mod subject;

use std::{io, path::PathBuf, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

pub use self::subject::Kind;
use self::{
    load::{Closed, Open},
    report::{Cell, Report},
    subject::{Subject, Subjects},
};
use crate::{client::ClientError, harness::StackError};

/// Connections of the closed loop: enough to keep one worker busy.
const CONNECTIONS: usize = 16;
/// Not counted, before a configuration's first round: V8 compiles what is hot anew meanwhile.
const WARM_UP: Duration = Duration::from_secs(3);

/// What is measured, and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Length of each measurement.
    pub seconds: f64,
    /// Measurements of each configuration and body.
    pub rounds: usize,
    /// Sizes of the request bodies, in KiB.
    pub bodies: Vec<usize>,
    /// Only these configurations; bare Envoy is always measured.
    pub only: Vec<Kind>,
    /// Where the table goes.
    pub out: PathBuf,
    /// The command line, for the table.
    pub command: String,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An Envoy or the classifier does not come up.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// A request failed.
    #[error("a request of the configuration `{kind}` failed: {source}")]
    Request {
        /// The configuration.
        kind: &'static str,
        /// Why.
        source: ClientError,
    },
    /// A request was answered with an error.
    #[error("the configuration `{kind}` answered {status}")]
    Status {
        /// The configuration.
        kind: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// A file or the process accounting.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A latency that no histogram holds.
    #[error("latency histogram: {0}")]
    Histogram(#[from] hdrhistogram::errors::CreationError),
}

/// Measures and writes the table.
///
/// # Errors
/// [`BenchError`]; an answer other than 200 is one.
pub async fn run(options: &Options) -> Result<String, BenchError> {
    let cores = cpu::Cores::choose();
    cores.pin_self();
    let load_before = cpu::load_average();
    let mut kinds = Kind::ALL.to_vec();
    kinds.retain(|kind| *kind == Kind::Bare || options.only.is_empty() || options.only.contains(kind));
    let progress = progress(kinds.len(), options);
    let subjects = Subjects::start(&kinds, &cores, &progress).await?;
    let mut cells = saturate(&subjects, options, &progress).await?;
    compare_at_half_load(&subjects, &mut cells, options, &progress).await?;
    progress.finish_and_clear();
    let report = Report { cells, options, cores: &cores, load_before };
    let table = report.markdown() + &signals::section(options).await?;
    let written = std::fs::write(&options.out, &table);
    written.map_err(|source| BenchError::Io { what: format!("cannot write {}", options.out.display()), source })?;
    Ok(table)
}

fn progress(kinds: usize, options: &Options) -> ProgressBar {
    let steps = (kinds + 2 * (kinds - 1)) * options.bodies.len() * options.rounds;
    let bar = ProgressBar::new(steps as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} of about {duration} {wide_msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Closed loop, as fast as it goes: rounds of all configurations in turn.
async fn saturate(subjects: &Subjects, options: &Options, progress: &ProgressBar) -> Result<Vec<Cell>, BenchError> {
    let mut cells: Vec<Cell> = Vec::new();
    for bytes in options.bodies.iter().map(|kib| kib * 1_024) {
        cells.extend(subjects.all().map(|subject| Cell::new(subject.kind, bytes)));
    }
    let time = Duration::from_secs_f64(options.seconds);
    for round in 0..options.rounds {
        for cell in &mut cells {
            let Some(subject) = subjects.get(cell.kind) else { continue };
            progress.set_message(format!("{} at {} KB", cell.kind.name(), cell.bytes / 1_024));
            let closed = Closed { subject, bytes: cell.bytes, connections: CONNECTIONS };
            if round == 0 {
                closed.run(WARM_UP).await?;
            }
            let before = cpu::time(subject.pid)?;
            let outcome = closed.run(time).await?;
            cell.add(&outcome, cpu::time(subject.pid)?.saturating_sub(before));
            progress.inc(1);
        }
    }
    Ok(cells)
}

/// Open loop at half of what each configuration bears, and bare Envoy at the same rate beside it.
async fn compare_at_half_load(
    subjects: &Subjects,
    cells: &mut [Cell],
    options: &Options,
    progress: &ProgressBar,
) -> Result<(), BenchError> {
    let Some(bare) = subjects.get(Kind::Bare) else { return Ok(()) };
    let time = Duration::from_secs_f64(options.seconds);
    for _ in 0..options.rounds {
        for cell in cells.iter_mut().filter(|cell| cell.kind != Kind::Bare) {
            let Some(subject) = subjects.get(cell.kind) else { continue };
            progress.set_message(format!("{} at {} KB, half load", cell.kind.name(), cell.bytes / 1_024));
            let rate = cell.requests_per_second() / 2.0;
            let at =
                |subject: &Subject| Open { target: subject.target(cell.bytes), rate, connections: 4 * CONNECTIONS };
            let reference = at(bare).run(time).await?;
            progress.inc(1);
            let loaded = at(subject).run(time).await?;
            progress.inc(1);
            cell.add_latency(&reference, &loaded);
        }
    }
    Ok(())
}
