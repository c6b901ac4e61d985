//! The handle that everybody else holds.

use super::asks::{Ask, StagedRelease, Stop};
use super::publish::WATCHER_BATCHES;
use super::windows::PoolMetrics;
use crate::process::context::plain_name;
use crate::process::{log, output, wire::LOG_DIR};
use crate::store::{Store, digest_of};
use flightdeck_engine_core as core;
use flightdeck_model::{CommandId, Detail, EnvironmentName, Output, Run, Scoped, ServiceName, SourceId, sanitize_line};
use flightdeck_port::{InspectError, NotDone};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot, watch};

/// A handle on a running engine.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) source: SourceId,
    pub(super) uploads: PathBuf,
    pub(super) instances: PathBuf,
    pub(super) store: Store,
    /// Served first and never full.
    pub(super) urgent: mpsc::UnboundedSender<Ask>,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) metrics: watch::Receiver<Vec<PoolMetrics>>,
    pub(super) unmatched: watch::Receiver<Vec<(SocketAddr, u64)>>,
}

pub(super) fn gone() -> NotDone {
    NotDone::NotSent { why: "the engine has ended".into() }
}

impl Engine {
    /// Its name among the sources of a board.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// Rows and their changes, from a snapshot on, until the engine ends.
    pub fn watch(&self) -> BoxStream<'static, Scoped> {
        let (batches, receiver) = mpsc::channel(WATCHER_BATCHES);
        // An engine that ended gives an empty stream.
        let _ = self.urgent.send(Ask::Watch(batches));
        let batches = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        batches.flat_map(|batch| stream::iter(batch.to_vec())).boxed()
    }

    /// Everything about a run; `receipts` stays empty.
    pub async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        let unreachable = || InspectError::Unreachable("the engine has ended".into());
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Inspect(run.clone(), answer)).await.map_err(|_| unreachable())?;
        answered.await.map_err(|_| unreachable())?.ok_or_else(|| InspectError::NotFound(run.clone()))
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
        let named = plain_name(id);
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
        plain_name(instance).then(|| self.instances.join(instance).join(LOG_DIR))
    }

    /// Cumulative counters, as last read from the proxy.
    pub fn metrics(&self) -> Vec<PoolMetrics> {
        self.metrics.borrow().clone()
    }

    /// Requests that no service answered for, by address, as last read from the proxy.
    pub fn unmatched(&self) -> Vec<(SocketAddr, u64)> {
        self.unmatched.borrow().clone()
    }

    /// A copy, so that the loop does not wait for whoever reads it.
    pub(super) async fn state(&self) -> Result<Box<core::State>, NotDone> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::State(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    /// Ends the engine; its loop has ended when this returns.
    pub async fn shutdown(&self, stop: Stop) {
        let (done, ended) = oneshot::channel();
        // Both fail only if it has ended already.
        let _ = self.urgent.send(Ask::Shutdown(stop, done));
        let _ = ended.await;
    }
}
