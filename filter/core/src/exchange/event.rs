//! What an exchange is told, and what it says is to be done.

use std::borrow::Cow;

use crate::{
    body::Edit,
    classify::Fallback,
    config::{Action, Millis, ResponseAction},
    guard::analyze::GuardFailure,
    headers::Headers,
};

/// Microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Micros(pub u64);

impl Micros {
    /// Whole milliseconds, rounded.
    pub(super) const fn millis(self) -> u64 {
        self.0.saturating_add(500) / 1_000
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The request's headers, pseudo-headers among them, names in lower case.
    RequestHeaders {
        /// All of them.
        headers: Headers,
        /// The owner's claim of the token that Envoy verified, where the configuration names one.
        claim: Option<Vec<u8>>,
        /// Whether no body follows.
        end: bool,
    },
    /// Part of the request's body has arrived, not yet all.
    RequestBodyPart {
        /// Bytes that have arrived so far.
        size: usize,
    },
    /// The request's body is complete.
    RequestBody {
        /// All of it.
        body: Vec<u8>,
        /// Clock and randomness.
        moment: &'a dyn Moment,
    },
    /// The request ends with trailers.
    RequestTrailers,
    /// A callout has ended: the reply's message, or why there is none.
    CalloutResult {
        /// Which one.
        call: Call,
        /// The reply's bytes or the gRPC status.
        outcome: Result<&'a [u8], CalloutError>,
        /// How long it was under way.
        waited: Micros,
    },
    /// The response's headers.
    ResponseHeaders {
        /// What can be asked of it.
        response: &'a dyn ResponseView,
        /// Whether no body follows.
        end: bool,
    },
    /// A chunk of the response's body; only where [`Exchange::wants_response_body`] asks for it.
    ResponseBody {
        /// Its bytes, as many of them as were asked for.
        chunk: &'a [u8],
        /// Whether there is more of this chunk.
        cut: bool,
        /// Whether it is the last.
        end: bool,
        /// Clock and randomness.
        moment: &'a dyn Moment,
    },
}

/// A callout without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalloutError {
    /// It was never sent.
    Dispatch,
    /// It ended with this gRPC status.
    Status(u32),
}

/// Clock and randomness, read only where they are used.
pub trait Moment: std::fmt::Debug {
    /// Seconds since 1970.
    fn unix_seconds(&self) -> u64;
    /// Random bits that nobody can guess; none where the host has none to give.
    fn random(&self) -> Option<u64>;
}

/// What is to be handed in of a response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: it passes untouched and uncopied.
    Nothing,
    /// The first bytes of the next chunk, at most this many.
    Start(usize),
    /// Every chunk, as it comes.
    Chunks,
    /// The whole body at its end; it is held until then.
    Whole,
}

/// A response's headers, fetched only where they are read: the way into the host costs more than what is done with them.
pub trait ResponseView: std::fmt::Debug {
    /// All of them, pseudo-headers among them, names in lower case.
    fn headers(&self) -> Headers;
}

/// What happens to the stream next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// It goes on.
    #[default]
    Continue,
    /// It waits for the next event.
    Pause,
    /// It was waiting and goes on now.
    Resume,
}

/// What the host is to do, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Headers to set, or to remove where there is no value: of the request until it is forwarded, of the response after.
    pub headers: Vec<(&'static str, Option<Vec<u8>>)>,
    /// Further request headers to remove: those that a client may not send.
    pub remove: Vec<String>,
    /// How the body changes, or the chunk.
    pub body: Option<Edit>,
    /// Calls to start, at once.
    pub callouts: Vec<Callout>,
    /// An answer to give instead of the backend's.
    pub reply: Option<Reply>,
    /// Statistics to count.
    pub count: Vec<Counter>,
    /// The stream.
    pub flow: Flow,
    /// What the guards said of the request: the exchange keeps it.
    pub(super) checks: Option<String>,
}

/// The calls that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `Classifier.Analyze`.
    Analyze,
    /// `State.LoadConversation`.
    Load,
    /// `State.SaveResponse`. It holds the response, as does the next one; the others hold the request.
    Save,
    /// `Classifier.Analyze`, of an answer.
    AnalyzeAnswer,
}

impl Call {
    /// Whether it is the response that it holds.
    #[must_use]
    pub const fn holds_response(self) -> bool {
        matches!(self, Self::Save | Self::AnalyzeAnswer)
    }
}

/// A gRPC call.
#[derive(Debug, PartialEq, Eq)]
pub struct Callout {
    /// Which one.
    pub call: Call,
    /// The encoded message.
    pub message: Vec<u8>,
    /// Initial metadata: trace context and request id, since Envoy starts a null span for callouts.
    pub metadata: Vec<(&'static str, Vec<u8>)>,
    /// Longest wait for the reply.
    pub timeout: Millis,
}

/// An answer that the filter gives itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside the content type, which is JSON.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// The default model serves a request that asked to be routed.
    Fallback(Fallback),
    /// A rule failed at run time and so did not match.
    RuleError,
    /// A conversation could not be loaded: the request was refused.
    LoadFailure,
    /// A response could not be stored.
    SaveFailure,
    /// Personal data was found in a request, and this was done.
    PiiDetected(Action),
    /// A jailbreak was found in a request, and this was done.
    JailbreakDetected(Action),
    /// Personal data was found in an answer, and this was done.
    AnswerPiiDetected(ResponseAction),
    /// A guard had no verdict.
    GuardError(GuardFailure),
}

impl Counter {
    /// All of them, for statistics defined at start.
    pub fn all() -> impl Iterator<Item = Self> {
        let fallbacks = Fallback::ALL.into_iter().map(Self::Fallback);
        let jailbreak = Action::ALL.into_iter().filter(|action| *action != Action::Redact);
        fallbacks
            .chain([Self::RuleError, Self::LoadFailure, Self::SaveFailure])
            .chain(Action::ALL.into_iter().map(Self::PiiDetected))
            .chain(jailbreak.map(Self::JailbreakDetected))
            .chain([ResponseAction::Redact, ResponseAction::Block].map(Self::AnswerPiiDetected))
            .chain(GuardFailure::all().map(Self::GuardError))
    }

    /// The statistic's name; Envoy puts `wasmcustom.` in front.
    #[must_use]
    pub fn stat(self) -> String {
        match self {
            Self::Fallback(reason) => format!("semantic_router_fallback_total.{}", reason.name()),
            Self::RuleError => "semantic_router_rule_errors_total".to_owned(),
            Self::LoadFailure => "semantic_router_load_failures_total".to_owned(),
            Self::SaveFailure => "semantic_router_save_failures_total".to_owned(),
            Self::PiiDetected(action) => format!("semantic_router_pii_detections_total.{}", action.name()),
            Self::JailbreakDetected(action) => format!("semantic_router_jailbreak_attempts_total.{}", action.name()),
            Self::AnswerPiiDetected(action) => {
                format!("semantic_router_response_pii_detections_total.{}", action.name())
            }
            Self::GuardError(reason) => format!("semantic_router_guard_errors_total.{}", reason.name()),
        }
    }
}
