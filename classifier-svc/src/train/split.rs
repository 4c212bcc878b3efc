//! Train, validation and test parts. Whole topics are held out, because prompts of one topic
//! resemble each other and would flatter the report.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::data::Example;

/// Indexes of examples, each in exactly one part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Fitted on.
    pub train: Vec<usize>,
    /// Chooses the temperature.
    pub validation: Vec<usize>,
    /// Reported on, and used for nothing else.
    pub test: Vec<usize>,
    /// What a reader of the report has to know.
    pub notes: Vec<String>,
}

/// The share of each label's prompts that the test and the validation part get, at least.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// Of the test part.
    pub test: f64,
    /// Of the validation part.
    pub validation: f64,
}

/// Splits by topic within each label, in the order of a hash of seed, label and topic. A prompt
/// without a topic, and every prompt of a label with fewer than `LEAST_TOPICS` topics, is a topic of its own.
#[must_use]
pub fn split(examples: &[Example], seed: u64, shares: Shares) -> Split {
    let mut by_label: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, example) in examples.iter().enumerate() {
        by_label.entry(&example.label).or_default().push(index);
    }
    let mut split = Split::default();
    for (label, members) in by_label {
        let mut groups = by_topic(examples, &members);
        if groups.len() < LEAST_TOPICS {
            split.notes.push(format!(
                "`{label}` has fewer than {LEAST_TOPICS} topics: its prompts were split one by one, which flatters the report"
            ));
            groups = members.iter().map(|&i| (format!("#{i}"), vec![i])).collect();
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_cached_key(|(topic, _)| order(seed, label, topic));
        let total = members.len() as f64;
        let (mut in_test, mut in_validation) = (0, 0);
        for (_, group) in groups {
            if (in_test as f64) < shares.test * total {
                in_test += group.len();
                split.test.extend(group);
            } else if (in_validation as f64) < shares.validation * total {
                in_validation += group.len();
                split.validation.extend(group);
            } else {
                split.train.extend(group);
            }
        }
    }
    for part in [&mut split.train, &mut split.validation, &mut split.test] {
        part.sort_unstable();
    }
    split
}

/// With fewer topics than this, holding whole ones out would leave a part empty or lopsided.
const LEAST_TOPICS: usize = 6;

fn by_topic(examples: &[Example], members: &[usize]) -> BTreeMap<String, Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut topicless = BTreeMap::new();
    for &index in members {
        match examples.get(index).and_then(|e| e.topic.as_ref()) {
            Some(topic) => groups.entry(topic.to_lowercase()).or_default().push(index),
            None => {
                topicless.insert(format!("#{index}"), vec![index]);
            }
        }
    }
    if groups.is_empty() {
        return groups;
    }
    groups.append(&mut topicless);
    groups
}

fn order(seed: u64, label: &str, topic: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(seed.to_le_bytes());
    for part in [label, topic] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::collections::HashSet;

    use super::*;

    const SHARES: Shares = Shares { test: 0.2, validation: 0.2 };

    fn examples(topics: usize, each: usize, named: bool) -> Vec<Example> {
        let labels = ["a", "b"];
        (0..topics * each * labels.len())
            .map(|i| Example {
                text: format!("{i}"),
                label: labels[i % 2].to_owned(),
                topic: named.then(|| format!("t{}", (i / 2) % topics)),
                kind: None,
            })
            .collect()
    }

    #[test]
    fn topics_stay_together_and_every_label_is_everywhere() {
        let examples = examples(20, 5, true);
        let parts = split(&examples, 7, SHARES);
        let all: usize = [&parts.train, &parts.validation, &parts.test].map(Vec::len).iter().sum();
        assert_eq!(all, examples.len());
        assert!(parts.notes.is_empty());
        let keys = |part: &[usize]| -> HashSet<(String, String)> {
            let key = |&i: &usize| (examples[i].label.clone(), examples[i].topic.clone().unwrap());
            part.iter().map(key).collect()
        };
        let (train, validation, test) = (keys(&parts.train), keys(&parts.validation), keys(&parts.test));
        assert!(train.is_disjoint(&test) && train.is_disjoint(&validation) && test.is_disjoint(&validation));
        for part in [train, validation, test] {
            assert_eq!(part.iter().map(|k| &k.0).collect::<HashSet<_>>().len(), 2);
        }
        assert_eq!(parts.test.len(), 40);
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let examples = examples(20, 5, true);
        assert_eq!(split(&examples, 7, SHARES), split(&examples, 7, SHARES));
        assert_ne!(split(&examples, 7, SHARES), split(&examples, 8, SHARES));
    }

    #[test]
    fn without_topics_prompts_are_split_one_by_one_and_the_report_says_so() {
        let parts = split(&examples(10, 5, false), 1, SHARES);
        assert_eq!(parts.test.len(), 20);
        assert_eq!(parts.validation.len(), 20);
        assert_eq!(parts.notes.len(), 2);
    }
}
