//! What holds a request: the classifier's verdict and the stored conversation, asked for at once; and the decision when both are
//! there.

use std::ops::Range;

use super::{
    Buffering, Call, Callout, CalloutError, Counter, Effects, Flow, Micros, State,
    guarded::{self, Guarded, Guarding},
    memory::{self, History},
    native, refuse,
    request::{self, Outgoing},
    turn::Turn,
};
use crate::{
    affinity::Key,
    classify::{self, Fallback},
    config::{FailurePolicy, Millis},
    error::ApiError,
    guard::analyze::GuardFailure,
    headers::Headers,
    plugin::{Choice, Plugin, Scope},
    rules::{GuardSignals, RequestSignals, Signals, Verdict},
};

/// Headers handed to the services so that their work shows in the same trace.
const CONTEXT: [&str; 3] = ["x-request-id", "traceparent", "tracestate"];

/// gRPC's status for what is beyond a limit.
const OUT_OF_RANGE: u32 = 11;

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
    /// What the guards look into, where there are any.
    pub guarding: Option<Box<Guarding>>,
    /// Whether the body is not the one that came any more.
    pub rewritten: bool,
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
    /// What the guards say, and what is counted of it.
    pub guarded: Option<Box<Guarded>>,
    pub guard_count: Vec<Counter>,
}

impl Awaiting {
    /// A request about which nothing has been asked.
    pub(super) const fn new(head: Buffering, body: Vec<u8>, parsed: Parsed) -> Self {
        Self {
            head,
            body,
            parsed,
            named: None,
            scope: Scope::Any,
            turn: None,
            verdict: Slot::NotAsked,
            history: Slot::NotAsked,
            guarding: None,
            rewritten: false,
            waited: None,
            classified: None,
        }
    }

    /// The text whose category the rules need; it is asked for.
    pub(super) fn category(&mut self, plugin: &Plugin) -> Option<String> {
        if self.named.is_some() || !plugin.needs_verdict {
            return None;
        }
        let signals = &mut self.parsed.signals;
        if signals.text.trim().is_empty() {
            self.verdict = Slot::Here(Err(Fallback::NoText));
            return None;
        }
        self.verdict = Slot::Asked;
        // The text is needed again only where a rule reads it.
        Some(if plugin.needs_text { signals.text.clone() } else { std::mem::take(&mut signals.text) })
    }

    /// The call for what lies in the state service, where something does.
    pub(super) fn load(&mut self, plugin: &Plugin) -> Option<Callout> {
        let message = self.turn.as_ref().and_then(|turn| turn.load(&self.head.owners))?;
        self.history = Slot::Asked;
        Some(callout(plugin, Call::Load, message, &self.head.headers))
    }

    fn is_open(&self) -> bool {
        self.verdict.is_asked()
            || self.history.is_asked()
            || self.guarding.as_ref().is_some_and(|guarding| guarding.is_open())
    }
}

/// Asks for what is needed, or goes on at once.
pub(super) fn start(plugin: &Plugin, mut awaiting: Box<Awaiting>) -> (State, Effects) {
    if let Some(plan) = &plugin.guards {
        return guarded::start(plugin, plan, awaiting);
    }
    let mut callouts = Vec::new();
    if let Some(text) = awaiting.category(plugin) {
        callouts.push(callout(plugin, Call::Analyze, classify::request(text), &awaiting.head.headers));
    }
    callouts.extend(awaiting.load(plugin));
    wait(plugin, awaiting, callouts)
}

/// Waits for the calls, or goes on where there are none.
pub(super) fn wait(plugin: &Plugin, awaiting: Box<Awaiting>, callouts: Vec<Callout>) -> (State, Effects) {
    if callouts.is_empty() {
        return settle(plugin, awaiting);
    }
    (State::Awaiting(awaiting), Effects { callouts, flow: Flow::Pause, ..Effects::default() })
}

pub(super) fn callout(plugin: &Plugin, call: Call, message: Vec<u8>, headers: &Headers) -> Callout {
    let metadata = context(headers);
    let timeout = match call {
        Call::Analyze => analyze_timeout(plugin),
        Call::AnalyzeAnswer => plugin.config.guards.timeout,
        Call::Load | Call::Save => plugin.config.callouts.state.timeout,
    };
    Callout { call, message, metadata, timeout }
}

/// What hands a call its trace.
pub(super) fn context(headers: &Headers) -> Vec<(&'static str, Vec<u8>)> {
    CONTEXT.iter().filter_map(|name| headers.find(name).map(|value| (*name, value.to_vec()))).collect()
}

/// A guard reads more than one message, and gets the time for it.
fn analyze_timeout(plugin: &Plugin) -> Millis {
    plugin.guards.as_ref().map_or(plugin.config.callouts.classifier.timeout, |plan| plan.timeout)
}

/// A callout has ended.
pub(super) fn result(plugin: &Plugin, mut awaiting: Box<Awaiting>, ended: Outcome<'_>) -> (State, Effects) {
    let Outcome { call, outcome, waited } = ended;
    let whole = awaiting.guarding.as_ref().filter(|_| call == Call::Analyze).map(|guarding| guarding.waited(waited));
    awaiting.waited = awaiting.waited.max(Some(whole.unwrap_or(waited)));
    match call {
        Call::Analyze => {
            awaiting.classified = Some(waited);
            let outcome = outcome.map_err(|error| failure(analyze_timeout(plugin), error, waited));
            if let Some(guarding) = &mut awaiting.guarding {
                if let Some(verdict) = guarding.answered(outcome) {
                    awaiting.verdict = Slot::Here(verdict);
                }
            } else {
                let verdict = outcome.map_err(GuardFailure::fallback).and_then(classify::reply);
                awaiting.verdict = Slot::Here(verdict);
            }
        }
        Call::Load => match memory::loaded(outcome, awaiting.turn.as_deref()) {
            Ok(history) => {
                awaiting.history = Slot::Here(history);
                if let Some(callout) = guarded::loaded(plugin, &mut awaiting, waited) {
                    return wait(plugin, awaiting, vec![callout]);
                }
            }
            Err(error) => {
                let (state, mut effects) = refuse(&error);
                effects.count.extend((error.status >= 500).then_some(Counter::LoadFailure));
                return (state, effects);
            }
        },
        // Nothing of these before there is an answer.
        Call::Save | Call::AnalyzeAnswer => {}
    }
    if awaiting.is_open() {
        return (State::Awaiting(awaiting), Effects { flow: Flow::Pause, ..Effects::default() });
    }
    let (state, mut effects) = settle(plugin, awaiting);
    if effects.reply.is_none() {
        effects.flow = Flow::Resume;
    }
    (state, effects)
}

/// Why the classifier gave no answer.
pub(super) fn failure(timeout: Millis, error: CalloutError, waited: Micros) -> GuardFailure {
    // Envoy's timer starts from its loop's cached time and may fire a little early by this clock.
    let timed_out = waited.0 / 100 >= timeout.0 * 9;
    match error {
        CalloutError::Dispatch => GuardFailure::Classifier(Fallback::Unavailable),
        CalloutError::Status(OUT_OF_RANGE) => GuardFailure::Limit,
        CalloutError::Status(status) => GuardFailure::Classifier(Fallback::from_status(status, timed_out)),
    }
}

/// Everything is there: the model is chosen, and the request goes on.
fn settle(plugin: &Plugin, mut awaiting: Box<Awaiting>) -> (State, Effects) {
    let verdict = std::mem::replace(&mut awaiting.verdict, Slot::NotAsked);
    let findings = awaiting.guarding.take().map(|guarding| guarding.findings());
    let mut routed = match awaiting.named {
        Some(backend) => Routed { backend, ..Routed::default() },
        None => match choose(plugin, &awaiting, verdict, guarded::signals(plugin, findings.as_ref())) {
            Ok(routed) => routed,
            Err((error, fallback)) => {
                let (state, mut effects) = refuse(&error);
                effects.count.extend(fallback.map(Counter::Fallback));
                effects.checks = guarded::header(plugin, findings.as_ref());
                return (state, effects);
            }
        },
    };
    if let Some(findings) = findings
        && let Err(refused) = guarded::act(plugin, &mut awaiting, &findings, &mut routed)
    {
        return *refused;
    }
    routed.processing_ms = awaiting.waited.unwrap_or_default().millis();
    routed.classification_ms = awaiting.classified.map(Micros::millis);
    let checks = routed.guarded.as_ref().map(|guarded| guarded.checks.header());
    let count = std::mem::take(&mut routed.guard_count);
    let (state, mut effects) = forward(plugin, awaiting, routed);
    // Whatever becomes of it now: the guards have spoken.
    effects.checks = checks;
    effects.count.extend(count);
    (state, effects)
}

/// Writes what the backend gets.
fn forward(plugin: &Plugin, mut awaiting: Box<Awaiting>, routed: Routed) -> (State, Effects) {
    match awaiting.turn.take() {
        None => {
            let Awaiting { head, body, parsed, rewritten, .. } = *awaiting;
            let Parsed { model_span, key, signals } = parsed;
            let outgoing = Outgoing { head, body, rewritten, key, model_span, stream: signals.stream };
            request::forward(plugin, outgoing, routed)
        }
        Some(turn) if plugin.backend(routed.backend).is_some_and(|backend| backend.keeps_responses) => {
            native::forward(plugin, *awaiting, *turn, routed)
        }
        Some(turn) => memory::forward(plugin, *awaiting, *turn, routed),
    }
}

type Unchosen = (ApiError, Option<Fallback>);

fn choose(
    plugin: &Plugin,
    awaiting: &Awaiting,
    verdict: Slot<Result<Verdict, Fallback>>,
    guards: Option<GuardSignals>,
) -> Result<Routed, Unchosen> {
    let scope = awaiting.scope;
    // A guard that the rules listen to has spoken: they count, whatever became of the category.
    let heard = guards.as_ref().is_some_and(|guards| guards.pii.is_some() || guards.jailbreak.is_some());
    let (verdict, missed) = match verdict.take() {
        None => (None, None),
        Some(Ok(verdict)) => (Some(verdict), None),
        Some(Err(Fallback::NoText)) => (None, Some(Fallback::NoText)),
        Some(Err(reason)) if plugin.config.callouts.classifier.on_failure == FailurePolicy::Closed => {
            return Err((unclassified(reason), Some(reason)));
        }
        Some(Err(reason)) if heard => (None, Some(reason)),
        Some(Err(reason)) => {
            let backend = plugin.within(scope).next().ok_or_else(|| (no_model(), None))?;
            return Ok(Routed { backend, fallback: Some(reason), ..Routed::default() });
        }
    };
    let signals = Signals {
        verdict: verdict.as_ref(),
        request: &awaiting.parsed.signals,
        headers: &awaiting.head.headers,
        guards: guards.as_ref(),
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
