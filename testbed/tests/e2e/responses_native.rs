//! Backends that speak Responses: everything passes but model and ids, and what an instance keeps is asked of that instance.

use std::{collections::BTreeSet, sync::Arc};

use fingerpost_testbed::{
    client::Call,
    fake::Behaviour,
    harness::{Builder, Classifier, EndpointSetup, ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    common::{at_backend, id as request_id, through},
    responses_common::{
        PATH, answered, ask, behaving, create, events, follow, get, id, kinds, last, respond, server, stored, streamed,
        text, with,
    },
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "responses_native",
        boot,
        [
            requests_pass_byte_for_byte,
            answers_pass_byte_for_byte,
            streams_pass_byte_for_byte,
            errors_pass,
            turns_go_to_their_instance,
            paths_go_to_their_instance,
            streams_are_continued_and_read_again,
            background_responses,
            what_is_not_ours_is_not_found,
            a_pool_shares_its_conversations,
            models_outside_the_pool,
            memory_lifts_the_pool,
            input_tokens_are_passed_on,
        ]
    )
}

pub(crate) fn endpoints(prefix: &str) -> Vec<EndpointSetup> {
    (1..=3).map(|n| EndpointSetup::named(&format!("{prefix}{n}"))).collect()
}

pub(crate) fn native(name: &str, prefix: &str) -> ModelSetup {
    ModelSetup::with(name, endpoints(prefix)).field("api", json!("responses"))
}

/// `native` alone; `small` and `large` with the same instances; `replayed` with its memory here; `chat` with a chat backend.
pub(crate) fn builder() -> Builder {
    let pooled = |name: &str| native(name, "p").field("state_pool", json!("pool"));
    Stack::builder()
        .model(native("native", "n").field("upstream_name", json!("org/native-1")))
        .model(pooled("small"))
        .model(pooled("large"))
        .model(native("replayed", "r").field("memory", json!(true)))
        .model(ModelSetup::named("chat"))
        .decision("category == 'math'", "large")
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.9)))
        .concurrency(3)
        .state(&json!({}))
}

async fn boot() -> Result<Stack, StackError> {
    builder().start().await
}

async fn requests_pass_byte_for_byte(stack: Arc<Stack>) {
    let first = respond(&stack, &ask("native", "spell it out")).await;
    let spelt = |model: &str, previous: &str| {
        format!(
            "{{ \"temperature\": 1.50,\"x\":1.0E+2, \"model\" :\"{model}\",\n\"input\":\"\\u0068i \u{1f30d}\",\t\"tools\":[{{\"type\":\"web_search\"}}],\
             \"previous_response_id\": \"{previous}\", \"metadata\":{{\"model\":\"native\"}} }}"
        )
    };
    let (reply, seen) = through(&stack, Call::post(PATH, spelt("native", id(&first)))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let theirs = seen.json()["previous_response_id"].as_str().unwrap_or_default().to_owned();
    assert!(theirs.starts_with("resp_fake_n"), "{theirs}");
    assert_eq!(String::from_utf8_lossy(&seen.body), spelt("org/native-1", &theirs));
    assert_eq!(seen.target, PATH);
}

/// An answer with this id and model, spelt as no serialiser would.
fn odd(id: &str, model: &str) -> String {
    format!(
        "{{ \"object\":\"response\",  \"id\": \"{id}\", \"created_at\":1.7e9, \"model\"\t:\"{model}\", \"x\": [1.0, 1.0E+2, \"\\u00e9\\/\"],\n \
         \"output\":[{{\"id\":\"msg_1\",\"type\":\"message\",\"content\":[]}}], \"status\":\"completed\", \"metadata\":{{\"id\":\"x\",\"model\":\"y\"}} }}\n"
    )
}

async fn answers_pass_byte_for_byte(stack: Arc<Stack>) {
    for chunk_bytes in [0, 1] {
        let behaviour = Behaviour { body: Some(odd("resp_up_1", "org/native-1")), chunk_bytes, ..Behaviour::default() };
        let reply = stack.send(create(&behaving("native", &behaviour))).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let wrapped = id(&reply.json()).to_owned();
        assert!(wrapped != "resp_up_1" && wrapped.starts_with("resp_"), "{wrapped}");
        assert_eq!(reply.text(), odd(&wrapped, "native"));
    }
}

/// A stream, likewise, with comments, CRLF and an event that is not known.
fn odd_stream(id: &str, model: &str) -> String {
    format!(
        ": ping\n\nevent: response.created\ndata: {{\"type\":\"response.created\", \"response\":{{\"id\":\"{id}\",\"model\":\"{model}\"}},\"sequence_number\":0}}\n\n\
         event: response.new_thing\r\ndata: {{\"type\": \"response.new_thing\", \"x\": 1.50, \"text\":\"\u{1f30d}\"}}\r\n\r\n\
         data: {{\"response\": {{\"object\":\"response\", \"id\" :\"{id}\", \"status\":\"completed\"}}, \"type\":\"response.completed\"}}\n\ndata: [DONE]\n\n"
    )
}

async fn streams_pass_byte_for_byte(stack: Arc<Stack>) {
    for chunk_bytes in [0, 1, 7] {
        let behaviour = Behaviour {
            body: Some(odd_stream("resp_up_2", "org/native-1")),
            content_type: Some("text/event-stream".to_owned()),
            chunk_bytes,
            ..Behaviour::default()
        };
        let reply = streamed(&stack, &behaving("native", &behaviour)).await;
        let text = reply.text();
        let wrapped = text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
        assert_ne!(wrapped, "resp_up_2");
        assert_eq!(text, odd_stream(wrapped, "native"), "cut every {chunk_bytes} bytes");
    }
}

async fn errors_pass(stack: Arc<Stack>) {
    for status in [400, 404, 429, 500] {
        let request = behaving("native", &Behaviour { status, ..Behaviour::default() });
        for reply in [stack.send(create(&request)).await.unwrap(), streamed(&stack, &request).await] {
            assert_eq!(reply.status, status, "{}", reply.text());
            assert!(reply.text().contains("the fake backend was told"), "{}", reply.text());
        }
    }
}

/// Turn after turn on a connection of its own each, so that every worker gets some.
pub(crate) async fn turns_stay(stack: &Stack, to: std::net::SocketAddr, first: Value, model: &str, turns: usize) {
    let (home, mut previous) = (server(&first), first);
    for turn in 0..turns {
        let response = answered(to, create(&follow(model, &previous, format!("turn {turn}")))).await;
        assert_eq!(server(&response), home, "turn {turn}");
        assert_eq!(response["previous_response_id"], previous["id"]);
        previous = response;
    }
    let named = answered(to, create(&follow(model, &previous, "what is my name"))).await;
    assert!(text(&named).starts_with("Your name is "), "{named}");
    assert!(stack.fake(&home).is_some());
}

async fn turns_go_to_their_instance(stack: Arc<Stack>) {
    let mut homes = BTreeSet::new();
    for n in 0..12 {
        let first = respond(&stack, &ask("native", format!("my name is N{n}"))).await;
        homes.insert(server(&first));
        turns_stay(&stack, stack.address(), first, "native", 4).await;
    }
    assert!(homes.len() > 1, "all at {homes:?}");
}

async fn paths_go_to_their_instance(stack: Arc<Stack>) {
    for n in 0..8 {
        let response = respond(&stack, &ask("native", format!("path {n}"))).await;
        let (id, fake) = (id(&response), stack.fake(&server(&response)).unwrap());
        assert_eq!(answered(stack.address(), get(id)).await, response);
        let items = answered(stack.address(), stored(Method::GET, id, "/input_items?limit=5")).await;
        assert_eq!(items["data"][0]["content"][0]["text"], format!("path {n}"));
        let reply = stack.send(stored(Method::POST, id, "/cancel")).await.unwrap();
        assert_eq!(
            (reply.status, reply.text().contains("Cannot cancel a completed response")),
            (400, true),
            "{}",
            reply.text()
        );
        let (deleted, seen) = through(&stack, stored(Method::DELETE, id, "")).await;
        assert_eq!(deleted.json(), json!({ "id": id, "object": "response", "deleted": true }));
        let theirs = seen.target.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(theirs.starts_with("resp_fake_") && !fake.responses().contains(&theirs), "{theirs}");
        assert_eq!(stack.send(get(id)).await.unwrap().status, 404);
    }
}

async fn streams_are_continued_and_read_again(stack: Arc<Stack>) {
    let all = events(&streamed(&stack, &ask("native", "my name is Sam")).await, 0, false);
    let (kind, response) = last(&all);
    assert_eq!((kind, kinds(&all).first()), ("response.completed", Some(&"created")));
    assert_eq!((&all[0].data["response"]["id"], &response["model"]), (&response["id"], &json!("native")));
    turns_stay(&stack, stack.address(), response.clone(), "native", 2).await;
    let replay = stack.send(stored(Method::GET, id(response), "?stream=true&starting_after=2")).await.unwrap();
    assert_eq!(events(&replay, 3, false), all[3..]);
}

async fn background_responses(stack: Arc<Stack>) {
    for n in 0..4 {
        let request = with(ask("native", format!("later {n}")), json!({ "background": true }));
        let queued = respond(&stack, &request).await;
        assert_eq!(queued["status"], "queued");
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(answered(stack.address(), get(id(&queued))).await["status"].take());
        }
        assert_eq!(statuses, ["in_progress", "completed", "completed"]);
        let other = respond(&stack, &request).await;
        let cancelled = answered(stack.address(), stored(Method::POST, id(&other), "/cancel")).await;
        assert_eq!((&cancelled["status"], &cancelled["id"]), (&json!("cancelled"), &other["id"]));
    }
}

async fn what_is_not_ours_is_not_found(stack: Arc<Stack>) {
    let mine = |call: Call| call.header("authorization", "Bearer mine");
    let response = answered(stack.address(), mine(create(&ask("native", "a secret")))).await;
    let known = id(&response).to_owned();
    let mut calls: Vec<Call> = (5..known.len())
        .step_by(3)
        .map(|at| {
            let digit = if known.as_bytes()[at] == b'A' { "B" } else { "A" };
            mine(get(&[&known[..at], digit, &known[at + 1..]].concat()))
        })
        .collect();
    // The backend's own id, a prefix, and a stranger.
    calls.extend(["resp_fake_n1_1", &known[..known.len() - 1]].map(|id| mine(get(id))));
    calls.extend([get(&known), get(&known).header("authorization", "Bearer theirs")]);
    calls.push(stored(Method::DELETE, &known, ""));
    calls.push(stored(Method::GET, &known, "/input_items"));
    for call in calls {
        let request = request_id();
        let reply = stack.send(call.clone().header("x-request-id", request.as_str())).await.unwrap();
        assert!(at_backend(&stack, &request).is_none(), "a backend was asked: {call:?}");
        assert_eq!(
            (reply.status, &reply.json()["error"]["type"]),
            (404, &json!("invalid_request_error")),
            "{call:?} {}",
            reply.text()
        );
    }
    let reply = stack.send(create(&follow("native", &response, "x"))).await.unwrap();
    assert_eq!(
        (reply.status, &reply.json()["error"]["code"]),
        (400, &json!("previous_response_not_found")),
        "{}",
        reply.text()
    );
    assert_eq!(answered(stack.address(), mine(get(&known))).await, response);
}

async fn a_pool_shares_its_conversations(stack: Arc<Stack>) {
    for n in 0..6 {
        let first = respond(&stack, &ask("small", format!("my name is P{n}"))).await;
        let second = respond(&stack, &follow("large", &first, "go on")).await;
        assert_eq!((server(&second), &second["model"]), (server(&first), &json!("large")));
        let third = respond(&stack, &follow("auto", &second, "what is my name")).await;
        assert_eq!((text(&third), &third["model"]), (format!("Your name is P{n}."), &json!("large")));
    }
    // `auto` would go to the pool; this conversation is not there.
    let alone = respond(&stack, &ask("native", "my name is Al")).await;
    let again = respond(&stack, &follow("auto", &alone, "what is my name")).await;
    assert_eq!((text(&again).as_str(), &again["model"]), ("Your name is Al.", &json!("native")));
}

async fn models_outside_the_pool(stack: Arc<Stack>) {
    let native = respond(&stack, &ask("native", "x")).await;
    let kept = respond(&stack, &ask("chat", "x")).await;
    for (model, previous) in [("small", &native), ("chat", &native), ("replayed", &native), ("native", &kept)] {
        let reply = stack.send(create(&follow(model, previous, "y"))).await.unwrap();
        let error = &reply.json()["error"];
        assert_eq!(
            (reply.status, &error["code"], &error["param"]),
            (400, &json!("model_not_in_state_pool"), &json!("model")),
            "{}",
            reply.text()
        );
        assert!(error["message"].as_str().is_some_and(|message| message.contains(model)), "{error}");
    }
}

async fn memory_lifts_the_pool(stack: Arc<Stack>) {
    let mut previous = respond(&stack, &ask("replayed", "my name is Mia")).await;
    for (turn, model) in ["chat", "replayed", "chat"].into_iter().enumerate() {
        let (reply, seen) = through(&stack, create(&follow(model, &previous, "what is my name"))).await;
        assert_eq!(text(&reply.json()), "Your name is Mia.", "{}", reply.text());
        assert_eq!(seen.json()["messages"].as_array().map(Vec::len), Some(2 * turn + 3), "{:?}", seen.json());
        previous = reply.json();
    }
    assert!(stack.fakes().iter().filter(|fake| fake.name().starts_with('r')).all(|fake| fake.responses().is_empty()));
}

async fn input_tokens_are_passed_on(stack: Arc<Stack>) {
    let counted =
        answered(stack.address(), Call::post("/v1/responses/input_tokens", ask("native", "x").to_string())).await;
    assert_eq!(counted, json!({ "object": "response.input_tokens", "input_tokens": 11 }));
}
