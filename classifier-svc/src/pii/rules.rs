//! Patterns that are compiled once.

use std::sync::LazyLock;

use regex::Regex;

/// A pattern, compiled when first used.
pub(super) struct Rule(LazyLock<Option<Regex>>);

impl Rule {
    /// A rule from a function that compiles it, as `Rule::new(|| compile("..."))`.
    pub(super) const fn new(make: fn() -> Option<Regex>) -> Self {
        Self(LazyLock::new(make))
    }

    /// Bytes of `text` that the pattern's capture `group` covers in the first match.
    pub(super) fn group(&self, text: &str, group: usize) -> Option<std::ops::Range<usize>> {
        let captures = self.0.as_ref()?.captures(text)?;
        Some(captures.get(group)?.range())
    }

    /// Bytes of `text` that the first match covers.
    pub(super) fn first(&self, text: &str) -> Option<std::ops::Range<usize>> {
        Some(self.0.as_ref()?.find(text)?.range())
    }

    /// Bytes of every match.
    pub(super) fn all<'a>(&'a self, text: &'a str) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        self.0.iter().flat_map(move |regex| regex.find_iter(text)).map(|found| found.range())
    }

    /// Whether the pattern matches.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// Compiles a constant pattern. One that does not compile would match nothing, so that tests stop at it.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    let regex = Regex::new(pattern);
    #[cfg(test)]
    assert!(regex.is_ok(), "{pattern}");
    regex.ok()
}
