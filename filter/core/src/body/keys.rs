//! Keys of JSON objects. Backends disagree on which of two equal keys counts, and some fold case (Go's `encoding/json`), so a
//! key that we read must stand once and as spelt: else what was checked would not be what is served.

use std::{borrow::Cow, fmt};

use serde::de;

/// A key or string, borrowed where it has no escapes.
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de> de::Deserialize<'de> for Text<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// The keys of one kind of object that are read.
pub(super) struct Keys {
    names: &'static [&'static str],
    seen: u32,
}

/// A key that makes the object ambiguous.
#[derive(Debug)]
pub(super) enum Ambiguous {
    Twice(&'static str),
    Case { written: String, known: &'static str },
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(name) => write!(f, "the key `{name}` stands twice in one object"),
            Self::Case { written, known } => write!(f, "the key `{written}` differs from `{known}` only in case"),
        }
    }
}

impl Keys {
    pub(super) const fn new(names: &'static [&'static str]) -> Self {
        Self { names, seen: 0 }
    }

    /// Which of the names the key is, if any.
    pub(super) fn check(&mut self, key: &str) -> Result<Option<&'static str>, Ambiguous> {
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
