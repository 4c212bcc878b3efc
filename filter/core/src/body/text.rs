//! The text of a message: a string, or the text parts of a list.

use std::borrow::Cow;

use super::{
    json::{Cursor, Malformed},
    keys::{Ambiguous, Keys, decode as decode_string},
};
use crate::error::ApiError;

/// What a message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// Its text; parts are joined by a line break.
    pub text: Cow<'a, str>,
    /// Parts that are not text: images, audio, files.
    pub attachments: usize,
}

/// Why a content cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("{0}")]
    Ambiguous(#[from] Ambiguous),
    #[error("it must be {0}")]
    Type(&'static str),
}

impl From<Malformed> for Unreadable {
    // Unreachable in practice: the whole body has been read before.
    fn from(malformed: Malformed) -> Self {
        Self::Type(malformed.expected)
    }
}

/// Reads the JSON of a message's content, which stands at `param`.
pub(crate) fn decode<'a>(json: &'a str, param: &str) -> Result<Content<'a>, ApiError> {
    read(json).map_err(|why| {
        ApiError::invalid(format!("The content of the last user message cannot be read: {why}."))
            .param(param)
            .code("invalid_content")
    })
}

/// Language-agnostic: four ASCII characters, or one and a half others, make a token. JSON escapes count as written.
pub(crate) fn estimate_tokens(json: &str) -> u64 {
    let count = |text: &str| {
        let ascii = text.bytes().filter(u8::is_ascii).count();
        let others = text.chars().count() - ascii;
        u64::try_from(ascii / 4 + others * 2 / 3 + 1).unwrap_or(u64::MAX)
    };
    if !json.starts_with('[') {
        return count(json);
    }
    read(json).map_or_else(|_| count(json), |content| count(&content.text))
}

fn read(json: &str) -> Result<Content<'_>, Unreadable> {
    let mut cursor = Cursor::new(json);
    let mut content = Content::default();
    match cursor.peek() {
        Some(b'n') => {}
        Some(b'"') => content.text = string(&mut cursor)?,
        Some(b'[') => cursor.array(|cursor| {
            match part(cursor)? {
                None => content.attachments += 1,
                Some(text) if content.text.is_empty() => content.text = text,
                Some(text) => {
                    let joined = content.text.to_mut();
                    joined.push('\n');
                    joined.push_str(&text);
                }
            }
            Ok::<_, Unreadable>(())
        })?,
        _ => return Err(Unreadable::Type("a string or a list of content parts")),
    }
    Ok(content)
}

fn string<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Unreadable> {
    let raw = cursor.string()?;
    decode_string(raw).ok_or(Unreadable::Type("Unicode text, without lone surrogates"))
}

/// One content part: its text, if it has one. A part is text if it has one, whatever its type says: backends read it so.
fn part<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, str>>, Unreadable> {
    if cursor.peek() != Some(b'{') {
        return Err(Unreadable::Type("a list of content part objects"));
    }
    let (mut keys, mut text) = (Keys::new(&["type", "text"]), None);
    cursor.object(|cursor, key| {
        match (keys.check(key)?, cursor.peek()) {
            (Some("text"), Some(b'"')) => text = Some(string(cursor)?),
            (Some("text"), first) if first != Some(b'n') => {
                return Err(Unreadable::Type("parts whose `text` is a string"));
            }
            _ => {
                cursor.value()?;
            }
        }
        Ok(())
    })?;
    Ok(text)
}
