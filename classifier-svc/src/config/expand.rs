//! `~`, `${NAME}` and `${NAME:-default}` in paths.

use thiserror::Error;

/// Why a path could not be expanded.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum ExpandError {
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    #[error("`${{` without `}}` in `{0}`")]
    Unclosed(String),
}

/// Expands variables first, then a `~` that leads the result (so that a default may hold one).
pub(super) fn expand(text: &str, env: &impl Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, tail) = after.split_once('}').ok_or_else(|| ExpandError::Unclosed(text.to_owned()))?;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let value = env(name)
            .filter(|v| !v.is_empty())
            .or_else(|| default.map(str::to_owned))
            .ok_or_else(|| ExpandError::Unset(name.to_owned()))?;
        out.push_str(before);
        out.push_str(&value);
        rest = tail;
    }
    out.push_str(rest);
    match out.strip_prefix('~') {
        Some(tail) if tail.is_empty() || tail.starts_with('/') => {
            let home = env("HOME").ok_or_else(|| ExpandError::Unset("HOME".to_owned()))?;
            Ok(format!("{home}{tail}"))
        }
        _ => Ok(out),
    }
}
