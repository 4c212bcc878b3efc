//! No body may outgrow Envoy's buffer. Envoy would answer by itself from within the filter's own call, enter the filter a second
//! time, and take the worker down with it.

use super::{Effects, Flow, State, answer::Answering, refuse};
use crate::{error::ApiError, plugin::Plugin};

/// What was being written when a body grew too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    /// An answer whose head still waits.
    Whole,
    /// An answer whose head has gone.
    Stream,
}

impl Side {
    pub(super) fn of(state: &State) -> Self {
        match state {
            State::Answering(answering) if !answering.holds_head() => Self::Stream,
            State::Saving(saving) if saving.is_stream() => Self::Stream,
            State::Screened(screened) if screened.is_stream() => Self::Stream,
            State::Screened(_) => Self::Whole,
            State::Answering(_) | State::Saving(_) => Self::Whole,
            _ => Self::Request,
        }
    }
}

pub(super) fn fits(plugin: &Plugin, effects: &Effects) -> bool {
    effects.body.as_ref().is_none_or(|edit| edit.bytes.len() <= plugin.max_sent)
}

/// What is said instead. Nothing of the body goes out, and nothing is asked for.
pub(super) fn exceeded(plugin: &Plugin, side: Side, effects: Effects) -> (State, Effects) {
    let limit = plugin.config.max_sent();
    let resumes = effects.flow == Flow::Resume;
    match side {
        Side::Request => {
            let message = format!(
                "The request, with what its conversation holds, is over the limit of {limit} (`limits.max_body` and `response_api.max_conversation_bytes`)."
            );
            refuse(&ApiError::new(413, "invalid_request_error", message).code("request_too_large"))
        }
        Side::Whole => {
            let message = format!("The answer is over the limit of {limit}.");
            refuse(&ApiError::new(502, "server_error", message).code("response_too_large"))
        }
        Side::Stream => {
            let (answering, mut effects) = Answering::broken_off(&format!("The answer is over the limit of {limit}."));
            effects.flow = if resumes { Flow::Resume } else { Flow::Continue };
            (State::Answering(Box::new(answering)), effects)
        }
    }
}
