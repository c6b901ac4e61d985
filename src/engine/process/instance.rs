//! One instance, from its start to its end: a task that owns its shim's connection and its checks.

use super::client::{self, ShimClient};
use super::health::{Health, Verdict};
use super::launch::{ROOT_DIR, StartError, address, prepare};
use super::wire::{LOCK_FILE, LOG_DIR, Request, Response, SHIM_WIRE, SPEC_FILE, STATE_FILE, Status};
use super::{log, secrets};
use crate::engine::core::{Input, InstanceEvent, InstanceId, JobEvent, JobId, Launch};
use crate::engine::proxy::wire::CLOSE_GRACE;
use crate::engine::store::Store;
use crate::failpoint;
use crate::model::{StopSpec, sanitize_line};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// What the server needs to adopt an instance.
pub const RECORD_FILE: &str = "record.json";
/// After SIGKILL the kernel needs no longer than this, or the machine is beyond help.
const KILLED: Duration = Duration::from_secs(5);
/// The proxy answers by then that a drain is over.
const ANSWER: Duration = Duration::from_millis(500);
/// Bytes of an instance's last line that go into a message.
const LAST_LINE: usize = 200;

/// What all instances share.
#[derive(Debug)]
pub struct Context {
    /// Artifacts.
    pub store: Store,
    /// This program.
    pub exe: PathBuf,
    /// Holds a directory for each instance.
    pub instances: PathBuf,
    /// To the engine's loop.
    pub reports: UnboundedSender<Report>,
    /// To the proxy's connection.
    pub drains: UnboundedSender<Drain>,
    /// Unpacking takes disk and CPU: a few at a time.
    pub unpacking: Semaphore,
}

impl Context {
    /// The directory of an instance.
    #[must_use]
    pub fn dir(&self, id: &str) -> PathBuf {
        self.instances.join(id)
    }
}

/// What the engine's loop is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Something happened to an instance.
    Instance {
        /// To which.
        id: InstanceId,
        /// What.
        event: InstanceEvent,
    },
    /// Something happened to a hook's run.
    Job {
        /// To which.
        id: JobId,
        /// What.
        event: JobEvent,
    },
}

impl From<Report> for Input {
    fn from(report: Report) -> Input {
        match report {
            Report::Instance { id, event } => Input::Instance { id, event },
            Report::Job { id, event } => Input::Job { id, event },
        }
    }
}

/// "Wait until this one has no request in flight": answered (or dropped) then, or at the bound.
#[derive(Debug)]
pub struct Drain {
    /// Which; it is out of every route already.
    pub instance: InstanceId,
    /// How long at most; what is left is closed after that.
    pub bound: Duration,
    /// Answered when it is drained, with what was left at the bound where that is known.
    pub done: oneshot::Sender<Option<u64>>,
}

/// What an instance's task is told.
#[derive(Debug)]
pub enum Order {
    /// Start it, unless that attempt runs or ran.
    Start(Box<Launch>, u16),
    /// Take over what was started before.
    Adopt,
    /// Drain, signal, grace, kill, reap; then the task ends.
    Stop {
        /// How.
        stop: StopSpec,
        /// Bound for what is in flight on it.
        drain: SignedDuration,
    },
    /// Leave it running; the task ends.
    Leave,
}

/// `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SHIM_WIRE`] of the writer.
    pub wire: u32,
    /// How it was started.
    pub launch: Launch,
    /// Where it listens.
    pub port: u16,
}

/// The record of an instance, where there is one that this version can read.
pub fn record(dir: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&std::fs::read(dir.join(RECORD_FILE)).ok()?).ok()?;
    (record.wire <= SHIM_WIRE).then_some(record)
}

/// Carries out orders for one instance until it is stopped or left.
pub async fn supervise(context: Arc<Context>, id: InstanceId, mut orders: UnboundedReceiver<Order>) {
    let mut instance = Instance { dir: context.dir(&id), context, id, running: None };
    let mut order = orders.recv().await;
    while let Some(now) = order {
        match now {
            Order::Leave => return,
            Order::Stop { stop, drain } => return instance.stop(&stop, drain).await,
            Order::Start(launch, port) => instance.start(*launch, port).await,
            Order::Adopt => instance.adopt().await,
        }
        order = match instance.running.take() {
            Some(running) => instance.attend(running, &mut orders).await,
            None => orders.recv().await,
        };
    }
}

struct Instance {
    context: Arc<Context>,
    id: InstanceId,
    dir: PathBuf,
    running: Option<Running>,
}

/// A live process with a shim that answers.
struct Running {
    shim: ShimClient,
    status: Status,
    health: Health,
}

impl Instance {
    fn report(&self, event: InstanceEvent) {
        // Without a loop there is nobody to tell: the server is on its way out.
        let _ = self.context.reports.send(Report::Instance { id: self.id.clone(), event });
    }

    async fn start(&mut self, launch: Launch, port: u16) {
        if client::recorded(&self.dir)
            .is_some_and(|status| status.attempt == launch.attempt && status.process.is_some())
            && record(&self.dir).is_some()
        {
            return self.adopt().await;
        }
        match self.launch(launch, port).await {
            Ok(running) => self.begin(running, port),
            Err(StartError { why, permanent }) => {
                self.report(InstanceEvent::StartFailed { why: sanitize_line(&why), permanent });
            }
        }
    }

    fn begin(&mut self, running: Running, port: u16) {
        let pid = running.status.process.as_ref().map_or(0, |process| process.pid);
        self.report(InstanceEvent::Started { pid, address: address(port) });
        self.running = Some(running);
    }

    async fn launch(&self, launch: Launch, port: u16) -> Result<Running, StartError> {
        let passing = |error: io::Error| StartError::passing(format!("cannot start a shim: {error}"));
        tokio::fs::create_dir_all(&self.dir).await.map_err(passing)?;
        client::end(&self.dir).await.map_err(passing)?;
        remove(&self.dir, &[STATE_FILE]).await;
        failpoint::pass("start-before-record");
        let record = Record { wire: SHIM_WIRE, launch, port };
        let text = serde_json::to_vec(&record).map_err(|error| StartError::permanent(error.to_string()))?;
        tokio::fs::write(self.dir.join(RECORD_FILE), text).await.map_err(passing)?;
        let (health, secrets) = (record.launch.health.clone(), record.launch.secrets.clone());
        let (context, dir) = (self.context.clone(), self.dir.clone());
        let permit = self.context.unpacking.acquire().await;
        let spec = tokio::task::spawn_blocking(move || {
            prepare(&record.launch, &dir, record.port, &context.store, &context.exe)
        })
        .await
        .map_err(|error| StartError::passing(format!("cannot prepare the start: {error}")))??;
        drop(permit);
        let secrets = secrets::read(&secrets).await?;
        let status = client::launch(&self.context.exe, &self.dir, &spec, &secrets).await.map_err(passing)?;
        if let Some(why) = status.failed {
            let _ = client::ask(&self.dir, &Request::Forget).await; // it has nothing to say any more
            return Err(StartError::permanent(format!("cannot run the command: {why}")));
        }
        let (shim, status) = self.connect().await.map_err(passing)?;
        Ok(Running { shim, status, health: Health::new(health, address(port)) })
    }

    async fn connect(&self) -> io::Result<(ShimClient, Status)> {
        let mut shim = ShimClient::connect(&self.dir).await?;
        let status = shim.watch().await?;
        if status.wire > SHIM_WIRE || status.instance != self.id {
            return Err(io::Error::other(format!(
                "the shim is of {} and speaks version {}",
                status.instance, status.wire
            )));
        }
        Ok((shim, status))
    }

    /// Takes over a process whose identity is right, and makes sure of the end of any other.
    async fn adopt(&mut self) {
        let Some(record) = record(&self.dir) else {
            return self.report(InstanceEvent::Exited { why: "there is no record of its process".into() });
        };
        match self.connect().await {
            Ok((shim, status)) if status.runs() && client::lives(status.process.as_ref()) => {
                let health = Health::new(record.launch.health, address(record.port));
                self.begin(Running { shim, status, health }, record.port);
            }
            Ok((_, status)) => self.ended(&status).await,
            Err(_) => self.shim_gone().await,
        }
    }

    /// Watches a running instance until something else is ordered.
    async fn attend(&mut self, mut running: Running, orders: &mut UnboundedReceiver<Order>) -> Option<Order> {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Start(launch, _)) if launch.attempt <= running.status.attempt => {}
                    Some(Order::Adopt) => {}
                    order => {
                        self.running = Some(running);
                        return order;
                    }
                },
                change = running.shim.changed() => {
                    match change {
                        Ok(status) if status.runs() => {
                            running.status = status;
                            continue;
                        }
                        Ok(status) => self.ended(&status).await,
                        Err(_) => match self.connect().await {
                            Ok((shim, status)) if status.runs() => {
                                (running.shim, running.status) = (shim, status);
                                continue;
                            }
                            Ok((_, status)) => self.ended(&status).await,
                            Err(_) => self.shim_gone().await,
                        },
                    }
                    return orders.recv().await;
                }
                verdict = running.health.next() => self.report(match verdict {
                    Verdict::Ready => InstanceEvent::Ready,
                    Verdict::Unhealthy(why) => InstanceEvent::Unhealthy { why },
                }),
            }
        }
    }

    async fn ended(&self, status: &Status) {
        let how = match (&status.ended, &status.failed) {
            (Some(ended), _) => ended.to_string(),
            (None, Some(why)) => why.clone(),
            (None, None) => "its process is gone".to_owned(),
        };
        let why = self.with_last_line(&how);
        self.finish().await;
        self.report(InstanceEvent::Exited { why });
    }

    async fn shim_gone(&self) {
        self.finish().await;
        let why = self.with_last_line("its shim is gone; what was left of it was ended");
        self.report(InstanceEvent::Exited { why });
    }

    /// After this nothing of the instance runs, the shim included.
    async fn finish(&self) {
        if let Err(error) = client::end(&self.dir).await {
            tracing::error!(instance = %self.id, %error, "cannot make sure that an instance ended");
        }
    }

    fn with_last_line(&self, how: &str) -> String {
        let last = log::tail(&self.dir.join(LOG_DIR), 1).ok().and_then(|mut lines| lines.pop()).unwrap_or_default();
        let last: String = sanitize_line(last.trim()).chars().take(LAST_LINE).collect();
        if last.is_empty() { how.to_owned() } else { format!("{how}: {last}") }
    }

    async fn stop(&mut self, stop: &StopSpec, drain: SignedDuration) {
        let running = match self.running.take() {
            Some(running) => Some((running.shim, running.status)),
            None => self.connect().await.ok(),
        };
        if let Some((mut shim, status)) = running
            && status.runs()
        {
            self.drain(drain).await;
            self.stop_gently(&mut shim, stop).await;
        }
        self.finish().await;
        remove(&self.dir, &[SPEC_FILE, STATE_FILE, RECORD_FILE, LOCK_FILE]).await;
        match tokio::fs::remove_dir_all(self.dir.join(ROOT_DIR)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(instance = %self.id, %error, "cannot remove an instance's files");
            }
            _ => {}
        }
        self.report(InstanceEvent::Stopped);
    }

    /// Waits until the proxy has nothing in flight on it.
    async fn drain(&self, bound: SignedDuration) {
        let bound = Duration::try_from(bound).unwrap_or_default();
        let most = bound + CLOSE_GRACE + ANSWER;
        self.report(InstanceEvent::Draining { bound: most.try_into().unwrap_or(SignedDuration::MAX) });
        let (done, drained) = oneshot::channel();
        let mut remaining = None;
        if self.context.drains.send(Drain { instance: self.id.clone(), bound, done }).is_ok() {
            // Bounded here too: the proxy may be away.
            remaining = timeout(most, drained).await.ok().and_then(Result::ok).flatten();
        }
        self.report(InstanceEvent::Drained { remaining });
    }

    /// Signalled, given its grace, and killed where that did not do.
    async fn stop_gently(&self, shim: &mut ShimClient, stop: &StopSpec) {
        let grace = Duration::try_from(stop.grace).unwrap_or_default();
        let signal = Request::Signal { name: stop.signal.clone() };
        match client::ask(&self.dir, &signal).await {
            Ok(Response::Done) if gone(shim, grace).await => return,
            Ok(Response::Done) => {}
            other => tracing::warn!(instance = %self.id, ?other, "cannot signal an instance"),
        }
        if client::ask(&self.dir, &Request::Kill).await.is_ok() {
            gone(shim, KILLED).await;
        }
    }
}

/// True once the process, or its shim, ended within the bound.
async fn gone(shim: &mut ShimClient, bound: Duration) -> bool {
    let ended = async {
        while let Ok(status) = shim.changed().await {
            if !status.runs() {
                break;
            }
        }
    };
    timeout(bound, ended).await.is_ok()
}

async fn remove(dir: &Path, files: &[&str]) {
    for file in files {
        match tokio::fs::remove_file(dir.join(file)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%file, %error, "cannot remove an instance's file");
            }
            _ => {}
        }
    }
}
