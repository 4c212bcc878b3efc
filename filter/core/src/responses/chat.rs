//! What a Chat Completions backend answers: a completion, or a chunk of one. Read leniently where backends differ without
//! meaning anything by it, and not at all where something would be lost.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{self, Object};

#[derive(Debug, Deserialize)]
pub(super) struct Completion {
    pub choices: Option<Vec<Choice>>,
    pub usage: Option<ChatUsage>,
    pub service_tier: Option<String>,
    error: Option<Box<RawValue>>,
    /// `error` where the whole object is one (vLLM).
    object: Option<String>,
    message: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    pub index: Option<u64>,
    message: Option<Said>,
    delta: Option<Said>,
    pub finish_reason: Option<String>,
    logprobs: Option<Logprobs>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Said {
    content: Option<Box<RawValue>>,
    pub refusal: Option<String>,
    reasoning_content: Option<Box<RawValue>>,
    reasoning: Option<Box<RawValue>>,
    pub tool_calls: Option<Vec<ToolCall>>,
    annotations: Option<Vec<Box<RawValue>>>,
    function_call: Option<Box<RawValue>>,
    audio: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToolCall {
    pub index: Option<u64>,
    pub id: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub function: Option<Function>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Function {
    pub name: Option<String>,
    arguments: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Logprobs {
    content: Option<Vec<Token>>,
}

#[derive(Debug, Deserialize)]
struct Token {
    token: String,
    logprob: Box<RawValue>,
    bytes: Option<Vec<u8>>,
    top_logprobs: Option<Vec<Self>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChatUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

/// Tokens that a response took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Of which.
    pub input_tokens_details: InputDetails,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Of which.
    pub output_tokens_details: OutputDetails,
    /// Both.
    pub total_tokens: u64,
}

/// How the prompt met the backend's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InputDetails {
    /// Read from it.
    pub cached_tokens: u64,
    /// Written to it.
    pub cache_write_tokens: u64,
}

/// What the answer was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OutputDetails {
    /// Reasoning.
    pub reasoning_tokens: u64,
}

impl ChatUsage {
    pub(super) fn usage(&self) -> Usage {
        let (input_tokens, output_tokens) =
            (self.prompt_tokens.unwrap_or_default(), self.completion_tokens.unwrap_or_default());
        let (prompt, completion) = (self.prompt_tokens_details.as_ref(), self.completion_tokens_details.as_ref());
        Usage {
            input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: prompt.and_then(|details| details.cached_tokens).unwrap_or_default(),
                cache_write_tokens: prompt.and_then(|details| details.cache_write_tokens).unwrap_or_default(),
            },
            output_tokens,
            output_tokens_details: OutputDetails {
                reasoning_tokens: completion.and_then(|details| details.reasoning_tokens).unwrap_or_default(),
            },
            total_tokens: self.total_tokens.unwrap_or_else(|| input_tokens.saturating_add(output_tokens)),
        }
    }
}

/// An error in place of an answer.
#[derive(Debug)]
pub(super) struct Reported {
    pub code: Option<String>,
    pub message: String,
}

impl Completion {
    /// The error that the backend reports, if it does.
    pub(super) fn reported(&self) -> Option<Reported> {
        #[derive(Deserialize)]
        struct Inner {
            message: Option<String>,
            code: Option<Box<RawValue>>,
        }
        if let Some(error) = &self.error {
            let Ok(inner) = serde_json::from_str::<Inner>(error.get()) else {
                return Some(Reported { code: None, message: text(error).unwrap_or_else(|| error.get().to_owned()) });
            };
            let message = inner.message.unwrap_or_else(|| "The backend reported an error.".to_owned());
            return Some(Reported {
                code: inner.code.as_deref().map(|code| text(code).unwrap_or_else(|| code.get().to_owned())),
                message,
            });
        }
        if self.object.as_deref() == Some("error") {
            let message = self.message.as_deref().and_then(text);
            return Some(Reported {
                code: None,
                message: message.unwrap_or_else(|| "The backend reported an error.".to_owned()),
            });
        }
        None
    }
}

impl Choice {
    /// What is said: all of it, or a little more.
    pub(super) fn said(&self) -> Option<&Said> {
        self.delta.as_ref().or(self.message.as_ref())
    }

    /// Log probabilities in the shape of the Responses API, where backends leave the bytes out too.
    pub(super) fn logprobs(&self) -> Vec<Box<RawValue>> {
        let tokens = self.logprobs.as_ref().and_then(|logprobs| logprobs.content.as_deref()).unwrap_or_default();
        tokens.iter().map(|token| json::raw(&token.shape(true))).collect()
    }
}

#[derive(Serialize)]
struct Shape<'a> {
    token: &'a str,
    logprob: &'a RawValue,
    bytes: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<Vec<Self>>,
}

impl Token {
    fn shape(&self, top: bool) -> Shape<'_> {
        let alternatives = self.top_logprobs.as_deref().unwrap_or_default();
        Shape {
            token: &self.token,
            logprob: &self.logprob,
            bytes: self.bytes.as_deref().unwrap_or(self.token.as_bytes()),
            top_logprobs: top.then(|| alternatives.iter().map(|token| token.shape(false)).collect()),
        }
    }
}

impl Said {
    /// What is said in a form that was not asked for and that a Response has no place for here.
    pub(super) fn unasked(&self) -> Option<&'static str> {
        let forms = [(&self.function_call, "a `function_call`"), (&self.audio, "`audio`")];
        forms.into_iter().find(|(json, _)| json.is_some()).map(|(_, name)| name)
    }

    /// The text, if any. Parts that are text are joined; `Err` names the type of a part that is not.
    pub(super) fn content(&self) -> Result<Option<String>, String> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(rename = "type")]
            kind: String,
            text: Option<String>,
        }
        let Some(content) = &self.content else { return Ok(None) };
        if let Some(text) = text(content) {
            return Ok(Some(text));
        }
        let parts: Vec<Part> = serde_json::from_str(content.get()).map_err(|error| error.to_string())?;
        let texts = parts.into_iter().map(|part| match (part.kind.as_str(), part.text) {
            ("text", Some(text)) => Ok(text),
            (other, _) => Err(format!("a content part of type `{other}`")),
        });
        texts.collect::<Result<String, _>>().map(Some)
    }

    /// The reasoning, under either name. Some backends send both, with the same text. What is not a string is not reasoning: it
    /// is settings.
    pub(super) fn reasoning(&self) -> Option<String> {
        let texts = [&self.reasoning_content, &self.reasoning].into_iter().flatten().filter_map(|json| text(json));
        texts.into_iter().find(|text| !text.is_empty())
    }
}

impl Said {
    /// Annotations of the text. A chat answer nests a citation under its type; a Response does not.
    pub(super) fn annotations(&self) -> Vec<Box<RawValue>> {
        let flat = |json: &RawValue| {
            let outer = Object::parse(json.get(), "annotation", &["type", "url_citation"]).ok()?;
            let inner = Object::parse(outer.raw("url_citation")?.get(), "annotation", &["type"]).ok()?;
            let kind = outer.raw("type").map(|kind| ("type", kind));
            Some(json::object(kind.into_iter().chain(inner.members().filter(|(key, _)| *key != "type"))))
        };
        let annotations = self.annotations.as_deref().unwrap_or_default();
        annotations.iter().map(|json| flat(json).unwrap_or_else(|| json.clone())).collect()
    }
}

impl Function {
    /// The arguments' text. Some backends send the object itself.
    pub(super) fn arguments(&self) -> Option<String> {
        self.arguments.as_deref().map(|json| text(json).unwrap_or_else(|| json.get().to_owned()))
    }
}

fn text(json: &RawValue) -> Option<String> {
    serde_json::from_str(json.get()).ok()
}
