//! The real state service as a child process that can die and come back on what it kept.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{
    StackError, places,
    process::{Process, Program},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A state service, running or not. Its address stays.
#[derive(Debug)]
pub struct StateProcess {
    address: SocketAddr,
    env: Vec<(String, String)>,
    folder: TempDir,
    process: Mutex<Option<Process>>,
}

impl StateProcess {
    /// Starts it on a free loopback port, with this configuration, and waits until it is ready. An embedded store lies in a
    /// folder that goes with it.
    ///
    /// # Errors
    /// It is missing, refuses the configuration, or does not come up.
    pub async fn start(document: &Value, env: &[(String, String)]) -> Result<Self, StackError> {
        let folder = TempDir::new().map_err(StackError::Folder)?;
        let config = folder.path().join("fingerpost.yaml");
        std::fs::write(config, serde_json::to_vec_pretty(document)?).map_err(StackError::Folder)?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut state = Self { address: any, env: env.to_vec(), folder, process: Mutex::new(None) };
        state.revive().await?;
        let text = std::fs::read_to_string(state.ready()).map_err(StackError::Folder)?;
        let json: Value = serde_json::from_str(&text)?;
        let address = json.get("state").and_then(Value::as_str).and_then(|address| address.parse().ok());
        state.address = address.ok_or(StackError::Unreadable { what: "the state service's ready file", text })?;
        Ok(state)
    }

    fn ready(&self) -> PathBuf {
        self.folder.path().join("ready.json")
    }

    /// Where it serves gRPC and HTTP.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Comes up again at the same address, on the same data.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn revive(&self) -> Result<(), StackError> {
        let mut running = self.process.lock().await;
        let args = [
            "serve".into(),
            "--config".into(),
            self.folder.path().join("fingerpost.yaml").into(),
            "--ready-file".into(),
            self.ready().into(),
            "--listen".into(),
            self.address.to_string().into(),
        ];
        let (path, env) = (places::state()?, self.env.clone());
        let mut process = Process::start(Program { name: "state", path, args: args.into(), env })?;
        process.says("ready", PATIENCE).await?;
        *running = Some(process);
        Ok(())
    }

    /// Kills it as `kill -9` does, and returns once it is gone.
    pub async fn kill(&self) {
        if let Some(process) = self.process.lock().await.take() {
            process.kill().await;
        }
    }

    /// Stops it where it is, or lets it go on: a service that is there and does not answer.
    ///
    /// # Errors
    /// It does not run.
    pub async fn hold(&self, hold: bool) -> nix::Result<()> {
        self.process.lock().await.as_ref().ok_or(nix::Error::ESRCH)?.hold(hold)
    }

    /// Its output since it last came up.
    pub async fn log(&self) -> String {
        self.process.lock().await.as_ref().map(|process| process.log().text()).unwrap_or_default()
    }
}
