//! The classifier's wire: what is asked, and what its answer means.

use fingerpost_proto::classifier::{AnalyzeRequest, AnalyzeResponse, CategoryVerdict, Segment, Task};
use prost::Message as _;

use crate::rules::Verdict;

/// Why there is no verdict. The name goes into `x-routing-fallback` and the statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// It could not be reached.
    Unavailable,
    /// It did not answer in time.
    Timeout,
    /// Its queue is full, or the text is beyond its ceiling.
    Overloaded,
    /// It answered with an error.
    Error,
    /// Its answer makes no sense.
    BadReply,
    /// The last user message has no text. Not a failure: rules that need no verdict still count.
    NoText,
}

impl Fallback {
    /// All of them, for statistics defined at start.
    pub const ALL: [Self; 6] =
        [Self::Unavailable, Self::Timeout, Self::Overloaded, Self::Error, Self::BadReply, Self::NoText];

    /// As headers and statistics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "classifier_unavailable",
            Self::Timeout => "classifier_timeout",
            Self::Overloaded => "classifier_overloaded",
            Self::Error => "classifier_error",
            Self::BadReply => "classifier_bad_reply",
            Self::NoText => "no_text",
        }
    }

    /// What a gRPC status says (grpc.io, "Status codes"). Envoy reports a callout's timeout as `UNAVAILABLE`, so the clock decides.
    #[must_use]
    pub const fn from_status(status: u32, timed_out: bool) -> Self {
        match status {
            4 => Self::Timeout,
            14 if timed_out => Self::Timeout,
            14 => Self::Unavailable,
            8 => Self::Overloaded,
            _ => Self::Error,
        }
    }
}

/// The encoded request for one text's category.
#[must_use]
pub fn request(text: String) -> Vec<u8> {
    AnalyzeRequest { segments: vec![Segment { text, tasks: Vec::new() }], tasks: vec![Task::Category.into()] }
        .encode_to_vec()
}

/// Reads a reply. A reply of no bytes is a valid message that says nothing.
///
/// # Errors
/// [`Fallback::BadReply`] for anything but one category with finite probabilities.
pub fn reply(bytes: &[u8]) -> Result<Verdict, Fallback> {
    let reply = AnalyzeResponse::decode(bytes).map_err(|_| Fallback::BadReply)?;
    let [segment] = <[_; 1]>::try_from(reply.segments).map_err(|_| Fallback::BadReply)?;
    verdict(segment.category.ok_or(Fallback::BadReply)?)
}

/// Reads one text's category.
///
/// # Errors
/// [`Fallback::BadReply`] without a label, or where the confidence is no probability.
pub(crate) fn verdict(category: CategoryVerdict) -> Result<Verdict, Fallback> {
    let scores = category.scores.into_iter().map(|s| (s.label, s.score)).collect();
    if category.label.is_empty() || !(0.0..=1.0).contains(&category.confidence) {
        return Err(Fallback::BadReply);
    }
    Ok(Verdict { category: category.label, confidence: category.confidence, scores })
}
