//! E-mail addresses: RFC 5322 dot-atoms at a domain whose last label is a top-level domain.

use std::ops::Range;

use super::{
    kind::{Entity, Kind},
    page::Page,
    rules::{Rule, compile},
};

/// The longest local part and domain (RFC 5321 4.5.3.1).
const LOCAL: usize = 64;
const DOMAIN: usize = 255;

/// Domains that are not in the root zone but hold mailboxes (RFC 2606, RFC 6762, and companies' own).
const LOCAL_DOMAINS: &[&str] =
    &["example", "test", "invalid", "local", "internal", "lan", "corp", "intranet", "home", "localdomain", "onion"];

static SPELLED: Rule = Rule::new(|| {
    compile(concat!(
        r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}\s?(?:\[at\]|\(at\)|\{at\}|<at>)\s?[a-z0-9-]{1,63}",
        r"(?:\s?(?:\.|\[dot\]|\(dot\)|\{dot\}|<dot>)\s?[a-z0-9-]{1,63}){0,3}\s?(?:\.|\[dot\]|\(dot\)|\{dot\}|<dot>)\s?[a-z]{2,18}\b"
    ))
});

/// Adds the e-mail addresses of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    found.extend(
        page.ats.iter().filter_map(|&at| address(page, at)).map(|range| Entity::new(Kind::EmailAddress, range, 0.98)),
    );
    // Written out to hide from harvesters: "jane [at] example [dot] org".
    let spelled = ["[at]", "(at)", "{at}", "<at>", "[AT]", "(AT)"];
    if spelled.iter().any(|at| page.text.contains(at)) {
        found.extend(SPELLED.all(page.text).map(|range| Entity::new(Kind::EmailAddress, range, 0.9)));
    }
}

fn address(page: &Page<'_>, at: usize) -> Option<Range<usize>> {
    let start = local(page, at)?;
    let end = domain(page, at)?;
    // "git@host:path" and "user@host" in an URL name a login, not a mailbox.
    let is_remote = page.byte(end) == b':' && page.slice(start..at) == "git";
    let is_called = page.byte(end) == b'(';
    let is_login = page.behind(start, 3) == "://"
        || page.behind(start, 80).rsplit(char::is_whitespace).next()?.contains("://") && page.before(start) == b':';
    let is_handle = page.before(start) == b'@';
    (!is_remote && !is_called && !is_login && !is_handle).then_some(start..end)
}

fn local(page: &Page<'_>, at: usize) -> Option<usize> {
    let text = page.behind(at, LOCAL + 4);
    let is_part = |c: char| c.is_alphanumeric() && (c as u32) < 0x2E80 || ".!#$%&'*+/=?^_`{|}~-".contains(c);
    let part = text.trim_end_matches(is_part).len();
    let part = text.get(part..).unwrap_or_default();
    // Punctuation that stands before an address more often than it belongs to it.
    // "o'brien" keeps its apostrophe; a quote stands after no letter.
    let quote =
        part.rmatch_indices('\'').find(|(at, _)| !part.get(..*at).is_some_and(|t| t.ends_with(char::is_alphabetic)));
    let part = quote.map_or(Some(part), |(at, _)| part.get(at + 1..))?;
    let part = part.rsplit(['=', '/', '`', '{', '|', '}', '?', '&', '*', '$', '!', '^']).next()?;
    let part = part.trim_start_matches(['.', '-', '+', '#', '%', '~']);
    let is_sound = !part.is_empty() && part.len() <= LOCAL && !part.ends_with('.') && !part.contains("..");
    (is_sound && part.chars().any(char::is_alphanumeric)).then(|| at - part.len())
}

fn domain(page: &Page<'_>, at: usize) -> Option<usize> {
    let text = page.ahead(at + 1, DOMAIN);
    let is_part = |c: char| c.is_alphanumeric() && (c as u32) < 0x2E80 || c == '-' || c == '.';
    let mut name = text.get(..text.find(|c| !is_part(c)).unwrap_or(text.len()))?;
    name = name.trim_end_matches(['.', '-']);
    if name.split('.').any(|label| label.is_empty() || label.starts_with('-') || label.len() > 63) {
        return None;
    }
    let (_, top) = name.rsplit_once('.')?;
    if is_top(top) {
        return Some(at + 1 + name.len());
    }
    // "jane@example.org.Then": a full stop without its space.
    let (shorter, _) = name.rsplit_once('.')?;
    let starts_sentence = top.starts_with(|c: char| c.is_ascii_uppercase());
    (starts_sentence && is_top(shorter.rsplit_once('.')?.1)).then(|| at + 1 + shorter.len())
}

fn is_top(label: &str) -> bool {
    let label = label.to_lowercase();
    label.starts_with("xn--")
        || !label.is_ascii() && label.chars().count() >= 2
        || tld::exist(&label)
        || LOCAL_DOMAINS.contains(&label.as_str())
}
