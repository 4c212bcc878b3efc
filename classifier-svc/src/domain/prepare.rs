//! Texts to rows: what a segment has to have of the model, and what is read of the text itself.

use super::{
    AnalyzeError, Shape, Tokenize, Wanted,
    disguise::{self, Disguise},
    engine::Part,
    shape,
    window::WindowShape,
};
use crate::pii::{self, Entity};

/// What is asked of one segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// Of the model, for the text as written.
    pub wanted: Wanted,
    /// Personal data.
    pub pii: bool,
}

/// One text, and what is asked of it.
#[derive(Debug)]
pub struct Text {
    pub text: String,
    pub asked: Asked,
}

/// A text made ready for the model.
#[derive(Debug)]
pub struct Prepared {
    pub text: String,
    pub asked: Asked,
    /// Tokens as written, special ones not counted.
    pub tokens: usize,
    /// How each part came about: the text as written first, then what undoing a disguise gave.
    pub forms: Vec<Option<Disguise>>,
    /// Personal data that patterns find.
    pub patterns: Vec<Entity>,
}

/// Reads one text. The parts are in the order of [`Prepared::forms`].
pub fn prepare(
    tokenizer: &dyn Tokenize,
    windows: WindowShape,
    Text { text, asked }: Text,
) -> Result<(Prepared, Vec<Part>), AnalyzeError> {
    let part = |text: &str, wanted: Wanted| -> Result<Part, AnalyzeError> {
        let tokens = tokenizer.tokenize(text)?;
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let ranges: Vec<_> = tokens.into_iter().map(|token| token.range).collect();
        let shapes: Vec<Shape> = if wanted.names { shape::shapes(text, &ranges) } else { Vec::new() };
        Ok(Part { windows: windows.cut(&ids, tokenizer.special()), ranges, shapes, wanted })
    };
    let mut parts = vec![part(&text, asked.wanted)?];
    let mut forms = vec![None];
    if asked.wanted.jailbreak {
        let wanted = Wanted { jailbreak: true, ..Wanted::default() };
        for form in disguise::undo(&text) {
            parts.push(part(&form.text, wanted)?);
            forms.push(Some(form.disguise));
        }
    }
    let patterns = if asked.pii { pii::find(&text) } else { Vec::new() };
    let tokens = parts.first().map_or(0, |part| part.ranges.len());
    Ok((Prepared { text, asked, tokens, forms, patterns }, parts))
}
