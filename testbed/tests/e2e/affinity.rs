//! A conversation stays on its endpoint; endpoints get their share.

use std::{collections::HashMap, sync::Arc};

use fingerpost_testbed::{
    client::Call,
    harness::{Classifier, EndpointSetup, ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    common::{chat, served_by},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "affinity",
        boot,
        [
            a_growing_conversation_stays,
            host_names_keep_conversations_too,
            routed_conversations_stay,
            a_cache_key_names_the_conversation,
            a_session_header_names_the_conversation,
            system_prompt_and_tools_belong_to_the_key,
            shares_follow_weights,
        ]
    )
}

async fn boot() -> Result<Stack, StackError> {
    let endpoint = |name: &str, weight| EndpointSetup { weight, ..EndpointSetup::named(name) };
    let host = |name: &str| EndpointSetup { host: Some("localhost"), ..EndpointSetup::named(name) };
    Stack::builder()
        .model(ModelSetup::with("pool", vec![endpoint("one", 1), endpoint("two", 1), endpoint("three", 1)]))
        .model(ModelSetup::with("weighted", vec![endpoint("w1", 1), endpoint("w2", 2), endpoint("w5", 5)]))
        .model(ModelSetup::with("named", vec![host("n1"), host("n2"), host("n3")]))
        .decision("category == 'math'", "pool")
        .field("affinity", json!({ "session_header": "x-session" }))
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.9)))
        .start()
        .await
}

/// The endpoint that serves, as the header and the backend itself agree.
async fn endpoint(stack: &Stack, call: Call) -> String {
    let reply = stack.send(call).await.unwrap();
    let served = served_by(&reply);
    assert_eq!(reply.header("x-semantic-destination-endpoint"), Some(served.as_str()));
    served
}

fn grown(model: &str, conversation: usize, turns: usize) -> Value {
    let mut messages = vec![json!({ "role": "system", "content": "Be kind." })];
    for turn in 0..=turns {
        messages.push(json!({ "role": "user", "content": format!("conversation {conversation}, turn {turn}") }));
        if turn < turns {
            messages.push(json!({ "role": "assistant", "content": format!("answer {turn}") }));
        }
    }
    json!({ "model": model, "messages": messages })
}

async fn stays(stack: &Stack, model: &str) -> HashMap<String, usize> {
    let mut shares = HashMap::new();
    for conversation in 0..24 {
        let first = endpoint(stack, Call::chat(&grown(model, conversation, 0))).await;
        for turns in [1, 2, 5] {
            assert_eq!(
                endpoint(stack, Call::chat(&grown(model, conversation, turns))).await,
                first,
                "conversation {conversation}"
            );
        }
        *shares.entry(first).or_default() += 1;
    }
    assert_eq!(shares.len(), 3, "{shares:?}");
    shares
}

async fn a_growing_conversation_stays(stack: Arc<Stack>) {
    stays(&stack, "pool").await;
}

async fn host_names_keep_conversations_too(stack: Arc<Stack>) {
    stays(&stack, "named").await;
}

async fn routed_conversations_stay(stack: Arc<Stack>) {
    stays(&stack, "auto").await;
}

async fn a_cache_key_names_the_conversation(stack: Arc<Stack>) {
    let call = |key: &str, prompt: usize| {
        let mut request = chat("pool", &format!("prompt {prompt}"));
        request["prompt_cache_key"] = json!(key);
        Call::chat(&request).header("x-session", format!("s{prompt}"))
    };
    let mut endpoints = Vec::new();
    for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        let first = endpoint(&stack, call(key, 0)).await;
        for prompt in 1..5 {
            assert_eq!(endpoint(&stack, call(key, prompt)).await, first);
        }
        endpoints.push(first);
    }
    endpoints.sort();
    endpoints.dedup();
    assert!(endpoints.len() > 1);
}

async fn a_session_header_names_the_conversation(stack: Arc<Stack>) {
    let mut endpoints = Vec::new();
    for session in 0..10 {
        let call = |prompt: usize| {
            Call::chat(&chat("pool", &format!("prompt {prompt}"))).header("x-session", format!("session-{session}"))
        };
        let first = endpoint(&stack, call(0)).await;
        for prompt in 1..5 {
            assert_eq!(endpoint(&stack, call(prompt)).await, first);
        }
        endpoints.push(first);
    }
    endpoints.sort();
    endpoints.dedup();
    assert!(endpoints.len() > 1);
}

async fn system_prompt_and_tools_belong_to_the_key(stack: Arc<Stack>) {
    let (mut by_system, mut by_tools) = (Vec::new(), Vec::new());
    for n in 0..16 {
        let user = json!({ "role": "user", "content": "the same question" });
        let system = json!({ "role": "system", "content": format!("system {n}") });
        by_system.push(endpoint(&stack, Call::chat(&json!({ "model": "pool", "messages": [system, user] }))).await);
        let tools = json!([{ "type": "function", "function": { "name": format!("f{n}"), "parameters": {} } }]);
        by_tools
            .push(endpoint(&stack, Call::chat(&json!({ "model": "pool", "tools": tools, "messages": [user] }))).await);
    }
    for mut endpoints in [by_system, by_tools] {
        endpoints.sort();
        endpoints.dedup();
        assert!(endpoints.len() > 1, "{endpoints:?}");
    }
}

async fn shares_follow_weights(stack: Arc<Stack>) {
    const REQUESTS: usize = 800;
    let endpoints: Vec<String> = stream::iter(0..REQUESTS)
        .map(|n| {
            let stack = Arc::clone(&stack);
            async move { endpoint(&stack, Call::chat(&chat("weighted", &format!("weigh {n}")))).await }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    for (name, share) in [("w1", 1.0 / 8.0), ("w2", 2.0 / 8.0), ("w5", 5.0 / 8.0)] {
        let got = endpoints.iter().filter(|endpoint| *endpoint == name).count() as f64 / REQUESTS as f64;
        assert!((got - share).abs() < 0.06, "{name}: {got} instead of {share}");
    }
}
