//! What the service computes, without a word of candle, tonic or files: texts become windows of
//! tokens, windows become rows of batches, and the rows' outputs become one verdict a segment.
//! The ports ([`Model`], [`Tokenize`]) are what the outside plugs in.

pub mod analyzer;
pub mod disguise;
pub mod engine;
pub mod merge;
pub mod names;
pub mod plan;
mod prepare;
pub mod shape;
pub mod verdicts;
pub mod window;

#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc, time::Duration};

use thiserror::Error;

use crate::pii::Entity;
use disguise::Disguise;
use shape::Shape;

/// What can be asked of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The subject area.
    Category,
    /// The sentence embedding.
    Embedding,
    /// Jailbreaks and prompt injections.
    Jailbreak,
    /// Personal data and secrets: by pattern, and names where a head is loaded.
    Pii,
}

impl Task {
    /// The task's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Category => "TASK_CATEGORY",
            Self::Embedding => "TASK_EMBEDDING",
            Self::Jailbreak => "TASK_JAILBREAK",
            Self::Pii => "TASK_PII",
        }
    }
}

/// The outputs that a row has to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Log-probabilities of the category head.
    pub category: bool,
    /// The mean-pooled last layer.
    pub embedding: bool,
    /// Log-odds of the jailbreak head.
    pub jailbreak: bool,
    /// Log-probabilities of the names head, a row a token.
    pub names: bool,
}

impl Wanted {
    /// Everything that either wants.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            category: self.category || other.category,
            embedding: self.embedding || other.embedding,
            jailbreak: self.jailbreak || other.jailbreak,
            names: self.names || other.names,
        }
    }
}

/// One row for the model.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Token ids with the special ones at both ends.
    pub ids: &'a [u32],
    /// How the tokens look in the text, the special ones left out.
    pub shapes: &'a [Shape],
}

/// What a model says of one window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowOutput {
    /// Calibrated natural log-probabilities, one a label, in the order of [`ModelInfo::labels`].
    pub log_probs: Option<Vec<f32>>,
    /// The mean of the last layer over all the window's tokens, not normalised.
    pub pooled: Option<Vec<f32>>,
    /// Calibrated natural log-odds of an attack.
    pub attack: Option<f32>,
    /// Calibrated natural log-probabilities of the names head's tags, a row a token, the special ones left out.
    pub tags: Option<Vec<Vec<f32>>>,
}

/// What a loaded model is.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// Names encoder and heads; changes whenever a verdict may change.
    pub version: String,
    /// The category head's labels; none without that head.
    pub labels: Option<Arc<[String]>>,
    /// The index in `labels` of the one that means "none of the others", where the head has one.
    pub background: Option<usize>,
    /// Whether there is a jailbreak head.
    pub jailbreak: bool,
    /// Whether there is a names head.
    pub names: bool,
    /// The most tokens that one row may have.
    pub max_row_tokens: usize,
}

/// The port of whatever computes: an encoder with its heads. One thread owns it.
pub trait Model: Send {
    /// What is loaded.
    fn info(&self) -> &ModelInfo;

    /// Runs one batch. Answers in the rows' order.
    ///
    /// # Errors
    /// [`ModelError`] when the computation itself fails.
    fn run(&self, rows: &[Row<'_>], wanted: Wanted) -> Result<Vec<RowOutput>, ModelError>;
}

/// A token, and where it stands in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its UTF-8 bytes of the text.
    pub range: Range<usize>,
}

/// The port of the tokeniser.
pub trait Tokenize: Send + Sync {
    /// All tokens of a text, without special ones and without truncation.
    ///
    /// # Errors
    /// [`ModelError`] when the tokeniser refuses the text.
    fn tokenize(&self, text: &str) -> Result<Vec<Token>, ModelError>;

    /// The ids that open and close every row.
    fn special(&self) -> Special;
}

/// The special tokens at a row's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// `[CLS]`.
    pub open: u32,
    /// `[SEP]`.
    pub close: u32,
}

/// A computation failed; the text says where and how, and holds nothing of a prompt.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub struct ModelError(pub String);

/// The category of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct CategoryVerdict {
    /// Every label with its calibrated probability, highest first; never empty.
    pub scores: Vec<(String, f32)>,
}

/// How much a segment looks like an attack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JailbreakVerdict {
    /// Calibrated probability of the worst window, 0 to 1, corrected for the number of windows.
    pub score: f32,
    /// The window, 0-based, of the form that it came from.
    pub window: usize,
    /// What was undone to get that form; none for the text as written.
    pub disguise: Option<Disguise>,
}

/// Everything that was asked of one segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SegmentAnalysis {
    /// The category, where asked for.
    pub category: Option<CategoryVerdict>,
    /// The unit-length embedding, where asked for.
    pub embedding: Option<Vec<f32>>,
    /// The verdict on attacks, where asked for.
    pub jailbreak: Option<JailbreakVerdict>,
    /// Personal data, where asked for: sorted by place, not overlapping.
    pub pii: Option<Vec<Entity>>,
    /// Tokens of the text, special ones not counted.
    pub tokens: usize,
    /// Windows that they were cut into; at least 1.
    pub windows: usize,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// One a segment, in the request's order.
    pub segments: Vec<SegmentAnalysis>,
    /// Time inside the model, shared with whatever else was in the same batches.
    pub inference: Duration,
}

/// Why a request got no answer.
#[derive(Debug, Clone, Error)]
pub enum AnalyzeError {
    /// Nothing to analyse.
    #[error("the request has no segment")]
    NoSegment,
    /// Nothing asked.
    #[error("the request has no task")]
    NoTask,
    /// A task number that this version does not know.
    #[error("task {0} is not known to this server")]
    UnknownTask(i32),
    /// A task without a head.
    #[error("{0} is not served: this server has no head for it")]
    UnservedTask(&'static str),
    /// More segments than the ceiling.
    #[error("the request has {count} segments; limits.max_segments is {ceiling}")]
    TooManySegments {
        /// Segments of the request.
        count: usize,
        /// The configured ceiling.
        ceiling: usize,
    },
    /// More tokens than the ceiling.
    #[error("the request has {count} tokens; limits.max_tokens is {ceiling}")]
    TooManyTokens {
        /// Tokens of the request, special ones not counted.
        count: usize,
        /// The configured ceiling.
        ceiling: usize,
    },
    /// The queue is full.
    #[error("the queue is full: {0} requests wait (limits.queue)")]
    QueueFull(usize),
    /// The caller's deadline passed before the work was done.
    #[error("the deadline passed before the request was computed")]
    DeadlinePassed,
    /// Not loaded yet.
    #[error("the model is still loading")]
    Loading,
    /// The model's thread has ended.
    #[error("the model is no longer running")]
    Gone,
    /// The computation failed.
    #[error("inference failed: {0}")]
    Model(#[from] ModelError),
}
