//! What the Responses API asks of a configuration: secrets, pools of models that share conversations, a store that can be
//! reached, a service that strangers cannot.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};

use super::{MAX_BODY, Report, is_visible};
use crate::{
    config::{Api, Config, Model, Secret, StoreBackend, Target},
    headers::is_internal,
    ids::{EndpointTag, PoolTag},
};

const VARIABLE: &str =
    "is not the name of an environment variable (letters, digits, `_`); never put the secret itself here";

impl Report {
    pub(super) fn response_api(&mut self, config: &Config) {
        self.response_models(config);
        self.pools(config);
        self.id_keys(config);
        self.owner(config);
        self.state(config);
        self.store(config);
    }

    fn response_models(&mut self, config: &Config) {
        let enabled = config.response_api.enabled;
        for (i, model) in config.models.iter().enumerate() {
            let at = format!("models[{i}]");
            let native = model.api == Api::Responses;
            if model.state_pool.is_some() && !model.keeps_responses() {
                let message = "is for models whose backends keep the conversations: it needs `api: responses` and no `memory: true`; remove it";
                self.add(format!("{at}.state_pool"), message);
            }
            if let Some(pool) = &model.state_pool {
                self.name(&format!("{at}.state_pool"), pool);
            }
            if model.memory && !native {
                let message =
                    "is for `api: responses`: conversations with a chat backend are always kept here; remove it";
                self.add(format!("{at}.memory"), message);
            } else if model.memory && !enabled {
                self.add(format!("{at}.memory"), "needs `response_api.enabled: true`: without it nothing is kept here");
            }
            if let Some(path) = &model.options.tokenizer_path
                && (!path.starts_with('/') || !is_visible(path) || path.contains(['?', '#']))
            {
                let message =
                    format!("`{path}` must be a path that begins with `/`, without query; vLLM's is `/tokenize`");
                self.add(format!("{at}.options.tokenizer_path"), message);
            }
        }
        if enabled && config.id_keys.is_empty() && config.models.iter().any(Model::keeps_responses) {
            let message = "is empty, but the ids of conversations that backends keep are signed: make a secret with `openssl rand -hex 32`, export it as FINGERPOST_ID_KEY and write `id_keys: [{ env: FINGERPOST_ID_KEY }]`";
            self.add("id_keys", message);
        }
    }

    /// A conversation goes on with any model of its pool, at the endpoint of the same name.
    fn pools(&mut self, config: &Config) {
        let mut pools: HashMap<PoolTag, (&str, BTreeSet<String>)> = HashMap::new();
        for (i, model) in config.models.iter().enumerate().filter(|(_, model)| model.keeps_responses()) {
            let at = format!("models[{i}]");
            self.endpoint_tags(&at, model);
            let name = model.state_pool();
            let endpoints: BTreeSet<String> = model.endpoints.iter().map(|endpoint| endpoint.name()).collect();
            let Some((other, expected)) = pools.get(&PoolTag::of(name)) else {
                pools.insert(PoolTag::of(name), (name, endpoints));
                continue;
            };
            if *other != name {
                let message =
                    format!("the pools `{name}` and `{other}` have the same tag in ids, by chance; rename one of them");
                self.add(format!("{at}.state_pool"), message);
            } else if *expected != endpoints {
                let list =
                    |names: &BTreeSet<String>| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "has the endpoints {}, but another model of the pool `{name}` has {}: a follow-up finds its endpoint by name, so give the same `name`s",
                    list(&endpoints),
                    list(expected),
                );
                self.add(format!("{at}.endpoints"), message);
            }
        }
    }

    fn endpoint_tags(&mut self, at: &str, model: &Model) {
        let mut tags: HashMap<EndpointTag, String> = HashMap::new();
        for (i, endpoint) in model.endpoints.iter().enumerate() {
            let name = endpoint.name();
            if let Some(other) = tags.insert(EndpointTag::of(&name), name.clone())
                && other != name
            {
                let message = format!("`{name}` and `{other}` have the same tag in ids, by chance; rename one of them");
                self.add(format!("{at}.endpoints[{i}].name"), message);
            }
        }
    }

    fn id_keys(&mut self, config: &Config) {
        for (i, secret) in config.id_keys.iter().enumerate() {
            self.secret(&format!("id_keys[{i}]"), secret);
        }
    }

    pub(super) fn secret(&mut self, at: &str, secret: &Secret) {
        match secret {
            Secret::Env(name) => self.variable(&format!("{at}.env"), name),
            Secret::File(path) if path.as_os_str().is_empty() => {
                self.add(format!("{at}.file"), "is empty; name the file that holds the secret");
            }
            Secret::File(_) => {}
        }
    }

    fn variable(&mut self, at: &str, name: &str) {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.add(at, VARIABLE);
        }
    }

    fn owner(&mut self, config: &Config) {
        if let Some(jwt) = &config.owner.jwt {
            for (field, value) in [("payload", &jwt.payload), ("claim", &jwt.claim)] {
                if value.is_empty() {
                    self.add(format!("owner.jwt.{field}"), "is empty; name what jwt_authn writes");
                }
            }
        }
        let Some(header) = &config.owner.header else { return };
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if header.is_empty() || !header.bytes().all(is_name) {
            self.add("owner.header", format!("`{header}` is not a header name in lower case"));
        } else if is_internal(header.as_bytes()) || header == "authorization" {
            let message = format!(
                "`{header}` cannot name the owner: Fingerpost sets or reads it itself; use one of your own, `x-tenant` for example"
            );
            self.add("owner.header", message);
        }
    }

    fn state(&mut self, config: &Config) {
        let state = &config.callouts.state;
        if state.timeout.0 == 0 {
            self.add("callouts.state.timeout", "must be more than 0; write for example `2s`");
        }
        if state.cluster.is_empty() {
            self.add("callouts.state.cluster", "is empty; name the Envoy cluster of the state service");
        } else if state.cluster == config.callouts.classifier.cluster {
            self.add(
                "callouts.state.cluster",
                format!("`{}` is the classifier's cluster; name another", state.cluster),
            );
        }
        if let Some(token) = &state.token {
            self.secret("callouts.state.token", token);
        }
        let target = match state.address.parse::<Target>() {
            Ok(target) => target,
            Err(error) => return self.add("callouts.state.address", error.to_string()),
        };
        if let (Some(tls), Target::Address(address)) = (&state.tls, &target)
            && tls.sni.is_none()
        {
            let message = format!("is needed to verify the certificate of `{address}`, an address without a name");
            self.add("callouts.state.tls.sni", message);
        }
        if config.response_api.enabled && !is_loopback(&target) && state.token.is_none() && state.tls.is_none() {
            let message = format!(
                "`{target}` is not on loopback, and whoever reaches the state service can read every conversation: set `callouts.state.token` or `callouts.state.tls`"
            );
            self.add("callouts.state.address", message);
        }
    }

    fn store(&mut self, config: &Config) {
        let api = &config.response_api;
        let positive = [
            ("ttl_seconds", api.ttl_seconds),
            ("max_responses", api.max_responses),
            ("max_turns", u64::from(api.max_turns)),
        ];
        for (field, _) in positive.into_iter().filter(|(_, number)| *number == 0) {
            self.add(format!("response_api.{field}"), "must be at least 1");
        }
        if !(1..=MAX_BODY).contains(&api.max_conversation_bytes.0) {
            let message = format!("`{}` is not 1 byte to 1GiB", api.max_conversation_bytes);
            self.add("response_api.max_conversation_bytes", message);
        }
        if api.store_backend == StoreBackend::Embedded && api.path.as_os_str().is_empty() {
            self.add("response_api.path", "is empty; name the file that keeps the conversations");
        }
        let redis = &api.redis;
        if let Some(name) = &redis.url_env {
            self.variable("response_api.redis.url_env", name);
        } else if redis.urls.is_empty() {
            self.add("response_api.redis.urls", "is empty; name a server, or `url_env`");
        } else if redis.urls.len() > 1 && !redis.cluster {
            self.add("response_api.redis.urls", "has several servers: set `cluster: true`, or name one");
        }
        for (i, url) in redis.urls.iter().enumerate() {
            if let Err(message) = redis_url(url) {
                self.add(format!("response_api.redis.urls[{i}]"), message);
            }
        }
    }
}

fn is_loopback(target: &Target) -> bool {
    match target {
        Target::Address(address) => address.ip().to_canonical().is_loopback(),
        Target::Host { name, .. } => name.eq_ignore_ascii_case("localhost"),
    }
}

/// A URL without secrets: `redis://host:port/db`. What is wrong never shows the URL of one that may hold any.
fn redis_url(url: &str) -> Result<(), String> {
    let in_query = url.split_once('?').is_some_and(|(_, query)| query.contains("pass"));
    if url.contains('@') || in_query {
        return Err(
            "holds credentials: put the whole URL in an environment variable and name it in `url_env`".to_owned()
        );
    }
    let bad =
        || format!("`{url}` is no URL of a Redis server: write `redis://host:port/db` or `rediss://host:port/db`");
    let rest = url.strip_prefix("redis://").or_else(|| url.strip_prefix("rediss://")).ok_or_else(bad)?;
    let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
    if !database.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let with_port = |server: &str| server.parse::<SocketAddr>().is_ok() || server.parse::<Target>().is_ok();
    let bracketed = server.strip_prefix('[').and_then(|server| server.strip_suffix(']'));
    let without = bracketed.is_some_and(|ip| ip.parse::<IpAddr>().is_ok()) || with_port(&format!("{server}:6379"));
    if with_port(server) || without { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests;
