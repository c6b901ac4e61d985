//! What a person does with it.

use super::rig::{Rig, alive};
use crate::process::exe;
use flightdeck::demo::load::Summary;
use flightdeck::engine::runtime::Stop;
use flightdeck::model::{Action, InstanceState, Phase, Subject, Version};
use std::process::Stdio;

#[tokio::test]
async fn two_releases_a_canary_by_steps_and_no_request_lost() {
    let mut rig = Rig::new();
    rig.apply(2, "{ set_weight = 25 }, { pause = {} }, { set_weight = 75 }, { pause = {} }", "keep_warm = \"1m\"")
        .await;
    rig.healthy("1.0").await;
    assert_eq!(rig.get().await.unwrap(), "1.0");
    let load = tokio::process::Command::new(exe())
        .args(["load", "--rate", "100", "--connections", "8", "--fresh", "0.2", "--streams", "1"])
        .args(["--stream-seconds", "1", "--target", &format!("http://127.0.0.1:{}/", rig.listen)])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("the first pause", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    let target = rig.row().run.target.clone();
    rig.until("numbers of both arms", |board| {
        let requests = |role| board.samples(&target, &role).map_or(0, |all| all.iter().map(|one| one.requests).sum());
        let (stable, candidate): (u64, u64) =
            (requests(flightdeck::model::ArmRole::Stable), requests(flightdeck::model::ArmRole::Candidate));
        stable > 20 && candidate > 5
    })
    .await;
    let proof = rig.effective(Action::Promote).await;
    assert!(proof.contains("1.0 has 25 %, 1.1 has 75 %, acknowledged"), "{proof}");
    let metrics = rig.engine.metrics();
    assert!(metrics.iter().any(|of| of.version == Version::from("1.1") && of.requests > 0), "{metrics:?}");
    let proof = rig.effective(Action::Promote).await;
    assert!(proof.contains("finished: 1.1 has 100 %"), "{proof}");
    rig.until("healthy", |board| board.rollouts().all(|row| row.phase == Phase::Healthy)).await;
    assert_eq!(rig.get().await.unwrap(), "1.1");
    // Back, while the version before is still warm.
    let proof = rig.effective(Action::Rollback).await;
    assert!(proof.contains("back at 1.0"), "{proof}");
    assert_eq!(rig.get().await.unwrap(), "1.0");

    let pid = rustix::process::Pid::from_raw(i32::try_from(load.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = load.wait_with_output().await.unwrap();
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary.failed.total() == 0 && summary.ok > 100, "{summary:?}");
    assert!(summary.versions["1.0"] > 0 && summary.versions["1.1"] > 0, "{summary:?}");
    rig.finish().await;
}

#[tokio::test]
async fn pause_resume_and_abort_are_effective_with_their_proof() {
    let mut rig = Rig::new();
    rig.apply(1, r#"{ set_weight = 50 }, { pause = { duration = "1h" } }"#, "").await;
    rig.healthy("1.0").await;
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("half of the traffic", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    let proof = rig.effective(Action::Pause).await;
    assert!(proof.contains("paused at step 2 of 2; 1.0 has 50 %, 1.1 has 50 %"), "{proof}");
    let proof = rig.effective(Action::Resume).await;
    assert!(proof.contains("progressing at step 2 of 2"), "{proof}");
    rig.effective(Action::Pause).await;
    let candidate: Vec<_> = rig.instances().into_iter().filter(|one| one.version == Version::from("1.1")).collect();
    let proof = rig.effective(Action::Abort).await;
    assert!(proof.contains("1.0 has 100 %"), "{proof}");
    for _ in 0..20 {
        assert_eq!(rig.get().await.unwrap(), "1.0");
    }
    rig.until("the candidate's end", |board| board.instances().all(|one| one.version == Version::from("1.0"))).await;
    assert!(candidate.iter().all(|one| !alive(one.pid.unwrap())));
    rig.finish().await;
}

#[tokio::test]
async fn output_can_be_read_and_a_run_inspected() {
    let mut rig = Rig::new();
    rig.apply(1, "", "").await;
    rig.healthy("1.0").await;
    let id = rig.instances()[0].id.clone();
    assert!(rig.engine.log_path(&id).unwrap().exists());
    assert!(rig.engine.tail(&id, 5).is_some_and(|lines| lines.len() <= 5 && !lines.is_empty()));
    assert_eq!(rig.engine.tail("../../etc/passwd", 5), None);
    assert_eq!(rig.engine.tail("nobody", 5), None);
    let detail = rig.engine.inspect(&rig.row().run.clone()).await.unwrap();
    assert_eq!(detail.instances.len(), 1);
    let mut other = rig.row().run.clone();
    other.revision = "r-99".into();
    assert!(rig.engine.inspect(&other).await.unwrap_err().to_string().contains("there is no rollout"));
    rig.finish().await;
}

#[tokio::test]
async fn a_server_that_ends_during_a_drain_cuts_nobody_and_the_next_one_goes_on_with_it() {
    let mut rig = Rig::new();
    // That signal ends the app at once, whatever it does.
    let rest = "keep_warm = \"0s\"\ndrain = \"30s\"\nstop = { signal = \"QUIT\", grace = \"1s\" }";
    rig.apply(1, "{ set_weight = 50 }, { pause = {} }", rest).await;
    rig.healthy("1.0").await;
    let url = format!("http://127.0.0.1:{}/stream?seconds=8", rig.listen);
    let begun = reqwest::get(url).await.unwrap();
    let stream = tokio::spawn(begun.text());
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("half of the traffic", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    rig.effective(Action::Promote).await;
    rig.until("the drain", |board| board.instances().any(|one| one.draining.is_some())).await;
    assert!(!stream.is_finished(), "it is what is waited for");
    rig.engine.shutdown(Stop::LeaveRunning).await;
    assert!(stream.await.unwrap().expect("it is not cut").ends_with("end\n"));
    rig.restart();
    rig.until("the old version ended", |board| {
        board.instances().count() == 1 && board.instances().all(|one| one.version == Version::from("1.1"))
    })
    .await;
    rig.finish().await;
}

#[tokio::test]
async fn a_restarted_engine_adopts_the_same_processes_and_traffic_never_stops() {
    let mut rig = Rig::new();
    rig.apply(2, "{ set_weight = 50 }, { pause = {} }", "keep_warm = \"0s\"").await;
    rig.healthy("1.0").await;
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("half of the traffic", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    let before = rig.instances();
    let row = rig.row().clone();
    rig.die().await;
    assert!(before.iter().all(|instance| alive(instance.pid.unwrap())), "they outlive the server");
    let mut versions = Vec::new();
    for _ in 0..40 {
        versions.push(rig.get().await.unwrap());
    }
    versions.sort();
    versions.dedup();
    assert_eq!(versions, ["1.0", "1.1"], "the route stays");

    rig.restart();
    let ready = |board: &flightdeck::board::Board| {
        board.instances().count() == before.len()
            && board.instances().all(|one| one.state == InstanceState::Ready)
            && matches!(board.link(&"local".into()), flightdeck::model::LinkState::Live { .. })
    };
    rig.until("everything is ready again", ready).await;
    let id = |one: &flightdeck::model::Instance| (one.id.clone(), one.pid, one.address.clone());
    let mut after: Vec<_> = rig.instances().iter().map(id).collect();
    let mut expected: Vec<_> = before.iter().map(id).collect();
    after.sort();
    expected.sort();
    assert_eq!(after, expected, "the same processes, none doubled");
    assert_eq!((rig.row().run.clone(), rig.row().step), (row.run, row.step));
    // It goes on from where it was.
    rig.effective(Action::Promote).await;
    assert_eq!(rig.get().await.unwrap(), "1.1");
    // Left running on purpose, and taken over again.
    rig.until("one version", |board| board.instances().all(|one| one.version == Version::from("1.1"))).await;
    let pids = rig.pids();
    rig.engine.shutdown(Stop::LeaveRunning).await;
    assert!(pids.iter().all(|pid| alive(*pid)));
    assert_eq!(rig.get().await.unwrap(), "1.1");
    rig.restart();
    rig.until("ready", |board| {
        board.instances().count() == 2 && board.instances().all(|one| one.state == InstanceState::Ready)
    })
    .await;
    assert_eq!(rig.pids(), pids);
    rig.finish().await;
}

#[tokio::test]
async fn a_lease_that_lapses_while_no_engine_judges_aborts_the_rollout() {
    let mut rig = Rig::with_lease(std::time::Duration::from_secs(2));
    rig.apply(1, "{ set_weight = 50 }, { pause = {} }", "").await;
    rig.healthy("1.0").await;
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("half of the traffic", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    let run = rig.row().run.clone();
    rig.die().await;
    // By itself the proxy goes back to stable: a row of 30 with one half each would be a miracle.
    let all_stable = || async {
        for _ in 0..30 {
            if rig.get().await.unwrap() != "1.0" {
                return None;
            }
        }
        Some(())
    };
    crate::process::until("only stable answers", all_stable).await;
    rig.restart();
    rig.until("aborted", |board| board.rollouts().any(|row| row.phase == Phase::Aborted)).await;
    assert_eq!(rig.row().run, run);
    assert!(rig.row().message.contains("lease"), "{}", rig.row().message);
    assert_eq!(rig.get().await.unwrap(), "1.0");
    rig.finish().await;
}

#[tokio::test]
async fn a_proxy_that_dies_comes_back_with_the_same_routes() {
    let mut rig = Rig::new();
    rig.apply(1, "", "").await;
    rig.healthy("1.0").await;
    let state = flightdeck::engine::process::client::recorded(&rig.scratch.path("data/proxy")).unwrap();
    let proxy = state.process.unwrap();
    assert!(proxy.kill());
    let live = |board: &flightdeck::board::Board| {
        matches!(board.link(&"local".into()), flightdeck::model::LinkState::Live { .. })
    };
    rig.until("its loss is seen", |board| !live(board)).await;
    rig.until("another is there", live).await;
    assert_eq!(rig.get().await.unwrap(), "1.0");
    // The next command finds its way.
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("healthy", |board| {
        board.rollouts().all(|row| row.stable().is_some_and(|arm| arm.version == Version::from("1.1")))
    })
    .await;
    assert_eq!(rig.get().await.unwrap(), "1.1");
    rig.finish().await;
}

#[tokio::test]
async fn a_hold_pauses_what_is_in_flight_and_names_its_id() {
    let mut rig = Rig::new();
    rig.apply(1, r#"{ set_weight = 50 }, { pause = { duration = "1h" } }"#, "").await;
    rig.healthy("1.0").await;
    rig.add_release("1.1").await;
    rig.deploy("1.1").await;
    rig.until("half of the traffic", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    let scope = Subject::Scope { selector: flightdeck::model::Selector::default(), frozen: Vec::new(), hold: None };
    rig.submit(Action::Hold, scope).await.unwrap();
    rig.until("the hold", |board| board.holds().count() == 1 && board.rollouts().all(|row| row.phase == Phase::Paused))
        .await;
    let hold = rig.board.holds().next().unwrap().clone();
    assert_eq!((hold.owner.as_str(), hold.targets.len()), ("alice", 1));
    rig.submit(Action::ReleaseHold, Subject::Hold { source: Some("local".into()), id: hold.id }).await.unwrap();
    rig.until("no hold", |board| {
        board.holds().count() == 0 && board.rollouts().all(|row| row.phase == Phase::Progressing)
    })
    .await;
    rig.finish().await;
}
