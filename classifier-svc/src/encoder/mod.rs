//! The shared, frozen encoder on candle: files, tokeniser, forward pass, states of every layer.

pub mod bert;
mod gelu;
pub mod source;
mod tokens;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::config::{DeviceName, DtypeName};
use bert::{Bert, BertConfig};
use source::EncoderFiles;
pub use tokens::WordTokenizer;

/// Why an encoder could not be loaded.
#[derive(Debug, Error)]
pub enum EncoderError {
    /// A file of the encoder is missing or unreadable.
    #[error("{}: cannot be read: {source}; run `make setup` to fetch the default encoder, or point `encoder` at one", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the encoder is not what it should be.
    #[error("{}: {message}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The weights are not the ones that the configuration asks for.
    #[error("{}: SHA-256 is {found}, `encoder.sha256` asks for {wanted}", file.display())]
    Checksum {
        /// `model.safetensors`.
        file: PathBuf,
        /// The configured sum.
        wanted: String,
        /// The sum of the file.
        found: String,
    },
    /// The hub could not be reached or does not have the file.
    #[error("hub repository `{repository}` at `{revision}`: {message}")]
    Hub {
        /// `owner/name`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// What the client said.
        message: String,
    },
    /// The device cannot be used.
    #[error("device `{device}`: {message}")]
    Device {
        /// As configured.
        device: String,
        /// Why not.
        message: String,
    },
    /// candle refused.
    #[error("the encoder's weights do not load: {0}")]
    Candle(#[from] candle_core::Error),
}

/// A loaded encoder.
#[derive(Debug)]
pub struct Encoder {
    bert: Bert,
    config: BertConfig,
    device: Device,
    dtype: DType,
    identity: String,
}

/// The hidden states of one batch.
#[derive(Debug)]
pub struct LayerStates {
    /// After the embeddings and after each layer: (batch, time, hidden), in the encoder's dtype.
    pub states: Vec<Tensor>,
    /// Tokens of each row; what follows in `states` is padding.
    pub lengths: Vec<usize>,
}

impl Encoder {
    /// Loads config and weights; `sha256` of the weights is checked where given.
    ///
    /// # Errors
    /// [`EncoderError`], which names the file and what is wrong with it.
    pub fn load(
        files: &EncoderFiles,
        sha256: Option<&str>,
        device: DeviceName,
        dtype: DtypeName,
    ) -> Result<Self, EncoderError> {
        let device = open_device(device)?;
        let dtype = match dtype {
            DtypeName::F32 => DType::F32,
            DtypeName::F16 => DType::F16,
            DtypeName::Bf16 => DType::BF16,
        };
        let content = |file: &PathBuf, message: String| EncoderError::Content { file: file.clone(), message };
        let config_bytes = read(&files.config)?;
        let config: BertConfig = serde_json::from_slice(&config_bytes)
            .map_err(|e| content(&files.config, format!("not a BERT configuration: {e}")))?;
        if config.model_type != "bert" {
            let message = format!("model_type `{}` is not served yet: only `bert`", config.model_type);
            return Err(content(&files.config, message));
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let message = "hidden_size is no multiple of num_attention_heads".to_owned();
            return Err(content(&files.config, message));
        }
        let weights = read(&files.weights)?;
        let found = hex(&Sha256::digest(&weights));
        if let Some(wanted) = sha256
            && !wanted.eq_ignore_ascii_case(&found)
        {
            return Err(EncoderError::Checksum { file: files.weights.clone(), wanted: wanted.to_owned(), found });
        }
        let vb = VarBuilder::from_buffered_safetensors(weights, dtype, &device)
            .map_err(|e| content(&files.weights, e.to_string()))?;
        Ok(Self { bert: Bert::load(vb, &config)?, identity: identity(&config, &found), config, device, dtype })
    }

    /// Names what the hidden states depend on: the weights and the shape they are read with.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Width of the hidden states.
    #[must_use]
    pub const fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    /// Transformer layers; there is one more set of states, the embeddings'.
    #[must_use]
    pub const fn layers(&self) -> usize {
        self.config.num_hidden_layers
    }

    /// The most tokens a row may have.
    #[must_use]
    pub const fn max_row_tokens(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// Where the weights are.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Runs rows of token ids (special ones at both ends), padding them to the longest.
    ///
    /// # Errors
    /// candle's, when a row is too long or a token id is not in the vocabulary.
    pub fn forward(&self, rows: &[&[u32]]) -> candle_core::Result<LayerStates> {
        let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
        let time = lengths.iter().copied().max().unwrap_or(0);
        let padded: Vec<u32> =
            rows.iter().flat_map(|row| row.iter().copied().chain(std::iter::repeat(0)).take(time)).collect();
        let ids = Tensor::from_vec(padded, (rows.len(), time), &self.device)?;
        let mask = bert::additive_mask(&lengths, self.dtype, &self.device)?;
        let states = self.bert.forward(&ids, mask.as_ref())?;
        Ok(LayerStates { states, lengths })
    }
}

fn identity(config: &BertConfig, weights: &str) -> String {
    let shape =
        format!("{}-{}x{}-{:?}", config.model_type, config.num_hidden_layers, config.hidden_size, config.hidden_act);
    format!("{}:{weights}", shape.to_lowercase())
}

fn open_device(name: DeviceName) -> Result<Device, EncoderError> {
    match name {
        DeviceName::Cpu => Ok(Device::Cpu),
        DeviceName::Cuda(ordinal) => Device::new_cuda(ordinal).map_err(|e| EncoderError::Device {
            device: format!("cuda:{ordinal}"),
            message: match cfg!(feature = "cuda") {
                true => e.to_string(),
                false => "this build has no CUDA; build with `--features cuda`, or write `device: cpu`".to_owned(),
            },
        }),
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, EncoderError> {
    std::fs::read(file).map_err(|source| EncoderError::Read { file: file.clone(), source })
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
