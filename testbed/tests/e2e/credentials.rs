//! Credentials: each backend gets its own and no other, and secrets stand nowhere else.

use std::sync::{Arc, LazyLock};

use fingerpost_testbed::{
    client::Call,
    harness::{Classifier, ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    common::{chat, through},
    suite,
};

const ENV_SECRET: &str = "sk-secret-from-environment-81723";
const FILE_SECRET: &str = "sk-secret-from-file-99231";
const CLIENT_SECRET: &str = "sk-secret-of-the-client-55512";

pub(crate) fn suite() -> Suite {
    suite!(
        "credentials",
        boot,
        [
            the_clients_own_reaches_no_backend,
            the_clients_own_is_passed_through_where_asked,
            a_token_from_the_environment,
            a_token_from_a_file,
            auto_brings_the_chosen_models_token,
            passthrough_paths_bring_their_models_token,
            secrets_stand_nowhere_else,
        ]
    )
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

async fn boot() -> Result<Stack, StackError> {
    let file = FOLDER.path().join("token");
    std::fs::write(&file, format!("{FILE_SECRET}\n")).unwrap();
    Stack::builder()
        .model(ModelSetup::named("closed"))
        .model(ModelSetup::named("open").field("auth", json!("passthrough")))
        .model(ModelSetup::named("by-env").field("auth", json!({ "bearer_env": "FINGERPOST_TEST_TOKEN" })))
        .model(ModelSetup::named("by-file").field("auth", json!({ "bearer_file": file })))
        .decision("category == 'math'", "by-env")
        .field("passthrough", json!([{ "path": "/v1/audio/", "model": "by-file" }]))
        .env("FINGERPOST_TEST_TOKEN", ENV_SECRET)
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.9)))
        .start()
        .await
}

/// The `Authorization` values that the backend got for a client that sends its own.
async fn received(stack: &Stack, call: Call) -> Vec<String> {
    let (reply, seen) = through(stack, call.header("authorization", format!("Bearer {CLIENT_SECRET}"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let values = seen.headers.iter().filter(|(name, _)| name == "authorization");
    values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

async fn the_clients_own_reaches_no_backend(stack: Arc<Stack>) {
    assert_eq!(received(&stack, Call::chat(&chat("closed", "x"))).await, Vec::<String>::new());
}

async fn the_clients_own_is_passed_through_where_asked(stack: Arc<Stack>) {
    assert_eq!(received(&stack, Call::chat(&chat("open", "x"))).await, [format!("Bearer {CLIENT_SECRET}")]);
}

async fn a_token_from_the_environment(stack: Arc<Stack>) {
    assert_eq!(received(&stack, Call::chat(&chat("by-env", "x"))).await, [format!("Bearer {ENV_SECRET}")]);
    let (_, seen) = through(&stack, Call::chat(&chat("by-env", "without the client's own"))).await;
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {ENV_SECRET}").as_str()));
}

async fn a_token_from_a_file(stack: Arc<Stack>) {
    assert_eq!(received(&stack, Call::chat(&chat("by-file", "x"))).await, [format!("Bearer {FILE_SECRET}")]);
}

async fn auto_brings_the_chosen_models_token(stack: Arc<Stack>) {
    assert_eq!(received(&stack, Call::chat(&chat("auto", "2+2"))).await, [format!("Bearer {ENV_SECRET}")]);
    let calls = stack.stub().unwrap().calls();
    assert!(!format!("{calls:?}").contains("sk-secret"), "the classifier got a secret");
}

async fn passthrough_paths_bring_their_models_token(stack: Arc<Stack>) {
    assert_eq!(received(&stack, Call::post("/v1/audio/speech", "x")).await, [format!("Bearer {FILE_SECRET}")]);
}

async fn secrets_stand_nowhere_else(stack: Arc<Stack>) {
    for model in ["closed", "open", "by-env", "by-file", "auto"] {
        received(&stack, Call::chat(&chat(model, "x"))).await;
    }
    let mut places = vec![
        ("the rendered file", std::fs::read_to_string(stack.envoy().bootstrap()).unwrap()),
        ("the logs", stack.logs()),
    ];
    for target in
        ["/config_dump", "/config_dump?include_eds", "/stats", "/clusters", "/server_info", "/certs", "/listeners"]
    {
        places.push((target, stack.envoy().ask(target).await.unwrap().text()));
    }
    for (place, text) in places {
        for secret in [ENV_SECRET, FILE_SECRET, CLIENT_SECRET] {
            assert!(!text.contains(secret), "{secret} stands in {place}");
        }
    }
    // Nor does a token of one model reach another's backend.
    for (backend, own) in [("closed", ""), ("open", CLIENT_SECRET), ("by-env", ENV_SECRET), ("by-file", FILE_SECRET)] {
        let text = stack.fake(backend).unwrap().requests_json().to_string();
        for secret in [ENV_SECRET, FILE_SECRET, CLIENT_SECRET].into_iter().filter(|secret| *secret != own) {
            assert!(!text.contains(secret), "{secret} reached {backend}");
        }
    }
}
