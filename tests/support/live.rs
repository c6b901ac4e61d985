//! A real server with real processes in a scratch directory of its own.

use flightdeck::client::Client;
use flightdeck::model::{Action, Phase, Query, Reply, Rollout};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The program under test.
pub const EXE: &str = env!("CARGO_BIN_EXE_flightdeck");
/// Nothing that these tests wait for takes so long on a machine that is merely busy.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// A running server, ended with all its instances when it is dropped (or the test is killed).
pub struct Server {
    pub dir: tempfile::TempDir,
    child: Option<Child>,
    /// Where its instances listen.
    ports: String,
    /// More of its environment.
    env: Vec<(String, String)>,
    /// Where users reach the service `shop` in production.
    pub listen: SocketAddr,
}

/// The environment of a program that works in `dir` alone.
pub fn program(dir: &Path) -> Command {
    let mut command = Command::new(EXE);
    for (name, folder) in [("CONFIG", "config"), ("DATA", "data"), ("STATE", "state"), ("RUNTIME", "run")] {
        command.env(format!("FLIGHTDECK_{name}_DIR"), dir.join(folder));
    }
    // Nobody's cluster is touched.
    command.env("HOME", dir).env_remove("KUBECONFIG");
    command.env_remove("FLIGHTDECK_SERVER").env_remove("NOTIFY_SOCKET").env("LANG", "C.UTF-8");
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        Done {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command without a terminal.
pub fn flightdeck(dir: &Path, args: &[&str]) -> Done {
    program(dir).args(args).output().unwrap().into()
}

impl Server {
    /// Starts one and waits until it says that it listens.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// The same with more arguments for `serve`.
    pub fn start_with(args: &[&str]) -> Server {
        Server::start_with_env(args, &[])
    }

    /// The same with more variables.
    pub fn start_with_env(args: &[&str], env: &[(&str, &str)]) -> Server {
        Server::start_as(tempfile::Builder::new().prefix("fd-").tempdir().unwrap(), args, env)
    }

    /// The same in a folder that was prepared for it.
    pub fn start_in(dir: tempfile::TempDir, args: &[&str]) -> Server {
        Server::start_as(dir, args, &[])
    }

    fn start_as(dir: tempfile::TempDir, args: &[&str], env: &[(&str, &str)]) -> Server {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut server = Server { dir, child: None, ports: ports(), env, listen };
        server.run(args);
        server
    }

    fn run(&mut self, args: &[&str]) {
        let mut command = program(self.dir.path());
        command.args(["serve", "--exit-on-stdin-eof", "--ports", &self.ports]).args(args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        self.child = Some(child);
        let mut said = Vec::new();
        loop {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) if line.contains("listens at") => break,
                Ok(line) => said.push(line),
                Err(error) => panic!("waiting for the server to listen: {error}; it said {said:#?}"),
            }
        }
        // Read on, or the server would block on a full pipe.
        std::thread::spawn(move || while lines.recv().is_ok() {});
    }

    /// Ends it with all its instances.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        drop(child.stdin.take());
        assert!(ended(&mut child), "waiting for the server to end");
        self.nothing_left();
    }

    /// No process of its directory lives on.
    fn nothing_left(&self) {
        eventually(&format!("no process is left in {}", self.path().display()), || processes(self.path()).is_empty());
    }

    /// Ends it as a service manager does; its instances go on.
    pub fn terminate(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(ended(&mut child), "waiting for the server to end");
    }

    /// Waits until it was killed.
    pub fn until_killed(&mut self) {
        use std::os::unix::process::ExitStatusExt;
        let mut child = self.child.take().unwrap();
        assert!(ended(&mut child), "waiting until the server is killed");
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it ended in another way");
    }

    /// Kills the server; its instances, its proxy and their shims go on.
    pub fn crash(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// As when the machine loses its power: server, shims, instances and proxy are gone at once.
    pub fn kill_all(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        eventually("everything of it is killed", || {
            let left = processes(self.path());
            for path in &left {
                let pid = path.rsplit('/').next().and_then(|pid| pid.parse().ok());
                if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL); // it may be gone
                }
            }
            left.is_empty()
        });
    }

    /// Starts another on the same data.
    pub fn start_again(&mut self) {
        self.run(&[]);
    }

    /// Ends it and starts another on the same data.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Waits until that command has come to its end.
    pub fn until_final(&self, id: &str) {
        eventually(&format!("{id} is final"), || {
            let receipts: Vec<flightdeck::model::Receipt> =
                serde_json::from_str(&self.ok(&["get", "receipts", id, "-o", "json"])).unwrap();
            receipts.iter().all(|receipt| receipt.stage().is_final())
        });
    }

    /// Freezes it, or lets it go on.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The server's own process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("run/server.sock")
    }

    pub fn client(&self) -> Client {
        Client::unix(&self.socket()).unwrap()
    }

    /// Runs a command against it.
    pub fn run_cli(&self, args: &[&str]) -> Done {
        flightdeck(self.path(), args)
    }

    /// The same, which must end well; gives what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let done = self.run_cli(args);
        assert_eq!(done.code, 0, "{args:?}: {done:#?}");
        done.out
    }

    /// The configuration of one service in one critical environment.
    pub fn config(&self) -> String {
        format!(
            r#"
[environment.production]
order = 3
tier = "critical"
allow_self = true
[service.shop]
run = ["{EXE}", "sample-app", "--port", "{{port}}", "--version", "{{version}}", "--settings", "app.toml"]
health = {{ path = "/healthz", interval = "100ms", healthy = 1, unhealthy = 5, timeout = "5s" }}
stop = {{ signal = "TERM", grace = "5s" }}
[service.shop.in.production]
listen = "{}"
[service.shop.in.production.canary]
steps = [{{ set_weight = 10 }}, {{ pause = {{}} }}, {{ set_weight = 50 }}, {{ pause = {{}} }}, {{ approval = {{ count = 1 }} }}]
"#,
            self.listen
        )
    }

    /// The same with a second environment, `staging`, where the service listens elsewhere.
    pub fn config_of_two(&self) -> String {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        format!(
            "[environment.staging]\norder = 2\n{}[service.shop.in.staging]\nlisten = \"{elsewhere}\"\n",
            self.config()
        )
    }

    /// Applies that configuration and stores the versions 1.0 and 2.0.
    pub fn prepare(&self) {
        std::fs::write(self.path().join("flightdeck.toml"), self.config()).unwrap();
        self.ok(&["apply", "--yes", "--wait"]);
        for version in ["1.0", "2.0"] {
            let file = self.artifact(version);
            self.ok(&["release", "add", "shop", version, "--artifact", &file, "--wait"]);
        }
    }

    /// Brings 1.0 into service.
    pub fn with_stable(&self) {
        self.prepare();
        self.first("1.0");
    }

    /// Brings a first version into service, with the yes that its plan asks for before anybody gets it.
    pub fn first(&self, version: &str) {
        self.ok(&["deploy", "shop", version, "--to", "production", "--yes"]);
        let waits =
            |board: &Rollout| board.environment.as_str() == "production" && board.offers.contains(Action::Approve);
        self.until_one("its approval is asked for", waits);
        self.ok(&["approve", "shop@production", "--yes"]);
        let serves =
            |rollout: &Rollout| rollout.environment.as_str() == "production" && rollout.phase == Phase::Healthy;
        self.until_one("it serves", serves);
        eventually("its commands have come to their ends", || {
            let receipts = self.ok(&["get", "receipts", "-o", "json"]);
            let receipts: Vec<flightdeck::model::Receipt> = serde_json::from_str(&receipts).unwrap();
            receipts.iter().all(|receipt| receipt.stage().is_final())
        });
    }

    /// The same, and 2.0 in flight, waiting at 10 % for a person.
    pub fn with_canary(&self) {
        self.with_stable();
        self.ok(&["deploy", "shop", "2.0", "--to", "production", "--yes"]);
        self.until("the canary waits at 10 %", |rollout| {
            rollout.phase == Phase::Paused && rollout.step == Some(1) && rollout.candidate().is_some()
        });
    }

    /// A gzipped tar that is different for each version.
    pub fn artifact(&self, version: &str) -> String {
        let content = format!("latency_ms = 1\n# {version}\n");
        let file = self.path().join(format!("shop-{version}.tar.gz"));
        let out = std::fs::File::create(&file).unwrap();
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(out, flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "app.toml", content.as_bytes()).unwrap();
        archive.into_inner().unwrap().finish().unwrap().flush().unwrap();
        file.display().to_string()
    }

    /// The one rollout.
    pub fn rollout(&self) -> Option<Rollout> {
        self.rollouts().into_iter().next()
    }

    fn rollouts(&self) -> Vec<Rollout> {
        let reply = block_on(self.client().query(Query::Board)).unwrap();
        let Reply::Board(rows) = reply else { panic!("{reply:?}") };
        let rollouts = rows.into_iter().filter_map(|row| match row {
            flightdeck::model::Entity::Rollout(rollout) => Some(std::sync::Arc::unwrap_or_clone(rollout)),
            _ => None,
        });
        rollouts.collect()
    }

    /// Waits until one of the rollouts is so.
    fn until_one(&self, what: &str, is: impl Fn(&Rollout) -> bool) {
        eventually(what, || self.rollouts().iter().any(&is));
    }

    /// Waits until the one rollout is so.
    pub fn until(&self, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
        let mut last = None;
        eventually(what, || {
            last = self.rollout();
            last.as_ref().is_some_and(&is)
        });
        last.unwrap()
    }
}

impl Drop for Server {
    /// Also when the test failed: its instances need their files until they have ended.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        drop(child.stdin.take());
        if !ended(&mut child) {
            let _ = child.kill();
            assert!(std::thread::panicking(), "waiting for the server to end");
        }
        if !std::thread::panicking() {
            self.nothing_left();
        }
    }
}

/// Processes that were told of a directory or work in it.
pub fn processes(dir: &Path) -> Vec<String> {
    let belongs = |pid: &Path| {
        let told = std::fs::read(pid.join("cmdline")).is_ok_and(|line| {
            let dir = dir.as_os_str().as_encoded_bytes();
            line.windows(dir.len()).any(|part| part == dir)
        });
        told || std::fs::read_link(pid.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
    };
    let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| belongs(path)).map(|path| path.display().to_string()).collect()
}

/// Waits for the end of a server that was told to.
fn ended(child: &mut Child) -> bool {
    let deadline = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::park_timeout(LOOK);
    }
    true
}

/// A range for one server alone: two servers would race for the same ports. Below the ephemeral
/// ones, and begun elsewhere by each test process.
fn ports() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let block = (std::process::id() * 37 + NEXT.fetch_add(1, Ordering::Relaxed)) % 250;
    let first = 12_000 + block * 30;
    format!("{first}-{}", first + 29)
}

/// Asks again and again, with a deadline that names what was awaited.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "waiting until {what}");
        std::thread::park_timeout(LOOK);
    }
}

/// Runs one future on a runtime of its own.
pub fn block_on<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(DEADLINE, task).await.expect("waiting for an answer") })
}
