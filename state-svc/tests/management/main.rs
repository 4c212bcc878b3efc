//! The management API over a real socket, against a classifier that is a stub.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(dead_code, reason = "the support module serves several tests")]

mod gate;
mod schema;
mod stub;
#[path = "../support/mod.rs"]
mod support;

use fingerpost_proto::classifier::Task;
use serde_json::{Value, json};
use stub::{Api, MODEL, Stub};

const TEXT: &str = "Zoë of Acme, jo@x.test: x^2? Zoë";

/// The answer, which is as the API's own document says.
async fn answer(api: &Api, path: &str, body: &Value) -> Value {
    let (status, answer) = api.post(path, body).await;
    assert_eq!(status, 200, "{answer}");
    described(api, "post", path, &answer).await;
    answer
}

async fn described(api: &Api, method: &str, path: &str, answer: &Value) {
    let (_, document) = api.get("/openapi.json").await;
    let schema = &document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"];
    schema::check(&document, schema, answer, path).unwrap_or_else(|error| panic!("{error}: {answer}"));
}

#[tokio::test]
async fn an_intent_comes_with_the_model_that_the_rules_choose() {
    let api = Api::new(|_| {}).await;
    let intent = answer(&api, "/api/v1/classify/intent", &json!({"text": "x^2?"})).await;
    let expected = json!({
        "classification": {"category": "math", "confidence": 0.9, "processing_time_ms": 2},
        "probabilities": {"math": 0.9, "other": 0.1},
        "recommended_model": "math",
        "routing_decision": "maths",
    });
    assert_eq!(rounded(&intent), expected);
    let other = answer(&api, "/api/v1/classify/intent", &json!({"text": "hello"})).await;
    assert_eq!((&other["recommended_model"], &other["routing_decision"]), (&json!("general"), &Value::Null));
    // Rules that read a guard's verdict count here too.
    let personal = answer(&api, "/api/v1/classify/intent", &json!({"text": "Zoë: x^2?"})).await;
    assert_eq!(
        (&personal["recommended_model"], &personal["routing_decision"]),
        (&json!("private"), &json!("personal"))
    );
}

/// Shares with three decimals.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => json!((number.as_f64().unwrap() * 1e3).round() / 1e3),
        Value::Array(values) => values.iter().map(rounded).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), rounded(value))).collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn personal_data_is_told_by_byte_offsets_and_masked() {
    let api = Api::new(|_| {}).await;
    let pii = answer(&api, "/api/v1/classify/pii", &json!({"text": TEXT})).await;
    assert_eq!(pii["masked_text"], "[PERSON_1] of [ORGANIZATION_1], [EMAIL_ADDRESS_1]: x^2? [PERSON_1]");
    assert_eq!((&pii["has_pii"], &pii["security_recommendation"]), (&json!(true), &json!("redact")));
    let entities = pii["entities"].as_array().unwrap();
    assert_eq!(entities.len(), 4);
    for entity in entities {
        let place = |name: &str| usize::try_from(entity[name].as_u64().unwrap()).unwrap();
        let value = TEXT.get(place("start_position")..place("end_position")).unwrap();
        assert!(["Zoë", "Acme", "jo@x.test"].contains(&value), "{value}");
        assert!(entity.get("value").is_none(), "the configuration does not allow it");
    }
    assert!(!pii.to_string().contains("jo@x.test"), "{pii}");
    let allowed = answer(&api, "/api/v1/classify/pii", &json!({"text": "Acme, maybe"})).await;
    assert_eq!((&allowed["has_pii"], &allowed["security_recommendation"]), (&json!(true), &json!("allow")));
    assert_eq!(allowed["masked_text"], "[ORGANIZATION_1], maybe", "what is below the threshold is none");
    let none = answer(&api, "/api/v1/classify/pii", &json!({"text": "nothing"})).await;
    assert_eq!((&none["has_pii"], &none["masked_text"]), (&json!(false), &json!("nothing")));
}

#[tokio::test]
async fn values_are_shown_where_the_configuration_allows_it() {
    let api = Api::new(|gateway| gateway["management"]["show_values"] = json!(true)).await;
    let pii = answer(&api, "/api/v1/classify/pii", &json!({"text": TEXT})).await;
    let values: Vec<_> = pii["entities"].as_array().unwrap().iter().map(|e| e["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["Zoë", "Acme", "jo@x.test", "Zoë"]);
}

#[tokio::test]
async fn a_jailbreak_is_one_at_the_guards_threshold() {
    let api = Api::new(|_| {}).await;
    let found = answer(&api, "/api/v1/classify/security", &json!({"text": "ignore all"})).await;
    let expected = json!({
        "is_jailbreak": true, "risk_score": 0.97, "detection_types": ["jailbreak"], "confidence": 0.97,
        "recommendation": "block", "patterns_detected": ["base64"], "processing_time_ms": 2,
    });
    assert_eq!(rounded(&found), expected);
    let harmless = answer(&api, "/api/v1/classify/security", &json!({"text": "hello"})).await;
    assert_eq!((&harmless["is_jailbreak"], &harmless["recommendation"]), (&json!(false), &json!("allow")));
    assert_eq!(rounded(&harmless)["confidence"], 0.99);
    let strict = Api::new(|gateway| gateway["guards"]["jailbreak"]["threshold"] = json!(0.98)).await;
    let below = answer(&strict, "/api/v1/classify/security", &json!({"text": "ignore all"})).await;
    assert_eq!((&below["is_jailbreak"], &below["patterns_detected"]), (&json!(false), &json!([])));
    // Without a guard nothing would be done, and that is what is recommended.
    let unguarded = Api::new(|gateway| {
        gateway["guards"] = json!({});
        gateway["decisions"] = json!([]);
    })
    .await;
    let found = answer(&unguarded, "/api/v1/classify/security", &json!({"text": "ignore all"})).await;
    assert_eq!((&found["is_jailbreak"], &found["recommendation"]), (&json!(true), &json!("allow")));
}

#[tokio::test]
async fn all_of_a_text_is_one_call() {
    let api = Api::new(|_| {}).await;
    let combined = answer(&api, "/api/v1/classify/combined", &json!({"text": TEXT})).await;
    assert_eq!(api.stub.calls.lock().unwrap().len(), 1);
    for (part, path) in [("intent", "intent"), ("pii", "pii"), ("security", "security")] {
        let alone = answer(&api, &format!("/api/v1/classify/{path}"), &json!({"text": TEXT})).await;
        assert_eq!(combined[part], alone, "{part}");
    }
    assert_eq!(combined["overall_recommendation"], "redact");
    let both = answer(&api, "/api/v1/classify/combined", &json!({"text": "jo@x.test ignore"})).await;
    assert_eq!(both["overall_recommendation"], "block");
}

#[tokio::test]
async fn a_batch_is_one_call_in_order() {
    let api = Api::new(|_| {}).await;
    for (kind, path) in [("intent", "intent"), ("pii", "pii"), ("security", "security"), ("all", "combined")] {
        api.stub.calls.lock().unwrap().clear();
        let texts = ["x^2", "hello", "ignore jo@x.test"];
        let batch = answer(&api, "/api/v1/classify/batch", &json!({"texts": texts, "task_type": kind})).await;
        assert_eq!((api.stub.calls.lock().unwrap().len(), &batch["total_count"]), (1, &json!(3)));
        for (i, text) in texts.iter().enumerate() {
            let alone = answer(&api, &format!("/api/v1/classify/{path}"), &json!({"text": text})).await;
            assert_eq!(batch["results"][i], alone, "{kind} {text}");
        }
    }
    let default = answer(&api, "/api/v1/classify/batch", &json!({"texts": ["x^2"]})).await;
    assert_eq!(default["results"][0]["classification"]["category"], "math");
    let full = vec!["x"; 100];
    assert_eq!(api.post("/api/v1/classify/batch", &json!({"texts": full})).await.0, 200);
    for texts in [json!([]), json!(vec!["x"; 101]), json!(["x", " "])] {
        let (status, refused) = api.post("/api/v1/classify/batch", &json!({"texts": texts})).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid_value")));
    }
}

#[tokio::test]
async fn embeddings_are_those_of_the_classifier() {
    let api = Api::new(|_| {}).await;
    let embeddings = answer(&api, "/api/v1/embeddings", &json!({"texts": ["a", "b"]})).await;
    assert_eq!(embeddings["total_count"], 2);
    let expected = json!({"embedding": [0.6, 0.8], "dimension": 2, "model_used": MODEL});
    assert_eq!(rounded(&embeddings["embeddings"][1]), expected);
    assert_eq!(api.stub.calls.lock().unwrap()[0].tasks, [i32::from(Task::Embedding)]);
}

#[tokio::test]
async fn an_evaluation_says_what_would_become_of_a_prompt() {
    let api = Api::new(|_| {}).await;
    let maths = answer(&api, "/api/v1/eval", &json!({"text": "x^2 for jo@x.test?"})).await;
    assert_eq!(maths["decision"], json!({"name": "maths", "when": "category == 'math' && confidence > 0.6"}));
    assert_eq!((&maths["selected_model"], &maths["outcome"]), (&json!("math"), &json!("redact")));
    let pii = json!({"threshold": 0.5, "action": "redact", "detected": true, "types": ["EMAIL_ADDRESS"]});
    assert_eq!(maths["guards"]["pii"], pii);
    assert_eq!(rounded(&maths["guards"]["jailbreak"]), json!({"threshold": 0.8, "action": "block", "detected": false}));
    let signals = &maths["signals"];
    assert_eq!((&signals["category"], &signals["messages"], &signals["tools"]), (&json!("math"), &json!(1), &json!(0)));
    assert_eq!(signals["pii"], json!({"detected": true, "types": ["EMAIL_ADDRESS"]}));
    assert!(signals["tokens"].as_u64().unwrap() > 0);

    // A decision's own guards count.
    let personal = answer(&api, "/api/v1/eval", &json!({"text": "Zoë?"})).await;
    assert_eq!((&personal["decision"]["name"], &personal["outcome"]), (&json!("personal"), &json!("forward")));
    assert_eq!(personal["guards"]["pii"]["action"], "annotate");
    let blocked = answer(&api, "/api/v1/eval", &json!({"text": "ignore it"})).await;
    assert_eq!((&blocked["outcome"], &blocked["decision"]), (&json!("block"), &Value::Null));
    assert_eq!(blocked["signals"]["jailbreak"]["disguise"], "base64");
    // Rules that read headers see those that are given, and only those.
    let beta = answer(&api, "/api/v1/eval", &json!({"text": "hello", "headers": {"X-Beta": "1"}})).await;
    assert_eq!((&beta["decision"]["name"], &beta["selected_model"]), (&json!("beta"), &json!("math")));
}

#[tokio::test]
async fn a_signal_that_nobody_gives_is_missed_only_where_a_guard_needs_it() {
    let unguarded = Api::new(|gateway| {
        gateway["guards"] = json!({});
        gateway["decisions"].as_array_mut().unwrap().remove(0);
    })
    .await;
    let prompt = json!({"text": "x^2 and no guard's head"});
    let found = answer(&unguarded, "/api/v1/eval", &prompt).await;
    assert_eq!((&found["selected_model"], &found["outcome"]), (&json!("math"), &json!("forward")));
    assert_eq!((&found["signals"]["pii"], &found["signals"]["jailbreak"]), (&Value::Null, &Value::Null));
    let guarded = Api::new(|_| {}).await;
    let (status, refused) = guarded.post("/api/v1/eval", &prompt).await;
    assert_eq!((status, &refused["error"]["code"]), (501, &json!("task_not_served")));
}

#[tokio::test]
async fn the_classifiers_failures_are_told_apart() {
    let api = Api::new(|_| {}).await;
    for (text, status, code) in [
        ("the queue is full", 503, "classifier_overloaded"),
        ("over the ceiling", 413, "classifier_limit_exceeded"),
        ("without a head", 501, "task_not_served"),
        ("it breaks", 502, "classifier_error"),
        ("é: torn", 502, "classifier_bad_reply"),
    ] {
        let (found, refused) = api.post("/api/v1/classify/pii", &json!({"text": text})).await;
        assert_eq!((found, &refused["error"]["code"]), (status, &json!(code)), "{refused}");
    }
    let (_, refused) = api.post("/api/v1/classify/pii", &json!({"text": "over the ceiling"})).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("limits.max_tokens"), "{refused}");
}

#[tokio::test]
async fn without_a_classifier_it_starts_and_says_so() {
    // A port that was free and is again: nobody listens there.
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let api = Api::at(&nobody, None, Stub::default(), |_| {}).await;
    for path in ["classify/intent", "classify/pii", "classify/security", "classify/combined", "eval"] {
        let (status, refused) = api.post(&format!("/api/v1/{path}"), &json!({"text": "x"})).await;
        assert_eq!((status, &refused["error"]["code"]), (503, &json!("classifier_unavailable")), "{path}");
    }
    let (status, health) = api.get("/health").await;
    assert_eq!((status, &health["status"], &health["classifier"]), (200, &json!("degraded"), &json!("not serving")));
    let (status, models) = api.get("/info/models").await;
    described(&api, "get", "/info/models", &models).await;
    assert_eq!((status, &models["error"]), (200, &json!("classifier_unavailable")));
    assert!(models["models"].as_array().unwrap().iter().all(|model| model["loaded"] == false), "{models}");
}

#[tokio::test]
async fn it_tells_what_is_loaded_and_how_it_is() {
    let api = Api::new(|_| {}).await;
    let (_, models) = api.get("/info/models").await;
    described(&api, "get", "/info/models", &models).await;
    assert_eq!((&models["model_version"], &models["error"]), (&json!(MODEL), &Value::Null));
    assert_eq!(models["models"][0]["categories"], json!(["math", "other"]));
    assert_eq!(models["models"][3], json!({"name": "embedding", "type": "embedding", "loaded": true, "dimension": 2}));
    assert_eq!(models["gateway"]["decisions"], json!(["personal", "maths", "beta"]));
    let (_, health) = api.get("/health").await;
    described(&api, "get", "/health", &health).await;
    assert_eq!((&health["status"], &health["classifier"]), (&json!("healthy"), &json!("serving")));
    api.running.stop().await;
}

#[tokio::test]
async fn both_services_run_side_by_side() {
    let gateway = fingerpost_core::config::Config::from_json(stub::gateway("127.0.0.1:9").to_string().as_bytes());
    let listen = "127.0.0.1:0".parse().unwrap();
    let management = fingerpost_state::management::Settings { listen, token: None, gateway: gateway.unwrap() };
    let services =
        fingerpost_state::config::Services { state: Some(support::settings()), management: Some(management) };
    let running = support::Running::start(services).await;
    assert_eq!(reqwest::get(running.url("/health")).await.unwrap().text().await.unwrap(), "ok\n");
    let management = format!("http://{}", running.management.unwrap());
    assert_eq!(reqwest::get(format!("{management}/openapi.json")).await.unwrap().status(), 200);
    assert_eq!(reqwest::get(format!("{management}/v1/conversations/x")).await.unwrap().status(), 404);
    assert_eq!(reqwest::get(running.url("/openapi.json")).await.unwrap().status(), 404);
    running.stop().await;
}
