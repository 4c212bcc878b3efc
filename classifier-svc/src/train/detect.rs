//! What a detector of attacks is worth: how it ranks, and what it does at a threshold.

use serde::{Deserialize, Serialize};

use super::report::round;

/// How well scores tell attacks from what is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detection {
    /// Attacks.
    pub attacks: usize,
    /// Texts that are none.
    pub benign: usize,
    /// The probability that an attack scores higher than what is none.
    pub auc: f64,
    /// The share of attacks above the score that 1 % of the others reach.
    pub recall_at_1_percent: f64,
    /// The share of attacks with a score of 0.5 or more.
    pub recall: f64,
    /// The share of the others with a score of 0.5 or more.
    pub false_positives: f64,
}

impl Detection {
    /// Of scores, each with whether it is an attack's.
    #[must_use]
    pub fn of(scores: &[(bool, f64)]) -> Self {
        let of = |wanted: bool| -> Vec<f64> { scores.iter().filter(|s| s.0 == wanted).map(|s| s.1).collect() };
        let (attacks, benign) = (of(true), of(false));
        let limit = quantile(&benign, 0.99);
        Self {
            attacks: attacks.len(),
            benign: benign.len(),
            auc: round(auc(scores)),
            recall_at_1_percent: round(share(&attacks, |s| s > limit)),
            recall: round(share(&attacks, |s| s >= 0.5)),
            false_positives: round(share(&benign, |s| s >= 0.5)),
        }
    }
}

fn share(scores: &[f64], hit: impl Fn(f64) -> bool) -> f64 {
    scores.iter().filter(|s| hit(**s)).count() as f64 / scores.len().max(1) as f64
}

/// The value that this share of the values does not exceed; 0 of none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// By the ranks of the attacks; equal scores share theirs.
fn auc(scores: &[(bool, f64)]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (mut below, mut wins, mut attacks) = (0.0_f64, 0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.1.total_cmp(&b.1).is_eq()) {
        let hits = equal.iter().filter(|s| s.0).count() as f64;
        let others = equal.len() as f64 - hits;
        wins += hits * (below + others / 2.0);
        below += others;
        attacks += hits;
    }
    wins / (attacks * below).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_by_hand() {
        let mut scores = vec![(true, 0.9), (true, 0.8), (true, 0.4), (true, 0.1)];
        scores.extend([(false, 0.6), (false, 0.1), (false, 0.2), (false, 0.0)]);
        let found = Detection::of(&scores);
        // Of 16 pairs: 4 + 4 + 3 + 1.5 are in the right order.
        assert!((found.auc - 12.5 / 16.0).abs() < 1e-5);
        assert!((found.recall - 0.5).abs() < 1e-9 && (found.false_positives - 0.25).abs() < 1e-9);
        assert!((found.recall_at_1_percent - 0.5).abs() < 1e-9);
        assert!((quantile(&[3.0, 1.0, 2.0, 4.0], 0.5) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_no_division_by_zero() {
        assert!(Detection::of(&[]).auc.abs() < 1e-9);
    }
}
