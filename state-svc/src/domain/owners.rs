//! Who asks, also as older keys made them: a conversation goes on under the owner that has it.

use super::{
    Error,
    conversations::Conversations,
    document::HEADER,
    port::{Fields, Key},
};

/// An owner, as of today and as older keys made it.
#[derive(Debug, Clone, Copy)]
pub struct Owners<'a> {
    /// As of today: what begins now belongs to it.
    pub current: &'a str,
    /// As older keys made it, the newest first.
    pub older: &'a [String],
}

impl<'a> From<&'a str> for Owners<'a> {
    fn from(current: &'a str) -> Self {
        Self { current, older: &[] }
    }
}

impl Conversations {
    /// The first of the owners that has the conversation; the current one where none has. Where there is only that one, nothing
    /// is asked of the store.
    ///
    /// # Errors
    /// The store.
    pub async fn owning<'a>(&self, owners: impl Into<Owners<'a>>, conversation: u64) -> Result<&'a str, Error> {
        let owners = owners.into();
        if owners.older.is_empty() {
            return Ok(owners.current);
        }
        let header = Fields::These(vec![HEADER.to_owned()]);
        for owner in std::iter::once(owners.current).chain(owners.older.iter().map(String::as_str)) {
            if self.load(Key::new(owner, conversation), &header).await?.is_some() {
                return Ok(owner);
            }
        }
        Ok(owners.current)
    }
}
