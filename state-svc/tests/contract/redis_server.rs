//! Real Redis servers on free loopback ports, alone or as a cluster, ended by their process id.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const MISSING: &str = "redis-server is not on PATH: install the Debian package redis-server (`make setup` does)";

/// One server.
pub struct Server {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    pub fn start() -> Result<Self, String> {
        Self::start_with(free_port()?, &[])
    }

    /// A server, empty, where another one was.
    pub fn start_on(port: u16) -> Result<Self, String> {
        Self::start_with(port, &[])
    }

    fn start_with(port: u16, more: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(folder.path()).args(more).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|e| format!("{MISSING} ({e})"))?;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let server = Self { child, port, _folder: folder };
        let mut log = Vec::new();
        loop {
            let Some(Ok(line)) = lines.next() else { return Err(format!("redis-server ended: {log:?}")) };
            if line.contains("Ready to accept connections") {
                break;
            }
            log.push(line);
        }
        // Whatever it writes later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}

/// Three masters.
pub struct Cluster(Vec<Server>);

impl Cluster {
    pub fn start() -> Result<Self, String> {
        let mut servers = Vec::new();
        for _ in 0..3 {
            let bus = free_port()?.to_string();
            servers.push(Server::start_with(free_port()?, &["--cluster-enabled", "yes", "--cluster-port", &bus])?);
        }
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]);
        command.args(servers.iter().map(|server| format!("127.0.0.1:{}", server.port))).arg("--cluster-yes");
        let made = command.output().map_err(|e| format!("redis-cli: {e}"))?;
        if !made.status.success() {
            return Err(format!("redis-cli --cluster create: {}", String::from_utf8_lossy(&made.stdout)));
        }
        let cluster = Self(servers);
        cluster.0.iter().try_for_each(Server::wait_for_cluster)?;
        Ok(cluster)
    }

    pub fn urls(&self) -> Vec<String> {
        self.0.iter().map(Server::url).collect()
    }
}

impl Server {
    /// Redis has no event for it: it is asked until all slots are served.
    fn wait_for_cluster(&self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let client = redis::Client::open(self.url()).map_err(|e| e.to_string())?;
        let mut connection = client.get_connection().map_err(|e| e.to_string())?;
        while Instant::now() < deadline {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut connection).map_err(|e| e.to_string())?;
            if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the cluster did not come up within 30 s".to_owned())
    }
}
