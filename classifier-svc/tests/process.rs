//! The binary as an operator runs it; needs `make setup`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const BINARY: &str = env!("CARGO_BIN_EXE_fingerpost-classifier");

#[test]
fn serves_says_so_and_stops_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready.json");
    let mut child = Command::new(BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--log-format", "json"])
        .arg("--config")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("classifier.yaml"))
        .arg("--ready-file")
        .arg(&ready)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = String::new();
    let said = lines.by_ref().map(Result::unwrap).any(|line| {
        log.push_str(&line);
        line.contains("\"message\":\"ready\"")
    });
    assert!(said, "no ready line; is the encoder there (`make setup`)? {log}");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let bound: serde_json::Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    for field in ["grpc", "metrics"] {
        let address = bound[field].as_str().unwrap();
        assert!(std::net::TcpStream::connect(address).is_ok(), "{address}");
    }
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(lines.map(Result::unwrap).any(|line| line.contains("drained")));
}

#[test]
fn a_wrong_configuration_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("classifier.yaml");
    std::fs::write(&file, "encoder: {path: x}\nheads: {}\nlimits: {quue: 3}\n").unwrap();
    let output = Command::new(BINARY).arg("serve").arg("--config").arg(&file).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(log.contains("classifier.yaml") && log.contains("quue"), "{log}");
}
