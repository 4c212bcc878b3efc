#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::HashMap;

use serde_json::{Value, json};

use super::*;

fn base() -> Value {
    json!({
        "default_model": "chat",
        "id_keys": [{"env": "FINGERPOST_ID_KEY"}],
        "models": [
            {"name": "chat", "endpoints": [{"address": "127.0.0.1:1"}]},
            {"name": "large", "api": "responses", "state_pool": "shared",
                "endpoints": [{"name": "a", "address": "10.0.0.1:80"}, {"name": "b", "address": "10.0.0.2:80"}]},
            {"name": "small", "api": "responses", "state_pool": "shared",
                "endpoints": [{"name": "b", "address": "10.0.0.2:80"}, {"name": "a", "address": "10.0.0.1:80"}]},
        ],
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

type Change = fn(&mut Value);

/// Each change makes one problem and no other.
fn one_each(cases: &[(Change, &str)]) {
    for (change, expected) in cases {
        let found = problems(change);
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
    }
}

#[test]
fn what_is_right_passes() {
    let right: [Change; 12] = [
        |_| {},
        |c| c["id_keys"] = json!([{"file": "secrets/key"}, {"env": "OLD"}]),
        |c| {
            c["id_keys"] = json!([]);
            c["response_api"] = json!({"enabled": false});
        },
        |c| c["models"][1]["memory"] = json!(false),
        |c| {
            c["models"][1] =
                json!({"name": "large", "api": "responses", "memory": true, "endpoints": [{"address": "10.0.0.1:80"}]})
        },
        |c| c["owner"] = json!({"jwt": {"payload": "p"}, "header": "x-tenant"}),
        |c| c["callouts"] = json!({"state": {"address": "[::1]:50052"}}),
        |c| c["callouts"] = json!({"state": {"address": "localhost:50052"}}),
        |c| c["callouts"] = json!({"state": {"address": "10.0.0.1:50052", "token": {"file": "t"}}}),
        |c| c["callouts"] = json!({"state": {"address": "state:50052", "tls": {}}}),
        |c| c["response_api"] = json!({"store_backend": "redis", "redis": {"url_env": "REDIS_URL"}}),
        |c| {
            c["response_api"] = json!({"redis": {"cluster": true, "urls":
                ["redis://a.b:7000", "rediss://10.0.0.1:7001/3", "redis://[::1]:7002", "redis://compass", "redis://[::1]"]}});
        },
    ];
    for (i, change) in right.into_iter().enumerate() {
        assert_eq!(problems(change), Vec::<String>::new(), "{i}");
    }
}

#[test]
fn models_fit_together() {
    one_each(&[
        (
            |c| c["id_keys"] = json!([]),
            "id_keys: is empty, but the ids of conversations that backends keep are signed: make a secret with `openssl rand -hex 32`",
        ),
        (|c| c["models"][0]["state_pool"] = json!("shared"), "models[0].state_pool: is for models whose backends keep"),
        (|c| c["models"][1]["memory"] = json!(true), "models[1].state_pool: is for models whose backends keep"),
        (|c| c["models"][1]["state_pool"] = json!("a b"), "models[1].state_pool: `a b` is no name"),
        (|c| c["models"][0]["memory"] = json!(true), "models[0].memory: is for `api: responses`"),
        (
            |c| c["models"][2]["endpoints"][0]["name"] = json!("c"),
            "models[2].endpoints: has the endpoints `a`, `c`, but another model of the pool `shared` has `a`, `b`",
        ),
        (
            |c| c["models"][0]["options"] = json!({"tokenizer_path": "tokenize"}),
            "models[0].options.tokenizer_path: `tokenize` must be a path that begins with `/`",
        ),
    ]);
    let found = problems(|c| {
        c["response_api"] = json!({"enabled": false});
        c["models"][1] =
            json!({"name": "large", "api": "responses", "memory": true, "endpoints": [{"address": "10.0.0.1:80"}]});
    });
    assert_eq!(found, ["models[1].memory: needs `response_api.enabled: true`: without it nothing is kept here"]);
}

/// Tags of pools have 32 bits: among a few hundred thousand names two share one, and their conversations would be mixed up.
#[test]
fn pools_whose_tags_are_alike_are_refused() {
    let mut names = HashMap::new();
    let twins = (0..).find_map(|i| {
        let name = format!("pool-{i}");
        names.insert(PoolTag::of(&name), name.clone()).map(|other| (other, name))
    });
    let (one, two) = twins.unwrap();
    let found = problems(|c| {
        c["models"][1]["state_pool"] = json!(one);
        c["models"][2]["state_pool"] = json!(two);
    });
    let expected = format!("models[2].state_pool: the pools `{two}` and `{one}` have the same tag in ids");
    assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
}

#[test]
fn secrets_and_owners_are_named_rightly() {
    one_each(&[
        (
            |c| c["id_keys"] = json!([{"env": "0123-4567"}]),
            "id_keys[0].env: is not the name of an environment variable",
        ),
        (|c| c["id_keys"] = json!([{"env": "A"}, {"file": ""}]), "id_keys[1].file: is empty"),
        (|c| c["callouts"] = json!({"state": {"token": {"env": ""}}}), "callouts.state.token.env: is not the name"),
        (|c| c["owner"] = json!({"header": "X-Tenant"}), "owner.header: `X-Tenant` is not a header name in lower case"),
        (|c| c["owner"] = json!({"header": ""}), "owner.header: `` is not a header name"),
        (|c| c["owner"] = json!({"header": "authorization"}), "owner.header: `authorization` cannot name the owner"),
        (
            |c| c["owner"] = json!({"header": "x-selected-model"}),
            "owner.header: `x-selected-model` cannot name the owner",
        ),
        (|c| c["owner"] = json!({"header": "x-fingerpost-owner"}), "owner.header: `x-fingerpost-owner` cannot name"),
        (|c| c["owner"] = json!({"jwt": {"payload": "p", "claim": ""}}), "owner.jwt.claim: is empty"),
    ]);
}

#[test]
fn the_state_service_can_be_reached_but_not_by_everybody() {
    one_each(&[
        (|c| c["callouts"] = json!({"state": {"timeout": "0s"}}), "callouts.state.timeout: must be more than 0"),
        (|c| c["callouts"] = json!({"state": {"cluster": ""}}), "callouts.state.cluster: is empty"),
        (
            |c| c["callouts"] = json!({"state": {"cluster": "fingerpost_classifier"}}),
            "callouts.state.cluster: `fingerpost_classifier` is the classifier's",
        ),
        (
            |c| c["callouts"] = json!({"state": {"address": "http://x"}}),
            "callouts.state.address: `http://x` is not an endpoint",
        ),
        (
            |c| c["callouts"] = json!({"state": {"address": "state:50052"}}),
            "callouts.state.address: `state:50052` is not on loopback, and whoever reaches the state service can read every conversation: set `callouts.state.token` or `callouts.state.tls`",
        ),
        (|c| c["callouts"] = json!({"state": {"address": "0.0.0.0:50052"}}), "is not on loopback"),
        (|c| c["callouts"] = json!({"state": {"tls": {}}}), "callouts.state.tls.sni: is needed to verify"),
    ]);
}

#[test]
fn a_conversation_goes_before_the_request() {
    let read = |document: Value| Config::from_json(document.to_string().as_bytes()).unwrap().max_sent();
    assert_eq!(read(base()).to_string(), "64MiB");
    let mut without = base();
    without["response_api"] = json!({"enabled": false});
    assert_eq!(read(without).to_string(), "32MiB");
}

#[test]
fn the_store_can_work() {
    one_each(&[
        (|c| c["response_api"] = json!({"ttl_seconds": 0}), "response_api.ttl_seconds: must be at least 1"),
        (|c| c["response_api"] = json!({"max_responses": 0}), "response_api.max_responses: must be at least 1"),
        (|c| c["response_api"] = json!({"max_turns": 0}), "response_api.max_turns: must be at least 1"),
        (
            |c| c["response_api"] = json!({"max_conversation_bytes": 0}),
            "response_api.max_conversation_bytes: `0` is not 1 byte",
        ),
        (
            |c| c["response_api"] = json!({"max_conversation_bytes": "2GiB"}),
            "max_conversation_bytes: `2GiB` is not 1 byte to 1GiB",
        ),
        (|c| c["response_api"] = json!({"path": ""}), "response_api.path: is empty"),
        (|c| c["response_api"] = json!({"redis": {"urls": []}}), "response_api.redis.urls: is empty"),
        (|c| c["response_api"] = json!({"redis": {"urls": ["redis://a", "redis://b"]}}), "set `cluster: true`"),
        (|c| c["response_api"] = json!({"redis": {"url_env": "a=b"}}), "response_api.redis.url_env: is not the name"),
    ]);
    for url in [
        "redis:/a",
        "http://a",
        "redis://",
        "redis://a:x",
        "redis://a:1/db",
        "redis://a:1/0?x=1",
        "rediss://a/#insecure",
    ] {
        let found = problems(|c| c["response_api"] = json!({"redis": {"urls": [url]}}));
        assert!(found.len() == 1 && found[0].contains("is no URL of a Redis server"), "{url}: {found:?}");
    }
    for url in ["redis://user:s3cret@a:6379", "redis://:s3cret@a", "redis://a?password=s3cret"] {
        let found = problems(|c| c["response_api"] = json!({"redis": {"urls": [url]}}));
        assert!(found.len() == 1 && found[0].contains("`url_env`") && !found[0].contains("s3cret"), "{url}: {found:?}");
    }
}
