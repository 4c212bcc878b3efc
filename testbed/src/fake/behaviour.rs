//! How a fake backend (mis)behaves: set for all requests, or for one by a marker in its last message.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the backend does with a request. The default answers well and at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// HTTP status; an error in OpenAI's shape unless `body` says otherwise. 0 is 200.
    pub status: u16,
    /// The exact answer, instead of a completion.
    pub body: Option<String>,
    /// Its content type, instead of the one that fits.
    pub content_type: Option<String>,
    /// Answers bytes that are no JSON, as if they were.
    pub garbage: bool,
    /// Further response headers.
    pub headers: Vec<(String, String)>,
    /// Closes the connection instead of answering.
    pub reset: bool,
    /// Milliseconds before the response headers.
    pub header_delay_ms: u64,
    /// Milliseconds before each chunk of the body.
    pub chunk_delay_ms: u64,
    /// Waits for a permit of this gate before the response headers.
    pub header_gate: Option<String>,
    /// Waits for a permit of this gate before each chunk of the body.
    pub chunk_gate: Option<String>,
    /// Cuts the body in chunks of so many bytes, wherever they fall; 0 leaves it as it is.
    pub chunk_bytes: usize,
    /// Sends a plain answer without content-length.
    pub chunked: bool,
    /// Breaks the connection after so many chunks.
    pub close_after: Option<usize>,
    /// Makes the completion's text at least so many bytes long.
    pub answer_bytes: usize,
    /// The assistant's message as a chat completion has it, instead of one that says who serves.
    pub message: Option<Value>,
    /// Why the completion ends, instead of the reason that fits; `none` leaves it out.
    pub finish_reason: Option<String>,
    /// The deltas of a streamed completion, instead of those that the message falls into.
    pub deltas: Option<Vec<Value>>,
    /// The data of events that a stream ends with as they are: no finish reason, no usage, no `[DONE]`.
    pub frames: Option<Vec<String>>,
}

const OPEN: &str = "[[fake:";
const CLOSE: &str = "]]";

impl Behaviour {
    /// The marker that asks for this behaviour from within a prompt.
    #[must_use]
    pub fn marker(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{OPEN}{json}{CLOSE}")
    }

    /// The behaviour that a prompt asks for, if it holds a marker that reads.
    #[must_use]
    pub fn from_prompt(prompt: &str) -> Option<Self> {
        let (_, rest) = prompt.split_once(OPEN)?;
        let (json, _) = rest.rsplit_once(CLOSE)?;
        serde_json::from_str(json).ok()
    }
}
