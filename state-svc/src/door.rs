//! A port and what is behind it: connections are taken, TLS is spoken, requests are handed on.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Longest wait for a client's first bytes, and for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A listener and what answers there.
pub(crate) struct Door {
    pub listener: TcpListener,
    pub acceptor: Option<TlsAcceptor>,
    pub router: Router,
}

impl Door {
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection; never one where there is no door.
    pub(crate) async fn next(door: Option<&Self>) -> (TcpStream, &Self) {
        let Some(door) = door else { return std::future::pending().await };
        loop {
            match door.listener.accept().await {
                Ok((stream, _)) => return (stream, door),
                // Out of file descriptors, say: what is open may close meanwhile.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Serves a connection beside others.
    pub(crate) fn open(&self, stream: TcpStream, watcher: Watcher) {
        drop(tokio::spawn(connection(stream, self.acceptor.clone(), self.router.clone(), watcher)));
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, router: Router, watcher: Watcher) {
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

async fn talk<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S, router: Router, watcher: Watcher) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(1024).adaptive_window(true);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended badly");
    }
}
