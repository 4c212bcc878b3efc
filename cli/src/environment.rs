//! What a configuration needs of the machine it runs on: tokens, certificates, the filter's code.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use fingerpost_core::{
    config::{Auth, Config, Secret, Tls, id_key_variable},
    ids::MIN_SECRET,
};

use crate::render::envoy::Options;

/// Something that the configuration names and this machine does not have. Never shows a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A secret's environment variable.
    #[error("{}the environment variable `{variable}` ({field}) is {why}; export it before Envoy starts", .whose.prefix())]
    Variable {
        /// What needs it.
        whose: Whose,
        /// The field that names it.
        field: String,
        /// Its name.
        variable: String,
        /// `not set`, or what makes its value no secret.
        why: String,
    },
    /// A file with a secret or with authorities.
    #[error("{}the file {} ({field}) {why}", .whose.prefix(), path.display())]
    File {
        /// What needs it.
        whose: Whose,
        /// The field that names it.
        field: String,
        /// The file, absolute.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system's authorities.
    #[error("{}TLS without `ca_file` is asked for, and this machine has no bundle of authorities at {}; install `ca-certificates` or name a `ca_file`", .whose.prefix(), path.display())]
    SystemAuthorities {
        /// What needs them.
        whose: Whose,
        /// Where they were sought.
        path: PathBuf,
    },
}

/// What needs something of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The model of this name.
    Model(String),
    /// The stack as a whole: the field says enough.
    Stack,
}

impl Whose {
    fn prefix(&self) -> String {
        match self {
            Self::Model(name) => format!("model `{name}`: "),
            Self::Stack => String::new(),
        }
    }
}

/// Everything that the configuration needs and this machine does not have, in the document's order.
#[must_use]
pub fn missing(config: &Config, options: &Options) -> Vec<Missing> {
    let mut search = Search { options, found: Vec::new() };
    for model in &config.models {
        let whose = Whose::Model(model.name.clone());
        match &model.auth {
            Auth::None | Auth::Passthrough => {}
            Auth::BearerEnv(variable) => search.variable(&whose, "auth.bearer_env", variable, token_fault),
            Auth::BearerFile(path) => search.file(&whose, "auth.bearer_file", path, token_fault),
        }
        search.authorities(&whose, "tls.ca_file", model.tls.as_ref());
    }
    if config.response_api.enabled {
        let state = &config.callouts.state;
        if let Some(token) = &state.token {
            search.secret("callouts.state.token", token, shared_fault);
        }
        search.authorities(&Whose::Stack, "callouts.state.tls.ca_file", state.tls.as_ref());
        for (index, key) in config.id_keys.iter().enumerate() {
            search.secret(&format!("id_keys[{index}]"), key, key_fault);
        }
    }
    if let Some(token) = config.management.as_ref().and_then(|management| management.token.as_ref()) {
        search.secret("management.token", token, shared_fault);
    }
    search.found
}

/// Why a text cannot be what it is to be.
type Fault = fn(&str) -> Option<String>;

struct Search<'a> {
    options: &'a Options,
    found: Vec<Missing>,
}

impl Search<'_> {
    fn secret(&mut self, field: &str, secret: &Secret, fault: Fault) {
        match secret {
            Secret::Env(variable) => self.variable(&Whose::Stack, &format!("{field}.env"), variable, fault),
            Secret::File(path) => self.file(&Whose::Stack, &format!("{field}.file"), path, fault),
        }
    }

    fn variable(&mut self, whose: &Whose, field: &str, variable: &str, fault: Fault) {
        let why = match env::var(variable) {
            Err(env::VarError::NotPresent) => Some("not set".to_owned()),
            Err(env::VarError::NotUnicode(_)) => Some("not text".to_owned()),
            Ok(value) => fault(&value),
        };
        let (whose, field, variable) = (whose.clone(), field.to_owned(), variable.to_owned());
        self.found.extend(why.map(|why| Missing::Variable { whose, field, variable, why }));
    }

    fn file(&mut self, whose: &Whose, field: &str, path: &Path, fault: Fault) {
        let path = self.options.base.join(path);
        let why = match fs::read_to_string(&path) {
            Err(error) => Some(format!("cannot be read: {error}")),
            Ok(text) => fault(&text).map(|why| format!("is {why}")),
        };
        let (whose, field) = (whose.clone(), field.to_owned());
        self.found.extend(why.map(|why| Missing::File { whose, field, path, why }));
    }

    fn authorities(&mut self, whose: &Whose, field: &str, tls: Option<&Tls>) {
        match tls.map(|tls| &tls.ca_file) {
            None => {}
            Some(Some(path)) => self.file(whose, field, path, empty),
            Some(None) if self.options.system_ca.is_file() => {}
            Some(None) => {
                let path = self.options.system_ca.clone();
                self.found.push(Missing::SystemAuthorities { whose: whose.clone(), path });
            }
        }
    }
}

fn empty(text: &str) -> Option<String> {
    text.trim().is_empty().then(|| "empty".to_owned())
}

/// Why a text is no token. Envoy sends it as it stands, so a line break inside would be a broken header.
fn token_fault(value: &str) -> Option<String> {
    let token = value.trim_end_matches(['\r', '\n']);
    empty(token).or_else(|| token.chars().any(char::is_control).then(|| "not one line of text".to_owned()))
}

/// Why a text is no token that both ends read alike: the state service takes white space off, Envoy only line breaks.
fn shared_fault(value: &str) -> Option<String> {
    let padded = value.trim() != value.trim_end_matches(['\r', '\n']);
    token_fault(value).or_else(|| padded.then(|| "a token with white space around it; remove that".to_owned()))
}

/// Why a text is no secret for ids: one that is short could be guessed.
fn key_fault(value: &str) -> Option<String> {
    let bytes = value.trim().len();
    let short = || format!("too short for a secret: it has {bytes} bytes of at least {MIN_SECRET}");
    token_fault(value).or_else(|| (bytes < MIN_SECRET).then(short))
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

/// The secrets that the configuration names and this machine has: what no log line may hold.
#[must_use]
pub fn secrets(config: &Config, options: &Options) -> Vec<String> {
    let tokens = config.models.iter().filter_map(|model| match &model.auth {
        Auth::None | Auth::Passthrough => None,
        Auth::BearerEnv(variable) => env::var(variable).ok(),
        Auth::BearerFile(path) => fs::read_to_string(options.base.join(path)).ok(),
    });
    let management = config.management.iter().filter_map(|management| management.token.as_ref());
    let others = config.callouts.state.token.iter().chain(&config.id_keys).chain(management);
    let others = others.filter_map(|secret| value(secret, options));
    let redis = config.response_api.redis.url_env.iter().filter_map(|variable| env::var(variable).ok());
    let all = tokens.chain(others).chain(redis);
    all.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()).collect()
}

/// The variables that Envoy needs beside those that the user exported: secrets of ids that stand in files.
#[must_use]
pub fn id_keys(config: &Config, options: &Options) -> Vec<(OsString, OsString)> {
    let keys = config.id_keys.iter().enumerate().filter(|(_, key)| matches!(key, Secret::File(_)));
    let keys = keys.filter_map(|(i, key)| Some((id_key_variable(i, key), value(key, options)?)));
    keys.map(|(variable, value)| (variable.into(), value.into())).collect()
}

fn value(secret: &Secret, options: &Options) -> Option<String> {
    let text = match secret {
        Secret::Env(variable) => env::var(variable).ok(),
        Secret::File(path) => fs::read_to_string(options.base.join(path)).ok(),
    };
    text.map(|text| text.trim().to_owned())
}
