//! One shim and what it holds.

use super::{Scratch, exe, process, spec, until, until_gone};
use flightdeck::engine::process::client::{ShimClient, ask, end, launch, recorded};
use flightdeck::engine::process::wire::{Ended, Request, Response, ShimSpec, Status};
use flightdeck::engine::process::{Identity, LogLimits, log};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

async fn start(dir: &Path, args: &[&str]) -> Status {
    start_spec(dir, &spec("i-1", exe(), args, dir)).await
}

async fn start_spec(dir: &Path, spec: &ShimSpec) -> Status {
    let status = launch(exe(), dir, spec, &BTreeMap::new()).await.unwrap();
    assert_eq!(status.failed, None);
    status
}

async fn ended(dir: &Path) -> Ended {
    let mut shim = ShimClient::connect(dir).await.unwrap();
    let mut status = shim.watch().await.unwrap();
    while status.runs() {
        status = shim.changed().await.unwrap();
    }
    status.ended.unwrap()
}

/// A process that belongs to nobody here.
fn foreign() -> (Child, Identity) {
    let child = Command::new(exe()).args(["sample-app", "--port", "0"]).stdout(Stdio::null()).spawn().unwrap();
    let identity = Identity::of(child.id()).unwrap();
    (child, identity)
}

#[tokio::test]
async fn it_signals_keeps_the_exit_status_and_ends_when_it_is_forgotten() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let status = start(&dir, &["sample-app", "--port", "0"]).await;
    assert!(process(&status).lives() && status.shim.lives());
    assert_eq!(recorded(&dir).unwrap(), status, "the same is on disk");
    assert!(matches!(ask(&dir, &Request::Forget).await.unwrap(), Response::Refused { .. }), "it still runs");
    assert!(matches!(
        ask(&dir, &Request::Signal { name: "WINCH".into() }).await.unwrap(),
        Response::Refused { why } if why.contains("unknown signal")
    ));
    // Before it listens it does not heed the signal either.
    until("its first line", || async { log::tail(&dir.join("log"), 1).unwrap().pop() }).await;
    assert_eq!(ask(&dir, &Request::Signal { name: "TERM".into() }).await.unwrap(), Response::Done);
    assert_eq!(ended(&dir).await, Ended { code: Some(0), ..Ended::default() });
    assert!(status.shim.lives(), "it stays until it is forgotten");
    assert_eq!(recorded(&dir).unwrap().ended, Some(Ended { code: Some(0), ..Ended::default() }));
    assert_eq!(ask(&dir, &Request::Forget).await.unwrap(), Response::Done);
    until_gone("the end of the shim", &status.shim).await;
}

#[tokio::test]
async fn it_lives_in_a_session_of_its_own_and_nobody_else_reaches_its_socket() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let status = start(&dir, &["sample-app", "--port", "0"]).await;
    let session = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<u32> =
            stat[stat.rfind(')').unwrap() + 4..].split(' ').take(3).map(|field| field.parse().unwrap()).collect();
        (fields[1], fields[2])
    };
    assert_eq!(session(status.shim.pid), (status.shim.pid, status.shim.pid), "group and session");
    let child = process(&status).pid;
    assert_eq!(session(child), (child, status.shim.pid), "a group of its own in the shim's session");
    let mode = std::fs::metadata(dir.join("shim.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700 & !0o077, "{mode:o}");
    end(&dir).await.unwrap();
}

#[tokio::test]
async fn garbage_on_its_socket_is_refused_and_it_goes_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    start(&dir, &["sample-app", "--port", "0"]).await;
    for garbage in [&b"nonsense\n"[..], b"{\"type\":\"no\"}\n", &[0xff; 9000]] {
        let mut stream = tokio::net::UnixStream::connect(dir.join("shim.sock")).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        // One that sends too much is cut off without a word.
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.is_empty() || answer.contains("not a request"), "{answer}");
    }
    assert!(matches!(ask(&dir, &Request::Status).await.unwrap(), Response::Status(status) if status.runs()));
    end(&dir).await.unwrap();
}

#[tokio::test]
async fn output_is_kept_within_bounds_while_the_instance_runs() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo last >&2; exit 3";
    let mut spec = spec("i-1", Path::new("/bin/sh"), &["-c", script], &dir);
    spec.log = LogLimits { bytes: 4096, files: 2 };
    start_spec(&dir, &spec).await;
    assert_eq!(ended(&dir).await.to_string(), "exit status 3");
    assert_eq!(log::tail(&dir.join("log"), 2).unwrap(), ["line 1999", "last"]);
    let sizes: Vec<u64> =
        std::fs::read_dir(dir.join("log")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= 4096 + 16384), "{sizes:?}");
    end(&dir).await.unwrap();
}

#[tokio::test]
async fn what_the_instance_leaves_behind_in_its_group_ends_with_it() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let script = "sleep 1000 & echo $!; exit 0";
    start_spec(&dir, &spec("i-1", Path::new("/bin/sh"), &["-c", script], &dir)).await;
    ended(&dir).await;
    let pid = until("the child's pid in the log", || async { log::tail(&dir.join("log"), 1).unwrap().pop() }).await;
    until("the end of the child", || async {
        (!Path::new(&format!("/proc/{pid}/root")).exists() || zombie(&pid)).then_some(())
    })
    .await;
    end(&dir).await.unwrap();
}

fn zombie(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test]
async fn a_kept_process_comes_back_by_itself_until_it_is_told_to_end() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let spec = ShimSpec { keep: true, ..spec("i-1", exe(), &["sample-app", "--port", "0"], &dir) };
    let first = process(&start_spec(&dir, &spec).await);
    assert!(first.kill());
    let second = until("another process", || async {
        let status = recorded(&dir)?;
        status.process.filter(|process| *process != first && status.ended.is_none())
    })
    .await;
    assert!(second.lives());
    assert_eq!(ask(&dir, &Request::LetEnd).await.unwrap(), Response::Done);
    assert!(second.kill());
    assert_eq!(ended(&dir).await.signal, Some(9));
    end(&dir).await.unwrap();
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_said_and_leaves_nothing() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let spec = spec("i-1", Path::new("/nowhere/program"), &[], &dir);
    let status = launch(exe(), &dir, &spec, &BTreeMap::new()).await.unwrap();
    assert!(status.failed.as_ref().unwrap().contains("/nowhere/program"), "{status:?}");
    end(&dir).await.unwrap();
    until_gone("the end of the shim", &status.shim).await;
}

#[tokio::test]
async fn a_second_shim_for_the_same_instance_is_refused() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let first = start(&dir, &["sample-app", "--port", "0"]).await;
    let again = launch(exe(), &dir, &spec("i-1", exe(), &["sample-app", "--port", "0"], &dir), &BTreeMap::new()).await;
    assert!(again.unwrap_err().to_string().contains("another shim holds this instance"));
    assert_eq!(ask(&dir, &Request::Status).await.unwrap(), Response::Status(first), "the first one goes on");
    end(&dir).await.unwrap();
}

#[tokio::test]
async fn a_newer_spec_is_refused_with_a_sentence() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let spec = ShimSpec { wire: 99, ..spec("i-1", exe(), &["sample-app", "--port", "0"], &dir) };
    let error = launch(exe(), &dir, &spec, &BTreeMap::new()).await.unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains("use the newer program"), "{error}");
}

#[tokio::test]
async fn a_forged_record_never_ends_a_foreign_process() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let status = start(&dir, &["sample-app", "--port", "0"]).await;
    end(&dir).await.unwrap();
    let (mut child, identity) = foreign();
    // The kernel gave the pid to somebody else, or somebody wrote another one in.
    for forged in [
        Identity { start_time: identity.start_time - 1, ..identity.clone() },
        Identity { boot_id: "before the last boot".into(), ..identity.clone() },
    ] {
        let record = Status { process: Some(forged.clone()), shim: forged, ended: None, ..status.clone() };
        std::fs::write(dir.join("state.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        end(&dir).await.unwrap();
        assert!(identity.lives() && child.try_wait().unwrap().is_none());
    }
    // The same with the right identity does end it: the check above could fail.
    let record = Status { process: Some(identity.clone()), ended: None, ..status };
    std::fs::write(dir.join("state.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    end(&dir).await.unwrap();
    child.wait().unwrap();
    assert!(!identity.lives());
}
