//! A model and how its backends are reached.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::units::Millis;
use crate::{
    affinity::tag,
    responses::chat_request::{DeveloperRole, MaxTokensField, ReasoningHistory},
};

/// One model that clients can name and decisions can choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Unique name, as clients and decisions spell it.
    pub name: String,
    /// The name that the backend knows it by; `name` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_name: Option<String>,
    /// What the backend speaks.
    #[serde(default)]
    pub api: Api,
    /// Other names under which clients may ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The instances that serve it, interchangeable.
    pub endpoints: Vec<Endpoint>,
    /// What stands before `/chat/completions` at the backend.
    #[serde(default = "defaults::path_prefix")]
    pub path_prefix: String,
    /// The `Host` that the backend gets; where absent, the client's for addresses and the endpoint's own for host names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// TLS to the backend; plain text where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The credentials that the backend gets.
    #[serde(default)]
    pub auth: Auth,
    /// Longest wait for a connection to one endpoint.
    #[serde(default = "defaults::connect_timeout")]
    pub connect_timeout: Millis,
    /// Longest wait between bytes of an answer; a long stream that flows is not cut.
    #[serde(default = "defaults::idle_timeout")]
    pub idle_timeout: Millis,
    /// When another endpoint is tried.
    #[serde(default)]
    pub retry: Retry,
    /// The models whose backends share their stored responses with this one's, under a common name; alone where absent. For
    /// `api: responses`. Their endpoints have the same names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_pool: Option<String>,
    /// Whether conversations with a backend that speaks Responses are kept here and replayed, instead of there.
    #[serde(default)]
    pub memory: bool,
    /// How a chat backend is asked for a response.
    #[serde(default)]
    pub options: ModelOptions,
}

/// How a backend that speaks only Chat Completions is asked for a response.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOptions {
    /// What it calls the limit on output tokens.
    pub max_tokens_field: MaxTokensField,
    /// What becomes of messages in the developer's role.
    pub developer_role: DeveloperRole,
    /// What becomes of the reasoning of a turn that is still going on.
    pub reasoning_history: ReasoningHistory,
    /// The path of the backend's tokenizer (vLLM: `/tokenize`), for `POST /v1/responses/input_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer_path: Option<String>,
}

impl Model {
    /// The name that the backend knows it by.
    #[must_use]
    pub fn upstream_name(&self) -> &str {
        self.upstream_name.as_deref().unwrap_or(&self.name)
    }

    /// The name under which its backends' stored responses are known.
    #[must_use]
    pub fn state_pool(&self) -> &str {
        self.state_pool.as_deref().unwrap_or(&self.name)
    }

    /// Whether its backends keep the conversations: a turn goes back to the endpoint that has the one before.
    #[must_use]
    pub fn keeps_responses(&self) -> bool {
        self.api == Api::Responses && !self.memory
    }

    /// The cluster that holds this endpoint alone: what an instance stores, no other one can answer for.
    #[must_use]
    pub fn pinned_cluster(&self, endpoint: &Endpoint) -> String {
        format!("fingerpost_pinned_{:016x}", tag(&format!("{}\n{}", self.name, endpoint.name())))
    }

    /// Whether every endpoint is an address, so that Envoy can be handed an ordered list of them.
    #[must_use]
    pub fn is_addressed(&self) -> bool {
        self.endpoints.iter().all(|e| matches!(e.address, Target::Address(_)))
    }
}

/// What a backend speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI's Chat Completions API.
    #[default]
    ChatCompletions,
    /// OpenAI's Responses API as well.
    Responses,
}

/// One instance of a backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Unique in its model, kept when the address changes: affinity hashes it. The address where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `ip:port` or `host:port`.
    pub address: Target,
    /// Share of the conversations, relative to the other endpoints: 1 to 1000.
    #[serde(default = "defaults::weight")]
    pub weight: u32,
}

impl Endpoint {
    /// The name shown in headers and hashed by affinity.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.to_string())
    }
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// An IP address and port.
    Address(SocketAddr),
    /// A DNS name and port, resolved by Envoy.
    Host {
        /// The DNS name.
        name: String,
        /// The TCP port.
        port: u16,
    },
}

/// An endpoint's address that does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an endpoint: write `ip:port`, `[ipv6]:port` or `host:port`, with no scheme or path")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let bad = || TargetError(text.to_owned());
        let (name, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
        let label = |l: &str| {
            !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // A last label of digits alone is a mistyped address, not a name (WHATWG URL, "ends in a number").
        let numeric = name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || numeric || !name.split('.').all(label) {
            return Err(bad());
        }
        Ok(Self::Host { name: name.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// TLS to a backend. The certificate is verified always.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The server name sent and verified; the endpoint's host name where absent (required for addresses).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// A PEM file of the authorities to trust; the system's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// The credentials that a backend gets, as `Authorization: Bearer ...`. The value is read by Envoy and stands in no file that
/// Fingerpost writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// No `Authorization` at all: the client's own is removed.
    #[default]
    None,
    /// The client's own `Authorization`, as sent.
    Passthrough,
    /// A token in an environment variable of the Envoy process.
    BearerEnv(String),
    /// A token in a file that Envoy reads.
    BearerFile(PathBuf),
}

/// When a request that a backend failed is tried at another endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries after the first, each at another endpoint; never more than there are other endpoints.
    pub attempts: u32,
    /// What is tried again.
    pub on: RetryOn,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 2, on: RetryOn::NoResponse }
    }
}

/// Which failures are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// Nothing.
    Never,
    /// Only a connection that was never made or that refused the stream: the backend did no work.
    Connect,
    /// Those, and a connection that broke before response headers: the work may be done twice.
    NoResponse,
}

mod defaults {
    use super::Millis;

    pub(super) fn path_prefix() -> String {
        "/v1".to_owned()
    }

    pub(super) const fn connect_timeout() -> Millis {
        Millis(1_000)
    }

    pub(super) const fn idle_timeout() -> Millis {
        Millis(300_000)
    }

    pub(super) const fn weight() -> u32 {
        1
    }
}
