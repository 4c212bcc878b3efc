//! The management API: what the classifier says and how it would be routed, over HTTP, for those who run the gateway.

use serde::{Deserialize, Serialize};

use super::Secret;

/// Where the state service answers operators. Absent: nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Management {
    /// `ip:port`.
    pub listen: String,
    /// The token that callers show; needed off loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Whether answers repeat the personal data that was found, in `value`.
    pub show_values: bool,
}

impl Default for Management {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".to_owned(), token: None, show_values: false }
    }
}
