//! What a client may send: anything. The parser refuses it with a 400 or takes it; what it takes can be translated, stored and
//! shown, or is refused with a 4xx.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{
    CreateRequest,
    chat_request::{DeveloperRole, MaxTokensField, Options, ReasoningHistory, translate},
    input::{KeepInstructions, input_items},
    replay::replay,
    response::{Received, from_chat},
    stream::StreamTranslator,
};
use super::{minted, turn};

const OPTIONS: Options<'static> = Options {
    upstream_model: "m",
    max_tokens_field: MaxTokensField::MaxTokens,
    developer_role: DeveloperRole::System,
    reasoning: ReasoningHistory::Send,
};

fn check(body: &[u8]) {
    let request = match CreateRequest::parse(body) {
        Ok(request) => request,
        Err(error) => {
            assert_eq!(error.status, 400);
            serde_json::from_slice::<Value>(&error.body()).unwrap();
            return;
        }
    };
    let last = request.last_user();
    assert!(last.text.len() <= body.len());
    match translate(&request, &[], OPTIONS) {
        Ok(chat) => assert!(serde_json::from_slice::<Value>(&chat).unwrap()["messages"].is_array()),
        Err(error) => assert!((400..500).contains(&error.status), "{error}"),
    }
    let stored = input_items(&request, &minted(), KeepInstructions::Yes);
    for item in &stored {
        assert!(super::json(item)["id"].is_string());
    }
    if request.item_references().is_empty() && translate(&request, &[], OPTIONS).is_ok() {
        let next = super::parse(r#"{"model":"m","input":"next"}"#);
        translate(&next, &stored, OPTIONS).expect("what was stored can be told again");
    }
    let mut frames = StreamTranslator::new(&request, turn()).push(b"");
    frames.extend_from_slice(StreamTranslator::new(&request, turn()).finish(1).frames().as_slice());
    for line in frames.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data: {")) {
        serde_json::from_slice::<Value>(&[b"{", line].concat()).expect("a frame is one line");
    }
}

/// A request that has something of everything.
fn seed() -> Value {
    json!({
        "model": "m", "instructions": "i", "store": true, "stream": true, "background": false, "metadata": {"a": "b"},
        "input": [
            {"role": "user", "content": "x"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "y"},
                {"type": "input_image", "image_url": "u", "detail": "low"}, {"type": "input_file", "file_data": "d"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "r"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "o"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "z"}, {"type": "refusal", "refusal": "n"}]},
            {"type": "item_reference", "id": "msg_1"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "reasoning": {"effort": "low"}, "include": ["message.output_text.logprobs"], "top_logprobs": 1, "top_p": 0.5,
        "max_output_tokens": 16, "stream_options": {"include_obfuscation": false}, "conversation": {"id": "c"},
    })
}

/// A chunk of a chat stream, or a whole completion, that has something of everything.
fn chat(key: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "stop", key: {
            "role": "assistant", "content": "x", "refusal": "n", "reasoning_content": "r", "reasoning": "r", "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}],
            "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            "logprobs": {"content": [{"token": "x", "logprob": -1.5, "bytes": [120], "top_logprobs": []}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 1}},
    })
}

fn change(value: &mut Value, changes: Vec<(prop::sample::Index, Value)>) {
    for (place, new) in changes {
        let mut found = Vec::new();
        places(value, "", &mut found);
        *value.pointer_mut(&found[place.index(found.len())]).unwrap() = new;
    }
}

/// Every place in a value, as a pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| places(value, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[1]])),
        Just(json!({"type": "function"})),
        Just(json!("x\n\u{2028}")),
    ]
}

#[test]
fn the_seed_is_taken() {
    check(seed().to_string().as_bytes());
    super::parse(&seed().to_string());
    check(serde_json::to_string_pretty(&seed()).unwrap().as_bytes());
}

#[test]
fn no_depth_exhausts_the_stack() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    for body in [
        deep.clone(),
        format!(r#"{{"model":"m","input":{deep}}}"#),
        format!(
            r#"{{"model":"m","input":"x","tools":[{{"type":"function","name":"f","parameters":{{"a":{deep}}}}}]}}"#
        ),
    ] {
        let parsed = CreateRequest::parse(body.as_bytes());
        assert!(parsed.is_ok() || parsed.is_err_and(|error| error.status == 400));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&body);
    }

    #[test]
    fn any_value_in_any_place(
        changes in prop::collection::vec((any::<prop::sample::Index>(), json_value()), 1..4),
    ) {
        let mut body = seed();
        change(&mut body, changes);
        check(body.to_string().as_bytes());
        check(serde_json::to_string_pretty(&body).unwrap().as_bytes());
    }

    #[test]
    fn any_byte_changed(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut body = seed().to_string().into_bytes();
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        check(&body);
    }

    /// A backend may answer anything: a plain answer is taken or refused, a stream always ends, and what it says adds up.
    #[test]
    fn any_answer(changes in prop::collection::vec((any::<prop::sample::Index>(), json_value()), 0..4)) {
        let request = super::parse(&seed().to_string());
        let mut whole = chat("message");
        change(&mut whole, changes.clone());
        let whole = whole.to_string();
        if let Ok(answer) = from_chat(&request, turn(), Received { body: whole.as_bytes(), at: 1 }) {
            super::check_stream(&replay(&answer.response, None).unwrap());
        }
        let mut chunk = chat("delta");
        change(&mut chunk, changes);
        let mut translator = StreamTranslator::new(&request, turn());
        let mut frames = translator.push(format!("data: {chunk}\n\n").as_bytes());
        frames.extend(translator.finish(1).frames());
        super::check_stream(&frames);
    }
}
