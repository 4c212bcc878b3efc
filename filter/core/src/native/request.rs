//! `POST /v1/responses` for a backend that speaks it: one pass finds what routing needs, and where the two values stand that
//! change.

use std::{borrow::Cow, ops::Range};

use super::Edit;
use crate::{
    body::{
        Content, Needs, count,
        json::Cursor,
        keys::Keys,
        scan::{Refusal, Role, document, flag, model_span, role, span, string, text_of, wrong},
        text,
    },
    error::ApiError,
};

const CREATE: &[&str] = &[
    "model",
    "input",
    "previous_response_id",
    "conversation",
    "prompt_cache_key",
    "stream",
    "store",
    "background",
    "instructions",
    "tools",
];
const ITEM: &[&str] = &["type", "role", "content", "id", "output"];

/// What is read of a request, borrowed from its bytes.
#[derive(Debug)]
pub struct Request<'a> {
    /// The model asked for.
    pub model: Cow<'a, str>,
    /// Where its JSON string stands.
    pub model_span: Range<usize>,
    /// The response that this turn follows.
    pub previous_response_id: Option<Cow<'a, str>>,
    /// Where its JSON string stands.
    pub previous_span: Option<Range<usize>>,
    /// The conversation object that this turn belongs to, by its id.
    pub conversation: Option<Cow<'a, str>>,
    /// Names the conversation, where the client says so.
    pub prompt_cache_key: Option<Cow<'a, str>>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the response may be referred to later: true where nothing is said.
    pub store: bool,
    /// Whether the answer is to be polled for.
    pub background: bool,
    /// The JSON of the tools.
    pub tools: Option<&'a str>,
    /// The JSON of the input, and where it stands.
    pub input: Option<(&'a str, Range<usize>)>,
    /// The JSON of the instructions.
    pub instructions: Option<&'a str>,
    /// The JSON of the instructions and of the contents of system and developer messages before the first user message.
    pub system: Vec<&'a str>,
    /// The JSON of the first user message's content.
    pub first_user: Option<&'a str>,
    /// The last user message.
    pub last_user: Option<LastUser<'a>>,
    /// Number of input items: a string is one.
    pub messages: usize,
    /// Ids of items that are referred to, not sent.
    pub references: Vec<Cow<'a, str>>,
    /// Estimated tokens of instructions, contents and tool outputs, where asked for.
    pub tokens: u64,
}

/// What the last user message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUser<'a> {
    /// The JSON of its content.
    pub json: &'a str,
    /// Its index in `input`; none where `input` is a string.
    pub index: Option<usize>,
}

impl<'a> Request<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A 400 that names the field or the place: not JSON, a field of the wrong type, a key that stands twice or in another case.
    pub fn parse(body: &'a [u8], needs: Needs) -> Result<Self, ApiError> {
        let mut found = Found::default();
        let text = document(body, |cursor| found.read(cursor))?;
        found.finish(text, needs)
    }

    /// The last user message's text.
    ///
    /// # Errors
    /// A 400 that names the message.
    pub fn content(&self) -> Result<Content<'a>, ApiError> {
        match self.last_user {
            None => Ok(Content::default()),
            Some(LastUser { json, index: None }) => text::decode(json, "input"),
            Some(LastUser { json, index: Some(index) }) => text::decode(json, &format!("input[{index}].content")),
        }
    }

    /// The number of tools.
    #[must_use]
    pub fn tool_count(&self) -> usize {
        self.tools.map_or(0, count)
    }

    /// What every turn repeats that carries its whole history, for [`crate::affinity::Source::Prefix`].
    #[must_use]
    pub fn prefix(&self) -> Vec<&'a str> {
        self.system.iter().copied().chain(self.tools).chain(self.first_user).collect()
    }

    /// The edits that make it the backend's request, in order. Names that are the same already stay as spelt; without
    /// `previous_response_id`, what stands there stays.
    #[must_use]
    pub fn edits(&self, model: &str, previous_response_id: Option<&str>) -> Vec<Edit> {
        let mut edits = Vec::new();
        if self.model != model {
            edits.push(Edit::string(self.model_span.clone(), model));
        }
        if let Some((span, id)) = self.previous_span.clone().zip(previous_response_id)
            && self.previous_response_id.as_deref() != Some(id)
        {
            edits.push(Edit::string(span, id));
        }
        edits.sort_by_key(|edit| edit.span.start);
        edits
    }
}

/// What the pass comes by. Raw slices of the text become spans when it is over.
#[derive(Default)]
struct Found<'a> {
    model: Option<(&'a str, Cow<'a, str>)>,
    previous: Option<(&'a str, Cow<'a, str>)>,
    conversation: Option<Cow<'a, str>>,
    prompt_cache_key: Option<Cow<'a, str>>,
    stream: bool,
    store: Option<bool>,
    background: bool,
    tools: Option<&'a str>,
    instructions: Option<&'a str>,
    input: Option<&'a str>,
    items: Items<'a>,
}

#[derive(Default)]
struct Items<'a> {
    count: usize,
    system: Vec<&'a str>,
    first_user: Option<&'a str>,
    last_user: Option<LastUser<'a>>,
    references: Vec<Cow<'a, str>>,
    /// The JSON of what a model would read, for the estimate.
    texts: Vec<&'a str>,
}

impl<'a> Found<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Refusal> {
        let mut keys = Keys::new(CREATE);
        cursor.object(|cursor, key| {
            match keys.check(key)? {
                Some("model") => {
                    let raw = string(cursor, "model")?;
                    self.model = Some((raw.json, text_of(raw, "model")?));
                }
                Some(name) if cursor.peek() != Some(b'n') => self.member(cursor, name)?,
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })
    }

    /// A member that is read, and is not null.
    fn member(&mut self, cursor: &mut Cursor<'a>, name: &'static str) -> Result<(), Refusal> {
        match name {
            "input" => {
                let items = &mut self.items;
                self.input = Some(input(cursor, items)?);
            }
            "previous_response_id" => {
                let raw = string(cursor, name)?;
                self.previous = Some((raw.json, text_of(raw, name)?));
            }
            "conversation" => self.conversation = conversation(cursor)?,
            "prompt_cache_key" => self.prompt_cache_key = Some(text_of(string(cursor, name)?, name)?),
            "stream" => self.stream = flag(cursor, name)?.unwrap_or_default(),
            "store" => self.store = flag(cursor, name)?,
            "background" => self.background = flag(cursor, name)?.unwrap_or_default(),
            "tools" => self.tools = Some(cursor.value()?),
            "instructions" => self.instructions = Some(cursor.value()?),
            _ => {
                cursor.value()?;
            }
        }
        Ok(())
    }

    fn finish(self, body: &'a str, needs: Needs) -> Result<Request<'a>, ApiError> {
        let (raw, model) = self.model.unzip();
        let model = model.unwrap_or_default();
        let model_span = model_span(body, raw, &model)?;
        if self.previous.is_some() && self.conversation.is_some() {
            let message =
                "Mutually exclusive parameters: provide only one of `previous_response_id` and `conversation`.";
            return Err(ApiError::invalid(message).param("conversation").code("mutually_exclusive_parameters"));
        }
        let (raw, previous_response_id) = self.previous.unzip();
        let Items { count, system, first_user, last_user, references, texts } = self.items;
        let estimate = |json: &&str| text::estimate_tokens(json);
        let tokens = if needs.tokens { self.instructions.iter().chain(&texts).map(estimate).sum() } else { 0 };
        Ok(Request {
            model,
            model_span,
            previous_response_id,
            previous_span: raw.map(|raw| span(body, raw)),
            conversation: self.conversation,
            prompt_cache_key: self.prompt_cache_key,
            stream: self.stream,
            store: self.store.unwrap_or(true),
            background: self.background,
            tools: self.tools,
            input: self.input.map(|json| (json, span(body, json))),
            instructions: self.instructions,
            system: self.instructions.into_iter().chain(system).collect(),
            first_user,
            last_user,
            messages: count,
            references,
            tokens,
        })
    }
}

/// An id, or an object that has one.
fn conversation<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    const PARAM: &str = "conversation.id";
    if cursor.peek() != Some(b'{') {
        return text_of(string(cursor, "conversation")?, "conversation").map(Some);
    }
    let (mut keys, mut id) = (Keys::new(&["id"]), None);
    cursor.object(|cursor, key| {
        if keys.check(key)?.is_some() {
            id = Some(text_of(string(cursor, PARAM)?, PARAM)?);
        } else {
            cursor.value()?;
        }
        Ok::<_, Refusal>(())
    })?;
    if id.is_none() { wrong(PARAM, "a string") } else { Ok(id) }
}

/// A string, which is a user message, or a list of items. Gives its JSON.
fn input<'a>(cursor: &mut Cursor<'a>, items: &mut Items<'a>) -> Result<&'a str, Refusal> {
    match cursor.peek() {
        Some(b'"') => {
            let json = string(cursor, "input")?.json;
            items.count = 1;
            items.user(LastUser { json, index: None });
            items.texts.push(json);
            Ok(json)
        }
        Some(b'[') => {
            let before = cursor.rest();
            cursor.array(|cursor| {
                let item = item(cursor, items.count)?;
                items.take(item);
                Ok::<_, Refusal>(())
            })?;
            let length = before.len() - cursor.rest().len();
            Ok(before.get(..length).unwrap_or_default())
        }
        _ => {
            cursor.value()?;
            wrong("input", "a string or a list of items")
        }
    }
}

#[derive(Default)]
struct Item<'a> {
    kind: Option<Cow<'a, str>>,
    role: Option<Role>,
    content: Option<&'a str>,
    output: Option<&'a str>,
    id: Option<Cow<'a, str>>,
}

fn item<'a>(cursor: &mut Cursor<'a>, index: usize) -> Result<Item<'a>, Refusal> {
    if cursor.peek() != Some(b'{') {
        cursor.value()?;
        return wrong(format!("input[{index}]"), "an object");
    }
    let (mut keys, mut item) = (Keys::new(ITEM), Item::default());
    let text = |cursor: &mut Cursor<'a>, name: &str| {
        let param = format!("input[{index}].{name}");
        string(cursor, &param).and_then(|raw| text_of(raw, &param)).map(Some)
    };
    cursor.object(|cursor, key| {
        match keys.check(key)?.filter(|_| cursor.peek() != Some(b'n')) {
            Some("type") => item.kind = text(cursor, "type")?,
            Some("id") => item.id = text(cursor, "id")?,
            Some("role") => item.role = Some(role(cursor, "input", index)?),
            Some("content") => item.content = Some(cursor.value()?),
            Some("output") => item.output = Some(cursor.value()?),
            _ => {
                cursor.value()?;
            }
        }
        Ok::<_, Refusal>(())
    })?;
    Ok(item)
}

impl<'a> Items<'a> {
    fn take(&mut self, item: Item<'a>) {
        let index = self.count;
        self.count += 1;
        self.texts.extend(item.content);
        // An object is a screenshot.
        self.texts.extend(item.output.filter(|json| json.starts_with(['"', '['])));
        // `type` may be left out of messages and of references (OpenAI API reference, "EasyInputMessage", "ItemReference").
        match (item.kind.as_deref(), item.role, item.content, item.id) {
            (Some("message") | None, Some(Role::User), Some(json), _) => {
                self.user(LastUser { json, index: Some(index) });
            }
            (Some("message") | None, Some(Role::System), Some(json), _) if self.first_user.is_none() => {
                self.system.push(json);
            }
            (Some("item_reference"), _, _, Some(id)) | (None, None, None, Some(id)) => self.references.push(id),
            _ => {}
        }
    }

    fn user(&mut self, message: LastUser<'a>) {
        self.first_user.get_or_insert(message.json);
        self.last_user = Some(message);
    }
}

#[cfg(test)]
mod tests;
