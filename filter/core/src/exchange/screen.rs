//! What stands before and behind an answer's own way: the guard in front of all that reads it, so that nothing is stored that it
//! has not seen; and the values put back behind all that writes it, so that none is stored.

use super::{
    Call, Callout, CalloutError, Counter, Effects, Event, Flow, Micros, Moment, State, Wanted,
    answer::{Answering, replaced},
    pipeline::{self, Routed},
    refuse,
    response::{Body, bad_answer},
    transition,
};
use crate::{
    config::FailurePolicy,
    error::ApiError,
    guard::{
        answer::{AnswerGuard, Kind, Said, Step},
        restore::Restorer,
    },
    headers::Headers,
    plugin::Plugin,
};

/// An answer that is to be screened.
#[derive(Debug)]
pub(super) struct Screening {
    /// The request's trace, for what is called later.
    context: Vec<(&'static str, Vec<u8>)>,
}

impl Screening {
    /// None where there is nothing to do.
    pub(super) fn new(plugin: &Plugin, routed: &Routed, headers: &Headers) -> Option<Self> {
        let guards = plugin.config.response_guards.pii.is_some();
        (guards || restores(routed)).then(|| Self { context: pipeline::context(headers) })
    }

    /// What is done with an answer of that body; none where nothing is.
    ///
    /// # Errors
    /// It cannot be looked into, and then it must not leave.
    pub(super) fn begin(self, plugin: &Plugin, routed: &Routed, body: Answer) -> Result<Option<Screened>, ApiError> {
        let Answer { body, responses } = body;
        let kind = match body {
            Body::Json => Some(Kind::Whole),
            Body::Stream if responses => Some(Kind::Responses),
            Body::Stream => Some(Kind::Chat),
            Body::Other => None,
        };
        let policy = plugin.config.response_guards.pii.as_ref();
        let Some(kind) = kind else {
            let closed = policy.is_some_and(|policy| policy.on_error == FailurePolicy::Closed);
            let refused = || bad_answer("its type or encoding is none that a guard can read");
            return if closed { Err(refused()) } else { Ok(None) };
        };
        let guarded = routed.guarded.as_ref();
        let guard = policy.map(|policy| {
            let placeholders = guarded.map(|guarded| guarded.placeholders.clone()).unwrap_or_default();
            Box::new(AnswerGuard::new(policy, kind, placeholders, plugin.max_sent))
        });
        let values = guarded.filter(|_| restores(routed)).map(|guarded| guarded.placeholders.values());
        let restore = values.map(|values| Box::new(Restorer::new(values, plugin.max_sent)));
        let stream = kind != Kind::Whole;
        let Self { context } = self;
        let inner = Box::new(State::Done);
        Ok(Some(Screened { stream, guard, restore, before: None, context, at: 0, inner }))
    }
}

fn restores(routed: &Routed) -> bool {
    routed.guarded.as_ref().is_some_and(|guarded| guarded.restore && guarded.placeholders.values().next().is_some())
}

/// What is known of a body before it comes.
pub(super) struct Answer {
    pub body: Body,
    /// Whether a stream is one of response events.
    pub responses: bool,
}

/// An answer that is being screened.
#[derive(Debug)]
pub(super) struct Screened {
    stream: bool,
    guard: Option<Box<AnswerGuard>>,
    restore: Option<Box<Restorer>>,
    /// As it was before the frames that wait to be stored.
    before: Option<Box<Restorer>>,
    context: Vec<(&'static str, Vec<u8>)>,
    /// When the last chunk came, in Unix seconds.
    at: u64,
    /// The answer's own way.
    inner: Box<State>,
}

/// When the backend said it: what a guard holds is not younger for that.
#[derive(Debug)]
struct Arrived(u64);

impl Moment for Arrived {
    fn unix_seconds(&self) -> u64 {
        self.0
    }

    fn random(&self) -> Option<u64> {
        None
    }
}

impl Screened {
    /// Around the answer's own way.
    pub(super) fn around(self, answering: Option<Answering>) -> State {
        let inner = answering.map_or(State::Done, |answering| State::Answering(Box::new(answering)));
        State::Screened(Box::new(Self { inner: Box::new(inner), ..self }))
    }

    pub(super) const fn is_stream(&self) -> bool {
        self.stream
    }

    pub(super) const fn wanted(&self) -> Wanted {
        if self.stream { Wanted::Chunks } else { Wanted::Whole }
    }

    /// The guard's word on what has come, or has been found.
    fn step(mut self, plugin: &Plugin, step: Step) -> (State, Effects) {
        // A whole body stays in the host's buffer while it waits.
        let held = |stream: bool| if stream { replaced(Vec::new()) } else { Effects::default() };
        match step {
            Step::Ask(message) => {
                let mut effects = held(self.stream);
                let (metadata, timeout) = (self.context.clone(), plugin.config.guards.timeout);
                effects.callouts.push(Callout { call: Call::AnalyzeAnswer, message, metadata, timeout });
                effects.flow = Flow::Pause;
                (State::Screened(Box::new(self)), effects)
            }
            Step::Wait => {
                let effects = Effects { flow: Flow::Pause, ..held(self.stream) };
                (State::Screened(Box::new(self)), effects)
            }
            Step::Refuse(error, said) => {
                let (state, mut effects) = refuse(&error);
                effects.count.extend(said.and_then(|said| counter(plugin, said)));
                (state, effects)
            }
            Step::Pass { bytes, end, said } => {
                let moment = Arrived(self.at);
                let event = Event::ResponseBody { chunk: &bytes, cut: false, end, moment: &moment };
                let (inner, mut effects) = transition(plugin, *self.inner, event);
                self.inner = Box::new(inner);
                effects.count.extend(said.and_then(|said| counter(plugin, said)));
                if effects.reply.is_none() {
                    let out = match effects.body.take() {
                        None => bytes,
                        Some(edit) => [edit.bytes.as_slice(), bytes.get(edit.replaced..).unwrap_or_default()].concat(),
                    };
                    if effects.flow == Flow::Pause {
                        self.before.clone_from(&self.restore);
                    }
                    return self.write(out, end, effects);
                }
                self.settled(end, effects)
            }
        }
    }

    /// Puts the values back into what leaves.
    fn write(mut self, out: Vec<u8>, end: bool, mut effects: Effects) -> (State, Effects) {
        let mut written = Vec::new();
        let restored = match &mut self.restore {
            None => {
                written = out;
                Ok(())
            }
            Some(restore) if self.stream => restore.push(&out, end, &mut written),
            Some(restore) => restore.whole(&out).map(|whole| written = whole),
        };
        let Err(error) = restored else {
            effects.body = replaced(written).body;
            return self.settled(end, effects);
        };
        let error = bad_answer(&error.to_string());
        if !self.stream {
            return refuse(&error);
        }
        let (answering, broken) = Answering::broken_off(&error.message);
        let last = broken.body.map(|edit| edit.bytes).unwrap_or_default();
        let flow = if effects.flow == Flow::Resume { Flow::Resume } else { Flow::Continue };
        (State::Answering(Box::new(answering)), Effects { flow, ..replaced([written, last].concat()) })
    }

    fn settled(self, end: bool, effects: Effects) -> (State, Effects) {
        let state = match *self.inner {
            State::Replied => State::Replied,
            State::Done if end => State::Done,
            inner => State::Screened(Box::new(Self { inner: Box::new(inner), ..self })),
        };
        (state, effects)
    }
}

fn counter(plugin: &Plugin, said: Said) -> Option<Counter> {
    match said {
        Said::Found => {
            plugin.config.response_guards.pii.as_ref().map(|policy| Counter::AnswerPiiDetected(policy.action))
        }
        Said::Failed(failure) => Some(Counter::GuardError(failure)),
    }
}

/// Takes an event of an answer that is screened.
pub(super) fn on(plugin: &Plugin, mut screened: Screened, event: Event<'_>) -> (State, Effects) {
    match event {
        Event::ResponseBody { chunk, end, moment, .. } => {
            screened.at = moment.unix_seconds();
            let step = match &mut screened.guard {
                Some(guard) => guard.push(chunk, end),
                None => Step::Pass { bytes: chunk.to_vec(), end, said: None },
            };
            screened.step(plugin, step)
        }
        Event::CalloutResult { call: Call::AnalyzeAnswer, outcome, waited } => {
            let Some(guard) = &mut screened.guard else {
                return (State::Screened(Box::new(screened)), Effects::default());
            };
            let step = guard.result(outcome.map_err(|error| failure(plugin, error, waited)));
            resumed(screened.step(plugin, step))
        }
        event => saved(plugin, screened, event),
    }
}

fn failure(plugin: &Plugin, error: CalloutError, waited: Micros) -> crate::guard::analyze::GuardFailure {
    pipeline::failure(plugin.config.guards.timeout, error, waited)
}

/// The stream was held for the verdict.
fn resumed((state, mut effects): (State, Effects)) -> (State, Effects) {
    if effects.flow == Flow::Continue {
        effects.flow = Flow::Resume;
    }
    (state, effects)
}

/// What the state service says is for the answer's own way; what is written instead of its last frames has its values too.
fn saved(plugin: &Plugin, mut screened: Screened, event: Event<'_>) -> (State, Effects) {
    let (inner, mut effects) = transition(plugin, *screened.inner, event);
    screened.inner = Box::new(inner);
    match effects.body.take() {
        Some(edit) if effects.reply.is_none() => {
            screened.restore = screened.before.take().or(screened.restore);
            screened.write(edit.bytes, true, effects)
        }
        body => {
            effects.body = body;
            screened.settled(true, effects)
        }
    }
}
