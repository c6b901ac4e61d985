//! Hooks as the engine orders them: begun at most once, and their end is told.

use super::instances::artifact;
use super::{Scratch, exe, until, until_gone};
use flightdeck::engine::core::{JobEnd, JobEvent, JobLaunch, SlotKey};
use flightdeck::engine::process::Identity;
use flightdeck::engine::process::client::recorded;
use flightdeck::engine::process::context::{Context, Report};
use flightdeck::engine::process::identity::with_environment;
use flightdeck::engine::process::supervisor::Supervisor;
use flightdeck::engine::store::Store;
use flightdeck::model::{Limits, SecretRef, StopSpec};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

struct Rig {
    scratch: Scratch,
    room: Supervisor,
    reports: mpsc::UnboundedReceiver<Report>,
    digest: String,
}

fn open(scratch: Scratch) -> Rig {
    let store = Store::open(scratch.path("artifacts")).unwrap();
    let upload = scratch.dir.path().join("upload");
    artifact(&upload, &[("hook", "#!/bin/sh\n. \"$FD_TEST_DIR/script\"\n")]);
    let digest = store.take(&upload, None).unwrap().digest;
    let (report_sender, reports) = mpsc::unbounded_channel();
    let context = Context {
        store,
        exe: exe().to_owned(),
        instances: scratch.path("instances"),
        reports: report_sender,
        drains: mpsc::unbounded_channel().0,
        unpacking: Semaphore::new(1),
    };
    Rig { room: Supervisor::open(context, 1..=1).unwrap(), scratch, reports, digest }
}

impl Rig {
    fn new(script: &str) -> Rig {
        let rig = open(Scratch::new());
        // Each run leaves a line, so that nobody has to believe what is told.
        std::fs::write(rig.file("script"), format!("echo $$ >> \"$FD_TEST_DIR/runs\"\n{script}\n")).unwrap();
        rig
    }

    /// The server dies, and another one comes up.
    fn crash(self) -> Rig {
        let Rig { scratch, room, .. } = self;
        drop(room);
        open(scratch)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.dir.path().join(name)
    }

    fn dir(&self) -> PathBuf {
        self.file("instances").join("J-1")
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.file("runs")).unwrap_or_default().lines().count()
    }

    fn launch(&self, timeout: Duration) -> JobLaunch {
        JobLaunch {
            job: "J-1".into(),
            slot: SlotKey { service: "shop".into(), environment: "dev".into() },
            hook: "smoke".into(),
            one_off: false,
            revision: Some("r-1".into()),
            repeats: false,
            version: "1.0".into(),
            digest: self.digest.clone(),
            run: ["./hook", "{version}", "{listen}"].map(String::from).to_vec(),
            env: BTreeMap::from([
                ("FD_TEST_DIR".into(), self.scratch.dir.path().display().to_string()),
                ("WHERE".into(), "{environment}".into()),
            ]),
            secrets: BTreeMap::new(),
            listen: Some(([127, 0, 0, 1], 4711).into()),
            preview: None,
            timeout: SignedDuration::try_from(timeout).unwrap(),
            run_as: None,
            limits: Limits::default(),
        }
    }

    fn run(&mut self) {
        self.run_for(Duration::from_mins(1));
    }

    fn run_for(&mut self, timeout: Duration) {
        self.room.run(self.launch(timeout));
    }

    async fn event(&mut self) -> JobEvent {
        let report = tokio::time::timeout(Duration::from_secs(20), self.reports.recv()).await.expect("a report");
        let report = report.unwrap();
        self.room.heard(&report);
        match report {
            Report::Job { id, event } if id == "J-1" => event,
            other => panic!("{other:?}"),
        }
    }

    async fn ended(&mut self) -> (JobEnd, Vec<String>) {
        match self.event().await {
            JobEvent::Ended { how, output, .. } => (how, output),
            JobEvent::Gone => panic!("gone before its end was told"),
        }
    }

    /// The processes of the run, its shim not among them.
    fn processes(&self) -> Vec<Identity> {
        let Ok(dir) = self.dir().canonicalize() else { return Vec::new() };
        with_environment(&format!("FLIGHTDECK_INSTANCE_DIR={}", dir.display()))
    }

    async fn until_it_runs(&self) {
        until("the hook's first line", || async { (self.runs() == 1).then_some(()) }).await;
        until("its identity on disk", || async { recorded(&self.dir())?.process }).await;
    }

    async fn is_ended_without_a_trace(&mut self) {
        let shim = recorded(&self.dir()).map(|status| status.shim);
        self.room.end_job("J-1");
        assert_eq!(self.event().await, JobEvent::Gone);
        // Its output, and whose that is, stay for who looks for it later.
        let left: Vec<_> =
            std::fs::read_dir(self.dir()).into_iter().flatten().map(|file| file.unwrap().file_name()).collect();
        assert!(left.iter().all(|file| *file == "log" || *file == "output.json"), "{left:?}");
        assert!(self.processes().is_empty());
        if let Some(shim) = shim {
            until_gone("the end of the shim", &shim).await;
        }
    }
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_hook_runs_in_its_artifact_and_tells_its_status_and_output() {
    for (script, how) in
        [("exit 0", JobEnd::Exited(0)), ("exit 75", JobEnd::Exited(75)), ("kill -KILL $$", JobEnd::Killed(9))]
    {
        let mut rig = Rig::new(&format!("echo \"${{0##*/}} $1 $2 in $WHERE\"; {script}"));
        rig.run();
        assert_eq!(rig.ended().await, (how, lines(&["hook 1.0 127.0.0.1:4711 in dev"])), "{script}");
        rig.is_ended_without_a_trace().await;
    }
}

#[tokio::test]
async fn only_the_last_lines_are_told_and_they_are_harmless() {
    let mut rig = Rig::new("i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; printf 'a\\033[2Jb\\n'");
    rig.run();
    let (how, output) = rig.ended().await;
    assert_eq!((how, output.len()), (JobEnd::Exited(0), 20));
    assert_eq!((output[0].as_str(), output[19].as_str()), ("line 11", "a\u{fffd}[2Jb"));
    rig.is_ended_without_a_trace().await;
}

#[tokio::test]
async fn ordered_again_and_again_it_runs_once() {
    let mut rig = Rig::new("while [ ! -e \"$FD_TEST_DIR/go\" ]; do sleep 0.01; done");
    rig.run();
    rig.run();
    rig.until_it_runs().await;
    std::fs::write(rig.file("go"), "").unwrap();
    assert_eq!(rig.ended().await.0, JobEnd::Exited(0));
    rig.run();
    assert_eq!(rig.ended().await.0, JobEnd::Exited(0), "told again");
    let mut rig = rig.crash();
    rig.run();
    assert_eq!(rig.ended().await.0, JobEnd::Exited(0), "told by the next server too");
    assert_eq!(rig.runs(), 1);
    rig.is_ended_without_a_trace().await;
    rig.is_ended_without_a_trace().await;
}

#[tokio::test]
async fn what_takes_too_long_is_killed_with_all_that_it_started() {
    let mut rig = Rig::new("sleep 1000 & sleep 1000 & wait");
    rig.run_for(Duration::from_millis(700));
    until("its three processes", || async { (rig.processes().len() == 3).then_some(()) }).await;
    let processes = rig.processes();
    assert_eq!(rig.ended().await.0, JobEnd::TimedOut);
    for process in processes {
        until_gone("the end of the group", &process).await;
    }
    // Noted, in case that the server dies before that is journalled.
    let mut rig = rig.crash();
    rig.run();
    assert_eq!(rig.ended().await.0, JobEnd::TimedOut);
    rig.is_ended_without_a_trace().await;
}

#[tokio::test]
async fn a_restarted_server_waits_for_what_runs_and_gives_it_no_more_time() {
    let mut rig = Rig::new("while [ ! -e \"$FD_TEST_DIR/go\" ]; do sleep 0.01; done; sleep 1.5; exit 3");
    rig.run();
    rig.until_it_runs().await;
    let process = recorded(&rig.dir()).unwrap().process.unwrap();
    let mut rig = rig.crash();
    assert_eq!(rig.room.recorded_jobs().unwrap(), ["J-1"]);
    assert!(rig.room.recorded().unwrap().is_empty(), "no instance");
    rig.run();
    until("its age", || async { (process.age() > Duration::from_secs(2)).then_some(()) }).await;
    assert!(process.lives());
    // Its time is over for the one that comes next, since it counts from the start of the process;
    // with fresh time it would come to its own end.
    let mut rig = rig.crash();
    std::fs::write(rig.file("go"), "").unwrap();
    rig.run_for(Duration::from_secs(2));
    assert_eq!(rig.ended().await.0, JobEnd::TimedOut);
    assert_eq!((process.lives(), rig.runs()), (false, 1));
    rig.is_ended_without_a_trace().await;
}

#[tokio::test]
async fn one_that_ended_while_nobody_looked_is_told_with_its_status() {
    let mut rig = Rig::new("while [ ! -e \"$FD_TEST_DIR/go\" ]; do sleep 0.01; done; echo done; exit 7");
    rig.run();
    rig.until_it_runs().await;
    let rig = rig.crash();
    std::fs::write(rig.file("go"), "").unwrap();
    let status = until("its end", || async { recorded(&rig.dir()).filter(|status| status.ended.is_some()) }).await;
    // From the shim, and from the disk alone.
    let mut rig = rig.crash();
    rig.run();
    assert_eq!(rig.ended().await, (JobEnd::Exited(7), lines(&["done"])));
    let rig = rig.crash();
    assert!(status.shim.kill());
    until_gone("the end of the shim", &status.shim).await;
    let mut rig = rig.crash();
    rig.run();
    assert_eq!(rig.ended().await, (JobEnd::Exited(7), lines(&["done"])));
    assert_eq!(rig.runs(), 1);
    rig.is_ended_without_a_trace().await;
}

#[tokio::test]
async fn one_whose_shim_was_killed_is_lost_and_killed() {
    for server_looks in [true, false] {
        let mut rig = Rig::new("sleep 1000 & wait");
        rig.run();
        rig.until_it_runs().await;
        let status = recorded(&rig.dir()).unwrap();
        if !server_looks {
            rig = rig.crash();
        }
        assert!(status.shim.kill());
        if !server_looks {
            until_gone("the end of the shim", &status.shim).await;
            rig.run();
        }
        assert_eq!(rig.ended().await.0, JobEnd::Lost);
        until("the end of what is left", || async { rig.processes().is_empty().then_some(()) }).await;
        let mut rig = rig.crash();
        rig.run();
        assert_eq!(rig.ended().await.0, JobEnd::Lost);
        assert_eq!(rig.runs(), 1);
        rig.is_ended_without_a_trace().await;
    }
}

#[tokio::test]
async fn after_a_reboot_what_had_begun_is_lost_and_nobody_else_is_killed() {
    let mut rig = Rig::new("exec sleep 1000");
    rig.run();
    rig.until_it_runs().await;
    let mut status = recorded(&rig.dir()).unwrap();
    let mut rig = rig.crash();
    assert!(status.shim.kill() && status.process.as_ref().unwrap().kill());
    until("its end", || async { rig.processes().is_empty().then_some(()) }).await;
    // The same numbers belong to others now.
    let foreign = Identity::mine().unwrap();
    status.shim = Identity { boot_id: "before".into(), ..foreign.clone() };
    status.process = Some(Identity { boot_id: "before".into(), ..foreign });
    std::fs::write(rig.dir().join("state.json"), serde_json::to_vec(&status).unwrap()).unwrap();
    rig.run();
    assert_eq!(rig.ended().await.0, JobEnd::Lost);
    // A torn file after a power cut says no more.
    std::fs::write(rig.dir().join("state.json"), "").unwrap();
    let mut rig = rig.crash();
    rig.run();
    assert_eq!(rig.ended().await.0, JobEnd::Lost);
    assert_eq!(rig.runs(), 1);
    rig.is_ended_without_a_trace().await;
}

#[tokio::test]
async fn only_what_never_began_is_started_by_the_next_server() {
    let mut rig = Rig::new("");
    // The server died with everything ready, before its shim had the secrets.
    std::fs::create_dir_all(rig.dir()).unwrap();
    std::fs::write(rig.dir().join("job.json"), serde_json::to_vec(&rig.launch(Duration::ZERO)).unwrap()).unwrap();
    rig.run();
    assert_eq!((rig.ended().await.0, rig.runs()), (JobEnd::Exited(0), 1));
    rig.is_ended_without_a_trace().await;
    // It died a moment later.
    std::fs::create_dir_all(rig.dir()).unwrap();
    std::fs::write(rig.dir().join("begun"), "").unwrap();
    rig.run();
    assert_eq!((rig.ended().await.0, rig.runs()), (JobEnd::Lost, 1));
    // Nor does a shim start what another one began.
    std::fs::create_dir_all(rig.dir().join("log")).unwrap();
    let mut spec = super::spec("J-1", Path::new("/bin/true"), &[], &rig.dir());
    spec.once = true;
    let refused = flightdeck::engine::process::client::launch(exe(), &rig.dir(), &spec, &BTreeMap::new()).await;
    assert!(refused.unwrap_err().to_string().contains("note that it begins"));
}

#[tokio::test]
async fn what_can_t_start_says_so_and_has_done_nothing() {
    let mut rig = Rig::new("");
    let whole = rig.launch(Duration::from_secs(9));
    let secrets = BTreeMap::from([("TOKEN".into(), SecretRef::File("/nowhere/token".into()))]);
    for (launch, expected) in [
        (JobLaunch { run: vec!["bin/missing".into()], ..whole.clone() }, "there is no bin/missing in the artifact"),
        (JobLaunch { digest: format!("sha256:{}", "0".repeat(64)), ..whole.clone() }, "is not stored"),
        (JobLaunch { secrets, ..whole.clone() }, "/nowhere/token"),
    ] {
        rig.room.run(launch);
        match rig.ended().await {
            (JobEnd::NotStarted(why), output) if why.contains(expected) && output.is_empty() => {}
            other => panic!("{other:?}"),
        }
        rig.is_ended_without_a_trace().await;
    }
    assert_eq!(rig.runs(), 0);
}

#[tokio::test]
async fn secrets_reach_the_hook_and_neither_its_log_nor_what_is_told() {
    let mut rig =
        Rig::new("printf 'it is %s' open; sleep 0.05; echo sesame-4711; echo \"$KEY\"; printf 'unended %s' \"$TOKEN\"");
    let (token, key) = (rig.file("token"), rig.file("key"));
    super::secret(&token, "opensesame-4711\n");
    super::secret(&key, "-----BEGIN\nabcdefgh\n-----END\n");
    let mut launch = rig.launch(Duration::from_secs(9));
    launch.secrets = BTreeMap::from([
        ("TOKEN".into(), SecretRef::File(token.display().to_string())),
        ("KEY".into(), SecretRef::Command(vec!["cat".into(), key.display().to_string()])),
    ]);
    rig.room.run(launch);
    let (how, output) = rig.ended().await;
    assert_eq!((how, output), (JobEnd::Exited(0), lines(&["it is •••", "•••", "unended •••"])));
    let log = std::fs::read_to_string(rig.dir().join("log/out.log")).unwrap();
    assert_eq!(log, "it is •••\n•••\nunended •••");
    rig.is_ended_without_a_trace().await;
}

#[tokio::test]
async fn ending_it_kills_what_runs_even_what_left_its_group() {
    let mut rig = Rig::new("setsid sleep 1000 & wait");
    rig.run();
    until("both processes", || async { (rig.processes().len() == 2).then_some(()) }).await;
    let processes = rig.processes();
    rig.room.end_job("J-1");
    assert_eq!(rig.event().await, JobEvent::Gone);
    assert!(!rig.dir().join("root").exists() && !rig.dir().join("job.json").exists());
    for process in processes {
        until_gone("the end of its processes", &process).await;
    }
}

#[tokio::test]
async fn a_server_that_ends_with_all_it_started_leaves_a_lost_hook() {
    let mut rig = Rig::new("sleep 1000");
    rig.run();
    rig.until_it_runs().await;
    let Rig { scratch, mut room, .. } = rig;
    room.abandon_jobs();
    room.leave().await;
    let mut rig = open(scratch);
    until("its end", || async { rig.processes().is_empty().then_some(()) }).await;
    rig.run();
    assert_eq!((rig.ended().await.0, rig.runs()), (JobEnd::Lost, 1));
    rig.is_ended_without_a_trace().await;
}

#[tokio::test]
async fn one_that_is_stopped_is_signalled_and_killed_where_that_does_not_do() {
    let stop = |grace| StopSpec { signal: "TERM".into(), grace: SignedDuration::from_millis(grace) };
    for (script, how) in [
        ("trap 'exit 4' TERM; while :; do sleep 0.02; done", JobEnd::Exited(4)),
        ("trap '' TERM; while :; do sleep 0.02; done", JobEnd::Killed(9)),
    ] {
        // Noted once its trap stands.
        let mut rig = Rig::new(&script.replace("; while", "; echo > \"$FD_TEST_DIR/set\"; while"));
        rig.run();
        rig.until_it_runs().await;
        until("its trap", || async { rig.file("set").exists().then_some(()) }).await;
        rig.room.stop_job("J-1", stop(200));
        assert_eq!(rig.ended().await.0, how, "{script}");
        rig.room.stop_job("J-1", stop(200));
        rig.is_ended_without_a_trace().await;
    }
}
