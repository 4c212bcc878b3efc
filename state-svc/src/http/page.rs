//! Query parameters and pages of items.

use axum::{extract::FromRequestParts, http::request::Parts};
use fingerpost_core::error::ApiError;

use super::Refusal;
use crate::domain::{
    Item,
    document::{item_id, join},
};

/// Query parameters, in order, as sent.
pub(super) struct Query(pub Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(pairs)) => Ok(Self(pairs)),
            Err(error) => Err(ApiError::invalid(format!("The query does not read: {error}.")).into()),
        }
    }
}

/// The values of `include` that OpenAI's API knows. Items are stored and listed whole, so that none of them changes a list.
const INCLUDE: [&str; 8] = [
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
];

/// Whether the parameter is `include`, in any of the forms in which clients spell lists.
fn is_include(name: &str) -> bool {
    name == "include" || name.starts_with("include[")
}

/// Refuses an `include` that nobody knows.
pub(super) fn include(name: &str, value: &str) -> Result<(), ApiError> {
    match value.split(',').find(|one| !INCLUDE.contains(one)) {
        Some(unknown) => {
            Err(ApiError::invalid(format!("Invalid value: '{unknown}'. Supported values are: {}.", INCLUDE.join(", ")))
                .param(name)
                .code("invalid_value"))
        }
        None => Ok(()),
    }
}

/// Refuses a parameter that is none of ours.
pub(super) fn unknown(name: &str) -> ApiError {
    ApiError::invalid(format!("Unknown parameter: '{name}'.")).param(name).code("unknown_parameter")
}

/// Reads the only parameter of endpoints without a page.
pub(super) fn only_include(query: &[(String, String)]) -> Result<(), ApiError> {
    query.iter().try_for_each(|(name, value)| if is_include(name) { include(name, value) } else { Err(unknown(name)) })
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    ascending: bool,
    after: Option<String>,
}

impl Page {
    pub(super) fn read(query: &[(String, String)]) -> Result<Self, ApiError> {
        let mut page = Self { limit: 20, ascending: false, after: None };
        for (name, value) in query {
            match name.as_str() {
                "limit" => page.limit = limit(value)?,
                "order" => page.ascending = order(value)?,
                "after" => page.after = Some(value.clone()),
                name if is_include(name) => include(name, value)?,
                name => return Err(unknown(name)),
            }
        }
        Ok(page)
    }

    /// The list object with this page of `items`, which are oldest first.
    pub(super) fn of(&self, mut items: Vec<Item>) -> Result<Vec<u8>, ApiError> {
        if !self.ascending {
            items.reverse();
        }
        if let Some(after) = &self.after {
            let at = items.iter().position(|item| item_id(item).as_ref() == Some(after)).ok_or_else(|| {
                ApiError::invalid(format!("Item with id '{after}' is not in this list.")).param("after")
            })?;
            items.drain(..=at);
        }
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        Ok(list(&items, more))
    }
}

fn limit(value: &str) -> Result<usize, ApiError> {
    match value.parse() {
        Ok(limit @ 1..=100) => Ok(limit),
        _ => Err(ApiError::invalid(format!("Invalid 'limit': '{value}'. Expected a whole number from 1 to 100."))
            .param("limit")
            .code("invalid_value")),
    }
}

fn order(value: &str) -> Result<bool, ApiError> {
    match value {
        "asc" => Ok(true),
        "desc" => Ok(false),
        _ => Err(ApiError::invalid(format!("Invalid value: '{value}'. Supported values are: 'asc' and 'desc'."))
            .param("order")
            .code("invalid_value")),
    }
}

/// A list object; the items' bytes stay as they are.
pub(super) fn list(items: &[Item], has_more: bool) -> Vec<u8> {
    let id = |item: Option<&Item>| serde_json::json!(item.and_then(|item| item_id(item))).to_string();
    let (first, last) = (id(items.first()), id(items.last()));
    let tail = format!(r#","first_id":{first},"last_id":{last},"has_more":{has_more}}}"#);
    [br#"{"object":"list","data":"#.as_slice(), &join(items), tail.as_bytes()].concat()
}
