//! Streams flow as they are produced, whatever their splits, and break where the backend breaks.

use std::{sync::Arc, time::Duration};

use fingerpost_testbed::{
    client::{Call, ClientError, Framing},
    fake::{Behaviour, Fake},
    harness::{Classifier, ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};
use serde_json::{Value, json};

use crate::{
    common::{behaving, chat, through},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "streaming",
        boot,
        [
            chunks_arrive_as_they_are_produced,
            any_split_arrives_unchanged,
            usage_and_tools_arrive,
            a_broken_stream_is_broken_for_the_client,
            a_plain_answer_cut_short_is_an_error,
            a_client_that_hangs_up_ends_the_upstream,
            garbage_passes,
        ]
    )
}

async fn boot() -> Result<Stack, StackError> {
    Stack::builder()
        .model(ModelSetup::named("math-expert"))
        .model(ModelSetup::named("general"))
        .decision("category == 'math'", "math-expert")
        .classifier(Classifier::Stub(StubBehaviour::verdict("other", 0.75)))
        .start()
        .await
}

fn backend(stack: &Stack) -> &Fake {
    stack.fake("general").unwrap()
}

fn streamed(model: &str, behaviour: &Behaviour) -> Value {
    let mut request = behaving(model, behaviour);
    request["stream"] = json!(true);
    request
}

async fn chunks_arrive_as_they_are_produced(stack: Arc<Stack>) {
    for (model, framing) in [("general", Framing::Sized), ("auto", Framing::Sized), ("auto", Framing::H2)] {
        let gate = format!("{model}-{framing:?}");
        let behaviour = Behaviour { chunk_gate: Some(gate.clone()), ..Behaviour::default() };
        let call = Call::chat(&streamed(model, &behaviour)).framed(framing);
        let mut stream = call.open(stack.address()).await.unwrap();
        assert_eq!(stream.status, 200);
        // The backend holds every chunk back until it is let go, so each that arrives was not waited for by a later one.
        for _ in 0..3 {
            backend(&stack).release(&gate, 1);
            let mut event = Vec::new();
            while !event.ends_with(b"\n\n") {
                event.extend_from_slice(&stream.next().await.unwrap().expect("more of the stream"));
            }
            assert_eq!(
                String::from_utf8_lossy(&event).matches("data: ").count(),
                1,
                "{}",
                String::from_utf8_lossy(&event)
            );
        }
        backend(&stack).open(&gate);
        assert!(stream.finish().await.unwrap().text().ends_with("data: [DONE]\n\n"));
    }
}

async fn any_split_arrives_unchanged(stack: Arc<Stack>) {
    for chunk_bytes in [1, 2, 3, 5, 7, 16, 61, 1000] {
        let request = streamed("general", &Behaviour { chunk_bytes, ..Behaviour::default() });
        let direct = Call::chat(&request).send(backend(&stack).address()).await.unwrap();
        for model in ["general", "auto"] {
            let mut request = request.clone();
            request["model"] = json!(model);
            let reply = stack.chat(&request).await.unwrap();
            assert_eq!(reply.text(), direct.text(), "{chunk_bytes}");
        }
    }
}

async fn usage_and_tools_arrive(stack: Arc<Stack>) {
    let mut request = chat("auto", "use the tool");
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    request["tools"] = json!([{ "type": "function", "function": { "name": "weather", "parameters": {} } }]);
    let (reply, seen) = through(&stack, Call::chat(&request)).await;
    assert!(
        reply.text().contains("\"total_tokens\":12") && reply.text().contains("\"name\":\"weather\""),
        "{}",
        reply.text()
    );
    assert_eq!(seen.json()["tools"], request["tools"]);
}

async fn a_broken_stream_is_broken_for_the_client(stack: Arc<Stack>) {
    for model in ["general", "auto"] {
        let request = streamed(model, &Behaviour { close_after: Some(2), ..Behaviour::default() });
        let mut stream = Call::chat(&request).open(stack.address()).await.unwrap();
        assert_eq!(stream.status, 200);
        let mut received = Vec::new();
        let end = loop {
            match stream.next().await {
                Ok(Some(piece)) => received.extend_from_slice(&piece),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(matches!(end, Some(ClientError::Hyper(_))), "a clean end would look like a whole answer");
        assert!(!String::from_utf8_lossy(&received).contains("[DONE]"));
    }
}

async fn a_plain_answer_cut_short_is_an_error(stack: Arc<Stack>) {
    let behaviour = Behaviour { close_after: Some(3), chunk_bytes: 20, ..Behaviour::default() };
    for model in ["general", "auto"] {
        let answer = stack.chat(&behaving(model, &behaviour)).await;
        assert!(matches!(answer, Err(ClientError::Hyper(_))), "{answer:?}");
    }
}

async fn a_client_that_hangs_up_ends_the_upstream(stack: Arc<Stack>) {
    let behaviour = Behaviour { chunk_gate: Some("hang-up".to_owned()), ..Behaviour::default() };
    let mut stream = Call::chat(&streamed("general", &behaviour)).open(stack.address()).await.unwrap();
    backend(&stack).release("hang-up", 1);
    assert!(stream.next().await.unwrap().is_some());
    let before = stack.stats().await.unwrap()["cluster.model_general.upstream_cx_destroy_local_with_active_rq"];
    drop(stream);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    // Envoy announces this in its statistics only.
    while stack.stats().await.unwrap()["cluster.model_general.upstream_cx_destroy_local_with_active_rq"] == before {
        assert!(tokio::time::Instant::now() < deadline, "the upstream request goes on");
    }
    assert_eq!(stack.chat(&chat("general", "still there?")).await.unwrap().status, 200);
}

async fn garbage_passes(stack: Arc<Stack>) {
    let behaviour = Behaviour { garbage: true, ..Behaviour::default() };
    let (reply, _) = through(&stack, Call::chat(&streamed("auto", &behaviour))).await;
    assert_eq!((reply.status, &reply.body[..]), (200, &b"\x00\xff{\"choices\": garbage"[..]));
}
