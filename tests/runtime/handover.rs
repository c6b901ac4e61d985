//! A proxy in the place of another one, under load.

use super::rig::{Rig, alive};
use crate::process::{exe, until};
use flightdeck::demo::load::Summary;
use flightdeck::engine::process::Identity;
use flightdeck::engine::process::client::recorded;
use flightdeck::engine::runtime::Stop;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Child;

/// Kept-alive and fresh connections, and streams.
fn load(rig: &Rig) -> Child {
    tokio::process::Command::new(exe())
        .args(["load", "--rate", "200", "--connections", "8", "--fresh", "0.3", "--streams", "2"])
        .args(["--stream-seconds", "1", "--target", &format!("http://127.0.0.1:{}/", rig.listen)])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn summary(load: Child) -> Summary {
    let pid = rustix::process::Pid::from_raw(i32::try_from(load.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    serde_json::from_slice(&load.wait_with_output().await.unwrap().stdout).unwrap()
}

fn proxy(dir: &Path) -> Option<Identity> {
    recorded(dir)?.process
}

fn old(rig: &Rig) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(rig.scratch.path("data")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("proxy.")).collect()
}

async fn another(rig: &Rig, before: &Identity) -> Identity {
    let dir = rig.scratch.path("data").join("proxy");
    let new = until("another proxy", || async { proxy(&dir).filter(|process| process != before) }).await;
    until("the end of the old proxy", || async { (!before.lives() && old(rig).is_empty()).then_some(()) }).await;
    assert!(new.lives());
    new
}

/// Waits until the server has counted so many requests more that two such waits are over two hundred
/// answers, streams left out.
async fn served(rig: &Rig, what: &str) {
    let count = || rig.engine.metrics().iter().map(|of| of.requests).sum::<u64>();
    let before = count();
    until(what, || async { (count() > before + 120).then_some(()) }).await;
}

#[tokio::test]
async fn a_newer_program_replaces_server_and_proxy_and_no_request_is_lost() {
    let mut rig = Rig::new();
    // The same program in another file is another program.
    let before = rig.scratch.dir.path().join("flightdeck-before");
    std::fs::copy(exe(), &before).unwrap();
    rig.restart_as(&before).await;
    rig.apply(2, "", "").await;
    rig.healthy("1.0").await;
    let load = load(&rig);
    let dir = rig.scratch.path("data").join("proxy");
    let first = proxy(&dir).unwrap();
    served(&rig, "some requests").await;
    rig.die().await;
    rig.restart();
    let second = another(&rig, &first).await;
    served(&rig, "requests over the new one").await;
    // It stays: the same program is not replaced.
    rig.die().await;
    rig.restart();
    rig.until("the link", |board| matches!(board.link(&"local".into()), flightdeck::model::LinkState::Live { .. }))
        .await;
    assert_eq!(proxy(&dir).as_ref(), Some(&second));
    let summary = summary(load).await;
    assert!(summary.failed.total() == 0 && summary.ok > 200 && summary.streams > 0, "{summary:#?}");
    // Its shim starts it again as it would have started the first.
    assert!(second.kill());
    until("another process", || async { proxy(&dir).filter(|process| *process != second) }).await;
    assert_eq!(rig.get().await.unwrap(), "1.0");
    rig.finish().await;
}

#[tokio::test]
async fn a_proxy_whose_shim_is_killed_is_replaced_and_no_request_is_lost() {
    let mut rig = Rig::new();
    rig.apply(2, "", "").await;
    rig.healthy("1.0").await;
    let load = load(&rig);
    let dir = rig.scratch.path("data").join("proxy");
    let first = proxy(&dir).unwrap();
    served(&rig, "some requests").await;
    assert!(recorded(&dir).unwrap().shim.kill());
    another(&rig, &first).await;
    served(&rig, "requests over the new one").await;
    let summary = summary(load).await;
    assert!(summary.failed.total() == 0 && summary.ok > 200, "{summary:#?}");
    rig.finish().await;
}

#[tokio::test]
async fn a_handover_that_a_crash_cut_is_finished_by_the_next_engine() {
    let mut rig = Rig::new();
    rig.apply(1, "", "").await;
    rig.healthy("1.0").await;
    let data = rig.scratch.path("data");
    let first = proxy(&data.join("proxy")).unwrap();
    rig.die().await;
    // As it stands between the two renames: the old one has left its place, the new one is not in it.
    std::fs::rename(data.join("proxy"), data.join("proxy.next")).unwrap();
    rig.restart();
    rig.until("the link", |board| matches!(board.link(&"local".into()), flightdeck::model::LinkState::Live { .. }))
        .await;
    assert_eq!(proxy(&data.join("proxy")), Some(first));
    assert_eq!(rig.get().await.unwrap(), "1.0");
    rig.finish().await;
}

#[tokio::test]
async fn nothing_runs_on_when_everything_is_told_to_end_during_a_handover() {
    let mut rig = Rig::new();
    let before = rig.scratch.dir.path().join("flightdeck-before");
    std::fs::copy(exe(), &before).unwrap();
    rig.restart_as(&before).await;
    rig.apply(1, "", "").await;
    rig.healthy("1.0").await;
    let first = proxy(&rig.scratch.path("data").join("proxy")).unwrap();
    // A stream that keeps the old one busy.
    let url = format!("http://127.0.0.1:{}/stream?seconds=3600", rig.listen);
    let mut stream = reqwest::get(url).await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    rig.die().await;
    rig.restart();
    let dir = rig.scratch.path("data").join("proxy");
    let second = until("another proxy", || async { proxy(&dir).filter(|process| *process != first) }).await;
    until("the old one to finish", || async { old(&rig).iter().any(|dir| dir.ends_with("proxy.old-0")).then_some(()) })
        .await;
    assert!(first.lives() && stream.chunk().await.unwrap().is_some(), "it goes on");
    // The next engine finds it, and does not hurry it.
    rig.die().await;
    rig.restart();
    rig.until("the link", |board| matches!(board.link(&"local".into()), flightdeck::model::LinkState::Live { .. }))
        .await;
    assert!(first.lives() && stream.chunk().await.unwrap().is_some(), "it goes on");
    rig.engine.shutdown(Stop::Everything).await;
    until("the end of both", || async { (!alive(first.pid) && !alive(second.pid)).then_some(()) }).await;
    rig.finish().await;
}
