//! Envoy as a child process, with ports that it chose itself and told us.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time;

use super::{
    StackError, places,
    process::{Log, Process, Program},
};
use crate::client::{Call, ClientError, Reply};

/// Compiling the filter takes seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How Envoy is started.
#[derive(Debug, Clone)]
pub struct EnvoyOptions {
    /// The bootstrap; its listeners may have port 0.
    pub bootstrap: Value,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
    /// Number of workers.
    pub concurrency: u32,
    /// The core that it is pinned to, if any.
    pub core: Option<usize>,
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    /// Where the data plane listens.
    pub data: SocketAddr,
    /// Where the admin interface listens.
    pub admin: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Envoy {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// It is missing, refuses the bootstrap, or does not come up.
    pub async fn start(options: EnvoyOptions) -> Result<Self, StackError> {
        let folder = TempDir::new().map_err(StackError::Folder)?;
        let bootstrap = folder.path().join("bootstrap.json");
        write_private(&bootstrap, &serde_json::to_vec_pretty(&options.bootstrap)?).map_err(StackError::Folder)?;
        let admin_file = folder.path().join("admin");
        let mut process = Process::start(program(&options, &bootstrap, &admin_file)?)?;
        process.says("starting workers", PATIENCE).await?;
        let text = std::fs::read_to_string(&admin_file).map_err(StackError::Folder)?;
        let unreadable = |what, text| StackError::Unreadable { what, text };
        let admin = text.trim().parse().map_err(|_| unreadable("Envoy's admin address file", text))?;
        let listeners = Call::get("/listeners?format=json").send(admin).await?;
        let data =
            listener(&listeners.json()).ok_or_else(|| unreadable("Envoy's list of listeners", listeners.text()))?;
        let envoy = Self { data, admin, process, folder };
        envoy.accepts().await?;
        Ok(envoy)
    }

    /// Between the last log line and the first accepted connection lie milliseconds that nothing announces.
    async fn accepts(&self) -> Result<(), StackError> {
        let attempt = async {
            while tokio::net::TcpStream::connect(self.data).await.is_err() {
                time::sleep(Duration::from_millis(2)).await;
            }
        };
        Ok(time::timeout(PATIENCE, attempt).await.map_err(ClientError::from)?)
    }

    /// Asks the admin interface.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ask(&self, target: &str) -> Result<Reply, ClientError> {
        Call::get(target).send(self.admin).await
    }

    /// Counters and gauges by name.
    ///
    /// # Errors
    /// The admin interface does not answer.
    pub async fn stats(&self) -> Result<HashMap<String, u64>, StackError> {
        let reply = self.ask("/stats?format=json").await?;
        let json = reply.json();
        let stats = json.get("stats").and_then(Value::as_array);
        let stats = stats.ok_or_else(|| StackError::Unreadable { what: "Envoy's statistics", text: reply.text() })?;
        let pair = |stat: &Value| Some((stat.get("name")?.as_str()?.to_owned(), stat.get("value")?.as_u64()?));
        Ok(stats.iter().filter_map(pair).collect())
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        self.process.log()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// The bootstrap file that it was started with.
    #[must_use]
    pub fn bootstrap(&self) -> PathBuf {
        self.folder.path().join("bootstrap.json")
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn program(options: &EnvoyOptions, bootstrap: &Path, admin_file: &Path) -> Result<Program, StackError> {
    let envoy = places::envoy()?;
    let mut args = Vec::new();
    let path = match options.core {
        Some(core) => {
            args.extend(["--cpu-list".into(), core.to_string().into(), envoy.into()]);
            PathBuf::from("taskset")
        }
        None => envoy,
    };
    args.extend(["--config-path".into(), bootstrap.into(), "--admin-address-path".into(), admin_file.into()]);
    args.extend(["--concurrency".into(), options.concurrency.to_string().into(), "--disable-hot-restart".into()]);
    args.extend(["--log-level".into(), "warning".into(), "--component-log-level".into(), "config:info".into()]);
    Ok(Program { name: "envoy", path, args, env: options.env.clone() })
}

/// The address of the first listener.
fn listener(json: &Value) -> Option<SocketAddr> {
    let address = json.pointer("/listener_statuses/0/local_address/socket_address")?;
    let port = address.get("port_value")?.as_u64().and_then(|port| u16::try_from(port).ok())?;
    Some(SocketAddr::new(address.get("address")?.as_str()?.parse().ok()?, port))
}
