//! A folded text with what the finders start from: tokens with digits, cue words, and marks.

use std::{cell::Cell, ops::Range};

use super::cues::{Cue, Word, cues};

/// A longest run of ASCII letters and digits that has a digit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// Its first byte.
    pub(super) start: usize,
    /// The byte after its last.
    pub(super) end: usize,
    /// How many of its bytes are digits.
    pub(super) digits: usize,
}

impl Token {
    /// Its length in bytes.
    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether it is digits only.
    pub(super) const fn is_number(&self) -> bool {
        self.digits == self.len()
    }
}

/// A folded text, read once.
pub(super) struct Page<'t> {
    /// The text.
    pub(super) text: &'t str,
    /// Its tokens with digits, in order.
    pub(super) tokens: Vec<Token>,
    /// Its cue words, by their end.
    pub(super) cues: Vec<Word>,
    /// Where `@` stands.
    pub(super) ats: Vec<usize>,
    /// Where `::` begins or a `:` stands right after a hexadecimal digit and before one.
    pub(super) colons: Vec<usize>,
    /// How often the phone library may still be asked: it takes microseconds, which a text of numbers must not multiply.
    pub(super) lookups: Cell<u32>,
}

/// Library questions a text has: 20 ms at most.
const LOOKUPS: u32 = 4_000;

impl<'t> Page<'t> {
    /// Reads `text`.
    pub(super) fn new(text: &'t str) -> Self {
        let mut page = Self {
            text,
            tokens: Vec::new(),
            cues: cues(text),
            ats: Vec::new(),
            colons: Vec::new(),
            lookups: Cell::new(LOOKUPS),
        };
        let mut start = 0;
        let mut digits = 0;
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'0'..=b'9' => digits += 1,
                b'a'..=b'z' | b'A'..=b'Z' => {}
                _ => {
                    page.close(start, at, digits);
                    (start, digits) = (at + 1, 0);
                    if byte == b'@' {
                        page.ats.push(at);
                    } else if byte == b':' && page.is_address_colon(at) {
                        page.colons.push(at);
                    }
                }
            }
        }
        page.close(start, text.len(), digits);
        page
    }

    fn close(&mut self, start: usize, end: usize, digits: usize) {
        if digits > 0 {
            self.tokens.push(Token { start, end, digits });
        }
    }

    fn is_address_colon(&self, at: usize) -> bool {
        let next = self.byte(at + 1);
        next == b':' || (next.is_ascii_hexdigit() && self.before(at).is_ascii_hexdigit())
    }

    /// The byte at `at`; 0 outside the text.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    /// The byte before `at`; 0 at the start.
    pub(super) fn before(&self, at: usize) -> u8 {
        at.checked_sub(1).map_or(0, |i| self.byte(i))
    }

    /// The text of `range`; empty where the range cuts a character.
    pub(super) fn slice(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    /// At most `limit` bytes from `start` on.
    pub(super) fn ahead(&self, start: usize, limit: usize) -> &'t str {
        let end = self.text.floor_char_boundary((start + limit).min(self.text.len()));
        self.slice(start..end.max(start))
    }

    /// At most `limit` bytes before `end`.
    pub(super) fn behind(&self, end: usize, limit: usize) -> &'t str {
        let start = self.text.ceil_char_boundary(end.saturating_sub(limit));
        self.slice(start.min(end)..end)
    }

    /// The nearest cue of `of` that ends at most `reach` bytes before `at`, in the same sentence.
    pub(super) fn nearest(&self, at: usize, reach: usize, of: &[Cue]) -> Option<Cue> {
        self.nearest_word(at, reach, of).map(|word| word.cue)
    }

    /// The same with its place.
    pub(super) fn nearest_word(&self, at: usize, reach: usize, of: &[Cue]) -> Option<&Word> {
        let end = self.cues.partition_point(|word| word.end <= at);
        let words = self.cues.get(..end).unwrap_or_default().iter().rev();
        // A text of cue words must not make each number read them all.
        let word = words.take(24).take_while(|word| word.end + reach >= at).find(|word| of.contains(&word.cue))?;
        let gap = self.slice(word.end..at);
        // A word that names another number has said what it says.
        let digits = gap.bytes().filter(u8::is_ascii_digit).count();
        let is_spent = word.cue == Cue::Reference && digits >= 4 || word.cue == Cue::Version && digits > 0;
        (!ends_sentence(gap) && !is_spent).then_some(word)
    }

    /// Whether a cue of `of` begins at most `reach` bytes after `at`, in the same sentence.
    pub(super) fn follows(&self, at: usize, reach: usize, of: &[Cue]) -> bool {
        let first = self.cues.partition_point(|word| word.end <= at);
        let words = self.cues.get(first..).unwrap_or_default().iter();
        words.take(24).take_while(|word| word.end <= at + reach + 24).any(|word| {
            word.start >= at
                && word.start <= at + reach
                && of.contains(&word.cue)
                && !self.slice(at..word.start).contains(['.', '!', '?', ';', '\n'])
        })
    }
}

/// Words whose full stop ends no sentence.
const TITLES: &[&str] = &["Dr", "Mr", "Mrs", "Ms", "Prof", "St", "No", "Tel", "Hr", "Fr"];

/// Whether a sentence or a paragraph ends within `text`. A full stop before a small letter or a digit is an abbreviation's.
fn ends_sentence(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_title = |at: usize| TITLES.iter().any(|title| text.get(..at).is_some_and(|text| text.ends_with(title)));
    let ends_at =
        |(at, w): (usize, &[u8])| matches!(w, [b'.' | b'!' | b'?' | b';', b' ' | b'\n', b'A'..=b'Z']) && !is_title(at);
    bytes.windows(3).enumerate().any(ends_at)
        || bytes.windows(2).any(|w| matches!(w, b"\n\n" | b"! " | b"? " | b".\n" | b"!\n" | b"?\n" | b";\n"))
}
