//! An engine in a scratch directory, and what a hub would do with it.

use crate::process::{Scratch, exe, instances};
use flightdeck::board::Board;
use flightdeck::control::{Policy, decide};
use flightdeck::engine::EngineExecutor;
use flightdeck::engine::runtime::{Engine, EngineError, Retention, Settings, StagedRelease, Stop};
use flightdeck::model::{
    Action, Actor, Command, CommandId, ConfigName, Instance, Phase, Rollout, Scoped, Stage, Subject, Version,
};
use flightdeck::port::{Accepted, Executor, Followed, NotDone};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::task::JoinHandle;

pub fn alice() -> Actor {
    Actor { name: "alice".into(), uid: Some(1000), roles: vec!["sre".into()] }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub struct Rig {
    pub scratch: Scratch,
    pub engine: Engine,
    pub board: Board,
    pub listen: u16,
    updates: BoxStream<'static, Scoped>,
    task: JoinHandle<Result<(), EngineError>>,
    ports: RangeInclusive<u16>,
    lease: Duration,
    commands: u32,
}

pub fn settings(scratch: &Scratch, ports: RangeInclusive<u16>, lease: Duration) -> Settings {
    Settings {
        source: "local".into(),
        data: scratch.path("data"),
        exe: exe().to_owned(),
        ports,
        lease,
        retention: Retention::default(),
    }
}

fn spawn(settings: Settings) -> (Engine, JoinHandle<Result<(), EngineError>>) {
    let (engine, task) = Engine::open(settings).unwrap();
    (engine, tokio::spawn(task.run()))
}

impl Rig {
    pub fn new() -> Rig {
        Rig::with_lease(Duration::from_mins(1))
    }

    pub fn with_lease(lease: Duration) -> Rig {
        let (scratch, ports) = (Scratch::new(), instances::ports(20));
        let (engine, task) = spawn(settings(&scratch, ports.clone(), lease));
        let updates = engine.watch();
        Rig { scratch, engine, board: Board::default(), listen: free_port(), updates, task, ports, lease, commands: 0 }
    }

    /// Follows updates until the condition holds; fails with what was awaited and the rows.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Board) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
        while !holds(&self.board) {
            match tokio::time::timeout_at(deadline, self.updates.next()).await {
                Ok(Some(update)) => {
                    self.board.apply(&update);
                    // Rows that changed together are looked at together.
                    while let Some(Some(update)) = self.updates.next().now_or_never() {
                        self.board.apply(&update);
                    }
                }
                Ok(None) => panic!("the engine ended before: {what}"),
                Err(late) => panic!("never came ({late}): {what}\n{}", self.rows()),
            }
        }
    }

    fn rows(&self) -> String {
        let mut text = String::new();
        for row in self.board.rollouts() {
            writeln!(text, "{} {:?} step {:?}: {}; {:?}", row.run, row.phase, row.step, row.message, row.arms).unwrap();
        }
        for row in self.board.instances() {
            writeln!(text, "{} {} {:?}", row.id, row.version, row.state).unwrap();
        }
        text
    }

    pub fn row(&self) -> &Rollout {
        self.board.rollouts().next().expect("a rollout")
    }

    pub fn instances(&self) -> Vec<Instance> {
        self.board.instances().cloned().collect()
    }

    pub fn id(&mut self) -> CommandId {
        self.commands += 1;
        CommandId(format!("c-{}", self.commands))
    }

    /// As a hub does it: decided, executed, and followed to its effect.
    pub async fn submit(&mut self, action: Action, subject: Subject) -> Result<Command, NotDone> {
        let command = self.command(action, subject);
        self.send(command).await
    }

    fn command(&mut self, action: Action, subject: Subject) -> Command {
        let pin = match &subject {
            Subject::Run(_) => self.board.rollouts().next().map(|row| row.facts.pin(action)),
            _ => None,
        };
        Command { id: self.id(), action, subject, pin, reason: None }
    }

    pub async fn send(&mut self, command: Command) -> Result<Command, NotDone> {
        self.carry_out(&command).await?;
        Ok(command)
    }

    async fn carry_out(&mut self, command: &Command) -> Result<Accepted, NotDone> {
        let now = Timestamp::now();
        let authorized = decide(&Policy::default(), &self.board, &alice(), command, now).map_err(NotDone::Refused)?;
        self.engine.execute(&authorized).await
    }

    /// Executes something on the one rollout and waits until it is effective; gives the proof.
    pub async fn effective(&mut self, action: Action) -> String {
        let before = self.row().clone();
        let command = self.command(action, Subject::Run(before.run.clone()));
        let created = self.carry_out(&command).await.unwrap().created;
        let port = EngineExecutor(self.engine.clone());
        let stage = |board: &Board| {
            let created = created.as_ref();
            let ended = board.deployment(created.unwrap_or(&before.run));
            let (before, current, now) = (Some(&before), board.rollouts().next(), Timestamp::now());
            port.progress(&Followed { command: &command, created, left: None, before, current, ended, now })
        };
        self.until(&format!("{} is final", action.name()), |board| stage(board).is_final()).await;
        match stage(&self.board) {
            Stage::Effective { proof } => proof.text,
            other => panic!("{} is {other:?}", action.name()),
        }
    }

    /// One service `shop` in `dev` that runs the sample app.
    pub async fn apply(&mut self, replicas: u32, steps: &str, rest: &str) {
        let text = self.config(replicas, steps, rest);
        let path = self.scratch.dir.path().join("flightdeck.toml").display().to_string();
        self.submit(Action::Apply, Subject::Config { name: ConfigName::default(), text, path, remove: Vec::new() })
            .await
            .unwrap();
        self.until("the service", |board| board.services().next().is_some()).await;
    }

    pub fn config(&self, replicas: u32, steps: &str, rest: &str) -> String {
        format!(
            r#"
[environment.dev]
order = 1
[service.shop]
run = ["{exe}", "sample-app", "--port", "{{port}}", "--version", "{{version}}", "--settings", "settings.toml"]
health = {{ path = "/healthz", interval = "100ms", healthy = 1, unhealthy = 2, timeout = "2s" }}
stop = {{ signal = "TERM", grace = "5s" }}
[service.shop.in.dev]
listen = "127.0.0.1:{listen}"
replicas = {replicas}
{rest}
[service.shop.in.dev.canary]
steps = [{steps}]
"#,
            exe = exe().display(),
            listen = self.listen,
        )
    }

    /// Stores a release whose artifact holds the sample app's settings.
    pub async fn add_release(&mut self, version: &str) {
        let id = self.upload(&format!("latency_ms = 1.0\n# {version}\n"), None);
        self.release(id, version).await.unwrap();
    }

    pub fn upload(&mut self, content: &str, expected: Option<&str>) -> CommandId {
        let id = self.id();
        instances::artifact(&self.engine.stage_upload(&id), &[("settings.toml", content)]);
        let staged = StagedRelease {
            commit: Some("3fe1c2a".into()),
            commit_at: None,
            pipeline_run: None,
            expected_digest: expected.map(str::to_owned),
            migrations: None,
        };
        self.engine.staged(&id, staged);
        id
    }

    pub async fn release(&mut self, id: CommandId, version: &str) -> Result<(), NotDone> {
        let subject = Subject::Release { source: "local".into(), service: "shop".into(), version: version.into() };
        self.send(Command { id, action: Action::AddRelease, subject, pin: None, reason: None }).await?;
        let version = Version::from(version);
        self.until("the release", |board| board.releases().any(|release| release.version == version)).await;
        Ok(())
    }

    pub async fn deploy(&mut self, version: &str) {
        let subject = Subject::NewRollout {
            source: "local".into(),
            service: "shop".into(),
            environment: "dev".into(),
            version: Some(version.into()),
            from: None,
        };
        let pin = self.board.rollouts().next().map(|row| row.facts.pin(Action::Deploy));
        let command = Command { id: self.id(), action: Action::Deploy, subject, pin, reason: None };
        self.send(command).await.unwrap();
        let version = Version::from(version);
        self.until("its rollout", |board| {
            board.rollouts().any(|row| row.arms.iter().any(|arm| arm.version == version))
        })
        .await;
    }

    /// A first version, up and serving.
    pub async fn healthy(&mut self, version: &str) {
        self.add_release(version).await;
        self.deploy(version).await;
        self.until("healthy", |board| board.rollouts().all(|row| row.phase == Phase::Healthy)).await;
    }

    /// The server dies: its loop and its tasks are gone at once, nothing is said to anybody.
    pub async fn die(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }

    /// It comes back on the same data.
    pub fn restart(&mut self) {
        let settings = settings(&self.scratch, self.ports.clone(), self.lease);
        (self.engine, self.task) = spawn(settings);
        self.updates = self.engine.watch();
        self.board = Board::default();
    }

    /// Another program takes over the data.
    pub async fn restart_as(&mut self, exe: &std::path::Path) {
        self.die().await;
        let settings = Settings { exe: exe.to_owned(), ..settings(&self.scratch, self.ports.clone(), self.lease) };
        (self.engine, self.task) = spawn(settings);
        self.updates = self.engine.watch();
        self.board = Board::default();
    }

    pub async fn get(&self) -> Result<String, reqwest::Error> {
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
        let answer = client.get(format!("http://127.0.0.1:{}/", self.listen)).send().await?.error_for_status()?;
        Ok(answer.headers()["x-sample-version"].to_str().unwrap().to_owned())
    }

    pub async fn finish(mut self) {
        self.engine.shutdown(Stop::Everything).await;
        (&mut self.task).await.unwrap().unwrap();
        let left: Vec<_> = self.pids().into_iter().filter(|pid| alive(*pid)).collect();
        assert!(left.is_empty(), "left running: {left:?}");
    }

    pub fn pids(&self) -> Vec<u32> {
        self.board.instances().filter_map(|instance| instance.pid).collect()
    }
}

pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
