//! How well the patterns find: a generator of labelled texts, hand-written ones, and the count of hits and misses.
//!
//! Rules are written against [`Part::Development`]. [`Part::Test`] has other templates, forms and names, and hand-written
//! texts of its own; they were written after the rules were frozen, and whoever reads their errors to change a rule has to
//! write new ones. A first test part missed the bar, was read and is development now.

mod generate;
mod held_out;
mod templates;
mod values;
mod words;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Entity, Kind};

pub use generate::generate;

/// The hand-written texts of each part, as JSON lines.
const HAND_WRITTEN: [&str; 2] =
    [include_str!("../../../data/pii/eval/patterns.jsonl"), include_str!("../../../data/pii/eval/patterns_test.jsonl")];

/// A part of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What rules are written against.
    Development,
    /// What only the final count reads.
    Test,
}

/// A piece of personal data in a labelled text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// A text with all the personal data in it that has a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The text.
    pub text: String,
    /// What is in it, by place.
    pub entities: Vec<Label>,
}

/// The hand-written texts of `part`.
///
/// # Errors
/// Where a line is no sample: a committed file is damaged.
pub fn hand_written(part: Part) -> Result<Vec<Sample>, serde_json::Error> {
    let [development, test] = HAND_WRITTEN;
    let lines = if part == Part::Test { test } else { development };
    lines.lines().map(serde_json::from_str).collect()
}

/// Hits and misses of one type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Found with the right type and exactly the right bytes.
    pub right: usize,
    /// Found where there is none, or with other bytes.
    pub wrong: usize,
    /// There, but not found so.
    pub missed: usize,
}

impl Count {
    /// Of what was found, the share that is right; 1 where nothing was found.
    pub fn precision(&self) -> f64 {
        share(self.right, self.wrong)
    }

    /// Of what is there, the share that was found; 1 where nothing is there.
    pub fn recall(&self) -> f64 {
        share(self.right, self.missed)
    }
}

fn share(right: usize, other: usize) -> f64 {
    match right + other {
        0 => 1.0,
        all => right as f64 / all as f64,
    }
}

/// Counts by type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Texts read.
    pub texts: usize,
    /// Counts of each type that is there or was found.
    pub by_type: BTreeMap<String, Count>,
}

impl Table {
    /// What `find` gets right and wrong in `samples`. An entity counts only with its type and its exact bytes.
    pub fn of(samples: &[Sample], find: impl Fn(&str) -> Vec<Entity>) -> Self {
        let mut table = Self { texts: samples.len(), by_type: BTreeMap::new() };
        for sample in samples {
            let found = find(&sample.text);
            let is_label = |e: &Entity, l: &Label| e.kind == l.kind && e.range == (l.start..l.end);
            for entity in &found {
                let is_right = sample.entities.iter().any(|label| is_label(entity, label));
                let count = table.count(entity.kind);
                *(if is_right { &mut count.right } else { &mut count.wrong }) += 1;
            }
            for label in &sample.entities {
                if !found.iter().any(|entity| is_label(entity, label)) {
                    table.count(label.kind).missed += 1;
                }
            }
        }
        table
    }

    fn count(&mut self, kind: Kind) -> &mut Count {
        self.by_type.entry(kind.as_str().to_owned()).or_default()
    }

    /// All types together.
    pub fn total(&self) -> Count {
        self.by_type.values().fold(Count::default(), |sum, count| Count {
            right: sum.right + count.right,
            wrong: sum.wrong + count.wrong,
            missed: sum.missed + count.missed,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| Type | Entities | Precision | Recall |\n|---|---|---|---|")?;
        let total = ("all".to_owned(), self.total());
        for (kind, count) in self.by_type.iter().chain([(&total.0, &total.1)]) {
            let (precision, recall) = (count.precision(), count.recall());
            writeln!(f, "| {kind} | {} | {precision:.3} | {recall:.3} |", count.right + count.missed)?;
        }
        Ok(())
    }
}
