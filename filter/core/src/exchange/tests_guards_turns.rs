//! Guards and conversations: what is loaded is read, what is stored holds no values, and what a backend keeps is counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

use fingerpost_proto::state::{LoadConversationResponse, Redaction, SaveResponseRequest, Turn};
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    tests::{Backend, Fixed, Run, error, header},
    tests_guards::{EMAIL, JSON, analyze, asked, guarded, reply_header, response_header, result, run, send, sent},
    *,
};
use crate::config::Action;

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}"#;

/// Answers a turn, and gives what is stored of it.
fn stored(run: &mut Run) -> SaveResponseRequest {
    let backend = Backend(JSON.to_vec());
    run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &backend, end: false });
    let event = Event::ResponseBody { chunk: ANSWER.as_bytes(), cut: false, end: true, moment: &Fixed };
    let effects = run.exchange.on(&run.plugin, event);
    assert_eq!(effects.callouts[0].timeout.0, 2_000);
    SaveResponseRequest::decode(effects.callouts[0].message.as_slice()).unwrap()
}

#[test]
fn a_conversation_keeps_placeholders_and_no_values() {
    let mut run = run(json!({"pii": {"action": "redact"}}), |_| {});
    let first = json!({"model": "general", "input": format!("mail {EMAIL}")}).to_string();
    guarded(&mut run, "/v1/responses", &first);
    let first = stored(&mut run);
    assert!(String::from_utf8(first.input_items[0].clone()).unwrap().contains("mail [EMAIL_ADDRESS_1]"));
    assert_eq!((first.redactions.len(), first.redactions[0].placeholder.as_str()), (1, "[EMAIL_ADDRESS_1]"));

    // The conversation comes first: it is asked about with the rest. An item of before the guard holds a value.
    let second =
        json!({"model": "auto", "input": format!("{EMAIL} and Ann Bell"), "previous_response_id": first.response_id});
    let effects = send(&mut run, "/v1/responses", &second.to_string());
    assert_eq!(effects.callouts.iter().map(|callout| callout.call).collect::<Vec<_>>(), [Call::Load]);
    let old = json!({"type": "message", "id": "msg_0", "role": "user", "content": format!("old {EMAIL}")});
    let turns = vec![Turn {
        input_items: [vec![old.to_string().into_bytes()], first.input_items.clone()].concat(),
        redactions: first.redactions.clone(),
        ..Turn::default()
    }];
    let loaded = LoadConversationResponse { turns, ..LoadConversationResponse::default() }.encode_to_vec();
    let effects = result(&mut run, Call::Load, Ok(&loaded));
    assert_eq!(effects.flow, Flow::Pause);
    let request = asked(&effects);
    assert_eq!(request.segments.iter().filter(|segment| segment.text.contains("old")).count(), 1);
    let effects = result(&mut run, Call::Analyze, Ok(&analyze(&request)));
    let chat: Value = serde_json::from_slice(&effects.body.as_ref().unwrap().bytes).unwrap();
    let said: Vec<_> = chat["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["old [EMAIL_ADDRESS_1]", "mail [EMAIL_ADDRESS_1]", "[EMAIL_ADDRESS_1] and [PERSON_1]"]);
    let processing = response_processing(&mut run);
    assert_eq!(processing, ("6".to_owned(), "3".to_owned()), "one call after the other");

    let redactions: Vec<Redaction> = turn_again(&mut run, &second.to_string(), &loaded).redactions;
    assert_eq!(
        redactions.iter().map(|r| r.placeholder.as_str()).collect::<Vec<_>>(),
        ["[PERSON_1]"],
        "those of this turn"
    );
}

fn response_processing(run: &mut Run) -> (String, String) {
    let backend = Backend(JSON.to_vec());
    let effects = run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &backend, end: false });
    let value = |name| header(&effects, name).unwrap().to_owned();
    (value("x-processing-time"), value("x-classification-time"))
}

fn turn_again(run: &mut Run, body: &str, loaded: &[u8]) -> SaveResponseRequest {
    send(run, "/v1/responses", body);
    let effects = result(run, Call::Load, Ok(loaded));
    let reply = analyze(&asked(&effects));
    result(run, Call::Analyze, Ok(&reply));
    stored(run)
}

#[test]
fn the_conversation_is_not_waited_for_where_no_guard_reads_it() {
    let mut run = run(json!({"pii": {"scope": "last_user_message", "action": "redact"}}), |_| {});
    guarded(&mut run, "/v1/responses", &json!({"model": "general", "input": "hi"}).to_string());
    let first = stored(&mut run);
    let body = json!({"model": "general", "input": EMAIL, "previous_response_id": first.response_id}).to_string();
    let effects = send(&mut run, "/v1/responses", &body);
    assert_eq!(effects.callouts.iter().map(|callout| callout.call).collect::<Vec<_>>(), [Call::Analyze, Call::Load]);
    let reply = analyze(&asked(&effects));
    assert_eq!(result(&mut run, Call::Analyze, Ok(&reply)).flow, Flow::Pause);
    let turns = vec![Turn { input_items: first.input_items, ..Turn::default() }];
    let loaded = LoadConversationResponse { turns, ..LoadConversationResponse::default() };
    let effects = result(&mut run, Call::Load, Ok(&loaded.encode_to_vec()));
    assert!(String::from_utf8(effects.body.unwrap().bytes).unwrap().contains("[EMAIL_ADDRESS_1]"));
}

#[test]
fn a_native_turn_is_redacted_byte_for_byte_and_its_history_counted() {
    let mut run = run(json!({"pii": {"action": "redact"}}), |_| {});
    let path = "/v1/responses";
    let body = format!(r#"{{ "input": "mail {EMAIL}" , "model":"native","temperature":1.0}}"#);
    let effects = guarded(&mut run, path, &body);
    let expected = body.replace(EMAIL, "[EMAIL_ADDRESS_1]").replace("native", "up/native");
    assert_eq!(sent(&effects, &body), expected);
    let backend = Backend([JSON.as_slice(), &[("x-semantic-destination-endpoint", "n2")]].concat());
    run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &backend, end: false });
    let answer = br#"{"id":"resp_up1","object":"response","model":"up/native"}"#;
    let event = Event::ResponseBody { chunk: answer, cut: false, end: true, moment: &Fixed };
    let wrapped: Value = serde_json::from_slice(&run.exchange.on(&run.plugin, event).body.unwrap().bytes).unwrap();

    let body = format!(r#"{{"input":"to {EMAIL}","previous_response_id": {}, "model":"native"}}"#, wrapped["id"]);
    let effects = guarded(&mut run, path, &body);
    let expected = body.replace(EMAIL, "[EMAIL_ADDRESS_1]").replace("native", "up/native");
    let expected = expected.replace(wrapped["id"].as_str().unwrap(), "resp_up1");
    assert_eq!(sent(&effects, &body), expected);
    assert_eq!(response_header(&mut run, "x-security-checks").as_deref(), Some("pii:true,unscannable:1"));
}

#[test]
fn answers_of_the_filters_own_carry_the_checks_too() {
    let mut run = run(json!({"pii": {"action": "annotate"}}), |_| {});
    guarded(&mut run, "/v1/responses", &json!({"model": "general", "input": EMAIL}).to_string());
    let backend = Backend(vec![(":status", "200"), ("content-type", "text/html")]);
    let effects = run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &backend, end: false });
    assert_eq!((error(&effects).0, reply_header(&effects)), (502, Some("pii:true")));
    let effects = run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &backend, end: false });
    assert_eq!(effects, Effects::default(), "a local reply is not touched on its way out");
}

#[test]
fn a_refusal_after_the_guards_have_spoken_says_what_they_said() {
    let mut run = run(json!({"pii": {"action": "redact"}}), |_| {});
    let body = json!({"model": "general", "input": EMAIL, "background": true}).to_string();
    let effects = guarded(&mut run, "/v1/responses", &body);
    assert_eq!((error(&effects).0, reply_header(&effects)), (400, Some("pii:true")));
    assert_eq!(effects.count, [Counter::PiiDetected(Action::Redact)]);
}
