//! International bank account numbers: lengths by country (ISO 13616, SWIFT's registry) and the check of ISO 7064 mod 97-10.

use super::{
    kind::{Entity, Kind},
    page::Page,
};

/// The longest number, and the most bytes that it takes with a separator after each four characters.
const MOST: usize = 34;
const WRITTEN: usize = MOST + MOST / 2;

/// Countries and the length of their numbers (SWIFT IBAN Registry, release 99).
#[rustfmt::skip]
const LENGTHS: &[(&str, usize)] = &[
    ("AD", 24), ("AE", 23), ("AL", 28), ("AT", 20), ("AZ", 28), ("BA", 20), ("BE", 16), ("BG", 22), ("BH", 22), ("BI", 27), ("BR", 29), ("BY", 28), ("CH", 21),
    ("CR", 22), ("CY", 28), ("CZ", 24), ("DE", 22), ("DJ", 27), ("DK", 18), ("DO", 28), ("EE", 20), ("EG", 29), ("ES", 24), ("FI", 18), ("FK", 18), ("FO", 18),
    ("FR", 27), ("GB", 22), ("GE", 22), ("GI", 23), ("GL", 18), ("GR", 27), ("GT", 28), ("HN", 28), ("HR", 21), ("HU", 28), ("IE", 22), ("IL", 23), ("IQ", 23),
    ("IS", 26), ("IT", 27), ("JO", 30), ("KW", 30), ("KZ", 20), ("LB", 28), ("LC", 32), ("LI", 21), ("LT", 20), ("LU", 20), ("LV", 21), ("LY", 25), ("MC", 27),
    ("MD", 24), ("ME", 22), ("MK", 19), ("MN", 20), ("MR", 27), ("MT", 31), ("MU", 30), ("NI", 28), ("NL", 18), ("NO", 15), ("OM", 23), ("PK", 24), ("PL", 28),
    ("PS", 29), ("PT", 25), ("QA", 29), ("RO", 24), ("RS", 22), ("RU", 33), ("SA", 24), ("SC", 31), ("SD", 18), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27),
    ("SO", 23), ("ST", 25), ("SV", 28), ("TL", 23), ("TN", 24), ("TR", 26), ("UA", 29), ("VA", 22), ("VG", 24), ("XK", 20), ("YE", 30),
];

/// Adds the account numbers of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    for token in &page.tokens {
        let head = (page.byte(token.start), page.byte(token.start + 1), page.byte(token.start + 2));
        let is_country = head.0.is_ascii_alphabetic() && head.1.is_ascii_alphabetic() && head.2.is_ascii_digit();
        if token.len() >= 4
            && is_country
            && let Some(end) = account(page, token.start)
        {
            found.push(Entity::new(Kind::IbanCode, token.start..end, Entity::PROVEN));
        }
    }
}

/// The end of the account number that begins at `start`.
fn account(page: &Page<'_>, start: usize) -> Option<usize> {
    let country = page.slice(start..start + 2).to_ascii_uppercase();
    let &(_, length) = LENGTHS.iter().find(|(name, _)| *name == country)?;
    let mut digits = String::with_capacity(length);
    let mut end = start;
    for (at, byte) in page.ahead(start, WRITTEN).bytes().enumerate() {
        match byte {
            b if b.is_ascii_alphanumeric() => digits.push(char::from(b.to_ascii_uppercase())),
            b' ' | b'-' | b'.' if start + at > end || page.byte(start + at + 1).is_ascii_alphanumeric() => continue,
            _ => return None,
        }
        end = start + at + 1;
        if digits.len() == length {
            break;
        }
    }
    let ends = digits.len() == length && !page.byte(end).is_ascii_alphanumeric();
    (ends && mod97(&digits) == Some(1)).then_some(end)
}

/// The number with its first four characters moved to the end, letters as 10 to 35, modulo 97 (ISO 7064).
fn mod97(digits: &str) -> Option<u32> {
    let moved = digits.chars().skip(4).chain(digits.chars().take(4));
    moved.map(|c| c.to_digit(36)).try_fold(0, |rest, value| {
        let value = value?;
        Some((rest * if value > 9 { 100 } else { 10 } + value) % 97)
    })
}
