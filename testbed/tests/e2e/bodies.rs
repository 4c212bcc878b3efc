//! Request bodies reach the backend byte for byte but for the model.

use std::sync::Arc;

use bytes::Bytes;
use fingerpost_testbed::{
    client::{Call, Framing},
    harness::{ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::{
    common::{assert_error, through},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "bodies",
        boot,
        [
            all_but_the_model_is_as_sent,
            generated_bodies_are_as_sent,
            an_escaped_model_is_understood,
            other_apis_pass_with_a_named_model,
            auto_needs_a_chat,
            a_key_that_is_ambiguous_is_refused,
            twenty_megabytes_pass,
            every_framing_passes,
        ]
    )
}

async fn boot() -> Result<Stack, StackError> {
    Stack::builder()
        .model(ModelSetup::named("small").field("upstream_name", json!("a \"quoted\" name")))
        .model(ModelSetup::named("general"))
        .decision("category == 'math'", "small")
        .classifier(fingerpost_testbed::harness::Classifier::Stub(StubBehaviour::verdict("other", 0.8)))
        .start()
        .await
}

const ODD: &str = concat!(
    "{ \"zz\":null,\t\"n\":1.0, \"big\":1e400,\"tiny\":-0.0e-999, \"id\":12345678901234567890,\"id\":1.10 ,\r\n",
    "\"escapes\":\"\\u00e9\\/\\ud83d\\ude00 é 😀\\b\\f\", \"model\" : MODEL ,\"a\":[ 1 , [ ] ,{ }],",
    "\"messages\":[{\"content\":\"hi \\u0041\\n\",\"role\":\"user\",\"x\":{\"b\":1,\"a\":2,\"b\":3}}],\"model2\":\"auto\",",
    "\"temperature\":0.70,\"\":\"\",\"stream_options\":{\"model\":\"auto\"} }\n"
);

async fn passes(stack: &Stack, template: &str, sent: &str, expected: &str) {
    let body = template.replace("MODEL", sent);
    let (reply, seen) = through(stack, Call::post("/v1/chat/completions", body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(String::from_utf8_lossy(&seen.body), template.replace("MODEL", expected));
    assert_eq!(seen.header("content-length").map(str::parse), Some(Ok(seen.body.len())));
}

async fn all_but_the_model_is_as_sent(stack: Arc<Stack>) {
    passes(&stack, ODD, "\"auto\"", "\"general\"").await;
    passes(&stack, ODD, "\"general\"", "\"general\"").await;
    passes(&stack, ODD, "\"small\"", r#""a \"quoted\" name""#).await;
}

/// A JSON value with every spelling that a re-serialiser would change.
fn value(rng: &mut StdRng, depth: u32) -> String {
    const NUMBERS: [&str; 7] = ["1.0", "1e400", "-0", "12345678901234567890", "1E+5", "0.10", "100"];
    const STRINGS: [&str; 6] =
        ["\"\"", "\"\\u0041\\/\"", "\"é\\n\"", "\"\\ud83d\\ude00\"", "\"auto\"", "\"\\\"model\\\":\""];
    const SPACES: [&str; 4] = ["", " ", "\n", "\t  "];
    let space = SPACES[rng.random_range(0..SPACES.len())];
    let inner = |rng: &mut StdRng| -> Vec<usize> { (0..rng.random_range(0..4)).collect() };
    let text = match rng.random_range(0..if depth == 0 { 4 } else { 6 }) {
        0 => NUMBERS[rng.random_range(0..NUMBERS.len())].to_owned(),
        1 => STRINGS[rng.random_range(0..STRINGS.len())].to_owned(),
        2 => "null".to_owned(),
        3 => "true".to_owned(),
        4 => {
            let items: Vec<String> = inner(rng).iter().map(|_| value(rng, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let items: Vec<String> =
                inner(rng).iter().map(|key| format!("\"k{}\":{}", key % 2, value(rng, depth - 1))).collect();
            format!("{{{}}}", items.join(","))
        }
    };
    format!("{space}{text}{space}")
}

async fn generated_bodies_are_as_sent(stack: Arc<Stack>) {
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..60 {
        let unknown = |rng: &mut StdRng| format!("\"unknown\":{},\"other\":{}", value(rng, 3), value(rng, 2));
        let message = format!("{{\"role\":\"user\",\"meta\":{},\"content\":\"hello\"}}", value(&mut rng, 2));
        let template =
            format!("{{{},\"model\":MODEL,\"messages\":[{message}],{}}}", unknown(&mut rng), unknown(&mut rng));
        passes(&stack, &template, "\"auto\"", "\"general\"").await;
    }
}

async fn an_escaped_model_is_understood(stack: Arc<Stack>) {
    passes(&stack, ODD, "\"\\u0061uto\"", "\"general\"").await;
    passes(&stack, ODD, "\"gener\\u0061l\"", "\"general\"").await;
}

async fn other_apis_pass_with_a_named_model(stack: Arc<Stack>) {
    for (path, object) in [("/v1/completions", "text_completion"), ("/v1/embeddings", "list")] {
        let body = "{\"input\":\"x\", \"prompt\" : \"x\",\"model\":\"small\",\"n\":1.0}";
        let (reply, seen) = through(&stack, Call::post(path, body)).await;
        assert_eq!((reply.status, &reply.json()["object"]), (200, &json!(object)));
        assert_eq!(seen.target, path);
        assert_eq!(seen.body, body.replace("\"small\"", r#""a \"quoted\" name""#));
    }
}

async fn auto_needs_a_chat(stack: Arc<Stack>) {
    for path in ["/v1/completions", "/v1/embeddings"] {
        let reply = stack.send(Call::post(path, r#"{"model":"auto","input":"x"}"#)).await.unwrap();
        assert_eq!(assert_error(&reply, 400, "auto_not_supported")["param"], "model");
    }
}

async fn a_key_that_is_ambiguous_is_refused(stack: Arc<Stack>) {
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    for body in [
        format!(r#"{{"model":"general","model":"small",{messages}}}"#),
        format!(r#"{{"model":"general","\u006dodel":"small",{messages}}}"#),
        format!(r#"{{"model":"general","Model":"small",{messages}}}"#),
        format!(r#"{{"MODEL":"general",{messages}}}"#),
        format!(r#"{{"model":"general",{messages},{messages}}}"#),
        format!(r#"{{"model":"general",{messages},"Messages":[]}}"#),
        format!(r#"{{"model":"general",{messages},"stream":false,"stream":true}}"#),
        format!(r#"{{"model":"general",{messages},"ſtream":true}}"#),
        format!(r#"{{"model":"general",{messages},"tools":[],"Tools":[]}}"#),
        format!(r#"{{"model":"general",{messages},"prompt_cache_key":"a","prompt_cache_key":"b"}}"#),
        r#"{"model":"general","messages":[{"role":"user","content":"x","content":"y"}]}"#.to_owned(),
        r#"{"model":"general","messages":[{"role":"user","Role":"system","content":"x"}]}"#.to_owned(),
        r#"{"model":"general","messages":[{"role":"user","content":"x","CONTENT":"y"}]}"#.to_owned(),
    ] {
        let reply = stack.send(Call::post("/v1/chat/completions", body.clone())).await.unwrap();
        assert_eq!(reply.json()["error"]["code"], "ambiguous_key", "{body}");
        assert_error(&reply, 400, "ambiguous_key");
    }
}

fn image(model: &str, bytes: usize) -> String {
    let data = "iVBORw0KGgo".repeat(bytes / 11);
    let image = json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{data}") } });
    let parts = json!([{ "type": "text", "text": "what is this?" }, image]);
    json!({ "model": model, "messages": [{ "role": "user", "content": parts }] }).to_string()
}

async fn twenty_megabytes_pass(stack: Arc<Stack>) {
    for model in ["general", "auto"] {
        let body = image(model, 20 * 1024 * 1024);
        let (reply, seen) = through(&stack, Call::post("/v1/chat/completions", body.clone())).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(
            seen.body == body.replace(&format!("\"model\":\"{model}\""), "\"model\":\"general\""),
            "{} bytes",
            seen.body.len()
        );
    }
}

async fn every_framing_passes(stack: Arc<Stack>) {
    let body = Bytes::from(image("auto", 300_000));
    for framing in [Framing::Sized, Framing::Chunked, Framing::H2] {
        let (reply, seen) = through(&stack, Call::post("/v1/chat/completions", body.clone()).framed(framing)).await;
        assert_eq!((reply.status, seen.body.len()), (200, body.len() + 3), "{framing:?} {}", reply.text());
    }
}
