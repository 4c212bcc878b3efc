//! JSON strings decoded with a way back: which bytes of the document an offset of the text stands for.

use std::ops::Range;

/// A run of a JSON string.
enum Unit<'a> {
    /// As it stands.
    Plain(&'a str),
    /// An escape: what it means, and its bytes in the document.
    Escape { means: char, bytes: usize },
}

impl Unit<'_> {
    fn text_len(&self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            Self::Escape { means, .. } => means.len_utf8(),
        }
    }

    fn json_len(&self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            Self::Escape { bytes, .. } => *bytes,
        }
    }
}

/// The runs of what stands between a string's quotes. It has been checked to be JSON.
struct Units<'a>(&'a str);

impl<'a> Iterator for Units<'a> {
    type Item = Unit<'a>;

    fn next(&mut self) -> Option<Unit<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let plain = self.0.find('\\').unwrap_or(self.0.len());
        let unit = match self.0.split_at_checked(plain) {
            Some((text, _)) if plain > 0 => Unit::Plain(text),
            _ => escape(self.0),
        };
        // An escape that is none still has its backslash: there is always something to go on by.
        self.0 = self.0.get(unit.json_len()..).unwrap_or_default();
        Some(unit)
    }
}

/// A lone surrogate means U+FFFD: that is what becomes of it where a backend reads it at all.
fn escape(text: &str) -> Unit<'_> {
    let means = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(text),
        Some(other) if other.is_ascii() => char::from(*other),
        _ => return Unit::Escape { means: char::REPLACEMENT_CHARACTER, bytes: text.len() },
    };
    Unit::Escape { means, bytes: 2 }
}

fn unicode(text: &str) -> Unit<'_> {
    let hex = |from: usize| {
        let digits = text.get(from..from + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let Some(first) = hex(2) else {
        return Unit::Escape { means: char::REPLACEMENT_CHARACTER, bytes: text.len() };
    };
    if (0xd800..0xdc00).contains(&first) && text.get(6..8) == Some("\\u") {
        let second = hex(8).filter(|second| (0xdc00..0xe000).contains(second));
        let pair = second.and_then(|second| char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)));
        if let Some(means) = pair {
            return Unit::Escape { means, bytes: 12 };
        }
    }
    Unit::Escape { means: char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), bytes: 6 }
}

/// Writes what the string says at the end of `out`. `inner` is what stands between its quotes.
pub(super) fn decode(inner: &str, out: &mut String) {
    for unit in Units(inner) {
        match unit {
            Unit::Plain(text) => out.push_str(text),
            Unit::Escape { means, .. } => out.push(means),
        }
    }
}

/// Where in `inner` the ranges of its text stand, which ascend and do not overlap. An escape is taken whole.
pub(super) fn locate(inner: &str, ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut units = Units(inner).peekable();
    let (mut text_at, mut json_at) = (0, 0);
    let mut json_of = |offset: usize, is_end: bool| {
        while let Some(unit) = units.peek() {
            if offset < text_at + unit.text_len() {
                break;
            }
            text_at += unit.text_len();
            json_at += unit.json_len();
            units.next();
        }
        match units.peek() {
            Some(Unit::Plain(_)) => json_at + offset.saturating_sub(text_at),
            Some(Unit::Escape { bytes, .. }) if is_end && offset > text_at => json_at + bytes,
            _ => json_at,
        }
    };
    ranges.iter().map(|range| json_of(range.start, false)..json_of(range.end, true)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]
    use proptest::prelude::*;

    use super::*;

    /// A JSON string's inside in one of its spellings.
    fn spell(text: &str, style: &[u8]) -> String {
        let mut inner = String::new();
        for (c, style) in text.chars().zip(style.iter().cycle()) {
            let mut units = [0; 2];
            match (style % 3, c) {
                (0, _) => c.encode_utf16(&mut units).iter().for_each(|unit| inner += &format!("\\u{unit:04x}")),
                (_, '"' | '\\') => inner.extend(['\\', c]),
                (_, '\n') => inner += "\\n",
                (1, '/') => inner += "\\/",
                (_, c) if c < ' ' => inner += &format!("\\u{:04X}", u32::from(c)),
                (_, c) => inner.push(c),
            }
        }
        inner
    }

    fn decoded(inner: &str) -> String {
        let mut out = String::new();
        decode(inner, &mut out);
        out
    }

    #[test]
    fn lone_surrogates_are_replaced_and_keep_their_place() {
        let inner = r"a\ud83dé\udc00\ud83d\ude00\ud83dz";
        assert_eq!(decoded(inner), "a\u{fffd}é\u{fffd}😀\u{fffd}z");
        let spans = locate(inner, &[1..4, 6..9, 9..13, 16..17]);
        let spans: Vec<_> = spans.into_iter().map(|span| &inner[span]).collect();
        assert_eq!(spans, [r"\ud83d", r"\udc00", r"\ud83d\ude00", "z"]);
    }

    proptest! {
        #[test]
        fn every_spelling_reads_the_same_and_maps_back(text in "[a-z\"\\\\/\n\u{1}é€😀]{1,24}", style: [u8; 5], a: prop::sample::Index, b: prop::sample::Index) {
            let inner = spell(&text, &style);
            prop_assert_eq!(&decoded(&inner), &text);
            prop_assert_eq!(&serde_json::from_str::<String>(&format!("\"{inner}\"")).unwrap(), &text);
            let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let (a, b) = (*a.get(&offsets), *b.get(&offsets));
            let (a, b) = (a.min(b), a.max(b));
            let spans = locate(&inner, &[0..a, a..b, b..text.len()]);
            let parts: Vec<String> = spans.iter().map(|span| decoded(&inner[span.clone()])).collect();
            prop_assert_eq!(parts, [&text[..a], &text[a..b], &text[b..]]);
            prop_assert_eq!((spans[0].start, spans[0].end, spans[1].end, spans[2].end), (0, spans[1].start, spans[2].start, inner.len()));
        }
    }
}
