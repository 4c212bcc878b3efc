//! Where an encoder's files are: a directory, or a repository on the hub.

use std::path::{Path, PathBuf};

use hf_hub::HFClientSync;

use super::EncoderError;
use crate::config::{EncoderConfig, HubSource};

/// The files of one encoder.
#[derive(Debug, Clone)]
pub struct EncoderFiles {
    /// `config.json`.
    pub config: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `model.safetensors`.
    pub weights: PathBuf,
}

impl EncoderFiles {
    /// The files of a directory; whether they are there shows when they are read.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            config: dir.join("config.json"),
            tokenizer: dir.join("tokenizer.json"),
            weights: dir.join("model.safetensors"),
        }
    }

    /// The files that a configuration names; fetches them from the hub (through its cache) where it names a
    /// repository. Blocks, and must not run on an async thread.
    ///
    /// # Errors
    /// [`EncoderError::Hub`] when the hub's files cannot be had.
    pub fn resolve(config: &EncoderConfig) -> Result<Self, EncoderError> {
        match (&config.path, &config.hf) {
            (_, Some(hub)) => fetch(hub),
            (path, None) => Ok(Self::in_dir(path.as_deref().unwrap_or(Path::new(".")))),
        }
    }
}

fn fetch(hub: &HubSource) -> Result<EncoderFiles, EncoderError> {
    let failed = |message: String| EncoderError::Hub {
        repository: hub.repository.clone(),
        revision: hub.revision.clone(),
        message,
    };
    let (owner, name) = hub.repository.split_once('/').ok_or_else(|| failed("write `owner/name`".to_owned()))?;
    let client = HFClientSync::new().map_err(|e| failed(e.to_string()))?;
    let repository = client.model(owner, name);
    let file = |name: &str| {
        tracing::info!(repository = %hub.repository, file = name, "fetching from the hub");
        repository
            .download_file()
            .filename(name)
            .revision(hub.revision.clone())
            .send()
            .map_err(|e| failed(format!("{name}: {e}")))
    };
    Ok(EncoderFiles {
        config: file("config.json")?,
        tokenizer: file("tokenizer.json")?,
        weights: file("model.safetensors")?,
    })
}
