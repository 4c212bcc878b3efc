//! Items that clients put into a conversation object: checked, brought into the form in which they are listed, and named.

use fingerpost_core::error::ApiError;
use serde_json::{Map, Value, json};

use crate::domain::{
    Item,
    ids::{ConversationId, ItemPlace},
};

/// Items of one request, at most (OpenAI's bound).
const MOST: usize = 20;

/// Item types that a conversation may hold, each with the prefix of its ids and the members that it must have.
const TYPES: [(&str, &str, &[&str]); 29] = [
    ("message", "msg", &["role", "content"]),
    ("function_call", "fc", &["call_id", "name", "arguments"]),
    ("function_call_output", "fco", &["call_id", "output"]),
    ("reasoning", "rs", &["summary"]),
    ("file_search_call", "fs", &["queries"]),
    ("web_search_call", "ws", &[]),
    ("computer_call", "cu", &["call_id"]),
    ("computer_call_output", "cuo", &["call_id", "output"]),
    ("tool_search_call", "tsc", &[]),
    ("tool_search_output", "tso", &["tools"]),
    ("additional_tools", "at", &["tools"]),
    ("image_generation_call", "ig", &[]),
    ("code_interpreter_call", "ci", &[]),
    ("local_shell_call", "lsh", &["call_id", "action"]),
    ("local_shell_call_output", "lsho", &["output"]),
    ("shell_call", "sh", &["call_id", "action"]),
    ("shell_call_output", "sho", &["call_id", "output"]),
    ("apply_patch_call", "apc", &["call_id", "operation"]),
    ("apply_patch_call_output", "apco", &["call_id"]),
    ("mcp_list_tools", "mcpl", &["server_label", "tools"]),
    ("mcp_approval_request", "mcpr", &["server_label", "name", "arguments"]),
    ("mcp_approval_response", "mcpa", &["approval_request_id", "approve"]),
    ("mcp_call", "mcp", &["server_label", "name", "arguments"]),
    ("custom_tool_call", "ctc", &["call_id", "name", "input"]),
    ("custom_tool_call_output", "ctco", &["call_id", "output"]),
    ("compaction", "cmp", &["encrypted_content"]),
    ("program", "prog", &["call_id", "code"]),
    ("program_output", "progo", &["call_id", "result"]),
    ("configuration_update", "cfu", &[]),
];

const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];
const PARTS: [&str; 5] = ["input_text", "input_image", "input_file", "output_text", "refusal"];

fn bad(message: String, param: String) -> ApiError {
    ApiError::invalid(message).param(param).code("invalid_value")
}

/// Checks, completes and names the items of one request.
///
/// # Errors
/// What is wrong with the first one that will not do.
pub fn prepare(items: Vec<Value>, conversation: &ConversationId) -> Result<Vec<Item>, ApiError> {
    if items.len() > MOST {
        let message = format!("Invalid 'items': {} items, at most {MOST} at a time.", items.len());
        return Err(bad(message, "items".to_owned()));
    }
    let node = rand::random();
    let named = items.into_iter().zip(0_u16..).map(|(item, ordinal)| {
        let path = format!("items[{ordinal}]");
        let place = ItemPlace { conversation: conversation.conversation, node, ordinal };
        complete(item, &path, place).map(|item| Value::Object(item).to_string().into_bytes())
    });
    named.collect()
}

fn complete(item: Value, path: &str, place: ItemPlace) -> Result<Map<String, Value>, ApiError> {
    let Value::Object(mut item) = item else {
        return Err(bad(format!("Invalid '{path}': expected an object."), path.to_owned()));
    };
    if item.get("type").is_none_or(Value::is_null) && item.contains_key("role") {
        item.insert("type".to_owned(), json!("message"));
    }
    let kind = item.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some((_, prefix, needed)) = TYPES.into_iter().find(|(name, ..)| *name == kind) else {
        let known = TYPES.map(|(name, ..)| name).join(", ");
        let message = format!("Invalid '{path}.type': '{kind}'. Supported values are: {known}.");
        return Err(bad(message, format!("{path}.type")));
    };
    if let Some(member) = needed.iter().find(|name| item.get(**name).is_none_or(Value::is_null)) {
        let param = format!("{path}.{member}");
        let message = format!("Missing required parameter: '{param}'.");
        return Err(ApiError::invalid(message).param(param).code("missing_required_parameter"));
    }
    if kind == "message" {
        message(&mut item, path)?;
    }
    if matches!(kind.as_str(), "message" | "function_call" | "function_call_output") {
        item.entry("status").or_insert_with(|| json!("completed"));
    }
    match item.get("id") {
        None | Some(Value::Null) => drop(item.insert("id".to_owned(), json!(place.id(prefix)))),
        Some(Value::String(id)) if !id.is_empty() && id.len() <= 256 => {}
        Some(_) => {
            let message = format!("Invalid '{path}.id': expected a string of 1 to 256 bytes.");
            return Err(bad(message, format!("{path}.id")));
        }
    }
    Ok(item)
}

/// A message's text becomes a content part, as it is listed.
fn message(item: &mut Map<String, Value>, path: &str) -> Result<(), ApiError> {
    let role = item.get("role").and_then(Value::as_str).unwrap_or_default();
    if !ROLES.contains(&role) {
        let message = format!("Invalid '{path}.role': '{role}'. Supported values are: {}.", ROLES.join(", "));
        return Err(bad(message, format!("{path}.role")));
    }
    let assistant = role == "assistant";
    match item.get_mut("content") {
        Some(Value::Array(parts)) => parts.iter().enumerate().try_for_each(|(i, part)| {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
            if PARTS.contains(&kind) {
                return Ok(());
            }
            let param = format!("{path}.content[{i}].type");
            let message = format!("Invalid '{param}': '{kind}'. Supported values are: {}.", PARTS.join(", "));
            Err(bad(message, param))
        }),
        Some(content @ Value::String(_)) => {
            let text = content.take();
            *content = if assistant {
                json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}])
            } else {
                json!([{"type": "input_text", "text": text}])
            };
            Ok(())
        }
        _ => Err(bad(format!("Invalid '{path}.content': expected a string or a list."), format!("{path}.content"))),
    }
}
