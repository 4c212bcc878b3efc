//! Router Memory's ids: `resp_` and `conv_`, each with the conversation's key in front, so that every turn has the first one's.

use std::{fmt, str::FromStr};

use super::IdError;
use crate::affinity::Key;

/// A response that the state service has: `resp_`, then 16 hexadecimal digits each of key, conversation and node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemoryId {
    /// What the conversation is known by.
    pub key: Key,
    /// The conversation, random.
    pub conversation: u64,
    /// The turn in it, random.
    pub node: u64,
}

/// A conversation object: `conv_`, then 16 hexadecimal digits each of key and conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConversationId {
    /// What it is known by.
    pub key: Key,
    /// The conversation, random.
    pub conversation: u64,
}

impl MemoryId {
    /// The id of a turn; conversation and node are random bytes of the host's.
    #[must_use]
    pub const fn mint(key: Key, conversation: u64, node: u64) -> Self {
        Self { key, conversation, node }
    }

    /// The id of the next turn, in the same conversation.
    #[must_use]
    pub const fn next(self, node: u64) -> Self {
        Self { node, ..self }
    }
}

impl ConversationId {
    /// The id of a conversation; `conversation` is random bytes of the host's.
    #[must_use]
    pub const fn mint(key: Key, conversation: u64) -> Self {
        Self { key, conversation }
    }
}

/// The numbers of an id: 16 lower-case hexadecimal digits each, and nothing else.
fn numbers<const N: usize>(id: &str, prefix: &str) -> Result<[u64; N], IdError> {
    let digits = id.strip_prefix(prefix).ok_or(IdError::Unknown)?.as_bytes();
    let (groups, []) = digits.as_chunks::<16>() else { return Err(IdError::Unknown) };
    let groups: &[[u8; 16]; N] = groups.try_into().map_err(|_| IdError::Unknown)?;
    let mut numbers = [0; N];
    for (number, group) in numbers.iter_mut().zip(groups) {
        for digit in group {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(IdError::Unknown),
            };
            *number = *number << 4 | u64::from(value);
        }
    }
    Ok(numbers)
}

impl FromStr for MemoryId {
    type Err = IdError;

    fn from_str(id: &str) -> Result<Self, IdError> {
        let [key, conversation, node] = numbers(id, "resp_")?;
        Ok(Self { key: Key(key), conversation, node })
    }
}

impl FromStr for ConversationId {
    type Err = IdError;

    fn from_str(id: &str) -> Result<Self, IdError> {
        let [key, conversation] = numbers(id, "conv_")?;
        Ok(Self { key: Key(key), conversation })
    }
}

impl fmt::Display for MemoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resp_{:016x}{:016x}{:016x}", self.key.0, self.conversation, self.node)
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conv_{:016x}{:016x}", self.key.0, self.conversation)
    }
}
