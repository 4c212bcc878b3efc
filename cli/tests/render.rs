//! Rendered bootstraps, whole: a change of what Envoy is told shows up in review.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use fingerpost::{
    document,
    render::{Format, envoy, to_text},
};
use serde_json::Value;

fn bootstrap(config: &str) -> Value {
    let options = envoy::Options {
        wasm: "/opt/fingerpost/fingerpost_filter.wasm".into(),
        system_ca: "/etc/ssl/certs/ca-certificates.crt".into(),
        base: "/etc/fingerpost".into(),
    };
    let config = document::parse(Path::new("fingerpost.yaml"), config).unwrap();
    envoy::bootstrap(&config, &options).unwrap()
}

fn yaml(config: &str) -> String {
    to_text(&bootstrap(config), Format::Yaml).unwrap()
}

#[test]
fn minimal() {
    insta::assert_snapshot!(yaml(
        "
default_model: general
models:
  - name: general
    endpoints: [{address: 127.0.0.1:9103}]
"
    ));
}

#[test]
fn addresses_with_weights() {
    insta::assert_snapshot!(yaml(
        "
listen: {data: '0.0.0.0:80', admin: '[::1]:9901'}
default_model: pool/one
limits: {max_body: 64MiB}
callouts: {classifier: {address: 'classifier.internal:50051', timeout: 500ms}}
models:
  - name: pool/one
    endpoints:
      - {name: a, address: 10.0.0.1:8000, weight: 3}
      - {name: b, address: '[fd00::2]:8000'}
      - {name: c, address: 10.0.0.3:8000}
    path_prefix: /openai/v1
    host: models.internal
    connect_timeout: 250ms
    idle_timeout: 10m
    retry: {attempts: 5, on: connect}
  - name: pool.one
    endpoints: [{address: 10.0.0.9:8000}, {address: 10.0.0.10:8000}]
    retry: {on: never}
"
    ));
}

#[test]
fn host_names_with_tls() {
    insta::assert_snapshot!(yaml(
        "
default_model: hosted
models:
  - name: hosted
    endpoints: [{address: 'a.example.com:443'}, {address: 'b.example.com:443', weight: 2}]
    tls: {}
  - name: private
    endpoints: [{address: 10.0.0.1:8443}]
    tls: {sni: llm.internal, ca_file: certs/ca.pem}
    path_prefix: ''
"
    ));
}

#[test]
fn credentials() {
    insta::assert_snapshot!(yaml(
        "
default_model: from-env
models:
  - name: from-env
    endpoints: [{address: 10.0.0.1:8000}]
    auth: {bearer_env: OPENAI_API_KEY}
  - name: from-file
    endpoints: [{address: 10.0.0.2:8000}]
    auth: {bearer_file: secrets/token}
  - name: from-client
    endpoints: [{address: 10.0.0.3:8000}]
    auth: passthrough
passthrough:
  - {path: /v1/audio/, model: from-client}
"
    ));
}

#[test]
fn the_same_configuration_gives_the_same_bytes_and_one_meaning_in_both_formats() {
    let config = "
default_model: 'on'
models:
  - {name: 'on', endpoints: [{name: '0x10', address: '1.2.3.4:80'}]}
  - {name: '1e3', endpoints: [{name: '1:30', address: '1.2.3.4:80'}]}
  - {name: '~', endpoints: [{name: '=', address: '1.2.3.4:80'}]}
";
    assert_eq!(yaml(config), yaml(config));
    let json = to_text(&bootstrap(config), Format::Json).unwrap();
    let from_yaml: Value = serde_saphyr::from_str(&yaml(config)).unwrap();
    assert_eq!(from_yaml, serde_json::from_str::<Value>(&json).unwrap());
}

#[test]
fn no_secret_is_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "sk-very-secret\n").unwrap();
    let config = format!(
        "
default_model: m
models:
  - name: m
    endpoints: [{{address: 10.0.0.1:8000}}]
    auth: {{bearer_file: '{}'}}
  - name: home
    endpoints: [{{address: 10.0.0.1:8000}}]
    auth: {{bearer_env: PATH}}
",
        token.display()
    );
    let text = yaml(&config);
    assert!(text.contains(token.to_str().unwrap()) && text.contains("environment_variable: PATH"));
    assert!(!text.contains("sk-very-secret") && !text.contains(&std::env::var("PATH").unwrap()));
}

#[test]
fn names_that_become_alike_stay_apart() {
    let names = |document: &Value| -> Vec<String> {
        let clusters = document["static_resources"]["clusters"].as_array().unwrap();
        clusters.iter().map(|cluster| cluster["name"].as_str().unwrap().to_owned()).collect()
    };
    let document = bootstrap(
        "
default_model: a/b
models:
  - {name: a/b, endpoints: [{address: '1.2.3.4:80'}]}
  - {name: a.b, endpoints: [{address: '1.2.3.4:80'}]}
  - {name: a_b, endpoints: [{address: '1.2.3.4:80'}]}
  - {name: a-b, endpoints: [{address: '1.2.3.4:80'}]}
",
    );
    let expected = ["model_a_b.0", "model_a_b.1", "model_a_b.2", "model_a-b", "fingerpost_classifier"];
    assert_eq!(names(&document), expected);
}
