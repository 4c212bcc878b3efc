//! Affinity keeps its figures: every turn on one endpoint, a removal moves only its own, loads follow weights.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod figures;

use figures::{KEYS, Weights, measure};

fn holds(weights: Weights) {
    for endpoints in 2..=16 {
        let figures = measure(endpoints, weights);
        assert_eq!(figures.together, KEYS, "{endpoints} {weights}: {figures:?}");
        assert_eq!(figures.moved_needlessly, 0, "{endpoints} {weights}: {figures:?}");
        assert!(figures.moved_to_ideal <= 1.05, "{endpoints} {weights}: {figures:?}");
        assert!(figures.peak_over_mean <= 1.05, "{endpoints} {weights}: {figures:?}");
    }
}

#[test]
fn with_equal_weights() {
    holds(Weights::Equal);
}

#[test]
fn with_mixed_weights() {
    holds(Weights::Mixed);
}
