//! One request from text to verdict: admission, tokenisation, windows, the queue, the answer.

use std::{sync::Arc, thread::JoinHandle, time::Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Analysis, AnalyzeError, Model, ModelError, ModelInfo, Task, Tokenize, Wanted,
    engine::{self, Job},
    window::{Window, WindowShape},
};
use crate::metrics::Metrics;

/// The ceilings of an [`Analyzer`].
#[derive(Debug, Clone, Copy)]
pub struct AnalyzerLimits {
    /// Tokens of one request over all its segments, special ones not counted.
    pub max_tokens: usize,
    /// Segments of one request.
    pub max_segments: usize,
    /// Requests admitted and not yet taken by the model.
    pub queue: usize,
    /// Tokens of one forward pass, padding counted.
    pub batch_tokens: usize,
    /// How long texts are cut.
    pub windows: WindowShape,
}

/// One request.
#[derive(Debug, Clone)]
pub struct AnalyzeRequest {
    /// The texts.
    pub segments: Vec<String>,
    /// What is asked of each of them.
    pub tasks: Vec<Task>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// The service: a tokeniser and the queue to the model's thread.
pub struct Analyzer {
    tokenizer: Arc<dyn Tokenize>,
    info: ModelInfo,
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
    limits: AnalyzerLimits,
    metrics: Arc<Metrics>,
}

impl Analyzer {
    /// Starts the model's thread. The thread ends when the analyzer is dropped and the queue is empty.
    ///
    /// # Errors
    /// What the system says when it starts no thread.
    pub fn start(
        model: Box<dyn Model>,
        tokenizer: Arc<dyn Tokenize>,
        limits: AnalyzerLimits,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let info = model.info().clone();
        let queue = limits.queue.clamp(1, Semaphore::MAX_PERMITS);
        let (jobs, receiver) = mpsc::channel(queue);
        let thread = engine::spawn(model, receiver, limits.batch_tokens, metrics.clone())?;
        let places = Arc::new(Semaphore::new(queue));
        let analyzer = Self { tokenizer, info, jobs, places, limits, metrics };
        Ok((analyzer, thread))
    }

    /// What is loaded.
    #[must_use]
    pub const fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Requests that wait for the model or are being tokenised.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.limits.queue.saturating_sub(self.places.available_permits())
    }

    /// Requests that are tokenised and wait for the model.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Answers one request. Dropping the future drops the request, computed or not.
    ///
    /// # Errors
    /// [`AnalyzeError`] for what is wrong with the request, the queue or the model.
    pub async fn analyze(&self, request: AnalyzeRequest) -> Result<Analysis, AnalyzeError> {
        let wanted = self.wanted(&request)?;
        let place =
            Arc::clone(&self.places).try_acquire_owned().map_err(|_| AnalyzeError::QueueFull(self.limits.queue))?;
        let tokenizer = Arc::clone(&self.tokenizer);
        let limits = self.limits;
        // The place goes with the work: a caller that leaves does not free it before the work stops.
        let tokenised = tokio::task::spawn_blocking(move || {
            let segments = tokenise(&*tokenizer, &limits, &request.segments)?;
            Ok::<_, AnalyzeError>((segments, place))
        });
        let (segments, place) = tokenised.await.map_err(|e| ModelError(format!("tokenisation ended early: {e}")))??;
        let windows = segments.iter().flatten();
        let (tokens, count) = windows.fold((0, 0), |(t, n), w| (t + w.fresh, n + 1));
        self.metrics.admitted(tokens, count);
        let (reply, answer) = oneshot::channel();
        let job = Job { segments, wanted, deadline: request.deadline, reply, place: Some(place) };
        self.jobs.try_send(job).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => AnalyzeError::QueueFull(self.limits.queue),
            mpsc::error::TrySendError::Closed(_) => AnalyzeError::Gone,
        })?;
        answer.await.map_err(|_| AnalyzeError::Gone)?
    }

    fn wanted(&self, request: &AnalyzeRequest) -> Result<Wanted, AnalyzeError> {
        if request.tasks.is_empty() {
            return Err(AnalyzeError::NoTask);
        }
        let mut wanted = Wanted::default();
        for task in &request.tasks {
            match task {
                Task::Category if self.info.labels.is_some() => wanted.category = true,
                Task::Embedding => wanted.embedding = true,
                other => return Err(AnalyzeError::UnservedTask(other.name())),
            }
        }
        match request.segments.len() {
            0 => Err(AnalyzeError::NoSegment),
            count if count > self.limits.max_segments => {
                Err(AnalyzeError::TooManySegments { count, ceiling: self.limits.max_segments })
            }
            _ => Ok(wanted),
        }
    }
}

fn tokenise(
    tokenizer: &dyn Tokenize,
    limits: &AnalyzerLimits,
    texts: &[String],
) -> Result<Vec<Vec<Window>>, AnalyzeError> {
    let tokens = texts.iter().map(|text| tokenizer.tokenize(text)).collect::<Result<Vec<_>, _>>()?;
    let count = tokens.iter().map(Vec::len).sum();
    if count > limits.max_tokens {
        return Err(AnalyzeError::TooManyTokens { count, ceiling: limits.max_tokens });
    }
    let special = tokenizer.special();
    Ok(tokens.iter().map(|ids| limits.windows.cut(ids, special)).collect())
}
