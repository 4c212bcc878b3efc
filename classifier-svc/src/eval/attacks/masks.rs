//! Disguises put on, to see them undone.

use base64::{Engine as _, engine::general_purpose::STANDARD};

type Mask = fn(&str) -> String;

/// Every disguise by its name.
pub(super) const ALL: [(&str, Mask); 6] = [
    ("zero_width", zero_width),
    ("homoglyphs", homoglyphs),
    ("base64", |text| STANDARD.encode(text)),
    ("rot13", rot13),
    ("spaced_letters", spaced),
    ("base64 of rot13", |text| STANDARD.encode(rot13(text))),
];

/// One unseen letter, which the tokeniser keeps, inside each word.
fn zero_width(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        if inside && c.is_ascii_alphanumeric() {
            out.push('\u{3164}');
        }
        inside = c.is_ascii_alphanumeric();
        out.push(c);
    }
    out
}

fn homoglyphs(text: &str) -> String {
    let like = |c| match c {
        'a' => 'а',
        'c' => 'с',
        'e' => 'е',
        'i' => 'і',
        'o' => 'о',
        'p' => 'р',
        's' => 'ѕ',
        'x' => 'х',
        'y' => 'у',
        'A' => 'А',
        'E' => 'Е',
        'I' => 'І',
        'O' => 'О',
        'S' => 'Ѕ',
        other => other,
    };
    text.chars().map(like).collect()
}

fn rot13(text: &str) -> String {
    let turn = |c: char, first: u8| char::from(first + (c as u8 - first + 13) % 26);
    text.chars()
        .map(|c| match c {
            'a'..='z' => turn(c, b'a'),
            'A'..='Z' => turn(c, b'A'),
            other => other,
        })
        .collect()
}

/// Letters with spaces between them, and no wider ones between words.
fn spaced(text: &str) -> String {
    let letters: Vec<String> = text.chars().filter(|c| !c.is_whitespace()).map(String::from).collect();
    letters.join(" ")
}
