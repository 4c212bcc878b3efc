//! What the service takes from `fingerpost.yaml`, the command line and the environment.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use fingerpost_core::config::{Config, ConfigError, Management, Secret, StoreBackend};

use crate::{domain::Limits, engine::redis::Address, management};

/// A conversation is kept no longer than a hundred years: a time that every engine can count.
const LONGEST: u64 = 100 * 365 * 24 * 3_600;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not become a configuration.
    #[error("{}: {path}: {message}", file.display())]
    Syntax {
        /// Which one.
        file: PathBuf,
        /// The path in the document.
        path: String,
        /// Where and why.
        message: String,
    },
    /// The document is wrong.
    #[error("{}: {source}", file.display())]
    Document {
        /// Which one.
        file: PathBuf,
        /// Where and why.
        source: ConfigError,
    },
    /// A value that this service cannot work with.
    #[error("{field}: {message}")]
    Value {
        /// The field.
        field: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
}

fn value(field: &'static str, message: impl Into<String>) -> SettingsError {
    SettingsError::Value { field, message: message.into() }
}

/// The PEM files of a TLS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities whose clients are let in; any client where absent.
    pub client_ca: Option<PathBuf>,
}

/// Where conversations are kept.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In a file.
    Embedded(PathBuf),
    /// In Redis.
    Redis(Address),
    /// In memory.
    Memory,
}

/// Everything that the service needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The shared token that callers must show.
    pub token: Option<String>,
    /// TLS.
    pub tls: Option<TlsFiles>,
    /// The store.
    pub backend: Backend,
    /// Caps and times.
    pub limits: Limits,
    /// Largest HTTP request body.
    pub max_body: usize,
}

/// What is to be served; one of them at least.
#[derive(Clone, Default)]
pub struct Services {
    /// The state service.
    pub state: Option<Settings>,
    /// The management API.
    pub management: Option<management::Settings>,
}

impl From<Settings> for Services {
    fn from(state: Settings) -> Self {
        Self { state: Some(state), management: None }
    }
}

/// What the command line says over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Listen here.
    pub listen: Option<SocketAddr>,
    /// TLS.
    pub tls: Option<TlsFiles>,
}

/// Reads a configuration file.
///
/// # Errors
/// [`SettingsError`].
pub fn read(file: &Path, overrides: Overrides) -> Result<Services, SettingsError> {
    let text = std::fs::read_to_string(file).map_err(|source| SettingsError::File { file: file.to_owned(), source })?;
    let options = serde_saphyr::options! { with_snippet: false };
    let mut path = String::new();
    let config: Config = serde_saphyr::with_deserializer_from_str_with_options(&text, options, |document| {
        serde_path_to_error::deserialize(document).map_err(|error: serde_path_to_error::Error<serde_saphyr::Error>| {
            path = error.path().to_string();
            error.into_inner()
        })
    })
    .map_err(|error| SettingsError::Syntax { file: file.to_owned(), path, message: error.to_string() })?;
    config.validate().map_err(|source| SettingsError::Document { file: file.to_owned(), source })?;
    services(&config, file.parent().unwrap_or(Path::new("")), overrides)
}

/// Takes what is to be served from a configuration whose relative paths begin at `folder`.
///
/// # Errors
/// [`SettingsError`], also where nothing is.
pub fn services(config: &Config, folder: &Path, overrides: Overrides) -> Result<Services, SettingsError> {
    let management = config.management.as_ref().map(|section| manage(config, section, folder)).transpose()?;
    let state = config.response_api.enabled.then(|| settings(config, folder, overrides)).transpose()?;
    if state.is_none() && management.is_none() {
        return Err(value("response_api.enabled", "is false, and there is no `management`: there is nothing to serve"));
    }
    Ok(Services { state, management })
}

fn manage(config: &Config, section: &Management, folder: &Path) -> Result<management::Settings, SettingsError> {
    let listen = section.listen.parse().map_err(|_| value("management.listen", "is not `ip:port`"))?;
    let token = section.token.as_ref().map(|token| secret("management.token", token, folder)).transpose()?;
    Ok(management::Settings { listen, token, gateway: config.clone() })
}

/// Takes what the state service needs from a configuration whose relative paths begin at `folder`.
///
/// # Errors
/// [`SettingsError`].
pub fn settings(config: &Config, folder: &Path, overrides: Overrides) -> Result<Settings, SettingsError> {
    let api = &config.response_api;
    let positive = [
        ("response_api.ttl_seconds", api.ttl_seconds),
        ("response_api.max_responses", api.max_responses),
        ("response_api.max_turns", u64::from(api.max_turns)),
        ("response_api.max_conversation_bytes", api.max_conversation_bytes.0),
    ];
    if let Some((field, _)) = positive.into_iter().find(|(_, number)| *number == 0) {
        return Err(value(field, "must be at least 1"));
    }
    let listen = match overrides.listen {
        Some(address) => address,
        None => config.callouts.state.address.parse().map_err(|_| {
            value("callouts.state.address", "is a host name: say with --listen where to listen, ip:port")
        })?,
    };
    let token =
        config.callouts.state.token.as_ref().map(|token| secret("callouts.state.token", token, folder)).transpose()?;
    let guarded = token.is_some() || overrides.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if !listen.ip().is_loopback() && !guarded {
        let message = format!(
            "{listen} is not loopback: set callouts.state.token, or ask clients for certificates with --tls-client-ca"
        );
        return Err(value("--listen", message));
    }
    Ok(Settings {
        listen,
        token,
        tls: overrides.tls,
        backend: backend(config, folder)?,
        limits: Limits {
            ttl: api.ttl_seconds.min(LONGEST) * 1_000,
            max_responses: api.max_responses,
            max_turns: u64::from(api.max_turns),
            max_conversation_bytes: api.max_conversation_bytes.0,
        },
        max_body: config.limits.max_body.bytes(),
    })
}

fn backend(config: &Config, folder: &Path) -> Result<Backend, SettingsError> {
    let api = &config.response_api;
    Ok(match api.store_backend {
        StoreBackend::Memory => Backend::Memory,
        StoreBackend::Embedded => Backend::Embedded(folder.join(&api.path)),
        StoreBackend::Redis => {
            let urls = match &api.redis.url_env {
                Some(name) => vec![variable("response_api.redis.url_env", name)?],
                None => api.redis.urls.clone(),
            };
            if urls.is_empty() {
                return Err(value("response_api.redis.urls", "is empty: name a server"));
            }
            if !api.redis.cluster && urls.len() > 1 {
                return Err(value("response_api.redis.urls", "has several servers: set `cluster: true`, or name one"));
            }
            Backend::Redis(Address { urls, cluster: api.redis.cluster, prefix: "fingerpost".to_owned() })
        }
    })
}

fn variable(field: &'static str, name: &str) -> Result<String, SettingsError> {
    match std::env::var(name) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(value(field, format!("the environment variable {name} is empty"))),
        Err(_) => Err(value(field, format!("the environment variable {name} is not set, or is not UTF-8"))),
    }
}

fn secret(field: &'static str, secret: &Secret, folder: &Path) -> Result<String, SettingsError> {
    match secret {
        Secret::Env(name) => variable(field, name),
        Secret::File(path) => {
            let file = folder.join(path);
            let text =
                std::fs::read_to_string(&file).map_err(|source| SettingsError::File { file: file.clone(), source })?;
            match text.trim() {
                "" => Err(value(field, format!("{} is empty", file.display()))),
                text => Ok(text.to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]
    use super::*;

    fn load(extra: &str, overrides: Overrides) -> Result<Settings, SettingsError> {
        Ok(load_all(extra, overrides)?.state.unwrap())
    }

    fn load_all(extra: &str, overrides: Overrides) -> Result<Services, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fingerpost.yaml");
        let base = "default_model: m\nmodels:\n  - name: m\n    endpoints: [{ name: e, address: 127.0.0.1:9 }]\n";
        std::fs::write(&file, format!("{base}{extra}")).unwrap();
        std::fs::write(folder.path().join("token"), " s3cret\n").unwrap();
        read(&file, overrides).inspect(|services| {
            if let Some(Settings { backend: Backend::Embedded(path), .. }) = &services.state {
                assert!(path.starts_with(folder.path()), "{path:?}");
            }
        })
    }

    #[test]
    fn the_management_api_is_served_where_it_is_named_also_alone() {
        assert!(load_all("", Overrides::default()).unwrap().management.is_none());
        let alone = "response_api: { enabled: false }\nmanagement: { token: { file: token } }\n";
        let services = load_all(alone, Overrides::default()).unwrap();
        let management = services.management.unwrap();
        assert_eq!((services.state.is_none(), management.token.as_deref()), (true, Some("s3cret")));
        assert_eq!(management.listen, "127.0.0.1:8080".parse().unwrap());
        assert!(load_all("management: { token: { env: NO_SUCH_VARIABLE_HERE } }", Overrides::default()).is_err());
    }

    #[test]
    fn the_defaults_are_loopback_and_a_file_beside_the_configuration() {
        let settings = load("", Overrides::default()).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:50052".parse().unwrap());
        assert!(matches!(settings.backend, Backend::Embedded(path) if path.ends_with("fingerpost-state.redb")));
        assert_eq!(settings.limits.ttl, 30 * 24 * 3_600 * 1_000);
    }

    #[test]
    fn off_loopback_a_guard_is_asked_for() {
        let open = Overrides { listen: Some("0.0.0.0:0".parse().unwrap()), tls: None };
        let error = load("", open.clone()).err().unwrap().to_string();
        assert!(error.contains("not loopback") && error.contains("callouts.state.token"), "{error}");
        let settings = load("callouts: { state: { token: { file: token } } }\n", open.clone()).unwrap();
        assert_eq!(settings.token.as_deref(), Some("s3cret"));
        let tls = TlsFiles { cert: "c".into(), key: "k".into(), client_ca: None };
        assert!(load("", Overrides { tls: Some(tls.clone()), ..open.clone() }).is_err());
        let tls = TlsFiles { client_ca: Some("ca".into()), ..tls };
        assert!(load("", Overrides { tls: Some(tls), ..open }).is_ok());
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (extra, expected) in [
            ("response_api: { enabled: false }", "response_api.enabled"),
            ("response_api: { ttl_seconds: 0 }", "response_api.ttl_seconds"),
            ("response_api: { store_backend: redis, redis: { urls: [] } }", "response_api.redis.urls"),
            ("response_api: { store_backend: redis, redis: { urls: ['redis://a', 'redis://b'] } }", "cluster: true"),
            (
                "response_api: { store_backend: redis, redis: { url_env: NO_SUCH_VARIABLE_HERE } }",
                "NO_SUCH_VARIABLE_HERE",
            ),
            ("callouts: { state: { address: 'state:50052' } }", "callouts.state.token"),
            ("callouts: { state: { address: 'state:50052', tls: {} } }", "--listen"),
            ("callouts: { state: { token: { env: NO_SUCH_VARIABLE_HERE } } }", "callouts.state.token"),
            ("response_api: { store: redis }", "unknown field"),
            ("}", "fingerpost.yaml"),
        ] {
            let error = load(extra, Overrides::default()).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{extra}: {error}");
        }
    }
}
