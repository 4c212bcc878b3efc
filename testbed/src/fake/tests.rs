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

fn respond(input: &str) -> Value {
    json!({ "model": "m", "input": input })
}

async fn create(fake: &Fake, request: &Value) -> Reply {
    Call::post("/v1/responses", request.to_string()).send(fake.address()).await.unwrap()
}

#[tokio::test]
async fn keeps_its_own_responses() {
    let (fake, other) = (fake().await, Fake::start(FakeOptions::named("two")).await.unwrap());
    let first = create(&fake, &respond("my name is Ada")).await.json();
    assert_eq!((&first["id"], first["output"][0]["role"].as_str()), (&json!("resp_fake_one_1"), Some("assistant")));
    let mut next = respond("What is my name?");
    next["previous_response_id"] = first["id"].clone();
    assert_eq!(create(&fake, &next).await.json()["output"][0]["content"][0]["text"], "Your name is Ada.");
    let refused = create(&other, &next).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!("previous_response_not_found")));
    let path = "/v1/responses/resp_fake_one_1";
    assert_eq!(Call::get(path).send(fake.address()).await.unwrap().json(), first);
    assert_eq!(Call::get(path).send(other.address()).await.unwrap().status, 404);
    let listed = Call::get(format!("{path}/input_items")).send(fake.address()).await.unwrap().json();
    assert_eq!(listed["data"][0]["content"][0]["text"], "my name is Ada");
    let deleted = Call::new(hyper::Method::DELETE, path).send(fake.address()).await.unwrap().json();
    assert_eq!((&deleted["deleted"], fake.responses()), (&json!(true), vec!["resp_fake_one_2".to_owned()]));
}

#[tokio::test]
async fn background_responses_take_their_time() {
    let fake = fake().await;
    let mut request = respond("later");
    request["background"] = json!(true);
    let mut statuses = vec![create(&fake, &request).await.json()["status"].clone()];
    for _ in 0..2 {
        let polled = Call::get("/v1/responses/resp_fake_one_1").send(fake.address()).await.unwrap();
        statuses.push(polled.json()["status"].clone());
    }
    assert_eq!(statuses, ["queued", "in_progress", "completed"]);
    let cancel = Call::post("/v1/responses/resp_fake_one_1/cancel", "").send(fake.address()).await.unwrap();
    assert_eq!(cancel.status, 400);
}

#[tokio::test]
async fn streams_responses_with_numbers() {
    let fake = fake().await;
    let mut request = respond("flow");
    request["stream"] = json!(true);
    let text = create(&fake, &request).await.text();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert!(events.iter().enumerate().all(|(number, event)| event["sequence_number"] == number), "{text}");
    assert_eq!(events.last().unwrap()["type"], "response.completed");
}

#[tokio::test]
async fn says_what_it_is_told_to() {
    let fake = fake().await;
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let behaviour = Behaviour { message: Some(message.clone()), ..Behaviour::default() };
    assert_eq!(ask(&fake, &behaviour, false).await.unwrap().json()["choices"][0]["message"], message);
    let streamed = ask(&fake, &behaviour, true).await.unwrap().text();
    assert!(
        streamed.contains(r#""arguments":"{\"a""#) && streamed.contains(r#""finish_reason":"tool_calls""#),
        "{streamed}"
    );
    let cut = Behaviour { frames: Some(vec!["{}".to_owned()]), ..Behaviour::default() };
    assert!(ask(&fake, &cut, true).await.unwrap().text().ends_with("data: {}\n\n"));
}
