//! The real program: its ready file, its signals, and what a SIGKILL in the midst of saving leaves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(dead_code, reason = "the support module serves several tests")]

mod support;

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use fingerpost_proto::state as wire;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{OWNER, item, response, response_id};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc,
};
use wire::{load_conversation_request::From, state_client::StateClient};

fn configuration(folder: &Path) {
    let text = "default_model: m\nmodels: [{ name: m, endpoints: [{ name: e, address: 127.0.0.1:9 }] }]\n\
        response_api: { store_backend: embedded, path: kept.redb }\n";
    std::fs::write(folder.join("fingerpost.yaml"), text).unwrap();
}

/// Ends with the test, whatever becomes of it.
async fn start(folder: &Path) -> (Child, String) {
    let ready = folder.join("ready.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fingerpost-state"));
    command.arg("serve").arg("--config").arg(folder.join("fingerpost.yaml")).args(["--listen", "127.0.0.1:0"]);
    command.arg("--ready-file").arg(&ready).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the service ended before it was ready");
        if line.contains("ready") {
            break;
        }
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let bound: serde_json::Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    (child, format!("http://{}", bound["state"].as_str().unwrap()))
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), signal).unwrap();
}

fn save(conversation: u64, node: u64) -> wire::SaveResponseRequest {
    wire::SaveResponseRequest {
        owner: OWNER.to_owned(),
        response_id: response_id(conversation, node),
        previous_response_id: if node > 0 { response_id(conversation, node - 1) } else { String::new() },
        response: response(conversation, node).into_bytes(),
        input_items: vec![item(conversation, node, 0).into_bytes()],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    const WORKERS: u64 = 16;
    let folder = tempfile::tempdir().unwrap();
    configuration(folder.path());
    let (mut child, url) = start(folder.path()).await;
    let acknowledged = Arc::new(Mutex::new(vec![None; WORKERS as usize]));
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let (url, acknowledged, tell) = (url.clone(), acknowledged.clone(), tell.clone());
        tasks.spawn(async move {
            let mut client = StateClient::connect(url).await.unwrap();
            for node in 0.. {
                match client.save_response(save(worker, node)).await {
                    Ok(answer) => assert_eq!(answer.into_inner().failure, None),
                    Err(_) => return,
                }
                acknowledged.lock().unwrap()[worker as usize] = Some(node);
                tell.send(()).ok();
            }
        });
    }
    for _ in 0..300 {
        told.recv().await.unwrap();
    }
    signal(&child, Signal::SIGKILL);
    child.wait().await.unwrap();
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let (_child, url) = start(folder.path()).await;
    let mut client = StateClient::connect(url).await.unwrap();
    let acknowledged = acknowledged.lock().unwrap().clone();
    let mut sum = 0;
    for (worker, last) in (0..).zip(acknowledged) {
        let Some(last) = last else { continue };
        let from = Some(From::PreviousResponseId(response_id(worker, last)));
        let request = wire::LoadConversationRequest { owner: OWNER.to_owned(), from, ..Default::default() };
        let loaded = client.load_conversation(request).await.unwrap().into_inner();
        assert_eq!(loaded.failure, None);
        let ids: Vec<String> = loaded.turns.into_iter().map(|turn| turn.response_id).collect();
        assert_eq!(ids, (0..=last).map(|node| response_id(worker, node)).collect::<Vec<_>>());
        sum += ids.len();
    }
    assert!(sum >= 300, "{sum}");
}

#[tokio::test]
async fn a_terminate_drains_and_a_restart_finds_everything() {
    let folder = tempfile::tempdir().unwrap();
    configuration(folder.path());
    let (mut child, url) = start(folder.path()).await;
    let mut client = StateClient::connect(url).await.unwrap();
    assert_eq!(client.save_response(save(1, 0)).await.unwrap().into_inner().failure, None);
    signal(&child, Signal::SIGTERM);
    assert!(child.wait().await.unwrap().success());
    assert!(folder.path().join("kept.redb").exists(), "the path begins at the configuration's folder");
    let (mut child, url) = start(folder.path()).await;
    let answer = reqwest::Client::new()
        .get(format!("{url}/v1/responses/{}", response_id(1, 0)))
        .header("x-fingerpost-owner", OWNER)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), response(1, 0));
    signal(&child, Signal::SIGINT);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn off_loopback_it_does_not_start_unguarded() {
    let folder = tempfile::tempdir().unwrap();
    configuration(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_fingerpost-state"));
    command.arg("serve").arg("--config").arg(folder.path().join("fingerpost.yaml")).args(["--listen", "0.0.0.0:0"]);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("callouts.state.token"), "{text}");
}

#[tokio::test]
async fn the_management_api_is_served_beside_and_without_a_classifier() {
    let folder = tempfile::tempdir().unwrap();
    configuration(folder.path());
    let file = folder.path().join("fingerpost.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}management: {{ listen: '127.0.0.1:0', token: {{ file: token }} }}\n"))
        .unwrap();
    std::fs::write(folder.path().join("token"), "s3cret\n").unwrap();
    let (mut child, state) = start(folder.path()).await;
    let bound: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("ready.json")).unwrap()).unwrap();
    let management = format!("http://{}", bound["management"].as_str().unwrap());
    let http = reqwest::Client::new();
    let health: serde_json::Value =
        http.get(format!("{management}/health")).send().await.unwrap().json().await.unwrap();
    // Whether a classifier runs on this machine, where the configuration looks for one, is not this test's.
    assert!(["healthy", "degraded"].contains(&health["status"].as_str().unwrap()), "{health}");
    for (path, token, status) in [("/info/models", "wrong", 401), ("/openapi.json", "", 200), ("/docs", "", 200)] {
        let answer = http.get(format!("{management}{path}")).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    assert_eq!(http.get(format!("{state}/health")).send().await.unwrap().status(), 200);
    signal(&child, Signal::SIGTERM);
    assert!(child.wait().await.unwrap().success());
}
