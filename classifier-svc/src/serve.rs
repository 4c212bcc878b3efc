//! Runs the service: binds, loads, reports ready, serves, drains.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use fingerpost_proto::{DESCRIPTORS, classifier as wire};
use serde::Serialize;
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};
use tonic::{server::NamedService, transport::server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    bundle::{Bundle, BundleError},
    config::Config,
    domain::{
        ModelInfo,
        analyzer::{Analyzer, AnalyzerLimits},
        window::WindowShape,
    },
    grpc::{ClassifierService, Slot},
    http::{Pages, router},
    metrics::Metrics,
};

type Server = wire::classifier_server::ClassifierServer<ClassifierService>;

/// Why the service did not start, or ended by itself.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address cannot be had.
    #[error("{field} {address}: cannot be bound: {source}")]
    Bind {
        /// The configuration's field.
        field: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The model cannot be loaded.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The ready file cannot be written.
    #[error("ready file {}: {source}", file.display())]
    ReadyFile {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reflection's descriptors are damaged.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The gRPC server failed.
    #[error("gRPC server: {0}")]
    Grpc(#[from] tonic::transport::Error),
    /// The system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or task of ours ended that should not.
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

/// The addresses that were bound, as the ready file says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// gRPC.
    pub grpc: SocketAddr,
    /// `/metrics` and `/healthz`.
    pub metrics: SocketAddr,
}

/// How a caller learns that the service is ready.
#[derive(Debug, Default)]
pub struct ServeOptions {
    /// A file to write [`Bound`] to, as JSON and atomically, once the service serves.
    pub ready_file: Option<PathBuf>,
    /// Told the same.
    pub ready: Option<oneshot::Sender<Bound>>,
}

/// Serves until `shutdown` is done, then drains: no new connection, an answer for whatever is
/// queued, at most `limits.drain_seconds`.
///
/// # Errors
/// [`ServeError`] when it cannot start or a part of it ends by itself.
pub async fn serve(
    config: Config,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let metrics = Arc::new(Metrics::default());
    let slot: Slot = Arc::new(OnceLock::new());
    let draining = Arc::new(AtomicBool::new(false));
    let (grpc, grpc_address) = bind("listen", config.listen).await?;
    let (http, http_address) = bind("metrics_listen", config.metrics_listen).await?;
    let bound = Bound { grpc: grpc_address, metrics: http_address };
    let (stop, stopped) = watch::channel(());
    let (health, server) = grpc_server(&config, grpc, &slot, &metrics, stopped.clone()).await?;
    let pages = Pages { metrics: Arc::clone(&metrics), slot: Arc::clone(&slot), draining: Arc::clone(&draining) };
    let http = axum::serve(http, router(pages)).with_graceful_shutdown(until(stopped));
    let http = tokio::spawn(http.into_future());
    let mut server = tokio::spawn(server);
    tokio::pin!(shutdown);

    let loading = load(&config, &metrics);
    let mut model_gone = tokio::select! {
        loaded = loading => {
            let (analyzer, gone) = loaded?;
            let info = analyzer.info().clone();
            // The slot is filled once, here.
            drop(slot.set(analyzer));
            health_status(&health, ServingStatus::Serving).await;
            announce(&info, options, bound)?;
            gone
        }
        () = &mut shutdown => {
            tracing::info!("stopped while loading");
            return Ok(());
        }
        ended = &mut server => return Err(ended_early(ended)),
    };
    tokio::select! {
        () = &mut shutdown => {}
        _ = &mut model_gone => return Err(ServeError::Ended("the model's thread")),
        ended = &mut server => return Err(ended_early(ended)),
    }

    let started = Instant::now();
    tracing::info!("draining");
    draining.store(true, Ordering::Relaxed);
    end_health(health).await;
    drop(stop);
    let drained = tokio::time::timeout(config.limits.drain(), async { (server.await, http.await) });
    match drained.await {
        Ok(_) => tracing::info!(millis = started.elapsed().as_millis(), "drained"),
        Err(_) => {
            tracing::warn!(seconds = config.limits.drain_seconds, "the drain timeout passed with requests unanswered")
        }
    }
    Ok(())
}

async fn bind(field: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind { field, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn grpc_server(
    config: &Config,
    listener: TcpListener,
    slot: &Slot,
    metrics: &Arc<Metrics>,
    stopped: watch::Receiver<()>,
) -> Result<(HealthReporter, impl Future<Output = Result<(), tonic::transport::Error>> + use<>), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health_status(&health, ServingStatus::NotServing).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let service = Server::new(ClassifierService::new(Arc::clone(slot), Arc::clone(metrics)))
        .max_decoding_message_size(config.limits.max_message_bytes);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(Some(1024))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, until(stopped));
    Ok((health, server))
}

/// Done when the sender is dropped.
async fn until(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

/// Loads the bundle on a thread of its own and starts the model's thread. The receiver is told when
/// that thread ends.
async fn load(config: &Config, metrics: &Arc<Metrics>) -> Result<(Analyzer, oneshot::Receiver<()>), ServeError> {
    let started = Instant::now();
    let owned = config.clone();
    let (bundle, tokenizer) = tokio::task::spawn_blocking(move || Bundle::load(&owned))
        .await
        .map_err(|_| ServeError::Ended("loading the model"))??;
    tracing::info!(millis = started.elapsed().as_millis(), "model loaded and warmed");
    let limits = &config.limits;
    let windows = WindowShape::new(limits.window_tokens, limits.window_overlap)
        .ok_or(ServeError::Ended("a window that cannot advance"))?;
    let limits = AnalyzerLimits {
        max_tokens: limits.max_tokens,
        max_segments: limits.max_segments,
        queue: limits.queue,
        batch_tokens: limits.batch_tokens,
        verdict_cache_bytes: limits.verdict_cache_bytes,
        windows,
    };
    let (analyzer, thread) = Analyzer::start(Box::new(bundle), tokenizer, limits, Arc::clone(metrics))
        .map_err(|source| ServeError::System { what: "starting the model's thread", source })?;
    let (tell, gone) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        if thread.join().is_err() {
            tracing::error!("the model's thread panicked");
        }
        // Nobody listens any more during a drain.
        tell.send(()).ok();
    });
    Ok((analyzer, gone))
}

fn announce(info: &ModelInfo, options: ServeOptions, bound: Bound) -> Result<(), ServeError> {
    if let Some(file) = options.ready_file {
        write_ready(&file, bound).map_err(|source| ServeError::ReadyFile { file, source })?;
    }
    let labels = info.labels.as_ref().map_or(0, |l| l.len());
    tracing::info!(
        grpc = %bound.grpc,
        metrics = %bound.metrics,
        model = %info.version,
        labels,
        "ready"
    );
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

fn ended_early(ended: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) -> ServeError {
    match ended {
        Ok(Err(error)) => error.into(),
        _ => ServeError::Ended("the gRPC server"),
    }
}
