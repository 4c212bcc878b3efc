//! The secrets that ids and owners are signed with, and how messages are written for them.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of the shortest secret: 128 bits.
pub const MIN_SECRET: usize = 16;

/// Bytes of a MAC as it travels: half of SHA-256's, which is what RFC 2104 recommends at least.
pub(super) const MAC: usize = 16;

/// HMAC-SHA256 secrets. The first signs; all verify, so that a secret can be changed while old ids are still about.
#[derive(Clone)]
pub struct Keys {
    first: Hmac<Sha256>,
    older: Vec<Hmac<Sha256>>,
}

/// Secrets that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The list is empty.
    #[error("there is no secret; at least one is needed")]
    None,
    /// A secret could be guessed.
    #[error("secret {index} has {bytes} bytes; at least {MIN_SECRET} are needed")]
    Short {
        /// Its place in the list, from 0.
        index: usize,
        /// Its size.
        bytes: usize,
    },
}

/// What a MAC is made for. The label keeps a MAC made for one purpose from passing for another.
pub(super) struct Message<'a> {
    pub label: &'static [u8],
    pub parts: &'a [&'a [u8]],
}

impl Message<'_> {
    fn feed(&self, mac: &Hmac<Sha256>) -> Hmac<Sha256> {
        let mut mac = mac.clone();
        for part in std::iter::once(&self.label).chain(self.parts) {
            // The length in front keeps `ab`,`c` apart from `a`,`bc`.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

impl Keys {
    /// Takes the secrets, the one that signs first.
    ///
    /// # Errors
    /// [`KeysError`] where there is none, or one is shorter than [`MIN_SECRET`].
    pub fn new<S: AsRef<[u8]>>(secrets: &[S]) -> Result<Self, KeysError> {
        let mut macs = Vec::with_capacity(secrets.len());
        for (index, secret) in secrets.iter().map(AsRef::as_ref).enumerate() {
            let short = KeysError::Short { index, bytes: secret.len() };
            if secret.len() < MIN_SECRET {
                return Err(short);
            }
            macs.push(Hmac::new_from_slice(secret).map_err(|_| short)?);
        }
        let mut macs = macs.into_iter();
        let first = macs.next().ok_or(KeysError::None)?;
        Ok(Self { first, older: macs.collect() })
    }

    /// Signs with the first secret.
    pub(super) fn sign(&self, message: &Message<'_>) -> [u8; 32] {
        message.feed(&self.first).finalize().into_bytes().into()
    }

    /// Signs with every secret, the first one's first.
    pub(super) fn sign_all(&self, message: &Message<'_>) -> Vec<[u8; 32]> {
        self.all().map(|mac| message.feed(mac).finalize().into_bytes().into()).collect()
    }

    /// Whether any secret made the MAC; in time that does not depend on where it differs.
    pub(super) fn verify(&self, message: &Message<'_>, mac: &[u8; MAC]) -> bool {
        self.all().any(|key| message.feed(key).verify_truncated_left(mac).is_ok())
    }

    fn all(&self) -> impl Iterator<Item = &Hmac<Sha256>> {
        std::iter::once(&self.first).chain(&self.older)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} secrets)", 1 + self.older.len())
    }
}
