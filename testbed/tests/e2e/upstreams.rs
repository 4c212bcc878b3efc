//! Backends as people have them: host names, TLS, prefixes, hosts, pass-through paths, and ones that are down.

use std::sync::{Arc, LazyLock};

use fingerpost_testbed::{
    client::Call,
    fake::{Behaviour, FakeOptions},
    harness::{EndpointSetup, ModelSetup, Stack, StackError},
    pki::Authority,
    suite::Suite,
};
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    common::{assert_error, behaving, chat, served_by, through},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!(
        "upstreams",
        boot,
        [
            a_path_prefix,
            no_path_prefix,
            a_host_rewrite,
            a_host_name,
            tls_with_a_name_and_an_authority,
            tls_to_a_host_name,
            an_untrusted_certificate_is_503,
            another_name_in_the_certificate_is_503,
            a_dead_backend_is_503,
            a_backend_that_hangs_up_is_503,
            a_silent_backend_is_504,
            a_passthrough_path_goes_unread,
        ]
    )
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

async fn boot() -> Result<Stack, StackError> {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (ca, other_ca) = (FOLDER.path().join("ca.pem"), FOLDER.path().join("other.pem"));
    authority.write(&ca).unwrap();
    other.write(&other_ca).unwrap();
    let tls = |model: &str, name: &str, host, fields: Value| {
        let fake = FakeOptions { tls: Some(authority.server(name).unwrap()), ..FakeOptions::named(model) };
        ModelSetup::with(model, vec![EndpointSetup { fake, weight: 1, host }]).field("tls", fields)
    };
    let based = |model: &str, base: &str| {
        let fake = FakeOptions { base_path: base.to_owned(), ..FakeOptions::named(model) };
        ModelSetup::with(model, vec![EndpointSetup { fake, weight: 1, host: None }]).field("path_prefix", json!(base))
    };
    let host = |model: &str| {
        let fake = FakeOptions::named(model);
        ModelSetup::with(model, vec![EndpointSetup { fake, weight: 1, host: Some("localhost") }])
    };
    let stack = Stack::builder()
        .model(based("prefixed", "/deep/open-ai"))
        .model(based("rooted", ""))
        .model(ModelSetup::named("hosted").field("host", json!("llm.internal.example")))
        .model(host("by-name"))
        .model(tls("tls", "backend.test", None, json!({ "sni": "backend.test", "ca_file": ca })))
        .model(tls("tls-by-name", "localhost", Some("localhost"), json!({ "ca_file": ca })))
        .model(tls("tls-untrusted", "backend.test", None, json!({ "sni": "backend.test", "ca_file": other_ca })))
        .model(tls("tls-misnamed", "somebody-else.test", None, json!({ "sni": "backend.test", "ca_file": ca })))
        .model(ModelSetup::named("dead"))
        .model(ModelSetup::named("silent").field("idle_timeout", json!("300ms")))
        .model(ModelSetup::named("plain"))
        .field(
            "passthrough",
            json!([{ "path": "/v1/audio/", "model": "prefixed" }, { "path": "/custom", "model": "plain" }]),
        )
        .start()
        .await?;
    stack.fake("dead").unwrap().kill().await;
    Ok(stack)
}

async fn a_path_prefix(stack: Arc<Stack>) {
    let call = Call::post("/v1/chat/completions?v1=/v1/x", chat("prefixed", "x").to_string());
    let (reply, seen) = through(&stack, call).await;
    assert_eq!(seen.target, "/deep/open-ai/chat/completions?v1=/v1/x");
    assert_eq!(served_by(&reply), "prefixed");
}

async fn no_path_prefix(stack: Arc<Stack>) {
    let (reply, seen) = through(&stack, Call::chat(&chat("rooted", "x"))).await;
    assert_eq!((seen.target.as_str(), reply.status), ("/chat/completions", 200));
}

async fn a_host_rewrite(stack: Arc<Stack>) {
    let (_, seen) = through(&stack, Call::chat(&chat("hosted", "x"))).await;
    assert_eq!(seen.header("host"), Some("llm.internal.example"));
    let (_, seen) = through(&stack, Call::chat(&chat("plain", "x"))).await;
    assert_eq!(seen.header("host"), Some(stack.address().to_string().as_str()));
}

async fn a_host_name(stack: Arc<Stack>) {
    let (reply, seen) = through(&stack, Call::chat(&chat("by-name", "x"))).await;
    assert_eq!(served_by(&reply), "by-name");
    assert!(seen.header("host").is_some_and(|host| host.starts_with("localhost")), "{:?}", seen.headers);
    assert_eq!(reply.header("x-semantic-destination-endpoint"), Some("by-name"));
    assert_eq!(seen.header("x-semantic-destination-endpoint"), Some("by-name"));
}

async fn tls_with_a_name_and_an_authority(stack: Arc<Stack>) {
    let (reply, seen) = through(&stack, Call::chat(&chat("tls", "x"))).await;
    assert_eq!((served_by(&reply).as_str(), seen.sni.as_deref()), ("tls", Some("backend.test")));
}

async fn tls_to_a_host_name(stack: Arc<Stack>) {
    let (reply, seen) = through(&stack, Call::chat(&chat("tls-by-name", "x"))).await;
    assert_eq!((served_by(&reply).as_str(), seen.sni.as_deref()), ("tls-by-name", Some("localhost")));
}

async fn unavailable(stack: &Stack, model: &str) {
    let reply = stack.chat(&chat(model, "x")).await.unwrap();
    assert_error(&reply, 503, "upstream_unavailable");
    assert_eq!(reply.header("x-selected-model"), Some(model));
    assert!(stack.fake(model).unwrap().requests().is_empty());
}

async fn an_untrusted_certificate_is_503(stack: Arc<Stack>) {
    unavailable(&stack, "tls-untrusted").await;
}

async fn another_name_in_the_certificate_is_503(stack: Arc<Stack>) {
    unavailable(&stack, "tls-misnamed").await;
}

async fn a_dead_backend_is_503(stack: Arc<Stack>) {
    unavailable(&stack, "dead").await;
}

async fn a_backend_that_hangs_up_is_503(stack: Arc<Stack>) {
    let reply = stack.chat(&behaving("plain", &Behaviour { reset: true, ..Behaviour::default() })).await.unwrap();
    assert_error(&reply, 503, "upstream_unavailable");
}

async fn a_silent_backend_is_504(stack: Arc<Stack>) {
    let behaviour = Behaviour { header_gate: Some("never".to_owned()), ..Behaviour::default() };
    let reply = stack.chat(&behaving("silent", &behaviour)).await.unwrap();
    assert_error(&reply, 504, "upstream_timeout");
}

async fn a_passthrough_path_goes_unread(stack: Arc<Stack>) {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let call = Call::post("/v1/audio/transcriptions?x=1", bytes.clone())
        .header("content-type", "multipart/form-data; boundary=b");
    let (reply, seen) = through(&stack, call).await;
    assert_eq!((reply.status, reply.json()["served_by"].as_str()), (200, Some("prefixed")));
    assert_eq!(seen.target, "/deep/open-ai/audio/transcriptions?x=1");
    assert!(seen.body == bytes);
    let (_, seen) = through(&stack, Call::new(Method::GET, "/custom")).await;
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/custom"));
    assert_eq!(seen.header("x-selected-model"), Some("plain"));
    for path in ["/customx", "/custom/x", "/v1/audio"] {
        assert_error(&stack.send(Call::get(path)).await.unwrap(), 404, "not_found");
    }
}
