use serde_json::{Value, json};

use super::super::input::{KeepInstructions, input_items};
use super::{minted, parse};

fn items(body: &str, keep: KeepInstructions) -> Vec<Value> {
    input_items(&parse(body), &minted(), keep).iter().map(|item| super::json(item)).collect()
}

#[test]
fn a_string_becomes_a_message() {
    let body = r#"{"model":"m","input":"hi","instructions":"Be brief."}"#;
    let hi = |ordinal: &str| {
        json!({"id": format!("msg_00000000000000bb00000000000000cc{ordinal}"), "type": "message", "role": "user",
        "status": "completed", "content": [{"type": "input_text", "text": "hi"}]})
    };
    assert_eq!(items(body, KeepInstructions::No), [hi("0000")]);
    let kept = items(body, KeepInstructions::Yes);
    assert_eq!(kept[0]["role"], "system");
    assert_eq!(kept[0]["content"], json!([{"type": "input_text", "text": "Be brief."}]));
    assert_eq!(kept[1], hi("0001"));
}

#[test]
fn ids_are_kept_or_minted_by_place_and_nothing_else_changes() {
    let body = r#"{"model":"m","input":[
        {"id":"mine","role":"assistant","content":"a","phase":"commentary"},
        {"type":"function_call","call_id":"c","name":"f","arguments":"{}","x":1.50},
        {"type":"function_call_output","call_id":"c","output":"o","id":null},
        {"type":"reasoning","summary":[]}]}"#;
    let request = parse(body);
    let stored = input_items(&request, &minted(), KeepInstructions::No);
    insta::assert_snapshot!(
        stored.iter().map(|item| String::from_utf8(item.clone()).unwrap()).collect::<Vec<_>>().join("\n")
    );
}
