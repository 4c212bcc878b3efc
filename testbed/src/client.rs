//! A client that sends exactly the bytes it is told to and gives up on an answer that does not come.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::{Frame, Incoming},
    client::conn::{http1, http2},
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time,
};

/// Longest wait for an answer: what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// The exchange failed.
    #[error("exchange: {0}")]
    Hyper(#[from] hyper::Error),
    /// The request cannot be written down.
    #[error("request: {0}")]
    Http(#[from] hyper::http::Error),
    /// No answer in time.
    #[error("no answer within {PATIENCE:?}")]
    Hung(#[from] time::error::Elapsed),
}

/// HTTP version, and how the body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// HTTP/1.1 with content-length.
    #[default]
    Sized,
    /// HTTP/1.1 with chunked transfer encoding, in chunks of 64 KiB.
    Chunked,
    /// HTTP/1.1, chunked, with a trailer at the end.
    ChunkedTrailers,
    /// HTTP/2 without TLS.
    H2,
    /// HTTP/2 without TLS, with a trailer at the end.
    H2Trailers,
}

/// A request to send.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    framing: Framing,
}

impl Call {
    /// A GET.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// A request without body.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Bytes::new(), framing: Framing::Sized }
    }

    /// A POST of these bytes as `application/json`.
    pub fn post(target: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, target).header("content-type", "application/json").body(body)
    }

    /// A chat completion.
    #[must_use]
    pub fn chat(json: &Value) -> Self {
        Self::post("/v1/chat/completions", json.to_string())
    }

    /// Replaces the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header; one of the same name as `content-type` replaces it.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        if name == CONTENT_TYPE.as_str() {
            self.headers.retain(|(known, _)| known != name);
        }
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Takes a header away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Chooses version and framing.
    #[must_use]
    pub const fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Sends it over a connection of its own and reads the whole answer.
    ///
    /// # Errors
    /// [`ClientError`]; an error status is an answer, not an error.
    pub async fn send(self, to: SocketAddr) -> Result<Reply, ClientError> {
        time::timeout(PATIENCE, async { self.open(to).await?.finish().await }).await?
    }

    /// Sends it and returns at the response headers.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub async fn open(self, to: SocketAddr) -> Result<Streaming, ClientError> {
        time::timeout(PATIENCE, self.start(to)).await?
    }

    async fn start(self, to: SocketAddr) -> Result<Streaming, ClientError> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        let h2 = matches!(self.framing, Framing::H2 | Framing::H2Trailers);
        let request = self.request(to)?;
        let (response, connection): (Response<Incoming>, _) = if h2 {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            let connection = Connection(tokio::spawn(async { connection.await.is_ok() }));
            (sender.send_request(request).await?, connection)
        } else {
            let (mut sender, connection) = http1::handshake(io).await?;
            let connection = Connection(tokio::spawn(async { connection.await.is_ok() }));
            (sender.send_request(request).await?, connection)
        };
        let (parts, body) = response.into_parts();
        Ok(Streaming { status: parts.status.as_u16(), headers: parts.headers, body, _connection: connection })
    }

    fn request(self, to: SocketAddr) -> Result<Request<UnsyncBoxBody<Bytes, Infallible>>, ClientError> {
        let h2 = matches!(self.framing, Framing::H2 | Framing::H2Trailers);
        let uri = if h2 { format!("http://{to}{}", self.target) } else { self.target };
        let mut request = Request::builder().method(self.method).uri(uri);
        if !h2 && !self.headers.iter().any(|(name, _)| name == HOST.as_str()) {
            request = request.header(HOST, to.to_string());
        }
        if self.framing == Framing::ChunkedTrailers {
            request = request.header("trailer", "x-late");
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let body = match self.framing {
            Framing::Sized | Framing::H2 => Full::new(self.body).boxed_unsync(),
            Framing::Chunked => frames(self.body, false),
            Framing::ChunkedTrailers | Framing::H2Trailers => frames(self.body, true),
        };
        Ok(request.body(body)?)
    }
}

fn frames(mut body: Bytes, trailers: bool) -> UnsyncBoxBody<Bytes, Infallible> {
    const CHUNK: usize = 64 * 1024;
    let mut list = Vec::new();
    while !body.is_empty() {
        list.push(Frame::data(body.split_to(CHUNK.min(body.len()))));
    }
    if trailers {
        let late = (HeaderName::from_static("x-late"), HeaderValue::from_static("1"));
        list.push(Frame::trailers(HeaderMap::from_iter([late])));
    }
    StreamBody::new(stream::iter(list).map(Ok)).boxed_unsync()
}

/// Drives a connection, and breaks it when dropped.
#[derive(Debug)]
struct Connection(JoinHandle<bool>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer whose body is still to come. Dropping it hangs up.
#[derive(Debug)]
pub struct Streaming {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: HeaderMap,
    body: Incoming,
    _connection: Connection,
}

impl Streaming {
    /// The next piece of the body as it arrives; `None` at its end.
    ///
    /// # Errors
    /// The body breaks off, or nothing comes in time.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let Some(frame) = time::timeout(PATIENCE, self.body.frame()).await? else { return Ok(None) };
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// Reads the rest.
    ///
    /// # Errors
    /// As [`Streaming::next`].
    pub async fn finish(mut self) -> Result<Reply, ClientError> {
        let mut body = Vec::new();
        while let Some(piece) = self.next().await? {
            body.extend_from_slice(&piece);
        }
        Ok(Reply { status: self.status, headers: self.headers, body: body.into() })
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The first header of that name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; `Null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Writes raw bytes to a connection of its own, ends it on our side where `half_close` says so, and reads all that comes back.
///
/// # Errors
/// The connection fails, or the other side neither ends it nor answers in time.
pub async fn raw(to: SocketAddr, bytes: &[u8], half_close: bool) -> Result<Vec<u8>, ClientError> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        // The other side may answer and hang up before it has read everything.
        let _refused = stream.write_all(bytes).await;
        if half_close {
            let _closed = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            Err(error) if answer.is_empty() => Err(error),
            _ => Ok(answer),
        }
    };
    Ok(time::timeout(PATIENCE, exchange).await??)
}
