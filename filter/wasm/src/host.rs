//! Host calls, each without a panic: the SDK's trait methods unwrap, and header values are bytes.

use std::time::UNIX_EPOCH;

use fingerpost_core::{
    config::ClassifierCallout,
    exchange::{Callout, Micros, Reply, ResponseView},
    headers::Headers,
};
use fingerpost_proto::classifier::{ANALYZE, SERVICE};
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
    headers.extend_from_slice(&reply.headers);
    tell("reply", hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body)));
}

/// Starts the call to the classifier.
pub(crate) fn call(classifier: &ClassifierCallout, callout: &Callout) -> Result<u32, Status> {
    let metadata = callout.metadata.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    let timeout = classifier.timeout.duration();
    hostcalls::dispatch_grpc_call(&classifier.cluster, SERVICE, ANALYZE, metadata, Some(&callout.message), timeout)
}

/// The response at hand.
#[derive(Debug)]
pub(crate) struct Response;

impl ResponseView for Response {
    fn headers(&self) -> Headers {
        headers(MapType::HttpResponseHeaders)
    }
}
