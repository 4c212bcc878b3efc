//! Labelled texts to tokens with features and tags, and the head's way back to entities.

use std::ops::Range;

use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rayon::prelude::*;

use super::Labelled;
use crate::{
    domain::{
        Tokenize as _,
        names::{KINDS, TAGS, Tagged, decode},
        plan::plan,
        shape::{Shape, shapes, span, words},
        window::{Window, WindowShape},
    },
    encoder::{Encoder, LayerStates, WordTokenizer},
    heads::{
        mlp::{Dense, Network},
        names::{NamesHead, TokenFeatures},
    },
    pii::Entity,
    train::{TrainError, fit::Sample},
};

/// Tokeniser and encoder.
pub struct Reader<'a> {
    pub encoder: &'a Encoder,
    pub tokenizer: &'a WordTokenizer,
    pub windows: WindowShape,
    /// Tokens of one forward pass, padding counted.
    pub batch_tokens: usize,
}

/// A text, tokenised and cut.
struct Cut {
    offsets: Vec<Range<usize>>,
    shapes: Vec<Shape>,
    windows: Vec<Window>,
}

impl Reader<'_> {
    /// Every token of an entity, and a share of the others.
    pub fn sample(
        &self,
        texts: &[Labelled],
        features: &TokenFeatures,
        outside: f64,
        seed: u64,
        bar: &ProgressBar,
    ) -> Result<Sample, TrainError> {
        let cuts = self.cut(texts)?;
        let rows: Vec<(usize, &Window)> =
            cuts.iter().enumerate().flat_map(|(text, cut)| cut.windows.iter().map(move |w| (text, w))).collect();
        bar.set_length(rows.len() as u64);
        let parts = self.run(&cuts, &rows, |chosen, states, shapes| {
            let all = features.gather(states, shapes)?;
            let (mut kept, mut targets) = (Vec::new(), Vec::new());
            let mut at = 0_u32;
            for &row in chosen {
                let Some((&(text, window), cut, labelled)) =
                    rows.get(row).and_then(|r| Some((r, cuts.get(r.0)?, texts.get(r.0)?)))
                else {
                    continue;
                };
                let mut rng = StdRng::seed_from_u64(seed ^ ((text as u64) << 20) ^ window.tokens.start as u64);
                let tags = tags(labelled, &cut.offsets);
                for tag in tags.get(window.tokens.clone()).unwrap_or_default() {
                    if *tag != 0 || rng.random_bool(outside) {
                        kept.push(at);
                        targets.push(*tag);
                    }
                    at += 1;
                }
            }
            bar.inc(chosen.len() as u64);
            let count = kept.len();
            let kept = all.index_select(&Tensor::from_vec(kept, count, &Device::Cpu)?, 0)?;
            Ok((kept, targets))
        })?;
        let mut targets = Vec::new();
        let mut tensors = Vec::new();
        for (tensor, tags) in parts.into_iter().filter(|(_, tags)| !tags.is_empty()) {
            tensors.push(tensor);
            targets.extend(tags);
        }
        Ok(Sample { features: Tensor::cat(&tensors, 0)?, targets, labels: TAGS.len() })
    }

    /// The entities that a head finds in texts.
    pub fn find(&self, head: &NamesHead, texts: &[Labelled]) -> Result<Vec<Vec<Entity>>, TrainError> {
        let cuts = self.cut(texts)?;
        let outputs = self.tags(head, &cuts)?;
        let found = texts.iter().zip(&cuts).zip(&outputs).map(|((text, cut), outputs)| {
            let tagged = cut.windows.iter().zip(outputs);
            let tagged: Vec<Tagged<'_>> =
                tagged.map(|(window, tags)| Tagged { tokens: window.tokens.clone(), tags }).collect();
            decode(&text.text, &cut.offsets, &tagged)
        });
        Ok(found.collect())
    }

    /// The temperature with the least negative log-likelihood of the tokens' tags, by golden section over its logarithm.
    pub fn best_temperature(&self, head: &NamesHead, texts: &[Labelled]) -> Result<f32, TrainError> {
        let cuts = self.cut(texts)?;
        let outputs = self.tags(head, &cuts)?;
        let mut tokens: Vec<(&[f32], usize)> = Vec::new();
        for ((text, cut), outputs) in texts.iter().zip(&cuts).zip(&outputs) {
            let truth = tags(text, &cut.offsets);
            for (window, rows) in cut.windows.iter().zip(outputs) {
                let truth = truth.get(window.tokens.clone()).unwrap_or_default();
                tokens.extend(rows.iter().map(Vec::as_slice).zip(truth.iter().copied()));
            }
        }
        let loss = |log_t: f64| -> f64 {
            let of = |(row, tag): &(&[f32], usize)| {
                let scaled = |value: f32| f64::from(value) / log_t.exp();
                let total = row.iter().map(|&value| scaled(value).exp()).sum::<f64>().ln();
                total - row.get(*tag).map_or(0.0, |&value| scaled(value))
            };
            tokens.iter().map(of).sum()
        };
        Ok(super::super::minimum(-2.0, 2.0, loss).exp() as f32)
    }

    fn cut(&self, texts: &[Labelled]) -> Result<Vec<Cut>, TrainError> {
        let special = self.tokenizer.special();
        texts
            .par_iter()
            .map(|text| {
                let tokens = self.tokenizer.tokenize(&text.text)?;
                let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
                let offsets: Vec<Range<usize>> = tokens.into_iter().map(|token| token.range).collect();
                let shapes = shapes(&text.text, &offsets);
                Ok(Cut { windows: self.windows.cut(&ids, special), offsets, shapes })
            })
            .collect()
    }

    /// The tags of every window of every text.
    fn tags(&self, head: &NamesHead, cuts: &[Cut]) -> Result<Vec<Vec<Vec<Vec<f32>>>>, TrainError> {
        let rows: Vec<(usize, &Window)> =
            cuts.iter().enumerate().flat_map(|(text, cut)| cut.windows.iter().map(move |w| (text, w))).collect();
        let parts = self.run(cuts, &rows, |chosen, states, shapes| {
            Ok(chosen.iter().copied().zip(head.tags(states, shapes)?).collect::<Vec<_>>())
        })?;
        let mut ordered = vec![Vec::new(); rows.len()];
        for (row, tags) in parts.into_iter().flatten() {
            if let Some(slot) = ordered.get_mut(row) {
                *slot = tags;
            }
        }
        let mut ordered = ordered.into_iter();
        Ok(cuts.iter().map(|cut| ordered.by_ref().take(cut.windows.len()).collect()).collect())
    }

    /// Runs all rows in batches, side by side on every core; answers in the batches' order.
    fn run<T: Send>(
        &self,
        cuts: &[Cut],
        rows: &[(usize, &Window)],
        read: impl Fn(&[usize], &LayerStates, &[&[Shape]]) -> candle_core::Result<T> + Sync,
    ) -> Result<Vec<T>, TrainError> {
        let lengths: Vec<usize> = rows.iter().map(|(_, window)| window.ids.len()).collect();
        let out = plan(&lengths, self.batch_tokens)
            .into_par_iter()
            .map(|batch| {
                let chosen: Vec<(usize, &Window)> = batch.iter().filter_map(|&i| rows.get(i)).copied().collect();
                let ids: Vec<&[u32]> = chosen.iter().map(|(_, window)| window.ids.as_slice()).collect();
                let shape = |&(text, window): &(usize, &Window)| {
                    cuts.get(text).and_then(|cut| cut.shapes.get(window.tokens.clone())).unwrap_or_default()
                };
                let shapes: Vec<&[Shape]> = chosen.iter().map(shape).collect();
                read(&batch, &self.encoder.forward(&ids)?, &shapes)
            })
            .collect::<candle_core::Result<Vec<T>>>()?;
        Ok(out)
    }
}

/// The tag of every token: all pieces of a word have the word's.
fn tags(labelled: &Labelled, offsets: &[Range<usize>]) -> Vec<usize> {
    let mut out = vec![0; offsets.len()];
    let words = words(&labelled.text, offsets);
    for (kind, entity) in &labelled.entities {
        let Some(kind) = KINDS.iter().position(|k| k == kind) else { continue };
        let mut tag = 1 + 2 * kind;
        for word in &words {
            let inside = span(offsets, word).is_some_and(|w| w.start < entity.end && w.end > entity.start);
            if inside && let Some(slots) = out.get_mut(word.clone()) {
                slots.fill(tag);
                tag = 2 + 2 * kind;
            }
        }
    }
    out
}

/// Fitted on a share of the tokens outside entities, a network thinks them that much rarer than they are.
pub fn undo_subsampling(mut network: Network, outside: f64) -> candle_core::Result<Network> {
    let shift: Vec<f32> = (0..TAGS.len()).map(|tag| if tag == 0 { -outside.ln() as f32 } else { 0.0 }).collect();
    for member in &mut network.members {
        if let Some(Dense { bias, .. }) = member.last_mut() {
            *bias = (bias.clone() + Tensor::from_slice(&shift, TAGS.len(), &Device::Cpu)?)?;
        }
    }
    Ok(network)
}
