//! A stream of server-sent events (WHATWG HTML, 9.2) on its way to the client: framed only to find the JSON in it, and passed
//! on frame by frame, byte for byte but for ids and the model's name.

use std::{borrow::Cow, ops::Range};

use super::{
    edit::{Edit, write_all},
    response::{Found, Outward, RewriteError},
};
use crate::body::{json::Cursor, keys::decode};

/// Rewrites a stream, cut into chunks anywhere.
#[derive(Debug)]
pub struct Sse {
    frames: Frames,
    response_id: Option<String>,
    unread: u64,
    failed: Option<RewriteError>,
}

impl Sse {
    /// `limit` is the longest frame that is held back until its end, in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { frames: Frames::new(limit), response_id: None, unread: 0, failed: None }
    }

    /// Takes a chunk; whole frames go to `out`.
    ///
    /// # Errors
    /// [`RewriteError`]: what came before it is in `out`, nothing after it can be had.
    pub fn push(&mut self, chunk: &[u8], outward: &Outward<'_>, out: &mut Vec<u8>) -> Result<(), RewriteError> {
        self.once(|sse| {
            let mut frames = std::mem::take(&mut sse.frames);
            let taken = frames.push(chunk, |frame, data| sse.frame(frame, data, outward, out));
            sse.frames = frames;
            taken
        })
    }

    /// The stream is over: a frame without its end goes to `out` too.
    ///
    /// # Errors
    /// As [`Sse::push`].
    pub fn finish(&mut self, outward: &Outward<'_>, out: &mut Vec<u8>) -> Result<(), RewriteError> {
        self.once(|sse| {
            let (frame, data) = sse.frames.finish();
            sse.frame(&frame, &data, outward, out)
        })
    }

    /// The backend's id of the response that is streamed, once an event (`response.created` is the first) has told it.
    #[must_use]
    pub fn response_id(&self) -> Option<&str> {
        self.response_id.as_deref()
    }

    /// Events whose data is neither a JSON object nor `[DONE]`. They passed as they were.
    #[must_use]
    pub const fn unread(&self) -> u64 {
        self.unread
    }

    fn once(&mut self, step: impl FnOnce(&mut Self) -> Result<(), RewriteError>) -> Result<(), RewriteError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        step(self).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn frame(
        &mut self,
        frame: &[u8],
        data: &[Range<usize>],
        outward: &Outward<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RewriteError> {
        let edits = self.edits(frame, data, outward)?;
        write_all(frame, &edits, out)?;
        Ok(())
    }

    fn edits(&mut self, frame: &[u8], data: &[Range<usize>], outward: &Outward<'_>) -> Result<Vec<Edit>, RewriteError> {
        let Some(data) = Data::new(frame, data) else {
            self.unread += 1;
            return Ok(Vec::new());
        };
        let text = data.text.as_ref();
        if matches!(text.trim_ascii(), "" | "[DONE]") {
            return Ok(Vec::new());
        }
        let (mut cursor, mut found) = (Cursor::new(text), Found::default());
        if found.event(&mut cursor).and_then(|()| cursor.end()).is_err() {
            self.unread += 1;
            return Ok(Vec::new());
        }
        let edits = outward.edits(text, &found)?;
        if self.response_id.is_none() {
            self.response_id = found.id.and_then(decode).map(Cow::into_owned);
        }
        Ok(edits.into_iter().map(|edit| data.place(edit)).collect())
    }
}

/// Cuts a stream into frames, whole and byte for byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    limit: usize,
    /// What has come of the frame that is not over yet.
    buffer: Vec<u8>,
    lines: Lines,
}

/// A frame is longer than that many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge(pub usize);

impl From<TooLarge> for RewriteError {
    fn from(TooLarge(limit): TooLarge) -> Self {
        Self::TooLarge { limit }
    }
}

impl Frames {
    /// `limit` is the longest frame that is held back until its end, in bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), lines: Lines { start_of_stream: true, ..Lines::default() } }
    }

    /// Takes a chunk; `each` gets every frame that is whole now, with the places of its data. The rest of a line end whose frame
    /// has gone already comes as a frame without data.
    pub(crate) fn push<E: From<TooLarge>>(
        &mut self,
        mut chunk: &[u8],
        mut each: impl FnMut(&[u8], &[Range<usize>]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.buffer.is_empty()
            && self.lines.after_return
            && let Some(rest) = chunk.strip_prefix(b"\n")
        {
            self.lines.after_return = false;
            each(b"\n", &[])?;
            chunk = rest;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend_from_slice(chunk);
        let mut from = 0;
        while let Some(rest) = buffer.get(from..)
            && let Some(frame) = self.lines.frame(rest)
        {
            if frame.content > self.limit {
                return Err(TooLarge(self.limit).into());
            }
            each(rest.get(..frame.end).unwrap_or(rest), &frame.data)?;
            from += frame.end;
        }
        buffer.drain(..from);
        if buffer.len() > self.limit {
            return Err(TooLarge(self.limit).into());
        }
        self.buffer = buffer;
        Ok(())
    }

    /// The stream is over: what there is of a frame that nothing ends any more.
    pub(crate) fn finish(&mut self) -> (Vec<u8>, Vec<Range<usize>>) {
        let frame = std::mem::take(&mut self.buffer);
        let data = self.lines.finish(&frame);
        (frame, data)
    }
}

/// A frame's data: the values of its `data` lines, a line break between them.
pub(crate) struct Data<'a> {
    pub text: Cow<'a, str>,
    /// Where each line begins in the text, and in the frame.
    lines: Vec<(usize, usize)>,
}

impl<'a> Data<'a> {
    /// None where it is not UTF-8.
    pub(crate) fn new(frame: &'a [u8], ranges: &[Range<usize>]) -> Option<Self> {
        let line = |range: &Range<usize>| simdutf8::basic::from_utf8(frame.get(range.clone())?).ok();
        if let [only] = ranges {
            return Some(Self { text: Cow::Borrowed(line(only)?), lines: vec![(0, only.start)] });
        }
        let (mut text, mut lines) = (String::new(), Vec::with_capacity(ranges.len()));
        for (i, range) in ranges.iter().enumerate() {
            if i > 0 {
                text.push('\n');
            }
            lines.push((text.len(), range.start));
            text.push_str(line(range)?);
        }
        Some(Self { text: Cow::Owned(text), lines })
    }

    /// Where something of the text stands in the frame. No JSON string holds a line break, so it stands in one line.
    pub(crate) fn locate(&self, span: &Range<usize>) -> Range<usize> {
        let line = self.lines.iter().rev().find(|(text, _)| *text <= span.start);
        let (text, frame) = line.copied().unwrap_or_default();
        let to = |at: usize| at.saturating_sub(text).saturating_add(frame);
        to(span.start)..to(span.end)
    }

    fn place(&self, edit: Edit) -> Edit {
        Edit { span: self.locate(&edit.span), ..edit }
    }
}

/// Finds lines and the blank ones that end a frame. Positions count from the frame's start.
#[derive(Debug, Clone, Default)]
struct Lines {
    /// Where the current line begins.
    line: usize,
    /// Up to where it has been searched for its end.
    at: usize,
    /// Values of `data` lines.
    data: Vec<Range<usize>>,
    /// The last byte was a carriage return: a line feed would belong to the same line end.
    after_return: bool,
    /// No line has ended yet: a byte order mark may stand in front.
    start_of_stream: bool,
}

struct Frame {
    /// Its bytes without the line end that ends it, the same however the stream is cut.
    content: usize,
    end: usize,
    data: Vec<Range<usize>>,
}

impl Lines {
    /// Goes on to the end of the frame that `bytes` begins with, if it is there.
    fn frame(&mut self, bytes: &[u8]) -> Option<Frame> {
        loop {
            if self.after_return {
                let next = bytes.get(self.at)?;
                self.after_return = false;
                if *next == b'\n' {
                    self.at += 1;
                    self.line = self.at;
                }
            }
            let rest = bytes.get(self.at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                self.at = bytes.len();
                return None;
            };
            let content = self.at + length;
            self.after_return = rest.get(length) == Some(&b'\r');
            self.at = content + 1;
            if !self.end_line(bytes, content) {
                continue;
            }
            let mut end = self.at;
            if self.after_return && bytes.get(end) == Some(&b'\n') {
                self.after_return = false;
                end += 1;
            }
            (self.line, self.at) = (0, 0);
            return Some(Frame { content, end, data: std::mem::take(&mut self.data) });
        }
    }

    /// Takes a line whose end is known; whether it is blank.
    fn end_line(&mut self, bytes: &[u8], end: usize) -> bool {
        let mut line = bytes.get(self.line..end).unwrap_or_default();
        if std::mem::take(&mut self.start_of_stream) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        self.line = self.at;
        if let Some(value) = data_of(line) {
            self.data.push(end - value.len()..end);
        }
        line.is_empty()
    }

    /// The data of a frame that nothing ends any more.
    fn finish(&mut self, bytes: &[u8]) -> Vec<Range<usize>> {
        self.end_line(bytes, bytes.len());
        std::mem::take(&mut self.data)
    }
}

/// The value of a line whose field is `data`.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests;
