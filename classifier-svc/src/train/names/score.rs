//! What is found against what is there: an entity counts when its type and both its ends are right.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    ops::Range,
};

use serde::{Deserialize, Serialize};

use super::Labelled;
use crate::{
    pii::{Entity, Kind},
    train::report::round,
};

/// The score from which on an entity counts: the guards' default threshold.
pub const THRESHOLD: f32 = 0.5;

/// Counts and shares of one type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TypeScores {
    /// Of what was found, the share that is there.
    pub precision: f64,
    /// Of what is there, the share that was found.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// Of what is there, the share that any find of any type touches: what a redaction would not leave whole.
    pub touched: f64,
    /// Entities there.
    pub truth: usize,
    /// Entities found.
    pub found: usize,
}

/// How well entities are found in texts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntityScores {
    /// Texts judged.
    pub texts: usize,
    /// Texts without any entity, and how many of them got one: of the types of names only.
    pub clean_texts: usize,
    /// See `clean_texts`.
    pub clean_texts_marked: usize,
    /// By type.
    pub by_type: BTreeMap<String, TypeScores>,
    /// By kind of text, for persons.
    pub persons_by_kind: BTreeMap<String, TypeScores>,
    /// The mean distance of an entity's score from the share that is right, over ten bins of the score.
    pub calibration_error: f64,
}

/// One error: what was missed or wrongly found.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// The text.
    pub text: String,
    /// Its kind.
    pub kind: String,
    /// What is there and was not found.
    pub missed: Vec<(Kind, String)>,
    /// What was found and is not there.
    pub wrong: Vec<(Kind, String)>,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}]", self.kind)?;
        for (what, entities) in [("missed", &self.missed), ("wrong", &self.wrong)] {
            for (kind, body) in entities {
                write!(f, " {what} {} {body:?}", kind.as_str())?;
            }
        }
        write!(f, " in {:?}", self.text)
    }
}

#[derive(Default)]
struct Counts {
    hits: usize,
    touched: usize,
    truth: usize,
    found: usize,
}

impl Counts {
    fn scores(&self) -> TypeScores {
        let share = |of: usize, all: usize| round(of as f64 / all.max(1) as f64);
        TypeScores {
            precision: share(self.hits, self.found),
            recall: share(self.hits, self.truth),
            f1: share(2 * self.hits, self.truth + self.found),
            touched: share(self.touched, self.truth),
            truth: self.truth,
            found: self.found,
        }
    }
}

/// Scores what was found in each text.
#[must_use]
pub fn score(texts: &[Labelled], found: &[Vec<Entity>]) -> (EntityScores, Vec<Mistake>) {
    let mut by_type: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut by_kind: BTreeMap<String, Counts> = BTreeMap::new();
    let mut bins = [(0.0_f64, 0.0_f64); 10];
    let (mut clean_texts, mut clean_texts_marked, mut entities) = (0, 0, 0.0_f64);
    let mut mistakes = Vec::new();
    for (labelled, found) in texts.iter().zip(found) {
        let kept: Vec<&Entity> = found.iter().filter(|entity| entity.score >= THRESHOLD).collect();
        let given: BTreeSet<(Kind, usize, usize)> = kept.iter().map(|e| key(e.kind, &e.range)).collect();
        let truth: BTreeSet<(Kind, usize, usize)> = labelled.entities.iter().map(|(k, r)| key(*k, r)).collect();
        let kind = labelled.kind.clone().unwrap_or_else(|| "(none)".to_owned());
        for &(entity_kind, start, end) in &truth {
            let touched = kept.iter().any(|e| e.range.start < end && e.range.end > start);
            for counts in tallies(&mut by_type, &mut by_kind, entity_kind, &kind) {
                counts.truth += 1;
                counts.hits += usize::from(given.contains(&(entity_kind, start, end)));
                counts.touched += usize::from(touched);
            }
        }
        for &(entity_kind, ..) in &given {
            for counts in tallies(&mut by_type, &mut by_kind, entity_kind, &kind) {
                counts.found += 1;
            }
        }
        for entity in found {
            entities += 1.0;
            let bin = ((entity.score * 10.0) as usize).min(9);
            if let Some(bin) = bins.get_mut(bin) {
                bin.0 += f64::from(entity.score);
                bin.1 += f64::from(u8::from(truth.contains(&key(entity.kind, &entity.range))));
            }
        }
        clean_texts += usize::from(truth.is_empty());
        clean_texts_marked += usize::from(truth.is_empty() && !given.is_empty());
        mistakes.extend(mistake(labelled, kind, &truth, &given));
    }
    let gaps: f64 = bins.iter().map(|(score, right)| (score - right).abs()).sum();
    let scores = EntityScores {
        texts: texts.len(),
        clean_texts,
        clean_texts_marked,
        by_type: by_type.into_iter().map(|(name, counts)| (name.to_owned(), counts.scores())).collect(),
        persons_by_kind: by_kind.into_iter().map(|(kind, counts)| (kind, counts.scores())).collect(),
        calibration_error: round(gaps / entities.max(1.0)),
    };
    (scores, mistakes)
}

const fn key(kind: Kind, range: &Range<usize>) -> (Kind, usize, usize) {
    (kind, range.start, range.end)
}

fn tallies<'a>(
    by_type: &'a mut BTreeMap<&'static str, Counts>,
    by_kind: &'a mut BTreeMap<String, Counts>,
    entity: Kind,
    kind: &str,
) -> impl Iterator<Item = &'a mut Counts> {
    let of_kind = (entity == Kind::Person).then(|| by_kind.entry(kind.to_owned()).or_default());
    [by_type.entry(entity.as_str()).or_default()].into_iter().chain(of_kind)
}

type Keys = BTreeSet<(Kind, usize, usize)>;

fn mistake(labelled: &Labelled, kind: String, truth: &Keys, given: &Keys) -> Option<Mistake> {
    let quote = |&(kind, start, end): &(Kind, usize, usize)| {
        (kind, labelled.text.get(start..end).unwrap_or_default().to_owned())
    };
    let missed: Vec<_> = truth.difference(given).map(quote).collect();
    let wrong: Vec<_> = given.difference(truth).map(quote).collect();
    (!missed.is_empty() || !wrong.is_empty()).then(|| Mistake { text: labelled.text.clone(), kind, missed, wrong })
}

impl EntityScores {
    /// The scores as text.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        self.write_table(&mut out).ok();
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let Self { texts, clean_texts, clean_texts_marked, calibration_error, .. } = self;
        writeln!(out, "{texts} texts; {clean_texts} without any entity, {clean_texts_marked} of them got one")?;
        writeln!(out, "calibration error of scores {calibration_error:.3}")?;
        for (title, rows) in [("type", &self.by_type), ("PERSON, by kind of text", &self.persons_by_kind)] {
            writeln!(
                out,
                "\n{title:<32}{:>10}{:>8}{:>8}{:>9}{:>7}{:>7}",
                "precision", "recall", "F1", "touched", "there", "found"
            )?;
            for (name, s) in rows {
                writeln!(
                    out,
                    "{name:<32}{:>10.3}{:>8.3}{:>8.3}{:>9.3}{:>7}{:>7}",
                    s.precision, s.recall, s.f1, s.touched, s.truth, s.found
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn only_exact_finds_count() {
        let text = |entities| Labelled { text: "Ana Lima of Acme".to_owned(), entities, kind: None };
        let texts = [text(vec![(Kind::Person, 0..8), (Kind::Organization, 12..16)]), text(vec![])];
        let find = |kind, range, score| Entity { kind, range, score };
        let found = [
            vec![find(Kind::Person, 0..3, 0.9), find(Kind::Organization, 12..16, 0.8)],
            vec![find(Kind::Person, 0..8, 0.9), find(Kind::Person, 12..16, 0.3)],
        ];
        let (scores, mistakes) = score(&texts, &found);
        let person = &scores.by_type["PERSON"];
        assert_eq!((person.truth, person.found, person.touched), (1, 2, 1.0));
        assert!(person.f1.abs() < 1e-9);
        assert!((scores.by_type["ORGANIZATION"].f1 - 1.0).abs() < 1e-9);
        assert_eq!((scores.clean_texts, scores.clean_texts_marked, mistakes.len()), (1, 1, 2));
        // Bins: 0.9 + 0.9 and none right, 0.8 and one right, 0.3 and none right; over four finds.
        assert!((scores.calibration_error - (1.8 + 0.2 + 0.3) / 4.0).abs() < 1e-6, "{}", scores.calibration_error);
        assert!(scores.table().contains("PERSON"));
    }
}
