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
        assert_eq!(
            endpoint(url, "/v1/chat/completions").unwrap().as_str(),
            "http://127.0.0.1:8801/v1/chat/completions"
        );
    }
    for url in ["127.0.0.1:8801", "https://example.com", "http://", ""] {
        assert!(matches!(endpoint(url, "/"), Err(Error::Url(_))), "{url}");
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

#[test]
fn an_explanation_is_shown_in_the_order_in_which_things_are_decided() {
    let mut evaluation = json!({
        "signals": {
            "category": "math", "confidence": 0.9131, "scores": {"math": 0.9131, "law": 0.01, "physics": 0.07, "other": 0.001},
            "tokens": 12, "messages": 1, "pii": {"detected": true, "types": ["EMAIL_ADDRESS", "PERSON"]},
            "jailbreak": {"score": 0.971, "detected": true, "disguise": "base64"},
        },
        "decision": {"name": "maths", "when": "category == 'math'"},
        "selected_model": "math-expert",
        "failed_rules": 0,
        "guards": {
            "pii": {"threshold": 0.5, "action": "redact", "detected": true, "types": ["EMAIL_ADDRESS", "PERSON"]},
            "jailbreak": {"threshold": 0.8, "action": "block", "detected": true},
        },
        "outcome": "block",
        "processing_time_ms": 7,
    });
    insta::assert_snapshot!(Explanation(evaluation.clone()).to_string(), @r"
    category         math 0.913  (physics 0.070, law 0.010)
    tokens           12, estimated
    personal data    EMAIL_ADDRESS, PERSON
    jailbreak        0.971, disguised: base64
    decision         maths: category == 'math'
    model            math-expert
    guard pii        redact for EMAIL_ADDRESS, PERSON (threshold 0.500)
    guard jailbreak  block (threshold 0.800)
    outcome          block
    classification   7 ms
    ");
    evaluation["decision"] = Value::Null;
    evaluation["failed_rules"] = json!(2);
    evaluation["guards"] =
        json!({"pii": null, "jailbreak": {"threshold": 0.5, "action": "annotate", "detected": false}});
    evaluation["signals"]["pii"] = json!({"detected": false, "types": []});
    evaluation["signals"]["jailbreak"] = json!({"score": 0.02, "detected": false});
    insta::assert_snapshot!(Explanation(evaluation).to_string(), @r"
    category         math 0.913  (physics 0.070, law 0.010)
    tokens           12, estimated
    personal data    none
    jailbreak        0.020
    decision         none: the default model serves
    failed rules     2
    model            math-expert
    guard pii        off
    guard jailbreak  nothing found (threshold 0.500, action annotate)
    outcome          block
    classification   7 ms
    ");
}

/// Answers one request, and gives it.
async fn once(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !request.ends_with('}') {
            let mut buffer = [0; 4096];
            let size = stream.read(&mut buffer).await.unwrap();
            assert_ne!(size, 0, "{request}");
            request.push_str(std::str::from_utf8(&buffer[..size]).unwrap());
        }
        let head = format!("HTTP/1.1 {answer}");
        stream.write_all(head.as_bytes()).await.unwrap();
        request
    });
    (url, served)
}

#[tokio::test]
async fn the_management_api_is_asked_with_its_token() {
    let (url, served) = once("200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await;
    let headers = vec!["X-Beta: on".to_owned()];
    let question = Question { prompt: "Hi".to_owned(), url, model: "auto".to_owned(), headers };
    let explanation = explain(&question, Some("s3cret")).await.unwrap();
    assert_eq!(explanation.json(), &json!({}));
    let request = served.await.unwrap().to_lowercase();
    assert!(request.starts_with("post /api/v1/eval http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nauthorization: bearer s3cret\r\n"), "{request}");
    assert!(request.ends_with(r#"{"headers":{"x-beta":"on"},"text":"hi"}"#), "{request}");
}

#[tokio::test]
async fn without_a_management_api_it_is_said_what_is_missing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let question = Question { prompt: "Hi".to_owned(), url, model: "auto".to_owned(), headers: Vec::new() };
    let error = explain(&question, None).await.unwrap_err().to_string();
    assert!(error.contains("cannot reach the management API") && error.contains("`management: {}`"), "{error}");
}
