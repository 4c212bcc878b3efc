//! Ids that travel: everything that a later turn needs to find its endpoint and its owner stands in the id itself, so that no
//! restart, other worker or changed weight can lose it.
//!
//! Two kinds of response id, which cannot be confused: `resp_` and 48 hexadecimal digits is Router Memory's; `resp_n` (no
//! hexadecimal digit) and base64 is a native backend's id, wrapped.

mod digest;
mod keys;
mod memory;
mod native;
mod owner;

pub use self::{
    digest::Redacting,
    keys::{Keys, KeysError, MIN_SECRET},
    memory::{ConversationId, MemoryId},
    native::{EndpointTag, MAX_UPSTREAM_ID, Native, PoolTag, Wrapping, is_native, unwrap, wrap},
    owner::{Owner, OwnerError},
};

/// Why an id is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It has the shape of no id that is given out here.
    #[error("it is no id that is given out here")]
    Unknown,
    /// It has the shape, but was not given out under these keys, to this owner, as it stands. Clients are told the same as
    /// for an unknown id.
    #[error("it was not given out here to this owner")]
    Forged,
    /// A backend's id that cannot be wrapped.
    #[error("the backend's id must be 1 to {MAX_UPSTREAM_ID} visible ASCII characters and no dot segment")]
    Upstream,
}

/// A response id, of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseId {
    /// The state service has it.
    Memory(MemoryId),
    /// An endpoint has it.
    Native(Native),
}

impl ResponseId {
    /// Reads an id. A native one is checked against the owner; a Router Memory one is not: the state service does that.
    ///
    /// # Errors
    /// [`IdError::Unknown`] by shape, [`IdError::Forged`] by MAC.
    pub fn read(keys: &Keys, owner: &Owner, id: &str) -> Result<Self, IdError> {
        if is_native(id) { unwrap(keys, owner, id).map(Self::Native) } else { id.parse().map(Self::Memory) }
    }

    /// What the conversation is known by.
    #[must_use]
    pub const fn key(&self) -> crate::affinity::Key {
        match self {
            Self::Memory(id) => id.key,
            Self::Native(native) => native.key,
        }
    }
}

#[cfg(test)]
mod tests;
