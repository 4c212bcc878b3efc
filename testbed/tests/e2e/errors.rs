//! Each bad input has its clear error in OpenAI's shape, and no backend sees it.

use std::sync::Arc;

use fingerpost_testbed::{
    client::{Call, Framing, raw},
    harness::{ModelSetup, Stack, StackError},
    suite::Suite,
};
use hyper::Method;
use serde_json::json;

use crate::{
    common::{assert_error, chat, through},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "errors",
        boot,
        [
            bad_bodies,
            an_error_of_the_last_message_names_it,
            no_body,
            compressed_body,
            wrong_content_type,
            trailers,
            too_large,
            exactly_at_the_limit,
            unknown_paths,
            wrong_methods,
            path_tricks,
            no_backend_saw_any_of_it,
        ]
    )
}

async fn boot() -> Result<Stack, StackError> {
    Stack::builder()
        .model(ModelSetup::named("general"))
        .decision("category == 'math'", "general")
        .field("limits", json!({ "max_body": "64KiB" }))
        .field("routing_metadata", json!(false))
        .start()
        .await
}

const CHAT: &str = "/v1/chat/completions";
const BAD: &str = "x-bad";

/// A call that must not reach a backend.
fn bad(call: Call) -> Call {
    call.header(BAD, "1")
}

async fn bad_bodies(stack: Arc<Stack>) {
    let cases: [(&[u8], &str, Option<&str>); 22] = [
        (b"{", "invalid_json", None),
        (b"not json", "invalid_json", None),
        (b"{\"model\":\"general\",}", "invalid_json", None),
        (
            b"{\"model\":\"general\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]} trailing",
            "invalid_json",
            None,
        ),
        (b"{\"model\":\"general\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", "invalid_json", None),
        (b"{'model':'general'}", "invalid_json", None),
        (b"\xef\xbb\xbf{}", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"null", "invalid_json", None),
        (b"\"model\"", "invalid_json", None),
        (b"{}", "", Some("model")),
        (b"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "", Some("model")),
        (b"{\"model\":\"\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "", Some("model")),
        (b"{\"model\":7,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "invalid_type", Some("model")),
        (b"{\"model\":null,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "invalid_type", Some("model")),
        (b"{\"model\":\"general\"}", "", Some("messages")),
        (b"{\"model\":\"general\",\"messages\":[]}", "", Some("messages")),
        (b"{\"model\":\"general\",\"messages\":\"hi\"}", "invalid_type", Some("messages")),
        (b"{\"model\":\"general\",\"messages\":{\"role\":\"user\"}}", "invalid_type", Some("messages")),
        (
            b"{\"model\":\"general\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"},\"hi\"]}",
            "invalid_type",
            Some("messages[1]"),
        ),
        (
            b"{\"model\":\"general\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":\"yes\"}",
            "invalid_type",
            Some("stream"),
        ),
        (
            b"{\"model\":\"general\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"prompt_cache_key\":5}",
            "invalid_type",
            Some("prompt_cache_key"),
        ),
    ];
    for (body, code, param) in cases {
        let reply = stack.send(bad(Call::post(CHAT, body))).await.unwrap();
        let context = format!("{} -> {} {}", String::from_utf8_lossy(body), reply.status, reply.text());
        let error = &reply.json()["error"];
        assert_eq!((reply.status, error["type"].as_str()), (400, Some("invalid_request_error")), "{context}");
        assert_eq!(error["code"].as_str().unwrap_or_default(), code, "{context}");
        assert_eq!(error["param"].as_str(), param, "{context}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{context}");
    }
}

async fn an_error_of_the_last_message_names_it(stack: Arc<Stack>) {
    for content in [json!(7), json!({ "text": "x" }), json!(["x"]), json!([{ "type": "text", "text": 7 }])] {
        let messages = json!([{ "role": "system", "content": "s" }, { "role": "user", "content": content }]);
        let call = Call::chat(&json!({ "model": "auto", "messages": messages }));
        let reply = stack.send(bad(call)).await.unwrap();
        assert_eq!(assert_error(&reply, 400, "invalid_content")["param"], "messages[1].content", "{content}");
    }
}

async fn no_body(stack: Arc<Stack>) {
    for path in [CHAT, "/v1/completions", "/v1/embeddings"] {
        let reply = stack.send(bad(Call::post(path, ""))).await.unwrap();
        assert_error(&reply, 400, "missing_body");
        let reply = stack.send(bad(Call::post(path, "").framed(Framing::Chunked))).await.unwrap();
        assert_error(&reply, 400, "missing_body");
    }
    let head =
        format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n");
    let answer = raw(stack.address(), head.as_bytes(), false).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("missing_body"), "{answer}");
}

async fn compressed_body(stack: Arc<Stack>) {
    for encoding in ["gzip", "br", "zstd", "deflate", "GZIP", "gzip, identity"] {
        let call = Call::post(CHAT, vec![0x1f, 0x8b, 8, 0]).header("content-encoding", encoding);
        assert_error(&stack.send(bad(call)).await.unwrap(), 415, "unsupported_content_encoding");
    }
    let plain = Call::chat(&chat("general", "x")).header("content-encoding", "identity");
    assert_eq!(through(&stack, plain).await.0.status, 200);
}

async fn wrong_content_type(stack: Arc<Stack>) {
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", ""]
    {
        let call = Call::chat(&chat("general", "x")).header("content-type", kind);
        assert_error(&stack.send(bad(call)).await.unwrap(), 415, "unsupported_media_type");
    }
    let call = Call::chat(&chat("general", "x")).without("content-type");
    assert_error(&stack.send(bad(call)).await.unwrap(), 415, "unsupported_media_type");
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        let call = Call::chat(&chat("general", "x")).header("content-type", kind);
        assert_eq!(through(&stack, call).await.0.status, 200, "{kind}");
    }
}

async fn trailers(stack: Arc<Stack>) {
    for framing in [Framing::ChunkedTrailers, Framing::H2Trailers] {
        for model in ["general", "auto"] {
            let call = bad(Call::chat(&chat(model, "x"))).framed(framing);
            assert_error(&stack.send(call).await.unwrap(), 400, "unsupported_trailers");
        }
    }
}

/// A chat completion of exactly that many bytes.
fn sized(bytes: usize) -> String {
    let empty = chat("general", "").to_string();
    chat("general", &"x".repeat(bytes - empty.len())).to_string()
}

async fn too_large(stack: Arc<Stack>) {
    for (bytes, framing) in [
        (64 * 1024 + 1, Framing::Sized),
        (64 * 1024 + 1, Framing::Chunked),
        (64 * 1024 + 1, Framing::H2),
        (300_000, Framing::Chunked),
    ] {
        let reply = stack.send(bad(Call::post(CHAT, sized(bytes)).framed(framing))).await;
        let reply = reply.unwrap_or_else(|error| panic!("{bytes} {framing:?}: {error}"));
        assert_error(&reply, 413, "request_too_large");
    }
    // Refused by its head alone: not a byte of body is sent.
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\nconnection: close\r\n\r\n"
    );
    let answer = raw(stack.address(), head.as_bytes(), false).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("request_too_large"), "{answer}");
}

async fn exactly_at_the_limit(stack: Arc<Stack>) {
    for framing in [Framing::Sized, Framing::Chunked, Framing::H2] {
        let (reply, seen) = through(&stack, Call::post(CHAT, sized(64 * 1024)).framed(framing)).await;
        assert_eq!((reply.status, seen.body.len()), (200, 64 * 1024));
    }
}

async fn unknown_paths(stack: Arc<Stack>) {
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/responses",
        "/v1/chat/completions/",
        "/V1/chat/completions",
        "/v1/chat/completionsx",
        "/v1/audio/speech",
        "/v2/chat/completions",
        "/health/",
        "/__requests",
        "/v1/models/",
    ] {
        for call in [Call::get(path), Call::post(path, chat("general", "x").to_string())] {
            assert_error(&stack.send(bad(call)).await.unwrap(), 404, "not_found");
        }
    }
}

async fn wrong_methods(stack: Arc<Stack>) {
    for (method, path, allow) in [
        (Method::GET, CHAT, "POST"),
        (Method::PUT, "/v1/completions", "POST"),
        (Method::DELETE, "/v1/embeddings", "POST"),
        (Method::POST, "/v1/models", "GET"),
        (Method::DELETE, "/v1/models/general", "GET"),
        (Method::POST, "/health", "GET"),
    ] {
        let reply = stack.send(bad(Call::new(method.clone(), path))).await.unwrap();
        assert_error(&reply, 405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
}

async fn path_tricks(stack: Arc<Stack>) {
    let body = chat("general", "x").to_string();
    for path in ["//v1//chat/completions", "/v1/x/../chat/completions", "/v1/./chat/completions"] {
        let (reply, seen) = through(&stack, Call::post(path, body.clone())).await;
        assert_eq!((reply.status, seen.target.as_str()), (200, CHAT), "{path}");
    }
    for path in
        ["/v1%2Fchat%2Fcompletions", "/v1/chat%2fcompletions", "/v1/..%2fchat/completions", "/v1/chat%5Ccompletions"]
    {
        let reply = stack.send(bad(Call::post(path, body.clone()))).await.unwrap();
        assert_eq!(reply.status, 400, "{path} {}", reply.text());
    }
    for path in
        ["/v1/chat/completions/../../../health", "/../v1/nothing", "/v1/chat/completions%00", "/v1/chat/%63ompletionz"]
    {
        let reply = stack.send(bad(Call::post(path, body.clone()))).await.unwrap();
        assert!((400..500).contains(&reply.status), "{path} {}", reply.status);
    }
    // Matched and forwarded as one and the same path.
    let (reply, seen) = through(&stack, Call::post("/v1/chat/completions?a=%2F&b=//", body)).await;
    assert_eq!((reply.status, seen.target.as_str()), (200, "/v1/chat/completions?a=%2F&b=//"));
}

async fn no_backend_saw_any_of_it(stack: Arc<Stack>) {
    bad_bodies(Arc::clone(&stack)).await;
    let seen = stack.fake("general").unwrap().find(|request| request.header(BAD).is_some());
    assert!(seen.is_none(), "{seen:?}");
}
