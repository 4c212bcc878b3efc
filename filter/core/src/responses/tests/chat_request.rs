use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::chat_request::{DeveloperRole, MaxTokensField, Options, ReasoningHistory, translate};
use super::parse;
use crate::error::ApiError;

const OPTIONS: Options<'static> = Options {
    upstream_model: "Qwen/Qwen3-8B",
    max_tokens_field: MaxTokensField::MaxCompletionTokens,
    developer_role: DeveloperRole::Keep,
    reasoning: ReasoningHistory::Keep,
};

fn send(body: &Value, history: &[Value], options: Options<'_>) -> Result<Value, ApiError> {
    let history: Vec<Vec<u8>> = history.iter().map(|item| item.to_string().into_bytes()).collect();
    translate(&parse(&body.to_string()), &history, options).map(|body| super::json(&body))
}

fn messages(input: Value, history: &[Value]) -> Value {
    send(&json!({"model": "m", "input": input}), history, OPTIONS).unwrap()["messages"].clone()
}

#[test]
fn a_plain_question_is_a_plain_chat() {
    let body = translate(&parse(r#"{"model":"m","input":"hi"}"#), &[], OPTIONS).unwrap();
    let expected = r#"{"model":"Qwen/Qwen3-8B","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn every_parameter_goes_where_it_belongs() {
    let body = json!({
        "model": "m", "input": "hi", "instructions": "Be brief.", "stream": true, "store": true,
        "max_output_tokens": 100, "temperature": 0.5, "top_p": 0.9, "top_logprobs": 3,
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "parallel_tool_calls": false,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "strict": true,
            "description": null, "schema": {"type": "object"}}},
        "service_tier": "flex", "prompt_cache_key": "k", "safety_identifier": "s", "user": "u",
        "metadata": {"a": "b"}, "truncation": "auto", "max_tool_calls": 3, "previous_response_id": "resp_1",
        "tools": [{"type": "function", "name": "f", "description": "d", "strict": true, "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "f"},
    });
    insta::assert_json_snapshot!(send(&body, &[], OPTIONS).unwrap());
}

#[test]
fn numbers_and_key_order_stay_as_written() {
    let body = r#"{"model":"m","input":"x","temperature":0.70,"metadata":{"z":"1","a":"2"},
        "text":{"format":{"schema":{"type":"object","z":1.10,"a":1e2},"name":"n","type":"json_schema"}},
        "tools":[{"type":"function","name":"f","parameters":{"z":10000000000000000000000,"a":0.10}}]}"#;
    let sent = String::from_utf8(translate(&parse(body), &[], OPTIONS).unwrap()).unwrap();
    for kept in [
        r#""temperature":0.70"#,
        r#""json_schema":{"schema":{"type":"object","z":1.10,"a":1e2},"name":"n"}"#,
        r#""parameters":{"z":10000000000000000000000,"a":0.10}"#,
    ] {
        assert!(sent.contains(kept), "{kept} in {sent}");
    }
}

#[test]
fn options_name_the_limit_and_the_developer() {
    let body = json!({"model": "m", "max_output_tokens": 5, "input": [
        {"role": "developer", "content": "d"}, {"role": "system", "content": "s"}, {"role": "user", "content": "u"}]});
    let sent = send(&body, &[], OPTIONS).unwrap();
    assert_eq!((&sent["max_completion_tokens"], &sent["max_tokens"]), (&json!(5), &Value::Null));
    assert_eq!(sent["messages"][0]["role"], "developer");
    let options =
        Options { max_tokens_field: MaxTokensField::MaxTokens, developer_role: DeveloperRole::System, ..OPTIONS };
    let sent = send(&body, &[], options).unwrap();
    assert_eq!((&sent["max_completion_tokens"], &sent["max_tokens"]), (&Value::Null, &json!(5)));
    assert_eq!(sent["messages"][0]["role"], "system");
}

#[test]
fn without_tools_there_is_no_choice_of_them() {
    let body = json!({"model": "m", "input": "x", "tools": [], "tool_choice": "auto", "parallel_tool_calls": true});
    let sent = send(&body, &[], OPTIONS).unwrap();
    assert_eq!(sent, json!({"model": "Qwen/Qwen3-8B", "messages": [{"role": "user", "content": "x"}]}));
}

#[test]
fn logprobs_are_asked_for_only_where_they_are_wanted() {
    let sent = send(&json!({"model": "m", "input": "x", "top_logprobs": 2}), &[], OPTIONS).unwrap();
    assert_eq!((&sent["logprobs"], &sent["top_logprobs"]), (&Value::Null, &Value::Null));
}

#[test]
fn tool_choices_have_chat_shapes() {
    let f = json!({"type": "function", "name": "f"});
    for (choice, expected) in [
        (json!("required"), json!("required")),
        (json!("none"), json!("none")),
        (f.clone(), json!({"type": "function", "function": {"name": "f"}})),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [f]}),
            json!({"type": "allowed_tools", "allowed_tools":
                {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}),
        ),
    ] {
        let body = json!({"model": "m", "input": "x", "tools": [f], "tool_choice": choice});
        assert_eq!(send(&body, &[], OPTIONS).unwrap()["tool_choice"], expected);
    }
}

#[test]
fn parts_have_chat_shapes() {
    let content = json!([
        {"type": "input_text", "text": "look", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]);
    insta::assert_json_snapshot!(messages(json!([{"role": "user", "content": content}]), &[]));
}

/// One answer of a model, as several items.
fn loop_history() -> Vec<Value> {
    vec![
        json!({"id": "msg_0", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "weather?"}]}),
        json!({"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Two cities."}]}),
        json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "Looking.", "annotations": [], "logprobs": []}]}),
        json!({"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "w", "arguments": "{\"c\":\"Rome\"}"}),
        json!({"id": "fc_2", "type": "function_call", "call_id": "c2", "name": "w", "arguments": "{\"c\":\"Oslo\"}"}),
    ]
}

fn outputs() -> Value {
    json!([
        {"type": "function_call_output", "call_id": "c1", "output": "warm"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "cold"},
            {"type": "input_image", "image_url": "https://example.com/snow.png"}]},
    ])
}

#[test]
fn an_answer_of_several_items_is_one_message() {
    insta::assert_json_snapshot!(messages(outputs(), &loop_history()));
}

#[test]
fn reasoning_goes_back_in_the_turn_that_goes_on_where_the_model_wants_it() {
    let options = Options { reasoning: ReasoningHistory::Send, ..OPTIONS };
    let sent = send(&json!({"model": "m", "input": outputs()}), &loop_history(), options).unwrap();
    assert_eq!(sent["messages"][1]["reasoning_content"], "Two cities.");
    let mut over = loop_history();
    over.extend(outputs().as_array().unwrap().clone());
    let sent = send(&json!({"model": "m", "input": "and Bern?"}), &over, options).unwrap();
    assert!(!sent.to_string().contains("Two cities."), "{sent}");
}

#[test]
fn answers_that_follow_each_other_stay_apart() {
    let said = |text: &str| json!({"role": "assistant", "content": text});
    let sent = messages(json!([said("a"), said("b"), {"role": "user", "content": "c"}]), &[]);
    assert_eq!(sent, json!([said("a"), said("b"), {"role": "user", "content": "c"}]));
}

#[test]
fn text_behind_calls_joins_their_message() {
    let mut history = loop_history();
    history.swap(2, 4);
    let sent = messages(outputs(), &history);
    assert_eq!(sent[1]["content"], "Looking.");
    assert_eq!(sent[1]["tool_calls"].as_array().unwrap().len(), 2);
    assert_eq!(sent[2]["role"], "tool");
}

#[test]
fn refusals_go_back_as_refusals() {
    let item = json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]});
    let sent = messages(json!([item, {"role": "user", "content": "why?"}]), &[]);
    assert_eq!(sent[0], json!({"role": "assistant", "content": "", "refusal": "No."}));
}

#[test]
fn an_output_needs_its_call() {
    let body = json!({"model": "m", "input": [{"type": "function_call_output", "call_id": "c9", "output": "x"}]});
    let error = send(&body, &loop_history(), OPTIONS).unwrap_err();
    assert_eq!((error.status, error.param.as_deref()), (400, Some("input")));
    assert_eq!(error.message, "No tool call found for function call output with call_id c9.");
}

#[test]
fn outputs_stand_behind_their_calls_wherever_they_were_written() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let output = |id: &str, text: &str| json!({"type": "function_call_output", "call_id": id, "output": text});
    let user = json!({"role": "user", "content": "u"});
    let sent = |items: &[&Value]| {
        let sent = messages(json!(items), &[]);
        let of = |message: &Value| {
            let calls = message["tool_calls"].as_array().map_or(0, Vec::len);
            format!("{}{}{}", message["role"].as_str().unwrap(), message["content"].as_str().unwrap_or_default(), calls)
        };
        sent.as_array().unwrap().iter().map(of).collect::<Vec<_>>().join(" ")
    };
    let (a, b) = (call("a"), call("b"));
    let (x, y, z) = (output("a", "x"), output("b", "y"), output("a", "z"));
    assert_eq!(sent(&[&a, &b, &y, &x, &user]), "assistant2 toolx0 tooly0 useru0");
    assert_eq!(sent(&[&a, &x, &b, &y]), "assistant1 toolx0 assistant1 tooly0");
    assert_eq!(sent(&[&a, &user, &x, &user]), "assistant1 toolx0 useru0 useru0");
    assert_eq!(sent(&[&a, &x, &user, &a, &z]), "assistant1 toolx0 useru0 assistant1 toolz0");
    let refused = |items: &[&Value]| send(&json!({"model": "m", "input": items}), &[], OPTIONS).unwrap_err().message;
    assert_eq!(refused(&[&a, &b, &x]), "No tool output found for function call b.");
    assert_eq!(refused(&[&a, &user]), "No tool output found for function call a.");
    assert_eq!(refused(&[&x, &a]), "No tool call found for function call output with call_id a.");
    assert_eq!(refused(&[&a, &x, &z]), "More than one tool output found for function call a.");
}

proptest! {
    /// A tool loop of any shape: the parallel calls of a round are one message, and every output follows its call.
    #[test]
    fn tool_loops_round_trip(rounds in prop::collection::vec((any::<bool>(), 1_usize..5, any::<u64>()), 1..6)) {
        let mut items = vec![json!({"role": "user", "content": "go"})];
        let mut expected = items.clone();
        for (round, (text, count, order)) in rounds.iter().enumerate() {
            if *text {
                items.push(json!({"role": "assistant", "content": format!("round {round}")}));
            }
            let ids: Vec<String> = (0..*count).map(|i| format!("c{round}_{i}")).collect();
            let calls: Vec<Value> = ids.iter().map(|id| json!({"id": id, "type": "function",
                "function": {"name": "f", "arguments": format!("{{\"id\":\"{id}\"}}")}})).collect();
            items.extend(ids.iter().map(|id| json!({"type": "function_call", "call_id": id, "name": "f",
                "arguments": format!("{{\"id\":\"{id}\"}}")})));
            let mut answered: Vec<&String> = ids.iter().collect();
            answered.rotate_left(usize::try_from(order % *count as u64).unwrap());
            items.extend(answered.iter().map(|id| json!({"type": "function_call_output", "call_id": id, "output": id})));
            let said = text.then(|| format!("round {round}"));
            expected.push(json!({"role": "assistant", "content": said, "tool_calls": calls}));
            expected.extend(ids.iter().map(|id| json!({"role": "tool", "content": id, "tool_call_id": id})));
        }
        prop_assert_eq!(messages(Value::from(items), &[]), Value::from(expected));
    }
}

#[test]
fn history_that_a_chat_backend_cannot_be_told_is_refused() {
    let item = json!({"id": "ws_1", "type": "web_search_call", "status": "completed"});
    let error = send(&json!({"model": "m", "input": "x"}), &[item], OPTIONS).unwrap_err();
    assert_eq!(error.status, 400);
    assert!(error.message.contains("web_search_call"));
    let error = translate(&parse(r#"{"model":"m","input":"x"}"#), &[b"{".to_vec()], OPTIONS).unwrap_err();
    assert_eq!(error.status, 500);
}
