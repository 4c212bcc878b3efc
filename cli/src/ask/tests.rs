#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;

fn answer(body: Value, headers: &[(&'static str, &'static str)]) -> Answer {
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Answer { headers: headers.collect(), body, elapsed: Duration::from_millis(1234) }
}

fn completion(routing: Value) -> Value {
    let message = json!({"role": "assistant", "content": "2x"});
    json!({"choices": [{"index": 0, "message": message}], "routing_metadata": routing})
}

#[test]
fn an_answer_is_shown_with_its_decision() {
    let body = completion(json!({
        "selected_model": "math-expert", "confidence": 0.98321, "category": "math", "decision": "maths",
        "endpoint": "m1", "processing_time_ms": 12, "classification_time_ms": 9, "cache_hit": false,
    }));
    insta::assert_snapshot!(answer(body, &[]).to_string(), @r"
    2x

    category        math
    confidence      0.983
    decision        maths
    model           math-expert
    endpoint        m1
    routing         12 ms
    classification  9 ms
    total           1234 ms
    ");
}

#[test]
fn headers_speak_where_the_body_does_not() {
    let mut body = completion(Value::Null);
    body["choices"][0]["message"]["content"] = Value::Null;
    let headers = [
        ("x-selected-model", "general"),
        ("x-semantic-destination-endpoint", "g1"),
        ("x-routing-fallback", "timeout"),
        ("x-processing-time", "1001"),
    ];
    insta::assert_snapshot!(answer(body, &headers).to_string(), @r#"
    [
      {
        "index": 0,
        "message": {
          "content": null,
          "role": "assistant"
        }
      }
    ]

    model     general
    endpoint  g1
    fallback  timeout
    routing   1001 ms
    total     1234 ms
    "#);
}

#[test]
fn urls_are_taken_as_people_write_them() {
    for url in ["http://127.0.0.1:8801", "http://127.0.0.1:8801/", "http://127.0.0.1:8801/v1/"] {
        assert_eq!(endpoint(url).unwrap().as_str(), "http://127.0.0.1:8801/v1/chat/completions");
    }
    for url in ["127.0.0.1:8801", "https://example.com", "http://", ""] {
        assert!(matches!(endpoint(url), Err(Error::Url(_))), "{url}");
    }
}

#[test]
fn a_bad_header_is_refused_without_its_value() {
    let error = headers(&["x-one: 1".to_owned(), "secret".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "header 2 is not `name: value`");
    assert_eq!(headers(&["X-User: a:b".to_owned()]).unwrap()["x-user"], "a:b");
}

#[test]
fn refusals_are_told_in_their_own_words() {
    for (body, message) in [
        (
            r#"{"error":{"message":"No model `x`.","type":"t","param":"model","code":"model_not_found"}}"#,
            "No model `x`. (model_not_found)",
        ),
        (r#"{"error":{"message":"Broken."}}"#, "Broken."),
        ("upstream says no\n", "upstream says no"),
    ] {
        assert_eq!(refusal(body.as_bytes()), message);
    }
}

#[tokio::test]
async fn nobody_there_is_said_in_plain_words() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let question = Question { prompt: "Hi".to_owned(), url, model: "auto".to_owned(), headers: Vec::new() };
    let error = ask(&question).await.unwrap_err().to_string();
    assert!(error.contains("cannot reach Fingerpost") && error.contains("refused"), "{error}");
}
