//! Conversations as such: what a turn is, what deletes, expires and is refused. Stores stand behind [`port::ConversationStore`], time
//! behind [`clock::Clock`].

mod change;
pub mod clock;
pub mod conversations;
pub mod document;
pub mod ids;
mod objects;
mod owners;
pub mod port;

pub use self::{
    conversations::{Continued, Conversations, Limits, Save},
    document::{Item, Object, Redaction, Turn},
    owners::Owners,
    port::StoreError,
};

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such response, for this owner.
    #[error("Response with id '{0}' not found.")]
    ResponseNotFound(String),
    /// No such conversation object, for this owner.
    #[error("Conversation with id '{0}' not found.")]
    ConversationNotFound(String),
    /// No such item, for this owner.
    #[error("Item with id '{0}' not found.")]
    ItemNotFound(String),
    /// A cap is reached.
    #[error("this conversation has reached {cap}, which is {value}: start a new one, or delete responses of this one")]
    Limit {
        /// The configuration's field.
        cap: &'static str,
        /// Its value.
        value: u64,
    },
    /// An item is there already.
    #[error("an item with id '{0}' is in this conversation already")]
    DuplicateItem(String),
    /// Another response has this id.
    #[error("another response is stored as '{0}'")]
    Exists(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ids::IdError> for Error {
    fn from(error: ids::IdError) -> Self {
        Self::Invalid(error.to_string())
    }
}
