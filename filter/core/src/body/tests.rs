#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

use proptest::prelude::*;

use super::*;

fn parse(body: &str) -> Result<Request<'_>, ApiError> {
    Request::parse(body.as_bytes(), Create::ChatCompletion, Needs::default())
}

fn refused(body: &str) -> (Option<&'static str>, Option<String>, String) {
    let error = parse(body).expect_err(body);
    assert_eq!(error.status, 400, "{body}");
    (error.code, error.param, error.message)
}

#[test]
fn reads_what_routing_needs() {
    let body = r#" {"n": 1.0, "messages": [
        {"role": "system", "content": "be brief"}, {"role":"user","content":"one"},
        {"role": "assistant", "content": null, "tool_calls": [{"x": {"role": "user"}}]},
        {"content": [{"type":"text","text":"t\u0077o"},{"type":"image_url","image_url":{"url":"data:"}},{"type":"text","text":"three"}],"role":"user"},
        {"role": "tool", "content": "late"}], "mod\u0065l": "au\u0074o", "stream": true, "tools": [{}, {}], "prompt_cache_key": "k"} "#;
    let request = parse(body).unwrap();
    assert_eq!(request.model, "auto");
    assert_eq!(&body[request.model_span.clone()], r#""au\u0074o""#);
    assert!(request.stream);
    assert_eq!(request.messages, 5);
    assert_eq!(request.system, [r#""be brief""#]);
    assert_eq!(request.first_user, Some(r#""one""#));
    assert_eq!(request.tool_count(), 2);
    assert_eq!(request.prompt_cache_key.as_deref(), Some("k"));
    let content = request.content().unwrap();
    assert_eq!((content.text.as_ref(), content.attachments), ("two\nthree", 1));
}

#[test]
fn refuses_what_is_not_json() {
    for body in [
        "",
        "{",
        "nonsense",
        r#"{"model":"m","messages":[]"#,
        r#"{"model":"m","messages":[{}]} x"#,
        "{\"model\":\"m\",\"x\":\"\n\"}",
        r#"{"model":"m",}"#,
        r#"{"model":"m","x":01}"#,
        r#"{"model":"m","x":nul}"#,
        r#"{'model':'m'}"#,
    ] {
        assert_eq!(refused(body).0, Some("invalid_json"), "{body}");
    }
    let error = Request::parse(b"{\"model\":\"\xff\"}", Create::ChatCompletion, Needs::default()).unwrap_err();
    assert_eq!((error.code, error.message.contains("byte 10")), (Some("invalid_json"), true));
}

#[test]
fn refuses_ambiguous_keys_that_it_reads_and_no_others() {
    for body in [
        r#"{"model":"a","model":"b","messages":[{}]}"#,
        r#"{"model":"a","Model":"b","messages":[{}]}"#,
        r#"{"model":"a","mod\u0065l":"b","messages":[{}]}"#,
        r#"{"model":"a","messages":[{}],"MESSAGES":[]}"#,
        r#"{"model":"a","messages":[{}],"meſſages":[]}"#,
        r#"{"model":"a","messages":[{"role":"user","ROLE":"system"}]}"#,
        r#"{"model":"a","messages":[{"content":"x","content":"y"}]}"#,
        r#"{"model":"a","messages":[{}],"tools":[],"tools":[]}"#,
    ] {
        assert_eq!(refused(body).0, Some("ambiguous_key"), "{body}");
    }
    parse(r#"{"model":"a","messages":[{"name":"x","name":"y","Name":"z"}],"seed":1,"seed":2,"SEED":3}"#).unwrap();
}

#[test]
fn names_the_field_that_is_wrong() {
    for (body, param) in [
        (r#"{"messages":[{}]}"#, "model"),
        (r#"{"model":"","messages":[{}]}"#, "model"),
        (r#"{"model":5,"messages":[{}]}"#, "model"),
        (r#"{"model":null,"messages":[{}]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[]}"#, "messages"),
        (r#"{"model":"m","messages":{}}"#, "messages"),
        (r#"{"model":"m","messages":"hi"}"#, "messages"),
        (r#"{"model":"m","messages":[{},"hi"]}"#, "messages[1]"),
        (r#"{"model":"m","messages":[{"role":7}]}"#, "messages[0].role"),
        (r#"{"model":"m","messages":[{}],"stream":"yes"}"#, "stream"),
    ] {
        assert_eq!(refused(body).1.as_deref(), Some(param), "{body}");
    }
    for content in ["5", "{}", "[5]", r#"[{"text":5}]"#, r#"[{"text":"a","Text":"b"}]"#, r#""\ud800""#] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
        let error = parse(&body).unwrap().content().expect_err(content);
        assert_eq!(error.param.as_deref(), Some("messages[0].content"), "{content}");
    }
}

#[test]
fn estimates_tokens_in_any_script() {
    let needs = Needs { tokens: true };
    let tokens = |content: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
        Request::parse(body.as_bytes(), Create::ChatCompletion, needs).unwrap().tokens
    };
    assert_eq!(tokens(r#""The quick brown fox jumps over the dog""#), 11);
    assert_eq!(tokens(r#""敏捷的棕色狐狸跳过了懒狗""#), 9);
    let image = "A".repeat(100_000);
    assert_eq!(
        tokens(&format!(
            r#"[{{"type":"text","text":"hi there"}},{{"type":"image_url","image_url":{{"url":"{image}"}}}}]"#
        )),
        3
    );
}

#[test]
fn other_apis_need_no_messages() {
    let request = Request::parse(br#"{"input":[1e400],"model":"m"}"#, Create::Embedding, Needs::default()).unwrap();
    assert_eq!(request.model, "m");
}

/// JSON as clients write it, number spellings and escapes included.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.0".to_owned()),
        Just("1e400".to_owned()),
        Just("-0".to_owned()),
        Just("12345678901234567890123".to_owned()),
        Just(r#""\u00e9\/\ud83d\ude00""#.to_owned()),
        "[a-zé ]{0,8}".prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(" , "))),
            prop::collection::vec(("[a-z]{1,5}", inner), 0..4).prop_map(|v| format!(
                "{{{}}}",
                v.iter().map(|(k, v)| format!("\"x{k}\" :{v}")).collect::<Vec<_>>().join(",")
            )),
        ]
    })
}

proptest! {
    #[test]
    fn a_splice_changes_the_model_and_nothing_else(before in json(), after in json(), space in "[ \n\t]{0,3}", name in "\\PC{1,20}") {
        let head = format!("{{{space}\"a\":{before},\"model\"{space}:");
        let tail = format!(",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],{space}\"b\":{after}}}");
        let body = format!("{head}\"auto\"{tail}");
        let request = parse(&body).unwrap();
        let edit = splice(body.clone().into_bytes(), request.model_span, &name);
        let changed = [edit.bytes.as_slice(), &body.as_bytes()[edit.replaced..]].concat();
        prop_assert_eq!(changed.len(), edit.length(body.len()));
        let changed = String::from_utf8(changed).unwrap();
        prop_assert!(changed.starts_with(&head) && changed.ends_with(&tail));
        let middle = &changed[head.len()..changed.len() - tail.len()];
        prop_assert_eq!(serde_json::from_str::<String>(middle).unwrap(), name);
    }

    #[test]
    fn hostile_bytes_are_refused_or_read_but_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::parse(&body, Create::ChatCompletion, Needs { tokens: true });
    }

    #[test]
    fn mutated_bodies_never_panic(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut body = br#"{"model":"auto","messages":[{"role":"user","content":[{"type":"text","text":"h\u00e9"}]}],"stream":false}"#.to_vec();
        let i = at.index(body.len());
        body[i] = byte;
        body.truncate(cut.index(body.len() + 1).max(body.len() / 2));
        if let Ok(request) = Request::parse(&body, Create::ChatCompletion, Needs::default()) {
            let _ = request.content();
        }
    }
}
