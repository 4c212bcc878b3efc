//! Several changes to one body, made in one copy.

use std::ops::Range;

/// A value to be replaced by other JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Where the value stands.
    pub span: Range<usize>,
    /// What stands there then.
    pub json: String,
}

/// Edits that cannot all be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the edit at byte {at} lies beyond the body, or reaches into the one before it")]
pub struct EditError {
    /// Where.
    pub at: usize,
}

impl Edit {
    /// Puts a JSON string there.
    #[must_use]
    pub fn string(span: Range<usize>, text: &str) -> Self {
        Self { span, json: serde_json::Value::from(text).to_string() }
    }
}

/// Makes the edits, which are in order; every other byte stays.
///
/// # Errors
/// [`EditError`] where they are not in order or not in the body.
pub fn splice_all(body: &[u8], edits: &[Edit]) -> Result<Vec<u8>, EditError> {
    let more: usize = edits.iter().map(|edit| edit.json.len()).sum();
    let mut out = Vec::with_capacity(body.len() + more);
    write_all(body, edits, &mut out)?;
    Ok(out)
}

/// As [`splice_all`], at the end of `out`.
pub(crate) fn write_all(body: &[u8], edits: &[Edit], out: &mut Vec<u8>) -> Result<(), EditError> {
    let mut at = 0;
    for Edit { span, json } in edits {
        let error = EditError { at: span.start };
        if span.start > span.end || span.end > body.len() {
            return Err(error);
        }
        out.extend_from_slice(body.get(at..span.start).ok_or(error)?);
        out.extend_from_slice(json.as_bytes());
        at = span.end;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn makes_all_edits_and_refuses_what_does_not_fit() {
        let edit = |span| Edit::string(span, "\"");
        assert_eq!(splice_all(b"0123456", &[edit(1..2), edit(2..2), edit(5..7)]).unwrap(), br#"0"\"""\""234"\"""#);
        assert_eq!(splice_all(b"01", &[]).unwrap(), b"01");
        for (edits, at) in [
            (vec![edit(1..3)], 1),
            (vec![edit(1..2), edit(0..1)], 0),
            (vec![edit(0..2), edit(1..2)], 1),
            (vec![Edit { span: Range { start: 2, end: 1 }, json: String::new() }], 2),
        ] {
            assert_eq!(splice_all(b"01", &edits), Err(EditError { at }));
        }
    }
}
