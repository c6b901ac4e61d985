//! A command and everything that the hub knows of it.

use flightdeck_control::Authorized;
use flightdeck_model::{Action, HoldTarget, Receipt, Refusal, Rollout, ServicePlace, SourceId};
use flightdeck_port::Holding;
use jiff::Timestamp;
use tokio::sync::oneshot;

/// How far the hub itself is with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Reading the live row.
    Reading,
    /// Waiting for the ledger.
    Recording,
    /// Waiting for the backend.
    Executing,
    /// Watching for the effect.
    Following,
    /// Nothing more to do, but a later revert is still noticed.
    Done,
}

/// A command and everything that the hub knows of it.
pub(super) struct Following {
    pub receipt: Receipt,
    pub before: Option<Rollout>,
    pub doing: Doing,
    pub authorized: Option<Authorized>,
    /// Those who wait for the backend's answer.
    pub waiters: Vec<Answer>,
    /// What each backend said to it.
    pub notes: Vec<(SourceId, Option<String>)>,
    /// What each backend put into force of a hold.
    pub held: Vec<HeldThere>,
    /// Backends that did not take it, and why, where others did.
    pub missed: Vec<String>,
    /// What a configuration ends, by source.
    pub ending: Vec<(SourceId, ServicePlace)>,
    /// A later command took its place before it was sent.
    pub superseded: Option<String>,
    /// Since when this hub watches for its effect.
    pub watched: Timestamp,
    /// Nothing that happens later undoes it any more.
    pub settled: bool,
}

impl Following {
    pub fn new(receipt: Receipt, doing: Doing) -> Following {
        Following {
            receipt,
            before: None,
            doing,
            authorized: None,
            waiters: Vec::new(),
            notes: Vec::new(),
            held: Vec::new(),
            missed: Vec::new(),
            ending: Vec::new(),
            superseded: None,
            watched: now(),
            settled: false,
        }
    }

    /// What only its being followed needed goes.
    pub fn is_done(&mut self) {
        self.doing = Doing::Done;
        (self.before, self.authorized, self.held, self.ending) = (None, None, Vec::new(), Vec::new());
    }

    pub fn action(&self) -> Action {
        self.receipt.command.action
    }

    /// The moment of its first stage.
    pub fn asked(&self) -> Timestamp {
        self.receipt.stages.first().map_or(Timestamp::UNIX_EPOCH, |record| record.at)
    }
}

#[expect(clippy::disallowed_methods, reason = "the hub is a shell: it stamps what it tells")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// Where the outcome of a submission goes.
pub(super) type Answer = oneshot::Sender<Result<Receipt, Refusal>>;

/// What one backend put into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldThere {
    pub source: SourceId,
    pub holding: Holding,
    /// Each target and how it fared, where the backend said so.
    pub told: Vec<HoldTarget>,
}
