//! The names head: every token's states and shape to calibrated log-probabilities of its tag.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::log_softmax;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    HeadError,
    label::{FORMAT, files, read},
    mlp::{Dense, Network, forward},
};
use crate::{
    domain::{names::TAGS, shape::Shape},
    encoder::{Encoder, LayerStates, hex},
};

/// `head.json` of a names head: everything but its weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamesSpec {
    /// The layout of the two files; 1 is the one that is read.
    pub format: u32,
    /// `names`.
    pub task: String,
    /// The tags, in the order of the outputs: those of [`TAGS`].
    pub tags: Vec<String>,
    /// What the head reads.
    pub features: TokenFeatures,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Members whose logits are averaged.
    pub members: usize,
    /// What the logits are divided by.
    pub temperature: f32,
    /// The encoder that the head was trained on.
    pub encoder: String,
}

/// What a token's tag is read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFeatures {
    /// Layers whose states of the token are read; 0 is the embeddings.
    pub layers: Vec<usize>,
    /// Words on each side whose shapes are read too.
    pub reach: usize,
    /// How many bits a shape has.
    pub shape_bits: usize,
}

impl TokenFeatures {
    /// The width of a token's features over an encoder with states of this width.
    #[must_use]
    pub const fn width(&self, hidden: usize) -> usize {
        self.layers.len() * hidden + self.shape_width()
    }

    const fn shape_width(&self) -> usize {
        (2 * self.reach + 1) * self.shape_bits
    }

    /// The shapes around each token of a row, as numbers: its own, then of the words before and after it
    /// by turns; zeros beyond the row.
    #[must_use]
    pub fn shape_features(&self, shapes: &[Shape]) -> Vec<f32> {
        let mut out = Vec::with_capacity(shapes.len() * self.shape_width());
        let mut word = 0;
        let mut word_of = Vec::with_capacity(shapes.len());
        let mut words: Vec<Shape> = Vec::new();
        for shape in shapes {
            if words.is_empty() || !shape.has(Shape::CONTINUED) {
                words.push(*shape);
                word = words.len() - 1;
            }
            word_of.push(word);
        }
        let bits = |shape: Shape, out: &mut Vec<f32>| {
            out.extend((0..self.shape_bits).map(|bit| ((shape.0 >> bit) & 1) as f32));
        };
        for (shape, &word) in shapes.iter().zip(&word_of) {
            bits(*shape, &mut out);
            for step in 1..=self.reach {
                let before = word.checked_sub(step).and_then(|i| words.get(i));
                bits(before.copied().unwrap_or_default(), &mut out);
                bits(words.get(word + step).copied().unwrap_or_default(), &mut out);
            }
        }
        out
    }

    /// The features of every token of a batch but the special ones, row after row: (tokens, width) on the CPU.
    ///
    /// # Errors
    /// candle's, when a layer is not there.
    pub fn gather(&self, batch: &LayerStates, shapes: &[&[Shape]]) -> Result<Tensor> {
        let places = places(batch, shapes)?;
        let mut parts = self.layers.iter().map(|&layer| state(batch, layer, &places)).collect::<Result<Vec<_>>>()?;
        parts.push(self.shape_tensor(shapes, places.device())?);
        Tensor::cat(&parts, 1)?.to_device(&Device::Cpu)
    }

    fn shape_tensor(&self, shapes: &[&[Shape]], device: &Device) -> Result<Tensor> {
        let values: Vec<f32> = shapes.iter().flat_map(|row| self.shape_features(row)).collect();
        let tokens = shapes.iter().map(|row| row.len()).sum::<usize>();
        Tensor::from_vec(values, (tokens, self.shape_width()), device)
    }
}

/// Where the tokens stand in the flattened (batch * time) states; special ones, padding and rows without shapes
/// are left out.
fn places(batch: &LayerStates, shapes: &[&[Shape]]) -> Result<Tensor> {
    let Some(first) = batch.states.first() else {
        candle_core::bail!("a batch without layers");
    };
    let time = first.dim(1)?;
    let mut places = Vec::new();
    for (row, (&length, shapes)) in batch.lengths.iter().zip(shapes).enumerate() {
        // A row that asks for no names travels in the same batch.
        if shapes.is_empty() {
            continue;
        }
        if shapes.len() + 2 != length {
            candle_core::bail!("row {row} has {} shapes for {length} tokens with the special ones", shapes.len());
        }
        places.extend((1..length - 1).map(|t| u32::try_from(row * time + t).unwrap_or(u32::MAX)));
    }
    let count = places.len();
    Tensor::from_vec(places, count, first.device())
}

fn state(batch: &LayerStates, layer: usize, places: &Tensor) -> Result<Tensor> {
    let Some(state) = batch.states.get(layer) else {
        candle_core::bail!("layer {layer} of {}", batch.states.len());
    };
    state.flatten_to(1)?.index_select(places, 0)?.to_dtype(DType::F32)
}

/// A trained names head.
#[derive(Debug)]
pub struct NamesHead {
    spec: NamesSpec,
    members: Vec<Member>,
    digest: String,
}

/// A member, with the standardisation of the features folded into its first layer, and that layer cut by
/// what it reads, so that states are never copied together.
#[derive(Debug)]
struct Member {
    /// (hidden, width) of each layer that is read, then of the shapes.
    first: Vec<Tensor>,
    bias: Tensor,
    rest: Vec<Dense>,
}

impl NamesHead {
    /// Loads `DIR/head.json` and `DIR/head.safetensors` for this encoder.
    ///
    /// # Errors
    /// [`HeadError`], which names the file, and both encoders where they differ.
    pub fn load(dir: &Path, encoder: &Encoder) -> std::result::Result<Self, HeadError> {
        let (json, weights) = files(dir);
        let spec_bytes = read(&json)?;
        let content = |message: String| HeadError::Content { file: json.clone(), message };
        let spec: NamesSpec = serde_json::from_slice(&spec_bytes).map_err(|e| content(e.to_string()))?;
        if let Some(message) = flaw(&spec, encoder) {
            return Err(content(message));
        }
        if spec.encoder != encoder.identity() {
            let loaded = encoder.identity().to_owned();
            return Err(HeadError::OtherEncoder { file: json, wanted: spec.encoder, loaded });
        }
        let weight_bytes = read(&weights)?;
        let tensors = candle_core::safetensors::load_buffer(&weight_bytes, &Device::Cpu)?;
        let widths = spec.widths(encoder.hidden_size());
        let network = Network::from_tensors(&tensors, spec.members, &widths, encoder.device())
            .map_err(|e| HeadError::Content { file: weights, message: e.to_string() })?;
        let mut digest = Sha256::new();
        digest.update(&spec_bytes);
        digest.update(&weight_bytes);
        let mut head = Self::new(spec, &network, encoder.hidden_size())?;
        head.digest = hex(&digest.finalize());
        Ok(head)
    }

    /// A head of a network just trained.
    ///
    /// # Errors
    /// candle's, when the network's shapes are not the specification's.
    pub fn new(spec: NamesSpec, network: &Network, hidden: usize) -> Result<Self> {
        let members = network
            .members
            .iter()
            .map(|member| fold(network, member, &spec.features, hidden))
            .collect::<Result<_>>()?;
        Ok(Self { spec, members, digest: String::new() })
    }

    /// Writes the two files of a head; the directory is made where it is missing.
    ///
    /// # Errors
    /// [`HeadError::File`] when a file cannot be written.
    pub fn save(dir: &Path, spec: &NamesSpec, network: &Network) -> std::result::Result<(), HeadError> {
        super::label::write(dir, spec, network)
    }

    /// Calibrated natural log-probabilities of [`TAGS`]: of every row, of every token but the special ones.
    /// `shapes` are the tokens' shapes, without the special ones; a row without any is left out.
    ///
    /// # Errors
    /// candle's, and when shapes and rows do not fit.
    pub fn tags(&self, batch: &LayerStates, shapes: &[&[Shape]]) -> Result<Vec<Vec<Vec<f32>>>> {
        if shapes.iter().all(|row| row.is_empty()) {
            return Ok(vec![Vec::new(); shapes.len()]);
        }
        let features = &self.spec.features;
        let places = places(batch, shapes)?;
        let mut inputs =
            features.layers.iter().map(|&layer| state(batch, layer, &places)).collect::<Result<Vec<_>>>()?;
        inputs.push(features.shape_tensor(shapes, places.device())?);
        let mut sum: Option<Tensor> = None;
        for member in &self.members {
            let logits = member.logits(&inputs)?;
            sum = Some(match sum {
                Some(sum) => (sum + logits)?,
                None => logits,
            });
        }
        let Some(sum) = sum else { candle_core::bail!("a head without members") };
        let scale = 1.0 / (self.members.len() as f64 * f64::from(self.spec.temperature));
        let values = log_softmax(&(sum * scale)?, 1)?.to_vec2::<f32>()?;
        let mut values = values.into_iter();
        Ok(shapes.iter().map(|row| values.by_ref().take(row.len()).collect()).collect())
    }

    /// SHA-256 over both files, in hex; empty for one that was not loaded.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl Member {
    fn logits(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (input, weight) in inputs.iter().zip(&self.first) {
            let product = input.matmul(weight)?;
            sum = Some(match sum {
                Some(sum) => (sum + product)?,
                None => product,
            });
        }
        let Some(sum) = sum else { candle_core::bail!("a head that reads nothing") };
        let first = sum.broadcast_add(&self.bias)?;
        match self.rest.is_empty() {
            true => Ok(first),
            false => forward(&self.rest, &first.gelu_erf()?, |_, x| Ok(x)),
        }
    }
}

/// Standardises in the first layer: W (x - mean) scale + b = (W scale) x + (b - (W scale) mean).
fn fold(network: &Network, member: &[Dense], features: &TokenFeatures, hidden: usize) -> Result<Member> {
    let Some((first, rest)) = member.split_first() else {
        candle_core::bail!("a member without layers");
    };
    let weight = first.weight.broadcast_mul(&network.scale)?;
    let shift = weight.matmul(&network.mean.unsqueeze(1)?)?.squeeze(1)?;
    let mut at = 0;
    let widths = features.layers.iter().map(|_| hidden).chain([features.shape_width()]);
    let parts = widths.map(|width| {
        let part = weight.narrow(1, at, width)?.t()?.contiguous();
        at += width;
        part
    });
    Ok(Member { first: parts.collect::<Result<_>>()?, bias: (&first.bias - shift)?, rest: rest.to_vec() })
}

impl NamesSpec {
    /// The widths of the features, of the hidden layers and of the logits.
    #[must_use]
    pub fn widths(&self, hidden_size: usize) -> Vec<usize> {
        let mut widths = vec![self.features.width(hidden_size)];
        widths.extend(&self.hidden);
        widths.push(self.tags.len());
        widths
    }
}

fn flaw(spec: &NamesSpec, encoder: &Encoder) -> Option<String> {
    if spec.format != FORMAT {
        return Some(format!("format {}; this build reads {FORMAT}", spec.format));
    }
    if spec.task != "names" {
        return Some(format!("a head for task `{}`, not `names`", spec.task));
    }
    if spec.tags != TAGS {
        return Some(format!("tags {:?}; this build reads {TAGS:?}", spec.tags));
    }
    if spec.members == 0 {
        return Some("no members".to_owned());
    }
    if spec.features.shape_bits != Shape::BITS {
        return Some(format!("shapes of {} bits; this build has {}", spec.features.shape_bits, Shape::BITS));
    }
    if !(spec.temperature.is_finite() && spec.temperature > 0.0) {
        return Some(format!("temperature {} is not above 0", spec.temperature));
    }
    let top = spec.features.layers.iter().copied().max().unwrap_or(0);
    (top > encoder.layers()).then(|| format!("reads layer {top}; the encoder has {}", encoder.layers()))
}
