//! Which model serves: by meaning through the real classifier, by name, by alias, or none.

use std::sync::Arc;

use fingerpost_testbed::{
    client::Call,
    harness::{Classifier, ModelSetup, Stack, StackError},
    suite::Suite,
};
use serde_json::{Value, json};

use crate::{
    common::{assert_error, chat, served_by, through},
    suite,
};

const MATHS: &str = "Solve the quadratic equation x^2 - 5x + 6 = 0 and find the derivative of the polynomial.";
const LAW: &str = "Is a verbal contract legally binding if one party breaches it, and can I sue for damages in court?";
const SMALL_TALK: &str = "Hey there! Any tips for baking a birthday cake this weekend?";

pub(crate) fn suite() -> Suite {
    suite!(
        "routing",
        boot,
        [
            maths_reaches_the_maths_model,
            law_reaches_the_law_model,
            small_talk_reaches_the_general_model,
            the_last_user_message_decides,
            every_content_form_is_read,
            a_long_text_is_read_to_its_end,
            a_rule_without_verdict_still_counts,
            a_named_model_is_honoured,
            an_alias_is_honoured,
            an_unknown_model_is_404,
            models_are_listed,
            one_model_is_described,
            health_answers,
        ]
    )
}

async fn boot() -> Result<Stack, StackError> {
    let general = ModelSetup::named("general").field("aliases", json!(["gpt-3.5-turbo", "openai/gpt-4o"]));
    Stack::builder()
        .model(ModelSetup::named("math-expert").field("upstream_name", json!("org/Math-7B")))
        .model(ModelSetup::named("law-expert"))
        .model(general)
        .decision("attachments >= 3", "law-expert")
        .decision("category == 'math' && confidence > 0.3", "math-expert")
        .decision("category in ['law', 'history'] && scores[category] > 0.3", "law-expert")
        .classifier(Classifier::Real)
        .start()
        .await
}

async fn lands(stack: &Stack, request: &Value, backend: &str) {
    let (reply, seen) = through(stack, Call::chat(request)).await;
    assert_eq!(served_by(&reply), backend, "{:?} {}", reply.headers, reply.text());
    assert_eq!(reply.header("x-selected-model"), Some(backend));
    assert_eq!(reply.header("x-routing-fallback"), None);
    assert_eq!(seen.header("x-selected-model"), Some(backend));
}

async fn maths_reaches_the_maths_model(stack: Arc<Stack>) {
    lands(&stack, &chat("auto", MATHS), "math-expert").await;
    let (_, seen) = through(&stack, Call::chat(&chat("auto", MATHS))).await;
    assert_eq!(seen.json()["model"], "org/Math-7B");
}

async fn law_reaches_the_law_model(stack: Arc<Stack>) {
    lands(&stack, &chat("auto", LAW), "law-expert").await;
}

async fn small_talk_reaches_the_general_model(stack: Arc<Stack>) {
    lands(&stack, &chat("auto", SMALL_TALK), "general").await;
}

async fn the_last_user_message_decides(stack: Arc<Stack>) {
    let message = |role: &str, content: &str| json!({ "role": role, "content": content });
    let messages = json!([message("system", LAW), message("user", SMALL_TALK), message("assistant", LAW), message("user", MATHS),
        message("assistant", "Well,"), { "role": "tool", "tool_call_id": "x", "content": LAW }]);
    lands(&stack, &json!({ "model": "auto", "messages": messages }), "math-expert").await;
}

async fn every_content_form_is_read(stack: Arc<Stack>) {
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } });
    let (first, second) = MATHS.split_at(MATHS.len() / 2);
    for content in [
        json!(MATHS),
        json!([{ "type": "text", "text": MATHS }]),
        json!([image, { "type": "text", "text": first }, { "type": "text", "text": second }]),
        json!([{ "type": "text", "text": MATHS }, { "type": "input_audio", "input_audio": { "data": "AA", "format": "wav" } }]),
    ] {
        lands(&stack, &json!({ "model": "auto", "messages": [{ "role": "user", "content": content }] }), "math-expert")
            .await;
    }
}

async fn a_long_text_is_read_to_its_end(stack: Arc<Stack>) {
    let filler = "ok. ".repeat(600);
    let text = format!("{filler}{}", format!("{MATHS} ").repeat(60));
    lands(&stack, &chat("auto", &text), "math-expert").await;
}

async fn a_rule_without_verdict_still_counts(stack: Arc<Stack>) {
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } });
    let request = |images: usize| json!({ "model": "auto", "messages": [{ "role": "user", "content": vec![image.clone(); images] }] });
    let (reply, _) = through(&stack, Call::chat(&request(3))).await;
    assert_eq!(served_by(&reply), "law-expert");
    assert_eq!(reply.header("x-routing-fallback"), None);
    let (reply, seen) = through(&stack, Call::chat(&request(2))).await;
    assert_eq!(served_by(&reply), "general");
    assert_eq!(reply.header("x-routing-fallback"), Some("no_text"));
    assert_eq!(seen.header("x-routing-confidence"), None);
}

async fn a_named_model_is_honoured(stack: Arc<Stack>) {
    lands(&stack, &chat("law-expert", MATHS), "law-expert").await;
    let (reply, seen) = through(&stack, Call::chat(&chat("math-expert", LAW))).await;
    assert_eq!((served_by(&reply).as_str(), seen.json()["model"].as_str()), ("math-expert", Some("org/Math-7B")));
    assert_eq!(reply.header("x-classification-time"), None);
}

async fn an_alias_is_honoured(stack: Arc<Stack>) {
    for alias in ["gpt-3.5-turbo", "openai/gpt-4o"] {
        let (reply, seen) = through(&stack, Call::chat(&chat(alias, MATHS))).await;
        assert_eq!(served_by(&reply), "general");
        assert_eq!(reply.header("x-selected-model"), Some("general"));
        assert_eq!(seen.json()["model"], "general");
    }
}

async fn an_unknown_model_is_404(stack: Arc<Stack>) {
    for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] {
        for model in ["gpt-9", "AUTO", "general ", "org/Math-7B", ""] {
            let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }], "prompt": "x", "input": "x" });
            let reply = stack.send(Call::post(path, body.to_string())).await.unwrap();
            if model.is_empty() {
                assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("model")));
                continue;
            }
            let error = assert_error(&reply, 404, "model_not_found");
            assert_eq!(error["param"], "model");
            assert!(error["message"].as_str().unwrap().contains(model));
        }
    }
}

async fn models_are_listed(stack: Arc<Stack>) {
    let reply = stack.send(Call::get("/v1/models")).await.unwrap();
    let json = reply.json();
    assert_eq!((reply.status, &json["object"]), (200, &json!("list")));
    let data = json["data"].as_array().unwrap();
    let ids: Vec<&str> = data.iter().map(|model| model["id"].as_str().unwrap()).collect();
    for id in ["auto", "math-expert", "law-expert", "general"] {
        assert!(ids.contains(&id), "{ids:?}");
    }
    assert!(!ids.contains(&"org/Math-7B"), "{ids:?}");
    for model in data {
        assert_eq!(model["object"], "model");
        assert!(
            model["created"].as_u64().is_some_and(|created| created > 1_600_000_000) && model["owned_by"].is_string()
        );
    }
}

async fn one_model_is_described(stack: Arc<Stack>) {
    for id in ["auto", "law-expert"] {
        let reply = stack.send(Call::get(format!("/v1/models/{id}"))).await.unwrap();
        assert_eq!((reply.status, &reply.json()["id"], &reply.json()["object"]), (200, &json!(id), &json!("model")));
    }
    for id in ["nope", "openai/gpt-9"] {
        let reply = stack.send(Call::get(format!("/v1/models/{id}"))).await.unwrap();
        assert_error(&reply, 404, "model_not_found");
    }
}

async fn health_answers(stack: Arc<Stack>) {
    let reply = stack.send(Call::get("/health")).await.unwrap();
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("healthy")));
}
