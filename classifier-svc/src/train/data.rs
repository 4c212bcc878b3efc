//! Labelled prompts: JSON lines of `{"text", "label", "topic"?, "kind"?}`.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::split::Split;
use crate::encoder::hex;

/// Why labelled data was refused.
#[derive(Debug, Error)]
pub enum DataError {
    /// A file or directory cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not a labelled prompt.
    #[error("{}:{line}: {message}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// 1-based.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A directory holds no data.
    #[error("{}: holds no .jsonl file", .0.display())]
    NoFile(PathBuf),
    /// There are too few labels or prompts to learn from.
    #[error("{0}")]
    TooLittle(String),
}

/// One labelled prompt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What a user wrote.
    pub text: String,
    /// What it is about.
    pub label: String,
    /// Prompts of one topic never stand on both sides of a split.
    #[serde(default)]
    pub topic: Option<String>,
    /// What sort of prompt it is; the report tells them apart.
    #[serde(default)]
    pub kind: Option<String>,
}

/// All the data of one training or evaluation.
#[derive(Debug)]
pub struct Dataset {
    /// In the files' order.
    pub examples: Vec<Example>,
    /// Sorted; a label's index is its number.
    pub labels: Vec<String>,
    /// SHA-256 of the files' bytes in order, in hex.
    pub sha256: String,
    /// Lines whose text had been seen before with the same label, left out.
    pub duplicates: usize,
}

impl Dataset {
    /// Reads files, and the `.jsonl` files of directories (sorted; sub-directories are not entered, so that an
    /// `eval/` beside the training data stays unseen).
    ///
    /// # Errors
    /// [`DataError`], with file and line where a line is at fault.
    pub fn load(paths: &[PathBuf]) -> Result<Self, DataError> {
        let mut digest = Sha256::new();
        let mut examples: Vec<Example> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut duplicates = 0;
        for file in files(paths)? {
            let text =
                std::fs::read_to_string(&file).map_err(|source| DataError::Read { path: file.clone(), source })?;
            digest.update(&text);
            for (index, line) in text.lines().enumerate() {
                let wrong = |message: String| DataError::Line { file: file.clone(), line: index + 1, message };
                let example = parse(line).map_err(wrong)?;
                let earlier = seen.get(&example.text.to_lowercase()).and_then(|&i| examples.get(i));
                match earlier {
                    Some(earlier) if earlier.label == example.label => duplicates += 1,
                    Some(earlier) => {
                        let (first, second) = (&earlier.label, &example.label);
                        return Err(wrong(format!("the same text is `{first}` above and `{second}` here")));
                    }
                    None => {
                        seen.insert(example.text.to_lowercase(), examples.len());
                        examples.push(example);
                    }
                }
            }
        }
        let mut labels: Vec<String> = examples.iter().map(|e| e.label.clone()).collect();
        labels.sort();
        labels.dedup();
        Ok(Self { examples, labels, sha256: hex(&digest.finalize()), duplicates })
    }

    /// Reads data that is in parts already: train, validation and test. That no text
    /// stands in two of them is for whoever parted them to see to.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_parts(parts: [&[PathBuf]; 3]) -> Result<(Self, Split), DataError> {
        let mut digest = Sha256::new();
        let mut all = Self { examples: Vec::new(), labels: Vec::new(), sha256: String::new(), duplicates: 0 };
        let mut split = Split::default();
        for (paths, part) in parts.into_iter().zip([&mut split.train, &mut split.validation, &mut split.test]) {
            let loaded = Self::load(paths)?;
            let first = all.examples.len();
            part.extend(first..first + loaded.examples.len());
            all.examples.extend(loaded.examples);
            all.labels.extend(loaded.labels);
            all.duplicates += loaded.duplicates;
            digest.update(loaded.sha256);
        }
        all.labels.sort();
        all.labels.dedup();
        all.sha256 = hex(&digest.finalize());
        Ok((all, split))
    }

    /// The number of each example's label.
    #[must_use]
    pub fn targets(&self) -> Vec<usize> {
        self.examples.iter().map(|e| self.labels.binary_search(&e.label).unwrap_or_default()).collect()
    }

    /// Prompts of each label.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for example in &self.examples {
            *counts.entry(example.label.as_str()).or_default() += 1;
        }
        counts
    }
}

fn parse(line: &str) -> Result<Example, String> {
    let example: Example = serde_json::from_str(line).map_err(|e| e.to_string())?;
    match () {
        () if example.text.trim().is_empty() => Err("`text` is empty".to_owned()),
        () if example.label.trim().is_empty() => Err("`label` is empty".to_owned()),
        () => Ok(example),
    }
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            all.extend(in_dir(path)?);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

fn in_dir(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == "jsonl") {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(DataError::NoFile(dir.to_owned()));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn load(files: &[(&str, &str)]) -> Result<Dataset, DataError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("eval")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Dataset::load(&[dir.path().to_owned()])
    }

    #[test]
    fn directories_are_read_in_order_and_eval_is_not_entered() {
        let data = load(&[
            ("b.jsonl", r#"{"text":"two","label":"b","topic":"t","kind":"exam"}"#),
            ("a.jsonl", "{\"text\":\"one\",\"label\":\"a\"}\n{\"text\":\"ONE\",\"label\":\"a\"}\n"),
            ("eval/blind.jsonl", r#"{"text":"three","label":"c"}"#),
            ("notes.txt", "no data"),
        ])
        .unwrap();
        assert_eq!(data.labels, ["a", "b"]);
        assert_eq!(data.targets(), [0, 1]);
        assert_eq!(data.duplicates, 1);
    }

    #[test]
    fn bad_lines_are_named() {
        for (line, wanted) in [
            ("{\"text\":\"x\"}", "label"),
            ("not json", "expected"),
            ("", "EOF"),
            ("{\"text\":\" \",\"label\":\"a\"}", "`text` is empty"),
            ("{\"text\":\"x\",\"label\":\"a\",\"topik\":\"y\"}", "topik"),
            ("{\"text\":\"ok\",\"label\":\"b\"}", "`a` above and `b` here"),
        ] {
            let text = format!("{{\"text\":\"ok\",\"label\":\"a\"}}\n{line}\n");
            let error = load(&[("d.jsonl", &text)]).unwrap_err().to_string();
            assert!(error.contains("d.jsonl:2: ") && error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn an_empty_directory_is_an_error() {
        assert!(matches!(load(&[]), Err(DataError::NoFile(_))));
    }
}
