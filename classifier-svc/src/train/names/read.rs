//! Texts with entities: JSON lines of `{"text", "entities": [{"type", "start", "end"}], "kind"?}`.

use std::{ops::Range, path::PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::lists::Part;
use crate::{encoder::hex, pii::Kind, train::data::DataError};

/// A text with the entities in it.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// The text.
    pub text: String,
    /// Types and their UTF-8 bytes of the text.
    pub entities: Vec<(Kind, Range<usize>)>,
    /// What kind of text it is.
    pub kind: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    text: String,
    entities: Vec<Mark>,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Mark {
    #[serde(rename = "type")]
    kind: String,
    start: usize,
    end: usize,
}

/// Reads files in order; answers their SHA-256 too.
///
/// # Errors
/// [`DataError`], which names the file and line, and what is wrong there.
pub fn load(files: &[PathBuf]) -> Result<(Vec<Labelled>, String), DataError> {
    let mut digest = Sha256::new();
    let mut out = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|source| DataError::Read { path: file.clone(), source })?;
        digest.update(&text);
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let labelled =
                parse(line).map_err(|message| DataError::Line { file: file.clone(), line: index + 1, message })?;
            out.push(labelled);
        }
    }
    Ok((out, hex(&digest.finalize())))
}

fn parse(line: &str) -> Result<Labelled, String> {
    let Line { text, entities, kind } = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let mark = |Mark { kind, start, end }: Mark| {
        let found = Kind::ALL.into_iter().find(|k| k.as_str() == kind);
        let found = found.ok_or_else(|| format!("`{kind}` is no type of entity"))?;
        let range = start..end;
        match text.get(range.clone()) {
            Some(body) if !body.is_empty() => Ok((found, range)),
            _ => Err(format!("{start}..{end} are no bytes of the text on character boundaries")),
        }
    };
    let entities = entities.into_iter().map(mark).collect::<Result<_, _>>()?;
    Ok(Labelled { text, entities, kind })
}

/// The part of a user's text: a seventh is for testing, a tenth for validation.
#[must_use]
pub fn part_of(text: &str) -> Part {
    match Sha256::digest(text).first().copied().unwrap_or(0) {
        0..=36 => Part::Test,
        37..=62 => Part::Validation,
        _ => Part::Train,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_are_read_and_wrong_ones_named() {
        let good = r#"{"text": "é Ana", "entities": [{"type": "PERSON", "start": 3, "end": 6}], "kind": "chat"}"#;
        assert_eq!(parse(good).unwrap().entities, [(Kind::Person, 3..6)]);
        for (line, part) in [
            (r#"{"text": "Ana", "entities": [{"type": "HUMAN", "start": 0, "end": 3}]}"#, "HUMAN"),
            (r#"{"text": "é", "entities": [{"type": "PERSON", "start": 0, "end": 1}]}"#, "0..1"),
            (r#"{"text": "Ana"}"#, "entities"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
