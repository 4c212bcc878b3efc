#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{super::placeholders::Placeholders, *};

const LIMIT: usize = 1 << 20;

fn restorer() -> Restorer {
    Restorer::new(
        [("[PERSON_1]", "Ada \"L\""), ("[PERSON_10]", "Alan"), ("[EMAIL_ADDRESS_1]", "a@b.c")].into_iter(),
        LIMIT,
    )
}

/// The stream's bytes, cut anywhere.
fn run(restorer: Restorer, stream: &str, cuts: &[Index]) -> String {
    run_at(restorer, stream, cuts.iter().map(|cut| cut.index(stream.len() + 1)))
}

fn run_at(mut restorer: Restorer, stream: &str, cuts: impl Iterator<Item = usize>) -> String {
    let mut at: Vec<usize> = cuts.chain([0, stream.len()]).collect();
    at.sort_unstable();
    let mut out = Vec::new();
    for pair in at.windows(2) {
        restorer.push(&stream.as_bytes()[pair[0]..pair[1]], false, &mut out).unwrap();
    }
    restorer.push(b"", true, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn data(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn events(stream: &str) -> Vec<Value> {
    let lines = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn chat(choice: u64, delta: Value) -> Value {
    json!({"id": "c", "choices": [{"index": choice, "delta": delta, "finish_reason": null}]})
}

fn said(events: &[Value], pointer: &str, choice: u64) -> String {
    let choices = events.iter().flat_map(|event| event["choices"].as_array().unwrap());
    choices.filter(|c| c["index"] == choice).filter_map(|c| c.pointer(pointer)?.as_str()).collect()
}

#[test]
fn a_whole_answer_keeps_every_other_byte() {
    let body = r#" {"choices": [ {"message":{"content":"\u00e9 [PERSON_1], [PERSON_2] [PERSON_10][EMAIL_ADDRESS_1",
        "tool_calls":[{"id":"[PERSON_1]","function":{"name":"f","arguments":"{\"to\":\"[PERSON_1]\"}"}}]}}],
        "n": 1.0, "instructions": "\u005bPERSON_10]"} "#;
    let expected = body
        .replace("[PERSON_1],", r#"Ada \"L\","#)
        .replace("[PERSON_10]", "Alan")
        .replace(r"\u005bPERSON_10]", "Alan")
        .replace(r#"\"[PERSON_1]\""#, r#"\"Ada \\\"L\\\"\""#)
        .replace(r#""id":"[PERSON_1]""#, r#""id":"Ada \"L\"""#);
    let out = String::from_utf8(restorer().whole(body.as_bytes()).unwrap()).unwrap();
    assert_eq!(out, expected);
    let answer: Value = serde_json::from_str(&out).unwrap();
    let arguments = answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({"to": "Ada \"L\""}));
    for body in ["", "not json", "[PERSON_1]", "{\"a\":\"[PERSON_1]\"", "\"[PERSON_1]\""] {
        assert_eq!(restorer().whole(body.as_bytes()).unwrap(), body.as_bytes());
    }
}

#[test]
fn placeholders_are_put_together_over_events() {
    let call = |index: u64, arguments: &str| {
        chat(0, json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}))
    };
    let stream = data(&[
        chat(0, json!({"role": "assistant", "content": ""})),
        chat(0, json!({"reasoning_content": "so [PERSON"})),
        chat(1, json!({"content": "[PER"})),
        chat(0, json!({"reasoning_content": "_1] and ["})),
        chat(0, json!({"content": "Hi [PERSON_"})),
        chat(1, json!({"content": "SON_10] [EMAIL"})),
        chat(0, json!({"content": "1"})),
        chat(0, json!({"content": "0]!"})),
        call(0, "{\"a\":\"[PERS"),
        call(1, "{\"b\":\"[PERSON_10"),
        call(0, "ON_1]\"}"),
        call(1, "]\"}"),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    ]) + "data: [DONE]\n\n";
    for cuts in [0, 1, 7, 30, 1_000] {
        let out = run_at(restorer(), &stream, (0..cuts).map(|i| i * stream.len() / cuts));
        assert!(out.ends_with("data: [DONE]\n\n"));
        let events = events(&out);
        assert_eq!(events.len(), 13);
        assert_eq!(said(&events, "/delta/reasoning_content", 0), "so Ada \"L\" and [");
        assert_eq!(said(&events, "/delta/content", 0), "Hi Alan!");
        assert_eq!(said(&events, "/delta/content", 1), "Alan [EMAIL");
        for (index, arguments) in [(0, json!({"a": "Ada \"L\""})), (1, json!({"b": "Alan"}))] {
            let calls = events.iter().filter_map(|e| e["choices"][0]["delta"]["tool_calls"].as_array());
            let pieces = calls.flatten().filter(|call| call["index"] == index);
            let text: String = pieces.map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), arguments);
        }
    }
}

#[test]
fn what_can_be_no_placeholder_waits_for_nothing() {
    let (mut restorer, mut out) = (restorer(), Vec::new());
    for (text, gone) in [("a [", 0), ("x] [PERSON_1", 1), ("1", 2), ("[EMAIL_ADDRESS_1", 0), ("] ", 2)] {
        out.clear();
        restorer.push(data(&[chat(0, json!({"content": text}))]).as_bytes(), false, &mut out).unwrap();
        assert_eq!(events(&String::from_utf8(out.clone()).unwrap()).len(), gone, "{text}");
    }
}

#[test]
fn one_text_cannot_hold_the_others_for_ever() {
    let (mut restorer, mut out) = (restorer(), Vec::new());
    restorer.push(data(&[chat(1, json!({"content": "[PERSON"}))]).as_bytes(), false, &mut out).unwrap();
    for _ in 0..WAITING {
        assert!(out.is_empty());
        restorer.push(data(&[chat(0, json!({"content": "x"}))]).as_bytes(), false, &mut out).unwrap();
    }
    assert_eq!(said(&events(&String::from_utf8(out).unwrap()), "/delta/content", 1), "[PERSON");
}

#[test]
fn response_events_are_restored_in_pieces_and_whole() {
    let place = |kind: &str, more: Value| {
        let mut event =
            json!({"type": kind, "sequence_number": 1, "item_id": "m", "output_index": 0, "content_index": 0});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("event: {kind}\ndata: {event}\n\n")
    };
    let delta = |text: &str| place("response.output_text.delta", json!({"delta": text}));
    let arguments = |text: &str| place("response.function_call_arguments.delta", json!({"delta": text}));
    let response = |status: &str, text: &str| {
        json!({"response": {"id": "r", "instructions": "[PERSON_10]", "status": status,
        "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}})
    };
    let stream = [
        place("response.created", response("in_progress", "")),
        delta("[PERSON_10"),
        delta("] ["),
        place("response.output_text.done", json!({"text": "[PERSON_10] ["})),
        arguments("{\"x\":\"[PERSON_"),
        arguments("1]\"}"),
        place("response.function_call_arguments.done", json!({"arguments": "{\"x\":\"[PERSON_1]\"}"})),
        place("response.completed", response("completed", "[PERSON_10] [")),
    ]
    .concat();
    let out = run(restorer(), &stream, &[]);
    let events = events(&out);
    let deltas = |kind: &str| {
        events.iter().filter(|e| e["type"] == kind).map(|e| e["delta"].as_str().unwrap()).collect::<String>()
    };
    assert_eq!(deltas("response.output_text.delta"), "Alan [");
    assert_eq!(events[3]["text"], "Alan [");
    let arguments = deltas("response.function_call_arguments.delta");
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"x": "Ada \"L\""}));
    assert_eq!(events[6]["arguments"], arguments);
    assert_eq!(events[7]["response"]["output"][0]["content"][0]["text"], "Alan [");
    assert_eq!(events[0]["response"]["instructions"], "Alan");
}

/// A text with places in it that stand for entities, in order.
fn marked() -> impl Strategy<Value = (String, Vec<Range<usize>>)> {
    let text = prop_oneof!["[a-c \\[\\]_1PERSON\"\\\\\né😀]{0,40}", "(\\[PERSON_[1-3]\\]|\\[PER|[a-z ]){0,12}"];
    (text, vec(any::<Index>(), 0..8)).prop_map(|(text, cuts)| {
        let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| *cut.get(&borders)).collect();
        at.sort_unstable();
        at.dedup();
        let places = at.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        (text, places)
    })
}

fn redact(text: &str, places: &[Range<usize>], placeholders: &mut Placeholders) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for place in places {
        out.push_str(&text[at..place.start]);
        out.push_str(&placeholders.assign("PERSON", &text[place.clone()], [0; 16]));
        at = place.end;
    }
    out + &text[at..]
}

fn pieces<'a>(text: &'a str, cuts: &[Index]) -> Vec<&'a str> {
    let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut at: Vec<usize> = cuts.iter().map(|cut| *cut.get(&borders)).chain([0, text.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

/// As some backends write: every character escaped.
fn ascii(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn redact_then_restore_is_the_identity((text, places) in marked(), deltas in vec(any::<Index>(), 0..8), cuts in vec(any::<Index>(), 0..8), escaped: bool) {
        let mut placeholders = Placeholders::default();
        placeholders.reserve(&text);
        let redacted = redact(&text, &places, &mut placeholders);
        let restorer = Restorer::new(placeholders.values(), LIMIT);
        let json = |text: &str| if escaped { format!("\"{}\"", ascii(text)) } else { json!(text).to_string() };

        let whole = format!("{{\"choices\":[{{\"message\":{{\"content\":{}}}}}]}}", json(&redacted));
        let whole: Value = serde_json::from_slice(&restorer.whole(whole.as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(&whole["choices"][0]["message"]["content"], &text);

        let pieces = pieces(&redacted, &deltas);
        let stream: String = pieces.iter().map(|piece| format!("data: {{\"choices\":[{{\"index\":0,\"text\":{}}}]}}\r\n\r\n", json(piece))).collect();
        let events = events(&run(restorer.clone(), &stream, &cuts));
        prop_assert_eq!(events.len(), pieces.len());
        prop_assert_eq!(said(&events, "/text", 0), text.as_str());

        let stream: String = pieces.iter().map(|piece| format!("event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"item_id\":\"m\",\"delta\":{}}}\n\n", json(piece))).collect();
        let deltas: String = self::events(&run(restorer, &stream, &cuts)).iter().map(|event| event["delta"].as_str().unwrap().to_owned()).collect();
        prop_assert_eq!(deltas, text.as_str());
    }

    #[test]
    fn in_arguments_the_values_stay_json(values in vec("[ -~é\n]{0,12}", 1..4), deltas in vec(any::<Index>(), 0..8), cuts in vec(any::<Index>(), 0..8)) {
        let mut placeholders = Placeholders::default();
        values.iter().for_each(|value| placeholders.reserve(value));
        let redacted: Vec<String> = values.iter().map(|value| placeholders.assign("PERSON", value, [0; 16])).collect();
        let arguments = json!({"values": redacted}).to_string();
        let call = |piece: &&str| chat(0, json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}));
        let stream: Vec<Value> = pieces(&arguments, &deltas).iter().map(call).collect();
        let out = run(Restorer::new(placeholders.values(), LIMIT), &data(&stream), &cuts);
        let arguments = said(&events(&out), "/delta/tool_calls/0/function/arguments", 0);
        prop_assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"values": values}));
    }

    #[test]
    fn without_placeholders_every_byte_passes(stream in vec(any::<u8>(), 0..200), cut in any::<Index>()) {
        let (mut restorer, mut out) = (restorer(), Vec::new());
        let (head, tail) = stream.split_at(cut.index(stream.len() + 1));
        restorer.push(head, false, &mut out).unwrap();
        restorer.push(tail, true, &mut out).unwrap();
        prop_assert_eq!(out, stream);
    }
}
