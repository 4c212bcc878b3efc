//! Labelled texts from templates and values.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{
    Label, Part, Sample,
    templates::{NEGATIVE, POSITIVE},
    values,
};

/// Every how many templates or names one is for the test.
pub(super) const FOLD: usize = 3;

/// `count` texts of `part`, the same for the same seed: of three sentences one or two hold personal data.
pub fn generate(part: Part, seed: u64, count: usize) -> Vec<Sample> {
    let mut rng = StdRng::seed_from_u64(seed ^ if part == Part::Test { 0x7e57 } else { 0 });
    (0..count).map(|_| sample(part, &mut rng)).collect()
}

fn sample(part: Part, rng: &mut StdRng) -> Sample {
    let mut sample = Sample { text: String::new(), entities: Vec::new() };
    for _ in 0..rng.random_range(1..=3) {
        if !sample.text.is_empty() {
            sample.text.push_str([" ", "\n", "\n\n"].choose(rng).copied().unwrap_or(" "));
        }
        if rng.random_bool(0.55) {
            positive(part, rng, &mut sample);
        } else {
            negative(part, rng, &mut sample);
        }
        // Two sentences on a line need their end.
        if !sample.text.ends_with(['.', '!', '?', ';']) {
            sample.text.push_str([".", "\n", " -"].choose(rng).copied().unwrap_or("."));
        }
    }
    sample
}

fn positive(part: Part, rng: &mut StdRng, sample: &mut Sample) {
    let Some((kind, templates)) = POSITIVE.choose(rng) else { return };
    let template = pick(part, templates, rng);
    let value = values::of(*kind, part, template, rng);
    let Some((head, tail)) = split(template) else { return };
    sample.text.push_str(head);
    let start = sample.text.len();
    sample.text.push_str(&value);
    sample.entities.push(Label { kind: *kind, start, end: sample.text.len() });
    sample.text.push_str(tail);
}

fn negative(part: Part, rng: &mut StdRng, sample: &mut Sample) {
    let Some((lure, templates)) = NEGATIVE.choose(rng) else { return };
    let mut rest = pick(part, templates, rng);
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

/// One of the names or templates of `part`.
pub(super) fn pick<'a>(part: Part, all: &[&'a str], rng: &mut StdRng) -> &'a str {
    let is_of = |index: usize| (index % FOLD == FOLD - 1) == (part == Part::Test);
    let own: Vec<&str> = all.iter().enumerate().filter(|(index, _)| is_of(*index)).map(|(_, name)| *name).collect();
    own.choose(rng).copied().unwrap_or_default()
}
