//! One pass over a request body: finds what is read, skips the rest without building it.

use std::{borrow::Cow, ops::Range};

use super::{
    Request,
    json::{Cursor, Malformed, Raw},
    keys::{Ambiguous, Keys, decode},
    text,
};
use crate::{error::ApiError, route::Create};

/// What beyond routing's own needs is computed, because some rule reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Estimate tokens of all messages.
    pub tokens: bool,
}

const CHAT: &[&str] = &["model", "messages", "stream", "tools", "prompt_cache_key"];
const OTHER: &[&str] = &["model", "stream", "prompt_cache_key"];
const MESSAGE: &[&str] = &["role", "content"];

/// Why a body is refused.
pub(crate) enum Refusal {
    Malformed(Malformed),
    Ambiguous(Ambiguous),
    Type { param: String, expected: &'static str },
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Ambiguous> for Refusal {
    fn from(ambiguous: Ambiguous) -> Self {
        Self::Ambiguous(ambiguous)
    }
}

pub(super) fn scan(body: &[u8], create: Create, needs: Needs) -> Result<Request<'_>, ApiError> {
    let mut found = Found::default();
    let text = document(body, |cursor| read(cursor, create, needs, &mut found))?;
    finish(found, text, create)
}

/// Walks a whole body; gives its text.
pub(crate) fn document<'a>(
    body: &'a [u8],
    read: impl FnOnce(&mut Cursor<'a>) -> Result<(), Refusal>,
) -> Result<&'a str, ApiError> {
    let text = simdutf8::compat::from_utf8(body)
        .map_err(|error| not_json(&format!("byte {} is not UTF-8", error.valid_up_to())))?;
    let mut cursor = Cursor::new(text);
    read(&mut cursor).and_then(|()| Ok(cursor.end()?)).map_err(|refusal| refuse(refusal, text))?;
    Ok(text)
}

fn not_json(why: &str) -> ApiError {
    ApiError::invalid(format!("We could not parse the JSON body of your request: {why}.")).code("invalid_json")
}

fn refuse(refusal: Refusal, text: &str) -> ApiError {
    match refusal {
        Refusal::Ambiguous(why) => ApiError::invalid(format!("Ambiguous JSON: {why}.")).code("ambiguous_key"),
        Refusal::Type { param, expected } => {
            ApiError::invalid(format!("`{param}` must be {expected}.")).param(param).code("invalid_type")
        }
        Refusal::Malformed(Malformed { at, expected }) => {
            let before = text.get(..at).unwrap_or(text);
            let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            not_json(&format!("expected {expected} at line {line}, column {column}"))
        }
    }
}

#[derive(Default)]
struct Found<'a> {
    model: Option<&'a str>,
    request: Request<'a>,
    has_messages: bool,
}

fn finish<'a>(found: Found<'a>, body: &'a str, create: Create) -> Result<Request<'a>, ApiError> {
    let Found { model, mut request, has_messages } = found;
    request.model_span = model_span(body, model, &request.model)?;
    if create == Create::ChatCompletion && !has_messages {
        return Err(ApiError::invalid("You must provide a `messages` parameter.").param("messages"));
    }
    if create == Create::ChatCompletion && request.messages == 0 {
        return Err(ApiError::invalid("`messages` must hold at least one message.").param("messages"));
    }
    Ok(request)
}

/// Where the model's name stands, which must be there.
pub(crate) fn model_span(body: &str, raw: Option<&str>, name: &str) -> Result<Range<usize>, ApiError> {
    let missing = || ApiError::invalid("You must provide a `model` parameter.").param("model");
    raw.filter(|_| !name.is_empty()).map(|raw| span(body, raw)).ok_or_else(missing)
}

/// Where `part`, a slice of `body`, stands in it.
pub(crate) fn span(body: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + part.len()
}

pub(crate) fn wrong<T>(param: impl Into<String>, expected: &'static str) -> Result<T, Refusal> {
    Err(Refusal::Type { param: param.into(), expected })
}

fn read<'a>(cursor: &mut Cursor<'a>, create: Create, needs: Needs, found: &mut Found<'a>) -> Result<(), Refusal> {
    let mut keys = Keys::new(if create == Create::ChatCompletion { CHAT } else { OTHER });
    cursor.object(|cursor, key| {
        match keys.check(key)? {
            Some("model") => {
                let raw = string(cursor, "model")?;
                found.model = Some(raw.json);
                found.request.model = text_of(raw, "model")?;
            }
            Some("messages") => {
                messages(cursor, needs, &mut found.request)?;
                found.has_messages = true;
            }
            Some("stream") => found.request.stream = flag(cursor, "stream")?.unwrap_or_default(),
            Some("tools") => found.request.tools = Some(cursor.value()?),
            Some("prompt_cache_key") if cursor.peek() != Some(b'n') => {
                let raw = string(cursor, "prompt_cache_key")?;
                found.request.prompt_cache_key = Some(text_of(raw, "prompt_cache_key")?);
            }
            _ => {
                cursor.value()?;
            }
        }
        Ok(())
    })
}

/// A value that must be true or false, or null.
pub(crate) fn flag(cursor: &mut Cursor<'_>, param: &'static str) -> Result<Option<bool>, Refusal> {
    match cursor.value()? {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        "null" => Ok(None),
        _ => wrong(param, "true or false"),
    }
}

/// A value that must be a string. Anything else is still read to its end: malformed JSON is told before a wrong type.
pub(crate) fn string<'a>(cursor: &mut Cursor<'a>, param: &str) -> Result<Raw<'a>, Refusal> {
    if cursor.peek() == Some(b'"') {
        return Ok(cursor.string()?);
    }
    cursor.value()?;
    wrong(param, "a string")
}

pub(crate) fn text_of<'a>(raw: Raw<'a>, param: &str) -> Result<Cow<'a, str>, Refusal> {
    decode(raw).map_or_else(|| wrong(param, "a string of Unicode characters, without lone surrogates"), Ok)
}

fn messages<'a>(cursor: &mut Cursor<'a>, needs: Needs, request: &mut Request<'a>) -> Result<(), Refusal> {
    if cursor.peek() != Some(b'[') {
        cursor.value()?;
        return wrong("messages", "a list of messages");
    }
    cursor.array(|cursor| {
        let message = message(cursor, request.messages)?;
        request.take(&message, needs);
        Ok(())
    })
}

#[derive(Default)]
struct Message<'a> {
    role: Role,
    content: Option<&'a str>,
}

/// Who speaks, as far as routing cares.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    System,
    #[default]
    Other,
}

fn message<'a>(cursor: &mut Cursor<'a>, index: usize) -> Result<Message<'a>, Refusal> {
    if cursor.peek() != Some(b'{') {
        cursor.value()?;
        return wrong(format!("messages[{index}]"), "an object");
    }
    let (mut keys, mut message) = (Keys::new(MESSAGE), Message::default());
    cursor.object(|cursor, key| {
        match keys.check(key)? {
            Some("role") => message.role = role(cursor, "messages", index)?,
            Some("content") => message.content = Some(cursor.value()?),
            _ => {
                cursor.value()?;
            }
        }
        Ok::<_, Refusal>(())
    })?;
    Ok(message)
}

pub(crate) fn role(cursor: &mut Cursor<'_>, list: &str, index: usize) -> Result<Role, Refusal> {
    if cursor.peek() != Some(b'"') {
        cursor.value()?;
        return wrong(format!("{list}[{index}].role"), "a string");
    }
    Ok(match decode(cursor.string()?).as_deref() {
        Some("user") => Role::User,
        Some("system" | "developer") => Role::System,
        _ => Role::Other,
    })
}

impl<'a> Request<'a> {
    fn take(&mut self, message: &Message<'a>, needs: Needs) {
        let index = self.messages;
        self.messages += 1;
        let Some(content) = message.content else { return };
        if needs.tokens {
            self.tokens = self.tokens.saturating_add(text::estimate_tokens(content));
        }
        match message.role {
            Role::User => {
                self.first_user.get_or_insert(content);
                self.last_user = Some((index, content));
            }
            Role::System if self.first_user.is_none() => self.system.push(content),
            _ => {}
        }
    }
}
