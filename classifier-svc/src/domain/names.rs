//! From tags of tokens to named entities of a whole text, and those together with what patterns found.

use std::{collections::BTreeMap, ops::Range};

use super::shape::{span, words};
use crate::pii::{Entity, Kind};

/// The tags of the names head, in the order of its outputs: none, then begin and inside of each of [`KINDS`].
pub const TAGS: [&str; 7] =
    ["O", "B-PERSON", "I-PERSON", "B-ORGANIZATION", "I-ORGANIZATION", "B-LOCATION", "I-LOCATION"];

/// What the names head finds, in the order of [`TAGS`].
pub const KINDS: [Kind; 3] = [Kind::Person, Kind::Organization, Kind::Location];

/// A word outside every entity is still reported, with its low score, from this probability on: a policy
/// may ask for more recall than the default threshold gives.
const FLOOR: f64 = 0.2;

/// What the model said of one window.
#[derive(Debug, Clone)]
pub struct Tagged<'a> {
    /// Which tokens of the text the window has.
    pub tokens: Range<usize>,
    /// Natural log-probabilities in the order of [`TAGS`], a row a token.
    pub tags: &'a [Vec<f32>],
}

/// Named entities of a text: sorted by place, not overlapping, made of whole words. `offsets` are the
/// bytes of its tokens; a token's tags are taken from the window where it stands furthest from a cut.
///
/// An entity's score is the least probability, over its words, of the entity's kind.
#[must_use]
pub fn decode(text: &str, offsets: &[Range<usize>], windows: &[Tagged<'_>]) -> Vec<Entity> {
    let rows = stitch(offsets.len(), windows);
    let (mut before, mut after_word, mut before_line) = (0, false, true);
    let words: Vec<Word> = words(text, offsets)
        .into_iter()
        .filter_map(|tokens| {
            let range = span(offsets, &tokens)?;
            let gap = text.get(before..range.start).unwrap_or_default();
            before = range.end;
            let body = text.get(range.clone()).unwrap_or_default();
            let wordless = !body.contains(char::is_alphanumeric);
            let spaced = after_word && gap == " ";
            after_word = !wordless;
            let new_line = before_line || gap.contains('\n');
            before_line = false;
            Some(Word { log_probs: mean(rows.get(tokens)?), wordless, spaced, stop: body == ".", new_line, range })
        })
        .collect();
    let path = best_path(&words);
    let mut entities = Vec::new();
    let mut run: Option<(usize, Range<usize>)> = None;
    for (index, &tag) in path.iter().enumerate() {
        let kind = kind_of(tag);
        match (&mut run, kind) {
            (Some((open, range)), Some(kind)) if *open == kind && joins(&words, index, tag) => range.end = index + 1,
            _ => {
                entities.extend(run.take().and_then(|(kind, range)| entity(&words, kind, range)));
                run = kind.map(|kind| (kind, index..index + 1));
                if kind.is_none() {
                    entities.extend(words.get(index).and_then(faint));
                }
            }
        }
    }
    entities.extend(run.and_then(|(kind, range)| entity(&words, kind, range)));
    entities
}

struct Word {
    range: Range<usize>,
    log_probs: [f64; TAGS.len()],
    /// Neither letter nor digit.
    wordless: bool,
    /// A full stop.
    stop: bool,
    /// The first of its line.
    new_line: bool,
    /// One space and nothing else before it, and a word before that.
    spaced: bool,
}

/// The tags of every token; none where no window has it.
fn stitch<'a>(count: usize, windows: &[Tagged<'a>]) -> Vec<Option<&'a [f32]>> {
    let mut best: Vec<(usize, Option<&'a [f32]>)> = vec![(0, None); count];
    for window in windows {
        let Range { start, end } = window.tokens;
        for (token, tags) in window.tokens.clone().zip(window.tags) {
            // The text's own ends cut nothing off.
            let left = if start == 0 { usize::MAX } else { token - start + 1 };
            let right = if end >= count { usize::MAX } else { end - token };
            if let Some(slot) = best.get_mut(token)
                && (slot.1.is_none() || left.min(right) > slot.0)
            {
                *slot = (left.min(right), Some(tags));
            }
        }
    }
    best.into_iter().map(|slot| slot.1).collect()
}

/// The mean of a word's pieces, as log-probabilities again.
fn mean(pieces: &[Option<&[f32]>]) -> [f64; TAGS.len()] {
    let mut sum = [0.0; TAGS.len()];
    let mut count = 0.0_f64;
    for tags in pieces.iter().flatten() {
        count += 1.0;
        for (slot, &tag) in sum.iter_mut().zip(*tags) {
            *slot += f64::from(tag);
        }
    }
    if count == 0.0 {
        return std::array::from_fn(|tag| if tag == 0 { 0.0 } else { f64::NEG_INFINITY });
    }
    let mean = sum.map(|tag| tag / count);
    let total = mean.iter().map(|tag| tag.exp()).sum::<f64>().ln();
    mean.map(|tag| tag - total)
}

/// The kind's index in [`KINDS`]; none for `O`.
const fn kind_of(tag: usize) -> Option<usize> {
    if tag == 0 { None } else { Some((tag - 1) / 2) }
}

const fn begins(tag: usize) -> bool {
    tag % 2 == 1
}

/// Whether a word goes on with the name before it: it is inside, or only a space parts the two. Nobody writes
/// two persons side by side without a comma, and taken as one they are as well hidden.
fn joins(words: &[Word], index: usize, tag: usize) -> bool {
    !begins(tag) || words.get(index).is_some_and(|word| word.spaced)
}

/// The likeliest tags (Viterbi) in which "inside" only follows a word of the same kind on the same line. At the
/// start of a line the likelier of "begin" and "inside" begins.
fn best_path(words: &[Word]) -> Vec<usize> {
    let mut scores = [0.0_f64; TAGS.len()];
    let mut back: Vec<[usize; TAGS.len()]> = Vec::with_capacity(words.len());
    for word in words {
        let step = |from: usize, to: usize, log_prob: f64| {
            let goes_on = !word.new_line && kind_of(from) == kind_of(to);
            match to {
                0 => log_prob,
                // Elsewhere "inside" after another tag mostly means a name whose first word was missed, and half a name
                // is a wrong find.
                _ if begins(to) && word.new_line => {
                    log_prob.max(word.log_probs.get(to + 1).copied().unwrap_or(log_prob))
                }
                _ if !begins(to) && !goes_on => f64::NEG_INFINITY,
                _ => log_prob,
            }
        };
        let mut origin = [0; TAGS.len()];
        let mut next = [f64::NEG_INFINITY; TAGS.len()];
        for (to, ((slot, from_slot), &log_prob)) in next.iter_mut().zip(&mut origin).zip(&word.log_probs).enumerate() {
            for (from, &score) in scores.iter().enumerate() {
                let score = score + step(from, to, log_prob);
                if score > *slot {
                    (*slot, *from_slot) = (score, from);
                }
            }
        }
        scores = next;
        back.push(origin);
    }
    let mut tag = 0;
    for (candidate, score) in scores.iter().enumerate() {
        if scores.get(tag).is_some_and(|best| score > best) {
            tag = candidate;
        }
    }
    let mut path = Vec::with_capacity(words.len());
    for origin in back.iter().rev() {
        path.push(tag);
        tag = origin.get(tag).copied().unwrap_or(0);
    }
    path.reverse();
    path
}

/// The probability that a word belongs to a name of this kind.
fn belongs(word: &Word, kind: usize) -> f64 {
    word.log_probs.iter().skip(1 + 2 * kind).take(2).map(|tag| tag.exp()).sum::<f64>().min(1.0)
}

/// The entity over these words, without marks at its ends; a full stop may end it (`Inc.`).
fn entity(words: &[Word], kind: usize, range: Range<usize>) -> Option<Entity> {
    let mut words = words.get(range)?;
    while let Some((first, rest)) = words.split_first()
        && first.wordless
    {
        words = rest;
    }
    while let Some((last, rest)) = words.split_last()
        && last.wordless
        && !last.stop
    {
        words = rest;
    }
    let named = words.iter().filter(|word| !word.wordless);
    let score = named.map(|word| belongs(word, kind)).fold(1.0, f64::min);
    let range = words.first()?.range.start..words.last()?.range.end;
    Some(Entity { kind: *KINDS.get(kind)?, range, score: score as f32 })
}

/// A word that is no entity, and yet not surely none.
fn faint(word: &Word) -> Option<Entity> {
    let scores = KINDS.iter().enumerate().map(|(index, &kind)| (kind, belongs(word, index)));
    let (kind, score) = scores.max_by(|a, b| a.1.total_cmp(&b.1))?;
    // Never at or above what the path decided on: it was not chosen.
    let score = score.min(0.49) as f32;
    (f64::from(score) >= FLOOR && !word.wordless).then(|| Entity { kind, range: word.range.clone(), score })
}

/// Patterns' and names' finds as one list: sorted by place, not overlapping. Where two overlap, one whose
/// checksum is right (score 1) wins over one without, then the longer, then the likelier. What the loser has
/// beside the winner stays: a name must not escape because a number follows it closely.
#[must_use]
pub fn join(text: &str, patterns: Vec<Entity>, names: Vec<Entity>) -> Vec<Entity> {
    let mut all = patterns;
    all.extend(names);
    let proven = |entity: &Entity| entity.score >= 1.0 && !KINDS.contains(&entity.kind);
    all.sort_by(|a, b| {
        (proven(b).cmp(&proven(a)))
            .then(b.range.len().cmp(&a.range.len()))
            .then(b.score.total_cmp(&a.score))
            .then(a.range.start.cmp(&b.range.start))
    });
    let mut taken: BTreeMap<usize, Entity> = BTreeMap::new();
    for entity in all {
        for range in beside(&taken, &entity.range) {
            let body = text.get(range.clone()).unwrap_or_default();
            // All of it, or what is left of it without the space around.
            let range = match range == entity.range {
                true => range,
                false => range.end - body.trim_start().len()..range.start + body.trim_end().len(),
            };
            if range.start < range.end && body.contains(char::is_alphanumeric) {
                taken.insert(range.start, Entity { range, ..entity.clone() });
            }
        }
    }
    taken.into_values().collect()
}

/// The parts of a range that nothing has taken.
fn beside(taken: &BTreeMap<usize, Entity>, range: &Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut end = range.end;
    for (_, other) in taken.range(..range.end).rev() {
        if other.range.end <= range.start {
            break;
        }
        if other.range.end < end {
            parts.push(other.range.end..end);
        }
        end = end.min(other.range.start);
    }
    if end > range.start {
        parts.push(range.start..end);
    }
    parts
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
