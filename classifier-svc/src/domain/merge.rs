//! One verdict of several windows.
//!
//! A long text is mostly one thing said at length, or one question under a heap of material. So a
//! window counts by the tokens it adds, and, where the head has a background label ("none of the
//! others"), by how little of that label it holds: pages of chatter must not outvote the question
//! at their end, while a text that is chatter throughout still is.

use super::{
    CategoryVerdict, JailbreakVerdict, ModelInfo, RowOutput, disguise::Disguise, engine::Part, names,
    prepare::Prepared, window::Window,
};
use crate::pii::Entity;

/// A window counts by this power of the probability that it is not background: so steep that a
/// dozen windows of chatter (0.1 to this power each) weigh next to nothing against one question.
const FOREGROUND_POWER: i32 = 4;

/// The least that a window of pure background counts, against 1 for one without any.
const BACKGROUND_FLOOR: f64 = 1e-6;

/// The category of a text; both slices are in the same order. None without the head.
#[must_use]
pub fn category(info: &ModelInfo, windows: &[Window], outputs: &[RowOutput]) -> Option<CategoryVerdict> {
    let labels = info.labels.as_deref()?;
    let rows: Vec<(f64, &[f32])> = windows
        .iter()
        .zip(outputs)
        .map(|(window, output)| {
            let log_probs = output.log_probs.as_deref()?;
            let foreground = info
                .background
                .and_then(|i| log_probs.get(i))
                .map_or(1.0, |lp| (1.0 - f64::from(*lp).exp()).powi(FOREGROUND_POWER));
            Some((weight(window) * foreground.max(BACKGROUND_FLOOR), log_probs))
        })
        .collect::<Option<_>>()?;
    let mean = weighted_mean(&rows);
    let total: f64 = mean.iter().map(|lp| lp.exp()).sum();
    let mut scores: Vec<(String, f32)> =
        labels.iter().zip(&mean).map(|(label, lp)| (label.clone(), (lp.exp() / total) as f32)).collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    Some(CategoryVerdict { scores })
}

/// Scales to unit length; a zero vector stays as it is.
pub fn normalise(vector: &mut [f32]) {
    let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        for x in vector {
            *x = (f64::from(*x) / norm) as f32;
        }
    }
}

/// The unit-length embedding of a text; both slices are in the same order.
#[must_use]
pub fn embedding(windows: &[Window], outputs: &[RowOutput]) -> Option<Vec<f32>> {
    let rows: Vec<(f64, &[f32])> = windows
        .iter()
        .zip(outputs)
        .map(|(window, output)| Some((weight(window), output.pooled.as_deref()?)))
        .collect::<Option<_>>()?;
    let mut mean: Vec<f32> = weighted_mean(&rows).into_iter().map(|x| x as f32).collect();
    normalise(&mut mean);
    Some(mean)
}

/// A text's part with the outputs of its windows.
pub(super) type Done<'a> = (&'a Part, &'a Vec<RowOutput>);

/// The worst window of all forms of a text. None without the head.
pub(super) fn jailbreak(forms: &[Option<Disguise>], parts: &[Done<'_>]) -> Option<JailbreakVerdict> {
    let of_form = |(disguise, (part, outputs)): (&Option<Disguise>, &Done<'_>)| {
        let windows = outputs.iter().enumerate().filter_map(|(window, output)| Some((window, output.attack?)));
        let (window, worst) = windows.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let log_odds = attack_log_odds(worst, outputs.len());
        let score = if part.ranges.len() < LEAST_ATTACK { 0.0 } else { 1.0 / (1.0 + (-log_odds).exp()) };
        Some(JailbreakVerdict { score, window, disguise: *disguise })
    };
    // The text as written wins a tie: `max_by` takes the last.
    forms.iter().zip(parts).rev().filter_map(of_form).max_by(|a, b| a.score.total_cmp(&b.score))
}

/// Tokens below which a text tells nobody what to do: the head has seen too few greetings to be asked about "hi".
const LEAST_ATTACK: usize = 3;

/// What the worst window's log-odds lose for each factor of e in the number of windows: the more there are, the higher
/// the worst of them stands by chance. Not fitted: docs/quality.md says what long texts come to with it.
const WINDOW_COST: f32 = 0.25;

/// The log-odds that the worst of so many windows gives the whole.
#[must_use]
pub fn attack_log_odds(worst: f32, windows: usize) -> f32 {
    worst - WINDOW_COST * (windows.max(1) as f32).ln()
}

/// Personal data of a text: what patterns found, and names by the model where there is a head for them.
pub(super) fn pii(prepared: Prepared, as_written: Option<Done<'_>>) -> Vec<Entity> {
    let names = as_written.map_or_else(Vec::new, |(part, outputs)| {
        let rows = part.windows.iter().zip(outputs);
        let tagged = rows.filter_map(|(window, output)| {
            Some(names::Tagged { tokens: window.tokens.clone(), tags: output.tags.as_deref()? })
        });
        names::decode(&prepared.text, &part.ranges, &tagged.collect::<Vec<_>>())
    });
    names::join(&prepared.text, prepared.patterns, names)
}

/// An empty text has one window without a token of its own, which still counts.
fn weight(window: &Window) -> f64 {
    window.fresh.max(1) as f64
}

fn weighted_mean(rows: &[(f64, &[f32])]) -> Vec<f64> {
    let total: f64 = rows.iter().map(|(w, _)| w).sum();
    let width = rows.first().map_or(0, |(_, values)| values.len());
    let mut mean = vec![0.0; width];
    for (w, values) in rows {
        for (slot, value) in mean.iter_mut().zip(*values) {
            *slot += w / total * f64::from(*value);
        }
    }
    mean
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn info(background: Option<usize>) -> ModelInfo {
        ModelInfo {
            version: "v".into(),
            labels: Some(["math", "law", "other"].map(str::to_owned).to_vec().into()),
            background,
            jailbreak: false,
            names: false,
            max_row_tokens: 512,
        }
    }

    fn window(fresh: usize) -> Window {
        Window { ids: vec![], tokens: 0..fresh, fresh }
    }

    fn probs(p: [f32; 3]) -> RowOutput {
        RowOutput { log_probs: Some(p.map(f32::ln).to_vec()), ..RowOutput::default() }
    }

    fn top(background: Option<usize>, rows: &[(usize, [f32; 3])]) -> String {
        let windows: Vec<Window> = rows.iter().map(|r| window(r.0)).collect();
        let outputs: Vec<RowOutput> = rows.iter().map(|r| probs(r.1)).collect();
        let scores = category(&info(background), &windows, &outputs).unwrap().scores;
        assert!((scores.iter().map(|s| s.1).sum::<f32>() - 1.0).abs() < 1e-5);
        scores[0].0.clone()
    }

    #[test]
    fn one_window_keeps_its_probabilities() {
        let scores = category(&info(None), &[window(0)], &[probs([0.2, 0.7, 0.1])]).unwrap().scores;
        assert_eq!(scores[0].0, "law");
        assert!((scores[0].1 - 0.7).abs() < 1e-6);
    }

    #[test]
    fn windows_count_by_the_tokens_they_add() {
        assert_eq!(top(None, &[(200, [0.8, 0.1, 0.1]), (20, [0.1, 0.8, 0.1])]), "math");
        assert_eq!(top(None, &[(20, [0.8, 0.1, 0.1]), (200, [0.1, 0.8, 0.1])]), "law");
    }

    #[test]
    fn background_does_not_outvote_but_stands_where_nothing_else_does() {
        let chatter = (224, [0.04, 0.04, 0.92]);
        let mut rows = vec![chatter; 12];
        assert_eq!(top(Some(2), &rows), "other");
        rows.push((30, [0.9, 0.05, 0.05]));
        assert_eq!(top(Some(2), &rows), "math");
        assert_eq!(top(None, &rows), "other");
        // A window that is unsure does not turn a text of chatter.
        *rows.last_mut().unwrap() = (30, [0.4, 0.1, 0.5]);
        assert_eq!(top(Some(2), &rows), "other");
    }

    #[test]
    fn embeddings_are_unit_length() {
        let row = |x, y| RowOutput { pooled: Some(vec![x, y]), ..RowOutput::default() };
        let (windows, rows) = ([window(3), window(1)], [row(4.0, 0.0), row(0.0, 12.0)]);
        assert!(category(&info(None), &windows, &rows).is_none());
        let embedding = embedding(&windows, &rows).unwrap();
        assert!((embedding[0] - embedding[1]).abs() < 1e-6);
        assert!((embedding[0] - 0.5f32.sqrt()).abs() < 1e-6);
    }
}
