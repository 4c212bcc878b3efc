//! Request bodies: parsed borrowed, once; changed by splicing, never by writing a tree out again.

mod block;
pub(crate) mod json;
pub(crate) mod keys;
pub(crate) mod scan;
pub(crate) mod text;

use std::{borrow::Cow, ops::Range};

pub use self::{scan::Needs, text::Content};
use crate::{error::ApiError, route::Create};

/// What is read of a request, borrowed from its bytes.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The model asked for.
    pub model: Cow<'a, str>,
    /// Where its JSON string stands in the body, quotes included.
    pub model_span: Range<usize>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Names the conversation, where the client says so.
    pub prompt_cache_key: Option<Cow<'a, str>>,
    /// The JSON of the tools.
    pub tools: Option<&'a str>,
    /// The JSON of the contents of system and developer messages before the first user message.
    pub system: Vec<&'a str>,
    /// The JSON of the first user message's content.
    pub first_user: Option<&'a str>,
    /// The JSON of the last user message's content, and its index in `messages`.
    pub last_user: Option<(usize, &'a str)>,
    /// Number of messages.
    pub messages: usize,
    /// Estimated tokens of all messages, where asked for.
    pub tokens: u64,
}

impl<'a> Request<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// A 400 that names the field or the place: not JSON, a field of the wrong type, a key that stands twice or in another case.
    pub fn parse(body: &'a [u8], create: Create, needs: Needs) -> Result<Self, ApiError> {
        scan::scan(body, create, needs)
    }

    /// The last user message's text.
    ///
    /// # Errors
    /// A 400 that names the message.
    pub fn content(&self) -> Result<Content<'a>, ApiError> {
        let Some((index, json)) = self.last_user else { return Ok(Content::default()) };
        text::decode(json, &format!("messages[{index}].content"))
    }

    /// The number of tools.
    #[must_use]
    pub fn tool_count(&self) -> usize {
        self.tools.map_or(0, count)
    }
}

/// The number of elements of a list; none of anything else.
pub(crate) fn count(json: &str) -> usize {
    if !json.starts_with('[') {
        return 0;
    }
    let (mut cursor, mut count) = (json::Cursor::new(json), 0);
    let counted = cursor.array(|cursor| {
        count += 1;
        cursor.value().map(drop)
    });
    counted.map_or(0, |()| count)
}

/// A change at the start of a buffer: its first `replaced` bytes become `bytes`, the rest stays where it is. Envoy can do that in
/// place, so that what stands behind a changed model name is not written back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// How many bytes go; [`Edit::ALL`] for every one.
    pub replaced: usize,
    /// What comes instead.
    pub bytes: Vec<u8>,
}

impl Edit {
    /// More than any buffer holds.
    pub const ALL: usize = usize::MAX >> 1;

    /// A whole new body.
    #[must_use]
    pub const fn whole(bytes: Vec<u8>) -> Self {
        Self { replaced: Self::ALL, bytes }
    }

    /// What becomes of a body of that length.
    #[must_use]
    pub const fn length(&self, before: usize) -> usize {
        before.saturating_sub(self.replaced).saturating_add(self.bytes.len())
    }
}

/// Replaces the JSON string at `span` by `text`; every other byte stays.
#[must_use]
pub fn splice(mut body: Vec<u8>, span: Range<usize>, text: &str) -> Edit {
    let replaced = span.end;
    body.truncate(span.start);
    body.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    Edit { replaced, bytes: body }
}

#[cfg(test)]
mod tests;
