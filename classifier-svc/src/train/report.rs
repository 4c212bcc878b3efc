//! What a head is worth: numbers for a machine, a table for a person.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

/// One prompt, judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The label's number.
    pub truth: usize,
    /// The best label's number.
    pub best: usize,
    /// Its probability.
    pub confidence: f64,
    /// The prompt's kind, where given.
    pub kind: Option<String>,
}

/// Precision, recall and F1 of one label.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabelScores {
    /// Of the prompts given this label, the share that has it.
    pub precision: f64,
    /// Of the prompts with this label, the share that was given it.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// Prompts with this label.
    pub support: usize,
}

/// How a head does on one part of the data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scores {
    /// Prompts judged.
    pub count: usize,
    /// Share judged right.
    pub accuracy: f64,
    /// The mean of the labels' F1.
    pub macro_f1: f64,
    /// Expected calibration error over 15 bins of confidence.
    pub calibration_error: f64,
    /// Accuracy and count of each kind of prompt.
    pub by_kind: BTreeMap<String, KindScores>,
    /// Scores of each label.
    pub by_label: BTreeMap<String, LabelScores>,
    /// The labels, in the order of the confusion matrix.
    pub labels: Vec<String>,
    /// Row: the true label; column: the one given.
    pub confusion: Vec<Vec<usize>>,
}

/// Accuracy on one kind of prompt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KindScores {
    /// Share judged right.
    pub accuracy: f64,
    /// Prompts of this kind.
    pub count: usize,
}

const BINS: usize = 15;

impl Scores {
    /// Scores judged prompts over these labels.
    #[must_use]
    pub fn of(labels: &[String], judged: &[Judged]) -> Self {
        let mut confusion = vec![vec![0; labels.len()]; labels.len()];
        for j in judged {
            if let Some(cell) = confusion.get_mut(j.truth).and_then(|row| row.get_mut(j.best)) {
                *cell += 1;
            }
        }
        let by_label: BTreeMap<String, LabelScores> =
            labels.iter().enumerate().map(|(i, label)| (label.clone(), label_scores(&confusion, i))).collect();
        let supported: Vec<f64> = by_label.values().filter(|s| s.support > 0).map(|s| s.f1).collect();
        Self {
            count: judged.len(),
            accuracy: accuracy(judged.iter()),
            macro_f1: round(supported.iter().sum::<f64>() / supported.len().max(1) as f64),
            calibration_error: round(calibration_error(judged)),
            by_kind: by_kind(judged),
            by_label,
            labels: labels.to_vec(),
            confusion,
        }
    }

    /// The scores as text: summary, kinds, labels, and the confusions that happened most.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        self.write_table(&mut out).ok();
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let Self { count, accuracy, macro_f1, calibration_error, .. } = self;
        writeln!(
            out,
            "{count} prompts: accuracy {accuracy:.3}, macro-F1 {macro_f1:.3}, calibration error {calibration_error:.3}"
        )?;
        writeln!(out, "\n{:<20}{:>9}{:>8}", "kind", "accuracy", "count")?;
        for (kind, scores) in &self.by_kind {
            writeln!(out, "{kind:<20}{:>9.3}{:>8}", scores.accuracy, scores.count)?;
        }
        writeln!(out, "\n{:<20}{:>9}{:>8}{:>8}{:>8}", "label", "precision", "recall", "F1", "count")?;
        for (label, s) in &self.by_label {
            writeln!(out, "{label:<20}{:>9.3}{:>8.3}{:>8.3}{:>8}", s.precision, s.recall, s.f1, s.support)?;
        }
        writeln!(out, "\nmost frequent confusions (true -> given)")?;
        for (truth, given, n) in self.confusions().into_iter().take(15) {
            writeln!(out, "{n:>5}  {truth} -> {given}")?;
        }
        Ok(())
    }

    fn confusions(&self) -> Vec<(&str, &str, usize)> {
        let mut pairs = Vec::new();
        for (truth, row) in self.labels.iter().zip(&self.confusion) {
            for (given, &n) in self.labels.iter().zip(row) {
                if n > 0 && given != truth {
                    pairs.push((truth.as_str(), given.as_str(), n));
                }
            }
        }
        pairs.sort_by_key(|p| std::cmp::Reverse(p.2));
        pairs
    }
}

fn label_scores(confusion: &[Vec<usize>], label: usize) -> LabelScores {
    let cell = |row: &Vec<usize>, i: usize| row.get(i).copied().unwrap_or(0);
    let hits = confusion.get(label).map_or(0, |row| cell(row, label)) as f64;
    let support: usize = confusion.get(label).map_or(0, |row| row.iter().sum());
    let given: usize = confusion.iter().map(|row| cell(row, label)).sum();
    let share = |of: f64| if of > 0.0 { hits / of } else { 0.0 };
    LabelScores {
        precision: round(share(given as f64)),
        recall: round(share(support as f64)),
        f1: round(2.0 * share((given + support) as f64)),
        support,
    }
}

fn by_kind(judged: &[Judged]) -> BTreeMap<String, KindScores> {
    let mut kinds: BTreeMap<String, Vec<&Judged>> = BTreeMap::new();
    for j in judged {
        let kind = j.kind.clone().unwrap_or_else(|| "(none)".to_owned());
        kinds.entry(kind).or_default().push(j);
    }
    kinds
        .into_iter()
        .map(|(kind, members)| {
            let scores = KindScores { accuracy: accuracy(members.iter().copied()), count: members.len() };
            (kind, scores)
        })
        .collect()
}

fn accuracy<'a>(judged: impl Iterator<Item = &'a Judged>) -> f64 {
    let (mut right, mut all) = (0.0, 0.0_f64);
    for j in judged {
        all += 1.0;
        right += f64::from(u8::from(j.truth == j.best));
    }
    round(right / all.max(1.0))
}

/// The mean distance of confidence from accuracy, over bins of confidence, weighted by their size.
fn calibration_error(judged: &[Judged]) -> f64 {
    let mut gaps = [0.0_f64; BINS];
    for j in judged {
        let bin = ((j.confidence * BINS as f64) as usize).min(BINS - 1);
        if let Some(gap) = gaps.get_mut(bin) {
            *gap += j.confidence - f64::from(u8::from(j.truth == j.best));
        }
    }
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / judged.len().max(1) as f64
}

/// Five digits: more would differ between processors.
pub(crate) fn round(x: f64) -> f64 {
    (x * 1e5).round() / 1e5
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    fn judged(truth: usize, best: usize, confidence: f64, kind: &str) -> Judged {
        Judged { truth, best, confidence, kind: Some(kind.to_owned()) }
    }

    #[test]
    fn scores_by_hand() {
        let labels = ["a", "b"].map(str::to_owned);
        let scores = Scores::of(
            &labels,
            &[
                judged(0, 0, 0.9, "exam"),
                judged(0, 1, 0.6, "exam"),
                judged(1, 1, 0.8, "terse"),
                judged(1, 1, 0.8, "terse"),
            ],
        );
        assert!((scores.accuracy - 0.75).abs() < 1e-9);
        assert_eq!(scores.confusion, [[1, 1], [0, 2]]);
        assert!((scores.by_label["a"].precision - 1.0).abs() < 1e-9);
        assert!((scores.by_label["a"].recall - 0.5).abs() < 1e-9);
        assert!((scores.by_label["b"].f1 - 0.8).abs() < 1e-9);
        assert!((scores.macro_f1 - (2.0 / 3.0 + 0.8) / 2.0).abs() < 1e-4);
        // |0.9 - 1| + |0.6 - 0| + |1.6 - 2|, over 4.
        assert!((scores.calibration_error - 0.275).abs() < 1e-9);
        assert!((scores.by_kind["exam"].accuracy - 0.5).abs() < 1e-9);
        assert!(scores.table().contains("1  a -> b"));
    }

    #[test]
    fn nothing_judged_is_no_division_by_zero() {
        let scores = Scores::of(&["a".to_owned()], &[]);
        assert!(scores.accuracy.abs() < 1e-9 && scores.calibration_error.abs() < 1e-9);
    }
}
