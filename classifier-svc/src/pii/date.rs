//! Days of birth: a date beside a word that says so.

use std::ops::Range;

use super::{
    cues::{Cue, Word},
    kind::{Entity, Kind},
    page::Page,
    rules::{Rule, compile},
};

/// Bytes between the word and its date.
const REACH: usize = 40;
/// The longest written date.
const LONGEST: usize = 40;

/// Names of the months in English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish and Polish.
macro_rules! month {
    () => {
        concat!(
            r"(?:jan(?:uary|uar|vier)?|january|jänner|enero|ene|gennaio|gen|janeiro|januari|stycznia|feb(?:ruary|ruar|ruari)?|february|février|fevrier|févr|febrero|febbraio|fevereiro|fev|lutego",
            r"|mar(?:ch|s|zo|ço|t)?|märz|maerz|mrz|maart|marca|apr(?:il|ile)?|avril|avr|abril|abr|kwietnia|may|mai|mayo|maggio|mag|maio|mei|maj|maja",
            r"|june?|juni|juin|junio|giugno|giu|junho|czerwca|july?|juli|juillet|juil|julio|luglio|lug|julho|lipca|aug(?:ust|usti|ustus)?|août|aout|agosto|ago|sierpnia",
            r"|sept(?:ember|embre|iembre)?|sep|setiembre|settembre|set|setembro|september|września|oct(?:ober|obre|ubre)?|okt(?:ober)?|ottobre|ott|outubro|out|oktober|października",
            r"|nov(?:ember|embre|iembre|embro)?|noviembre|listopada|dec(?:ember|embre)?|dez(?:ember|embro)?|décembre|déc|diciembre|dic(?:embre)?|grudnia)"
        )
    };
}

static DATE: Rule = Rule::new(|| {
    compile(concat!(
        r"(?i)\b(?:",
        // 1985-03-12
        r"(?:19|20)\d{2}\s?[-/.]\s?(?:0?[1-9]|1[0-2])\s?[-/.]\s?(?:3[01]|[12]\d|0?[1-9])\b",
        // 12.03.1985, 3/12/85
        r"|(?:3[01]|[12]\d|0?[1-9])\s?[-/.]\s?(?:3[01]|[12]\d|0?[1-9])\s?[-/.]\s?(?:(?:19|20)\d{2}|\d{2})\b",
        r"|(?:3[01]|[12]\d|0?[1-9]) (?:1[0-2]|0?[1-9]) (?:19|20)\d{2}\b",
        // 12 March 1985, 12th of March, 12. März 1985, 12 de marzo de 1985
        r"|(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th|\.|er|ers|º|°|ª)?(?:[ \t]+(?:of|de|di|do))?(?:[ \t]+|-|/|\.)",
        month!(),
        r"\b\.?,?(?:(?:[ \t]+(?:de|del|do))?[ \t/-]+(?:(?:19|20)\d{2}\b|'\d{2}\b|\d{2}\b))?",
        // March 12, 1985
        r"|",
        month!(),
        r"\.?[ \t-]+(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?\b(?:,?[ \t-]+(?:(?:19|20)\d{2}|'\d{2})\b)?",
        // 1985 March 12
        r"|(?:19|20)\d{2}[ \t,-]+",
        month!(),
        r"\.?[ \t-]+(?:3[01]|[12]\d|0?[1-9])\b",
        // 1985年3月12日, 1985년 3월 12일
        r"|(?:19|20)\d{2}\s?[年년]\s?\d{1,2}\s?[月월]\s?\d{1,2}\s?[日일]",
        // 19850312, 12031985
        r"|(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\b|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d{2}\b",
        r")"
    ))
});

/// Adds the days of birth of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    for word in page.cues.iter().filter(|word| word.cue == Cue::Birth) {
        let date = before(page, word, &SAID).or_else(|| after(page, word)).or_else(|| before(page, word, &BESIDE));
        found.extend(date.map(|(range, score)| Entity::new(Kind::DateOfBirth, range, score)));
    }
}

/// The date that follows the word.
fn after(page: &Page<'_>, word: &Word) -> Option<(Range<usize>, f32)> {
    static OTHER: Rule =
        Rule::new(|| compile(r"(?i)\A\s(?:party|cake|gift|card|present|celebration|bash|rate|rates|control|in)\b"));
    static STOP: Rule = Rule::new(|| {
        compile(
            r"\d|[!?;]|\.\s+\p{Lu}|\n\s*\n|(?i:\b(?:died|dead|married|joined|hired|expires?|issued|graduated|gestorben|mort|décédée?)\b)",
        )
    });
    let text = page.ahead(word.end, REACH + LONGEST);
    if !has_digit(text) || OTHER.is_match(text) && word.end - word.start > 5 {
        return None;
    }
    let date = DATE.first(text)?;
    let gap = text.get(..date.start)?;
    let is_near = date.start <= REACH && !STOP.is_match(gap.trim_start_matches('.'));
    (is_near && is_whole(text, &date))
        .then(|| (word.end + date.start..word.end + date.end, score(text.get(date).unwrap_or_default())))
}

/// "March 12 is my": a verb between a date and its word.
static SAID: Rule = Rule::new(|| {
    compile(
        r"(?i)\A\s*,?\s+(?:is|was|as|=|is listed as|ist|est|es)\s+(?:my|his|her|their|the|our|\w+'s|mein|sein|ihr|ma|mon|mi|[\w' ]{1,16})?\s*\z",
    )
});
/// "12/03/1985 (": nothing but a sign.
static BESIDE: Rule = Rule::new(|| compile(r"\A\s*[(\[,:-]?\s*\z"));

/// The date right before the word: "12/03/1985 (date of birth)", "March 12 is my birthday".
fn before(page: &Page<'_>, word: &Word, link: &Rule) -> Option<(Range<usize>, f32)> {
    let text = page.behind(word.start, LONGEST + 24);
    if !has_digit(text) {
        return None;
    }
    let date = DATE.all(text).last()?;
    let is_linked = link.is_match(text.get(date.end..)?) && is_whole(text, &date);
    let begins = word.start - text.len() + date.start;
    // The date of another word: "born 1990-01-01, birthday cake".
    let other = page.nearest_word(begins, 16, &[Cue::Birth]);
    let is_taken = other.is_some_and(|other| !page.slice(other.end..begins).contains('\n'));
    (is_linked && !is_taken).then(|| (begins..begins + date.len(), score(text.get(date).unwrap_or_default())))
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Not the start of an older date or of a longer number: who was born before 1900 has no data to protect.
fn is_whole(text: &str, date: &Range<usize>) -> bool {
    static ON: Rule = Rule::new(|| compile(r"\A(?:[-/.]?\d|[-/]\w)"));
    static YEAR: Rule = Rule::new(|| compile(r"\A,?[ \t]+(?:de\s+|del\s+)?\d{3,4}\b"));
    let before = text.get(..date.start).unwrap_or_default();
    let joined = before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '$' | '#'));
    let is_day = text.get(date.clone()).is_some_and(|date| date.bytes().filter(u8::is_ascii_digit).count() <= 2);
    !joined && !text.get(date.end..).is_some_and(|rest| ON.is_match(rest) || is_day && YEAR.is_match(rest))
}

/// With its year a date is nearly sure.
fn score(date: &str) -> f32 {
    if date.bytes().filter(u8::is_ascii_digit).count() > 3 { 0.95 } else { 0.7 }
}
