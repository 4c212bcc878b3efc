//! The text of a message: a string, or the text parts of a list.

use std::{borrow::Cow, fmt};

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess};

use super::keys::{Keys, Text};
use crate::error::ApiError;

/// What a message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// Its text; parts are joined by a line break.
    pub text: Cow<'a, str>,
    /// Parts that are not text: images, audio, files.
    pub attachments: usize,
}

/// Reads the JSON of a message's content.
pub(super) fn decode(json: &str, index: usize) -> Result<Content<'_>, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    de::Deserializer::deserialize_any(&mut deserializer, ContentVisitor).map_err(|error| {
        ApiError::invalid(format!("The content of the last user message cannot be read: {error}."))
            .param(format!("messages[{index}].content"))
            .code("invalid_content")
    })
}

/// Language-agnostic: four ASCII characters, or one and a half others, make a token. JSON escapes count as written.
pub(super) fn estimate_tokens(json: &str) -> u64 {
    let count = |text: &str| {
        let ascii = text.bytes().filter(u8::is_ascii).count();
        let others = text.chars().count() - ascii;
        u64::try_from(ascii / 4 + others * 2 / 3 + 1).unwrap_or(u64::MAX)
    };
    if !json.starts_with('[') {
        return count(json);
    }
    decode(json, 0).map_or_else(|_| count(json), |content| count(&content.text))
}

struct ContentVisitor;

impl<'de> de::Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content parts")
    }

    fn visit_unit<E>(self) -> Result<Content<'de>, E> {
        Ok(Content::default())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Content<'de>, E> {
        Ok(Content { text: Cow::Borrowed(text), attachments: 0 })
    }

    fn visit_str<E>(self, text: &str) -> Result<Content<'de>, E> {
        Ok(Content { text: Cow::Owned(text.to_owned()), attachments: 0 })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content<'de>, A::Error> {
        let mut content = Content::default();
        while let Some(Part(text)) = parts.next_element()? {
            match text {
                None => content.attachments += 1,
                Some(text) if content.text.is_empty() => content.text = text,
                Some(text) => {
                    let joined = content.text.to_mut();
                    joined.push('\n');
                    joined.push_str(&text);
                }
            }
        }
        Ok(content)
    }
}

/// One content part: its text, if it has one.
struct Part<'a>(Option<Cow<'a, str>>);

impl<'de> de::Deserialize<'de> for Part<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content part object")
            }

            // A part is text if it has one, whatever its type says: backends read it so.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part<'de>, A::Error> {
                let mut keys = Keys::new(&["type", "text"]);
                let mut text = None;
                while let Some(Text(key)) = map.next_key()? {
                    match keys.check(&key).map_err(de::Error::custom)? {
                        Some("text") => text = map.next_value::<Option<Text<'de>>>()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Part(text.map(|text| text.0)))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
