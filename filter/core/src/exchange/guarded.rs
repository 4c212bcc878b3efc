//! The guards' part of a request: what it says is asked about, and what is found is acted upon before anything goes on.

use super::{
    Call, Callout, Effects, Micros, State,
    memory::History,
    pipeline::{self, Awaiting, Routed, Slot},
    refuse,
};
use crate::{
    classify::Fallback,
    error::ApiError,
    guard::{
        analyze::{Analysis, GuardFailure, Question},
        checks::Checks,
        judge::{Findings, Judged},
        placeholders::Placeholders,
        policy::Plan,
        redact::{Documents, redact},
        segments::{Segments, Speaker, Unread},
        unread::Kind,
    },
    ids::Redacting,
    plugin::Plugin,
    rules::{GuardSignals, Verdict},
};

/// A request that is being looked into.
#[derive(Debug)]
pub(super) struct Guarding {
    found: Segments,
    /// What was asked of the classifier, while it has not answered.
    question: Option<Question>,
    analysis: Slot<Analysis>,
    /// How long the conversation took that had to be loaded first.
    loaded: Micros,
}

/// What the guards leave for the answer's side.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    pub checks: Checks,
    /// The values that were replaced, with their placeholders.
    pub placeholders: Placeholders,
    /// Whether they are to stand in the answer again.
    pub restore: bool,
}

impl Guarding {
    /// Reads what the body says.
    fn new(awaiting: &Awaiting) -> Result<Self, ApiError> {
        let body = simdutf8::basic::from_utf8(&awaiting.body).map_err(|_| unreadable())?;
        let mut found = Segments::of_body(body, awaiting.head.create).map_err(|_| unreadable())?;
        let held = awaiting.turn.as_ref().map_or(0, |turn| turn.held);
        found.unread.extend((0..held).map(|_| Unread { kind: Kind::History, speaker: Speaker::User }));
        Ok(Self { found, question: None, analysis: Slot::NotAsked, loaded: Micros::default() })
    }

    /// Whether the classifier still has to answer, or to be asked.
    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.analysis, Slot::Here(_))
    }

    /// The wait for the conversation and the one for the classifier, one after the other.
    pub(super) const fn waited(&self, waited: Micros) -> Micros {
        Micros(self.loaded.0.saturating_add(waited.0))
    }

    /// Asks about everything that the guards read, and about the category where that is needed.
    fn ask(&mut self, plugin: &Plugin, plan: &Plan, asking: Asking<'_>) -> Option<Callout> {
        let Asking { named, category, head } = asking;
        match Question::new(&mut self.found.segments, plan.scopes(named), category) {
            None => {
                self.analysis = Slot::Here(Analysis::nothing());
                None
            }
            Some((question, message)) => {
                self.question = Some(question);
                self.analysis = Slot::Asked;
                Some(pipeline::callout(plugin, Call::Analyze, message, head))
            }
        }
    }

    /// Reads the classifier's answer; the category's part of it, where that was asked for.
    pub(super) fn answered(&mut self, outcome: Result<&[u8], GuardFailure>) -> Option<Result<Verdict, Fallback>> {
        let question = self.question.take()?;
        let (analysis, category) = match outcome {
            Ok(reply) => question.read(&self.found.segments, reply),
            Err(failure) => (Analysis::failed(failure), Err(failure.fallback())),
        };
        self.analysis = Slot::Here(analysis);
        question.asks_category().then_some(category)
    }

    /// Everything that is known now.
    pub(super) fn findings(self) -> Findings {
        let nothing = || Analysis::failed(GuardFailure::Classifier(Fallback::BadReply));
        Findings { found: self.found, analysis: self.analysis.take().unwrap_or_else(nothing) }
    }
}

/// What the question depends on.
struct Asking<'a> {
    named: bool,
    category: Option<String>,
    head: &'a crate::headers::Headers,
}

/// The body has been read before: it is JSON.
fn unreadable() -> ApiError {
    ApiError::invalid("We could not parse the JSON body of your request.").code("invalid_json")
}

/// Begins: the stored conversation comes first where the guards read it, else everything is asked for at once.
pub(super) fn start(plugin: &Plugin, plan: &Plan, mut awaiting: Box<Awaiting>) -> (State, Effects) {
    let mut guarding = match Guarding::new(&awaiting) {
        Ok(guarding) => guarding,
        Err(error) => return refuse(&error),
    };
    let load = awaiting.load(plugin);
    let scope = plan.scopes(awaiting.named.is_some()).widest();
    let first = load.is_some() && scope.is_some_and(|scope| scope.covers(Speaker::User));
    let analyze = if first { None } else { ask(plugin, plan, &mut awaiting, &mut guarding) };
    awaiting.guarding = Some(Box::new(guarding));
    pipeline::wait(plugin, awaiting, analyze.into_iter().chain(load).collect())
}

fn ask(plugin: &Plugin, plan: &Plan, awaiting: &mut Awaiting, guarding: &mut Guarding) -> Option<Callout> {
    let category = awaiting.category(plugin);
    let asking = Asking { named: awaiting.named.is_some(), category, head: &awaiting.head.headers };
    guarding.ask(plugin, plan, asking)
}

/// The stored conversation is there: it is asked about too, if it was waited for.
pub(super) fn loaded(plugin: &Plugin, awaiting: &mut Awaiting, waited: Micros) -> Option<Callout> {
    let plan = plugin.guards.as_ref()?;
    let mut guarding = awaiting.guarding.take()?;
    let mut callout = None;
    if matches!(guarding.analysis, Slot::NotAsked) {
        guarding.loaded = waited;
        if let Slot::Here(history) = &awaiting.history {
            for (index, item) in history.documents().enumerate() {
                // What is stored is JSON. If an item is none, nothing that reads it will get past it.
                let read = std::str::from_utf8(item).ok().map(|item| guarding.found.add_item(index, item));
                if !matches!(read, Some(Ok(()))) {
                    guarding.found.unread.push(Unread { kind: Kind::History, speaker: Speaker::User });
                }
            }
        }
        callout = ask(plugin, plan, awaiting, &mut guarding);
    }
    awaiting.guarding = Some(guarding);
    callout
}

/// What the rules read of it.
pub(super) fn signals(plugin: &Plugin, findings: Option<&Findings>) -> Option<GuardSignals> {
    Some(findings?.signals(&plugin.guards.as_ref()?.policy))
}

/// The header of a request that is refused before a decision is there.
pub(super) fn header(plugin: &Plugin, findings: Option<&Findings>) -> Option<String> {
    Some(findings?.judge(&plugin.guards.as_ref()?.policy).checks.header())
}

/// Acts on what was found, by the guards as the decision has them. Gives what is counted.
///
/// # Errors
/// The reply of a request that does not go on.
pub(super) fn act(
    plugin: &Plugin,
    awaiting: &mut Awaiting,
    findings: &Findings,
    routed: &mut Routed,
) -> Result<(), Box<(State, Effects)>> {
    let Some(plan) = &plugin.guards else { return Ok(()) };
    let decision = routed.decision.as_deref();
    let decision = decision.and_then(|name| plugin.config.decisions.iter().find(|decision| decision.name == name));
    let policy = plan.policy.of(decision);
    let Judged { checks, count, refusal, redact } = findings.judge(&policy);
    let header = checks.header();
    let refused = |error: &ApiError, count: Vec<_>| {
        let (state, mut effects) = refuse(error);
        effects.checks = Some(header.clone());
        effects.count = count;
        Box::new((state, effects))
    };
    if let Some(error) = refusal {
        return Err(refused(&error, count));
    }
    let mut guarded = Guarded { checks, ..Guarded::default() };
    if let Some(pii) = policy.pii.as_ref().filter(|_| redact) {
        guarded.restore = pii.restore;
        guarded.placeholders = Placeholders::new(awaiting.history.known());
        replace(plugin, awaiting, findings, (pii, &mut guarded.placeholders))
            .map_err(|error| refused(&error, Vec::new()))?;
    }
    routed.guard_count = count;
    routed.guarded = Some(Box::new(guarded));
    Ok(())
}

type Replacing<'a> = (&'a crate::config::PiiGuard, &'a mut Placeholders);

fn replace(plugin: &Plugin, awaiting: &mut Awaiting, findings: &Findings, with: Replacing<'_>) -> Result<(), ApiError> {
    let owner = awaiting.head.owner().map(ToString::to_string).unwrap_or_default();
    let turn = awaiting.turn.as_deref();
    let redacting = Redacting { owner: &owner, conversation: turn.map_or(0, super::turn::Turn::conversation) };
    let previous = turn.and_then(|turn| turn.previous.as_ref()).map(|previous| previous.span.clone());
    let own: Vec<_> = std::iter::once(awaiting.parsed.model_span.clone()).chain(previous).collect();
    let items = match &mut awaiting.history {
        Slot::Here(history) => history.documents_mut().collect(),
        Slot::NotAsked | Slot::Asked => Vec::new(),
    };
    let documents = Documents { body: &awaiting.body, items, own: &own };
    let (guard, placeholders) = with;
    let digest = |kind: &str, value: &str| redacting.digest(&plugin.keys, kind, value);
    let redacted = redact(findings, guard, documents, placeholders, digest).map_err(|_| unreplaced())?;
    if redacted.is_same() {
        return Ok(());
    }
    awaiting.parsed.model_span = redacted.shift(awaiting.parsed.model_span.clone());
    if let Some(previous) = awaiting.turn.as_mut().and_then(|turn| turn.previous.as_mut()) {
        previous.span = redacted.shift(previous.span.clone());
    }
    awaiting.body = redacted.body;
    awaiting.rewritten = true;
    Ok(())
}

fn unreplaced() -> ApiError {
    ApiError::new(
        500,
        "server_error",
        "Values that must not leave could not be replaced, so the request was not sent on.",
    )
}

impl Slot<History> {
    /// What stands for values in the stored conversation.
    fn known(&self) -> &[crate::guard::placeholders::Known] {
        match self {
            Self::Here(history) => &history.redactions,
            Self::NotAsked | Self::Asked => &[],
        }
    }
}
