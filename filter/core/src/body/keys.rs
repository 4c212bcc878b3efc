//! Keys of JSON objects. Backends disagree on which of two equal keys counts, and some fold case (Go's `encoding/json`), so a
//! key that we read must stand once and as spelt: else what was checked would not be what is served.

use std::borrow::Cow;

use super::json::Raw;

/// The keys of one kind of object that are read.
pub(crate) struct Keys {
    names: &'static [&'static str],
    seen: u32,
}

/// A key that makes the object ambiguous.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ambiguous {
    #[error("the key `{0}` stands twice in one object")]
    Twice(&'static str),
    #[error("the key `{written}` differs from `{known}` only in case")]
    Case { written: String, known: &'static str },
}

impl Keys {
    pub(crate) const fn new(names: &'static [&'static str]) -> Self {
        Self { names, seen: 0 }
    }

    /// Which of the names the key is, if any.
    pub(crate) fn check(&mut self, key: Raw<'_>) -> Result<Option<&'static str>, Ambiguous> {
        if !key.escaped {
            return self.check_text(key.inner());
        }
        // A key that cannot be decoded (a lone surrogate) is none of ours.
        decode(key).map_or(Ok(None), |key| self.check_text(&key))
    }

    fn check_text(&mut self, key: &str) -> Result<Option<&'static str>, Ambiguous> {
        // Folding keeps the length of ASCII keys: one of no name's length is none of ours, and most are.
        if key.is_ascii() && self.names.iter().all(|name| name.len() != key.len()) {
            return Ok(None);
        }
        for (i, name) in self.names.iter().enumerate() {
            if *name == key {
                let bit = 1 << i;
                if self.seen & bit != 0 {
                    return Err(Ambiguous::Twice(name));
                }
                self.seen |= bit;
                return Ok(Some(name));
            }
        }
        let variant = self.names.iter().find(|name| folds_to(key, name));
        variant.map_or(Ok(None), |known| Err(Ambiguous::Case { written: key.to_owned(), known }))
    }
}

/// The string that stands there; none where an escape is a lone surrogate.
pub(crate) fn decode(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    if raw.escaped { serde_json::from_str(raw.json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(raw.inner())) }
}

/// Unicode's simple case folding against an ASCII name: `ſ` folds to `s`, the Kelvin sign to `k`.
fn folds_to(key: &str, name: &str) -> bool {
    if key.is_ascii() {
        return key.eq_ignore_ascii_case(name);
    }
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars())
}
