//! `routing_metadata`: added to plain chat completions and to nothing else, without touching the rest.

use std::sync::Arc;

use fingerpost_testbed::{
    client::{Call, Reply},
    fake::Behaviour,
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
        "metadata",
        boot,
        [
            fields_of_a_routed_completion,
            fields_of_a_named_completion,
            the_rest_is_byte_for_byte,
            odd_answers_are_annotated_or_left_alone,
            errors_are_left_alone,
            streams_are_left_alone,
            other_apis_are_left_alone,
        ]
    )
}

pub(crate) fn off() -> Suite {
    suite!("metadata_off", boot_off, [nothing_is_added])
}

fn builder() -> fingerpost_testbed::harness::Builder {
    Stack::builder()
        .model(ModelSetup::named("math-expert"))
        .model(ModelSetup::named("general"))
        .decision("category == 'math'", "math-expert")
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.75)))
}

async fn boot() -> Result<Stack, StackError> {
    builder().start().await
}

async fn boot_off() -> Result<Stack, StackError> {
    builder().field("routing_metadata", json!(false)).start().await
}

async fn fields_of_a_routed_completion(stack: Arc<Stack>) {
    let (reply, _) = through(&stack, Call::chat(&chat("auto", "2+2?"))).await;
    let json = reply.json();
    let metadata = &json["routing_metadata"];
    for (field, expected) in [
        ("selected_model", json!("math-expert")),
        ("confidence", json!(0.75)),
        ("category", json!("math")),
        ("decision", json!("math-expert-rule-0")),
        ("endpoint", json!("math-expert")),
        ("cache_hit", json!(false)),
    ] {
        assert_eq!(metadata[field], expected, "{field}: {metadata}");
    }
    let header = |name: &str| reply.header(name).unwrap().parse::<u64>().unwrap();
    assert_eq!(metadata["processing_time_ms"], header("x-processing-time"));
    assert_eq!(metadata["classification_time_ms"], header("x-classification-time"));
}

async fn fields_of_a_named_completion(stack: Arc<Stack>) {
    let (reply, _) = through(&stack, Call::chat(&chat("general", "2+2?"))).await;
    let json = reply.json();
    let metadata = &json["routing_metadata"];
    assert_eq!((&metadata["selected_model"], &metadata["endpoint"]), (&json!("general"), &json!("general")));
    assert!(metadata["processing_time_ms"].is_u64(), "{metadata}");
    for field in ["confidence", "category", "decision"] {
        assert!(metadata[field].is_null(), "{field}: {metadata}");
    }
}

/// What the backend says when it is asked directly.
async fn direct(stack: &Stack, request: &Value) -> Reply {
    Call::chat(request).send(stack.fake("general").unwrap().address()).await.unwrap()
}

/// The answer without its first member.
fn without_metadata(reply: &Reply) -> String {
    let text = reply.text();
    let rest = text.trim_start().strip_prefix("{\"routing_metadata\":");
    let rest = rest.unwrap_or_else(|| panic!("no routing_metadata in {text}"));
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    assert!(values.next().is_some_and(|value| value.is_ok_and(|value| value.is_object())), "{text}");
    // White space that stood behind the brace stands before the comma now.
    let rest = rest.split_at(values.byte_offset()).1;
    format!("{{{}", rest.replacen(',', "", 1))
}

async fn the_rest_is_byte_for_byte(stack: Arc<Stack>) {
    for behaviour in [
        Behaviour::default(),
        Behaviour { chunked: true, ..Behaviour::default() },
        Behaviour { chunk_bytes: 1, ..Behaviour::default() },
        Behaviour { chunk_bytes: 7, ..Behaviour::default() },
        Behaviour { answer_bytes: 3_000_000, ..Behaviour::default() },
        Behaviour { answer_bytes: 300_000, chunked: true, ..Behaviour::default() },
    ] {
        let request = behaving("general", &behaviour);
        let (reply, _) = through(&stack, Call::chat(&request)).await;
        assert_eq!(reply.status, 200);
        assert!(without_metadata(&reply) == direct(&stack, &request).await.text(), "{behaviour:?}");
        if let Some(length) = reply.header("content-length") {
            assert_eq!(length.parse(), Ok(reply.body.len()));
        }
    }
}

async fn answer(stack: &Stack, body: &str, kind: Option<&str>, chunk_bytes: usize) -> Reply {
    let content_type = kind.map(str::to_owned);
    let behaviour = Behaviour { body: Some(body.to_owned()), content_type, chunk_bytes, ..Behaviour::default() };
    through(stack, Call::chat(&behaving("general", &behaviour))).await.0
}

async fn odd_answers_are_annotated_or_left_alone(stack: Arc<Stack>) {
    for chunk_bytes in [0, 1, 3] {
        for body in ["{ \"a\" : 1.0 }", "{\"a\":\"}\"}\r\n ", "{\"a\":{\"b\":[{}]}}\n", "{\"x\":1e400,\"x\":2}"] {
            let reply = answer(&stack, body, None, chunk_bytes).await;
            assert!(
                reply.text().contains(r#""routing_metadata":{"selected_model":"general""#),
                "{body:?} -> {}",
                reply.text()
            );
            assert_eq!(without_metadata(&reply), body);
        }
        // That an object never ends cannot be known at its start.
        assert_eq!(without_metadata(&answer(&stack, "{\"cut\":", None, chunk_bytes).await), "{\"cut\":");
        let empty = answer(&stack, "{}", None, chunk_bytes).await;
        assert!(empty.text() == "{}" || empty.json()["routing_metadata"].is_object(), "{}", empty.text());
        for body in ["[]", "null", "\"}\"", "", "}", "served", "[{}]"] {
            assert_eq!(answer(&stack, body, None, chunk_bytes).await.text(), body);
        }
        for kind in ["text/plain", "application/octet-stream", "text/event-stream"] {
            assert_eq!(answer(&stack, "{\"a\":1}", Some(kind), chunk_bytes).await.text(), "{\"a\":1}", "{kind}");
        }
    }
    let (reply, _) =
        through(&stack, Call::chat(&behaving("general", &Behaviour { garbage: true, ..Behaviour::default() }))).await;
    assert_eq!(&reply.body[..], b"\x00\xff{\"choices\": garbage");
}

async fn errors_are_left_alone(stack: Arc<Stack>) {
    for status in [400, 401, 404, 429, 500, 503] {
        let request = behaving("general", &Behaviour { status, ..Behaviour::default() });
        let (reply, _) = through(&stack, Call::chat(&request)).await;
        assert_eq!((reply.status, reply.text()), (status, direct(&stack, &request).await.text()));
        assert_eq!(reply.header("retry-after"), (status == 429).then_some("7"));
        assert_eq!(reply.header("x-selected-model"), Some("general"));
    }
}

async fn streams_are_left_alone(stack: Arc<Stack>) {
    let mut request = chat("general", "stream it");
    request["stream"] = json!(true);
    let (reply, _) = through(&stack, Call::chat(&request)).await;
    assert_eq!(reply.text(), direct(&stack, &request).await.text());
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("x-selected-model"), Some("general"));
}

async fn other_apis_are_left_alone(stack: Arc<Stack>) {
    for path in ["/v1/completions", "/v1/embeddings"] {
        let (reply, _) = through(&stack, Call::post(path, r#"{"model":"general","input":"x","prompt":"x"}"#)).await;
        assert!(reply.status == 200 && reply.json()["routing_metadata"].is_null(), "{}", reply.text());
    }
}

async fn nothing_is_added(stack: Arc<Stack>) {
    for model in ["general", "auto"] {
        let (reply, _) = through(&stack, Call::chat(&chat(model, "2+2?"))).await;
        assert!(reply.status == 200 && reply.json()["routing_metadata"].is_null(), "{}", reply.text());
        assert!(reply.header("x-selected-model").is_some());
    }
    let request = chat("general", "2+2?");
    let (reply, _) = through(&stack, Call::chat(&request)).await;
    assert_eq!(reply.text(), direct(&stack, &request).await.text());
}
