//! The demo as a whole: what it shows, and that nothing of it stays, however it ends.

use flightdeck::board::Board;
use flightdeck::client::{Client, ClientEvent};
use flightdeck::model::{ApprovalState, Phase, Rollout};
use futures::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bound for anything awaited; never reached when the program works.
const DEADLINE: Duration = Duration::from_secs(150);

fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

struct Demo {
    parent: Child,
    /// The scratch directory.
    dir: PathBuf,
}

impl Demo {
    fn start() -> Demo {
        Demo::start_as(Path::new(env!("CARGO_BIN_EXE_flightdeck")))
    }

    fn start_as(program: &Path) -> Demo {
        let mut command = Command::new(program);
        command.args(["demo", "--headless"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut parent = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(parent.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the demo did not start: {}", errors(&mut parent));
        let dir = Path::new(line.trim()).ancestors().nth(2).unwrap().to_owned();
        Demo { parent, dir }
    }

    /// Every process that was told of the scratch directory or works in it.
    fn processes(&self) -> Vec<(i32, String)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            if line.contains(self.dir.to_str().unwrap()) || cwd.starts_with(&self.dir) {
                found.push((pid, line));
            }
        }
        found
    }

    fn pid_of(&self, word: &str) -> i32 {
        let all = self.processes();
        all.iter().find(|(_, line)| line.contains(word)).unwrap_or_else(|| panic!("no {word} in {all:?}")).0
    }

    /// Follows the server until the condition holds; fails with what was awaited and the rows.
    async fn until(&self, what: &str, holds: impl Fn(&Board) -> bool) -> Board {
        let client = Client::unix(&self.dir.join("run/server.sock")).unwrap();
        let (mut board, mut events) = (Board::default(), client.events());
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !holds(&board) {
            match tokio::time::timeout_at(deadline, events.next()).await {
                Ok(Some(ClientEvent::Envelope(envelope))) => drop(board.apply(&envelope.scoped)),
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended before: {what}"),
                Err(_) => {
                    let rows: Vec<_> =
                        board.rollouts().map(|row| format!("{} {:?} {}", row.run, row.phase, row.message)).collect();
                    panic!("never came: {what}\n{}", rows.join("\n"));
                }
            }
        }
        board
    }

    /// Until its services, its proxy and its users are there.
    async fn until_under_way(&self) {
        self.until("the good canary in production", |board| {
            row(board, "checkout").is_some_and(|row| row.phase.in_flight())
        })
        .await;
        for word in ["serve --demo", "shim --dir", "sample-app", "proxy --socket", "load --until-eof"] {
            wait_for(word, || self.processes().iter().any(|(_, line)| line.contains(word)).then_some(()));
        }
    }

    fn signal_parent(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.parent), signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let parent = &mut self.parent;
        wait_for("the demo's parent to end", || parent.try_wait().unwrap())
    }

    fn nothing_is_left(&self) {
        wait_for("every process of the demo to end", || {
            let left = self.processes();
            left.is_empty().then_some(())
        });
        wait_for("the scratch directory to go", || (!self.dir.exists()).then_some(()));
    }
}

impl Drop for Demo {
    /// A failed test leaves nothing either: the parent cleans up on this signal.
    fn drop(&mut self) {
        if self.parent.try_wait().unwrap().is_none() {
            let _ = kill_process(Pid::from_child(&self.parent), Signal::TERM);
            let _ = self.parent.wait();
        }
    }
}

fn errors(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn row<'b>(board: &'b Board, service: &str) -> Option<&'b Rollout> {
    board.rollouts().find(|row| row.service.as_str() == service && row.environment.as_str() == "production")
}

#[tokio::test]
async fn the_demo_shows_a_good_canary_a_bad_one_and_one_that_waits_then_ends_without_a_trace() {
    let mut demo = Demo::start();
    demo.until_under_way().await;
    let board = demo
        .until("an approval that waits", |board| {
            board.approvals().any(|approval| approval.state == ApprovalState::Pending)
        })
        .await;
    let approval = board.approvals().find(|approval| approval.state == ApprovalState::Pending).unwrap();
    assert_eq!((approval.author.as_str(), approval.service.as_str()), ("system:demo", "payments"));
    assert!(!approval.requirement.allow_self && approval.requirement.from.is_empty(), "{approval:?}");
    let environments: Vec<_> = board.environments().map(|environment| environment.name.as_str().to_owned()).collect();
    assert_eq!(environments.len(), 3, "{environments:?}");
    let board = demo
        .until("the bad canary to be taken back", |board| {
            row(board, "search").is_some_and(|row| row.phase == Phase::Aborted)
        })
        .await;
    let bad = row(&board, "search").unwrap();
    assert!(bad.message.contains("errors") && bad.message.contains("limit"), "{}", bad.message);
    let good = row(&board, "checkout").unwrap();
    assert!(good.phase.in_flight(), "{good:?}");
    demo.signal_parent(Signal::TERM);
    let status = demo.ended();
    assert!(status.success(), "{status}: {}", errors(&mut demo.parent));
    demo.nothing_is_left();
}

#[tokio::test]
async fn nothing_is_left_when_the_demo_itself_is_killed() {
    let mut demo = Demo::start();
    demo.until_under_way().await;
    demo.signal_parent(Signal::KILL);
    demo.ended();
    demo.nothing_is_left();
}

#[tokio::test]
async fn nothing_is_left_when_its_server_is_killed_after_the_program_was_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("flightdeck");
    std::fs::copy(env!("CARGO_BIN_EXE_flightdeck"), &program).unwrap();
    let mut demo = Demo::start_as(&program);
    demo.until_under_way().await;
    std::fs::remove_file(&program).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_flightdeck"), &program).unwrap();
    kill_process(Pid::from_raw(demo.pid_of("serve --demo")).unwrap(), Signal::KILL).unwrap();
    let status = demo.ended();
    let said = errors(&mut demo.parent);
    assert!(!status.success() && said.contains("server ended"), "{status}: {said}");
    demo.nothing_is_left();
}

#[test]
fn without_a_terminal_the_demo_says_so_and_starts_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flightdeck"));
    let output = command.arg("demo").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("needs a terminal"), "{said}");
}
