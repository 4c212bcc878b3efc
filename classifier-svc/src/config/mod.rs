//! `classifier.yaml`: what to load, where to listen, and every limit.
//!
//! The file is strict: an unknown field, a wrong type or a value out of range is an error that names
//! the file, the path inside it and what would be right.

mod expand;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, de};
use thiserror::Error;

use expand::expand;

/// Why a configuration was refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        /// The configuration file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A field is unknown, missing or of the wrong type.
    #[error("{}: at `{path}`: {message}", file.display())]
    Field {
        /// The configuration file.
        file: PathBuf,
        /// The path inside the document, such as `limits.queue`; `.` is the document itself.
        path: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A value is well formed, but cannot work.
    #[error("{}: at `{path}`: {problem}; {fix}", file.display())]
    Value {
        /// The configuration file.
        file: PathBuf,
        /// The path inside the document.
        path: &'static str,
        /// What is wrong, with the value.
        problem: String,
        /// What to write instead.
        fix: String,
    },
}

/// The whole of `classifier.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where gRPC listens. Port 0 takes a free one.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where `/metrics` and `/healthz` listen. Port 0 takes a free one.
    #[serde(default = "default_metrics_listen")]
    pub metrics_listen: SocketAddr,
    /// Where the model runs.
    #[serde(default)]
    pub device: DeviceName,
    /// The number type of the encoder's weights and activations.
    #[serde(default)]
    pub dtype: DtypeName,
    /// CPU threads of the encoder. 0: every core.
    #[serde(default)]
    pub threads: usize,
    /// The shared encoder.
    pub encoder: EncoderConfig,
    /// The heads over it.
    pub heads: HeadsConfig,
    /// Ceilings, budgets and the window's shape.
    #[serde(default)]
    pub limits: Limits,
}

/// Where the encoder comes from: exactly one of `path` and `hf`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// A directory with `config.json`, `tokenizer.json` and `model.safetensors`. `~`, `${NAME}` and `${NAME:-default}` are expanded.
    pub path: Option<PathBuf>,
    /// A repository on the hub.
    pub hf: Option<HubSource>,
    /// SHA-256 of `model.safetensors` in hex, checked at load where given.
    pub sha256: Option<String>,
}

/// A repository on the hub.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repository: String,
    /// A branch, tag or commit.
    #[serde(default = "default_revision")]
    pub revision: String,
}

/// The directories of the trained heads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadsConfig {
    /// A directory with `head.json` and `head.safetensors`, as `train --task category` writes it.
    pub category: Option<PathBuf>,
    /// The same, as `train --task names` writes it: persons, organisations and places for the PII task.
    pub names: Option<PathBuf>,
    /// A directory with `head.json` and `head.safetensors`, as `train --task jailbreak` writes it.
    pub jailbreak: Option<PathBuf>,
}

/// Ceilings, budgets and the window's shape.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Tokens of one request over all its segments.
    pub max_tokens: usize,
    /// Segments of one request.
    pub max_segments: usize,
    /// Bytes of one gRPC message.
    pub max_message_bytes: usize,
    /// Requests admitted and not yet taken by the model.
    pub queue: usize,
    /// Tokens of one forward pass, padding counted.
    pub batch_tokens: usize,
    /// Tokens of one window, with the special ones at both ends.
    pub window_tokens: usize,
    /// Tokens that two neighbouring windows share.
    pub window_overlap: usize,
    /// Bytes of the verdicts that are kept for segments that come again; 0 keeps none.
    pub verdict_cache_bytes: usize,
    /// Seconds that a shutdown waits for what is queued.
    pub drain_seconds: u64,
}

impl Limits {
    /// How long a shutdown waits for what is queued.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tokens: 131_072,
            max_segments: 4096,
            max_message_bytes: 36 << 20,
            queue: 256,
            batch_tokens: 8192,
            window_tokens: 128,
            window_overlap: 32,
            verdict_cache_bytes: 32 << 20,
            drain_seconds: 25,
        }
    }
}

/// `cpu` or `cuda:N`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this ordinal.
    Cuda(usize),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ordinal = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => "0",
            other => other.strip_prefix("cuda:").unwrap_or_default(),
        };
        ordinal
            .parse()
            .map(Self::Cuda)
            .map_err(|_| format!("`{text}` is not a device; write `cpu` or `cuda:N`, such as `cuda:0`"))
    }
}

impl<'de> Deserialize<'de> for DeviceName {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The number type of the encoder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtypeName {
    /// 32-bit floats.
    #[default]
    F32,
    /// Brain floats of 16 bits: GPUs only.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl Config {
    /// Reads and checks a configuration file; relative paths become relative to it.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file, the path inside it and the fix.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
        Self::parse(file, &text, |name| std::env::var(name).ok())
    }

    /// Like [`load`](Self::load), of a text already read and with the environment given.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file, the path inside it and the fix.
    pub fn parse(file: &Path, text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut config: Self = read_yaml(file, text)?;
        let base = file.parent().unwrap_or(Path::new("")).to_owned();
        for (path, field) in [
            ("encoder.path", &mut config.encoder.path),
            ("heads.category", &mut config.heads.category),
            ("heads.names", &mut config.heads.names),
            ("heads.jailbreak", &mut config.heads.jailbreak),
        ] {
            let Some(value) = field else { continue };
            let expanded = expand(&value.to_string_lossy(), &env).map_err(|e| ConfigError::Value {
                file: file.to_owned(),
                path,
                problem: e.to_string(),
                fix: "set it, or give a default as `${NAME:-default}`".to_owned(),
            })?;
            *field = Some(base.join(expanded));
        }
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &Path) -> Result<(), ConfigError> {
        let refuse = |path, problem: String, fix: &str| {
            Err(ConfigError::Value { file: file.to_owned(), path, problem, fix: fix.to_owned() })
        };
        match (&self.encoder.path, &self.encoder.hf) {
            (Some(_), None) => {}
            (None, Some(hub)) if hub.repository.split('/').filter(|p| !p.is_empty()).count() == 2 => {}
            (None, Some(hub)) => {
                let problem = format!("`{}` is not a repository", hub.repository);
                return refuse("encoder.hf.repository", problem, "write `owner/name`");
            }
            (None, None) => {
                return refuse("encoder", "no source".into(), "give `path` or `hf`");
            }
            (Some(_), Some(_)) => {
                return refuse("encoder", "two sources".into(), "keep one of `path` and `hf`");
            }
        }
        if let Some(sum) = &self.encoder.sha256
            && (sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            let problem = format!("`{sum}` is not a SHA-256");
            return refuse("encoder.sha256", problem, "write 64 hexadecimal digits");
        }
        if self.device == DeviceName::Cpu && self.dtype == DtypeName::Bf16 {
            let problem = "bf16 has no CPU kernels".into();
            return refuse("dtype", problem, "write `f32` or `f16`, or take a GPU with `device: cuda:0`");
        }
        let limits = &self.limits;
        for (path, value) in [
            ("limits.max_tokens", limits.max_tokens),
            ("limits.max_segments", limits.max_segments),
            ("limits.max_message_bytes", limits.max_message_bytes),
            ("limits.queue", limits.queue),
        ] {
            if value == 0 {
                return refuse(path, "0 would refuse every request".into(), "write 1 or more");
            }
        }
        if limits.window_tokens < 3 || limits.window_overlap >= limits.window_tokens - 2 {
            let (window, overlap) = (limits.window_tokens, limits.window_overlap);
            let problem = format!("a window of {window} tokens cannot advance past an overlap of {overlap}");
            let fix = "keep window_overlap below window_tokens - 2";
            return refuse("limits.window_overlap", problem, fix);
        }
        if limits.batch_tokens < limits.window_tokens {
            let problem = format!("{} tokens do not hold one window", limits.batch_tokens);
            return refuse("limits.batch_tokens", problem, "write at least limits.window_tokens");
        }
        Ok(())
    }
}

fn read_yaml(file: &Path, text: &str) -> Result<Config, ConfigError> {
    let mut failed_at = None;
    serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|e| {
            failed_at = Some(e.path().to_string());
            e.into_inner()
        })
    })
    .map_err(|e| ConfigError::Field {
        file: file.to_owned(),
        path: failed_at.unwrap_or_else(|| ".".to_owned()),
        message: e.to_string(),
    })
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 50051))
}

fn default_metrics_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9090))
}

fn default_revision() -> String {
    "main".to_owned()
}
