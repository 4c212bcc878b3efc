//! A fake LLM backend that speaks the OpenAI API, records what it receives and misbehaves when told to.

mod answer;
mod behaviour;
mod native;
mod record;
mod service;
#[cfg(test)]
mod tests;
mod words;

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

pub use self::{behaviour::Behaviour, record::Recorded};
use self::{native::Kept, record::Ring, service::Peer};

/// How a fake backend is started.
#[derive(Debug, Clone)]
pub struct FakeOptions {
    /// Its name, in every answer.
    pub name: String,
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// What stands before `/chat/completions`.
    pub base_path: String,
    /// TLS; plain text where absent.
    pub tls: Option<Arc<ServerConfig>>,
}

impl FakeOptions {
    /// A plain backend under `/v1` on a free loopback port.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { name: name.into(), address, base_path: "/v1".to_owned(), tls: None }
    }
}

#[derive(Debug)]
struct State {
    name: String,
    base_path: String,
    ring: Ring,
    behaviour: Mutex<Behaviour>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    kept: Mutex<Kept>,
    connections: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn behaviour(&self) -> Behaviour {
        lock(&self.behaviour).clone()
    }

    fn set_behaviour(&self, behaviour: Behaviour) {
        *lock(&self.behaviour) = behaviour;
    }

    fn gate(&self, name: &str) -> Arc<Semaphore> {
        let mut gates = lock(&self.gates);
        Arc::clone(gates.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }

    /// Takes one permit of the gate, for good. A closed gate lets everything pass.
    async fn pass(&self, name: &str) {
        if let Ok(permit) = self.gate(name).acquire_owned().await {
            permit.forget();
        }
    }
}

/// A running fake backend. It stops when dropped.
#[derive(Debug)]
pub struct Fake {
    state: Arc<State>,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Fake {
    /// Binds and serves.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(options: FakeOptions) -> io::Result<Self> {
        let FakeOptions { name, address, base_path, tls } = options;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            name,
            base_path,
            ring: Ring::new(),
            behaviour: Mutex::default(),
            gates: Mutex::default(),
            kept: Mutex::default(),
            connections: AtomicU64::new(0),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&state), tls.clone()));
        Ok(Self { state, address, tls, server: Mutex::new(Some(server)) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets how every request without a marker is treated from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state.set_behaviour(behaviour);
    }

    /// Lets `permits` more chunks or headers through a gate.
    pub fn release(&self, gate: &str, permits: usize) {
        self.state.gate(gate).add_permits(permits);
    }

    /// Opens a gate for good.
    pub fn open(&self, gate: &str) {
        self.state.gate(gate).close();
    }

    /// All requests kept, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<Recorded>> {
        self.state.ring.all()
    }

    /// All requests kept, as `GET /__requests` shows them.
    #[must_use]
    pub fn requests_json(&self) -> Value {
        self.state.ring.to_json()
    }

    /// The ids of the responses that this instance has, in no order.
    #[must_use]
    pub fn responses(&self) -> Vec<String> {
        lock(&self.state.kept).ids()
    }

    /// The newest kept request that fits.
    pub fn find(&self, wanted: impl Fn(&Recorded) -> bool) -> Option<Arc<Recorded>> {
        self.state.ring.find(wanted)
    }

    /// Waits until a request that fits has arrived whole; `None` when none has in time.
    pub async fn wait(&self, limit: Duration, wanted: impl Fn(&Recorded) -> bool) -> Option<Arc<Recorded>> {
        self.state.ring.wait(limit, wanted).await
    }

    /// Dies as a killed process would: every connection breaks, new ones are refused. Returns once that is so.
    pub async fn kill(&self) {
        let server = lock(&self.server).take();
        if let Some(server) = server {
            server.abort();
            // The task's end is what is waited for; that it was cancelled is known.
            let _cancelled = server.await;
        }
    }

    /// Comes back at the same address.
    ///
    /// # Errors
    /// The address has been taken by another process meanwhile.
    pub async fn revive(&self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        let server = tokio::spawn(accept(listener, Arc::clone(&self.state), self.tls.clone()));
        lock(&self.server).replace(server);
        Ok(())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(server) = lock(&self.server).take() {
            server.abort();
        }
    }
}

/// Accepts until aborted; its connections end with it.
async fn accept(listener: TcpListener, state: Arc<State>, tls: Option<Arc<ServerConfig>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let connection = state.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(handle(stream, Arc::clone(&state), tls.clone(), connection));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn handle(stream: TcpStream, state: Arc<State>, tls: Option<Arc<ServerConfig>>, connection: u64) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = tls else {
        return converse(stream, state, Peer { connection, sni: None }).await;
    };
    // A client that does not trust the certificate hangs up here.
    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
        let sni = stream.get_ref().1.server_name().map(str::to_owned);
        converse(stream, state, Peer { connection, sni }).await;
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>, peer: Peer) {
    let service = service_fn(move |request| service::serve(Arc::clone(&state), peer.clone(), request));
    let server = auto::Builder::new(TokioExecutor::new());
    // Broken connections are the point of this server.
    let _ended = server.serve_connection(TokioIo::new(stream), service).await;
}
