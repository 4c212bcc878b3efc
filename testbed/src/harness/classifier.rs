//! The real classifier service as a child process, shared by all stacks of a test process that want it.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{
    StackError, places,
    process::{Process, Program},
};

/// Loading the model takes seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running classifier service.
#[derive(Debug)]
pub struct ClassifierProcess {
    /// Where it serves gRPC.
    pub address: SocketAddr,
    /// The process.
    pub process: Process,
    _folder: TempDir,
}

static SHARED: Mutex<Weak<ClassifierProcess>> = Mutex::const_new(Weak::new());

impl ClassifierProcess {
    /// The running one, or a new one. It ends with its last user.
    ///
    /// # Errors
    /// It is missing, or does not come up.
    pub async fn shared() -> Result<Arc<Self>, StackError> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    async fn start() -> Result<Self, StackError> {
        let folder = TempDir::new().map_err(StackError::Folder)?;
        let ready = folder.path().join("ready.json");
        let args = [
            "serve".into(),
            "--config".into(),
            places::classifier_config()?.into(),
            "--ready-file".into(),
            ready.clone().into(),
            "--listen".into(),
            "127.0.0.1:0".into(),
            "--metrics-listen".into(),
            "127.0.0.1:0".into(),
        ];
        let path = places::classifier()?;
        let mut process = Process::start(Program { name: "classifier", path, args: args.into(), env: Vec::new() })?;
        process.says("ready", PATIENCE).await?;
        let text = std::fs::read_to_string(&ready).map_err(StackError::Folder)?;
        let json: Value = serde_json::from_str(&text)?;
        let address = json.get("grpc").and_then(Value::as_str).and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| StackError::Unreadable { what: "the classifier's ready file", text })?;
        Ok(Self { address, process, _folder: folder })
    }
}
