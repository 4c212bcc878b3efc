//! `up` as a process, with shell scripts in the place of Envoy, the classifier and the state service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const STATE: &str = r#"#!/bin/sh
echo "args $*"
while [ $# -gt 0 ]; do [ "$1" = --ready-file ] && ready=$2; shift; done
echo '{}' > "$ready"
exec sleep 1000
"#;

const CLASSIFIER: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --ready-file ] && ready=$2; shift; done
echo "classifier $$ began"
echo '{}' > "$ready"
exec sleep 1000
"#;

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Stack {
    folder: tempfile::TempDir,
    data: u16,
    admin: u16,
}

impl Stack {
    fn new(envoy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        script(&folder.path().join("classifier"), CLASSIFIER);
        script(&folder.path().join("state"), STATE);
        script(&folder.path().join("my-envoy"), envoy);
        for file in ["classifier.yaml", "filter.wasm"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        fs::write(folder.path().join("token"), "sk-very-secret\n").unwrap();
        fs::write(folder.path().join("key"), "0123456789abcdef\n").unwrap();
        let stack = Self { folder, data: free_port(), admin: free_port() };
        let config = format!(
            "
listen: {{data: '127.0.0.1:{}', admin: '127.0.0.1:{}'}}
default_model: m
id_keys: [{{file: key}}]
models:
  - name: m
    endpoints: [{{address: 127.0.0.1:9}}]
    auth: {{bearer_file: token}}
",
            stack.data, stack.admin
        );
        fs::write(stack.folder.path().join("f.yaml"), config).unwrap();
        stack
    }

    fn up(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_fingerpost"))
            .current_dir(self.folder.path())
            .args(["up", "f.yaml", "--envoy", "./my-envoy", "--classifier", "./classifier", "--wasm", "filter.wasm"])
            .args(["--state", "./state"])
            .env("TMPDIR", self.folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Reads lines up to and with the one that holds `text`.
fn read_until(lines: &mut impl BufRead, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        assert_ne!(lines.read_line(&mut read).unwrap(), 0, "no `{text}` in {read}");
    }
    read
}

#[test]
fn the_stack_comes_up_says_so_and_ends_with_sigterm() {
    let stack = Stack::new(
        r#"#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --admin-address-path ] && admin=$2; [ "$1" = -c ] && file=$2; shift; done
echo "mode $(stat -c %a "$file") folder $(stat -c %a "$(dirname "$file")")"
echo "key $FINGERPOST_ID_KEY_0"
echo "token $(cat token)"
echo x > "$admin"
exec sleep 1000
"#,
    );
    let mut up = stack.up();
    let mut lines = BufReader::new(up.stderr.take().unwrap());
    let begun = read_until(&mut lines, "token");
    assert!(begun.contains("envoy      | mode 600 folder 700"), "{begun}");
    assert!(begun.contains("envoy      | token [secret]"), "{begun}");
    assert!(begun.contains("envoy      | key [secret]"), "{begun}");
    // The script took no port: the admin interface is played here.
    let admin = TcpListener::bind(("127.0.0.1", stack.admin)).unwrap();
    let (mut connection, _) = admin.accept().unwrap();
    let mut request = [0; 1024];
    let size = connection.read(&mut request).unwrap();
    assert!(request[..size].starts_with(b"GET /ready "));
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    let ready = read_until(&mut lines, "curl");
    let all = format!("{begun}{ready}{}", read_until(&mut lines, "/v1/responses"));
    // It starts first: how wide the names are is not known when it speaks.
    assert!(all.contains("| args serve --config f.yaml --ready-file "), "{all}");
    assert!(ready.contains(&format!("Fingerpost is ready on http://127.0.0.1:{}\n", stack.data)), "{ready}");
    kill(Pid::from_raw(i32::try_from(up.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(0));
    // The folder with the bootstrap goes too.
    let left = fs::read_dir(stack.folder.path()).unwrap().flatten();
    assert!(left.map(|entry| entry.file_name()).all(|name| !name.to_string_lossy().starts_with("fingerpost-")));
}

#[test]
fn the_management_api_needs_the_state_service_and_a_port() {
    let stack = Stack::new("#!/bin/sh\nexit 3\n");
    let management = free_port();
    let file = stack.folder.path().join("f.yaml");
    let mut config = fs::read_to_string(&file).unwrap();
    config += &format!(
        "management: {{ listen: '127.0.0.1:{management}', token: {{ file: token }} }}\nresponse_api: {{ enabled: false }}\n"
    );
    fs::write(&file, config).unwrap();
    let taken = TcpListener::bind(("127.0.0.1", management)).unwrap();
    let output = stack.up().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("(management.listen)") && said.contains("stop what listens there"), "{said}");
    drop(taken);
    // Nothing is stored, and the state service is started all the same.
    let output = stack.up().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("| args serve --config f.yaml --ready-file "), "{said}");
    fs::remove_file(stack.folder.path().join("token")).unwrap();
    let output = stack.up().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("(management.token.file) cannot be read"), "{said}");
}

#[test]
fn a_service_that_dies_ends_the_others_and_the_command() {
    let stack = Stack::new("#!/bin/sh\necho 'cannot bind the port' >&2\nexit 3\n");
    let output = stack.up().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = "envoy ended by itself (exit status: 3); its last lines:\n  cannot bind the port\n";
    assert!(said.ends_with(expected), "{said}");
}

#[test]
fn what_can_be_known_before_is_said_before() {
    let stack = Stack::new("#!/bin/sh\n");
    let taken = TcpListener::bind(("127.0.0.1", stack.data)).unwrap();
    let output = stack.up().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("(listen.data)") && said.contains("stop what listens there"), "{said}");
    drop(taken);
    fs::remove_file(stack.folder.path().join("token")).unwrap();
    let output = stack.up().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: model `m`: the file ") && said.contains("(auth.bearer_file) cannot be read"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));

    fs::write(stack.folder.path().join("token"), "t").unwrap();
    fs::write(stack.folder.path().join("key"), "short").unwrap();
    let output = stack.up().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "(id_keys[0].file) is too short for a secret: it has 5 bytes of at least 16";
    assert!(said.contains(expected), "{said}");
}
