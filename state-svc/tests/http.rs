//! What clients see, over a real socket, in OpenAI's shapes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(dead_code, reason = "the support module serves several tests")]

mod support;

use fingerpost_proto::state as wire;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{OWNER, Running, item, response, response_id, settings};
use wire::state_client::StateClient;

struct Client(Running);

impl Client {
    async fn new() -> Self {
        Self(Running::start(settings()).await)
    }

    async fn text(&self, method: Method, path: &str, body: impl Into<String>) -> (StatusCode, String) {
        let request = reqwest::Client::new().request(method, self.0.url(path)).header("x-fingerpost-owner", OWNER);
        let answer = request.body(body.into()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.text(method, path, body).await;
        (status.as_u16(), serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, Value::Null).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        self.call(Method::DELETE, path, Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::POST, path, body).await
    }

    async fn save(&self, conversation: u64, node: u64, parent: Option<u64>) {
        let mut client = StateClient::connect(self.0.url("")).await.unwrap();
        let request = wire::SaveResponseRequest {
            owner: OWNER.to_owned(),
            response_id: response_id(conversation, node),
            previous_response_id: parent.map(|node| response_id(conversation, node)).unwrap_or_default(),
            response: response(conversation, node).into_bytes(),
            input_items: vec![item(conversation, node, 0).into_bytes()],
            ..Default::default()
        };
        assert_eq!(client.save_response(request).await.unwrap().into_inner().failure, None);
    }
}

/// The names and numbers of a stream's events.
fn events(stream: &str) -> Vec<(String, u64)> {
    let events = stream.split("\n\n").filter_map(|frame| frame.lines().find_map(|line| line.strip_prefix("data: {")));
    let events = events.map(|json| serde_json::from_str::<Value>(&format!("{{{json}")).unwrap());
    events.map(|e| (e["type"].as_str().unwrap().to_owned(), e["sequence_number"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn a_stored_response_is_streamed_again_from_where_it_is_asked() {
    let client = Client::new().await;
    let output = json!([{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": "Hi 🦀", "annotations": [], "logprobs": []}]}]);
    let response = json!({"id": response_id(1, 1), "object": "response", "status": "completed", "output": output});
    let request = wire::SaveResponseRequest {
        owner: OWNER.to_owned(),
        response_id: response_id(1, 1),
        response: response.to_string().into_bytes(),
        ..Default::default()
    };
    let mut grpc = StateClient::connect(client.0.url("")).await.unwrap();
    assert_eq!(grpc.save_response(request).await.unwrap().into_inner().failure, None);
    let path = format!("/v1/responses/{}?stream=true", response_id(1, 1));
    let request = reqwest::Client::new().get(client.0.url(&path)).header("x-fingerpost-owner", OWNER);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    let stream = answer.text().await.unwrap();
    let expected = ["created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"];
    let expected =
        [&expected[..], &["output_text.done", "content_part.done", "output_item.done", "completed"]].concat();
    let expected = expected.into_iter().zip(0..).map(|(name, number)| (format!("response.{name}"), number));
    let expected: Vec<_> = expected.collect();
    assert_eq!(events(&stream), expected);
    assert!(stream.ends_with("data: [DONE]\n\n") && stream.contains("Hi 🦀"), "{stream}");
    let (_, rest) = client.text(Method::GET, &format!("{path}&starting_after=5"), "").await;
    assert_eq!(events(&rest), expected[6..]);
    let (status, refused) = client.get(&format!("{path}&starting_after=x")).await;
    assert_eq!((status, &refused["error"]["param"]), (400, &json!("starting_after")));
}

fn error(message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}})
}

#[tokio::test]
async fn a_response_is_given_byte_for_byte_and_deleted() {
    let client = Client::new().await;
    client.save(1, 1, None).await;
    let path = format!("/v1/responses/{}", response_id(1, 1));
    let (status, text) = client.text(Method::GET, &path, "").await;
    assert_eq!((status.as_u16(), text), (200, response(1, 1)));
    let (status, body) = client.post(&format!("{path}/cancel"), Value::Null).await;
    assert_eq!(status, 400);
    assert!(body["error"]["message"].as_str().unwrap().contains("background=true"), "{body}");
    let deleted = json!({"id": response_id(1, 1), "object": "response", "deleted": true});
    assert_eq!(client.delete(&path).await, (200, deleted));
    let missing = error(&format!("Response with id '{}' not found.", response_id(1, 1)));
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::GET, format!("{path}/input_items")),
        (Method::POST, format!("{path}/cancel")),
    ] {
        assert_eq!(client.call(method, &path, Value::Null).await, (404, missing.clone()));
    }
    assert_eq!(client.get("/v1/responses/nonsense").await, (404, error("Response with id 'nonsense' not found.")));
}

#[tokio::test]
async fn input_items_are_paged() {
    let client = Client::new().await;
    client.save(1, 1, None).await;
    client.save(1, 2, Some(1)).await;
    let path = format!("/v1/responses/{}/input_items", response_id(1, 2));
    let items = [item(1, 1, 0), item(1, 1, 0x8000), item(1, 2, 0)].map(|i| serde_json::from_str::<Value>(&i).unwrap());
    let (_, all) = client.get(&path).await;
    let newest_first = json!([items[2], items[1], items[0]]);
    let expected = json!({"object": "list", "data": newest_first, "first_id": items[2]["id"],
        "last_id": items[0]["id"], "has_more": false});
    assert_eq!(all, expected);
    let (_, page) = client.get(&format!("{path}?order=asc&limit=2&include[]=message.output_text.logprobs")).await;
    assert_eq!((&page["data"], &page["has_more"]), (&json!([items[0], items[1]]), &json!(true)));
    let after = items[1]["id"].as_str().unwrap();
    let (_, page) = client.get(&format!("{path}?order=asc&after={after}")).await;
    assert_eq!((&page["data"], &page["has_more"]), (&json!([items[2]]), &json!(false)));
    let last = items[0]["id"].as_str().unwrap();
    let (_, page) = client.get(&format!("{path}?after={last}")).await;
    assert_eq!(page, json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false}));
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=msg_no", "after"),
        ("include=everything", "include"),
        ("page=2", "page"),
    ] {
        let (status, body) = client.get(&format!("{path}?{query}")).await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!(param)), "{query}");
    }
}

#[tokio::test]
async fn conversations_are_made_changed_and_deleted() {
    let client = Client::new().await;
    let items = json!([{"role": "user", "content": "hi"}]);
    let (status, made) = client.post("/v1/conversations", json!({"metadata": {"topic": "demo"}, "items": items})).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!((status, &made["object"], &made["metadata"]), (200, &json!("conversation"), &json!({"topic": "demo"})));
    assert!(made["created_at"].is_u64() && id.len() == 37, "{made}");
    let path = format!("/v1/conversations/{id}");
    assert_eq!(client.get(&path).await, (200, made.clone()));
    let (_, list) = client.get(&format!("{path}/items")).await;
    let message = &list["data"][0];
    assert_eq!(message["content"], json!([{"type": "input_text", "text": "hi"}]));
    assert_eq!(
        (&message["type"], &message["role"], &message["status"]),
        (&json!("message"), &json!("user"), &json!("completed"))
    );
    assert!(message["id"].as_str().unwrap().starts_with(&format!("msg_{}", id.split_at(21).1)), "{message}");
    let (_, changed) = client.post(&path, json!({"metadata": {"topic": "other"}})).await;
    assert_eq!(changed["metadata"], json!({"topic": "other"}));
    let deleted = json!({"id": id, "object": "conversation.deleted", "deleted": true});
    assert_eq!(client.delete(&path).await, (200, deleted));
    let missing = error(&format!("Conversation with id '{id}' not found."));
    assert_eq!(client.get(&path).await, (404, missing.clone()));
    assert_eq!(client.post(&path, json!({"metadata": {}})).await, (404, missing.clone()));
    assert_eq!(client.get(&format!("{path}/items")).await, (404, missing));
    let (status, empty) = client.post("/v1/conversations", Value::Null).await;
    assert_eq!((status, &empty["metadata"]), (200, &json!({})));
}

#[tokio::test]
async fn items_come_and_go() {
    let client = Client::new().await;
    let (_, made) = client.post("/v1/conversations", json!({})).await;
    let path = format!("/v1/conversations/{}/items", made["id"].as_str().unwrap());
    let call = json!({"type": "function_call", "id": "fc_mine", "call_id": "c1", "name": "f", "arguments": "{}"});
    let items = json!([
        {"type": "message", "role": "assistant", "content": "hello"}, call,
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]);
    let (status, added) = client.post(&path, json!({"items": items})).await;
    assert_eq!((status, &added["object"], &added["has_more"]), (200, &json!("list"), &json!(false)));
    let ids: Vec<&str> = added["data"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap()).collect();
    assert!(ids[0].starts_with("msg_") && ids[1] == "fc_mine" && ids[2].starts_with("fco_"), "{ids:?}");
    assert_eq!((&added["first_id"], &added["last_id"]), (&json!(ids[0]), &json!(ids[2])));
    let (_, listed) = client.get(&format!("{path}?order=asc")).await;
    assert_eq!(listed["data"], added["data"]);
    assert_eq!(client.get(&format!("{path}/{}", ids[2])).await, (200, added["data"][2].clone()));
    let (status, twice) = client.post(&path, json!({"items": [call]})).await;
    assert_eq!((status, &twice["error"]["param"]), (400, &json!("items")));
    assert_eq!(client.delete(&format!("{path}/{}", ids[1])).await, (200, made.clone()));
    let missing = error("Item with id 'fc_mine' not found.");
    assert_eq!(client.get(&format!("{path}/fc_mine")).await, (404, missing.clone()));
    assert_eq!(client.delete(&format!("{path}/fc_mine")).await, (404, missing));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let client = Client::new().await;
    let (_, made) = client.post("/v1/conversations", json!({})).await;
    let items = format!("/v1/conversations/{}/items", made["id"].as_str().unwrap());
    let many: serde_json::Map<String, Value> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    let message = json!({"role": "user", "content": "x"});
    for (path, body, param) in [
        ("/v1/conversations", json!({"metadata": many}), json!("metadata")),
        ("/v1/conversations", json!({"metadata": {"k".repeat(65): "v"}}), json!("metadata")),
        ("/v1/conversations", json!({"metadata": {"k": "v".repeat(513)}}), json!("metadata.k")),
        ("/v1/conversations", json!({"metadata": {"k": 1}}), json!("metadata.k")),
        ("/v1/conversations", json!({"metadata": []}), json!("metadata")),
        ("/v1/conversations", json!({"items": vec![&message; 21]}), json!("items")),
        ("/v1/conversations", json!({"color": "red"}), Value::Null),
        (&items, json!({"items": []}), json!("items")),
        (&items, json!({}), Value::Null),
        (&items, json!({"items": [message, {"type": "telepathy"}]}), json!("items[1].type")),
        (&items, json!({"items": [{"type": "item_reference", "id": "msg_1"}]}), json!("items[0].type")),
        (&items, json!({"items": [{"type": "message", "role": "user"}]}), json!("items[0].content")),
        (&items, json!({"items": [{"role": "judge", "content": ""}]}), json!("items[0].role")),
        (
            &items,
            json!({"items": [{"role": "user", "content": [{"type": "smell"}]}]}),
            json!("items[0].content[0].type"),
        ),
        (&items, json!({"items": [{"type": "function_call", "call_id": "c"}]}), json!("items[0].name")),
        (&items, json!({"items": [{"role": "user", "content": "x", "id": 7}]}), json!("items[0].id")),
        (&items, json!({"items": ["x"]}), json!("items[0]")),
    ] {
        let (status, answer) = client.post(path, body.clone()).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &param), "{body} {answer}");
        assert_eq!(answer["error"]["type"], "invalid_request_error");
    }
    let (status, text) = client.text(Method::POST, "/v1/conversations", "{\"metadata\":").await;
    assert!(status == 400 && text.contains("does not read"), "{text}");
    let (status, text) = client.text(Method::POST, "/v1/conversations", " ".repeat(64 * 1024 + 1)).await;
    assert!(status == 413 && text.contains("request_too_large"), "{text}");
    let (status, text) = client.text(Method::PUT, "/v1/conversations", "").await;
    assert!(status == 405 && text.contains("invalid_request_error"), "{text}");
    let (status, text) = client.text(Method::GET, "/v2", "").await;
    assert!(status == 404 && text.contains("Invalid URL"), "{text}");
}

#[tokio::test]
async fn an_owner_is_needed() {
    let client = Client::new().await;
    client.save(1, 1, None).await;
    let url = client.0.url(&format!("/v1/responses/{}", response_id(1, 1)));
    let (http, mut statuses) = (reqwest::Client::new(), Vec::new());
    for owner in [None, Some(""), Some("tenant-b"), Some(OWNER)] {
        let request = http.get(&url);
        let request = owner.into_iter().fold(request, |request, owner| request.header("x-fingerpost-owner", owner));
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 404, 200]);
}

#[tokio::test]
async fn metrics_and_health_are_served_and_a_drain_ends() {
    let client = Client::new().await;
    client.save(1, 1, None).await;
    client.get(&format!("/v1/responses/{}", response_id(2, 1))).await;
    assert_eq!(client.text(Method::GET, "/health", "").await, (StatusCode::OK, "ok\n".to_owned()));
    let (_, text) = client.text(Method::GET, "/metrics", "").await;
    for line in [
        "semantic_router_state_operations_total{operation=\"save_response\",outcome=\"ok\"} 1",
        "semantic_router_state_operations_total{operation=\"get_response\",outcome=\"not_found\"} 1",
        "semantic_router_state_operation_duration_seconds_count{operation=\"save_response\"} 1",
        "semantic_router_state_conversations 1",
        "semantic_router_state_responses 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let address = client.0.address;
    client.0.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_an_older_key_made_is_found_changed_and_deleted() {
    let client = Client::new().await;
    client.save(1, 1, None).await;
    let (_, object) = client.post("/v1/conversations", json!({})).await;
    let call = async |method: Method, path: &str, older: &str| {
        let request = reqwest::Client::new().request(method, client.0.url(path));
        let request = request.header("x-fingerpost-owner", "rotated").header("x-fingerpost-older-owners", older);
        request.send().await.unwrap().status().as_u16()
    };
    for path in [
        format!("/v1/responses/{}", response_id(1, 1)),
        format!("/v1/conversations/{}", object["id"].as_str().unwrap()),
    ] {
        assert_eq!(call(Method::GET, &path, "a,b").await, 404, "{path}");
        assert_eq!(call(Method::GET, &path, &format!("a,{OWNER}")).await, 200, "{path}");
        assert_eq!(call(Method::DELETE, &path, OWNER).await, 200, "{path}");
        assert_eq!(client.get(&path).await.0, 404, "{path}");
    }
}
