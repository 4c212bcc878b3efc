#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    os::unix::process::ExitStatusExt,
    sync::{Arc, Mutex},
};

use nix::{errno::Errno, sys::signal::killpg, unistd::Pid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn shell(name: &str, script: &str) -> Service {
    Service::new(name, "sh").args(["-c", script])
}

/// Prints `ready` and waits, for good.
fn waiting(name: &str) -> Service {
    let mut service = shell(name, "echo ready; exec sleep 1000");
    service.ready = Ready::Line("ready".to_owned());
    service
}

fn recording(grace: Duration) -> (Supervisor, Arc<Mutex<Vec<String>>>) {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&lines);
    let sink: Sink = Arc::new(move |name, line| kept.lock().unwrap().push(format!("{name} | {line}")));
    (Supervisor::new(Options { grace, sink, secrets: vec!["s3cret-token".to_owned()] }), lines)
}

const GRACE: Duration = Duration::from_secs(20);

/// Returns once nothing of a process group runs. One that ended and was not yet reaped does not run.
async fn gone(group: i32) {
    let gone = async {
        while killpg(Pid::from_raw(group), None) != Err(Errno::ESRCH) && runs(group) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.expect("the process group is still there");
}

/// Whether a process of the group is no zombie (proc_pid_stat(5): state and group follow the parenthesised name).
fn runs(group: i32) -> bool {
    let stats = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut stats = stats.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    stats.any(|stat| {
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.get(2) == Some(&group.to_string().as_str()) && fields[0] != "Z"
    })
}

#[tokio::test]
async fn a_service_runs_until_it_is_stopped_and_its_group_with_it() {
    let (mut supervisor, lines) = recording(GRACE);
    let mut service = shell("family", "sleep 1000 & echo up; wait");
    service.ready = Ready::Line("up".to_owned());
    supervisor.spawn(service).unwrap();
    supervisor.ready("family").await.unwrap();
    assert!(supervisor.is_running("family"));
    let group = supervisor.pid("family").unwrap();
    supervisor.stop().await;
    gone(group).await;
    assert_eq!(*lines.lock().unwrap(), ["family | up"]);
    assert!(supervisor.next_exit().await.is_none());
}

#[tokio::test]
async fn a_service_that_ends_before_it_is_ready_is_an_error_with_its_last_lines() {
    let (mut supervisor, _) = recording(GRACE);
    supervisor.spawn(waiting("steady")).unwrap();
    let mut service = shell("broken", "echo out; echo 'cannot bind' >&2; exit 7");
    service.ready = Ready::Line("never".to_owned());
    supervisor.spawn(service).unwrap();
    let Err(Error::Exited(exit)) = supervisor.ready("broken").await else { panic!("it is not ready") };
    assert_eq!((exit.name.as_str(), exit.status.and_then(|status| status.code())), ("broken", Some(7)));
    let shown = exit.to_string();
    assert!(shown.contains("exit status: 7") && shown.contains("  cannot bind") && shown.contains("  out"), "{shown}");
    supervisor.stop().await;
}

#[tokio::test]
async fn the_first_service_that_dies_is_reported() {
    let (mut supervisor, _) = recording(GRACE);
    for name in ["one", "two"] {
        supervisor.spawn(waiting(name)).unwrap();
        supervisor.ready(name).await.unwrap();
    }
    supervisor.signal("two", Signal::SIGKILL).await.unwrap();
    let exit = supervisor.next_exit().await.unwrap();
    assert_eq!((exit.name.as_str(), exit.status.and_then(|status| status.signal())), ("two", Some(9)));
    assert!(supervisor.is_running("one") && !supervisor.is_running("two"));
    supervisor.spawn(waiting("two")).unwrap();
    supervisor.ready("two").await.unwrap();
    supervisor.stop().await;
}

#[tokio::test]
async fn a_service_that_ignores_sigterm_is_killed_after_the_grace_period() {
    let (mut supervisor, _) = recording(Duration::from_millis(50));
    let mut service = shell("stubborn", "trap '' TERM; echo ready; while :; do sleep 1000; done");
    service.ready = Ready::Line("ready".to_owned());
    supervisor.spawn(service).unwrap();
    supervisor.ready("stubborn").await.unwrap();
    let group = supervisor.pid("stubborn").unwrap();
    timeout(GRACE, supervisor.stop()).await.unwrap();
    gone(group).await;
}

#[tokio::test]
async fn a_service_gets_its_grace_period_to_end_by_itself() {
    let (mut supervisor, lines) = recording(GRACE);
    let mut service = shell("polite", "trap 'echo drained; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    service.ready = Ready::Line("ready".to_owned());
    supervisor.spawn(service).unwrap();
    supervisor.ready("polite").await.unwrap();
    supervisor.stop_one("polite").await.unwrap();
    // The shell may say in between that its `sleep` was terminated.
    assert_eq!(lines.lock().unwrap().last().unwrap(), "polite | drained");
    let exit = supervisor.next_exit().await.unwrap();
    assert_eq!(exit.status.and_then(|status| status.code()), Some(0));
}

#[test]
fn nothing_outlives_a_supervisor_that_is_gone_without_a_word() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let group = runtime.block_on(async {
        let (mut supervisor, _) = recording(GRACE);
        let mut service = shell("orphan", "trap '' TERM; sleep 1000 & echo ready; wait");
        service.ready = Ready::Line("ready".to_owned());
        supervisor.spawn(service).unwrap();
        supervisor.ready("orphan").await.unwrap();
        supervisor.pid("orphan").unwrap()
    });
    drop(runtime);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(gone(group));
}

#[tokio::test]
async fn lines_hold_no_secret_and_lose_nothing_else() {
    let (mut supervisor, lines) = recording(GRACE);
    let script = "echo \"auth: Bearer $TOKEN, twice $TOKEN\"; head -c 100000 /dev/zero | tr '\\0' x; printf '\\nlast'";
    let mut service = shell("noisy", script);
    service.env.push(("TOKEN".into(), "s3cret-token".into()));
    supervisor.spawn(service).unwrap();
    let exit = supervisor.next_exit().await.unwrap();
    let lines = lines.lock().unwrap();
    assert_eq!(lines[0], "noisy | auth: Bearer [secret], twice [secret]");
    assert_eq!(lines.iter().map(|line| line.matches('x').count()).sum::<usize>(), 100_000);
    assert_eq!(lines.last().unwrap(), "noisy | last");
    assert!(exit.tail.iter().all(|line| !line.contains("s3cret")));
}

#[tokio::test]
async fn readiness_is_seen_in_a_file_and_over_http() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ready", listener.local_addr().unwrap());
    // The first look is answered with 503: a service that listens is not ready yet.
    let server = tokio::spawn(async move {
        for status in ["503 Service Unavailable", "200 OK"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    let (mut supervisor, _) = recording(GRACE);
    let mut service = Service::new("probed", "sh").args(["-c", "touch \"$0\"; exec sleep 1000"]);
    service.args.push(file.clone().into());
    service.ready = Ready::All(vec![Ready::File(file.clone()), Ready::Http(url)]);
    supervisor.spawn(service).unwrap();
    supervisor.ready("probed").await.unwrap();
    assert!(file.is_file());
    server.await.unwrap();
    supervisor.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let (mut supervisor, _) = recording(GRACE);
    let error = supervisor.spawn(Service::new("ghost", "/no/such/program")).unwrap_err();
    assert_eq!(error.to_string(), "cannot start ghost (/no/such/program): No such file or directory (os error 2)");
    supervisor.spawn(waiting("twin")).unwrap();
    assert!(matches!(supervisor.spawn(waiting("twin")), Err(Error::Duplicate(_))));
    assert!(matches!(supervisor.ready("nobody").await, Err(Error::Unknown(_))));
    let mut slow = shell("slow", "echo thinking; exec sleep 1000");
    slow.ready = Ready::Line("done".to_owned());
    slow.ready_within = Duration::from_millis(300);
    supervisor.spawn(slow).unwrap();
    let error = supervisor.ready("slow").await.unwrap_err();
    assert_eq!(error.to_string(), "slow was not ready within 0.3 s; its last lines:\n  thinking");
    supervisor.stop().await;
}
