//! Base64 and rot13.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Edit, runs, words::known};

/// Shorter runs of the alphabet are words; 16 letters hide 12.
const LEAST_BASE64: usize = 16;

/// A line of this many letters may be one of several that belong together.
const WRAPPED: usize = 60;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Runs of the alphabet that decode to text.
pub(super) fn base64(text: &str) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for (range, run) in blocks(text) {
        if let Some(hidden) = decoded(&run) {
            let padding =
                text.get(range.end..).map_or(0, |rest| rest.bytes().take(2).take_while(|b| *b == b'=').count());
            edits.push(Edit { range: range.start..range.end + padding, text: hidden });
        }
    }
    edits
}

/// Runs of the alphabet; lines of a wrapped block are one.
fn blocks(text: &str) -> Vec<(std::ops::Range<usize>, String)> {
    let is_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let mut blocks: Vec<(std::ops::Range<usize>, String, usize)> = Vec::new();
    for (range, run) in runs(text, is_code) {
        let length = run.len();
        if let Some((whole, code, line)) = blocks.last_mut() {
            let between = text.get(whole.end..range.start).unwrap_or_default();
            if *line >= WRAPPED && matches!(between, "\n" | "\r\n") {
                whole.end = range.end;
                code.push_str(run);
                *line = length;
                continue;
            }
        }
        blocks.push((range, run.to_owned(), length));
    }
    blocks.into_iter().filter(|(_, code, _)| code.len() >= LEAST_BASE64).map(|(range, code, _)| (range, code)).collect()
}

fn decoded(run: &str) -> Option<String> {
    let code: String = run
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    // One letter over a multiple of four codes nothing.
    let whole = if code.len() % 4 == 1 { code.get(..code.len() - 1)? } else { &code };
    let text = String::from_utf8(LENIENT.decode(whole).ok()?).ok()?;
    is_text(&text).then_some(text)
}

/// Mostly letters and spaces, and nothing that no text has.
fn is_text(text: &str) -> bool {
    let total = text.chars().count();
    let plain = text.chars().filter(|c| c.is_alphabetic() || *c == ' ').count();
    let odd = text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    total > 0 && !odd && plain * 10 >= total * 7
}

/// What a word of rot13 adds to the belief that a span is in it, and what any other takes away.
const WORD: f64 = 1.0;
const SHORT_WORD: f64 = 0.5;
const NEITHER: f64 = 0.25;
/// The belief that a span needs, and the loss of it that ends one.
const ENOUGH: f64 = 2.5;

/// Spans whose words are words of the list only once moved by 13.
pub(super) fn rot13(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let (mut belief, mut best, mut start, mut end) = (0.0_f64, 0.0_f64, 0, 0);
    let mut close = |best: f64, span: std::ops::Range<usize>| {
        if best >= ENOUGH
            && let Some(coded) = text.get(span.clone())
        {
            edits.push(Edit { range: span, text: rotated(coded) });
        }
    };
    for (range, word) in runs(text, |c| c.is_ascii_alphabetic() || c == '\'') {
        let value = value(word);
        if belief <= 0.0 {
            if value <= 0.0 {
                continue;
            }
            (belief, best, start, end) = (0.0, 0.0, range.start, range.end);
        }
        belief += value;
        if belief > best {
            (best, end) = (belief, range.end);
        }
        if belief <= 0.0 || belief < best - ENOUGH {
            close(best, start..end);
            (belief, best) = (0.0, 0.0);
        }
    }
    close(best, start..end);
    edits
}

fn value(word: &str) -> f64 {
    let plain = word.to_ascii_lowercase();
    let gain = if plain.len() > 2 { WORD } else { SHORT_WORD };
    match (known(&plain), known(&rotated(&plain))) {
        (false, true) if plain.len() > 1 => gain,
        (true, false) => -gain,
        _ => -NEITHER,
    }
}

fn rotated(text: &str) -> String {
    let turn = |c: char, first: u8| char::from(first + (c as u8 - first + 13) % 26);
    text.chars()
        .map(|c| match c {
            'a'..='z' => turn(c, b'a'),
            'A'..='Z' => turn(c, b'A'),
            other => other,
        })
        .collect()
}
