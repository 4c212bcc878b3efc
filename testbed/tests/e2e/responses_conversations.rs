//! The Conversations API, and responses that read and append there.

use std::sync::Arc;

use fingerpost_testbed::{client::Call, harness::Stack, suite::Suite};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    cases,
    responses_common::{answered, ask, assistant, create, id, respond, streamed, text, translated, user, with},
};

pub(crate) fn cases(suite: Suite) -> Suite {
    cases!(
        suite,
        [comes_and_goes, items_come_and_go, turns_read_and_append, a_stream_appends_too, an_unknown_one_is_not_found]
    )
}

const PATH: &str = "/v1/conversations";

async fn conversation(stack: &Stack, body: &Value) -> Value {
    answered(stack.address(), Call::post(PATH, body.to_string())).await
}

async fn items(stack: &Stack, conversation: &Value) -> Vec<Value> {
    let list = answered(stack.address(), Call::get(format!("{PATH}/{}/items?order=asc", id(conversation)))).await;
    list["data"].as_array().expect("a list").clone()
}

fn texts(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(|item| item["content"][0]["text"].as_str()).collect()
}

async fn comes_and_goes(stack: Arc<Stack>) {
    let made = conversation(&stack, &json!({ "metadata": { "topic": "demo" } })).await;
    assert_eq!((&made["object"], &made["metadata"]), (&json!("conversation"), &json!({ "topic": "demo" })));
    assert!(id(&made).starts_with("conv_") && made["created_at"].is_u64(), "{made}");
    let path = format!("{PATH}/{}", id(&made));
    assert_eq!(answered(stack.address(), Call::get(&path)).await, made);
    let changed = answered(stack.address(), Call::post(&path, r#"{"metadata":{"topic":"other"}}"#)).await;
    assert_eq!((&changed["id"], &changed["metadata"]["topic"]), (&made["id"], &json!("other")));
    let deleted = answered(stack.address(), Call::new(Method::DELETE, &path)).await;
    assert_eq!(deleted, json!({ "id": made["id"], "object": "conversation.deleted", "deleted": true }));
    assert_eq!(stack.send(Call::get(&path)).await.unwrap().status, 404);
}

async fn items_come_and_go(stack: Arc<Stack>) {
    let made =
        conversation(&stack, &json!({ "items": [{ "type": "message", "role": "user", "content": "one" }] })).await;
    let path = format!("{PATH}/{}/items", id(&made));
    let body = json!({ "items": [{ "type": "message", "role": "user", "content": "two" }] });
    answered(stack.address(), Call::post(&path, body.to_string())).await;
    let kept = items(&stack, &made).await;
    assert_eq!(texts(&kept), ["one", "two"]);
    let item = format!("{path}/{}", id(&kept[0]));
    assert_eq!(answered(stack.address(), Call::get(&item)).await, kept[0]);
    answered(stack.address(), Call::new(Method::DELETE, &item)).await;
    assert_eq!(stack.send(Call::get(&item)).await.unwrap().status, 404);
    assert_eq!(texts(&items(&stack, &made).await), ["two"]);
}

async fn turns_read_and_append(stack: Arc<Stack>) {
    let opening = json!({ "items": [{ "type": "message", "role": "developer", "content": "Be kind." }] });
    let made = conversation(&stack, &opening).await;
    let by_id = json!({ "conversation": id(&made) });
    let (first, asked) = translated(&stack, &with(ask("chat", "my name is Lea"), by_id)).await;
    let developer = json!({ "role": "developer", "content": "Be kind." });
    assert_eq!(asked["messages"], json!([developer, user("my name is Lea")]));
    assert_eq!(first["conversation"], json!({ "id": id(&made) }));
    let by_object = json!({ "conversation": { "id": id(&made) } });
    let (second, asked) = translated(&stack, &with(ask("other", "what is my name"), by_object)).await;
    let messages = json!([developer, user("my name is Lea"), assistant(&text(&first)), user("what is my name")]);
    assert_eq!((text(&second).as_str(), &asked["messages"]), ("Your name is Lea.", &messages));
    let kept = items(&stack, &made).await;
    let (said, answer) = (text(&first), text(&second));
    assert_eq!(texts(&kept), ["Be kind.", "my name is Lea", said.as_str(), "what is my name", answer.as_str()]);
}

async fn a_stream_appends_too(stack: Arc<Stack>) {
    let made = conversation(&stack, &json!({})).await;
    let request = with(ask("chat", "streamed"), json!({ "conversation": id(&made) }));
    let reply = streamed(&stack, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(texts(&items(&stack, &made).await).first(), Some(&"streamed"));
    // What is not stored is not appended.
    respond(&stack, &with(request, json!({ "store": false, "input": "unstored" }))).await;
    assert_eq!(items(&stack, &made).await.len(), 2);
}

async fn an_unknown_one_is_not_found(stack: Arc<Stack>) {
    let made = conversation(&stack, &json!({})).await;
    let unknown = id(&made).replace(|c: char| c.is_ascii_digit(), "a");
    for unknown in [unknown.as_str(), "conv_1", "resp_1"] {
        let reply = stack.send(create(&with(ask("chat", "x"), json!({ "conversation": unknown })))).await.unwrap();
        assert_eq!(reply.status, 404, "{unknown} {}", reply.text());
        assert_eq!(stack.send(Call::get(format!("{PATH}/{unknown}"))).await.unwrap().status, 404);
    }
}
