//! The response's head: what the client learns of the routing, and what becomes of the body.

use super::{
    Effects, Flow, ResponseView, State,
    answer::Answering,
    memory::Memory,
    native::Native,
    pipeline::Routed,
    refuse,
    screen::{Answer, Screened, Screening},
};
use crate::{
    error::ApiError,
    headers::{self as names, Headers},
    ids::EndpointTag,
    metadata::{Member, RoutingMetadata},
    native::Sse,
    plugin::{Backend, Plugin},
    responses::stream::StreamTranslator,
};

/// What is remembered of a request that went on.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub routed: Routed,
    /// The endpoint that was chosen; another one may serve.
    pub endpoint: Option<String>,
    pub back: Return,
    /// What else is done with the answer's texts.
    pub screening: Option<Screening>,
}

/// What becomes of the answer.
#[derive(Debug)]
pub(super) enum Return {
    /// It passes as it is.
    Untouched,
    /// A chat completion that gets `routing_metadata`.
    Annotated,
    /// A chat completion that becomes a response, and is stored.
    Memory(Box<Memory>),
    /// A response whose ids change.
    Native(Native),
    /// A tokenizer's answer.
    Count,
}

/// What kind of body an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Json,
    Stream,
    /// Another type, or encoded: nothing here can read it.
    Other,
}

pub(super) fn headers(
    plugin: &Plugin,
    mut request: Forwarded,
    response: &dyn ResponseView,
    end: bool,
) -> (State, Effects) {
    let mut effects = Effects::default();
    let Some(backend) = plugin.backend(request.routed.backend) else { return (State::Done, effects) };
    let routed = &request.routed;
    let mut set = |name, value: String| effects.headers.push((name, Some(value.into_bytes())));
    // The route says 0: what needs no call out is not worth one into the host.
    if routed.processing_ms > 0 {
        set(names::PROCESSING_TIME, routed.processing_ms.to_string());
    }
    if let Some(ms) = routed.classification_ms {
        set(names::CLASSIFICATION_TIME, ms.to_string());
    }
    if let Some(reason) = routed.fallback {
        set(names::FALLBACK, reason.name().to_owned());
    }
    // Without a body there is nothing to add to and no id to change: a deletion may be confirmed by a bare 204.
    let passes = match request.back {
        Return::Untouched => request.screening.is_none() || end,
        Return::Annotated | Return::Native(_) => end,
        Return::Memory(_) | Return::Count => false,
    };
    if passes {
        return (State::Done, effects);
    }
    let headers = response.headers();
    let status = headers.find(":status").unwrap_or_default();
    let is_right = status.first() == Some(&b'2');
    // A backend's own error passes as it is.
    if !is_right {
        return (State::Done, effects);
    }
    let screened = match screened(plugin, &mut request, kind(&headers)) {
        Ok(screened) => screened,
        Err(error) => return refuse(&error),
    };
    let state = match (answering(request, &headers, backend), screened) {
        (Err(error), _) => return refuse(&error),
        (Ok(None), None) => return (State::Done, effects),
        (Ok(_), _) if end => return refuse(&bad_answer("it has no body")),
        (Ok(answering), Some(screened)) => screened.around(answering),
        (Ok(Some(answering)), None) => State::Answering(Box::new(answering)),
    };
    effects.headers.push(("content-length", None));
    // What is told of the whole body stands in its head: that waits too.
    let holds_head = match &state {
        State::Answering(answering) => answering.holds_head(),
        State::Screened(screened) => !screened.is_stream(),
        _ => false,
    };
    effects.flow = if holds_head { Flow::Pause } else { Flow::Continue };
    (state, effects)
}

/// What stands before and behind the answer's own way.
fn screened(plugin: &Plugin, request: &mut Forwarded, body: Body) -> Result<Option<Screened>, ApiError> {
    let Some(screening) = request.screening.take() else { return Ok(None) };
    let responses = matches!(request.back, Return::Native(_));
    screening.begin(plugin, &request.routed, Answer { body, responses })
}

fn answering(request: Forwarded, headers: &Headers, backend: &Backend) -> Result<Option<Answering>, ApiError> {
    let kind = kind(headers);
    // Envoy names the endpoint of the try that answered; the chosen one may have failed.
    let served = headers.find_str(names::DESTINATION);
    match request.back {
        Return::Untouched => Ok(None),
        Return::Annotated => {
            let is_plain = kind == Body::Json && headers.find(":status") == Some(b"200");
            let metadata = || metadata(&request.routed, backend, served.or(request.endpoint.as_deref()));
            Ok(is_plain.then(|| Answering::Member(Member::new(&metadata()))))
        }
        Return::Memory(memory) => match (memory.request.stream, kind) {
            (false, Body::Json) => Ok(Some(Answering::Memory(memory))),
            (true, Body::Stream) => {
                let translator = StreamTranslator::new(&memory.request, memory.turn.clone());
                Ok(Some(Answering::MemoryStream { memory, translator: Box::new(translator) }))
            }
            (true, _) => Err(bad_answer("a stream was asked for, and it is none")),
            (false, _) => Err(bad_answer("it is not JSON")),
        },
        Return::Native(mut native) => {
            native.endpoint = served.or(request.endpoint.as_deref()).map(EndpointTag::of).or(native.endpoint);
            let backend = request.routed.backend;
            match kind {
                Body::Json => Ok(Some(Answering::Native { native, backend })),
                Body::Stream => {
                    let sse = Sse::new(crate::responses::sse::DEFAULT_LIMIT);
                    Ok(Some(Answering::NativeStream { native, backend, sse: Box::new(sse) }))
                }
                Body::Other => Err(bad_answer("its type or encoding is none that ids can be changed in")),
            }
        }
        Return::Count => match kind {
            Body::Json => Ok(Some(Answering::Count)),
            _ => Err(bad_answer("it is not JSON")),
        },
    }
}

fn metadata<'a>(routed: &'a Routed, backend: &'a Backend, endpoint: Option<&'a str>) -> RoutingMetadata<'a> {
    RoutingMetadata {
        selected_model: &backend.name,
        confidence: routed.verdict.as_ref().map(|v| (f64::from(v.confidence) * 1_000.0).round() / 1_000.0),
        category: routed.verdict.as_ref().map(|v| v.category.as_str()),
        decision: routed.decision.as_deref(),
        endpoint,
        processing_time_ms: routed.processing_ms,
        classification_time_ms: routed.classification_ms,
        cache_hit: false,
        fallback: routed.fallback.map(|reason| reason.name()),
        security_checks: routed.guarded.as_ref().map(|guarded| &guarded.checks),
    }
}

/// The backend's answer is none that can be given out.
pub(super) fn bad_answer(why: &str) -> ApiError {
    ApiError::new(502, "server_error", format!("The model's backend gave an answer that cannot be used: {why}."))
        .code("upstream_bad_answer")
}

fn kind(headers: &Headers) -> Body {
    let header = |name| headers.find(name).unwrap_or_default();
    let content_type = header("content-type");
    if !matches!(header("content-encoding"), b"" | b"identity") {
        Body::Other
    } else if names::is_json(content_type) {
        Body::Json
    } else if names::is_event_stream(content_type) {
        Body::Stream
    } else {
        Body::Other
    }
}
