//! Fits the network of a head to pooled features. Deterministic by seed: every random number comes
//! from one seeded generator, used in one order.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, ops::log_softmax};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use crate::heads::mlp::{Dense, Network, forward};

/// The hyper-parameters of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitConfig {
    /// Seeds the weights, the order and the dropout of member 0; member m takes seed + m.
    pub seed: u64,
    /// Networks whose logits are averaged.
    pub members: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Passes over the data.
    pub epochs: usize,
    /// Prompts a step.
    pub batch: usize,
    /// Peak of the learning rate, which warms up over 5% of the steps and then falls as a cosine.
    pub learning_rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Share of probability that is spread over all labels.
    pub label_smoothing: f64,
    /// Share of the features dropped at random.
    pub input_dropout: f64,
    /// Share of the hidden units dropped at random.
    pub hidden_dropout: f64,
    /// Mixup: weights are drawn from Beta(a, a); 0 switches it off.
    pub mixup: f64,
}

/// What is fitted to.
#[derive(Debug, Clone)]
pub struct Sample {
    /// (rows, width) in f32 on the CPU.
    pub features: Tensor,
    /// The label's number of each row.
    pub targets: Vec<usize>,
    /// How many labels there are.
    pub labels: usize,
}

impl Sample {
    /// The chosen rows.
    ///
    /// # Errors
    /// candle's.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        Ok(Self {
            features: self.features.index_select(&index(rows)?, 0)?,
            targets: rows.iter().filter_map(|&i| self.targets.get(i)).copied().collect(),
            labels: self.labels,
        })
    }
}

/// Fits all members. `tick` is called once an epoch of a member.
///
/// # Errors
/// candle's.
pub fn fit(sample: &Sample, config: &FitConfig, mut tick: impl FnMut()) -> Result<Network> {
    let mean = sample.features.mean(0)?;
    let variance = sample.features.broadcast_sub(&mean)?.sqr()?.mean(0)?;
    let scale = (variance + 1e-6)?.sqrt()?.recip()?;
    let mut network = Network { mean, scale, members: Vec::with_capacity(config.members) };
    let standardised = Sample { features: network.standardise(&sample.features)?, ..sample.clone() };
    for member in 0..config.members {
        let seed = config.seed.wrapping_add(member as u64);
        let fitted = fit_member(&standardised, config, seed, &mut tick)?;
        network.members.push(fitted);
    }
    Ok(network)
}

fn fit_member(sample: &Sample, config: &FitConfig, seed: u64, tick: &mut impl FnMut()) -> Result<Vec<Dense>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut widths = vec![sample.features.dim(1)?];
    widths.extend(&config.hidden);
    widths.push(sample.labels);
    let mut layers = Vec::new();
    let mut variables: Vec<Var> = Vec::new();
    for (&from, &to) in widths.iter().zip(widths.iter().skip(1)) {
        let (layer, vars) = initial(&mut rng, from, to)?.variables()?;
        layers.push(layer);
        variables.extend(vars);
    }
    let mut optimiser = AdamW::new(
        variables,
        ParamsAdamW { lr: config.learning_rate, weight_decay: config.weight_decay, ..ParamsAdamW::default() },
    )?;
    let mut order: Vec<usize> = (0..sample.targets.len()).collect();
    let steps = config.epochs * order.len().div_ceil(config.batch.max(1));
    let mut step = 0;
    for _ in 0..config.epochs {
        order.shuffle(&mut rng);
        for rows in order.chunks(config.batch.max(1)) {
            optimiser.set_learning_rate(config.learning_rate * schedule(step, steps));
            let (x, y) = batch(sample, rows, config, &mut rng)?;
            let logits = forward(&layers, &x, |layer, x| {
                let share = match layer {
                    0 => config.input_dropout,
                    _ => config.hidden_dropout,
                };
                drop_some(&x, share, &mut rng)
            })?;
            let loss = (log_softmax(&logits, 1)? * y)?.sum_all()?.affine(-1.0 / rows.len() as f64, 0.0)?;
            optimiser.backward_step(&loss)?;
            step += 1;
        }
        tick();
    }
    layers.iter().map(detached).collect()
}

fn detached(layer: &Dense) -> Result<Dense> {
    Ok(Dense { weight: layer.weight.detach(), bias: layer.bias.detach() })
}

/// Rows with their smoothed targets, mixed with a shuffle of themselves where mixup is on.
fn batch(sample: &Sample, rows: &[usize], config: &FitConfig, rng: &mut StdRng) -> Result<(Tensor, Tensor)> {
    let part = sample.select(rows)?;
    let floor = config.label_smoothing / sample.labels as f64;
    let mut y = vec![floor as f32; rows.len() * sample.labels];
    for (row, &target) in y.chunks_mut(sample.labels).zip(&part.targets) {
        if let Some(hit) = row.get_mut(target) {
            *hit += (1.0 - config.label_smoothing) as f32;
        }
    }
    let y = Tensor::from_vec(y, (rows.len(), sample.labels), &Device::Cpu)?;
    if config.mixup <= 0.0 {
        return Ok((part.features, y));
    }
    let mut partner: Vec<usize> = (0..rows.len()).collect();
    partner.shuffle(rng);
    let partner = index(&partner)?;
    let weight = beta(config.mixup, rng);
    let mix = |t: &Tensor| (t * weight)? + (t.index_select(&partner, 0)? * (1.0 - weight))?;
    Ok((mix(&part.features)?, mix(&y)?))
}

fn index(rows: &[usize]) -> Result<Tensor> {
    let rows: Vec<u32> = rows.iter().map(|&i| u32::try_from(i).unwrap_or(u32::MAX)).collect();
    Tensor::new(rows, &Device::Cpu)
}

/// Warm-up over 5% of the steps, then half a cosine.
fn schedule(step: usize, steps: usize) -> f64 {
    let warm = (steps / 20).max(1);
    if step < warm {
        return (step + 1) as f64 / warm as f64;
    }
    let progress = (step - warm) as f64 / steps.saturating_sub(warm).max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// Normal weights that keep the variance of their inputs, and zero biases.
fn initial(rng: &mut StdRng, from: usize, to: usize) -> Result<Dense> {
    let deviation = (1.0 / from as f64).sqrt();
    let weights: Vec<f32> = (0..from * to).map(|_| (normal(rng) * deviation) as f32).collect();
    Ok(Dense {
        weight: Tensor::from_vec(weights, (to, from), &Device::Cpu)?,
        bias: Tensor::zeros(to, DType::F32, &Device::Cpu)?,
    })
}

/// Zeroes a share of the values and scales the others up, so that sums keep their mean.
fn drop_some(x: &Tensor, share: f64, rng: &mut StdRng) -> Result<Tensor> {
    if share <= 0.0 {
        return Ok(x.clone());
    }
    let kept = (1.0 / (1.0 - share)) as f32;
    let threshold = (share * f64::from(u16::MAX)) as u16;
    let mut bytes = vec![0_u8; x.elem_count() * 2];
    rng.fill_bytes(&mut bytes);
    let mask: Vec<f32> = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&pair| if u16::from_le_bytes(pair) < threshold { 0.0 } else { kept })
        .collect();
    x * Tensor::from_vec(mask, x.shape(), &Device::Cpu)?
}

/// A standard normal number (Box-Muller).
fn normal(rng: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A Beta(a, a) number for a in (0, 1] (Johnk's method).
fn beta(a: f64, rng: &mut StdRng) -> f64 {
    loop {
        let (u, v): (f64, f64) = (rng.random(), rng.random());
        let (x, y) = (u.powf(1.0 / a), v.powf(1.0 / a));
        if x + y <= 1.0 && x + y > 0.0 {
            return x / (x + y);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn config() -> FitConfig {
        FitConfig {
            seed: 1,
            members: 2,
            hidden: vec![8],
            epochs: 60,
            batch: 16,
            learning_rate: 0.02,
            weight_decay: 0.01,
            label_smoothing: 0.05,
            input_dropout: 0.1,
            hidden_dropout: 0.1,
            mixup: 0.2,
        }
    }

    /// XOR: no linear head learns it.
    fn sample() -> Sample {
        let mut rng = StdRng::seed_from_u64(5);
        let points: Vec<f32> = (0..256).map(|_| rng.random::<f32>() - 0.5).collect();
        let targets = points.chunks(2).map(|p| usize::from((p[0] > 0.0) != (p[1] > 0.0))).collect();
        Sample { features: Tensor::from_vec(points, (128, 2), &Device::Cpu).unwrap(), targets, labels: 2 }
    }

    #[test]
    fn learns_what_is_not_linear_and_the_same_again() {
        let sample = sample();
        let mut ticks = 0;
        let network = fit(&sample, &config(), || ticks += 1).unwrap();
        assert_eq!(ticks, 120);
        let logits = network.logits(&sample.features).unwrap();
        let given: Vec<u32> = logits.argmax(1).unwrap().to_vec1().unwrap();
        let right = given.iter().zip(&sample.targets).filter(|(g, t)| **g as usize == **t).count();
        assert!(right > 115, "{right} of 128");
        let again = fit(&sample, &config(), || ()).unwrap().logits(&sample.features).unwrap();
        assert_eq!(logits.to_vec2::<f32>().unwrap(), again.to_vec2::<f32>().unwrap());
    }

    #[test]
    fn the_rate_warms_up_and_falls_to_zero() {
        assert!(schedule(0, 100) < schedule(4, 100));
        assert!((schedule(5, 100) - 1.0).abs() < 1e-9);
        assert!(schedule(99, 100) < 0.001);
    }
}
