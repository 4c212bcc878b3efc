//! The response's side: what the client learns of the routing.

use super::{Effects, Forwarded, ResponseView, State};
use crate::{
    headers as names,
    metadata::{Appender, RoutingMetadata},
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
    // Envoy's own replies (no healthy upstream, say) were served by nobody.
    let endpoint = response.served_by();
    let mut set = |name, value: String| effects.headers.push((name, Some(value.into_bytes())));
    set(names::SELECTED_MODEL, backend.name.clone());
    set(names::PROCESSING_TIME, request.processing_ms.to_string());
    if let Some(ms) = request.classification_ms {
        set(names::CLASSIFICATION_TIME, ms.to_string());
    }
    if let Some(endpoint) = &endpoint {
        set(names::DESTINATION, endpoint.clone());
    }
    if let Some(reason) = request.fallback {
        set(names::FALLBACK, reason.name().to_owned());
    }
    if end || !request.annotate || !is_plain_json(response) {
        return (State::Done, effects);
    }
    effects.headers.push(("content-length", None));
    let metadata = RoutingMetadata {
        selected_model: &backend.name,
        confidence: request.verdict.as_ref().map(|v| (f64::from(v.confidence) * 1_000.0).round() / 1_000.0),
        category: request.verdict.as_ref().map(|v| v.category.as_str()),
        decision: request.decision.as_deref(),
        endpoint: endpoint.as_deref().or(request.endpoint.as_deref()),
        processing_time_ms: request.processing_ms,
        classification_time_ms: request.classification_ms,
        cache_hit: false,
        fallback: request.fallback.map(|reason| reason.name()),
    };
    (State::Streaming(Box::new(Appender::new(&metadata))), effects)
}

/// Whether the answer is a completion that a member can be added to.
fn is_plain_json(response: &dyn ResponseView) -> bool {
    let header = |name| response.header(name).unwrap_or_default();
    header(":status") == b"200"
        && names::is_json(&header("content-type"))
        && matches!(header("content-encoding").as_slice(), b"" | b"identity")
}
