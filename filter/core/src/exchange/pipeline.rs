//! What holds a request: the classifier's verdict and the stored conversation, asked for at once; and the decision when both are
//! there.

use std::ops::Range;

use super::{
    Buffering, Call, Callout, CalloutError, Counter, Effects, Flow, Micros, State,
    memory::{self, History},
    native, refuse,
    request::{self, Outgoing},
    turn::Turn,
};
use crate::{
    affinity::Key,
    classify::{self, Fallback},
    config::FailurePolicy,
    error::ApiError,
    headers::Headers,
    plugin::{Choice, Plugin, Scope},
    rules::{RequestSignals, Signals, Verdict},
};

/// Headers handed to the services so that their work shows in the same trace.
const CONTEXT: [&str; 3] = ["x-request-id", "traceparent", "tracestate"];

/// A request that waits, or is about to.
#[derive(Debug)]
pub(super) struct Awaiting {
    pub head: Buffering,
    pub body: Vec<u8>,
    pub parsed: Parsed,
    /// The model that the client named; none where it is to be chosen.
    pub named: Option<usize>,
    pub scope: Scope,
    /// What makes it a turn of the Responses API.
    pub turn: Option<Box<Turn>>,
    pub verdict: Slot<Result<Verdict, Fallback>>,
    pub history: Slot<History>,
    /// The longest wait, and the classifier's.
    pub waited: Option<Micros>,
    pub classified: Option<Micros>,
}

/// What is kept of a request body once it is parsed.
#[derive(Debug)]
pub(super) struct Parsed {
    pub model_span: Range<usize>,
    pub key: Key,
    pub signals: RequestSignals,
}

/// Something that may have to be asked for.
#[derive(Debug)]
pub(super) enum Slot<T> {
    NotAsked,
    Asked,
    Here(T),
}

impl<T> Slot<T> {
    const fn is_asked(&self) -> bool {
        matches!(self, Self::Asked)
    }

    pub(super) fn take(self) -> Option<T> {
        match self {
            Self::Here(value) => Some(value),
            Self::NotAsked | Self::Asked => None,
        }
    }
}

/// How a callout ended.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub call: Call,
    pub outcome: Result<&'a [u8], CalloutError>,
    pub waited: Micros,
}

/// How a request was routed.
#[derive(Debug, Default)]
pub(super) struct Routed {
    pub backend: usize,
    pub decision: Option<String>,
    pub verdict: Option<Verdict>,
    pub fallback: Option<Fallback>,
    pub failed_rules: u64,
    pub processing_ms: u64,
    pub classification_ms: Option<u64>,
}

/// Asks for what is needed, or goes on at once.
pub(super) fn start(plugin: &Plugin, mut awaiting: Box<Awaiting>) -> (State, Effects) {
    let mut callouts = Vec::new();
    if awaiting.named.is_none() && plugin.needs_verdict {
        // The text is needed again only where a rule reads it.
        let signals = &mut awaiting.parsed.signals;
        if signals.text.trim().is_empty() {
            awaiting.verdict = Slot::Here(Err(Fallback::NoText));
        } else {
            let text = if plugin.needs_text { signals.text.clone() } else { std::mem::take(&mut signals.text) };
            awaiting.verdict = Slot::Asked;
            callouts.push(callout(Call::Analyze, classify::request(text), &awaiting.head.headers));
        }
    }
    if let Some(message) = awaiting.turn.as_ref().and_then(|turn| turn.load(awaiting.head.owner())) {
        awaiting.history = Slot::Asked;
        callouts.push(callout(Call::Load, message, &awaiting.head.headers));
    }
    if callouts.is_empty() {
        return settle(plugin, awaiting);
    }
    (State::Awaiting(awaiting), Effects { callouts, flow: Flow::Pause, ..Effects::default() })
}

pub(super) fn callout(call: Call, message: Vec<u8>, headers: &Headers) -> Callout {
    let metadata = CONTEXT.iter().filter_map(|name| headers.find(name).map(|value| (*name, value.to_vec()))).collect();
    Callout { call, message, metadata }
}

/// A callout has ended.
pub(super) fn result(plugin: &Plugin, mut awaiting: Box<Awaiting>, ended: Outcome<'_>) -> (State, Effects) {
    let Outcome { call, outcome, waited } = ended;
    awaiting.waited = awaiting.waited.max(Some(waited));
    match call {
        Call::Analyze => {
            awaiting.classified = Some(waited);
            awaiting.verdict = Slot::Here(verdict(plugin, outcome, waited));
        }
        Call::Load => match memory::loaded(outcome, awaiting.turn.as_deref()) {
            Ok(history) => awaiting.history = Slot::Here(history),
            Err(error) => {
                let (state, mut effects) = refuse(&error);
                effects.count.extend((error.status >= 500).then_some(Counter::LoadFailure));
                return (state, effects);
            }
        },
        // Nothing is saved before there is an answer.
        Call::Save => {}
    }
    if awaiting.verdict.is_asked() || awaiting.history.is_asked() {
        return (State::Awaiting(awaiting), Effects { flow: Flow::Pause, ..Effects::default() });
    }
    let (state, mut effects) = settle(plugin, awaiting);
    if effects.reply.is_none() {
        effects.flow = Flow::Resume;
    }
    (state, effects)
}

fn verdict(plugin: &Plugin, outcome: Result<&[u8], CalloutError>, waited: Micros) -> Result<Verdict, Fallback> {
    // Envoy's timer starts from its loop's cached time and may fire a little early by this clock.
    let timed_out = waited.0 / 100 >= plugin.config.callouts.classifier.timeout.0 * 9;
    match outcome {
        Ok(reply) => classify::reply(reply),
        Err(CalloutError::Dispatch) => Err(Fallback::Unavailable),
        Err(CalloutError::Status(status)) => Err(Fallback::from_status(status, timed_out)),
    }
}

/// Everything is there: the model is chosen, and the request goes on.
fn settle(plugin: &Plugin, mut awaiting: Box<Awaiting>) -> (State, Effects) {
    let verdict = std::mem::replace(&mut awaiting.verdict, Slot::NotAsked);
    let mut routed = match awaiting.named {
        Some(backend) => Routed { backend, ..Routed::default() },
        None => match choose(plugin, &awaiting, verdict) {
            Ok(routed) => routed,
            Err((error, fallback)) => {
                let (state, mut effects) = refuse(&error);
                effects.count.extend(fallback.map(Counter::Fallback));
                return (state, effects);
            }
        },
    };
    routed.processing_ms = awaiting.waited.unwrap_or_default().millis();
    routed.classification_ms = awaiting.classified.map(Micros::millis);
    match awaiting.turn.take() {
        None => {
            let Awaiting { head, body, parsed, .. } = *awaiting;
            let Parsed { model_span, key, signals } = parsed;
            request::forward(plugin, Outgoing { head, body, key, model_span, stream: signals.stream }, routed)
        }
        Some(turn) if plugin.backend(routed.backend).is_some_and(|backend| backend.keeps_responses) => {
            native::forward(plugin, *awaiting, *turn, routed)
        }
        Some(turn) => memory::forward(plugin, *awaiting, *turn, routed),
    }
}

type Unchosen = (ApiError, Option<Fallback>);

fn choose(plugin: &Plugin, awaiting: &Awaiting, verdict: Slot<Result<Verdict, Fallback>>) -> Result<Routed, Unchosen> {
    let scope = awaiting.scope;
    let (verdict, missed) = match verdict.take() {
        None => (None, None),
        Some(Ok(verdict)) => (Some(verdict), None),
        Some(Err(Fallback::NoText)) => (None, Some(Fallback::NoText)),
        Some(Err(reason)) if plugin.config.callouts.classifier.on_failure == FailurePolicy::Closed => {
            return Err((unclassified(reason), Some(reason)));
        }
        Some(Err(reason)) => {
            let backend = plugin.within(scope).next().ok_or_else(|| (no_model(), None))?;
            return Ok(Routed { backend, fallback: Some(reason), ..Routed::default() });
        }
    };
    let signals = Signals {
        verdict: verdict.as_ref(),
        request: &awaiting.parsed.signals,
        headers: &awaiting.head.headers,
        guards: None,
    };
    let choice = plugin.decide(signals, scope).ok_or_else(|| (no_model(), None))?;
    let Choice { backend, decision, failed_rules } = choice;
    let decision = decision.map(|decision| decision.name.clone());
    // A rule that needs no verdict may have spoken: then nothing was missed.
    let fallback = missed.filter(|_| decision.is_none());
    Ok(Routed { backend, decision, failed_rules, verdict, fallback, ..Routed::default() })
}

fn no_model() -> ApiError {
    ApiError::invalid("No configured model can go on with this conversation: see `state_pool` and `memory`.")
        .param("model")
        .code("no_model_for_conversation")
}

fn unclassified(reason: Fallback) -> ApiError {
    let message = format!(
        "The request could not be classified ({}), and the configuration says not to go on without; try again later, or name a model.",
        reason.name()
    );
    ApiError::new(503, "server_error", message).code("classifier_unavailable")
}
