//! The loaded bundle: one encoder with its heads, as the domain's [`Model`].

use std::{path::PathBuf, sync::Arc};

use candle_core::Tensor;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    config::Config,
    domain::{Model, ModelError, ModelInfo, Row, RowOutput, Special, Tokenize, Wanted},
    encoder::{Encoder, EncoderError, LayerStates, WordTokenizer, hex, source::EncoderFiles},
    heads::{
        HeadError,
        features::mean_of_last,
        label::{CATEGORY, JAILBREAK, LabelHead},
        names::NamesHead,
    },
};

/// Why a bundle could not be loaded.
#[derive(Debug, Error)]
pub enum BundleError {
    /// The encoder.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The windows do not fit the encoder.
    #[error("limits.window_tokens is {window}; the encoder reads at most {most} tokens")]
    Window {
        /// As configured.
        window: usize,
        /// The encoder's positions.
        most: usize,
    },
    /// The worker threads could not be had.
    #[error("{threads} threads for the encoder: {message}")]
    Threads {
        /// As configured.
        threads: usize,
        /// What the system said.
        message: String,
    },
    /// The warm-up failed.
    #[error("the first inference failed: {0}")]
    WarmUp(ModelError),
}

/// An encoder with its heads.
pub struct Bundle {
    encoder: Encoder,
    category: Option<LabelHead>,
    jailbreak: Option<LabelHead>,
    names: Option<NamesHead>,
    info: ModelInfo,
    pool: rayon::ThreadPool,
}

impl Bundle {
    /// Loads what a configuration names. Blocks (files, perhaps the hub): keep it off async threads.
    ///
    /// # Errors
    /// [`BundleError`], which names the file or field and what is wrong with it.
    pub fn load(config: &Config) -> Result<(Self, Arc<WordTokenizer>), BundleError> {
        let (encoder, tokenizer) = load_encoder(config)?;
        let window = config.limits.window_tokens;
        if window > encoder.max_row_tokens() {
            let most = encoder.max_row_tokens();
            return Err(BundleError::Window { window, most });
        }
        let label =
            |dir: &Option<PathBuf>, task| dir.as_deref().map(|dir| LabelHead::load(dir, task, &encoder)).transpose();
        let category = label(&config.heads.category, CATEGORY)?;
        let jailbreak = label(&config.heads.jailbreak, JAILBREAK)?;
        let names = config.heads.names.as_deref().map(|dir| NamesHead::load(dir, &encoder)).transpose()?;
        let digests = [
            category.as_ref().map_or("", LabelHead::digest),
            jailbreak.as_ref().map_or("", LabelHead::digest),
            names.as_ref().map_or("", NamesHead::digest),
        ];
        let info = ModelInfo {
            version: version(config, &encoder, &digests),
            labels: category.as_ref().map(|head| Arc::clone(head.labels())),
            background: category.as_ref().and_then(LabelHead::background),
            jailbreak: jailbreak.is_some(),
            names: names.is_some(),
            max_row_tokens: encoder.max_row_tokens(),
        };
        let bundle = Self { pool: thread_pool(config.threads)?, encoder, category, jailbreak, names, info };
        bundle.warm_up(tokenizer.special())?;
        Ok((bundle, Arc::new(tokenizer)))
    }

    /// The first pass pays for allocations and kernel choice; it is not a user's to pay.
    fn warm_up(&self, special: Special) -> Result<(), BundleError> {
        let (category, jailbreak) = (self.category.is_some(), self.jailbreak.is_some());
        let wanted = Wanted { category, embedding: true, jailbreak, ..Wanted::default() };
        let row = Row { ids: &[special.open, special.close], shapes: &[] };
        self.run(&[row], wanted).map_err(BundleError::WarmUp)?;
        Ok(())
    }

    fn compute(&self, rows: &[Row<'_>], wanted: Wanted) -> candle_core::Result<Vec<RowOutput>> {
        let ids: Vec<&[u32]> = rows.iter().map(|row| row.ids).collect();
        let states = self.encoder.forward(&ids)?;
        let mut outputs = vec![RowOutput::default(); rows.len()];
        if let Some(head) = self.category.as_ref().filter(|_| wanted.category) {
            let values = head.log_probs(&states)?.to_vec2::<f32>()?;
            for (output, row) in outputs.iter_mut().zip(values) {
                output.log_probs = Some(row);
            }
        }
        if let Some(head) = self.names.as_ref().filter(|_| wanted.names) {
            let shapes: Vec<_> = rows.iter().map(|row| row.shapes).collect();
            for (output, row) in outputs.iter_mut().zip(head.tags(&states, &shapes)?) {
                output.tags = Some(row);
            }
        }
        if let Some(head) = self.jailbreak.as_ref().filter(|_| wanted.jailbreak) {
            for (output, log_odds) in outputs.iter_mut().zip(head.log_odds(&states)?) {
                output.attack = Some(log_odds);
            }
        }
        if wanted.embedding {
            for (output, row) in outputs.iter_mut().zip(pooled(&states)?) {
                output.pooled = Some(row);
            }
        }
        Ok(outputs)
    }
}

impl Model for Bundle {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn run(&self, rows: &[Row<'_>], wanted: Wanted) -> Result<Vec<RowOutput>, ModelError> {
        self.pool.install(|| self.compute(rows, wanted)).map_err(|e| ModelError(e.to_string()))
    }
}

/// The encoder and tokeniser of a configuration, without any head: what training needs.
///
/// # Errors
/// [`BundleError::Encoder`], which names the file and what is wrong with it.
pub fn load_encoder(config: &Config) -> Result<(Encoder, WordTokenizer), BundleError> {
    let files = EncoderFiles::resolve(&config.encoder)?;
    let sum = config.encoder.sha256.as_deref();
    let encoder = Encoder::load(&files, sum, config.device, config.dtype)?;
    Ok((encoder, WordTokenizer::load(&files.tokenizer)?))
}

/// The threads that the encoder's matrix products run on; 0 is every core.
///
/// # Errors
/// [`BundleError::Threads`] when the system starts none.
pub fn thread_pool(threads: usize) -> Result<rayon::ThreadPool, BundleError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("encoder-{i}"))
        .build()
        .map_err(|e| BundleError::Threads { threads, message: e.to_string() })
}

fn pooled(states: &LayerStates) -> candle_core::Result<Vec<Vec<f32>>> {
    let mean: Tensor = mean_of_last(states)?;
    mean.to_vec2::<f32>()
}

fn version(config: &Config, encoder: &Encoder, heads: &[&str]) -> String {
    let mut digest = Sha256::new();
    digest.update(encoder.identity());
    digest.update(format!("{:?} {:?}", config.dtype, config.limits.window_tokens));
    digest.update(format!("{}", config.limits.window_overlap));
    for head in heads {
        digest.update(head);
    }
    let short: String = hex(&digest.finalize()).chars().take(12).collect();
    format!("fingerpost-{short}")
}
