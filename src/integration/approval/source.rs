//! The gates of a system as a source of rows that take a yes or a no.

use super::gate::{Gate, Key, Standing};
use super::shared::Shared;
use super::system::ApprovalSystem;
use super::{execute, progress, row, watch};
use async_trait::async_trait;
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Detail, Forecast, Rollout, Run, Scoped, SourceId, Stage, Verdict};
use flightdeck_port::{Accepted, Capabilities, Executor, Followed, InspectError, NotDone};
use futures::stream::BoxStream;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch::Sender;
use tokio::sync::{Semaphore, broadcast};

/// Places that are looked at at the same time: GitHub asks for no more than a hundred requests, others for fewer.
const AT_ONCE: usize = 8;

/// Decisions that a place may be behind with.
const DECISIONS: usize = 64;

/// What waits for people in the places of one system.
#[derive(Debug, Clone)]
pub struct Approvals {
    shared: Arc<Shared>,
}

impl Approvals {
    /// Connects nothing yet.
    pub(super) fn new(source: SourceId, read_only: bool, system: impl ApprovalSystem) -> Approvals {
        let shared = Shared {
            source,
            read_only,
            system: Box::new(system),
            login: Sender::new(None),
            known: Sender::new(BTreeMap::new()),
            taken: Sender::new(BTreeMap::new()),
            turns: Semaphore::new(AT_ONCE),
            decided: broadcast::Sender::new(DECISIONS),
        };
        Approvals { shared: Arc::new(shared) }
    }

    /// The gate of a run, as its system has it now.
    async fn live(&self, run: &Run) -> Result<Gate, InspectError> {
        let not_found = || InspectError::NotFound(run.clone());
        let key: Key = self.shared.key(run).ok_or_else(not_found)?;
        let unreachable = |problem| InspectError::Unreachable(self.shared.system.client().sentence(&problem));
        self.shared.live(&key).await.map_err(unreachable)?.ok_or_else(not_found)
    }

    fn row(&self, gate: &Gate) -> Rollout {
        let login = self.shared.login.borrow().clone();
        row::rollout(self.shared.context(login.as_deref()), gate)
    }
}

#[async_trait]
impl Executor for Approvals {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: self.shared.source.clone(),
            actions: [Action::Approve, Action::Reject].into_iter().collect(),
            later: self.shared.system.words().no_hold,
            read_only: self.shared.read_only,
        }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        watch::watch(Arc::clone(&self.shared))
    }

    async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        execute::execute(&self.shared, authorized).await
    }

    fn progress(&self, followed: &Followed<'_>) -> Stage {
        progress::progress(followed, self.shared.system.words().tells_reviews)
    }

    fn forecast(&self, action: Action, row: &Rollout) -> Option<Forecast> {
        let (standing, _) = row::standing(row)?;
        let login = self.shared.login.borrow().clone().unwrap_or_else(|| "this token's account".to_owned());
        let verdict = match action {
            Action::Approve => Verdict::Approved,
            Action::Reject => Verdict::Rejected,
            _ => return None,
        };
        let lines = self.shared.system.consequences(
            row.environment.as_str(),
            &login,
            verdict,
            progress::is_unstarted(&row.facts),
        );
        let moved = Some(row.message.clone()).filter(|_| standing != Standing::Asks);
        let warnings = row.denial(action).map(str::to_owned).into_iter().chain(moved).collect();
        Some(Forecast { lines, warnings, ..Forecast::default() })
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        Ok(self.row(&self.live(run).await?))
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        let gate = self.live(run).await?;
        Ok(Detail {
            rollout: self.row(&gate),
            instances: Vec::new(),
            notes: Vec::new(),
            evidence: Vec::new(),
            receipts: Vec::new(),
            groups: Vec::new(),
            analyses: Vec::new(),
            history: Vec::new(),
            raw: gate.raw,
            gaps: Vec::new(),
        })
    }
}
