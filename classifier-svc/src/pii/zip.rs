//! Postal codes where something says that they are: a state, a street before them, a word, or a form that nothing else has.

use super::{
    cues::Cue,
    kind::{Entity, Kind},
    page::{Page, Token},
    rules::{Rule, compile},
};

/// Bytes between a street and its postal code.
const REACH: usize = 44;

/// States, the district, territories and military post (USPS publication 28, appendix B).
const STATES: &[&str] = &[
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS", "KY", "LA", "ME",
    "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR", "PA",
    "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY", "DC", "PR", "GU", "VI", "AS", "MP", "AE",
    "AP", "AA",
];

static STATE_NAME: Rule = Rule::new(|| {
    compile(concat!(
        r"(?:^|[\s,])(?:Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|",
        r"New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming),?\s\z"
    ))
});

/// The United Kingdom's codes (BS 7666), from the area on.
static BRITISH: Rule = Rule::new(|| {
    compile(concat!(
        r"\A(?i:AB|AL|B|BA|BB|BD|BF|BH|BL|BN|BR|BS|BT|CA|CB|CF|CH|CM|CO|CR|CT|CV|CW|DA|DD|DE|DG|DH|DL|DN|DT|DY|E|EC|EH|EN|EX|FK|FY|G|GL|GU|GY|HA|HD|HG|HP|HR|HS|HU|HX|IG|IM|IP|IV|JE|KA|KT|KW|KY|L|LA|LD|LE|LL|LN|LS|LU|M|ME|MK|ML|N|NE|NG|NN|NP|NR|NW|OL|OX|PA|PE|PH|PL|PO|PR|RG|RH|RM|S|SA|SE|SG|SK|SL|SM|SN|SO|SP|SR|SS|ST|SW|SY|TA|TD|TF|TN|TQ|TR|TS|TW|UB|W|WA|WC|WD|WF|WN|WR|WS|WV|YO|ZE)",
        r"\d[0-9A-Za-z]?( ?)\d[ABD-HJLNP-UW-Zabd-hjlnp-uw-z]{2}\b"
    ))
});

/// Canada's codes (Canada Post: no D, F, I, O, Q, U; no W or Z first).
static CANADIAN: Rule = Rule::new(|| compile(r"\A[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z][ -]?\d[ABCEGHJ-NPRSTV-Z]\d\b"));
/// The Netherlands' codes before a town.
static DUTCH: Rule = Rule::new(|| compile(r"\A([1-9]\d{3} ?[A-Z]{2})\s(?:\p{Lu}[\p{L}'-]+|'s-)"));
/// Poland's, Brazil's and Sweden's codes, in two parts.
static PARTED: Rule =
    Rule::new(|| compile(r"\A(\d{2}-\d{3}|\d{5}-\d{3}|\d{3} \d{2})(?:\b[^-\w]*\s\p{Lu}|[\s,.]*\z|\n)"));
static TOWN: Rule = Rule::new(|| compile(r"\A[ ,]{1,2}\p{Lu}\p{L}+"));
/// What a word such as "PLZ" may announce.
static ANY: Rule = Rule::new(|| {
    compile(r"\A(?:\d{5}-\d{4}|\d{3}-\d{4}|\d{2}-\d{3}|\d{5}-\d{3}|\d{4,6}|\d{3} \d{2,3}|\d{4} ?[A-Z]{2})\b")
});
static GAP: Rule = Rule::new(|| {
    compile(
        r"\A[\s:=#\x22'.(),-]*(?:(?:(?i:is|are|ist|was|code|codes|of|number|no|for|use|enter|my|es|est|at|in|plus|to|the|area)|:|=|[A-Z][\w]{2,14})[\s:=#\x22'.(),-]+){0,3}\z",
    )
});

/// Adds the postal codes of `page`. `found` holds its streets.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    let mut streets: Vec<usize> = found.iter().filter(|e| e.kind == Kind::StreetAddress).map(|e| e.range.end).collect();
    streets.sort_unstable();
    let mut past = 0;
    for token in page.tokens.iter().filter(|token| token.len() <= 7) {
        if token.start < past || is_joined(page, token.start) {
            continue;
        }
        let is_lettered = page.byte(token.start).is_ascii_alphabetic();
        let code = if is_lettered { lettered(page, token) } else { numbered(page, token, &streets) };
        if let Some((length, score)) = code {
            past = token.start + length;
            found.push(Entity::new(Kind::ZipCode, token.start..past, score));
        }
    }
}

fn is_joined(page: &Page<'_>, start: usize) -> bool {
    let before = page.before(start);
    let is_country = before == b'-'
        && page.before(start.saturating_sub(1)).is_ascii_uppercase()
        && page.behind(start, 4).trim_start().len() <= 3;
    matches!(before, b'.' | b'-' | b'_' | b'/' | b'#' | b'$' | b'+') && !is_country
        || before == b',' && page.before(start.saturating_sub(1)).is_ascii_digit()
}

/// A code that begins with a letter, its length and its score.
fn lettered(page: &Page<'_>, token: &Token) -> Option<(usize, f32)> {
    if !matches!(token.len(), 2..=7) {
        return None;
    }
    let text = page.ahead(token.start, 9);
    let cue = page.nearest(token.start, 32, &[Cue::Zip, Cue::Address, Cue::Reference, Cue::Version]);
    if let Some(found) = BRITISH.first(text).filter(|found| !is_longer(page, token.start + found.end)) {
        let is_parted = BRITISH.group(text, 1).is_some_and(|space| !space.is_empty());
        let is_upper = !text.get(found.clone())?.bytes().any(|b| b.is_ascii_lowercase());
        return match (cue, is_parted && is_upper) {
            (Some(Cue::Zip | Cue::Address), _) => Some((found.end, 0.95)),
            (None, true) => Some((found.end, 0.8)),
            _ => None,
        };
    }
    let found = CANADIAN.first(text).filter(|found| !is_longer(page, token.start + found.end))?;
    let is_parted = found.len() == 7;
    match cue {
        Some(Cue::Zip | Cue::Address) => Some((found.end, 0.95)),
        None if is_parted => Some((found.end, 0.75)),
        _ => None,
    }
}

/// A code that begins with a digit, its length and its score.
fn numbered(page: &Page<'_>, token: &Token, streets: &[usize]) -> Option<(usize, f32)> {
    if !matches!(token.len(), 2..=6) || token.digits < 2 {
        return None;
    }
    if let Some(length) = announced(page, token) {
        return Some((length, 0.95));
    }
    let after_street = streets.partition_point(|end| *end <= token.start);
    let street = after_street.checked_sub(1).and_then(|i| streets.get(i)).filter(|end| **end + REACH >= token.start);
    let gap = street.map(|end| page.slice(*end..token.start));
    if let Some(gap) = gap
        && let Some(found) = PARTED.group(page.ahead(token.start, 24), 1)
        && is_between(gap)
    {
        return Some((found.end, 0.85));
    }
    let is_extended = is_extended(page, token);
    let length = token.len() + if is_extended { 5 } else { 0 };
    if is_longer(page, token.start + length) {
        return None;
    }
    if token.len() == 5 && token.is_number() && follows_state(page, token.start) {
        return Some((length, 0.95));
    }
    if is_extended
        && page
            .nearest(
                token.start,
                32,
                &[Cue::Reference, Cue::Version, Cue::Account, Cue::Card, Cue::Licence, Cue::Phone, Cue::Ssn],
            )
            .is_none()
    {
        return Some((length, 0.65));
    }
    if let Some(found) = DUTCH.group(page.ahead(token.start, 24), 1).filter(|_| gap.is_some_and(|gap| gap.len() <= 4)) {
        return Some((found.end, 0.9));
    }
    let gap = gap.filter(|gap| token.is_number() && matches!(token.len(), 4 | 5) && is_between(gap))?;
    let before_town = gap.trim_matches([' ', ',', '\n', '-', 'D', 'F', 'A', 'C', 'H']).is_empty()
        && TOWN.is_match(page.ahead(token.end, 16));
    (before_town || token.len() == 5).then_some((length, 0.8))
}

/// Whether four digits follow the five: ZIP+4.
fn is_extended(page: &Page<'_>, token: &Token) -> bool {
    let more = page.ahead(token.end, 6).strip_prefix('-').unwrap_or_default();
    let is_four = more.len() >= 4 && more.bytes().take(4).all(|byte| byte.is_ascii_digit());
    token.len() == 5 && is_four && !more.as_bytes().get(4).is_some_and(u8::is_ascii_alphanumeric)
}

/// What may stand between a street and its code: a town and a state.
fn is_between(gap: &str) -> bool {
    static BETWEEN: Rule = Rule::new(|| {
        compile(r"\A[.]?[,\s-]*(?:[A-Z]{1,2}-)?(?:(?:\p{Lu}[\p{L}'.]*|de|of|la|del)[,\s-]+){0,5}(?:[A-Z]{1,2}-)?\z")
    });
    BETWEEN.is_match(gap)
}

/// The length of a code that a word such as "ZIP" announces.
fn announced(page: &Page<'_>, token: &Token) -> Option<usize> {
    let word = page.nearest_word(token.start, 32, &[Cue::Zip, Cue::Reference, Cue::Phone])?;
    let is_said = word.cue == Cue::Zip && GAP.is_match(page.slice(word.end..token.start));
    let found = is_said.then(|| ANY.first(page.ahead(token.start, 12)))??;
    (!is_longer(page, token.start + found.end)).then_some(found.end)
}

/// "Springfield, IL 62704": a state's letters after a comma or a capitalised word, or its name.
fn follows_state(page: &Page<'_>, start: usize) -> bool {
    static TOWN_BEFORE: Rule = Rule::new(|| compile(r"(?:,\s?|\p{Lu}\p{Ll}+\.?\s)\z"));
    static ENDS: Rule = Rule::new(|| compile(r"\A\d{5}(?:-\d{4})?(?:[^\w ]|\s*\z|\n)"));
    let before = page.behind(start, 24);
    if let Some(rest) = before.strip_suffix([' ', '-']).map(|rest| rest.trim_end_matches([' ', ','])) {
        let state = rest.get(rest.len().saturating_sub(2)..).unwrap_or_default();
        let town = rest.get(..rest.len().saturating_sub(2)).unwrap_or_default();
        // Without a town only a line of its own: "IN 10000 CASES" names no state.
        let is_alone = (town.is_empty() || town.ends_with('\n')) && ENDS.is_match(page.ahead(start, 12));
        if STATES.contains(&state) && (is_alone || TOWN_BEFORE.is_match(town)) {
            return true;
        }
    }
    STATE_NAME.is_match(before)
}

/// Whether a code that ends at `end` is the start of something longer.
fn is_longer(page: &Page<'_>, end: usize) -> bool {
    let (after, next) = (page.byte(end), page.byte(end + 1));
    after.is_ascii_alphanumeric()
        || after == b'_'
        || matches!(after, b'-' | b'.' | b',' | b'/' | b':') && next.is_ascii_digit()
        || after == b'-' && next.is_ascii_alphabetic()
        || after == b'%'
}
