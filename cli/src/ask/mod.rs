//! Sends one chat completion and reads from the answer how it was routed; or asks the management API how it would be.

mod explain;
mod show;

use std::time::Duration;

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

pub use self::explain::{Explanation, explain};

// A large model on a small machine takes minutes; longer than this is a hang.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The user's message.
    pub prompt: String,
    /// Where Fingerpost is, `http://127.0.0.1:8801`, or its management API; a trailing `/v1` is allowed.
    pub url: String,
    /// The model, or the name that asks to be routed.
    pub model: String,
    /// Request headers as `name: value`.
    pub headers: Vec<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) elapsed: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL does not read.
    #[error("`{0}` is not an http URL; write for example `http://127.0.0.1:8801`")]
    Url(String),
    /// A header does not read. Its value is not shown: it may be a secret.
    #[error("header {0} is not `name: value`")]
    Header(usize),
    /// The client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(reqwest::Error),
    /// Nothing listens there.
    #[error("cannot reach Fingerpost at {url}: {why}; is it running? (`fingerpost up fingerpost.yaml`)")]
    Unreachable {
        /// Where it was sought.
        url: Url,
        /// Why not.
        why: String,
    },
    /// No management API listens there.
    #[error(
        "cannot reach the management API at {url}: {why}; is Fingerpost running, with `management: {{}}` in its configuration?"
    )]
    NoManagement {
        /// Where it was sought.
        url: Url,
        /// Why not.
        why: String,
    },
    /// The answer broke off.
    #[error("the answer from {url} broke off: {why}")]
    Broken {
        /// Where it came from.
        url: Url,
        /// Why.
        why: String,
    },
    /// Fingerpost or the backend refused it.
    #[error("{status}: {message}")]
    Refused {
        /// The HTTP status.
        status: reqwest::StatusCode,
        /// The message of the error object, with its code; the body where it is none.
        message: String,
    },
    /// The answer is no chat completion.
    #[error("the answer from {url} is not JSON: {why}")]
    NotJson {
        /// Where it came from.
        url: Url,
        /// What is wrong with it.
        why: serde_json::Error,
    },
}

/// Asks one question.
///
/// # Errors
/// Where there is no answer.
pub async fn ask(question: &Question) -> Result<Answer, Error> {
    let url = endpoint(&question.url, "/v1/chat/completions")?;
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(Error::Client)?;
    let body = json!({
        "model": question.model,
        "messages": [{"role": "user", "content": question.prompt}],
    });
    let begun = std::time::Instant::now();
    let sent = client.post(url.clone()).headers(headers(&question.headers)?).json(&body).send().await;
    let response = sent.map_err(|error| Error::Unreachable { url: url.clone(), why: root(&error) })?;
    let headers = response.headers().clone();
    let body = received(&url, response).await?;
    Ok(Answer { headers, body, elapsed: begun.elapsed() })
}

/// The JSON of an answer that is none of an error.
async fn received(url: &Url, response: reqwest::Response) -> Result<Value, Error> {
    let status = response.status();
    let bytes = response.bytes().await.map_err(|error| Error::Broken { url: url.clone(), why: root(&error) })?;
    if !status.is_success() {
        return Err(Error::Refused { status, message: refusal(&bytes) });
    }
    serde_json::from_slice(&bytes).map_err(|why| Error::NotJson { url: url.clone(), why })
}

fn endpoint(url: &str, path: &str) -> Result<Url, Error> {
    let bad = || Error::Url(url.to_owned());
    let base = url.trim_end_matches('/');
    let base = base.strip_suffix("/v1").unwrap_or(base);
    let url = Url::parse(base).map_err(|_| bad())?;
    if url.scheme() != "http" {
        return Err(bad());
    }
    url.join(&format!("{}{path}", url.path().trim_end_matches('/'))).map_err(|_| bad())
}

fn headers(given: &[String]) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (i, text) in given.iter().enumerate() {
        let bad = || Error::Header(i + 1);
        let (name, value) = text.split_once(':').ok_or_else(bad)?;
        let name: HeaderName = name.trim().parse().map_err(|_| bad())?;
        let value: HeaderValue = value.trim().parse().map_err(|_| bad())?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The innermost cause: `Connection refused`, not the layers around it.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() { format!("no answer within {} s", TIMEOUT.as_secs()) } else { cause.to_string() }
}

/// What an error body says.
fn refusal(bytes: &[u8]) -> String {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str);
    match (text("/error/message"), text("/error/code")) {
        (Some(message), Some(code)) => format!("{message} ({code})"),
        (Some(message), None) => message.to_owned(),
        (None, _) => String::from_utf8_lossy(bytes).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests;
