//! Instances as the engine orders them, with the reports that it gets.

use super::{Scratch, exe, until, until_gone};
use flightdeck::engine::core::{InstanceEvent, Launch, SlotKey};
use flightdeck::engine::process::client::recorded;
use flightdeck::engine::process::context::{Context, Drain, Report};
use flightdeck::engine::process::identity::with_environment;
use flightdeck::engine::process::supervisor::Supervisor;
use flightdeck::engine::process::{Identity, log};
use flightdeck::engine::store::Store;
use flightdeck::model::{Cause, HealthSpec, Limits, Probe, SecretRef, StopSpec};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Ports that no other test of this binary is given.
pub fn ports(count: u16) -> RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    let first = NEXT.fetch_add(count, Ordering::Relaxed);
    first..=first + count - 1
}

/// A gzipped archive with these files; executable.
pub fn artifact(path: &Path, files: &[(&str, &str)]) {
    let file = std::fs::File::create(path).unwrap();
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
}

pub struct Rig {
    pub scratch: Scratch,
    pub room: Supervisor,
    store: Store,
    reports: mpsc::UnboundedReceiver<Report>,
    drains: mpsc::UnboundedReceiver<Drain>,
    /// What was told of drains.
    drained: Vec<InstanceEvent>,
    digest: String,
}

/// With an artifact of these files.
pub fn open_with(scratch: Scratch, ports: RangeInclusive<u16>, files: &[(&str, &str)]) -> Rig {
    let store = Store::open(scratch.path("artifacts")).unwrap();
    let upload = scratch.dir.path().join("upload");
    artifact(&upload, files);
    let digest = store.take(&upload, None).unwrap().digest;
    open(scratch, ports, Some(digest))
}

fn open(scratch: Scratch, ports: RangeInclusive<u16>, digest: Option<String>) -> Rig {
    let store = Store::open(scratch.path("artifacts")).unwrap();
    let digest = digest.unwrap_or_else(|| {
        let upload = scratch.dir.path().join("upload");
        artifact(&upload, &[("data.txt", "content")]);
        store.take(&upload, None).unwrap().digest
    });
    let (report_sender, reports) = mpsc::unbounded_channel();
    let (drain_sender, drains) = mpsc::unbounded_channel();
    let context = Context {
        store: store.clone(),
        exe: exe().to_owned(),
        instances: scratch.path("instances"),
        reports: report_sender,
        drains: drain_sender,
        unpacking: Semaphore::new(1),
    };
    Rig {
        room: Supervisor::open(context, ports).unwrap(),
        scratch,
        store,
        reports,
        drains,
        drained: Vec::new(),
        digest,
    }
}

fn rig() -> Rig {
    open(Scratch::new(), ports(4), None)
}

impl Rig {
    pub fn launch(&self, id: &str, args: &[&str]) -> Launch {
        let run = ["{flightdeck}", "sample-app", "--port", "{port}", "--version", "{version}"];
        Launch {
            instance: id.into(),
            slot: SlotKey { service: "shop".into(), environment: "dev".into() },
            pool: "P-1".into(),
            revision: Some("r-1".into()),
            version: "1.0".into(),
            digest: self.digest.clone(),
            run: run.iter().chain(args).map(ToString::to_string).collect(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: HealthSpec {
                probe: Probe::Http { path: "/healthz".into() },
                interval: SignedDuration::from_millis(50),
                healthy: 2,
                unhealthy: 2,
                timeout: SignedDuration::from_millis(500),
            },
            stop: StopSpec { signal: "TERM".into(), grace: SignedDuration::from_secs(5) },
            attempt: 0,
            run_as: None,
            limits: Limits::default(),
        }
    }

    /// The next report; drains are answered at once, as by a proxy without requests.
    async fn report(&mut self) -> (String, InstanceEvent) {
        let deadline = tokio::time::sleep(Duration::from_secs(20));
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                report = self.reports.recv() => {
                    let report = report.unwrap();
                    self.room.heard(&report);
                    match report {
                        Report::Instance { event, .. } if is_of_drain(&event) => self.drained.push(event),
                        Report::Instance { id, event } => return (id, event),
                        Report::Job { .. } => panic!("{report:?} of no hook"),
                    }
                }
                Some(drain) = self.drains.recv() => drain.done.send(Some(0)).unwrap(),
                () = &mut deadline => panic!("no report came"),
            }
        }
    }

    pub async fn event(&mut self) -> InstanceEvent {
        self.report().await.1
    }

    pub async fn started(&mut self) -> Identity {
        match self.event().await {
            InstanceEvent::Started { pid, .. } => Identity::of(pid).unwrap(),
            other => panic!("{other:?} instead of Started"),
        }
    }

    /// Passes over what a slow machine may bring in between.
    pub async fn told(&mut self, what: &str, wanted: impl Fn(&InstanceEvent) -> bool) -> InstanceEvent {
        loop {
            let event = self.event().await;
            if wanted(&event) {
                return event;
            }
            let passing = matches!(event, InstanceEvent::Ready | InstanceEvent::Unhealthy { .. });
            assert!(passing, "{event:?} instead of {what}");
        }
    }

    async fn exited(&mut self) -> String {
        match self.told("its end", |event| matches!(event, InstanceEvent::Exited { .. })).await {
            InstanceEvent::Exited { why, .. } => why,
            other => panic!("{other:?}"),
        }
    }

    pub async fn start_failed(&mut self) -> (String, bool) {
        match self.event().await {
            InstanceEvent::StartFailed { why, permanent, .. } => (why, permanent),
            other => panic!("{other:?} instead of StartFailed"),
        }
    }

    pub fn dir(&self, id: &str) -> PathBuf {
        self.scratch.path("instances").join(id)
    }

    /// What it wrote.
    pub fn log(&self, id: &str) -> Vec<String> {
        log::tail(&self.dir(id).join("log"), 100).unwrap_or_default()
    }

    pub fn stop(&mut self, id: &str) {
        self.room.stop(id, StopSpec { signal: "TERM".into(), grace: SignedDuration::from_secs(5) }, None);
    }
}

fn is_of_drain(event: &InstanceEvent) -> bool {
    matches!(event, InstanceEvent::Draining { .. } | InstanceEvent::Drained { .. })
}

#[tokio::test]
async fn an_instance_starts_gets_ready_drains_stops_and_leaves_only_its_log() {
    let mut rig = rig();
    rig.room.start(rig.launch("i-1", &[]));
    let process = rig.started().await;
    rig.told("its readiness", |event| *event == InstanceEvent::Ready).await;
    rig.room.start(rig.launch("i-1", &[])); // the same attempt: left alone
    rig.stop("i-1");
    let drain = tokio::time::timeout(Duration::from_secs(20), rig.drains.recv()).await.expect("it is drained").unwrap();
    assert_eq!((drain.instance.as_str(), process.lives()), ("i-1", true), "drained before it is signalled");
    drain.done.send(Some(2)).unwrap();
    assert_eq!(rig.event().await, InstanceEvent::Stopped);
    let bound = SignedDuration::from_secs(5);
    assert_eq!(rig.drained, [InstanceEvent::Draining { bound }, InstanceEvent::Drained { remaining: Some(2) }]);
    assert!(!process.lives());
    let mut left: Vec<_> = std::fs::read_dir(rig.dir("i-1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["log", "output.json"]);
    assert!(!log::tail(&rig.dir("i-1").join("log"), 1).unwrap().is_empty());
    rig.stop("i-1");
    assert_eq!(rig.event().await, InstanceEvent::Stopped, "stopping what does not run is answered too");
}

#[tokio::test]
async fn one_that_ignores_its_signal_is_killed_with_its_group_after_its_grace() {
    let mut rig = rig();
    let mut launch = rig.launch("i-1", &[]);
    launch.run = ["/bin/sh", "-c", "trap '' TERM; sleep 1000 & while :; do wait; done"].map(String::from).to_vec();
    rig.room.start(launch);
    let process = rig.started().await;
    let entry = format!("FLIGHTDECK_INSTANCE_DIR={}", rig.dir("i-1").canonicalize().unwrap().display());
    until("two processes", || async { (with_environment(&entry).len() == 2).then_some(()) }).await;
    rig.room.stop("i-1", StopSpec { signal: "TERM".into(), grace: SignedDuration::from_millis(100) }, None);
    while rig.event().await != InstanceEvent::Stopped {}
    assert!(!process.lives());
    assert!(with_environment(&entry).iter().all(|left| !left.lives()));
}

#[tokio::test]
async fn what_can_t_start_says_why_and_whether_trying_again_helps() {
    let mut rig = rig();
    let mut launch = rig.launch("i-1", &[]);
    launch.run = vec!["bin/missing".into()];
    rig.room.start(launch);
    assert_eq!(
        rig.start_failed().await,
        ("cannot run the command: there is no bin/missing in the artifact".into(), true)
    );

    let mut launch = rig.launch("i-2", &[]);
    launch.digest = format!("sha256:{}", "0".repeat(64));
    rig.room.start(launch);
    let (why, permanent) = rig.start_failed().await;
    assert!(why.contains("is not stored") && permanent, "{why}");

    let mut launch = rig.launch("i-3", &[]);
    launch.secrets = BTreeMap::from([("TOKEN".into(), SecretRef::File("/nowhere/token".into()))]);
    rig.room.start(launch);
    let (why, permanent) = rig.start_failed().await;
    assert!(why.contains("TOKEN") && why.contains("/nowhere/token") && permanent, "{why}");

    let mut launch = rig.launch("i-5", &[]);
    let say_and_fail = ["sh", "-c", "echo opensesame; echo opensesame >&2; exit 3"].map(String::from).to_vec();
    launch.secrets = BTreeMap::from([("TOKEN".into(), SecretRef::Command(say_and_fail))]);
    rig.room.start(launch);
    let (why, permanent) = rig.start_failed().await;
    assert!(why.starts_with("cannot read the secret TOKEN: ") && why.contains("exit status: 3"), "{why}");
    assert!(!why.contains("opensesame") && !permanent, "{why}");

    rig.room.start(Launch { instance: "../i-4".into(), ..rig.launch("", &[]) });
    assert!(rig.start_failed().await.1);
}

#[tokio::test]
async fn an_artifact_that_changed_on_disk_is_never_run() {
    use std::os::unix::fs::PermissionsExt;
    let mut rig = rig();
    let blob = rig.scratch.dir.path().join("artifacts").join(rig.digest.trim_start_matches("sha256:"));
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o600)).unwrap();
    artifact(&blob, &[("data.txt", "other content")]);
    rig.room.start(rig.launch("i-1", &[]));
    let (why, permanent) = rig.start_failed().await;
    assert!(why.contains(&rig.digest) && why.contains("expected") && permanent, "{why}");
    assert_eq!(recorded(&rig.dir("i-1")), None, "no shim was started");
    drop(rig.store);
}

#[tokio::test]
async fn a_port_in_use_is_not_given_and_none_left_is_said() {
    let range = ports(2);
    let taken = TcpListener::bind(("127.0.0.1", *range.start())).unwrap();
    let mut rig = open(Scratch::new(), range.clone(), None);
    rig.room.start(rig.launch("i-1", &[]));
    match rig.event().await {
        InstanceEvent::Started { address, .. } => assert_eq!(address.port(), *range.end()),
        other => panic!("{other:?}"),
    }
    rig.room.start(rig.launch("i-2", &[]));
    let failed = loop {
        let (id, event) = rig.report().await;
        if id == "i-2" {
            break event;
        }
    };
    let why = format!("no free port in {}–{}", range.start(), range.end());
    assert_eq!(failed, InstanceEvent::StartFailed { why, permanent: false, diagnosis: None });
    drop(taken);
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}
}

#[tokio::test]
async fn a_failing_health_path_and_a_crash_are_told_with_their_reason() {
    let mut rig = rig();
    rig.room.start(rig.launch("i-1", &["--healthz-fail"]));
    rig.started().await;
    let says = |event: &InstanceEvent| match event {
        InstanceEvent::Unhealthy { why, diagnosis: Some(found) } => {
            why.starts_with("GET /healthz answered 503; the app answers /healthz with an error")
                && matches!(&found.cause, Some(Cause::HealthStatus { status: 503, .. }))
        }
        _ => false,
    };
    rig.told("why it is unhealthy", says).await;
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}

    for attempt in 0..2 {
        rig.room.start(Launch { attempt, ..rig.launch("i-2", &["--crash-after", "0.05"]) });
        rig.started().await;
        let why = rig.exited().await;
        assert!(why.starts_with("exit status ") && why.contains("crashed as asked"), "{why}");
    }
}

#[tokio::test]
async fn a_port_that_takes_a_connection_is_enough_where_no_path_is_asked_for() {
    let mut rig = rig();
    let tcp =
        |launch: Launch| Launch { health: HealthSpec { probe: Probe::Tcp {}, ..launch.health.clone() }, ..launch };
    // Its path would not do.
    rig.room.start(tcp(rig.launch("i-1", &["--healthz-fail"])));
    rig.started().await;
    rig.told("its readiness", |event| *event == InstanceEvent::Ready).await;
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}
    let mut launch = tcp(rig.launch("i-2", &[]));
    launch.run = vec!["/bin/sleep".into(), "1000".into()];
    rig.room.start(launch);
    rig.started().await;
    let says = |event: &InstanceEvent| match event {
        InstanceEvent::Unhealthy { why, diagnosis: Some(found) } => {
            why.starts_with("TCP connect: Connection refused")
                && matches!(&found.cause, Some(Cause::NotListening { .. }))
        }
        _ => false,
    };
    rig.told("why it is unhealthy", says).await;
    rig.stop("i-2");
    while rig.event().await != InstanceEvent::Stopped {}
}

#[tokio::test]
async fn one_that_listens_nowhere_becomes_unhealthy_and_one_that_answers_never_too() {
    let mut rig = rig();
    let mut launch = rig.launch("i-1", &[]);
    launch.run = vec!["/bin/sleep".into(), "1000".into()];
    rig.room.start(launch);
    rig.started().await;
    let refused =
        |event: &InstanceEvent| matches!(event, InstanceEvent::Unhealthy { why, .. } if why.contains("refused"));
    rig.told("why it is unhealthy", refused).await;
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}
}

#[tokio::test]
async fn a_secret_reaches_the_process_and_no_file() {
    let mut rig = rig();
    let path = rig.scratch.dir.path().join("secret");
    super::secret(&path, "opensesame-4711\n");
    let mut launch = rig.launch("i-1", &[]);
    launch.secrets = BTreeMap::from([("TOKEN".into(), SecretRef::File(path.display().to_string()))]);
    launch.env = BTreeMap::from([("WHO".into(), "{instance} of {environment}".into())]);
    rig.room.start(launch);
    let process = rig.started().await;
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", process.pid)).unwrap();
    let variables: Vec<&str> = environment.split('\0').collect();
    assert!(variables.contains(&"TOKEN=opensesame-4711") && variables.contains(&"WHO=i-1 of dev"), "{variables:?}");
    assert!(!variables.iter().any(|variable| variable.starts_with("CARGO_")), "the server's own stay with it");
    let shim = recorded(&rig.dir("i-1")).unwrap().shim.pid;
    let of_shim = std::fs::read_to_string(format!("/proc/{shim}/environ")).unwrap()
        + &std::fs::read_to_string(format!("/proc/{shim}/cmdline")).unwrap();
    assert!(!of_shim.contains("opensesame"));
    let mut dirs = vec![rig.dir("i-1")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else if entry.file_type().unwrap().is_file() {
                let content = std::fs::read(entry.path()).unwrap();
                assert!(!String::from_utf8_lossy(&content).contains("opensesame"), "{:?}", entry.path());
            }
        }
    }
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}
}

#[tokio::test]
async fn a_killed_shim_takes_its_instance_with_it_and_that_is_told() {
    let mut rig = rig();
    rig.room.start(rig.launch("i-1", &[]));
    let process = rig.started().await;
    assert!(recorded(&rig.dir("i-1")).unwrap().shim.kill());
    let why = rig.exited().await;
    assert!(why.contains("its shim is gone"), "{why}");
    until_gone("the end of the process", &process).await;
    rig.room.start(Launch { attempt: 1, ..rig.launch("i-1", &[]) });
    assert!(rig.started().await.lives());
}

#[tokio::test]
async fn after_a_restart_each_process_is_adopted_or_its_end_is_told_and_none_is_doubled() {
    let mut rig = rig();
    let range = ports(4);
    let mut before = Vec::new();
    for id in ["i-1", "i-2", "i-3"] {
        rig.room.start(rig.launch(id, &[]));
        loop {
            if let InstanceEvent::Started { pid, address, .. } = rig.event().await {
                before.push((pid, address));
                break;
            }
        }
    }
    // The server dies; meanwhile one instance ends, and another loses its shim.
    let Rig { scratch, room, digest, .. } = rig;
    drop(room);
    assert!(recorded(&scratch.path("instances/i-2")).unwrap().process.unwrap().kill());
    let ended = || async { recorded(&scratch.path("instances/i-2"))?.ended };
    until("its shim to see the end", ended).await;
    let orphan = recorded(&scratch.path("instances/i-3")).unwrap();
    assert!(orphan.shim.kill());

    let mut rig = open(scratch, range, Some(digest));
    let mut recorded_ids = rig.room.recorded().unwrap();
    recorded_ids.sort();
    assert_eq!(recorded_ids, ["i-1", "i-2", "i-3"]);
    rig.room.start(rig.launch("i-1", &[])); // its start was not acknowledged when the server died
    rig.room.adopt("i-2");
    rig.room.adopt("i-3");
    let mut told = BTreeMap::new();
    while told.len() < 3 {
        let (id, event) = rig.report().await;
        if !matches!(event, InstanceEvent::Ready | InstanceEvent::Unhealthy { .. }) {
            told.insert(id, event);
        }
    }
    let (pid, address) = before[0];
    assert_eq!(told["i-1"], InstanceEvent::Started { pid, address, limits: Vec::new() }, "the same process");
    assert!(
        matches!(&told["i-2"], InstanceEvent::Exited { why, .. } if why.starts_with("killed by signal 9")),
        "{told:?}"
    );
    assert!(matches!(&told["i-3"], InstanceEvent::Exited { why, .. } if why.contains("shim is gone")), "{told:?}");
    until_gone("the end of the orphan", &orphan.process.unwrap()).await;
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}
}

/// A worker's launch: it only sleeps.
fn worker(rig: &Rig, id: &str, probe: Probe) -> Launch {
    let mut launch = rig.launch(id, &[]);
    launch.run = vec!["/bin/sleep".into(), "1000".into()];
    launch.health = HealthSpec { probe, healthy: 1, ..launch.health };
    launch
}

#[tokio::test]
async fn what_still_runs_after_a_while_is_ready_and_stays_so() {
    let mut rig = rig();
    let ready_after = SignedDuration::from_millis(300);
    rig.room.start(worker(&rig, "i-1", Probe::Runs { ready_after }));
    let process = rig.started().await;
    assert_eq!(rig.event().await, InstanceEvent::Ready);
    assert!(process.age() >= Duration::from_millis(300), "not before its time");
    // What ends before its time never was.
    let mut short = worker(&rig, "i-2", Probe::Runs { ready_after: SignedDuration::from_secs(20) });
    short.run = vec!["/bin/sh".into(), "-c".into(), "sleep 0.1; exit 3".into()];
    rig.room.start(short);
    rig.started().await;
    let why = rig.exited().await;
    assert!(why.starts_with("exit status 3"), "{why}");
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}
}

#[tokio::test]
async fn a_program_says_whether_an_instance_is_well_as_that_is_run() {
    let script = "#!/bin/sh\n[ \"$MODE\" = on ] && [ \"$TOKEN\" = s3cret ] && [ -e up ] && exit 0\n\
                  head -c 300000 /dev/zero | tr '\\0' x\nprintf '\\nlooked\\nnot up with %s\\n' $TOKEN >&2\nexit 7\n";
    let slow = "#!/bin/sh\necho waits for a lock\nsleep 60\n";
    let mut rig = open_with(Scratch::new(), ports(4), &[("bin/alive", script), ("bin/slow", slow)]);
    let secret = rig.scratch.dir.path().join("token");
    std::fs::write(&secret, "s3cret").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut launch = worker(&rig, "i-1", Probe::Command { command: vec!["bin/alive".into(), "{version}".into()] });
    launch.env = BTreeMap::from([("MODE".to_owned(), "on".to_owned())]);
    launch.secrets = BTreeMap::from([("TOKEN".to_owned(), SecretRef::File(secret.display().to_string()))]);
    rig.room.start(launch);
    rig.started().await;
    // Its last words are told, however much it wrote before, and no secret.
    let no = |event: &InstanceEvent| {
        matches!(event, InstanceEvent::Unhealthy { why, .. }
        if why.starts_with("bin/alive: exit status 7; the check wrote: xxx") && why.ends_with("x / looked / not up with •••"))
    };
    rig.told("that it is not up", no).await;
    let up = rig.scratch.path("instances").join("i-1/root/up");
    std::fs::write(&up, "").unwrap();
    rig.told("that it is up, with its variables and secrets", |event| *event == InstanceEvent::Ready).await;
    std::fs::remove_file(&up).unwrap();
    rig.told("that it is not up any more", no).await;
    rig.stop("i-1");
    while rig.event().await != InstanceEvent::Stopped {}

    // One that hangs is ended, and nothing of it is taken for what the instance leaves behind.
    let mut hangs = worker(&rig, "i-2", Probe::Command { command: vec!["bin/slow".into()] });
    hangs.run = vec!["/bin/sh".into(), "-c".into(), "sleep 2".into()];
    hangs.health.timeout = SignedDuration::from_millis(200);
    rig.room.start(hangs);
    rig.started().await;
    let late = |event: &InstanceEvent| {
        matches!(event, InstanceEvent::Unhealthy { why, .. }
        if why == "bin/slow: did not end within 200 ms; the check wrote: waits for a lock")
    };
    rig.told("that it hangs", late).await;
    let why = rig.exited().await;
    assert!(why.starts_with("exit status 0") && !why.contains("processes"), "{why}");

    // One that is not there is found out before anything runs.
    rig.room.start(worker(&rig, "i-3", Probe::Command { command: vec!["bin/missing".into()] }));
    match rig.event().await {
        InstanceEvent::StartFailed { why, permanent: true, .. } => assert!(why.contains("bin/missing"), "{why}"),
        other => panic!("{other:?}"),
    }
}
