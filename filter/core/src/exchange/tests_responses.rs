//! The Responses API through the exchange: what is asked of whom, where a turn goes, and what comes back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use fingerpost_proto::state::{
    Failure, LoadConversationRequest, LoadConversationResponse, SaveResponseRequest, SaveResponseResponse, Turn,
    failure::Kind,
};
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    tests::{Backend, Fixed, Run, error, header},
    *,
};

const CHAT: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"four"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

fn run(change: impl FnOnce(&mut Value)) -> Run {
    Run::new(|config| {
        let endpoints = json!([{"name": "n1", "address": "10.0.1.1:80"}, {"name": "n2", "address": "10.0.1.2:80"}]);
        let native = |name: &str| json!({"name": name, "upstream_name": format!("up/{name}"), "api": "responses", "state_pool": "pool", "endpoints": endpoints});
        let models = config["models"].as_array_mut().unwrap();
        models.extend([native("native"), native("sibling")]);
        models[0]["options"] = json!({"tokenizer_path": "/tokenize"});
        config["id_keys"] = json!([{"env": "KEY"}]);
        change(config);
    })
}

fn create(run: &mut Run, body: &Value) -> Effects {
    create_as(run, &[], body)
}

fn create_as(run: &mut Run, extra: &[(&str, &str)], body: &Value) -> Effects {
    let head = [&[(":path", "/v1/responses"), ("content-length", "1")], extra].concat();
    run.exchange = Exchange::default();
    let effects = run.headers(&head);
    if effects.reply.is_some() { effects } else { run.body(&body.to_string()) }
}

fn result(run: &mut Run, call: Call, outcome: Result<&[u8], CalloutError>) -> Effects {
    run.exchange.on(&run.plugin, Event::CalloutResult { call, outcome, waited: Micros(1_000) })
}

fn response_headers(run: &mut Run, headers: Vec<(&'static str, &'static str)>) -> Effects {
    run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &Backend(headers), end: false })
}

fn chunk(run: &mut Run, bytes: &[u8], end: bool) -> Effects {
    run.exchange.on(&run.plugin, Event::ResponseBody { chunk: bytes, cut: false, end, moment: &Fixed })
}

fn body(effects: &Effects) -> String {
    String::from_utf8(effects.body.as_ref().expect("a body").bytes.clone()).unwrap()
}

const JSON: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/json")];
const SSE: [(&str, &str); 2] = [(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")];

/// A first turn with a chat backend, up to the call that stores it.
fn first_turn(run: &mut Run) -> SaveResponseRequest {
    let effects = create(run, &json!({"model": "general", "input": "2+2?", "metadata": {"a": "b"}}));
    assert_eq!((effects.flow, effects.callouts.len()), (Flow::Continue, 0));
    assert_eq!(header(&effects, ":path"), Some("/v1/chat/completions"));
    let chat: Value = serde_json::from_str(&body(&effects)).unwrap();
    assert_eq!(chat, json!({"model": "org/general", "messages": [{"role": "user", "content": "2+2?"}]}));
    assert_eq!(header(&effects, "content-length").unwrap(), body(&effects).len().to_string());
    let effects = response_headers(run, JSON.to_vec());
    assert_eq!((effects.flow, run.exchange.wanted()), (Flow::Pause, Wanted::Whole), "the head waits for the body");
    let effects = chunk(run, CHAT.as_bytes(), true);
    assert_eq!((effects.flow, effects.callouts.len()), (Flow::Pause, 1));
    let save = SaveResponseRequest::decode(effects.callouts[0].message.as_slice()).unwrap();
    assert_eq!(save.response, body(&effects).into_bytes(), "what is stored is what the client gets");
    save
}

#[test]
fn a_turn_is_stored_before_it_leaves() {
    let mut run = run(|_| {});
    let save = first_turn(&mut run);
    let response: Value = serde_json::from_slice(&save.response).unwrap();
    assert_eq!((&response["id"], &response["model"]), (&json!(save.response_id), &json!("general")));
    assert_eq!(response["output"][0]["content"][0]["text"], "four");
    assert_eq!((save.owner.as_str(), save.previous_response_id.as_str()), ("anonymous", ""));
    let effects = result(&mut run, Call::Save, Ok(&SaveResponseResponse::default().encode_to_vec()));
    assert_eq!(effects, Effects { flow: Flow::Resume, ..Effects::default() });
}

#[test]
fn what_cannot_be_stored_follows_the_policy() {
    let limit = SaveResponseResponse {
        failure: Some(Failure { kind: Kind::Limit.into(), id: String::new(), message: "max_turns is 2".to_owned() }),
    };
    let limit = limit.encode_to_vec();
    for (outcome, status, code) in [
        (Err(CalloutError::Status(14)), 503, "state_unavailable"),
        (Ok(&b"\xff"[..]), 503, "state_unavailable"),
        (Ok(limit.as_slice()), 400, "conversation_limit_reached"),
    ] {
        let mut closed = run(|_| {});
        first_turn(&mut closed);
        let effects = result(&mut closed, Call::Save, outcome);
        assert_eq!(error(&effects), (status, code.to_owned()));
        assert_eq!(effects.count, [Counter::SaveFailure]);

        let mut open = run(|config| config["response_api"] = json!({"on_save_failure": "open"}));
        first_turn(&mut open);
        let effects = result(&mut open, Call::Save, outcome);
        let response: Value = serde_json::from_str(&body(&effects)).unwrap();
        assert_eq!((effects.flow, &response["store"]), (Flow::Resume, &json!(false)));
        assert_eq!(header(&effects, "x-fingerpost-not-stored"), Some(code));
    }
}

#[test]
fn a_later_turn_loads_what_came_before() {
    let mut run = run(|_| {});
    let first = first_turn(&mut run);
    let body_of = |model: &str| json!({"model": model, "input": "and 3+3?", "previous_response_id": first.response_id});
    let effects = create(&mut run, &body_of("math"));
    let load = LoadConversationRequest::decode(effects.callouts[0].message.as_slice()).unwrap();
    assert_eq!((effects.flow, load.owner.as_str()), (Flow::Pause, "anonymous"));
    let item = |json: Value| json.to_string().into_bytes();
    let loaded = LoadConversationResponse {
        turns: vec![Turn {
            response_id: first.response_id.clone(),
            input_items: first.input_items.clone(),
            output_items: vec![item(
                json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "four", "annotations": []}]}),
            )],
            ..Turn::default()
        }],
        ..LoadConversationResponse::default()
    };
    let effects = result(&mut run, Call::Load, Ok(&loaded.encode_to_vec()));
    let chat: Value = serde_json::from_str(&body(&effects)).unwrap();
    let said: Vec<_> = chat["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!((effects.flow, said), (Flow::Resume, vec!["2+2?", "four", "and 3+3?"]));

    let not_found = LoadConversationResponse {
        failure: Some(Failure { kind: Kind::ResponseNotFound.into(), ..Failure::default() }),
        ..LoadConversationResponse::default()
    };
    for (outcome, status, code) in [
        (Err(CalloutError::Status(4)), 503, "state_unavailable"),
        (Err(CalloutError::Dispatch), 503, "state_unavailable"),
        (Ok(&b""[..]), 503, "state_unavailable"),
        (Ok(not_found.encode_to_vec().as_slice()), 400, "previous_response_not_found"),
    ] {
        create(&mut run, &body_of("math"));
        let effects = result(&mut run, Call::Load, outcome);
        assert_eq!(error(&effects), (status, code.to_owned()));
        assert_eq!(effects.count.len(), usize::from(status == 503));
    }
    assert_eq!(error(&create(&mut run, &body_of("native"))), (400, "model_not_in_state_pool".to_owned()));
}

#[test]
fn verdict_and_history_are_asked_for_at_once() {
    let mut run = run(|_| {});
    let first = first_turn(&mut run);
    let effects =
        create(&mut run, &json!({"model": "auto", "input": "3+3?", "previous_response_id": first.response_id}));
    let calls: Vec<_> = effects.callouts.iter().map(|callout| callout.call).collect();
    assert_eq!(calls, [Call::Analyze, Call::Load]);
    let loaded = LoadConversationResponse { turns: vec![Turn::default()], ..LoadConversationResponse::default() };
    let effects = result(&mut run, Call::Load, Ok(&loaded.encode_to_vec()));
    assert_eq!((effects.flow, run.exchange.is_awaiting()), (Flow::Pause, true));
    let effects = result(&mut run, Call::Analyze, Err(CalloutError::Status(14)));
    assert_eq!((effects.flow, header(&effects, "x-selected-model")), (Flow::Resume, Some("general")));
}

/// A first turn with a native backend that `n2` answers; gives the wrapped id.
fn native_turn(run: &mut Run, extra: &[(&str, &str)]) -> String {
    let sent = r#"{"model": "native", "input": "hi", "temperature": 1.0}"#;
    run.exchange = Exchange::default();
    run.headers(&[&[(":path", "/v1/responses")], extra].concat());
    let effects = run.body(sent);
    let edit = effects.body.as_ref().unwrap();
    let rest = sent.get(edit.replaced..).unwrap();
    assert_eq!(body(&effects) + rest, sent.replace("native", "up/native"));
    assert!(header(&effects, "x-gateway-destination-endpoint").unwrap().contains(','), "another endpoint may serve");
    response_headers(run, [JSON.as_slice(), &[("x-semantic-destination-endpoint", "n2")]].concat());
    let answer = r#"{"id" : "resp_up1","object":"response","model":"up/native","n":1.0}"#;
    let effects = chunk(run, answer.as_bytes(), true);
    let response: Value = serde_json::from_str(&body(&effects)).unwrap();
    let id = response["id"].as_str().unwrap().to_owned();
    assert_eq!(body(&effects), answer.replace("resp_up1", &id).replace("up/native", "native"));
    id
}

#[test]
fn a_native_conversation_goes_back_to_the_endpoint_that_served() {
    let mut run = run(|_| {});
    let id = native_turn(&mut run, &[]);
    let cluster = run.plugin.config.model("sibling").map(|m| m.pinned_cluster(&m.endpoints[1])).unwrap();
    let effects = create(&mut run, &json!({"model": "sibling", "input": "more", "previous_response_id": id}));
    assert_eq!((effects.flow, header(&effects, "x-fingerpost-cluster")), (Flow::Continue, Some(cluster.as_str())));
    assert_eq!(header(&effects, "x-gateway-destination-endpoint"), None);
    let sent: Value = serde_json::from_str(&format!("{}}}", body(&effects).trim_end_matches('}'))).unwrap();
    assert_eq!((&sent["previous_response_id"], &sent["model"]), (&json!("resp_up1"), &json!("up/sibling")));

    let get = |run: &mut Run, method, path: &str, extra: &[(&str, &str)]| {
        run.exchange = Exchange::default();
        run.headers(&[&[(":method", method), (":path", path)], extra].concat())
    };
    let effects = get(&mut run, "GET", &format!("/v1/responses/{id}?include=x"), &[]);
    assert_eq!(header(&effects, ":path"), Some("/v1/responses/resp_up1?include=x"));
    assert!(header(&effects, "x-fingerpost-cluster").is_some());
    for forged in [id.replacen('A', "B", 1), format!("{id}x"), "resp_x".to_owned()] {
        let effects = get(&mut run, "DELETE", &format!("/v1/responses/{forged}"), &[]);
        assert_eq!(effects.reply.map(|reply| reply.status), Some(404), "{forged}");
    }
    let effects = get(&mut run, "GET", &format!("/v1/responses/{id}"), &[("authorization", "Bearer other")]);
    assert_eq!(effects.reply.map(|reply| reply.status), Some(404));
    let effects = create(&mut run, &json!({"model": "general", "input": "x", "previous_response_id": id}));
    assert_eq!(error(&effects), (400, "model_not_in_state_pool".to_owned()));
    let effects = create_as(
        &mut run,
        &[("authorization", "Bearer other")],
        &json!({"model": "native", "input": "x", "previous_response_id": id}),
    );
    assert_eq!(error(&effects), (400, "previous_response_not_found".to_owned()));
}

#[test]
fn a_deletion_may_be_confirmed_without_a_body() {
    let mut run = run(|_| {});
    let id = native_turn(&mut run, &[]);
    run.exchange = Exchange::default();
    run.headers(&[(":method", "DELETE"), (":path", &format!("/v1/responses/{id}"))]);
    let response = Backend(vec![(":status", "204")]);
    let effects = run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &response, end: true });
    assert_eq!((effects.reply, effects.flow), (None, Flow::Continue));
}

#[test]
fn a_removed_endpoint_is_told_and_nobody_else_asked() {
    let mut before = run(|_| {});
    let id = native_turn(&mut before, &[]);
    let mut after = run(|config| {
        for model in &mut config["models"].as_array_mut().unwrap()[3..] {
            model["endpoints"].as_array_mut().unwrap().pop();
        }
    });
    let effects = create(&mut after, &json!({"model": "auto", "input": [], "previous_response_id": id}));
    assert_eq!(error(&effects), (503, "endpoint_unavailable".to_owned()));
    after.exchange = Exchange::default();
    let effects = after.headers(&[(":method", "GET"), (":path", &format!("/v1/responses/{id}"))]);
    assert_eq!(error(&effects), (503, "endpoint_unavailable".to_owned()));
}

#[test]
fn auto_stays_within_the_pool() {
    let mut run = run(|_| {});
    let id = native_turn(&mut run, &[]);
    let effects = create(&mut run, &json!({"model": "auto", "input": "2+2?", "previous_response_id": id}));
    assert_eq!(effects.callouts.len(), 1);
    let effects = result(&mut run, Call::Analyze, Err(CalloutError::Status(14)));
    assert_eq!(header(&effects, "x-selected-model"), Some("native"), "the default model is not in the pool");
}

#[test]
fn a_native_stream_gets_its_ids_and_keeps_the_rest() {
    let mut run = run(|_| {});
    create(&mut run, &json!({"model": "native", "input": "hi", "stream": true}));
    let effects = response_headers(&mut run, [SSE.as_slice(), &[("x-semantic-destination-endpoint", "n1")]].concat());
    assert_eq!((effects.flow, run.exchange.wanted()), (Flow::Continue, Wanted::Chunks));
    let stream = "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_up\",\"model\":\"up/native\"}}\r\n\r\ndata: [DONE]\n\n";
    let (head, tail) = stream.split_at(70);
    let out = body(&chunk(&mut run, head.as_bytes(), false)) + &body(&chunk(&mut run, tail.as_bytes(), true));
    let id = out.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(out, stream.replace("resp_up", id).replace("up/native", "native"));
    assert!(id.starts_with("resp_n"));
}

#[test]
fn tokens_are_counted_where_there_is_a_tokenizer() {
    let mut run = run(|_| {});
    let mut ask = |model: &str| {
        run.exchange = Exchange::default();
        run.headers(&[(":path", "/v1/responses/input_tokens")]);
        run.body(&json!({"model": model, "input": "hi"}).to_string())
    };
    assert_eq!(error(&ask("auto")), (400, "auto_not_supported".to_owned()));
    assert_eq!(error(&ask("math")), (400, "input_tokens_not_supported".to_owned()));
    assert_eq!(header(&ask("native"), ":path"), None, "passed on");
    assert_eq!(header(&ask("general"), ":path"), Some("/tokenize"));
    response_headers(&mut run, JSON.to_vec());
    let effects = chunk(&mut run, br#"{"count":3}"#, true);
    assert_eq!(body(&effects), r#"{"input_tokens":3,"object":"response.input_tokens"}"#);
}

#[test]
fn answers_that_cannot_be_used_are_told() {
    for (stream, headers, bytes) in
        [(false, JSON, Some("{}")), (false, JSON, Some("not json")), (false, SSE, None), (true, JSON, None)]
    {
        let mut run = run(|_| {});
        create(&mut run, &json!({"model": "general", "input": "hi", "stream": stream}));
        let effects = response_headers(&mut run, headers.to_vec());
        let effects = bytes.map_or(effects, |bytes| chunk(&mut run, bytes.as_bytes(), true));
        assert_eq!(error(&effects), (502, "upstream_bad_answer".to_owned()));
    }
    let mut run = run(|_| {});
    create(&mut run, &json!({"model": "general", "input": "hi"}));
    response_headers(&mut run, vec![(":status", "429"), ("content-type", "application/json")]);
    assert_eq!(run.exchange.wanted(), Wanted::Nothing, "a backend's own error passes");
}

#[test]
fn owners_come_from_where_the_configuration_says() {
    let mut run = run(|config| {
        config["owner"] = json!({"header": "x-tenant", "jwt": {"payload": "p"}});
    });
    let mut owner = |headers: &[(&str, &str)], claim: Option<&str>| {
        run.exchange = Exchange::default();
        let mut all: Vec<_> = vec![(":method", "GET"), (":path", "/v1/conversations/x")];
        all.extend(headers);
        let headers = all.into_iter().collect();
        let claim = claim.map(|claim| claim.as_bytes().to_vec());
        let effects = run.exchange.on(&run.plugin, Event::RequestHeaders { headers, claim, end: true });
        assert_eq!(header(&effects, "x-fingerpost-service"), Some("state"));
        header(&effects, "x-fingerpost-owner").unwrap().to_owned()
    };
    assert_eq!(owner(&[("x-tenant", "t"), ("authorization", "a")], Some("me")), "jwt:me");
    assert_eq!(owner(&[("x-tenant", "t"), ("authorization", "a")], None), "header:t");
    assert_eq!(owner(&[], None), "anonymous");
    let (one, two) = (owner(&[("authorization", "a")], None), owner(&[("authorization", "b")], None));
    assert!(one.starts_with("auth:") && one != two);
}

#[test]
fn no_body_outgrows_envoys_buffer() {
    let limits = |config: &mut Value| {
        config["limits"] = json!({"max_body": "2KiB"});
        config["response_api"] = json!({"max_conversation_bytes": "1KiB"});
    };
    let mut request = run(limits);
    let first = first_turn(&mut request);
    create(&mut request, &json!({"model": "math", "input": "x", "previous_response_id": first.response_id}));
    let long = json!({"type": "message", "id": "msg_1", "role": "user", "content": "x".repeat(4_000)});
    let turns = vec![Turn { input_items: vec![long.to_string().into_bytes()], ..Turn::default() }];
    let loaded = LoadConversationResponse { turns, ..LoadConversationResponse::default() };
    let effects = result(&mut request, Call::Load, Ok(&loaded.encode_to_vec()));
    assert_eq!((error(&effects), effects.body), ((413, "request_too_large".to_owned()), None));

    let long = CHAT.replace("four", &"x".repeat(4_000));
    let mut whole = run(limits);
    create(&mut whole, &json!({"model": "general", "input": "x"}));
    response_headers(&mut whole, JSON.to_vec());
    let effects = chunk(&mut whole, long.as_bytes(), true);
    assert_eq!((error(&effects), effects.callouts), ((502, "response_too_large".to_owned()), vec![]));

    let mut stream = run(limits);
    create(&mut stream, &json!({"model": "general", "input": "x", "stream": true}));
    response_headers(&mut stream, SSE.to_vec());
    let delta = json!({"choices": [{"index": 0, "delta": {"content": "x".repeat(4_000)}}]});
    let effects = chunk(&mut stream, format!("data: {delta}\n\n").as_bytes(), false);
    assert!(body(&effects).starts_with("event: error\n"), "{effects:?}");
    let effects = chunk(&mut stream, b"data: [DONE]\n\n", true);
    assert_eq!((body(&effects), effects.callouts.len()), (String::new(), 0), "nothing more, and nothing stored");
}

#[test]
fn what_an_older_key_made_is_asked_for_too() {
    let mut run = run(|config| config["id_keys"] = json!([{"env": "NEW"}, {"env": "OLD"}]));
    let mut old = Run::new(|_| {});
    let keys: [&str; 2] = ["fedcba9876543210", "0123456789abcdef"];
    run.plugin = Plugin::new(run.plugin.config.clone(), &keys, 7).unwrap();
    let stored = |run: &mut Run| {
        run.exchange = Exchange::default();
        let path = format!("/v1/conversations/conv_{}", "0".repeat(32));
        let head = [(":method", "GET"), (":path", path.as_str()), ("authorization", "Bearer x")];
        let headers = head.into_iter().collect();
        run.exchange.on(&run.plugin, Event::RequestHeaders { headers, claim: None, end: true })
    };
    let (now, before) = (stored(&mut run), stored(&mut old));
    assert_eq!(header(&now, "x-fingerpost-older-owners"), header(&before, "x-fingerpost-owner"));
    assert_eq!(header(&before, "x-fingerpost-older-owners"), None);
    let owners = (header(&now, "x-fingerpost-owner").unwrap(), header(&before, "x-fingerpost-owner").unwrap());
    assert_ne!(owners.0, owners.1);

    let first = first_turn(&mut old);
    let body = json!({"model": "general", "input": "and?", "previous_response_id": first.response_id});
    let effects = create_as(&mut run, &[("authorization", "Bearer x")], &body);
    let load = LoadConversationRequest::decode(effects.callouts[0].message.as_slice()).unwrap();
    assert_eq!((load.owner.as_str(), load.older_owners.as_slice()), (owners.0, &[owners.1.to_owned()][..]));
    let loaded = LoadConversationResponse { turns: vec![Turn::default()], ..LoadConversationResponse::default() };
    result(&mut run, Call::Load, Ok(&loaded.encode_to_vec()));
    response_headers(&mut run, JSON.to_vec());
    let effects = chunk(&mut run, CHAT.as_bytes(), true);
    let save = SaveResponseRequest::decode(effects.callouts[0].message.as_slice()).unwrap();
    assert_eq!((save.owner.as_str(), save.older_owners.as_slice()), (owners.0, &[owners.1.to_owned()][..]));
}
