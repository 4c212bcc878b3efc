//! Telephone numbers (ITU-T E.164; national plans by the phone library, a port of libphonenumber).
//!
//! With a `+` the library decides. Without, the forms that countries print decide, and the library where the form is wide;
//! a word that says "telephone" admits any number of seven to fifteen digits that has no other reading.

use std::ops::Range;

use phonenumber::country::Id;

use super::{
    cues::Cue,
    kind::{Entity, Kind},
    page::{Page, Token},
    rules::{Rule, compile},
};

/// Digits of the shortest local number and of the longest international one (E.164).
const FEWEST: usize = 7;
const MOST: usize = 15;
/// Bytes between a cue word and the number.
const REACH: usize = 44;
/// Groups of digits in a number.
const GROUPS: usize = 8;

/// Forms that are a telephone number wherever they stand, and the region whose plan must know them.
static PRINTED: [(Rule, Option<Id>); 6] = [
    (Rule::new(|| compile(r"\A(?:1[-. ]?)?\([2-9]\d{2}\)[- ]?[2-9]\d{2}[-. ]\d{4}\z")), None),
    (Rule::new(|| compile(r"\A(?:1[-. ])?[2-9]\d{2}[-.][2-9]\d{2}[-.]\d{4}\z")), None),
    (Rule::new(|| compile(r"\A\(?0(?:2\d|1\d1|11\d|1\d{3}|[37]\d{3}|800)\)? \d{3,6}(?: \d{3,4})?\z")), Some(Id::GB)),
    (Rule::new(|| compile(r"\A0[1-79](?:[ .-]\d{2}){4}\z")), Some(Id::FR)),
    (Rule::new(|| compile(r"\A(?:\(0\d{2,4}\) ?|0\d{2,4}[/-] ?)\d{5,8}(?:[- ]\d{1,4})?\z")), Some(Id::DE)),
    (Rule::new(|| compile(r"\A0\d{2,4} \d{6,8}\z")), Some(Id::DE)),
];

/// Plans tried for a number that a word announces; those with a trunk prefix 0 and those without.
const WITH_TRUNK: [Id; 8] = [Id::GB, Id::DE, Id::FR, Id::IN, Id::AU, Id::NL, Id::IT, Id::JP];
const WITHOUT_TRUNK: [Id; 7] = [Id::US, Id::IN, Id::ES, Id::CN, Id::PL, Id::BR, Id::MX];

/// Adds the telephone numbers of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    let mut past = 0;
    for index in 0..page.tokens.len() {
        let Some(run) = Run::at(page, index).filter(|run| run.start >= past) else { continue };
        // "020 7946 0018 or 020 7946 0019": what follows a number closely is one as well.
        let link = page.slice(past..run.start);
        let is_next = past > 0 && link.len() <= 8 && !link.contains(['\n', '.', ';']) && !has_digit(link);
        if let Some((range, score)) = run.number(page, is_next) {
            past = range.end;
            found.push(Entity::new(Kind::PhoneNumber, range, score));
        }
    }
}

/// Groups of digits that may be one number.
struct Run {
    start: usize,
    is_international: bool,
    /// Where each group ends, and the digits until there.
    ends: Vec<(usize, usize)>,
}

impl Run {
    /// The groups from token `first` on, if a number may begin there.
    fn at(page: &Page<'_>, first: usize) -> Option<Self> {
        let tokens = page.tokens.get(first..)?;
        let head = tokens.first().filter(|token| token.is_number() && token.len() <= MOST)?;
        let (start, is_international) = opening(page, head)?;
        let mut run = Self { start, is_international, ends: Vec::new() };
        let mut last: Option<&Token> = None;
        let mut digits = 0;
        for token in tokens.iter().take(GROUPS) {
            let joins = last.is_none_or(|last| is_gap(page.slice(last.end..token.start)));
            if !token.is_number() || !joins || digits + token.len() > MOST {
                break;
            }
            digits += token.len();
            run.ends.push((token.end, digits));
            last = Some(token);
        }
        (digits >= FEWEST).then_some(run)
    }

    /// The number that the run begins with.
    fn number(&self, page: &Page<'_>, is_next: bool) -> Option<(Range<usize>, f32)> {
        let cue = if is_next { Context::Phone } else { Context::of(page, self) };
        if cue == Context::Other {
            return None;
        }
        let tries = self.ends.iter().rev().filter(|(_, digits)| *digits >= FEWEST);
        tries.take(4).find_map(|&(end, digits)| {
            if is_joined(page, end)
                || cue == Context::Silent && !self.is_international && is_in_row(page, self.start, end)
            {
                return None;
            }
            let text = page.slice(self.start..end);
            let score =
                if self.is_international { international(page, text, cue) } else { national(page, text, digits, cue) };
            score.map(|score| (self.start..end, score))
        })
    }
}

/// What the words beside a number say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Context {
    /// It is a telephone number.
    Phone,
    /// The same, but another number stands between.
    Distant,
    /// Nothing.
    Silent,
    /// It is something else.
    Other,
}

impl Context {
    fn of(page: &Page<'_>, run: &Run) -> Self {
        let cues = [
            Cue::Phone,
            Cue::Reference,
            Cue::Card,
            Cue::Ssn,
            Cue::Account,
            Cue::Passport,
            Cue::Licence,
            Cue::Version,
            Cue::Zip,
        ];
        let end = run.ends.last().map_or(run.start, |(end, _)| *end);
        static AFTER: Rule = Rule::new(|| {
            compile(
                r"(?i)\A\s?(?:\((?:cell|mobile|home|work|office|phone|tel|fax|mobil|whatsapp|landline|handy)|x\d|ext)|(?i)\A\s(?:is my|ist meine|c'est mon|est mon|es mi) (?:number|phone|cell|nummer|handy|num)",
            )
        });
        let word = page.nearest_word(run.start, REACH, &cues);
        match word.map(|word| word.cue) {
            _ if AFTER.is_match(page.ahead(end, 24)) => Self::Phone,
            Some(Cue::Phone) if word.is_some_and(|word| has_digit(page.slice(word.end..run.start))) => Self::Distant,
            Some(Cue::Phone) => Self::Phone,
            // "+" and a country's code are stronger than a word that often has another meaning.
            Some(_) if run.is_international => Self::Silent,
            Some(_) => Self::Other,
            None => Self::Silent,
        }
    }
}

/// Where a number that begins with `head` begins, with its plus sign and parenthesis, and whether it is international.
fn opening(page: &Page<'_>, head: &Token) -> Option<(usize, bool)> {
    let mut start = head.start;
    if page.before(start) == b'(' {
        start -= 1;
    }
    if page.before(start) == b'+' {
        start -= 1;
        if page.before(start) == b'(' && page.byte(head.end) == b')' {
            start -= 1;
        }
        return (!page.before(start).is_ascii_alphanumeric()).then_some((start, true));
    }
    let before = page.before(start);
    let inner = page.before(start.saturating_sub(1));
    let is_joined = matches!(before, b'-' | b'.' | b'/' | b'_' | b',' | b'*' | b'^') && inner.is_ascii_alphanumeric();
    let is_money = matches!(before, b'$' | b'#' | b'%' | b'=' | b'@') && before != b'='
        || page.behind(start, 4).ends_with(['€', '£', '¥', '₹', '№']);
    // "1 234 567 890": the rest of a number whose first group opened none.
    let is_rest = before == b' ' && inner.is_ascii_digit() && !page.slice(start..head.start).contains('(');
    // "(657) * 555-4222": a factor or a term.
    let is_term = matches!(page.behind(start, 2).as_bytes(), [b'*' | b'+' | b'=' | b'^' | b'<' | b'>', b' ']);
    (!is_joined && !is_money && !is_term && !is_rest && !before.is_ascii_alphanumeric()).then_some((start, false))
}

/// Whether `gap` may part two groups of one number.
fn is_gap(gap: &str) -> bool {
    matches!(gap, "" | " " | "-" | "." | "/" | ") " | ")" | ")-" | " (" | "(" | " - " | "-(" | ") - " | ")." | " )")
}

/// Whether what begins at `end` goes on the number into a word, a sum or a decimal.
fn is_joined(page: &Page<'_>, end: usize) -> bool {
    static ON: Rule = Rule::new(|| compile(r"\A(?:[-._/:][A-Za-z0-9]|\s?[*+×÷=^%€$£]\s?\d?|,\d{3}|[A-Za-z])"));
    static EXTENSION: Rule = Rule::new(|| compile(r"(?i)\A(?:x\s?\d|ext)"));
    let text = page.ahead(end, 8);
    ON.is_match(text) && !EXTENSION.is_match(text)
}

/// Whether more numbers stand before or behind: "30 0a 01 02 03 04 05 06".
fn is_in_row(page: &Page<'_>, start: usize, end: usize) -> bool {
    static BEFORE: Rule = Rule::new(|| compile(r"(?:\A|[\s,\x22'(\[])[0-9a-fA-F]{0,3}[0-9][0-9a-fA-F]? \z"));
    static BEHIND: Rule = Rule::new(|| compile(r"\A (?:[0-9a-fA-F]{2}\b|\d+\b)"));
    BEFORE.is_match(page.behind(start, 7)) || BEHIND.is_match(page.ahead(end, 8))
}

/// A number with its country's code.
fn international(page: &Page<'_>, text: &str, cue: Context) -> Option<f32> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let dialled = dialled_abroad(text);
    let is_known = match ask(page) {
        true => phonenumber::parse(None, format!("+{dialled}")).is_ok_and(|number| number.is_valid()),
        false => true,
    };
    match (is_known, cue) {
        (true, _) => Some(0.95),
        (false, Context::Phone | Context::Distant) if digits.len() >= 8 => Some(0.75),
        // Numbers kept for fiction ("+1 555 ...") have the form but no subscriber.
        (false, _) if FICTION.is_match(text) => Some(0.7),
        _ => None,
    }
}

static FICTION: Rule = Rule::new(|| {
    compile(r"\A\+(?:1[-. ]?\(?[2-9]\d{2}\)?[-. ]?[2-9]\d{2}[-. ]?\d{4}|44 ?(?:\(0\))?7\d{3} ?\d{3} ?\d{3})\z")
});

/// The digits without the trunk prefix, which is not dialled from abroad: "+44 (0)20 ...".
fn dialled_abroad(text: &str) -> String {
    text.replace("(0)", "").chars().filter(char::is_ascii_digit).collect()
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// A number as dialled within its country.
fn national(page: &Page<'_>, text: &str, digits: usize, cue: Context) -> Option<f32> {
    static DATE: Rule = Rule::new(|| {
        compile(
            r"\A(?:(?:19|20)\d{2}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)\d{2}|(?:19|20)\d{6}|\d{3}-\d{2}-\d{4}|(?:19|20)\d{2} ?- ?(?:19|20)\d{2}|\d{1,3}(?:\.\d{1,3}){3}\z|\d{1,3}\.\d+\z|[1-9]\d?(?: \d{3})+\z)",
        )
    });
    if DATE.is_match(text) {
        return None;
    }
    let dialled: String = text.chars().filter(char::is_ascii_digit).collect();
    let distinct = dialled.bytes().collect::<std::collections::BTreeSet<_>>().len();
    if distinct < 2 {
        return None;
    }
    if let Some((_, region)) = PRINTED.iter().find(|(form, _)| form.is_match(text)) {
        let is_known = region.is_none_or(|region| knows(page, region, &dialled));
        let is_said = matches!(cue, Context::Phone | Context::Distant);
        if is_known || is_said {
            return Some(if is_said { 0.95 } else { 0.75 });
        }
    }
    if cue == Context::Silent {
        return None;
    }
    let dialled = if text.contains("(0)") { dialled_abroad(text) } else { dialled };
    if let Some(dialled) = dialled.strip_prefix("00").filter(|d| d.len() >= 8) {
        return Some(if !ask(page) || phonenumber::parse(None, format!("+{dialled}")).is_ok_and(|n| n.is_valid()) {
            0.95
        } else {
            0.6
        });
    }
    let plans: &[Id] = if dialled.starts_with('0') { &WITH_TRUNK } else { &WITHOUT_TRUNK };
    let least = if cue == Context::Distant { 10 } else { 8 };
    if digits >= least && plans.iter().any(|plan| knows(page, *plan, &dialled)) {
        return Some(0.9);
    }
    // A local number, or one that no plan has: the word beside it speaks.
    let is_written = text.contains([' ', '-', '.', '/']) || digits >= 9;
    let ends_long = text.bytes().rev().take(3).all(|byte| byte.is_ascii_digit());
    (cue == Context::Phone && is_written && ends_long && digits <= 13).then_some(0.65)
}

/// Whether the plan of `region` has the number; yes where the text has used up its questions.
fn knows(page: &Page<'_>, region: Id, dialled: &str) -> bool {
    !ask(page)
        || phonenumber::parse(Some(region), dialled)
            .is_ok_and(|number| number.is_valid() && number.country().id() == Some(region))
}

/// Uses one of the text's questions to the library; says whether there was one.
fn ask(page: &Page<'_>) -> bool {
    let left = page.lookups.get();
    page.lookups.set(left.saturating_sub(1));
    left > 0
}
