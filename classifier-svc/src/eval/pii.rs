//! `eval --task pii`: personal data found over the served path, against what is there.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use super::{EvalError, start};
use crate::{
    config::Config,
    domain::{
        Task,
        analyzer::{AnalyzeRequest, Analyzer, Segment},
    },
    pii::Entity,
    train::{
        data::Dataset,
        names::{
            Labelled,
            lists::Part,
            read,
            score::{EntityScores, Mistake, THRESHOLD, score},
            texts, trained_on,
        },
    },
};

/// What to score on.
#[derive(Debug, Clone)]
pub struct Request {
    /// Files of texts with entities.
    pub data: Vec<PathBuf>,
    /// Texts that the generator writes from names and templates never trained on.
    pub generated: usize,
    /// Of which part these are.
    pub part: Part,
    /// Labelled prompts, without entities marked.
    pub prompts: Vec<PathBuf>,
}

/// Scores of each source.
#[derive(Debug, Serialize)]
pub struct Report {
    /// By source: `generated`, or the file.
    pub sources: BTreeMap<String, EntityScores>,
    /// Prompts without marks, and how many finds of each type there are in them.
    pub unmarked: Option<(usize, BTreeMap<String, usize>)>,
}

/// The seed of the generated texts.
const SEED: u64 = 1;

/// Scores the configured heads and patterns.
///
/// # Errors
/// [`EvalError`], which names the file and line, or the text at fault.
pub async fn eval(config: &Config, request: &Request) -> Result<(Report, Vec<Mistake>), EvalError> {
    let analyzer = start(config).await?;
    let mut report = Report { sources: BTreeMap::new(), unmarked: None };
    let mut mistakes = Vec::new();
    let mut sources: Vec<(String, Vec<Labelled>)> = Vec::new();
    if request.generated > 0 {
        sources.push(("generated".to_owned(), texts(request.part, request.generated, SEED)));
    }
    for file in &request.data {
        let (texts, _) = read::load(std::slice::from_ref(file))?;
        sources.push((file.display().to_string(), texts));
    }
    for (name, texts) in sources {
        let found = find(&analyzer, texts.iter().map(|t| &t.text)).await?;
        let (scores, wrong) = score(&texts, &found);
        report.sources.insert(name, scores);
        mistakes.extend(wrong);
    }
    if !request.prompts.is_empty() {
        let prompts = Dataset::load(&request.prompts)?.examples.into_iter();
        let unmarked: Vec<Labelled> = prompts
            .filter(|prompt| !trained_on(&prompt.text))
            .map(|prompt| Labelled { text: prompt.text, entities: Vec::new(), kind: Some("unmarked".to_owned()) })
            .collect();
        let found = find(&analyzer, unmarked.iter().map(|t| &t.text)).await?;
        let mut counts = BTreeMap::new();
        for entity in found.iter().flatten().filter(|entity| entity.score >= THRESHOLD) {
            *counts.entry(entity.kind.as_str().to_owned()).or_insert(0) += 1;
        }
        mistakes.extend(score(&unmarked, &found).1);
        report.unmarked = Some((unmarked.len(), counts));
    }
    Ok((report, mistakes))
}

async fn find(
    analyzer: &Analyzer,
    texts: impl ExactSizeIterator<Item = &String>,
) -> Result<Vec<Vec<Entity>>, EvalError> {
    let mut found = Vec::with_capacity(texts.len());
    for (index, text) in texts.enumerate() {
        let segment = Segment { text: text.clone(), tasks: vec![Task::Pii] };
        let request = AnalyzeRequest { segments: vec![segment], deadline: None };
        let analysis =
            analyzer.analyze(request).await.map_err(|source| EvalError::Analyze { number: index + 1, source })?;
        found.push(analysis.segments.into_iter().next().and_then(|s| s.pii).unwrap_or_default());
    }
    Ok(found)
}

impl Report {
    /// The report as text.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        for (name, scores) in &self.sources {
            out.push_str(&format!("== {name}\n{}\n", scores.table()));
        }
        if let Some((texts, counts)) = &self.unmarked {
            out.push_str(&format!("== {texts} prompts without marks: finds\n"));
            for (kind, count) in counts {
                out.push_str(&format!("{kind:<20}{count:>6}\n"));
            }
        }
        out
    }
}
