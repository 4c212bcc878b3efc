use serde_json::json;

use super::super::{CreateRequest, request::LastUser};
use super::parse;

fn refused(body: &str) -> (u16, String, String, String) {
    let error = CreateRequest::parse(body.as_bytes()).unwrap_err();
    (error.status, error.param.unwrap_or_default(), error.code.unwrap_or_default().to_owned(), error.message)
}

/// A request whose other parameters are well.
fn with(extra: &str) -> String {
    format!(r#"{{"model":"m","input":"hi",{extra}}}"#)
}

#[test]
fn reads_what_it_needs() {
    let request = parse(
        r#"{"model":"auto","input":[{"role":"user","content":"one"},{"role":"assistant","content":"two"},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"three"},
        {"type":"input_image","image_url":"data:,"},{"type":"input_text","text":"four"}]}],
        "instructions":"Be brief.","previous_response_id":"resp_1","conversation":null,"stream":true,"store":false,
        "tools":[{"type":"function","name":"f","parameters":{}}],"prompt_cache_key":"k"}"#,
    );
    assert_eq!(request.model, "auto");
    assert!(request.stream && !request.store && !request.background);
    assert_eq!(request.previous_response_id.as_deref(), Some("resp_1"));
    assert_eq!(request.conversation, None);
    assert_eq!(request.last_user(), LastUser { text: "three\nfour".to_owned(), attachments: 1 });
    assert_eq!((request.message_count(), request.tool_count()), (3, 1));
    let [instructions, tools, first] = request.prefix();
    assert_eq!(instructions, "Be brief.");
    assert_eq!(tools, r#"[{"type":"function","name":"f","parameters":{}}]"#);
    assert_eq!(first, r#"{"role":"user","content":"one"}"#);
}

#[test]
fn conversation_is_a_string_or_an_object() {
    assert_eq!(parse(&with(r#""conversation":"conv_1""#)).conversation.as_deref(), Some("conv_1"));
    assert_eq!(parse(&with(r#""conversation":{"id":"conv_1"}"#)).conversation.as_deref(), Some("conv_1"));
}

#[test]
fn what_stands_in_strings_survives_a_body_of_many_lines() {
    let instructions = r#"say \"a  b\" \\"#;
    let request = parse(&format!(
        "{{\n \"model\" : \"m\",\r\n \"input\": \"x\",\n \"instructions\": \"{instructions}\",\n \"metadata\": {{ \"k\" : \"a  b\" }} }}"
    ));
    assert_eq!(request.instructions.as_deref(), Some(r#"say "a  b" \"#));
    assert_eq!(request.params.metadata.unwrap().get(), r#"{"k":"a  b"}"#);
}

#[test]
fn input_may_lack_where_a_conversation_goes_on() {
    assert_eq!(parse(r#"{"model":"m","previous_response_id":"resp_1"}"#).message_count(), 0);
    assert_eq!(refused(r#"{"model":"m"}"#).1, "input");
}

#[test]
fn wrong_requests_name_what_is_wrong() {
    for (body, param, code) in [
        ("[]".to_owned(), "", "invalid_type"),
        ("{".to_owned(), "", "invalid_json"),
        (r#"{"input":"x"}"#.to_owned(), "model", "missing_required_parameter"),
        (with(r#""models":1"#), "models", "unknown_parameter"),
        (with(r#""messages":[]"#), "messages", "unknown_parameter"),
        (with(r#""model":"n""#), "model", "ambiguous_key"),
        (with(r#""Stream":true"#), "Stream", "ambiguous_key"),
        (with(r#""ſtream":true"#), "ſtream", "ambiguous_key"),
        (with(r#""stream":"yes""#), "stream", "invalid_type"),
        (with(r#""max_output_tokens":-1"#), "max_output_tokens", "invalid_type"),
        (with(r#""temperature":"hot""#), "temperature", "invalid_type"),
        (with(r#""truncation":"some""#), "truncation", "invalid_value"),
        (with(r#""metadata":{"a":1}"#), "metadata.a", "invalid_type"),
        (with(r#""include":["all"]"#), "include[0]", "invalid_value"),
        (with(r#""text":{"format":{"type":"xml"}}"#), "text.format.type", "invalid_value"),
        (
            with(r#""text":{"format":{"type":"json_schema","name":"n"}}"#),
            "text.format.schema",
            "missing_required_parameter",
        ),
        (
            with(r#""conversation":"c","previous_response_id":"r""#),
            "previous_response_id",
            "mutually_exclusive_parameters",
        ),
        (with(r#""background":true"#), "background", "unsupported_parameter"),
        (with(r#""prompt":{"id":"pmpt_1"}"#), "prompt", "unsupported_parameter"),
        (
            with(r#""stream_options":{"include_obfuscation":true}"#),
            "stream_options.include_obfuscation",
            "unsupported_parameter",
        ),
        (with(r#""reasoning":{"mode":"pro"}"#), "reasoning.mode", "unsupported_parameter"),
        (with(r#""tool_choice":"any""#), "tool_choice", "invalid_value"),
        (with(r#""tool_choice":"required""#), "tool_choice", "invalid_value"),
        (with(r#""tool_choice":{"type":"function","name":"f"}"#), "tool_choice", "invalid_value"),
        (with(r#""tool_choice":{"type":"web_search_preview"}"#), "tool_choice.type", "unsupported_parameter"),
        (with(r#""tools":[{"type":"function","name":"f","name":"g"}]"#), "tools[0].name", "ambiguous_key"),
        (with(r#""tools":[{"type":"function","name":"f","async":true}]"#), "tools[0].async", "unsupported_parameter"),
    ] {
        let (status, got_param, got_code, message) = refused(&body);
        assert_eq!((status, got_param.as_str(), got_code.as_str()), (400, param, code), "{body}: {message}");
    }
}

#[test]
fn built_in_tools_are_refused_by_name() {
    for kind in [
        "web_search",
        "web_search_preview",
        "file_search",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "image_generation",
        "mcp",
        "local_shell",
        "shell",
        "apply_patch",
        "custom",
        "namespace",
        "tool_search",
    ] {
        let body = json!({"model": "m", "input": "x", "tools": [{"type": "function", "name": "f"}, {"type": kind}]});
        let (status, param, _, message) = refused(&body.to_string());
        assert_eq!((status, param.as_str()), (400, "tools[1].type"));
        assert!(message.contains(kind), "{message}");
    }
}

#[test]
fn what_is_for_other_backends_can_be_read_all_the_same() {
    let body = br#"{"model":"m","input":[{"type":"web_search_call","id":"ws_1","status":"completed"}],
        "tools":[{"type":"web_search"}],"background":true}"#;
    let request = CreateRequest::read(body).unwrap();
    assert!(request.background);
    assert_eq!(request.check().unwrap_err().param.as_deref(), Some("background"));
}

#[test]
fn wrong_items_name_their_place() {
    for (item, param, code) in [
        (r#""text""#, "input[1]", "invalid_type"),
        (r#"{}"#, "input[1].type", "missing_required_parameter"),
        (r#"{"type":"poem"}"#, "input[1].type", "invalid_value"),
        (r#"{"type":"web_search_call","id":"ws_1"}"#, "input[1].type", "unsupported_parameter"),
        (r#"{"type":"custom_tool_call","call_id":"c"}"#, "input[1].type", "unsupported_parameter"),
        (r#"{"role":"tool","content":"x"}"#, "input[1].role", "invalid_value"),
        (r#"{"role":"user"}"#, "input[1].content", "missing_required_parameter"),
        (r#"{"role":"user","content":1}"#, "input[1].content", "invalid_type"),
        (r#"{"role":"user","Role":"system","content":"x"}"#, "input[1].Role", "ambiguous_key"),
        (r#"{"role":"user","content":[{"type":"refusal","refusal":"x"}]}"#, "input[1].content[0]", "invalid_value"),
        (r#"{"role":"assistant","content":[{"type":"input_image"}]}"#, "input[1].content[0]", "invalid_value"),
        (r#"{"role":"user","content":[{"type":"video"}]}"#, "input[1].content[0]", "invalid_value"),
        (
            r#"{"role":"user","content":[{"type":"input_text"}]}"#,
            "input[1].content[0].text",
            "missing_required_parameter",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_image","file_id":"f"}]}"#,
            "input[1].content[0].file_id",
            "unsupported_parameter",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_file","file_url":"u"}]}"#,
            "input[1].content[0].file_url",
            "unsupported_parameter",
        ),
        (r#"{"type":"function_call","name":"f","arguments":"{}"}"#, "input[1].call_id", "missing_required_parameter"),
        (r#"{"type":"function_call_output","call_id":"c"}"#, "input[1].output", "missing_required_parameter"),
        (r#"{"type":"item_reference"}"#, "input[1].id", "missing_required_parameter"),
    ] {
        let (status, got_param, got_code, message) =
            refused(&format!(r#"{{"model":"m","input":[{{"role":"user","content":"x"}},{item}]}}"#));
        assert_eq!((status, got_param.as_str(), got_code.as_str()), (400, param, code), "{item}: {message}");
    }
}

#[test]
fn references_are_resolved_or_not_found() {
    let mut request = parse(r#"{"model":"m","input":[{"id":"msg_1"},{"type":"item_reference","id":"msg_2"}]}"#);
    assert_eq!(request.item_references(), ["msg_1", "msg_2"]);
    let user = br#"{"id":"msg_1","type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}"#;
    let mut found = vec![("msg_1".to_owned(), user.to_vec())];
    let error = request.clone().resolve(&found).unwrap_err();
    assert_eq!((error.status, error.message.as_str()), (404, "Item with id 'msg_2' not found."));
    let search = br#"{"id":"msg_2","type":"web_search_call"}"#;
    found.push(("msg_2".to_owned(), search.to_vec()));
    assert_eq!(request.clone().resolve(&found).unwrap_err().param.as_deref(), Some("input[1].type"));
    found[1].1 = user.to_vec();
    request.resolve(&found).unwrap();
    assert_eq!(request.item_references(), [""; 0]);
    assert_eq!(request.last_user().text, "hi");
}
