//! BERT's forward pass, keeping every layer's hidden states (candle_transformers' model drops them).
//!
//! Tokens of a batch are rows of one (batch * time, hidden) matrix, so that every projection is a
//! single matrix product; query, key and value are one product together.

use candle_core::{DType, Module, Result, Tensor};
use candle_nn::{LayerNorm, Linear, VarBuilder, ops::softmax_last_dim};
use serde::Deserialize;

/// The fields of a BERT `config.json` that the forward pass needs.
#[derive(Debug, Clone, Deserialize)]
pub struct BertConfig {
    /// `bert` is the one type that is read.
    pub model_type: String,
    /// Entries of the word embedding.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward blocks.
    pub intermediate_size: usize,
    /// The feed-forward activation.
    pub hidden_act: Activation,
    /// The most tokens a row may have.
    pub max_position_embeddings: usize,
    /// Entries of the token-type embedding.
    pub type_vocab_size: usize,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f64,
}

/// The feed-forward activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// GELU by the error function.
    Gelu,
    /// GELU by the tanh approximation.
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    /// Rectified linear.
    Relu,
}

/// The encoder's weights.
#[derive(Debug)]
pub struct Bert {
    words: Tensor,
    /// Positions with token type 0 added: every row here is a single sequence.
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    qkv: Linear,
    heads: usize,
    attention_out: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    activation: Activation,
    down: Linear,
    norm: LayerNorm,
}

impl Bert {
    /// Takes the weights under `vb`, with or without the `bert.` prefix.
    ///
    /// # Errors
    /// candle's, when a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder<'_>, config: &BertConfig) -> Result<Self> {
        let vb = match vb.contains_tensor("embeddings.word_embeddings.weight") {
            true => vb,
            false => vb.pp("bert"),
        };
        let hidden = config.hidden_size;
        let embeddings = vb.pp("embeddings");
        let table = |name, rows| embeddings.pp(name).get((rows, hidden), "weight");
        let types = table("token_type_embeddings", config.type_vocab_size)?;
        let positions = table("position_embeddings", config.max_position_embeddings)?;
        Ok(Self {
            words: table("word_embeddings", config.vocab_size)?,
            positions: positions.broadcast_add(&types.narrow(0, 0, 1)?)?,
            norm: norm(&embeddings, config)?,
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::load(&vb.pp("encoder.layer").pp(i), config))
                .collect::<Result<_>>()?,
        })
    }

    /// The hidden states after the embeddings and after each layer, each (batch, time, hidden), of
    /// token ids (batch, time). `mask` is (batch, 1, 1, time): 0 where a token stands, minus
    /// infinity where padding does; `None` when there is no padding.
    ///
    /// # Errors
    /// candle's, when a shape or a token id does not fit.
    pub fn forward(&self, ids: &Tensor, mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let (batch, time) = ids.dims2()?;
        let words = self.words.index_select(&ids.flatten_all()?, 0)?;
        let hidden = words.dim(1)?;
        let positions = self.positions.narrow(0, 0, time)?;
        let embedded =
            words.reshape((batch, time, hidden))?.broadcast_add(&positions)?.reshape((batch * time, hidden))?;
        let mut state = self.norm.forward(&embedded)?;
        let mut states = Vec::with_capacity(self.layers.len() + 1);
        states.push(state.reshape((batch, time, hidden))?);
        for layer in &self.layers {
            state = layer.forward(&state, (batch, time), mask)?;
            states.push(state.reshape((batch, time, hidden))?);
        }
        Ok(states)
    }
}

impl Layer {
    fn load(vb: &VarBuilder<'_>, config: &BertConfig) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let attention = vb.pp("attention");
        let projections = ["query", "key", "value"]
            .map(|name| candle_nn::linear(hidden, hidden, attention.pp("self").pp(name)))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let weights: Vec<&Tensor> = projections.iter().map(Linear::weight).collect();
        let biases: Vec<&Tensor> = projections.iter().filter_map(Linear::bias).collect();
        Ok(Self {
            qkv: Linear::new(Tensor::cat(&weights, 0)?, Some(Tensor::cat(&biases, 0)?)),
            heads: config.num_attention_heads,
            attention_out: candle_nn::linear(hidden, hidden, attention.pp("output.dense"))?,
            attention_norm: norm(&attention.pp("output"), config)?,
            up: candle_nn::linear(hidden, inner, vb.pp("intermediate.dense"))?,
            activation: config.hidden_act,
            down: candle_nn::linear(inner, hidden, vb.pp("output.dense"))?,
            norm: norm(&vb.pp("output"), config)?,
        })
    }

    fn forward(&self, x: &Tensor, shape: (usize, usize), mask: Option<&Tensor>) -> Result<Tensor> {
        let attended = self.attention_out.forward(&self.attend(x, shape, mask)?)?;
        let x = self.attention_norm.forward(&(attended + x)?)?;
        let inner = self.up.forward(&x)?;
        let inner = match self.activation {
            Activation::Gelu => super::gelu::gelu(&inner)?,
            Activation::GeluNew => inner.gelu()?,
            Activation::Relu => inner.relu()?,
        };
        self.norm.forward(&(self.down.forward(&inner)? + x)?)
    }

    fn attend(&self, x: &Tensor, shape: (usize, usize), mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, time) = shape;
        let hidden = x.dim(1)?;
        let width = hidden / self.heads;
        let qkv = self.qkv.forward(x)?.reshape((batch, time, 3, self.heads, width))?;
        let part = |i| qkv.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let scores = (query * (width as f64).powf(-0.5))?.matmul(&key.t()?)?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        softmax_last_dim(&scores)?.matmul(&value)?.transpose(1, 2)?.reshape((batch * time, hidden))
    }
}

/// Old checkpoints call a layer norm's weight and bias gamma and beta.
fn norm(vb: &VarBuilder<'_>, config: &BertConfig) -> Result<LayerNorm> {
    let vb = vb.pp("LayerNorm");
    let (weight, bias) = match vb.contains_tensor("weight") {
        true => ("weight", "bias"),
        false => ("gamma", "beta"),
    };
    Ok(LayerNorm::new(vb.get(config.hidden_size, weight)?, vb.get(config.hidden_size, bias)?, config.layer_norm_eps))
}

/// The additive mask of a batch: rows of these lengths, padded to the longest. Minus infinity is
/// right in every float type, and safe because every row has a token.
///
/// # Errors
/// candle's, when the device refuses the tensor.
pub fn additive_mask(lengths: &[usize], dtype: DType, device: &candle_core::Device) -> Result<Option<Tensor>> {
    let time = lengths.iter().copied().max().unwrap_or(0);
    if lengths.iter().all(|&length| length == time) {
        return Ok(None);
    }
    let values: Vec<f32> = lengths
        .iter()
        .flat_map(|&length| (0..time).map(move |t| if t < length { 0.0 } else { f32::NEG_INFINITY }))
        .collect();
    Tensor::from_vec(values, (lengths.len(), 1, 1, time), device)?.to_dtype(dtype).map(Some)
}
