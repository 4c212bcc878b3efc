#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;

fn compile(source: &str) -> Result<Rule, RuleError> {
    Rule::compile(source, &Limits::default())
}

fn matches(source: &str) -> Result<bool, String> {
    let verdict = Verdict {
        category: "math".to_owned(),
        confidence: 0.75,
        scores: vec![("math".to_owned(), 0.75), ("law".to_owned(), 0.25)],
    };
    let request = RequestSignals {
        text: "What is 2+2?".to_owned(),
        tokens: 12,
        messages: 3,
        attachments: 1,
        tools: 2,
        stream: true,
    };
    let headers = Headers::from_iter([("x-team", "red")]);
    let guards = GuardSignals {
        pii: Some(PiiSignal { types: vec!["EMAIL_ADDRESS".to_owned(), "PERSON".to_owned()] }),
        jailbreak: Some(JailbreakSignal { score: 0.25, detected: false }),
    };
    let signals = Signals { verdict: Some(&verdict), request: &request, headers: &headers, guards: Some(&guards) };
    compile(source).unwrap().matches(&Environment::new(), signals)
}

#[test]
fn every_variable_can_be_read() {
    for source in [
        r#"category == "math" && confidence > 0.6"#,
        r#"scores["law"] >= 0.2"#,
        r#"text.contains("2+2") && text.matches("(?i)^WHAT")"#,
        "tokens == 12 && messages == 3 && attachments == 1 && tools == 2 && stream",
        r#"headers["x-team"] == "red" && !("x-other" in headers)"#,
        r#"["red", "blue"].exists(team, team == headers["x-team"])"#,
        r#"category in ["math", "physics"] ? true : false"#,
        r#"pii.detected && "PERSON" in pii.types && pii.types.size() == 2"#,
        "pii.types.exists(kind, kind == 'PERSON') && jailbreak.score >= 0.25 && !jailbreak.detected",
    ] {
        assert_eq!(matches(source), Ok(true), "{source}");
    }
}

#[test]
fn a_rule_that_fails_does_not_match() {
    assert!(matches(r#"headers["absent"] == "x""#).unwrap_err().contains("absent"));
}

#[test]
fn without_a_verdict_rules_that_need_one_do_not_match() {
    let request = RequestSignals { messages: 1, ..RequestSignals::default() };
    let signals = Signals { verdict: None, request: &request, headers: &Headers::default(), guards: None };
    let environment = Environment::new();
    for (source, expected) in [
        ("confidence < 0.5", false),
        ("messages == 1", true),
        (r#"category != "law""#, false),
        ("!pii.detected", false),
        ("jailbreak.score < 1.0", false),
    ] {
        assert_eq!(compile(source).unwrap().matches(&environment, signals), Ok(expected), "{source}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    let long = format!("stream{}", " ".repeat(5_000));
    let deep = format!("{}stream{}", "(".repeat(40), ")".repeat(40));
    let wide = format!("tokens > {}1", "1 + ".repeat(400));
    for (source, error) in [
        ("category = 'math'", "does not parse at column 10"),
        ("stream &&", "does not parse at column"),
        ("stream &&\n confidense > 0.5", "unknown variable `confidense` at column 12; did you mean `confidence`?"),
        (
            "category == 'x' || (false && categry == 'y')",
            "unknown variable `categry` at column 30; did you mean `category`?",
        ),
        ("text.startWith('x')", "unknown function `startWith`"),
        ("stream || pii.type", "unknown variable `pii.type` at column 11; did you mean `pii.types`?"),
        ("pii['detected']", "unknown variable `pii` at column 1; did you mean"),
        ("category > 0.5", "does not yield true or false"),
        ("confidence", "it yields float"),
        ("category", "it yields string"),
        (&long, "`limits.max_rule_length` is 4096"),
        (&deep, "nested 40 deep"),
        (&wide, "deep, and `limits.max_rule_depth` is 256"),
    ] {
        let message = compile(source).expect_err(source).to_string();
        assert!(message.contains(error), "{source}: {message}");
    }
}
