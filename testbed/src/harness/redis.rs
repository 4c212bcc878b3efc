//! A real Redis server on a free loopback port, empty at its start.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{
    StackError,
    process::{Process, Program},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug)]
pub struct RedisProcess {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl RedisProcess {
    /// Starts it and waits until it takes connections. `redis-server` is found on `PATH`.
    ///
    /// # Errors
    /// It is missing (`make setup` installs it), or does not come up.
    pub async fn start() -> Result<Self, StackError> {
        let folder = TempDir::new().map_err(StackError::Folder)?;
        // It cannot be told to choose a port itself.
        let free = TcpListener::bind(("127.0.0.1", 0)).await.map_err(StackError::Listen)?;
        let address = free.local_addr().map_err(StackError::Listen)?;
        drop(free);
        let mut args: Vec<_> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"].map(Into::into).into();
        args.extend([address.port().to_string().into(), "--dir".into(), folder.path().into()]);
        let program = Program { name: "redis-server", path: PathBuf::from("redis-server"), args, env: Vec::new() };
        let mut process = Process::start(program)?;
        process.says("Ready to accept connections", PATIENCE).await?;
        Ok(Self { address, _process: process, _folder: folder })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}
