//! The response's body: annotated, translated or with its ids changed; and stored before its end leaves.

use super::{
    Call, CalloutError, Counter, Effects, Flow, Moment, State, Wanted,
    memory::{self, Memory},
    native::{Native, What},
    pipeline, refuse,
    response::bad_answer,
};
use crate::{
    body::Edit,
    config::FailurePolicy,
    error::ApiError,
    headers as names,
    metadata::Member,
    native::{self as rewrite, Sse},
    plugin::Plugin,
    responses::{
        response::{Answer, Received, from_chat},
        stream::{Finished, StreamTranslator},
        tokens,
    },
};
use prost::Message as _;

/// What is being done to a body.
#[derive(Debug)]
pub(super) enum Answering {
    Member(Member),
    Memory(Box<Memory>),
    MemoryStream {
        memory: Box<Memory>,
        translator: Box<StreamTranslator>,
    },
    Native {
        native: Native,
        backend: usize,
    },
    NativeStream {
        native: Native,
        backend: usize,
        sse: Box<Sse>,
    },
    Count,
    /// The stream has ended for the client; what still comes is not for it.
    Silenced,
}

/// An answer that waits to be stored.
#[derive(Debug)]
pub(super) enum Saving {
    Whole(Box<Answer>),
    /// With the frames of the last chunk, which wait too.
    Stream {
        before: Vec<u8>,
        finished: Box<Finished>,
    },
}

impl Saving {
    pub(super) const fn is_stream(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }
}

/// A chunk of the body.
pub(super) struct Chunk<'a> {
    pub bytes: &'a [u8],
    pub cut: bool,
    pub end: bool,
    pub moment: &'a dyn Moment,
}

impl Answering {
    pub(super) const fn wanted(&self) -> Wanted {
        match self {
            Self::Member(_) => Wanted::Start(Member::PEEK),
            Self::Memory(_) | Self::Native { .. } | Self::Count => Wanted::Whole,
            Self::MemoryStream { .. } | Self::NativeStream { .. } | Self::Silenced => Wanted::Chunks,
        }
    }

    /// A stream that cannot go on: the client is told, and what still comes is not passed.
    pub(super) fn broken_off(message: &str) -> (Self, Effects) {
        (Self::Silenced, replaced(error_event(message)))
    }

    /// Whether the response's head waits for its body.
    pub(super) const fn holds_head(&self) -> bool {
        matches!(self.wanted(), Wanted::Whole)
    }
}

pub(super) fn body(plugin: &Plugin, answering: Answering, chunk: Chunk<'_>) -> (State, Effects) {
    let (next, effects) = match answering {
        Answering::Member(mut member) => {
            let body = member.push(chunk.bytes, chunk.cut);
            let next = member.is_open().then_some(Answering::Member(member));
            (next, Effects { body, ..Effects::default() })
        }
        Answering::Memory(memory) => return whole(plugin, *memory, &chunk),
        Answering::MemoryStream { memory, mut translator } => {
            let frames = translator.push(chunk.bytes);
            if chunk.end {
                let finished = translator.finish(chunk.moment.unix_seconds());
                return finish(plugin, *memory, frames, finished);
            }
            (Some(Answering::MemoryStream { memory, translator }), replaced(frames))
        }
        Answering::Native { native, backend } => return native_whole(plugin, &native, backend, chunk.bytes),
        Answering::NativeStream { native, backend, sse } => native_stream(plugin, (native, backend, sse), &chunk),
        Answering::Count => {
            return match tokens::answer(chunk.bytes) {
                Some(body) => (State::Done, replaced(body)),
                None => refuse(&bad_answer("the tokenizer gave no count")),
            };
        }
        Answering::Silenced => (Some(Answering::Silenced), replaced(Vec::new())),
    };
    let state = next.filter(|_| !chunk.end).map_or(State::Done, |next| State::Answering(Box::new(next)));
    (state, effects)
}

fn error_event(message: &str) -> Vec<u8> {
    let event = serde_json::json!({"type": "error", "code": "server_error", "message": message, "param": null});
    format!("event: error\ndata: {event}\n\n").into_bytes()
}

pub(super) fn replaced(bytes: Vec<u8>) -> Effects {
    Effects { body: Some(Edit::whole(bytes)), ..Effects::default() }
}

fn whole(plugin: &Plugin, memory: Memory, chunk: &Chunk<'_>) -> (State, Effects) {
    let Memory { request, turn, save, headers } = memory;
    let received = Received { body: chunk.bytes, at: chunk.moment.unix_seconds() };
    let answer = match from_chat(&request, turn, received) {
        Ok(answer) => answer,
        Err(why) => return refuse(&bad_answer(&why.to_string())),
    };
    let mut effects = replaced(answer.response.clone());
    let Some(mut save) = save else { return (State::Done, effects) };
    save.response.clone_from(&answer.response);
    effects.callouts.push(pipeline::callout(plugin, Call::Save, save.encode_to_vec(), &headers));
    effects.flow = Flow::Pause;
    (State::Saving(Box::new(Saving::Whole(Box::new(answer)))), effects)
}

fn finish(plugin: &Plugin, memory: Memory, before: Vec<u8>, finished: Finished) -> (State, Effects) {
    let mut effects = replaced([before.as_slice(), &finished.frames()].concat());
    let Some(mut save) = memory.save else { return (State::Done, effects) };
    save.response.clone_from(&finished.answer.response);
    effects.callouts.push(pipeline::callout(plugin, Call::Save, save.encode_to_vec(), &memory.headers));
    effects.flow = Flow::Pause;
    (State::Saving(Box::new(Saving::Stream { before, finished: Box::new(finished) })), effects)
}

/// The state service has answered, or not.
pub(super) fn saved(plugin: &Plugin, saving: Saving, outcome: Result<&[u8], CalloutError>) -> (State, Effects) {
    let Err(error) = memory::stored(outcome) else {
        return (State::Done, Effects { flow: Flow::Resume, ..Effects::default() });
    };
    let (state, mut effects) = match (plugin.config.response_api.on_save_failure, saving) {
        (FailurePolicy::Open, saving) => (State::Done, unsaved(saving, &error)),
        // Closed: nothing is given out that was not stored.
        (FailurePolicy::Closed, Saving::Whole(_)) => refuse(&error),
        (FailurePolicy::Closed, Saving::Stream { before, finished }) => {
            (State::Done, replaced([before, finished.save_failed(&error.message)].concat()))
        }
    };
    effects.count.push(Counter::SaveFailure);
    if effects.reply.is_none() {
        effects.flow = Flow::Resume;
    }
    (state, effects)
}

/// Open: the answer goes out and says that it cannot be continued.
fn unsaved(saving: Saving, error: &ApiError) -> Effects {
    match saving {
        Saving::Whole(answer) => {
            let mut effects = replaced(answer.unsaved());
            let warning = error.code.unwrap_or("state_unavailable");
            effects.headers.push((names::NOT_STORED, Some(warning.as_bytes().to_vec())));
            effects
        }
        Saving::Stream { before, finished } => replaced([before, finished.unsaved()].concat()),
    }
}

fn native_whole(plugin: &Plugin, native: &Native, backend: usize, body: &[u8]) -> (State, Effects) {
    let Some(backend) = plugin.backend(backend) else { return (State::Done, Effects::default()) };
    let changed = native.outward(plugin, backend, |outward| match native.what {
        What::Response => rewrite::response(body, outward),
        What::Deleted => rewrite::deleted(body, outward),
    });
    match changed {
        Ok(std::borrow::Cow::Borrowed(_)) => (State::Done, Effects::default()),
        Ok(std::borrow::Cow::Owned(body)) => (State::Done, replaced(body)),
        Err(why) => refuse(&bad_answer(&why.to_string())),
    }
}

type NativeStream = (Native, usize, Box<Sse>);

fn native_stream(plugin: &Plugin, stream: NativeStream, chunk: &Chunk<'_>) -> (Option<Answering>, Effects) {
    let (native, index, mut sse) = stream;
    let Some(backend) = plugin.backend(index) else { return (None, Effects::default()) };
    let mut out = Vec::new();
    let pushed = native.outward(plugin, backend, |outward| {
        sse.push(chunk.bytes, outward, &mut out)?;
        if chunk.end { sse.finish(outward, &mut out) } else { Ok(()) }
    });
    match pushed {
        Ok(()) => (Some(Answering::NativeStream { native, backend: index, sse }), replaced(out)),
        Err(why) => {
            out.extend_from_slice(&error_event(&bad_answer(&why.to_string()).message));
            (Some(Answering::Silenced), replaced(out))
        }
    }
}
