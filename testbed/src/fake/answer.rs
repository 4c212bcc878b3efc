//! The bodies of a fake backend's answers, in the shapes of the OpenAI API reference.

use bytes::Bytes;
use serde_json::{Value, json};

/// What an answer is made of.
pub(super) struct Ask<'a> {
    /// The backend's name.
    pub name: &'a str,
    /// The request.
    pub request: &'a Value,
    /// Least length of the text, in bytes.
    pub answer_bytes: usize,
}

/// A prompt that holds this asks for a call of the first tool.
const TOOL_WORDS: &str = "use the tool";

/// The text of a request's last message.
pub(super) fn prompt(request: &Value) -> String {
    let last = request.get("messages").and_then(Value::as_array).and_then(|messages| messages.last());
    match last.and_then(|message| message.get("content")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

impl Ask<'_> {
    fn model(&self) -> &str {
        self.request.get("model").and_then(Value::as_str).unwrap_or_default()
    }

    fn text(&self) -> String {
        let words: String = prompt(self.request).chars().take(60).collect();
        let mut text = format!("served by {}: you said \"{words}\"", self.name);
        while text.len() < self.answer_bytes {
            text.push_str(" and so on");
        }
        text
    }

    fn usage() -> Value {
        json!({ "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 })
    }

    fn tool_calls(&self) -> Option<Value> {
        let tool = self.request.get("tools")?.as_array()?.first()?;
        if !prompt(self.request).contains(TOOL_WORDS) {
            return None;
        }
        let name = tool.get("function")?.get("name")?.as_str()?;
        Some(json!([{ "index": 0, "id": "call_fake_1", "type": "function",
            "function": { "name": name, "arguments": "{\"city\":\"Paris\"}" } }]))
    }

    /// A `chat.completion`.
    pub(super) fn chat(&self) -> Value {
        let (message, reason) = match self.tool_calls() {
            Some(mut calls) => {
                for call in calls.as_array_mut().into_iter().flatten() {
                    call.as_object_mut().map(|call| call.remove("index"));
                }
                (json!({ "role": "assistant", "content": null, "tool_calls": calls }), "tool_calls")
            }
            None => (json!({ "role": "assistant", "content": self.text(), "refusal": null }), "stop"),
        };
        json!({ "id": "chatcmpl-fake", "object": "chat.completion", "created": 1_700_000_000, "model": self.model(),
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": reason }],
            "usage": Self::usage(), "system_fingerprint": format!("fp_{}", self.name) })
    }

    /// The events of a streamed chat completion.
    pub(super) fn events(&self) -> Vec<Bytes> {
        let usage = self.request.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
        let mut events = Vec::new();
        let mut delta = |delta: Value, reason: Option<&str>| {
            events.push(self.event(json!([{ "index": 0, "delta": delta, "finish_reason": reason }]), None));
        };
        delta(json!({ "role": "assistant", "content": "" }), None);
        if let Some(calls) = self.tool_calls() {
            delta(json!({ "tool_calls": calls }), None);
            delta(json!({}), Some("tool_calls"));
        } else {
            for word in self.text().split_inclusive(' ') {
                delta(json!({ "content": word }), None);
            }
            delta(json!({}), Some("stop"));
        }
        if usage {
            events.push(self.event(json!([]), Some(Self::usage())));
        }
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        events
    }

    fn event(&self, choices: Value, usage: Option<Value>) -> Bytes {
        let chunk = json!({ "id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": self.model(), "choices": choices, "usage": usage });
        Bytes::from(format!("data: {chunk}\n\n"))
    }

    /// A `text_completion`.
    pub(super) fn completion(&self) -> Value {
        json!({ "id": "cmpl-fake", "object": "text_completion", "created": 1_700_000_000, "model": self.model(),
            "choices": [{ "index": 0, "text": format!("served by {}", self.name), "logprobs": null, "finish_reason": "stop" }],
            "usage": Self::usage() })
    }

    /// A list of one embedding.
    pub(super) fn embedding(&self) -> Value {
        json!({ "object": "list", "model": self.model(),
            "data": [{ "object": "embedding", "index": 0, "embedding": [0.6, 0.8] }],
            "usage": { "prompt_tokens": 2, "total_tokens": 2 } })
    }

    /// The backend's own list of models.
    pub(super) fn models(&self) -> Value {
        json!({ "object": "list", "data": [{ "id": self.name, "object": "model", "created": 1_700_000_000, "owned_by": "fake" }] })
    }
}

/// An error in OpenAI's shape, as that status carries it there.
pub(super) fn error(status: u16) -> Value {
    let (kind, code) = match status {
        429 => ("rate_limit_error", "rate_limit_exceeded"),
        500.. => ("server_error", "internal_error"),
        _ => ("invalid_request_error", "fake_error"),
    };
    json!({ "error": { "message": format!("the fake backend was told to answer {status}"), "type": kind, "param": null, "code": code } })
}
