//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use fingerpost_state::config::{Overrides, TlsFiles};

/// Keeps responses and conversations: for the filter over gRPC, for clients over HTTP.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    /// Which log lines to write to stderr: a level, or `target=level` pairs
    #[arg(long, global = true, env = "FINGERPOST_LOG", default_value = "info")]
    pub log: String,
    /// The shape of log lines
    #[arg(long, global = true, env = "FINGERPOST_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve gRPC and HTTP on one port, with health, reflection and /metrics; the management API on another
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration file, YAML or JSON; relative paths in it begin at its folder
    #[arg(long, env = "FINGERPOST_CONFIG", default_value = "fingerpost.yaml")]
    pub config: PathBuf,
    /// Listen here instead of at callouts.state.address; port 0 takes a free one. Off loopback a token or client certificates are needed
    #[arg(long, env = "FINGERPOST_STATE_LISTEN", value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Write {"state":"ADDRESS","management":"ADDRESS"} to this file once the service is ready, as far as they are served
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Serve TLS with this certificate chain, PEM
    #[arg(long, env = "FINGERPOST_STATE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, env = "FINGERPOST_STATE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Let only clients in whose certificate these authorities signed, PEM
    #[arg(long, env = "FINGERPOST_STATE_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
}

impl ServeArgs {
    pub(crate) fn overrides(&self) -> Overrides {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let tls = tls.map(|(cert, key)| TlsFiles { cert, key, client_ca: self.tls_client_ca.clone() });
        Overrides { listen: self.listen, tls }
    }
}
