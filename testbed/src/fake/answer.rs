//! The bodies of a fake backend's answers, in the shapes of the OpenAI API reference.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    behaviour::Behaviour,
    words::{Conversation, text_of},
};

/// What an answer is made of.
pub(super) struct Ask<'a> {
    /// The backend's name.
    pub name: &'a str,
    /// The request.
    pub request: &'a Value,
    /// How the backend (mis)behaves.
    pub behaviour: &'a Behaviour,
}

/// A prompt that holds this asks for a call of the first tool.
pub(super) const TOOL_WORDS: &str = "use the tool";

/// The text of a request's last message or input item.
pub(super) fn prompt(request: &Value) -> String {
    if let Some(Value::String(input)) = request.get("input") {
        return input.clone();
    }
    let list = request.get("messages").or_else(|| request.get("input"));
    let last = list.and_then(Value::as_array).and_then(|messages| messages.last());
    text_of(last.and_then(|message| message.get("content").or_else(|| message.get("output"))))
}

impl Ask<'_> {
    fn model(&self) -> &str {
        self.request.get("model").and_then(Value::as_str).unwrap_or_default()
    }

    fn text(&self) -> String {
        let messages = self.request.get("messages").and_then(Value::as_array).into_iter().flatten();
        let texts = messages.map(|message| text_of(message.get("content"))).collect();
        let schema = self.request.pointer("/response_format/json_schema/schema");
        Conversation { name: self.name, texts, schema, answer_bytes: self.behaviour.answer_bytes }.answer()
    }

    fn usage() -> Value {
        json!({ "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12,
            "prompt_tokens_details": { "cached_tokens": 3 }, "completion_tokens_details": { "reasoning_tokens": 2 } })
    }

    /// The assistant's message and why it ends.
    fn message(&self) -> (Value, Option<String>) {
        let message = self.behaviour.message.clone().or_else(|| {
            let calls = self.tool_calls()?;
            Some(json!({ "role": "assistant", "content": null, "tool_calls": calls }))
        });
        let message =
            message.unwrap_or_else(|| json!({ "role": "assistant", "content": self.text(), "refusal": null }));
        let fits = if message.get("tool_calls").is_some() { "tool_calls" } else { "stop" };
        let reason = self.behaviour.finish_reason.as_deref().unwrap_or(fits);
        (message, Some(reason).filter(|reason| *reason != "none").map(str::to_owned))
    }

    fn tool_calls(&self) -> Option<Value> {
        let tool = self.request.get("tools")?.as_array()?.first()?;
        if !prompt(self.request).contains(TOOL_WORDS) {
            return None;
        }
        let name = tool.get("function")?.get("name")?.as_str()?;
        Some(json!([{ "id": "call_fake_1", "type": "function",
            "function": { "name": name, "arguments": "{\"city\":\"Paris\"}" } }]))
    }

    fn logprobs(&self, text: &str) -> Value {
        if self.request.get("logprobs").and_then(Value::as_bool) != Some(true) {
            return Value::Null;
        }
        let token =
            |word: &str| json!({ "token": word, "logprob": -0.5, "bytes": word.as_bytes(), "top_logprobs": [] });
        json!({ "content": text.split_inclusive(' ').map(token).collect::<Vec<_>>(), "refusal": null })
    }

    /// A `chat.completion`.
    pub(super) fn chat(&self) -> Value {
        let (message, reason) = self.message();
        let logprobs = message.get("content").and_then(Value::as_str).map_or(Value::Null, |text| self.logprobs(text));
        json!({ "id": "chatcmpl-fake", "object": "chat.completion", "created": 1_700_000_000, "model": self.model(),
            "choices": [{ "index": 0, "message": message, "logprobs": logprobs, "finish_reason": reason }],
            "usage": Self::usage(), "system_fingerprint": format!("fp_{}", self.name) })
    }

    /// The events of a streamed chat completion.
    pub(super) fn events(&self) -> Vec<Bytes> {
        let (message, reason) = self.message();
        let mut events = Vec::new();
        for delta in self.behaviour.deltas.clone().unwrap_or_else(|| deltas(&message)) {
            let text = delta.get("content").and_then(Value::as_str).filter(|text| !text.is_empty());
            let logprobs = text.map_or(Value::Null, |text| self.logprobs(text));
            let choice = json!({ "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": null });
            events.push(self.event(json!([choice]), None));
        }
        if let Some(frames) = &self.behaviour.frames {
            events.extend(frames.iter().map(|data| Bytes::from(format!("data: {data}\n\n"))));
            return events;
        }
        if reason.is_some() {
            events.push(self.event(json!([{ "index": 0, "delta": {}, "finish_reason": reason }]), None));
        }
        if self.request.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false) {
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

    /// What vLLM's tokenizer endpoint answers: here every message is ten tokens.
    pub(super) fn tokens(&self) -> Value {
        let messages = self.request.get("messages").and_then(Value::as_array).map_or(1, Vec::len);
        json!({ "count": messages * 10, "max_model_len": 4_096, "tokens": vec![1; messages * 10], "token_strs": null })
    }
}

/// The deltas that a message falls into: word by word; calls named first, then their arguments in halves, in turns.
fn deltas(message: &Value) -> Vec<Value> {
    let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
    for field in ["reasoning_content", "content", "refusal"] {
        let text = message.get(field).and_then(Value::as_str).unwrap_or_default();
        deltas.extend(text.split_inclusive(' ').map(|word| json!({ field: word })));
    }
    let calls: Vec<&Value> = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().collect();
    for (index, call) in calls.iter().enumerate() {
        let name = call.pointer("/function/name");
        let call = json!({ "index": index, "id": call.get("id"), "type": "function",
            "function": { "name": name, "arguments": "" } });
        deltas.push(json!({ "tool_calls": [call] }));
    }
    for second in [false, true] {
        for (index, call) in calls.iter().enumerate() {
            let arguments = call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default();
            let half = arguments.chars().count() / 2;
            let half: String =
                if second { arguments.chars().skip(half).collect() } else { arguments.chars().take(half).collect() };
            deltas.push(json!({ "tool_calls": [{ "index": index, "function": { "arguments": half } }] }));
        }
    }
    deltas
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
