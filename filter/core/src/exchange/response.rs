//! The response's head: what the client learns of the routing, and what becomes of the body.

use super::{
    Effects, Flow, ResponseView, State, answer::Answering, memory::Memory, native::Native, pipeline::Routed, refuse,
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
enum Kind {
    Json,
    Stream,
    /// Another type, or encoded: nothing here can read it.
    Other,
}

pub(super) fn headers(plugin: &Plugin, request: Forwarded, response: &dyn ResponseView, end: bool) -> (State, Effects) {
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
        Return::Untouched => true,
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
    match answering(request, &headers, backend) {
        Ok(None) => (State::Done, effects),
        Ok(Some(_)) if end => refuse(&bad_answer("it has no body")),
        Ok(Some(answering)) => {
            effects.headers.push(("content-length", None));
            // What is told of the whole body stands in its head: that waits too.
            effects.flow = if answering.holds_head() { Flow::Pause } else { Flow::Continue };
            (State::Answering(Box::new(answering)), effects)
        }
        Err(error) => refuse(&error),
    }
}

fn answering(request: Forwarded, headers: &Headers, backend: &Backend) -> Result<Option<Answering>, ApiError> {
    let kind = kind(headers);
    // Envoy names the endpoint of the try that answered; the chosen one may have failed.
    let served = headers.find_str(names::DESTINATION);
    match request.back {
        Return::Untouched => Ok(None),
        Return::Annotated => {
            let is_plain = kind == Kind::Json && headers.find(":status") == Some(b"200");
            let metadata = || metadata(&request.routed, backend, served.or(request.endpoint.as_deref()));
            Ok(is_plain.then(|| Answering::Member(Member::new(&metadata()))))
        }
        Return::Memory(memory) => match (memory.request.stream, kind) {
            (false, Kind::Json) => Ok(Some(Answering::Memory(memory))),
            (true, Kind::Stream) => {
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
                Kind::Json => Ok(Some(Answering::Native { native, backend })),
                Kind::Stream => {
                    let sse = Sse::new(crate::responses::sse::DEFAULT_LIMIT);
                    Ok(Some(Answering::NativeStream { native, backend, sse: Box::new(sse) }))
                }
                Kind::Other => Err(bad_answer("its type or encoding is none that ids can be changed in")),
            }
        }
        Return::Count => match kind {
            Kind::Json => Ok(Some(Answering::Count)),
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

fn kind(headers: &Headers) -> Kind {
    let header = |name| headers.find(name).unwrap_or_default();
    let content_type = header("content-type");
    if !matches!(header("content-encoding"), b"" | b"identity") {
        Kind::Other
    } else if names::is_json(content_type) {
        Kind::Json
    } else if names::is_event_stream(content_type) {
        Kind::Stream
    } else {
        Kind::Other
    }
}
