//! What goes wrong: bad input, bad artifacts, bad programs, a bad journal.

use super::rig::{Rig, settings};
use crate::process::{Scratch, instances};
use flightdeck::board::Board;
use flightdeck::engine::process::client::recorded;
use flightdeck::engine::runtime::{Engine, Stop};
use flightdeck::engine::store::digest_of;
use flightdeck::model::{Action, ConfigName, Phase, RefusalKind, Subject, Version};
use flightdeck::port::NotDone;
use std::collections::BTreeSet;
use std::time::Duration;

fn refusal(result: Result<impl std::fmt::Debug, NotDone>) -> (RefusalKind, String) {
    match result.unwrap_err() {
        NotDone::Refused(refusal) => (refusal.kind, refusal.why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_artifact_with_another_digest_is_refused_before_anything_starts() {
    let mut rig = Rig::new();
    rig.apply(1, "", "").await;
    let expected = digest_of(&b"something else"[..]).unwrap();
    let id = rig.upload("latency_ms = 1.0\n", Some(&expected));
    let (kind, why) = refusal(rig.release(id, "1.0").await);
    assert!(kind == RefusalKind::Invalid && why.contains(&expected), "{why}");
    let id = rig.id();
    let (_, why) = refusal(rig.release(id, "1.0").await);
    assert!(why.contains("no artifact was uploaded"), "{why}");
    assert_eq!(rig.board.releases().count(), 0);
    assert_eq!(std::fs::read_dir(rig.scratch.path("data/uploads")).unwrap().count(), 0, "nothing is kept of it");
    assert_eq!(std::fs::read_dir(rig.scratch.path("data/artifacts/sha256")).unwrap().count(), 0);
    rig.finish().await;
}

#[tokio::test]
async fn a_malformed_configuration_is_refused_whole() {
    let mut rig = Rig::new();
    let text = rig.config(1, "", "replicsa = 3");
    let (kind, why) = refusal(
        rig.submit(
            Action::Apply,
            Subject::Config {
                name: ConfigName::default(),
                text,
                path: "/x/flightdeck.toml".into(),
                remove: Vec::new(),
            },
        )
        .await,
    );
    assert!(kind == RefusalKind::Invalid && why.contains("/x/flightdeck.toml:") && why.contains("replicsa"), "{why}");
    assert_eq!(rig.board.services().count(), 0);
    rig.finish().await;
}

/// Stable serves on while a bad version fails with its reason.
async fn fails_with(change: impl Fn(String) -> String, words: &[&str]) {
    let mut rig = Rig::new();
    rig.apply(1, "", "progress_deadline = \"2s\"").await;
    rig.healthy("1.0").await;
    let text = change(rig.config(1, "", "progress_deadline = \"2s\""));
    let path = rig.scratch.dir.path().join("flightdeck.toml").display().to_string();
    rig.submit(Action::Apply, Subject::Config { name: ConfigName::default(), text, path, remove: Vec::new() })
        .await
        .unwrap();
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("failed", |board| board.rollouts().all(|row| row.phase == Phase::Failed)).await;
    let message = rig.row().message.clone();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
    assert_eq!(rig.get().await.unwrap(), "1.0", "stable keeps serving");
    rig.until("the end of the bad one", |board| board.instances().all(|one| one.version == Version::from("1.0"))).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_refused_before_anything_starts() {
    let mut rig = Rig::new();
    let text = rig.config(1, "", "").replacen("run = [\"", "run = [\"bin/missing\", \"", 1);
    let path = rig.scratch.dir.path().join("flightdeck.toml").display().to_string();
    rig.submit(Action::Apply, Subject::Config { name: ConfigName::default(), text, path, remove: Vec::new() })
        .await
        .unwrap();
    rig.add_release("1.0").await;
    let (service, environment) = ("shop".into(), "dev".into());
    let subject =
        Subject::NewRollout { source: "local".into(), service, environment, version: Some("1.0".into()), from: None };
    let (kind, why) = refusal(rig.submit(Action::Deploy, subject).await);
    assert_eq!(kind, RefusalKind::NotApplicable);
    let said = "1.0 can't run as shop in dev: run: there is no bin/missing in the artifact; nothing was done";
    assert_eq!(why, said);
    assert_eq!(rig.board.instances().count(), 0);
    rig.finish().await;
}

#[tokio::test]
async fn a_health_path_that_never_answers_well_fails_the_rollout() {
    fails_with(
        |text| text.replace("\"--settings\"", "\"--healthz-fail\", \"--settings\""),
        &["no progress for 2 s", "503"],
    )
    .await;
}

#[tokio::test]
async fn an_instance_that_crash_loops_fails_the_rollout_with_its_last_words() {
    fails_with(
        |text| {
            let text = text.replace("healthy = 1,", "healthy = 9,");
            text.replace("\"--settings\"", "\"--crash-after\", \"0.01\", \"--settings\"")
        },
        &["no progress for 2 s", "exit status"],
    )
    .await;
}

#[tokio::test]
async fn a_listener_s_port_in_use_is_said() {
    let mut rig = Rig::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", rig.listen)).unwrap();
    rig.apply(1, "", "progress_deadline = \"3s\"").await;
    rig.add_release("1.0").await;
    rig.deploy("1.0").await;
    let who = format!("is in use by another program: {} (pid {})", program(), std::process::id());
    let said = |message: &str| message.contains("the proxy refused the route") && message.contains(&who);
    rig.until("the reason", |board| board.rollouts().any(|row| said(&row.message))).await;
    drop(taken);
    rig.finish().await;
}

#[tokio::test]
async fn an_instance_that_is_killed_is_started_again_under_the_same_id() {
    let mut rig = Rig::new();
    rig.apply(2, "", "").await;
    rig.healthy("1.0").await;
    let victim = rig.instances()[0].clone();
    let dir = rig.scratch.path("data/instances").join(&victim.id);
    assert!(recorded(&dir).unwrap().process.unwrap().kill());
    rig.until("it is back", |board| {
        board
            .instances()
            .any(|one| one.id == victim.id && one.restarts == 1 && one.pid.is_some() && one.pid != victim.pid)
    })
    .await;
    assert_eq!(rig.get().await.unwrap(), "1.0");
    rig.finish().await;
}

#[tokio::test]
async fn an_instance_that_the_journal_does_not_know_is_ended() {
    let mut rig = Rig::new();
    rig.apply(1, "", "").await;
    rig.healthy("1.0").await;
    rig.die().await;
    // As if the journal had been restored from before the instance was written down.
    let data = rig.scratch.path("data");
    for file in ["engine.db", "engine.db-wal", "engine.db-shm"] {
        let _ = std::fs::remove_file(data.join(file));
    }
    let pid = rig.pids()[0];
    rig.restart();
    crate::process::until("its end", || async { (!super::rig::alive(pid)).then_some(()) }).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_second_engine_on_the_same_data_is_refused_by_name_of_the_owner() {
    let rig = Rig::new();
    let error = Engine::open(settings(&rig.scratch, instances::ports(1), Duration::from_mins(1))).unwrap_err();
    let owner = format!("another server: pid {}, ", std::process::id());
    assert!(error.to_string().contains(&owner), "{error}");
    rig.finish().await;
}

#[tokio::test]
async fn a_newer_journal_and_another_engine_s_are_refused() {
    let scratch = Scratch::new();
    let open = |source: &str| {
        let mut settings = settings(&scratch, instances::ports(1), Duration::from_mins(1));
        settings.source = source.into();
        Engine::open(settings)
    };
    let mut rig = Rig::new();
    rig.apply(1, "", "").await;
    rig.engine.shutdown(Stop::Everything).await;
    let copy = |name: &str| std::fs::copy(rig.scratch.path("data").join(name), scratch.path("data").join(name));
    copy("engine.db").unwrap();
    let error = open("other").unwrap_err().to_string();
    assert!(error.contains("belongs to the engine local, not to other"), "{error}");
    let db = rusqlite::Connection::open(scratch.path("data").join("engine.db")).unwrap();
    db.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(db);
    let error = std::error::Error::source(&open("local").unwrap_err()).unwrap().to_string();
    assert!(error.contains("is of version 99") && error.contains("use the newer program"), "{error}");
}

#[tokio::test]
async fn finished_rollouts_are_told_once_and_outlive_the_server() {
    let mut rig = Rig::new();
    rig.apply(1, "", "").await;
    rig.healthy("1.0").await;
    rig.healthy("1.1").await;
    let versions = |board: &Board| board.deployments().map(|of| of.to.to_string()).collect::<BTreeSet<_>>();
    let both: BTreeSet<String> = ["1.0".to_owned(), "1.1".to_owned()].into();
    rig.until("both in the history", |board| versions(board) == both).await;
    rig.die().await;
    rig.restart();
    rig.until("both in the history again", |board| versions(board) == both).await;
    let db = rusqlite::Connection::open(rig.scratch.path("data").join("engine.db")).unwrap();
    let rows: u32 = db.query_row("SELECT count(*) FROM deployments", [], |row| row.get(0)).unwrap();
    let state: String = db.query_row("SELECT state FROM journal", [], |row| row.get(0)).unwrap();
    assert_eq!((rows, state.contains("deployments")), (2, false), "in a table of their own");
    drop(db);
    rig.finish().await;
}

#[tokio::test]
async fn without_a_journal_a_promote_is_refused_and_an_abort_goes_out_and_holds() {
    let mut rig = Rig::new();
    rig.apply(1, "{ set_weight = 50 }, { pause = {} }, { set_weight = 80 }, { pause = {} }", "").await;
    rig.healthy("1.0").await;
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("half of the traffic", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    // Another writer keeps the journal to itself.
    let other = rusqlite::Connection::open(rig.scratch.path("data").join("engine.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let run = rig.row().run.clone();
    let (kind, why) = refusal(rig.submit(Action::Promote, Subject::Run(run.clone())).await);
    assert!(kind == RefusalKind::NotRecorded && why.contains("locked; nothing was done"), "{why}");
    assert_eq!(rig.engine.inspect(&run).await.unwrap().rollout.step, Some(1));
    let proof = rig.effective(Action::Abort).await;
    assert!(proof.contains("1.0 has 100 %"), "{proof}");
    let only_stable = async |rig: &Rig| {
        for _ in 0..20 {
            assert_eq!(rig.get().await.unwrap(), "1.0");
        }
    };
    only_stable(&rig).await;
    // The server dies with a journal that knows nothing of the abort.
    rig.die().await;
    drop(other);
    rig.restart();
    rig.until("aborted", |board| board.rollouts().any(|row| row.phase == Phase::Aborted)).await;
    assert_eq!(rig.row().run, run);
    only_stable(&rig).await;
    // What comes next is not taken for stale by the proxy.
    rig.add_release("1.2").await;
    rig.deploy("1.2").await;
    rig.until("half of the traffic", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    rig.finish().await;
}

#[tokio::test]
async fn the_same_command_twice_is_carried_out_once() {
    let mut rig = Rig::new();
    rig.apply(1, "{ set_weight = 10 }, { pause = {} }, { set_weight = 20 }, { pause = {} }", "").await;
    rig.healthy("1.0").await;
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("the first pause", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    let (run, seen) = (rig.row().run.clone(), rig.board.clone());
    let command = rig.submit(Action::Promote, Subject::Run(run)).await.unwrap();
    // As a client does whose answer was lost: decided by what was seen then.
    rig.board = seen;
    rig.send(command).await.unwrap();
    rig.until("the second pause", |board| board.rollouts().all(|row| row.step == Some(3))).await;
    rig.finish().await;
}

/// The name that the kernel has of this test.
fn program() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned()
}
