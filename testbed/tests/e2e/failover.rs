//! One of three endpoints dies under load: no request fails, only its conversations move, the headers say who served.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fingerpost_testbed::{
    client::Call,
    fake::Behaviour,
    harness::{Classifier, EndpointSetup, ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};
use futures::{StreamExt as _, stream};
use tokio::sync::Mutex;

use crate::{
    common::{assert_error, behaving, chat, served_by},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "failover",
        boot,
        [addresses_fail_over, routed_requests_fail_over, host_names_fail_over, what_may_not_be_retried_is_503]
    )
}

async fn boot() -> Result<Stack, StackError> {
    let pool = |prefix: &str, host| {
        (1..=3).map(|n| EndpointSetup { host, ..EndpointSetup::named(&format!("{prefix}{n}")) }).collect::<Vec<_>>()
    };
    Stack::builder()
        .model(ModelSetup::with("once", pool("o", None)).field("retry", serde_json::json!({ "on": "connect" })))
        .model(ModelSetup::with("named", pool("n", Some("localhost"))))
        .model(ModelSetup::with("routed", pool("r", None)))
        .model(ModelSetup::with("pool", pool("p", None)))
        .decision("category == 'math'", "routed")
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.9)))
        .start()
        .await
}

const CONVERSATIONS: usize = 48;

fn call(model: &str, conversation: usize) -> Call {
    Call::chat(&chat(model, &format!("failover conversation {conversation}")))
}

/// Who serves each conversation; every request must be answered well, and the header must name the one that answered.
async fn map(stack: &Stack, model: &str) -> Vec<String> {
    let requests = stream::iter(0..CONVERSATIONS).map(|conversation| async move {
        let reply = stack.send(call(model, conversation)).await.unwrap();
        assert_eq!(reply.status, 200, "conversation {conversation}: {}", reply.text());
        let served = served_by(&reply);
        assert_eq!(reply.header("x-semantic-destination-endpoint"), Some(served.as_str()));
        served
    });
    requests.buffered(8).collect().await
}

/// Kills one endpoint while requests flow and others wait for their headers.
async fn kill_under_load(stack: &Arc<Stack>, model: &str, dead: &str) {
    let before = map(stack, model).await;
    assert!(
        before.iter().any(|endpoint| endpoint == dead) && before.iter().any(|endpoint| endpoint != dead),
        "{before:?}"
    );
    // Held before their headers, wherever they land: those at the dying endpoint are tried elsewhere.
    let gate = format!("hold-{model}");
    let behaviour = Behaviour { header_gate: Some(gate.clone()), ..Behaviour::default() };
    let held: Vec<_> = (0..24)
        .map(|n| {
            let mut request = behaving(model, &behaviour);
            request["prompt_cache_key"] = format!("held {n}").into();
            let (stack, call) = (Arc::clone(stack), Call::chat(&request).header("x-held", model));
            tokio::spawn(async move { stack.send(call).await })
        })
        .collect();
    let doomed = stack.fake(dead).unwrap();
    doomed
        .wait(Duration::from_secs(10), |request| request.header("x-held") == Some(model))
        .await
        .expect("one is held there");
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let failures = Arc::new(Mutex::new(HashMap::new()));
    let load: Vec<_> = (0..4)
        .map(|worker| {
            let (stack, stop, sent, failures, model) =
                (Arc::clone(stack), Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&failures), model.to_owned());
            tokio::spawn(async move {
                let mut n = worker;
                while !stop.load(Ordering::Relaxed) {
                    let reply = stack.send(call(&model, n % CONVERSATIONS)).await;
                    let outcome = reply
                        .map_or_else(|error| error.to_string(), |reply| format!("{} {}", reply.status, reply.text()));
                    if !outcome.starts_with("200") {
                        failures.lock().await.insert(n, outcome);
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                    n += 4;
                }
            })
        })
        .collect();
    reach(&sent, 40).await;
    doomed.kill().await;
    let after_kill = sent.load(Ordering::Relaxed);
    reach(&sent, after_kill + 100).await;
    stop.store(true, Ordering::Relaxed);
    for worker in load {
        worker.await.unwrap();
    }
    stack.fakes().iter().for_each(|fake| fake.open(&gate));
    for request in held {
        let reply = request.await.unwrap().unwrap();
        assert_eq!(reply.status, 200, "a request without response headers was lost: {}", reply.text());
        assert_ne!(served_by(&reply), dead);
    }
    let failures = failures.lock().await;
    assert!(failures.is_empty(), "{} requests failed: {failures:?}", failures.len());
    let after = map(stack, model).await;
    for (conversation, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_ne!(after, dead);
        assert!(before == dead || before == after, "conversation {conversation} moved from {before} to {after}");
    }
}

async fn reach(counter: &AtomicUsize, target: usize) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while counter.load(Ordering::Relaxed) < target {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("the load goes on");
}

async fn addresses_fail_over(stack: Arc<Stack>) {
    kill_under_load(&stack, "pool", "p2").await;
}

async fn routed_requests_fail_over(stack: Arc<Stack>) {
    kill_under_load(&stack, "auto", "r1").await;
}

async fn host_names_fail_over(stack: Arc<Stack>) {
    kill_under_load(&stack, "named", "n3").await;
}

/// `retry.on: connect`: a request that a backend has taken is not sent twice.
async fn what_may_not_be_retried_is_503(stack: Arc<Stack>) {
    let reply = stack.chat(&behaving("once", &Behaviour { reset: true, ..Behaviour::default() })).await.unwrap();
    assert_error(&reply, 503, "upstream_unavailable");
    let seen: usize = ["o1", "o2", "o3"].iter().map(|name| stack.fake(name).unwrap().requests().len()).sum();
    assert_eq!(seen, 1);
}
