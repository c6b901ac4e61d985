//! What comes to the loop: requests of people, words of sources and probes, and what its own tasks bring back.

use super::feed::Subscription;
use super::following::Answer;
use flightdeck_ledger::{Appended, LedgerError, Record};
use flightdeck_model::{
    Action, Actor, Command, CommandId, Detail, Query, Receipt, Refusal, Reply, Rollout, Run, Scoped, SourceId, Subject,
};
use flightdeck_port::{Accepted, Measured, NotDone, ProbeError, RowTally, TallyQuestion};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A confirmation that waits for the live row.
pub(super) struct Preparing {
    pub actor: Actor,
    pub action: Action,
    pub subject: Subject,
    pub answer: oneshot::Sender<Reply>,
}

/// What a task of the loop brings back.
pub(super) enum Done {
    Read {
        id: CommandId,
        result: Result<Box<Rollout>, Refusal>,
    },
    Recorded {
        id: CommandId,
        result: Result<u64, LedgerError>,
    },
    Found {
        id: CommandId,
        result: Result<Option<Box<Receipt>>, LedgerError>,
    },
    Executed {
        id: CommandId,
        results: Vec<(SourceId, Result<Accepted, NotDone>)>,
    },
    Written {
        result: Result<Appended, LedgerError>,
    },
    Ended {
        result: Result<Appended, LedgerError>,
        told: Option<Box<Scoped>>,
    },
    Spilled {
        result: Result<Vec<Record>, LedgerError>,
    },
    Prepared {
        asked: Box<Preparing>,
        live: Result<Box<Rollout>, Refusal>,
    },
    Inspected {
        result: Result<Box<Detail>, Refusal>,
        answer: oneshot::Sender<Reply>,
    },
    /// A command of the watchdog was answered; `None`: the hub ends.
    Guarded {
        run: Run,
        action: Action,
        result: Option<Result<Box<Receipt>, Refusal>>,
    },
    Answered,
}

/// Something that the loop is asked for.
pub(super) enum Request {
    Submit { actor: Actor, command: Command, answer: Answer },
    Query { actor: Actor, query: Query, answer: oneshot::Sender<Reply> },
    Subscribe { from: Option<(u64, u64)>, answer: oneshot::Sender<Subscription> },
}

/// What comes from outside by itself.
pub(super) enum Watched {
    /// A source's watch tells it.
    Told(Scoped),
    /// A probe's task asks or tells.
    Probing(Probing),
    /// It ended, which it never should.
    Ended(SourceId),
}

/// What a probe is asked.
pub(super) struct Question {
    pub rows: Vec<Arc<Rollout>>,
    pub now: Timestamp,
}

/// What a probe is asked about objectives: a question a window.
pub(super) struct Questions {
    pub windows: Vec<TallyQuestion>,
    pub now: Timestamp,
}

/// The answer about one window.
pub(super) struct Tallied {
    pub question: TallyQuestion,
    /// How long it is of now.
    pub lasts: SignedDuration,
    pub result: Result<Vec<RowTally>, ProbeError>,
}

/// What the task of a probe brings to the loop.
pub(super) enum Probing {
    /// It wants to know what to ask.
    Asks(oneshot::Sender<Question>),
    /// The same of objectives.
    AsksObjectives(oneshot::Sender<Questions>),
    Tallied {
        source: SourceId,
        asked: Timestamp,
        tallied: Vec<Tallied>,
    },
    Answered {
        source: SourceId,
        asked: Timestamp,
        result: Result<Measured, ProbeError>,
    },
}
