//! `eval --task jailbreak`: how the served path tells attacks from what is none, set by set; what long texts and
//! disguises do to it.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use serde::Serialize;

use super::{EvalError, start};
use crate::{
    bundle::BundleError,
    config::Config,
    domain::{
        JailbreakVerdict, Task, Tokenize as _,
        analyzer::{AnalyzeRequest, Analyzer, Segment},
        disguise,
    },
    encoder::{WordTokenizer, source::EncoderFiles},
    heads::label::{ATTACK, BENIGN},
    train::{
        data::{Dataset, Example},
        detect::Detection,
        progress_bar,
    },
};

mod masks;

/// Tokens of a long text; one that has fewer is left out.
const LONG: usize = 5000;

/// Tokens of a long text that follow the attack put into it.
const AFTER: usize = 50;

/// The least and the most bytes of an attack that is put into a long text or disguised.
const ATTACK_BYTES: std::ops::RangeInclusive<usize> = 24..=400;

/// Every so many attacks are disguised.
const DISGUISED_STEP: usize = 6;

/// What to judge.
#[derive(Debug, Clone)]
pub struct Request {
    /// Labelled prompts.
    pub data: Vec<PathBuf>,
    /// Harmless texts of at least 5,000 tokens.
    pub long: Vec<PathBuf>,
    /// Show progress bars.
    pub progress: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// All prompts.
    pub all: Detection,
    /// The prompts of each kind.
    pub sets: BTreeMap<String, Detection>,
    /// Long texts of each kind.
    pub long: BTreeMap<String, Long>,
    /// Attacks in each disguise.
    pub disguises: BTreeMap<&'static str, Disguised>,
    /// Harmless prompts that undoing disguises gave a form.
    pub benign_with_forms: usize,
}

/// Long texts of one kind.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Long {
    /// Texts of 5,000 tokens.
    pub texts: usize,
    /// Those taken for attacks.
    pub false_positives: usize,
    /// Those taken for attacks once they hold one near their end.
    pub caught: usize,
}

/// Attacks in one disguise.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Disguised {
    /// Attacks.
    pub attacks: usize,
    /// Those caught as they were.
    pub plain: usize,
    /// Those caught in the disguise.
    pub caught: usize,
}

/// A prompt that was judged wrongly.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// Its kind, and what it is.
    pub what: String,
    /// Its score.
    pub score: f32,
    /// The prompt.
    pub text: String,
}

/// Judges labelled prompts, long texts, and the prompts' attacks in long texts and in disguise.
///
/// # Errors
/// [`EvalError`], which names the file and line, the prompt or the label at fault.
pub async fn eval(config: &Config, request: &Request) -> Result<(Report, Vec<Mistake>), EvalError> {
    let data = Dataset::load(&request.data)?;
    if let Some(unknown) = data.labels.iter().find(|l| ![ATTACK, BENIGN].contains(&l.as_str())) {
        return Err(EvalError::UnknownLabel(unknown.clone()));
    }
    let long = if request.long.is_empty() { Vec::new() } else { Dataset::load(&request.long)?.examples };
    let judge = Judge { analyzer: start(config).await?, progress: request.progress };
    let texts: Vec<String> = data.examples.iter().map(|e| e.text.clone()).collect();
    let verdicts = judge.scores(&texts, 64, "judging").await?;
    let attacks: Vec<(&str, bool)> = data
        .examples
        .iter()
        .zip(&verdicts)
        .filter(|(e, _)| e.label == ATTACK && e.kind.as_deref() != Some("embedded"))
        .filter(|(e, _)| e.text.is_ascii() && ATTACK_BYTES.contains(&e.text.len()))
        .map(|(e, verdict)| (e.text.as_str(), verdict.score >= 0.5))
        .collect();
    let scored: Vec<(&Example, f32)> = data.examples.iter().zip(verdicts.iter().map(|v| v.score)).collect();
    let report = Report {
        all: detection(scored.iter().copied()),
        sets: by_kind(&scored),
        long: judge.long(config, &long, &attacks).await?,
        disguises: judge.disguises(&attacks).await?,
        benign_with_forms: data
            .examples
            .iter()
            .filter(|e| e.label == BENIGN && !disguise::undo(&e.text).is_empty())
            .count(),
    };
    let wrong = scored.iter().filter(|(e, score)| (e.label == ATTACK) != (*score >= 0.5));
    let mistakes = wrong
        .map(|(e, score)| Mistake {
            what: format!("{} ({})", e.kind.as_deref().unwrap_or("(none)"), e.label),
            score: *score,
            text: e.text.clone(),
        })
        .collect();
    Ok((report, mistakes))
}

fn detection<'a>(scored: impl Iterator<Item = (&'a Example, f32)>) -> Detection {
    let pairs: Vec<(bool, f64)> = scored.map(|(e, score)| (e.label == ATTACK, f64::from(score))).collect();
    Detection::of(&pairs)
}

fn by_kind(scored: &[(&Example, f32)]) -> BTreeMap<String, Detection> {
    let mut kinds: BTreeMap<String, Vec<(&Example, f32)>> = BTreeMap::new();
    for (example, score) in scored {
        let kind = example.kind.clone().unwrap_or_else(|| "(none)".to_owned());
        kinds.entry(kind).or_default().push((example, *score));
    }
    kinds.into_iter().map(|(kind, members)| (kind, detection(members.into_iter()))).collect()
}

struct Judge {
    analyzer: Analyzer,
    progress: bool,
}

impl Judge {
    /// The verdicts on texts, so many a request.
    async fn scores(
        &self,
        texts: &[String],
        a_request: usize,
        what: &'static str,
    ) -> Result<Vec<JailbreakVerdict>, EvalError> {
        let bar = progress_bar(self.progress, what);
        bar.set_length(texts.len() as u64);
        let mut verdicts = Vec::with_capacity(texts.len());
        for some in texts.chunks(a_request.max(1)) {
            let segment = |text: &String| Segment { text: text.clone(), tasks: vec![Task::Jailbreak] };
            let request = AnalyzeRequest { segments: some.iter().map(segment).collect(), deadline: None };
            let number = verdicts.len() + 1;
            let failed = |source| EvalError::Analyze { number, source };
            let analysis = self.analyzer.analyze(request).await.map_err(failed)?;
            verdicts.extend(analysis.segments.into_iter().filter_map(|s| s.jailbreak));
            bar.inc(some.len() as u64);
        }
        bar.finish();
        Ok(verdicts)
    }

    /// Long texts as they are, and with an attack near their end.
    async fn long(
        &self,
        config: &Config,
        long: &[Example],
        attacks: &[(&str, bool)],
    ) -> Result<BTreeMap<String, Long>, EvalError> {
        let files = EncoderFiles::resolve(&config.encoder).map_err(BundleError::from)?;
        let tokenizer = WordTokenizer::load(&files.tokenizer).map_err(BundleError::from)?;
        let (mut kinds, mut plain, mut attacked) = (Vec::new(), Vec::new(), Vec::new());
        // Neighbours in a set resemble each other.
        let mut chosen = attacks.iter().cycle().step_by(17);
        for example in long {
            let tokens = tokenizer.tokenize(&example.text).map_err(|e| EvalError::Internal(e.to_string()))?;
            let ends = [LONG - AFTER, LONG].map(|count| tokens.get(count - 1).map(|token| token.range.end));
            let ([Some(place), Some(end)], Some((attack, _))) = (ends, chosen.next()) else { continue };
            let before = example.text.get(..place).unwrap_or_default();
            let after = example.text.get(place..end).unwrap_or_default();
            kinds.push(example.kind.clone().unwrap_or_else(|| "(none)".to_owned()));
            plain.push(format!("{before}{after}"));
            attacked.push(format!("{before}\n{attack}\n{after}"));
        }
        let plain = self.scores(&plain, 4, "long").await?;
        let attacked = self.scores(&attacked, 4, "attacked").await?;
        let mut found: BTreeMap<String, Long> = BTreeMap::new();
        for (kind, (plain, attacked)) in kinds.into_iter().zip(plain.iter().zip(&attacked)) {
            let long = found.entry(kind).or_default();
            long.texts += 1;
            long.false_positives += usize::from(plain.score >= 0.5);
            long.caught += usize::from(attacked.score >= 0.5);
        }
        Ok(found)
    }

    async fn disguises(&self, attacks: &[(&str, bool)]) -> Result<BTreeMap<&'static str, Disguised>, EvalError> {
        let mut found = BTreeMap::new();
        let some: Vec<&(&str, bool)> = attacks.iter().step_by(DISGUISED_STEP).collect();
        for (name, mask) in masks::ALL {
            let texts: Vec<String> = some.iter().map(|(text, _)| mask(text)).collect();
            let verdicts = self.scores(&texts, 64, "disguised").await?;
            let disguised = Disguised {
                attacks: some.len(),
                plain: some.iter().filter(|(_, caught)| *caught).count(),
                caught: verdicts.iter().filter(|v| v.score >= 0.5).count(),
            };
            found.insert(name, disguised);
        }
        Ok(found)
    }
}

impl Report {
    /// The report as text.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        self.write_table(&mut out).ok();
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{:<24}{:>8}{:>8}{:>8}{:>11}{:>9}{:>9}",
            "set", "attacks", "benign", "AUC", "recall@1%", "recall", "FPR"
        )?;
        let all = [("(all)", &self.all)].into_iter();
        for (kind, d) in all.chain(self.sets.iter().map(|(kind, d)| (kind.as_str(), d))) {
            let of = |value: f64, there: bool| if there { format!("{value:.4}") } else { "-".to_owned() };
            let (attacks, benign) = (d.attacks > 0, d.benign > 0);
            writeln!(
                out,
                "{kind:<24}{:>8}{:>8}{:>8}{:>11}{:>9}{:>9}",
                d.attacks,
                d.benign,
                of(d.auc, attacks && benign),
                of(d.recall_at_1_percent, attacks && benign),
                of(d.recall, attacks),
                of(d.false_positives, benign),
            )?;
        }
        writeln!(out, "\n{:<24}{:>8}{:>16}{:>8}", "5,000 tokens", "texts", "false positives", "caught")?;
        for (kind, long) in &self.long {
            writeln!(out, "{kind:<24}{:>8}{:>16}{:>8}", long.texts, long.false_positives, long.caught)?;
        }
        writeln!(out, "\n{:<24}{:>8}{:>16}{:>8}", "disguise", "attacks", "caught plain", "caught")?;
        for (name, d) in &self.disguises {
            writeln!(out, "{name:<24}{:>8}{:>16}{:>8}", d.attacks, d.plain, d.caught)?;
        }
        writeln!(out, "\nharmless prompts with a form of their own: {} of {}", self.benign_with_forms, self.all.benign)
    }
}
