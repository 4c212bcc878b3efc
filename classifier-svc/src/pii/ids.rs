//! Numbers that authorities and banks of the United States give: social security, driver's licences, passports, accounts.

use std::ops::Range;

use super::{
    cues::Cue,
    kind::{Entity, Kind},
    page::{Page, Token},
    rules::{Rule, compile},
};

/// Bytes between a cue word and the number that it names.
const REACH: usize = 40;

/// What the states print (AAMVA DL/ID formats): letters, digits and their number, dashes and spaces as some states write them.
static LICENCE: Rule = Rule::new(|| {
    compile(concat!(
        r"\A(?i:",
        r"[A-Z]\d{3}[- ]\d{4}[- ]\d{4}(?:[- ]?\d{2})?|[A-Z]\d{3}[- ]\d{3}[- ]\d{2}[- ]\d{3}[- ]\d|[A-Z]\d{4}[- ]\d{5}[- ]\d{5}|[A-Z]\d{2}[- ]\d{2}[- ]\d{4}|[A-Z][- ]\d{3}[- ]\d{3}[- ]\d{3}[- ]\d{3}",
        r"|\d{3}[- ]\d{3}[- ]\d{3}|\d{2}[- ]\d{3}[- ]\d{3,4}|\d{3}[- ]\d{2}[- ]\d{4}|[A-Z]\d{2}[- ]\d{3}[- ]\d{3}|[A-Z]\d{3}[- ]\d{3}[- ]\d{3}",
        r"|[A-Z]{1,2}\d{3,14}[A-Z]?|[A-Z]{3}\d{6}|\d{2}[A-Z]{3}\d{5}|\d{3}[A-Z]{2}\d{4}|[A-Z]\d[A-Z]\d[A-Z]|[A-Z]{4,7}[A-Z0-9*]{5,8}|\d{8}[A-Z]{1,2}|\d{7}[A-Z]|\d{6,13}",
        r")\b"
    ))
});

/// Reads the number at a token, given what stands between it and its cue word.
type Reader = fn(&Page<'_>, &Token, &str) -> Option<(Kind, Range<usize>, f32)>;

/// Adds the numbers of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    ssns(page, found);
    for (index, word) in page.cues.iter().enumerate() {
        let read: Reader = match word.cue {
            Cue::Licence => licence,
            Cue::Passport => passport,
            Cue::Account => account,
            _ => continue,
        };
        // Of cue words in a row the last speaks.
        let goes_on = page.cues.get(index + 1..).unwrap_or_default().iter().take(4);
        let token = named(page, word.end);
        let Some(token) = token.filter(|token| {
            goes_on.clone().all(|next| next.start < word.end || next.cue != word.cue || next.end > token.start)
        }) else {
            continue;
        };
        found.extend(
            read(page, &token, page.slice(word.end..token.start))
                .map(|(kind, range, score)| Entity::new(kind, range, score)),
        );
    }
}

/// The first token with a digit within reach after `end`, in the same sentence.
fn named(page: &Page<'_>, end: usize) -> Option<Token> {
    let first = page.tokens.partition_point(|token| token.start < end);
    let token = page.tokens.get(first).filter(|token| token.start <= end + REACH)?;
    let gap = page.slice(end..token.start);
    (!gap.contains(['!', '?']) && !gap.contains("\n\n") && !gap.contains(". ")
        || gap.trim_start_matches('.').len() <= 2)
        .then_some(*token)
}

/// Social security numbers: three, two and four digits; areas 000, 666 and 900 to 999, group 00 and serial 0000 are never
/// issued (SSA, 20 CFR 422.103 and the randomisation of 2011).
fn ssns(page: &Page<'_>, found: &mut Vec<Entity>) {
    for (index, token) in page.tokens.iter().enumerate().filter(|(_, token)| token.is_number()) {
        let Some((end, separator)) = (match token.len() {
            9 => Some((token.end, 0)),
            3 => parted(page, index),
            _ => None,
        }) else {
            continue;
        };
        let digits: String = page.slice(token.start..end).chars().filter(char::is_ascii_digit).collect();
        if !is_issued(&digits) || is_joined(page, token.start, end) {
            continue;
        }
        let cue = page.nearest(
            token.start,
            REACH,
            &[Cue::Ssn, Cue::Reference, Cue::Phone, Cue::Account, Cue::Licence, Cue::Passport],
        );
        let said = cue == Some(Cue::Ssn) || cue.is_none() && page.follows(end, 16, &[Cue::Ssn]);
        let score = match (said, separator, cue) {
            (true, _, _) => 0.95,
            (false, b'-', None | Some(Cue::Phone)) => 0.8,
            _ => continue,
        };
        found.push(Entity::new(Kind::UsSsn, token.start..end, score));
    }
}

/// The end of 3-2-4 digits from token `index` on, and what stands between.
fn parted(page: &Page<'_>, index: usize) -> Option<(usize, u8)> {
    let [area, group, serial] = page.tokens.get(index..index + 3)? else { return None };
    let separator = page.byte(area.end);
    let is_spaced = group.start == area.end + 1 && serial.start == group.end + 1 && page.byte(group.end) == separator;
    let is_sized = group.is_number() && group.len() == 2 && serial.is_number() && serial.len() == 4;
    (is_spaced && is_sized && matches!(separator, b'-' | b' ' | b'.')).then_some((serial.end, separator))
}

fn is_issued(digits: &str) -> bool {
    let part = |range: Range<usize>| digits.get(range).unwrap_or_default();
    let (area, group, serial) = (part(0..3), part(3..5), part(5..9));
    !matches!(area, "000" | "666") && !area.starts_with('9') && group != "00" && serial != "0000"
}

/// Whether the number is a part of a longer one.
fn is_joined(page: &Page<'_>, start: usize, end: usize) -> bool {
    let before = page.before(start);
    let after = page.byte(end);
    matches!(before, b'-' | b'.' | b'_' | b'+') && page.before(start.saturating_sub(1)).is_ascii_alphanumeric()
        || before == b'+'
        || matches!(after, b'-' | b'.' | b'_') && page.byte(end + 1).is_ascii_alphanumeric()
}

fn licence(page: &Page<'_>, token: &Token, _: &str) -> Option<(Kind, Range<usize>, f32)> {
    // "S-123-456-789-012": the letter is no part of the token.
    let lettered = page.slice(token.start.saturating_sub(2)..token.start).as_bytes();
    let has_letter = matches!(lettered, [letter, b'-'] if letter.is_ascii_alphabetic())
        && !page.before(token.start.saturating_sub(2)).is_ascii_alphanumeric();
    let start = if has_letter { token.start - 2 } else { token.start };
    let text = page.ahead(start, 24);
    let found = LICENCE.first(text)?;
    let digits = text.get(found.clone())?.bytes().filter(u8::is_ascii_digit).count();
    let is_date = found.len() == 10 && digits == 8;
    (digits >= 3 && found.len() >= 5 && !is_date).then(|| (Kind::UsDriverLicense, start..start + found.end, 0.85))
}

/// A letter and eight digits, or nine digits (US Department of State).
fn passport(page: &Page<'_>, token: &Token, _: &str) -> Option<(Kind, Range<usize>, f32)> {
    let is_new = token.len() == 9 && token.digits == 8 && page.byte(token.start).is_ascii_alphabetic();
    (is_new || token.len() == 9 && token.is_number()).then_some((Kind::UsPassport, token.start..token.end, 0.85))
}

/// What may stand between a bank's word and its number.
static LINK: Rule = Rule::new(|| {
    compile(
        r"(?i)\A[\s:=#\x22'.,()-]*(?:(?:is|are|was|no|nr|num|number|account|acct|checking|savings|ending|of|to|in|for|the|my|his|her|id|code|and|with|at|bank|chase|wells fargo)[\s:=#\x22'.,()-]+){0,5}\z",
    )
});

/// Six to seventeen digits, or a routing number with its check digit.
fn account(page: &Page<'_>, token: &Token, gap: &str) -> Option<(Kind, Range<usize>, f32)> {
    let digits = page.slice(token.start..token.end);
    let is_whole = token.is_number() && (6..=17).contains(&token.len());
    let is_whole = is_whole && !is_joined(page, token.start, token.end);
    if !is_whole || !LINK.is_match(gap) || is_customers(page, token.start) {
        return None;
    }
    let score = if token.len() == 9 && is_routing(digits) { 0.95 } else { 0.8 };
    Some((Kind::UsBankNumber, token.start..token.end, score))
}

/// "Customer account number" and the like name no bank's account.
fn is_customers(page: &Page<'_>, start: usize) -> bool {
    static OTHER: Rule = Rule::new(|| {
        compile(
            r"(?i)\b(?:customer|user|utility|electric|gas|water|loyalty|member|membership|github|twitter|steam|game|order|frequent)\s+(?:account|acct)",
        )
    });
    OTHER.is_match(page.behind(start, REACH + 24))
}

/// Weights 3, 7, 1 over nine digits give a multiple of ten (ABA; ANSI X9.105).
fn is_routing(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .zip([3, 7, 1].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit.wrapping_sub(b'0')) * weight)
        .sum();
    digits.len() == 9 && sum > 0 && sum.is_multiple_of(10)
}
