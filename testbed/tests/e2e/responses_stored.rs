//! What is kept can be read, listed, streamed again and deleted.

use std::sync::Arc;

use fingerpost_testbed::{
    client::Call,
    fake::Behaviour,
    harness::{Stack, StackError},
    suite::Suite,
};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    cases,
    common::assert_error,
    responses_common::{
        answered, ask, builder, create, events, follow, get, id, kinds, last, respond, stored, text, translated, user,
        with,
    },
    suite,
};

pub(crate) fn cases(suite: Suite) -> Suite {
    cases!(
        suite,
        [
            is_read_as_it_was_given,
            is_streamed_again,
            lists_input_items,
            deleting_hides_and_keeps_for_descendants,
            nothing_is_left_to_cancel,
            a_large_answer_passes,
        ]
    )
}

/// `response_api.instructions: conversation`.
pub(crate) fn seed() -> Suite {
    suite!("responses_seed", boot_seed, [the_seeds_five_calls])
}

async fn boot_seed() -> Result<Stack, StackError> {
    let aliases = json!(["openai/gpt-oss-120b"]);
    let model = fingerpost_testbed::harness::ModelSetup::named("gpt-oss").field("aliases", aliases);
    Stack::builder().model(model).state(&json!({ "instructions": "conversation", "max_responses": 1000 })).start().await
}

async fn is_read_as_it_was_given(stack: Arc<Stack>) {
    let given = stack.send(create(&ask("chat", "grüße 🌍"))).await.unwrap();
    let read = stack.send(get(id(&given.json()))).await.unwrap();
    assert_eq!((read.status, &read.body), (200, &given.body));
    assert_eq!(read.header("content-type"), Some("application/json"));
}

async fn is_streamed_again(stack: Arc<Stack>) {
    let response = respond(&stack, &ask("chat", "again")).await;
    let replay = |rest: &str| stack.send(stored(Method::GET, id(&response), rest));
    let all = replay("?stream=true").await.unwrap();
    let all = events(&all, 0, true);
    assert_eq!(
        kinds(&all),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed"
        ]
    );
    assert_eq!(last(&all), ("response.completed", &response));
    let rest = replay("?stream=true&starting_after=4").await.unwrap();
    assert_eq!(events(&rest, 5, true), all[5..]);
}

async fn lists_input_items(stack: Arc<Stack>) {
    let input = json!([user("one"), { "role": "user", "content": [{ "type": "input_text", "text": "two" }] }]);
    let first = respond(&stack, &ask("chat", input)).await;
    let second = respond(&stack, &follow("chat", &first, "three")).await;
    let list = async |rest: &str| {
        answered(stack.address(), stored(Method::GET, id(&second), &format!("/input_items{rest}"))).await
    };
    let all = list("?order=asc").await;
    let texts: Vec<&str> =
        all["data"].as_array().unwrap().iter().filter_map(|item| item["content"][0]["text"].as_str()).collect();
    assert_eq!(texts, ["one", "two", text(&first).as_str(), "three"]);
    assert_eq!((&all["object"], &all["has_more"]), (&json!("list"), &json!(false)));
    let ids: Vec<&str> = all["data"].as_array().unwrap().iter().map(id).collect();
    assert_eq!((all["first_id"].as_str(), all["last_id"].as_str()), (Some(ids[0]), Some(ids[3])));
    let newest = list("?limit=1").await;
    assert_eq!((newest["data"][0]["id"].as_str(), &newest["has_more"]), (Some(ids[3]), &json!(true)));
    let middle = list(&format!("?order=asc&limit=2&after={}", ids[0])).await;
    assert_eq!(middle["data"], json!([all["data"][1], all["data"][2]]));
    assert_eq!(middle["has_more"], true);
    for wrong in ["?limit=0", "?limit=101", "?limit=x", "?order=up"] {
        let reply = stack.send(stored(Method::GET, id(&second), &format!("/input_items{wrong}"))).await.unwrap();
        assert_eq!(reply.status, 400, "{wrong} {}", reply.text());
    }
}

async fn deleting_hides_and_keeps_for_descendants(stack: Arc<Stack>) {
    let root = respond(&stack, &ask("chat", "my name is Kim")).await;
    let child = respond(&stack, &follow("chat", &root, "go on")).await;
    let deleted = answered(stack.address(), stored(Method::DELETE, id(&root), "")).await;
    assert_eq!(deleted, json!({ "id": id(&root), "object": "response", "deleted": true }));
    for (method, rest) in [(Method::GET, ""), (Method::DELETE, ""), (Method::GET, "/input_items")] {
        assert_eq!(stack.send(stored(method, id(&root), rest)).await.unwrap().status, 404);
    }
    let reply = stack.send(create(&follow("chat", &root, "x"))).await.unwrap();
    assert_error(&reply, 400, "previous_response_not_found");
    let (leaf, asked) = translated(&stack, &follow("chat", &child, "what is my name")).await;
    assert_eq!((text(&leaf).as_str(), asked["messages"].as_array().map(Vec::len)), ("Your name is Kim.", Some(5)));
}

async fn nothing_is_left_to_cancel(stack: Arc<Stack>) {
    let response = respond(&stack, &ask("chat", "x")).await;
    let reply = stack.send(stored(Method::POST, id(&response), "/cancel")).await.unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("background"), "{}", reply.text());
}

async fn a_large_answer_passes(stack: Arc<Stack>) {
    let behaviour = Behaviour { answer_bytes: 20 << 20, ..Behaviour::default() };
    let response = respond(&stack, &ask("chat", behaviour.marker())).await;
    assert!(text(&response).len() >= 20 << 20);
    let read = answered(stack.address(), get(id(&response))).await;
    assert!(read == response, "what is stored differs from what was given");
    let (_, asked) = translated(&stack, &follow("other", &response, "go on")).await;
    assert!(asked["messages"][1]["content"] == text(&response), "the next turn got something else");
}

/// As the seed's page shows them.
async fn the_seeds_five_calls(stack: Arc<Stack>) {
    let first = json!({
        "model": "openai/gpt-oss-120b",
        "input": "Tell me a joke.",
        "instructions": "Remember my name is Xunzhuo. Then I will ask you!",
        "temperature": 0.7,
        "max_output_tokens": 100
    });
    let created = respond(&stack, &first).await;
    assert_eq!((&created["object"], &created["status"]), (&json!("response"), &json!("completed")));
    let message = &created["output"][0];
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(message["content"][0]["type"], "output_text");
    assert!(["input_tokens", "output_tokens", "total_tokens"].iter().all(|name| created["usage"][name].is_u64()));
    let second = json!({
        "model": "openai/gpt-oss-120b",
        "input": "What is my name?",
        "previous_response_id": id(&created),
        "max_output_tokens": 100
    });
    let (continued, asked) = translated(&stack, &second).await;
    assert_eq!(
        (text(&continued).as_str(), &continued["previous_response_id"]),
        ("Your name is Xunzhuo.", &created["id"])
    );
    let system = json!({ "role": "system", "content": "Remember my name is Xunzhuo. Then I will ask you!" });
    assert_eq!((&asked["messages"][0], asked["messages"].as_array().map(Vec::len)), (&system, Some(4)));
    let path = format!("/v1/responses/{}", id(&created));
    assert_eq!(answered(stack.address(), Call::get(&path)).await, created);
    let listed = answered(stack.address(), Call::get(format!("{path}/input_items"))).await;
    assert_eq!((&listed["object"], &listed["has_more"]), (&json!("list"), &json!(false)));
    let instructions = json!([{ "type": "input_text", "text": "Remember my name is Xunzhuo. Then I will ask you!" }]);
    let systems: Vec<&Value> =
        listed["data"].as_array().unwrap().iter().filter(|item| item["role"] == "system").collect();
    assert_eq!(systems.len(), 1, "{listed}");
    assert_eq!((&systems[0]["type"], &systems[0]["content"]), (&json!("message"), &instructions));
    let deleted = answered(stack.address(), Call::new(Method::DELETE, &path)).await;
    assert_eq!(deleted["deleted"], true);
    assert_eq!(stack.send(Call::get(&path)).await.unwrap().status, 404);
}

/// A cap on turns, and answers that a full conversation gets.
pub(crate) fn capped() -> Suite {
    suite!("responses_capped", boot_capped, [a_full_conversation_says_so])
}

async fn boot_capped() -> Result<Stack, StackError> {
    builder().state(&json!({ "max_turns": 2, "store_backend": "memory" })).start().await
}

async fn a_full_conversation_says_so(stack: Arc<Stack>) {
    let mut response = respond(&stack, &ask("chat", "one")).await;
    response = respond(&stack, &follow("chat", &response, "two")).await;
    let reply = stack.send(create(&with(follow("chat", &response, "three"), json!({})))).await.unwrap();
    assert!((400..500).contains(&reply.status), "{} {}", reply.status, reply.text());
    assert!(reply.text().contains("max_turns"), "{}", reply.text());
}
