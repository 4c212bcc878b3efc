//! A real llama.cpp server (Gemma 3 270M): once asked for chat completions, once for responses, which its own API serves without
//! keeping them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use fingerpost_testbed::{
    harness::{ModelSetup, Process, Program, Stack, StackError, places},
    suite::Suite,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    responses_common::{answered, ask, create, events, follow, get, id, last, text, with},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!("responses_llama", boot, [serves_chat_and_responses])
}

/// Loading the weights takes seconds, and the first time they are put together from their pieces.
const PATIENCE: Duration = Duration::from_secs(120);

async fn boot() -> Result<Stack, StackError> {
    let model = |name: &str| ModelSetup::named(name).field("upstream_name", json!("general"));
    Stack::builder()
        .model(model("native").field("api", json!("responses")))
        .model(model("replayed").field("api", json!("responses")).field("memory", json!(true)))
        .model(model("chat"))
        .state(&json!({ "store_backend": "memory" }))
        .start()
        .await
}

async fn llama() -> (Process, SocketAddr) {
    // It cannot tell which port it took.
    let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let script: PathBuf = places::root().join("testbed/demo/gemma.py");
    let args = vec![script.into(), "--port".into(), address.port().to_string().into(), "--threads".into(), "2".into()];
    let path = places::python().unwrap_or_else(|missing| panic!("{missing}"));
    let mut process = Process::start(Program { name: "llama.cpp", path, args, env: Vec::new() }).unwrap();
    process.says("gemma: listening", PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    (process, address)
}

const QUESTION: &str = "What is the capital of France?";

/// One that always gives the same answer, soon.
fn plain(request: Value) -> Value {
    with(request, json!({ "temperature": 0, "max_output_tokens": 16 }))
}

/// Two turns kept here: the second has the first in its prompt.
async fn remembers(to: SocketAddr, model: &str) {
    let first = answered(to, create(&plain(ask(model, QUESTION)))).await;
    assert!(text(&first).contains("Paris"), "{first}");
    assert_eq!(answered(to, get(id(&first))).await, first);
    let second = plain(with(follow(model, &first, "And of Italy?"), json!({ "stream": true })));
    let all = events(&create(&second).send(to).await.unwrap(), 0, true);
    let (kind, second) = last(&all);
    assert!(["response.completed", "response.incomplete"].contains(&kind), "{second}");
    let tokens = |response: &Value| response["usage"]["input_tokens"].as_u64().unwrap_or_else(|| panic!("{response}"));
    assert!(tokens(second) > tokens(&first) + 8, "{second}");
}

async fn serves_chat_and_responses(stack: Arc<Stack>) {
    let (_llama, address) = llama().await;
    let envoy = stack.envoy_anew(|document| {
        for model in document["models"].as_array_mut().expect("models") {
            model["endpoints"][0]["address"] = address.to_string().into();
        }
    });
    let envoy = envoy.await.unwrap();
    remembers(envoy.data, "chat").await;
    remembers(envoy.data, "replayed").await;
    let native = plain(ask("native", QUESTION));
    let response = answered(envoy.data, create(&native)).await;
    assert!(text(&response).contains("Paris"), "{response}");
    assert_eq!(response["model"], "native");
    assert!(id(&response).starts_with("resp_"), "{response}");
    let stream = create(&with(native, json!({ "stream": true }))).send(envoy.data).await.unwrap().text();
    assert!(
        stream.contains("event: response.output_text.delta") && stream.contains("\"model\":\"native\""),
        "{stream}"
    );
    // It keeps nothing, and says so itself.
    let reply = create(&plain(follow("native", &response, "x"))).send(envoy.data).await.unwrap();
    assert!(reply.status == 400 && reply.text().contains("previous_response_id"), "{} {}", reply.status, reply.text());
    assert_eq!(get(id(&response)).send(envoy.data).await.unwrap().status, 404);
}
