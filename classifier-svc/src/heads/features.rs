//! Pooling: one vector a row out of the states of chosen layers.

use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::encoder::LayerStates;

/// Which poolings of which layers a head reads. Layer 0 is the embeddings; special tokens count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// Layers whose mean over tokens is taken.
    pub mean: Vec<usize>,
    /// Layers whose maximum over tokens is taken.
    pub max: Vec<usize>,
    /// Layers whose first token (`[CLS]`) is taken.
    pub cls: Vec<usize>,
}

impl FeatureSpec {
    /// The width of the vector over an encoder with states of this width.
    #[must_use]
    pub const fn width(&self, hidden: usize) -> usize {
        (self.mean.len() + self.max.len() + self.cls.len()) * hidden
    }

    /// The highest layer that is read.
    #[must_use]
    pub fn top_layer(&self) -> usize {
        let all = self.mean.iter().chain(&self.max).chain(&self.cls);
        all.copied().max().unwrap_or(0)
    }

    /// Pools a batch: (batch, width) in f32. The order is means, maxima, first tokens, each as listed.
    ///
    /// # Errors
    /// candle's, when a layer is not there.
    pub fn pool(&self, batch: &LayerStates) -> Result<Tensor> {
        let pooling = Pooling::new(batch)?;
        let mut parts = Vec::new();
        for &layer in &self.mean {
            parts.push(pooling.mean(layer)?);
        }
        for &layer in &self.max {
            parts.push(pooling.max(layer)?);
        }
        for &layer in &self.cls {
            parts.push(pooling.state(layer)?.narrow(1, 0, 1)?.squeeze(1)?);
        }
        Tensor::cat(&parts, 1)
    }
}

/// The mean of the last layer over all tokens, which normalised is sentence-transformers' embedding.
///
/// # Errors
/// candle's.
pub fn mean_of_last(batch: &LayerStates) -> Result<Tensor> {
    Pooling::new(batch)?.mean(batch.states.len().saturating_sub(1))
}

struct Pooling<'a> {
    batch: &'a LayerStates,
    time: usize,
    device: Device,
}

impl<'a> Pooling<'a> {
    fn new(batch: &'a LayerStates) -> Result<Self> {
        let Some(first) = batch.states.first() else {
            candle_core::bail!("a batch without layers");
        };
        Ok(Self { batch, time: first.dim(1)?, device: first.device().clone() })
    }

    fn state(&self, layer: usize) -> Result<Tensor> {
        match self.batch.states.get(layer) {
            Some(state) => state.to_dtype(DType::F32),
            None => candle_core::bail!("layer {layer} of {}", self.batch.states.len()),
        }
    }

    /// One value a position: `inside(length)` on tokens, `outside` on padding.
    fn positions(&self, inside: impl Fn(usize) -> f32, outside: f32) -> Vec<f32> {
        let row = |&length: &usize| {
            let value = inside(length);
            (0..self.time).map(move |t| if t < length { value } else { outside })
        };
        self.batch.lengths.iter().flat_map(row).collect()
    }

    /// A matrix product with the weights 1/length, so that nothing of (batch, time, hidden) is copied.
    fn mean(&self, layer: usize) -> Result<Tensor> {
        let weights = self.positions(|length| 1.0 / length as f32, 0.0);
        let shape = (self.batch.lengths.len(), 1, self.time);
        let weights = Tensor::from_vec(weights, shape, &self.device)?;
        weights.matmul(&self.state(layer)?)?.squeeze(1)
    }

    fn max(&self, layer: usize) -> Result<Tensor> {
        let mask = self.positions(|_| 0.0, f32::NEG_INFINITY);
        let shape = (self.batch.lengths.len(), self.time, 1);
        let mask = Tensor::from_vec(mask, shape, &self.device)?;
        self.state(layer)?.broadcast_add(&mask)?.max(1)
    }
}
