//! What programs do wrong, each a real one in Python.

use crate::process::until;
use flightdeck::board::Board;
use flightdeck::control::{Authorized, Policy, decide};
use flightdeck::integration::orchestrator::exec::{Exec, ExecSettings};
use flightdeck::model::*;
use flightdeck::port::{Executor, Followed, NotDone};
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use std::path::Path;
use std::time::Duration;

/// What every program here begins with: its words, a row, and a way to say both.
const BEGIN: &str = r#"
import json, os, subprocess, sys, time
def say(kind, data): print(json.dumps({"type": kind, "data": data}), flush=True)
def row(message="fine", source="elsewhere"):
    target = {"source": source, "kind": "app", "namespace": None, "name": "shop", "uid": "u-1"}
    say("update", {"type": "upsert", "data": {"type": "rollout", "data": {
        "run": {"target": target, "revision": "1"}, "service": "shop", "environment": "dev", "strategy": "canary",
        "steps": [], "step": None, "arms": [], "phase": "paused", "waits": [], "message": message,
        "started": "2026-01-01T00:00:00Z", "since": "2026-01-01T00:00:00Z", "author": None,
        "offers": ["promote", "abort"], "facts": {"workload": "u-1"}}}})
def snapshot(message="fine"):
    say("update", {"type": "snapshot_begin"})
    row(message)
    say("update", {"type": "snapshot_end"})
def hello(): say("hello", {"wire": 1, "actions": ["promote", "abort"]})
"#;

struct Harness {
    exec: Exec,
    updates: BoxStream<'static, Scoped>,
    board: Board,
    dir: tempfile::TempDir,
}

/// A command of which nothing is known but that it was accepted.
fn followed(authorized: &Authorized) -> Followed<'_> {
    let (command, now) = (authorized.command(), Timestamp::now());
    Followed { command, created: None, left: None, before: None, current: None, ended: None, now }
}

fn source() -> SourceId {
    "mine".into()
}

impl Harness {
    fn new(body: &str) -> Harness {
        Harness::with(body, false)
    }

    fn with(body: &str, read_only: bool) -> Harness {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("platform.py");
        std::fs::write(&path, format!("{BEGIN}\nDIR = {:?}\n{body}", dir.path().to_str().unwrap())).unwrap();
        Harness::of(vec!["python3".into(), path.display().to_string()], read_only, dir)
    }

    fn of(command: Vec<String>, read_only: bool, dir: tempfile::TempDir) -> Harness {
        let exec = Exec::new(ExecSettings { source: source(), command, read_only });
        let updates = exec.watch();
        Harness { exec, updates, board: Board::default(), dir }
    }

    async fn until(&mut self, what: &str, so: impl Fn(&Board) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
        while !so(&self.board) {
            match tokio::time::timeout_at(deadline, self.updates.next()).await {
                Ok(Some(scoped)) => {
                    assert_eq!(scoped.scope.source, source(), "it speaks for itself alone");
                    self.board.apply(&scoped);
                }
                Ok(None) => panic!("the watch ended before: {what}"),
                Err(elapsed) => panic!("never came: {what}, {elapsed}; {:?}", self.board),
            }
        }
    }

    async fn live(&mut self) {
        let live = |board: &Board| matches!(board.link(&source()), LinkState::Live { .. });
        self.until("the link is live", |board| live(board) && board.rollouts().next().is_some()).await;
    }

    async fn stale(&mut self, expected: &str) {
        let what = format!("the link says {expected}");
        let says =
            |board: &Board| matches!(board.link(&source()), LinkState::Stale { why, .. } if why.contains(expected));
        self.until(&what, says).await;
    }

    fn command(&self, id: &str, action: Action) -> Authorized {
        let row = self.board.rollouts().next().unwrap();
        let (subject, pin) = (Subject::Run(row.run.clone()), Some(row.facts.pin(action)));
        let command = Command { id: id.into(), action, subject, pin, reason: None };
        let alice = Actor { name: "alice".into(), uid: Some(1), roles: vec![] };
        decide(&Policy::default(), &self.board, &alice, &command, Timestamp::now()).unwrap()
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn garbage_and_a_line_of_10_mb_are_skipped_said_and_everything_is_asked_for_anew() {
    let mut harness = Harness::new(
        r#"
hello(); snapshot()
sys.stdin.readline()
print("Traceback \x1b[31m: not for you", flush=True)
asked = json.loads(sys.stdin.readline())
assert asked == {"type": "snapshot"}, asked
snapshot("told anew")
print("x" * 10_000_000, flush=True)
asked = json.loads(sys.stdin.readline())
snapshot("told once more")
sys.stdin.read()
"#,
    );
    harness.live().await;
    harness
        .stale("python3: line 5 is skipped: no JSON: expected value at line 1 column 1: Traceback \u{fffd}[31m")
        .await;
    let live = |board: &Board| matches!(board.link(&source()), LinkState::Live { .. });
    let says = |board: &Board, text: &str| board.rollouts().all(|row| row.message == text);
    harness.until("all anew", |board| live(board) && says(board, "told anew")).await;
    harness.stale("line 9 is skipped: it has 10000000 bytes, at most 1048576 are taken").await;
    harness.until("all once more", |board| live(board) && says(board, "told once more")).await;
}

#[tokio::test]
async fn a_program_that_exits_is_started_again_and_its_end_is_explained() {
    let mut harness = Harness::new(
        r#"
hello(); snapshot()
for line in sys.stdin:
    if "execute" in line:
        open(f"{DIR}/executed", "a").write("x")
        print("disk \x1b[31mfull", file=sys.stderr, flush=True)
        sys.exit(3)
"#,
    );
    harness.live().await;
    let promote = harness.command("c-1", Action::Promote);
    let Err(NotDone::Unknown { why }) = harness.exec.execute(&promote).await else { panic!("it was sent") };
    assert!(why.contains("exited with status 3: disk \u{fffd}[31mfull"), "{why}");
    harness.stale("exited with status 3: disk \u{fffd}[31mfull").await;
    harness.live().await;
    assert_eq!(harness.file("executed"), "x", "never sent again");
    assert_eq!(harness.exec.progress(&followed(&promote)), Stage::Accepted);
}

#[tokio::test]
async fn a_program_that_is_not_there_takes_no_command() {
    let dir = tempfile::tempdir().unwrap();
    let command = vec![dir.path().join("missing").display().to_string()];
    let mut harness = Harness::of(command, false, dir);
    harness.stale("cannot start missing: No such file or directory").await;
    // Decided on a board that knows the row from before.
    let mut other = Harness::new("hello(); snapshot(); sys.stdin.read()");
    other.live().await;
    let Err(NotDone::NotSent { why }) = harness.exec.execute(&other.command("c", Action::Abort)).await else {
        panic!("nothing can be sent")
    };
    assert!(why.contains("cannot start missing"), "{why}");
}

#[tokio::test]
async fn a_silent_program_and_one_that_is_newer_are_refused_with_a_sentence() {
    let mut silent = Harness::new("time.sleep(1000)");
    let mut newer = Harness::new(r#"say("hello", {"wire": 2, "skills": {}}); sys.stdin.read()"#);
    let mut early = Harness::new("snapshot(); hello(); sys.stdin.read()");
    newer.stale("speaks version 2 of the protocol, this flightdeck knows up to 1: update flightdeck").await;
    early.stale("said something before its hello").await;
    assert!(newer.board.rollouts().next().is_none() && early.board.rollouts().next().is_none());
    silent.stale("said no hello within 5 s").await;
}

#[tokio::test]
async fn what_a_program_with_a_closed_input_is_asked_was_not_sent() {
    let mut harness = Harness::new("hello(); sys.stdin.readline(); os.close(0); snapshot(); time.sleep(1000)");
    harness.live().await;
    let Err(NotDone::NotSent { why }) = harness.exec.execute(&harness.command("c", Action::Abort)).await else {
        panic!("nobody reads it")
    };
    assert!(why.contains("closed its standard input"), "{why}");
    harness.stale("closed its standard input").await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_unknown_and_what_was_never_read_was_not_sent() {
    let mut harness = Harness::new("hello(); sys.stdin.readline(); snapshot(); time.sleep(1000)");
    harness.live().await;
    // More than the pipe holds: the first ones leave, the last ones never do.
    let reason = "r".repeat(2000);
    let mut wait = Vec::new();
    for number in 0..60 {
        let row = harness.board.rollouts().next().unwrap();
        let (subject, pin) = (Subject::Run(row.run.clone()), Some(row.facts.pin(Action::Abort)));
        let id = format!("c-{number}").into();
        let command = Command { id, action: Action::Abort, subject, pin, reason: Some(reason.clone()) };
        let alice = Actor { name: "alice".into(), uid: Some(1), roles: vec![] };
        wait.push(decide(&Policy::default(), &harness.board, &alice, &command, Timestamp::now()).unwrap());
    }
    let answers = futures::future::join_all(wait.iter().map(|one| harness.exec.execute(one))).await;
    let unknown = answers.iter().filter(|one| matches!(one, Err(NotDone::Unknown { .. }))).count();
    let not_sent = answers.iter().filter(|one| matches!(one, Err(NotDone::NotSent { .. }))).count();
    assert_eq!(unknown + not_sent, 60, "{answers:?}");
    assert!(unknown > 5 && not_sent > 5, "a pipe of 16 pages takes some of them: {unknown}, {not_sent}");
}

#[tokio::test]
async fn a_flood_of_updates_delays_no_answer_for_ever_and_does_not_grow_here() {
    let mut harness = Harness::new(
        r#"
import threading
hello(); snapshot()
def flood():
    line = json.dumps({"type": "update", "data": {"type": "link", "data": {"type": "live", "data": {"as_of": "2026-01-01T00:00:00Z"}}}})
    written = 0
    while True:
        sys.stdout.write((line + "\n") * 100); written += 100
        open(f"{DIR}/written", "w").write(str(written))
threading.Thread(target=flood, daemon=True).start()
for line in sys.stdin:
    asked = json.loads(line)
    if asked["type"] == "execute":
        say("reply", {"id": asked["data"]["id"], "outcome": {"type": "accepted", "data": {"note": "yes"}}})
"#,
    );
    harness.live().await;
    let answer = harness.exec.execute(&harness.command("c", Action::Abort)).await;
    // Nobody takes updates here meanwhile: what is told waits in the program, not in memory.
    match answer {
        Ok(accepted) => assert_eq!(accepted.note.as_deref(), Some("yes")),
        Err(NotDone::Unknown { why }) => assert!(why.contains("did not answer"), "{why}"),
        Err(other) => panic!("{other}"),
    }
    let harness = &harness;
    let written = until("what it wrote", || async { harness.file("written").parse::<u64>().ok() }).await;
    assert!(written < 200_000, "{written} lines were taken in at once");
}

#[tokio::test]
async fn the_whole_group_ends_with_the_watch_and_with_the_program() {
    let mut harness = Harness::new(
        r#"
child = subprocess.Popen(["sleep", "1000"])
open(f"{DIR}/pids", "a").write(f"{os.getpid()} {child.pid}\n")
hello(); snapshot()
for line in sys.stdin:
    if "execute" in line: sys.exit(0)
"#,
    );
    harness.live().await;
    let pids = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let first = pids(harness.file("pids"));
    assert!(first.len() == 2 && first.iter().all(|pid| alive(pid)), "{first:?}");
    let _ = harness.exec.execute(&harness.command("c", Action::Abort)).await;
    harness.stale("exited with status 0").await;
    until("its child is gone too", || async { first.iter().all(|pid| !alive(pid)).then_some(()) }).await;
    harness.live().await;
    let all = pids(harness.file("pids"));
    let second = all[2..].to_vec();
    assert!(second.len() == 2 && second.iter().all(|pid| alive(pid)), "{second:?}");
    drop(std::mem::replace(&mut harness.updates, futures::stream::empty().boxed()));
    until("nothing is left", || async { second.iter().all(|pid| !alive(pid)).then_some(()) }).await;
}

#[tokio::test]
async fn what_it_tells_is_harmless_its_own_and_read_only_where_configured() {
    let mut harness = Harness::with(
        r#"
hello(); snapshot("a\x1b[2Jb")
say("update", {"type": "upsert", "data": {"type": "service", "data": {"source": "local", "name": "x", "environments": []}}})
for line in sys.stdin:
    open(f"{DIR}/asked", "a").write(line)
"#,
        true,
    );
    harness.live().await;
    harness.until("its service", |board| board.services().next().is_some()).await;
    let row = harness.board.rollouts().next().unwrap();
    assert_eq!((row.message.as_str(), &row.run.target.source), ("a\u{fffd}[2Jb", &source()));
    assert_eq!(harness.board.services().next().unwrap().source, source());
    assert!(row.denial(Action::Abort).is_some_and(|why| why.contains("mine is read-only")));
    // Even what got past the row is not sent.
    let mut other = Harness::new("hello(); snapshot(); sys.stdin.read()");
    other.live().await;
    let refused = harness.exec.execute(&other.command("c", Action::Abort)).await;
    assert!(matches!(&refused, Err(NotDone::Refused(no)) if no.kind == RefusalKind::Denied), "{refused:?}");
    assert!(!harness.file("asked").contains("execute"));
}

#[tokio::test]
async fn stages_are_what_the_program_says_but_never_without_a_proof() {
    let mut harness = Harness::new(
        r#"
hello(); snapshot()
sys.stdin.readline()
say("stage", {"command": "c-1", "stage": {"type": "observed"}})
say("stage", {"command": "c-1", "stage": {"type": "effective", "data": {"proof": {"text": " "}}}})
sys.stdin.readline()
say("stage", {"command": "c-1", "stage": {"type": "effective", "data": {"proof": {"text": "all at 1.1"}}}})
snapshot("seen")
sys.stdin.read()
"#,
    );
    harness.live().await;
    let promote = harness.command("c-1", Action::Promote);
    harness.stale("effective needs a proof").await;
    let stage = |harness: &Harness| harness.exec.progress(&followed(&promote));
    assert_eq!(stage(&harness), Stage::Observed);
    harness.until("everything anew", |board| board.rollouts().all(|row| row.message == "seen")).await;
    assert_eq!(stage(&harness), Stage::Effective { proof: Proof { text: "all at 1.1".into() } });
}

#[test]
fn the_example_is_about_as_short_as_the_document_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/example.py");
    assert!(std::fs::read_to_string(path).unwrap().lines().count() <= 170);
}
