use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{
    response::{Received, Status, from_chat},
    stream::{Finished, StreamTranslator},
};
use super::{check_stream, events, parse, turn, types};

const STREAMED: &str = r#"{"model":"auto","input":"hi","stream":true}"#;
const LOGPROBS: &str =
    r#"{"model":"auto","input":"hi","stream":true,"include":["message.output_text.logprobs"],"top_logprobs":1}"#;

fn chunk(delta: Value, finish_reason: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "x",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})
}

fn usage() -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}})
}

fn frames(chunks: &[Value]) -> String {
    let mut stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    stream.push_str("data: [DONE]\n\n");
    stream
}

fn translate(request: &str, chunks: &[&[u8]]) -> (Vec<u8>, Finished) {
    let mut translator = StreamTranslator::new(&parse(request), turn());
    let mut out = Vec::new();
    for chunk in chunks {
        let frames = translator.push(chunk);
        assert!(frames.is_empty() || frames.ends_with(b"\n\n"), "whole frames");
        out.extend(frames);
    }
    let finished = translator.finish(1_700_000_003);
    out.extend(finished.frames());
    assert!(out.ends_with(b"data: [DONE]\n\n"));
    (out, finished)
}

/// The events and the final object.
fn run(chunks: &[Value]) -> (Vec<Value>, Value) {
    let (out, finished) = translate(STREAMED, &[frames(chunks).as_bytes()]);
    let last = check_stream(&out);
    assert_eq!(last, super::json(&finished.answer.response));
    (events(&out), last)
}

fn call(index: u64, id: &str, name: &str, arguments: &str) -> Value {
    json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}]})
}

fn more(index: u64, arguments: &str) -> Value {
    json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
}

/// Reasoning, text that needs several bytes a character, two calls that interleave, usage last.
fn rich() -> Vec<Value> {
    vec![
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(json!({"reasoning_content": "Let me "}), Value::Null),
        chunk(json!({"reasoning_content": "see."}), Value::Null),
        chunk(json!({"content": "Grüße "}), Value::Null),
        chunk(json!({"content": "🦀!"}), Value::Null),
        chunk(call(0, "c1", "weather", ""), Value::Null),
        chunk(more(0, "{\"city\":"), Value::Null),
        chunk(call(1, "c2", "now", "{\"tz\":"), Value::Null),
        chunk(more(0, "\"Oslo\"}"), Value::Null),
        chunk(more(1, "\"CET\"}"), Value::Null),
        chunk(json!({}), json!("tool_calls")),
        usage(),
    ]
}

#[test]
fn a_text_goes_through_openai_s_events_in_order() {
    let chunks = [
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(json!({"content": "Hel"}), Value::Null),
        chunk(json!({"content": "lo"}), Value::Null),
        chunk(json!({}), json!("stop")),
        usage(),
    ];
    let (events, last) = run(&chunks);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(last["usage"]["total_tokens"], 12);
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[0]["response"]["output"], json!([]));
}

#[test]
fn everything_at_once() {
    let (out, _) = translate(STREAMED, &[frames(&rich()).as_bytes()]);
    check_stream(&out);
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn calls_one_after_another_close_one_after_another() {
    let chunks = [
        chunk(call(0, "c1", "f", "{\"a\":1}"), Value::Null),
        chunk(call(1, "c2", "g", ""), Value::Null),
        chunk(json!({}), json!("tool_calls")),
    ];
    let (events, last) = run(&chunks);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(last["output"][1]["arguments"], "{}");
}

#[test]
fn calls_without_index_or_id_are_told_apart() {
    let bare =
        |name: &str, arguments: &str| json!({"tool_calls": [{"function": {"name": name, "arguments": arguments}}]});
    let tail = |arguments: &str| json!({"tool_calls": [{"function": {"arguments": arguments}}]});
    let chunks = [
        chunk(bare("f", "{\"a\":"), Value::Null),
        chunk(tail("1}"), Value::Null),
        chunk(bare("g", "{}"), Value::Null),
        chunk(json!({}), json!("tool_calls")),
    ];
    let (_, last) = run(&chunks);
    assert_eq!((&last["output"][0]["name"], &last["output"][0]["arguments"]), (&json!("f"), &json!("{\"a\":1}")));
    assert_eq!(last["output"][1]["name"], "g");
    assert_eq!(last["output"][1]["call_id"], "call_00000000000000bb00000000000000cc8001");
}

#[test]
fn refusals_and_cut_answers() {
    let chunks = [chunk(json!({"refusal": "I "}), Value::Null), chunk(json!({"refusal": "can't."}), json!("length"))];
    let (events, last) = run(&chunks);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "incomplete",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(last["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(last["output"][0]["content"], json!([{"type": "refusal", "refusal": "I can't."}]));
    assert_eq!(last["output"][0]["status"], "incomplete");
}

#[test]
fn log_probabilities_travel_with_their_text() {
    let with = |content: &str, token: &str| {
        let mut chunk = chunk(json!({"content": content}), Value::Null);
        chunk["choices"][0]["logprobs"] =
            json!({"content": [{"token": token, "logprob": -0.5, "bytes": token.as_bytes(), "top_logprobs": []}]});
        chunk
    };
    let mut thought = with("", "hm");
    thought["choices"][0]["delta"] = json!({"reasoning_content": "hm"});
    let chunks = [thought, with("", "\u{fffd}"), with("🦀", "x"), chunk(json!({}), json!("stop"))];
    let (out, _) = translate(LOGPROBS, &[frames(&chunks).as_bytes()]);
    let last = check_stream(&out);
    assert_eq!(last["output"][1]["content"][0]["logprobs"].as_array().unwrap().len(), 2);
    let (out, _) = translate(STREAMED, &[frames(&chunks).as_bytes()]);
    assert_eq!(check_stream(&out)["output"][1]["content"][0]["logprobs"], json!([]));
}

#[test]
fn a_stream_without_finish_reason_failed() {
    let (events, last) = run(&[chunk(json!({"content": "Hel"}), Value::Null)]);
    assert_eq!(types(&events)[4..], ["output_text.delta", "failed"]);
    assert_eq!(last["error"]["code"], "server_error");
    assert_eq!(last["output"][0]["content"][0]["text"], "Hel");
    let (events, last) = run(&[]);
    assert_eq!(types(&events), ["created", "in_progress", "failed"]);
    assert_eq!(last["output"], json!([]));
}

#[test]
fn an_error_in_the_stream_is_an_error_and_a_failure() {
    let text = chunk(json!({"content": "Hel"}), Value::Null);
    for (broken, code, message) in [
        (r#"{"error":{"message":"overloaded","type":"server_error","code":503}}"#, "503", "overloaded"),
        (r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#, "rate_limit_exceeded", "slow down"),
        (r#"{"error":"oops"}"#, "server_error", "oops"),
        (r#"{"object":"error","message":"bad"}"#, "server_error", "bad"),
        (r#"{"choices":[{"#, "server_error", "cannot be read"),
        (r#"{"hello":1}"#, "server_error", "not a chat completion"),
    ] {
        let stream =
            format!("data: {text}\n\ndata: {broken}\n\n{}", frames(&[chunk(json!({"content": "lo"}), json!("stop"))]));
        let (out, finished) = translate(STREAMED, &[stream.as_bytes()]);
        let last = check_stream(&out);
        let events = events(&out);
        assert_eq!(types(&events)[4..], ["output_text.delta", "error", "failed"], "{broken}");
        let error = &events[events.len() - 2];
        assert_eq!(error["code"], code);
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
        assert_eq!(last["output"][0]["content"][0]["text"], "Hel");
        assert_eq!(finished.answer.status, Status::Failed);
    }
}

#[test]
fn broken_calls_fail() {
    for chunks in [
        vec![chunk(more(0, "{}"), Value::Null), chunk(json!({}), json!("tool_calls"))],
        vec![
            chunk(call(0, "a", "f", "{}"), Value::Null),
            chunk(call(1, "b", "g", "{}"), Value::Null),
            chunk(more(0, "{}"), json!("tool_calls")),
        ],
    ] {
        let (events, last) = run(&chunks);
        assert_eq!(last["status"], "failed");
        assert_eq!(events[events.len() - 2]["type"], "error");
    }
}

#[test]
fn an_event_without_end_fails() {
    let mut translator = StreamTranslator::with_limit(&parse(STREAMED), turn(), 64);
    let mut out = translator.push(&[b'x'; 65]);
    assert!(translator.is_over());
    out.extend(translator.finish(1).frames());
    assert_eq!(types(&events(&out)), ["created", "in_progress", "error", "failed"]);
}

#[test]
fn a_response_that_could_not_be_stored() {
    let chunks = [chunk(json!({"content": "Hi"}), json!("stop"))];
    let mut translator = StreamTranslator::new(&parse(STREAMED), turn());
    let begun = translator.push(frames(&chunks).as_bytes());
    let finished = translator.finish(5);
    let closed = [begun.clone(), finished.save_failed("The state service is out of reach.")].concat();
    let closed = events(&closed);
    assert_eq!(types(&closed)[closed.len() - 2..], ["error", "failed"]);
    let last = &closed[closed.len() - 1];
    assert_eq!(last["sequence_number"], closed.len() as u64 - 1);
    assert_eq!((&last["response"]["status"], &last["response"]["store"]), (&json!("failed"), &json!(false)));
    assert_eq!(last["response"]["error"]["message"], "The state service is out of reach.");
    let open = [begun, finished.unsaved()].concat();
    assert_eq!(check_stream(&open)["store"], false);
}

#[test]
fn a_plain_answer_and_a_streamed_one_are_the_same() {
    let whole = json!({"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "Grüße 🦀!", "reasoning_content": "Let me see.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}},
            {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{\"tz\":\"CET\"}"}}]}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5}});
    let body = whole.to_string();
    let plain = from_chat(&parse(STREAMED), turn(), Received { body: body.as_bytes(), at: 1_700_000_003 }).unwrap();
    let (_, streamed) = translate(STREAMED, &[frames(&rich()).as_bytes()]);
    assert_eq!(super::json(&plain.response), super::json(&streamed.answer.response));
    assert_eq!(plain.output, streamed.answer.output);
}

/// Recorded streams in the ways in which servers write them.
fn recordings() -> Vec<Vec<u8>> {
    let plain = frames(&rich());
    let crlf = plain.replace('\n', "\r\n");
    let cr = plain.replace('\n', "\r");
    let comments = plain.replace("data: ", ": ping\n\nevent: message\ndata:");
    let unterminated = plain.trim_end().to_owned();
    let bom = format!("\u{feff}{plain}");
    [plain, crlf, cr, comments, unterminated, bom].into_iter().map(String::into_bytes).collect()
}

#[test]
fn a_cut_at_any_byte_changes_nothing() {
    let recordings = recordings();
    let (expected, _) = translate(STREAMED, &[&recordings[0]]);
    for recording in &recordings {
        for cut in 0..=recording.len() {
            let (head, tail) = recording.split_at(cut);
            let (out, _) = translate(STREAMED, &[head, tail]);
            assert!(out == expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = recording.chunks(1).collect();
        assert!(translate(STREAMED, &bytes).0 == expected);
    }
}

#[derive(Debug, Clone)]
enum Said {
    Text(String),
    Reasoning(String),
    Refusal(String),
    Call(u64, String),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        "[a-zä🦀\"\\\\\n]{0,5}".prop_map(Said::Text),
        "[a-z]{0,5}".prop_map(Said::Reasoning),
        "[a-z]{0,5}".prop_map(Said::Refusal),
        (0_u64..4, "[a-z]{1,5}").prop_map(|(index, piece)| Said::Call(index, piece)),
    ]
}

proptest! {
    /// Whatever a model says, in whatever order: the final object is what the deltas add up to, and no word is lost.
    #[test]
    fn the_final_object_is_what_was_streamed(
        said in prop::collection::vec(said(), 0..24),
        end in prop::sample::select(vec![Some("stop"), Some("length"), None]),
    ) {
        let mut chunks = Vec::new();
        let (mut begun, mut expected) = ([false; 4], String::new());
        for piece in &said {
            chunks.push(chunk(match piece {
                Said::Text(text) => { expected.push_str(text); json!({"content": text}) }
                Said::Reasoning(text) => { expected.push_str(text); json!({"reasoning_content": text}) }
                Said::Refusal(text) => { expected.push_str(text); json!({"refusal": text}) }
                Said::Call(index, piece) => {
                    expected.push_str(piece);
                    if std::mem::replace(&mut begun[*index as usize], true) { more(*index, piece) }
                    else { call(*index, &format!("c{index}"), "f", piece) }
                }
            }, Value::Null));
        }
        chunks.push(chunk(json!({}), json!(end)));
        let (_, last) = run(&chunks);
        let mut length = 0;
        for item in last["output"].as_array().unwrap() {
            length += item["arguments"].as_str().map_or(0, str::len);
            for part in item["content"].as_array().into_iter().flatten() {
                length += part["text"].as_str().or(part["refusal"].as_str()).unwrap().len();
            }
        }
        prop_assert_eq!(length, expected.len());
    }

    #[test]
    fn any_bytes_end_in_a_terminal_event(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)) {
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let (out, finished) = translate(STREAMED, &chunks);
        check_stream(&out);
        prop_assert_eq!(finished.answer.status, Status::Failed);
    }
}
