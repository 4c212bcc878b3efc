//! An answer on its way out. Its frames wait in a row, each until it is known what its pieces of text become: a text may be cut
//! over any number of them. A whole JSON body is one frame. Every byte that is not replaced leaves as it came, in its order.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Range,
};

use sha2::{Digest as _, Sha256};

use super::texts::{self, Found, Reading, Unread};
use crate::{
    guard::strings,
    native::{Data, Edit, TooLarge, write_all},
};

/// Texts that may be open at a time.
const OPEN: usize = 4_096;
/// Changes of one text that are remembered.
const REMEMBERED: usize = 4_096;

/// A part of a text that is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub at: Range<usize>,
    pub with: String,
}

/// An answer that cannot be held or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("{0}")]
    Unread(#[from] Unread),
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("more than {0} bytes of it would have to be held")]
    TooLarge(usize),
}

impl From<TooLarge> for Unfit {
    fn from(TooLarge(limit): TooLarge) -> Self {
        Self::TooLarge(limit)
    }
}

/// One text, which may still grow. Offsets are bytes from its beginning.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    /// What is kept of it.
    tail: String,
    base: usize,
    /// Up to where it is known what it becomes.
    pub safe: usize,
    /// Up to where it has been looked at.
    pub scanned: usize,
    /// Whether nothing is added any more.
    pub ended: bool,
    /// Whether what it says is JSON.
    pub nested: bool,
    changes: Vec<Change>,
    /// Frames that hold a piece of it.
    waiting: usize,
    hash: Sha256,
    /// Every change; none where there were too many.
    all: Option<Vec<Change>>,
}

impl Text {
    fn new(nested: bool, ended: bool) -> Self {
        Self {
            tail: String::new(),
            base: 0,
            safe: 0,
            scanned: 0,
            ended,
            nested,
            changes: Vec::new(),
            waiting: 0,
            hash: Sha256::new(),
            all: Some(Vec::new()),
        }
    }

    /// Its length so far.
    pub(crate) const fn end(&self) -> usize {
        self.base + self.tail.len()
    }

    /// What is kept before `from`, and what is behind it.
    pub(crate) const fn base(&self) -> usize {
        self.base
    }

    /// The character's beginning at or before an offset, within what is kept.
    pub(crate) fn floor(&self, at: usize) -> usize {
        self.base + self.tail.floor_char_boundary(at.saturating_sub(self.base))
    }

    /// A part of what is kept.
    pub(crate) fn part(&self, at: Range<usize>) -> &str {
        self.tail.get(at.start.saturating_sub(self.base)..at.end.saturating_sub(self.base)).unwrap_or_default()
    }

    /// Replaces a part. Changes come in order.
    pub(crate) fn change(&mut self, change: Change) {
        if let Some(all) = &mut self.all {
            all.push(change.clone());
        }
        self.all.take_if(|all| all.len() > REMEMBERED);
        self.changes.push(change);
    }

    /// What tells it from other texts, and its changes; none where not all are known.
    pub(crate) fn finished(&self) -> Option<([u8; 32], &[Change])> {
        Some((self.digest(), self.all.as_deref()?))
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    fn push(&mut self, text: &str) -> Range<usize> {
        let from = self.end();
        self.tail.push_str(text);
        self.hash.update(text);
        self.waiting += 1;
        from..self.end()
    }

    /// Forgets what has left, but for `context` bytes.
    fn trim(&mut self, context: usize) {
        let cut = self.tail.floor_char_boundary(self.safe.saturating_sub(context).saturating_sub(self.base));
        self.tail.drain(..cut);
        self.base += cut;
    }
}

/// A piece of a text in a frame.
#[derive(Debug, Clone)]
struct Piece {
    text: usize,
    /// The inside of its JSON string in the frame.
    at: Range<usize>,
    of: Range<usize>,
}

#[derive(Debug, Clone, Default)]
struct Frame {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    logprobs: Vec<(Range<usize>, &'static str)>,
    sequence: Option<u64>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    reading: Reading,
    frames: VecDeque<Frame>,
    texts: BTreeMap<usize, Text>,
    /// Texts that still grow, by their channel.
    open: HashMap<String, usize>,
    next: usize,
    bytes: usize,
    limit: usize,
    context: usize,
    /// The number of the last event that left.
    pub sequence: Option<u64>,
    /// The first response object of a stream.
    pub response: Option<String>,
}

impl Held {
    /// `limit` is the most bytes that wait; `context`, what is kept of a text that has left.
    pub(crate) fn new(reading: Reading, limit: usize, context: usize) -> Self {
        Self {
            reading,
            frames: VecDeque::new(),
            texts: BTreeMap::new(),
            open: HashMap::new(),
            next: 0,
            bytes: 0,
            limit,
            context,
            sequence: None,
            response: None,
        }
    }

    /// All of it; an empty one stays.
    pub(crate) fn take_all(&mut self) -> Self {
        let empty = Self::new(self.reading, self.limit, self.context);
        std::mem::replace(self, empty)
    }

    /// Takes a frame with the places of its data.
    ///
    /// # Errors
    /// [`Unfit`]: it is not taken.
    pub(crate) fn push(&mut self, frame: &[u8], data: &[Range<usize>]) -> Result<(), Unfit> {
        if self.bytes.saturating_add(frame.len()) > self.limit || self.texts.len() > OPEN {
            return Err(Unfit::TooLarge(self.limit));
        }
        let data = Data::new(frame, data).ok_or(Unfit::NotUtf8)?;
        match data.text.trim_ascii() {
            "" if self.reading.stream => self.pass(frame),
            "[DONE]" => {
                self.pass(frame);
                self.end(&[String::new()]);
            }
            _ => {
                let found = texts::read(&data.text, self.reading)?;
                self.take(frame, &data, found);
            }
        }
        Ok(())
    }

    /// Takes a frame that nothing is looked for in.
    pub(crate) fn pass(&mut self, frame: &[u8]) {
        self.bytes += frame.len();
        self.frames.push_back(Frame { bytes: frame.to_vec(), ..Frame::default() });
    }

    fn take(&mut self, frame: &[u8], data: &Data<'_>, found: Found) {
        let Found { texts, logprobs, ends, sequence, response } = found;
        if self.response.is_none() {
            self.response = response.and_then(|at| data.text.get(at)).map(ToOwned::to_owned);
        }
        self.leave(&texts);
        let mut pieces = Vec::with_capacity(texts.len());
        for text in texts {
            let mut said = String::new();
            strings::decode(data.text.get(text.at.clone()).unwrap_or_default(), &mut said);
            let id = self.id_of(&text);
            let Some(of) = self.texts.get_mut(&id).map(|text| text.push(&said)) else { continue };
            pieces.push(Piece { text: id, at: data.locate(&text.at), of });
        }
        let logprobs = logprobs.into_iter().map(|(at, instead)| (data.locate(&at), instead)).collect();
        self.bytes += frame.len();
        self.frames.push_back(Frame { bytes: frame.to_vec(), pieces, logprobs, sequence });
        self.end(&ends);
    }

    /// Where a piece belongs.
    fn id_of(&mut self, text: &texts::Text) -> usize {
        if let Some(id) = text.channel.as_ref().and_then(|channel| self.open.get(channel)) {
            return *id;
        }
        let id = self.next;
        self.next += 1;
        if let Some(channel) = &text.channel {
            self.open.insert(channel.clone(), id);
        }
        self.texts.insert(id, Text::new(text.nested, text.channel.is_none()));
        id
    }

    /// A model that goes on in another text of its choice has ended the one before, but for tool calls, which may take turns.
    fn leave(&mut self, texts: &[texts::Text]) {
        let said = |text: &&texts::Text| !text.at.is_empty();
        let current: Vec<&str> = texts.iter().filter(said).filter_map(|text| text.channel.as_deref()).collect();
        let choice =
            |channel: &str| channel.strip_prefix("choice/")?.split_once('/').map(|(number, _)| number.to_owned());
        let of_call = |channel: &str| channel.contains("/tool_calls/");
        let follows = |open: &str, now: &str| {
            choice(open).is_some() && choice(open) == choice(now) && !(of_call(open) && of_call(now))
        };
        let open = self.open.keys().filter(|open| !current.contains(&open.as_str()));
        let left: Vec<String> = open.filter(|open| current.iter().any(|now| follows(open, now))).cloned().collect();
        self.end(&left);
    }

    /// Ends the texts whose channels begin so.
    fn end(&mut self, prefixes: &[String]) {
        if prefixes.is_empty() {
            return;
        }
        let texts = &mut self.texts;
        self.open.retain(|channel, id| {
            let ends = prefixes.iter().any(|prefix| channel.starts_with(prefix.as_str()));
            if let Some(text) = texts.get_mut(id).filter(|_| ends) {
                text.ended = true;
            }
            !ends
        });
    }

    /// Nothing follows.
    pub(crate) fn end_all(&mut self) {
        self.end(&[String::new()]);
    }

    /// The texts that are not done with, oldest first.
    pub(crate) fn texts(&mut self) -> impl Iterator<Item = (usize, &mut Text)> {
        self.texts.iter_mut().map(|(id, text)| (*id, text))
    }

    pub(crate) fn text(&self, id: usize) -> Option<&Text> {
        self.texts.get(&id)
    }

    pub(crate) fn text_mut(&mut self, id: usize) -> Option<&mut Text> {
        self.texts.get_mut(&id)
    }

    /// How many frames wait.
    pub(crate) fn waiting(&self) -> usize {
        self.frames.len()
    }

    /// Lets the first frame go as it is known now.
    pub(crate) fn give_up_first(&mut self) {
        for piece in self.frames.front().map(|frame| frame.pieces.as_slice()).unwrap_or_default() {
            if let Some(text) = self.texts.get_mut(&piece.text) {
                text.safe = text.safe.max(piece.of.end);
            }
        }
    }

    /// Drops all that waits.
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.texts.clear();
        self.open.clear();
        self.bytes = 0;
    }

    /// Writes the frames whose texts are known.
    pub(crate) fn release(&mut self, out: &mut Vec<u8>) {
        let mut touched = false;
        while let Some(frame) = self.frames.pop_front_if(|frame| is_known(&self.texts, frame)) {
            touched = true;
            self.bytes = self.bytes.saturating_sub(frame.bytes.len());
            self.sequence = frame.sequence.or(self.sequence);
            let edits = self.edits(&frame);
            let length = out.len();
            if edits.is_empty() {
                out.extend_from_slice(&frame.bytes);
            } else if write_all(&frame.bytes, &edits, out).is_err() {
                // The places are ours; a frame that they do not fit is not given out half.
                out.truncate(length);
            }
            for piece in &frame.pieces {
                let Some(text) = self.texts.get_mut(&piece.text) else { continue };
                text.waiting = text.waiting.saturating_sub(1);
                text.changes.retain(|change| change.at.end > piece.of.end);
            }
        }
        if touched {
            self.texts.retain(|_, text| !text.ended || text.waiting > 0);
            self.texts.values_mut().for_each(|text| text.trim(self.context));
        }
    }

    fn edits(&self, frame: &Frame) -> Vec<Edit> {
        let (mut edits, mut touched) = (Vec::new(), false);
        for Piece { text, at, of } in &frame.pieces {
            let Some(text) = self.texts.get(text).filter(|text| !text.changes.is_empty()) else { continue };
            touched |= text.changes.iter().any(|change| change.at.start <= of.start && of.start <= change.at.end);
            let here: Vec<&Change> =
                text.changes.iter().filter(|change| change.at.start < of.end && of.start < change.at.end).collect();
            let places: Vec<Range<usize>> = here
                .iter()
                .map(|change| change.at.start.max(of.start) - of.start..change.at.end.min(of.end) - of.start)
                .collect();
            let raw = frame.bytes.get(at.clone()).and_then(|raw| std::str::from_utf8(raw).ok()).unwrap_or_default();
            for (change, place) in here.into_iter().zip(strings::locate(raw, &places)) {
                // What comes instead stands where the part begins; its other pieces only lose what they had of it.
                let json = if change.at.start >= of.start { escape(&change.with) } else { String::new() };
                edits.push(Edit { span: at.start + place.start..at.start + place.end, json });
            }
        }
        if touched || !edits.is_empty() {
            let hidden =
                frame.logprobs.iter().map(|(at, instead)| Edit { span: at.clone(), json: (*instead).to_owned() });
            edits.extend(hidden);
            edits.sort_by_key(|edit| edit.span.start);
        }
        edits
    }
}

/// The text as the inside of a JSON string.
pub(crate) fn escape(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

fn is_known(texts: &BTreeMap<usize, Text>, frame: &Frame) -> bool {
    frame.pieces.iter().all(|piece| texts.get(&piece.text).is_none_or(|text| text.safe >= piece.of.end))
}
