use serde_json::{Value, json};

use super::super::response::{Answer, NotAnAnswer, Received, Status, from_chat};
use super::{parse, turn};

fn answer(request: &str, body: &Value) -> Result<Answer, NotAnAnswer> {
    let body = serde_json::to_string_pretty(body).unwrap();
    from_chat(&parse(request), turn(), Received { body: body.as_bytes(), at: 1_700_000_003 })
}

const PLAIN: &str = r#"{"model":"auto","input":"hi"}"#;

fn completion(message: Value, finish_reason: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "x",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": null}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}})
}

fn said(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

#[test]
fn defaults_fill_every_field() {
    let answer = answer(PLAIN, &completion(said("Hello!"), json!("stop"))).unwrap();
    assert_eq!(answer.status, Status::Completed);
    insta::assert_json_snapshot!(super::json(&answer.response));
}

#[test]
fn what_the_request_said_comes_back_as_written() {
    let request = r#"{"model":"auto","input":"hi","instructions":"Be brief.","conversation":"conv_1","store":false,
        "metadata":{"z":"1","a":"2"},"temperature":0.70,"top_p":1,"max_output_tokens":9,"max_tool_calls":2,
        "parallel_tool_calls":false,"truncation":"auto","user":"u","safety_identifier":"s","prompt_cache_key":"k",
        "top_logprobs":2,"reasoning":{"effort":"low"},
        "text":{"format":{"type":"json_schema","name":"n","schema":{"z":1.10,"a":1}}},
        "tools":[{"type":"function","name":"f","parameters":{"z":1e2,"a":0}}],"tool_choice":{"type":"function","name":"f"}}"#;
    let answer = answer(request, &completion(said("{}"), json!("stop"))).unwrap();
    let text = String::from_utf8(answer.response).unwrap();
    for kept in [
        r#""conversation":{"id":"conv_1"}"#,
        r#""instructions":"Be brief.""#,
        r#""max_output_tokens":9,"max_tool_calls":2,"metadata":{"z":"1","a":"2"}"#,
        r#""parallel_tool_calls":false"#,
        r#""reasoning":{"effort":"low","summary":null}"#,
        r#""safety_identifier":"s","service_tier":"auto","store":false,"temperature":0.70"#,
        r#""text":{"format":{"type":"json_schema","name":"n","schema":{"z":1.10,"a":1}}}"#,
        r#""tool_choice":{"type":"function","name":"f"}"#,
        r#""tools":[{"type":"function","name":"f","parameters":{"z":1e2,"a":0},"description":null,"strict":null}]"#,
        r#""top_logprobs":2,"top_p":1,"truncation":"auto""#,
        r#""user":"u""#,
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
}

#[test]
fn everything_that_a_model_can_say_becomes_an_item() {
    let message = json!({"role": "assistant", "content": "Looking.", "reasoning_content": "Two cities.", "refusal": "But not Rome.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{\"c\":\"Oslo\"}"}},
            {"id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}}]});
    let answer = answer(PLAIN, &completion(message, json!("tool_calls"))).unwrap();
    let output = super::json(&answer.response)["output"].clone();
    let stored: Vec<Value> = answer.output.iter().map(|item| super::json(item)).collect();
    assert_eq!(output, Value::from(stored));
    insta::assert_json_snapshot!(output);
}

#[test]
fn citations_come_flat() {
    let mut message = said("Rome is warm.");
    message["annotations"] = json!([{"type": "url_citation",
        "url_citation": {"start_index": 0, "end_index": 4, "title": "Rome", "url": "https://example.com"}}]);
    let answer = answer(PLAIN, &completion(message, json!("stop"))).unwrap();
    let expected = json!([{"type": "url_citation", "start_index": 0, "end_index": 4, "title": "Rome", "url": "https://example.com"}]);
    assert_eq!(super::json(&answer.output[0])["content"][0]["annotations"], expected);
    assert!(!answer.response.contains(&b'\n'), "one line, however the backend wrote it");
}

#[test]
fn reasoning_has_two_names() {
    for message in [
        json!({"content": "a", "reasoning": "r"}),
        json!({"content": "a", "reasoning": "r", "reasoning_content": "r"}),
        json!({"content": "a", "reasoning": "r", "reasoning_content": ""}),
    ] {
        let answer = answer(PLAIN, &completion(message, json!("stop"))).unwrap();
        assert_eq!(super::json(&answer.output[0])["content"], json!([{"type": "reasoning_text", "text": "r"}]));
        assert_eq!(answer.output.len(), 2);
    }
}

#[test]
fn log_probabilities_come_where_they_were_asked_for() {
    let mut body = completion(said("Hi"), json!("stop"));
    body["choices"][0]["logprobs"] = json!({"content": [{"token": "Hi", "logprob": -0.25, "bytes": null,
        "top_logprobs": [{"token": "Ho", "logprob": -1.5, "bytes": [72, 111]}]}]});
    let asked = r#"{"model":"m","input":"x","top_logprobs":1,"include":["message.output_text.logprobs"]}"#;
    let logprobs = |request| super::json(&answer(request, &body).unwrap().output[0])["content"][0]["logprobs"].clone();
    assert_eq!(logprobs(PLAIN), json!([]));
    let expected = json!([{"token": "Hi", "logprob": -0.25, "bytes": [72, 105],
        "top_logprobs": [{"token": "Ho", "logprob": -1.5, "bytes": [72, 111]}]}]);
    assert_eq!(logprobs(asked), expected);
}

#[test]
fn the_finish_reason_decides_the_status() {
    let end = |finish_reason: Value| {
        let response = super::json(&answer(PLAIN, &completion(said("a"), finish_reason)).unwrap().response);
        let item = &response["output"][0]["status"];
        (
            response["status"].clone(),
            response["incomplete_details"].clone(),
            item.clone(),
            response["completed_at"].clone(),
        )
    };
    let completed = (json!("completed"), Value::Null, json!("completed"), json!(1_700_000_003));
    assert_eq!(end(json!("stop")), completed);
    assert_eq!(end(json!("tool_calls")), completed);
    let cut = |reason: &str| (json!("incomplete"), json!({"reason": reason}), json!("incomplete"), Value::Null);
    assert_eq!(end(json!("length")), cut("max_output_tokens"));
    assert_eq!(end(json!("content_filter")), cut("content_filter"));
    assert_eq!(end(json!("abort")).0, "failed");
    assert_eq!(end(Value::Null), (json!("failed"), Value::Null, json!("incomplete"), Value::Null));
    let failed = super::json(&answer(PLAIN, &completion(said("a"), Value::Null)).unwrap().response);
    let message = "The backend's answer ended without a finish reason.";
    assert_eq!(failed["error"], json!({"code": "server_error", "message": message}));
}

#[test]
fn what_is_no_completion_is_no_answer() {
    for body in [
        json!([]),
        json!({"choices": []}),
        json!({"id": "x"}),
        json!({"usage": {"prompt_tokens": 1}}),
        json!({"error": {"message": "overloaded"}}),
        json!({"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": [{"type": "audio"}]}}]}),
        json!({"choices": [{"index": 0, "finish_reason": "stop", "message": {"tool_calls": [{"type": "custom", "id": "c"}]}}]}),
        json!({"choices": [{"index": 0, "finish_reason": "stop", "message": {"function_call": {"name": "f"}}}]}),
        json!({"choices": [{"index": 1, "finish_reason": "stop", "message": {"content": "b"}}]}),
    ] {
        assert!(answer(PLAIN, &body).is_err(), "{body}");
    }
}

#[test]
fn an_answer_that_could_not_be_stored_says_so() {
    let answer = answer(PLAIN, &completion(said("a"), json!("stop"))).unwrap();
    assert_eq!(super::json(&answer.response)["store"], true);
    let mut unsaved = super::json(&answer.unsaved());
    assert_eq!(unsaved["store"], false);
    unsaved["store"] = json!(true);
    assert_eq!(unsaved, super::json(&answer.response));
}

#[test]
fn an_empty_answer_is_an_empty_message() {
    let answer = answer(PLAIN, &completion(json!({"content": null}), json!("stop"))).unwrap();
    assert_eq!(super::json(&answer.output[0])["content"][0]["text"], "");
}
