//! Ends a service whose supervisor is gone. A shell waits on a pipe that only the supervisor holds: when the pipe closes
//! without a word, the service's process group gets SIGTERM, then SIGKILL. It needs no `unsafe`, as PR_SET_PDEATHSIG would,
//! reaches the whole group, and works beyond Linux.

use std::{io, process::Stdio};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

const SHELL: &str = "sh";
const SCRIPT: &str = r#"read -r word || { kill -s TERM -- "-$1"; sleep 1; kill -s KILL -- "-$1"; } 2>/dev/null"#;

pub(super) struct Guard(Child);

impl Guard {
    pub(super) const PROGRAM: &str = SHELL;

    /// Guards a process group.
    pub(super) fn of(group: i32) -> io::Result<Self> {
        Command::new(SHELL)
            .args(["-c", SCRIPT, "fingerpost-guard", &group.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: Ctrl-C on the terminal must not reach it.
            .process_group(0)
            .spawn()
            .map(Self)
    }

    /// The group has ended: nothing is left to guard.
    pub(super) async fn dismiss(mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            // A guard that does not listen has ended already.
            let _ = pipe.write_all(b"done\n").await;
        }
        let _ = self.0.wait().await;
    }
}
