//! Rendered bootstraps, whole: a change of what Envoy is told shows up in review.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path, process::Command};

use fingerpost::{
    document, environment,
    render::{Format, envoy, to_text},
};
use serde_json::Value;

fn bootstrap(config: &str) -> Value {
    let options = envoy::Options {
        wasm: "/opt/fingerpost/fingerpost_filter.wasm".into(),
        system_ca: "/etc/ssl/certs/ca-certificates.crt".into(),
        base: "/etc/fingerpost".into(),
    };
    bootstrap_with(config, &options)
}

fn bootstrap_with(config: &str, options: &envoy::Options) -> Value {
    let config = document::parse(Path::new("fingerpost.yaml"), config).unwrap();
    envoy::bootstrap(&config, options).unwrap()
}

fn yaml(config: &str) -> String {
    to_text(&bootstrap(config), Format::Yaml).unwrap()
}

const MINIMAL: &str = "
default_model: general
models:
  - name: general
    endpoints: [{address: 127.0.0.1:9103}]
";

#[test]
fn minimal() {
    insta::assert_snapshot!(yaml(MINIMAL));
}

const WEIGHTS: &str = "
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
";

#[test]
fn addresses_with_weights() {
    insta::assert_snapshot!(yaml(WEIGHTS));
}

const NAMES: &str = "
default_model: hosted
models:
  - name: hosted
    endpoints: [{address: 'a.example.com:443'}, {address: 'b.example.com:443', weight: 2}]
    tls: {}
  - name: private
    endpoints: [{address: 10.0.0.1:8443}]
    tls: {sni: llm.internal, ca_file: certs/ca.pem}
    path_prefix: ''
";

#[test]
fn host_names_with_tls() {
    insta::assert_snapshot!(yaml(NAMES));
}

const CREDENTIALS: &str = "
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
";

#[test]
fn credentials() {
    insta::assert_snapshot!(yaml(CREDENTIALS));
}

#[test]
fn responses() {
    insta::assert_snapshot!(yaml(RESPONSES));
}

const RESPONSES: &str = "
default_model: native
callouts:
  state: {address: 'state.internal:50052', token: {env: FINGERPOST_STATE_TOKEN}, tls: {ca_file: certs/ca.pem}}
owner: {header: x-tenant}
id_keys: [{env: FINGERPOST_ID_KEY}, {file: secrets/old-key}, {env: FINGERPOST_ID_KEY}]
models:
  - name: native
    api: responses
    state_pool: shared
    endpoints: [{name: a, address: 10.0.0.1:8000, weight: 3}, {name: b, address: 10.0.0.2:8000}]
    path_prefix: /openai/v1
    auth: {bearer_env: NATIVE_KEY}
  - name: hosted
    api: responses
    endpoints: [{address: 'api.example.com:443'}]
    tls: {}
  - name: replayed
    api: responses
    memory: true
    endpoints: [{address: 10.0.0.3:8000}]
  - name: chat
    endpoints: [{address: 10.0.0.4:8000}]
";

#[test]
fn without_the_responses_api_there_is_nothing_of_it() {
    let text = yaml(
        "
response_api: {enabled: false}
default_model: native
models:
  - name: native
    api: responses
    endpoints: [{name: a, address: 10.0.0.1:8000}, {name: b, address: 10.0.0.2:8000}]
",
    );
    let document: Value = serde_saphyr::from_str(&text).unwrap();
    let clusters = document["static_resources"]["clusters"].as_array().unwrap();
    let clusters: Vec<&str> = clusters.iter().map(|cluster| cluster["name"].as_str().unwrap()).collect();
    assert_eq!(clusters, ["model_native", "fingerpost_classifier"]);
    let routes = document.pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config");
    let routes = routes.unwrap()["virtual_hosts"][0]["routes"].as_array().unwrap();
    let routes: Vec<&str> = routes.iter().map(|route| route["name"].as_str().unwrap()).collect();
    assert_eq!(routes, ["model_native", "unrouted"]);
}

// A module that does nothing: exports `memory`, `malloc` and the marker of the ABI's version.
const WASM: &[u8] = b"\0asm\x01\0\0\0\x01\x09\x02\x60\0\0\x60\x01\x7f\x01\x7f\x03\x03\x02\0\x01\x05\x03\x01\0\x01\
    \x07\x2d\x03\x06memory\x02\0\x17proxy_abi_version_0_2_1\0\0\x06malloc\0\x01\x0a\x09\x02\x02\0\x0b\x04\0\x41\0\x0b";

#[test]
fn envoy_takes_what_is_rendered() {
    let Ok(found) = fingerpost::up::Envoy::find(None) else {
        eprintln!("skipped: no Envoy here; `make setup` installs one");
        return;
    };
    let fingerpost::up::Envoy::Program(program) = found else {
        eprintln!("skipped: func-e cannot be asked without the network; put Envoy itself on PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["secrets", "certs"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("secrets/token"), "sk-file").unwrap();
    fs::write(at("filter.wasm"), WASM).unwrap();
    fs::copy(environment::system_ca(), at("certs/ca.pem")).unwrap();
    let options = envoy::Options { wasm: at("filter.wasm"), system_ca: at("certs/ca.pem"), base: folder.path().into() };
    for (name, config) in [
        ("minimal", MINIMAL),
        ("weights", WEIGHTS),
        ("names", NAMES),
        ("credentials", CREDENTIALS),
        ("responses", RESPONSES),
    ] {
        let file = at(&format!("{name}.yaml"));
        fs::write(&file, to_text(&bootstrap_with(config, &options), Format::Yaml).unwrap()).unwrap();
        let mut command = Command::new(&program);
        command.args(["--mode", "validate", "--use-dynamic-base-id", "-c"]).arg(&file);
        for variable in ["OPENAI_API_KEY", "NATIVE_KEY", "FINGERPOST_STATE_TOKEN", "FINGERPOST_ID_KEY"] {
            command.env(variable, "a secret of enough bytes");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
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
    fs::write(&token, "sk-very-secret\n").unwrap();
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
    let expected =
        ["model_a_b.0", "model_a_b.1", "model_a_b.2", "model_a-b", "fingerpost_classifier", "fingerpost_state"];
    assert_eq!(names(&document), expected);
}
