//! JSON objects read by name, their values left as they stand: what we do not interpret (a schema, metadata) comes out with
//! its keys in their order and its numbers as written. A key that we read must stand once and as spelt, at every depth that is
//! read: backends disagree on which of two counts, and some fold case. Keys that nothing here reads are not compared.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::failure;
use crate::error::ApiError;

/// The members of an object in their order.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    path: String,
}

impl<'a> Object<'a> {
    /// Reads an object of which `known` keys are of interest. `path` names it in errors; empty for the body itself.
    pub(super) fn parse(json: &'a str, path: &str, known: &[&'static str]) -> Result<Self, ApiError> {
        let members: Members<'a> =
            serde_json::from_str(json).map_err(|_| failure::invalid_type(path, "an object", json))?;
        let object = Self { members: members.0, path: path.to_owned() };
        object.unambiguous(known)?;
        Ok(object)
    }

    fn unambiguous(&self, known: &[&'static str]) -> Result<(), ApiError> {
        let mut seen = vec![false; known.len()];
        for (key, _) in &self.members {
            let position = known.iter().position(|name| name == key);
            if let Some(seen) = position.and_then(|i| seen.get_mut(i)) {
                if std::mem::replace(seen, true) {
                    return Err(failure::ambiguous(
                        &self.path(key),
                        format!("The key `{key}` stands twice in one object."),
                    ));
                }
            } else if let Some(name) = known.iter().find(|name| folds_to(key, name)) {
                let message = format!("The key `{key}` differs from `{name}` only in case.");
                return Err(failure::ambiguous(&self.path(key), message));
            }
        }
        Ok(())
    }

    /// Every member, as written.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The name of a member in errors.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A value, if it is there and not null.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.members.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        found.filter(|value| value.get() != "null")
    }

    /// A value of the kind that `first` recognises by its first byte.
    fn of_kind(
        &self,
        name: &str,
        expected: &str,
        first: impl Fn(u8) -> bool,
    ) -> Result<Option<&'a RawValue>, ApiError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        match value.get().bytes().next() {
            Some(byte) if first(byte) => Ok(Some(value)),
            _ => Err(failure::invalid_type(&self.path(name), expected, value.get())),
        }
    }

    fn decoded<T: Deserialize<'a>>(&self, name: &str, expected: &str) -> Result<Option<T>, ApiError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let decoded = serde_json::from_str(value.get());
        decoded.map(Some).map_err(|_| failure::invalid_type(&self.path(name), expected, value.get()))
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<String>, ApiError> {
        self.decoded(name, "a string")
    }

    pub(super) fn required_string(&self, name: &str) -> Result<String, ApiError> {
        self.string(name)?.ok_or_else(|| failure::missing(&self.path(name)))
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.decoded(name, "a boolean")
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<u64>, ApiError> {
        self.decoded(name, "an integer that is not negative")
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<&'a RawValue>>, ApiError> {
        self.decoded(name, "an array")
    }

    /// A number as written.
    pub(super) fn number(&self, name: &str) -> Result<Option<Box<RawValue>>, ApiError> {
        Ok(self.of_kind(name, "a number", |byte| byte == b'-' || byte.is_ascii_digit())?.map(ToOwned::to_owned))
    }

    /// A string as written, for what is long and not ours to read.
    pub(super) fn raw_string(&self, name: &str) -> Result<Option<Box<RawValue>>, ApiError> {
        Ok(self.of_kind(name, "a string", |byte| byte == b'"')?.map(ToOwned::to_owned))
    }

    /// An object as written.
    pub(super) fn raw_object(&self, name: &str) -> Result<Option<Box<RawValue>>, ApiError> {
        Ok(self.of_kind(name, "an object", |byte| byte == b'{')?.map(ToOwned::to_owned))
    }

    /// One of a few words.
    pub(super) fn word(&self, name: &str, words: &[&str]) -> Result<Option<String>, ApiError> {
        let Some(word) = self.string(name)? else { return Ok(None) };
        if words.contains(&word.as_str()) {
            return Ok(Some(word));
        }
        Err(failure::invalid_value(&self.path(name), &word, words))
    }

    /// The object with these members set: in their place where they stand, else behind the others.
    pub(super) fn with(&self, changes: &[(&str, &RawValue)]) -> Box<RawValue> {
        let changed = |key: &str| changes.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let kept = self.members().map(|(key, value)| (key, changed(key).unwrap_or(value)));
        let added = changes.iter().filter(|(name, _)| !self.members.iter().any(|(key, _)| key == name));
        let entries: Vec<(&str, &RawValue)> = kept.chain(added.map(|(name, value)| (*name, *value))).collect();
        raw(&Entries(&entries))
    }
}

struct Entries<'a>(&'a [(&'a str, &'a RawValue)]);

impl serde::Serialize for Entries<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Duplicates and all.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Walk)
    }
}

/// An object of these members.
pub(super) fn object<'a>(members: impl Iterator<Item = (&'a str, &'a RawValue)>) -> Box<RawValue> {
    raw(&Entries(&members.collect::<Vec<_>>()))
}

/// Serialises what cannot fail: our own types, strings for keys.
pub(super) fn raw<T: serde::Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| null())
}

/// JSON that stands in our own source.
pub(super) fn literal(json: &'static str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap_or_else(|_| null())
}

/// `null`.
pub(super) fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// The document without white space between its tokens, so that what is copied from it never breaks a line of an SSE frame.
pub(super) fn compact(json: &str) -> Cow<'_, str> {
    if !json.bytes().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return Cow::Borrowed(json);
    }
    let (mut text, mut quoted, mut escaped) = (String::with_capacity(json.len()), false, false);
    for c in json.chars() {
        if !quoted && matches!(c, ' ' | '\n' | '\r' | '\t') {
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        text.push(c);
    }
    Cow::Owned(text)
}

/// Unicode's simple case folding against an ASCII name: `ſ` folds to `s`, the Kelvin sign to `k`.
fn folds_to(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars())
}
