//! A service in this process, and what both edges' tests say to it.

use std::{net::SocketAddr, path::PathBuf};

use fingerpost_state::{
    config::{Backend, Services, Settings, TlsFiles},
    domain::Limits,
    serve::{ServeOptions, serve},
};
use tokio::{sync::oneshot, task::JoinHandle};

pub const OWNER: &str = "tenant-a";

/// Ends when it is told to, or dropped with its runtime.
pub struct Running {
    /// Of the state service; where that is not served, of the management API.
    pub address: SocketAddr,
    pub management: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

pub fn settings() -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: None,
        tls: None,
        backend: Backend::Memory,
        limits: Limits { ttl: 3_600_000, max_responses: 1_000, max_turns: 3, max_conversation_bytes: 1 << 20 },
        max_body: 64 * 1024,
    }
}

impl Running {
    pub async fn start(services: impl Into<Services>) -> Self {
        let services = services.into();
        let ((stop, stopped), (ready, bound)) = (oneshot::channel(), oneshot::channel());
        let options = ServeOptions { ready_file: None::<PathBuf>, ready: Some(ready) };
        let served = tokio::spawn(async move {
            serve(services, options, async { drop(stopped.await) }).await.unwrap();
        });
        let bound = bound.await.unwrap();
        Self { address: bound.state.or(bound.management).unwrap(), management: bound.management, stop, served }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Drains; done when the service has ended.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
    }
}

pub fn response_id(conversation: u64, node: u64) -> String {
    format!("resp_{:016x}{conversation:016x}{node:016x}", 7)
}

pub fn item(conversation: u64, node: u64, ordinal: u16) -> String {
    format!(r#"{{"id":"msg_{conversation:016x}{node:016x}{ordinal:04x}","type":"message","role":"user","content":[]}}"#)
}

pub fn response(conversation: u64, node: u64) -> String {
    let (id, output) = (response_id(conversation, node), item(conversation, node, 0x8000));
    format!(r#"{{"id":"{id}",  "object":"response","output":[{output}]}}"#)
}

/// PEM files: a server's identity for localhost, and an authority with a client it signed.
pub struct Pems {
    pub files: TlsFiles,
    pub server: rcgen::Certificate,
    pub client: (rcgen::Certificate, rcgen::KeyPair),
    pub _folder: tempfile::TempDir,
}

pub fn pems() -> Pems {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = parameters.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let client = rcgen::CertificateParams::new(["filter".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    Pems {
        files: TlsFiles {
            cert: write("cert.pem", server.cert.pem()),
            key: write("key.pem", server.signing_key.serialize_pem()),
            client_ca: Some(write("ca.pem", ca.pem())),
        },
        server: server.cert,
        client: (client, key),
        _folder: folder,
    }
}
