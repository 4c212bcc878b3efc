//! The texts of an answer: where its strings stand in the JSON, and which of them are pieces of a longer text. One walk knows chat
//! completions, completions, responses and the events of their streams, by the names of their members.

use std::ops::Range;

use crate::body::{
    json::{Cursor, Malformed, Raw},
    keys::decode,
    scan::span,
};

/// Members that say what something is, not what is said. They count as that only where they look like it.
const LABELS: &[&str] = &[
    "id",
    "name",
    "object",
    "type",
    "role",
    "model",
    "status",
    "finish_reason",
    "stop_reason",
    "call_id",
    "tool_call_id",
    "item_id",
    "response_id",
    "previous_response_id",
    "file_id",
    "container_id",
    "phase",
    "service_tier",
    "system_fingerprint",
    "format",
    "encrypted_content",
    "signature",
    "obfuscation",
];
/// The longest label.
const LABEL: usize = 256;
/// Members of a choice that come in pieces.
const PIECES: &[&str] =
    &["content", "reasoning_content", "reasoning", "refusal", "arguments", "text", "input", "thinking", "summary"];
/// Members of a response event that hold what is said.
const EVENT: &[&str] =
    &["delta", "text", "refusal", "arguments", "input", "code", "item", "part", "annotation", "summary", "logprobs"];
/// The same of a response.
const RESPONSE: &[&str] = &["output", "output_text"];
/// Members of an event that tell one text from another.
const PLACE: &[&str] = &["item_id", "output_index", "content_index", "summary_index"];
/// Events that are the last of their stream.
const LAST: &[&str] = &["response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"];
const DEEPEST: usize = 48;

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Whether it is an event of a stream, whose texts come in pieces.
    pub stream: bool,
    /// Every string; else what the model says, not what the answer repeats of the request.
    pub everything: bool,
}

/// One string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// Where its inside stands, the quotes not included.
    pub at: Range<usize>,
    /// The text that it is a piece of; none where it is whole.
    pub channel: Option<String>,
    /// Whether what it says is JSON itself.
    pub nested: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In their order.
    pub texts: Vec<Text>,
    /// Log probabilities, which repeat the text token by token, and what stands there when it changes.
    pub logprobs: Vec<(Range<usize>, &'static str)>,
    /// Texts that get no further piece: those whose channels begin so.
    pub ends: Vec<String>,
    /// The number of the event.
    pub sequence: Option<u64>,
    /// The response object that the event carries.
    pub response: Option<Range<usize>>,
}

/// A document that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("it is not the JSON of an answer: expected {expected} at byte {at}")]
    Malformed { at: usize, expected: &'static str },
    #[error("it is nested more than {DEEPEST} deep")]
    Deep,
}

impl From<Malformed> for Unread {
    fn from(Malformed { at, expected }: Malformed) -> Self {
        Self::Malformed { at, expected }
    }
}

/// Finds the texts of an answer, or of one event.
pub(crate) fn read(text: &str, reading: Reading) -> Result<Found, Unread> {
    let mut walk = Walk { text, reading, found: Found::default(), path: String::new(), depth: 0 };
    walk.document()?;
    Ok(walk.found)
}

struct Walk<'a> {
    text: &'a str,
    reading: Reading,
    found: Found,
    /// Where in a choice we are; empty elsewhere.
    path: String,
    depth: usize,
}

/// What an event is about.
#[derive(Debug, Default)]
struct Event<'a> {
    kind: String,
    place: [&'a str; PLACE.len()],
    /// Which of the texts is its piece.
    delta: Option<usize>,
}

impl Event<'_> {
    fn channel(&self, of: &str) -> String {
        format!("{of}/{}/", self.place.join("/"))
    }
}

impl<'a> Walk<'a> {
    fn document(&mut self) -> Result<(), Unread> {
        let mut cursor = Cursor::new(self.text);
        let mut event = Event::default();
        cursor.object(|cursor, key| self.member(cursor, &decode(key).unwrap_or_default(), &mut event))?;
        cursor.end()?;
        if self.reading.stream {
            self.event(&event);
        }
        Ok(())
    }

    fn member(&mut self, cursor: &mut Cursor<'a>, key: &str, event: &mut Event<'a>) -> Result<(), Unread> {
        if let Some(place) = PLACE.iter().position(|name| *name == key).and_then(|i| event.place.get_mut(i)) {
            *place = cursor.value()?;
            return Ok(());
        }
        let said = if self.reading.stream { EVENT } else { RESPONSE };
        match (key, cursor.peek()) {
            ("choices", Some(b'[')) => cursor.array(|cursor| self.choice(cursor.value()?))?,
            ("response", Some(b'{')) if self.reading.stream => {
                let response = cursor.value()?;
                self.found.response = Some(span(self.text, response));
                self.response(response)?;
            }
            ("type", Some(b'"')) => event.kind = decode(cursor.string()?).unwrap_or_default().into_owned(),
            ("sequence_number", _) => self.found.sequence = cursor.value()?.parse().ok(),
            ("delta", Some(b'"')) => {
                event.delta = Some(self.found.texts.len());
                self.walk(cursor, key)?;
            }
            (key, _) if said.contains(&key) || self.reading.everything => self.walk(cursor, key)?,
            _ => {
                cursor.value()?;
            }
        }
        Ok(())
    }

    /// What the event's type says of its texts.
    fn event(&mut self, event: &Event<'_>) {
        let kind = event.kind.as_str();
        let nested = kind.contains("arguments");
        if LAST.contains(&kind) {
            self.found.ends.push(String::new());
        } else if let Some(of) = kind.strip_suffix(".done") {
            self.found.ends.push(event.channel(of));
        }
        let channel = kind.strip_suffix(".delta").map(|of| event.channel(of));
        if let Some(text) = event.delta.and_then(|index| self.found.texts.get_mut(index)) {
            (text.channel, text.nested) = (channel, nested);
        }
    }

    fn response(&mut self, json: &'a str) -> Result<(), Unread> {
        let mut cursor = Cursor::new(json);
        cursor.object(|cursor, key| match decode(key).as_deref() {
            Some(key) if RESPONSE.contains(&key) || self.reading.everything => self.walk(cursor, key),
            _ => Ok(cursor.value().map(drop)?),
        })
    }

    fn choice(&mut self, json: &'a str) -> Result<(), Unread> {
        if !json.starts_with('{') {
            return self.walk(&mut Cursor::new(json), "");
        }
        let index = index(json)?.unwrap_or("0");
        self.path = format!("choice/{index}/");
        let path = self.path.clone();
        let mut is_over = false;
        let mut cursor = Cursor::new(json);
        cursor.object(|cursor, key| {
            let key = decode(key).unwrap_or_default();
            is_over |= key == "finish_reason" && cursor.peek() == Some(b'"');
            self.walk(cursor, &key)
        })?;
        self.path.clear();
        if is_over {
            self.found.ends.push(path);
        }
        Ok(())
    }

    /// Any value, under that key.
    fn walk(&mut self, cursor: &mut Cursor<'a>, key: &str) -> Result<(), Unread> {
        match cursor.peek() {
            Some(b'"') => {
                let raw = cursor.string()?;
                self.string(key, raw);
                Ok(())
            }
            Some(b'{' | b'[') if key == "logprobs" => {
                let instead = if self.path.is_empty() { "[]" } else { "null" };
                self.found.logprobs.push((span(self.text, cursor.value()?), instead));
                Ok(())
            }
            Some(b'{' | b'[') => self.deeper(cursor, key),
            _ => Ok(cursor.value().map(drop)?),
        }
    }

    fn deeper(&mut self, cursor: &mut Cursor<'a>, key: &str) -> Result<(), Unread> {
        if self.depth == DEEPEST {
            return Err(Unread::Deep);
        }
        let length = self.path.len();
        self.depth += 1;
        self.step(key);
        if cursor.peek() == Some(b'{') {
            cursor.object(|cursor, key| self.walk(cursor, &decode(key).unwrap_or_default()))?;
        } else {
            let mut position = 0_usize;
            cursor.array(|cursor| {
                let json = cursor.value()?;
                let index = if json.starts_with('{') { index(json)? } else { None };
                let name = index.map_or_else(|| position.to_string(), ToOwned::to_owned);
                position += 1;
                let length = self.path.len();
                self.step(&name);
                self.walk(&mut Cursor::new(json), "")?;
                self.path.truncate(length);
                Ok::<_, Unread>(())
            })?;
        }
        self.depth -= 1;
        self.path.truncate(length);
        Ok(())
    }

    /// Within a choice the way is kept: it tells one text from another.
    fn step(&mut self, key: &str) {
        if !self.path.is_empty() && !key.is_empty() {
            self.path.push_str(key);
            self.path.push('/');
        }
    }

    fn string(&mut self, key: &str, raw: Raw<'a>) {
        let inner = raw.inner();
        if LABELS.contains(&key) && is_label(inner) {
            return;
        }
        let in_pieces = self.reading.stream && !self.path.is_empty() && PIECES.contains(&key);
        let channel = in_pieces.then(|| format!("{}{key}", self.path));
        let nested = key == "arguments";
        self.found.texts.push(Text { at: span(self.text, inner), channel, nested });
    }
}

/// The index that an object says it has.
fn index(json: &str) -> Result<Option<&str>, Unread> {
    let mut index = None;
    let mut cursor = Cursor::new(json);
    cursor.object(|cursor, key| {
        let value = cursor.value()?;
        let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
        if key.inner() == "index" && is_number {
            index = Some(value);
        }
        Ok::<_, Unread>(())
    })?;
    Ok(index)
}

/// Whether it is a name, and nothing that somebody says.
fn is_label(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte);
    let letter = |byte: u8| byte.is_ascii_alphabetic();
    text.is_empty() || (text.len() <= LABEL && text.bytes().all(known) && text.bytes().any(letter))
}
