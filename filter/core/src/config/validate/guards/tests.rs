#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use serde_json::{Value, json};

use crate::config::{Action, Config, EntityType, GuardScope};

fn read(guards: &Value, decision: &Value) -> Result<Config, Vec<String>> {
    let document = json!({
        "default_model": "general",
        "models": [{"name": "general", "endpoints": [{"address": "127.0.0.1:9103"}]}],
        "decisions": [decision],
        "guards": guards,
        "id_keys": [{"env": "KEY"}],
    });
    Config::from_json(document.to_string().as_bytes())
        .map_err(|error| error.0.iter().map(ToString::to_string).collect())
}

fn decision(when: &str, guards: Value) -> Value {
    json!({"name": "d", "when": when, "model": "general", "guards": guards})
}

#[test]
fn presence_switches_a_guard_on_with_its_defaults() {
    let config = read(&json!({"pii": {}}), &decision("stream", json!({}))).unwrap();
    let pii = config.guards.pii.as_ref().unwrap();
    assert_eq!((pii.action, pii.threshold, pii.scope), (Action::Block, 0.5, GuardScope::AllInput));
    assert_eq!(
        (pii.allow.as_slice(), pii.acts_on("LOCATION")),
        (&[EntityType::Organization, EntityType::Location][..], false)
    );
    assert!(pii.acts_on("PERSON") && pii.acts_on("SOMETHING_NEW"));
    assert_eq!((config.guards.timeout.0, config.guards.jailbreak.is_none()), (10_000, true));
    let again = Config::from_json(&serde_json::to_vec(&config).unwrap()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn a_decision_changes_what_it_names() {
    let guards = json!({"pii": {"action": "redact", "restore": true, "threshold": 0.7}, "jailbreak": {"scope": "last_user_message"}});
    let changes = json!({"pii": {"action": "annotate", "allow": []}, "jailbreak": {"threshold": 0.8}});
    let config = read(&guards, &decision("pii.detected", changes)).unwrap();
    let changes = config.decisions[0].guards.as_ref().unwrap();
    let pii = config.guards.pii.as_ref().unwrap().with(changes.pii.as_ref().unwrap());
    assert_eq!((pii.action, pii.restore, pii.threshold, pii.allow.len()), (Action::Annotate, false, 0.7, 0));
    let jailbreak = config.guards.jailbreak.as_ref().unwrap().with(changes.jailbreak.as_ref().unwrap());
    assert_eq!((jailbreak.threshold, jailbreak.scope), (0.8, GuardScope::LastUserMessage));
}

#[test]
fn redaction_needs_a_key_where_conversations_are_stored() {
    let document = |enabled: bool, guards: Value, changes: Value| {
        let document = json!({
            "default_model": "general",
            "models": [{"name": "general", "endpoints": [{"address": "127.0.0.1:9103"}]}],
            "decisions": [decision("stream", changes)],
            "guards": guards,
            "response_api": {"enabled": enabled},
        });
        Config::from_json(document.to_string().as_bytes()).map_err(|error| error.0[0].path.clone())
    };
    let redact = || json!({"pii": {"action": "redact"}});
    assert_eq!(document(true, redact(), json!({})).unwrap_err(), "guards.pii.action");
    assert_eq!(document(true, json!({"pii": {}}), redact()).unwrap_err(), "decisions[0].guards.pii.action");
    document(false, redact(), redact()).unwrap();
}

#[test]
fn every_problem_has_its_path_and_fix() {
    let none = || json!({});
    for (guards, decision, problem) in [
        (json!({"pii": {"threshold": 1.5}}), decision("stream", none()), "guards.pii.threshold: `1.5` is not 0 to 1"),
        (
            json!({"jailbreak": {"threshold": -1}}),
            decision("stream", none()),
            "guards.jailbreak.threshold: `-1` is not 0 to 1",
        ),
        (json!({"timeout": "0s"}), decision("stream", none()), "guards.timeout: must be more than 0"),
        (
            json!({"pii": {"allow": ["PERSN"]}}),
            decision("stream", none()),
            "guards.pii.allow[0]: unknown variant `PERSN`, expected one of `EMAIL_ADDRESS`, `PHONE_NUMBER`",
        ),
        (json!({"pii": {"restore": true}}), decision("stream", none()), "guards.pii.restore: is for `action: redact`"),
        (
            json!({"jailbreak": {"action": "redact"}}),
            decision("stream", none()),
            "guards.jailbreak.action: `redact` is for personal data",
        ),
        (
            json!({"jailbreak": {"allow": []}}),
            decision("stream", none()),
            "guards.jailbreak.allow: unknown field `allow`",
        ),
        (
            json!({"pii": {"action": "route"}}),
            decision("stream", none()),
            "guards.pii.action: `route` leaves it to the rules, and no rule",
        ),
        (
            json!({"pii": {}}),
            decision("jailbreak.score > 0.5", none()),
            "decisions[0].when: reads `jailbreak`, but there is no `guards.jailbreak`",
        ),
        (
            json!({"pii": {}}),
            decision("pii.found", none()),
            "decisions[0].when: rule `d`: unknown variable `pii.found` at column",
        ),
        (
            json!({"pii": {}}),
            decision("stream", json!({"pii": {"action": "route"}})),
            "decisions[0].guards.pii.action: `route` leaves it",
        ),
        (
            json!({"pii": {}}),
            decision("stream", json!({"pii": {"restore": true}})),
            "decisions[0].guards.pii.restore: is for `action: redact`",
        ),
        (
            json!({"pii": {}}),
            decision("stream", json!({"pii": {"threshold": 7}})),
            "decisions[0].guards.pii.threshold: `7` is not 0 to 1",
        ),
        (
            json!({"pii": {}}),
            decision("stream", json!({"jailbreak": {}})),
            "decisions[0].guards.jailbreak: changes a guard that is not there",
        ),
    ] {
        let problems = read(&guards, &decision).expect_err(problem);
        assert!(problems.iter().any(|found| found.starts_with(problem)), "{problem}: {problems:?}");
    }
    read(&json!({"pii": {"action": "route"}}), &decision("'PERSON' in pii.types", none())).unwrap();
}
