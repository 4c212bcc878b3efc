//! A whole chat completion becomes a Response.

use serde_json::value::RawValue;

use super::{
    CreateRequest, Turn,
    chat::Completion,
    collect::{Collector, Ended},
    json::{self, Object},
};
pub use super::{
    chat::{InputDetails, OutputDetails, Usage},
    template::Status,
};

/// What a backend answered.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The body, of a status below 400.
    pub body: &'a [u8],
    /// When its end came, in Unix seconds.
    pub at: u64,
}

/// The backend's body is not the answer that it was asked for: a 502.
#[derive(Debug, thiserror::Error)]
pub enum NotAnAnswer {
    /// It is not JSON, or its fields are of other types.
    #[error("the backend's answer is not a chat completion: {0}")]
    Json(#[from] serde_json::Error),
    /// It is not UTF-8.
    #[error("the backend's answer is not UTF-8: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    /// It has no choice.
    #[error("the backend's answer has no choice")]
    NoChoice,
    /// It says that it is something else, or an error.
    #[error("{0}")]
    Broken(String),
}

/// A Response, ready to be stored and sent.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How it ended.
    pub status: Status,
    /// The Response object.
    pub response: Vec<u8>,
    /// Its output items, for storage.
    pub output: Vec<Vec<u8>>,
    /// What it took, where the backend said so.
    pub usage: Option<Usage>,
}

impl Answer {
    pub(super) fn new(ended: &Ended) -> Self {
        Self {
            status: ended.status,
            response: bytes(&ended.response),
            output: ended.output.iter().map(|item| bytes(item)).collect(),
            usage: ended.usage,
        }
    }

    /// The Response object where it could not be stored, and the policy is to answer all the same.
    #[must_use]
    pub fn unsaved(&self) -> Vec<u8> {
        unsaved(&self.response).map_or_else(|| self.response.clone(), |response| bytes(&response))
    }
}

/// Translates a backend's completion.
///
/// # Errors
/// The body is not a chat completion: the caller answers 502.
pub fn from_chat(request: &CreateRequest, turn: Turn, received: Received<'_>) -> Result<Answer, NotAnAnswer> {
    let completion: Completion = serde_json::from_str(&json::compact(std::str::from_utf8(received.body)?))?;
    let mut collector = Collector::new(request, turn);
    collector.take(&completion).map_err(|broken| NotAnAnswer::Broken(broken.message))?;
    if completion.choices.as_ref().is_none_or(Vec::is_empty) {
        return Err(NotAnAnswer::NoChoice);
    }
    Ok(Answer::new(&collector.end(received.at)))
}

pub(super) fn bytes(json: &RawValue) -> Vec<u8> {
    json.get().as_bytes().to_vec()
}

/// A Response object with `store: false`.
pub(super) fn unsaved(response: &[u8]) -> Option<Box<RawValue>> {
    let object = Object::parse(std::str::from_utf8(response).ok()?, "", &[]).ok()?;
    Some(object.with(&[("store", &json::literal("false"))]))
}
