//! kill -9 at each named failpoint of the real program, in the middle of a rollout of each strategy.
//!
//! Whatever dies there, the rollout comes to its end, no process is doubled or lost, no hook runs
//! twice, a migration that was cut off is put before a person, and users get what the board says. `./check` tries each failpoint with one strategy;
//! `FLIGHTDECK_CRASH=all` each with all of them.

use crate::support::live::{EXE, Server, eventually, processes};
use flightdeck::failpoint::{ALL, Process, VARIABLE};
use flightdeck::model::{Phase, Ppm, Rollout};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Instances of a full pool.
const REPLICAS: usize = 2;

#[test]
fn a_canary_survives_each() {
    each(0, r#"canary = { steps = [{ set_weight = 50 }, { pause = { duration = "200ms" } }] }"#);
}

#[test]
fn a_blue_green_switch_survives_each() {
    each(1, r#"blue_green = { checks = [{ pause = { duration = "200ms" } }] }"#);
}

#[test]
fn a_rolling_update_survives_each() {
    each(2, r#"rolling = { max_surge = 1, pause = "200ms" }"#);
}

#[test]
fn a_recreate_survives_each() {
    each(3, "recreate = {}");
}

fn each(turn: usize, strategy: &str) {
    let all = std::env::var("FLIGHTDECK_CRASH").is_ok_and(|value| value == "all");
    let mine = ALL.iter().enumerate().filter(|(index, _)| all || index % 4 == turn);
    for (_, (name, process)) in mine {
        println!("{name}: {strategy}");
        survives(strategy, name, *process);
    }
}

fn survives(strategy: &str, failpoint: &str, process: Process) {
    let token = tempfile::tempdir().unwrap();
    let file = token.path().join("token");
    let armed = format!("{failpoint}@{}", file.display());
    let mut server = Server::start_with_env(&[], &[(VARIABLE, &armed)]);
    std::fs::write(server.path().join("flightdeck.toml"), config(&server, strategy)).unwrap();
    server.ok(&["apply", "--yes", "--wait"]);
    for version in ["1.0", "2.0"] {
        let artifact = server.artifact(version);
        server.ok(&["release", "add", "shop", version, "--artifact", &artifact, "--wait"]);
    }
    server.ok(&["deploy", "shop", "1.0", "--to", "production", "--yes", "--wait"]);
    server.until("1.0 serves", |rollout| serves(rollout, "1.0"));
    // One that only the second version needs.
    let script = format!("echo migrated >> '{}'", server.path().join("runs").display());
    let migration = format!("[[service.shop.migration]]\nname = \"m\"\nrun = [\"/bin/sh\", \"-c\", \"{script}\"]\n");
    std::fs::write(server.path().join("flightdeck.toml"), config(&server, strategy) + &migration).unwrap();
    server.ok(&["apply", "--yes", "--wait"]);
    let first = runs(server.path());
    let users = Users::begin(server.listen);

    std::fs::write(&file, "").unwrap();
    let mut deploying = deploy(&server);
    match process {
        Process::Server => {
            server.until_killed();
            server.start_again();
        }
        Process::Shim | Process::Proxy => eventually(&format!("{failpoint} is passed"), || !file.exists()),
    }
    assert!(!file.exists(), "{failpoint} was not passed");
    deploying.kill().unwrap();
    deploying.wait().unwrap();
    if process == Process::Server {
        // It may have died before it had taken the command; else this is refused. What it says in
        // its first moments, or while the rollout moves on, is asked again.
        eventually(&format!("{failpoint}: the deploy is taken"), || {
            let again = server.run_cli(&["deploy", "shop", "2.0", "--to", "production", "--yes"]);
            again.code == 0 || again.err.contains("already")
        });
    }
    // The first shim is the migration's: how far that came nobody knows. The rollout is over, and the
    // next one asks a person.
    let lost = process == Process::Shim;
    if lost {
        server.until(&format!("{failpoint}: the rollout fails"), |rollout| {
            rollout.phase == Phase::Failed && rollout.message.contains("nobody knows") && serves_all(rollout, "1.0")
        });
        server.ok(&["deploy", "shop", "2.0", "--to", "production", "--yes"]);
        server.until(&format!("{failpoint}: a person is asked"), |rollout| {
            rollout.phase == Phase::Paused && rollout.message.contains("half way")
        });
        server.ok(&["promote", "shop@production", "--yes", "--reason", "the data is right"]);
    }
    let ended = server.until(&format!("{failpoint}: 2.0 serves"), |rollout| serves(rollout, "2.0"));
    for (hook, count) in runs(server.path()) {
        let ran = count - first[&hook];
        assert!(ran == 1 || (ran == 0 && lost && hook == "migrated"), "{failpoint}: {hook} ran {ran} times");
    }
    eventually(&format!("{failpoint}: as many processes as instances"), || samples(server.path()).len() == REPLICAS);
    let failed = users.end();
    let version = ended.stable().unwrap().version.0.clone();
    for _ in 0..20 {
        assert_eq!(get(server.listen), Ok(version.clone()), "{failpoint}");
    }
    if process == Process::Server && !strategy.starts_with("recreate") {
        assert_eq!(failed, 0, "{failpoint}: requests failed");
    }
    server.stop();
}

fn config(server: &Server, strategy: &str) -> String {
    let runs = server.path().join("runs");
    let hook = format!(r#"run = ["/bin/sh", "-c", "echo $FLIGHTDECK_HOOK >> '{}'"]"#, runs.display());
    format!(
        r#"
[environment.production]
[service.shop]
run = ["{EXE}", "sample-app", "--port", "{{port}}", "--version", "{{version}}", "--settings", "app.toml"]
health = {{ path = "/healthz", interval = "100ms", healthy = 1, unhealthy = 5, timeout = "5s" }}
stop = {{ signal = "TERM", grace = "5s" }}
[service.shop.in.production]
listen = "{}"
replicas = {REPLICAS}
keep_warm = "0s"
hooks = [{{ name = "before", on = "before", {hook} }}, {{ name = "after", on = "after", {hook} }}]
{strategy}
"#,
        server.listen
    )
}

fn deploy(server: &Server) -> Child {
    let mut command = crate::support::live::program(server.path());
    command.args(["deploy", "shop", "2.0", "--to", "production", "--yes"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn serves_all(rollout: &Rollout, version: &str) -> bool {
    let stable = rollout.stable().filter(|arm| arm.version.0 == version);
    stable.is_some_and(|arm| arm.traffic.actual == Some(Ppm::ALL))
}

fn serves(rollout: &Rollout, version: &str) -> bool {
    rollout.phase == Phase::Healthy && serves_all(rollout, version)
}

/// How often each hook ran, by its own word.
fn runs(dir: &Path) -> BTreeMap<String, usize> {
    let mut runs =
        ["before", "after", "migrated"].map(|hook| (hook.to_owned(), 0)).into_iter().collect::<BTreeMap<_, _>>();
    for line in std::fs::read_to_string(dir.join("runs")).unwrap_or_default().lines() {
        *runs.entry(line.to_owned()).or_default() += 1;
    }
    runs
}

/// Processes of the service.
fn samples(dir: &Path) -> Vec<PathBuf> {
    let is_sample = |pid: &PathBuf| {
        std::fs::read(pid.join("cmdline")).is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"sample-app"))
    };
    processes(dir).into_iter().map(PathBuf::from).filter(is_sample).collect()
}

/// Someone who asks all the time.
struct Users {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU32>,
    thread: std::thread::JoinHandle<()>,
}

impl Users {
    fn begin(address: SocketAddr) -> Users {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, count) = (stop.clone(), failed.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if get(address).is_err() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        Users { stop, failed, thread }
    }

    /// How many requests failed.
    fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.failed.load(Ordering::Relaxed)
    }
}

/// The version that answers, or what came instead.
fn get(address: SocketAddr) -> Result<String, String> {
    let answer = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        std::io::Result::Ok(text)
    };
    let text = answer().map_err(|error| error.to_string())?;
    let version = text.lines().find_map(|line| line.strip_prefix("x-sample-version: "));
    match version {
        Some(version) if text.starts_with("HTTP/1.1 200") => Ok(version.to_owned()),
        _ => Err(text),
    }
}
