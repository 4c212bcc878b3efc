//! Values replaced by placeholders: in the body and in the items of the stored conversation, byte-exact elsewhere.

use std::{collections::HashMap, ops::Range};

use super::{
    analyze::Entity,
    judge::Findings,
    placeholders::Placeholders,
    segments::{Document, Segment},
};
use crate::{
    config::PiiGuard,
    native::{Edit, EditError, splice_all},
};

/// What a request consists of.
pub(crate) struct Documents<'a> {
    pub body: &'a [u8],
    /// The items of the stored conversation, and those that are referred to.
    pub items: Vec<&'a mut Vec<u8>>,
    /// What of the body is replaced by something of the filter's own anyway.
    pub own: &'a [Range<usize>],
}

/// A body with placeholders.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Redacted {
    pub body: Vec<u8>,
    edits: Vec<Edit>,
}

impl Redacted {
    /// Where a span of the old body stands now.
    pub(crate) fn shift(&self, span: Range<usize>) -> Range<usize> {
        let before = self.edits.iter().take_while(|edit| edit.span.end <= span.start);
        let (gone, come) = before.fold((0, 0), |(gone, come), edit| (gone + edit.span.len(), come + edit.json.len()));
        let moved = |at: usize| (at + come).saturating_sub(gone);
        moved(span.start)..moved(span.end)
    }

    /// Whether nothing of the body had to change.
    pub(crate) fn is_same(&self) -> bool {
        self.edits.is_empty()
    }
}

/// Replaces what the guard acts upon. `digest` is of a kind and a value.
///
/// # Errors
/// [`EditError`] where a value stands outside of its document, which cannot be.
pub(crate) fn redact(
    findings: &Findings,
    guard: &PiiGuard,
    documents: Documents<'_>,
    placeholders: &mut Placeholders,
    digest: impl Fn(&str, &str) -> [u8; 16],
) -> Result<Redacted, EditError> {
    for segment in &findings.found.segments {
        placeholders.reserve(&segment.text);
    }
    let Documents { body, items, own } = documents;
    let mut edits: HashMap<Document, Vec<Edit>> = HashMap::new();
    for (segment, hits) in findings.hits(guard) {
        let text = match segment.document {
            Document::Body => Some(body),
            Document::Item(index) => items.get(index).map(|item| item.as_slice()),
        };
        let text = text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let of = edits.entry(segment.document).or_default();
        for (entity, value, json) in values(segment, text, &hits) {
            let kept = segment.document == Document::Body
                && own.iter().any(|own| own.start < json.end && json.start < own.end);
            if !kept {
                of.push(Edit { span: json, json: placeholders.assign(entity, value, digest(entity, value)) });
            }
        }
    }
    for (index, item) in items.into_iter().enumerate() {
        if let Some(edits) = edits.get(&Document::Item(index)) {
            *item = splice_all(item, edits)?;
        }
    }
    let edits = edits.remove(&Document::Body).unwrap_or_default();
    Ok(Redacted { body: splice_all(body, &edits)?, edits })
}

/// The values with their kind and their place in the document, in order.
fn values<'a>(segment: &'a Segment, document: &str, hits: &[&'a Entity]) -> Vec<(&'a str, &'a str, Range<usize>)> {
    let merged = merge(hits);
    let ranges: Vec<Range<usize>> = merged.iter().map(|(_, range)| range.clone()).collect();
    let located = segment.locate(document, &ranges).into_iter();
    located.filter_map(|part| Some((merged.get(part.range)?.0, segment.text.get(part.text)?, part.json))).collect()
}

/// Entities in order, those that overlap as one, of the longest one's kind.
fn merge<'a>(hits: &[&'a Entity]) -> Vec<(&'a str, Range<usize>)> {
    let mut sorted = hits.to_vec();
    sorted.sort_by_key(|entity| (entity.range.start, std::cmp::Reverse(entity.range.end)));
    let mut merged: Vec<(&'a str, Range<usize>)> = Vec::with_capacity(sorted.len());
    let mut longest = 0;
    for entity in sorted {
        match merged.last_mut().filter(|(_, last)| entity.range.start < last.end) {
            Some((kind, last)) => {
                if entity.range.len() > longest {
                    (*kind, longest) = (&entity.kind, entity.range.len());
                }
                last.end = last.end.max(entity.range.end);
            }
            None => {
                longest = entity.range.len();
                merged.push((&entity.kind, entity.range.clone()));
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests;
