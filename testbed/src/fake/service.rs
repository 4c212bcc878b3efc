//! One request at a fake backend: recorded, then answered as its behaviour says.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde_json::{Value, json};
use tokio::time;

use super::{
    State,
    answer::{self, Ask},
    behaviour::Behaviour,
    lock, native,
    record::Recorded,
};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a connection adds to its requests.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub connection: u64,
    pub sni: Option<String>,
}

/// Why a connection is broken instead of answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the behaviour says to close without an answer")]
    Reset,
    #[error(transparent)]
    Http(#[from] hyper::http::Error),
}

pub(super) async fn serve(state: Arc<State>, peer: Peer, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
    let (parts, body) = request.into_parts();
    let (bytes, trailers, complete) = match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().map(pairs).unwrap_or_default();
            (body.to_bytes(), trailers, true)
        }
        Err(_) => (Bytes::new(), Vec::new(), false),
    };
    let target = parts.uri.path_and_query().map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
    if let Some(reply) = control(&state, &parts.method, &target, &bytes) {
        return plain(StatusCode::OK, "application/json", reply.to_string().into());
    }
    let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let prompted = Behaviour::from_prompt(&answer::prompt(&json));
    let behaviour = prompted.unwrap_or_else(|| state.behaviour());
    let headers = pairs(&parts.headers);
    let echo = json!({ "served_by": state.name, "method": parts.method.as_str(), "target": target });
    state.ring.push(Recorded {
        sequence: 0,
        connection: peer.connection,
        method: parts.method.to_string(),
        target: target.clone(),
        version: format!("{:?}", parts.version),
        headers,
        body: bytes,
        complete,
        trailers,
        sni: peer.sni,
    });
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = path.strip_prefix(state.base_path.as_str()).unwrap_or(path).to_owned();
    let asked = Asked { method: &parts.method, path: &path, query, json: &json, echo };
    Answering { state, behaviour }.answer(asked).await
}

fn pairs(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    headers.iter().map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}

/// The control endpoints: not recorded, the same under every base path.
fn control(state: &State, method: &Method, target: &str, body: &[u8]) -> Option<Value> {
    match (method, target) {
        (&Method::GET, "/__requests") => Some(state.ring.to_json()),
        (&Method::DELETE, "/__requests") => {
            state.ring.clear();
            Some(json!({ "cleared": true }))
        }
        (&Method::PUT, "/__behaviour") => Some(match serde_json::from_slice(body) {
            Ok(behaviour) => {
                state.set_behaviour(behaviour);
                json!({ "set": true })
            }
            Err(error) => json!({ "set": false, "error": error.to_string() }),
        }),
        _ => None,
    }
}

/// What a request asks.
struct Asked<'a> {
    method: &'a Method,
    /// Below the base path.
    path: &'a str,
    query: &'a str,
    json: &'a Value,
    /// What a path that is not known is answered with.
    echo: Value,
}

struct Answering {
    state: Arc<State>,
    behaviour: Behaviour,
}

impl Answering {
    async fn answer(self, asked: Asked<'_>) -> Result<Response<Body>, Broken> {
        let Self { state, behaviour } = &self;
        if behaviour.reset {
            return Err(Broken::Reset);
        }
        if let Some(gate) = &behaviour.header_gate {
            state.pass(gate).await;
        }
        time::sleep(Duration::from_millis(behaviour.header_delay_ms)).await;
        let status = StatusCode::from_u16(behaviour.status).unwrap_or(StatusCode::OK);
        let mut response = self.respond(status, asked)?;
        if let Some(kind) = behaviour.content_type.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok()) {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("7"));
        }
        for (name, value) in &behaviour.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
                response.headers_mut().append(name, value);
            }
        }
        Ok(response)
    }

    fn respond(&self, status: StatusCode, asked: Asked<'_>) -> Result<Response<Body>, Broken> {
        let Self { state, behaviour } = self;
        let Asked { method, path, query, json: request, echo } = asked;
        let ask = Ask { name: &state.name, request, behaviour };
        if let Some(body) = &behaviour.body {
            return self.whole(status, body.clone().into());
        }
        if behaviour.garbage {
            return self.whole(status, Bytes::from_static(b"\x00\xff{\"choices\": garbage"));
        }
        if !status.is_success() {
            return self.whole(status, answer::error(status.as_u16()).to_string().into());
        }
        let (name, answer_bytes) = (state.name.as_str(), behaviour.answer_bytes);
        let native = native::Ask { name, method, path, query, request, answer_bytes };
        if let Some(reply) = lock(&state.kept).answer(&native) {
            return match reply {
                native::Reply::Json(status, json) => {
                    self.whole(StatusCode::from_u16(status).unwrap_or_default(), json.to_string().into())
                }
                native::Reply::Events(events) => self.stream(status, events),
            };
        }
        let streamed = request.get("stream").and_then(Value::as_bool).unwrap_or(false);
        let json = match path {
            "/chat/completions" if streamed => return self.stream(status, ask.events()),
            "/chat/completions" => ask.chat(),
            "/completions" => ask.completion(),
            "/embeddings" => ask.embedding(),
            "/models" => ask.models(),
            "/tokenize" => ask.tokens(),
            _ => echo,
        };
        self.whole(status, json.to_string().into())
    }

    fn stream(&self, status: StatusCode, events: Vec<Bytes>) -> Result<Response<Body>, Broken> {
        let response = Response::builder().status(status).header(CONTENT_TYPE, "text/event-stream");
        Ok(response.header("cache-control", "no-cache").body(self.flow(events))?)
    }

    /// A plain answer, with content-length unless the behaviour cuts it up.
    fn whole(&self, status: StatusCode, body: Bytes) -> Result<Response<Body>, Broken> {
        let flows = self.behaviour.chunked || self.behaviour.chunk_bytes > 0 || self.behaviour.close_after.is_some();
        if !flows && self.behaviour.chunk_gate.is_none() {
            return plain(status, "application/json", body);
        }
        let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
        Ok(response.body(self.flow(vec![body]))?)
    }

    /// A body in chunks, each after its delay and gate, broken off where the behaviour says so.
    fn flow(&self, chunks: Vec<Bytes>) -> Body {
        let chunks = cut(chunks, self.behaviour.chunk_bytes);
        let (state, behaviour) = (Arc::clone(&self.state), self.behaviour.clone());
        let frames = stream::iter(chunks.into_iter().enumerate()).then(move |(index, chunk)| {
            let (state, behaviour) = (Arc::clone(&state), behaviour.clone());
            async move {
                if behaviour.close_after.is_some_and(|chunks| index >= chunks) {
                    return Err(io::Error::other("the behaviour says to break here"));
                }
                if let Some(gate) = &behaviour.chunk_gate {
                    state.pass(gate).await;
                }
                if behaviour.chunk_delay_ms > 0 {
                    time::sleep(Duration::from_millis(behaviour.chunk_delay_ms)).await;
                }
                // Pending once lets hyper flush, so that each chunk is its own write.
                tokio::task::yield_now().await;
                Ok(chunk)
            }
        });
        boxed(frames)
    }
}

fn boxed(frames: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static) -> Body {
    StreamBody::new(frames.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

fn plain(status: StatusCode, kind: &'static str, body: Bytes) -> Result<Response<Body>, Broken> {
    let body = Full::new(body).map_err(|never: Infallible| match never {});
    Ok(Response::builder().status(status).header(CONTENT_TYPE, kind).body(body.boxed_unsync())?)
}

/// Cuts the joined chunks every `size` bytes.
fn cut(chunks: Vec<Bytes>, size: usize) -> Vec<Bytes> {
    if size == 0 {
        return chunks;
    }
    let mut all = Bytes::from(chunks.concat());
    let mut pieces = Vec::with_capacity(all.len() / size + 1);
    while all.len() > size {
        pieces.push(all.split_to(size));
    }
    pieces.push(all);
    pieces
}
