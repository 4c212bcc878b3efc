//! Host calls, each without a panic: the SDK's trait methods unwrap, and header values are bytes.

use std::time::UNIX_EPOCH;

use fingerpost_core::{
    config::{Callouts, JwtOwner},
    exchange::{Call, Callout, Micros, Moment, Reply, ResponseView},
    headers::Headers,
};
use fingerpost_proto::{classifier, state};
use proxy_wasm::{
    hostcalls,
    types::{BufferType, MapType, Status},
};

use crate::abi;

/// Logs a host call that failed; the stream goes on.
pub(crate) fn tell(what: &str, result: Result<(), Status>) {
    if let Err(status) = result {
        log::error!("Envoy would not {what}: {status:?}");
    }
}

/// The host's clock.
pub(crate) fn now() -> Micros {
    let now = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    Micros(now.and_then(|now| u64::try_from(now.as_micros()).ok()).unwrap_or_default())
}

/// All headers of one side, in one call, as the host serialises them.
pub(crate) fn headers(map: MapType) -> Headers {
    match abi::header_map(map) {
        Ok(bytes) => Headers::from_serialized(bytes),
        Err(status) => {
            log::error!("Envoy would not hand over the headers: status {status}");
            Headers::default()
        }
    }
}

/// Sets or removes a header.
pub(crate) fn set_header(map: MapType, name: &str, value: Option<&[u8]>) -> Result<(), Status> {
    match value {
        Some(value) => hostcalls::set_map_value_bytes(map, name, Some(value)),
        None => hostcalls::remove_map_value(map, name),
    }
}

/// Bytes of a body.
pub(crate) fn body(buffer: BufferType, size: usize) -> Vec<u8> {
    hostcalls::get_buffer(buffer, 0, size).ok().flatten().unwrap_or_default()
}

/// The message of a gRPC reply.
pub(crate) fn grpc_reply(size: usize) -> Vec<u8> {
    body(BufferType::GrpcReceiveBuffer, size)
}

/// Answers in the backend's stead.
pub(crate) fn reply(reply: &Reply) {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(reply.headers.iter().map(|(name, value)| (*name, value.as_ref())));
    tell("reply", hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body)));
}

/// Starts a call.
pub(crate) fn call(callouts: &Callouts, callout: &Callout) -> Result<u32, Status> {
    let metadata = callout.metadata.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    let cluster = match callout.call {
        Call::Analyze | Call::AnalyzeAnswer => &callouts.classifier.cluster,
        Call::Load | Call::Save => &callouts.state.cluster,
    };
    let (service, method) = match callout.call {
        Call::Analyze | Call::AnalyzeAnswer => (classifier::SERVICE, classifier::ANALYZE),
        Call::Load => (state::SERVICE, state::LOAD),
        Call::Save => (state::SERVICE, state::SAVE),
    };
    hostcalls::dispatch_grpc_call(
        cluster,
        service,
        method,
        metadata,
        Some(&callout.message),
        callout.timeout.duration(),
    )
}

/// The owner's claim, from what Envoy's jwt_authn filter noted of the token that it verified.
pub(crate) fn claim(owner: &JwtOwner) -> Option<Vec<u8>> {
    let path = vec!["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", &owner.payload, &owner.claim];
    hostcalls::get_property(path).ok().flatten()
}

/// The host's clock and randomness.
#[derive(Debug)]
pub(crate) struct Now;

impl Moment for Now {
    fn unix_seconds(&self) -> u64 {
        now().0 / 1_000_000
    }

    fn random(&self) -> Option<u64> {
        getrandom::u64().map_err(|error| log::error!("no randomness: {error}")).ok()
    }
}

/// The response at hand.
#[derive(Debug)]
pub(crate) struct Response;

impl ResponseView for Response {
    fn headers(&self) -> Headers {
        headers(MapType::HttpResponseHeaders)
    }
}
