//! Who is let in, and what bodies are.

use serde_json::{Value, json};

use crate::stub::{Api, Stub, finish};

const PATH: &str = "/api/v1/classify/security";

#[tokio::test]
async fn a_page_of_another_origin_is_not_answered() {
    let api = Api::new(|_| {}).await;
    let port = api.running.address.port();
    let post = |headers: &[(&str, String)]| {
        let request = api.request("POST", PATH).body(r#"{"text":"hello"}"#);
        let request = request.header("content-type", "application/json");
        headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    };
    let named = |name: &'static str, value: &str| vec![(name, value.to_owned())];
    for (headers, code) in [
        (named("host", "rebound.test"), "host_not_allowed"),
        (named("host", &format!("127.0.0.1.rebound.test:{port}")), "host_not_allowed"),
        (named("origin", "http://evil.test"), "cross_origin"),
        (named("origin", "null"), "cross_origin"),
        (named("origin", &format!("http://127.0.0.1:{}", port.wrapping_add(1))), "cross_origin"),
        (named("sec-fetch-site", "cross-site"), "cross_origin"),
        (named("sec-fetch-site", "same-site"), "cross_origin"),
    ] {
        let (status, refused) = finish(post(&headers)).await;
        assert_eq!((status, &refused["error"]["code"]), (403, &json!(code)), "{headers:?}");
    }
    for headers in [
        vec![],
        named("host", "localhost"),
        named("origin", &format!("http://127.0.0.1:{port}")),
        named("sec-fetch-site", "same-origin"),
    ] {
        assert_eq!(finish(post(&headers)).await.0, 200, "{headers:?}");
    }
    // A rebound name reads nothing, on any path.
    for path in ["/health", "/docs", "/openapi.json", "/info/models"] {
        assert_eq!(finish(api.request("GET", path).header("host", "rebound.test")).await.0, 403, "{path}");
    }
    assert!(api.stub.calls.lock().unwrap().len() == 4, "what was refused reached nobody");
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let stub = Stub::default();
    let classifier = stub.serve().await;
    let api = Api::at(&classifier.to_string(), Some("s3cret"), stub, |_| {}).await;
    let post = || api.request("POST", PATH).json(&json!({"text": "hello"}));
    for (shown, status) in [(None, 401), (Some("s3cre"), 401), (Some("s3cret2"), 401), (Some("s3cret"), 200)] {
        let request = shown.map_or_else(post, |shown| post().bearer_auth(shown));
        assert_eq!(finish(request).await.0, status, "{shown:?}");
    }
    for (path, status) in [("/health", 200), ("/openapi.json", 200), ("/info/models", 401)] {
        assert_eq!(api.get(path).await.0, status, "{path}");
    }
    // With a token, whatever name leads here will do; another origin's page will not.
    assert_eq!(finish(post().bearer_auth("s3cret").header("host", "gateway.internal")).await.0, 200);
    assert_eq!(finish(post().bearer_auth("s3cret").header("origin", "http://evil.test")).await.0, 403);
}

#[tokio::test]
async fn bodies_are_bounded_read_strictly_and_never_repeated() {
    let api = Api::new(|gateway| gateway["limits"] = json!({"max_body": "1KiB"})).await;
    let send = |kind: &str, body: String| api.request("POST", PATH).header("content-type", kind).body(body);
    let error = |(status, body): (u16, Value)| (status, body["error"]["code"].as_str().unwrap().to_owned());
    let json = "application/json";
    let large = json!({"text": "x".repeat(1_100)}).to_string();
    assert_eq!(error(finish(send(json, large)).await), (413, "request_too_large".to_owned()));
    assert_eq!(error(finish(send("text/plain", r#"{"text":"x"}"#.to_owned())).await).0, 415);
    let packed = send(json, r#"{"text":"x"}"#.to_owned()).header("content-encoding", "gzip");
    assert_eq!(error(finish(packed).await).0, 415);
    for body in [
        "",
        "{",
        r#"{"text":7}"#,
        r#"{"texts":["top secret"]}"#,
        r#"{"text":["top secret"]}"#,
        r#"{"text":"top secret","top secret":1}"#,
        r#""top secret""#,
    ] {
        let (status, refused) = finish(send(json, body.to_owned())).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid_body")), "{body}");
        assert!(!refused.to_string().contains("top secret"), "{refused}");
    }
    assert_eq!(error(api.post(PATH, &json!({"text": " \n"})).await), (400, "invalid_value".to_owned()));
    assert_eq!(api.get(PATH).await.0, 405);
    assert_eq!(api.get("/v1/responses/x").await.0, 404);
    assert!(api.stub.calls.lock().unwrap().is_empty());
    let docs = api.request("GET", "/docs").send().await.unwrap();
    assert!(docs.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let page = docs.text().await.unwrap();
    assert!(!page.contains("https://") && page.contains("/openapi.json"), "it loads nothing from elsewhere");
}
