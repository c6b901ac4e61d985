//! GitHub Actions: runs that wait for an environment with required reviewers, said yes or no to, and followed to the
//! job that they let through. docs/github.md says it for people.
//!
//! Nothing here is about the runs themselves: what waits for no environment is not shown.

mod client;
mod execute;
mod gate;
mod look;
mod progress;
mod provider;
mod row;
mod settings;
mod shared;
mod watch;
mod wire;

pub use provider::GitHub;
pub use settings::Settings;

use async_trait::async_trait;
use client::Client;
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Detail, Forecast, Rollout, Run, Scoped, SourceId, Stage};
use flightdeck_port::{Accepted, Capabilities, Executor, Followed, InspectError, NotDone, WrongSetting};
use futures::stream::BoxStream;
use gate::{Gate, Standing};
use shared::Shared;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch::Sender;

/// The waiting deployments of some repositories.
#[derive(Debug, Clone)]
pub struct WaitingDeployments {
    shared: Arc<Shared>,
}

impl WaitingDeployments {
    /// Connects nothing yet.
    ///
    /// # Errors
    /// The address is none, or the token can't stand in a header.
    pub fn new(
        source: SourceId,
        read_only: bool,
        settings: Settings,
        token: &str,
    ) -> Result<WaitingDeployments, WrongSetting> {
        let client = Client::new(&settings.url, token)?;
        let (login, known) = (Sender::new(None), Sender::new(BTreeMap::new()));
        let decided = Sender::new(());
        Ok(WaitingDeployments {
            shared: Arc::new(Shared { source, read_only, settings, client, login, known, decided }),
        })
    }

    /// The gate of a run, as GitHub has it now.
    async fn live(&self, run: &Run) -> Result<Gate, InspectError> {
        let not_found = || InspectError::NotFound(run.clone());
        let (repository, key) = self.shared.place(run).ok_or_else(not_found)?;
        let gate = self.shared.live(repository, key).await;
        gate.map_err(|problem| InspectError::Unreachable(problem.sentence()))?.ok_or_else(not_found)
    }

    fn row(&self, gate: &Gate) -> Rollout {
        let login = self.shared.login.borrow().clone();
        row::rollout(self.shared.context(login.as_deref()), gate)
    }
}

#[async_trait]
impl Executor for WaitingDeployments {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: self.shared.source.clone(),
            actions: [Action::Approve, Action::Reject].into_iter().collect(),
            later: "GitHub knows no hold",
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
        progress::progress(followed)
    }

    fn forecast(&self, action: Action, row: &Rollout) -> Option<Forecast> {
        let (standing, _) = row::standing(row)?;
        let place = &row.environment;
        let login = self.shared.login.borrow().clone().unwrap_or_else(|| "this token's account".to_owned());
        let lines = match action {
            Action::Approve => vec![
                format!("GitHub gets a review of {login}: approved; its job for {place} begins once a runner takes it"),
                "a yes can't be taken back: only cancelling the run stops it".to_owned(),
            ],
            Action::Reject => vec![
                format!("GitHub gets a review of {login}: rejected; nothing is deployed to {place}"),
                "its other jobs that need this one do not run, and the run ends as failed".to_owned(),
            ],
            _ => return None,
        };
        let warnings = if standing == Standing::Asks { Vec::new() } else { vec![row.message.clone()] };
        Some(Forecast { lines, warnings, ..Forecast::default() })
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        Ok(self.row(&self.live(run).await?))
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        let gate = self.live(run).await?;
        let raw = serde_json::to_value(&gate.run).unwrap_or_default();
        Ok(Detail {
            rollout: self.row(&gate),
            instances: Vec::new(),
            notes: Vec::new(),
            evidence: Vec::new(),
            receipts: Vec::new(),
            groups: Vec::new(),
            analyses: Vec::new(),
            history: Vec::new(),
            raw,
            gaps: Vec::new(),
        })
    }
}
