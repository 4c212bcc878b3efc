#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use std::time::Instant;

use proptest::prelude::*;

use super::{
    eval::{Part, Sample, Table, generate, hand_written},
    *,
};

/// The kinds and texts found.
fn found(text: &str) -> Vec<(&'static str, &str)> {
    find(text).into_iter().map(|entity| (entity.kind.as_str(), &text[entity.range])).collect()
}

#[test]
fn offsets_are_bytes_of_the_text_as_written() {
    let text = "Grüße — écris à zoë@exämple.de, tél. ０６ １２ ３４ ５６ ７８ 🙂 DE89\u{a0}3704 0044 0532 0130 00";
    let expected = vec![
        ("EMAIL_ADDRESS", "zoë@exämple.de"),
        ("PHONE_NUMBER", "０６ １２ ３４ ５６ ７８"),
        ("IBAN_CODE", "DE89\u{a0}3704 0044 0532 0130 00"),
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn zero_width_characters_hide_nothing() {
    assert_eq!(
        found("card 4111\u{200b} 1111 11\u{2060}11 1111 ok"),
        [("CREDIT_CARD", "4111\u{200b} 1111 11\u{2060}11 1111")]
    );
    assert_eq!(found("ssn 536\u{2011}22\u{2011}8726"), [("US_SSN", "536\u{2011}22\u{2011}8726")]);
}

#[test]
fn check_sums_decide() {
    assert_eq!(found("4111 1111 1111 1111"), [("CREDIT_CARD", "4111 1111 1111 1111")]);
    assert!(found("4111 1111 1111 1112").is_empty());
    assert_eq!(found("GB29 NWBK 6016 1331 9268 19."), [("IBAN_CODE", "GB29 NWBK 6016 1331 9268 19")]);
    assert!(found("GB29 NWBK 6016 1331 9268 18.").is_empty());
    assert_eq!(found("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa").len(), 1);
    assert!(found("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb").is_empty());
    assert_eq!(found("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4").len(), 1);
    assert!(found("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5").is_empty());
}

#[test]
fn numbers_that_are_never_issued_are_none() {
    for ssn in ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000"] {
        assert!(found(&format!("my SSN is {ssn}")).is_empty(), "{ssn}");
    }
    assert_eq!(found("my SSN is 123-45-6789"), [("US_SSN", "123-45-6789")]);
}

#[test]
fn addresses_that_are_nobodys_are_not_reported() {
    let none = [
        "0.0.0.0",
        "127.0.0.1",
        "127.8.8.8",
        "192.0.2.1",
        "198.51.100.20",
        "203.0.113.255",
        "255.255.255.255",
        "224.0.0.1",
    ];
    for address in none.into_iter().chain(["::", "::1", "2001:db8::5", "3fff::1", "::ffff:127.0.0.1", "ff02::1"]) {
        assert!(found(&format!("ip {address} here")).is_empty(), "{address}");
    }
    assert_eq!(found("host 81.2.69.142:80"), [("IP_ADDRESS", "81.2.69.142")]);
    assert_eq!(found("host ::ffff:81.2.69.142"), [("IP_ADDRESS", "::ffff:81.2.69.142")]);
    assert!(found("version 81.2.69.142").is_empty());
}

#[test]
fn context_decides_where_the_form_does_not() {
    assert_eq!(found("call 4155550182"), [("PHONE_NUMBER", "4155550182")]);
    assert!(found("order 4155550182").is_empty());
    assert!(found("What is 555-1234 * 2?").is_empty());
    assert_eq!(found("ssn 536228726"), [("US_SSN", "536228726")]);
    assert!(found("id 536228726").is_empty());
    assert_eq!(found("DOB 03/14/1985"), [("DATE_OF_BIRTH", "03/14/1985")]);
    assert!(found("due 03/14/1985").is_empty());
    assert_eq!(found("zip 94043"), [("ZIP_CODE", "94043")]);
    assert!(found("94043 steps").is_empty());
}

#[test]
fn of_overlapping_finds_the_proven_then_the_longest_stays() {
    let entity = |kind, range, score| Entity { kind, range, score };
    let proven = entity(Kind::CreditCard, 5..24, 1.0);
    let inside = entity(Kind::PhoneNumber, 0..30, 0.9);
    let beside = entity(Kind::UsSsn, 24..30, 0.5);
    assert_eq!(resolve(vec![inside.clone(), beside.clone(), proven.clone()]), [proven, beside.clone()]);
    assert_eq!(resolve(vec![beside, inside.clone()]), [inside]);
}

#[test]
fn a_private_key_is_found_whole() {
    let body = "MIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu";
    for (head, tail) in [("", "-----END RSA PRIVATE KEY-----"), ("", "")] {
        let key = format!(
            "{head}-----BEGIN RSA PRIVATE KEY-----\n{body}\n{body}{}{tail}",
            if tail.is_empty() { "" } else { "\n" }
        );
        assert_eq!(found(&format!("see\n{key}\n")), [("PRIVATE_KEY", key.as_str())]);
    }
    assert!(found("-----BEGIN PRIVATE KEY----- begins a key").is_empty());
}

/// The bar of the contract: on each set, precision and recall over all types are at least 0.98.
fn assert_bar(name: &str, samples: &[Sample]) {
    let table = Table::of(samples, find);
    println!("{name}, {} texts\n{table}", table.texts);
    let total = table.total();
    assert!(total.precision() >= 0.98 && total.recall() >= 0.98, "{name}: {total:?}");
}

#[test]
fn the_hand_written_sets_meet_the_bar() {
    assert_bar("hand-written, development", &hand_written(Part::Development).unwrap());
    assert_bar("hand-written, test", &hand_written(Part::Test).unwrap());
}

#[test]
fn the_generated_sets_meet_the_bar() {
    assert_bar("generated, development", &generate(Part::Development, 4, 3000));
    assert_bar("generated, test", &generate(Part::Test, 4, 3000));
}

#[test]
fn labels_stand_on_character_boundaries() {
    let sets =
        [hand_written(Part::Development).unwrap(), hand_written(Part::Test).unwrap(), generate(Part::Test, 5, 300)];
    for sample in sets.iter().flatten() {
        assert!(
            sample.entities.iter().all(|label| sample.text.get(label.start..label.end).is_some()),
            "{}",
            sample.text
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_texts() {
    assert_eq!(generate(Part::Test, 9, 50), generate(Part::Test, 9, 50));
    assert_ne!(generate(Part::Test, 9, 50), generate(Part::Test, 10, 50));
}

/// `cargo test --release -p fingerpost-classifier pii::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let prose = "The quick brown fox, born in the hills of Ohio, called its neighbours about the order of things. Nobody in the \
                 1980s answered the phone, so the 3 of them left at 10:30 for version 2.0 of the story: a tale of two cities.\n";
    let mut number = 12_345_u64;
    let numbers = std::iter::repeat_with(|| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{} ", number >> 33)
    });
    let texts = [
        ("prose", prose.repeat(4_500)),
        ("numbers", numbers.take(95_000).collect()),
        ("one number", "1234567890".repeat(100_000)),
        ("telephones", "tel 0171 234567 ".repeat(65_000)),
        ("cards", "4111 1111 1111 1111 ".repeat(50_000)),
        ("colons", "a:b:c::d:e ".repeat(90_000)),
        ("ats", "a@b.c@d.e ".repeat(100_000)),
        ("cue words", "ssn phone card ip zip dob account license ".repeat(24_000)),
        ("folded", "电话：１３８１２３４５６７８，Hauptstraße 5 – né le 3 mai 1980 ".repeat(13_000)),
        ("pem heads", "-----BEGIN RSA PRIVATE KEY-----\nAAAA".repeat(27_000)),
        ("urls", "https://a:b".repeat(90_000)),
        ("dates", "born dob 1/2/".repeat(80_000)),
        ("generated", generate(Part::Development, 3, 9_000).into_iter().map(|sample| sample.text + "\n").collect()),
    ];
    let _ = find("warm the rules: tel 030 123456, Hauptstraße 5, born 3 May 1980");
    for (name, text) in &texts {
        let start = Instant::now();
        let count = find(text).len();
        let rate = text.len() as f64 / 1e6 / start.elapsed().as_secs_f64();
        println!("{name}: {rate:.0} MB/s, {} bytes, {count} found", text.len());
    }
}

/// Pieces that steer random text into the finders.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9 .:/+()-]{1,24}",
        "[0-9a-f:]{2,20}",
        "[A-Za-z0-9@._=-]{1,30}",
        proptest::sample::select(vec![
            "phone ",
            "ssn: ",
            "card ",
            "IBAN ",
            "DE89",
            "born ",
            "né le ",
            "zip ",
            "password=",
            "Bearer ",
            "ghp_",
            "eyJ",
            "sk-",
            "@",
            "::",
            "://",
            "-----BEGIN RSA PRIVATE KEY-----",
            "Straße ",
            "rue de ",
            "12 Main St",
            "ip ",
            "\u{200b}",
            "１２",
            "–",
            "\u{a0}",
            "电话",
            "[at]",
            "account number ",
            "driver's license ",
            "\n",
            "\\n",
            "0x",
            "bc1q",
            "P.O. Box ",
            "😀",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_text_gives_sorted_whole_characters(pieces in prop::collection::vec(piece(), 0..24)) {
        let text = pieces.concat();
        let entities = find(&text);
        let mut end = 0;
        for entity in &entities {
            prop_assert!(entity.range.start >= end && !entity.range.is_empty());
            prop_assert!(text.get(entity.range.clone()).is_some());
            prop_assert!(entity.score > 0.0 && entity.score <= 1.0);
            end = entity.range.end;
        }
        prop_assert!(end <= text.len());
    }

    #[test]
    fn folding_maps_each_character_back(text in any::<String>(), extra in "[\u{FF10}-\u{FF19}\u{200b}\u{a0}a-z–]{0,20}") {
        let text = format!("{extra}{text}{extra}");
        let folded = fold::Folded::new(&text);
        let all = folded.text();
        for (at, c) in all.char_indices() {
            let range = folded.original(at..at + c.len_utf8());
            let written = text.get(range);
            prop_assert!(written.is_some_and(|w| w == c.to_string() || w.chars().count() == 1), "{:?} {c:?}", written);
        }
    }
}
