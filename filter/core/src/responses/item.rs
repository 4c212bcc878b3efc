//! Items: what a conversation is made of. Read from a request's `input` and from storage by the same code.

use serde_json::value::RawValue;

use super::{
    failure,
    json::{self, Object},
};
use crate::error::ApiError;

/// One item, and how it was written.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub id: Option<String>,
    pub kind: Kind,
    pub json: Box<RawValue>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Message {
        role: Role,
        content: Vec<Part>,
    },
    Call(Call),
    CallOutput {
        call_id: String,
        output: Output,
    },
    /// The reasoning's own text; a summary is not the reasoning.
    Reasoning(String),
    Reference,
    /// A type of the API that no chat message can carry.
    Other(String),
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub call_id: String,
    pub name: String,
    pub arguments: String,
}

#[derive(Debug, Clone)]
pub(super) enum Output {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Assistant,
    System,
    Developer,
}

/// A content part; what is long and not text stays as written.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub kind: PartKind,
    /// `prompt_cache_breakpoint`, which chat parts have too.
    pub breakpoint: Option<Box<RawValue>>,
}

#[derive(Debug, Clone)]
pub(super) enum PartKind {
    Text(String),
    Refusal(String),
    Image { url: Box<RawValue>, detail: Option<Box<RawValue>> },
    File { data: Option<Box<RawValue>>, id: Option<Box<RawValue>>, name: Option<Box<RawValue>> },
    Audio(Box<RawValue>),
}

impl Part {
    pub(super) const fn text(text: String) -> Self {
        Self { kind: PartKind::Text(text), breakpoint: None }
    }
}

/// Item types of the API that belong to tools and functions of OpenAI's own servers.
const OTHERS: [&str; 28] = [
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "mcp_tool_call",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
    "web_search_call_output",
];
const SERVED: [&str; 5] = ["message", "function_call", "function_call_output", "reasoning", "item_reference"];
const KEYS: [&str; 10] =
    ["id", "type", "role", "content", "call_id", "name", "arguments", "output", "status", "summary"];
const STATUSES: [&str; 3] = ["in_progress", "completed", "incomplete"];

impl Item {
    pub(super) fn parse(json: &RawValue, path: &str) -> Result<Self, ApiError> {
        let object = Object::parse(json.get(), path, &KEYS)?;
        let id = object.string("id")?;
        if id.as_ref().is_some_and(String::is_empty) {
            return Err(failure::invalid_value(&object.path("id"), "", &["a non-empty id"]));
        }
        Ok(Self { kind: kind(&object, id.is_some())?, id, json: json.to_owned() })
    }

    /// A user's message of plain text: what a string for `input` stands for.
    pub(super) fn user(text: &str) -> Self {
        let (kind, json) = (
            Kind::Message { role: Role::User, content: vec![Part::text(text.to_owned())] },
            json::raw(&serde_json::json!({"type": "message", "role": "user", "content": text})),
        );
        Self { id: None, kind, json }
    }
}

fn kind(object: &Object<'_>, has_id: bool) -> Result<Kind, ApiError> {
    let written = object.string("type")?;
    let name = match &written {
        Some(name) => name.as_str(),
        None if object.raw("role").is_some() => "message",
        None if has_id => "item_reference",
        None => return Err(failure::missing(&object.path("type"))),
    };
    match name {
        "message" => message(object),
        "function_call" => {
            object.word("status", &STATUSES)?;
            Ok(Kind::Call(Call {
                call_id: object.required_string("call_id")?,
                name: object.required_string("name")?,
                arguments: object.required_string("arguments")?,
            }))
        }
        "function_call_output" => {
            object.word("status", &STATUSES)?;
            Ok(Kind::CallOutput { call_id: object.required_string("call_id")?, output: output(object)? })
        }
        "reasoning" => reasoning(object),
        "item_reference" if has_id => Ok(Kind::Reference),
        "item_reference" => Err(failure::missing(&object.path("id"))),
        other if OTHERS.contains(&other) => Ok(Kind::Other(other.to_owned())),
        other => Err(failure::invalid_value(&object.path("type"), other, &SERVED)),
    }
}

fn message(object: &Object<'_>) -> Result<Kind, ApiError> {
    let role = match object.required_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            let roles = ["user", "assistant", "system", "developer"];
            return Err(failure::invalid_value(&object.path("role"), other, &roles));
        }
    };
    object.word("status", &STATUSES)?;
    let content = match object.raw("content") {
        None => return Err(failure::missing(&object.path("content"))),
        Some(value) if value.get().starts_with('"') => object.string("content")?.map(Part::text).into_iter().collect(),
        Some(value) if value.get().starts_with('[') => parts(object, "content", role == Role::Assistant)?,
        Some(value) => {
            let expected = "a string or an array of content parts";
            return Err(failure::invalid_type(&object.path("content"), expected, value.get()));
        }
    };
    Ok(Kind::Message { role, content })
}

fn output(object: &Object<'_>) -> Result<Output, ApiError> {
    match object.raw("output") {
        None => Err(failure::missing(&object.path("output"))),
        Some(value) if value.get().starts_with('[') => Ok(Output::Parts(parts(object, "output", false)?)),
        Some(_) => Ok(Output::Text(object.required_string("output")?)),
    }
}

fn reasoning(object: &Object<'_>) -> Result<Kind, ApiError> {
    let mut text = String::new();
    for (i, part) in object.list("content")?.unwrap_or_default().into_iter().enumerate() {
        let part = Object::parse(part.get(), &format!("{}[{i}]", object.path("content")), &["type", "text"])?;
        match part.required_string("type")?.as_str() {
            "reasoning_text" => text.push_str(&part.required_string("text")?),
            other => return Err(failure::invalid_value(&part.path("type"), other, &["reasoning_text"])),
        }
    }
    object.list("summary")?;
    Ok(Kind::Reasoning(text))
}

fn parts(object: &Object<'_>, name: &str, assistant: bool) -> Result<Vec<Part>, ApiError> {
    let list = object.list(name)?.unwrap_or_default();
    let path = object.path(name);
    list.into_iter().enumerate().map(|(i, json)| part(json, &format!("{path}[{i}]"), assistant)).collect()
}

const PART_KEYS: [&str; 12] = [
    "type",
    "text",
    "refusal",
    "image_url",
    "file_id",
    "detail",
    "file_data",
    "file_url",
    "filename",
    "input_audio",
    "annotations",
    "prompt_cache_breakpoint",
];

/// One part. Text is text whichever way it went: both `input_text` and `output_text` are read in any role.
fn part(json: &RawValue, path: &str, assistant: bool) -> Result<Part, ApiError> {
    let object = Object::parse(json.get(), path, &PART_KEYS)?;
    let kind = match object.required_string("type")?.as_str() {
        "input_text" | "output_text" => PartKind::Text(object.required_string("text")?),
        "refusal" if assistant => PartKind::Refusal(object.required_string("refusal")?),
        "input_image" if !assistant => image(&object)?,
        "input_file" if !assistant => file(&object)?,
        "input_audio" if !assistant => {
            let audio = object.raw_object("input_audio")?;
            PartKind::Audio(audio.ok_or_else(|| failure::missing(&object.path("input_audio")))?)
        }
        other => {
            let supported: &[&str] = if assistant {
                &["output_text", "refusal"]
            } else {
                &["input_text", "input_image", "input_file", "input_audio"]
            };
            // The whole part is named too: clients look for the part that is wrong.
            return Err(failure::invalid_value(path, other, supported));
        }
    };
    Ok(Part { kind, breakpoint: object.raw_object("prompt_cache_breakpoint")? })
}

fn image(object: &Object<'_>) -> Result<PartKind, ApiError> {
    if object.raw("file_id").is_some() {
        return Err(failure::unsupported(&object.path("file_id"), "An image named by a file id"));
    }
    let url = object.raw_string("image_url")?.ok_or_else(|| failure::missing(&object.path("image_url")))?;
    Ok(PartKind::Image { url, detail: object.raw_string("detail")? })
}

fn file(object: &Object<'_>) -> Result<PartKind, ApiError> {
    if object.raw("file_url").is_some() {
        return Err(failure::unsupported(&object.path("file_url"), "A file named by a URL"));
    }
    if object.string("detail")?.is_some_and(|detail| detail != "auto") {
        return Err(failure::unsupported(&object.path("detail"), "A file's `detail`"));
    }
    let (data, id) = (object.raw_string("file_data")?, object.raw_string("file_id")?);
    if data.is_none() && id.is_none() {
        return Err(failure::missing(&object.path("file_data")));
    }
    Ok(PartKind::File { data, id, name: object.raw_string("filename")? })
}
