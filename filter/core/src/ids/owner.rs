//! Whose request it is. Every source has its own namespace: what a header says can never be taken for what a token says.

use std::fmt::{self, Write as _};

use super::keys::{Keys, Message};

const LABEL: &[u8] = b"fingerpost owner v1";

/// An owner (tenant), as ids are bound to it and the state service stores it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner(String);

/// A value that names nobody. It must not become an owner: all who send it would share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// Nothing stands there.
    #[error("it is empty")]
    Empty,
    /// It cannot be kept as text without loss.
    #[error("it is not UTF-8")]
    NotUtf8,
}

impl Owner {
    /// By a claim of a verified token.
    ///
    /// # Errors
    /// [`OwnerError::Empty`].
    pub fn jwt(claim: &str) -> Result<Self, OwnerError> {
        Self::named("jwt", claim)
    }

    /// By the configured header.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn header(value: &[u8]) -> Result<Self, OwnerError> {
        Self::named("header", std::str::from_utf8(value).map_err(|_| OwnerError::NotUtf8)?)
    }

    /// By the value of `Authorization`, of which nothing can be learned from the owner.
    #[must_use]
    pub fn authorization(keys: &Keys, value: &[u8]) -> Self {
        Self::hashed(keys.sign(&Message { label: LABEL, parts: &[value] }))
    }

    /// As [`Owner::authorization`], and then what it was under each older secret: whoever holds the credential owns what was
    /// given out before the secrets were rotated.
    #[must_use]
    pub fn authorizations(keys: &Keys, value: &[u8]) -> Vec<Self> {
        keys.sign_all(&Message { label: LABEL, parts: &[value] }).into_iter().map(Self::hashed).collect()
    }

    /// Everybody who says nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        Self("anonymous".to_owned())
    }

    /// The owner, namespace included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn named(namespace: &str, value: &str) -> Result<Self, OwnerError> {
        if value.is_empty() { Err(OwnerError::Empty) } else { Ok(Self(format!("{namespace}:{value}"))) }
    }

    fn hashed(hash: [u8; 32]) -> Self {
        let mut owner = "auth:".to_owned();
        for byte in hash {
            // Writing to a string cannot fail.
            let _ = write!(owner, "{byte:02x}");
        }
        Self(owner)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
