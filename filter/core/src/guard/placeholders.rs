//! What stands for a redacted value: `[EMAIL_ADDRESS_1]`, the same for the same value. Numbers go on over the turns of a
//! conversation, and what merely looks like a placeholder in a text never comes to stand for a value.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

/// How many look-alikes are remembered one by one. Beyond, numbers begin behind the highest that was seen.
const REMEMBERED: usize = 1 << 18;

/// A placeholder of an earlier turn. The value itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// For example `[EMAIL_ADDRESS_1]`.
    pub placeholder: String,
    /// A keyed hash of type and value.
    pub digest: [u8; 16],
}

/// The placeholders of one request. Values are held here and nowhere else, and go with it.
#[derive(Debug, Clone, Default)]
pub struct Placeholders {
    /// Those of earlier turns, by digest.
    earlier: HashMap<[u8; 16], String>,
    minted: Vec<Known>,
    /// By type and value: where in `values` it stands.
    assigned: HashMap<(String, String), usize>,
    values: Vec<(String, String)>,
    /// The last number of each type.
    numbers: HashMap<String, u64>,
    taken: Taken,
}

/// Placeholders that may not be made. A hash that stands for two of them costs a number and nothing else.
#[derive(Debug, Clone, Default)]
struct Taken {
    hashes: HashSet<u64>,
    highest: u64,
    is_full: bool,
}

impl Taken {
    fn hash(placeholder: &str) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(placeholder)
    }

    fn insert(&mut self, placeholder: &str, number: u64) {
        self.highest = self.highest.max(number);
        if self.hashes.len() < REMEMBERED {
            self.hashes.insert(Self::hash(placeholder));
        } else {
            self.is_full = true;
        }
    }

    fn contains(&self, placeholder: &str) -> bool {
        self.hashes.contains(&Self::hash(placeholder))
    }
}

impl Placeholders {
    /// Those of earlier turns: the same digest gets the same placeholder, and numbers go on.
    #[must_use]
    pub fn new(known: &[Known]) -> Self {
        let mut placeholders = Self::default();
        for Known { placeholder, digest } in known {
            placeholders.earlier.insert(*digest, placeholder.clone());
            placeholders.reserve(placeholder);
        }
        placeholders
    }

    /// Whatever looks like a placeholder in the text is never made for a value. A placeholder of an earlier turn goes on standing
    /// for its own: in that conversation's texts it is one.
    pub fn reserve(&mut self, text: &str) {
        for (at, _) in text.match_indices('[') {
            let Some((placeholder, number)) = text.get(at..).and_then(leading) else { continue };
            self.taken.insert(placeholder, number);
        }
    }

    /// The placeholder of a value; the same for the same kind and value. The digest finds it among those of earlier turns.
    pub fn assign(&mut self, kind: &str, value: &str, digest: [u8; 16]) -> String {
        let key = (kind.to_owned(), value.to_owned());
        if let Some((placeholder, _)) = self.assigned.get(&key).and_then(|index| self.values.get(*index)) {
            return placeholder.clone();
        }
        let placeholder = match self.earlier.get(&digest) {
            Some(placeholder) => placeholder.clone(),
            None => self.mint(kind, digest),
        };
        self.assigned.insert(key, self.values.len());
        self.values.push((placeholder.clone(), value.to_owned()));
        placeholder
    }

    fn mint(&mut self, kind: &str, digest: [u8; 16]) -> String {
        let floor = if self.taken.is_full { self.taken.highest } else { 0 };
        let last = self.numbers.entry(kind.to_owned()).or_default();
        *last = (*last).max(floor);
        let placeholder = loop {
            *last = last.saturating_add(1);
            let placeholder = format!("[{kind}_{last}]");
            if !self.taken.contains(&placeholder) || *last == u64::MAX {
                break placeholder;
            }
        };
        self.minted.push(Known { placeholder: placeholder.clone(), digest });
        placeholder
    }

    /// Those made now, to be stored with the turn.
    #[must_use]
    pub fn minted(&self) -> Vec<Known> {
        self.minted.clone()
    }

    /// Every placeholder that stands for a value, of earlier turns too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.earlier.values().chain(self.minted.iter().map(|known| &known.placeholder)).map(String::as_str)
    }

    /// Placeholders with their values, as far as this request has them.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(placeholder, value)| (placeholder.as_str(), value.as_str()))
    }
}

/// The placeholder that a text begins with, and its number. Numbers that none of ours can reach are none.
fn leading(text: &str) -> Option<(&str, u64)> {
    let inner = text.strip_prefix('[')?;
    let length = inner.bytes().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_').count();
    let (name, rest) = inner.split_at_checked(length)?;
    let (_, number) = name.rsplit_once('_')?;
    let number = number.parse().ok().filter(|_| rest.starts_with(']'))?;
    Some((text.get(..length + 2)?, number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn the_same_value_has_the_same_placeholder() {
        let mut placeholders = Placeholders::default();
        let mut assign = |kind, value| placeholders.assign(kind, value, [0; 16]);
        assert_eq!(assign("PERSON", "Ada"), "[PERSON_1]");
        assert_eq!(assign("PERSON", "Alan"), "[PERSON_2]");
        assert_eq!(assign("EMAIL_ADDRESS", "Ada"), "[EMAIL_ADDRESS_1]");
        assert_eq!(assign("PERSON", "Ada"), "[PERSON_1]");
        let values: Vec<_> = placeholders.values().collect();
        assert_eq!(values, [("[PERSON_1]", "Ada"), ("[PERSON_2]", "Alan"), ("[EMAIL_ADDRESS_1]", "Ada")]);
        assert_eq!(placeholders.minted().len(), 3);
    }

    #[test]
    fn what_looks_like_one_is_never_made() {
        let mut placeholders = Placeholders::default();
        placeholders.reserve("[PERSON_1][PERSON_3] [PERSON_x] [person_2] [[PERSON_4] [PERSON_05] [PERSON_6");
        let made: Vec<_> = ["a", "b", "c", "d", "e"].map(|value| placeholders.assign("PERSON", value, [0; 16])).into();
        assert_eq!(made, ["[PERSON_2]", "[PERSON_5]", "[PERSON_6]", "[PERSON_7]", "[PERSON_8]"]);
    }

    #[test]
    fn numbers_go_on_over_turns() {
        let mut first = Placeholders::default();
        first.assign("PERSON", "Ada", [1; 16]);
        let mut second = Placeholders::new(&first.minted());
        second.reserve("as [PERSON_1] said");
        assert_eq!(second.assign("PERSON", "Alan", [2; 16]), "[PERSON_2]");
        assert_eq!(second.assign("PERSON", "Ada", [1; 16]), "[PERSON_1]", "its own, although it stands in the text");
        assert_eq!(second.minted(), [Known { placeholder: "[PERSON_2]".to_owned(), digest: [2; 16] }]);
        assert_eq!(second.values().count(), 2);
    }

    #[test]
    fn any_number_of_look_alikes_is_bounded() {
        let mut placeholders = Placeholders::default();
        for number in (0..REMEMBERED + 2).rev() {
            placeholders.reserve(&format!("[PERSON_{number}]"));
        }
        assert_eq!(placeholders.taken.hashes.len(), REMEMBERED);
        assert_eq!(placeholders.assign("PERSON", "a", [0; 16]), format!("[PERSON_{}]", REMEMBERED + 2));
    }
}
