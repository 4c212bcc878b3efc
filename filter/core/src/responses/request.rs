//! `POST /v1/responses`: the body as a typed request. Two steps: [`CreateRequest::read`] takes what the API takes, whatever
//! backend will serve it; [`CreateRequest::check`] refuses what a Chat Completions backend has no place for, before anything is
//! called. Nothing is dropped: a parameter is sent on, kept and shown in the Response, or a 400 that names it.

use serde_json::value::RawValue;

use super::{
    failure,
    item::{Item, Kind, PartKind, Role},
    json::{self, Object},
    params::{Params, params, unservable},
    tools::{Choice, Tool},
};
use crate::error::ApiError;

/// A request to create a response.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// The model asked for.
    pub model: String,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the response may be kept; true unless the client says otherwise.
    pub store: bool,
    /// Whether the client wants to poll for the response.
    pub background: bool,
    /// What the model is told first, in this turn only.
    pub instructions: Option<String>,
    /// The response that this one continues.
    pub previous_response_id: Option<String>,
    /// The conversation that this response reads and appends to.
    pub conversation: Option<String>,
    /// Names the conversation for the backend's prefix cache.
    pub prompt_cache_key: Option<String>,
    pub(super) input: Vec<Item>,
    pub(super) tools: Vec<Tool>,
    tools_json: Option<Box<RawValue>>,
    pub(super) choice: Option<Choice>,
    pub(super) params: Params,
    /// The first parameter that no chat backend serves, and what it is.
    unservable: Option<(String, &'static str)>,
}

/// What the last user message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastUser {
    /// Its text; parts are joined by a line break.
    pub text: String,
    /// Parts that are not text: images, audio, files.
    pub attachments: usize,
}

const KEYS: [&str; 36] = [
    "access_programs",
    "background",
    "background_options",
    "context_management",
    "conversation",
    "frequency_penalty",
    "image",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

impl CreateRequest {
    /// Reads a body that a chat backend is to serve.
    ///
    /// # Errors
    /// A 400 that names the parameter: as [`Self::read`] and [`Self::check`].
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let request = Self::read(body)?;
        request.check()?;
        Ok(request)
    }

    /// Reads a body, whatever backend is to serve it.
    ///
    /// # Errors
    /// A 400 that names the parameter: not JSON, a wrong type, a parameter that is unknown, missing or there twice.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).map_err(|error| malformed(&error))?;
        serde_json::from_str::<&RawValue>(text).map_err(|error| malformed(&error))?;
        let text = json::compact(text.trim_ascii());
        let object = Object::parse(&text, "", &KEYS)?;
        if let Some((key, _)) = object.members().find(|(key, _)| !KEYS.contains(key)) {
            return Err(failure::unknown_parameter(&failure::excerpt(key)));
        }
        Self::from_object(&object)
    }

    fn from_object(object: &Object<'_>) -> Result<Self, ApiError> {
        let (previous_response_id, conversation) = (object.string("previous_response_id")?, conversation(object)?);
        if previous_response_id.is_some() && conversation.is_some() {
            let message = "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you are only providing one of them.";
            return Err(ApiError::invalid(message).param("previous_response_id").code("mutually_exclusive_parameters"));
        }
        let continues = previous_response_id.is_some() || conversation.is_some() || object.raw("prompt").is_some();
        let tools = object.list("tools")?.unwrap_or_default();
        Ok(Self {
            model: object.required_string("model")?,
            stream: object.boolean("stream")?.unwrap_or(false),
            store: object.boolean("store")?.unwrap_or(true),
            background: object.boolean("background")?.unwrap_or(false),
            instructions: object.string("instructions")?,
            previous_response_id,
            conversation,
            prompt_cache_key: object.string("prompt_cache_key")?,
            input: input(object, continues)?,
            tools: tools.into_iter().enumerate().map(|(i, tool)| Tool::parse(tool, i)).collect::<Result<_, _>>()?,
            tools_json: object.raw("tools").map(ToOwned::to_owned),
            choice: object.raw("tool_choice").map(Choice::parse).transpose()?,
            params: params(object)?,
            unservable: unservable(object)?,
        })
    }

    /// Refuses what a chat backend cannot serve.
    ///
    /// # Errors
    /// A 400 that names the parameter.
    pub fn check(&self) -> Result<(), ApiError> {
        super::check::check(self)
    }

    pub(super) fn unservable(&self) -> Option<(&str, &'static str)> {
        self.unservable.as_ref().map(|(param, what)| (param.as_str(), *what))
    }

    /// The text of the last user message, for the classifier.
    #[must_use]
    pub fn last_user(&self) -> LastUser {
        let mut last = LastUser::default();
        let Some(content) = self.user_messages().next_back() else { return last };
        for part in content {
            let (PartKind::Text(text) | PartKind::Refusal(text)) = &part.kind else {
                last.attachments += 1;
                continue;
            };
            if !last.text.is_empty() {
                last.text.push('\n');
            }
            last.text.push_str(text);
        }
        last
    }

    fn user_messages(&self) -> impl DoubleEndedIterator<Item = &[super::item::Part]> {
        self.input.iter().filter_map(|item| match &item.kind {
            Kind::Message { role: Role::User, content } => Some(content.as_slice()),
            _ => None,
        })
    }

    /// What every turn of a conversation repeats when the client sends it whole: instructions, tools, first user message. The
    /// last two are JSON as written.
    #[must_use]
    pub fn prefix(&self) -> [&str; 3] {
        let user = |item: &&Item| matches!(item.kind, Kind::Message { role: Role::User, .. });
        [
            self.instructions.as_deref().unwrap_or_default(),
            self.tools_json.as_deref().map(RawValue::get).unwrap_or_default(),
            self.input.iter().find(user).map(|item| item.json.get()).unwrap_or_default(),
        ]
    }

    /// Messages in `input`.
    #[must_use]
    pub fn message_count(&self) -> usize {
        self.input.iter().filter(|item| matches!(item.kind, Kind::Message { .. })).count()
    }

    /// Tools.
    #[must_use]
    pub const fn tool_count(&self) -> usize {
        self.tools.len()
    }

    /// The ids that `item_reference`s name, in order.
    #[must_use]
    pub fn item_references(&self) -> Vec<&str> {
        let references = self.input.iter().filter(|item| matches!(item.kind, Kind::Reference));
        references.filter_map(|item| item.id.as_deref()).collect()
    }

    /// Puts the items in place of their references. An item keeps its id.
    ///
    /// # Errors
    /// A 404 that names the first item that is not among `found`; what [`Self::check`] says of an item.
    pub fn resolve(&mut self, found: &[(String, Vec<u8>)]) -> Result<(), ApiError> {
        for (i, item) in self.input.iter_mut().enumerate() {
            let (Kind::Reference, Some(id)) = (&item.kind, &item.id) else { continue };
            let stored = found.iter().find(|(known, _)| known == id).map(|(_, json)| json);
            let stored = stored.and_then(|json| serde_json::from_slice::<&RawValue>(json).ok());
            let resolved = stored.ok_or_else(|| failure::item_not_found(id))?;
            let resolved = Item::parse(resolved, &format!("input[{i}]"))?;
            if matches!(resolved.kind, Kind::Reference) {
                return Err(failure::item_not_found(id));
            }
            *item = resolved;
        }
        self.check()
    }
}

fn malformed(error: &dyn std::error::Error) -> ApiError {
    ApiError::invalid(format!("The body is not valid JSON: {error}.")).code("invalid_json")
}

fn conversation(object: &Object<'_>) -> Result<Option<String>, ApiError> {
    let Some(value) = object.raw("conversation") else { return Ok(None) };
    if value.get().starts_with('{') {
        return Object::parse(value.get(), "conversation", &["id"])?.required_string("id").map(Some);
    }
    let expected = "a string or an object with an id";
    object.string("conversation").map_err(|_| failure::invalid_type("conversation", expected, value.get()))
}

fn input(object: &Object<'_>, continues: bool) -> Result<Vec<Item>, ApiError> {
    match object.raw("input") {
        None if continues => Ok(Vec::new()),
        None => Err(failure::missing("input")),
        Some(value) if value.get().starts_with('[') => {
            let list = object.list("input")?.unwrap_or_default();
            list.into_iter().enumerate().map(|(i, item)| Item::parse(item, &format!("input[{i}]"))).collect()
        }
        Some(value) => {
            let text = object.string("input").ok().flatten();
            let text =
                text.ok_or_else(|| failure::invalid_type("input", "a string or an array of items", value.get()))?;
            Ok(vec![Item::user(&text)])
        }
    }
}
