//! What the engine's handle asks of its loop.

use super::publish::Batch;
use crate::journal::JournalError;
use flightdeck_engine_core::{Input, State};
use flightdeck_model::{CommandId, ConfigRevision, Detail, Direction, Run};
use flightdeck_port::{Accepted, NotDone};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

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
    /// Address of the pipeline's run that built it, where told.
    pub pipeline_run: Option<String>,
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
    Watch(mpsc::Sender<Batch>),
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
    pub(super) place: String,
    pub(super) address: String,
    /// Why; `None`: the proxy has yet to say.
    pub(super) why: Option<String>,
}
