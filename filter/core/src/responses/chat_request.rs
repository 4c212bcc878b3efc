//! The Chat Completions body that asks for what a Responses request asks for.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    CreateRequest,
    item::Item,
    json,
    messages::{self, Dialect, Message},
    params::Format,
    tools::ChatTool,
};
use crate::error::ApiError;

/// What a backend calls the limit on output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_completion_tokens`, OpenAI's name today.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`, which older backends know.
    MaxTokens,
}

/// What becomes of messages in the developer's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeveloperRole {
    /// They are sent as they are.
    #[default]
    Keep,
    /// They become system messages.
    System,
}

/// What becomes of the reasoning of a turn that is still going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningHistory {
    /// It stays in the conversation and is not sent: some backends refuse a message that has it.
    #[default]
    Keep,
    /// It is sent as `reasoning_content`.
    Send,
}

/// How a model's backend wants to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The model's name there.
    pub upstream_model: &'a str,
    /// The name of the token limit.
    pub max_tokens_field: MaxTokensField,
    /// The developer's role.
    pub developer_role: DeveloperRole,
    /// Reasoning.
    pub reasoning: ReasoningHistory,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(flatten)]
    tools: Tools<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_options: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_retention: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

/// Without tools the rest means nothing, and backends refuse it.
#[derive(Serialize, Default)]
struct Tools<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ChatTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The body for the backend. `history` is the items of earlier turns as stored, oldest first.
///
/// # Errors
/// A 400: an output without its call, an item that a chat backend has no place for. A 404 for a reference that
/// [`CreateRequest::resolve`] was not asked to resolve. A 500 where a stored item cannot be read.
pub fn translate(request: &CreateRequest, history: &[Vec<u8>], options: Options<'_>) -> Result<Vec<u8>, ApiError> {
    let history = history.iter().map(|json| stored(json)).collect::<Result<Vec<_>, _>>()?;
    let items: Vec<&Item> = history.iter().chain(&request.input).collect();
    let dialect = Dialect {
        developer_as_system: options.developer_role == DeveloperRole::System,
        reasoning: options.reasoning == ReasoningHistory::Send,
    };
    let body = body(request, messages::build(request.instructions.as_deref(), &items, dialect)?, options)?;
    serde_json::to_vec(&body).map_err(|error| ApiError::new(500, "server_error", error.to_string()))
}

/// What was stored was read once before it was.
fn stored(json: &[u8]) -> Result<Item, ApiError> {
    let unreadable = |why: String| {
        ApiError::new(500, "server_error", format!("An item of the stored conversation cannot be read: {why}."))
    };
    let json = serde_json::from_slice::<&RawValue>(json).map_err(|error| unreadable(error.to_string()))?;
    Item::parse(json, "item").map_err(|error| unreadable(error.message))
}

fn body<'a>(
    request: &'a CreateRequest,
    messages: Vec<Message<'a>>,
    options: Options<'a>,
) -> Result<Body<'a>, ApiError> {
    let params = &request.params;
    let limit = |field| params.max_output_tokens.filter(|_| options.max_tokens_field == field);
    Ok(Body {
        model: options.upstream_model,
        messages,
        tools: tools(request)?,
        response_format: response_format(&params.format),
        verbosity: params.verbosity.as_deref(),
        reasoning_effort: params.effort.as_deref(),
        max_completion_tokens: limit(MaxTokensField::MaxCompletionTokens),
        max_tokens: limit(MaxTokensField::MaxTokens),
        temperature: params.temperature.as_deref(),
        top_p: params.top_p.as_deref(),
        frequency_penalty: params.frequency_penalty.as_deref(),
        presence_penalty: params.presence_penalty.as_deref(),
        logprobs: params.logprobs.then_some(true),
        top_logprobs: params.top_logprobs.filter(|_| params.logprobs),
        service_tier: params.service_tier.as_deref(),
        prompt_cache_key: request.prompt_cache_key.as_deref(),
        prompt_cache_options: params.prompt_cache_options.as_deref(),
        prompt_cache_retention: params.prompt_cache_retention.as_deref(),
        safety_identifier: params.safety_identifier.as_deref(),
        user: params.user.as_deref(),
        stream: request.stream.then_some(true),
        stream_options: request.stream.then_some(StreamOptions { include_usage: true }),
    })
}

fn tools(request: &CreateRequest) -> Result<Tools<'_>, ApiError> {
    if request.tools.is_empty() {
        return Ok(Tools::default());
    }
    let tools = request.tools.iter().enumerate().map(|(i, tool)| Ok(tool.check(i)?.chat()));
    Ok(Tools {
        tools: tools.collect::<Result<_, ApiError>>()?,
        tool_choice: request.choice.as_ref().map(super::tools::Choice::chat),
        parallel_tool_calls: request.params.parallel_tool_calls,
    })
}

fn response_format(format: &Format) -> Option<Box<RawValue>> {
    #[derive(Serialize)]
    struct Schema<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        json_schema: Option<&'a RawValue>,
    }
    match format {
        Format::Text => None,
        Format::JsonObject => Some(json::raw(&Schema { kind: "json_object", json_schema: None })),
        Format::JsonSchema(schema) => Some(json::raw(&Schema { kind: "json_schema", json_schema: Some(schema) })),
    }
}
