//! Made-up values with the form, and the check digits, of real ones.

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use sha2::{Digest, Sha256};

use super::{generate::pick, templates::Lure, words::Words};
use crate::pii::Kind;

const DECIMAL: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE58: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A value of `kind` for `template`.
pub(super) fn of(kind: Kind, words: &Words, template: &str, rng: &mut StdRng) -> String {
    match kind {
        Kind::EmailAddress => email(words, rng),
        Kind::PhoneNumber => form(words.phone, rng),
        Kind::CreditCard => card(rng),
        Kind::IbanCode => iban(rng),
        Kind::UsSsn => ssn(rng),
        Kind::IpAddress => ip(rng),
        Kind::UsDriverLicense => form(words.licence, rng),
        Kind::StreetAddress => street(words, rng),
        Kind::ZipCode => form(words.zip, rng),
        Kind::DateOfBirth => date(1930, 2010, rng),
        Kind::ApiKey => key(words, template, rng),
        Kind::PrivateKey => pem(rng),
        Kind::UsPassport => form(&["A########", "#########", "X########"], rng),
        Kind::UsBankNumber => form(&["1########", "##########", "############"], rng),
        Kind::CryptoAddress => wallet(rng),
        // Names have no form; their own set tests them.
        Kind::Person | Kind::Organization | Kind::Location => String::new(),
    }
}

/// What only looks like personal data.
pub(super) fn lure(lure: Lure, rng: &mut StdRng) -> String {
    match lure {
        Lure::Digits => {
            let length = rng.random_range(5..=20);
            fill("1", rng) + &chars(DECIMAL, length - 1, rng)
        }
        Lure::Uuid => [8, 4, 4, 4, 12].map(|n| chars(HEX, n, rng)).join("-"),
        Lure::Hash => {
            let length = *[32, 40, 64].choose(rng).unwrap_or(&40);
            chars(HEX, length, rng)
        }
        Lure::Version => {
            let parts = rng.random_range(2..=4);
            (0..parts).map(|_| rng.random_range(0..40_u32).to_string()).collect::<Vec<_>>().join(".")
        }
        Lure::Time => {
            let day = date(2015, 2026, rng);
            let clock =
                format!("{:02}:{:02}:{:02}", rng.random_range(0..24), rng.random_range(0..60), rng.random_range(0..60));
            if rng.random_bool(0.5) { format!("{day} {clock}") } else { day }
        }
        Lure::Price => fill(
            ["$#,###.##", "€##.###,##", "##.## EUR", "£###", "#,###,### USD", "₹##,###"].choose(rng).unwrap_or(&"$#"),
            rng,
        ),
        Lure::Isbn => {
            let body = "978".to_owned() + &chars(DECIMAL, 9, rng);
            if rng.random_bool(0.5) { body + "3" } else { fill("978-#-##-######-#", rng) }
        }
        Lure::Sum => fill(
            ["555-#### * #", "#### + ####", "### - ## - #### + 1", "(###) * ###-####", "#.## / #.#", "##^#"]
                .choose(rng)
                .unwrap_or(&"1+1"),
            rng,
        ),
        Lure::Loopback => (*[
            "127.0.0.1",
            "0.0.0.0",
            "::1",
            "192.0.2.44",
            "198.51.100.7",
            "203.0.113.9",
            "2001:db8::7:1",
            "127.0.1.1:8080",
        ]
        .choose(rng)
        .unwrap_or(&"::1"))
        .to_owned(),
        Lure::Prose => rng.random_range(1..2100_u32).to_string(),
    }
}

fn chars(of: &str, count: usize, rng: &mut StdRng) -> String {
    let of = of.as_bytes();
    (0..count).filter_map(|_| of.choose(rng)).map(|byte| char::from(*byte)).collect()
}

/// `#` becomes a digit, `%` one from 2 to 9, `A` a capital, `~` a hexadecimal digit, `w` a letter or digit; `\` keeps the next.
fn fill(form: &str, rng: &mut StdRng) -> String {
    let mut filled = String::new();
    let mut form = form.chars();
    while let Some(c) = form.next() {
        match c {
            '#' => filled += &chars(DECIMAL, 1, rng),
            '%' => filled += &chars("23456789", 1, rng),
            'A' => filled += &chars(UPPER, 1, rng),
            '~' => filled += &chars(HEX, 1, rng),
            'w' => filled += &chars(ALNUM, 1, rng),
            '\\' => filled.extend(form.next()),
            c => filled.push(c),
        }
    }
    filled
}

fn form(forms: &[&str], rng: &mut StdRng) -> String {
    let form = pick(forms, rng);
    fill(form, rng)
}

fn email(words: &Words, rng: &mut StdRng) -> String {
    let (first, last) = (pick(words.users, rng), pick(words.users, rng));
    let domain = pick(words.domains, rng);
    let number = rng.random_range(1..99_u32);
    let user = match rng.random_range(0..5) {
        0 => format!("{first}.{last}"),
        1 => format!("{first}{number}"),
        2 => format!("{first}_{last}"),
        3 => format!("{first}+{last}"),
        _ => first.to_owned(),
    };
    format!("{user}@{domain}")
}

fn card(rng: &mut StdRng) -> String {
    let (head, length) = *[
        ("4", 16),
        ("51", 16),
        ("54", 16),
        ("2230", 16),
        ("34", 15),
        ("37", 15),
        ("6011", 16),
        ("65", 16),
        ("3530", 16),
        ("6225", 16),
    ]
    .choose(rng)
    .unwrap_or(&("4", 16));
    let body = head.to_owned() + &chars(DECIMAL, length - 1 - head.len(), rng);
    let number =
        (0..10).map(|check| format!("{body}{check}")).find(|number| super::super::card::luhn(number)).unwrap_or(body);
    let groups: &[usize] = if length == 15 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
    match rng.random_range(0..3) {
        0 => number,
        1 => grouped(&number, groups, " "),
        _ => grouped(&number, groups, "-"),
    }
}

fn grouped(number: &str, groups: &[usize], by: &str) -> String {
    let mut rest = number;
    let mut parts = Vec::new();
    for &size in groups {
        let Some((group, tail)) = rest.split_at_checked(size) else { break };
        parts.push(group);
        rest = tail;
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts.join(by)
}

fn iban(rng: &mut StdRng) -> String {
    let (country, form) = *[
        ("DE", "##################"),
        ("GB", "AAAA##############"),
        ("FR", "#######################"),
        ("ES", "####################"),
        ("NL", "AAAA##########"),
        ("IT", "A######################"),
        ("CH", "#################"),
        ("BE", "############"),
        ("PL", "########################"),
        ("NO", "###########"),
    ]
    .choose(rng)
    .unwrap_or(&("BE", "############"));
    let body = fill(form, rng);
    let rest = format!("{body}{country}00")
        .chars()
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, value| (rest * if value > 9 { 100 } else { 10 } + value) % 97);
    let number = format!("{country}{:02}{body}", 98 - rest);
    match rng.random_range(0..3) {
        0 => grouped(&number, &[4, 4, 4, 4, 4, 4, 4, 4], " "),
        1 => number.to_lowercase(),
        _ => number,
    }
}

fn ssn(rng: &mut StdRng) -> String {
    let (area, group, serial) =
        (rng.random_range(1..=665_u32), rng.random_range(1..=99_u32), rng.random_range(1..=9999_u32));
    let by = ["-", "-", " ", ""].choose(rng).unwrap_or(&"-");
    format!("{area:03}{by}{group:02}{by}{serial:04}")
}

fn ip(rng: &mut StdRng) -> String {
    if rng.random_bool(0.3) {
        let groups: Vec<String> = (0..5).map(|_| format!("{:x}", rng.random_range(1..0xffff_u32))).collect();
        return format!(
            "2a0{:x}:{}::{:x}",
            rng.random_range(0..16_u32),
            groups.join(":"),
            rng.random_range(1..0xffff_u32)
        );
    }
    let first = *[5, 31, 46, 62, 77, 81, 93, 109, 151, 178, 185, 195, 212, 10, 172].choose(rng).unwrap_or(&5);
    format!(
        "{first}.{}.{}.{}",
        rng.random_range(0..256_u32),
        rng.random_range(0..256_u32),
        rng.random_range(1..255_u32)
    )
}

fn street(words: &Words, rng: &mut StdRng) -> String {
    let name = pick(words.streets, rng);
    let form = pick(words.street, rng);
    let (one, german) = (pick(words.streets, rng), pick(words.german, rng));
    let number = rng.random_range(1..9000_u32).to_string();
    let low = rng.random_range(1..200_u32).to_string();
    form.replace("NUM", &number)
        .replace("LOW", &low)
        .replace("NAME", name)
        .replace("OTHER", one)
        .replace("STADT", german)
}

fn date(from: u32, to: u32, rng: &mut StdRng) -> String {
    let (year, month, day) =
        (rng.random_range(from..=to), rng.random_range(1..=12_usize), rng.random_range(1..=28_u32));
    let name = MONTHS.get(month - 1).copied().unwrap_or("May");
    let short = name.get(..3).unwrap_or(name);
    match rng.random_range(0..8) {
        0 => format!("{year}-{month:02}-{day:02}"),
        1 => format!("{month:02}/{day:02}/{year}"),
        2 => format!("{day:02}.{month:02}.{year}"),
        3 => format!("{name} {day}, {year}"),
        4 => format!("{day} {name} {year}"),
        5 => format!("{short} {day} {year}"),
        6 => format!("{day}/{month}/{:02}", year % 100),
        _ => format!("{day}-{short}-{year}"),
    }
}

fn key(words: &Words, template: &str, rng: &mut StdRng) -> String {
    let is_assigned =
        ["API_KEY=", "api_key:", "secret =", "TOKEN=", "x-api-key"].iter().any(|name| template.contains(name));
    if is_assigned && rng.random_bool(0.4) {
        let length = rng.random_range(24..48);
        return chars(if rng.random_bool(0.5) { HEX } else { ALNUM }, length, rng);
    }
    form(words.key, rng)
}

fn pem(rng: &mut StdRng) -> String {
    let name = ["RSA ", "", "EC ", "OPENSSH ", "ENCRYPTED "].choose(rng).unwrap_or(&"");
    let lines: Vec<String> = (0..rng.random_range(2..14)).map(|_| chars(ALNUM, 64, rng)).collect();
    format!("-----BEGIN {name}PRIVATE KEY-----\n{}\n-----END {name}PRIVATE KEY-----", lines.join("\n"))
}

fn wallet(rng: &mut StdRng) -> String {
    if rng.random_bool(0.4) {
        return "0x".to_owned() + &chars(HEX, 40, rng);
    }
    let version = *[0x00_u8, 0x05, 0x30].choose(rng).unwrap_or(&0);
    let mut bytes = vec![version];
    bytes.extend((0..20).map(|_| rng.random::<u8>()));
    let check = Sha256::digest(Sha256::digest(&bytes));
    bytes.extend(check.iter().take(4));
    base58(&bytes)
}

fn base58(bytes: &[u8]) -> String {
    let mut digits: Vec<u32> = Vec::new();
    for &byte in bytes {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    digits.extend(bytes.iter().take_while(|byte| **byte == 0).map(|_| 0));
    digits
        .iter()
        .rev()
        .filter_map(|digit| BASE58.as_bytes().get(*digit as usize))
        .map(|byte| char::from(*byte))
        .collect()
}
