//! The state service dies, comes back, or is not there; Envoy is started anew; a backend is killed between turns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fingerpost_testbed::{
    client::PATIENCE,
    harness::{Stack, StackError},
    suite::Suite,
};
use serde_json::{Value, json};

use crate::{
    common::assert_error,
    responses_common::{
        answered, ask, boot, builder, create, events, follow, get, id, last, respond, streamed, text, translated, with,
    },
    suite,
};

pub(crate) fn restarts() -> Suite {
    suite!("responses_restarts", boot, [conversations_outlive_every_process])
}

pub(crate) fn killed() -> Suite {
    suite!("responses_state_killed", boot, [what_was_told_to_be_done_is_kept])
}

pub(crate) fn closed() -> Suite {
    suite!("responses_state_down", boot, [without_the_state_service])
}

pub(crate) fn open() -> Suite {
    suite!("responses_state_open", boot_open, [an_answer_that_cannot_be_kept])
}

pub(crate) fn redis() -> Suite {
    suite!("responses_redis", boot_redis, [conversations_in_redis])
}

async fn boot_open() -> Result<Stack, StackError> {
    builder().state(&json!({ "on_save_failure": "open" })).start().await
}

async fn boot_redis() -> Result<Stack, StackError> {
    builder().redis().start().await
}

/// A first turn, and the second after `change` says where.
async fn name_is_kept(stack: &Stack, first: &Value) {
    let (second, asked) = translated(stack, &follow("chat", first, "what is my name")).await;
    assert_eq!((text(&second).as_str(), asked["messages"].as_array().map(Vec::len)), ("Your name is Max.", Some(3)));
}

async fn conversations_outlive_every_process(stack: Arc<Stack>) {
    let state = stack.state().expect("a state service");
    let first = respond(&stack, &ask("chat", "my name is Max")).await;
    state.kill().await;
    state.revive().await.unwrap();
    name_is_kept(&stack, &first).await;
    assert_eq!(answered(stack.address(), get(id(&first))).await, first);
    let envoy = stack.envoy_anew(|_| {}).await.unwrap();
    let second = answered(envoy.data, create(&follow("chat", &first, "what is my name"))).await;
    assert_eq!(text(&second), "Your name is Max.");
    assert_eq!(answered(envoy.data, get(id(&first))).await, first);
    // The backend of the first turn dies; another model goes on.
    stack.fake("chat").unwrap().kill().await;
    let reply = stack.send(create(&follow("chat", &second, "still there?"))).await.unwrap();
    assert_error(&reply, 503, "upstream_unavailable");
    let (third, asked) = translated(&stack, &follow("other", &second, "what is my name")).await;
    assert_eq!((text(&third).as_str(), asked["messages"].as_array().map(Vec::len)), ("Your name is Max.", Some(5)));
}

/// `kill -9` while streams end: whoever saw the terminal event finds the response.
async fn what_was_told_to_be_done_is_kept(stack: Arc<Stack>) {
    let state = stack.state().expect("a state service");
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (stack, done) = (Arc::clone(&stack), Arc::clone(&done));
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for turn in 0.. {
                    let request = ask("chat", format!("client {client}, turn {turn}"));
                    let all = events(&streamed(&stack, &request).await, 0, true);
                    let (kind, response) = last(&all);
                    if kind != "response.completed" {
                        break;
                    }
                    kept.push(response.clone());
                    done.fetch_add(1, Ordering::Relaxed);
                }
                kept
            })
        })
        .collect();
    let enough = async {
        while done.load(Ordering::Relaxed) < 64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, enough).await.expect("streams end");
    state.kill().await;
    let mut kept = Vec::new();
    for client in clients {
        kept.extend(client.await.unwrap());
    }
    assert!(kept.len() >= 64, "{}", kept.len());
    state.revive().await.unwrap();
    recovered(&stack, &kept[0]).await;
    for response in kept {
        assert_eq!(answered(stack.address(), get(id(&response))).await, response);
    }
}

async fn without_the_state_service(stack: Arc<Stack>) {
    let first = respond(&stack, &ask("chat", "my name is Max")).await;
    stack.state().expect("a state service").kill().await;
    // Loading fails closed, and the backend is not asked.
    let before = stack.fake("chat").unwrap().requests().len();
    for reply in [
        stack.send(create(&follow("chat", &first, "x"))).await.unwrap(),
        streamed(&stack, &follow("chat", &first, "x")).await,
        stack.send(get(id(&first))).await.unwrap(),
    ] {
        assert_error(&reply, 503, "state_unavailable");
    }
    assert_eq!(stack.fake("chat").unwrap().requests().len(), before);
    // Saving is closed too: no answer that a later turn would not find.
    let reply = stack.send(create(&ask("chat", "x"))).await.unwrap();
    assert_error(&reply, 503, "state_unavailable");
    let all = events(&streamed(&stack, &ask("chat", "x")).await, 0, true);
    let (kind, response) = last(&all);
    assert_eq!((kind, &response["status"]), ("response.failed", &json!("failed")));
    assert!(all.iter().any(|event| event.kind == "error"), "{all:?}");
    // What is not to be stored needs no store.
    let unstored = respond(&stack, &with(ask("chat", "x"), json!({ "store": false }))).await;
    assert_eq!(unstored["status"], "completed");
    // It comes back, and so does everything.
    stack.state().unwrap().revive().await.unwrap();
    recovered(&stack, &first).await;
    name_is_kept(&stack, &first).await;
}

/// Envoy notices within its reconnect pause.
async fn recovered(stack: &Stack, first: &Value) {
    let limit = Duration::from_secs(10);
    let attempt = async {
        while stack.send(get(id(first))).await.map_or(0, |reply| reply.status) != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, attempt).await.expect("the state service is found again");
}

async fn an_answer_that_cannot_be_kept(stack: Arc<Stack>) {
    let first = respond(&stack, &ask("chat", "kept")).await;
    stack.state().expect("a state service").kill().await;
    let reply = stack.send(create(&ask("chat", "x"))).await.unwrap();
    assert_eq!((reply.status, &reply.json()["store"]), (200, &json!(false)), "{}", reply.text());
    assert_eq!(reply.header("x-fingerpost-not-stored"), Some("state_unavailable"));
    let all = events(&streamed(&stack, &ask("chat", "x")).await, 0, true);
    let (kind, response) = last(&all);
    assert_eq!((kind, &response["store"]), ("response.completed", &json!(false)));
    // Loading is never open.
    assert_error(&stack.send(create(&follow("chat", &first, "x"))).await.unwrap(), 503, "state_unavailable");
}

async fn conversations_in_redis(stack: Arc<Stack>) {
    let first = respond(&stack, &ask("chat", "my name is Max")).await;
    name_is_kept(&stack, &first).await;
    let state = stack.state().expect("a state service");
    state.kill().await;
    state.revive().await.unwrap();
    recovered(&stack, &first).await;
    name_is_kept(&stack, &first).await;
    let deleted =
        answered(stack.address(), crate::responses_common::stored(hyper::Method::DELETE, id(&first), "")).await;
    assert_eq!(deleted["deleted"], true);
    assert_error(&stack.send(create(&follow("chat", &first, "x"))).await.unwrap(), 400, "previous_response_not_found");
}

pub(crate) fn silent() -> Suite {
    suite!("responses_state_silent", boot_silent, [a_state_service_that_does_not_answer])
}

async fn boot_silent() -> Result<Stack, StackError> {
    builder().state_callout("timeout", json!("1s")).start().await
}

async fn a_state_service_that_does_not_answer(stack: Arc<Stack>) {
    let state = stack.state().expect("a state service");
    let first = respond(&stack, &ask("chat", "my name is Max")).await;
    // The last event waits until the response is stored.
    state.hold(true).await.unwrap();
    let request = with(ask("chat", "slowly"), json!({ "stream": true }));
    let mut stream = create(&request).open(stack.address()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("response.output_text.delta") {
        seen.push_str(&String::from_utf8_lossy(&stream.next().await.unwrap().expect("more")));
    }
    let rest = tokio::spawn(stream.finish());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!seen.contains("response.completed") && !rest.is_finished(), "{seen}");
    state.hold(false).await.unwrap();
    seen.push_str(&rest.await.unwrap().unwrap().text());
    assert!(seen.contains("event: response.completed"), "{seen}");
    // Beyond the timeout it counts as not there.
    state.hold(true).await.unwrap();
    let load = stack.send(create(&follow("chat", &first, "x"))).await.unwrap();
    let save = stack.send(create(&ask("chat", "x"))).await.unwrap();
    let all = events(&streamed(&stack, &ask("chat", "x")).await, 0, true);
    state.hold(false).await.unwrap();
    assert_error(&load, 503, "state_unavailable");
    assert_error(&save, 503, "state_unavailable");
    assert_eq!(last(&all).0, "response.failed");
    name_is_kept(&stack, &first).await;
}

/// Between filter and state service: a shared token that clients never see and cannot replace.
pub(crate) fn token() -> Suite {
    suite!("responses_token", boot_token, [the_token_is_envoys_own])
}

async fn boot_token() -> Result<Stack, StackError> {
    builder()
        .env("STATE_TOKEN", "s3cret-between-services")
        .state_callout("token", json!({ "env": "STATE_TOKEN" }))
        .start()
        .await
}

async fn the_token_is_envoys_own(stack: Arc<Stack>) {
    let call = |call: fingerpost_testbed::client::Call| call.header("authorization", "Bearer a-clients-own");
    let first = answered(stack.address(), call(create(&ask("chat", "my name is Max")))).await;
    let second = answered(stack.address(), call(create(&follow("chat", &first, "what is my name")))).await;
    assert_eq!(text(&second), "Your name is Max.");
    assert_eq!(answered(stack.address(), call(get(id(&second)))).await, second);
    // Past Envoy, nothing is to be had without the token.
    let state = stack.state().expect("a state service").address();
    let reply = call(get(id(&first))).header("x-fingerpost-owner", "anonymous").send(state).await.unwrap();
    assert_eq!(reply.status, 401, "{}", reply.text());
    assert!(!stack.logs().contains("s3cret-between-services"));
}
