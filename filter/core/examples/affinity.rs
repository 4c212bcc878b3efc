//! Prints how conversations spread over endpoints, as Markdown for docs/benchmarks.md:
//! `cargo run --release -p fingerpost-core --example affinity`.

#[path = "../tests/affinity/figures.rs"]
mod figures;

use figures::{KEYS, TURNS, Weights, measure};

fn main() {
    println!("{KEYS} conversations of {TURNS} turns each; the busiest endpoint is the one removed.\n");
    println!(
        "| Endpoints | Weights | Turns on one endpoint | Peak over mean, by weight | Moved by a removal, over ideal | Moved needlessly |"
    );
    println!("|---:|---|---:|---:|---:|---:|");
    for weights in [Weights::Equal, Weights::Mixed] {
        for endpoints in 2..=16 {
            let figures = measure(endpoints, weights);
            let together = 100.0 * figures.together as f64 / KEYS as f64;
            println!(
                "| {endpoints} | {weights} | {together:.2} % | {:.3} | {:.3} | {} |",
                figures.peak_over_mean, figures.moved_to_ideal, figures.moved_needlessly
            );
        }
    }
}
