//! The network of a head: standardise, then dense layers with GELU between them; several members
//! (trained from different seeds) are averaged.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor, Var};

/// One dense layer: weight (out, in) and bias (out).
#[derive(Debug, Clone)]
pub struct Dense {
    /// (out, in).
    pub weight: Tensor,
    /// (out).
    pub bias: Tensor,
}

impl Dense {
    /// x (batch, in) to (batch, out).
    ///
    /// # Errors
    /// candle's, when shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }

    /// The layer as something to train.
    ///
    /// # Errors
    /// candle's.
    pub fn variables(&self) -> Result<(Self, [Var; 2])> {
        let (weight, bias) = (Var::from_tensor(&self.weight)?, Var::from_tensor(&self.bias)?);
        let layer = Self { weight: weight.as_tensor().clone(), bias: bias.as_tensor().clone() };
        Ok((layer, [weight, bias]))
    }
}

/// A whole head: standardisation and members.
#[derive(Debug, Clone)]
pub struct Network {
    /// Mean of each feature over the training set.
    pub mean: Tensor,
    /// 1 / standard deviation of each feature.
    pub scale: Tensor,
    /// The members' layers, first to last.
    pub members: Vec<Vec<Dense>>,
}

impl Network {
    /// Features (batch, width) to the members' mean logits (batch, labels).
    ///
    /// # Errors
    /// candle's, when shapes do not fit.
    pub fn logits(&self, features: &Tensor) -> Result<Tensor> {
        let x = self.standardise(features)?;
        let mut sum: Option<Tensor> = None;
        for member in &self.members {
            let logits = forward(member, &x, |_, x| Ok(x))?;
            sum = Some(match sum {
                Some(sum) => (sum + logits)?,
                None => logits,
            });
        }
        match sum {
            Some(sum) => sum / self.members.len() as f64,
            None => candle_core::bail!("a head without members"),
        }
    }

    /// Zero mean and unit variance, as over the training set.
    ///
    /// # Errors
    /// candle's, when shapes do not fit.
    pub fn standardise(&self, features: &Tensor) -> Result<Tensor> {
        features.broadcast_sub(&self.mean)?.broadcast_mul(&self.scale)
    }

    /// The tensors to store: weights in f16, statistics in f32.
    ///
    /// # Errors
    /// candle's.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>> {
        let mut out = HashMap::from([("mean".to_owned(), self.mean.clone()), ("scale".to_owned(), self.scale.clone())]);
        for (m, member) in self.members.iter().enumerate() {
            for (l, layer) in member.iter().enumerate() {
                out.insert(format!("{m}.{l}.weight"), layer.weight.to_dtype(DType::F16)?);
                out.insert(format!("{m}.{l}.bias"), layer.bias.to_dtype(DType::F16)?);
            }
        }
        Ok(out)
    }

    /// Reads stored tensors into f32 on a device; `widths` are those of the features, of each hidden
    /// layer and of the labels.
    ///
    /// # Errors
    /// candle's, when a tensor is missing or has another shape.
    pub fn from_tensors(
        tensors: &HashMap<String, Tensor>,
        members: usize,
        widths: &[usize],
        device: &Device,
    ) -> Result<Self> {
        let get = |name: &str, shape: &[usize]| match tensors.get(name) {
            Some(t) if t.dims() == shape => t.to_dtype(DType::F32)?.to_device(device),
            Some(t) => candle_core::bail!("`{name}` is {:?}, head.json says {shape:?}", t.dims()),
            None => candle_core::bail!("`{name}` is missing"),
        };
        let first = widths.first().copied().unwrap_or(0);
        let members = (0..members)
            .map(|m| {
                let pairs = widths.iter().zip(widths.iter().skip(1)).enumerate();
                pairs
                    .map(|(l, (&from, &to))| {
                        Ok(Dense {
                            weight: get(&format!("{m}.{l}.weight"), &[to, from])?,
                            bias: get(&format!("{m}.{l}.bias"), &[to])?,
                        })
                    })
                    .collect::<Result<Vec<_>>>()
            })
            .collect::<Result<_>>()?;
        Ok(Self { mean: get("mean", &[first])?, scale: get("scale", &[first])?, members })
    }
}

/// One member's logits of standardised features; `drop` may drop inputs of each layer (its index is given).
///
/// # Errors
/// candle's, when shapes do not fit.
pub fn forward(member: &[Dense], x: &Tensor, mut drop: impl FnMut(usize, Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let mut x = x.clone();
    for (index, layer) in member.iter().enumerate() {
        x = layer.forward(&drop(index, x)?)?;
        if index + 1 < member.len() {
            x = x.gelu_erf()?;
        }
    }
    Ok(x)
}
