//! What a configuration needs of the machine it runs on: tokens, certificates, the filter's code.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use fingerpost_core::config::{Auth, Config};

use crate::render::envoy::Options;

/// Something that the configuration names and this machine does not have. Never shows a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A token's environment variable.
    #[error(
        "model `{model}`: the environment variable `{variable}` ({}) is {why}; export it before Envoy starts",
        "auth.bearer_env"
    )]
    Variable {
        /// The model whose backend needs it.
        model: String,
        /// Its name.
        variable: String,
        /// `not set`, or what makes its value no token.
        why: &'static str,
    },
    /// A file with a token or with authorities.
    #[error("model `{model}`: the file {} ({field}) {why}", path.display())]
    File {
        /// The model whose backend needs it.
        model: String,
        /// The field of the model that names it.
        field: &'static str,
        /// The file, absolute.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system's authorities.
    #[error("model `{model}` uses TLS without `ca_file`, and this machine has no bundle of authorities at {}; install `ca-certificates` or name a `ca_file`", path.display())]
    SystemAuthorities {
        /// The first model that needs them.
        model: String,
        /// Where they were sought.
        path: PathBuf,
    },
}

/// Everything that the configuration needs and this machine does not have, in the document's order.
#[must_use]
pub fn missing(config: &Config, options: &Options) -> Vec<Missing> {
    let mut found = Vec::new();
    for model in &config.models {
        match &model.auth {
            Auth::None | Auth::Passthrough => {}
            Auth::BearerEnv(variable) => {
                let why = variable_fault(variable);
                found.extend(why.map(|why| Missing::Variable {
                    model: model.name.clone(),
                    variable: variable.clone(),
                    why,
                }));
            }
            Auth::BearerFile(path) => {
                found.extend(file(&model.name, "auth.bearer_file", options.base.join(path), true))
            }
        }
        match model.tls.as_ref().map(|tls| &tls.ca_file) {
            None => {}
            Some(Some(path)) => found.extend(file(&model.name, "tls.ca_file", options.base.join(path), false)),
            Some(None) if options.system_ca.is_file() => {}
            Some(None) => {
                found.push(Missing::SystemAuthorities { model: model.name.clone(), path: options.system_ca.clone() });
            }
        }
    }
    found
}

/// Why an environment variable holds no token.
fn variable_fault(variable: &str) -> Option<&'static str> {
    match env::var(variable) {
        Err(env::VarError::NotPresent) => Some("not set"),
        Err(env::VarError::NotUnicode(_)) => Some("not text"),
        Ok(value) => token_fault(&value),
    }
}

/// Why a text is no token. Envoy sends it as it stands, so a line break inside would be a broken header.
fn token_fault(value: &str) -> Option<&'static str> {
    let token = value.trim_end_matches(['\r', '\n']);
    if token.trim().is_empty() {
        Some("empty")
    } else if token.chars().any(char::is_control) {
        Some("not one line of text")
    } else {
        None
    }
}

fn file(model: &str, field: &'static str, path: PathBuf, token: bool) -> Option<Missing> {
    let why = match fs::read_to_string(&path) {
        Err(error) => Some(format!("cannot be read: {error}")),
        Ok(text) if token => token_fault(&text).map(|why| format!("is {why}")),
        Ok(text) if text.trim().is_empty() => Some("is empty".to_owned()),
        Ok(_) => None,
    };
    why.map(|why| Missing::File { model: model.to_owned(), field, path, why })
}

// Debian, Fedora, openSUSE, Alpine and macOS, in the order of Go's crypto/x509.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's bundle of authorities: `$SSL_CERT_FILE`, else the first that is there, else Debian's.
#[must_use]
pub fn system_ca() -> PathBuf {
    if let Some(file) = env::var_os("SSL_CERT_FILE") {
        return file.into();
    }
    let mut bundles = BUNDLES.iter().map(Path::new);
    let found = bundles.clone().find(|path| path.is_file());
    found.or_else(|| bundles.next()).map(Path::to_owned).unwrap_or_default()
}

/// The name of the filter's code.
pub const FILTER: &str = "fingerpost_filter.wasm";

/// The filter's code: beside this program, else where `make` builds it under the current folder.
#[must_use]
pub fn filter() -> PathBuf {
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(FILTER)));
    let built = Path::new("target/wasm32-wasip1/wasm").join(FILTER);
    let found = beside.into_iter().chain([built.clone()]).find(|path| path.is_file());
    let path = found.unwrap_or(built);
    std::path::absolute(&path).unwrap_or(path)
}

/// The tokens that the configuration names and this machine has: what no log line may hold.
#[must_use]
pub fn secrets(config: &Config, options: &Options) -> Vec<String> {
    let tokens = config.models.iter().filter_map(|model| match &model.auth {
        Auth::None | Auth::Passthrough => None,
        Auth::BearerEnv(variable) => env::var(variable).ok(),
        Auth::BearerFile(path) => fs::read_to_string(options.base.join(path)).ok(),
    });
    tokens.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()).collect()
}
