//! What types cannot say: names that refer, things that must be unique, rules that must compile.

mod guards;
mod management;
mod response_api;

use std::{collections::HashSet, fmt, net::SocketAddr};

use serde::Deserializer;

use super::{Auth, ByteSize, Config, Model, Target};
use crate::rules::Rule;

/// One thing wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path in the document, `models[1].endpoints[0].address`.
    pub path: String,
    /// What is wrong there, with the value, and the fix.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A configuration that is refused, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<Problem>);

const MAX_NAME: usize = 128;
const MAX_MODELS: usize = 1_000;
const MAX_ENDPOINTS: usize = 256;
// Envoy's buffer limits are 32-bit.
const MAX_BODY: u64 = 1 << 30;

impl Config {
    /// Reads a document in any format that serde can read, and validates it.
    ///
    /// # Errors
    /// Everything that is wrong, each with its path in the document; a document that cannot be read has one problem.
    pub fn read<'de, D: Deserializer<'de>>(document: D) -> Result<Self, ConfigError> {
        let config: Self = serde_path_to_error::deserialize(document).map_err(|error| {
            let path = error.path().to_string();
            ConfigError(vec![Problem { path, message: error.into_inner().to_string() }])
        })?;
        config.validate()?;
        Ok(config)
    }

    /// Reads the JSON that a filter gets as its plugin configuration.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        Self::read(&mut serde_json::Deserializer::from_slice(json))
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut report = Report::default();
        report.listen(self);
        report.models(self);
        report.decisions(self);
        report.passthrough(self);
        report.limits(self);
        report.response_api(self);
        report.management(self);
        report.guards(self);
        if report.0.is_empty() { Ok(()) } else { Err(ConfigError(report.0)) }
    }

    /// Bytes of the largest body that a backend may be sent: a request as it comes, and with the Responses API the conversation in
    /// front of it. Envoy's buffers hold as much; a filter that hands it more is answered by a local reply in its own callback.
    #[must_use]
    pub fn max_sent(&self) -> ByteSize {
        let conversation = if self.response_api.enabled { self.response_api.max_conversation_bytes.0 } else { 0 };
        ByteSize(self.limits.max_body.0.saturating_add(conversation))
    }

    /// The model of that name (not alias).
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// Why `name` is no model, with the nearest one that is.
    fn unknown_model(&self, name: &str) -> String {
        let nearest = self.models.iter().min_by_key(|model| distance(&model.name, name));
        let hint = nearest.map(|m| format!("; did you mean `{}`?", m.name)).unwrap_or_default();
        format!("no model is named `{name}`{hint}")
    }
}

#[derive(Default)]
struct Report(Vec<Problem>);

impl Report {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into() });
    }

    fn listen(&mut self, config: &Config) {
        for (path, value) in [("listen.data", &config.listen.data), ("listen.admin", &config.listen.admin)] {
            if value.parse::<SocketAddr>().is_err() {
                self.add(path, format!("`{value}` is not `ip:port`; write for example `127.0.0.1:8801`"));
            }
        }
    }

    fn models(&mut self, config: &Config) {
        if config.models.is_empty() || config.models.len() > MAX_MODELS {
            self.add("models", format!("needs 1 to {MAX_MODELS} models, has {}", config.models.len()));
        }
        let mut seen = HashSet::from([config.auto_model.as_str()]);
        self.name("auto_model", &config.auto_model);
        for (i, model) in config.models.iter().enumerate() {
            let at = format!("models[{i}]");
            let aliases = model.aliases.iter().enumerate();
            let aliases = aliases.map(|(j, alias)| (format!("{at}.aliases[{j}]"), alias.as_str()));
            for (path, name) in std::iter::once((format!("{at}.name"), model.name.as_str())).chain(aliases) {
                self.name(&path, name);
                if !seen.insert(name) {
                    self.add(
                        path,
                        format!("`{name}` is taken by another model, alias or `auto_model`; choose another"),
                    );
                }
            }
            self.model(&at, model);
        }
        if config.model(&config.default_model).is_none() {
            self.add("default_model", config.unknown_model(&config.default_model));
        }
    }

    fn model(&mut self, at: &str, model: &Model) {
        if let Some(name) = &model.upstream_name
            && (name.is_empty() || name.len() > 4 * MAX_NAME)
        {
            self.add(
                format!("{at}.upstream_name"),
                format!("is {} bytes long; give 1 to {}", name.len(), 4 * MAX_NAME),
            );
        }
        let prefix = &model.path_prefix;
        if !prefix.is_empty()
            && (!prefix.starts_with('/') || prefix.ends_with('/') || !is_visible(prefix) || prefix.contains(['?', '#']))
        {
            self.add(
                format!("{at}.path_prefix"),
                format!(
                    "`{prefix}` must begin with `/`, not end with one and hold no `?` or `#`; write for example `/v1`"
                ),
            );
        }
        if let Some(host) = &model.host
            && (host.is_empty() || !is_visible(host))
        {
            self.add(format!("{at}.host"), format!("`{host}` is no host name"));
        }
        if model.connect_timeout.0 == 0 {
            self.add(format!("{at}.connect_timeout"), "must be more than 0; write for example `1s`");
        }
        self.auth(at, &model.auth);
        self.endpoints(at, model);
    }

    fn auth(&mut self, at: &str, auth: &Auth) {
        match auth {
            Auth::BearerEnv(name)
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                self.add(format!("{at}.auth.bearer_env"), "is not the name of an environment variable (letters, digits, `_`); never put the token itself here");
            }
            Auth::BearerFile(path) if path.as_os_str().is_empty() => {
                self.add(format!("{at}.auth.bearer_file"), "is empty; name the file that holds the token");
            }
            _ => {}
        }
    }

    fn endpoints(&mut self, at: &str, model: &Model) {
        if model.endpoints.is_empty() || model.endpoints.len() > MAX_ENDPOINTS {
            self.add(
                format!("{at}.endpoints"),
                format!("needs 1 to {MAX_ENDPOINTS} endpoints, has {}", model.endpoints.len()),
            );
        }
        let (mut addresses, mut names) = (HashSet::new(), HashSet::new());
        for (i, endpoint) in model.endpoints.iter().enumerate() {
            let path = format!("{at}.endpoints[{i}]");
            if !addresses.insert(&endpoint.address) {
                self.add(
                    format!("{path}.address"),
                    format!(
                        "duplicate endpoint `{}`; remove it, or give the first one a higher `weight`",
                        endpoint.address
                    ),
                );
            } else if !names.insert(endpoint.name()) {
                self.add(
                    format!("{path}.name"),
                    format!("duplicate endpoint name `{}`; choose another", endpoint.name()),
                );
            }
            if let Some(name) = &endpoint.name {
                self.name(&format!("{path}.name"), name);
            }
            if !(1..=1_000).contains(&endpoint.weight) {
                self.add(
                    format!("{path}.weight"),
                    format!("`{}` is not 1 to 1000; to take an endpoint out of service, remove it", endpoint.weight),
                );
            }
            if let (Some(tls), Target::Address(_)) = (&model.tls, &endpoint.address)
                && tls.sni.is_none()
            {
                self.add(
                    format!("{at}.tls.sni"),
                    format!("is needed to verify the certificate of `{}`, an address without a name", endpoint.address),
                );
            }
        }
    }

    fn decisions(&mut self, config: &Config) {
        let mut seen = HashSet::new();
        for (i, decision) in config.decisions.iter().enumerate() {
            let at = format!("decisions[{i}]");
            self.name(&format!("{at}.name"), &decision.name);
            if !seen.insert(&decision.name) {
                self.add(format!("{at}.name"), format!("duplicate decision `{}`; choose another name", decision.name));
            }
            if config.model(&decision.model).is_none() {
                self.add(format!("{at}.model"), config.unknown_model(&decision.model));
            }
            if let Err(error) = Rule::compile(&decision.when, &config.limits) {
                self.add(format!("{at}.when"), format!("rule `{}`: {error}", decision.name));
            }
        }
    }

    fn passthrough(&mut self, config: &Config) {
        for (i, open) in config.passthrough.iter().enumerate() {
            let at = format!("passthrough[{i}]");
            if !open.path.starts_with('/') || !is_visible(&open.path) || open.path.contains(['?', '#']) {
                self.add(
                    format!("{at}.path"),
                    format!("`{}` must be a path that begins with `/`, without query", open.path),
                );
            } else if crate::route::is_guarded(&open.path) {
                self.add(
                    format!("{at}.path"),
                    format!("`{}` would open a path that Fingerpost reads; name a narrower one", open.path),
                );
            }
            if config.model(&open.model).is_none() {
                self.add(format!("{at}.model"), config.unknown_model(&open.model));
            }
        }
    }

    fn limits(&mut self, config: &Config) {
        if !(1_024..=MAX_BODY).contains(&config.limits.max_body.0) {
            self.add("limits.max_body", format!("`{}` is not 1KiB to 1GiB", config.limits.max_body));
        }
        let classifier = &config.callouts.classifier;
        if classifier.timeout.0 == 0 {
            self.add("callouts.classifier.timeout", "must be more than 0; write for example `500ms`");
        }
        if let Err(error) = classifier.address.parse::<Target>() {
            self.add("callouts.classifier.address", error.to_string());
        }
        if classifier.cluster.is_empty() {
            self.add("callouts.classifier.cluster", "is empty; name the Envoy cluster of the classifier");
        }
        if let Some(header) = &config.affinity.session_header
            && !header.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            self.add("affinity.session_header", format!("`{header}` is not a header name in lower case"));
        }
    }

    /// Names travel in header values and statistics.
    fn name(&mut self, path: &str, name: &str) {
        if name.is_empty() || name.len() > MAX_NAME || !is_visible(name) || name.contains(',') {
            self.add(
                path,
                format!("`{name}` is no name: give 1 to {MAX_NAME} visible ASCII characters without spaces or commas"),
            );
        }
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// Levenshtein distance, for suggestions.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let cost = diagonal + usize::from(x != y);
            diagonal = *slot;
            left = cost.min(left + 1).min(diagonal + 1);
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
