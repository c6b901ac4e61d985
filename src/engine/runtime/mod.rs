//! The engine as it runs: one loop owns the core's state, journals it, and carries out its effects.
//!
//! [`Engine`] is the handle that everybody else holds, [`EngineTask`] the loop behind it. Commands
//! that reduce exposure come on a channel of their own that is never full and always read first.

mod commit;
mod configs;
mod handover;
mod link;
mod machine;
mod open;
mod preflight;
mod proxied;
mod publish;
mod retention;
mod takeover;
mod task;
mod windows;

pub use configs::{Changes, ConfigText};
pub use machine::ThisMachine;
pub use open::{EngineError, Settings};
pub use retention::Retention;
pub use task::EngineTask;
pub use windows::PoolMetrics;

use crate::journal::JournalError;
use crate::process::{log, output, wire::LOG_DIR};
use crate::store::{Store, StoreError, digest_of};
use flightdeck_control::Authorized;
use flightdeck_engine_core as core;
use flightdeck_engine_core::{Input, State};
use flightdeck_model::{
    Action, Actor, Command, CommandId, ConfigRevision, Detail, Direction, EnvironmentName, Output, Refusal,
    RefusalKind, Release, Run, Scoped, ServiceName, SourceId, Subject, Version, sanitize_line,
};
use flightdeck_port::{Accepted, InspectError, NotDone};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// What becomes of the instances when the engine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// They and the proxy end too.
    Everything,
    /// They and the proxy go on; the next engine adopts them.
    LeaveRunning,
}

/// What is known of an artifact that was uploaded for a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedRelease {
    /// Source commit, where told.
    pub commit: Option<String>,
    /// When that was made, where told.
    pub commit_at: Option<Timestamp>,
    /// `sha256:…` as the person expects it; another one is refused.
    pub expected_digest: Option<String>,
    /// Names of the migrations that it brings, where told.
    pub migrations: Option<Vec<String>>,
}

/// A request to the loop.
#[derive(Debug)]
pub(super) enum Ask {
    /// Step, journal, carry out.
    Input { input: Box<Input>, direction: Direction, answer: oneshot::Sender<Result<Accepted, NotDone>> },
    /// An upload is complete.
    Staged(CommandId, StagedRelease),
    /// Take what is known of an upload.
    TakeStaged(CommandId, oneshot::Sender<Option<StagedRelease>>),
    /// Tell everything, from a snapshot on.
    Watch(mpsc::Sender<publish::Batch>),
    /// All about one run.
    Inspect(Run, oneshot::Sender<Option<Detail>>),
    /// A copy of the core's state.
    State(oneshot::Sender<Box<State>>),
    /// The configurations that were in force; of one revision its text, too.
    Configs(Option<u64>, oneshot::Sender<Result<Vec<ConfigRevision>, JournalError>>),
    /// Addresses that are not listened on as they should be.
    Listening(oneshot::Sender<Vec<Silent>>),
    /// End.
    Shutdown(Stop, oneshot::Sender<()>),
}

/// An address that is not listened on as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silent {
    /// `shop in production`.
    place: String,
    address: String,
    /// Why; `None`: the proxy has yet to say.
    why: Option<String>,
}

/// A handle on a running engine.
#[derive(Debug, Clone)]
pub struct Engine {
    source: SourceId,
    uploads: PathBuf,
    instances: PathBuf,
    store: Store,
    /// Served first and never full.
    urgent: mpsc::UnboundedSender<Ask>,
    asks: mpsc::Sender<Ask>,
    metrics: watch::Receiver<Vec<PoolMetrics>>,
    unmatched: watch::Receiver<Vec<(SocketAddr, u64)>>,
}

#[expect(clippy::disallowed_methods, reason = "the engine is a shell: the core gets its time from here")]
pub(super) fn clock() -> Timestamp {
    Timestamp::now()
}

impl Silent {
    fn in_words(self) -> String {
        let Silent { place, address, why } = self;
        match why {
            Some(why) => format!("{place} does not listen on {address}: {why}"),
            None => format!(
                "{place} does not listen on {address} yet: the proxy did not acknowledge it within {} s",
                ACKNOWLEDGED.as_secs()
            ),
        }
    }
}

/// So long the proxy has to acknowledge the routes of a new configuration.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

fn gone() -> NotDone {
    NotDone::NotSent { why: "the engine has ended".into() }
}

fn invalid(why: impl Into<String>) -> NotDone {
    NotDone::Refused(Refusal::new(RefusalKind::Invalid, why))
}

impl Engine {
    /// Its name among the sources of a board.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// Rows and their changes, from a snapshot on, until the engine ends.
    pub fn watch(&self) -> BoxStream<'static, Scoped> {
        let (batches, receiver) = mpsc::channel(publish::WATCHER_BATCHES);
        // An engine that ended gives an empty stream.
        let _ = self.urgent.send(Ask::Watch(batches));
        let batches = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        batches.flat_map(|batch| stream::iter(batch.to_vec())).boxed()
    }

    /// Carries out one command: it is journalled, with all that follows from it, when this gives `Ok`.
    pub async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        let (command, actor) = (authorized.command(), authorized.actor());
        let input = match (command.action, &command.subject) {
            (Action::Apply, Subject::Config { name, text, path, remove }) => {
                let config = ConfigText { name: name.clone(), text: text.clone(), path: path.clone() };
                let input = self.apply(config, remove.clone(), command.reason.clone(), actor.clone()).await?;
                let accepted = self.input(input, Direction::Raises).await?;
                // An engine that ended says so in its own answers.
                let ending = self.state().await.map(|state| state.ending(remove)).unwrap_or_default();
                return Ok(Accepted { lacking: self.not_listening().await, ending, ..accepted });
            }
            (Action::AddRelease, Subject::Release { service, version, .. }) => {
                let input = self.add_release(command, service, version, actor).await?;
                let accepted = self.input(input, command.action.direction()).await?;
                let unfit = self
                    .unfit(service, version)
                    .await
                    .unwrap_or_else(|error| vec![format!("whether it can run could not be looked at: {error}")]);
                let note = (!unfit.is_empty()).then(|| format!("but {}", unfit.join("; ")));
                return Ok(Accepted { note: note.or(accepted.note), ..accepted });
            }
            (Action::RemoveRelease, Subject::Release { service, version, .. }) => {
                Input::ReleaseRemoved { service: service.clone(), version: version.clone() }
            }
            (Action::Apply | Action::AddRelease | Action::RemoveRelease, _) => {
                return Err(invalid(format!("{} is not about that", command.action.name())));
            }
            (Action::Deploy, _) => {
                self.can_run(command).await?;
                Input::Command { command: command.clone(), actor: actor.clone(), decided: authorized.at() }
            }
            _ => Input::Command { command: command.clone(), actor: actor.clone(), decided: authorized.at() },
        };
        self.input(input, command.action.direction()).await
    }

    async fn input(&self, input: Input, direction: Direction) -> Result<Accepted, NotDone> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Input { input: Box::new(input), direction, answer };
        if direction == Direction::Reduces {
            self.urgent.send(ask).map_err(|_| gone())?;
        } else {
            self.asks.send(ask).await.map_err(|_| gone())?;
        }
        answered.await.map_err(|_| NotDone::Unknown { why: "the engine ended before it answered".into() })?
    }

    async fn add_release(
        &self,
        command: &Command,
        service: &ServiceName,
        version: &Version,
        actor: &Actor,
    ) -> Result<Input, NotDone> {
        let (answer, answered) = oneshot::channel();
        self.urgent.send(Ask::TakeStaged(command.id.clone(), answer)).map_err(|_| gone())?;
        let staged = answered.await.map_err(|_| gone())?;
        let staged = staged.ok_or_else(|| invalid("no artifact was uploaded for this command"))?;
        let (store, upload) = (self.store.clone(), self.stage_upload(&command.id));
        let expected = staged.expected_digest;
        let taken = tokio::task::spawn_blocking(move || store.take(&upload, expected.as_deref())).await;
        let artifact = taken.map_err(|error| NotDone::NotSent { why: error.to_string() })?.map_err(|error| {
            let kind =
                if matches!(error, StoreError::Io { .. }) { RefusalKind::Internal } else { RefusalKind::Invalid };
            NotDone::Refused(Refusal::new(kind, sanitize_line(&error.sentence())))
        })?;
        Ok(Input::ReleaseAdded(Release {
            source: self.source.clone(),
            service: service.clone(),
            version: version.clone(),
            artifacts: vec![artifact],
            commit: staged.commit.as_deref().map(sanitize_line),
            commit_at: staged.commit_at,
            author: actor.name.clone(),
            added: clock(),
            migrations: staged.migrations,
        }))
    }

    /// Everything about a run; `receipts` stays empty.
    pub async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        let unreachable = || InspectError::Unreachable("the engine has ended".into());
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Inspect(run.clone(), answer)).await.map_err(|_| unreachable())?;
        answered.await.map_err(|_| unreachable())?.ok_or_else(|| InspectError::NotFound(run.clone()))
    }

    /// What does not listen as configured once the proxy has answered, each in words. A configuration is in
    /// force only as far as its addresses are.
    async fn not_listening(&self) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + ACKNOWLEDGED;
        loop {
            let (answer, answered) = oneshot::channel();
            if self.urgent.send(Ask::Listening(answer)).is_err() {
                return Vec::new(); // an engine that ended says so in its own answers
            }
            let silent = answered.await.unwrap_or_default();
            let waits = silent.iter().any(|of| of.why.is_none());
            if !waits || tokio::time::Instant::now() >= deadline {
                return silent.into_iter().map(Silent::in_words).collect();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Where the artifact of a release is to be written before its command is submitted.
    pub fn stage_upload(&self, id: &CommandId) -> PathBuf {
        // Ids come from clients: hashed, they can't name another path.
        let name = digest_of(id.as_str().as_bytes()).unwrap_or_default();
        self.uploads.join(name.trim_start_matches("sha256:"))
    }

    /// The upload of a release is complete.
    pub fn staged(&self, id: &CommandId, staged: StagedRelease) {
        // An engine that ended refuses the command that follows.
        let _ = self.urgent.send(Ask::Staged(id.clone(), staged));
    }

    /// The file that an instance's output grows in, if there is one.
    pub fn log_path(&self, instance: &str) -> Option<PathBuf> {
        let path = self.log_dir(instance)?.join(log::CURRENT);
        path.exists().then_some(path)
    }

    /// Will nothing be added to an output? It is of something that was run once, and has ended. What can't be read
    /// now is asked for again.
    pub fn output_is_over(&self, id: &str) -> bool {
        let named = crate::process::supervisor::plain_name(id);
        named && output::is_over(&self.instances.join(id)).unwrap_or_default()
    }

    /// The last lines of an instance's output, oldest first, harmless for a terminal.
    pub fn tail(&self, instance: &str, lines: usize) -> Option<Vec<String>> {
        self.log_path(instance)?;
        let lines = log::tail(&self.log_dir(instance)?, lines).ok()?;
        Some(lines.iter().map(|line| sanitize_line(line)).collect())
    }

    /// Whose output is kept of a service in an environment, newest first.
    ///
    /// # Errors
    /// The folder that it lies in can't be read.
    pub async fn outputs(&self, service: ServiceName, environment: EnvironmentName) -> io::Result<Vec<Output>> {
        let state = self.state().await.map_err(|_| io::Error::other("the engine has ended"))?;
        let names = core::names(&state, &service, &environment);
        let instances = self.instances.clone();
        let list = move || output::list(&instances, &names, &environment);
        tokio::task::spawn_blocking(list).await.map_err(io::Error::other)?
    }

    fn log_dir(&self, instance: &str) -> Option<PathBuf> {
        crate::process::supervisor::plain_name(instance).then(|| self.instances.join(instance).join(LOG_DIR))
    }

    /// Cumulative counters, as last read from the proxy.
    pub fn metrics(&self) -> Vec<PoolMetrics> {
        self.metrics.borrow().clone()
    }

    /// Requests that no service answered for, by address, as last read from the proxy.
    pub fn unmatched(&self) -> Vec<(SocketAddr, u64)> {
        self.unmatched.borrow().clone()
    }

    /// Ends the engine; its loop has ended when this returns.
    pub async fn shutdown(&self, stop: Stop) {
        let (done, ended) = oneshot::channel();
        // Both fail only if it has ended already.
        let _ = self.urgent.send(Ask::Shutdown(stop, done));
        let _ = ended.await;
    }
}
