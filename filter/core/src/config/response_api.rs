//! The Responses API: what is stored, where, for how long, and whose it is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ByteSize, FailurePolicy, Millis, Tls};

/// Stored responses and conversations (the seeds' names, where they name a field).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseApi {
    /// Whether `/v1/responses` and `/v1/conversations` are served.
    pub enabled: bool,
    /// Where conversations are kept.
    pub store_backend: StoreBackend,
    /// The file of the embedded store.
    pub path: PathBuf,
    /// The servers of the Redis store.
    pub redis: Redis,
    /// Seconds that a conversation is kept after its last turn.
    pub ttl_seconds: u64,
    /// Responses kept at most; beyond it the conversations least recently continued go.
    pub max_responses: u64,
    /// Turns of one conversation, at most.
    pub max_turns: u32,
    /// Bytes of one conversation, at most.
    pub max_conversation_bytes: ByteSize,
    /// What happens to an answer that cannot be stored: `closed` withholds it, `open` gives it with `store: false`.
    pub on_save_failure: FailurePolicy,
    /// For how long `instructions` hold.
    pub instructions: Instructions,
}

impl Default for ResponseApi {
    fn default() -> Self {
        Self {
            enabled: true,
            store_backend: StoreBackend::Embedded,
            path: PathBuf::from("fingerpost-state.redb"),
            redis: Redis::default(),
            ttl_seconds: 30 * 24 * 3_600,
            max_responses: 100_000,
            max_turns: 1_000,
            max_conversation_bytes: ByteSize(32 * 1024 * 1024),
            on_save_failure: FailurePolicy::Closed,
            instructions: Instructions::PerRequest,
        }
    }
}

/// Where conversations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreBackend {
    /// A file of the state service's own (redb): durable, one machine.
    Embedded,
    /// Redis or Valkey, shared by any number of state services.
    Redis,
    /// The state service's memory: gone with it.
    Memory,
}

/// Redis or Valkey servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// `redis://host:port/db` or `rediss://...`; several for a cluster. No credentials: they stand in `url_env`.
    pub urls: Vec<String>,
    /// An environment variable with one URL, credentials included, used instead of `urls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_env: Option<String>,
    /// Whether the servers are a Redis Cluster.
    pub cluster: bool,
}

impl Default for Redis {
    fn default() -> Self {
        Self { urls: vec!["redis://127.0.0.1:6379".to_owned()], url_env: None, cluster: false }
    }
}

/// For how long `instructions` hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instructions {
    /// For the request that brings them (OpenAI's rule).
    PerRequest,
    /// For the rest of the conversation; they are listed among its input items.
    Conversation,
}

/// The call to the state service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateCallout {
    /// `host:port` of the state service.
    pub address: String,
    /// The name of the Envoy cluster that reaches it.
    pub cluster: String,
    /// Longest wait for it.
    pub timeout: Millis,
    /// The shared token; needed off loopback unless `tls` is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// TLS to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl Default for StateCallout {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:50052".to_owned(),
            cluster: "fingerpost_state".to_owned(),
            timeout: Millis(2_000),
            token: None,
            tls: None,
        }
    }
}

/// Where a secret is read from. It never stands in the document itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Secret {
    /// An environment variable.
    Env(String),
    /// A file; white space at its ends is no part of the secret.
    File(PathBuf),
}

/// Whose request it is: the first of these that is there; else an HMAC of `Authorization`; else anonymous.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Owner {
    /// A claim of the token that Envoy's jwt_authn filter verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtOwner>,
    /// A header that a filter before this one sets. The rendered Envoy removes it from what clients send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

/// A claim in jwt_authn's dynamic metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtOwner {
    /// The provider's `payload_in_metadata`.
    pub payload: String,
    /// The claim, a string.
    #[serde(default = "sub")]
    pub claim: String,
}

fn sub() -> String {
    "sub".to_owned()
}

/// The environment variable in which the filter finds a secret of `id_keys`: the one named, or for a file the one that whoever
/// runs Envoy sets from it.
#[must_use]
pub fn id_key_variable(index: usize, secret: &Secret) -> String {
    match secret {
        Secret::Env(name) => name.clone(),
        Secret::File(_) => format!("FINGERPOST_ID_KEY_{index}"),
    }
}
