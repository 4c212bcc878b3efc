#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use serde_json::{Value, json};

use super::*;

fn base() -> Value {
    json!({
        "default_model": "general",
        "models": [
            { "name": "general", "aliases": ["gpt-3.5-turbo"], "endpoints": [{ "address": "127.0.0.1:9103" }] },
            { "name": "math", "endpoints": [{ "name": "a", "address": "10.0.0.1:80", "weight": 2 }, { "name": "b", "address": "[::1]:80" }] },
        ],
        "decisions": [{ "name": "maths", "when": "category == 'math'", "model": "math" }],
    })
}

fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut document = base();
    change(&mut document);
    match Config::from_json(document.to_string().as_bytes()) {
        Ok(_) => Vec::new(),
        Err(error) => error.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_document_survives_being_written_and_read() {
    let config = Config::from_json(base().to_string().as_bytes()).unwrap();
    assert_eq!(config.limits.max_body, ByteSize(32 << 20));
    let again = Config::from_json(&serde_json::to_vec(&config).unwrap()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn every_problem_has_its_path_and_fix() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 24] = [
        (|c| c["modles"] = json!(1), "modles: unknown field `modles`"),
        (
            |c| c["models"][0]["endpoints"][0]["wieght"] = json!(1),
            "models[0].endpoints[0].wieght: unknown field `wieght`",
        ),
        (
            |c| c["default_model"] = json!("generl"),
            "default_model: no model is named `generl`; did you mean `general`?",
        ),
        (
            |c| c["decisions"][0]["model"] = json!("maths"),
            "decisions[0].model: no model is named `maths`; did you mean `math`?",
        ),
        (
            |c| c["decisions"][0]["when"] = json!("categry == 'x'"),
            "decisions[0].when: rule `maths`: unknown variable `categry` at column 1",
        ),
        (
            |c| c["models"][1]["endpoints"][1]["address"] = json!("10.0.0.1:80"),
            "models[1].endpoints[1].address: duplicate endpoint `10.0.0.1:80`; remove it",
        ),
        (
            |c| c["models"][1]["endpoints"][1]["name"] = json!("a"),
            "models[1].endpoints[1].name: duplicate endpoint name `a`",
        ),
        (
            |c| c["models"][1]["endpoints"][0]["weight"] = json!(0),
            "models[1].endpoints[0].weight: `0` is not 1 to 1000",
        ),
        (
            |c| c["models"][1]["endpoints"][0]["address"] = json!("http://x:1"),
            "models[1].endpoints[0].address: `http://x:1` is not an endpoint",
        ),
        (
            |c| c["models"][1]["endpoints"][0]["address"] = json!("10.0.0.300:1"),
            "models[1].endpoints[0].address: `10.0.0.300:1` is not an endpoint",
        ),
        (|c| c["models"][1]["name"] = json!("gpt-3.5-turbo"), "models[1].name: `gpt-3.5-turbo` is taken"),
        (|c| c["models"][1]["name"] = json!("auto"), "models[1].name: `auto` is taken"),
        (|c| c["models"][1]["name"] = json!("a b"), "models[1].name: `a b` is no name"),
        (|c| c["models"] = json!([]), "models: needs 1 to 1000 models"),
        (|c| c["models"][0]["endpoints"] = json!([]), "models[0].endpoints: needs 1 to 256 endpoints"),
        (
            |c| c["models"][0]["tls"] = json!({}),
            "models[0].tls.sni: is needed to verify the certificate of `127.0.0.1:9103`",
        ),
        (
            |c| c["models"][0]["auth"] = json!({ "bearer_env": "sk-12 34" }),
            "models[0].auth.bearer_env: is not the name of an environment variable",
        ),
        (|c| c["models"][0]["path_prefix"] = json!("v1/"), "models[0].path_prefix: `v1/` must begin with `/`"),
        (
            |c| c["passthrough"] = json!([{ "path": "/v1/", "model": "math" }]),
            "passthrough[0].path: `/v1/` would open a path that Fingerpost reads",
        ),
        (
            |c| c["passthrough"] = json!([{ "path": "/v1/audio/", "model": "x" }]),
            "passthrough[0].model: no model is named `x`",
        ),
        (|c| c["limits"] = json!({ "max_body": "2GiB" }), "limits.max_body: `2GiB` is not 1KiB to 1GiB"),
        (|c| c["limits"] = json!({ "max_body": "2 furlongs" }), "limits.max_body: `2 furlongs` is not a size"),
        (
            |c| c["callouts"] = json!({ "classifier": { "timeout": "0s" } }),
            "callouts.classifier.timeout: must be more than 0",
        ),
        (|c| c["listen"] = json!({ "data": "localhost" }), "listen.data: `localhost` is not `ip:port`"),
    ];
    for (change, expected) in cases {
        let found = problems(change);
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let found = problems(|c| {
        c["default_model"] = json!("x");
        c["decisions"][0]["model"] = json!("y");
    });
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn units_read_and_write() {
    for (text, millis) in [("300ms", 300), ("5s", 5_000), ("2m", 120_000)] {
        assert_eq!(text.parse(), Ok(Millis(millis)));
    }
    assert_eq!((Millis(1_500).proto_json(), Millis(1_500).to_string()), ("1.500s".to_owned(), "1500ms".to_owned()));
    for (text, bytes) in [("1024", 1_024), ("64KiB", 65_536), ("20 MiB", 20 << 20), ("1MB", 1_000_000)] {
        assert_eq!(text.parse(), Ok(ByteSize(bytes)));
    }
    for text in ["", "5", "5h", "-5s", "1.5s", "99999999999999999999s"] {
        assert!(text.parse::<Millis>().is_err(), "{text}");
    }
}
