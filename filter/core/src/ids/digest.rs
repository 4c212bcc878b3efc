//! What a redacted value is known by in later turns: nothing that the value can be guessed from without the secret.

use super::keys::{Keys, MAC, Message};

const LABEL: &[u8] = b"fingerpost redaction v1";

/// Whose value it is. The same value has another digest elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Redacting<'a> {
    /// The owner.
    pub owner: &'a str,
    /// The conversation.
    pub conversation: u64,
}

impl Redacting<'_> {
    /// The digest of a value of that type.
    #[must_use]
    pub fn digest(self, keys: &Keys, kind: &str, value: &str) -> [u8; MAC] {
        let conversation = self.conversation.to_be_bytes();
        let parts = [self.owner.as_bytes(), &conversation, kind.as_bytes(), value.as_bytes()];
        let mac = keys.sign(&Message { label: LABEL, parts: &parts });
        mac.first_chunk().copied().unwrap_or_default()
    }
}
