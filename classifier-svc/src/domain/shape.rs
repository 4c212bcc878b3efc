//! How tokens look in their text: the default encoder is uncased, and letter case is half of what makes a name.
//!
//! A shape is a set of bits. It speaks of the whole word that a token is a piece of, of the characters right
//! around that word, and of the chunk (up to white space) and line that it stands in.

use std::ops::Range;

/// How one token looks: bits, see the constants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape(pub u32);

impl Shape {
    /// How many bits are in use; the names head reads so many features a token and neighbour.
    pub const BITS: usize = 28;

    /// The word begins with a capital.
    pub const FIRST_UPPER: Self = Self(1);
    /// Two letters or more, all capitals.
    pub const ALL_UPPER: Self = Self(1 << 1);
    /// One capital letter alone.
    pub const INITIAL: Self = Self(1 << 2);
    /// Letters, and no capital.
    pub const ALL_LOWER: Self = Self(1 << 3);
    /// A capital after a small letter.
    pub const INNER_UPPER: Self = Self(1 << 4);
    /// A digit somewhere.
    pub const DIGIT: Self = Self(1 << 5);
    /// Nothing but digits.
    pub const NUMBER: Self = Self(1 << 6);
    /// Neither letter nor digit.
    pub const PUNCTUATION: Self = Self(1 << 7);
    /// A piece that goes on with the word of the token before.
    pub const CONTINUED: Self = Self(1 << 8);
    /// The first word of a sentence.
    pub const SENTENCE_START: Self = Self(1 << 9);
    /// The first word of a line.
    pub const LINE_START: Self = Self(1 << 10);
    /// A letter beyond ASCII.
    pub const NON_ASCII: Self = Self(1 << 11);
    /// The chunk looks like code: `_`, `::`, `=`, brackets, slashes.
    pub const CODE: Self = Self(1 << 12);
    /// The chunk looks like an address of mail or web.
    pub const ADDRESS: Self = Self(1 << 13);
    /// A quotation mark or backtick right before.
    pub const QUOTED: Self = Self(1 << 14);
    /// A colon right after.
    pub const KEY: Self = Self(1 << 15);
    /// A colon or equals sign before, perhaps with a space or a quotation mark.
    pub const VALUE: Self = Self(1 << 16);
    /// The line has no capital at all.
    pub const LINE_LOWER: Self = Self(1 << 17);
    /// The line has several words and no small letter.
    pub const LINE_UPPER: Self = Self(1 << 18);
    /// Most longer words of the line begin with a capital.
    pub const LINE_TITLE: Self = Self(1 << 19);
    /// `'s` right after.
    pub const POSSESSIVE: Self = Self(1 << 20);
    /// A full stop right after.
    pub const STOPPED: Self = Self(1 << 21);
    /// A comma right after.
    pub const COMMA: Self = Self(1 << 22);
    /// A hyphen, apostrophe or full stop binds it to the letter before or after.
    pub const BOUND: Self = Self(1 << 23);
    /// An opening bracket right before.
    pub const BRACKETED: Self = Self(1 << 24);
    /// The whole text has no capital.
    pub const TEXT_LOWER: Self = Self(1 << 25);
    /// An at sign, hash or dollar right before.
    pub const MARKED: Self = Self(1 << 26);
    /// Three letters or fewer.
    pub const SHORT: Self = Self(1 << 27);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn set(&mut self, bit: Self, when: bool) {
        if when {
            self.0 |= bit.0;
        }
    }
}

/// The shapes of tokens that stand at these places of a text, in order.
#[must_use]
pub fn shapes(text: &str, offsets: &[Range<usize>]) -> Vec<Shape> {
    let mut chunks = Spans::new(text, char::is_whitespace, chunk_shape);
    let mut lines = Spans::new(text, |c| c == '\n', line_shape);
    let mut whole = Shape::default();
    whole.set(Shape::TEXT_LOWER, !text.chars().any(char::is_uppercase));
    let mut out = Vec::with_capacity(offsets.len());
    let (mut sentence_starts, mut seen) = (true, 0);
    for word in words(text, offsets) {
        let Some(range) = span(offsets, &word) else { continue };
        let body = text.get(range.clone()).unwrap_or_default();
        let gap = text.get(seen..range.start).unwrap_or_default();
        seen = range.end;
        let new_line = out.is_empty() || gap.contains('\n');
        sentence_starts |= new_line;
        let mut shape = word_shape(body);
        shape.0 |= whole.0 | chunks.at(range.start).0 | lines.at(range.start).0;
        shape.0 |= around(text, &range).0;
        shape.set(Shape::SENTENCE_START, sentence_starts);
        shape.set(Shape::LINE_START, new_line);
        match body.chars().next_back() {
            Some('.' | '!' | '?' | '…') => sentence_starts = true,
            _ if shape.has(Shape::PUNCTUATION) => {}
            _ => sentence_starts = false,
        }
        for piece in 0..word.len() {
            let mut shape = shape;
            shape.set(Shape::CONTINUED, piece > 0);
            out.push(shape);
        }
    }
    out
}

/// Groups tokens (by index) that are pieces of one word: they touch, and letters or digits meet.
pub fn words(text: &str, offsets: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut before: Option<&Range<usize>> = None;
    for (index, range) in offsets.iter().enumerate() {
        let joined = before.is_some_and(|before| {
            let last = text.get(before.clone()).and_then(|t| t.chars().next_back());
            let first = text.get(range.clone()).and_then(|t| t.chars().next());
            // Pieces of one character (a ligature, say) may even share its place.
            range.start <= before.end && last.is_some_and(in_word) && first.is_some_and(in_word)
        });
        match words.last_mut() {
            Some(word) if joined => word.end = index + 1,
            _ => words.push(index..index + 1),
        }
        before = Some(range);
    }
    words
}

/// The bytes of a word of tokens.
pub fn span(offsets: &[Range<usize>], word: &Range<usize>) -> Option<Range<usize>> {
    let tokens = offsets.get(word.clone())?;
    Some(tokens.first()?.start..tokens.last()?.end)
}

/// Ideographs are tokens of their own, never pieces of a word.
fn in_word(c: char) -> bool {
    c.is_alphanumeric() && !matches!(u32::from(c), 0x3040..=0x30ff | 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..)
}

fn word_shape(word: &str) -> Shape {
    let mut shape = Shape::default();
    let (mut letters, mut upper, mut digits, mut other) = (0, 0, 0, 0);
    let (mut inner, mut after_lower) = (false, false);
    for c in word.chars() {
        if c.is_alphabetic() {
            letters += 1;
            upper += usize::from(c.is_uppercase());
            inner |= after_lower && c.is_uppercase();
            after_lower = c.is_lowercase();
            shape.set(Shape::NON_ASCII, !c.is_ascii());
        } else if c.is_numeric() {
            digits += 1;
        } else {
            other += 1;
        }
    }
    shape.set(Shape::FIRST_UPPER, word.starts_with(char::is_uppercase));
    shape.set(Shape::ALL_UPPER, letters > 1 && upper == letters);
    shape.set(Shape::INITIAL, letters == 1 && upper == 1);
    shape.set(Shape::ALL_LOWER, letters > 0 && upper == 0);
    shape.set(Shape::INNER_UPPER, inner);
    shape.set(Shape::DIGIT, digits > 0);
    shape.set(Shape::NUMBER, digits > 0 && letters == 0);
    shape.set(Shape::PUNCTUATION, other > 0 && letters + digits == 0);
    shape.set(Shape::SHORT, letters > 0 && letters <= 3);
    shape
}

/// What the characters right before and after a word say.
fn around(text: &str, range: &Range<usize>) -> Shape {
    let mut shape = Shape::default();
    let mut before = text.get(..range.start).unwrap_or_default().chars().rev();
    let mut after = text.get(range.end..).unwrap_or_default().chars();
    let (b0, b1, b2) = (before.next(), before.next(), before.next());
    let (a0, a1) = (after.next(), after.next());
    let quote = |c: Option<char>| matches!(c, Some('"' | '\'' | '`' | '“' | '„' | '«' | '‘'));
    let assigns = |c: Option<char>| matches!(c, Some(':' | '='));
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    shape.set(Shape::QUOTED, quote(b0));
    shape.set(Shape::BRACKETED, matches!(b0, Some('(' | '[' | '<' | '{')));
    shape.set(Shape::MARKED, matches!(b0, Some('@' | '#' | '$')));
    shape.set(Shape::KEY, a0 == Some(':') || (quote(a0) && a1 == Some(':')));
    let spaced = matches!(b0, Some(' ' | '\t'));
    let value =
        assigns(b0) || ((spaced || quote(b0)) && (assigns(b1) || (quote(b0) && b1 == Some(' ') && assigns(b2))));
    shape.set(Shape::VALUE, value);
    shape.set(Shape::POSSESSIVE, matches!(a0, Some('\'' | '’')) && matches!(a1, Some('s' | 'S')));
    shape.set(Shape::STOPPED, a0 == Some('.'));
    shape.set(Shape::COMMA, a0 == Some(','));
    let binds = |c: Option<char>| matches!(c, Some('-' | '\'' | '’' | '.' | '_'));
    shape.set(Shape::BOUND, (binds(b0) && letter(b1)) || (binds(a0) && letter(a1)));
    shape
}

fn chunk_shape(chunk: &str) -> Shape {
    let mut shape = Shape::default();
    let code = ['_', '=', '{', '}', '<', '>', '\\', '/', '[', ']', ';', '|', '$'];
    shape.set(Shape::CODE, chunk.contains(code) || chunk.contains("::") || chunk.contains("()"));
    shape.set(Shape::ADDRESS, chunk.contains('@') || chunk.contains("://") || chunk.contains("www."));
    shape
}

fn line_shape(line: &str) -> Shape {
    let mut shape = Shape::default();
    let letters = || line.chars().filter(|c| c.is_alphabetic());
    let upper = letters().filter(|c| c.is_uppercase()).count();
    let lower = letters().filter(|c| c.is_lowercase()).count();
    let long = || line.split_whitespace().filter(|w| w.chars().count() > 3);
    let capitals = long().filter(|w| w.starts_with(char::is_uppercase)).count();
    shape.set(Shape::LINE_LOWER, upper == 0 && lower > 0);
    shape.set(Shape::LINE_UPPER, lower == 0 && upper > 0 && long().count() > 1);
    shape.set(Shape::LINE_TITLE, lower > 0 && capitals > 2 && capitals * 5 > long().count() * 4);
    shape
}

/// Parts of a text with their shapes, asked for by rising places.
struct Spans {
    spans: Vec<(usize, Shape)>,
    next: usize,
}

impl Spans {
    fn new(text: &str, ends: impl Fn(char) -> bool, shape: impl Fn(&str) -> Shape) -> Self {
        let mut spans = Vec::new();
        let mut start = 0;
        for part in text.split_inclusive(ends) {
            start += part.len();
            spans.push((start, shape(part)));
        }
        Self { spans, next: 0 }
    }

    fn at(&mut self, place: usize) -> Shape {
        while let Some(&(end, shape)) = self.spans.get(self.next) {
            if place < end {
                return shape;
            }
            self.next += 1;
        }
        Shape::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::string_slice, clippy::single_range_in_vec_init)]

    use proptest::prelude::*;

    use super::*;

    /// Words, and every other character as a token of its own.
    fn tokens(text: &str) -> Vec<Range<usize>> {
        let mut out: Vec<Range<usize>> = Vec::new();
        let mut grows = false;
        for (at, c) in text.char_indices() {
            match out.last_mut() {
                Some(last) if grows && c.is_alphanumeric() => last.end = at + c.len_utf8(),
                _ if !c.is_whitespace() => out.push(at..at + c.len_utf8()),
                _ => {}
            }
            grows = c.is_alphanumeric();
        }
        out
    }

    fn shape_of(text: &str, word: &str) -> Shape {
        let offsets = tokens(text);
        let index = offsets.iter().position(|r| &text[r.clone()] == word);
        shapes(text, &offsets)[index.unwrap_or(usize::MAX)]
    }

    #[test]
    fn case_and_place() {
        let text = "Hello Maria J. O'Brien, meet iPhone 14. ask NASA";
        assert!(
            shape_of(text, "Hello").has(Shape(Shape::SENTENCE_START.0 | Shape::LINE_START.0 | Shape::FIRST_UPPER.0))
        );
        assert!(!shape_of(text, "Maria").has(Shape::SENTENCE_START));
        assert!(shape_of(text, "J").has(Shape(Shape::INITIAL.0 | Shape::STOPPED.0)));
        assert!(shape_of(text, "Brien").has(Shape(Shape::BOUND.0 | Shape::COMMA.0)));
        assert!(shape_of(text, "iPhone").has(Shape::INNER_UPPER));
        assert!(shape_of(text, "14").has(Shape::NUMBER));
        assert!(shape_of(text, "ask").has(Shape(Shape::SENTENCE_START.0 | Shape::ALL_LOWER.0)));
        assert!(shape_of(text, "NASA").has(Shape::ALL_UPPER));
    }

    #[test]
    fn code_values_lines_and_quotes() {
        let text = "user_name = \"Ana\"\nto: bob@site.org\nLOUD WORDS HERE\nthe 'Will's\nname: Eva";
        assert!(shape_of(text, "name").has(Shape::CODE));
        assert!(shape_of(text, "Ana").has(Shape(Shape::QUOTED.0 | Shape::VALUE.0)));
        assert!(shape_of(text, "to").has(Shape(Shape::KEY.0 | Shape::LINE_START.0)));
        assert!(shape_of(text, "bob").has(Shape(Shape::ADDRESS.0 | Shape::VALUE.0 | Shape::LINE_LOWER.0)));
        assert!(shape_of(text, "WORDS").has(Shape::LINE_UPPER));
        assert!(shape_of(text, "Will").has(Shape(Shape::QUOTED.0 | Shape::POSSESSIVE.0)));
        assert!(shape_of(text, "Eva").has(Shape::VALUE));
    }

    #[test]
    fn pieces_share_their_words_shape() {
        let shapes = shapes("Quetzal x", &[0..3, 3..7, 8..9]);
        assert!(shapes[0].has(Shape::FIRST_UPPER) && !shapes[0].has(Shape::CONTINUED));
        assert!(shapes[1].has(Shape(Shape::FIRST_UPPER.0 | Shape::CONTINUED.0)));
        assert!(!shapes[2].has(Shape::CONTINUED));
    }

    proptest! {
        #[test]
        fn one_shape_a_token(text in any::<String>()) {
            let offsets = tokens(&text);
            let shapes = shapes(&text, &offsets);
            prop_assert_eq!(shapes.len(), offsets.len());
            prop_assert!(shapes.iter().all(|s| s.0 < 1 << Shape::BITS));
        }
    }
}
