use serde_json::{Value, json};

use super::super::{
    replay::replay,
    response::{Answer, Received, from_chat},
    stream::StreamTranslator,
};
use super::{check_stream, events, parse, turn, types};

const REQUEST: &str = r#"{"model":"auto","input":"hi","stream":true}"#;

fn whole(finish_reason: &str) -> Value {
    json!({"choices": [{"index": 0, "finish_reason": finish_reason, "message": {
        "content": "Hello\n🦀", "annotations": [{"type": "url_citation",
            "url_citation": {"start_index": 0, "end_index": 5, "title": "t", "url": "https://example.com"}}], "reasoning_content": "Hm.", "refusal": "No.", "tool_calls": [
            {"id": "c1", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}]})
}

fn stored(finish_reason: &str) -> Answer {
    let body = whole(finish_reason).to_string();
    from_chat(&parse(REQUEST), turn(), Received { body: body.as_bytes(), at: 9 }).unwrap()
}

#[test]
fn a_replay_is_the_stream_that_has_one_delta_a_part() {
    let mut translator = StreamTranslator::new(&parse(REQUEST), turn());
    let mut live = translator.push(format!("data: {}\n\n", whole("stop")).as_bytes());
    live.extend(translator.finish(9).frames());
    let replayed = replay(&stored("stop").response, None).unwrap();
    assert_eq!(super::json(&stored("stop").response), check_stream(&replayed));
    assert_eq!(events(&replayed), events(&live));
}

#[test]
fn starts_where_it_is_told_and_always_ends() {
    let response = stored("length").response;
    let all = events(&replay(&response, None).unwrap());
    for after in 0..all.len() + 2 {
        let rest = events(&replay(&response, Some(after as u64)).unwrap());
        let expected = all.get(after + 1..).filter(|rest| !rest.is_empty()).unwrap_or(&all[all.len() - 1..]);
        assert_eq!(rest, expected);
    }
    assert_eq!(types(&all).last(), Some(&"incomplete"));
}

#[test]
fn items_of_other_backends_are_shown_whole() {
    let item = json!({"id": "ws_1", "type": "web_search_call", "status": "completed"});
    let response = json!({"id": "resp_1", "status": "failed", "output": [item]}).to_string();
    let events = events(&replay(response.as_bytes(), None).unwrap());
    assert_eq!(types(&events), ["created", "in_progress", "output_item.added", "output_item.done", "failed"]);
    assert_eq!(events[3]["item"], item);
}

#[test]
fn what_has_not_ended_or_cannot_be_read_is_refused() {
    assert_eq!(replay(br#"{"status":"queued","output":[]}"#, None).unwrap_err().status, 400);
    assert_eq!(replay(b"{", None).unwrap_err().status, 500);
    assert_eq!(replay(br#"{"status":"completed","output":[1]}"#, None).unwrap_err().status, 500);
}

#[test]
fn line_breaks_between_tokens_break_no_frame() {
    let pretty = serde_json::to_vec_pretty(&super::json(&stored("stop").response)).unwrap();
    let last = check_stream(&replay(&pretty, None).unwrap());
    assert_eq!(last, super::json(&stored("stop").response));
}
