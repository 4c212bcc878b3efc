//! `GET /v1/responses/{id}?stream=true`: the events of a response that is stored. Each part comes as one delta; the numbers
//! are the replay's own, the same every time.

use serde_json::value::RawValue;

use super::{
    collect::terminal,
    events::{DONE, Emitter, Event, PartType, Place, Stage},
    json::{self, Object},
    template::Status,
};
use crate::error::ApiError;

/// The frames of a stored Response object, after event number `starting_after`. The terminal event always comes.
///
/// # Errors
/// A 400 where the response has not ended; a 500 where what is stored cannot be read.
pub fn replay(response: &[u8], starting_after: Option<u64>) -> Result<Vec<u8>, ApiError> {
    let text = std::str::from_utf8(response).map_err(|_| unreadable("it is not UTF-8"))?;
    let text = json::compact(text.trim_ascii());
    let keys = ["status", "output", "usage", "error", "completed_at", "incomplete_details"];
    let object = Object::parse(&text, "", &keys).map_err(|error| unreadable(&error.message))?;
    let status = status(&object)?;
    let mut emitter = Emitter::after(starting_after);
    let begun = begun(&object);
    for stage in [Stage::Created, Stage::InProgress] {
        emitter.emit(Event::Response { stage, response: &begun });
    }
    let output = object.list("output").map_err(|error| unreadable(&error.message))?.unwrap_or_default();
    for (index, json) in output.into_iter().enumerate() {
        item(&mut emitter, index, json).map_err(|error| unreadable(&error.message))?;
    }
    let whole: &RawValue = serde_json::from_str(&text).map_err(|error| unreadable(&error.to_string()))?;
    terminal(&mut emitter, status, whole);
    let mut frames = emitter.take();
    frames.extend_from_slice(DONE);
    Ok(frames)
}

fn unreadable(why: &str) -> ApiError {
    ApiError::new(500, "server_error", format!("The stored response cannot be read: {why}."))
}

fn status(object: &Object<'_>) -> Result<Status, ApiError> {
    match object.string("status").ok().flatten().as_deref() {
        Some("completed") => Ok(Status::Completed),
        Some("incomplete") => Ok(Status::Incomplete("")),
        Some("failed") => Ok(Status::Failed),
        other => {
            let message = format!("A response whose status is '{}' cannot be streamed.", other.unwrap_or("unknown"));
            Err(ApiError::invalid(message).param("stream"))
        }
    }
}

/// The response as it was when it began.
fn begun(object: &Object<'_>) -> Box<RawValue> {
    let (status, empty, null) = (json::literal(r#""in_progress""#), json::literal("[]"), json::null());
    let changes = [
        ("status", &*status),
        ("output", &*empty),
        ("usage", &*null),
        ("error", &*null),
        ("completed_at", &*null),
        ("incomplete_details", &*null),
    ];
    object.with(&changes)
}

fn item(emitter: &mut Emitter, output_index: usize, json: &RawValue) -> Result<(), ApiError> {
    let object = Object::parse(json.get(), "output", &["id", "type", "status", "content", "name", "arguments"])?;
    let id = object.string("id")?.unwrap_or_default();
    let (status, empty, nothing) = (json::literal(r#""in_progress""#), json::literal("[]"), json::literal(r#""""#));
    let kind = object.required_string("type")?;
    let begun = match kind.as_str() {
        "message" => object.with(&[("status", &*status), ("content", &*empty)]),
        "reasoning" if object.raw("content").is_some() => object.with(&[("status", &*status), ("content", &*empty)]),
        "function_call" => object.with(&[("status", &*status), ("arguments", &*nothing)]),
        _ => json.to_owned(),
    };
    emitter.emit(Event::Item { done: false, output_index, item: &begun });
    match kind.as_str() {
        "message" | "reasoning" => {
            for (content_index, json) in object.list("content")?.unwrap_or_default().into_iter().enumerate() {
                part(emitter, Place { item_id: &id, output_index, content_index }, json)?;
            }
        }
        "function_call" => {
            let (name, arguments) = (object.required_string("name")?, object.required_string("arguments")?);
            if !arguments.is_empty() {
                emitter.emit(Event::ArgumentsDelta { item_id: &id, output_index, delta: &arguments });
            }
            let (name, arguments) = (name.as_str(), arguments.as_str());
            emitter.emit(Event::ArgumentsDone { item_id: &id, output_index, name, arguments });
        }
        _ => {}
    }
    emitter.emit(Event::Item { done: true, output_index, item: json });
    Ok(())
}

fn part(emitter: &mut Emitter, at: Place<'_>, json: &RawValue) -> Result<(), ApiError> {
    let object = Object::parse(json.get(), "content", &["type", "text", "refusal", "logprobs", "annotations"])?;
    let (of, field) = match object.required_string("type")?.as_str() {
        "output_text" => (PartType::Text, "text"),
        "reasoning_text" => (PartType::Reasoning, "text"),
        "refusal" => (PartType::Refusal, "refusal"),
        other => return Err(unreadable(&format!("it has a content part of type `{other}`"))),
    };
    let text = object.required_string(field)?;
    let logprobs: Vec<Box<RawValue>> =
        object.list("logprobs")?.unwrap_or_default().into_iter().map(ToOwned::to_owned).collect();
    let logprobs = (of == PartType::Text).then_some(logprobs.as_slice());
    let (empty, none) = (json::literal(r#""""#), json::literal("[]"));
    let begun = match logprobs {
        Some(_) => object.with(&[(field, &empty), ("logprobs", &none), ("annotations", &none)]),
        None => object.with(&[(field, &empty)]),
    };
    emitter.emit(Event::Part { done: false, at, part: &begun });
    if !text.is_empty() {
        emitter.emit(Event::Delta { of, at, delta: &text, logprobs });
    }
    for (annotation_index, annotation) in object.list("annotations")?.unwrap_or_default().into_iter().enumerate() {
        emitter.emit(Event::Annotation { at, annotation_index, annotation });
    }
    emitter.emit(match of {
        PartType::Refusal => Event::RefusalDone { at, refusal: &text },
        PartType::Text | PartType::Reasoning => Event::TextDone { of, at, text: &text, logprobs },
    });
    emitter.emit(Event::Part { done: true, at, part: json });
    Ok(())
}
