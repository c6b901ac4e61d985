//! What every backend owes: one set of cases, written once, for anything behind the port.
//!
//! Each case runs a real hub with a ledger of its own over a fresh subject, and asks the subject's
//! [`Fixture`] to bring about the situations that it needs. A situation that can't apply makes the
//! case not applicable, with the reason; it is never skipped silently.

mod cases;
mod checks;
mod harness;
mod program;
mod table;

pub use cases::Case;
pub use program::ProgramBackend;
pub use table::{Column, Outcome, matrix};

use crate::model::{Action, Target};
use crate::port::Executor;
use async_trait::async_trait;
use futures::StreamExt as _;
use harness::Harness;
use std::sync::Arc;

/// What a case asks for. The first six begin anew; the others change what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Situation {
    /// A rollout with a version before stands at a pause that a person must end; another such pause
    /// is ahead where the backend has several.
    Paused,
    /// A rollout moves, or waits for something that is no person, for minutes.
    InFlight,
    /// No rollout is in flight; a version before is known.
    Settled,
    /// A rollout was aborted; stable has the traffic.
    Aborted,
    /// A rollout waits for the approval of anybody.
    Approval,
    /// As paused, and what a promotion brings fails by itself soon after its effect.
    Doomed,
    /// Somebody else changes it, such as by bringing in another version: its facts change.
    Changed,
    /// The workload is deleted.
    Deleted,
    /// The right to change it is taken away.
    Denied,
    /// The next command is answered later than the hub waits (2 s), but carried out.
    Slow,
    /// The next command is carried out and its answer is lost.
    Cut,
    /// Commands are taken and changes are told, but whatever carries them out has died, until restored.
    Uncontrolled,
    /// The platform can't be watched or reached, until restored.
    Stale,
    /// The watch is cut and another version comes in meanwhile.
    Interrupted,
    /// Slowness, cuts, staleness, interruptions and the lack of a controller are over.
    Restored,
}

impl Situation {
    /// The word on the wire and in reasons.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Situation::Paused => "paused",
            Situation::InFlight => "in_flight",
            Situation::Settled => "settled",
            Situation::Aborted => "aborted",
            Situation::Approval => "approval",
            Situation::Doomed => "doomed",
            Situation::Changed => "changed",
            Situation::Deleted => "deleted",
            Situation::Denied => "denied",
            Situation::Slow => "slow",
            Situation::Cut => "cut",
            Situation::Uncontrolled => "uncontrolled",
            Situation::Stale => "stale",
            Situation::Interrupted => "interrupted",
            Situation::Restored => "restored",
        }
    }
}

/// Why a case has no result to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It can't apply to this backend.
    #[error("not applicable: {0}")]
    NotApplicable(String),
    /// The backend, or what brings it into situations, did not do what it must.
    #[error("{0}")]
    Failed(String),
}

/// A backend under test.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Heads its column.
    fn name(&self) -> String;
    /// A subject of its own for one case.
    async fn open(&self) -> Result<Box<dyn Fixture>, Stop>;
}

/// One subject, and the way to bring it into situations.
#[async_trait]
pub trait Fixture: Send {
    /// The subject; a hub watches it before the first situation is asked for.
    fn orchestrator(&self) -> Arc<dyn Executor>;
    /// Brings it about; gives the workload that is in it.
    async fn bring(&mut self, situation: Situation) -> Result<Target, Stop>;
    /// Why this sort of workload never takes that action, though its backend knows it.
    fn lacks(&self, _action: Action) -> Option<String> {
        None
    }
    /// Takes everything away; the hub has ended.
    async fn close(self: Box<Self>) -> Result<(), Stop>;
}

/// Runs the cases on a backend, so many at once.
pub async fn run(backend: &dyn Backend, cases: &[Case], at_once: usize) -> Column {
    let cells = cases.iter().map(|case| async move { (*case, outcome(backend, *case).await) });
    let cells = futures::stream::iter(cells).buffered(at_once.max(1)).collect().await;
    Column { backend: backend.name(), cells }
}

async fn outcome(backend: &dyn Backend, case: Case) -> Outcome {
    let fixture = match backend.open().await {
        Ok(fixture) => fixture,
        Err(stop) => return stop.into(),
    };
    let mut harness = match Harness::new(fixture, case).await {
        Ok(harness) => harness,
        Err(stop) => return stop.into(),
    };
    let result = cases::run(case, &mut harness).await;
    match (result, harness.end().await) {
        (Ok(()), Ok(())) => Outcome::Passed,
        (Err(stop), _) | (Ok(()), Err(stop)) => stop.into(),
    }
}
