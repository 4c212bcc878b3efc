//! What the guards have to say of a request: in a header, and in `routing_metadata`.

use serde::Serialize;

use crate::config::Action;

/// The outcome of every guard that is configured.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Checks {
    /// Personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pii: Option<PiiCheck>,
    /// Jailbreaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jailbreak: Option<JailbreakCheck>,
    /// How many images, files and the like were not read.
    #[serde(skip_serializing_if = "is_zero")]
    pub unscannable: usize,
}

/// What the guard `pii` found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PiiCheck {
    /// None where there is no verdict.
    pub detected: Option<bool>,
    /// The types that it acts upon, sorted, each once.
    pub types: Vec<String>,
    /// What was done, where something was found.
    pub action: Option<Action>,
}

/// What the guard `jailbreak` found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct JailbreakCheck {
    /// None where there is no verdict.
    pub detected: Option<bool>,
    /// The highest score, three decimals.
    pub score: Option<f64>,
    /// What was done, where something was found.
    pub action: Option<Action>,
}

impl Checks {
    /// The value of `x-security-checks`.
    #[must_use]
    pub fn header(&self) -> String {
        let pii = self.pii.as_ref().map(|pii| ("pii", pii.detected));
        let jailbreak = self.jailbreak.as_ref().map(|jailbreak| ("jailbreak", jailbreak.detected));
        let mut parts: Vec<String> = [pii, jailbreak]
            .into_iter()
            .flatten()
            .map(|(name, detected)| {
                let detected = detected.map_or("unknown", |detected| if detected { "true" } else { "false" });
                format!("{name}:{detected}")
            })
            .collect();
        if self.unscannable > 0 {
            parts.push(format!("unscannable:{}", self.unscannable));
        }
        parts.join(",")
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}
