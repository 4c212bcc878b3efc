//! The model's thread: takes what waits, batches it, answers. It never waits for more to come.

use std::{
    ops::Range,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{AnalyzeError, Model, Row, RowOutput, Shape, Wanted, plan::plan, window::Window};
use crate::metrics::Metrics;

/// One text, cut for the model.
#[derive(Debug)]
pub struct Part {
    /// Its windows.
    pub windows: Vec<Window>,
    /// Where its tokens stand in it.
    pub ranges: Vec<Range<usize>>,
    /// How its tokens look; empty where nobody reads it.
    pub shapes: Vec<Shape>,
    /// What is asked of it.
    pub wanted: Wanted,
}

/// What the model said of a job.
#[derive(Debug)]
pub struct Computed {
    /// The job's parts.
    pub parts: Vec<Part>,
    /// The outputs of each part's windows.
    pub outputs: Vec<Vec<RowOutput>>,
    /// Time inside the model, shared with whatever else was in the same batches.
    pub inference: Duration,
}

/// One tokenised request on its way to the model.
#[derive(Debug)]
pub struct Job {
    /// The texts.
    pub parts: Vec<Part>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Where the answer goes; closed when the caller has gone.
    pub reply: oneshot::Sender<Result<Computed, AnalyzeError>>,
    /// The place in the queue; the model gives it back when it takes the job.
    pub place: Option<OwnedSemaphorePermit>,
}

impl Job {
    fn tokens(&self) -> usize {
        self.windows().map(|w| w.ids.len()).sum()
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        self.parts.iter().flat_map(|part| &part.windows)
    }

    /// A row of the job, by its number.
    fn row(&self, mut row: usize) -> Option<(Row<'_>, Wanted)> {
        for part in &self.parts {
            if let Some(window) = part.windows.get(row) {
                let shapes = part.shapes.get(window.tokens.clone()).unwrap_or_default();
                return Some((Row { ids: &window.ids, shapes }, part.wanted));
            }
            row -= part.windows.len();
        }
        None
    }

    fn expired(&self) -> bool {
        self.deadline.is_some_and(|at| at <= Instant::now())
    }
}

/// Starts the thread. It ends when every sender is gone and the queue is empty.
///
/// # Errors
/// What the system says when it starts no thread.
pub fn spawn(
    model: Box<dyn Model>,
    jobs: mpsc::Receiver<Job>,
    batch_tokens: usize,
    metrics: Arc<Metrics>,
) -> std::io::Result<JoinHandle<()>> {
    let engine = Engine { model, batch_tokens, metrics };
    std::thread::Builder::new().name("model".to_owned()).spawn(move || engine.run(jobs))
}

struct Engine {
    model: Box<dyn Model>,
    batch_tokens: usize,
    metrics: Arc<Metrics>,
}

/// A job under way.
struct Active {
    job: Job,
    outputs: Vec<Option<RowOutput>>,
    inference: Duration,
}

impl Engine {
    fn run(&self, mut jobs: mpsc::Receiver<Job>) {
        let mut held = None;
        while let Some(first) = held.take().or_else(|| jobs.blocking_recv()) {
            let round = self.gather(first, &mut jobs, &mut held);
            self.serve(round);
        }
    }

    /// The first job and as many waiting ones as fit one forward pass with it. The one that fits no
    /// more is held for the next round, so that a huge request delays the others by one round only.
    fn gather(&self, first: Job, jobs: &mut mpsc::Receiver<Job>, held: &mut Option<Job>) -> Vec<Job> {
        let mut total = first.tokens();
        let mut round = vec![first];
        while total < self.batch_tokens {
            let Ok(job) = jobs.try_recv() else { break };
            total += job.tokens();
            if total > self.batch_tokens {
                *held = Some(job);
                break;
            }
            round.push(job);
        }
        round
    }

    fn serve(&self, round: Vec<Job>) {
        let mut active: Vec<Option<Active>> = round.into_iter().map(|job| Some(Active::new(job))).collect();
        let rows: Vec<(usize, usize, usize)> = active
            .iter()
            .enumerate()
            .flat_map(|(owner, slot)| {
                let windows = slot.iter().flat_map(|a| a.job.windows());
                windows.enumerate().map(move |(row, w)| (owner, row, w.ids.len()))
            })
            .collect();
        let lengths: Vec<usize> = rows.iter().map(|r| r.2).collect();
        for batch in plan(&lengths, self.batch_tokens) {
            self.drop_abandoned(&mut active);
            let batch: Vec<(usize, usize)> = batch
                .into_iter()
                .filter_map(|i| rows.get(i))
                .filter(|(owner, ..)| active.get(*owner).is_some_and(Option::is_some))
                .map(|&(owner, row, _)| (owner, row))
                .collect();
            self.run_batch(&batch, &mut active);
        }
        for done in active.into_iter().flatten() {
            done.answer();
        }
    }

    /// Skips work that nobody waits for any more.
    fn drop_abandoned(&self, active: &mut [Option<Active>]) {
        for slot in active {
            if slot.as_ref().is_some_and(|a| a.job.reply.is_closed()) {
                *slot = None;
                self.metrics.skipped();
            } else if slot.as_ref().is_some_and(|a| a.job.expired())
                && let Some(late) = slot.take()
            {
                self.metrics.skipped();
                late.fail(AnalyzeError::DeadlinePassed);
            }
        }
    }

    fn run_batch(&self, batch: &[(usize, usize)], active: &mut [Option<Active>]) {
        let mut wanted = Wanted::default();
        let rows: Vec<Row<'_>> = batch
            .iter()
            .filter_map(|&(owner, row)| {
                let (row, asked) = active.get(owner)?.as_ref()?.job.row(row)?;
                wanted = wanted.union(asked);
                Some(row)
            })
            .collect();
        if rows.is_empty() {
            return;
        }
        let started = Instant::now();
        let result = self.model.run(&rows, wanted);
        let took = started.elapsed();
        self.metrics.batch(rows.len(), took);
        match result {
            Ok(outputs) => {
                for (&(owner, row), output) in batch.iter().zip(outputs) {
                    if let Some(Some(job)) = active.get_mut(owner)
                        && let Some(slot) = job.outputs.get_mut(row)
                    {
                        *slot = Some(output);
                    }
                }
                let mut owners: Vec<usize> = batch.iter().map(|b| b.0).collect();
                owners.sort_unstable();
                owners.dedup();
                for owner in owners {
                    if let Some(Some(job)) = active.get_mut(owner) {
                        job.inference += took;
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, rows = rows.len(), "a batch failed");
                for &(owner, _) in batch {
                    if let Some(failed) = active.get_mut(owner).and_then(Option::take) {
                        failed.fail(error.clone().into());
                    }
                }
            }
        }
    }
}

impl Active {
    fn new(mut job: Job) -> Self {
        job.place = None;
        Self { outputs: vec![None; job.windows().count()], inference: Duration::ZERO, job }
    }

    fn fail(self, error: AnalyzeError) {
        // A caller that has gone wants no answer.
        drop(self.job.reply.send(Err(error)));
    }

    fn answer(mut self) {
        let Some(outputs) = self.outputs.drain(..).collect::<Option<Vec<RowOutput>>>() else {
            let lost = super::ModelError("the model answered fewer rows than it was given".to_owned());
            return self.fail(lost.into());
        };
        let mut outputs = outputs.into_iter();
        let of_part = |part: &Part| outputs.by_ref().take(part.windows.len()).collect();
        let outputs = self.job.parts.iter().map(of_part).collect();
        let computed = Computed { parts: self.job.parts, outputs, inference: self.inference };
        drop(self.job.reply.send(Ok(computed)));
    }
}
