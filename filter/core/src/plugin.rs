//! A configuration made ready to serve: names resolved, rules compiled, constant answers written once.

use std::collections::HashMap;

use serde_json::json;

use crate::{
    affinity::{Candidate, Key, order},
    body::Needs,
    config::{Auth, Config, ConfigError, Decision, Model, ModelOptions, Target},
    guard::policy::Plan,
    ids::{EndpointTag, Keys, KeysError, PoolTag},
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
    /// Sign and verify ids and owners.
    pub(crate) keys: Keys,
    /// Bytes of the largest body that Envoy's buffers take.
    pub(crate) max_sent: usize,
    /// The guards, where there are any.
    pub(crate) guards: Option<Plan>,
}

/// A configuration that cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// It is wrong in itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its keys are none.
    #[error("id_keys: {0}")]
    Keys(#[from] KeysError),
}

/// What signs where no key is configured: then only the owner's hash of `Authorization` is made with it, which hides the
/// credential, since that cannot be guessed. Ids of backends that keep responses need a real key.
const UNKEYED: &str = "fingerpost: no id_keys are configured";

/// Which models may serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Every one.
    Any,
    /// Those whose backends share the conversation's state.
    Pool(PoolTag),
    /// Those that leave the conversation to the state service.
    Memory,
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
    /// Whether its backends keep the conversations.
    pub keeps_responses: bool,
    /// Whose conversations its backends can go on with.
    pub pool: PoolTag,
    /// How a chat backend is asked for a response.
    pub options: ModelOptions,
    endpoints: Vec<EndpointName>,
    candidates: Vec<Candidate>,
    addressed: bool,
}

#[derive(Debug)]
struct EndpointName {
    name: String,
    address: String,
    tag: EndpointTag,
    /// The cluster that holds it alone.
    pinned: String,
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
    /// Makes a configuration ready. `id_keys` are the secrets that it names; `now` is in seconds since 1970, for `created` in the
    /// list of models.
    ///
    /// # Errors
    /// [`PluginError`].
    pub fn new<S: AsRef<[u8]>>(config: Config, id_keys: &[S], now: u64) -> Result<Self, PluginError> {
        config.validate()?;
        let keys = if id_keys.is_empty() { Keys::new(&[UNKEYED])? } else { Keys::new(id_keys)? };
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
            keys,
            max_sent: config.max_sent().bytes(),
            guards: Plan::new(&config),
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

    /// The models that may serve, the default one first.
    pub(crate) fn within(&self, scope: Scope) -> impl Iterator<Item = usize> {
        let all = std::iter::once(self.default).chain(0..self.backends.len());
        all.filter(move |index| self.backend(*index).is_some_and(|backend| backend.is_within(scope)))
    }

    /// As a request is decided that begins a conversation: see [`Choice`]. None where no model is configured.
    #[must_use]
    pub fn choose(&self, signals: Signals<'_>) -> Option<Choice<'_>> {
        self.decide(signals, Scope::Any)
    }

    /// The first decision whose rule is true and whose model may serve; else the default model. None where no model may.
    pub(crate) fn decide(&self, signals: Signals<'_>, scope: Scope) -> Option<Choice<'_>> {
        let mut failed_rules = 0;
        for (decision, rule) in self.config.decisions.iter().zip(&self.rules) {
            let Some(index) = self.find(&decision.model) else { continue };
            if !self.backend(index).is_some_and(|backend| backend.is_within(scope)) {
                continue;
            }
            match rule.matches(&self.environment, signals) {
                Ok(true) => return Some(Choice { backend: index, decision: Some(decision), failed_rules }),
                Ok(false) => {}
                Err(_) => failed_rules += 1,
            }
        }
        let backend = self.within(scope).next()?;
        Some(Choice { backend, decision: None, failed_rules })
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
        let endpoint = |e: &crate::config::Endpoint| EndpointName {
            name: e.name(),
            address: e.address.to_string(),
            tag: EndpointTag::of(&e.name()),
            pinned: model.pinned_cluster(e),
        };
        Self {
            name: model.name.clone(),
            upstream_name: model.upstream_name().to_owned(),
            passes_authorization: model.auth == Auth::Passthrough,
            keeps_responses: model.keeps_responses(),
            pool: PoolTag::of(model.state_pool()),
            options: model.options.clone(),
            endpoints: model.endpoints.iter().map(endpoint).collect(),
            candidates: model.endpoints.iter().map(|e| Candidate::new(&e.name(), e.weight)).collect(),
            addressed: model.endpoints.iter().all(|e| matches!(e.address, Target::Address(_))),
        }
    }

    fn is_within(&self, scope: Scope) -> bool {
        match scope {
            Scope::Any => true,
            Scope::Pool(pool) => self.keeps_responses && self.pool == pool,
            Scope::Memory => !self.keeps_responses,
        }
    }

    /// The endpoint's name and the cluster that holds it alone.
    pub(crate) fn pinned(&self, tag: EndpointTag) -> Option<(&str, &str)> {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.tag == tag)?;
        Some((&endpoint.name, &endpoint.pinned))
    }

    /// Whether there is more than one endpoint.
    pub(crate) const fn has_choice(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// Where a conversation goes.
    pub(crate) fn place(&self, key: Key) -> Placement {
        if let [only] = self.endpoints.as_slice() {
            return Placement { endpoint: Some(only.name.clone()), order: None, hash: None };
        }
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
