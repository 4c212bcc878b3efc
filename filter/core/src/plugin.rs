//! A configuration made ready to serve: names resolved, rules compiled, constant answers written once.

use std::collections::HashMap;

use serde_json::json;

use crate::{
    affinity::{Candidate, Key, order},
    body::Needs,
    config::{Auth, Config, ConfigError, Decision, Model, Target},
    rules::{Environment, Rule, Signals},
};

/// What every exchange of one filter shares.
#[derive(Debug)]
pub struct Plugin {
    /// The configuration as read.
    pub config: Config,
    environment: Environment,
    rules: Vec<Rule>,
    backends: Vec<Backend>,
    /// Names and aliases to indices of `backends`.
    names: HashMap<String, usize>,
    default: usize,
    /// What the rules read that costs something to compute.
    pub(crate) needs: Needs,
    pub(crate) needs_verdict: bool,
    pub(crate) needs_tools: bool,
    pub(crate) needs_text: bool,
    /// The body of `GET /v1/models`.
    pub(crate) models: Vec<u8>,
}

/// A model as the filter uses it.
#[derive(Debug)]
pub struct Backend {
    /// The model's name.
    pub name: String,
    /// The name its backend knows.
    pub upstream_name: String,
    /// Whether the client's credentials reach it.
    pub passes_authorization: bool,
    endpoints: Vec<EndpointName>,
    candidates: Vec<Candidate>,
    addressed: bool,
}

#[derive(Debug)]
struct EndpointName {
    name: String,
    address: String,
}

/// Where a conversation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The endpoint's name, where the filter chooses it; none where Envoy does.
    pub endpoint: Option<String>,
    /// Addresses in fail-over order, for Envoy's override_host policy.
    pub order: Option<String>,
    /// The key's hash, for Envoy's maglev policy.
    pub hash: Option<String>,
}

/// The choice among the configured models, and why.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// The model.
    pub backend: usize,
    /// The rule that chose it; none for the default model.
    pub decision: Option<&'a Decision>,
    /// Rules that failed at run time on the way.
    pub failed_rules: u64,
}

impl Plugin {
    /// Makes a configuration ready. `now` is in seconds since 1970, for `created` in the list of models.
    ///
    /// # Errors
    /// As [`Config::validate`].
    pub fn new(config: Config, now: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        let rules: Vec<Rule> =
            config.decisions.iter().filter_map(|d| Rule::compile(&d.when, &config.limits).ok()).collect();
        let mut names = HashMap::new();
        for (i, model) in config.models.iter().enumerate() {
            names.insert(model.name.clone(), i);
            names.extend(model.aliases.iter().map(|alias| (alias.clone(), i)));
        }
        let reads = |name: &str| rules.iter().any(|rule| rule.reads(name));
        Ok(Self {
            environment: Environment::new(),
            backends: config.models.iter().map(Backend::new).collect(),
            default: names.get(&config.default_model).copied().unwrap_or_default(),
            needs: Needs { tokens: reads("tokens") },
            needs_tools: reads("tools"),
            needs_text: reads("text"),
            needs_verdict: rules.iter().any(Rule::needs_verdict),
            models: models_body(&config, now),
            names,
            rules,
            config,
        })
    }

    /// The model of that name or alias.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// A model by its index.
    #[must_use]
    pub fn backend(&self, index: usize) -> Option<&Backend> {
        self.backends.get(index)
    }

    /// The model that serves where no rule speaks.
    #[must_use]
    pub const fn default_backend(&self) -> usize {
        self.default
    }

    /// The first decision whose rule is true; else the default model.
    #[must_use]
    pub fn decide(&self, signals: Signals<'_>) -> Choice<'_> {
        let mut failed_rules = 0;
        for (decision, rule) in self.config.decisions.iter().zip(&self.rules) {
            match rule.matches(&self.environment, signals) {
                Ok(true) => {
                    let backend = self.find(&decision.model).unwrap_or(self.default);
                    return Choice { backend, decision: Some(decision), failed_rules };
                }
                Ok(false) => {}
                Err(_) => failed_rules += 1,
            }
        }
        Choice { backend: self.default, decision: None, failed_rules }
    }

    /// The JSON of one model, by name or alias or the auto name.
    #[must_use]
    pub(crate) fn model_body(&self, id: &str) -> Option<Vec<u8>> {
        let list: serde_json::Value = serde_json::from_slice(&self.models).ok()?;
        let models = list.get("data")?.as_array()?;
        models.iter().find(|model| model.get("id").is_some_and(|i| i == id)).map(|m| m.to_string().into_bytes())
    }
}

impl Backend {
    fn new(model: &Model) -> Self {
        let endpoint = |e: &crate::config::Endpoint| EndpointName { name: e.name(), address: e.address.to_string() };
        Self {
            name: model.name.clone(),
            upstream_name: model.upstream_name().to_owned(),
            passes_authorization: model.auth == Auth::Passthrough,
            endpoints: model.endpoints.iter().map(endpoint).collect(),
            candidates: model.endpoints.iter().map(|e| Candidate::new(&e.name(), e.weight)).collect(),
            addressed: model.endpoints.iter().all(|e| matches!(e.address, Target::Address(_))),
        }
    }

    /// Where a conversation goes; `key` is asked only where there is a choice.
    pub(crate) fn place(&self, key: impl FnOnce() -> Key) -> Placement {
        if let [only] = self.endpoints.as_slice() {
            return Placement { endpoint: Some(only.name.clone()), order: None, hash: None };
        }
        let key = key();
        if !self.addressed {
            return Placement { endpoint: None, order: None, hash: Some(format!("{:016x}", key.0)) };
        }
        let order: Vec<&EndpointName> =
            order(key, &self.candidates).into_iter().filter_map(|i| self.endpoints.get(i)).collect();
        let addresses: Vec<&str> = order.iter().map(|e| e.address.as_str()).collect();
        Placement {
            endpoint: order.first().map(|e| e.name.clone()),
            order: Some(addresses.join(",")),
            hash: Some(format!("{:016x}", key.0)),
        }
    }
}

/// The list of models (OpenAI API reference, "List models"): the auto name first, then names with their aliases.
fn models_body(config: &Config, now: u64) -> Vec<u8> {
    let names = config.models.iter().flat_map(|model| std::iter::once(&model.name).chain(&model.aliases));
    let data: Vec<_> = std::iter::once(&config.auto_model)
        .chain(names)
        .map(|id| json!({ "id": id, "object": "model", "created": now, "owned_by": "fingerpost" }))
        .collect();
    json!({ "object": "list", "data": data }).to_string().into_bytes()
}
