//! The committed word lists and templates, and their split: what the test part uses, training never saw.

use sha2::{Digest, Sha256};

use crate::encoder::hex;

/// The lists' texts, built in: the generator needs no file at run time.
const SOURCES: [&str; 5] = [
    include_str!("../../../data/names/people.txt"),
    include_str!("../../../data/names/organisations.txt"),
    include_str!("../../../data/names/places.txt"),
    include_str!("../../../data/names/fillers.txt"),
    include_str!("../../../data/names/templates.txt"),
];

/// A part of the data. Names and templates belong to exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Fitted on.
    Train,
    /// Chooses the temperature.
    Validation,
    /// Reported on, and used for nothing else.
    Test,
}

/// The given and family names of one culture.
#[derive(Debug, Clone)]
pub struct Culture {
    /// Its heading in the list.
    pub name: String,
    /// Given names.
    pub given: Vec<String>,
    /// Family names.
    pub family: Vec<String>,
    /// Whether the family name is written first.
    pub family_first: bool,
}

/// A text with slots such as `[P]`.
#[derive(Debug, Clone)]
pub struct Template {
    /// What kind of text it is.
    pub kind: String,
    /// The text; `\n` in the file is a line break here.
    pub text: String,
}

/// Everything that one part of the data is made from.
#[derive(Debug, Clone)]
pub struct Lists {
    /// Names of persons.
    pub cultures: Vec<Culture>,
    /// Public and fictional persons, as they are known.
    pub known_people: Vec<String>,
    organisations: Vec<(String, Vec<String>)>,
    places: Vec<(String, Vec<String>)>,
    fillers: Vec<(String, Vec<String>)>,
    /// Texts with slots, and texts without.
    pub templates: Vec<Template>,
}

impl Lists {
    /// The share of the lists that belongs to this part.
    #[must_use]
    pub fn of(part: Part) -> Self {
        let [people, organisations, places, fillers, templates] = SOURCES;
        let mut cultures = Vec::new();
        let mut known_people = Vec::new();
        for (name, lines) in sections(people) {
            let list = |key: &str| {
                let line = lines.iter().find_map(|line| line.strip_prefix(key));
                share(words(line.unwrap_or_default()), part)
            };
            if name == "known" {
                known_people = share(lines.iter().flat_map(|line| words(line)).collect(), part);
            } else {
                let family_first = lines.contains(&"family first");
                cultures.push(Culture { given: list("given:"), family: list("family:"), family_first, name });
            }
        }
        let named = |source: &str| -> Vec<(String, Vec<String>)> {
            let all = |lines: Vec<&str>| lines.into_iter().flat_map(words).collect();
            sections(source).into_iter().map(|(name, lines)| (name, share(all(lines), part))).collect()
        };
        let templates = sections(templates)
            .into_iter()
            .flat_map(|(kind, lines)| {
                let lines = share(lines.into_iter().map(str::to_owned).collect(), part);
                lines.into_iter().map(move |line| Template { kind: kind.clone(), text: line.replace("\\n", "\n") })
            })
            .collect();
        let (organisations, places, fillers) = (named(organisations), named(places), named(fillers));
        Self { cultures, known_people, organisations, places, fillers, templates }
    }

    /// A list of parts of organisations' names; empty where there is none of this name.
    #[must_use]
    pub fn organisations(&self, name: &str) -> &[String] {
        find(&self.organisations, name)
    }

    /// A list of places.
    #[must_use]
    pub fn places(&self, name: &str) -> &[String] {
        find(&self.places, name)
    }

    /// A list of words that are no names.
    #[must_use]
    pub fn fillers(&self, name: &str) -> &[String] {
        find(&self.fillers, name)
    }

    /// Whether any list of names has this word, in any case.
    #[must_use]
    pub fn names(&self) -> std::collections::HashSet<String> {
        let people = self.cultures.iter().flat_map(|c| c.given.iter().chain(&c.family)).chain(&self.known_people);
        let others = self.organisations.iter().chain(&self.places).flat_map(|(_, list)| list);
        people.chain(others).flat_map(|name| name.split([' ', '-'])).map(str::to_lowercase).collect()
    }
}

/// SHA-256 of all lists.
#[must_use]
pub fn digest() -> String {
    let mut digest = Sha256::new();
    for source in SOURCES {
        digest.update(source.len().to_le_bytes());
        digest.update(source);
    }
    hex(&digest.finalize())
}

fn find<'a>(lists: &'a [(String, Vec<String>)], name: &str) -> &'a [String] {
    lists.iter().find(|list| list.0 == name).map_or(&[], |list| &list.1)
}

/// `[name]` headings and the lines below each; `#` starts a comment line.
fn sections(source: &str) -> Vec<(String, Vec<&str>)> {
    let mut sections: Vec<(String, Vec<&str>)> = Vec::new();
    for line in source.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let heading = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]"));
        match (heading, sections.last_mut()) {
            (Some(name), _) => sections.push((name.to_owned(), Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    sections
}

/// Comma-separated words.
fn words(line: &str) -> Vec<String> {
    line.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A seventh of a list (two at least) is for testing and a tenth (one at least) for validation, by hash. A list of
/// fewer than eight belongs to every part: its words are too common to be held out.
fn share(mut list: Vec<String>, part: Part) -> Vec<String> {
    if list.len() < 8 {
        return list;
    }
    list.sort_by_cached_key(|word| Sha256::digest(word).to_vec());
    list.dedup();
    let test = (list.len() / 7).max(2);
    let validation = (list.len() / 10).max(1);
    match part {
        Part::Test => list.drain(..test).collect(),
        Part::Validation => list.drain(test..test + validation).collect(),
        Part::Train => list.split_off(test + validation),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn parts_share_no_name_and_no_template() {
        let [train, validation, test] = [Part::Train, Part::Validation, Part::Test].map(Lists::of);
        assert!(train.cultures.len() >= 15);
        for pair in [[&train, &validation], [&train, &test], [&validation, &test]] {
            let [a, b] = pair.map(|lists| lists.templates.iter().map(|t| &t.text).collect::<HashSet<_>>());
            assert!(a.is_disjoint(&b));
            for (x, y) in pair[0].cultures.iter().zip(&pair[1].cultures) {
                assert_eq!(x.name, y.name);
                for (x, y) in [(&x.given, &y.given), (&x.family, &y.family)] {
                    assert!(!x.is_empty() && !y.is_empty());
                    assert!(x.iter().collect::<HashSet<_>>().is_disjoint(&y.iter().collect()));
                }
            }
        }
        assert!(test.templates.len() > 50, "{}", test.templates.len());
    }
}
