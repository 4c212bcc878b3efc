//! Response objects on their way to the client: the backend's ids become ours, its name of the model becomes ours, and every
//! other byte stays. The backend is trusted, so a key that stands twice is rewritten twice, not refused.

use std::borrow::Cow;

use super::edit::{Edit, EditError, splice_all};
use crate::{
    body::{
        json::{Cursor, Malformed, Raw},
        keys::decode,
        scan::span,
    },
    ids::IdError,
};

/// What a response's ids and model become.
#[derive(Clone, Copy)]
pub struct Outward<'a> {
    /// The id that the client gets for the backend's: [`crate::ids::Wrapping`], once the endpoint is known.
    pub wrap: &'a dyn Fn(&str) -> Result<String, IdError>,
    /// The model's name, as clients know it.
    pub model: &'a str,
}

/// A response that cannot be given to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The body is no JSON object.
    #[error("the backend's answer is not the JSON of a response: expected {expected} at byte {at}")]
    Malformed {
        /// The byte where.
        at: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// An id that cannot be wrapped.
    #[error("an id of the backend's answer cannot be given out: {0}")]
    Id(#[from] IdError),
    /// A server-sent event that is too long.
    #[error("a server-sent event of the backend is over the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A fault of ours.
    #[error("{0}")]
    Edit(#[from] EditError),
}

impl From<Malformed> for RewriteError {
    fn from(Malformed { at, expected }: Malformed) -> Self {
        Self::Malformed { at, expected }
    }
}

impl Outward<'_> {
    /// The edits for what was found in `text`, in order.
    pub(super) fn edits(&self, text: &str, found: &Found<'_>) -> Result<Vec<Edit>, RewriteError> {
        let mut edits = Vec::new();
        for (what, raw) in &found.values {
            let (value, at) = (decode(*raw), span(text, raw.json));
            match what {
                What::Id => edits.push(Edit::string(at, &(self.wrap)(&value.ok_or(IdError::Upstream)?)?)),
                What::Model if value.as_deref() != Some(self.model) => edits.push(Edit::string(at, self.model)),
                What::Model => {}
            }
        }
        Ok(edits)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Id,
    Model,
}

/// The strings that change, as they stand in the text, in order.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub values: Vec<(What, Raw<'a>)>,
    /// The first response's own id.
    pub id: Option<Raw<'a>>,
    object: Option<&'a str>,
}

impl<'a> Found<'a> {
    /// Walks a response object.
    pub(super) fn response(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Malformed> {
        cursor.object(|cursor, key| {
            match (decode(key).as_deref(), cursor.peek()) {
                (Some("id"), Some(b'"')) => {
                    let raw = cursor.string()?;
                    self.id.get_or_insert(raw);
                    self.values.push((What::Id, raw));
                }
                (Some("previous_response_id"), Some(b'"')) => self.values.push((What::Id, cursor.string()?)),
                (Some("model"), Some(b'"')) => self.values.push((What::Model, cursor.string()?)),
                (Some("object"), _) => self.object = Some(cursor.value()?),
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })
    }

    /// Walks an event's data, which may carry a response object or the id of one.
    pub(super) fn event(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Malformed> {
        cursor.object(|cursor, key| {
            match (decode(key).as_deref(), cursor.peek()) {
                (Some("response"), Some(b'{')) => self.response(cursor)?,
                (Some("response_id"), Some(b'"')) => self.values.push((What::Id, cursor.string()?)),
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })
    }
}

/// Rewrites the body of a create, retrieve or cancel. An object that says it is something else than a response is left alone.
///
/// # Errors
/// [`RewriteError`]; nothing of the body may then go out.
pub fn response<'a>(body: &'a [u8], outward: &Outward<'_>) -> Result<Cow<'a, [u8]>, RewriteError> {
    rewrite(body, outward, |object| matches!(object, None | Some("\"response\"" | "null")))
}

/// Rewrites the body of a delete, whatever kind of object backends call it.
///
/// # Errors
/// [`RewriteError`]; nothing of the body may then go out.
pub fn deleted<'a>(body: &'a [u8], outward: &Outward<'_>) -> Result<Cow<'a, [u8]>, RewriteError> {
    rewrite(body, outward, |_| true)
}

fn rewrite<'a>(
    body: &'a [u8],
    outward: &Outward<'_>,
    ours: impl FnOnce(Option<&str>) -> bool,
) -> Result<Cow<'a, [u8]>, RewriteError> {
    let text = simdutf8::compat::from_utf8(body)
        .map_err(|error| RewriteError::Malformed { at: error.valid_up_to(), expected: "UTF-8" })?;
    let (mut cursor, mut found) = (Cursor::new(text), Found::default());
    found.response(&mut cursor)?;
    cursor.end()?;
    if !ours(found.object) {
        return Ok(Cow::Borrowed(body));
    }
    let edits = outward.edits(text, &found)?;
    if edits.is_empty() { Ok(Cow::Borrowed(body)) } else { Ok(Cow::Owned(splice_all(body, &edits)?)) }
}

#[cfg(test)]
mod tests;
