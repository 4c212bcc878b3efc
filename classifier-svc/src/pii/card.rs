//! Payment cards: issuer ranges and lengths (ISO/IEC 7812, the networks' published ranges) and Luhn's check digit.

use std::ops::Range;

use super::{
    cues::Cue,
    kind::{Entity, Kind},
    page::Page,
};

/// The most digits that a card number has (ISO/IEC 7812-1).
const MOST: usize = 19;

/// Adds the payment cards of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    let mut past = 0;
    for (first, token) in page.tokens.iter().enumerate() {
        let is_sized = token.is_number() && matches!(token.len(), 4 | 6 | 12..=MOST);
        let leads = is_sized && matches!(page.byte(token.start), b'2'..=b'6') && token.start >= past;
        if leads
            && starts_alone(page, token.start)
            && let Some((range, score)) = card(page, first)
        {
            past = range.end;
            found.push(Entity::new(Kind::CreditCard, range, score));
        }
    }
}

/// Whether the number is not the tail of another one, or of a word.
fn starts_alone(page: &Page<'_>, start: usize) -> bool {
    let before = page.before(start);
    let joined = matches!(before, b'.' | b'-' | b'_' | b',' | b'+')
        && page.before(start.saturating_sub(1)).is_ascii_alphanumeric();
    !joined && before != b'+'
}

/// The longest card number that begins with token `first`.
fn card(page: &Page<'_>, first: usize) -> Option<(Range<usize>, f32)> {
    let tokens = page.tokens.get(first..)?;
    let start = tokens.first()?.start;
    let mut digits = String::with_capacity(MOST);
    let mut groups: Vec<usize> = Vec::new();
    let mut best = None;
    let mut end = start;
    let mut separator = 0;
    for token in tokens {
        let joins = token.start == end
            || token.start == end + 1
                && matches!(page.byte(end), b' ' | b'-' | b'.')
                && (separator == 0 || separator == page.byte(end));
        if !token.is_number() || !joins || digits.len() + token.len() > MOST {
            break;
        }
        if token.start > end {
            separator = page.byte(end);
        }
        digits.push_str(page.slice(token.start..token.end));
        groups.push(token.len());
        end = token.end;
        if digits.len() >= 12 && is_card(&digits) {
            best = score(page, start..end, &groups, &digits).map(|score| (start..end, score)).or(best);
        }
    }
    best
}

/// How sure a number with a card's digits is one: unusual lengths and groups need a word that says so.
fn score(page: &Page<'_>, range: Range<usize>, groups: &[usize], digits: &str) -> Option<f32> {
    let after = page.byte(range.end);
    let goes_on = matches!(after, b'-' | b'.' | b'_') && page.byte(range.end + 1).is_ascii_alphanumeric();
    let cue = page.nearest(range.start, 48, &[Cue::Card, Cue::Reference, Cue::Account, Cue::Phone]);
    let said = cue == Some(Cue::Card) || page.follows(range.end, 20, &[Cue::Card]);
    let is_usual = match groups {
        [one] => matches!(one, 15 | 16),
        [4, 4, 4, 4] | [4, 4, 4, 4, 3] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 1] => true,
        _ => false,
    };
    // These ranges are wide or also those of article numbers: the form alone does not tell.
    let is_rare = digits.starts_with("50")
        || digits.starts_with("56")
        || digits.starts_with("57")
        || digits.starts_with("58")
        || digits.starts_with("63")
        || digits.starts_with("67");
    if said {
        return Some(Entity::PROVEN);
    }
    (!goes_on && is_usual && !is_rare && cue != Some(Cue::Reference)).then_some(Entity::PROVEN)
}

fn is_card(digits: &str) -> bool {
    let distinct = digits.bytes().collect::<std::collections::BTreeSet<_>>().len();
    distinct > 1 && is_issued(digits) && luhn(digits)
}

/// Whether a network issues numbers with these first digits and this length.
fn is_issued(digits: &str) -> bool {
    let head = |n: usize| digits.get(..n).and_then(|h| h.parse::<u32>().ok()).unwrap_or(0);
    let length = digits.len();
    match (head(1), head(2), head(3), head(4)) {
        // Visa.
        (4, ..) => matches!(length, 13 | 16 | 19),
        // Mastercard, and its range of 2017.
        (_, 51..=55, ..) | (_, _, _, 2221..=2720) => length == 16,
        // American Express.
        (_, 34 | 37, ..) => length == 15,
        // Diners Club.
        (_, _, 300..=305, _) | (_, 36 | 38 | 39, ..) => (14..=MOST).contains(&length),
        // JCB.
        (_, _, _, 3528..=3589) => (16..=MOST).contains(&length),
        // Discover and RuPay.
        (_, _, 644..=649, _) | (_, 65, ..) | (_, 60, ..) => (16..=MOST).contains(&length),
        // UnionPay.
        (_, 62, ..) => (16..=MOST).contains(&length),
        // Mir.
        (_, _, _, 2200..=2204) => (16..=MOST).contains(&length),
        // Maestro.
        (_, 50 | 56..=58 | 63 | 67, ..) => (12..=MOST).contains(&length),
        _ => false,
    }
}

/// Luhn's check digit (ISO/IEC 7812-1 annex B).
pub(super) fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .map(|digit| u32::from(digit.wrapping_sub(b'0')))
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
