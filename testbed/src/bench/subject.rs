//! What is measured: Envoys that differ in their HTTP filters alone, behind the same listener, route and cluster.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use clap::ValueEnum;
use fingerpost_core::config::Config;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{BenchError, backend::Backend, cpu::Cores};
use crate::harness::{ClassifierProcess, Envoy, EnvoyOptions, StackError, Stub, StubBehaviour, places};

/// A configuration that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Envoy with its router alone.
    Bare,
    /// Envoy with its own buffer filter, which holds the body as the filter must.
    Buffer,
    /// The filter, a named model: no callout.
    Named,
    /// The same without `routing_metadata`: the answer passes untouched.
    NamedPlain,
    /// The filter, `auto`, a classifier that answers at once: what the callout itself costs.
    AutoStub,
    /// The filter, `auto`, the real classifier.
    Auto,
}

impl Kind {
    /// All of them, bare Envoy first.
    pub const ALL: [Self; 6] = [Self::Bare, Self::Buffer, Self::Named, Self::NamedPlain, Self::AutoStub, Self::Auto];

    /// For the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare Envoy",
            Self::Buffer => "Envoy's buffer filter",
            Self::Named => "filter, named model",
            Self::NamedPlain => "filter, named model, no `routing_metadata`",
            Self::AutoStub => "filter, auto, instant classifier",
            Self::Auto => "filter, auto, real classifier",
        }
    }

    const fn model(self) -> &'static str {
        match self {
            Self::Bare | Self::Buffer | Self::Named | Self::NamedPlain => "general",
            Self::AutoStub | Self::Auto => "auto",
        }
    }
}

/// One Envoy under load.
#[derive(Debug)]
pub(super) struct Subject {
    pub kind: Kind,
    pub pid: u32,
    envoy: Arc<Envoy>,
}

/// Where requests go, and what is in them.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub kind: Kind,
    pub address: SocketAddr,
    pub body: Bytes,
}

impl Subject {
    pub(super) fn target(&self, bytes: usize) -> Target {
        Target { kind: self.kind, address: self.envoy.data, body: body(self.kind.model(), bytes) }
    }
}

/// A chat as an application sends it: a system prompt, a history that fills the size, a short question at the end.
fn body(model: &str, bytes: usize) -> Bytes {
    let mut messages = vec![
        json!({ "role": "system", "content": "You are a patient tutor. Answer briefly, and say so when you are not sure." }),
    ];
    let question =
        json!({ "role": "user", "content": "What is the derivative of x^2, and what is its value at x = 3?" });
    let write = |messages: &[Value]| {
        json!({ "model": model, "temperature": 0.7, "max_tokens": 256, "stream": false, "user": "bench", "messages": messages }).to_string()
    };
    let mut size = write(&[messages.clone(), vec![question.clone()]].concat()).len();
    for turn in 0_usize.. {
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        let text = format!(
            "Turn {turn}: we looked at \"limits\" and sums \u{2211}, then:\n\tf(x) = x^2 + {turn}; the slope follows from (f(x+h) - f(x))/h as h goes to 0."
        );
        let message = json!({ "role": role, "content": text });
        size += message.to_string().len() + 1;
        if size > bytes {
            break;
        }
        messages.push(message);
    }
    messages.push(question);
    write(&messages).into()
}

/// All Envoys of a run, and what they need.
#[derive(Debug)]
pub(super) struct Subjects {
    subjects: Vec<Subject>,
    _backend: Backend,
    _stub: Stub,
    _classifier: Option<Arc<ClassifierProcess>>,
}

impl Subjects {
    pub(super) async fn start(kinds: &[Kind], cores: &Cores, progress: &ProgressBar) -> Result<Self, BenchError> {
        let backend = Backend::start().await.map_err(StackError::Listen)?;
        let stub = Stub::start(StubBehaviour::verdict("math", 0.9)).await.map_err(StackError::Listen)?;
        let classifier = match kinds.contains(&Kind::Auto) {
            true => Some(ClassifierProcess::shared().await?),
            false => None,
        };
        let (mut subjects, mut filtered) = (Vec::<Subject>::new(), None);
        for kind in kinds.iter().copied() {
            progress.set_message(format!("starting {}", kind.name()));
            let asked = if kind == Kind::Auto { classifier.as_ref().map(|real| real.address) } else { None };
            // A named model makes no callout, so that it and the stub's `auto` share an Envoy.
            let shares = matches!(kind, Kind::Named | Kind::AutoStub);
            let envoy = match filtered.clone().filter(|_| shares) {
                Some(running) => running,
                None => {
                    let bootstrap = bootstrap(kind, backend.address, asked.unwrap_or_else(|| stub.address()))?;
                    let options = EnvoyOptions { bootstrap, env: Vec::new(), concurrency: 1, core: cores.envoy };
                    Arc::new(Envoy::start(options).await?)
                }
            };
            if shares {
                filtered = Some(Arc::clone(&envoy));
            }
            let pid = envoy.id().ok_or_else(|| StackError::Unreadable {
                what: "Envoy's process id",
                text: "it has ended".to_owned(),
            })?;
            subjects.push(Subject { kind, pid, envoy });
        }
        Ok(Self { subjects, _backend: backend, _stub: stub, _classifier: classifier })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter()
    }

    pub(super) fn get(&self, kind: Kind) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.kind == kind)
    }
}

/// The bootstrap that `fingerpost render` makes, with the filter replaced where it is not what is measured.
fn bootstrap(kind: Kind, backend: SocketAddr, classifier: SocketAddr) -> Result<Value, StackError> {
    let document = json!({
        "listen": { "data": "127.0.0.1:0", "admin": "127.0.0.1:0" },
        "default_model": "general",
        "models": [{ "name": "general", "endpoints": [{ "name": "general", "address": backend.to_string() }] }],
        "decisions": [{ "name": "sciences", "when": "category in ['math', 'physics'] && confidence > 0.4", "model": "general" }],
        "callouts": { "classifier": { "address": classifier.to_string(), "timeout": "10s" } },
        "routing_metadata": kind != Kind::NamedPlain,
    });
    let config = Config::from_json(document.to_string().as_bytes())?;
    let options = fingerpost::render::envoy::Options {
        wasm: places::wasm()?,
        system_ca: fingerpost::environment::system_ca(),
        base: places::root(),
    };
    let mut bootstrap = fingerpost::render::envoy::bootstrap(&config, &options)?;
    if !matches!(kind, Kind::Bare | Kind::Buffer) {
        return Ok(bootstrap);
    }
    let filters =
        bootstrap.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters");
    let unreadable = || StackError::Unreadable { what: "the rendered bootstrap", text: "no http_filters".to_owned() };
    let filters = filters.and_then(Value::as_array_mut).ok_or_else(unreadable)?;
    filters.retain(|filter| filter.get("name").and_then(Value::as_str) != Some("envoy.filters.http.wasm"));
    if kind == Kind::Buffer {
        let buffer = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer";
        let typed = json!({ "@type": buffer, "max_request_bytes": config.limits.max_body.0 });
        filters.insert(0, json!({ "name": "envoy.filters.http.buffer", "typed_config": typed }));
    }
    Ok(bootstrap)
}
