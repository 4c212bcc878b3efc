//! Runs the service: opens the store, binds, reports ready, serves gRPC and HTTP on one port and the management API on another,
//! drains.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, middleware};
use fingerpost_proto::{DESCRIPTORS, state as wire};
use hyper_util::server::graceful::GracefulShutdown;
use serde::Serialize;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tonic::server::NamedService;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    auth::{Token, guard},
    config::{Backend, Services, Settings},
    domain::{
        Conversations, StoreError,
        clock::{Clock, SystemClock},
        port::ConversationStore,
    },
    door::Door,
    engine::{embedded::Embedded, memory::Memory, redis::Redis},
    grpc::StateService,
    http::{App, router},
    management::{self, ManagementError},
    metrics::Metrics,
    tls::{self, TlsError},
};

type Server = wire::state_server::StateServer<StateService>;

/// Longest wait for requests that are under way at shutdown.
const DRAIN: Duration = Duration::from_secs(20);
/// How often what has expired is let go, where no save does it on the way. It also shows whether the store still takes writes.
const SWEEP: Duration = Duration::from_secs(10);
/// Room in a gRPC message for what is no item.
const SLACK: u64 = 4 * 1024 * 1024;

/// Why the service did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error("{address}: cannot be bound: {source}")]
    Bind {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What was bound does not tell its address.
    #[error("a listener's address cannot be had: {0}")]
    Address(io::Error),
    /// The management API cannot be made.
    #[error(transparent)]
    Management(#[from] ManagementError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The reflection service has no descriptors.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The ready file cannot be written.
    #[error("{}: cannot be written: {source}", file.display())]
    ReadyFile {
        /// Which one.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where the service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// gRPC and HTTP of the state service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<SocketAddr>,
    /// The management API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management: Option<SocketAddr>,
}

/// How readiness is told.
#[derive(Debug, Default)]
pub struct ServeOptions {
    /// A file that gets the address as JSON.
    pub ready_file: Option<PathBuf>,
    /// A channel that gets it.
    pub ready: Option<oneshot::Sender<Bound>>,
}

/// Opens the store that the settings name.
///
/// # Errors
/// [`StoreError`].
pub async fn open(backend: &Backend) -> Result<Arc<dyn ConversationStore>, StoreError> {
    Ok(match backend {
        Backend::Memory => Arc::new(Memory::default()),
        Backend::Embedded(path) => Arc::new(Embedded::open(path)?),
        Backend::Redis(address) => Arc::new(Redis::connect(address.clone()).await?),
    })
}

/// Serves until `shutdown` is done, then drains: no new connection, an answer for whatever is under way.
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub async fn serve(
    services: impl Into<Services>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let Services { state, management } = services.into();
    let draining = Arc::new(AtomicBool::new(false));
    let kept = match &state {
        Some(settings) => Some(Kept::open(settings, Arc::clone(&draining)).await?),
        None => None,
    };
    let manager = match management {
        Some(settings) => {
            let (address, token) = (settings.listen, settings.token.is_some());
            let door = door(address, None, management::router(settings, Arc::clone(&draining))?).await?;
            tracing::info!(address = %bound_to(&door)?, token, "the management API listens");
            Some(door)
        }
        None => None,
    };
    let state_door = kept.as_ref().map(|kept| &kept.door);
    let bound =
        Bound { state: state_door.map(bound_to).transpose()?, management: manager.as_ref().map(bound_to).transpose()? };
    announce(state.as_ref(), options, bound)?;

    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let (stream, door) = tokio::select! {
            () = &mut shutdown => break,
            next = Door::next(state_door) => next,
            next = Door::next(manager.as_ref()) => next,
        };
        door.open(stream, graceful.watcher());
    }
    drop(manager);
    draining.store(true, Ordering::Relaxed);
    if let Some(kept) = kept {
        kept.close().await;
    }
    drain(graceful).await;
    Ok(())
}

/// The state service, while it serves.
struct Kept {
    door: Door,
    health: HealthReporter,
    sweeper: JoinHandle<()>,
}

impl Kept {
    async fn open(settings: &Settings, draining: Arc<AtomicBool>) -> Result<Self, ServeError> {
        let acceptor = settings.tls.as_ref().map(tls::server).transpose()?.map(TlsAcceptor::from);
        let store = open(&settings.backend).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let app = App {
            conversations: Arc::new(Conversations::new(store, clock, settings.limits)),
            metrics: Arc::new(Metrics::default()),
            draining,
            store_failed: Arc::new(AtomicBool::new(false)),
            max_body: settings.max_body,
        };
        let (health, router) = routes(&app, settings).await?;
        let door = door(settings.listen, acceptor, router).await?;
        let sweeper = tokio::spawn(sweep(app, health.clone()));
        Ok(Self { door, health, sweeper })
    }

    async fn close(self) {
        drop(self.door);
        self.sweeper.abort();
        end_health(self.health).await;
    }
}

async fn door(address: SocketAddr, acceptor: Option<TlsAcceptor>, router: Router) -> Result<Door, ServeError> {
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })?;
    Ok(Door { listener, acceptor, router })
}

fn bound_to(door: &Door) -> Result<SocketAddr, ServeError> {
    door.address().map_err(ServeError::Address)
}

async fn drain(graceful: GracefulShutdown) {
    let started = Instant::now();
    tracing::info!("draining");
    match tokio::time::timeout(DRAIN, graceful.shutdown()).await {
        Ok(()) => tracing::info!(millis = started.elapsed().as_millis(), "drained"),
        Err(_) => tracing::warn!(seconds = DRAIN.as_secs(), "the drain timeout passed with requests unanswered"),
    }
}

/// gRPC and HTTP in one router, behind the token.
async fn routes(app: &App, settings: &Settings) -> Result<(HealthReporter, Router), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health_status(&health, ServingStatus::Serving).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // No message that is larger could be stored.
    let most = usize::try_from(settings.limits.max_conversation_bytes.saturating_add(SLACK)).unwrap_or(usize::MAX);
    let service = StateService { conversations: Arc::clone(&app.conversations), metrics: Arc::clone(&app.metrics) };
    let grpc = tonic::service::Routes::new(Server::new(service).max_decoding_message_size(most))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let token = Token(settings.token.as_deref().map(Arc::from));
    let router = router(app.clone(), grpc.into_axum_router());
    Ok((health, router.layer(middleware::from_fn_with_state(token, guard))))
}

/// Lets go of what has expired, now and then. While the store takes no writes, health says so: an embedded one that met an I/O
/// error works again only after a restart.
async fn sweep(app: App, health: HealthReporter) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let swept = app.conversations.sweep().await;
        if app.store_failed.swap(swept.is_err(), Ordering::Relaxed) != swept.is_err() {
            let status = if swept.is_err() { ServingStatus::NotServing } else { ServingStatus::Serving };
            health_status(&health, status).await;
        }
        match swept {
            Ok(gone) => app.metrics.swept(gone),
            Err(error) => tracing::error!(%error, "a sweep failed"),
        }
    }
}

fn announce(settings: Option<&Settings>, options: ServeOptions, bound: Bound) -> Result<(), ServeError> {
    if let Some(file) = options.ready_file {
        write_ready(&file, bound).map_err(|source| ServeError::ReadyFile { file, source })?;
    }
    match settings.zip(bound.state) {
        Some((settings, address)) => {
            let store = match &settings.backend {
                Backend::Memory => "memory".to_owned(),
                Backend::Embedded(path) => path.display().to_string(),
                // A URL may hold credentials.
                Backend::Redis(address) => format!("redis, {} server(s) named", address.urls.len()),
            };
            tracing::info!(%address, store, token = settings.token.is_some(), tls = settings.tls.is_some(), "ready");
        }
        None => tracing::info!("ready; nothing is stored: response_api.enabled is false"),
    }
    if let Some(ready) = options.ready {
        // Whoever asked may have gone.
        ready.send(bound).ok();
    }
    Ok(())
}

/// Written beside the file and renamed, so that a reader sees all of it or nothing.
fn write_ready(file: &Path, bound: Bound) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    std::fs::write(&temporary, serde_json::to_vec(&bound)?)?;
    std::fs::rename(&temporary, file)
}

async fn health_status(health: &HealthReporter, status: ServingStatus) {
    for service in ["", Server::NAME] {
        health.set_service_status(service, status).await;
    }
}

/// Tells watchers, then ends their streams, which would otherwise hold the drain open.
async fn end_health(mut health: HealthReporter) {
    health_status(&health, ServingStatus::NotServing).await;
    for service in ["", Server::NAME] {
        health.clear_service_status(service).await;
    }
}
