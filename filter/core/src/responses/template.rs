//! The Response object: what the request said or the API's default, and what has become of it. Every field that the API
//! requires is there, null where it allows that.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{CreateRequest, Turn, chat::Usage, json, params::Params, tools::Tool};

/// What of a Response does not change while it is made.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub turn: Turn,
    store: bool,
    background: bool,
    instructions: Option<String>,
    previous_response_id: Option<String>,
    conversation: Option<String>,
    prompt_cache_key: Option<String>,
    tools: Vec<Box<RawValue>>,
    params: Params,
}

/// Where a response stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The model said all it wanted.
    Completed,
    /// It was cut off: `max_output_tokens` or `content_filter`.
    Incomplete(&'static str),
    /// It broke off.
    Failed,
}

impl Status {
    /// The API's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// What of a Response changes. The default is one that has just begun.
#[derive(Debug, Default)]
pub(super) struct State<'a> {
    pub status: Option<Status>,
    pub output: &'a [Box<RawValue>],
    pub usage: Option<Usage>,
    pub error: Option<&'a str>,
    pub completed_at: Option<u64>,
    pub service_tier: Option<&'a str>,
}

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    background: bool,
    completed_at: Option<u64>,
    conversation: Option<Id<'a>>,
    error: Option<ErrorObject<'a>>,
    frequency_penalty: &'a RawValue,
    incomplete_details: Option<Reason>,
    instructions: Option<&'a str>,
    max_output_tokens: Option<u64>,
    max_tool_calls: Option<u64>,
    metadata: &'a RawValue,
    model: &'a str,
    output: &'a [Box<RawValue>],
    parallel_tool_calls: bool,
    presence_penalty: &'a RawValue,
    previous_response_id: Option<&'a str>,
    prompt: Option<()>,
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_options: Option<&'a RawValue>,
    prompt_cache_retention: Option<&'a str>,
    reasoning: &'a RawValue,
    safety_identifier: Option<&'a str>,
    service_tier: &'a str,
    store: bool,
    temperature: &'a RawValue,
    text: &'a RawValue,
    tool_choice: &'a RawValue,
    tools: &'a [Box<RawValue>],
    top_logprobs: u64,
    top_p: &'a RawValue,
    truncation: &'a str,
    usage: Option<Usage>,
    user: Option<&'a str>,
}

#[derive(Serialize)]
struct Id<'a> {
    id: &'a str,
}

#[derive(Serialize)]
pub(super) struct ErrorObject<'a> {
    pub code: &'static str,
    pub message: &'a str,
}

#[derive(Serialize)]
struct Reason {
    reason: &'static str,
}

/// Where nothing was said.
struct Defaults {
    one: Box<RawValue>,
    zero: Box<RawValue>,
    empty: Box<RawValue>,
    auto: Box<RawValue>,
    text: Box<RawValue>,
    reasoning: Box<RawValue>,
}

impl Defaults {
    fn new() -> Self {
        Self {
            one: json::literal("1.0"),
            zero: json::literal("0.0"),
            empty: json::literal("{}"),
            auto: json::literal(r#""auto""#),
            text: json::literal(r#"{"format":{"type":"text"},"verbosity":"medium"}"#),
            reasoning: json::literal(r#"{"effort":null,"summary":null}"#),
        }
    }
}

impl Template {
    pub(super) fn new(request: &CreateRequest, turn: Turn) -> Self {
        let tools = request.tools.iter().filter_map(|tool| match tool {
            Tool::Function(function) => Some(function.echo.clone()),
            // Refused before it comes here.
            Tool::Other(_) => None,
        });
        Self {
            turn,
            store: request.store,
            background: request.background,
            instructions: request.instructions.clone(),
            previous_response_id: request.previous_response_id.clone(),
            conversation: request.conversation.clone(),
            prompt_cache_key: request.prompt_cache_key.clone(),
            tools: tools.collect(),
            params: request.params.clone(),
        }
    }

    /// Whether log probabilities were asked for.
    pub(super) const fn logprobs(&self) -> bool {
        self.params.logprobs
    }

    /// The object.
    pub(super) fn render(&self, state: &State<'_>) -> Box<RawValue> {
        let (params, defaults) = (&self.params, Defaults::new());
        json::raw(&Response {
            id: &self.turn.minted.response_id,
            object: "response",
            created_at: self.turn.created_at,
            status: state.status.map_or("in_progress", Status::word),
            background: self.background,
            completed_at: state.completed_at.filter(|_| state.status == Some(Status::Completed)),
            conversation: self.conversation.as_deref().map(|id| Id { id }),
            error: state.error.map(|message| ErrorObject { code: "server_error", message }),
            frequency_penalty: params.frequency_penalty.as_deref().unwrap_or(&defaults.zero),
            incomplete_details: match state.status {
                Some(Status::Incomplete(reason)) => Some(Reason { reason }),
                _ => None,
            },
            instructions: self.instructions.as_deref(),
            max_output_tokens: params.max_output_tokens,
            max_tool_calls: params.max_tool_calls,
            metadata: params.metadata.as_deref().unwrap_or(&defaults.empty),
            model: &self.turn.model,
            output: state.output,
            parallel_tool_calls: params.parallel_tool_calls.unwrap_or(true),
            presence_penalty: params.presence_penalty.as_deref().unwrap_or(&defaults.zero),
            previous_response_id: self.previous_response_id.as_deref(),
            prompt: None,
            prompt_cache_key: self.prompt_cache_key.as_deref(),
            prompt_cache_options: params.prompt_cache_options.as_deref(),
            prompt_cache_retention: params.prompt_cache_retention.as_deref(),
            reasoning: params.reasoning.as_deref().unwrap_or(&defaults.reasoning),
            safety_identifier: params.safety_identifier.as_deref(),
            service_tier: state.service_tier.or(params.service_tier.as_deref()).unwrap_or("auto"),
            store: self.store,
            temperature: params.temperature.as_deref().unwrap_or(&defaults.one),
            text: params.text.as_deref().unwrap_or(&defaults.text),
            tool_choice: params.tool_choice.as_deref().unwrap_or(&defaults.auto),
            tools: &self.tools,
            top_logprobs: params.top_logprobs.unwrap_or_default(),
            top_p: params.top_p.as_deref().unwrap_or(&defaults.one),
            truncation: params.truncation.as_deref().unwrap_or("disabled"),
            usage: state.usage,
            user: params.user.as_deref(),
        })
    }
}
