//! What an engine owes: one conversation is one document of named fields, read whole or in part in one round trip, and changed by
//! compare-and-swap on its version. All that a change means is decided in [`super::conversations`], once for every engine.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

/// Where a conversation is: its owner, hashed, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The first 16 bytes of the owner's SHA-256.
    pub owner: [u8; 16],
    /// The number in the ids.
    pub conversation: u64,
}

impl Key {
    /// The place of an owner's conversation.
    #[must_use]
    pub fn new(owner: &str, conversation: u64) -> Self {
        let digest: [u8; 32] = Sha256::digest(owner.as_bytes()).into();
        let mut short = [0; 16];
        short.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { owner: short, conversation }
    }

    /// As bytes that sort by owner.
    #[must_use]
    pub fn bytes(&self) -> [u8; 24] {
        let mut out = [0; 24];
        let from = self.owner.into_iter().chain(self.conversation.to_be_bytes());
        out.iter_mut().zip(from).for_each(|(to, from)| *to = from);
        out
    }

    /// As 48 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        format!("{:032x}{:016x}", u128::from_be_bytes(self.owner), self.conversation)
    }
}

/// Which fields of a document are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// All of them.
    All,
    /// These, as far as they are there.
    These(Vec<String>),
}

/// A document as it stood at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Changes with every change.
    pub version: u64,
    /// When it was last continued, milliseconds since the epoch.
    pub touched: u64,
    /// The fields that were asked for and are there.
    pub fields: BTreeMap<String, Vec<u8>>,
}

/// A change of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Which document.
    pub key: Key,
    /// The version that the change was made for; none where there was no document.
    pub expected: Option<u64>,
    /// The change.
    pub write: Write,
    /// What goes on the way.
    pub retention: Retention,
}

/// What happens to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// It goes.
    Drop,
    /// It is made or changed.
    Update(Update),
}

/// A document's new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Its version from now on.
    pub version: u64,
    /// When it was last continued.
    pub touched: u64,
    /// What it counts against [`Retention::max_weight`].
    pub weight: u64,
    /// Whether the fields that it had go first.
    pub replace: bool,
    /// Fields that are set.
    pub put: Vec<(String, Vec<u8>)>,
    /// Fields that are removed.
    pub remove: Vec<String>,
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Documents last touched then or before have expired.
    pub expired_at: u64,
    /// How long a document lives after it was touched, milliseconds.
    pub ttl: u64,
    /// The weight of all documents together; beyond it the least recently touched go.
    pub max_weight: u64,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the store, and durable where the engine is.
    Committed,
    /// The document has changed meanwhile: nothing was written.
    Conflict,
}

/// What the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Documents.
    pub conversations: u64,
    /// Their weight: responses, where a conversation without any counts as one.
    pub responses: u64,
}

/// Why a store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, has no room, or failed.
    #[error("the {engine} store failed: {message}")]
    Unavailable {
        /// Which engine.
        engine: &'static str,
        /// What it said.
        message: String,
    },
    /// What is stored does not read.
    #[error("conversation {key} is damaged: {message}")]
    Damaged {
        /// Which one.
        key: String,
        /// What does not read.
        message: String,
    },
    /// Others changed the conversation every time we tried to.
    #[error("conversation {0} is being changed by too many at once")]
    Contended(String),
}

/// Where conversations are kept.
#[async_trait]
pub trait ConversationStore: Send + Sync {
    /// One document, in one round trip; none where there is none.
    async fn read(&self, key: Key, fields: &Fields) -> Result<Option<Snapshot>, StoreError>;

    /// Changes one document if its version is still the expected one, and lets go of what has expired or is over the cap.
    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError>;

    /// Lets go of some of what has expired or is over the cap; how many documents went. Zero when there is nothing left.
    async fn trim(&self, retention: Retention) -> Result<u64, StoreError>;

    /// What the store holds.
    async fn totals(&self) -> Result<Totals, StoreError>;
}

/// Documents that go in one step: a bound on how long one commit takes.
pub const TRIM_BATCH: usize = 64;
