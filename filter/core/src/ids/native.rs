//! A native backend's id, wrapped: where the response is, what its conversation is known by, and a MAC that binds both and the
//! owner to it. A follow-up finds its endpoint by this alone, with nothing stored.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    IdError,
    keys::{Keys, MAC, Message},
    owner::Owner,
};
use crate::affinity::{Key, tag};

const PREFIX: &str = "resp_n";
const LABEL: &[u8] = b"fingerpost native id v1";
const VERSION: u8 = 1;

/// Bytes in front of the MAC: version, pool, endpoint, key.
const HEAD: usize = 1 + 4 + 8 + 8;

/// Bytes of the longest id of a backend that is wrapped.
pub const MAX_UPSTREAM_ID: usize = 512;

/// Characters of the longest wrapped id.
const MAX_WRAPPED: usize = PREFIX.len() + (HEAD + MAC + MAX_UPSTREAM_ID).div_ceil(3) * 4;

/// A pool of models that share their state, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolTag(u32);

/// An endpoint, by its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointTag(u64);

impl PoolTag {
    /// The tag of a pool's name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self((tag(name) >> 32) as u32)
    }
}

impl EndpointTag {
    /// The tag of an endpoint's name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(tag(name))
    }
}

/// What a wrapped id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native {
    /// The pool of models that can go on with it.
    pub pool: PoolTag,
    /// The endpoint that served it.
    pub endpoint: EndpointTag,
    /// What the conversation is known by.
    pub key: Key,
    /// The backend's own id.
    pub upstream_id: String,
}

impl Native {
    fn head(&self) -> Vec<u8> {
        let mut head = vec![VERSION];
        head.extend(self.pool.0.to_be_bytes());
        head.extend(self.endpoint.0.to_be_bytes());
        head.extend(self.key.0.to_be_bytes());
        head
    }
}

/// Wraps the ids of one response: all but the backend's id is known once the endpoint is.
#[derive(Debug, Clone, Copy)]
pub struct Wrapping<'a> {
    /// Signs.
    pub keys: &'a Keys,
    /// Whose response it is.
    pub owner: &'a Owner,
    /// The pool of the model that serves.
    pub pool: PoolTag,
    /// The endpoint that serves.
    pub endpoint: EndpointTag,
    /// What the conversation is known by.
    pub key: Key,
}

impl Wrapping<'_> {
    /// The id that the client gets for the backend's.
    ///
    /// # Errors
    /// As [`wrap`].
    pub fn wrap(&self, upstream_id: &str) -> Result<String, IdError> {
        let Self { keys, owner, pool, endpoint, key } = *self;
        wrap(keys, owner, &Native { pool, endpoint, key, upstream_id: upstream_id.to_owned() })
    }
}

/// Whether an id has the shape of a wrapped one.
#[must_use]
pub fn is_native(id: &str) -> bool {
    id.starts_with(PREFIX)
}

/// Wraps a backend's id.
///
/// # Errors
/// [`IdError::Upstream`] for an id that could not stand in a path.
pub fn wrap(keys: &Keys, owner: &Owner, native: &Native) -> Result<String, IdError> {
    let id = native.upstream_id.as_bytes();
    if !is_upstream_id(id) {
        return Err(IdError::Upstream);
    }
    let head = native.head();
    let mac = keys.sign(&message(&[&head, id, owner.as_str().as_bytes()]));
    let mut bytes = head;
    bytes.extend(mac.iter().take(MAC));
    bytes.extend_from_slice(id);
    let mut wrapped = PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(bytes, &mut wrapped);
    Ok(wrapped)
}

/// Unwraps an id that [`wrap`] gave, for the owner that it was given to.
///
/// # Errors
/// [`IdError::Unknown`] for any other shape or version, [`IdError::Forged`] where the MAC does not hold.
pub fn unwrap(keys: &Keys, owner: &Owner, id: &str) -> Result<Native, IdError> {
    let text = id.strip_prefix(PREFIX).filter(|_| id.len() <= MAX_WRAPPED).ok_or(IdError::Unknown)?;
    // The engine refuses padding and trailing bits: one id has one spelling.
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| IdError::Unknown)?;
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(IdError::Unknown)?;
    let (mac, upstream) = rest.split_first_chunk::<MAC>().ok_or(IdError::Unknown)?;
    let (version, pool, endpoint, key) = fields(head).ok_or(IdError::Unknown)?;
    if version != VERSION || !is_upstream_id(upstream) {
        return Err(IdError::Unknown);
    }
    if !keys.verify(&message(&[head, upstream, owner.as_str().as_bytes()]), mac) {
        return Err(IdError::Forged);
    }
    let upstream_id = String::from_utf8(upstream.to_vec()).map_err(|_| IdError::Unknown)?;
    Ok(Native { pool, endpoint, key, upstream_id })
}

const fn message<'a>(parts: &'a [&'a [u8]; 3]) -> Message<'a> {
    Message { label: LABEL, parts }
}

fn fields(head: &[u8; HEAD]) -> Option<(u8, PoolTag, EndpointTag, Key)> {
    let (version, rest) = head.split_first()?;
    let (pool, rest) = rest.split_first_chunk()?;
    let (endpoint, key) = rest.split_first_chunk()?;
    let key = u64::from_be_bytes(key.try_into().ok()?);
    Some((*version, PoolTag(u32::from_be_bytes(*pool)), EndpointTag(u64::from_be_bytes(*endpoint)), Key(key)))
}

/// Visible ASCII, and no segment that a path would lose.
fn is_upstream_id(id: &[u8]) -> bool {
    (1..=MAX_UPSTREAM_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic) && id != b"." && id != b".."
}
