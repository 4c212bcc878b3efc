//! Ids. Every one of ours says which conversation holds what it names, so that nothing needs an index of ids.
//!
//! `resp_` key hash, conversation, node; `conv_` key hash, conversation; `PREFIX_` conversation, node, ordinal. Each part is 16
//! lower-case hexadecimal digits, the ordinal four.

use std::fmt;

/// A text that is no id of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct IdError {
    /// What was given.
    pub text: String,
    /// What was expected.
    pub what: &'static str,
}

/// Reads exactly `N` groups of 16 lower-case hexadecimal digits.
fn groups<const N: usize>(digits: &str) -> Option<[u64; N]> {
    if digits.len() != 16 * N || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut out = [0; N];
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = u64::from_str_radix(digits.get(16 * i..16 * (i + 1))?, 16).ok()?;
    }
    Some(out)
}

/// The id of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseId {
    text: String,
    /// The conversation that holds it.
    pub conversation: u64,
    /// The turn within it.
    pub node: u64,
}

impl ResponseId {
    /// Reads an id.
    ///
    /// # Errors
    /// [`IdError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let error = || IdError { text: text.to_owned(), what: "the id of a stored response" };
        let [_, conversation, node] = text.strip_prefix("resp_").and_then(groups).ok_or_else(error)?;
        Ok(Self { text: text.to_owned(), conversation, node })
    }

    /// The id as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The id of a conversation object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationId {
    text: String,
    /// The conversation that it is.
    pub conversation: u64,
}

impl ConversationId {
    /// Reads an id.
    ///
    /// # Errors
    /// [`IdError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let error = || IdError { text: text.to_owned(), what: "the id of a stored conversation" };
        let [_, conversation] = text.strip_prefix("conv_").and_then(groups).ok_or_else(error)?;
        Ok(Self { text: text.to_owned(), conversation })
    }

    /// An id that nobody has.
    #[must_use]
    pub fn mint() -> Self {
        let (key, conversation) = (rand::random::<u64>(), rand::random::<u64>());
        Self { text: format!("conv_{key:016x}{conversation:016x}"), conversation }
    }

    /// The id as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where an item that we named is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemPlace {
    /// The conversation that holds it.
    pub conversation: u64,
    /// The turn, or the batch in which it was appended.
    pub node: u64,
    /// Its place in there.
    pub ordinal: u16,
}

impl ItemPlace {
    /// Reads an id; none where it is not one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (_, digits) = text.split_once('_')?;
        let (front, ordinal) = digits.split_at_checked(32)?;
        let [conversation, node] = groups(front)?;
        if ordinal.len() != 4 || !ordinal.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        Some(Self { conversation, node, ordinal: u16::from_str_radix(ordinal, 16).ok()? })
    }

    /// The id with a prefix such as `msg`.
    #[must_use]
    pub fn id(self, prefix: &str) -> String {
        format!("{prefix}_{:016x}{:016x}{:04x}", self.conversation, self.node, self.ordinal)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_come_back_as_they_went(key: u64, conversation: u64, node: u64, ordinal: u16) {
            let text = format!("resp_{key:016x}{conversation:016x}{node:016x}");
            let id = ResponseId::parse(&text).unwrap();
            prop_assert_eq!((id.as_str(), id.conversation, id.node), (text.as_str(), conversation, node));
            let place = ItemPlace { conversation, node, ordinal };
            prop_assert_eq!(ItemPlace::parse(&place.id("msg")), Some(place));
        }

        #[test]
        fn no_text_upsets_the_reader(text in ".{0,80}") {
            prop_assert!(ResponseId::parse(&text).is_err());
            prop_assert!(ConversationId::parse(&text).is_err());
            prop_assert_eq!(ItemPlace::parse(&text), None);
        }
    }

    #[test]
    fn near_misses_are_refused() {
        let good = format!("resp_{}", "0123456789abcdef".repeat(3));
        assert!(ResponseId::parse(&good).is_ok());
        for bad in [good.to_uppercase(), format!("{good}0"), good.replace("resp", "conv"), good.replace('f', "g")] {
            assert!(ResponseId::parse(&bad).is_err(), "{bad}");
        }
        assert!(ResponseId::parse(&format!("resp_{}é", "0".repeat(46))).is_err());
    }
}
