//! One pass over a request body: finds what is read, skips the rest without building it.

use std::{cell::RefCell, fmt, ops::Range};

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::{
    Request,
    keys::{Keys, Text},
    text,
};
use crate::{error::ApiError, route::Create};

/// What beyond routing's own needs is computed, because some rule reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Estimate tokens of all messages.
    pub tokens: bool,
}

/// The fields that are read at the top of each kind of body.
pub type Fields = &'static [&'static str];

const CHAT: Fields = &["model", "messages", "stream", "tools", "prompt_cache_key"];
const OTHER: Fields = &["model", "stream", "prompt_cache_key"];
const MESSAGE: Fields = &["role", "content"];

/// Where the pass is, for errors, and what a visitor found wrong itself.
#[derive(Default)]
struct Trace {
    param: Option<String>,
    ambiguous: Option<String>,
}

struct Scan<'t> {
    create: Create,
    needs: Needs,
    trace: &'t RefCell<Trace>,
}

pub(super) fn scan(body: &[u8], create: Create, needs: Needs) -> Result<Request<'_>, ApiError> {
    let text =
        std::str::from_utf8(body).map_err(|error| not_json(&format!("byte {} is not UTF-8", error.valid_up_to())))?;
    let trace = RefCell::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Scan { create, needs, trace: &trace }.deserialize(&mut json).and_then(|found| {
        json.end()?;
        Ok(found)
    });
    let found = read.map_err(|error| refuse(&error, trace.into_inner()))?;
    finish(found, text, create)
}

fn not_json(why: &str) -> ApiError {
    ApiError::invalid(format!("We could not parse the JSON body of your request: {why}.")).code("invalid_json")
}

fn refuse(error: &serde_json::Error, trace: Trace) -> ApiError {
    if let Some(why) = trace.ambiguous {
        return ApiError::invalid(format!("Ambiguous JSON: {why}.")).code("ambiguous_key");
    }
    if !error.is_data() {
        return not_json(&error.to_string());
    }
    let error = ApiError::invalid(format!("The request body has a wrong type: {error}.")).code("invalid_type");
    match trace.param {
        Some(param) => error.param(param),
        None => error,
    }
}

fn finish<'a>(found: Found<'a>, body: &'a str, create: Create) -> Result<Request<'a>, ApiError> {
    let Found { model, mut request, has_messages } = found;
    let missing = || ApiError::invalid("You must provide a `model` parameter.").param("model");
    let raw = model.ok_or_else(missing)?.get();
    let wrong = |_| ApiError::invalid("`model` must be a string.").param("model").code("invalid_type");
    request.model = serde_json::from_str::<Text<'a>>(raw).map_err(wrong)?.0;
    if request.model.is_empty() {
        return Err(missing());
    }
    request.model_span = span(body, raw);
    if create == Create::ChatCompletion && !has_messages {
        return Err(ApiError::invalid("You must provide a `messages` parameter.").param("messages"));
    }
    if create == Create::ChatCompletion && request.messages == 0 {
        return Err(ApiError::invalid("`messages` must hold at least one message.").param("messages"));
    }
    Ok(request)
}

/// Where `part`, a slice of `body`, stands in it.
fn span(body: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + part.len()
}

#[derive(Default)]
struct Found<'a> {
    model: Option<&'a RawValue>,
    request: Request<'a>,
    has_messages: bool,
}

impl Scan<'_> {
    fn at(&self, param: impl FnOnce() -> String) {
        self.trace.borrow_mut().param = Some(param());
    }

    fn key<E: de::Error>(&self, keys: &mut Keys, key: &str) -> Result<Option<&'static str>, E> {
        keys.check(key).map_err(|ambiguous| {
            self.trace.borrow_mut().ambiguous = Some(ambiguous.to_string());
            E::custom(ambiguous)
        })
    }
}

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = Found<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for Scan<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut keys = Keys::new(if self.create == Create::ChatCompletion { CHAT } else { OTHER });
        let mut found = Found::default();
        while let Some(Text(key)) = map.next_key()? {
            let Some(name) = self.key(&mut keys, &key)? else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.at(|| name.to_owned());
            match name {
                "model" => found.model = Some(map.next_value()?),
                "messages" => {
                    map.next_value_seed(Messages { scan: &self, request: &mut found.request })?;
                    found.has_messages = true;
                }
                "stream" => found.request.stream = map.next_value::<Option<bool>>()?.unwrap_or(false),
                "tools" => found.request.tools = Some(map.next_value::<&RawValue>()?.get()),
                "prompt_cache_key" => {
                    found.request.prompt_cache_key = map.next_value::<Option<Text<'de>>>()?.map(|text| text.0);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

struct Messages<'s, 'r, 'de> {
    scan: &'s Scan<'s>,
    request: &'r mut Request<'de>,
}

impl<'de> DeserializeSeed<'de> for Messages<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> de::Visitor<'de> for Messages<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { scan, request } = self;
        loop {
            let index = request.messages;
            let Some(message) = seq.next_element_seed(Message { scan, index })? else { return Ok(()) };
            request.take(&message, scan.needs);
        }
    }
}

struct Message<'s> {
    scan: &'s Scan<'s>,
    index: usize,
}

#[derive(Default)]
struct FoundMessage<'a> {
    role: Option<Text<'a>>,
    content: Option<&'a str>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = FoundMessage<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<FoundMessage<'de>, D::Error> {
        self.scan.at(|| format!("messages[{}]", self.index));
        deserializer.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for Message<'_> {
    type Value = FoundMessage<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FoundMessage<'de>, A::Error> {
        let mut keys = Keys::new(MESSAGE);
        let mut found = FoundMessage::default();
        while let Some(Text(key)) = map.next_key()? {
            match self.scan.key(&mut keys, &key)? {
                Some("role") => found.role = map.next_value()?,
                Some("content") => found.content = Some(map.next_value::<&RawValue>()?.get()),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

impl<'a> Request<'a> {
    fn take(&mut self, message: &FoundMessage<'a>, needs: Needs) {
        let index = self.messages;
        self.messages += 1;
        let Some(content) = message.content else { return };
        if needs.tokens {
            self.tokens = self.tokens.saturating_add(text::estimate_tokens(content));
        }
        match message.role.as_ref().map(|role| role.0.as_ref()) {
            Some("user") => {
                self.first_user.get_or_insert(content);
                self.last_user = Some((index, content));
            }
            Some("system" | "developer") if self.first_user.is_none() => self.system.push(content),
            _ => {}
        }
    }
}
