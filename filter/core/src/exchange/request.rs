//! The request's side: headers, body, verdict, and the request that goes on.

use super::{
    Buffering, Counter, Effects, Flow, Moment, Reply, State, answer,
    pipeline::{self, Awaiting, Parsed, Routed},
    refuse,
    response::{Forwarded, Return},
    screen::Screening,
    stored, turn,
};
use crate::{
    affinity::{Key, Source},
    body::{self, Request},
    error::ApiError,
    headers::{self as names, Headers},
    ids::Owner,
    plugin::{Backend, Placement, Plugin},
    route::{self, Create, Doors, Route},
    rules::RequestSignals,
};

/// A request's head, as it came.
pub(super) struct Head {
    pub headers: Headers,
    /// The owner's claim of a verified token.
    pub claim: Option<Vec<u8>>,
    pub end: bool,
}

pub(super) fn headers(plugin: &Plugin, head: Head) -> (State, Effects) {
    let Head { headers, claim, end } = head;
    let method = headers.find(":method").unwrap_or_default();
    let path = headers.find_str(":path").unwrap_or_default();
    let doors = Doors { open: &plugin.config.passthrough, responses: plugin.config.response_api.enabled };
    match route::recognise(method, path, doors) {
        Route::Create(create) => {
            let owners = match create {
                Create::Response | Create::InputTokens => owners(plugin, &headers, claim.as_deref()),
                _ => Ok(Vec::new()),
            };
            match check_head(plugin, &headers, end).and(owners) {
                Ok(owners) => {
                    let remove = internal(&headers);
                    let effects = Effects { remove, flow: Flow::Pause, ..Effects::default() };
                    (State::Buffering(Buffering { create, headers, owners }), effects)
                }
                Err(error) => refuse(&error),
            }
        }
        Route::Stored(target) => match owners(plugin, &headers, claim.as_deref()) {
            Ok(owners) => {
                let (state, mut effects) = stored::request(plugin, target, stored::Asker { headers: &headers, owners });
                effects.remove.extend(internal(&headers));
                (state, effects)
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
            answer(Reply { status: 405, headers: vec![("allow", allow.into())], body: error.body() })
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

/// Whose request it is: first as of today, then as of older keys.
fn owners(plugin: &Plugin, headers: &Headers, claim: Option<&[u8]>) -> Result<Vec<Owner>, ApiError> {
    let config = &plugin.config.owner;
    let claim = claim.and_then(|claim| std::str::from_utf8(claim).ok()).filter(|claim| !claim.is_empty());
    if let Some(owner) = claim.and_then(|claim| Owner::jwt(claim).ok()) {
        return Ok(vec![owner]);
    }
    if let Some((name, value)) = config.header.as_deref().and_then(|name| Some((name, headers.find(name)?))) {
        let refuse =
            |why| ApiError::invalid(format!("The header `{name}` names no owner: {why}.")).code("invalid_owner");
        return Owner::header(value).map(|owner| vec![owner]).map_err(refuse);
    }
    Ok(match headers.find("authorization") {
        Some(value) => Owner::authorizations(&plugin.keys, value),
        None => vec![Owner::anonymous()],
    })
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

pub(super) fn body(plugin: &Plugin, head: Buffering, body: Vec<u8>, moment: &dyn Moment) -> (State, Effects) {
    let gone_on = match head.create {
        Create::Response | Create::InputTokens => {
            turn::read(plugin, head, body, moment).map(|awaiting| pipeline::start(plugin, awaiting))
        }
        _ => read(plugin, head, body),
    };
    gone_on.unwrap_or_else(|error| refuse(&error))
}

pub(super) fn check_body(plugin: &Plugin, body: &[u8]) -> Result<(), ApiError> {
    if body.is_empty() {
        return Err(ApiError::invalid("The request has no body; send a JSON object.").code("missing_body"));
    }
    check_size(plugin, body.len())
}

fn read(plugin: &Plugin, head: Buffering, body: Vec<u8>) -> Result<(State, Effects), ApiError> {
    check_body(plugin, &body)?;
    let request = Request::parse(&body, head.create, plugin.needs)?;
    let stream = request.stream;
    if let Some(index) = named(plugin, &request.model)? {
        // One endpoint leaves nothing to choose.
        let has_choice = plugin.backend(index).is_some_and(Backend::has_choice);
        let key = if has_choice { key(plugin, &head, &request) } else { Key(0) };
        let model_span = request.model_span;
        if plugin.guards.is_some() {
            let signals = RequestSignals { stream, ..RequestSignals::default() };
            let awaiting = Awaiting::new(head, body, Parsed { key, model_span, signals });
            return Ok(pipeline::start(plugin, Box::new(Awaiting { named: Some(index), ..awaiting })));
        }
        let outgoing = Outgoing { key, model_span, stream, head, body, rewritten: false };
        return Ok(forward(plugin, outgoing, Routed { backend: index, ..Routed::default() }));
    }
    if head.create != Create::ChatCompletion {
        return Err(auto_not_supported(&request.model));
    }
    let content = request.content()?;
    let signals = RequestSignals {
        text: content.text.into_owned(),
        tokens: request.tokens,
        messages: request.messages,
        attachments: content.attachments,
        tools: if plugin.needs_tools { request.tool_count() } else { 0 },
        stream,
    };
    let parsed = Parsed { key: key(plugin, &head, &request), model_span: request.model_span, signals };
    Ok(pipeline::start(plugin, Box::new(Awaiting::new(head, body, parsed))))
}

/// The model that a client names; none for the name that asks to be routed.
pub(super) fn named(plugin: &Plugin, model: &str) -> Result<Option<usize>, ApiError> {
    if model == plugin.config.auto_model {
        return Ok(None);
    }
    plugin.find(model).map(Some).ok_or_else(|| unknown_model(model))
}

pub(super) fn auto_not_supported(model: &str) -> ApiError {
    let message = format!("`{model}` chooses a model for chat completions and responses only; name a model here.");
    ApiError::invalid(message).param("model").code("auto_not_supported")
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
    named_key(plugin, &head.headers, request.prompt_cache_key.as_deref()).unwrap_or_else(|| {
        let mut parts = request.system.clone();
        parts.extend(request.tools);
        parts.extend(request.first_user);
        Key::new(Source::Prefix(&parts))
    })
}

/// The key that the client names: in the body, else in the session header.
pub(super) fn named_key(plugin: &Plugin, headers: &Headers, prompt_cache_key: Option<&str>) -> Option<Key> {
    if let Some(key) = prompt_cache_key.filter(|key| !key.is_empty()) {
        return Some(Key::new(Source::PromptCacheKey(key)));
    }
    let session = plugin.config.affinity.session_header.as_deref();
    let session = session.and_then(|name| headers.find(name)).filter(|value| !value.is_empty());
    session.map(|value| Key::new(Source::Session(value)))
}

/// A request that goes on with nothing changed but its model's name.
pub(super) struct Outgoing {
    pub head: Buffering,
    pub body: Vec<u8>,
    /// Whether the body is not the one that came any more.
    pub rewritten: bool,
    pub key: Key,
    pub model_span: std::ops::Range<usize>,
    pub stream: bool,
}

/// Writes the chat, completion or embedding request that the backend gets.
pub(super) fn forward(plugin: &Plugin, outgoing: Outgoing, routed: Routed) -> (State, Effects) {
    let Outgoing { head, body, rewritten, key, model_span: span, stream } = outgoing;
    let mut effects = Effects::default();
    let Some(backend) = plugin.backend(routed.backend) else { return refuse(&unconfigured()) };
    let renamed = body.get(span.clone()).is_none_or(|json| !is_string(json, &backend.upstream_name));
    if renamed || rewritten {
        let before = body.len();
        // Only what came can be left in place.
        let tail = if rewritten { body.get(span.end..).unwrap_or_default().to_vec() } else { Vec::new() };
        let mut edit = body::splice(body, span, &backend.upstream_name);
        set_length(&mut effects, &head.headers, edit.length(before));
        if rewritten {
            edit.bytes.extend_from_slice(&tail);
            edit.replaced = body::Edit::ALL;
        }
        effects.body = Some(edit);
    }
    let placement = backend.place(key);
    address(&mut effects, backend, &head.headers);
    place(&mut effects, &placement);
    let annotate = plugin.config.routing_metadata && head.create == Create::ChatCompletion && !stream;
    let screening = match head.create {
        Create::ChatCompletion | Create::Completion => Screening::new(plugin, &routed, &head.headers),
        _ => None,
    };
    if (annotate || screening.is_some()) && head.headers.find("accept-encoding").is_some() {
        effects.headers.push(("accept-encoding", Some(b"identity".to_vec())));
    }
    let back = if annotate { Return::Annotated } else { Return::Untouched };
    sent(effects, routed, Sent { back, screening, endpoint: placement.endpoint })
}

pub(super) fn unconfigured() -> ApiError {
    ApiError::new(500, "server_error", "The chosen model is not configured.")
}

/// The new body's length, where the client told the old one's.
pub(super) fn set_length(effects: &mut Effects, headers: &Headers, length: usize) {
    if headers.find("content-length").is_some() {
        effects.headers.push(("content-length", Some(length.to_string().into_bytes())));
    }
}

/// How a request went on.
pub(super) struct Sent {
    pub back: Return,
    pub screening: Option<Screening>,
    pub endpoint: Option<String>,
}

/// The state of a request that goes on, and what its routing adds to the effects.
pub(super) fn sent(mut effects: Effects, routed: Routed, sent: Sent) -> (State, Effects) {
    if let Some(verdict) = &routed.verdict {
        effects.headers.push((names::CONFIDENCE, Some(format!("{:.3}", verdict.confidence).into_bytes())));
    }
    effects.count.extend(routed.fallback.map(Counter::Fallback));
    effects.count.extend((0..routed.failed_rules).map(|_| Counter::RuleError));
    let Sent { back, screening, endpoint } = sent;
    (State::Forwarded(Box::new(Forwarded { routed, endpoint, back, screening })), effects)
}

/// The header by which Envoy finds the model's route, and the credentials that its backend may see.
pub(super) fn address(effects: &mut Effects, backend: &Backend, headers: &Headers) {
    effects.headers.push((names::SELECTED_MODEL, Some(backend.name.clone().into_bytes())));
    if !backend.passes_authorization && headers.find("authorization").is_some() {
        effects.headers.push(("authorization", None));
    }
}

/// The headers by which Envoy finds the endpoint.
pub(super) fn place(effects: &mut Effects, placement: &Placement) {
    let chosen = [(names::GATEWAY_DESTINATION, &placement.order), (names::AFFINITY, &placement.hash)];
    for (name, value) in chosen {
        effects.headers.extend(value.clone().map(|value| (name, Some(value.into_bytes()))));
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
        return refuse(&unconfigured());
    };
    let key = named_key(plugin, headers, None).unwrap_or_else(|| Key::new(Source::Session(b"")));
    let placement = backend.place(key);
    address(&mut effects, backend, headers);
    place(&mut effects, &placement);
    let routed = Routed { backend: index, ..Routed::default() };
    sent(effects, routed, Sent { back: Return::Untouched, screening: None, endpoint: placement.endpoint })
}
