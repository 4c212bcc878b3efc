//! One request from text to verdict: admission, the verdict cache, tokenisation, windows, the queue, the answer.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Analysis, AnalyzeError, Model, ModelError, ModelInfo, SegmentAnalysis, Task, Tokenize, Wanted,
    engine::{self, Computed, Job},
    merge,
    prepare::{Asked, Prepared, Text, prepare},
    verdicts::{Key, Verdicts},
    window::WindowShape,
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
    /// Bytes of the verdicts that are kept; 0 for none.
    pub verdict_cache_bytes: usize,
}

/// One request.
#[derive(Debug, Clone)]
pub struct AnalyzeRequest {
    /// The texts, one a message.
    pub segments: Vec<Segment>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// One text of a request.
#[derive(Debug, Clone)]
pub struct Segment {
    /// What is said.
    pub text: String,
    /// What is asked of it.
    pub tasks: Vec<Task>,
}

/// The service: a tokeniser and the queue to the model's thread.
pub struct Analyzer {
    tokenizer: Arc<dyn Tokenize>,
    info: ModelInfo,
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
    limits: AnalyzerLimits,
    metrics: Arc<Metrics>,
    verdicts: Verdicts,
}

/// A text that has to be computed, and the segments that it stands for.
struct Pending {
    text: Text,
    key: Option<Key>,
    segments: Vec<usize>,
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
        let verdicts = Verdicts::new(limits.verdict_cache_bytes, info.version.clone());
        let analyzer = Self { tokenizer, info, jobs, places, limits, metrics, verdicts };
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
        let asked = self.asked(&request)?;
        let count = request.segments.len();
        let texts = request.segments.into_iter().zip(asked).map(|(segment, asked)| Text { text: segment.text, asked });
        let (mut answers, pending) = self.look_up(texts.collect());
        let known = answers.iter().flatten().map(|answer| answer.tokens).sum();
        self.metrics.verdicts(count - pending.len(), pending.len());
        let mut inference = Duration::ZERO;
        if !pending.is_empty() {
            let (texts, places): (Vec<Text>, Vec<_>) =
                pending.into_iter().map(|p| (p.text, (p.key, p.segments))).unzip();
            let (computed, took) = self.compute(texts, known, request.deadline).await?;
            inference = took;
            for (analysis, (key, segments)) in computed.into_iter().zip(places) {
                if let Some(key) = key {
                    self.verdicts.keep(key, analysis.clone());
                }
                for segment in segments {
                    if let Some(slot) = answers.get_mut(segment) {
                        *slot = Some(analysis.clone());
                    }
                }
            }
        }
        let segments = answers.into_iter().collect::<Option<Vec<_>>>();
        let lost = || ModelError("a segment was left without an answer".to_owned());
        Ok(Analysis { segments: segments.ok_or_else(lost)?, inference })
    }

    /// What is known of texts, and those that have to be computed: equal ones once.
    fn look_up(&self, texts: Vec<Text>) -> (Vec<Option<SegmentAnalysis>>, Vec<Pending>) {
        let mut answers = Vec::with_capacity(texts.len());
        let mut pending: Vec<Pending> = Vec::new();
        let mut places: HashMap<Key, usize> = HashMap::new();
        for (index, text) in texts.into_iter().enumerate() {
            let key = self.verdicts.key(&text.text, text.asked);
            let found = key.as_ref().and_then(|key| self.verdicts.get(key));
            let is_known = found.is_some();
            answers.push(found);
            if is_known {
                continue;
            }
            match key.map(|key| places.entry(key)) {
                Some(Entry::Occupied(place)) => {
                    if let Some(earlier) = pending.get_mut(*place.get()) {
                        earlier.segments.push(index);
                    }
                    continue;
                }
                Some(Entry::Vacant(place)) => {
                    place.insert(pending.len());
                }
                None => {}
            }
            pending.push(Pending { text, key, segments: vec![index] });
        }
        (answers, pending)
    }

    /// Computes texts; `known` tokens of the request need no computing, but count for its ceiling.
    async fn compute(
        &self,
        texts: Vec<Text>,
        known: usize,
        deadline: Option<Instant>,
    ) -> Result<(Vec<SegmentAnalysis>, Duration), AnalyzeError> {
        let place =
            Arc::clone(&self.places).try_acquire_owned().map_err(|_| AnalyzeError::QueueFull(self.limits.queue))?;
        let tokenizer = Arc::clone(&self.tokenizer);
        let limits = self.limits;
        // The place goes with the work: a caller that leaves does not free it before the work stops.
        let reading = tokio::task::spawn_blocking(move || {
            let mut ready = Vec::with_capacity(texts.len());
            let mut count = known;
            for text in texts {
                let prepared = prepare(&*tokenizer, limits.windows, text)?;
                count += prepared.0.tokens;
                if count > limits.max_tokens {
                    return Err(AnalyzeError::TooManyTokens { count, ceiling: limits.max_tokens });
                }
                ready.push(prepared);
            }
            Ok((ready, place))
        });
        let (ready, place) = reading.await.map_err(|e| ModelError(format!("tokenisation ended early: {e}")))??;
        let (prepared, parts): (Vec<Prepared>, Vec<Vec<_>>) = ready.into_iter().unzip();
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let windows = parts.iter().map(|part| part.windows.len()).sum();
        self.metrics.admitted(prepared.iter().map(|p| p.tokens).sum(), windows);
        let (reply, answer) = oneshot::channel();
        let job = Job { parts, deadline, reply, place: Some(place) };
        self.jobs.try_send(job).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => AnalyzeError::QueueFull(self.limits.queue),
            mpsc::error::TrySendError::Closed(_) => AnalyzeError::Gone,
        })?;
        let computed = answer.await.map_err(|_| AnalyzeError::Gone)??;
        let inference = computed.inference;
        Ok((merged(&self.info, prepared, &computed), inference))
    }

    fn asked(&self, request: &AnalyzeRequest) -> Result<Vec<Asked>, AnalyzeError> {
        match request.segments.len() {
            0 => return Err(AnalyzeError::NoSegment),
            count if count > self.limits.max_segments => {
                return Err(AnalyzeError::TooManySegments { count, ceiling: self.limits.max_segments });
            }
            _ => {}
        }
        request.segments.iter().map(|segment| self.asked_of(&segment.tasks)).collect()
    }

    fn asked_of(&self, tasks: &[Task]) -> Result<Asked, AnalyzeError> {
        if tasks.is_empty() {
            return Err(AnalyzeError::NoTask);
        }
        let mut asked = Asked::default();
        for task in tasks {
            match task {
                Task::Category if self.info.labels.is_some() => asked.wanted.category = true,
                Task::Embedding => asked.wanted.embedding = true,
                Task::Jailbreak if self.info.jailbreak => asked.wanted.jailbreak = true,
                Task::Pii => {
                    asked.pii = true;
                    asked.wanted.names = self.info.names;
                }
                other => return Err(AnalyzeError::UnservedTask(other.name())),
            }
        }
        Ok(asked)
    }
}

/// One verdict a text: its parts follow one another in what was computed.
fn merged(info: &ModelInfo, prepared: Vec<Prepared>, computed: &Computed) -> Vec<SegmentAnalysis> {
    let mut parts = computed.parts.iter().zip(&computed.outputs);
    prepared
        .into_iter()
        .map(|prepared| {
            let own: Vec<_> = parts.by_ref().take(prepared.forms.len()).collect();
            let Asked { wanted, pii } = prepared.asked;
            let Wanted { category, embedding, jailbreak, .. } = wanted;
            let (windows, outputs) =
                own.first().map(|(part, outputs)| (part.windows.as_slice(), outputs.as_slice())).unwrap_or_default();
            SegmentAnalysis {
                category: category.then(|| merge::category(info, windows, outputs)).flatten(),
                embedding: embedding.then(|| merge::embedding(windows, outputs)).flatten(),
                jailbreak: jailbreak.then(|| merge::jailbreak(&prepared.forms, &own)).flatten(),
                tokens: prepared.tokens,
                windows: windows.len(),
                pii: pii.then(|| merge::pii(prepared, own.first().copied())),
            }
        })
        .collect()
}
