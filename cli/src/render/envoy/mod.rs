//! The Envoy 1.40 bootstrap: one listener whose filter decides, one cluster a model, one for each endpoint that keeps
//! conversations, one for the classifier and one for the state service.

mod clusters;
mod credentials;
mod listener;
mod local_reply;
mod routes;
mod state;
mod tls;
mod wasm;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use fingerpost_core::config::{Config, Millis, Model, Target};
use serde_json::{Value, json};

use self::credentials::Token;

// Beyond the largest body: what the filter adds to it, and a message of the classifier's framing.
const BUFFER_MARGIN: u64 = 1024 * 1024;
// Envoy has no bound of its own; this one leaves room for both sides of a connection in 20,000 file descriptors.
const MAX_CONNECTIONS: u64 = 8_192;

/// What the document does not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// The filter's code.
    pub wasm: PathBuf,
    /// The authorities trusted where a model's `tls` names none, a PEM file.
    pub system_ca: PathBuf,
    /// Where relative paths of the configuration begin: the folder of its file.
    pub base: PathBuf,
}

/// A configuration that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin configuration does not serialize.
    #[error("cannot write the plugin configuration: {0}")]
    Plugin(#[from] serde_json::Error),
    /// An address that validation lets through and Envoy does not.
    #[error("{path}: `{value}` is not an address Envoy can use")]
    Address {
        /// The path in the configuration.
        path: &'static str,
        /// What stands there.
        value: String,
    },
}

/// Renders the bootstrap of a valid configuration. The same input gives the same document.
///
/// # Errors
/// An address that does not read, or a configuration that does not serialize: neither where `config` was validated.
pub fn bootstrap(config: &Config, options: &Options) -> Result<Value, Error> {
    let (mut secrets, mut clusters) = (Vec::new(), Vec::new());
    for pool in pools(config) {
        secrets.extend(Token::of_model(&pool).map(|token| token.secret(options)));
        clusters.push(clusters::model(&pool, options));
        if pool.is_pinned(config) {
            clusters.extend(clusters::pinned(&pool, options));
        }
    }
    clusters.push(clusters::classifier(config)?);
    if config.response_api.enabled {
        secrets.extend(Token::of_state(config).map(|token| token.secret(options)));
        clusters.push(state::cluster(config, options)?);
    }
    Ok(json!({
        "node": {"id": "fingerpost", "cluster": "fingerpost"},
        "admin": {
            "address": socket(listen("listen.admin", &config.listen.admin)?),
            "ignore_global_conn_limit": true,
        },
        "static_resources": {
            "listeners": [listener::data(config, options)?],
            "clusters": clusters,
            "secrets": secrets,
        },
        "overload_manager": {"resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": MAX_CONNECTIONS,
            },
        }]},
    }))
}

/// A model and the names that Envoy knows it by.
struct Pool<'a> {
    model: &'a Model,
    /// The cluster's name, unique: the index tells models apart whose names become alike.
    cluster: String,
}

impl Pool<'_> {
    /// Whether Envoy chooses the host by the affinity key: the filter's ordered list knows addresses only.
    fn is_named(&self) -> bool {
        !self.model.is_addressed()
    }

    /// Whether there is anything to choose: with one endpoint the filter sends neither list nor key.
    fn has_choice(&self) -> bool {
        self.model.endpoints.len() > 1
    }

    /// Whether some of its requests can be answered by one endpoint alone.
    fn is_pinned(&self, config: &Config) -> bool {
        config.response_api.enabled && self.model.keeps_responses()
    }
}

fn pools(config: &Config) -> impl Iterator<Item = Pool<'_>> {
    config.models.iter().enumerate().map(|(i, model)| Pool { model, cluster: cluster_name(i, model, &config.models) })
}

/// `model_` and the name in the alphabet of Envoy's statistics; with the index where another model becomes alike.
fn cluster_name(index: usize, model: &Model, models: &[Model]) -> String {
    let name = sanitised(&model.name);
    let alone = models.iter().filter(|other| sanitised(&other.name) == name).count() == 1;
    if alone { format!("model_{name}") } else { format!("model_{name}.{index}") }
}

fn sanitised(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect()
}

fn listen(path: &'static str, value: &str) -> Result<SocketAddr, Error> {
    value.parse().map_err(|_| Error::Address { path, value: value.to_owned() })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn target(target: &Target) -> Value {
    match target {
        Target::Address(address) => socket(*address),
        Target::Host { name, port } => json!({"socket_address": {"address": name, "port_value": port}}),
    }
}

fn duration(time: Millis) -> String {
    if time.0.is_multiple_of(1_000) {
        format!("{}s", time.0 / 1_000)
    } else {
        format!("{}.{:03}s", time.0 / 1_000, time.0 % 1_000)
    }
}

fn buffer_limit(config: &Config) -> u64 {
    config.max_sent().0.saturating_add(BUFFER_MARGIN)
}

/// A path of the configuration, from the folder of its file.
fn resolved(path: &Path, options: &Options) -> PathBuf {
    options.base.join(path)
}
