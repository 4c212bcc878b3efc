//! What `check` says of configurations that are wrong, line by line, and of the machine it runs on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{path::Path, process::Command};

use fingerpost::document;

const GOOD: &str = "\
default_model: general
models:
  - name: general
    endpoints: [{address: 127.0.0.1:9103}]
  - name: math
    endpoints:
      - {name: m1, address: 127.0.0.1:9101, weight: 2}
      - {name: m2, address: 127.0.0.1:9102}
decisions:
  - name: maths
    when: category == \"math\"
    model: math
";

/// The faults of the good configuration after one change.
fn faults(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let text = GOOD.replacen(from, to, 1);
    document::parse(Path::new("f.yaml"), &text).expect_err(to).to_string()
}

#[test]
fn every_fault_is_told_with_its_place_and_its_fix() {
    for (from, to, expected) in [
        (
            "name: m2",
            "nane: m2",
            "f.yaml:8:10: models[1].endpoints[1].nane: unknown field `nane`, expected one of name, address, weight",
        ),
        (
            "model: math",
            "model: meth",
            "f.yaml:12:5: decisions[0].model: no model is named `meth`; did you mean `math`?",
        ),
        (
            "category ==",
            "catgory ==",
            "f.yaml:11:5: decisions[0].when: rule `maths`: unknown variable `catgory` at column 1; did you mean `category`?",
        ),
        (
            "127.0.0.1:9102",
            "127.0.0.1:9101",
            "f.yaml:8:20: models[1].endpoints[1].address: duplicate endpoint `127.0.0.1:9101`; remove it, or give the first one a higher `weight`",
        ),
        (
            "name: m2",
            "name: m1",
            "f.yaml:8:10: models[1].endpoints[1].name: duplicate endpoint name `m1`; choose another",
        ),
        (
            "models:\n",
            "default_model: math\nmodels:\n",
            "f.yaml:2:1: duplicate mapping key `default_model` is not allowed here",
        ),
        ("weight: 2", "weight: two", "f.yaml:7:53: models[1].endpoints[0].weight: must be a whole number"),
        (
            "weight: 2",
            "weight: 0",
            "f.yaml:7:45: models[1].endpoints[0].weight: `0` is not 1 to 1000; to take an endpoint out of service, remove it",
        ),
        (
            "127.0.0.1:9102",
            "http://a/",
            "f.yaml:8:29: models[1].endpoints[1].address: `http://a/` is not an endpoint: write `ip:port`, `[ipv6]:port` or `host:port`, with no scheme or path",
        ),
        ("default_model: general\n", "", "f.yaml: missing field `default_model`"),
        (
            "{name: m2, address: 127.0.0.1:9102}",
            "{name: m2}",
            "f.yaml:8:9: models[1].endpoints[1]: missing field `address`",
        ),
        (
            "default_model: general",
            "default_model: other",
            "f.yaml:1:1: default_model: no model is named `other`; did you mean `math`?",
        ),
        (
            "name: math",
            "name: general",
            "f.yaml:5:5: models[1].name: `general` is taken by another model, alias or `auto_model`; choose another\nf.yaml:12:5: decisions[0].model: no model is named `math`; did you mean `general`?",
        ),
        (
            "endpoints: [{",
            "auth: {bearer_envv: X}\n    endpoints: [{",
            "f.yaml:4:12: models[0].auth: unknown variant `bearer_envv`, expected one of none, passthrough, bearer_env, bearer_file",
        ),
        (
            "endpoints: [{",
            "auth: {bearer_env: sk-1234}\n    endpoints: [{",
            "f.yaml:4:12: models[0].auth.bearer_env: is not the name of an environment variable (letters, digits, `_`); never put the token itself here",
        ),
        (
            "endpoints: [{",
            "tls: {}\n    endpoints: [{",
            "f.yaml:4:5: models[0].tls.sni: is needed to verify the certificate of `127.0.0.1:9103`, an address without a name",
        ),
        (
            "endpoints: [{",
            "idle_timeout: 15\n    endpoints: [{",
            "f.yaml:4:19: models[0].idle_timeout: `15` is not a duration: write a whole number with a unit, `300ms`, `5s` or `2m`",
        ),
        (
            "endpoints: [{",
            "api: responses\n    endpoints: [{",
            "f.yaml: id_keys: is empty, but the ids of conversations that backends keep are signed: make a secret with `openssl rand -hex 32`, export it as FINGERPOST_ID_KEY and write `id_keys: [{ env: FINGERPOST_ID_KEY }]`",
        ),
        (
            "models:\n",
            "callouts: {state: {address: 'state:50052'}}\nmodels:\n",
            "f.yaml:2:20: callouts.state.address: `state:50052` is not on loopback, and whoever reaches the state service can read every conversation: set `callouts.state.token` or `callouts.state.tls`",
        ),
        ("endpoints: [{", "endpoints: [[{", "f.yaml:5:3: models[0].endpoints: \"-\" is only valid inside a block"),
    ] {
        assert_eq!(faults(from, to), expected, "{to}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = GOOD.replace("category ==", "catgory ==").replace("model: math", "model: meth");
    let faults = document::parse(Path::new("f.yaml"), &text).unwrap_err().to_string();
    assert_eq!(faults.lines().count(), 2, "{faults}");
}

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

fn check(config: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f.yaml"), config).unwrap();
    std::fs::write(folder.path().join("padded"), " token\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fingerpost"));
    command.current_dir(folder.path()).args(["check", "f.yaml"]).env_remove("FINGERPOST_TEST_TOKEN");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(folder.path().to_str().unwrap(), "DIR");
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_good_file_is_one_line() {
    let run = check(GOOD);
    assert_eq!(
        (run.code, run.out.as_str(), run.err.as_str()),
        (Some(0), "f.yaml: ok: 2 models, 3 endpoints, 1 decision\n", "")
    );
}

#[test]
fn a_bad_file_is_exit_code_1() {
    let run = check(&GOOD.replace("model: math", "model: meth"));
    assert_eq!(run.code, Some(1));
    assert_eq!(run.err, "f.yaml:12:5: decisions[0].model: no model is named `meth`; did you mean `math`?\n");
}

#[test]
fn what_the_machine_lacks_is_a_warning() {
    let config = GOOD.replacen("    endpoints", "    auth: {bearer_env: FINGERPOST_TEST_TOKEN}\n    endpoints", 1);
    let config = config.replacen("name: math\n", "name: math\n    auth: {bearer_file: token}\n", 1);
    let config = format!("{config}id_keys: [{{env: FINGERPOST_TEST_TOKEN}}, {{file: key}}]\n");
    let config =
        format!("{config}callouts: {{state: {{token: {{file: padded}}, tls: {{sni: s, ca_file: ca.pem}}}}}}\n");
    let run = check(&config);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let expected = "\
warning: model `general`: the environment variable `FINGERPOST_TEST_TOKEN` (auth.bearer_env) is not set; export it before Envoy starts
warning: model `math`: the file DIR/token (auth.bearer_file) cannot be read: No such file or directory (os error 2)
warning: the file DIR/padded (callouts.state.token.file) is a token with white space around it; remove that
warning: the file DIR/ca.pem (callouts.state.tls.ca_file) cannot be read: No such file or directory (os error 2)
warning: the environment variable `FINGERPOST_TEST_TOKEN` (id_keys[0].env) is not set; export it before Envoy starts
warning: the file DIR/key (id_keys[1].file) cannot be read: No such file or directory (os error 2)
";
    assert_eq!(run.err, expected);
}
