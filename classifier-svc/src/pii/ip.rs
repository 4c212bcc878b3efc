//! IP addresses that may be somebody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    cues::Cue,
    kind::{Entity, Kind},
    page::Page,
    page::Token,
};

/// The longest written IPv6 address.
const LONGEST: usize = 45;

/// Adds the addresses of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    let mut past = 0;
    for &colon in &page.colons {
        if colon < past {
            continue;
        }
        let (start, end) = span(page, colon);
        past = end.max(colon + 1);
        if let Some((end, score)) = v6(page, start, end) {
            found.push(Entity::new(Kind::IpAddress, start..end, score));
        }
    }
    for token in page.tokens.iter().filter(|token| token.is_number() && token.len() <= 3) {
        let is_dotted = page.byte(token.end) == b'.' && page.byte(token.end + 1).is_ascii_digit();
        if is_dotted && let Some((end, score)) = v4(page, token) {
            found.push(Entity::new(Kind::IpAddress, token.start..end, score));
        }
    }
}

fn v4(page: &Page<'_>, token: &Token) -> Option<(usize, f32)> {
    let start = token.start;
    let before = page.before(start);
    if matches!(before, b'.' | b'-' | b'_') && page.before(start.saturating_sub(1)).is_ascii_alphanumeric() {
        return None;
    }
    let text = page.ahead(start, 17);
    let text = text.get(..text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))?;
    let text = text.trim_end_matches('.');
    let end = start + text.len();
    // "1.2.3.4.5" and "1.2.3.4-rc1" are versions.
    let after = (page.byte(end), page.byte(end + 1));
    let goes_on =
        after.0.is_ascii_alphanumeric() || after.0 == b'_' || after.0 == b'-' && after.1.is_ascii_alphanumeric();
    let address: Ipv4Addr = text.parse().ok()?;
    let is_version = matches!(before, b'/' | b'v' | b'V' | b'=' | b'~' | b'^') && is_versioned(page, start);
    let cue = page.nearest(start, 32, &[Cue::Host, Cue::Version]);
    // The arcs of X.500's attributes and extensions (RFC 5280), and short numbers of sections.
    let is_listed = cue.is_none() && (text.len() <= 7 || text.starts_with("2.5.29.") || text.starts_with("2.5.4."));
    if goes_on
        || is_version
        || is_listed
        || cue == Some(Cue::Version)
        || !is_somebodys_v4(address)
        || is_network(page, end, address)
    {
        return None;
    }
    let is_sure = cue == Some(Cue::Host) || text.len() >= 11;
    Some((end, if is_sure { 0.95 } else { 0.75 }))
}

/// Whether what stands right before the number names a program: "Chrome/119.0.0.0", "pkg==1.2.3.4".
fn is_versioned(page: &Page<'_>, start: usize) -> bool {
    let before = page.behind(start, 12).trim_end_matches(['/', '=', '~', '^', '<', '>', 'v', 'V']);
    let is_named = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ' ');
    let is_assigned = page.before(start) == b'=' && page.before(start.saturating_sub(1)).is_ascii_alphanumeric();
    is_named && !is_assigned
}

/// "10.0.0.0/8" names a network, not a host.
fn is_network(page: &Page<'_>, end: usize, address: Ipv4Addr) -> bool {
    let bits = page.ahead(end, 3).strip_prefix('/').map(|b| b.trim_end_matches(|c: char| !c.is_ascii_digit()));
    let bits = bits.and_then(|b| b.parse::<u32>().ok()).filter(|bits| *bits < 32);
    bits.is_some_and(|bits| address.to_bits() << bits == 0)
}

/// Not unspecified, loopback, broadcast, multicast, reserved or for documentation (RFC 6890, RFC 5737).
fn is_somebodys_v4(address: Ipv4Addr) -> bool {
    let first = address.octets().first().copied().unwrap_or(0);
    first != 0 && first < 224 && !address.is_loopback() && !address.is_documentation()
}

/// The characters around `colon` that an IPv6 address may be made of.
fn span(page: &Page<'_>, colon: usize) -> (usize, usize) {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let mut start = colon;
    while start > 0 && is_part(page.before(start)) && colon - start <= LONGEST {
        start -= 1;
    }
    let mut end = colon;
    while is_part(page.byte(end)) && end - colon <= LONGEST {
        end += 1;
    }
    (start, end)
}

fn v6(page: &Page<'_>, start: usize, end: usize) -> Option<(usize, f32)> {
    let joined = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let text = page.slice(start..end);
    let text = text.trim_end_matches('.');
    let text = if text.ends_with("::") { text } else { text.trim_end_matches(':') };
    let end = start + text.len();
    if joined(page.before(start)) || joined(page.byte(end)) {
        return None;
    }
    let address: Ipv6Addr = text.parse().ok()?;
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    let all_pairs = text.split(':').all(|group| group.len() == 2);
    let said = page.nearest(start, 32, &[Cue::Host, Cue::Version]) == Some(Cue::Host);
    let begins_so = ["2", "fe80", "fd", "fc"].iter().any(|head| text.to_ascii_lowercase().starts_with(head));
    let is_wide = text.split(':').any(|group| group.len() >= 3);
    let is_plain = groups >= 4 && is_wide || begins_so && groups >= 2 && text.len() >= 7;
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let counts = !all_pairs
        && (said && groups >= 2 && (has_digit || groups > 2) || has_digit && is_plain)
        && is_somebodys_v6(address);
    counts.then_some((end, if said || groups >= 4 { 0.95 } else { 0.75 }))
}

/// Not unspecified, loopback, multicast or for documentation (RFC 6890, RFC 3849, RFC 9637).
fn is_somebodys_v6(address: Ipv6Addr) -> bool {
    if let IpAddr::V4(inner) = address.to_canonical() {
        return is_somebodys_v4(inner);
    }
    let mut segments = address.segments().into_iter();
    let (first, second) = (segments.next().unwrap_or(0), segments.next().unwrap_or(0));
    let is_documentation = first == 0x2001 && second == 0xdb8 || first == 0x3fff && second < 0x1000;
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !is_documentation
}
