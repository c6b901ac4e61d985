//! Whoever carries out rollouts.

use async_trait::async_trait;
use flightdeck_control::Authorized;
use flightdeck_model::{
    Action, ActionSet, Command, Detail, Facts, Forecast, HoldId, HoldTarget, Refusal, Rollout, RolloutRecord, Run,
    Scoped, ServicePlace, SourceId, Stage,
};
use futures::stream::BoxStream;
use jiff::Timestamp;

/// What a backend can do at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    pub source: SourceId,
    /// Every action that it knows, whatever a rollout's state.
    pub actions: ActionSet,
    /// What a hold there does to rollouts that begin while it is in force, in words.
    pub later: &'static str,
    /// Nothing may be changed through it, whatever it knows.
    pub read_only: bool,
}

impl Capabilities {
    /// Why nothing can be held or released there; nothing if it can.
    #[must_use]
    pub fn no_holds(&self) -> Option<String> {
        match (self.read_only, self.actions.contains(Action::Hold)) {
            (true, _) => Some(format!("{} is read-only: nothing can be held there", self.source)),
            (false, false) => Some(format!("{} knows no hold", self.source)),
            (false, true) => None,
        }
    }
}

/// What a backend says of a hold that it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Holding {
    /// Nothing: its rows tell.
    #[default]
    Unsaid,
    /// Nothing moves there that could be held, and what begins later goes on.
    Nothing,
    /// It is in force, called so.
    InForce(HoldId),
}

/// The backend said yes; the effect is still to be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What it answered, in words, where there is something to say (such as a hold's id).
    pub note: Option<String>,
    /// For a scope: each target and how it fared, where the backend can say.
    pub targets: Vec<HoldTarget>,
    /// For a hold: what came of it.
    pub holding: Holding,
    /// What of it was not done, or could not be looked at, and why, in words.
    pub lacking: Vec<String>,
    /// The run that the command created (a deploy, a retry, a restart, a rollback to the version before),
    /// where the backend knows it by then. Its effect is looked for in this run and in no other.
    pub created: Option<Run>,
    /// The facts of its target as the command left it, where the backend answers with them. A platform
    /// that names a new revision only later is known by these.
    pub left: Facts,
    /// For a configuration: what leaves it and was up, until it has ended.
    pub ending: Vec<ServicePlace>,
}

/// A command that a backend accepted, and everything that is known of what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Followed<'a> {
    /// What was asked.
    pub command: &'a Command,
    /// The run that it created, as [`Accepted`] named it.
    pub created: Option<&'a Run>,
    /// The facts of its target as it left it, as [`Accepted`] has them.
    pub left: Option<&'a Facts>,
    /// The row of its target when it was asked.
    pub before: Option<&'a Rollout>,
    /// The row of its target now.
    pub current: Option<&'a Rollout>,
    /// How the run that it is about (the one it created, else the one it was asked for) ended, where
    /// the backend told: the row may show a later run by then.
    pub ended: Option<&'a RolloutRecord>,
    pub now: Timestamp,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The backend said no: nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It never left: nothing changed.
    #[error("not sent: {why}")]
    NotSent { why: String },
    /// The answer was lost: it may have been carried out. Never sent again blindly.
    #[error("outcome unknown: {why}")]
    Unknown { why: String },
}

/// Why a run can't be inspected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// There is no such run.
    #[error("there is no rollout {0}")]
    NotFound(Run),
    /// The backend can't be reached.
    #[error("cannot read it: {0}")]
    Unreachable(String),
}

/// A backend. One implementation a system, object-safe.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// What it can do at all.
    fn capabilities(&self) -> Capabilities;
    /// Rows and their changes, from a snapshot on. Never ends; tells its own health.
    fn watch(&self) -> BoxStream<'static, Scoped>;
    /// Carries out one command; tests the pin in the same step where the backend can.
    async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone>;
    /// How far a command has come. Pure.
    fn progress(&self, followed: &Followed<'_>) -> Stage;
    /// Does its watch tell, after a start, what had ended before? Of others the ledger tells it.
    fn keeps_history(&self) -> bool {
        false
    }
    /// What an action would do to this row, where the backend's own way of doing it differs from what
    /// is said of every backend. Pure.
    fn forecast(&self, _action: Action, _row: &Rollout) -> Option<Forecast> {
        None
    }
    /// The row of a run, read live: what a command that raises exposure is decided on.
    async fn read(&self, run: &Run) -> Result<Rollout, InspectError>;
    /// Everything about a run, read live; `receipts` stays empty (the hub has those).
    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError>;
}
