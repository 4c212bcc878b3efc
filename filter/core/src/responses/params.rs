//! Parameters of a request that are not acted on here: sent on, shown in the Response, or refused where no chat backend has a
//! place for them.

use serde_json::value::RawValue;

use super::{
    failure,
    json::{self, Object},
};
use crate::error::ApiError;

/// Parameters that are sent on or shown, not acted on here.
#[derive(Debug, Clone, Default)]
pub(super) struct Params {
    pub metadata: Option<Box<RawValue>>,
    pub temperature: Option<Box<RawValue>>,
    pub top_p: Option<Box<RawValue>>,
    pub frequency_penalty: Option<Box<RawValue>>,
    pub presence_penalty: Option<Box<RawValue>>,
    pub top_logprobs: Option<u64>,
    pub max_output_tokens: Option<u64>,
    pub max_tool_calls: Option<u64>,
    pub parallel_tool_calls: Option<bool>,
    pub tool_choice: Option<Box<RawValue>>,
    pub text: Option<Box<RawValue>>,
    pub format: Format,
    pub verbosity: Option<String>,
    pub reasoning: Option<Box<RawValue>>,
    pub effort: Option<String>,
    pub truncation: Option<String>,
    pub service_tier: Option<String>,
    pub safety_identifier: Option<String>,
    pub user: Option<String>,
    pub prompt_cache_options: Option<Box<RawValue>>,
    pub prompt_cache_retention: Option<String>,
    /// `include` names the log probabilities of output text.
    pub logprobs: bool,
}

/// `text.format`.
#[derive(Debug, Clone, Default)]
pub(super) enum Format {
    #[default]
    Text,
    JsonObject,
    /// The members of `json_schema` as Chat Completions has them.
    JsonSchema(Box<RawValue>),
}

/// Reads them.
pub(super) fn params(object: &Object<'_>) -> Result<Params, ApiError> {
    let mut params = Params {
        metadata: metadata(object)?,
        temperature: object.number("temperature")?,
        top_p: object.number("top_p")?,
        frequency_penalty: object.number("frequency_penalty")?,
        presence_penalty: object.number("presence_penalty")?,
        top_logprobs: object.integer("top_logprobs")?,
        max_output_tokens: object.integer("max_output_tokens")?,
        max_tool_calls: object.integer("max_tool_calls")?,
        parallel_tool_calls: object.boolean("parallel_tool_calls")?,
        tool_choice: object.raw("tool_choice").map(ToOwned::to_owned),
        truncation: object.word("truncation", &["auto", "disabled"])?,
        service_tier: object.string("service_tier")?,
        safety_identifier: object.string("safety_identifier")?,
        user: object.string("user")?,
        prompt_cache_options: object.raw_object("prompt_cache_options")?,
        prompt_cache_retention: object.string("prompt_cache_retention")?,
        logprobs: include(object)?,
        ..Params::default()
    };
    if let Some(text) = object.raw_object("text")? {
        let config = Object::parse(text.get(), "text", &["format", "verbosity"])?;
        params.verbosity = config.word("verbosity", &["low", "medium", "high"])?;
        params.format = format(&config)?;
        params.text = Some(config.with(&defaults(&config, &[("format", r#"{"type":"text"}"#)])));
    }
    if let Some(reasoning) = object.raw_object("reasoning")? {
        let config = Object::parse(reasoning.get(), "reasoning", &REASONING)?;
        params.effort = config.string("effort")?;
        params.reasoning = Some(config.with(&defaults(&config, &[("effort", "null"), ("summary", "null")])));
    }
    Ok(params)
}

/// The members that an object lacks, with the API's defaults.
fn defaults<'a>(object: &Object<'_>, members: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'a RawValue)> {
    let lacking = members.iter().filter(|(name, _)| object.raw(name).is_none());
    lacking.filter_map(|(name, json)| Some((*name, serde_json::from_str::<&RawValue>(json).ok()?))).collect()
}

const REASONING: [&str; 5] = ["effort", "summary", "generate_summary", "context", "mode"];

fn format(text: &Object<'_>) -> Result<Format, ApiError> {
    let Some(format) = text.raw_object("format")? else { return Ok(Format::Text) };
    let known = ["type", "name", "schema", "strict", "description"];
    let format = Object::parse(format.get(), "text.format", &known)?;
    match format.required_string("type")?.as_str() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => {
            format.required_string("name")?;
            format.raw_object("schema")?.ok_or_else(|| failure::missing("text.format.schema"))?;
            if let Some((key, _)) = format.members().find(|(key, _)| !known.contains(key)) {
                return Err(failure::unknown_parameter(&format.path(key)));
            }
            let members = format.members().filter(|(key, value)| *key != "type" && value.get() != "null");
            Ok(Format::JsonSchema(json::object(members)))
        }
        other => Err(failure::invalid_value("text.format.type", other, &["text", "json_object", "json_schema"])),
    }
}

const INCLUDABLE: [&str; 8] = [
    "message.output_text.logprobs",
    // Nothing that a chat backend answers has these, or they are there anyway (an input image's URL).
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];

/// Whether log probabilities are to be included.
fn include(object: &Object<'_>) -> Result<bool, ApiError> {
    let mut logprobs = false;
    for (i, value) in object.list("include")?.unwrap_or_default().into_iter().enumerate() {
        let param = format!("include[{i}]");
        let name: String =
            serde_json::from_str(value.get()).map_err(|_| failure::invalid_type(&param, "a string", value.get()))?;
        if !INCLUDABLE.contains(&name.as_str()) {
            return Err(failure::invalid_value(&param, &name, &INCLUDABLE));
        }
        logprobs |= name == "message.output_text.logprobs";
    }
    Ok(logprobs)
}

/// Up to 16 strings by name, as the API limits it.
fn metadata(object: &Object<'_>) -> Result<Option<Box<RawValue>>, ApiError> {
    let Some(metadata) = object.raw_object("metadata")? else { return Ok(None) };
    let pairs = Object::parse(metadata.get(), "metadata", &[])?;
    if let Some((key, value)) = pairs.members().find(|(_, value)| !value.get().starts_with('"')) {
        return Err(failure::invalid_type(&pairs.path(&failure::excerpt(key)), "a string", value.get()));
    }
    if pairs.members().count() > 16 {
        return Err(ApiError::invalid("Invalid 'metadata': it may hold 16 pairs at most.")
            .param("metadata")
            .code("object_above_max_properties"));
    }
    Ok(Some(metadata))
}

/// Parameters that chat backends have no place for, where they ask for something.
pub(super) fn unservable(object: &Object<'_>) -> Result<Option<(String, &'static str)>, ApiError> {
    let background = object.boolean("background")?.unwrap_or(false);
    let mut found = background.then(|| ("background".to_owned(), "A background response"));
    for (name, what) in [
        ("prompt", "A prompt template"),
        ("context_management", "Context management"),
        ("moderation", "Moderation by the API"),
        ("access_programs", "An access program"),
        ("background_options", "A background response"),
        ("image", "Image generation"),
    ] {
        found = found.or_else(|| object.raw(name).map(|_| (name.to_owned(), what)));
    }
    if let Some(options) = object.raw_object("stream_options")? {
        let options = Object::parse(options.get(), "stream_options", &["include_obfuscation"])?;
        if let Some((key, _)) = options.members().find(|(key, _)| *key != "include_obfuscation") {
            return Err(failure::unknown_parameter(&options.path(&failure::excerpt(key))));
        }
        let asked = options.boolean("include_obfuscation")?.unwrap_or(false);
        found = found.or_else(|| asked.then(|| (options.path("include_obfuscation"), "Stream obfuscation")));
    }
    if let Some(reasoning) = object.raw_object("reasoning")? {
        let reasoning = Object::parse(reasoning.get(), "reasoning", &REASONING)?;
        for (name, plain) in [("context", "auto"), ("mode", "standard")] {
            let asked = reasoning.string(name)?.is_some_and(|value| value != plain);
            found = found.or_else(|| asked.then(|| (reasoning.path(name), "This kind of reasoning")));
        }
    }
    Ok(found)
}
