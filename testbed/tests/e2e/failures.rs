//! The classifier fails in every way it can: the default model serves, the response and a statistic say why, in bounded time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fingerpost_testbed::{
    client::Call,
    harness::{Builder, Classifier, ModelSetup, Stack, StackError, StubBehaviour, StubReply},
    suite::Suite,
};
use serde_json::json;

use crate::{
    common::{assert_error, chat, served_by, through},
    suite,
};

/// Over the callout's timeout, under what a client would call hanging.
const BOUND: Duration = Duration::from_secs(5);

pub(crate) fn suite() -> Suite {
    // One case: the ways to fail are set on the one stub in turn.
    suite!("failures", boot, [every_failure_falls_back, a_client_that_leaves_harms_nobody])
}

pub(crate) fn closed() -> Suite {
    suite!("failures_closed", boot_closed, [closed_refuses, closed_still_serves_named_models])
}

pub(crate) fn down() -> Suite {
    suite!("failures_down", boot_down, [a_classifier_that_is_down_falls_back])
}

fn builder() -> Builder {
    Stack::builder()
        .model(ModelSetup::named("math-expert"))
        .model(ModelSetup::named("general"))
        .decision("category == 'math'", "math-expert")
        .callout("timeout", json!("400ms"))
}

async fn boot() -> Result<Stack, StackError> {
    builder().classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.9))).start().await
}

async fn boot_closed() -> Result<Stack, StackError> {
    builder()
        .callout("on_failure", json!("closed"))
        .classifier(Classifier::Stub(StubBehaviour::now(StubReply::Grpc(14))))
        .start()
        .await
}

async fn boot_down() -> Result<Stack, StackError> {
    builder().classifier(Classifier::Down).start().await
}

async fn count(stack: &Stack, reason: &str) -> u64 {
    let stats = stack.stats().await.unwrap();
    let name = format!("wasmcustom.semantic_router_fallback_total.{reason}");
    *stats.get(&name).unwrap_or_else(|| panic!("no statistic {name}"))
}

async fn falls_back(stack: &Stack, reason: &str) {
    let (before, started) = (count(stack, reason).await, Instant::now());
    let (reply, seen) = through(stack, Call::chat(&chat("auto", "2+2?"))).await;
    assert!(started.elapsed() < BOUND, "{reason}: {:?}", started.elapsed());
    assert_eq!(served_by(&reply), "general", "{reason}");
    assert_eq!(reply.header("x-routing-fallback"), Some(reason));
    assert_eq!(reply.json()["routing_metadata"]["selected_model"], "general");
    assert_eq!(seen.header("x-selected-model"), Some("general"));
    assert_eq!(seen.header("x-routing-confidence"), None);
    assert_eq!(count(stack, reason).await, before + 1, "{reason}");
}

async fn every_failure_falls_back(stack: Arc<Stack>) {
    let stub = stack.stub().unwrap();
    let slow = StubBehaviour { delay: Duration::from_secs(3), reply: StubReply::Empty };
    for (behaviour, reason) in [
        (StubBehaviour::now(StubReply::Never), "classifier_timeout"),
        (slow, "classifier_timeout"),
        (StubBehaviour::now(StubReply::Empty), "classifier_bad_reply"),
        (StubBehaviour::now(StubReply::Nonsense), "classifier_bad_reply"),
        (StubBehaviour::verdict("", 0.9), "classifier_bad_reply"),
        (StubBehaviour::verdict("math", f32::NAN), "classifier_bad_reply"),
        (StubBehaviour::verdict("math", 7.0), "classifier_bad_reply"),
        (StubBehaviour::now(StubReply::Grpc(14)), "classifier_unavailable"),
        (StubBehaviour::now(StubReply::Grpc(8)), "classifier_overloaded"),
        (StubBehaviour::now(StubReply::Grpc(3)), "classifier_error"),
        (StubBehaviour::now(StubReply::Grpc(13)), "classifier_error"),
    ] {
        stub.behave(behaviour);
        falls_back(&stack, reason).await;
    }
    // Without gRPC, Envoy maps the HTTP status to one of gRPC's: which, is its affair.
    stub.behave(StubBehaviour::now(StubReply::Http(500)));
    let (reply, _) = through(&stack, Call::chat(&chat("auto", "2+2?"))).await;
    assert_eq!(served_by(&reply), "general");
    assert!(reply.header("x-routing-fallback").is_some_and(|reason| reason.starts_with("classifier_")));
    // A label that cannot stand in a header is no way to forge one.
    stub.behave(StubBehaviour::now(StubReply::HostileLabel));
    let (reply, seen) = through(&stack, Call::chat(&chat("auto", "2+2?"))).await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("x-evil").is_none() && seen.header("x-evil").is_none());
    // And it recovers at once.
    stub.behave(StubBehaviour::verdict("math", 0.9));
    let (reply, _) = through(&stack, Call::chat(&chat("auto", "2+2?"))).await;
    assert_eq!((served_by(&reply).as_str(), reply.header("x-routing-fallback")), ("math-expert", None));
}

async fn a_client_that_leaves_harms_nobody(stack: Arc<Stack>) {
    let stub = stack.stub().unwrap();
    for round in 0..20 {
        let prompt = format!("I leave {round}");
        let call = Call::chat(&chat("auto", &prompt)).send(stack.address());
        let leaver = tokio::spawn(call);
        let arrived = stub.wait(BOUND, |call| call.request.segments.iter().any(|segment| segment.text == prompt)).await;
        assert!(arrived, "the callout of round {round} never came");
        leaver.abort();
        let _gone = leaver.await;
    }
    let (reply, _) = through(&stack, Call::chat(&chat("general", "still there?"))).await;
    assert_eq!(reply.status, 200);
    let crashed = crate::hostile::crashes(&stack).await;
    assert!(crashed.is_empty(), "{crashed:?}");
}

async fn closed_refuses(stack: Arc<Stack>) {
    let before = count(&stack, "classifier_unavailable").await;
    let reply = stack.chat(&chat("auto", "2+2?")).await.unwrap();
    assert_error(&reply, 503, "classifier_unavailable");
    assert_eq!(count(&stack, "classifier_unavailable").await, before + 1);
    let seen = stack.fake("general").unwrap().find(|request| request.header("x-routing-confidence").is_some());
    assert!(seen.is_none());
}

async fn closed_still_serves_named_models(stack: Arc<Stack>) {
    let (reply, _) = through(&stack, Call::chat(&chat("math-expert", "2+2?"))).await;
    assert_eq!(served_by(&reply), "math-expert");
}

async fn a_classifier_that_is_down_falls_back(stack: Arc<Stack>) {
    for _ in 0..5 {
        falls_back(&stack, "classifier_unavailable").await;
    }
}
