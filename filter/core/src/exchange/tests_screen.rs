//! Answers on their way out: guarded before anything reads them, and with their values put back behind all that stores them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

use fingerpost_proto::{
    classifier::{AnalyzeRequest, AnalyzeResponse, PiiEntity, PiiVerdict, SegmentAnalysis},
    state::{SaveResponseRequest, SaveResponseResponse},
};
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    tests::{Backend, Fixed, Run, error, header},
    *,
};
use crate::config::ResponseAction;

const JSON: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/json")];
const SSE: [(&str, &str); 2] = [(":status", "200"), ("content-type", "text/event-stream")];
const ADA: &str = "ada@x.y";

fn run(guards: &Value, response_guards: &Value) -> Run {
    Run::new(|config| {
        let endpoints = json!([{"name": "n1", "address": "10.0.1.1:80"}]);
        let native = json!({"name": "native", "api": "responses", "endpoints": endpoints});
        config["models"].as_array_mut().unwrap().push(native);
        config["id_keys"] = json!([{"env": "KEY"}]);
        config["limits"] = json!({"max_body": "64KiB"});
        if !guards.is_null() {
            config["guards"] = json!({"pii": guards});
        }
        if !response_guards.is_null() {
            config["response_guards"] = json!({"pii": response_guards});
        }
    })
}

fn restoring() -> Run {
    run(&json!({"action": "redact", "restore": true}), &Value::Null)
}

/// Every word with an `@`.
fn classify(message: &[u8]) -> Vec<u8> {
    let request = AnalyzeRequest::decode(message).unwrap();
    let entities = |text: &str| {
        let words = text.match_indices('@').map(|(at, _)| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
            let start = text[..at].rfind(|c| !is_part(c)).map_or(0, |i| i + 1);
            let end = text[at + 1..].find(|c| !is_part(c)).map_or(text.len(), |i| at + 1 + i);
            PiiEntity { r#type: "EMAIL_ADDRESS".to_owned(), start: start as u32, end: end as u32, score: 0.9 }
        });
        PiiVerdict { entities: words.collect() }
    };
    let analysis = |text: &str| SegmentAnalysis { pii: Some(entities(text)), ..SegmentAnalysis::default() };
    let segments = request.segments.iter().map(|segment| analysis(&segment.text)).collect();
    AnalyzeResponse { segments, ..AnalyzeResponse::default() }.encode_to_vec()
}

fn result(run: &mut Run, call: Call, outcome: Result<&[u8], CalloutError>) -> Effects {
    run.exchange.on(&run.plugin, Event::CalloutResult { call, outcome, waited: Micros(1_000) })
}

/// Sends a request on; the guard on requests gets its answer.
fn send(run: &mut Run, path: &str, body: &Value) -> Effects {
    run.exchange = Exchange::default();
    run.headers(&[(":path", path), ("accept-encoding", "gzip"), ("content-length", "1")]);
    let mut effects = run.body(&body.to_string());
    if let Some(callout) = effects.callouts.first() {
        assert_eq!(callout.call, Call::Analyze);
        let reply = classify(&callout.message);
        effects = result(run, Call::Analyze, Ok(&reply));
    }
    assert_eq!(header(&effects, "accept-encoding"), Some("identity"));
    effects
}

fn chat(run: &mut Run, stream: bool) -> Effects {
    let messages = json!([{"role": "user", "content": format!("Write to {ADA}, \"now\"")}]);
    send(run, "/v1/chat/completions", &json!({"model": "general", "stream": stream, "messages": messages}))
}

fn response_headers(run: &mut Run, headers: &[(&'static str, &'static str)]) -> Effects {
    run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &Backend(headers.to_vec()), end: false })
}

/// What leaves: chunks go in, the classifier and the state service answer, and the host's buffer is emptied.
struct Out {
    bytes: Vec<u8>,
    save: Option<SaveResponseRequest>,
    count: Vec<Counter>,
    asked: usize,
}

fn answer(run: &mut Run, body: &str, chunk: usize, classifier: Result<(), CalloutError>) -> Out {
    let mut out = Out { bytes: Vec::new(), save: None, count: Vec::new(), asked: 0 };
    let chunks: Vec<&[u8]> = body.as_bytes().chunks(chunk).collect();
    let last = chunks.len() - 1;
    for (i, chunk) in chunks.into_iter().enumerate() {
        let mut buffer = chunk.to_vec();
        let event = Event::ResponseBody { chunk, cut: false, end: i == last, moment: &Fixed };
        let mut effects = run.exchange.on(&run.plugin, event);
        loop {
            assert_eq!(effects.reply, None);
            if let Some(edit) = &effects.body {
                buffer = [edit.bytes.as_slice(), buffer.get(edit.replaced..).unwrap_or_default()].concat();
            }
            out.count.append(&mut effects.count);
            let Some(callout) = effects.callouts.pop() else { break };
            assert_eq!(effects.flow, Flow::Pause);
            effects = match callout.call {
                Call::AnalyzeAnswer => {
                    out.asked += 1;
                    let reply = classify(&callout.message);
                    result(run, Call::AnalyzeAnswer, classifier.map(|()| reply.as_slice()))
                }
                Call::Save => {
                    out.save = Some(SaveResponseRequest::decode(callout.message.as_slice()).unwrap());
                    result(run, Call::Save, Ok(&SaveResponseResponse::default().encode_to_vec()))
                }
                other => panic!("{other:?}"),
            };
            assert!(matches!(effects.flow, Flow::Resume | Flow::Pause));
        }
        assert_ne!(effects.flow, Flow::Pause);
        out.bytes.append(&mut buffer);
    }
    assert_eq!(run.exchange.wanted(), Wanted::Nothing, "it is over");
    out
}

fn text(out: &Out) -> &str {
    std::str::from_utf8(&out.bytes).unwrap()
}

fn completion(content: &str) -> String {
    json!({"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}).to_string()
}

fn deltas(text: &str, piece: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    let event = |piece: &[char]| {
        let content: String = piece.iter().collect();
        format!(
            "data: {}\n\n",
            json!({"id": "c", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}]})
        )
    };
    let stop = json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    chars.chunks(piece).map(event).collect::<String>() + &format!("data: {stop}\n\ndata: [DONE]\n\n")
}

fn events(stream: &str) -> Vec<Value> {
    let lines = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn said(stream: &str) -> String {
    events(stream)
        .iter()
        .filter_map(|event| event.pointer("/choices/0/delta/content")?.as_str().map(ToOwned::to_owned))
        .collect()
}

#[test]
fn values_come_back_in_a_chat_completion() {
    let mut run = restoring();
    let sent: Value = serde_json::from_slice(&chat(&mut run, false).body.unwrap().bytes).unwrap();
    assert_eq!(sent["messages"][0]["content"], "Write to [EMAIL_ADDRESS_1], \"now\"");
    let effects = response_headers(&mut run, &JSON);
    assert_eq!((effects.flow, run.exchange.wanted()), (Flow::Pause, Wanted::Whole));
    assert!(effects.headers.contains(&("content-length", None)));
    let out = answer(&mut run, &completion("To [EMAIL_ADDRESS_1] and [EMAIL_ADDRESS_2]"), 10_000, Ok(()));
    let body: Value = serde_json::from_slice(&out.bytes).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], format!("To {ADA} and [EMAIL_ADDRESS_2]"));
    assert_eq!(body["routing_metadata"]["selected_model"], "general");
}

#[test]
fn values_come_back_in_a_chat_stream_however_it_is_cut() {
    for chunk in [1, 13, 10_000] {
        let mut run = restoring();
        chat(&mut run, true);
        assert_eq!(response_headers(&mut run, &SSE).flow, Flow::Continue);
        let out = answer(&mut run, &deltas("To [EMAIL_ADDRESS_1], [EMAIL", 3), chunk, Ok(()));
        assert_eq!(said(text(&out)), format!("To {ADA}, [EMAIL"));
        assert!(text(&out).ends_with("data: [DONE]\n\n"));
    }
}

#[test]
fn nothing_is_restored_where_nothing_was_taken() {
    let mut run = restoring();
    let body = json!({"model": "general", "messages": [{"role": "user", "content": "hi"}]});
    run.headers(&[]);
    let effects = run.body(&body.to_string());
    let reply = classify(&effects.callouts[0].message);
    result(&mut run, Call::Analyze, Ok(&reply));
    response_headers(&mut run, &JSON);
    assert_eq!(run.exchange.wanted(), Wanted::Start(64), "only the metadata");
}

#[test]
fn what_is_stored_is_the_redacted_form() {
    for stream in [false, true] {
        let mut run = restoring();
        send(
            &mut run,
            "/v1/responses",
            &json!({"model": "general", "stream": stream, "input": format!("to {ADA}"), "instructions": format!("as {ADA}")}),
        );
        response_headers(&mut run, if stream { &SSE } else { &JSON });
        let said = "To [EMAIL_ADDRESS_1].";
        let backend = if stream { deltas(said, 4) } else { completion(said) };
        let out = answer(&mut run, &backend, if stream { 31 } else { 10_000 }, Ok(()));
        let save = out.save.as_ref().unwrap();
        let stored = String::from_utf8([save.response.as_slice(), &save.input_items.concat()].concat()).unwrap();
        assert!(stored.contains(said) && !stored.contains(ADA), "{stored}");
        assert_eq!(save.redactions[0].placeholder, "[EMAIL_ADDRESS_1]");
        let response = if stream {
            events(text(&out)).pop().unwrap()["response"].take()
        } else {
            serde_json::from_str(text(&out)).unwrap()
        };
        assert_eq!(response["output"][0]["content"][0]["text"], format!("To {ADA}."));
        assert_eq!(response["instructions"], format!("as {ADA}"));
        if stream {
            let deltas: String =
                events(text(&out)).iter().filter_map(|e| e["delta"].as_str().map(ToOwned::to_owned)).collect();
            assert_eq!(deltas, format!("To {ADA}."));
        }
    }
}

#[test]
fn a_native_answer_gets_its_values_and_its_ids() {
    let mut run = restoring();
    send(&mut run, "/v1/responses", &json!({"model": "native", "input": format!("to {ADA}")}));
    response_headers(&mut run, &[JSON.as_slice(), &[("x-semantic-destination-endpoint", "n1")]].concat());
    let body = json!({"id": "resp_up", "object": "response", "output": [{"type": "function_call", "call_id": "c", "name": "mail", "arguments": "{\"to\":\"[EMAIL_ADDRESS_1]\"}"}]});
    let out = answer(&mut run, &body.to_string(), 10_000, Ok(()));
    let response: Value = serde_json::from_slice(&out.bytes).unwrap();
    assert!(response["id"].as_str().unwrap().starts_with("resp_n"));
    assert_eq!(response["output"][0]["arguments"], format!("{{\"to\":\"{ADA}\"}}"));
}

#[test]
fn an_unsaved_answer_has_its_values_too() {
    for (policy, stream) in [("open", false), ("open", true), ("closed", true)] {
        let mut run = Run::new(|config| {
            config["guards"] = json!({"pii": {"action": "redact", "restore": true}});
            config["response_api"] = json!({"on_save_failure": policy});
            config["id_keys"] = json!([{"env": "KEY"}]);
        });
        send(&mut run, "/v1/responses", &json!({"model": "general", "stream": stream, "input": format!("to {ADA}")}));
        response_headers(&mut run, if stream { &SSE } else { &JSON });
        let said = "To [EMAIL_ADDRESS_1].";
        let backend = if stream { deltas(said, 400) } else { completion(said) };
        let event = Event::ResponseBody { chunk: backend.as_bytes(), cut: false, end: true, moment: &Fixed };
        let first = run.exchange.on(&run.plugin, event);
        assert_eq!((first.flow, first.callouts.len()), (Flow::Pause, 1));
        let effects = result(&mut run, Call::Save, Err(CalloutError::Status(14)));
        let out = String::from_utf8(effects.body.unwrap().bytes).unwrap();
        assert_eq!(effects.flow, Flow::Resume);
        assert!(out.contains(ADA) && !out.contains("[EMAIL"), "{policy} {stream} {out}");
        assert_eq!(run.exchange.wanted(), Wanted::Nothing);
    }
}

#[test]
fn answers_are_guarded_on_every_way() {
    let secret = "mail bob@y.z today";
    let hidden = "mail [EMAIL_ADDRESS_1] today";
    for stream in [false, true] {
        for chunk in if stream { vec![7, 100, 10_000] } else { vec![10_000] } {
            let mut run = run(&Value::Null, &json!({}));
            chat(&mut run, stream);
            response_headers(&mut run, if stream { &SSE } else { &JSON });
            let backend = if stream { deltas(secret, 5) } else { completion(secret) };
            let out = answer(&mut run, &backend, chunk, Ok(()));
            let answered = if stream {
                said(text(&out))
            } else {
                serde_json::from_str::<Value>(text(&out)).unwrap()["choices"][0]["message"]["content"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            };
            assert_eq!((answered.as_str(), out.asked), (hidden, 1));
            assert_eq!(out.count, [Counter::AnswerPiiDetected(ResponseAction::Redact)]);

            send(&mut run, "/v1/responses", &json!({"model": "general", "stream": stream, "input": "hi"}));
            response_headers(&mut run, if stream { &SSE } else { &JSON });
            let out = answer(&mut run, &backend, chunk, Ok(()));
            let stored = String::from_utf8(out.save.as_ref().unwrap().response.clone()).unwrap();
            assert!(stored.contains(hidden) && text(&out).contains(hidden) && !text(&out).contains("bob"));

            send(&mut run, "/v1/completions", &json!({"model": "general", "stream": stream, "prompt": "hi"}));
            response_headers(&mut run, if stream { &SSE } else { &JSON });
            let whole =
                json!({"choices": [{"index": 0, "text": secret, "logprobs": {"tokens": ["mail", "bob"]}}]}).to_string();
            let backend = if stream { format!("data: {whole}\n\ndata: [DONE]\n\n") } else { whole.clone() };
            let out = answer(&mut run, &backend, chunk, Ok(()));
            let expected = whole.replace(secret, hidden).replace(r#"{"tokens":["mail","bob"]}"#, "null");
            assert_eq!(text(&out), backend.replace(&whole, &expected));
        }
    }
}

#[test]
fn a_native_stream_is_guarded_before_its_ids_change() {
    let mut run = run(&Value::Null, &json!({"action": "block"}));
    send(&mut run, "/v1/responses", &json!({"model": "native", "stream": true, "input": "hi"}));
    response_headers(&mut run, &[SSE.as_slice(), &[("x-semantic-destination-endpoint", "n1")]].concat());
    let created = json!({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_up", "object": "response", "status": "in_progress", "output": []}});
    let delta = json!({"type": "response.output_text.delta", "sequence_number": 1, "item_id": "m", "output_index": 0, "content_index": 0, "delta": "bob@y.z"});
    let done = json!({"type": "response.output_text.done", "sequence_number": 2, "item_id": "m", "output_index": 0, "content_index": 0, "text": "bob@y.z"});
    let stream: String = [created, delta, done].map(|event| format!("data: {event}\n\n")).concat();
    let out = answer(&mut run, &stream, 20, Ok(()));
    let events = events(text(&out));
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["response.created", "error", "response.failed"]);
    assert_eq!(events[2]["response"]["id"], events[0]["response"]["id"]);
    assert!(events[2]["response"]["id"].as_str().unwrap().starts_with("resp_n"));
    assert_eq!(out.count, [Counter::AnswerPiiDetected(ResponseAction::Block)]);
}

#[test]
fn a_blocked_answer_is_a_403_or_ends() {
    let mut run = run(&Value::Null, &json!({"action": "block"}));
    chat(&mut run, false);
    response_headers(&mut run, &JSON);
    let body = completion("bob@y.z");
    let effects = run
        .exchange
        .on(&run.plugin, Event::ResponseBody { chunk: body.as_bytes(), cut: false, end: true, moment: &Fixed });
    let reply = classify(&effects.callouts[0].message);
    let effects = result(&mut run, Call::AnalyzeAnswer, Ok(&reply));
    let reply: Value = serde_json::from_slice(&effects.reply.as_ref().unwrap().body).unwrap();
    assert_eq!(
        (&reply["error"]["type"], &reply["error"]["code"]),
        (&json!("security_violation"), &json!("pii_detected"))
    );
    assert_eq!(reply["error"]["details"], json!({"entities_found": ["EMAIL_ADDRESS"], "action_taken": "block"}));
    assert!(run.exchange.has_replied());

    // A Responses client of a chat backend gets the end of its own API, and what is stored has nothing of it.
    send(&mut run, "/v1/responses", &json!({"model": "general", "stream": true, "input": "hi"}));
    response_headers(&mut run, &SSE);
    let out = answer(&mut run, &deltas("to bob@y.z", 3), 50, Ok(()));
    let last = events(text(&out)).pop().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert!(text(&out).contains("pii_detected") && !text(&out).contains("bob"));
    assert!(out.save.is_none_or(|save| !String::from_utf8(save.response).unwrap().contains("bob")));
}

#[test]
fn without_a_verdict_the_answer_follows_the_policy() {
    for (policy, stream) in [("closed", false), ("closed", true), ("open", false), ("open", true)] {
        let mut run = run(&Value::Null, &json!({"on_error": policy}));
        chat(&mut run, stream);
        response_headers(&mut run, if stream { &SSE } else { &JSON });
        let backend = if stream { deltas("bob@y.z", 3) } else { completion("bob@y.z") };
        if policy == "closed" && !stream {
            run.exchange.on(
                &run.plugin,
                Event::ResponseBody { chunk: backend.as_bytes(), cut: false, end: true, moment: &Fixed },
            );
            let effects = result(&mut run, Call::AnalyzeAnswer, Err(CalloutError::Status(14)));
            assert_eq!(error(&effects), (503, "guard_unavailable".to_owned()));
            assert_eq!(effects.count.len(), 1);
            continue;
        }
        let out = answer(&mut run, &backend, if stream { 40 } else { 10_000 }, Err(CalloutError::Dispatch));
        assert_eq!(out.count.len(), 1);
        match policy {
            "closed" => assert!(text(&out).contains("guard_unavailable") && !text(&out).contains("bob")),
            _ if stream => assert_eq!(text(&out), backend),
            _ => assert!(text(&out).contains("bob@y.z")),
        }
    }
}

#[test]
fn while_the_classifier_is_asked_chunks_wait_in_the_core() {
    let mut run = run(&Value::Null, &json!({}));
    chat(&mut run, true);
    response_headers(&mut run, &SSE);
    let stream = deltas(&"word ".repeat(200), 5);
    let (first, rest) = stream.split_at(stream.len() / 2);
    let mut push = |bytes: &str, end| {
        run.exchange.on(&run.plugin, Event::ResponseBody { chunk: bytes.as_bytes(), cut: false, end, moment: &Fixed })
    };
    let empty = Some(crate::body::Edit::whole(Vec::new()));
    let asked = push(first, false);
    assert_eq!((asked.flow, &asked.body, asked.callouts.len()), (Flow::Pause, &empty, 1));
    assert_eq!(asked.callouts[0].timeout, crate::config::Millis(10_000));
    let waits = push(rest, true);
    assert_eq!((waits.flow, &waits.body, waits.callouts.len()), (Flow::Pause, &empty, 0));
    let reply = classify(&asked.callouts[0].message);
    let again = result(&mut run, Call::AnalyzeAnswer, Ok(&reply));
    assert_eq!(
        (again.flow, again.callouts.len()),
        (Flow::Pause, 1),
        "the end has come: the rest is asked about at once"
    );
    let reply = classify(&again.callouts[0].message);
    let effects = result(&mut run, Call::AnalyzeAnswer, Ok(&reply));
    assert_eq!((effects.flow, effects.body.unwrap().bytes), (Flow::Resume, stream.into_bytes()));
}

#[test]
fn what_a_guard_cannot_read_follows_its_policy() {
    for (headers, policy, refused) in [
        ([(":status", "200"), ("content-type", "text/html")], "closed", true),
        ([(":status", "200"), ("content-type", "text/html")], "open", false),
        ([(":status", "429"), ("content-type", "text/html")], "closed", false),
    ] {
        let mut run = run(&Value::Null, &json!({"on_error": policy}));
        chat(&mut run, false);
        let effects = response_headers(&mut run, &headers);
        assert_eq!(effects.reply.is_some(), refused);
        assert_eq!(run.exchange.wanted(), Wanted::Nothing);
    }
}

#[test]
fn a_stored_native_response_is_guarded_when_it_is_asked_for() {
    let mut run = run(&Value::Null, &json!({}));
    send(&mut run, "/v1/responses", &json!({"model": "native", "input": "hi"}));
    let headers = [JSON.as_slice(), &[("x-semantic-destination-endpoint", "n1")]].concat();
    response_headers(&mut run, &headers);
    let body = json!({"id": "resp_up", "object": "response", "output": [{"type": "message", "content": [{"type": "output_text", "text": "bob@y.z"}]}]}).to_string();
    let out = answer(&mut run, &body, 10_000, Ok(()));
    let first: Value = serde_json::from_slice(&out.bytes).unwrap();
    run.exchange = Exchange::default();
    run.headers(&[(":method", "GET"), (":path", &format!("/v1/responses/{}", first["id"].as_str().unwrap()))]);
    response_headers(&mut run, &headers);
    let out = answer(&mut run, &body, 10_000, Ok(()));
    assert_eq!(serde_json::from_slice::<Value>(&out.bytes).unwrap(), first);
    assert_eq!(first["output"][0]["content"][0]["text"], "[EMAIL_ADDRESS_1]");
}
