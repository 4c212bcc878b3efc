//! The headers that backends and clients get, and those that no client may send.

use std::sync::Arc;

use fingerpost_testbed::{
    client::Call,
    harness::{Classifier, EndpointSetup, ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};

use crate::{
    common::{chat, through},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "headers",
        boot,
        [
            a_routed_request,
            a_named_request,
            a_request_id_is_made,
            forged_headers_are_stripped,
            forged_headers_are_stripped_on_passthrough,
            the_classifier_gets_the_trace,
        ]
    )
}

async fn boot() -> Result<Stack, StackError> {
    let endpoints = vec![EndpointSetup::named("one"), EndpointSetup::named("two"), EndpointSetup::named("three")];
    Stack::builder()
        .model(ModelSetup::with("pool", endpoints))
        .model(ModelSetup::named("general"))
        .decision("category == 'math'", "pool")
        .field("passthrough", serde_json::json!([{ "path": "/v1/audio/", "model": "pool" }]))
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.875)))
        .start()
        .await
}

const NAMES: [&str; 3] = ["one", "two", "three"];

async fn a_routed_request(stack: Arc<Stack>) {
    let (reply, seen) = through(&stack, Call::chat(&chat("auto", "2+2?"))).await;
    let endpoint = seen.header("x-semantic-destination-endpoint").unwrap();
    assert!(NAMES.contains(&endpoint), "{endpoint}");
    assert!(stack.fake(endpoint).unwrap().requests().contains(&seen));
    assert_eq!(seen.header("x-selected-model"), Some("pool"));
    assert_eq!(seen.header("x-routing-confidence"), Some("0.875"));
    for name in ["x-gateway-destination-endpoint", "x-fingerpost-affinity"] {
        assert_eq!(seen.header(name), None);
    }
    assert!(seen.headers.iter().all(|(name, _)| !name.starts_with("x-envoy-")), "{:?}", seen.headers);
    assert_eq!(reply.header("x-selected-model"), Some("pool"));
    assert_eq!(reply.header("x-semantic-destination-endpoint"), Some(endpoint));
    for name in ["x-processing-time", "x-classification-time"] {
        assert!(reply.header(name).is_some_and(|value| value.parse::<u64>().is_ok()), "{name}: {:?}", reply.headers);
    }
    for name in ["x-routing-fallback", "x-gateway-destination-endpoint", "x-fingerpost-affinity"] {
        assert_eq!(reply.header(name), None);
    }
}

async fn a_named_request(stack: Arc<Stack>) {
    let (reply, seen) = through(&stack, Call::chat(&chat("general", "2+2?"))).await;
    assert_eq!(seen.header("x-selected-model"), Some("general"));
    assert_eq!(seen.header("x-semantic-destination-endpoint"), Some("general"));
    assert_eq!(seen.header("x-routing-confidence"), None);
    assert!(reply.header("x-processing-time").is_some_and(|value| value.parse::<u64>().is_ok()));
    assert_eq!(reply.header("x-classification-time"), None);
}

async fn a_request_id_is_made(stack: Arc<Stack>) {
    let reply = stack.send(Call::chat(&chat("general", "id please")).header("x-mark", "made-id")).await.unwrap();
    let seen = stack.fake("general").unwrap().find(|request| request.header("x-mark") == Some("made-id")).unwrap();
    let id = seen.header("x-request-id").unwrap();
    assert!(id.len() >= 32, "{id}");
    assert_eq!(reply.header("x-request-id"), Some(id));
}

const FORGED: [&str; 11] = [
    "x-selected-model",
    "x-semantic-destination-endpoint",
    "x-semantic-anything",
    "x-gateway-destination-endpoint",
    "x-fingerpost-affinity",
    "x-fingerpost-other",
    "x-routing-confidence",
    "x-routing-fallback",
    "x-cache-status",
    "X-Selected-Model",
    "x-processing-time",
];

fn forge(mut call: Call) -> Call {
    for name in FORGED {
        call = call.header(name, "forged").header(name, "127.0.0.1:1");
    }
    call
}

async fn assert_stripped(stack: &Stack, call: Call) {
    let (reply, seen) = through(stack, forge(call)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for (name, value) in &seen.headers {
        let value = String::from_utf8_lossy(value);
        assert!(value != "forged" && value != "127.0.0.1:1", "{name}: {value} reached the backend");
    }
    for name in ["x-selected-model", "x-semantic-destination-endpoint"] {
        assert_eq!(seen.headers.iter().filter(|(known, _)| known == name).count(), 1, "{name}");
    }
    assert!(reply.headers.values().all(|value| value.as_bytes() != b"forged"), "{:?}", reply.headers);
}

async fn forged_headers_are_stripped(stack: Arc<Stack>) {
    for model in ["auto", "pool", "general"] {
        assert_stripped(&stack, Call::chat(&chat(model, "forged?"))).await;
    }
}

async fn forged_headers_are_stripped_on_passthrough(stack: Arc<Stack>) {
    assert_stripped(&stack, Call::post("/v1/audio/speech", "RIFF")).await;
}

async fn the_classifier_gets_the_trace(stack: Arc<Stack>) {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let call = Call::chat(&chat("auto", "trace me")).header("traceparent", trace);
    let (_, seen) = through(&stack, call).await;
    let id = seen.header("x-request-id").unwrap();
    let calls = stack.stub().unwrap().calls();
    let call = calls.iter().find(|call| call.metadata.get("x-request-id").is_some_and(|value| value == id)).unwrap();
    assert_eq!(call.metadata.get("traceparent").unwrap(), trace);
    assert_eq!(call.request.segments[0].text, "trace me");
    assert!(call.metadata.get("authorization").is_none());
}
