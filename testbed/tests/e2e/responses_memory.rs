//! Router Memory: backends that only speak Chat Completions are asked the whole conversation, turn by turn. What they were sent is
//! compared, message by message.

use std::{collections::BTreeSet, sync::Arc};

use fingerpost_testbed::{client::Framing, fake::Behaviour, harness::Stack, suite::Suite};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    cases,
    common::through,
    responses_common::{
        answered, ask, assistant, create, events, follow, get, id, last, respond, server, text, translated, user,
        weather, with,
    },
};

pub(crate) fn cases(suite: Suite) -> Suite {
    cases!(
        suite,
        [
            one_turn,
            what_the_backend_is_asked,
            an_older_dialect,
            ten_turns,
            branches_do_not_see_each_other,
            concurrent_follow_ups,
            another_model_at_every_turn,
            instructions_hold_for_one_request,
            tool_calls_go_round,
            several_calls_are_one_message,
            reasoning_and_refusals,
            how_it_ended,
            log_probabilities,
            a_schema,
            items_by_reference,
            routed_by_meaning,
            headers_on_both_sides,
            any_framing,
            a_conversation_stays_on_its_endpoint,
        ]
    )
}

async fn one_turn(stack: Arc<Stack>) {
    let request = with(ask("chat", "hello"), json!({ "metadata": { "k": "v" }, "instructions": "Be kind." }));
    let (response, asked) = translated(&stack, &request).await;
    let system = json!({ "role": "system", "content": "Be kind." });
    assert_eq!(asked["messages"], json!([system, user("hello")]));
    assert_eq!(asked["model"], "org/chat-1");
    let digits = id(&response).strip_prefix("resp_").expect("its prefix");
    assert!(digits.len() == 48 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{digits}");
    assert_eq!(server(&response), "chat");
    for (name, value) in [
        ("object", json!("response")),
        ("status", json!("completed")),
        ("model", json!("chat")),
        ("instructions", json!("Be kind.")),
        ("metadata", json!({ "k": "v" })),
        ("store", json!(true)),
        ("background", json!(false)),
        ("previous_response_id", Value::Null),
        ("error", Value::Null),
        ("incomplete_details", Value::Null),
        ("parallel_tool_calls", json!(true)),
        ("tools", json!([])),
        ("tool_choice", json!("auto")),
        ("truncation", json!("disabled")),
        (
            "usage",
            json!({ "input_tokens": 7, "input_tokens_details": { "cached_tokens": 3 }, "output_tokens": 5,
                "output_tokens_details": { "reasoning_tokens": 2 }, "total_tokens": 12 }),
        ),
    ] {
        let mut got = response[name].clone();
        if let Some(details) = got.pointer_mut("/input_tokens_details").and_then(Value::as_object_mut) {
            details.retain(|name, _| name == "cached_tokens");
        }
        assert_eq!(got, value, "{name}");
    }
    let part = &response["output"][0]["content"][0];
    assert_eq!(
        (&part["type"], &part["annotations"], &part["logprobs"]),
        (&json!("output_text"), &json!([]), &json!([]))
    );
    assert!(response["created_at"].is_number() && response["completed_at"].is_number(), "{response}");
}

async fn what_the_backend_is_asked(stack: Arc<Stack>) {
    let image = json!({ "type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low" });
    let input = json!([
        { "role": "developer", "content": "Short." },
        { "role": "user", "content": [{ "type": "input_text", "text": "what is this?" }, image] },
    ]);
    let request = with(
        ask("chat", input),
        json!({
            "max_output_tokens": 50, "temperature": 0.5, "top_p": 0.25, "parallel_tool_calls": false, "tools": [weather()],
            "tool_choice": { "type": "function", "name": "weather" }, "reasoning": { "effort": "low" },
            "text": { "verbosity": "low" }, "service_tier": "auto", "prompt_cache_key": "k", "safety_identifier": "s",
            "metadata": { "a": "b" }, "truncation": "auto", "max_tool_calls": 3,
        }),
    );
    let (response, mut asked) = translated(&stack, &request).await;
    let function = asked["tools"][0]["function"].take();
    assert_eq!((&function["name"], &function["parameters"]), (&json!("weather"), &weather()["parameters"]));
    let image = json!({ "url": "data:image/png;base64,AA==", "detail": "low" });
    let parts = json!([{ "type": "text", "text": "what is this?" }, { "type": "image_url", "image_url": image }]);
    let expected = json!({
        "model": "org/chat-1", "max_completion_tokens": 50, "temperature": 0.5, "top_p": 0.25, "parallel_tool_calls": false,
        "messages": [{ "role": "developer", "content": "Short." }, { "role": "user", "content": parts }],
        "tools": [{ "type": "function", "function": null }],
        "tool_choice": { "type": "function", "function": { "name": "weather" } },
        "reasoning_effort": "low", "verbosity": "low", "service_tier": "auto", "prompt_cache_key": "k", "safety_identifier": "s",
    });
    assert_eq!(asked, expected);
    for name in ["metadata", "truncation", "max_tool_calls", "temperature", "max_output_tokens"] {
        assert_eq!(response[name], request[name], "{name}");
    }
}

async fn an_older_dialect(stack: Arc<Stack>) {
    let input = json!([{ "role": "developer", "content": "Short." }, { "role": "user", "content": "hi" }]);
    let (_, asked) = translated(&stack, &with(ask("old", input), json!({ "max_output_tokens": 9 }))).await;
    assert_eq!(asked["messages"], json!([{ "role": "system", "content": "Short." }, user("hi")]));
    assert_eq!((&asked["max_tokens"], asked.get("max_completion_tokens")), (&json!(9), None));
}

/// Goes on for `turns` turns, with these models in turn, and compares what each backend was sent.
async fn converse(stack: &Stack, models: &[&str], turns: usize) -> Vec<Value> {
    let (mut history, mut responses) = (Vec::new(), Vec::<Value>::new());
    for (turn, model) in models.iter().cycle().take(turns).enumerate() {
        let prompt = format!("turn {turn} of {}", models.len());
        let request = match responses.last() {
            Some(previous) => follow(model, previous, prompt.as_str()),
            None => ask(model, prompt.as_str()),
        };
        let (response, asked) = translated(stack, &request).await;
        history.push(user(&prompt));
        assert_eq!(asked["messages"], Value::from(history.clone()), "turn {turn}");
        assert_eq!((server(&response), &response["model"]), ((*model).to_owned(), &json!(model)));
        assert_eq!(response["previous_response_id"], responses.last().map_or(Value::Null, |r| r["id"].clone()));
        history.push(assistant(&text(&response)));
        responses.push(response);
    }
    responses
}

async fn ten_turns(stack: Arc<Stack>) {
    let responses = converse(&stack, &["chat"], 10).await;
    // The key and the conversation stay; the node is new every time.
    let (conversations, nodes): (Vec<_>, Vec<_>) = responses.iter().map(|response| id(response).split_at(37)).unzip();
    assert!(conversations.iter().all(|conversation| *conversation == conversations[0]), "{conversations:?}");
    let mut distinct = nodes.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 10, "{nodes:?}");
}

async fn another_model_at_every_turn(stack: Arc<Stack>) {
    converse(&stack, &["chat", "other", "old"], 6).await;
}

async fn branches_do_not_see_each_other(stack: Arc<Stack>) {
    let root = respond(&stack, &ask("chat", "the root")).await;
    let trunk = [user("the root"), assistant(&text(&root))];
    for branch in ["left", "right"] {
        let (first, asked) = translated(&stack, &follow("chat", &root, branch)).await;
        let mut messages = [trunk.as_slice(), &[user(branch)]].concat();
        assert_eq!(asked["messages"], Value::from(messages.clone()));
        let (_, asked) = translated(&stack, &follow("other", &first, "more")).await;
        messages.extend([assistant(&text(&first)), user("more")]);
        assert_eq!(asked["messages"], Value::from(messages));
    }
}

async fn concurrent_follow_ups(stack: Arc<Stack>) {
    let root = respond(&stack, &ask("chat", "my name is Ada")).await;
    let requests: Vec<Value> = (0..12).map(|n| follow("chat", &root, format!("branch {n}"))).collect();
    let branches = join_all(requests.iter().map(|request| respond(&stack, request))).await;
    let again: Vec<Value> = branches.iter().map(|branch| follow("chat", branch, "What is my name?")).collect();
    let leaves = join_all(again.iter().map(|request| translated(&stack, request))).await;
    for (n, (response, asked)) in leaves.iter().enumerate() {
        assert_eq!(text(response), "Your name is Ada.");
        assert_eq!(asked["messages"][2], user(&format!("branch {n}")));
        assert_eq!(asked["messages"].as_array().map(Vec::len), Some(5));
    }
}

async fn instructions_hold_for_one_request(stack: Arc<Stack>) {
    let first = respond(&stack, &with(ask("chat", "one"), json!({ "instructions": "My name is Bob." }))).await;
    let (second, asked) = translated(&stack, &follow("chat", &first, "What is my name?")).await;
    assert_eq!(asked["messages"], json!([user("one"), assistant(&text(&first)), user("What is my name?")]));
    assert_eq!((text(&second).as_str(), &second["instructions"]), ("I do not know your name.", &Value::Null));
    let third = with(follow("chat", &second, "three"), json!({ "instructions": "Others." }));
    let (_, asked) = translated(&stack, &third).await;
    assert_eq!(asked["messages"][0], json!({ "role": "system", "content": "Others." }));
    assert_eq!(asked["messages"].as_array().map(Vec::len), Some(6));
}

async fn tool_calls_go_round(stack: Arc<Stack>) {
    let tools = json!({ "tools": [weather()] });
    let called = respond(&stack, &with(ask("chat", "please use the tool"), tools.clone())).await;
    let call = &called["output"][0];
    assert_eq!(
        (&call["type"], &call["name"], &call["status"]),
        (&json!("function_call"), &json!("weather"), &json!("completed"))
    );
    assert_eq!(call["arguments"], r#"{"city":"Paris"}"#);
    let output = json!([{ "type": "function_call_output", "call_id": call["call_id"], "output": "sunny" }]);
    let (answer, asked) = translated(&stack, &with(follow("other", &called, output), tools)).await;
    assert_eq!(
        asked["messages"],
        json!([
            user("please use the tool"),
            { "role": "assistant", "content": null, "tool_calls": [{ "id": call["call_id"], "type": "function",
                "function": { "name": "weather", "arguments": r#"{"city":"Paris"}"# } }] },
            { "role": "tool", "tool_call_id": call["call_id"], "content": "sunny" },
        ])
    );
    assert!(text(&answer).contains("sunny"), "{answer}");
}

async fn several_calls_are_one_message(stack: Arc<Stack>) {
    let call = |n: usize| json!({ "id": format!("call_{n}"), "type": "function", "function": { "name": "weather", "arguments": format!("{{\"n\":{n}}}") } });
    let message = json!({ "role": "assistant", "content": "Let me see.", "tool_calls": [call(1), call(2)] });
    let behaviour = Behaviour { message: Some(message.clone()), ..Behaviour::default() };
    let request = with(ask("chat", behaviour.marker()), json!({ "tools": [weather()] }));
    let called = respond(&stack, &request).await;
    let kinds: Vec<_> =
        called["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "function_call", "function_call"]);
    let answer = |n: usize| json!({ "type": "function_call_output", "call_id": called["output"][n]["call_id"], "output": format!("{n}") });
    let (_, asked) = translated(&stack, &follow("chat", &called, json!([answer(2), answer(1)]))).await;
    let asked = &asked["messages"];
    assert_eq!((&asked[1]["content"], &asked[1]["tool_calls"]), (&message["content"], &message["tool_calls"]));
    for n in [1, 2] {
        assert_eq!(asked[n + 1]["tool_call_id"], format!("call_{n}"));
    }
    assert_eq!(asked.as_array().map(Vec::len), Some(4));
}

async fn reasoning_and_refusals(stack: Arc<Stack>) {
    let message = json!({ "role": "assistant", "content": "Four.", "reasoning_content": "Two and two." });
    let thought = respond(&stack, &behaving(message)).await;
    assert_eq!(thought["output"][0]["type"], "reasoning");
    assert_eq!(thought["output"][0]["content"][0], json!({ "type": "reasoning_text", "text": "Two and two." }));
    assert_eq!(thought["output"][1]["content"][0]["text"], "Four.");
    let message = json!({ "role": "assistant", "content": null, "refusal": "I cannot." });
    let refused = respond(&stack, &behaving(message)).await;
    assert_eq!(refused["output"][0]["content"], json!([{ "type": "refusal", "refusal": "I cannot." }]));
}

fn behaving(message: Value) -> Value {
    ask("chat", Behaviour { message: Some(message), ..Behaviour::default() }.marker())
}

async fn how_it_ended(stack: Arc<Stack>) {
    for (reason, status, details) in [
        ("stop", "completed", Value::Null),
        ("length", "incomplete", json!({ "reason": "max_output_tokens" })),
        ("content_filter", "incomplete", json!({ "reason": "content_filter" })),
        ("none", "failed", Value::Null),
    ] {
        let behaviour = Behaviour { finish_reason: Some(reason.to_owned()), ..Behaviour::default() };
        let response = respond(&stack, &ask("chat", behaviour.marker())).await;
        assert_eq!((&response["status"], &response["incomplete_details"]), (&json!(status), &details), "{response}");
        assert_eq!(response["error"].is_null(), reason != "none", "{response}");
        assert_eq!(answered(stack.address(), get(id(&response))).await, response);
    }
}

async fn log_probabilities(stack: Arc<Stack>) {
    let more = json!({ "include": ["message.output_text.logprobs"], "top_logprobs": 2 });
    let (response, asked) = translated(&stack, &with(ask("chat", "hi"), more)).await;
    assert_eq!((&asked["logprobs"], &asked["top_logprobs"]), (&json!(true), &json!(2)));
    let part = &response["output"][0]["content"][0];
    let tokens: String =
        part["logprobs"].as_array().unwrap().iter().filter_map(|token| token["token"].as_str()).collect();
    assert_eq!(part["text"], tokens);
}

async fn a_schema(stack: Arc<Stack>) {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"], "additionalProperties": false });
    let format = json!({ "type": "json_schema", "name": "answer", "schema": schema, "strict": true });
    let (response, asked) =
        translated(&stack, &with(ask("chat", "a number"), json!({ "text": { "format": format } }))).await;
    let wanted =
        json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema, "strict": true } });
    assert_eq!(asked["response_format"], wanted);
    assert_eq!((text(&response).as_str(), &response["text"]["format"]), (r#"{"n":7}"#, &format));
}

async fn items_by_reference(stack: Arc<Stack>) {
    let first = respond(&stack, &ask("chat", "a thing to refer to")).await;
    let reference = json!({ "type": "item_reference", "id": first["output"][0]["id"] });
    let (_, asked) = translated(&stack, &ask("other", json!([reference, user("and now?")]))).await;
    assert_eq!(asked["messages"], json!([assistant(&text(&first)), user("and now?")]));
    let unknown = json!({ "type": "item_reference", "id": "msg_00000000000000000000000000000000ffff" });
    let reply = stack.send(create(&ask("chat", json!([unknown, user("x")])))).await.unwrap();
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (404, &json!("input")), "{}", reply.text());
}

async fn routed_by_meaning(stack: Arc<Stack>) {
    let (first, _) = translated(&stack, &ask("auto", "What is 2+2? My name is Eve.")).await;
    assert_eq!((server(&first).as_str(), &first["model"]), ("other", &json!("other")));
    let named = respond(&stack, &follow("chat", &first, "and?")).await;
    let (again, asked) = translated(&stack, &follow("auto", &named, "What is my name?")).await;
    assert_eq!((text(&again).as_str(), &again["model"]), ("Your name is Eve.", &json!("other")));
    assert_eq!(asked["messages"].as_array().map(Vec::len), Some(5));
}

async fn headers_on_both_sides(stack: Arc<Stack>) {
    let call = create(&ask("auto", "hi")).header("authorization", "Bearer mine").header("x-fingerpost-owner", "else");
    let (reply, seen) = through(&stack, call).await;
    assert_eq!(reply.header("x-selected-model"), Some("other"));
    assert_eq!(reply.header("x-semantic-destination-endpoint"), Some("other"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("x-processing-time").is_some_and(|time| time.parse::<u64>().is_ok()), "{:?}", reply.headers);
    let internal = seen.headers.iter().find(|(name, _)| name.starts_with("x-fingerpost-") || name == "authorization");
    assert!(internal.is_none(), "{internal:?}");
    assert_eq!(seen.header("content-length").map(str::parse), Some(Ok(seen.body.len())));
}

async fn a_conversation_stays_on_its_endpoint(stack: Arc<Stack>) {
    let mut homes = BTreeSet::new();
    for n in 0..8 {
        let mut previous = respond(&stack, &ask("spread", format!("conversation {n}"))).await;
        let home = server(&previous);
        for turn in 0..3 {
            // Nothing of the first request comes again but the id.
            let next = follow("spread", &previous, format!("turn {turn}"));
            previous = respond(&stack, &with(next, json!({ "instructions": format!("{turn}") }))).await;
            assert_eq!(server(&previous), home, "conversation {n}, turn {turn}");
        }
        homes.insert(home);
    }
    assert!(homes.len() > 1, "all at {homes:?}");
}

async fn any_framing(stack: Arc<Stack>) {
    for framing in [Framing::Sized, Framing::Chunked, Framing::H2] {
        let first = ask("chat", "my name is Ada");
        let first = answered(stack.address(), create(&first).framed(framing)).await;
        let next = with(follow("chat", &first, "what is my name"), json!({ "stream": true }));
        let reply = stack.send(create(&next).framed(framing)).await.unwrap();
        assert_eq!(text(last(&events(&reply, 0, true)).1), "Your name is Ada.", "{framing:?}");
        assert_eq!(answered(stack.address(), get(id(&first)).framed(framing)).await, first);
    }
}
