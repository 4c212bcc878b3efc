//! What the Responses API refuses, in whose words, and that no backend hears of it.

use std::sync::Arc;

use fingerpost_testbed::{client::Call, fake::Behaviour, harness::Stack, suite::Suite};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    cases,
    common::{assert_error, at_backend, id as request_id},
    responses_common::{
        PATH, answered, ask, behaving, create, follow, get, id, respond, server, stored, streamed, user, weather, with,
    },
};

pub(crate) fn cases(suite: Suite) -> Suite {
    cases!(
        suite,
        [
            an_unknown_previous_response,
            built_in_tools,
            what_chat_backends_cannot_do,
            bodies_that_do_not_read,
            calls_and_outputs_that_do_not_fit,
            unstored_responses_are_not_found,
            strangers_find_nothing,
            methods_and_paths,
            nobody_chooses_clusters_and_services,
            bodies_where_none_belongs,
            input_tokens,
            errors_of_the_backend,
            answers_that_are_none,
        ]
    )
}

/// The error, in OpenAI's shape, from the filter and not from a backend.
async fn refused(stack: &Stack, call: Call, status: u16) -> Value {
    let request = request_id();
    let reply = stack.send(call.header("x-request-id", request.as_str())).await.expect("an answer");
    assert_eq!(reply.status, status, "{}", reply.text());
    assert!(at_backend(stack, &request).is_none(), "a backend saw what was answered with {}", reply.text());
    let mut error = reply.json()["error"].take();
    let members = error.as_object_mut().unwrap_or_else(|| panic!("no error: {}", reply.text()));
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["code", "message", "param", "type"], "{}", reply.text());
    error
}

async fn an_unknown_previous_response(stack: Arc<Stack>) {
    let known = respond(&stack, &ask("chat", "hi")).await;
    let known = id(&known);
    // Every part of an id counts: prefix, key, conversation, node.
    let altered = |at: usize| {
        let digit = if known.as_bytes()[at] == b'0' { "1" } else { "0" };
        [&known[..at], digit, &known[at + 1..]].concat()
    };
    for unknown in [altered(5), altered(21), altered(37), altered(52), "resp_nothing".to_owned(), String::new()] {
        let request = with(ask("chat", "x"), json!({ "previous_response_id": unknown }));
        let error = refused(&stack, create(&request), 400).await;
        assert_eq!(error["code"], "previous_response_not_found", "{unknown}: {error}");
        assert_eq!(error["param"], "previous_response_id", "{error}");
        if !unknown.is_empty() {
            refused(&stack, get(&unknown), 404).await;
        }
    }
}

async fn built_in_tools(stack: Arc<Stack>) {
    for kind in [
        "web_search",
        "file_search",
        "code_interpreter",
        "computer_use_preview",
        "image_generation",
        "mcp",
        "local_shell",
    ] {
        let tools = json!({ "tools": [weather(), { "type": kind }] });
        let error = refused(&stack, create(&with(ask("chat", "x"), tools)), 400).await;
        assert_eq!(error["param"], "tools[1].type", "{kind}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(kind)), "{error}");
    }
}

async fn what_chat_backends_cannot_do(stack: Arc<Stack>) {
    for (members, param) in [
        (json!({ "background": true }), "background"),
        (json!({ "prompt": { "id": "pmpt_1" } }), "prompt"),
        (json!({ "nonsense": 1 }), "nonsense"),
        (json!({ "input": [{ "type": "computer_call", "id": "x" }] }), "input[0].type"),
        (json!({ "tool_choice": { "type": "web_search" } }), "tool_choice"),
    ] {
        let error = refused(&stack, create(&with(ask("chat", "x"), members)), 400).await;
        assert!(error["param"].as_str().is_some_and(|got| got.starts_with(param)), "{param}: {error}");
    }
    let both = json!({ "previous_response_id": "resp_1", "conversation": "conv_1" });
    let error = refused(&stack, create(&with(ask("chat", "x"), both)), 400).await;
    assert_eq!(error["code"], "mutually_exclusive_parameters", "{error}");
}

async fn bodies_that_do_not_read(stack: Arc<Stack>) {
    for (body, code) in [
        ("{", "invalid_json"),
        (r#"{"model":"chat","input":"x","input":"y"}"#, "ambiguous_key"),
        (r#"{"model":"chat","input":"x","Input":"y"}"#, "ambiguous_key"),
        (r#"{"model":"nobody","input":"x"}"#, "model_not_found"),
    ] {
        let status = if code == "model_not_found" { 404 } else { 400 };
        let error = refused(&stack, Call::post(PATH, body), status).await;
        assert_eq!(error["code"], code, "{body}: {error}");
    }
    for body in [r#"{"model":"chat"}"#, r#"{"input":"x"}"#, r#"{"model":"chat","input":7}"#, "[]", "null", ""] {
        refused(&stack, Call::post(PATH, body), 400).await;
    }
}

async fn calls_and_outputs_that_do_not_fit(stack: Arc<Stack>) {
    let output = json!({ "type": "function_call_output", "call_id": "call_nobody", "output": "x" });
    let error = refused(&stack, create(&ask("chat", json!([user("x"), output]))), 400).await;
    assert!(error["message"].as_str().is_some_and(|message| message.contains("call_nobody")), "{error}");
    let called = respond(&stack, &with(ask("chat", "use the tool"), json!({ "tools": [weather()] }))).await;
    // The call that the history ends with is not answered.
    let error = refused(&stack, create(&follow("chat", &called, "never mind")), 400).await;
    assert!(error["message"].as_str().is_some_and(|message| message.contains("call_fake_1")), "{error}");
}

async fn unstored_responses_are_not_found(stack: Arc<Stack>) {
    let unstored = json!({ "store": false });
    let response = respond(&stack, &with(ask("chat", "hi"), unstored.clone())).await;
    assert_eq!(response["store"], false);
    let error = refused(&stack, create(&follow("chat", &response, "x")), 400).await;
    assert_eq!(error["code"], "previous_response_not_found");
    refused(&stack, get(id(&response)), 404).await;
    // One that is not stored can follow one that is.
    let kept = respond(&stack, &ask("chat", "my name is Zoe")).await;
    let follower = with(follow("chat", &kept, "what is my name"), unstored);
    assert_eq!(respond(&stack, &follower).await["output"][0]["content"][0]["text"], "Your name is Zoe.");
    assert_eq!(answered(stack.address(), get(id(&kept))).await, kept);
}

async fn strangers_find_nothing(stack: Arc<Stack>) {
    let mine = |call: Call| call.header("authorization", "Bearer mine");
    let response = answered(stack.address(), mine(create(&ask("chat", "a secret")))).await;
    let conversation = answered(stack.address(), mine(Call::post("/v1/conversations", "{}"))).await;
    let (id, conversation) = (id(&response), id(&conversation));
    let item = response["output"][0]["id"].clone();
    for theirs in [Some("Bearer theirs"), None] {
        let as_them = |call: Call| match theirs {
            Some(token) => call.header("authorization", token),
            None => call,
        };
        for (method, rest) in [
            (Method::GET, ""),
            (Method::GET, "?stream=true"),
            (Method::GET, "/input_items"),
            (Method::POST, "/cancel"),
            (Method::DELETE, ""),
        ] {
            refused(&stack, as_them(stored(method, id, rest)), 404).await;
        }
        for (method, rest) in [(Method::GET, ""), (Method::GET, "/items"), (Method::DELETE, "")] {
            refused(&stack, as_them(Call::new(method, format!("/v1/conversations/{conversation}{rest}"))), 404).await;
        }
        let error = refused(&stack, as_them(create(&follow("chat", &response, "x"))), 400).await;
        assert_eq!(error["code"], "previous_response_not_found");
        refused(&stack, as_them(create(&with(ask("chat", "x"), json!({ "conversation": conversation })))), 404).await;
        let reference = json!([{ "type": "item_reference", "id": item }]);
        refused(&stack, as_them(create(&ask("chat", reference))), 404).await;
    }
    // An owner's name is not to be had by saying it.
    let forged = get(id).header("x-fingerpost-owner", "anonymous").header("x-fingerpost-service", "state");
    refused(&stack, forged, 404).await;
    assert_eq!(answered(stack.address(), mine(get(id))).await, response);
}

async fn methods_and_paths(stack: Arc<Stack>) {
    for (method, path, allow) in [
        (Method::GET, "/v1/responses", "POST"),
        (Method::PUT, "/v1/responses/resp_1", "GET, DELETE"),
        (Method::GET, "/v1/responses/resp_1/cancel", "POST"),
        (Method::GET, "/v1/responses/input_tokens", "POST"),
    ] {
        let reply = stack.send(Call::new(method.clone(), path)).await.unwrap();
        assert_error(&reply, 405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    for path in [
        "/v1/responses/",
        "/v1/responsesx",
        "/v1/responses/compact",
        "/v1/responses/resp_1/nothing",
        "/v1/conversationsx",
    ] {
        assert_error(&stack.send(Call::post(path, "{}")).await.unwrap(), 404, "not_found");
    }
}

async fn nobody_chooses_clusters_and_services(stack: Arc<Stack>) {
    let forged = |call: Call| {
        call.header("x-fingerpost-service", "state")
            .header("x-fingerpost-cluster", "fingerpost_state")
            .header("x-selected-model", "other")
    };
    let response = answered(stack.address(), forged(create(&ask("chat", "hi")))).await;
    assert_eq!(server(&response), "chat");
    let completion = json!({ "model": "chat", "messages": [user("hi")] });
    let completion = answered(stack.address(), forged(Call::chat(&completion))).await;
    assert!(
        completion["choices"][0]["message"]["content"].as_str().is_some_and(|text| text.starts_with("served by chat"))
    );
    assert_error(&stack.send(forged(Call::get("/metrics"))).await.unwrap(), 404, "not_found");
}

async fn bodies_where_none_belongs(stack: Arc<Stack>) {
    let response = respond(&stack, &ask("chat", "hi")).await;
    let read = get(id(&response)).header("content-type", "application/json").body("{}");
    assert_eq!(answered(stack.address(), read).await, response);
    let cancel = stack.send(stored(Method::POST, id(&response), "/cancel").body("{\"x\":1}")).await.unwrap();
    assert_eq!(cancel.status, 400, "{}", cancel.text());
    let deleted = answered(stack.address(), stored(Method::DELETE, id(&response), "").body("{}")).await;
    assert_eq!(deleted["deleted"], true);
}

async fn input_tokens(stack: Arc<Stack>) {
    let path = "/v1/responses/input_tokens";
    let counted = answered(stack.address(), Call::post(path, ask("old", "hi").to_string())).await;
    assert_eq!(counted, json!({ "object": "response.input_tokens", "input_tokens": 10 }));
    let error = refused(&stack, Call::post(path, ask("chat", "hi").to_string()), 400).await;
    assert!(error["message"].as_str().is_some_and(|message| message.contains("chat")), "{error}");
}

async fn errors_of_the_backend(stack: Arc<Stack>) {
    for status in [400, 401, 404, 429, 500, 503] {
        let request = behaving("chat", &Behaviour { status, ..Behaviour::default() });
        for reply in [stack.send(create(&request)).await.unwrap(), streamed(&stack, &request).await] {
            assert_eq!(reply.status, status, "{}", reply.text());
            assert!(
                reply.json()["error"]["message"].as_str().is_some_and(|m| m.contains("fake backend")),
                "{}",
                reply.text()
            );
            assert_eq!(reply.header("retry-after").is_some(), status == 429);
        }
    }
    let request = behaving("chat", &Behaviour { reset: true, ..Behaviour::default() });
    assert_error(&stack.send(create(&request)).await.unwrap(), 503, "upstream_unavailable");
}

async fn answers_that_are_none(stack: Arc<Stack>) {
    let body = |body: &str| Behaviour { body: Some(body.to_owned()), ..Behaviour::default() };
    for behaviour in
        [Behaviour { garbage: true, ..Behaviour::default() }, body("{}"), body(""), body(r#"{"choices":[]}"#)]
    {
        let reply = stack.send(create(&behaving("chat", &behaviour))).await.unwrap();
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert_eq!(reply.json()["error"]["type"], "server_error", "{}", reply.text());
    }
}
