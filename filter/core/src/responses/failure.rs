//! The errors of the Responses API, in OpenAI's words where OpenAI has words for them: clients match on code and param.

use crate::error::ApiError;

/// `previous_response_id` names nothing that this owner has.
#[must_use]
pub fn previous_response_not_found(id: &str) -> ApiError {
    ApiError::invalid(format!("Previous response with id '{id}' not found."))
        .param("previous_response_id")
        .code("previous_response_not_found")
}

/// A response asked for by its id is not there.
#[must_use]
pub fn response_not_found(id: &str) -> ApiError {
    ApiError::new(404, "invalid_request_error", format!("Response with id '{id}' not found."))
}

/// `conversation` names nothing that this owner has.
#[must_use]
pub fn conversation_not_found(id: &str) -> ApiError {
    ApiError::new(404, "invalid_request_error", format!("Conversation with id '{id}' not found."))
}

/// An `item_reference` names nothing that this owner has.
#[must_use]
pub fn item_not_found(id: &str) -> ApiError {
    ApiError::new(404, "invalid_request_error", format!("Item with id '{id}' not found.")).param("input")
}

/// A `function_call_output` answers a call that the conversation does not have.
#[must_use]
pub fn no_tool_call(call_id: &str) -> ApiError {
    ApiError::invalid(format!("No tool call found for function call output with call_id {call_id}.")).param("input")
}

/// A function call that nothing answers: a model cannot go on from it.
pub(super) fn no_tool_output(call_id: &str) -> ApiError {
    ApiError::invalid(format!("No tool output found for function call {call_id}.")).param("input")
}

/// A second answer to one function call.
pub(super) fn second_tool_output(call_id: &str) -> ApiError {
    ApiError::invalid(format!("More than one tool output found for function call {call_id}.")).param("input")
}

pub(super) fn missing(param: &str) -> ApiError {
    ApiError::invalid(format!("Missing required parameter: '{param}'.")).param(param).code("missing_required_parameter")
}

pub(super) fn unknown_parameter(param: &str) -> ApiError {
    ApiError::invalid(format!("Unknown parameter: '{param}'.")).param(param).code("unknown_parameter")
}

pub(super) fn ambiguous(param: &str, message: String) -> ApiError {
    ApiError::invalid(message).param(param).code("ambiguous_key")
}

pub(super) fn invalid_type(param: &str, expected: &str, json: &str) -> ApiError {
    let got = match json.bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(b'-' | b'0'..=b'9') => "a number",
        _ => "nothing",
    };
    if param.is_empty() {
        return ApiError::invalid(format!("The body must be {expected}, but it is {got}.")).code("invalid_type");
    }
    let message = format!("Invalid type for '{param}': expected {expected}, but got {got} instead.");
    ApiError::invalid(message).param(param).code("invalid_type")
}

pub(super) fn invalid_value(param: &str, value: &str, supported: &[&str]) -> ApiError {
    let supported = supported.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ");
    let message = format!("Invalid value: '{}'. Supported values are: {supported}.", excerpt(value));
    ApiError::invalid(message).param(param).code("invalid_value")
}

/// Something of the API that a Chat Completions backend has no place for.
pub(super) fn unsupported(param: &str, what: &str) -> ApiError {
    let message = format!("{what} cannot be served by the model's backend, which speaks Chat Completions.");
    ApiError::invalid(message).param(param).code("unsupported_parameter")
}

/// Enough of a client's value to recognise it by.
pub(super) fn excerpt(value: &str) -> String {
    const SHOWN: usize = 64;
    let shown: String = value.chars().take(SHOWN).collect();
    if shown.len() < value.len() { format!("{shown}...") } else { shown }
}
