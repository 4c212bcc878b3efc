//! Guards on what backends say: whole answers and streams, redacted or stopped before the first byte of an entity leaves.

use std::sync::Arc;

use fingerpost_testbed::{
    client::Call,
    fake::Behaviour,
    harness::{Stack, StackError},
    suite::Suite,
};
use serde_json::{Value, json};

use crate::{
    common::{chat, through},
    guards::{MAIL, builder},
    responses_common::{answered, create, events, get, id, last, streamed, text},
    suite,
};

pub(crate) fn redact() -> Suite {
    suite!(
        "response_guards",
        boot_redact,
        [answers_are_redacted, streams_are_redacted_whatever_their_splits, responses_are_redacted_and_stored_so]
    )
}

pub(crate) fn block() -> Suite {
    suite!("response_guards_block", boot_block, [answers_are_blocked, streams_are_stopped])
}

async fn boot(action: &str) -> Result<Stack, StackError> {
    builder().field("response_guards", json!({ "pii": { "action": action } })).start().await
}

async fn boot_redact() -> Result<Stack, StackError> {
    boot("redact").await
}

async fn boot_block() -> Result<Stack, StackError> {
    boot("block").await
}

fn says(text: &str, chunk_bytes: usize) -> Behaviour {
    let message = json!({ "role": "assistant", "content": text });
    Behaviour { message: Some(message), chunk_bytes, ..Behaviour::default() }
}

fn spoken() -> String {
    format!(
        "You can reach the author under {MAIL} or, if you must, once more under {MAIL}. That is all there is to say."
    )
}

async fn answers_are_redacted(stack: Arc<Stack>) {
    for chunk_bytes in [0, 3] {
        let request = chat("general", &says(&spoken(), chunk_bytes).marker());
        let (reply, _) = through(&stack, Call::chat(&request)).await;
        let content = reply.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
        assert_eq!(content, spoken().replace(MAIL, "[EMAIL_ADDRESS_1]"), "{}", reply.text());
    }
}

fn deltas(body: &str) -> String {
    let events = body.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let json = events.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str::<Value>(data).unwrap());
    json.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

async fn streams_are_redacted_whatever_their_splits(stack: Arc<Stack>) {
    let letters = spoken().chars().map(|c| json!({ "content": c.to_string() })).collect::<Vec<_>>();
    for (split, chunk_bytes) in [(false, 0), (false, 9), (true, 0), (true, 11)] {
        let behaviour = Behaviour { deltas: split.then(|| letters.clone()), ..says(&spoken(), chunk_bytes) };
        let mut request = chat("general", &behaviour.marker());
        request["stream"] = json!(true);
        let (reply, _) = through(&stack, Call::chat(&request)).await;
        assert_eq!(deltas(&reply.text()), spoken().replace(MAIL, "[EMAIL_ADDRESS_1]"), "{}", reply.text());
        assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    }
}

async fn responses_are_redacted_and_stored_so(stack: Arc<Stack>) {
    let expected = spoken().replace(MAIL, "[EMAIL_ADDRESS_1]");
    let request = json!({ "model": "general", "input": says(&spoken(), 0).marker() });
    let answer = answered(stack.address(), create(&request)).await;
    assert_eq!(text(&answer), expected);
    let reply = streamed(&stack, &request).await;
    let events = events(&reply, 0, true);
    let (kind, response) = last(&events);
    assert_eq!((kind, text(response)), ("response.completed", expected.clone()));
    assert!(!reply.text().contains("hopper"), "{}", reply.text());
    let stored = answered(stack.address(), get(id(response))).await;
    assert_eq!(text(&stored), expected);
}

async fn answers_are_blocked(stack: Arc<Stack>) {
    let (reply, _) = through(&stack, Call::chat(&chat("general", &says(&spoken(), 0).marker()))).await;
    let error = reply.json()["error"].clone();
    assert_eq!((reply.status, &error["code"]), (403, &json!("pii_detected")), "{}", reply.text());
    assert!(!reply.text().contains("hopper"));
    let (reply, _) = through(&stack, Call::chat(&chat("general", &says("All is well.", 0).marker()))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

async fn streams_are_stopped(stack: Arc<Stack>) {
    let mut request = chat("general", &says(&spoken(), 5).marker());
    request["stream"] = json!(true);
    let (reply, _) = through(&stack, Call::chat(&request)).await;
    assert_eq!(reply.status, 200);
    let body = reply.text();
    assert!(body.contains("pii_detected") && !body.contains("hopper"), "{body}");
    let reply = streamed(&stack, &json!({ "model": "general", "input": says(&spoken(), 0).marker() })).await;
    let events = events(&reply, 0, true);
    assert_eq!(last(&events).0, "response.failed", "{}", reply.text());
    assert!(!reply.text().contains("hopper"), "{}", reply.text());
}
