//! Instances and hooks as another user and within limits, as far as this machine lets a test try that.

use super::instances::{Rig, open_with, ports};
use super::{Scratch, until};
use flightdeck::engine::core::{InstanceEvent, Launch};
use flightdeck::model::{KeptBy, Limit, LimitKept, Limits, RunAs};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn nobody() -> RunAs {
    RunAs { user: "nobody".into(), group: None, groups: Vec::new() }
}

/// A rig whose files others may get to, as those of a service in `/var/lib`.
fn rig() -> Rig {
    let scratch = Scratch::new();
    std::fs::set_permissions(scratch.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = "#!/bin/sh\nid -u; id -g; ulimit -n; ulimit -d; pwd; echo \"$HOME\"; echo x > written; echo to >/dev/stdout\nexec \"$@\"\n";
    open_with(scratch, ports(4), &[("bin/app", script)])
}

fn launch(rig: &Rig, run_as: Option<RunAs>, limits: Limits) -> Launch {
    let launch = rig.launch("i-1", &[]);
    let run = std::iter::once("bin/app".to_owned()).chain(launch.run.clone()).collect();
    Launch { run, run_as, limits, ..launch }
}

#[tokio::test]
async fn limits_reach_the_program_and_what_keeps_each_is_told() {
    let mut rig = rig();
    let limits = Limits { memory: Some(256 << 20), cpu: Some(500), files: Some(321), processes: None };
    rig.room.start(launch(&rig, None, limits));
    let told = match rig.event().await {
        InstanceEvent::Started { limits, .. } => limits,
        other => panic!("{other:?}"),
    };
    let files = LimitKept { limit: Limit::Files, by: KeptBy::Process };
    assert!(told.len() == 3 && told.contains(&files), "{told:?}");
    let memory = told.iter().find(|kept| kept.limit == Limit::Memory).unwrap();
    assert_ne!(memory.by, KeptBy::Nothing);
    let cpu = told.iter().find(|kept| kept.limit == Limit::Cpu).unwrap();
    assert_eq!((cpu.by == KeptBy::Nothing), cpu.lacking().is_some(), "nothing is kept without a cgroup");
    rig.told("that it is ready", |event| *event == InstanceEvent::Ready).await;
    let said = until("its output", || async { Some(rig.log("i-1")).filter(|lines| lines.len() >= 7) }).await;
    assert_eq!(said[2], "321", "{said:?}");
    if memory.by == KeptBy::Process {
        assert_eq!(said[3], (256 << 10).to_string(), "in KiB: {said:?}");
    }
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}
}

#[tokio::test]
async fn an_instance_runs_as_its_user_with_files_of_its_own() {
    if !is_root() {
        eprintln!("not tried: only root can start something as another user");
        return;
    }
    let mut rig = rig();
    rig.room.start(launch(&rig, Some(nobody()), Limits::default()));
    rig.started().await;
    rig.told("that it is ready", |event| *event == InstanceEvent::Ready).await;
    let said = until("its output", || async { Some(rig.log("i-1")).filter(|lines| lines.len() >= 7) }).await;
    assert_eq!(said[0], "65534", "{said:?}");
    assert!(said.contains(&"to".to_owned()), "it may open its own standard output: {said:?}");
    let written = std::fs::metadata(rig.dir("i-1").join("root/written")).unwrap();
    assert_eq!(written.uid(), 65534, "its folder is its own");
    let log = std::fs::metadata(rig.dir("i-1").join("log")).unwrap();
    assert_eq!((log.uid(), log.mode() & 0o777), (0, 0o700), "its log is the server's alone");
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}

    let unknown = RunAs { user: "no-such-user".into(), ..nobody() };
    rig.room.start(Launch { attempt: 1, ..launch(&rig, Some(unknown), Limits::default()) });
    let (why, permanent) = rig.start_failed().await;
    assert!(why.contains("there is no user \"no-such-user\"") && permanent, "{why}");
}

#[tokio::test]
async fn what_its_user_could_never_get_to_is_not_started() {
    if !is_root() {
        eprintln!("not tried: only root can start something as another user");
        return;
    }
    // As a data folder in somebody's home: closed above what is the server's own.
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let scratch = Scratch { dir: tempfile::tempdir_in(home.path()).unwrap() };
    let mut rig = open_with(scratch, ports(1), &[("bin/app", "#!/bin/sh\n")]);
    rig.room.start(launch(&rig, Some(nobody()), Limits::default()));
    let (why, permanent) = rig.start_failed().await;
    let closed = format!("nobody may not enter {}", home.path().canonicalize().unwrap().display());
    assert!(why.starts_with(&closed) && why.contains("FLIGHTDECK_DATA_DIR") && permanent, "{why}");
}
