//! Streets with house numbers, as written in the United States, the United Kingdom and a part of Europe.

use std::ops::Range;

use super::{
    cues::Cue,
    kind::{Entity, Kind},
    page::{Page, Token},
    rules::{Rule, compile},
};

/// The longest street after its number, and before it.
const AHEAD: usize = 96;
const BEHIND: usize = 64;

macro_rules! suffix {
    () => {
        r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way|Parkway|Pkwy|Circle|Cir|Highway|Hwy|Close|Crescent|Cres|Gardens|Grove|Mews|Row|Hill|Alley|Trail|Trl|Plaza|Plz|Loop|Walk|Quay|Wharf|Rise|Turnpike|Tpke|Expressway|Expy|Freeway|Fwy|Esplanade|Parade|Embankment|Green|Heights|Ridge|Run|Path|Pike|Crossing|Xing|Cove|Point|Pt|Bend|Broadway)"
    };
}
macro_rules! wind {
    () => {
        r"(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West|Northeast|Northwest|Southeast|Southwest|N\.E\.|N\.W\.|S\.E\.|S\.W\.)"
    };
}
macro_rules! unit {
    () => {
        r"(?:,?[ \t]+(?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|Bldg|Building|Lot|Trlr|apt|apartment|suite|ste|unit|flat)\b\.? ?#? ?[A-Za-z0-9-]{1,6}\b|#\s?[A-Za-z0-9-]{1,6}\b))?"
    };
}

/// Number, capitalised words, a kind of street, a wind, a unit.
static ENGLISH: Rule = Rule::new(|| {
    compile(concat!(
        r"\A(?:\d{1,6}[A-Za-z]?(?:\s?-\s?\d{1,5})?(?:\s1/2)?),?[ \t]+(?:",
        wind!(),
        r"\.?[ \t]+)?(?:",
        r"(?:[A-Z](?:\w{0,3}\.|[\w'-]*)|\d{1,3}(?:st|nd|rd|th|ST|ND|RD|TH))[ \t]+",
        r"(?:(?:[A-Z](?:\w{0,3}\.|[\w'-]*)|\d{1,3}(?:st|nd|rd|th|ST|ND|RD|TH)|of|the|de|la|del|los|las|du|and|upon|on)[ \t]+){0,4}((?i:",
        suffix!(),
        r"))\b|Broadway\b)\.?",
        r"(?:[ \t]+",
        wind!(),
        r"\b)?",
        unit!()
    ))
});

/// The same in small letters; only beside a word that announces an address.
static SMALL: Rule = Rule::new(|| {
    compile(concat!(
        r"(?i)\A\d{1,6}[a-z]?[ \t]+(?:",
        wind!(),
        r"[ \t]+)?(?:(?:[a-z][\w'.-]*|\d{1,3}(?:st|nd|rd|th))[ \t]+){1,3}?",
        r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|terrace|court|ct|parkway|pkwy|place|way|circle|crescent|close|square)\b\.?(?:[ \t]+",
        wind!(),
        r"\b)?",
        unit!()
    ))
});

/// "12 bis, rue de la Paix".
static FRENCH: Rule = Rule::new(|| {
    compile(concat!(
        r"\A\d{1,4}(?:\s?(?:bis|ter|quater|[A-Da-d]\b))?,?[ \t]+(?i:rue|avenue|av\.|boulevard|bd|bld|blvd|place|pl\.|chemin|allée|allee|allées|impasse|quai|cours|route|passage|ruelle|sentier|square|faubourg|villa)[ \t]+",
        r"(?:(?:de|du|des|la|le|les|à|au|aux|sous|sur|et|en)[ \t]+|[dl]')*[\p{Lu}\d](?:\p{L}{0,3}\.|[\p{L}\d'-]*)(?:(?:(?:[ \t]+|-)(?:de|du|des|la|le|les|et|sur|sous|en))*(?:[ \t]+|-)(?:[dl]')?\p{Lu}(?:\p{L}{0,3}\.|[\p{L}'-]*)){0,4}"
    ))
});

/// The word before a house number: "Hauptstraße", "Karl-Marx-Allee", "Berliner Str.", "Kerkstraat", "Storgatan".
static GERMANIC: Rule = Rule::new(|| {
    compile(concat!(
        r"(?:\p{Lu}[\p{L}.-]*(?:straße|strasse|str\.|Straße|Strasse|Str\.|weg|Weg|platz|Platz|allee|Allee|gasse|Gasse|damm|Damm|ufer|Ufer|chaussee|Chaussee|promenade|-Ring|straat|laan|gracht|plein|kade|singel|gatan|vägen|vej|gade|veien|katu)",
        r"|(?:\p{Lu}[\p{L}.-]*\s){1,3}(?:Straße|Strasse|Str\.|Weg|Platz|Allee|Gasse|Damm|Ufer|Ring|Chaussee)",
        r"|Straße\s(?:der|des|am|zum|zur)\s(?:\p{Lu}[\p{L}.-]*\s?){1,3}|Straße\sdes\s\d{1,2}\.\s\p{Lu}\p{L}+|Unter den Linden)\s?\z"
    ))
});

/// "Am Markt", "An der Alster": only before a postal code.
static GERMAN_PLACE: Rule = Rule::new(|| {
    compile(
        r"\b(?:Am|An der|An den|Im|In der|Auf der|Auf dem|Zum|Zur|Beim|Hinter der)\s\p{Lu}[\p{L}-]+(?:\s\p{Lu}[\p{L}-]+)?\s\z",
    )
});
static POSTAL: Rule = Rule::new(|| compile(r"\A[,\n]?\s*(?:[A-Z]{1,2}-)?\d{4,5}\s\p{Lu}"));

/// The kind of street first, the number last: Spanish, Portuguese, Italian, Polish.
static ROMANCE: Rule = Rule::new(|| {
    compile(concat!(
        r"(?:^|[\s(:,;'\x22])((?:[Cc]alle|C/|c/|[Aa]venida|[Aa]vda\.?|[Aa]v\.|[Pp]aseo|[Pp]laza|[Cc]arrer|[Rr]ua|Via|Viale|Piazza|Corso|Largo|Vicolo|[Tt]ravessa|[Pp]raça|[Aa]lameda|[Cc]arrera|ul\.|[Uu]lica|[Aa]l\.|[Aa]leja)\s*",
        r"(?:(?:de|del|della|dei|degli|delle|di|da|do|dos|das|la|las|los|el|san|santa|dell')\s*)*\p{Lu}[\p{L}'.-]*(?:[ \t]+(?:(?:de|del|della|dei|di|da|do|dos|das|e|y|la|las|los|el)\s+)*\p{Lu}[\p{L}'.-]*){0,4}",
        r",?\s+(?:n[.ºo°]{1,2}\s*|núm\.?\s*|nr\.?\s*|#\s?)?)\z"
    ))
});

/// A post box.
static BOX: Rule = Rule::new(|| compile(r"(?:\A|\W)((?i:P\.?\s?O\.?\s?Box)\s+#?)\z"));

/// Adds the streets of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    let mut past = 0;
    for token in page.tokens.iter().filter(|token| token.len() <= 7) {
        if token.start < past || !page.byte(token.start).is_ascii_digit() || token.len() - token.digits > 1 {
            continue;
        }
        if let Some((range, score)) = number_first(page, token).or_else(|| number_last(page, token)) {
            past = range.end;
            found.push(Entity::new(Kind::StreetAddress, range, score));
        }
    }
}

/// A street that follows its number.
fn number_first(page: &Page<'_>, token: &Token) -> Option<(Range<usize>, f32)> {
    let opens = matches!(page.byte(token.end), b' ' | b',' | b'-' | b'\n');
    let before = page.before(token.start);
    let is_sum = matches!(before, b'$' | b'#' | b'.' | b'-' | b'/' | b':' | b',' | b'+' | b'=')
        && !(before == b':' || before == b'=' || before == b',' && page.byte(token.start) != b'0');
    if !opens || is_sum || before.is_ascii_alphanumeric() {
        return None;
    }
    let text = page.ahead(token.start, AHEAD);
    let is_said = || page.nearest(token.start, 40, &[Cue::Address, Cue::Reference, Cue::Phone]) == Some(Cue::Address);
    let (end, score) = match (english(text), FRENCH.first(text)) {
        (Some(found), None) => (found.end, 0.85),
        (_, Some(found)) => (found.end, 0.85),
        (None, None) if is_said() => (SMALL.first(text)?.end, 0.65),
        (None, None) => return None,
    };
    let street = text.get(..end)?.trim_end_matches([' ', ',', '-']);
    // The full stop may as well be the sentence's.
    let street = street.trim_end_matches('.');
    if is_idle(street) || is_year(page, token) && !is_said() {
        return None;
    }
    let start = flat(page, token.start);
    Some((start..token.start + street.len(), score))
}

/// A street whose kind has a capital, or is a plain word for one: "5V TTL drive" is none.
fn english(text: &str) -> Option<Range<usize>> {
    let found = ENGLISH.first(text)?;
    let kind = ENGLISH.group(text, 1).and_then(|kind| text.get(kind)).unwrap_or("Broadway");
    let is_plain = matches!(kind, "street" | "avenue" | "road" | "boulevard" | "lane" | "square" | "terrace");
    (is_plain || kind.starts_with(|c: char| c.is_uppercase())).then_some(found)
}

/// "Flat 3, " before the number belongs to it.
fn flat(page: &Page<'_>, start: usize) -> usize {
    static FLAT: Rule = Rule::new(|| compile(r"(?i)\b(?:flat|apartment|apt\.?|unit)\s\w{1,4},\s?\z"));
    let behind = page.behind(start, 24);
    FLAT.first(behind).map_or(start, |found| start - found.len())
}

/// Phrases that only look like streets: "24 Hour Drive", "20 Google Drive files", "9 Supreme Court".
fn is_idle(street: &str) -> bool {
    static IDLE: Rule = Rule::new(|| {
        compile(concat!(
            r"(?i)(?:\A\d+\s+(?:hours?|days?|years?|months?|weeks?|miles?|minutes?|percent|million|billion|thousand|people|star|way|lane|(?:jan|febr)uary|march|april|may|june|july|august|september|october|november|december|top|best|of|the|and|on|in|more|other|new)\b",
            r"|(?:google|hard|flash|usb|test|pen|tape|disk|thumb|solid|state|ssd|food|whole|fund|one)\s+drive\z|(?:supreme|federal|district|high|circuit|appeals|criminal|county|tennis|food)\s+court\z|milky\s+way\z|(?:first|second|third|1st|2nd|3rd)\s+place\z|(?:market|work|birth)place\z",
            r"|(?:data|starting|end|bullet|power|decimal|check|access|price|basis|focal|view)\s+(?:point|path|run|loop|row|green|bend)\z|(?:while|for|event|feedback|game|inner|outer|main)\s+loop\z|(?:table|data|header|last|next)\s+row\z|(?:file|class|critical|career|root)\s+path\z|wall\s+street\z|sesame\s+street\z)"
        ))
    });
    IDLE.is_match(street)
}

/// "in 1987 Wall Street": a year, not a house.
fn is_year(page: &Page<'_>, token: &Token) -> bool {
    static IN: Rule = Rule::new(|| {
        compile(
            r"(?i)\b(?:in|since|until|of|during|before|after|the|early|late|mid|spring|summer|fall|autumn|winter)\s+\z",
        )
    });
    let year = page.slice(token.start..token.end).parse::<u32>().unwrap_or(0);
    (1500..2100).contains(&year) && IN.is_match(page.behind(token.start, 12))
}

/// A street that its number follows.
fn number_last(page: &Page<'_>, token: &Token) -> Option<(Range<usize>, f32)> {
    if token.len() > 5
        || matches!(page.byte(token.end), b'%' | b'.' | b':') && page.byte(token.end + 1).is_ascii_digit()
        || page.byte(token.end) == b'%'
    {
        return None;
    }
    let gap = page.before(token.start);
    let before = page.behind(token.start, 3).trim_end();
    let is_led =
        matches!(gap, b' ' | b'#' | b'.') && before.ends_with(|c: char| c.is_alphabetic() || ".,#º°'".contains(c));
    if !is_led {
        return None;
    }
    let text = page.behind(token.start, BEHIND);
    let end = house(page, token);
    let end_of = |start: usize| token.start - text.len() + start;
    if let Some(found) = GERMANIC.first(text).filter(|found| !is_site(text.get(found.clone()).unwrap_or_default())) {
        return Some((end_of(found.start)..end, 0.85));
    }
    if let Some(found) = ROMANCE.group(text, 1) {
        return Some((end_of(found.start)..end, 0.85));
    }
    if let Some(found) = BOX.group(text, 1) {
        return Some((end_of(found.start)..token.end, 0.85));
    }
    let found = GERMAN_PLACE.first(text)?;
    POSTAL.is_match(page.ahead(end, 16)).then(|| (end_of(found.start)..end, 0.8))
}

/// The end of the house number: "12a", "12 a", "12-14", "12/3".
fn house(page: &Page<'_>, token: &Token) -> usize {
    static MORE: Rule = Rule::new(|| compile(r"\A(?:\s?[-/]\s?\d{1,4}[a-z]?\b|\s[a-e]\b(?:[,\n.]|\s?\z|\s\d))"));
    static LETTER: Rule = Rule::new(|| compile(r"\A\s[a-e]\b"));
    let text = page.ahead(token.end, 8);
    match MORE.first(text) {
        Some(_) if LETTER.is_match(text) => token.end + 2,
        Some(found) => token.end + found.end,
        None => token.end,
    }
}

/// Words with a street's ending that name none.
fn is_site(street: &str) -> bool {
    static SITE: Rule = Rule::new(|| {
        compile(
            r"(?i)\A(?:arbeitsplatz|parkplatz|sitzplatz|stellplatz|marktplatzierung|bauplatz|spielplatz|heimweg|rückweg|hinweg|radweg|umweg|norweg|startplatz|listenplatz|tabellenplatz|schauplatz|allee|weg|platz|speicherplatz|studienplatz|ausbildungsplatz)\s?\z",
        )
    });
    SITE.is_match(street)
}
