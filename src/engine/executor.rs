//! The built-in engine behind the port.

use super::progress::progress;
use crate::runtime::Engine;
use async_trait::async_trait;
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Detail, Rollout, Run, Scoped, Stage};
use flightdeck_port::{Accepted, Capabilities, Executor, Followed, InspectError, NotDone};
use futures::stream::BoxStream;

/// The built-in engine, behind the port.
#[derive(Debug, Clone)]
pub struct EngineExecutor(pub Engine);

impl EngineExecutor {
    /// How far a command has come: what [`Executor::progress`] says, for whoever has no engine at hand.
    #[must_use]
    pub fn stage(followed: &Followed<'_>) -> Stage {
        progress(followed)
    }
}

#[async_trait]
impl Executor for EngineExecutor {
    /// It knows every action.
    fn capabilities(&self) -> Capabilities {
        let actions = Action::TABLE.iter().map(|row| row.action).collect();
        let later = "new rollouts wait until it is released by its id";
        Capabilities { source: self.0.source().clone(), actions, later, read_only: false }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        self.0.watch()
    }

    /// Its journal does.
    fn keeps_history(&self) -> bool {
        true
    }

    async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        self.0.execute(authorized).await
    }

    fn progress(&self, followed: &Followed<'_>) -> Stage {
        EngineExecutor::stage(followed)
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        self.0.inspect(run).await.map(|detail| detail.rollout)
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        self.0.inspect(run).await
    }
}
