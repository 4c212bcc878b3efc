//! One way to write digits, spaces, dashes and quotes, and the way back to the bytes as written.

use std::{borrow::Cow, ops::Range};

/// A text in which look-alikes of ASCII are ASCII, with a map of its bytes to those of the text as written.
pub(super) struct Folded<'t> {
    text: Cow<'t, str>,
    marks: Vec<Mark>,
}

/// From folded byte `at` on, the written text goes on at `from`.
struct Mark {
    at: usize,
    from: usize,
    /// Bytes that the one folded character at `at` has as written; 0 where the text goes on unchanged.
    width: usize,
}

impl<'t> Folded<'t> {
    /// Folds `text`; borrows it where nothing is to fold.
    pub(super) fn new(text: &'t str) -> Self {
        let as_written = Self { text: Cow::Borrowed(text), marks: Vec::new() };
        if text.is_ascii() {
            return as_written;
        }
        let mut folded = String::new();
        let mut marks = Vec::new();
        let mut copied = 0;
        for (from, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
            let Some(to) = ascii_of(c) else { continue };
            folded.push_str(text.get(copied..from).unwrap_or_default());
            copied = from + c.len_utf8();
            if let Some(ascii) = to {
                marks.push(Mark { at: folded.len(), from, width: c.len_utf8() });
                folded.push(ascii);
            }
            marks.push(Mark { at: folded.len(), from: copied, width: 0 });
        }
        if marks.is_empty() {
            return as_written;
        }
        folded.push_str(text.get(copied..).unwrap_or_default());
        Self { text: Cow::Owned(folded), marks }
    }

    /// The folded text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes as written of a non-empty range of the folded text.
    pub(super) fn original(&self, range: Range<usize>) -> Range<usize> {
        let start = self.place(range.start).0;
        let (last, width) = self.place(range.end.saturating_sub(1));
        start..last + width.max(1)
    }

    /// Where folded byte `at` stands as written, and its character's width there if it was folded.
    fn place(&self, at: usize) -> (usize, usize) {
        let after = self.marks.partition_point(|mark| mark.at <= at);
        match after.checked_sub(1).and_then(|i| self.marks.get(i)) {
            Some(mark) => (mark.from + (at - mark.at), mark.width),
            None => (at, 0),
        }
    }
}

/// What stands for `c`: `None` for itself, `Some(None)` for nothing.
fn ascii_of(c: char) -> Option<Option<char>> {
    let digit = |zero: u32| char::from_digit((c as u32).saturating_sub(zero) % 10, 10);
    match c {
        // Full-width forms.
        '\u{FF01}'..='\u{FF5E}' => Some(char::from_u32(c as u32 - 0xFEE0)),
        // Arabic-Indic, extended Arabic-Indic, Devanagari, Bengali and mathematical digits.
        '\u{660}'..='\u{669}' => Some(digit(0x660)),
        '\u{6F0}'..='\u{6F9}' => Some(digit(0x6F0)),
        '\u{966}'..='\u{96F}' => Some(digit(0x966)),
        '\u{9E6}'..='\u{9EF}' => Some(digit(0x9E6)),
        '\u{1D7CE}'..='\u{1D7FF}' => Some(digit(0x1D7CE)),
        '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => Some(Some(' ')),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => Some(Some('-')),
        '\u{2018}' | '\u{2019}' => Some(Some('\'')),
        '\u{201C}' | '\u{201D}' => Some(Some('"')),
        // Zero-width characters, soft hyphens and direction marks.
        '\u{AD}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}'
        | '\u{FEFF}' => Some(None),
        _ => None,
    }
}
