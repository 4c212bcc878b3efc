//! What the cases of the Responses API share.

use std::net::SocketAddr;

use fingerpost_testbed::{
    client::{Call, Reply},
    fake::Behaviour,
    harness::{Builder, Classifier, EndpointSetup, ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    common::through, responses_conversations, responses_memory, responses_refused, responses_stored, responses_stream,
};

pub(crate) const PATH: &str = "/v1/responses";
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// Chat backends: `chat`, `other`, `old` with an older dialect, and `spread` over three endpoints; maths goes to `other`.
pub(crate) fn builder() -> Builder {
    let options =
        json!({ "max_tokens_field": "max_tokens", "developer_role": "system", "tokenizer_path": "/tokenize" });
    Stack::builder()
        .model(ModelSetup::named("old").field("options", options))
        .model(ModelSetup::named("other"))
        .model(ModelSetup::with("spread", ["s1", "s2", "s3"].map(EndpointSetup::named).into()))
        .model(ModelSetup::named("chat").field("upstream_name", json!("org/chat-1")))
        .decision("category == 'math'", "other")
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.9)))
        .state(&json!({}))
}

pub(crate) async fn boot() -> Result<Stack, StackError> {
    builder().start().await
}

/// All cases that do not disturb the stack that they share.
pub(crate) fn suite() -> Suite {
    let suite = responses_memory::cases(Suite::new("responses", boot));
    let suite = responses_stored::cases(responses_stream::cases(suite));
    responses_refused::cases(responses_conversations::cases(suite))
}

/// A request for a response.
pub(crate) fn ask(model: &str, input: impl Into<Value>) -> Value {
    json!({ "model": model, "input": input.into() })
}

/// One that follows another.
pub(crate) fn follow(model: &str, previous: &Value, input: impl Into<Value>) -> Value {
    with(ask(model, input), json!({ "previous_response_id": id(previous) }))
}

/// Adds members.
pub(crate) fn with(mut request: Value, members: Value) -> Value {
    let members = members.as_object().expect("members").clone();
    request.as_object_mut().expect("a request").extend(members);
    request
}

/// A request whose backend misbehaves.
pub(crate) fn behaving(model: &str, behaviour: &Behaviour) -> Value {
    ask(model, behaviour.marker())
}

pub(crate) fn create(request: &Value) -> Call {
    Call::post(PATH, request.to_string())
}

/// The object's id.
pub(crate) fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap_or_else(|| panic!("no id: {object}"))
}

/// Asks and expects an answer that is JSON.
pub(crate) async fn answered(to: SocketAddr, call: Call) -> Value {
    let reply = call.send(to).await.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// A response to this request.
pub(crate) async fn respond(stack: &Stack, request: &Value) -> Value {
    answered(stack.address(), create(request)).await
}

/// A response to this request, and the chat completion that the backend was asked for.
pub(crate) async fn translated(stack: &Stack, request: &Value) -> (Value, Value) {
    let (reply, seen) = through(stack, create(request)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", CHAT));
    (reply.json(), seen.json())
}

pub(crate) fn stored(method: Method, id: &str, rest: &str) -> Call {
    Call::new(method, format!("{PATH}/{id}{rest}"))
}

pub(crate) fn get(id: &str) -> Call {
    stored(Method::GET, id, "")
}

/// The text that a response says.
pub(crate) fn text(response: &Value) -> String {
    let items = response["output"].as_array().unwrap_or_else(|| panic!("no output: {response}"));
    let parts = items.iter().filter_map(|item| item["content"].as_array()).flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

/// The backend that says it served.
pub(crate) fn server(response: &Value) -> String {
    let text = text(response);
    let name = text.strip_prefix("served by ").and_then(|rest| rest.split_once(':'));
    name.unwrap_or_else(|| panic!("nobody says that it served: {response}")).0.to_owned()
}

/// A server-sent event of this API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub kind: String,
    pub data: Value,
}

/// The events of a whole stream. Their names are their types, they count from `first`, and `[DONE]` ends them where `done`.
pub(crate) fn events(reply: &Reply, first: u64, done: bool) -> Vec<Event> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")), "{reply:?}");
    let text = reply.text();
    let body = text.strip_suffix("data: [DONE]\n\n");
    assert_eq!(body.is_some(), done, "{text}");
    let frames = body.unwrap_or(&text).split_terminator("\n\n");
    let events: Vec<Event> = frames
        .map(|frame| {
            let (kind, data) = frame.split_once('\n').unwrap_or_else(|| panic!("{frame:?} has no two lines"));
            let kind = kind.strip_prefix("event: ").unwrap_or_else(|| panic!("{frame:?} has no name")).to_owned();
            let data = data.strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data).ok());
            Event { kind, data: data.unwrap_or_else(|| panic!("{frame:?} has no JSON")) }
        })
        .collect();
    for (number, event) in (first..).zip(&events) {
        assert_eq!(event.data["type"], event.kind.as_str(), "{event:?}");
        assert_eq!(event.data["sequence_number"], number, "{event:?}");
    }
    events
}

/// Their kinds, deltas that follow one another as one.
pub(crate) fn kinds(events: &[Event]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|event| event.kind.trim_start_matches("response.")).collect();
    kinds.dedup_by(|a, b| a == b && a.ends_with(".delta"));
    kinds
}

/// Asks for a stream.
pub(crate) async fn streamed(stack: &Stack, request: &Value) -> Reply {
    let request = with(request.clone(), json!({ "stream": true }));
    stack.send(create(&request)).await.expect("an answer")
}

/// The response object of the last event.
pub(crate) fn last(events: &[Event]) -> (&str, &Value) {
    let last = events.last().expect("events");
    (&last.kind, &last.data["response"])
}

pub(crate) fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

pub(crate) fn assistant(text: &str) -> Value {
    json!({ "role": "assistant", "content": text })
}

pub(crate) fn weather() -> Value {
    json!({ "type": "function", "name": "weather", "description": null, "strict": true,
        "parameters": { "type": "object", "properties": { "city": { "type": "string" } } } })
}
