//! Texts to pooled features: the encoder's share of training, done once.

use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use rayon::prelude::*;

use super::TrainError;
use crate::{
    domain::{
        Tokenize as _,
        plan::plan,
        window::{Window, WindowShape},
    },
    encoder::{Encoder, WordTokenizer},
    heads::features::FeatureSpec,
};

/// The features of texts: a row a window.
#[derive(Debug)]
pub struct Embedded {
    /// (windows of all texts, width), in f32 on the CPU.
    pub features: Tensor,
    /// The windows of each text; their rows follow one another.
    pub windows: Vec<Vec<Window>>,
}

impl Embedded {
    /// The first row of each text and, last, the number of rows.
    #[must_use]
    pub fn starts(&self) -> Vec<usize> {
        let mut next = 0;
        let mut starts = vec![0];
        for windows in &self.windows {
            next += windows.len();
            starts.push(next);
        }
        starts
    }
}

/// How to embed.
pub struct Embedder<'a> {
    /// The encoder.
    pub encoder: &'a Encoder,
    /// Its tokeniser.
    pub tokenizer: &'a WordTokenizer,
    /// What of its states is kept.
    pub features: &'a FeatureSpec,
    /// How long texts are cut.
    pub windows: WindowShape,
    /// Tokens of one forward pass, padding counted.
    pub batch_tokens: usize,
}

impl Embedder<'_> {
    /// Embeds texts, batches side by side on every core.
    ///
    /// # Errors
    /// [`TrainError`], when the tokeniser or the encoder fails.
    pub fn embed(&self, texts: &[&str], progress: &ProgressBar) -> Result<Embedded, TrainError> {
        let special = self.tokenizer.special();
        let windows = texts
            .par_iter()
            .map(|text| {
                let ids: Vec<u32> = self.tokenizer.tokenize(text)?.into_iter().map(|token| token.id).collect();
                Ok(self.windows.cut(&ids, special))
            })
            .collect::<Result<Vec<_>, TrainError>>()?;
        let rows: Vec<&[u32]> = windows.iter().flatten().map(|w| w.ids.as_slice()).collect();
        let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
        progress.set_length(rows.len() as u64);
        let parts = plan(&lengths, self.batch_tokens)
            .into_par_iter()
            .map(|batch| {
                let chosen: Vec<&[u32]> = batch.iter().filter_map(|&i| rows.get(i)).copied().collect();
                let states = self.encoder.forward(&chosen)?;
                let pooled = self.features.pool(&states)?.to_device(&Device::Cpu)?;
                progress.inc(batch.len() as u64);
                Ok((batch, pooled.to_vec2::<f32>()?))
            })
            .collect::<candle_core::Result<Vec<_>>>()?;
        let mut ordered: Vec<Vec<f32>> = vec![Vec::new(); rows.len()];
        for (index, row) in parts.into_iter().flat_map(|(batch, pooled)| batch.into_iter().zip(pooled)) {
            if let Some(slot) = ordered.get_mut(index) {
                *slot = row;
            }
        }
        let width = self.features.width(self.encoder.hidden_size());
        let shape = (ordered.len(), width);
        Ok(Embedded { features: Tensor::from_vec(ordered.concat(), shape, &Device::Cpu)?, windows })
    }
}
