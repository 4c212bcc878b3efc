//! The Responses API of a fake backend that keeps its responses itself, each instance its own: a request that lands at another
//! one finds nothing there.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    answer::TOOL_WORDS,
    words::{Conversation, text_of},
};

/// What an instance has kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    next: u64,
    responses: HashMap<String, Response>,
}

#[derive(Debug, Clone)]
struct Response {
    json: Value,
    /// The items of the turns before and of this request.
    input: Vec<Value>,
    /// What a background response will say once it has been asked for twice.
    pending: Vec<Value>,
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub name: &'a str,
    pub method: &'a Method,
    /// Below the base path.
    pub path: &'a str,
    pub query: &'a str,
    pub request: &'a Value,
    pub answer_bytes: usize,
}

/// What is answered.
pub(super) enum Reply {
    Json(u16, Value),
    Events(Vec<Bytes>),
}

fn refuse(status: u16, message: String, param: Option<&str>, code: Option<&str>) -> Reply {
    let error = json!({ "message": message, "type": "invalid_request_error", "param": param, "code": code });
    Reply::Json(status, json!({ "error": error }))
}

fn not_found(id: &str) -> Reply {
    refuse(404, format!("Response with id '{id}' not found."), None, None)
}

fn set(json: &mut Value, name: &str, value: Value) {
    if let Some(object) = json.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

impl Kept {
    /// The ids kept, in no order.
    pub(super) fn ids(&self) -> Vec<String> {
        self.responses.keys().cloned().collect()
    }

    /// Answers; `None` for a path that is not of this API.
    pub(super) fn answer(&mut self, ask: &Ask<'_>) -> Option<Reply> {
        let rest = ask.path.strip_prefix("/responses")?;
        if rest.is_empty() && ask.method == Method::POST {
            return Some(self.create(ask));
        }
        let rest = rest.strip_prefix('/')?;
        let (id, action) = rest.split_once('/').unwrap_or((rest, ""));
        Some(match (ask.method, id, action) {
            (&Method::POST, "input_tokens", "") => {
                Reply::Json(200, json!({ "object": "response.input_tokens", "input_tokens": 11 }))
            }
            (&Method::GET, id, "") => self.retrieve(id, ask.query),
            (&Method::DELETE, id, "") => match self.responses.remove(id) {
                Some(_) => Reply::Json(200, json!({ "id": id, "object": "response", "deleted": true })),
                None => not_found(id),
            },
            (&Method::POST, id, "cancel") => self.cancel(id),
            (&Method::GET, id, "input_items") => match self.responses.get(id) {
                Some(response) => Reply::Json(200, list(response.input.iter().rev().cloned().collect())),
                None => not_found(id),
            },
            _ => refuse(405, "Not allowed on this URL.".to_owned(), None, None),
        })
    }

    fn create(&mut self, ask: &Ask<'_>) -> Reply {
        let mut input = Vec::new();
        if let Some(id) = ask.request.get("previous_response_id").and_then(Value::as_str) {
            let Some(previous) = self.responses.get(id) else {
                let message = format!("Previous response with id '{id}' not found.");
                return refuse(400, message, Some("previous_response_id"), Some("previous_response_not_found"));
            };
            input.extend(previous.input.iter().cloned());
            input.extend(previous.json.get("output").and_then(Value::as_array).into_iter().flatten().cloned());
        }
        self.next += 1;
        let id = format!("resp_fake_{}_{}", ask.name, self.next);
        input.extend(items(ask.request, &id));
        let output = vec![said(ask, &input, &id)];
        let flag = |name| ask.request.get(name).and_then(Value::as_bool);
        let background = flag("background") == Some(true);
        let mut response = Response { json: begun(ask.request, &id), input, pending: Vec::new() };
        if background {
            set(&mut response.json, "status", json!("queued"));
            response.pending = output;
        } else {
            finish(&mut response.json, output);
        }
        if flag("store") != Some(false) {
            self.responses.insert(id, response.clone());
        }
        if flag("stream") == Some(true) && !background {
            return Reply::Events(events(&response.json, None));
        }
        Reply::Json(200, response.json)
    }

    /// Each look at a background response takes it one step further.
    fn retrieve(&mut self, id: &str, query: &str) -> Reply {
        let Some(response) = self.responses.get_mut(id) else { return not_found(id) };
        match response.json.get("status").and_then(Value::as_str) {
            Some("queued") => set(&mut response.json, "status", json!("in_progress")),
            Some("in_progress") => finish(&mut response.json, std::mem::take(&mut response.pending)),
            _ => {}
        }
        let option =
            |name: &str| query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
        if option("stream").is_some_and(|(_, value)| value == "true") {
            let after = option("starting_after").and_then(|(_, number)| number.parse().ok());
            return Reply::Events(events(&response.json, after));
        }
        Reply::Json(200, response.json.clone())
    }

    fn cancel(&mut self, id: &str) -> Reply {
        let Some(response) = self.responses.get_mut(id) else { return not_found(id) };
        if response.pending.is_empty() {
            return refuse(400, "Cannot cancel a completed response.".to_owned(), None, None);
        }
        response.pending.clear();
        set(&mut response.json, "status", json!("cancelled"));
        Reply::Json(200, response.json.clone())
    }
}

fn list(data: Vec<Value>) -> Value {
    let id = |item: Option<&Value>| item.and_then(|item| item.get("id")).cloned();
    json!({ "object": "list", "first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data })
}

/// The request's input as items with ids.
fn items(request: &Value, id: &str) -> Vec<Value> {
    let mut items = match request.get("input") {
        Some(Value::String(text)) => {
            vec![json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": text }] })]
        }
        Some(Value::Array(list)) => list.clone(),
        _ => Vec::new(),
    };
    for (index, item) in items.iter_mut().enumerate() {
        if item.get("id").is_none() {
            set(item, "id", json!(format!("msg_{id}_{index}")));
        }
    }
    items
}

fn said(ask: &Ask<'_>, input: &[Value], id: &str) -> Value {
    let texts: Vec<String> =
        input.iter().map(|item| text_of(item.get("content").or_else(|| item.get("output")))).collect();
    let tool = ask.request.pointer("/tools/0/name").and_then(Value::as_str);
    if let Some(name) = tool.filter(|_| texts.last().is_some_and(|text| text.contains(TOOL_WORDS))) {
        return json!({ "type": "function_call", "id": format!("fc_{id}"), "call_id": "call_fake_1", "name": name,
            "arguments": "{\"city\":\"Paris\"}", "status": "completed" });
    }
    let schema = ask.request.pointer("/text/format/schema");
    let text = Conversation { name: ask.name, texts, schema, answer_bytes: ask.answer_bytes }.answer();
    json!({ "type": "message", "id": format!("msg_{id}_out"), "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }] })
}

fn begun(request: &Value, id: &str) -> Value {
    let asked = |name: &str, otherwise: Value| request.get(name).filter(|v| !v.is_null()).cloned().unwrap_or(otherwise);
    json!({
        "id": id, "object": "response", "created_at": 1_700_000_000, "completed_at": null, "status": "in_progress",
        "background": asked("background", json!(false)), "error": null, "incomplete_details": null, "output": [],
        "model": asked("model", json!("")), "instructions": asked("instructions", Value::Null),
        "previous_response_id": asked("previous_response_id", Value::Null), "metadata": asked("metadata", json!({})),
        "parallel_tool_calls": true, "temperature": 1.0, "top_p": 1.0, "tool_choice": asked("tool_choice", json!("auto")),
        "tools": asked("tools", json!([])), "store": asked("store", json!(true)), "truncation": "disabled",
        "text": asked("text", json!({ "format": { "type": "text" } })), "usage": null,
    })
}

fn finish(response: &mut Value, output: Vec<Value>) {
    set(response, "status", json!("completed"));
    set(response, "completed_at", json!(1_700_000_001));
    set(response, "output", json!(output));
    let usage = json!({ "input_tokens": 7, "input_tokens_details": { "cached_tokens": 3, "cache_write_tokens": 0 },
        "output_tokens": 5, "output_tokens_details": { "reasoning_tokens": 2 }, "total_tokens": 12 });
    set(response, "usage", usage);
}

/// The events of a response that is done, after number `after`.
fn events(response: &Value, after: Option<u64>) -> Vec<Bytes> {
    let mut list = Vec::new();
    let mut begun = response.clone();
    for (name, value) in [("status", json!("in_progress")), ("output", json!([])), ("usage", Value::Null)] {
        set(&mut begun, name, value);
    }
    for kind in ["response.created", "response.in_progress"] {
        list.push(json!({ "type": kind, "response": begun }));
    }
    for (index, item) in response.get("output").and_then(Value::as_array).into_iter().flatten().enumerate() {
        item_events(&mut list, index, item);
    }
    list.push(json!({ "type": "response.completed", "response": response }));
    let numbered = (0_u64..).zip(list).filter(|(number, _)| after.is_none_or(|after| *number > after));
    let frames = numbered.map(|(number, mut event)| {
        set(&mut event, "sequence_number", json!(number));
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
    });
    frames.collect()
}

fn item_events(list: &mut Vec<Value>, index: usize, item: &Value) {
    let mut begun = item.clone();
    set(&mut begun, "status", json!("in_progress"));
    let id = item.get("id");
    let place = |kind: &str, more: Value| {
        let mut event = json!({ "type": kind, "output_index": index, "item_id": id, "content_index": 0 });
        more.as_object().into_iter().flatten().for_each(|(name, value)| set(&mut event, name, value.clone()));
        event
    };
    if let Some(arguments) = item.get("arguments") {
        set(&mut begun, "arguments", json!(""));
        list.push(json!({ "type": "response.output_item.added", "output_index": index, "item": begun }));
        let kind = "response.function_call_arguments";
        list.push(place(&format!("{kind}.delta"), json!({ "delta": arguments })));
        list.push(place(&format!("{kind}.done"), json!({ "arguments": arguments, "name": item.get("name") })));
    } else {
        set(&mut begun, "content", json!([]));
        list.push(json!({ "type": "response.output_item.added", "output_index": index, "item": begun }));
        let empty = json!({ "type": "output_text", "text": "", "annotations": [], "logprobs": [] });
        list.push(place("response.content_part.added", json!({ "part": empty })));
        let text = text_of(item.get("content"));
        for word in text.split_inclusive(' ') {
            list.push(place("response.output_text.delta", json!({ "delta": word, "logprobs": [] })));
        }
        list.push(place("response.output_text.done", json!({ "text": text, "logprobs": [] })));
        list.push(place("response.content_part.done", json!({ "part": item.pointer("/content/0") })));
    }
    list.push(json!({ "type": "response.output_item.done", "output_index": index, "item": item }));
}
