//! Secrets: services' keys by their prefixes, tokens, passwords that are assigned, and private keys in PEM.

use std::ops::Range;

use super::{
    cues::{Cue, Word},
    kind::{Entity, Kind},
    page::Page,
    rules::{Rule, compile},
};

/// The longest secret, and the longest PEM block (an RSA key of 16,384 bits has 13,000 bytes).
const LONGEST: usize = 4_096;
/// The shortest key of a service.
const SHORTEST: usize = 19;
const BLOCK: usize = 32_768;

/// The first letters of what [`SERVICE`] reads.
#[rustfmt::skip]
pub(super) const PREFIXES: &[&str] = &[
    "sk-", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_", "whsec_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "ASIA", "xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "xoxe.", "xapp-", "AIza", "ya29.", "GOCSPX-",
    "glpat-", "gldt-", "glrt-", "npm_", "pypi-", "hf_", "SG.", "dop_v1_", "doo_v1_", "shpat_", "shpss_", "shpca_", "sq0atp-", "sq0csp-", "dckr_pat_", "lin_api_", "ntn_", "r8_", "gsk_", "xai-", "pplx-", "AGE-SECRET-KEY-1", "eyJ", "hooks.slack.com/services/",
    "hvs.", "key-", "EAAC", "rubygems_", "NRAK-", "dapi", "figd_", "sntrys_", "sbp_", "PMAK-", "tfp_", "ATATT3x", "glsa_", "secret_", "nvapi-", "jina_", "tvly-", "pk-lf-",
];

/// What services publish of their keys' forms.
static SERVICE: Rule = Rule::new(|| {
    compile(concat!(
        r"\A(?:sk-(?:proj-|ant-[a-z0-9]+-|or-v1-|svcacct-|admin-|lf-|None-)?[A-Za-z0-9_-]{16,200}|pk-lf-[0-9a-f-]{36}|[srp]k_(?:live|test)_[A-Za-z0-9]{16,120}|whsec_[A-Za-z0-9+/=]{24,80}",
        r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}|A[KS]IA[A-Z0-9]{16}\b|xox[abeprs][-.][A-Za-z0-9.-]{10,250}|xapp-\d-[A-Za-z0-9-]{20,200}",
        r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,400}|GOCSPX-[A-Za-z0-9_-]{20,40}|gl(?:pat|dt|rt)-[A-Za-z0-9_.-]{20,80}|glsa_[A-Za-z0-9_]{32,60}|npm_[A-Za-z0-9]{36}\b|pypi-[A-Za-z0-9_-]{40,400}|hf_[A-Za-z0-9]{30,60}\b",
        r"|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}|do[op]_v1_[a-f0-9]{64}|shp(?:at|ss|ca)_[a-fA-F0-9]{32}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,50}|dckr_pat_[A-Za-z0-9_-]{20,60}|lin_api_[A-Za-z0-9]{32,60}|ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{40,50}\b",
        r"|r8_[A-Za-z0-9]{30,50}|gsk_[A-Za-z0-9]{40,80}|xai-[A-Za-z0-9]{40,120}|pplx-[A-Za-z0-9]{32,80}|nvapi-[A-Za-z0-9_-]{40,90}|jina_[A-Za-z0-9_-]{40,80}|tvly-[A-Za-z0-9-]{24,60}|AGE-SECRET-KEY-1[A-Z0-9]{58}",
        r"|eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{4,3000}\.[A-Za-z0-9_-]{10,700}|hooks\.slack\.com/services/T[A-Z0-9]{6,14}/B[A-Z0-9]{6,14}/[A-Za-z0-9]{18,32}",
        r"|hvs\.[A-Za-z0-9_-]{24,200}|key-[a-f0-9]{32}\b|EAAC[A-Za-z0-9]{40,250}|rubygems_[a-f0-9]{48}|NRAK-[A-Z0-9]{27}|dapi[a-f0-9]{32}\b|figd_[A-Za-z0-9_-]{30,60}|sntrys_[A-Za-z0-9_=+/]{40,300}|sbp_[a-f0-9]{40}|PMAK-[a-f0-9]{24}-[a-f0-9]{34}|tfp_[A-Za-z0-9]{40,70}|ATATT3x[A-Za-z0-9_=-]{40,250})"
    ))
});

/// "Bearer ..." and "Basic ..." of an Authorization header.
static BEARER: Rule = Rule::new(|| compile(r"\A\s+([A-Za-z0-9._~+/-]{16,4000}=*)"));

/// What follows a word such as `password`: the rest of the name, a sign, a quote, the value.
static QUOTED: Rule = Rule::new(|| {
    compile(r#"\A(?:[A-Za-z0-9_-]{0,24}["'`\])]{0,2}\s*(?::=|=>|->|[:=])|["'],)\s*\\?["'`]([^"'`\s\\]{6,512})\\?["'`]"#)
});
static BARE: Rule =
    Rule::new(|| compile(r#"\A[A-Za-z0-9_-]{0,24}["'`\])]{0,2}\s*(?::=|=>|[:=])\s*([^"'`\s,;<>(){}\[\]|]{6,512})"#));
/// The next field of an URL's query.
static FIELD: Rule = Rule::new(|| compile(r"&[A-Za-z0-9_.-]{1,40}="));
static SPOKEN: Rule = Rule::new(|| {
    compile(
        r#"(?i)\A(?:\s+(?:for|of|to)\s+(?:\S+\s+){1,4}?|\s+)(?:is|was|are|ist|lautet|war|est|es|è|é|set to|changed to|to|=)\s*:?\s*["'`]?([^"'`\s,;<>(){}\[\]]{6,128})"#,
    )
});
/// "postgres://user:secret@host".
static URL: Rule =
    Rule::new(|| compile(r#"[a-z][a-z0-9+.-]{1,20}://[^\s:/@"']{0,64}:([^\s/@"'<>{}$]{3,128})@[A-Za-z0-9.-]"#));

/// Adds the secrets of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    let mut past = 0;
    for word in &page.cues {
        let key = match word.cue {
            Cue::Prefix => service(page, word),
            Cue::Secret => bearer(page, word).or_else(|| assigned(page, word)).or_else(|| pronounced(page, word)),
            Cue::Password => assigned(page, word),
            Cue::Pem if word.start >= past => {
                if let Some(range) = private_key(page, word) {
                    past = range.end;
                    found.push(Entity::new(Kind::PrivateKey, range, Entity::PROVEN));
                }
                None
            }
            _ => None,
        };
        found.extend(key.map(|(range, score)| Entity::new(Kind::ApiKey, range, score)));
    }
    found.extend(bots(page).map(|range| Entity::new(Kind::ApiKey, range, 0.95)));
    if page.text.contains("://") && !page.ats.is_empty() {
        found.extend(logins(page).map(|range| Entity::new(Kind::ApiKey, range, 0.9)));
    }
}

/// The passwords in URLs.
fn logins<'a>(page: &'a Page<'_>) -> impl Iterator<Item = Range<usize>> + 'a {
    page.ats.iter().filter_map(|&at| {
        let text = page.behind(at, 224);
        let begins = text.rfind("://").map(|colon| {
            text.get(..colon)
                .unwrap_or_default()
                .trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "+.-".contains(c))
                .len()
        })?;
        let text = page.slice(at - text.len() + begins..(at + 2).min(page.text.len()));
        let value = URL.group(text, 1)?;
        let first = at + 2 - text.len();
        let is_it = !is_placeholder(text.get(value.clone())?);
        is_it.then_some(first + value.start..first + value.end)
    })
}

fn service(page: &Page<'_>, word: &Word) -> Option<(Range<usize>, f32)> {
    let before = page.before(word.start);
    let text = page.ahead(word.start, LONGEST);
    // Most words that begin so are too short: the pattern need not see them.
    let is_long = text.len() >= SHORTEST && text.bytes().take(SHORTEST).all(|byte| byte.is_ascii_graphic());
    let is_inner = before.is_ascii_alphanumeric() || matches!(before, b'_' | b'/' | b'.' | b'-');
    if !is_long || is_inner && !text.starts_with("hooks.") {
        return None;
    }
    let found = SERVICE.first(text)?;
    let key = text.get(found.clone())?.trim_end_matches(['.', '-']);
    (!is_placeholder(key) && is_random(key, 12)).then(|| (word.start..word.start + key.len(), Entity::PROVEN))
}

fn bearer(page: &Page<'_>, word: &Word) -> Option<(Range<usize>, f32)> {
    let name = page.slice(word.start..word.end);
    if !name.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let text = page.ahead(word.end, LONGEST);
    let value = BEARER.group(text, 1)?;
    let key = text.get(value.clone())?.trim_end_matches('.');
    (is_random(key, 16) && !is_placeholder(key))
        .then(|| (word.end + value.start..word.end + value.start + key.len(), 0.95))
}

/// A long random value right behind a word such as "secret key".
fn pronounced(page: &Page<'_>, word: &Word) -> Option<(Range<usize>, f32)> {
    static VALUE: Rule =
        Rule::new(|| compile(r"\A(?:\s+(?:key|token|is|id))?\s+([A-Za-z0-9+/_=-]{24,200})(?:[\s.,;)]|\z)"));
    let text = page.ahead(word.end, 224);
    let value = VALUE.group(text, 1)?;
    let key = text.get(value.clone())?;
    let is_secret = has_digit(key) && is_random(key, 24) && !is_worded(key) && !is_placeholder(key);
    is_secret.then_some((word.end + value.start..word.end + value.end, 0.8))
}

/// Keys of Telegram's bots: the bot's number, a colon, 35 characters.
fn bots<'a>(page: &'a Page<'_>) -> impl Iterator<Item = Range<usize>> + 'a {
    static BOT: Rule = Rule::new(|| compile(r"\A\d{8,10}:[A-Za-z0-9_-]{35}(?:[^A-Za-z0-9_-]|\z)"));
    page.tokens.iter().filter_map(|token| {
        let is_led = token.is_number() && (8..=10).contains(&token.len()) && page.byte(token.end) == b':';
        let is_bot = is_led && BOT.is_match(page.ahead(token.start, 48));
        let end = token.end + 36;
        (is_bot && is_random(page.slice(token.end + 1..end), 35)).then_some(token.start..end)
    })
}

/// The value that is assigned to a word such as "password" or "api_key".
fn assigned(page: &Page<'_>, word: &Word) -> Option<(Range<usize>, f32)> {
    let text = page.ahead(word.end, 640);
    let next = text
        .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        .trim_start_matches(['"', '\'', '`', ')', ']', ' ']);
    let is_said = word.cue == Cue::Password && text.starts_with(' ');
    let is_set = next.starts_with([':', '=', ',', '-']);
    let (value, is_quoted) = if is_set {
        match QUOTED.group(text, 1) {
            Some(value) => (value, true),
            None => (BARE.group(text, 1)?, false),
        }
    } else if is_said {
        (SPOKEN.group(text.get(..text.floor_char_boundary(220))?, 1)?, false)
    } else {
        return None;
    };
    let key = text.get(value.clone())?;
    let query = if is_quoted { None } else { FIELD.first(key) };
    let key = query.map_or(key, |field| key.get(..field.start).unwrap_or(key));
    let key = if is_quoted { key } else { key.trim_end_matches(['.', ',', '?', ':']) };
    let calls_on = !is_quoted
        && text.as_bytes().get(value.start + key.len()).is_some_and(|byte| matches!(byte, b'(' | b'[' | b'{'));
    let range = word.end + value.start..word.end + value.start + key.len();
    // In `f("password", "urllib2")` the second value is seldom the first one's.
    let is_listed = text.get(..2).is_some_and(|text| text.ends_with(','));
    let is_secret = match word.cue {
        Cue::Password => is_password(key) && !is_listed,
        _ => is_random(key, 12) && has_digit(key) && !is_worded(key),
    };
    // "password: Type = ..." declares a type.
    let is_typed = || text.get(value.start + key.len()..).is_some_and(|rest| rest.trim_start().starts_with('='));
    let is_code = calls_on || !is_quoted && (is_expression(key) || is_typed());
    (is_secret && !is_code && !is_placeholder(key)).then_some((range, if is_quoted { 0.9 } else { 0.85 }))
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Letters with digits or signs, as people choose them.
fn is_password(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let signs =
        text.bytes().filter(|b| b.is_ascii_punctuation() && !matches!(b, b'.' | b'_' | b'-' | b'/' | b'\'')).count();
    let is_code =
        text.contains("()") || text.starts_with(['/', '.', '$', '%', '<']) && digits == 0 || text.contains("://");
    letters > 0 && (digits > 0 || signs > 0) && text.len() >= 6 && !is_code
}

/// Names and types of a program: `module.Type2`, `path::Type`, `&mut key1`, `_ty_2`.
fn is_expression(text: &str) -> bool {
    static NAME: Rule = Rule::new(|| {
        compile(
            r"\A(?:[:&*_].*|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|.*::.*|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|\w+(?:\.\w+)*\.\d+|\d+[iu](?:8|16|32|64))\z",
        )
    });
    NAME.is_match(text)
}

/// Whether most of the text is words, as in `curle_ftp_weird_227_format` and `X509KeyUsageFlags`.
fn is_worded(text: &str) -> bool {
    static WORD: Rule = Rule::new(|| compile(r"[A-Z]?[a-z]{2,}|[A-Z]{4,}"));
    let has_vowel = |word: &str| word.contains(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']);
    let words = WORD.all(text).filter(|word| word.len() >= 3 && text.get(word.clone()).is_some_and(has_vowel));
    words.map(|word| word.len()).sum::<usize>() * 4 >= text.len() * 3
}

/// At least `least` characters that do not repeat as words and fillers do: three bits a character.
fn is_random(text: &str, least: usize) -> bool {
    let is_plain = !has_digit(text) && !text.bytes().any(|b| b.is_ascii_uppercase());
    text.len() >= least && !is_plain && entropy(text) >= 2.9
}

/// Shannon's entropy of the bytes, bits each.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let all = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / all)
        .map(|share| -share * share.log2())
        .sum()
}

/// What documentation writes where a secret goes, and what code writes to fetch one.
fn is_placeholder(text: &str) -> bool {
    static FILLER: Rule = Rule::new(|| {
        compile(concat!(
            r"(?i)(?:\A(?:\$\{|\$\(|\{\{|<|%[A-Z_]+%|\$[A-Z_]+\z|env\.|process\.|os\.|self\.|this\.|config\.|settings\.|secrets\.|vault:|arn:|request\.|args\.|opts\.|params\.|data\.|user\.|req\.|var\.|local\.|module\.|ctx\.|app\.)",
            r"|your[-_ ]?|[-_]here\b|placeholder|redacted|replace[-_]?me|change[-_]?me|dummy|x{5,}|\*{4,}|\.{3}|_goes_|insert[-_]|0{8,}|<[a-z_-]+>|\[|\A(?:pass(?:word|wd|phrase)?|pwd|secret|token|null|none|true|false|undefined|string|required|optional|[a-z]+\.[a-z_.]+)\z|getenv|environ|getpass|https?://)"
        ))
    });
    FILLER.is_match(text)
}

/// The whole block from its head to its end, or to where its text ends.
fn private_key(page: &Page<'_>, word: &Word) -> Option<Range<usize>> {
    static HEAD: Rule = Rule::new(|| compile(r"\A-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----"));
    static END: Rule = Rule::new(|| compile(r"-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----"));
    static BODY: Rule = Rule::new(|| compile(r"\A(?:[A-Za-z0-9+/=\s]|\\[nr]|[A-Za-z-]+: [^\n]{0,120}\n)+"));
    let text = page.ahead(word.start, BLOCK);
    let head = HEAD.first(text)?;
    let rest = text.get(head.end..)?;
    let is_key = |body: &str| body.bytes().filter(u8::is_ascii_alphanumeric).count() >= 40;
    if let Some(end) = END.first(rest) {
        return is_key(rest.get(..end.start)?).then_some(word.start..word.start + head.end + end.end);
    }
    let body = rest.get(BODY.first(rest)?)?.trim_end();
    is_key(body).then_some(word.start..word.start + head.end + body.len())
}
