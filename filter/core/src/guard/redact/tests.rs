#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    body::json::{Cursor, Step},
    guard::{analyze::Analysis, segments::Segments},
    route::Create,
};

fn entity(kind: &str, range: Range<usize>) -> Entity {
    Entity { kind: kind.to_owned(), range, score: 0.9 }
}

/// Stands in for the HMAC.
fn digest(kind: &str, value: &str) -> [u8; 16] {
    let mut digest = [0; 16];
    for (i, byte) in kind.bytes().chain(value.bytes()).enumerate() {
        digest[i % 16] ^= byte.rotate_left(u32::try_from(i / 16).unwrap());
    }
    digest
}

fn run(body: &str, pii: Vec<Vec<Entity>>, own: &[Range<usize>]) -> (Redacted, Placeholders) {
    let found = Segments::of_body(body, Create::ChatCompletion).unwrap();
    let findings = Findings { found, analysis: Analysis { pii: Ok(pii), jailbreak: Ok(Vec::new()) } };
    let mut placeholders = Placeholders::default();
    let documents = Documents { body: body.as_bytes(), items: Vec::new(), own };
    let redacted = redact(&findings, &PiiGuard::default(), documents, &mut placeholders, digest).unwrap();
    (redacted, placeholders)
}

#[test]
fn values_are_replaced_through_escapes_and_nothing_else_changes() {
    let body = r#"{ "x":1.0, "messages":[ {"role":"user", "content":"Ann \u0042ell\n[PERSON_1] A\/B"} ,{"role":"user","content":"Ann Bell"}],"model" : "m" }"#;
    let model = body.find("\"m\"").unwrap();
    let pii = vec![vec![], vec![entity("PERSON", 0..8), entity("LOCATION", 9..12)], vec![entity("PERSON", 0..8)]];
    let (redacted, placeholders) = run(body, pii, &[]);
    let expected = body.replace(r"Ann \u0042ell", "[PERSON_2]").replace("Ann Bell", "[PERSON_2]");
    assert_eq!(
        String::from_utf8(redacted.body.clone()).unwrap(),
        expected,
        "and what looks like a placeholder is nobody's"
    );
    assert_eq!(&redacted.body[redacted.shift(model..model + 3)], b"\"m\"");
    assert_eq!(placeholders.values().collect::<Vec<_>>(), [("[PERSON_2]", "Ann Bell")]);
}

#[test]
fn overlapping_entities_are_one_of_the_longest_ones_kind() {
    let hits = [entity("ZIP_CODE", 4..6), entity("PERSON", 0..5), entity("US_SSN", 5..20), entity("API_KEY", 20..21)];
    let merged = merge(&hits.iter().collect::<Vec<_>>());
    assert_eq!(merged, [("US_SSN", 0..20), ("API_KEY", 20..21)]);
}

#[test]
fn keys_are_redacted_and_the_model_is_not() {
    let body = r#"{"model":"jo@x.test","metadata":{"jo@x.test":1},"messages":[{"content":"q"}]}"#;
    let pii = vec![vec![entity("EMAIL_ADDRESS", 0..9)], vec![entity("EMAIL_ADDRESS", 0..9)], vec![]];
    let (redacted, _) = run(body, pii, std::slice::from_ref(&(9..20)));
    let expected = r#"{"model":"jo@x.test","metadata":{"[EMAIL_ADDRESS_1]":1},"messages":[{"content":"q"}]}"#;
    assert_eq!(String::from_utf8(redacted.body).unwrap(), expected);
}

#[test]
fn a_value_over_two_strings_is_replaced_in_each() {
    let body = r#"{"model":"m","messages":[{"content":[{"text":"Ann"},{"text":"Bell said"}]}]}"#;
    let (redacted, _) = run(body, vec![vec![entity("PERSON", 0..8)]], &[]);
    let expected = body.replace("Ann", "[PERSON_1]").replace("Bell", "[PERSON_2]");
    assert_eq!(String::from_utf8(redacted.body).unwrap(), expected);
}

/// The shape of a document: everything but what its strings say.
fn shape(json: &str) -> String {
    let (mut cursor, mut shape) = (Cursor::new(json), String::new());
    let walked = cursor.walk(|step| {
        shape += match step {
            Step::Open { object: true } => "{",
            Step::Open { object: false } => "[",
            Step::Close => "]",
            Step::Key(_) => "k",
            Step::Text(_) => "s",
            Step::Number => "1",
        };
    });
    walked.and_then(|()| cursor.end()).unwrap();
    shape
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(null)), Just(json!(1.5)), "[a-z\"\\\\é😀\n ]{0,12}".prop_map(Value::from)];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            // Keys that stay apart whatever is replaced of them.
            prop::collection::btree_map("k[a-z]{4}", inner, 0..4).prop_map(|members| json!({"content": members})),
        ]
    })
}

fn escaped(json: &str) -> String {
    let unit = |c: char| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>()
    };
    json.chars().map(|c| if c.is_ascii() { c.to_string() } else { unit(c) }).collect()
}

proptest! {
    #[test]
    fn redaction_is_exact_outside_the_spans(extra in value(), said in "[a-z\"\\\\é😀\n ]{1,30}", ascii: bool, cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..8)) {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": said}], "zzz": extra}).to_string();
        let body = if ascii { escaped(&body) } else { body };
        let found = Segments::of_body(&body, Create::ChatCompletion).unwrap();
        let mut pii = vec![Vec::new(); found.segments.len()];
        for (which, a, b) in cuts {
            if found.segments.is_empty() { break; }
            let at = which.index(found.segments.len());
            let text = &found.segments[at].text;
            let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let (a, b) = (*a.get(&offsets), *b.get(&offsets));
            if a != b { pii[at].push(entity("PERSON", a.min(b)..a.max(b))); }
        }
        let (redacted, placeholders) = run(&body, pii, &[]);
        let text = String::from_utf8(redacted.body.clone()).unwrap();
        prop_assert_eq!(shape(&text), shape(&body));
        // Every edit undone gives the body back: nothing outside of them has changed.
        let (mut rest, mut at, mut undone) = (text.as_str(), 0, String::new());
        for edit in &redacted.edits {
            let (same, tail) = rest.split_at(edit.span.start - at);
            undone.push_str(same);
            prop_assert!(tail.starts_with(&edit.json));
            let value = placeholders.values().find(|(placeholder, _)| *placeholder == edit.json).unwrap().1;
            let was = &body[edit.span.clone()];
            prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{was}\"")).unwrap(), value);
            undone.push_str(was);
            rest = &tail[edit.json.len()..];
            at = edit.span.end;
        }
        undone.push_str(rest);
        prop_assert_eq!(undone, body.clone());
        let model = body.find("\"model\":").unwrap() + 8;
        prop_assert_eq!(&text[redacted.shift(model..model + 3)], "\"m\"");
    }
}
