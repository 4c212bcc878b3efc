//! Letters set apart: `i g n o r e`, `r-u-l-e-s`.

use super::{Edit, words::segment};

/// Fewer letters are initials, list marks or an equation.
const LEAST: usize = 6;

/// The share of the letters that have to make known words, once together.
const COVERED: f64 = 0.6;

/// Runs of single letters with the same sign or with spaces between them.
pub(super) fn letters(text: &str) -> Vec<Edit> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let mut edits = Vec::new();
    let mut at = 0;
    while let Some(run) = chars.get(at..).and_then(Run::read) {
        at += run.chars.max(1);
        let Some(words) = run.words() else { continue };
        let end = chars.get(at).map_or(text.len(), |c| c.0);
        if let Some(&(start, _)) = chars.get(at - run.chars) {
            edits.push(Edit { range: start..end, text: words });
        }
    }
    edits
}

/// Single letters, as far as they go.
struct Run {
    /// How many characters it has, the separators counted.
    chars: usize,
    /// The letters of each word, where wider gaps set words apart.
    words: Vec<String>,
}

impl Run {
    /// Reads the run that starts here; none at the end of the text. A character that starts no run is one of its own.
    fn read(chars: &[(usize, char)]) -> Option<Self> {
        let char_at = |i: usize| chars.get(i).map(|c| c.1);
        let first = char_at(0)?;
        if !first.is_ascii_alphabetic() {
            return Some(Self { chars: 1, words: Vec::new() });
        }
        let mut words = vec![String::from(first.to_ascii_lowercase())];
        let mut end = 1;
        loop {
            let gap = (end..).map_while(char_at).take_while(|c| is_separator(*c)).take(4).count();
            let next = char_at(end + gap).filter(char::is_ascii_alphabetic);
            let Some(next) = next.filter(|_| gap > 0) else { break };
            if char_at(end + gap + 1).is_some_and(char::is_alphanumeric) {
                break;
            }
            if gap > 1 {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.push(next.to_ascii_lowercase());
            }
            end += gap + 1;
        }
        // A word that only starts with a letter: over with it.
        let rest = (end..).map_while(char_at).take_while(|c| end == 1 && c.is_alphanumeric()).count();
        Some(Self { chars: end + rest, words })
    }

    /// What it says, where that is words.
    fn words(&self) -> Option<String> {
        let letters: usize = self.words.iter().map(String::len).sum();
        if letters < LEAST {
            return None;
        }
        let read: Vec<(String, f64)> = self.words.iter().map(|word| segment(word)).collect();
        let weighted: f64 = self.words.iter().zip(&read).map(|(word, (_, share))| share * word.len() as f64).sum();
        let words: Vec<String> = read.into_iter().map(|(words, _)| words).collect();
        (weighted / letters as f64 >= COVERED).then(|| words.join(" "))
    }
}

const fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '.' | '-' | '_' | '*' | '|' | '/' | '~' | '·' | '\t')
}
