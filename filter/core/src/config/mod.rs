//! The one configuration document, `fingerpost.yaml`. The command line and the filter read the same types and run the
//! same [`Config::validate`]; the filter gets the document as JSON, its plugin configuration. It holds no secret: credentials
//! are named by environment variable or file.

mod guards;
mod management;
mod model;
mod response_api;
mod units;
pub(crate) mod validate;

use serde::{Deserialize, Serialize};

pub use self::{
    guards::{
        Action, EntityType, GuardOverrides, GuardScope, Guards, JailbreakGuard, JailbreakOverride, PiiGuard,
        PiiOverride, ResponseAction, ResponseGuards, ResponsePiiGuard, Unscannable,
    },
    management::Management,
    model::{Api, Auth, Endpoint, Model, ModelOptions, Retry, RetryOn, Target, TargetError, Tls},
    response_api::{
        Instructions, JwtOwner, Owner, Redis, ResponseApi, Secret, StateCallout, StoreBackend, id_key_variable,
    },
    units::{ByteSize, Millis, UnitError},
    validate::{ConfigError, Problem},
};

/// `fingerpost.yaml`, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where Envoy listens.
    #[serde(default)]
    pub listen: Listen,
    /// The model name that asks to be routed.
    #[serde(default = "defaults::auto_model")]
    pub auto_model: String,
    /// The model that serves when no decision matches, and when the classifier fails open.
    pub default_model: String,
    /// The models that can be asked for or routed to.
    pub models: Vec<Model>,
    /// Rules in order: the first one whose expression is true chooses the model.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// What is looked for in requests.
    #[serde(default)]
    pub guards: Guards,
    /// What is looked for in answers.
    #[serde(default)]
    pub response_guards: ResponseGuards,
    /// How services beside Envoy are called.
    #[serde(default)]
    pub callouts: Callouts,
    /// Conversation affinity.
    #[serde(default)]
    pub affinity: Affinity,
    /// The Responses API and what it stores.
    #[serde(default)]
    pub response_api: ResponseApi,
    /// The management API; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
    /// Whose a stored response is.
    #[serde(default)]
    pub owner: Owner,
    /// Keys of the MAC in response ids and of the owner's hash: the first one signs, all of them verify.
    #[serde(default)]
    pub id_keys: Vec<Secret>,
    /// Bounds on what is read and held.
    #[serde(default)]
    pub limits: Limits,
    /// Paths beyond the API's own that are let through unread; all others are a 404.
    #[serde(default)]
    pub passthrough: Vec<Passthrough>,
    /// Whether a non-streaming chat completion gets a `routing_metadata` member.
    #[serde(default = "defaults::yes")]
    pub routing_metadata: bool,
}

/// Where Envoy listens. Loopback by default: what faces a network is said, not assumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// `ip:port` of the data plane.
    pub data: String,
    /// `ip:port` of Envoy's admin interface.
    pub admin: String,
}

impl Default for Listen {
    fn default() -> Self {
        Self { data: "127.0.0.1:8801".to_owned(), admin: "127.0.0.1:9901".to_owned() }
    }
}

/// One routing rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Unique; shown in `routing_metadata` and statistics.
    pub name: String,
    /// A CEL expression that yields a bool, over the signals of [`crate::rules`].
    pub when: String,
    /// The name of the model that serves.
    pub model: String,
    /// What it changes of `guards`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guards: Option<GuardOverrides>,
}

/// Services that the filter calls.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Callouts {
    /// The classifier service.
    pub classifier: ClassifierCallout,
    /// The state service.
    pub state: StateCallout,
}

/// The call to the classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierCallout {
    /// `host:port` of the gRPC service, for the rendered cluster.
    pub address: String,
    /// The name of the Envoy cluster that reaches it (under Istio: `outbound|50051||classifier.ns.svc.cluster.local`).
    pub cluster: String,
    /// Longest wait for a verdict.
    pub timeout: Millis,
    /// What happens without a verdict: `open` routes to the default model, `closed` answers 503.
    pub on_failure: FailurePolicy,
}

impl Default for ClassifierCallout {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:50051".to_owned(),
            cluster: "fingerpost_classifier".to_owned(),
            timeout: Millis(1_000),
            on_failure: FailurePolicy::Open,
        }
    }
}

/// What a failed callout does to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailurePolicy {
    /// Go on without the answer.
    Open,
    /// Refuse the request.
    Closed,
}

/// What ties the turns of a conversation to one endpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Affinity {
    /// A request header whose value names the session, used where the body has no `prompt_cache_key`.
    pub session_header: Option<String>,
}

/// Bounds on what is read and held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body; beyond it 413. Envoy's buffers and gRPC's message limit follow.
    pub max_body: ByteSize,
    /// Longest `when` expression, in bytes.
    pub max_rule_length: usize,
    /// Deepest nesting of brackets in a `when` expression.
    pub max_rule_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body: ByteSize(32 * 1024 * 1024), max_rule_length: 4_096, max_rule_depth: 32 }
    }
}

/// A path that is let through unread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passthrough {
    /// The path, exact; or everything below it where it ends in `/`.
    pub path: String,
    /// The model whose backend gets it.
    pub model: String,
}

mod defaults {
    pub(super) fn auto_model() -> String {
        "auto".to_owned()
    }

    pub(super) const fn yes() -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
