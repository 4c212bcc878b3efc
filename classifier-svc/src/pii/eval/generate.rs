//! Labelled texts from templates and values.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{
    Label, Part, Sample,
    held_out::TEST,
    values,
    words::{DEVELOPMENT, Words},
};

/// `count` texts of `part`, the same for the same seed: of three sentences one or two hold personal data.
pub fn generate(part: Part, seed: u64, count: usize) -> Vec<Sample> {
    let mut rng = StdRng::seed_from_u64(seed ^ if part == Part::Test { 0x7e57 } else { 0 });
    let words = if part == Part::Test { &TEST } else { &DEVELOPMENT };
    (0..count).map(|_| sample(words, &mut rng)).collect()
}

fn sample(words: &Words, rng: &mut StdRng) -> Sample {
    let mut sample = Sample { text: String::new(), entities: Vec::new() };
    for _ in 0..rng.random_range(1..=3) {
        if !sample.text.is_empty() {
            sample.text.push_str([" ", "\n", "\n\n"].choose(rng).copied().unwrap_or(" "));
        }
        if rng.random_bool(0.55) {
            positive(words, rng, &mut sample);
        } else {
            negative(words, rng, &mut sample);
        }
        // Two sentences on a line need their end.
        if !sample.text.ends_with(['.', '!', '?', ';']) {
            sample.text.push_str([".", "\n", " -"].choose(rng).copied().unwrap_or("."));
        }
    }
    sample
}

fn positive(words: &Words, rng: &mut StdRng, sample: &mut Sample) {
    let Some((kind, templates)) = words.positive.choose(rng) else { return };
    let template = pick(templates, rng);
    let value = values::of(*kind, words, template, rng);
    let Some((head, tail)) = split(template) else { return };
    sample.text.push_str(head);
    let start = sample.text.len();
    sample.text.push_str(&value);
    sample.entities.push(Label { kind: *kind, start, end: sample.text.len() });
    sample.text.push_str(tail);
}

fn negative(words: &Words, rng: &mut StdRng, sample: &mut Sample) {
    let Some((lure, templates)) = words.negative.choose(rng) else { return };
    let mut rest = pick(templates, rng);
    while let Some((head, tail)) = split(rest) {
        sample.text.push_str(head);
        sample.text.push_str(&values::lure(*lure, rng));
        rest = tail;
    }
    sample.text.push_str(rest);
}

/// The text before and after the first hole.
fn split(template: &str) -> Option<(&str, &str)> {
    template.split_once("{}")
}

/// One of `all`.
pub(super) fn pick<'a>(all: &[&'a str], rng: &mut StdRng) -> &'a str {
    all.choose(rng).copied().unwrap_or_default()
}
