//! What many cases need.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fingerpost_testbed::{
    client::{Call, Reply},
    fake::{Behaviour, Recorded},
    harness::Stack,
};
use serde_json::{Value, json};

/// A chat completion request.
pub(crate) fn chat(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] })
}

/// One whose backend misbehaves.
pub(crate) fn behaving(model: &str, behaviour: &Behaviour) -> Value {
    chat(model, &behaviour.marker())
}

/// A request id of its own, to find the request at a backend.
pub(crate) fn id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("case-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The request with that id, at whichever backend got it.
pub(crate) fn at_backend(stack: &Stack, id: &str) -> Option<Arc<Recorded>> {
    stack.fakes().iter().find_map(|fake| fake.find(|request| request.header("x-request-id") == Some(id)))
}

/// Sends a call and returns the answer and what the backend got.
pub(crate) async fn through(stack: &Stack, call: Call) -> (Reply, Arc<Recorded>) {
    let id = id();
    let reply = stack.send(call.header("x-request-id", id.as_str())).await.expect("an answer");
    let seen = at_backend(stack, &id);
    let seen = seen.unwrap_or_else(|| panic!("no backend got it; the answer was {} {}", reply.status, reply.text()));
    (reply, seen)
}

/// The backend that says it served.
pub(crate) fn served_by(reply: &Reply) -> String {
    let json = reply.json();
    let text = json["choices"][0]["message"]["content"].as_str();
    let text = text.unwrap_or_else(|| panic!("no completion: {} {}", reply.status, reply.text()));
    text.trim_start_matches("served by ").split(':').next().unwrap_or_default().to_owned()
}

/// An error in OpenAI's shape, nothing more and nothing less.
pub(crate) fn assert_error(reply: &Reply, status: u16, code: &str) -> Value {
    let json = reply.json();
    let context = format!("{} {}", reply.status, reply.text());
    assert_eq!(reply.status, status, "{context}");
    assert_eq!(json["error"]["code"], code, "{context}");
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{context}");
    let error = json["error"].as_object().expect("an error object");
    let mut keys: Vec<&str> = error.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "message", "param", "type"], "{context}");
    assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{context}");
    let kind = if status >= 500 { "server_error" } else { "invalid_request_error" };
    assert_eq!(error["type"], kind, "{context}");
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{context}");
    json["error"].clone()
}
