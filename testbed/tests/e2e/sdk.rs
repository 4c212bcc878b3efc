//! The official OpenAI SDKs, the Agents SDK, LangChain, the AI SDK and the clients of `clients/` against the real stack, as subprocesses with the base URL in their environment.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use fingerpost_testbed::{
    harness::{Classifier, ModelSetup, Stack, StackError, StubBehaviour, places},
    suite::Suite,
};
use serde_json::json;
use tokio::{process::Command, time::timeout};

use crate::{responses_native::native, suite};

pub(crate) fn suite() -> Suite {
    suite!(
        "sdk",
        boot,
        [python, python_responses, python_agents, python_client, javascript, javascript_responses, typescript_client]
    )
}

async fn boot() -> Result<Stack, StackError> {
    Stack::builder()
        .model(ModelSetup::named("math-expert"))
        .model(native("keeper", "k"))
        .model(ModelSetup::named("general").field("aliases", json!(["gpt-3.5-turbo"])))
        .decision("category == 'math'", "math-expert")
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.9)))
        .state(&json!({}))
        .start()
        .await
}

async fn succeeds(stack: &Stack, mut command: Command, folder: &Path) {
    command.current_dir(folder).env("OPENAI_BASE_URL", format!("http://{}/v1", stack.address()));
    command
        .env("OPENAI_API_KEY", "sk-test")
        .env_remove("OPENAI_ORG_ID")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy");
    command.env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()).kill_on_drop(true);
    let output =
        timeout(Duration::from_secs(120), command.output()).await.expect("the SDK's tests end").expect("they start");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("Ran 0 tests"), "{text}");
}

async fn run_python(stack: &Stack, module: &str) {
    let python = places::python().unwrap_or_else(|missing| panic!("{missing}"));
    let mut command = Command::new(python);
    command.args(["-m", "unittest", "-v", module]).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PYTHONPATH", places::root().join("clients/python/src"));
    succeeds(stack, command, &places::root().join("testbed/sdk/python")).await;
}

async fn python(stack: Arc<Stack>) {
    run_python(&stack, "test_openai").await;
}

async fn python_responses(stack: Arc<Stack>) {
    run_python(&stack, "test_responses").await;
}

async fn python_agents(stack: Arc<Stack>) {
    run_python(&stack, "test_agents").await;
}

async fn python_client(stack: Arc<Stack>) {
    run_python(&stack, "test_client").await;
}

async fn run_node(stack: &Stack, folder: &str, package: &str, arguments: &[&str]) {
    let folder = places::root().join(folder);
    assert!(folder.join("node_modules").join(package).exists(), "{package} is not set up: run `make setup`");
    let mut command = Command::new("node");
    command.args(arguments);
    succeeds(stack, command, &folder).await;
}

async fn run_javascript(stack: &Stack, package: &str, file: &str) {
    run_node(stack, "testbed/sdk/js", package, &["--test", file]).await;
}

async fn javascript(stack: Arc<Stack>) {
    run_javascript(&stack, "openai", "openai.test.mjs").await;
}

async fn javascript_responses(stack: Arc<Stack>) {
    run_javascript(&stack, "@ai-sdk/openai", "responses.test.mjs").await;
}

/// Compiles it first, so that what is tested is what stands there.
async fn typescript_client(stack: Arc<Stack>) {
    let compile = ["node_modules/typescript/bin/tsc", "--project", "."];
    run_node(&stack, "clients/typescript", "typescript", &compile).await;
    run_javascript(&stack, "openai", "client.test.mjs").await;
}
