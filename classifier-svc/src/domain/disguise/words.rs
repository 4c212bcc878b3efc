//! The words that tell English from what only looks like letters: the most used ones, and those that attacks use.

use std::{collections::HashSet, sync::LazyLock};

static WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("words.txt").split_whitespace().collect());

/// Longer than any word of the list.
const LONGEST: usize = 16;

/// Whether a lower-case word is one of the list.
pub(super) fn known(word: &str) -> bool {
    WORDS.contains(word)
}

/// Letters without spaces as words, as far as words of the list cover them, and the share of letters so covered.
/// `letters` are lower-case ASCII.
pub(super) fn segment(letters: &str) -> (String, f64) {
    let length = letters.len();
    // The fewest uncovered letters, then the fewest words, of each prefix; with where its last piece starts.
    let mut best: Vec<(usize, usize, usize)> = vec![(0, 0, 0)];
    for end in 1..=length {
        let uncovered = best.get(end - 1).map(|b| (b.0 + 1, b.1 + 1, end - 1));
        let pieces = (end.saturating_sub(LONGEST)..end).filter_map(|start| {
            let word = letters.get(start..end)?;
            let before = best.get(start)?;
            // A single letter is a word only where it is one in English.
            (known(word) && (word.len() > 1 || word == "a" || word == "i")).then_some((before.0, before.1 + 1, start))
        });
        best.push(pieces.chain(uncovered).min().unwrap_or_default());
    }
    let missed = best.last().map_or(0, |b| b.0);
    (spaced(letters, &best), 1.0 - missed as f64 / length.max(1) as f64)
}

/// The pieces with spaces between them; uncovered letters that follow one another stay together.
fn spaced(letters: &str, best: &[(usize, usize, usize)]) -> String {
    let mut pieces: Vec<(&str, bool)> = Vec::new();
    let mut end = letters.len();
    while let Some(&(missed, _, start)) = best.get(end).filter(|_| end > 0) {
        let covered = best.get(start).is_some_and(|before| before.0 == missed);
        pieces.push((letters.get(start..end).unwrap_or_default(), covered));
        end = start;
    }
    let mut out = String::with_capacity(letters.len() * 2);
    let mut glued = true;
    for (piece, covered) in pieces.into_iter().rev() {
        if !out.is_empty() && (covered || glued) {
            out.push(' ');
        }
        out.push_str(piece);
        glued = covered;
    }
    out
}
