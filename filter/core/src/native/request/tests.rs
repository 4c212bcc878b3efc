#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

use proptest::prelude::*;

use super::{super::splice_all, *};
use crate::affinity::{Key, Source};

fn parse(body: &str) -> Result<Request<'_>, ApiError> {
    Request::parse(body.as_bytes(), Needs::default())
}

fn refused(body: &str) -> (Option<&'static str>, Option<String>) {
    let error = parse(body).expect_err(body);
    assert_eq!(error.status, 400, "{body}");
    (error.code, error.param)
}

const FULL: &str = r#" {"input": [
    {"role": "developer", "content": "be brief"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "one"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": null},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"role\":\"user\"}"},
    {"type": "function_call_output", "call_id": "c", "output": "42"},
    {"type": "item_reference", "id": "msg_1"}, {"id": "msg_\u0032"}, {"type": null, "id": "msg_3"},
    {"role": "system", "content": "late"},
    {"content": [{"type": "input_text", "text": "t\u0077o"}, {"type": "input_image", "image_url": "data:"}, {"type": "input_text", "text": "three"}], "role": "user"},
    {"type": "item_of_tomorrow", "role": "user", "content": 5}],
    "instructions": "answer in French", "mod\u0065l": "auto", "previous_response_id": "resp_\u0031", "stream": true,
    "store": false, "background": null, "tools": [{}, {"type": "mcp"}], "prompt_cache_key": "k", "temperature": 1e400} "#;

#[test]
fn reads_what_routing_needs() {
    let request = parse(FULL).unwrap();
    assert_eq!(request.model, "auto");
    assert_eq!(request.previous_response_id.as_deref(), Some("resp_1"));
    assert_eq!(request.prompt_cache_key.as_deref(), Some("k"));
    assert_eq!((request.stream, request.store, request.background), (true, false, false));
    assert_eq!((request.messages, request.tool_count()), (11, 2));
    assert_eq!(request.references, ["msg_1", "msg_2", "msg_3"]);
    assert_eq!(request.instructions, Some(r#""answer in French""#));
    let first = r#"[{"type": "input_text", "text": "one"}]"#;
    assert_eq!(request.prefix(), [r#""answer in French""#, r#""be brief""#, r#"[{}, {"type": "mcp"}]"#, first]);
    let content = request.content().unwrap();
    assert_eq!((content.text.as_ref(), content.attachments), ("two\nthree", 1));
    let (json, span) = request.input.unwrap();
    assert_eq!(&FULL[span], json);
    assert!(json.starts_with("[\n") && json.ends_with("}]"));
}

#[test]
fn an_input_that_is_a_string_is_one_user_message() {
    let request = parse(r#"{"model":"m","input":"h\u0069"}"#).unwrap();
    assert_eq!((request.messages, request.store), (1, true));
    assert_eq!(request.content().unwrap().text, "hi");
    assert_eq!(request.input.as_ref().unwrap().0, r#""h\u0069""#);
    // The second turn of a client that sends its history again has the key of the first.
    let one = parse(r#"{"model":"m","instructions":"i","input":"hi"}"#).unwrap();
    let two = r#"{"instructions":"i","model":"m","input":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"},{"role":"user","content":"he"}]}"#;
    let key = |request: &Request<'_>| Key::new(Source::Prefix(&request.prefix()));
    assert_eq!(key(&one), key(&parse(two).unwrap()));
    let none = parse(r#"{"model":"m","conversation":"conv_1"}"#).unwrap();
    assert_eq!((none.messages, none.content().unwrap().text.as_ref()), (0, ""));
}

#[test]
fn a_conversation_is_an_id_or_an_object_with_one() {
    for body in [
        r#"{"model":"m","conversation":"c\u0031"}"#,
        r#"{"model":"m","conversation":{"x":{"id":1},"id":"c1"},"previous_response_id":null}"#,
    ] {
        assert_eq!(parse(body).unwrap().conversation.as_deref(), Some("c1"), "{body}");
    }
    assert_eq!(parse(r#"{"model":"m","conversation":null,"previous_response_id":"r"}"#).unwrap().conversation, None);
    let both = r#"{"model":"m","conversation":"c","previous_response_id":"r"}"#;
    assert_eq!(refused(both), (Some("mutually_exclusive_parameters"), Some("conversation".to_owned())));
}

#[test]
fn names_the_field_that_is_wrong() {
    for (body, param) in [
        (r#"{"input":"x"}"#, "model"),
        (r#"{"model":""}"#, "model"),
        (r#"{"model":null}"#, "model"),
        (r#"{"model":"m","input":5}"#, "input"),
        (r#"{"model":"m","input":[{},"x"]}"#, "input[1]"),
        (r#"{"model":"m","input":[{"role":7}]}"#, "input[0].role"),
        (r#"{"model":"m","input":[{},{"type":7}]}"#, "input[1].type"),
        (r#"{"model":"m","input":[{"id":7}]}"#, "input[0].id"),
        (r#"{"model":"m","previous_response_id":7}"#, "previous_response_id"),
        (r#"{"model":"m","previous_response_id":"\ud800"}"#, "previous_response_id"),
        (r#"{"model":"m","conversation":7}"#, "conversation"),
        (r#"{"model":"m","conversation":{}}"#, "conversation.id"),
        (r#"{"model":"m","conversation":{"id":null}}"#, "conversation.id"),
        (r#"{"model":"m","prompt_cache_key":7}"#, "prompt_cache_key"),
        (r#"{"model":"m","stream":"yes"}"#, "stream"),
        (r#"{"model":"m","store":0}"#, "store"),
        (r#"{"model":"m","background":[]}"#, "background"),
    ] {
        assert_eq!(refused(body).1.as_deref(), Some(param), "{body}");
    }
    for (input, param) in [
        (r#""\ud800""#, "input"),
        (r#"[{"role":"user","content":5}]"#, "input[0].content"),
        (r#"[{},{"role":"user","content":[{"text":"a","Text":"b"}]}]"#, "input[1].content"),
    ] {
        let body = format!(r#"{{"model":"m","input":{input}}}"#);
        assert_eq!(parse(&body).unwrap().content().expect_err(input).param.as_deref(), Some(param), "{input}");
    }
}

#[test]
fn refuses_ambiguous_keys_that_it_reads_and_no_others() {
    for (read, value) in
        CREATE.iter().zip(["\"m\"", "\"x\"", "\"r\"", "null", "\"k\"", "true", "true", "true", "\"i\"", "[]"])
    {
        for key in [
            (*read).to_owned(),
            read.to_uppercase(),
            read.replacen('e', "\\u0045", 1),
            read.replacen('o', "\\u006f", 1),
        ] {
            let body = format!(r#"{{"model":"m","{read}":{value},"{key}":{value}}}"#);
            assert_eq!(refused(&body).0, Some("ambiguous_key"), "{body}");
        }
    }
    for item in [
        r#"{"role":"user","Role":"system"}"#,
        r#"{"content":"a","content":"b"}"#,
        r#"{"type":"message","TYPE":"x"}"#,
        r#"{"id":"a","iD":"b"}"#,
        r#"{"output":"a","output":"b"}"#,
    ] {
        assert_eq!(refused(&format!(r#"{{"model":"m","input":[{item}]}}"#)).0, Some("ambiguous_key"), "{item}");
    }
    let two = r#"{"model":"m","conversation":{"id":"a","ID":"b"}}"#;
    assert_eq!(refused(two).0, Some("ambiguous_key"));
    parse(r#"{"model":"m","user":"a","user":"b","input":[{"name":"x","name":"y","Name":"z"}]}"#).unwrap();
}

#[test]
fn only_the_model_and_the_previous_id_change() {
    let request = parse(FULL).unwrap();
    let changed = splice_all(FULL.as_bytes(), &request.edits("llama \"3\"", Some("up_1"))).unwrap();
    let expected = FULL.replace(r#""auto""#, r#""llama \"3\"""#).replace(r#""resp_\u0031""#, r#""up_1""#);
    assert_eq!(String::from_utf8(changed).unwrap(), expected);
    assert!(request.edits("auto", None).is_empty());
    assert!(request.edits("auto", Some("resp_1")).is_empty());
    assert!(parse(r#"{"model":"m","previous_response_id":null}"#).unwrap().edits("m", Some("up_1")).is_empty());
}

#[test]
fn estimates_tokens_of_what_a_model_reads() {
    let tokens = |body: &str| Request::parse(body.as_bytes(), Needs { tokens: true }).unwrap().tokens;
    assert_eq!(tokens(r#"{"model":"m","input":"The quick brown fox jumps over the dog"}"#), 11);
    let body = r#"{"model":"m","instructions":"be brief","input":[{"role":"user","content":[{"text":"hi there"}]},{"type":"function_call_output","output":"four"},{"type":"computer_call_output","output":{"image_url":"data:AAAAAAAAAAAAAAAAAAAAAA"}}]}"#;
    assert_eq!(tokens(body), 3 + 3 + 2);
    assert_eq!(parse(body).unwrap().tokens, 0);
}

proptest! {
    #[test]
    fn every_other_byte_stays(space in "[ \n\t]{0,3}", model in "\\PC{1,20}", previous in "[!-~]{1,30}", first: bool, other in "\\PC{0,20}") {
        let other = serde_json::to_string(&other).unwrap();
        let (a, b) = (format!("\"model\"{space}:"), format!("\"previous_response_id\":{space}"));
        let values = [format!("{a}\"auto\""), format!("{b}\"resp_1\"")];
        let [one, two] = if first { [&values[0], &values[1]] } else { [&values[1], &values[0]] };
        let body = format!("{{{one},\"x\":{other}{space},{two},\"n\":1.0,\"input\":{other}}}");
        let request = parse(&body).unwrap();
        let changed = splice_all(body.as_bytes(), &request.edits(&model, Some(&previous))).unwrap();
        let expected = body
            .replacen(&values[0], &format!("{a}{}", serde_json::to_string(&model).unwrap()), 1)
            .replacen(&values[1], &format!("{b}{}", serde_json::to_string(&previous).unwrap()), 1);
        prop_assert_eq!(String::from_utf8(changed).unwrap(), expected);
    }

    #[test]
    fn hostile_bytes_are_refused_or_read_but_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = Request::parse(&body, Needs { tokens: true }) {
            prop_assert_eq!(error.status, 400);
        }
    }

    #[test]
    fn mutated_bodies_never_panic(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut body = FULL.as_bytes().to_vec();
        let i = at.index(body.len());
        body[i] = byte;
        body.truncate(cut.index(body.len() * 4 + 1));
        match Request::parse(&body, Needs { tokens: true }) {
            Ok(request) => {
                let changed = splice_all(&body, &request.edits("x", Some("y"))).unwrap();
                prop_assert_eq!(Request::parse(&changed, Needs::default()).unwrap().model, "x");
                if let Err(error) = request.content() {
                    prop_assert_eq!(error.status, 400);
                }
            }
            Err(error) => prop_assert_eq!(error.status, 400),
        }
    }
}
