#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};

use super::{Behaviour, Fake, FakeOptions};
use crate::client::{Call, ClientError, Framing, Reply};

async fn fake() -> Fake {
    Fake::start(FakeOptions::named("one")).await.unwrap()
}

fn chat(prompt: &str, stream: bool) -> Value {
    json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": prompt }] })
}

async fn ask(fake: &Fake, behaviour: &Behaviour, stream: bool) -> Result<Reply, ClientError> {
    Call::chat(&chat(&behaviour.marker(), stream)).send(fake.address()).await
}

#[tokio::test]
async fn answers_and_records_as_received() {
    let fake = fake().await;
    let body = r#"{ "model":"m", "n":1.0, "n":1e400, "messages":[{"role":"user","content":"hi"}] }"#;
    let reply =
        Call::post("/v1/chat/completions?x=1", body).header("x-b", "2").header("x-a", "1").send(fake.address()).await;
    let reply = reply.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("served by one"), "{}", reply.text());
    let seen = fake.wait(Duration::from_secs(5), |_| true).await.unwrap();
    assert_eq!(seen.body, body);
    assert_eq!(seen.target, "/v1/chat/completions?x=1");
    assert_eq!((seen.header("x-a"), seen.header("x-b")), (Some("1"), Some("2")));
    let names: Vec<_> =
        seen.headers.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("x-")).collect();
    assert_eq!(names, ["x-b", "x-a"]);
}

#[tokio::test]
async fn streams_with_usage_and_splits_anywhere() {
    let fake = fake().await;
    let mut request = chat("hi", true);
    request["stream_options"] = json!({ "include_usage": true });
    let whole = Call::chat(&request).send(fake.address()).await.unwrap().body;
    let text = String::from_utf8(whole.to_vec()).unwrap();
    assert!(text.contains(r#""usage":{"#) && text.ends_with("data: [DONE]\n\n"), "{text}");
    fake.behave(Behaviour { chunk_bytes: 3, ..Behaviour::default() });
    let mut cut = Call::chat(&request).open(fake.address()).await.unwrap();
    assert!(cut.next().await.unwrap().unwrap().len() < whole.len());
    let rest = cut.finish().await.unwrap().body;
    assert!(whole.ends_with(&rest));
}

#[tokio::test]
async fn misbehaves_to_order() {
    let fake = fake().await;
    let limited = ask(&fake, &Behaviour { status: 429, ..Behaviour::default() }, false).await.unwrap();
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")));
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    let garbage = ask(&fake, &Behaviour { garbage: true, ..Behaviour::default() }, false).await.unwrap();
    assert_eq!((garbage.status, garbage.json()), (200, Value::Null));
    assert!(ask(&fake, &Behaviour { reset: true, ..Behaviour::default() }, false).await.is_err());
    let broken = Behaviour { close_after: Some(1), ..Behaviour::default() };
    assert!(matches!(ask(&fake, &broken, true).await, Err(ClientError::Hyper(_))));
    let big = ask(&fake, &Behaviour { answer_bytes: 100_000, ..Behaviour::default() }, false).await.unwrap();
    assert!(big.body.len() > 100_000);
}

#[tokio::test]
async fn a_gate_holds_chunks() {
    let fake = fake().await;
    let behaviour = Behaviour { chunk_gate: Some("g".to_owned()), ..Behaviour::default() };
    let mut stream = Call::chat(&chat(&behaviour.marker(), true)).open(fake.address()).await.unwrap();
    fake.release("g", 1);
    assert!(stream.next().await.unwrap().is_some());
    fake.open("g");
    assert!(stream.finish().await.unwrap().text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn speaks_http2_and_calls_tools() {
    let fake = fake().await;
    let mut request = chat("please use the tool", false);
    request["tools"] = json!([{ "type": "function", "function": { "name": "weather", "parameters": {} } }]);
    let reply = Call::chat(&request).framed(Framing::H2Trailers).send(fake.address()).await.unwrap();
    assert_eq!(reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "weather");
    let seen = fake.find(|_| true).unwrap();
    assert_eq!((seen.version.as_str(), seen.trailers.len()), ("HTTP/2.0", 1));
}

#[tokio::test]
async fn dies_and_comes_back() {
    let fake = fake().await;
    let behaviour = Behaviour { header_gate: Some("never".to_owned()), ..Behaviour::default() };
    let address = fake.address();
    let waiting = tokio::spawn(Call::chat(&chat(&behaviour.marker(), false)).send(address));
    fake.wait(Duration::from_secs(5), |_| true).await.unwrap();
    fake.kill().await;
    assert!(waiting.await.unwrap().is_err());
    assert!(matches!(Call::get("/v1/models").send(address).await, Err(ClientError::Io(_))));
    fake.revive().await.unwrap();
    assert_eq!(Call::get("/v1/models").send(address).await.unwrap().json()["data"][0]["id"], "one");
}

#[tokio::test]
async fn is_controlled_over_http() {
    let fake = fake().await;
    let set =
        Call::new(hyper::Method::PUT, "/__behaviour").body(r#"{"status":500}"#).send(fake.address()).await.unwrap();
    assert_eq!(set.json()["set"], true);
    assert_eq!(Call::chat(&chat("hi", false)).send(fake.address()).await.unwrap().status, 500);
    let requests = Call::get("/__requests").send(fake.address()).await.unwrap().json();
    assert_eq!(requests[0]["target"], "/v1/chat/completions");
    assert_eq!(requests.as_array().unwrap().len(), 1);
}
