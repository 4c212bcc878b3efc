//! Against the real encoder and candle_transformers' forward pass; needs `make setup`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config as ReferenceConfig};

use super::{bert::additive_mask, source::EncoderFiles, *};
use crate::{
    config::Config,
    domain::{Tokenize as _, merge::normalise},
    heads::features::{FeatureSpec, mean_of_last},
};

const TEXTS: [&str; 3] = [
    "How do vaccines train the immune system?",
    "x^2",
    "A long one: what happens to the price of bonds when a central bank raises its rate, and why does it take so long?",
];

fn files() -> EncoderFiles {
    let config = Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("classifier.yaml")).unwrap();
    let files = EncoderFiles::resolve(&config.encoder).unwrap();
    let missing = "the default encoder is missing: run `make setup`";
    assert!(files.weights.is_file(), "{missing}");
    files
}

fn load(dtype: DtypeName) -> (Encoder, Vec<Vec<u32>>) {
    let files = files();
    let tokenizer = WordTokenizer::load(&files.tokenizer).unwrap();
    let special = tokenizer.special();
    let row = |text: &&str| {
        let body: Vec<u32> = tokenizer.tokenize(text).unwrap().into_iter().map(|token| token.id).collect();
        [vec![special.open], body, vec![special.close]].concat()
    };
    let encoder = Encoder::load(&files, None, DeviceName::Cpu, dtype).unwrap();
    (encoder, TEXTS.iter().map(row).collect())
}

fn farthest(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn the_last_layer_is_candle_transformers() {
    let (encoder, rows) = load(DtypeName::F32);
    let states = encoder.forward(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    assert_eq!(states.states.len(), 7);
    let files = files();
    let config: ReferenceConfig = serde_json::from_slice(&std::fs::read(&files.config).unwrap()).unwrap();
    let weights = std::fs::read(&files.weights).unwrap();
    let vb = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
    let reference = BertModel::load(vb, &config).unwrap();
    // One row at a time, so that the reference needs no mask.
    for (index, row) in rows.iter().enumerate() {
        let ids = Tensor::new(row.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let types = ids.zeros_like().unwrap();
        let wanted = reference.forward(&ids, &types, None).unwrap().squeeze(0).unwrap();
        let ours = states.states[6].get(index).unwrap().narrow(0, 0, row.len()).unwrap();
        let gap = farthest(&ours, &wanted);
        assert!(gap < 1e-4, "row {index}: {gap}");
    }
}

#[test]
fn padding_changes_no_pooled_value() {
    let (encoder, rows) = load(DtypeName::F32);
    let spec = FeatureSpec { mean: vec![0, 3, 6], max: vec![6], cls: vec![6] };
    let together = spec.pool(&encoder.forward(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()).unwrap();
    assert_eq!(together.dims(), [3, spec.width(384)]);
    for (index, row) in rows.iter().enumerate() {
        let alone = spec.pool(&encoder.forward(&[row]).unwrap()).unwrap().squeeze(0).unwrap();
        assert!(farthest(&together.get(index).unwrap(), &alone) < 1e-4, "row {index}");
    }
}

#[test]
fn half_precision_stays_close_and_finite() {
    let (full, rows) = load(DtypeName::F32);
    let (half, _) = load(DtypeName::F16);
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let embed = |encoder: &Encoder| mean_of_last(&encoder.forward(&rows).unwrap()).unwrap().to_vec2::<f32>().unwrap();
    for (mut a, mut b) in embed(&full).into_iter().zip(embed(&half)) {
        normalise(&mut a);
        normalise(&mut b);
        let cosine: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
        assert!(cosine > 0.999, "{cosine}");
    }
}

#[test]
fn the_mask_is_absent_without_padding_and_infinite_with_it() {
    assert!(additive_mask(&[4, 4], DType::F32, &Device::Cpu).unwrap().is_none());
    let mask = additive_mask(&[1, 2], DType::F16, &Device::Cpu).unwrap().unwrap();
    assert_eq!(mask.dims(), [2, 1, 1, 2]);
    let values: Vec<f32> = mask.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(values, [0.0, f32::NEG_INFINITY, 0.0, 0.0]);
}

#[test]
fn other_weights_and_devices_are_refused_by_name() {
    let files = files();
    let other = "0".repeat(64);
    let error = Encoder::load(&files, Some(&other), DeviceName::Cpu, DtypeName::F32).unwrap_err();
    assert!(error.to_string().contains("encoder.sha256"), "{error}");
    if !cfg!(feature = "cuda") {
        let error = Encoder::load(&files, None, DeviceName::Cuda(0), DtypeName::F32).unwrap_err();
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }
    let nowhere = EncoderFiles::in_dir(Path::new("/nowhere"));
    let error = Encoder::load(&nowhere, None, DeviceName::Cpu, DtypeName::F32).unwrap_err();
    assert!(error.to_string().contains("make setup"), "{error}");
}
