//! `train`: labelled prompts in, a head with its report out.
//!
//! The held-out parts are whole topics, or the ones given. The validation part chooses the temperature; the test part is
//! reported on and used for nothing else. The committed weights may then be fitted anew on all
//! prompts, with the same settings and temperature; the report stays that of the held-out test.

pub mod data;
pub mod detect;
pub mod embed;
pub mod fit;
pub mod names;
pub mod report;
pub mod split;

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    bundle::{BundleError, load_encoder, thread_pool},
    config::Config,
    domain::{ModelError, ModelInfo, RowOutput, merge, window::WindowShape},
    heads::{
        HeadError,
        features::FeatureSpec,
        label::{ATTACK, BENIGN, CATEGORY, FORMAT, HeadSpec, JAILBREAK, LabelHead, log_odds},
        mlp::Network,
    },
};
use data::{DataError, Dataset};
use detect::{Detection, quantile};
use embed::{Embedded, Embedder};
use fit::{FitConfig, Sample, fit};
use report::{Judged, Scores, round};
use split::{Shares, Split, split};

/// Why a training failed.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The encoder.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Writing the head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The tokeniser.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// candle.
    #[error("training failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// The report.
    #[error("{}: {source}", file.display())]
    Report {
        /// The report's file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting that cannot work.
    #[error("{0}")]
    Setting(String),
}

/// What a head of labels is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelTask {
    /// The subject area.
    Category,
    /// Attacks, and what is none.
    Jailbreak,
}

impl LabelTask {
    const fn name(self) -> &'static str {
        match self {
            Self::Category => CATEGORY,
            Self::Jailbreak => JAILBREAK,
        }
    }
}

/// What to train on, and how.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// What the head is for.
    pub task: LabelTask,
    /// Files, and directories of files.
    pub data: Vec<PathBuf>,
    /// The same, for the validation part; without it and `test`, whole topics of `data` are held out.
    pub validation: Vec<PathBuf>,
    /// The same, for the test part.
    pub test: Vec<PathBuf>,
    /// Where head and report go; nothing is written without it.
    pub out: Option<PathBuf>,
    /// What the head reads.
    pub features: FeatureSpec,
    /// How it is fitted.
    pub fit: FitConfig,
    /// The label that means "none of the others".
    pub background: Option<String>,
    /// Fit the written weights on all prompts; parts that are given stay held out all the same.
    pub final_on_all: bool,
    /// Show progress bars.
    pub progress: bool,
}

/// `report.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainReport {
    /// What was trained.
    pub task: String,
    /// The seed of split and fit.
    pub seed: u64,
    /// SHA-256 of the data files in order.
    pub data_sha256: String,
    /// The encoder under the head.
    pub encoder: String,
    /// Prompts of each label.
    pub counts: BTreeMap<String, usize>,
    /// Prompts of each part.
    pub parts: BTreeMap<String, usize>,
    /// Repeated prompts that were left out.
    pub duplicates: usize,
    /// What the head reads.
    pub features: FeatureSpec,
    /// How it was fitted.
    pub fit: FitConfig,
    /// The label that means "none of the others".
    pub background: Option<String>,
    /// What the logits are divided by.
    pub temperature: f64,
    /// What an attack's log-odds are moved by; jailbreak heads only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
    /// How the test part's attacks are told from the rest; jailbreak heads only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<Detection>,
    /// Calibration error of the test part before temperature scaling; after it, it is in `test`.
    pub calibration_error_before: f64,
    /// Accuracy on the validation part, which chose the temperature.
    pub validation_accuracy: f64,
    /// The held-out test part.
    pub test: Scores,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

/// Trains a head of labels with the encoder of a configuration.
///
/// # Errors
/// [`TrainError`], which names the file and line, or the setting, at fault.
pub fn train(config: &Config, request: &TrainRequest) -> Result<TrainReport, TrainError> {
    let (data, split) = match (request.validation.is_empty(), request.test.is_empty()) {
        (true, true) => {
            let data = Dataset::load(&request.data)?;
            let split = split(&data.examples, request.fit.seed, Shares { test: 0.15, validation: 0.12 });
            (data, split)
        }
        (false, false) => Dataset::load_parts([&request.data, &request.validation, &request.test])?,
        _ => return Err(TrainError::Setting("give both a validation and a test part, or none".to_owned())),
    };
    check(&data, request)?;
    let pool = thread_pool(config.threads)?;
    pool.install(|| train_on(config, request, &data, &split))
}

fn train_on(config: &Config, request: &TrainRequest, data: &Dataset, split: &Split) -> Result<TrainReport, TrainError> {
    let (encoder, tokenizer) = load_encoder(config)?;
    if request.features.top_layer() > encoder.layers() {
        let (top, layers) = (request.features.top_layer(), encoder.layers());
        return Err(TrainError::Setting(format!("layer {top} of an encoder with {layers}")));
    }
    let limits = &config.limits;
    let embedder = Embedder {
        encoder: &encoder,
        tokenizer: &tokenizer,
        features: &request.features,
        windows: WindowShape::new(limits.window_tokens, limits.window_overlap)
            .ok_or_else(|| TrainError::Setting("limits: windows cannot advance".to_owned()))?,
        // Small batches keep a layer's activations in the cache.
        batch_tokens: limits.batch_tokens.min(1024),
    };
    let started = Instant::now();
    let texts: Vec<&str> = data.examples.iter().map(|e| e.text.as_str()).collect();
    let bar = progress_bar(request.progress, "embedding");
    let embedded = embedder.embed(&texts, &bar)?;
    bar.finish();
    tracing::info!(prompts = texts.len(), seconds = started.elapsed().as_secs_f32(), "embedded");

    let prompts = Prompts::new(data, &embedded, request);
    let final_on_all = request.final_on_all && request.test.is_empty();
    let fits = 1 + u64::from(final_on_all);
    let bar = progress_bar(request.progress, "fitting");
    bar.set_length(fits * (request.fit.members * request.fit.epochs) as u64);
    let network = fit(&prompts.sample(&split.train)?, &request.fit, || bar.inc(1))?;
    let logits = prompts.logits(&network)?;
    let temperature = best_temperature(&prompts, &logits, &split.validation);
    let shift = (request.task == LabelTask::Jailbreak).then(|| prompts.shift(&logits, &split.validation, temperature));
    let report = report(&Fitted {
        data,
        request,
        split,
        prompts: &prompts,
        logits: &logits,
        calibration: Calibration { temperature, shift: shift.unwrap_or(0.0) },
        final_on_all,
        encoder: encoder.identity(),
    });
    if let Some(out) = &request.out {
        let network = match final_on_all {
            true => {
                let all: Vec<usize> = (0..data.examples.len()).collect();
                fit(&prompts.sample(&all)?, &request.fit, || bar.inc(1))?
            }
            false => network,
        };
        let spec = HeadSpec {
            format: FORMAT,
            task: request.task.name().to_owned(),
            labels: data.labels.clone(),
            background: request.background.clone(),
            features: request.features.clone(),
            hidden: request.fit.hidden.clone(),
            members: request.fit.members,
            temperature: temperature as f32,
            shift: shift.map(|shift| shift as f32),
            encoder: encoder.identity().to_owned(),
        };
        LabelHead::save(out, &spec, &network)?;
        write_report(out.join("report.json"), &report)?;
    }
    bar.finish();
    Ok(report)
}

fn check(data: &Dataset, request: &TrainRequest) -> Result<(), TrainError> {
    if data.labels.len() < 2 {
        let problem = format!("{} label: a head needs at least 2", data.labels.len());
        return Err(DataError::TooLittle(problem).into());
    }
    if let Some((label, count)) = data.counts().into_iter().find(|(_, count)| *count < 10) {
        let problem = format!("`{label}` has {count} prompts: at least 10 a label are needed to hold some out");
        return Err(DataError::TooLittle(problem).into());
    }
    if request.task == LabelTask::Jailbreak && data.labels != [ATTACK, BENIGN] {
        return Err(TrainError::Setting(format!("the labels of a `{JAILBREAK}` head are `{ATTACK}` and `{BENIGN}`")));
    }
    match &request.background {
        Some(label) if !data.labels.contains(label) => {
            Err(TrainError::Setting(format!("background `{label}` is not among the labels")))
        }
        _ => Ok(()),
    }
}

fn write_report(file: PathBuf, report: &impl Serialize) -> Result<(), TrainError> {
    let text = serde_json::to_string_pretty(report).map_err(|e| std::io::Error::other(e.to_string()));
    text.and_then(|text| std::fs::write(&file, text + "\n")).map_err(|source| TrainError::Report { file, source })
}

/// Prompts with their features: the rows of prompt i are `starts[i]..starts[i + 1]`.
struct Prompts<'a> {
    embedded: &'a Embedded,
    starts: Vec<usize>,
    targets: Vec<usize>,
    kinds: Vec<Option<String>>,
    info: ModelInfo,
    task: LabelTask,
}

/// What turns logits into probabilities.
#[derive(Debug, Clone, Copy)]
struct Calibration {
    temperature: f64,
    shift: f64,
}

/// The share of validation's harmless prompts that a threshold of 0.5 takes for attacks.
const FALSE_POSITIVES: f64 = 0.01;

impl<'a> Prompts<'a> {
    fn new(data: &Dataset, embedded: &'a Embedded, request: &TrainRequest) -> Self {
        let background = request.background.as_ref();
        Self {
            embedded,
            starts: embedded.starts(),
            targets: data.targets(),
            kinds: data.examples.iter().map(|e| e.kind.clone()).collect(),
            info: ModelInfo {
                version: String::new(),
                labels: Some(data.labels.clone().into()),
                background: background.and_then(|b| data.labels.iter().position(|l| l == b)),
                jailbreak: false,
                names: false,
                max_row_tokens: usize::MAX,
            },
            task: request.task,
        }
    }

    fn rows(&self, prompt: usize) -> std::ops::Range<usize> {
        let at = |i: usize| self.starts.get(i).copied().unwrap_or(0);
        at(prompt)..at(prompt + 1)
    }

    /// Every window of the prompts, with the prompt's label.
    fn sample(&self, prompts: &[usize]) -> candle_core::Result<Sample> {
        let rows: Vec<usize> = prompts.iter().flat_map(|&p| self.rows(p)).collect();
        let of_row: Vec<usize> =
            self.targets.iter().enumerate().flat_map(|(p, &target)| self.rows(p).map(move |_| target)).collect();
        let all = Sample {
            features: self.embedded.features.clone(),
            targets: of_row,
            labels: self.info.labels.as_ref().map_or(0, |l| l.len()),
        };
        all.select(&rows)
    }

    fn logits(&self, network: &Network) -> candle_core::Result<Vec<Vec<f32>>> {
        network.logits(&self.embedded.features)?.to_vec2()
    }

    /// Judges prompts as the service does: windows merged.
    fn judge(&self, logits: &[Vec<f32>], prompts: &[usize], calibration: Calibration) -> Vec<(Judged, f64)> {
        let one = |&prompt: &usize| match self.task {
            LabelTask::Category => self.judge_one(logits, prompt, calibration.temperature),
            LabelTask::Jailbreak => self.judge_attack(logits, prompt, calibration),
        };
        prompts.iter().filter_map(one).collect()
    }

    /// The log-odds of an attack, windows merged.
    fn attack(&self, logits: &[Vec<f32>], prompt: usize, calibration: Calibration) -> Option<f64> {
        let Calibration { temperature, shift } = calibration;
        let rows = logits.get(self.rows(prompt))?;
        let worst = rows.iter().map(|row| log_odds(row, temperature as f32, shift as f32)).max_by(f32::total_cmp)?;
        Some(f64::from(merge::attack_log_odds(worst, rows.len())))
    }

    /// What makes 0.5 the threshold that takes so few harmless prompts for attacks.
    fn shift(&self, logits: &[Vec<f32>], prompts: &[usize], temperature: f64) -> f64 {
        let plain = Calibration { temperature, shift: 0.0 };
        let benign = prompts.iter().filter(|&&prompt| self.targets.get(prompt) != Some(&0));
        let scores: Vec<f64> = benign.filter_map(|&prompt| self.attack(logits, prompt, plain)).collect();
        -quantile(&scores, 1.0 - FALSE_POSITIVES)
    }

    fn judge_attack(&self, logits: &[Vec<f32>], prompt: usize, calibration: Calibration) -> Option<(Judged, f64)> {
        let attack = 1.0 / (1.0 + (-self.attack(logits, prompt, calibration)?).exp());
        let truth = *self.targets.get(prompt)?;
        let of_truth = if truth == 0 { attack } else { 1.0 - attack };
        let best = usize::from(attack < 0.5);
        let judged =
            Judged { truth, best, confidence: attack.max(1.0 - attack), kind: self.kinds.get(prompt)?.clone() };
        Some((judged, of_truth))
    }

    fn judge_one(&self, logits: &[Vec<f32>], prompt: usize, temperature: f64) -> Option<(Judged, f64)> {
        let labels = self.info.labels.as_ref()?;
        let outputs: Vec<RowOutput> = logits
            .get(self.rows(prompt))?
            .iter()
            .map(|row| RowOutput { log_probs: Some(log_probs(row, temperature)), ..RowOutput::default() })
            .collect();
        let windows = self.embedded.windows.get(prompt)?;
        let verdict = merge::category(&self.info, windows, &outputs)?;
        let truth = *self.targets.get(prompt)?;
        let (best, confidence) = verdict.scores.first()?;
        let of_truth = verdict.scores.iter().find(|s| Some(&s.0) == labels.get(truth))?.1;
        let judged = Judged {
            truth,
            best: labels.iter().position(|l| l == best)?,
            confidence: f64::from(*confidence),
            kind: self.kinds.get(prompt)?.clone(),
        };
        Some((judged, f64::from(of_truth)))
    }
}

fn log_probs(logits: &[f32], temperature: f64) -> Vec<f32> {
    let scaled: Vec<f64> = logits.iter().map(|l| f64::from(*l) / temperature).collect();
    let top = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = scaled.iter().map(|l| (l - top).exp()).sum::<f64>().ln() + top;
    scaled.iter().map(|l| (l - log_sum) as f32).collect()
}

/// The temperature with the least negative log-likelihood, by golden section over its logarithm.
fn best_temperature(prompts: &Prompts<'_>, logits: &[Vec<f32>], validation: &[usize]) -> f64 {
    let loss = |log_t: f64| -> f64 {
        let judged = prompts.judge(logits, validation, Calibration { temperature: log_t.exp(), shift: 0.0 });
        judged.iter().map(|(_, p)| -p.max(1e-12).ln()).sum()
    };
    minimum(-2.5, 2.5, loss).exp()
}

/// Where a function with one valley is least, by golden section.
fn minimum(mut low: f64, mut high: f64, loss: impl Fn(f64) -> f64) -> f64 {
    let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
    for _ in 0..30 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if loss(left) < loss(right) {
            high = right;
        } else {
            low = left;
        }
    }
    0.5 * (low + high)
}

struct Fitted<'a> {
    data: &'a Dataset,
    request: &'a TrainRequest,
    split: &'a Split,
    prompts: &'a Prompts<'a>,
    logits: &'a [Vec<f32>],
    calibration: Calibration,
    final_on_all: bool,
    encoder: &'a str,
}

fn report(fitted: &Fitted<'_>) -> TrainReport {
    let Fitted { data, request, split, calibration, .. } = fitted;
    let judged = |part: &[usize], calibration| -> Vec<Judged> {
        fitted.prompts.judge(fitted.logits, part, calibration).into_iter().map(|j| j.0).collect()
    };
    let scores = |part: &[usize], calibration| Scores::of(&data.labels, &judged(part, calibration));
    let detection = (request.task == LabelTask::Jailbreak).then(|| {
        let of = |j: Judged| (j.truth == 0, if j.best == 0 { j.confidence } else { 1.0 - j.confidence });
        Detection::of(&judged(&split.test, *calibration).into_iter().map(of).collect::<Vec<_>>())
    });
    let mut notes = split.notes.clone();
    if request.test.is_empty() {
        notes.push("`test` holds whole topics that the reported head has never seen".to_owned());
    }
    if fitted.final_on_all {
        notes.push("the written weights were then fitted anew on all prompts with the same settings; `test` is of the head before that".to_owned());
    }
    let parts = [("train", &split.train), ("validation", &split.validation), ("test", &split.test)];
    TrainReport {
        task: request.task.name().to_owned(),
        seed: request.fit.seed,
        data_sha256: data.sha256.clone(),
        encoder: fitted.encoder.to_owned(),
        counts: data.counts().into_iter().map(|(l, n)| (l.to_owned(), n)).collect(),
        parts: parts.map(|(name, part)| (name.to_owned(), part.len())).into(),
        duplicates: data.duplicates,
        features: request.features.clone(),
        fit: request.fit.clone(),
        background: request.background.clone(),
        temperature: round(calibration.temperature),
        shift: (request.task == LabelTask::Jailbreak).then(|| round(calibration.shift)),
        detection,
        calibration_error_before: scores(&split.test, Calibration { temperature: 1.0, shift: 0.0 }).calibration_error,
        validation_accuracy: scores(&split.validation, *calibration).accuracy,
        test: scores(&split.test, *calibration),
        notes,
    }
}

/// A bar on stderr with counts and the time left; hidden where nobody watches.
pub(crate) fn progress_bar(shown: bool, what: &'static str) -> ProgressBar {
    let target = match shown {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target).with_message(what);
    match ProgressStyle::with_template("{msg:>10} {bar:32} {pos}/{len} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
