//! Streams of chat chunks become streams of the Responses API: OpenAI's order, its numbers, whatever the cuts and the breaks.

use std::{sync::Arc, time::Duration};

use fingerpost_testbed::{
    client::{Call, PATIENCE, Reply},
    fake::Behaviour,
    harness::Stack,
    suite::Suite,
};
use serde_json::{Value, json};

use crate::{
    cases,
    common::{id as request_id, through},
    responses_common::{
        Event, answered, ask, assistant, behaving, create, events, follow, get, id, kinds, last, streamed, text,
        translated, user, weather, with,
    },
};

pub(crate) fn cases(suite: Suite) -> Suite {
    cases!(
        suite,
        [
            text_in_order,
            cut_at_every_byte,
            calls_that_interleave,
            arguments_in_one_chunk,
            reasoning_then_text,
            a_refusal,
            cut_short,
            the_next_turn_finds_it,
            without_a_finish_reason,
            an_error_in_the_stream,
            a_frame_that_is_no_json,
            a_connection_that_breaks,
            an_error_before_the_first_byte,
            a_client_that_hangs_up_leaves_nothing,
            a_client_that_leaves_before_the_answer_leaves_nothing,
            frames_arrive_as_they_come,
            an_unstored_stream,
        ]
    )
}

const TEXT: [&str; 9] = [
    "created",
    "in_progress",
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
    "completed",
];

/// The stream that a backend's behaviour gives.
async fn given(stack: &Stack, behaviour: &Behaviour) -> Vec<Event> {
    events(&streamed(stack, &behaving("chat", behaviour)).await, 0, true)
}

fn message(message: Value) -> Behaviour {
    Behaviour { message: Some(message), ..Behaviour::default() }
}

/// What the deltas of a kind say, joined.
fn joined(events: &[Event], kind: &str) -> String {
    events.iter().filter(|event| event.kind == kind).filter_map(|event| event.data["delta"].as_str()).collect()
}

/// The final object is what the items' own events said, and what can be read later.
async fn adds_up(stack: &Stack, events: &[Event], ended: &str) {
    let (kind, response) = last(events);
    assert_eq!(kind, format!("response.{ended}"));
    let done = events.iter().filter(|event| event.kind == "response.output_item.done");
    let items: Vec<Value> = done.map(|event| event.data["item"].clone()).collect();
    assert_eq!(response["output"], Value::from(items));
    assert_eq!(&answered(stack.address(), get(id(response))).await, response);
}

async fn text_in_order(stack: Arc<Stack>) {
    let (reply, seen) = through(&stack, create(&with(ask("chat", "flow"), json!({ "stream": true })))).await;
    assert_eq!(seen.json()["stream_options"], json!({ "include_usage": true }));
    let all = events(&reply, 0, true);
    assert_eq!(kinds(&all), TEXT);
    let (_, response) = last(&all);
    assert_eq!(joined(&all, "response.output_text.delta"), text(response));
    assert_eq!(response["usage"]["total_tokens"], 12);
    let begun = &all[0].data["response"];
    assert_eq!(
        (&begun["status"], &begun["output"], &begun["id"]),
        (&json!("in_progress"), &json!([]), &response["id"])
    );
    let item = &response["output"][0]["id"];
    let places = all.iter().filter(|event| event.data.get("item_id").is_some());
    for event in places {
        assert_eq!((&event.data["item_id"], &event.data["output_index"]), (item, &json!(0)), "{event:?}");
    }
    adds_up(&stack, &all, "completed").await;
}

async fn cut_at_every_byte(stack: Arc<Stack>) {
    let said = json!({ "role": "assistant", "content": "grüße 🌍 \u{2028} \"quoted\" \\ and\nlines" });
    let behaviour = Behaviour { chunk_bytes: 1, ..message(said.clone()) };
    let all = given(&stack, &behaviour).await;
    assert_eq!(kinds(&all), TEXT);
    assert_eq!(joined(&all, "response.output_text.delta"), said["content"]);
    adds_up(&stack, &all, "completed").await;
}

fn calling(calls: Value, behaviour: Behaviour) -> Behaviour {
    Behaviour { message: Some(json!({ "role": "assistant", "content": null, "tool_calls": calls })), ..behaviour }
}

async fn tools(stack: &Stack, behaviour: &Behaviour) -> Vec<Event> {
    let request = with(behaving("chat", behaviour), json!({ "tools": [weather()] }));
    events(&streamed(stack, &request).await, 0, true)
}

async fn calls_that_interleave(stack: Arc<Stack>) {
    let call = |n: usize| json!({ "id": format!("call_{n}"), "type": "function", "function": { "name": "weather", "arguments": format!("{{\"city\":\"{n}\"}}") } });
    let all = tools(&stack, &calling(json!([call(0), call(1), call(2)]), Behaviour::default())).await;
    let output = &last(&all).1["output"];
    for n in 0..3 {
        let item = &output[n];
        assert_eq!((&item["call_id"], &item["name"]), (&json!(format!("call_{n}")), &json!("weather")));
        assert_eq!(item["arguments"], format!("{{\"city\":\"{n}\"}}"));
        let own = all.iter().filter(|event| event.data["item_id"] == item["id"]);
        let deltas: String = own.filter_map(|event| event.data["delta"].as_str()).collect();
        assert_eq!(item["arguments"], deltas);
    }
    adds_up(&stack, &all, "completed").await;
}

async fn arguments_in_one_chunk(stack: Arc<Stack>) {
    let call =
        json!({ "index": 0, "id": "call_x", "type": "function", "function": { "name": "weather", "arguments": "{}" } });
    let deltas = vec![json!({ "role": "assistant", "content": null }), json!({ "tool_calls": [call] })];
    let behaviour = Behaviour { deltas: Some(deltas), ..calling(json!([call]), Behaviour::default()) };
    let all = tools(&stack, &behaviour).await;
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(kinds(&all), expected);
    adds_up(&stack, &all, "completed").await;
}

async fn reasoning_then_text(stack: Arc<Stack>) {
    let said = json!({ "role": "assistant", "reasoning_content": "Two and two make", "content": "four, I think." });
    let all = given(&stack, &message(said)).await;
    assert_eq!(joined(&all, "response.reasoning_text.delta"), "Two and two make");
    assert_eq!(joined(&all, "response.output_text.delta"), "four, I think.");
    let types: Vec<&Value> = last(&all).1["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(types, ["reasoning", "message"]);
    adds_up(&stack, &all, "completed").await;
}

async fn a_refusal(stack: Arc<Stack>) {
    let all =
        given(&stack, &message(json!({ "role": "assistant", "content": null, "refusal": "No, I will not." }))).await;
    assert_eq!(joined(&all, "response.refusal.delta"), "No, I will not.");
    assert!(kinds(&all).contains(&"refusal.done"), "{:?}", kinds(&all));
    adds_up(&stack, &all, "completed").await;
}

async fn cut_short(stack: Arc<Stack>) {
    for (reason, details) in [("length", "max_output_tokens"), ("content_filter", "content_filter")] {
        let all = given(&stack, &Behaviour { finish_reason: Some(reason.to_owned()), ..Behaviour::default() }).await;
        assert_eq!(last(&all).1["incomplete_details"], json!({ "reason": details }));
        adds_up(&stack, &all, "incomplete").await;
    }
}

async fn the_next_turn_finds_it(stack: Arc<Stack>) {
    let all = events(&streamed(&stack, &ask("chat", "one")).await, 0, true);
    let first = last(&all).1;
    let (_, asked) = translated(&stack, &follow("other", first, "two")).await;
    assert_eq!(asked["messages"], json!([user("one"), assistant(&text(first)), user("two")]));
}

/// An `error` event and `response.failed`, with the output so far.
fn failed(reply: &Reply) -> Vec<Event> {
    let all = events(reply, 0, true);
    let (kind, response) = last(&all);
    assert_eq!((kind, &response["status"]), ("response.failed", &json!("failed")), "{response}");
    assert!(response["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{response}");
    all
}

async fn without_a_finish_reason(stack: Arc<Stack>) {
    for frames in [vec!["[DONE]".to_owned()], Vec::new()] {
        let behaviour = Behaviour { frames: Some(frames), ..Behaviour::default() };
        let all = failed(&streamed(&stack, &behaving("chat", &behaviour)).await);
        assert!(joined(&all, "response.output_text.delta").starts_with("served by chat"));
    }
}

async fn an_error_in_the_stream(stack: Arc<Stack>) {
    let error = json!({ "error": { "message": "out of memory", "type": "server_error", "code": "oom" } });
    let behaviour = Behaviour { frames: Some(vec![error.to_string()]), ..Behaviour::default() };
    let all = failed(&streamed(&stack, &behaving("chat", &behaviour)).await);
    let told = all.iter().find(|event| event.kind == "error").expect("an error event");
    assert_eq!(told.data["message"], "out of memory");
    assert!(last(&all).1["error"]["message"].as_str().is_some_and(|message| message.contains("out of memory")));
}

async fn a_frame_that_is_no_json(stack: Arc<Stack>) {
    let behaviour = Behaviour { frames: Some(vec!["{\"choices\":".to_owned()]), ..Behaviour::default() };
    let all = failed(&streamed(&stack, &behaving("chat", &behaviour)).await);
    assert!(all.iter().any(|event| event.kind == "error"));
}

/// The connection to the backend breaks: the client is told, or its connection breaks too; never a good end.
async fn a_connection_that_breaks(stack: Arc<Stack>) {
    let behaviour = Behaviour { close_after: Some(3), ..Behaviour::default() };
    let request = with(behaving("chat", &behaviour), json!({ "stream": true }));
    let Ok(reply) = stack.send(create(&request)).await else { return };
    assert!(!reply.text().contains("response.completed"), "{}", reply.text());
    assert!(reply.status >= 500 || reply.text().contains("response.failed"), "{} {}", reply.status, reply.text());
}

async fn an_error_before_the_first_byte(stack: Arc<Stack>) {
    let reply = streamed(&stack, &behaving("chat", &Behaviour { status: 500, ..Behaviour::default() })).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (500, &json!("internal_error")), "{}", reply.text());
    // A backend that answers a stream with one plain object is no stream.
    let plain = Behaviour { body: Some("{}".to_owned()), ..Behaviour::default() };
    let reply = streamed(&stack, &behaving("chat", &plain)).await;
    assert!(reply.status == 502 || reply.text().contains("response.failed"), "{} {}", reply.status, reply.text());
}

/// Breaks the connection, and returns when Envoy has seen it.
async fn hang_up<T>(stack: &Stack, connection: T) {
    let gone = async || -> u64 {
        let stats = stack.stats().await.unwrap();
        stats.iter().filter(|(name, _)| name.ends_with("downstream_cx_destroy_remote_active_rq")).map(|(_, n)| n).sum()
    };
    let before = gone().await;
    drop(connection);
    let seen = async {
        while gone().await == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("Envoy sees that the client is gone");
}

async fn a_client_that_leaves_before_the_answer_leaves_nothing(stack: Arc<Stack>) {
    let conversation = answered(stack.address(), Call::post("/v1/conversations", "{}")).await;
    let gate = "leave";
    let behaviour = Behaviour { header_gate: Some(gate.to_owned()), ..Behaviour::default() };
    let request = with(behaving("chat", &behaviour), json!({ "conversation": id(&conversation) }));
    let request_id = request_id();
    let call = create(&request).header("x-request-id", request_id.as_str());
    let asking = tokio::spawn(call.send(stack.address()));
    let fake = stack.fake("chat").unwrap();
    let arrived = fake.wait(PATIENCE, |request| request.header("x-request-id") == Some(request_id.as_str())).await;
    assert!(arrived.is_some());
    hang_up(&stack, AbortOnDrop(asking)).await;
    fake.open(gate);
    for _ in 0..8 {
        translated(&stack, &ask("chat", "later")).await;
    }
    let items = answered(stack.address(), Call::get(format!("/v1/conversations/{}/items", id(&conversation)))).await;
    assert_eq!(items["data"], json!([]));
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn a_client_that_hangs_up_leaves_nothing(stack: Arc<Stack>) {
    let gate = "hang-up";
    let behaviour = Behaviour { chunk_gate: Some(gate.to_owned()), ..Behaviour::default() };
    let request = with(behaving("chat", &behaviour), json!({ "stream": true }));
    let mut stream = create(&request).open(stack.address()).await.unwrap();
    stack.fake("chat").unwrap().release(gate, 2);
    let mut seen = String::new();
    while !seen.contains("response.output_text.delta") {
        let piece = stream.next().await.unwrap().expect("more");
        seen.push_str(&String::from_utf8_lossy(&piece));
    }
    let id = seen
        .split("\"resp_")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .map(|id| format!("resp_{id}"))
        .expect("an id");
    hang_up(&stack, stream).await;
    stack.fake("chat").unwrap().open(gate);
    // Another turn through the same worker and the same store ends after whatever the first would have saved.
    for _ in 0..8 {
        translated(&stack, &ask("chat", "later")).await;
    }
    assert_eq!(stack.send(get(&id)).await.unwrap().status, 404);
}

async fn frames_arrive_as_they_come(stack: Arc<Stack>) {
    let gate = "as-they-come";
    let behaviour = Behaviour { chunk_gate: Some(gate.to_owned()), ..Behaviour::default() };
    let request = with(behaving("chat", &behaviour), json!({ "stream": true }));
    let mut stream = create(&request).open(stack.address()).await.unwrap();
    let fake = stack.fake("chat").unwrap();
    let mut seen = String::new();
    for word in 1..4 {
        // The role comes first.
        fake.release(gate, if word == 1 { 2 } else { 1 });
        while seen.matches("event: response.output_text.delta").count() < word {
            let piece = stream.next().await.unwrap().expect("more");
            assert!(piece.ends_with(b"\n\n"), "a frame in two writes: {piece:?}");
            seen.push_str(&String::from_utf8_lossy(&piece));
        }
        assert_eq!(seen.matches("event: response.output_text.delta").count(), word);
    }
    fake.open(gate);
    let rest = stream.finish().await.unwrap().text();
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
}

async fn an_unstored_stream(stack: Arc<Stack>) {
    let request = with(ask("chat", "gone"), json!({ "store": false }));
    let all = events(&streamed(&stack, &request).await, 0, true);
    let (_, response) = last(&all);
    assert_eq!((&response["store"], stack.send(get(id(response))).await.unwrap().status), (&json!(false), 404));
}
