//! What stands for a redacted value: `[EMAIL_ADDRESS_1]`, the same for the same value.

use std::collections::HashSet;

/// A placeholder of an earlier turn. The value itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// For example `[EMAIL_ADDRESS_1]`.
    pub placeholder: String,
    /// A keyed hash of type and value.
    pub digest: [u8; 16],
}

/// The placeholders of one request.
#[derive(Debug, Default)]
pub struct Placeholders {
    known: Vec<Known>,
    minted: Vec<Known>,
    taken: HashSet<String>,
    values: Vec<(String, String)>,
}

impl Placeholders {
    /// Those of earlier turns: the same digest gets the same placeholder, and numbers go on.
    #[must_use]
    pub fn new(known: &[Known]) -> Self {
        let taken = known.iter().map(|known| known.placeholder.clone()).collect();
        Self { known: known.to_vec(), taken, ..Self::default() }
    }

    /// Whatever looks like a placeholder in the text is never given to a value.
    pub fn reserve(&mut self, text: &str) {
        for (start, _) in text.match_indices('[') {
            let rest = text.get(start..).unwrap_or_default();
            let inner = rest.get(1..).unwrap_or_default();
            let end = inner.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
            if let Some(end) = end.filter(|end| inner.get(*end..).is_some_and(|rest| rest.starts_with(']'))) {
                self.taken.insert(rest.get(..end + 2).unwrap_or_default().to_owned());
            }
        }
    }

    /// The placeholder of a value; the same for the same kind and value.
    pub fn assign(&mut self, kind: &str, value: &str, digest: [u8; 16]) -> String {
        let known = self.known.iter().chain(&self.minted).find(|known| known.digest == digest);
        let placeholder = known.map(|known| known.placeholder.clone()).unwrap_or_else(|| self.mint(kind, digest));
        if !self.values.iter().any(|(known, _)| *known == placeholder) {
            self.values.push((placeholder.clone(), value.to_owned()));
        }
        placeholder
    }

    fn mint(&mut self, kind: &str, digest: [u8; 16]) -> String {
        let mut number = 1_u64;
        let placeholder = loop {
            let candidate = format!("[{kind}_{number}]");
            if self.taken.insert(candidate.clone()) {
                break candidate;
            }
            number += 1;
        };
        self.minted.push(Known { placeholder: placeholder.clone(), digest });
        placeholder
    }

    /// Those made now, to be stored with the turn.
    #[must_use]
    pub fn minted(&self) -> Vec<Known> {
        self.minted.clone()
    }

    /// Placeholders with their values, as far as this request has them.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(placeholder, value)| (placeholder.as_str(), value.as_str()))
    }
}
