//! What a guard does with what it finds: redacts and restores, routes, annotates, looks where it is told; and what happens when it
//! cannot tell.

use std::sync::Arc;

use fingerpost_testbed::{
    client::Call,
    fake::Behaviour,
    harness::{Builder, Classifier, ModelSetup, Stack, StackError, StubBehaviour, StubReply},
    suite::Suite,
};
use serde_json::{Value, json};

use crate::{
    common::{assert_error, at_backend, chat, id, served_by, through},
    guards::{ATTACK, MAIL, blocked, builder},
    responses_common::{answered, create, follow, get, text},
    suite,
};

pub(crate) fn redact() -> Suite {
    suite!(
        "guards_redact",
        boot_redact,
        [
            values_are_replaced_and_nothing_else_changes,
            answers_are_restored,
            streams_are_restored_whatever_their_splits,
            conversations_keep_their_numbers,
            what_looks_like_a_placeholder_is_none,
        ]
    )
}

pub(crate) fn route() -> Suite {
    suite!("guards_route", boot_route, [sensitive_prompts_go_to_the_private_model, a_decision_overrides_a_guard])
}

pub(crate) fn scope() -> Suite {
    suite!("guards_scope", boot_scope, [a_guard_looks_where_it_is_told])
}

pub(crate) fn closed() -> Suite {
    suite!("guards_closed", boot_closed, [a_guard_that_cannot_tell_refuses])
}

pub(crate) fn open() -> Suite {
    suite!("guards_open", boot_open, [an_open_guard_says_that_it_could_not_tell])
}

async fn boot_redact() -> Result<Stack, StackError> {
    let pii = json!({ "action": "redact", "restore": true });
    let stack = builder().field("guards", json!({ "pii": pii }));
    // One each, since a case sets what its backend says.
    ["answers", "streams", "turns", "alike"]
        .map(ModelSetup::named)
        .into_iter()
        .fold(stack, Builder::model)
        .start()
        .await
}

async fn boot_route() -> Result<Stack, StackError> {
    builder()
        .model(ModelSetup::named("private"))
        .model(ModelSetup::named("sandbox"))
        .field("default_model", json!("general"))
        .field("guards", json!({ "pii": { "action": "route" }, "jailbreak": {} }))
        .field(
            "decisions",
            json!([
                { "name": "personal", "when": "pii.detected && 'EMAIL_ADDRESS' in pii.types", "model": "private" },
                { "name": "research", "when": "text.startsWith('RESEARCH')", "model": "sandbox",
                  "guards": { "jailbreak": { "action": "annotate" } } },
            ]),
        )
        .start()
        .await
}

async fn boot_scope() -> Result<Stack, StackError> {
    let pii = json!({ "action": "block", "scope": "last_user_message" });
    builder().field("guards", json!({ "pii": pii })).start().await
}

async fn boot_failing(on_error: &str) -> Result<Stack, StackError> {
    let guards = json!({ "pii": { "on_error": on_error }, "jailbreak": { "on_error": on_error }, "timeout": "400ms" });
    Stack::builder()
        .model(ModelSetup::named("general"))
        .classifier(Classifier::Stub(StubBehaviour::now(StubReply::Grpc(14))))
        .field("guards", guards)
        .start()
        .await
}

async fn boot_closed() -> Result<Stack, StackError> {
    boot_failing("closed").await
}

async fn boot_open() -> Result<Stack, StackError> {
    boot_failing("open").await
}

async fn values_are_replaced_and_nothing_else_changes(stack: Arc<Stack>) {
    let body = format!(
        "{{ \"temperature\": 1.50,\"messages\":[{{\"role\":\"user\",\"content\":\"\\u0068i, {MAIL} and \\\"{MAIL}\\\" \u{1f30d}\"}}],\n\"model\" :\"general\" }}"
    );
    let (reply, seen) = through(&stack, Call::post("/v1/chat/completions", body.clone())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-security-checks"), Some("pii:true"));
    assert_eq!(String::from_utf8_lossy(&seen.body), body.replace(MAIL, "[EMAIL_ADDRESS_1]"));
    let two = format!("{MAIL}, ada@engines.org and again {MAIL}");
    let (_, seen) = through(&stack, Call::chat(&chat("general", &two))).await;
    let content = &seen.json()["messages"][0]["content"];
    assert_eq!(content, "[EMAIL_ADDRESS_1], [EMAIL_ADDRESS_2] and again [EMAIL_ADDRESS_1]");
}

/// What the backend says next; the marker of a prompt would be redacted itself.
fn says(stack: &Stack, model: &str, text: &str) {
    let message = json!({ "role": "assistant", "content": text });
    stack.fake(model).unwrap().behave(Behaviour { message: Some(message), ..Behaviour::default() });
}

async fn answers_are_restored(stack: Arc<Stack>) {
    says(&stack, "answers", "I wrote to [EMAIL_ADDRESS_1], not to [EMAIL_ADDRESS_7].");
    let (reply, _) = through(&stack, Call::chat(&chat("answers", &format!("Mail {MAIL}")))).await;
    let content = &reply.json()["choices"][0]["message"]["content"];
    assert_eq!(*content, format!("I wrote to {MAIL}, not to [EMAIL_ADDRESS_7]."));
    assert!(reply.json()["routing_metadata"]["security_checks"]["pii"]["detected"].as_bool().unwrap());
}

/// The text of a streamed chat completion.
fn streamed_text(body: &str) -> String {
    let events = body.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let json = events.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str::<Value>(data).unwrap());
    json.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

async fn streams_are_restored_whatever_their_splits(stack: Arc<Stack>) {
    let letters: Vec<Value> =
        "So [EMAIL_ADDRESS_1], then [EMAIL_ADD".chars().map(|c| json!({ "content": c.to_string() })).collect();
    for (deltas, chunk_bytes) in [(None, 0), (None, 1), (None, 5), (Some(letters), 7)] {
        let expected =
            if deltas.is_some() { format!("So {MAIL}, then [EMAIL_ADD") } else { format!("To {MAIL} it went") };
        let message = Some(json!({ "role": "assistant", "content": "To [EMAIL_ADDRESS_1] it went" }));
        let fake = stack.fake("streams").unwrap();
        fake.behave(Behaviour { message, deltas: deltas.clone(), chunk_bytes, ..Behaviour::default() });
        let mut request = chat("streams", &format!("Mail {MAIL}"));
        request["stream"] = json!(true);
        let (reply, _) = through(&stack, Call::chat(&request)).await;
        assert_eq!(reply.status, 200);
        assert_eq!(streamed_text(&reply.text()), expected, "{chunk_bytes}: {}", reply.text());
        assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    }
}

async fn conversations_keep_their_numbers(stack: Arc<Stack>) {
    says(&stack, "turns", "Noted [EMAIL_ADDRESS_1].");
    let first = answered(stack.address(), create(&json!({ "model": "turns", "input": format!("First {MAIL}") }))).await;
    assert_eq!(text(&first), format!("Noted {MAIL}."));
    let next = format!("Then ada@engines.org, and {MAIL} again");
    let request_id = id();
    let call = create(&follow("turns", &first, next)).header("x-request-id", request_id.as_str());
    let second = answered(stack.address(), call).await;
    let seen = at_backend(&stack, &request_id).unwrap();
    let messages = seen.json()["messages"].clone();
    assert_eq!(messages[0]["content"], "First [EMAIL_ADDRESS_1]", "{messages}");
    assert_eq!(messages[2]["content"], "Then [EMAIL_ADDRESS_2], and [EMAIL_ADDRESS_1] again", "{messages}");
    assert_eq!(text(&second), format!("Noted {MAIL}."));
    // What is stored is the redacted form.
    let stored = answered(stack.address(), get(crate::responses_common::id(&second))).await;
    assert_eq!(text(&stored), "Noted [EMAIL_ADDRESS_1].");
}

async fn what_looks_like_a_placeholder_is_none(stack: Arc<Stack>) {
    says(&stack, "alike", "You said [EMAIL_ADDRESS_1] and [EMAIL_ADDRESS_2].");
    let prompt = format!("What does [EMAIL_ADDRESS_1] mean to {MAIL}?");
    let (reply, seen) = through(&stack, Call::chat(&chat("alike", &prompt))).await;
    assert_eq!(seen.json()["messages"][0]["content"], "What does [EMAIL_ADDRESS_1] mean to [EMAIL_ADDRESS_2]?");
    let content = &reply.json()["choices"][0]["message"]["content"];
    assert_eq!(*content, format!("You said [EMAIL_ADDRESS_1] and {MAIL}."));
}

async fn sensitive_prompts_go_to_the_private_model(stack: Arc<Stack>) {
    let (reply, seen) = through(&stack, Call::chat(&chat("auto", &format!("Mail {MAIL} about lunch")))).await;
    assert_eq!(served_by(&reply), "private");
    assert!(seen.json()["messages"][0]["content"].as_str().unwrap().contains(MAIL));
    assert_eq!(reply.header("x-security-checks"), Some("pii:true,jailbreak:false"));
    let (reply, _) = through(&stack, Call::chat(&chat("auto", "What's for lunch?"))).await;
    assert_eq!(served_by(&reply), "general");
}

async fn a_decision_overrides_a_guard(stack: Arc<Stack>) {
    blocked(&stack, Call::chat(&chat("auto", ATTACK)), "jailbreak_detected").await;
    let (reply, _) = through(&stack, Call::chat(&chat("auto", &format!("RESEARCH {ATTACK}")))).await;
    assert_eq!(served_by(&reply), "sandbox");
    assert_eq!(reply.header("x-security-checks"), Some("pii:false,jailbreak:true"));
}

async fn a_guard_looks_where_it_is_told(stack: Arc<Stack>) {
    let body = |system: &str, user: &str| {
        json!({ "model": "general", "messages": [
            { "role": "system", "content": system }, { "role": "user", "content": user } ] })
    };
    let (reply, _) = through(&stack, Call::chat(&body(MAIL, "hello"))).await;
    assert_eq!((reply.status, reply.header("x-security-checks")), (200, Some("pii:false")));
    blocked(&stack, Call::chat(&body("hello", MAIL)), "pii_detected").await;
}

const FAILURES: [StubReply; 5] =
    [StubReply::Grpc(14), StubReply::Grpc(8), StubReply::Empty, StubReply::Nonsense, StubReply::Never];

async fn a_guard_that_cannot_tell_refuses(stack: Arc<Stack>) {
    let stub = stack.stub().unwrap();
    // A verdict on the category alone is no verdict of a guard.
    for reply in FAILURES.into_iter().chain([StubReply::Verdict { label: "math".into(), confidence: 0.9 }]) {
        stub.behave(StubBehaviour::now(reply.clone()));
        for model in ["auto", "general"] {
            let id = id();
            let call = Call::chat(&chat(model, "hello")).header("x-request-id", id.as_str());
            let answer = stack.send(call).await.unwrap();
            assert_error(&answer, 503, "guard_unavailable");
            assert!(at_backend(&stack, &id).is_none(), "{reply:?}");
        }
    }
    stub.behave(StubBehaviour::now(StubReply::Grpc(11)));
    assert_error(&stack.send(Call::chat(&chat("general", "hello"))).await.unwrap(), 413, "guard_limit_exceeded");
}

async fn an_open_guard_says_that_it_could_not_tell(stack: Arc<Stack>) {
    for reply in FAILURES {
        stack.stub().unwrap().behave(StubBehaviour::now(reply.clone()));
        for model in ["auto", "general"] {
            let (answer, _) = through(&stack, Call::chat(&chat(model, "hello"))).await;
            let checks = answer.header("x-security-checks");
            assert_eq!((answer.status, checks), (200, Some("pii:unknown,jailbreak:unknown")), "{reply:?}");
        }
    }
}
