//! `train --task names`: persons, organisations and places, learnt from texts that a generator writes out of
//! committed lists. Names and templates of the test part are never seen in training.

pub mod generate;
pub mod lists;
pub mod read;
pub mod score;
mod tokens;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use rand::{SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    TrainError,
    data::Dataset,
    fit::{FitConfig, fit},
    progress_bar,
    report::round,
};
use crate::{
    bundle::{load_encoder, thread_pool},
    config::Config,
    domain::{names::TAGS, shape::Shape, window::WindowShape},
    heads::{
        label::FORMAT,
        names::{NamesHead, NamesSpec, TokenFeatures},
    },
};
use generate::Generator;
use lists::{Lists, Part};
pub use read::Labelled;
use score::{EntityScores, score};
use tokens::Reader;

/// What to train on, and how.
#[derive(Debug, Clone)]
pub struct NamesRequest {
    /// Texts with entities of the user's own, beside those that the generator writes.
    pub data: Vec<PathBuf>,
    /// Labelled prompts, for their texts alone: contexts that no template has.
    pub prompts: Vec<PathBuf>,
    /// Where head and report go; nothing is written without it.
    pub out: Option<PathBuf>,
    /// Texts that the generator writes to train on.
    pub texts: usize,
    /// Layers whose states are read.
    pub layers: Vec<usize>,
    /// How it is fitted.
    pub fit: FitConfig,
    /// Show progress bars.
    pub progress: bool,
}

/// `report.json` of a names head.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamesReport {
    /// `names`.
    pub task: String,
    /// The seed of generator, split and fit.
    pub seed: u64,
    /// SHA-256 of the lists, then of the data files in order.
    pub data_sha256: String,
    /// The encoder under the head.
    pub encoder: String,
    /// Texts of each part, of every source.
    pub parts: BTreeMap<String, usize>,
    /// Tokens fitted on.
    pub tokens: usize,
    /// What the head reads.
    pub features: TokenFeatures,
    /// How it was fitted.
    pub fit: FitConfig,
    /// What the logits are divided by.
    pub temperature: f64,
    /// The test part: names and templates never seen.
    pub test: EntityScores,
}

/// The share of tokens outside every entity that is fitted on; the others teach little.
const OUTSIDE_KEPT: f64 = 0.4;

/// Words on each side whose shapes are read.
const REACH: usize = 2;

/// Trains a names head with the encoder of a configuration.
///
/// # Errors
/// [`TrainError`], which names the file and line, or the setting, at fault.
pub fn train_names(config: &Config, request: &NamesRequest) -> Result<NamesReport, TrainError> {
    let sources = Sources::load(request)?;
    thread_pool(config.threads)?.install(|| train_on(config, request, &sources))
}

fn train_on(config: &Config, request: &NamesRequest, sources: &Sources) -> Result<NamesReport, TrainError> {
    let (encoder, tokenizer) = load_encoder(config)?;
    if let Some(top) = request.layers.iter().find(|&&layer| layer > encoder.layers()) {
        return Err(TrainError::Setting(format!("layer {top} of an encoder with {}", encoder.layers())));
    }
    let limits = &config.limits;
    let features = TokenFeatures { layers: request.layers.clone(), reach: REACH, shape_bits: Shape::BITS };
    let reader = Reader {
        encoder: &encoder,
        tokenizer: &tokenizer,
        windows: WindowShape::new(limits.window_tokens, limits.window_overlap)
            .ok_or_else(|| TrainError::Setting("limits: windows cannot advance".to_owned()))?,
        batch_tokens: limits.batch_tokens.min(1024),
    };
    let bar = progress_bar(request.progress, "reading");
    let train = sources.texts(Part::Train, request.texts, request.fit.seed);
    let sample = reader.sample(&train, &features, OUTSIDE_KEPT, request.fit.seed, &bar)?;
    bar.finish();
    let bar = progress_bar(request.progress, "fitting");
    bar.set_length((request.fit.members * request.fit.epochs) as u64);
    let tokens = sample.targets.len();
    let network = tokens::undo_subsampling(fit(&sample, &request.fit, || bar.inc(1))?, OUTSIDE_KEPT)?;
    drop(sample);
    bar.finish();
    let mut spec = NamesSpec {
        format: FORMAT,
        task: "names".to_owned(),
        tags: TAGS.map(str::to_owned).to_vec(),
        features,
        hidden: request.fit.hidden.clone(),
        members: request.fit.members,
        temperature: 1.0,
        encoder: encoder.identity().to_owned(),
    };
    let head = NamesHead::new(spec.clone(), &network, encoder.hidden_size())?;
    let validation = sources.texts(Part::Validation, request.texts / 8, request.fit.seed);
    spec.temperature = reader.best_temperature(&head, &validation)?;
    if let Some(out) = &request.out {
        NamesHead::save(out, &spec, &network)?;
    }
    let head = NamesHead::new(spec.clone(), &network, encoder.hidden_size())?;
    let test = sources.texts(Part::Test, request.texts / 5, request.fit.seed);
    let (scores, _) = score(&test, &reader.find(&head, &test)?);
    let parts = [("train", &train), ("validation", &validation), ("test", &test)];
    let report = NamesReport {
        task: "names".to_owned(),
        seed: request.fit.seed,
        data_sha256: sources.digest.clone(),
        encoder: encoder.identity().to_owned(),
        parts: parts.map(|(name, part)| (name.to_owned(), part.len())).into(),
        tokens,
        features: spec.features,
        fit: request.fit.clone(),
        temperature: round(f64::from(spec.temperature)),
        test: scores,
    };
    if let Some(out) = &request.out {
        super::write_report(out.join("report.json"), &report)?;
    }
    Ok(report)
}

/// Texts that the generator writes for a part, without any other text beside them.
#[must_use]
pub fn texts(part: Part, count: usize, seed: u64) -> Vec<Labelled> {
    generated(part, count, seed, &[])
}

fn generated(part: Part, count: usize, seed: u64, carriers: &[String]) -> Vec<Labelled> {
    let lists = Lists::of(part);
    let rng = StdRng::seed_from_u64(seed.wrapping_add(part as u64 * 1_000));
    Generator::new(&lists, carriers, rng).texts(count)
}

struct Sources {
    own: Vec<Labelled>,
    carriers: Vec<String>,
    digest: String,
}

impl Sources {
    fn load(request: &NamesRequest) -> Result<Self, TrainError> {
        let (own, own_digest) = read::load(&request.data)?;
        let mut digest = Sha256::new();
        digest.update(lists::digest());
        digest.update(own_digest);
        let mut carriers = Vec::new();
        if !request.prompts.is_empty() {
            let prompts = Dataset::load(&request.prompts)?;
            digest.update(&prompts.sha256);
            carriers = nameless(prompts.examples.into_iter().map(|e| e.text));
        }
        Ok(Self { own, carriers, digest: crate::encoder::hex(&digest.finalize()) })
    }

    /// The texts of a part: the generator's; the user's by hash; and, to train on, prompts without any name.
    fn texts(&self, part: Part, count: usize, seed: u64) -> Vec<Labelled> {
        let carriers = if part == Part::Train { self.carriers.as_slice() } else { &[] };
        let mut texts = generated(part, count, seed, carriers);
        texts.extend(self.own.iter().filter(|own| read::part_of(&own.text) == part).cloned());
        let plain = |text: &String| Labelled { text: text.clone(), entities: Vec::new(), kind: None };
        texts.extend(carriers.iter().map(plain));
        texts
    }
}

/// Those texts that surely hold no name: no word of a list of names, and no capital but at the start of a
/// sentence, in the word `I` and in abbreviations. Half of the others is left alone, to measure on.
fn nameless(texts: impl Iterator<Item = String>) -> Vec<String> {
    let names: HashSet<String> =
        [Part::Train, Part::Validation, Part::Test].into_iter().flat_map(|part| Lists::of(part).names()).collect();
    let known = Lists::of(Part::Train);
    let fine: HashSet<&str> =
        ["capitalised", "months", "days"].iter().flat_map(|list| known.fillers(list)).map(String::as_str).collect();
    texts.filter(|text| text.len() < 600 && trained_on(text) && is_nameless(text, &names, &fine)).collect()
}

/// Whether a prompt may be trained on; the other half is for measuring false finds.
#[must_use]
pub fn trained_on(prompt: &str) -> bool {
    Sha256::digest(prompt).first().is_some_and(|byte| byte % 2 == 0)
}

fn is_nameless(text: &str, names: &HashSet<String>, fine: &HashSet<&str>) -> bool {
    let mut starts = true;
    for chunk in text.split_whitespace() {
        let word = chunk.trim_matches(|c: char| !c.is_alphanumeric());
        let core = word.split(['\'', '’']).next().unwrap_or_default();
        let capital = core.starts_with(char::is_uppercase);
        let abbreviation = core.chars().all(|c| c.is_uppercase() || c.is_numeric()) && core.len() < 5;
        if capital && !starts && !abbreviation && !fine.contains(core) && core != "I" {
            return false;
        }
        // Words that are names too often stand as plain words in small letters.
        if core.chars().count() > 4 && names.contains(&core.to_lowercase()) {
            return false;
        }
        starts = chunk.ends_with(['.', '!', '?', ':', ')']);
    }
    true
}
