//! One HTTP exchange as a state machine: [`Exchange::on`] takes what happened and says what to do. It holds no clock, no
//! randomness and no I/O; the host brings those in with the events and carries the effects out.
//!
//! ```text
//! Start --headers--> Buffering --body--> Awaiting --verdict, history--> Forwarded --response--> Answering --end--> Saving
//!   |                    |                                                ^                         or Done        |
//!   +--> Replied         +------------- nothing to ask for ---------------+                                       Done
//! ```
//!
//! In `Replied` nothing more is done: a local reply runs through the filter's own response callbacks.

mod answer;
mod event;
mod guarded;
mod limit;
mod memory;
mod native;
mod pipeline;
mod request;
mod response;
mod screen;
mod stored;
mod turn;

pub use self::event::{
    Call, Callout, CalloutError, Counter, Effects, Event, Flow, Micros, Moment, Reply, ResponseView, Wanted,
};
use self::{
    answer::{Answering, Saving},
    pipeline::Awaiting,
    response::Forwarded,
    screen::Screened,
};
use crate::{
    error::ApiError,
    headers::{self as names, Headers},
    ids::Owner,
    plugin::Plugin,
    route::Create,
};

/// One exchange. See the module.
#[derive(Debug, Default)]
pub struct Exchange {
    state: State,
    /// What the guards said of the request, for the header of every answer.
    checks: Option<String>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Start,
    Buffering(Buffering),
    Awaiting(Box<Awaiting>),
    Forwarded(Box<Forwarded>),
    Answering(Box<Answering>),
    Saving(Box<Saving>),
    /// One of the two before, with a guard in front or values put back behind.
    Screened(Box<Screened>),
    Replied,
    Done,
}

/// The head of a request whose body is awaited.
#[derive(Debug)]
struct Buffering {
    create: Create,
    headers: Headers,
    /// Whose request it is, where that matters: the first one as of today, then as of older keys.
    owners: Vec<Owner>,
}

impl Buffering {
    /// Whose request it is, as of today.
    fn owner(&self) -> Option<&Owner> {
        self.owners.first()
    }
}

impl Exchange {
    /// Takes an event. An event that cannot be in this state changes nothing and lets the stream go on.
    pub fn on(&mut self, plugin: &Plugin, event: Event<'_>) -> Effects {
        let side = limit::Side::of(&self.state);
        let heads = matches!((&self.state, &event), (State::Forwarded(_), Event::ResponseHeaders { .. }));
        let mut effects = self.step(plugin, event);
        if effects.checks.is_some() {
            self.checks = effects.checks.take();
        }
        if !limit::fits(plugin, &effects) {
            let (state, exceeded) = limit::exceeded(plugin, side, effects);
            self.state = state;
            effects = exceeded;
        }
        if let Some(checks) = &self.checks {
            if let Some(reply) = &mut effects.reply {
                reply.headers.push((names::SECURITY_CHECKS, checks.clone().into()));
            } else if heads {
                effects.headers.push((names::SECURITY_CHECKS, Some(checks.clone().into_bytes())));
            }
        }
        effects
    }

    fn step(&mut self, plugin: &Plugin, event: Event<'_>) -> Effects {
        let (state, effects) = transition(plugin, std::mem::take(&mut self.state), event);
        self.state = state;
        effects
    }

    /// What is to be handed in of the response's body.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        match &self.state {
            State::Answering(answering) => answering.wanted(),
            State::Screened(screened) => screened.wanted(),
            _ => Wanted::Nothing,
        }
    }

    /// Whether the request's body is awaited.
    #[must_use]
    pub const fn wants_request_body(&self) -> bool {
        matches!(self.state, State::Buffering(_))
    }

    /// Whether the exchange has been answered here.
    #[must_use]
    pub const fn has_replied(&self) -> bool {
        matches!(self.state, State::Replied)
    }

    /// Whether the request is held for a callout.
    #[must_use]
    pub const fn is_awaiting(&self) -> bool {
        matches!(self.state, State::Awaiting(_))
    }
}

fn transition(plugin: &Plugin, state: State, event: Event<'_>) -> (State, Effects) {
    match (state, event) {
        (State::Start, Event::RequestHeaders { headers, claim, end }) => {
            request::headers(plugin, request::Head { headers, claim, end })
        }
        (State::Buffering(head), Event::RequestBodyPart { size }) => request::part(plugin, head, size),
        (State::Buffering(head), Event::RequestBody { body, moment }) => request::body(plugin, head, body, moment),
        (State::Buffering(_), Event::RequestTrailers) => refuse(&trailers()),
        (State::Awaiting(awaiting), Event::CalloutResult { call, outcome, waited }) => {
            pipeline::result(plugin, awaiting, pipeline::Outcome { call, outcome, waited })
        }
        (State::Forwarded(request), Event::ResponseHeaders { response, end }) => {
            response::headers(plugin, *request, response, end)
        }
        (State::Answering(answering), Event::ResponseBody { chunk, cut, end, moment }) => {
            answer::body(plugin, *answering, answer::Chunk { bytes: chunk, cut, end, moment })
        }
        (State::Saving(saving), Event::CalloutResult { outcome, .. }) => answer::saved(plugin, *saving, outcome),
        (State::Screened(screened), event) => screen::on(plugin, *screened, event),
        // The stream is still held: nothing may pass before the verdict.
        (state @ State::Awaiting(_), Event::RequestBodyPart { .. } | Event::RequestTrailers) => {
            (state, Effects { flow: Flow::Pause, ..Effects::default() })
        }
        // Envoy answers by itself (a timeout, an overflow): its reply passes.
        (State::Buffering(_) | State::Awaiting(_), Event::ResponseHeaders { .. }) => (State::Done, Effects::default()),
        (state, _) => (state, Effects::default()),
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
#[cfg(test)]
mod tests_guards;
#[cfg(test)]
mod tests_guards_turns;
#[cfg(test)]
mod tests_responses;
#[cfg(test)]
mod tests_screen;
