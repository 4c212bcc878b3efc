//! One HTTP exchange as a state machine: [`Exchange::on`] takes what happened and says what to do. It holds no clock, no
//! randomness and no I/O; the host brings those in with the events and carries the effects out.
//!
//! ```text
//! Start --headers--> Buffering --body--> AwaitingSignals --verdict--> Forwarded --response--> Streaming
//!   |                    |                                                ^                   or Done
//!   +--> Replied         +------------- named model ----------------------+
//! ```
//!
//! In `Replied` nothing more is done: a local reply runs through the filter's own response callbacks.

mod request;
mod response;

use crate::{
    body::Edit,
    classify::Fallback,
    error::ApiError,
    headers::Headers,
    metadata::Member,
    plugin::Plugin,
    route::Create,
    rules::{RequestSignals, Verdict},
};

/// Microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Micros(pub u64);

impl Micros {
    /// Whole milliseconds, rounded.
    const fn millis(self) -> u64 {
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
    },
    /// The request ends with trailers.
    RequestTrailers,
    /// The callout has ended: the reply's message, or why there is none.
    CalloutResult {
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
        /// Its first bytes, as many as were asked for.
        chunk: &'a [u8],
        /// Whether there is more of this chunk.
        cut: bool,
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
    /// A call to start.
    pub callout: Option<Callout>,
    /// An answer to give instead of the backend's.
    pub reply: Option<Reply>,
    /// Statistics to count.
    pub count: Vec<Counter>,
    /// The stream.
    pub flow: Flow,
}

/// A gRPC call to the classifier.
#[derive(Debug, PartialEq, Eq)]
pub struct Callout {
    /// The encoded message.
    pub message: Vec<u8>,
    /// Initial metadata: trace context and request id, since Envoy starts a null span for callouts.
    pub metadata: Vec<(&'static str, Vec<u8>)>,
}

/// An answer that the filter gives itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside the content type, which is JSON.
    pub headers: Vec<(&'static str, &'static str)>,
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
}

impl Counter {
    /// All of them, for statistics defined at start.
    pub fn all() -> impl Iterator<Item = Self> {
        Fallback::ALL.into_iter().map(Self::Fallback).chain([Self::RuleError])
    }

    /// The statistic's name; Envoy puts `wasmcustom.` in front.
    #[must_use]
    pub fn stat(self) -> String {
        match self {
            Self::Fallback(reason) => format!("semantic_router_fallback_total.{}", reason.name()),
            Self::RuleError => "semantic_router_rule_errors_total".to_owned(),
        }
    }
}

/// One exchange. See the module.
#[derive(Debug, Default)]
pub struct Exchange {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Start,
    Buffering(Buffering),
    AwaitingSignals(Box<Awaiting>),
    Forwarded(Box<Forwarded>),
    Streaming(Box<Member>),
    Replied,
    Done,
}

/// The head of a request whose body is awaited.
#[derive(Debug)]
struct Buffering {
    create: Create,
    headers: Headers,
}

/// A request whose verdict is awaited.
#[derive(Debug)]
struct Awaiting {
    head: Buffering,
    body: Vec<u8>,
    parsed: Parsed,
}

/// What is kept of a request body once it is parsed.
#[derive(Debug)]
struct Parsed {
    model_span: std::ops::Range<usize>,
    key: crate::affinity::Key,
    signals: RequestSignals,
}

/// What is remembered of a request that went on.
#[derive(Debug)]
struct Forwarded {
    backend: usize,
    endpoint: Option<String>,
    decision: Option<String>,
    verdict: Option<Verdict>,
    fallback: Option<Fallback>,
    processing_ms: u64,
    classification_ms: Option<u64>,
    /// Whether a completion is expected that gets `routing_metadata`.
    annotate: bool,
}

impl Exchange {
    /// Takes an event. An event that cannot be in this state changes nothing and lets the stream go on.
    pub fn on(&mut self, plugin: &Plugin, event: Event<'_>) -> Effects {
        let state = std::mem::replace(&mut self.state, State::Done);
        let (state, effects) = match (state, event) {
            (State::Start, Event::RequestHeaders { headers, end }) => request::headers(plugin, headers, end),
            (State::Buffering(head), Event::RequestBodyPart { size }) => request::part(plugin, head, size),
            (State::Buffering(head), Event::RequestBody { body }) => request::body(plugin, head, body),
            (State::Buffering(_), Event::RequestTrailers) => refuse(&trailers()),
            (State::AwaitingSignals(awaiting), Event::CalloutResult { outcome, waited }) => {
                request::verdict(plugin, *awaiting, outcome, waited)
            }
            (State::Forwarded(request), Event::ResponseHeaders { response, end }) => {
                response::headers(plugin, &request, response, end)
            }
            (State::Streaming(mut member), Event::ResponseBody { chunk, cut }) => {
                let body = member.push(chunk, cut);
                let state = if member.is_open() { State::Streaming(member) } else { State::Done };
                (state, Effects { body, ..Effects::default() })
            }
            // The stream is still held: nothing may pass before the verdict.
            (state @ State::AwaitingSignals(_), Event::RequestBodyPart { .. } | Event::RequestTrailers) => {
                (state, Effects { flow: Flow::Pause, ..Effects::default() })
            }
            // Envoy answers by itself (a timeout, an overflow): its reply passes.
            (State::Buffering(_) | State::AwaitingSignals(_), Event::ResponseHeaders { .. }) => {
                (State::Done, Effects::default())
            }
            (state, _) => (state, Effects::default()),
        };
        self.state = state;
        effects
    }

    /// How many bytes of the next response chunk are to be handed in: where none, it passes untouched and uncopied.
    #[must_use]
    pub const fn wants_response_body(&self) -> usize {
        match self.state {
            State::Streaming(_) => Member::PEEK,
            _ => 0,
        }
    }

    /// Whether the request's body is awaited.
    #[must_use]
    pub const fn wants_request_body(&self) -> bool {
        matches!(self.state, State::Buffering(_))
    }

    /// Whether the request is held for a callout.
    #[must_use]
    pub const fn is_awaiting(&self) -> bool {
        matches!(self.state, State::AwaitingSignals(_))
    }
}

fn refuse(error: &ApiError) -> (State, Effects) {
    let reply = Reply { status: error.status, headers: Vec::new(), body: error.body() };
    answer(reply)
}

fn answer(reply: Reply) -> (State, Effects) {
    (State::Replied, Effects { reply: Some(reply), flow: Flow::Pause, ..Effects::default() })
}

fn trailers() -> ApiError {
    ApiError::invalid("Request trailers are not supported; send the request without them.").code("unsupported_trailers")
}

#[cfg(test)]
mod tests;
