//! A head that gives one label a row: pooled features to calibrated log-probabilities of the labels.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{Device, Tensor};
use candle_nn::ops::log_softmax;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{HeadError, features::FeatureSpec, mlp::Network};
use crate::encoder::{Encoder, LayerStates, hex};

/// `head.json`: everything about a head but its weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSpec {
    /// The layout of the two files; 1 is the one that is read.
    pub format: u32,
    /// `category` or `jailbreak`.
    pub task: String,
    /// The labels, in the order of the logits.
    pub labels: Vec<String>,
    /// The label that means "none of the others", where there is one.
    pub background: Option<String>,
    /// What the head reads.
    pub features: FeatureSpec,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Members whose logits are averaged.
    pub members: usize,
    /// What the logits are divided by.
    pub temperature: f32,
    /// Natural log-odds that an attack's are moved by, so that 0.5 is the threshold; jailbreak heads only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f32>,
    /// The encoder that the head was trained on.
    pub encoder: String,
}

/// The task of heads that tell attacks from what is none.
pub const JAILBREAK: &str = "jailbreak";

/// The label of an attack.
pub const ATTACK: &str = "attack";

/// The label of what is none.
pub const BENIGN: &str = "benign";

/// The task of heads that tell subject areas.
pub const CATEGORY: &str = "category";

/// The one layout of head files that is read and written.
pub const FORMAT: u32 = 1;

/// A trained head.
#[derive(Debug)]
pub struct LabelHead {
    spec: HeadSpec,
    network: Network,
    labels: Arc<[String]>,
    digest: String,
}

impl LabelHead {
    /// Loads `DIR/head.json` and `DIR/head.safetensors`, which have to be for this task and this encoder.
    ///
    /// # Errors
    /// [`HeadError`], which names the file, and both encoders where they differ.
    pub fn load(dir: &Path, task: &str, encoder: &Encoder) -> Result<Self, HeadError> {
        let (json, weights) = files(dir);
        let spec_bytes = read(&json)?;
        let content = |message: String| HeadError::Content { file: json.clone(), message };
        let spec: HeadSpec = serde_json::from_slice(&spec_bytes).map_err(|e| content(e.to_string()))?;
        if let Some(message) = flaw(&spec, task, encoder) {
            return Err(content(message));
        }
        if spec.encoder != encoder.identity() {
            return Err(HeadError::OtherEncoder {
                file: json,
                wanted: spec.encoder,
                loaded: encoder.identity().to_owned(),
            });
        }
        let weight_bytes = read(&weights)?;
        let tensors = candle_core::safetensors::load_buffer(&weight_bytes, &Device::Cpu)?;
        let widths = spec.widths(encoder.hidden_size());
        let network = Network::from_tensors(&tensors, spec.members, &widths, encoder.device())
            .map_err(|e| HeadError::Content { file: weights, message: e.to_string() })?;
        let mut digest = Sha256::new();
        digest.update(&spec_bytes);
        digest.update(&weight_bytes);
        Ok(Self { labels: spec.labels.clone().into(), spec, network, digest: hex(&digest.finalize()) })
    }

    /// Writes the two files of a head; the directory is made where it is missing.
    ///
    /// # Errors
    /// [`HeadError::File`] when a file cannot be written.
    pub fn save(dir: &Path, spec: &HeadSpec, network: &Network) -> Result<(), HeadError> {
        write(dir, spec, network)
    }

    /// Calibrated log-probabilities (batch, labels) of a batch.
    ///
    /// # Errors
    /// candle's.
    pub fn log_probs(&self, batch: &LayerStates) -> candle_core::Result<Tensor> {
        let logits = self.network.logits(&self.spec.features.pool(batch)?)?;
        log_softmax(&(logits / f64::from(self.spec.temperature))?, 1)
    }

    /// Calibrated natural log-odds of an attack, one a row; of a jailbreak head.
    ///
    /// # Errors
    /// candle's.
    pub fn log_odds(&self, batch: &LayerStates) -> candle_core::Result<Vec<f32>> {
        let logits = self.network.logits(&self.spec.features.pool(batch)?)?.to_vec2::<f32>()?;
        let shift = self.spec.shift.unwrap_or(0.0);
        Ok(logits.iter().map(|row| log_odds(row, self.spec.temperature, shift)).collect())
    }

    /// The labels, in the order of the log-probabilities.
    #[must_use]
    pub const fn labels(&self) -> &Arc<[String]> {
        &self.labels
    }

    /// The index of the label that means "none of the others".
    #[must_use]
    pub fn background(&self) -> Option<usize> {
        let background = self.spec.background.as_ref()?;
        self.labels.iter().position(|label| label == background)
    }

    /// SHA-256 over both files, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// The log-odds of the first of two labels.
#[must_use]
pub fn log_odds(logits: &[f32], temperature: f32, shift: f32) -> f32 {
    let difference = logits.first().zip(logits.get(1)).map_or(0.0, |(attack, benign)| attack - benign);
    difference / temperature + shift
}

impl HeadSpec {
    /// The widths of the features, of the hidden layers and of the logits.
    #[must_use]
    pub fn widths(&self, hidden_size: usize) -> Vec<usize> {
        let mut widths = vec![self.features.width(hidden_size)];
        widths.extend(&self.hidden);
        widths.push(self.labels.len());
        widths
    }
}

fn flaw(spec: &HeadSpec, task: &str, encoder: &Encoder) -> Option<String> {
    if spec.format != FORMAT {
        return Some(format!("format {}; this build reads {FORMAT}", spec.format));
    }
    if spec.task != task {
        return Some(format!("a head for task `{}`, not `{task}`", spec.task));
    }
    if task == JAILBREAK && (spec.labels != [ATTACK, BENIGN] || spec.shift.is_none_or(|shift| !shift.is_finite())) {
        return Some(format!("a `{task}` head has the labels `{ATTACK}` and `{BENIGN}`, and a shift"));
    }
    if spec.labels.is_empty() || spec.members == 0 {
        return Some("no labels or no members".to_owned());
    }
    if !(spec.temperature.is_finite() && spec.temperature > 0.0) {
        return Some(format!("temperature {} is not above 0", spec.temperature));
    }
    if let Some(background) = &spec.background
        && !spec.labels.contains(background)
    {
        return Some(format!("background `{background}` is not among the labels"));
    }
    let top = spec.features.top_layer();
    (top > encoder.layers()).then(|| format!("reads layer {top}; the encoder has {}", encoder.layers()))
}

/// Writes a specification and a network as the two files of a head.
pub(super) fn write(dir: &Path, spec: &impl Serialize, network: &Network) -> Result<(), HeadError> {
    let (json, weights) = files(dir);
    let written = |file: &PathBuf| {
        let file = file.clone();
        move |source| HeadError::File { file, source }
    };
    fs::create_dir_all(dir).map_err(written(&dir.to_owned()))?;
    let mut text = serde_json::to_string_pretty(spec)
        .map_err(|e| HeadError::Content { file: json.clone(), message: e.to_string() })?;
    text.push('\n');
    let tensors = network.tensors()?;
    let mut tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let bytes = safetensors::serialize(tensors, None)
        .map_err(|e| HeadError::Content { file: weights.clone(), message: e.to_string() })?;
    fs::write(&weights, bytes).map_err(written(&weights))?;
    fs::write(&json, text).map_err(written(&json))
}

pub(super) fn files(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("head.json"), dir.join("head.safetensors"))
}

pub(super) fn read(file: &PathBuf) -> Result<Vec<u8>, HeadError> {
    fs::read(file).map_err(|source| HeadError::File { file: file.clone(), source })
}
