//! A classifier that fails to order: for the failure modes, and where a test needs an exact verdict. The normal path uses the
//! real service. It speaks gRPC by hand, because a library would not let it send nonsense.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use fingerpost_proto::classifier::{AnalyzeRequest, AnalyzeResponse, CategoryVerdict, LabelScore, SegmentAnalysis};
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{HeaderName, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time,
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the stub answers.
#[derive(Debug, Clone, PartialEq)]
pub enum StubReply {
    /// A verdict for every segment.
    Verdict {
        /// The label.
        label: String,
        /// Its probability.
        confidence: f32,
    },
    /// A message of zero bytes: valid protobuf, no segments.
    Empty,
    /// A message that is no protobuf.
    Nonsense,
    /// A label that is no text that can go in a header.
    HostileLabel,
    /// A gRPC status.
    Grpc(u16),
    /// An HTTP status without gRPC.
    Http(u16),
    /// No answer, ever.
    Never,
}

/// A reply and the time before it.
#[derive(Debug, Clone, PartialEq)]
pub struct StubBehaviour {
    /// Time until the reply.
    pub delay: Duration,
    /// The reply.
    pub reply: StubReply,
}

impl StubBehaviour {
    /// That reply at once.
    #[must_use]
    pub const fn now(reply: StubReply) -> Self {
        Self { delay: Duration::ZERO, reply }
    }

    /// A verdict at once.
    #[must_use]
    pub fn verdict(label: &str, confidence: f32) -> Self {
        Self::now(StubReply::Verdict { label: label.to_owned(), confidence })
    }
}

/// What a call asked.
#[derive(Debug, Clone, PartialEq)]
pub struct StubCall {
    /// The message; a call that does not read as one is recorded as the default.
    pub request: AnalyzeRequest,
    /// The call's metadata.
    pub metadata: HeaderMap,
}

#[derive(Debug)]
struct State {
    behaviour: Mutex<StubBehaviour>,
    calls: watch::Sender<Vec<StubCall>>,
}

/// A running stub. It stops when dropped.
#[derive(Debug)]
pub struct Stub {
    state: Arc<State>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// Most calls kept.
const MAX_CALLS: usize = 4_096;

impl Stub {
    /// Binds a free loopback port and serves.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(behaviour: StubBehaviour) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { behaviour: Mutex::new(behaviour), calls: watch::Sender::default() });
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { state, address, server })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets how calls are answered from now on.
    pub fn behave(&self, behaviour: StubBehaviour) {
        *self.state.lock() = behaviour;
    }

    /// The calls kept, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<StubCall> {
        self.state.calls.borrow().clone()
    }

    /// Waits until a call that fits has arrived; `false` when none has in time.
    pub async fn wait(&self, limit: Duration, wanted: impl Fn(&StubCall) -> bool) -> bool {
        let mut calls = self.state.calls.subscribe();
        time::timeout(limit, calls.wait_for(|calls| calls.iter().any(&wanted))).await.is_ok_and(|found| found.is_ok())
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, StubBehaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let state = Arc::clone(&state);
                let service = service_fn(move |request| analyze(Arc::clone(&state), request));
                let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
                connections.spawn(async { connection.await.is_ok() });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn analyze(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, hyper::http::Error> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let request = bytes.get(5..).and_then(|message| AnalyzeRequest::decode(message).ok()).unwrap_or_default();
    let segments = request.segments.len();
    state.calls.send_modify(|calls| {
        if calls.len() >= MAX_CALLS {
            calls.remove(0);
        }
        calls.push(StubCall { request, metadata: parts.headers });
    });
    let StubBehaviour { delay, reply } = state.lock().clone();
    time::sleep(delay).await;
    let verdict = |label: &str, confidence: f32| {
        let scores = vec![LabelScore { label: label.to_owned(), score: confidence }];
        let category = CategoryVerdict { label: label.to_owned(), confidence, scores };
        let segment = SegmentAnalysis { category: Some(category), ..SegmentAnalysis::default() };
        AnalyzeResponse { segments: vec![segment; segments], ..AnalyzeResponse::default() }.encode_to_vec()
    };
    match reply {
        StubReply::Verdict { label, confidence } => grpc(0, Some(verdict(&label, confidence))),
        StubReply::Empty => grpc(0, Some(Vec::new())),
        StubReply::Nonsense => grpc(0, Some(vec![0xff; 64])),
        StubReply::HostileLabel => grpc(0, Some(verdict("math\r\nx-evil: 1\u{0}", 0.9))),
        StubReply::Grpc(status) => grpc(status, None),
        StubReply::Http(status) => Response::builder().status(status).body(frames(Vec::new())),
        StubReply::Never => std::future::pending().await,
    }
}

fn grpc(status: u16, message: Option<Vec<u8>>) -> Result<Response<Body>, hyper::http::Error> {
    let data = message.map(|message| {
        let mut framed = BytesMut::with_capacity(message.len() + 5);
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        framed.put_slice(&message);
        Frame::data(framed.freeze())
    });
    let trailers = HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), HeaderValue::from(status)),
        (HeaderName::from_static("grpc-message"), HeaderValue::from_static("the stub was told so")),
    ]);
    let body = frames(data.into_iter().chain([Frame::trailers(trailers)]).collect());
    Response::builder().status(StatusCode::OK).header("content-type", "application/grpc").body(body)
}

fn frames(list: Vec<Frame<Bytes>>) -> Body {
    StreamBody::new(stream::iter(list.into_iter().map(Ok))).boxed_unsync()
}
