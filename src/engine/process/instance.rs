//! One instance, from its start to its end: a task that owns its shim's connection and its checks.

use super::client::{self, ShimClient};
use super::context::{Context, Drain, Report};
use super::diagnose::{self, Memory, Seen};
use super::health::{CheckFailure, Health, Verdict};
use super::launch::{ROOT_DIR, address, prepare};
use super::start_error::StartError;
use super::wire::{LOCK_FILE, LOG_DIR, Request, Response, SHIM_WIRE, SPEC_FILE, STATE_FILE, ShimSpec, Status};
use super::{confine, listening, log, output};
use flightdeck_engine_core::{InstanceEvent, InstanceId, Launch};
use flightdeck_model::{Cause, Diagnosis, HealthSpec, LimitKept, StopSpec, sanitize_line};
use flightdeck_platform::{self as platform, failpoint};
use flightdeck_proxy::wire::CLOSE_GRACE;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What the server needs to adopt an instance.
pub const RECORD_FILE: &str = "record.json";
/// After SIGKILL the kernel needs no longer than this, or the machine is beyond help.
const KILLED: Duration = Duration::from_secs(5);
/// The proxy answers by then that a drain is over.
const ANSWER: Duration = Duration::from_millis(500);
/// Bytes of an instance's last line that go into a message.
const LAST_LINE: usize = 200;
/// Lines of output that go into a diagnosis.
const OUTPUT_LINES: usize = 20;
/// Characters of each of them.
const LINE: usize = 400;

/// What an instance's task is told.
#[derive(Debug)]
pub enum Order {
    /// Start it, unless that attempt runs or ran.
    Start(Box<Launch>, u16),
    /// Take over what was started before.
    Adopt,
    /// Drain, signal, grace, kill, reap; then the task ends.
    Stop {
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
            Order::Stop { stop, drain } => {
                return tokio::select! {
                    () = instance.stop(&stop, drain) => {}
                    // Whoever is on it stays on it: the next server carries the stop out again, from the drain on.
                    () = left(&mut orders) => {}
                };
            }
            Order::Start(launch, port) => instance.start(*launch, port).await,
            Order::Adopt => instance.adopt().await,
        }
        order = match instance.running.take() {
            Some(running) => instance.attend(running, &mut orders).await,
            None => orders.recv().await,
        };
    }
}

/// Waits until the instance is to be left as it is; of what is being stopped nothing else is heard.
async fn left(orders: &mut UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        if matches!(order, Order::Leave) {
            return;
        }
    }
    std::future::pending::<()>().await;
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
    port: u16,
    /// What the machine had ended for want of memory when this began to be watched.
    machine_kills: Option<u64>,
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
            Ok(running) if running.status.runs() => self.begin(running, port),
            // It ended before anybody could watch it.
            Ok(Running { status, machine_kills, .. }) => {
                self.started(&status, port);
                self.ended(&status, port, machine_kills).await;
            }
            Err(StartError { why, permanent, cause }) => {
                let why = sanitize_line(&why);
                self.note(output::ended(&self.dir, &why, true));
                let diagnosis = self.diagnosis(&why, cause.map(|cause| *cause), Vec::new());
                self.report(InstanceEvent::StartFailed { why, permanent, diagnosis });
            }
        }
    }

    fn begin(&mut self, running: Running, port: u16) {
        self.started(&running.status, port);
        self.running = Some(running);
    }

    fn started(&self, status: &Status, port: u16) {
        let pid = status.process.as_ref().map_or(0, |process| process.pid);
        self.report(InstanceEvent::Started { pid, address: address(port), limits: limits(&self.dir) });
    }

    async fn launch(&self, launch: Launch, port: u16) -> Result<Running, StartError> {
        let passing = |error: io::Error| StartError::passing(format!("cannot start a shim: {error}"));
        tokio::fs::create_dir_all(&self.dir).await.map_err(passing)?;
        client::end(&self.dir).await.map_err(passing)?;
        remove(&self.dir, &[STATE_FILE]).await;
        failpoint::pass("start-before-record");
        output::of_instance(&self.dir, &launch).map_err(passing)?;
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
        let secrets = flightdeck_secrets::read(&secrets).await?;
        let status = client::launch(&self.context.exe, &self.dir, &spec, &secrets).await.map_err(passing)?;
        if let Some(why) = status.failed {
            let _ = client::ask(&self.dir, &Request::Forget).await; // it has nothing to say any more
            return Err(StartError::permanent(format!("cannot run the command: {why}")));
        }
        let (shim, status) = self.connect().await.map_err(passing)?;
        Ok(self.running(shim, status, health, port))
    }

    fn running(&self, shim: ShimClient, status: Status, health: HealthSpec, port: u16) -> Running {
        let age = status.process.as_ref().map(super::Identity::age).unwrap_or_default();
        let health = Health::new(health, address(port), self.dir.clone(), age);
        Running { shim, status, health, port, machine_kills: platform::machine_kills() }
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
            let why = "there is no record of its process".to_owned();
            return self.report(InstanceEvent::Exited { why, diagnosis: None });
        };
        match self.connect().await {
            Ok((shim, status)) if status.runs() && client::lives(status.process.as_ref()) => {
                let running = self.running(shim, status, record.launch.health, record.port);
                self.begin(running, record.port);
            }
            Ok((_, status)) => self.ended(&status, record.port, None).await,
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
                        Ok(status) => self.ended(&status, running.port, running.machine_kills).await,
                        Err(_) => match self.connect().await {
                            Ok((shim, status)) if status.runs() => {
                                (running.shim, running.status) = (shim, status);
                                continue;
                            }
                            Ok((_, status)) => self.ended(&status, running.port, running.machine_kills).await,
                            Err(_) => self.shim_gone().await,
                        },
                    }
                    return orders.recv().await;
                }
                verdict = running.health.next() => match verdict {
                    Verdict::Ready => {
                        self.note(output::ready(&self.dir));
                        self.report(InstanceEvent::Ready);
                    }
                    Verdict::Unhealthy(failure) => self.unhealthy(&failure, running.port),
                },
            }
        }
    }

    fn unhealthy(&self, failure: &CheckFailure, port: u16) {
        let how = failure.to_string();
        let cause = diagnose::check(failure, address(port));
        let why = with_cause(&how, cause.as_ref());
        self.note(output::unhealthy(&self.dir, &how));
        let diagnosis = self.diagnosis(&how, cause, self.last_lines());
        self.report(InstanceEvent::Unhealthy { why, diagnosis });
    }

    async fn ended(&self, status: &Status, port: u16, machine_kills: Option<u64>) {
        self.finish().await;
        let lines = self.last_lines();
        let machine = platform::machine_kills().zip(machine_kills).filter(|(now, before)| now > before);
        let own = confine::out_of_memory(&self.dir).map(Memory::Limit);
        let memory = own.or(machine.map(|_| Memory::Machine));
        let (how, cause) = match (&status.ended, &status.failed) {
            (Some(ended), _) => {
                let seen = Seen { ended: *ended, output: lines.clone(), memory };
                (ended.to_string(), diagnose::end(&seen, Some(address(port)), listening::owner))
            }
            (None, Some(why)) => (why.clone(), None),
            (None, None) => ("its process is gone".to_owned(), None),
        };
        self.exited(&how, cause, lines);
    }

    async fn shim_gone(&self) {
        self.finish().await;
        self.exited("its shim is gone; what was left of it was ended", None, self.last_lines());
    }

    fn exited(&self, how: &str, cause: Option<Cause>, lines: Vec<String>) {
        let last = lines.last().map(|line| line.chars().take(LAST_LINE).collect::<String>()).unwrap_or_default();
        let why = if last.is_empty() { how.to_owned() } else { format!("{how}: {last}") };
        // That it ended by itself is what the sentence says already.
        let said = cause.as_ref().filter(|cause| !matches!(cause, Cause::Exited { .. } | Cause::Killed { .. }));
        let why = with_cause(&why, said);
        self.note(output::ended(&self.dir, how, true));
        let diagnosis = self.diagnosis(how, cause, lines);
        self.report(InstanceEvent::Exited { why, diagnosis });
    }

    #[expect(clippy::unnecessary_wraps, reason = "an event has one or none, and a box keeps it small")]
    fn diagnosis(&self, how: &str, cause: Option<Cause>, output: Vec<String>) -> Option<Box<Diagnosis>> {
        Some(Box::new(Diagnosis { output_of: self.id.clone(), hook: None, how: sanitize_line(how), cause, output }))
    }

    /// The shim has taken the secrets out.
    fn last_lines(&self) -> Vec<String> {
        let lines = log::tail(&self.dir.join(LOG_DIR), OUTPUT_LINES).unwrap_or_default();
        lines.iter().map(|line| sanitize_line(line.trim_end()).chars().take(LINE).collect()).collect()
    }

    /// It is for `logs` alone: nothing that runs depends on it.
    fn note(&self, noted: io::Result<()>) {
        if let Err(error) = noted {
            tracing::warn!(instance = %self.id, %error, "cannot note what became of an instance");
        }
    }

    /// After this nothing of the instance runs, the shim included.
    async fn finish(&self) {
        if let Err(error) = client::end(&self.dir).await {
            tracing::error!(instance = %self.id, %error, "cannot make sure that an instance ended");
        }
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
        self.note(output::ended(&self.dir, "stopped", false));
        confine::release(&self.dir);
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
        self.report(InstanceEvent::Draining { bound });
        let bound = Duration::try_from(bound).unwrap_or_default();
        // Tunnels have their time for a close, and the proxy its time to answer.
        let most = bound + CLOSE_GRACE + ANSWER;
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

/// What keeps the limits of what runs in a directory, as its shim was told.
fn limits(dir: &Path) -> Vec<LimitKept> {
    let spec = std::fs::read(dir.join(SPEC_FILE)).ok();
    let spec = spec.and_then(|spec| serde_json::from_slice::<ShimSpec>(&spec).ok());
    spec.and_then(|spec| spec.confinement).map(|confinement| confinement.kept).unwrap_or_default()
}

fn with_cause(why: &str, cause: Option<&Cause>) -> String {
    sanitize_line(&cause.map_or_else(|| why.to_owned(), |cause| format!("{why}; {cause}")))
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
