//! Runs the service: opens the store, binds, reports ready, serves gRPC and HTTP on one port, drains.

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
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::TlsAcceptor;
use tonic::server::NamedService;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    auth::{Token, guard},
    config::{Backend, Settings},
    domain::{
        Conversations, StoreError,
        clock::{Clock, SystemClock},
        port::ConversationStore,
    },
    engine::{embedded::Embedded, memory::Memory, redis::Redis},
    grpc::StateService,
    http::{App, router},
    metrics::Metrics,
    tls::{self, TlsError},
};

type Server = wire::state_server::StateServer<StateService>;

/// Longest wait for a client's first bytes, and for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
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
    /// gRPC and HTTP.
    pub state: SocketAddr,
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
    settings: Settings,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let acceptor = settings.tls.as_ref().map(tls::server).transpose()?.map(TlsAcceptor::from);
    let store = open(&settings.backend).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let app = App {
        conversations: Arc::new(Conversations::new(store, clock, settings.limits)),
        metrics: Arc::new(Metrics::default()),
        draining: Arc::new(AtomicBool::new(false)),
        store_failed: Arc::new(AtomicBool::new(false)),
        max_body: settings.max_body,
    };
    let address = settings.listen;
    let bind = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let bound = Bound { state: listener.local_addr().map_err(bind)? };
    let (health, router) = routes(&app, &settings).await?;
    announce(&settings, options, bound)?;

    let sweeper = tokio::spawn(sweep(app.clone(), health.clone()));
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(connection(stream, acceptor.clone(), router.clone(), graceful.watcher()))),
                // Out of file descriptors, say: what is open may close meanwhile.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    drop(listener);
    sweeper.abort();
    drain(&app, health, graceful).await;
    Ok(())
}

async fn drain(app: &App, health: HealthReporter, graceful: GracefulShutdown) {
    let started = Instant::now();
    tracing::info!("draining");
    app.draining.store(true, Ordering::Relaxed);
    end_health(health).await;
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

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
    match acceptor {
        None => talk(stream, router, watcher).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => talk(stream, router, watcher).await,
            Ok(Err(error)) => tracing::info!(%error, "a TLS handshake failed"),
            Err(_) => tracing::info!("a TLS handshake took too long"),
        },
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(1024).adaptive_window(true);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended badly");
    }
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

fn announce(settings: &Settings, options: ServeOptions, bound: Bound) -> Result<(), ServeError> {
    if let Some(file) = options.ready_file {
        write_ready(&file, bound).map_err(|source| ServeError::ReadyFile { file, source })?;
    }
    let store = match &settings.backend {
        Backend::Memory => "memory".to_owned(),
        Backend::Embedded(path) => path.display().to_string(),
        // A URL may hold credentials.
        Backend::Redis(address) => format!("redis, {} server(s) named", address.urls.len()),
    };
    tracing::info!(address = %bound.state, store, token = settings.token.is_some(), tls = settings.tls.is_some(), "ready");
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
