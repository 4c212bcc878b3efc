//! What the classifier is asked of an answer's texts, and how far its verdict reaches.

use std::ops::Range;

use fingerpost_proto::classifier::{AnalyzeResponse, SegmentAnalysis};

use super::held::{Held, Text};
use crate::config::ResponsePiiGuard;

/// Bytes before what is new that are asked about with it: what a number is may stand in front of it.
pub(super) const CONTEXT: usize = 256;
/// Bytes at the end of a growing text that are looked at once more, with what follows.
const LOOK_BACK: usize = 128;
/// Bytes that wait for an entity to end. One that is longer is replaced in parts.
const LONGEST: usize = 16 * 1024;
/// Where a private key begins, and how its end is told: the whole of it is to be seen at once.
const KEY: (&str, &str) = ("-----BEGIN ", "-----END ");

/// A part of a text that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub text: usize,
    pub from: usize,
    pub upto: usize,
    /// Whether nothing follows it.
    pub ended: bool,
}

/// Personal data that is acted upon. The place counts from the text's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub kind: String,
    pub at: Range<usize>,
}

/// What was found there: in order, nothing twice.
#[derive(Debug)]
pub(super) struct Looked {
    pub look: Look,
    pub found: Vec<Found>,
}

/// Reads the reply; none where it does not fit what was asked.
pub(super) fn read(
    held: &Held,
    asked: &[Look],
    reply: AnalyzeResponse,
    policy: &ResponsePiiGuard,
) -> Option<Vec<Looked>> {
    if reply.segments.len() != asked.len() {
        return None;
    }
    let of = |(look, analysis): (&Look, SegmentAnalysis)| {
        let text = held.text(look.text)?;
        let mut found = found(text.part(look.from..look.upto), analysis, policy)?;
        found.iter_mut().for_each(|found| found.at = found.at.start + look.from..found.at.end + look.from);
        Some(Looked { look: look.clone(), found })
    };
    asked.iter().zip(reply.segments).map(of).collect()
}

fn found(text: &str, analysis: SegmentAnalysis, policy: &ResponsePiiGuard) -> Option<Vec<Found>> {
    let mut all = Vec::new();
    for entity in analysis.pii?.entities {
        let at = usize::try_from(entity.start).ok()?..usize::try_from(entity.end).ok()?;
        let fits = text.get(at.clone()).is_some_and(|text| !text.is_empty());
        if !fits || !(0.0..=1.0).contains(&entity.score) || !is_type(&entity.r#type) {
            return None;
        }
        if entity.score >= policy.threshold && !policy.allow.iter().any(|allowed| allowed.name() == entity.r#type) {
            all.push(Found { kind: entity.r#type, at });
        }
    }
    all.sort_by_key(|found| (found.at.start, std::cmp::Reverse(found.at.end)));
    let mut apart: Vec<Found> = Vec::with_capacity(all.len());
    for found in all {
        match apart.last_mut().filter(|last| found.at.start < last.at.end) {
            Some(last) => last.at.end = last.at.end.max(found.at.end),
            None => apart.push(found),
        }
    }
    Some(apart)
}

/// Whether it can stand in a placeholder.
fn is_type(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(known)
}

/// Up to where it is known what the text becomes: all of it where nothing follows; else to the border of a word some way before
/// the end, and into nothing that was found.
pub(super) fn safe(text: &Text, look: &Look, found: &[Found]) -> usize {
    if look.ended || look.upto.saturating_sub(text.safe) > LONGEST {
        return look.upto;
    }
    let mut safe = border(text, text.floor(look.upto.saturating_sub(LOOK_BACK)));
    let fresh = text.part(text.safe..look.upto);
    if let Some(key) = fresh.rfind(KEY.0).filter(|at| fresh.get(*at..).is_some_and(|key| !key.contains(KEY.1))) {
        safe = safe.min(text.safe + key);
    }
    for found in found.iter().rev() {
        if found.at.start < safe && (found.at.end > safe || found.at.end == look.upto) {
            safe = found.at.start;
        }
    }
    safe.max(text.safe)
}

/// The last border of a word up to `at`; `at` itself in a word that is longer than anybody waits for.
fn border(text: &Text, at: usize) -> usize {
    let before = text.part(text.safe..at);
    let is_border = |c: char| c.is_whitespace() || c >= '\u{2e80}';
    match before.char_indices().rev().find(|(_, c)| is_border(*c)) {
        Some((i, c)) => text.safe + i + c.len_utf8(),
        None if before.len() > LONGEST / 2 => at,
        None => text.safe,
    }
}
