//! What is run, made from the configuration before anything starts.

use std::{
    ffi::OsString,
    fs::{OpenOptions, Permissions},
    io::Write,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use fingerpost_core::config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Envoy, Error, find};
use crate::{
    environment,
    render::{Format, envoy, to_text},
    supervise::{Ready, Service},
};

/// What the configuration does not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration file, for the service that reads it itself.
    pub file: PathBuf,
    /// Envoy, where it is not to be searched for.
    pub envoy: Option<PathBuf>,
    /// The classifier's program, where it is not to be searched for.
    pub classifier: Option<PathBuf>,
    /// The classifier's configuration, where it is not to be searched for.
    pub classifier_config: Option<PathBuf>,
    /// Whether the classifier is run here.
    pub run_classifier: bool,
    /// The state service's program, where it is not to be searched for.
    pub state: Option<PathBuf>,
    /// Whether the state service is run here, where the configuration needs it, also for the management API, and gives it an address.
    pub run_state: bool,
    /// Envoy's worker threads; one a core where absent.
    pub concurrency: Option<u32>,
    /// Envoy's log level.
    pub log_level: String,
}

/// What is run. Its temporary folder is removed when it is dropped.
#[derive(Debug)]
pub struct Plan {
    /// In the order in which they start.
    pub services: Vec<Service>,
    /// Where clients send requests, `http://127.0.0.1:8801`.
    pub url: String,
    /// The model name that asks to be routed.
    pub auto_model: String,
    /// Whether the Responses API is served.
    pub responses: bool,
    /// Where the management API is read about, `http://127.0.0.1:8080/docs`, where it runs here.
    pub management: Option<String>,
    /// Texts that no log line may hold.
    pub secrets: Vec<String>,
    folder: TempDir,
}

impl Plan {
    /// Renders the bootstrap to a private folder and finds every program.
    ///
    /// # Errors
    /// Everything that would keep the stack from running and can be known before.
    pub fn new(config: &Config, render: &envoy::Options, options: &Options) -> Result<Self, Error> {
        let missing = environment::missing(config, render);
        if !missing.is_empty() {
            return Err(Error::Missing(missing));
        }
        if !render.wasm.is_file() {
            return Err(Error::Filter(render.wasm.clone()));
        }
        let data = free("listen.data", &config.listen.data)?;
        free("listen.admin", &config.listen.admin)?;
        let management = config.management.as_ref().filter(|_| runs_state(config, options));
        let management = management.map(|section| free("management.listen", &section.listen)).transpose()?;
        let folder = tempfile::Builder::new()
            .prefix("fingerpost-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(system("make a folder"))?;
        let mut services = Vec::new();
        if options.run_classifier {
            services.push(classifier(config, render, options, folder.path())?);
        }
        services.extend(state(config, options, folder.path())?);
        services.push(envoy(config, render, options, folder.path())?);
        Ok(Self {
            services,
            url: format!("http://{}", reachable(data)),
            auto_model: config.auto_model.clone(),
            responses: config.response_api.enabled,
            management: management.map(|address| format!("http://{}/docs", reachable(address))),
            secrets: environment::secrets(config, render),
            folder,
        })
    }

    /// The folder with the rendered bootstrap, readable by this user alone.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Commands to paste, a line each.
    #[must_use]
    pub fn curls(&self) -> String {
        let question = "What is the derivative of x^2?";
        let body = json!({"model": self.auto_model, "messages": [{"role": "user", "content": question}]});
        let mut curls = self.curl("/v1/chat/completions", &body);
        if self.responses {
            curls.push('\n');
            curls.push_str(&self.curl("/v1/responses", &json!({"model": self.auto_model, "input": question})));
        }
        curls
    }

    fn curl(&self, path: &str, body: &Value) -> String {
        format!("curl {}{path} -H 'content-type: application/json' -d '{body}'", self.url)
    }
}

fn classifier(config: &Config, render: &envoy::Options, options: &Options, folder: &Path) -> Result<Service, Error> {
    let program = find::classifier(options.classifier.as_deref())?;
    let file = find::classifier_config(options.classifier_config.as_deref(), &render.base)?;
    let ready = folder.join("classifier.json");
    let mut service = Service::new("classifier", program);
    service.args = vec!["serve".into(), "--config".into(), file.into(), "--ready-file".into(), ready.clone().into()];
    // Where the filter looks for it; a host name is left to the classifier's own configuration.
    if let Ok(address) = config.callouts.classifier.address.parse::<SocketAddr>() {
        service = service.args(["--listen".to_owned(), address.to_string()]);
    }
    service.env.extend(no_colour());
    service.ready = Ready::File(ready);
    Ok(service)
}

/// Whether the state service is run here: it keeps responses, unless that happens elsewhere, at a host name; where none are kept, it
/// serves the management API alone.
fn runs_state(config: &Config, options: &Options) -> bool {
    let here = config.callouts.state.address.parse::<SocketAddr>().is_ok();
    options.run_state && if config.response_api.enabled { here } else { config.management.is_some() }
}

/// The state service, where it is needed here.
fn state(config: &Config, options: &Options, folder: &Path) -> Result<Option<Service>, Error> {
    if !runs_state(config, options) {
        return Ok(None);
    }
    let ready = folder.join("state.json");
    let mut service = Service::new("state", find::state(options.state.as_deref())?);
    service.args = vec!["serve".into(), "--config".into(), options.file.clone().into()];
    service.args.extend(["--ready-file".into(), ready.clone().into()]);
    service.env.extend(no_colour());
    service.ready = Ready::File(ready);
    Ok(Some(service))
}

/// What a service writes passes through here: whether colours are wanted is seen here alone.
fn no_colour() -> Option<(OsString, OsString)> {
    (!console::colors_enabled_stderr()).then(|| ("NO_COLOR".into(), "1".into()))
}

fn envoy(config: &Config, render: &envoy::Options, options: &Options, folder: &Path) -> Result<Service, Error> {
    let bootstrap = folder.join("envoy.yaml");
    write_private(&bootstrap, &to_text(&envoy::bootstrap(config, render)?, Format::Yaml)?)?;
    // Written once Envoy has its admin port: another Envoy's answer there cannot be taken for ours.
    let admin = folder.join("admin-address");
    let mut service = match Envoy::find(options.envoy.as_deref())? {
        Envoy::Program(program) => Service::new("envoy", program),
        Envoy::FuncE(program) => {
            let mut service = Service::new("envoy", program).args(["run"]);
            if std::env::var_os("ENVOY_VERSION").is_none() {
                service.env.push(("ENVOY_VERSION".into(), find::ENVOY_VERSION.into()));
            }
            service
        }
    };
    service = service.args(["-c".into(), bootstrap.into_os_string()]);
    service = service.args(["--admin-address-path".into(), admin.clone().into_os_string()]);
    service = service.args(["--use-dynamic-base-id", "--log-level", options.log_level.as_str()]);
    if let Some(workers) = options.concurrency {
        service = service.args(["--concurrency".to_owned(), workers.to_string()]);
    }
    service.env.extend(environment::id_keys(config, render));
    let url = format!("http://{}/ready", config.listen.admin);
    service.ready = Ready::All(vec![Ready::File(admin), Ready::Http(url)]);
    Ok(service)
}

/// Envoys share a port without a word, so what listens already is sought before.
fn free(path: &'static str, address: &str) -> Result<SocketAddr, Error> {
    let listening = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    listening.map_err(|source| Error::Listen { path, address: address.to_owned(), source })
}

/// Where a client on this machine reaches what listens on `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(system("write the bootstrap"))
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::System { what, source }
}
