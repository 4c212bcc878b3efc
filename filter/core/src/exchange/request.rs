//! The request's side: headers, body, verdict, and the request that goes on.

use super::{
    Awaiting, Buffering, Callout, CalloutError, Counter, Effects, Flow, Forwarded, Micros, Parsed, Reply, State,
    answer, refuse,
};
use crate::{
    affinity::{Key, Source},
    body::{self, Request},
    classify::{self, Fallback},
    config::FailurePolicy,
    error::ApiError,
    headers::{self as names, Headers},
    plugin::{Choice, Plugin},
    route::{self, Create, Route},
    rules::{RequestSignals, Signals, Verdict},
};

/// Headers handed to the classifier so that its work shows in the same trace.
const CONTEXT: [&str; 3] = ["x-request-id", "traceparent", "tracestate"];

pub(super) fn headers(plugin: &Plugin, headers: Headers, end: bool) -> (State, Effects) {
    let method = headers.find(":method").unwrap_or_default();
    let path = headers.find_str(":path").unwrap_or_default();
    match route::recognise(method, path, &plugin.config.passthrough) {
        Route::Create(create) => match check_head(plugin, &headers, end) {
            Ok(()) => {
                let remove = internal(&headers);
                let effects = Effects { remove, flow: Flow::Pause, ..Effects::default() };
                (State::Buffering(Buffering { create, headers }), effects)
            }
            Err(error) => refuse(&error),
        },
        Route::Passthrough(index) => pass(plugin, &headers, index),
        Route::Models => answer(ok(plugin.models.clone())),
        Route::Model(id) => plugin.model_body(id).map_or_else(|| refuse(&unknown_model(id)), |body| answer(ok(body))),
        Route::Health => answer(ok(br#"{"status":"healthy"}"#.to_vec())),
        Route::WrongMethod(allow) => {
            let message = format!("This path takes {allow} requests.");
            let error = ApiError::new(405, "invalid_request_error", message).code("method_not_allowed");
            answer(Reply { status: 405, headers: vec![("allow", allow)], body: error.body() })
        }
        Route::Unknown => refuse(
            &ApiError::new(404, "invalid_request_error", "Unknown request URL: no such path is served here.")
                .code("not_found"),
        ),
    }
}

const fn ok(body: Vec<u8>) -> Reply {
    Reply { status: 200, headers: Vec::new(), body }
}

fn internal(headers: &Headers) -> Vec<String> {
    let internal = headers.iter().map(|(name, _)| name).filter(|name| names::is_internal(name));
    internal.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

fn check_head(plugin: &Plugin, headers: &Headers, end: bool) -> Result<(), ApiError> {
    if end {
        return Err(ApiError::invalid("The request has no body; send a JSON object.").code("missing_body"));
    }
    let content_type = headers.find("content-type").unwrap_or_default();
    if !names::is_json(content_type) {
        let given = String::from_utf8_lossy(content_type);
        let message = format!("Unsupported content type `{given}`; send `application/json`.");
        return Err(ApiError::new(415, "invalid_request_error", message).code("unsupported_media_type"));
    }
    let encoding = headers.find("content-encoding").unwrap_or_default();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity") {
        let given = String::from_utf8_lossy(encoding);
        let message = format!("Unsupported content encoding `{given}`; send the body uncompressed.");
        return Err(ApiError::new(415, "invalid_request_error", message).code("unsupported_content_encoding"));
    }
    let length = headers.find_str("content-length").and_then(|length| length.parse::<usize>().ok());
    check_size(plugin, length.unwrap_or_default())
}

fn check_size(plugin: &Plugin, size: usize) -> Result<(), ApiError> {
    let limit = plugin.config.limits.max_body;
    if size <= limit.bytes() {
        return Ok(());
    }
    let message = format!("The request body is over the limit of {limit} (`limits.max_body`).");
    Err(ApiError::new(413, "invalid_request_error", message).code("request_too_large"))
}

pub(super) fn part(plugin: &Plugin, head: Buffering, size: usize) -> (State, Effects) {
    match check_size(plugin, size) {
        Ok(()) => (State::Buffering(head), Effects { flow: Flow::Pause, ..Effects::default() }),
        Err(error) => refuse(&error),
    }
}

pub(super) fn body(plugin: &Plugin, head: Buffering, body: Vec<u8>) -> (State, Effects) {
    read(plugin, head, body).unwrap_or_else(|error| refuse(&error))
}

fn read(plugin: &Plugin, head: Buffering, body: Vec<u8>) -> Result<(State, Effects), ApiError> {
    if body.is_empty() {
        return Err(ApiError::invalid("The request has no body; send a JSON object.").code("missing_body"));
    }
    check_size(plugin, body.len())?;
    let request = Request::parse(&body, head.create, plugin.needs)?;
    if request.model != plugin.config.auto_model {
        let backend = plugin.find(&request.model).ok_or_else(|| unknown_model(&request.model))?;
        let key = || key(plugin, &head, &request);
        let route = Routed { backend, ..Routed::default() };
        let (stream, span) = (request.stream, request.model_span.clone());
        let placement = plugin.backend(backend).map(|backend| backend.place(key));
        return Ok(forward(plugin, &head, Outgoing { body, span, stream, placement }, route));
    }
    if head.create != Create::ChatCompletion {
        let message = format!("`{}` chooses a model for chat completions only; name a model here.", request.model);
        return Err(ApiError::invalid(message).param("model").code("auto_not_supported"));
    }
    let content = request.content()?;
    let signals = RequestSignals {
        text: content.text.into_owned(),
        tokens: request.tokens,
        messages: request.messages,
        attachments: content.attachments,
        tools: if plugin.needs_tools { request.tool_count() } else { 0 },
        stream: request.stream,
    };
    let parsed = Parsed { key: key(plugin, &head, &request), model_span: request.model_span, signals };
    Ok(ask(plugin, Awaiting { head, body, parsed }))
}

fn unknown_model(name: &str) -> ApiError {
    ApiError::new(
        404,
        "invalid_request_error",
        format!("The model `{name}` does not exist or you do not have access to it."),
    )
    .param("model")
    .code("model_not_found")
}

fn key(plugin: &Plugin, head: &Buffering, request: &Request<'_>) -> Key {
    let session = plugin.config.affinity.session_header.as_deref();
    let session = session.and_then(|name| head.headers.find(name)).filter(|value| !value.is_empty());
    if let Some(key) = request.prompt_cache_key.as_deref().filter(|key| !key.is_empty()) {
        Key::new(Source::PromptCacheKey(key))
    } else if let Some(value) = session {
        Key::new(Source::Session(value))
    } else {
        let mut parts = request.system.clone();
        parts.extend(request.tools);
        parts.extend(request.first_user);
        Key::new(Source::Prefix(&parts))
    }
}

/// Asks the classifier, or decides at once where no rule would listen.
fn ask(plugin: &Plugin, mut awaiting: Awaiting) -> (State, Effects) {
    if !plugin.needs_verdict {
        let routed = decide(plugin, &awaiting, None);
        return go_on(plugin, awaiting, routed);
    }
    if awaiting.parsed.signals.text.trim().is_empty() {
        let mut routed = decide(plugin, &awaiting, None);
        // A rule that needs no verdict may still have spoken: then nothing was missed.
        if routed.decision.is_none() {
            routed.fallback = Some(Fallback::NoText);
        }
        return go_on(plugin, awaiting, routed);
    }
    let headers = &awaiting.head.headers;
    let metadata = CONTEXT.iter().filter_map(|name| headers.find(name).map(|value| (*name, value.to_vec()))).collect();
    // The text is needed again only where a rule reads it.
    let signals = &mut awaiting.parsed.signals;
    let text = if plugin.needs_text { signals.text.clone() } else { std::mem::take(&mut signals.text) };
    let callout = Some(Callout { message: classify::request(text), metadata });
    (State::AwaitingSignals(Box::new(awaiting)), Effects { callout, flow: Flow::Pause, ..Effects::default() })
}

pub(super) fn verdict(
    plugin: &Plugin,
    awaiting: Awaiting,
    outcome: Result<&[u8], CalloutError>,
    waited: Micros,
) -> (State, Effects) {
    // Envoy's timer starts from its loop's cached time and may fire a little early by this clock.
    let timed_out = waited.0 / 100 >= plugin.config.callouts.classifier.timeout.0 * 9;
    let verdict = match outcome {
        Ok(reply) => classify::reply(reply),
        Err(CalloutError::Dispatch) => Err(Fallback::Unavailable),
        Err(CalloutError::Status(status)) => Err(Fallback::from_status(status, timed_out)),
    };
    let millis = waited.millis();
    let routed = match verdict {
        Ok(verdict) => decide(plugin, &awaiting, Some(verdict)),
        Err(reason) if plugin.config.callouts.classifier.on_failure == FailurePolicy::Closed => {
            let (state, mut effects) = refuse(&unclassified(reason));
            effects.count.push(Counter::Fallback(reason));
            return (state, effects);
        }
        Err(reason) => Routed { backend: plugin.default_backend(), fallback: Some(reason), ..Routed::default() },
    };
    go_on(plugin, awaiting, Routed { classification_ms: Some(millis), processing_ms: millis, ..routed })
}

fn unclassified(reason: Fallback) -> ApiError {
    let message = format!(
        "The request could not be classified ({}), and the configuration says not to go on without; try again later, or name a model.",
        reason.name()
    );
    ApiError::new(503, "server_error", message).code("classifier_unavailable")
}

/// How a request was routed.
#[derive(Debug, Default)]
struct Routed {
    backend: usize,
    decision: Option<String>,
    verdict: Option<Verdict>,
    fallback: Option<Fallback>,
    failed_rules: u64,
    processing_ms: u64,
    classification_ms: Option<u64>,
}

fn decide(plugin: &Plugin, awaiting: &Awaiting, verdict: Option<Verdict>) -> Routed {
    let signals =
        Signals { verdict: verdict.as_ref(), request: &awaiting.parsed.signals, headers: &awaiting.head.headers };
    let Choice { backend, decision, failed_rules } = plugin.decide(signals);
    let decision = decision.map(|decision| decision.name.clone());
    Routed { backend, decision, failed_rules, verdict, ..Routed::default() }
}

fn go_on(plugin: &Plugin, awaiting: Awaiting, routed: Routed) -> (State, Effects) {
    let waited = routed.classification_ms.is_some();
    let Awaiting { head, body, parsed } = awaiting;
    let placement = plugin.backend(routed.backend).map(|backend| backend.place(|| parsed.key));
    let outgoing = Outgoing { body, span: parsed.model_span, stream: parsed.signals.stream, placement };
    let (state, mut effects) = forward(plugin, &head, outgoing, routed);
    if waited {
        effects.flow = Flow::Resume;
    }
    (state, effects)
}

struct Outgoing {
    body: Vec<u8>,
    span: std::ops::Range<usize>,
    stream: bool,
    placement: Option<crate::plugin::Placement>,
}

/// Writes the request that the backend gets.
fn forward(plugin: &Plugin, head: &Buffering, outgoing: Outgoing, routed: Routed) -> (State, Effects) {
    let Outgoing { body, span, stream, placement } = outgoing;
    let mut effects = Effects::default();
    let Some((backend, placement)) = plugin.backend(routed.backend).zip(placement) else {
        return refuse(&ApiError::new(500, "server_error", "The chosen model is not configured."));
    };
    if body.get(span.clone()).is_none_or(|json| !is_string(json, &backend.upstream_name)) {
        let before = body.len();
        let edit = body::splice(body, span, &backend.upstream_name);
        if head.headers.find("content-length").is_some() {
            effects.headers.push(("content-length", Some(edit.length(before).to_string().into_bytes())));
        }
        effects.body = Some(edit);
    }
    let annotate = plugin.config.routing_metadata && head.create == Create::ChatCompletion && !stream;
    address(&mut effects, backend, &placement, &head.headers);
    if let Some(verdict) = &routed.verdict {
        effects.headers.push((names::CONFIDENCE, Some(format!("{:.3}", verdict.confidence).into_bytes())));
    }
    if annotate && head.headers.find("accept-encoding").is_some() {
        effects.headers.push(("accept-encoding", Some(b"identity".to_vec())));
    }
    effects.count.extend(routed.fallback.map(Counter::Fallback));
    effects.count.extend((0..routed.failed_rules).map(|_| Counter::RuleError));
    let Routed { backend, decision, verdict, fallback, processing_ms, classification_ms, .. } = routed;
    let endpoint = placement.endpoint;
    let forwarded =
        Forwarded { backend, endpoint, decision, verdict, fallback, processing_ms, classification_ms, annotate };
    (State::Forwarded(Box::new(forwarded)), effects)
}

/// The headers by which Envoy finds the backend, and the credentials that it may see.
fn address(
    effects: &mut Effects,
    backend: &crate::plugin::Backend,
    placement: &crate::plugin::Placement,
    headers: &Headers,
) {
    let mut set = |name, value: &str| effects.headers.push((name, Some(value.as_bytes().to_vec())));
    set(names::SELECTED_MODEL, &backend.name);
    if let Some(order) = &placement.order {
        set(names::GATEWAY_DESTINATION, order);
    }
    if let Some(hash) = &placement.hash {
        set(names::AFFINITY, hash);
    }
    if !backend.passes_authorization && headers.find("authorization").is_some() {
        effects.headers.push(("authorization", None));
    }
}

/// Whether the JSON string is exactly `text`, without escapes.
fn is_string(json: &[u8], text: &str) -> bool {
    json.strip_prefix(b"\"").and_then(|json| json.strip_suffix(b"\"")) == Some(text.as_bytes())
        && !text.contains(['"', '\\'])
}

/// A path that the configuration opens: it goes to its model's backend unread.
fn pass(plugin: &Plugin, headers: &Headers, index: usize) -> (State, Effects) {
    let open = plugin.config.passthrough.get(index);
    let backend = open.and_then(|open| plugin.find(&open.model));
    let mut effects = Effects { remove: internal(headers), ..Effects::default() };
    let Some((index, backend)) = backend.and_then(|index| Some((index, plugin.backend(index)?))) else {
        return refuse(&ApiError::new(500, "server_error", "The model of this path is not configured."));
    };
    let session = plugin.config.affinity.session_header.as_deref().and_then(|name| headers.find(name));
    let placement = backend.place(|| Key::new(Source::Session(session.unwrap_or_default())));
    address(&mut effects, backend, &placement, headers);
    let forwarded = Forwarded {
        backend: index,
        endpoint: placement.endpoint,
        decision: None,
        verdict: None,
        fallback: None,
        processing_ms: 0,
        classification_ms: None,
        annotate: false,
    };
    (State::Forwarded(Box::new(forwarded)), effects)
}
