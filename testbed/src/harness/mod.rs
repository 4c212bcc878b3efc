//! Boots the real stack on free ports: fake backends, the classifier service, and Envoy with the real filter from the rendered
//! bootstrap. Everything ends when the stack is dropped.

mod classifier;
mod envoy;
pub mod places;
mod process;
mod redis;
mod setup;
mod state;
mod stub;

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};

use fingerpost_core::config::{Config, ConfigError};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

pub use self::{
    classifier::ClassifierProcess,
    envoy::{Envoy, EnvoyOptions},
    process::{Log, Process, ProcessError, Program},
    redis::RedisProcess,
    setup::{Builder, EndpointSetup, ModelSetup},
    state::StateProcess,
    stub::{Stub, StubBehaviour, StubCall, StubReply},
};
use crate::{
    client::{Call, ClientError, Reply},
    fake::Fake,
};

/// Why a stack does not stand.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Something has not been built or set up.
    #[error(transparent)]
    Missing(#[from] places::Missing),
    /// The configuration is refused.
    #[error("the configuration is refused:\n{0}")]
    Config(#[from] ConfigError),
    /// The bootstrap cannot be rendered.
    #[error(transparent)]
    Render(#[from] fingerpost::render::envoy::Error),
    /// A process does not come up.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A backend or stub cannot listen.
    #[error("cannot listen: {0}")]
    Listen(io::Error),
    /// The temporary folder.
    #[error("temporary folder: {0}")]
    Folder(io::Error),
    /// JSON that should have been good.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Envoy's admin interface.
    #[error("Envoy's admin interface: {0}")]
    Admin(#[from] ClientError),
    /// An answer that says something else than it should.
    #[error("{what} is not as expected: {text}")]
    Unreadable {
        /// Whose answer.
        what: &'static str,
        /// The answer.
        text: String,
    },
}

/// Which classifier a stack has.
#[derive(Debug, Clone)]
pub enum Classifier {
    /// The real service with real weights.
    Real,
    /// One that fails to order, or gives an exact verdict.
    Stub(StubBehaviour),
    /// None: connections are refused.
    Down,
}

#[derive(Debug)]
enum RunningClassifier {
    Real(Arc<ClassifierProcess>),
    Stub(Stub),
    /// Bound and not listening, so that nobody else can answer there.
    Down {
        _socket: TcpSocket,
    },
}

impl RunningClassifier {
    async fn start(classifier: Classifier) -> Result<(Self, SocketAddr), StackError> {
        match classifier {
            Classifier::Real => {
                let shared = ClassifierProcess::shared().await?;
                let address = shared.address;
                Ok((Self::Real(shared), address))
            }
            Classifier::Stub(behaviour) => {
                let stub = Stub::start(behaviour).await.map_err(StackError::Listen)?;
                let address = stub.address();
                Ok((Self::Stub(stub), address))
            }
            Classifier::Down => {
                let socket = TcpSocket::new_v4().map_err(StackError::Listen)?;
                socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(StackError::Listen)?;
                let address = socket.local_addr().map_err(StackError::Listen)?;
                Ok((Self::Down { _socket: socket }, address))
            }
        }
    }
}

/// A running stack.
#[derive(Debug)]
pub struct Stack {
    envoy: Envoy,
    fakes: Vec<Fake>,
    classifier: RunningClassifier,
    state: Option<StateProcess>,
    _redis: Option<RedisProcess>,
    document: Value,
    env: Vec<(String, String)>,
    concurrency: u32,
}

impl Stack {
    /// Describes a stack.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn boot(builder: Builder) -> Result<Self, StackError> {
        let mut fakes: Vec<Fake> = Vec::new();
        for endpoint in builder.models.iter().flat_map(|model| &model.endpoints) {
            if fakes.iter().any(|fake| fake.name() == endpoint.fake.name) {
                continue;
            }
            fakes.push(Fake::start(endpoint.fake.clone()).await.map_err(StackError::Listen)?);
        }
        let (classifier, address) = RunningClassifier::start(builder.classifier.clone()).await?;
        let mut document = builder.document(&fakes, &address.to_string());
        let redis = if builder.redis { Some(RedisProcess::start().await?) } else { None };
        if let Some((redis, api)) = redis.as_ref().zip(document.get_mut("response_api").and_then(Value::as_object_mut))
        {
            api.insert("store_backend".to_owned(), "redis".into());
            api.insert("redis".to_owned(), json!({ "urls": [redis.url()] }));
        }
        let mut state = None;
        if builder.state.is_some() {
            let started = StateProcess::start(&document, &builder.env).await?;
            if let Some(callout) = document.pointer_mut("/callouts/state").and_then(Value::as_object_mut) {
                callout.insert("address".to_owned(), started.address().to_string().into());
            }
            state = Some(started);
        }
        let Builder { env, concurrency, .. } = builder;
        let envoy = Envoy::start(envoy_options(&document, &env, concurrency)?).await?;
        Ok(Self { envoy, fakes, classifier, state, _redis: redis, document, env, concurrency })
    }

    /// Starts another Envoy for the same backends and services, as one that was restarted with a changed configuration: it
    /// shares nothing with the first.
    ///
    /// # Errors
    /// The changed configuration is refused, or Envoy does not come up.
    pub async fn envoy_anew(&self, change: impl FnOnce(&mut Value)) -> Result<Envoy, StackError> {
        let mut document = self.document.clone();
        change(&mut document);
        Envoy::start(envoy_options(&document, &self.env, self.concurrency)?).await
    }

    /// Starts another Envoy with a changed bootstrap.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn envoy_patched(&self, change: impl FnOnce(&mut Value)) -> Result<Envoy, StackError> {
        let mut options = envoy_options(&self.document, &self.env, self.concurrency)?;
        change(&mut options.bootstrap);
        Envoy::start(options).await
    }

    /// The state service, where there is one.
    #[must_use]
    pub const fn state(&self) -> Option<&StateProcess> {
        self.state.as_ref()
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.envoy.data
    }

    /// Envoy.
    #[must_use]
    pub const fn envoy(&self) -> &Envoy {
        &self.envoy
    }

    /// All fake backends, in the order of the models.
    #[must_use]
    pub fn fakes(&self) -> &[Fake] {
        &self.fakes
    }

    /// The fake backend of that name.
    #[must_use]
    pub fn fake(&self, name: &str) -> Option<&Fake> {
        self.fakes.iter().find(|fake| fake.name() == name)
    }

    /// The stub classifier, where there is one.
    #[must_use]
    pub const fn stub(&self) -> Option<&Stub> {
        match &self.classifier {
            RunningClassifier::Stub(stub) => Some(stub),
            RunningClassifier::Real(_) | RunningClassifier::Down { .. } => None,
        }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send(&self, call: Call) -> Result<Reply, ClientError> {
        call.send(self.address()).await
    }

    /// Sends a chat completion and reads the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn chat(&self, json: &Value) -> Result<Reply, ClientError> {
        self.send(Call::chat(json)).await
    }

    /// Envoy's counters and gauges by name.
    ///
    /// # Errors
    /// The admin interface does not answer.
    pub async fn stats(&self) -> Result<HashMap<String, u64>, StackError> {
        self.envoy.stats().await
    }

    /// Everything that any process of the stack has logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = self.envoy.log().text();
        if let RunningClassifier::Real(real) = &self.classifier {
            text.push_str(&real.process.log().text());
        }
        text
    }
}

fn envoy_options(document: &Value, env: &[(String, String)], concurrency: u32) -> Result<EnvoyOptions, StackError> {
    let config = Config::from_json(document.to_string().as_bytes())?;
    let options = fingerpost::render::envoy::Options {
        wasm: places::wasm()?,
        system_ca: fingerpost::environment::system_ca(),
        base: places::root(),
    };
    let bootstrap = fingerpost::render::envoy::bootstrap(&config, &options)?;
    Ok(EnvoyOptions { bootstrap, env: env.to_vec(), concurrency, core: None })
}
