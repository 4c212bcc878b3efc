//! Undoing what hides an attack from a model: characters that nobody sees, letters of other scripts, base64, rot13,
//! and letters set apart. What does not look disguised gives nothing, which is nearly every text.

mod coded;
mod hidden;
mod spaced;
mod words;

#[cfg(test)]
mod tests;

use std::ops::Range;

/// What was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disguise {
    /// Characters that nobody sees, between letters or in place of them.
    ZeroWidth,
    /// Letters of other scripts that look like Latin ones.
    Homoglyphs,
    /// Base64, of the standard or the URL-safe alphabet.
    Base64,
    /// Letters moved on by 13.
    Rot13,
    /// Letters with a space or a sign between each two.
    SpacedLetters,
}

impl Disguise {
    /// In the order in which they are undone: characters first, so that what is coded in them is read.
    const ALL: [Self; 5] = [Self::ZeroWidth, Self::Homoglyphs, Self::SpacedLetters, Self::Base64, Self::Rot13];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ZeroWidth => "zero_width",
            Self::Homoglyphs => "homoglyphs",
            Self::Base64 => "base64",
            Self::Rot13 => "rot13",
            Self::SpacedLetters => "spaced_letters",
        }
    }

    fn edits(self, text: &str) -> Vec<Edit> {
        match self {
            Self::ZeroWidth => hidden::zero_width(text),
            Self::Homoglyphs => hidden::homoglyphs(text),
            Self::Base64 => coded::base64(text),
            Self::Rot13 => coded::rot13(text),
            Self::SpacedLetters => spaced::letters(text),
        }
    }
}

/// A text without a disguise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What was undone last.
    pub disguise: Disguise,
    /// What was hidden, with a little of what stands around it.
    pub text: String,
}

/// A part of a text, and what it hides. Edits of one text are sorted and do not overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    range: Range<usize>,
    text: String,
}

/// A disguise inside a disguise is undone, and no more.
const DEPTH: usize = 2;

/// Bytes of the text that a form has on both sides of what was hidden.
const CONTEXT: usize = 160;

/// The forms that differ from the text as written: at most 10, none much longer than the text. The work is linear in
/// the text's length.
#[must_use]
pub fn undo(text: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut whole = text.to_owned();
    for _ in 0..DEPTH {
        let before = forms.len();
        for disguise in Disguise::ALL {
            let edits = disguise.edits(&whole);
            if edits.is_empty() {
                continue;
            }
            let form = Form { disguise, text: excerpt(&whole, &edits) };
            if !forms.iter().any(|earlier| earlier.text == form.text) {
                forms.push(form);
            }
            whole = apply(&whole, &edits);
        }
        if forms.len() == before {
            break;
        }
    }
    forms
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        out.push_str(text.get(at..edit.range.start).unwrap_or_default());
        out.push_str(&edit.text);
        at = edit.range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The edited text near its edits: a long text with one short disguise gives a short form.
fn excerpt(text: &str, edits: &[Edit]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for edit in edits {
        let from = text.floor_char_boundary(edit.range.start.saturating_sub(CONTEXT));
        if from > at {
            let after = text.floor_char_boundary(at + CONTEXT).min(from);
            // What precedes the first edit is no edit's surroundings.
            let trail = if at == 0 && out.is_empty() { "" } else { text.get(at..after).unwrap_or_default() };
            out.push_str(trail);
            out.push('\n');
            at = from;
        }
        out.push_str(text.get(at..edit.range.start).unwrap_or_default());
        out.push_str(&edit.text);
        at = edit.range.end;
    }
    out.push_str(text.get(at..text.floor_char_boundary(at + CONTEXT)).unwrap_or_default());
    out
}

/// The longest pieces of a text whose characters all belong, with where they stand.
fn runs(text: &str, belongs: impl Fn(char) -> bool) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text.get(at..)?.find(&belongs)?;
        let rest = text.get(start..)?;
        let end = start + rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        at = end;
        Some((start..end, text.get(start..end)?))
    })
}
