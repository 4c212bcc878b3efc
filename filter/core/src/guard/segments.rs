//! What a request says, in segments: one a message or item, one for each other field of the body. Every string counts, keys
//! included, but for what the API itself says and what cannot be read ([`super::keys`]). One walk that calls itself nowhere, so no
//! nesting can exhaust the stack.

use std::ops::Range;

use super::{
    keys::{self, Key, Value, is_identifier},
    strings,
    unread::{self, Kind},
};
use crate::{
    body::{
        json::{Cursor, Malformed, Raw, Step},
        keys::decode,
        scan::span,
    },
    route::Create,
};

/// The roles of the APIs.
const ROLES: [&str; 7] = ["user", "assistant", "system", "developer", "tool", "function", "critic"];

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Speaker {
    /// The user, last; or a prompt by itself.
    LastUser,
    /// The user, earlier.
    User,
    /// Anybody else: assistant, tools, instructions, every other field.
    Other,
}

/// Where a segment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Document {
    /// In the request's body.
    Body,
    /// In an item of the stored conversation, or one that the request refers to, by its place in the list that was handed in.
    Item(usize),
}

/// One message, item or field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its strings, joined by line breaks.
    pub text: String,
    pub speaker: Speaker,
    pub document: Document,
    pieces: Vec<Piece>,
}

/// One string of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    /// Where its text begins in the segment's.
    start: usize,
    /// Where it stands in the document, without its quotes.
    json: Range<usize>,
}

/// Something that cannot be read, and who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unread {
    pub kind: Kind,
    pub speaker: Speaker,
}

/// Everything that a request says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments {
    pub segments: Vec<Segment>,
    pub unread: Vec<Unread>,
}

/// A part of a segment's text, in one string of the document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub text: Range<usize>,
    pub json: Range<usize>,
    /// Which of the ranges it is of.
    pub range: usize,
}

impl Segment {
    /// Where the ranges of the text stand in the document; they ascend and do not overlap. A range over several strings has a part in
    /// each.
    pub(crate) fn locate(&self, document: &str, ranges: &[Range<usize>]) -> Vec<Located> {
        let mut located = Vec::new();
        let ends = self.pieces.iter().skip(1).map(|next| next.start.saturating_sub(1)).chain([self.text.len()]);
        let mut first = 0;
        for (piece, end) in self.pieces.iter().zip(ends) {
            let behind = |range: &Range<usize>| range.end <= piece.start;
            first += ranges.get(first..).unwrap_or_default().iter().take_while(|range| behind(range)).count();
            let here = ranges.iter().enumerate().skip(first).take_while(|(_, range)| range.start < end);
            let here: Vec<(usize, Range<usize>)> =
                here.map(|(index, range)| (index, range.start.max(piece.start)..range.end.min(end))).collect();
            if here.is_empty() {
                continue;
            }
            let inside: Vec<Range<usize>> =
                here.iter().map(|(_, range)| range.start - piece.start..range.end - piece.start).collect();
            let json = strings::locate(document.get(piece.json.clone()).unwrap_or_default(), &inside);
            let parts = here.into_iter().zip(json).filter(|((_, text), _)| !text.is_empty());
            located.extend(parts.map(|((range, text), json)| Located {
                text,
                json: json.start + piece.json.start..json.end + piece.json.start,
                range,
            }));
        }
        located
    }
}

impl Segments {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`] where it is not JSON, which has been seen before.
    pub(crate) fn of_body(body: &str, create: Create) -> Result<Self, Malformed> {
        let prompts = matches!(create, Create::Completion | Create::Embedding);
        let mut walker = Walker::new(body, Document::Body, prompts);
        walker.run()?;
        let Walker { mut found, last_user, .. } = walker;
        if let Some((segment, unread)) = last_user {
            if let Some(segment) = segment.and_then(|index| found.segments.get_mut(index)) {
                segment.speaker = Speaker::LastUser;
            }
            for unread in found.unread.get_mut(unread).unwrap_or_default() {
                unread.speaker = Speaker::LastUser;
            }
        }
        Ok(found)
    }

    /// Adds an item that lies in the state service.
    ///
    /// # Errors
    /// [`Malformed`] where it is not JSON.
    pub(crate) fn add_item(&mut self, index: usize, item: &str) -> Result<(), Malformed> {
        let mut walker = Walker::new(item, Document::Item(index), false);
        walker.run()?;
        self.segments.append(&mut walker.found.segments);
        self.unread.append(&mut walker.found.unread);
        Ok(())
    }
}

/// An object or array that is open.
#[derive(Debug, Clone, Copy)]
struct Frame {
    object: bool,
    /// What it stands under.
    under: Option<&'static Key>,
    /// What comes next stands under: in an array, what the array does.
    key: Option<&'static Key>,
    /// Whether the client's own structure has begun.
    free: bool,
    /// Whether its numbers have been counted.
    counted: bool,
}

/// A segment in the making.
#[derive(Debug, Default)]
struct Building {
    text: String,
    pieces: Vec<Piece>,
    unread: Vec<Kind>,
    /// Whether a message or item has the user's role.
    user: bool,
    /// Whether it is a prompt by itself.
    prompt: bool,
}

struct Walker<'a> {
    text: &'a str,
    document: Document,
    /// Whether the API takes prompts instead of messages.
    prompts: bool,
    frames: Vec<Frame>,
    building: Building,
    found: Segments,
    /// The last user message: its segment, if it says anything, and what of it cannot be read.
    last_user: Option<(Option<usize>, Range<usize>)>,
}

impl<'a> Walker<'a> {
    fn new(text: &'a str, document: Document, prompts: bool) -> Self {
        Self {
            text,
            document,
            prompts,
            frames: Vec::new(),
            building: Building::default(),
            found: Segments::default(),
            last_user: None,
        }
    }

    fn run(&mut self) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(self.text);
        cursor.walk(|step| self.step(step))?;
        self.finish();
        Ok(())
    }

    fn step(&mut self, step: Step<'a>) {
        match step {
            Step::Open { object } => {
                if self.is_element() {
                    self.begin_element();
                }
                let parent = self.frames.last().copied();
                let under = parent.and_then(|parent| parent.key);
                let free =
                    parent.is_some_and(|parent| parent.free) || under.is_some_and(|key| key.value == Value::Free);
                let key = if object { None } else { under };
                self.frames.push(Frame { object, under, key, free, counted: false });
            }
            Step::Close => {
                self.frames.pop();
                if self.is_element() {
                    self.finish();
                }
            }
            Step::Key(raw) => self.key(raw),
            Step::Text(raw) => {
                let element = self.is_element();
                if element {
                    self.begin_element();
                    self.building.prompt = true;
                }
                self.value(raw);
                if element {
                    self.finish();
                }
            }
            Step::Number => self.number(),
        }
    }

    /// Whether what comes next is a message, an item or a prompt.
    fn is_element(&self) -> bool {
        match (self.document, self.frames.as_slice()) {
            (Document::Item(_), []) => true,
            (Document::Body, [_, list]) => !list.object && list.under.is_some_and(|key| key.value == Value::Messages),
            _ => false,
        }
    }

    fn begin_element(&mut self) {
        self.finish();
        self.building.prompt = self.prompts;
    }

    fn key(&mut self, raw: Raw<'a>) {
        if self.frames.len() == 1 && self.document == Document::Body {
            self.finish();
        }
        let key = decode(raw).and_then(|name| keys::find(&name));
        if let Some(frame) = self.frames.last_mut() {
            frame.key = key;
        }
        if key.is_none() {
            self.piece(raw);
        }
    }

    fn value(&mut self, raw: Raw<'a>) {
        let Some(frame) = self.frames.last().copied() else { return self.piece(raw) };
        let Some(key) = frame.key.filter(|_| !frame.free) else { return self.piece(raw) };
        match key.value {
            Value::Identifier => {
                let text = decode(raw).unwrap_or_default();
                let is_role = key.name == "role";
                if is_role && self.is_element_itself() {
                    self.building.user = text == "user";
                }
                // A chat template may print whatever stands in the place of a role.
                let is_said = if is_role { !ROLES.contains(&text.as_ref()) } else { !is_identifier(&text) };
                if is_said {
                    self.piece(raw);
                }
            }
            Value::Messages if self.frames.len() == 1 => {
                self.building.prompt = true;
                self.piece(raw);
            }
            _ => match decode(raw).and_then(|text| unread::recognise(key, frame.under, &text)) {
                Some(seen) => {
                    self.building.unread.push(seen.kind);
                    if !seen.opaque {
                        self.piece(raw);
                    }
                }
                None => self.piece(raw),
            },
        }
    }

    /// Whether the innermost object is a message or an item.
    fn is_element_itself(&self) -> bool {
        match (self.document, self.frames.as_slice()) {
            (Document::Item(_), [_]) => true,
            (Document::Body, [_, list, _]) => {
                !list.object && list.under.is_some_and(|key| key.value == Value::Messages)
            }
            _ => false,
        }
    }

    /// Token ids instead of text.
    fn number(&mut self) {
        let depth = self.frames.len();
        // The list itself, or one in it.
        let is_list = self.frames.get(1).is_some_and(|list| !list.object) && depth <= 3;
        let is_body = self.document == Document::Body;
        let Some(frame) = self.frames.last_mut() else { return };
        let tokens = frame.under.is_some_and(|key| matches!(key.value, Value::Tokens | Value::Messages));
        if is_body && is_list && !frame.object && tokens && !std::mem::replace(&mut frame.counted, true) {
            self.building.unread.push(Kind::Tokens);
            self.building.prompt |= self.prompts;
        }
    }

    fn piece(&mut self, raw: Raw<'a>) {
        let Range { start, end } = span(self.text, raw.json);
        let text = &mut self.building.text;
        if !self.building.pieces.is_empty() {
            text.push('\n');
        }
        self.building.pieces.push(Piece { start: text.len(), json: start + 1..end - 1 });
        if raw.escaped {
            strings::decode(raw.inner(), text);
        } else {
            text.push_str(raw.inner());
        }
    }

    /// Ends the segment in the making.
    fn finish(&mut self) {
        let Building { text, pieces, unread, user, prompt } = std::mem::take(&mut self.building);
        let speaker = match (prompt, user) {
            (true, _) => Speaker::LastUser,
            (false, true) => Speaker::User,
            (false, false) => Speaker::Other,
        };
        let first = self.found.unread.len();
        self.found.unread.extend(unread.into_iter().map(|kind| Unread { kind, speaker }));
        let says = !text.trim().is_empty();
        if says {
            self.found.segments.push(Segment { text, speaker, document: self.document, pieces });
        }
        if speaker == Speaker::User {
            let segment = says.then(|| self.found.segments.len() - 1);
            self.last_user = Some((segment, first..self.found.unread.len()));
        }
    }
}

#[cfg(test)]
mod tests;
