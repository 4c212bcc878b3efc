//! The response's side: what the client learns of the routing.

use super::{Effects, Forwarded, ResponseView, State};
use crate::{
    headers::{self as names, Headers},
    metadata::{Member, RoutingMetadata},
    plugin::Plugin,
};

pub(super) fn headers(
    plugin: &Plugin,
    request: &Forwarded,
    response: &dyn ResponseView,
    end: bool,
) -> (State, Effects) {
    let mut effects = Effects::default();
    let Some(backend) = plugin.backend(request.backend) else { return (State::Done, effects) };
    let mut set = |name, value: String| effects.headers.push((name, Some(value.into_bytes())));
    // The route says 0: what needs no call out is not worth one into the host.
    if request.processing_ms > 0 {
        set(names::PROCESSING_TIME, request.processing_ms.to_string());
    }
    if let Some(ms) = request.classification_ms {
        set(names::CLASSIFICATION_TIME, ms.to_string());
    }
    if let Some(reason) = request.fallback {
        set(names::FALLBACK, reason.name().to_owned());
    }
    if end || !request.annotate {
        return (State::Done, effects);
    }
    let headers = response.headers();
    if !is_plain_json(&headers) {
        return (State::Done, effects);
    }
    effects.headers.push(("content-length", None));
    // Envoy names the endpoint of the try that answered; the chosen one may have failed.
    let served = headers.find_str(names::DESTINATION);
    let metadata = RoutingMetadata {
        selected_model: &backend.name,
        confidence: request.verdict.as_ref().map(|v| (f64::from(v.confidence) * 1_000.0).round() / 1_000.0),
        category: request.verdict.as_ref().map(|v| v.category.as_str()),
        decision: request.decision.as_deref(),
        endpoint: served.or(request.endpoint.as_deref()),
        processing_time_ms: request.processing_ms,
        classification_time_ms: request.classification_ms,
        cache_hit: false,
        fallback: request.fallback.map(|reason| reason.name()),
    };
    (State::Streaming(Box::new(Member::new(&metadata))), effects)
}

/// Whether the answer is a completion that a member can be added to.
fn is_plain_json(headers: &Headers) -> bool {
    let header = |name| headers.find(name).unwrap_or_default();
    header(":status") == b"200"
        && names::is_json(header("content-type"))
        && matches!(header("content-encoding"), b"" | b"identity")
}
