//! `eval`: scores labelled prompts over the served path: tokeniser, windows, queue, batches, merge.

pub mod attacks;
pub mod pii;

use std::{path::PathBuf, sync::Arc};

use thiserror::Error;
use tokio::task::JoinSet;

use crate::{
    bundle::{Bundle, BundleError},
    config::Config,
    domain::{
        AnalyzeError, Task,
        analyzer::{AnalyzeRequest, Analyzer, AnalyzerLimits, Segment},
        window::WindowShape,
    },
    metrics::Metrics,
    train::{
        data::{DataError, Dataset},
        progress_bar,
        report::{Judged, Scores},
    },
};

/// Why an evaluation failed.
#[derive(Debug, Error)]
pub enum EvalError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A prompt got no verdict.
    #[error("prompt {number}: {source}")]
    Analyze {
        /// 1-based, over all data.
        number: usize,
        /// Why not.
        source: AnalyzeError,
    },
    /// The head cannot give a label of the data.
    #[error("the data has label `{0}`, which the head does not know")]
    UnknownLabel(String),
    /// The service inside could not run.
    #[error("{0}")]
    Internal(String),
}

/// A prompt that was judged wrongly.
#[derive(Debug, Clone)]
pub struct Miss {
    /// The prompt.
    pub text: String,
    /// Its label.
    pub truth: String,
    /// The label given.
    pub given: String,
    /// Its probability.
    pub confidence: f64,
}

/// Scores a head on labelled prompts.
///
/// # Errors
/// [`EvalError`], which names the file and line, the prompt or the label at fault.
pub async fn eval(config: &Config, data: &[PathBuf], progress: bool) -> Result<(Scores, Vec<Miss>), EvalError> {
    let data = Dataset::load(data)?;
    let at_once = config.limits.queue.min(64);
    let analyzer = start(config).await?;
    let labels = analyzer.info().labels.clone().unwrap_or_default();
    if let Some(unknown) = data.labels.iter().find(|l| !labels.contains(l)) {
        return Err(EvalError::UnknownLabel(unknown.clone()));
    }
    let given = judge(Arc::new(analyzer), &data, at_once, progress).await?;
    Ok(score(&labels, &data, &given))
}

/// The served path without its ports.
async fn start(config: &Config) -> Result<Analyzer, EvalError> {
    let owned = config.clone();
    let (bundle, tokenizer) = tokio::task::spawn_blocking(move || Bundle::load(&owned))
        .await
        .map_err(|e| EvalError::Internal(e.to_string()))??;
    let limits = &config.limits;
    let limits = AnalyzerLimits {
        max_tokens: limits.max_tokens,
        max_segments: limits.max_segments,
        queue: limits.queue,
        batch_tokens: limits.batch_tokens,
        verdict_cache_bytes: limits.verdict_cache_bytes,
        windows: WindowShape::new(limits.window_tokens, limits.window_overlap)
            .ok_or_else(|| EvalError::Internal("windows cannot advance".to_owned()))?,
    };
    let metrics = Arc::new(Metrics::default());
    let (analyzer, _thread) = Analyzer::start(Box::new(bundle), tokenizer, limits, metrics)
        .map_err(|e| EvalError::Internal(e.to_string()))?;
    Ok(analyzer)
}

/// The best label and its probability for each prompt, in the data's order.
async fn judge(
    analyzer: Arc<Analyzer>,
    data: &Dataset,
    at_once: usize,
    progress: bool,
) -> Result<Vec<(String, f64)>, EvalError> {
    let bar = progress_bar(progress, "judging");
    bar.set_length(data.examples.len() as u64);
    let mut given = vec![(String::new(), 0.0); data.examples.len()];
    let mut waiting = data.examples.iter().map(|e| e.text.clone()).enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < at_once
            && let Some((index, text)) = waiting.next()
        {
            let analyzer = Arc::clone(&analyzer);
            running.spawn(async move { (index, one(&analyzer, text).await) });
        }
        let Some(done) = running.join_next().await else { break };
        let (index, verdict) = done.map_err(|e| EvalError::Internal(e.to_string()))?;
        let number = index + 1;
        let verdict = verdict.map_err(|source| EvalError::Analyze { number, source })?;
        if let Some(slot) = given.get_mut(index) {
            *slot = verdict;
        }
        bar.inc(1);
    }
    bar.finish();
    Ok(given)
}

async fn one(analyzer: &Analyzer, text: String) -> Result<(String, f64), AnalyzeError> {
    let analysis = analyzer
        .analyze(AnalyzeRequest { segments: vec![Segment { text, tasks: vec![Task::Category] }], deadline: None })
        .await?;
    let verdict = analysis.segments.into_iter().next().and_then(|s| s.category);
    let best = verdict.and_then(|v| v.scores.into_iter().next());
    Ok(best.map(|(label, p)| (label, f64::from(p))).unwrap_or_default())
}

fn score(labels: &[String], data: &Dataset, given: &[(String, f64)]) -> (Scores, Vec<Miss>) {
    let number = |label: &str| labels.iter().position(|l| l == label).unwrap_or(usize::MAX);
    let judged: Vec<Judged> = data
        .examples
        .iter()
        .zip(given)
        .map(|(example, (label, confidence))| Judged {
            truth: number(&example.label),
            best: number(label),
            confidence: *confidence,
            kind: example.kind.clone(),
        })
        .collect();
    let misses = data
        .examples
        .iter()
        .zip(given)
        .filter(|(example, (label, _))| example.label != *label)
        .map(|(example, (label, confidence))| Miss {
            text: example.text.clone(),
            truth: example.label.clone(),
            given: label.clone(),
            confidence: *confidence,
        })
        .collect();
    (Scores::of(labels, &judged), misses)
}
