//! Questions and their answers.

use super::{
    Action, ConfigName, Detail, Direction, Entity, EnvironmentName, FactChange, Output, Pin, Run, ServiceName, Subject,
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A question to a hub; each gets one [`Reply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Query {
    /// May I, what would happen, and what do I pin? Reads the live object.
    Prepare { action: Action, subject: Subject },
    /// Everything about a run.
    Inspect { run: Run },
    /// All rows of the board.
    Board,
    /// Those of what is not over: no finished rollouts, notes, evidence or finished receipts.
    Current,
    /// All watches and their health: what the rows can't say, since what was not seen has none.
    Watches,
    /// Who am I to you?
    WhoAmI,
    /// What would applying this configuration change? Answered by [`Reply::Lines`].
    Diff {
        /// Which of the server's configurations it is to be.
        #[serde(default, skip_serializing_if = "ConfigName::is_default")]
        name: ConfigName,
        /// The text of `flightdeck.toml`.
        text: String,
        /// Its path, for messages and relative paths.
        path: String,
    },
    /// The configurations that were put into force, newest first, without their texts; of one revision the
    /// text, too. Answered by [`Reply::Configs`].
    Configs {
        /// Which; `None`: all that are kept.
        revision: Option<u64>,
    },
    /// The last lines of an instance's output.
    Logs {
        instance: String,
        /// At most so many lines.
        lines: u32,
    },
    /// Whose output is kept of a service in an environment, newest first. Answered by [`Reply::Outputs`].
    Outputs { service: ServiceName, environment: EnvironmentName },
    /// Check the ledger's chain. Answered by [`Reply::Lines`] or [`Reply::Refused`].
    VerifyLedger,
    /// The same, compared with what was kept elsewhere.
    VerifyLedgerAgainst {
        /// A checkpoint: the signed note.
        witness: Option<String>,
        /// The public key.
        key: Option<String>,
    },
    /// All records as they are hashed, then the newest checkpoint, made now; as JSON lines.
    ExportLedger,
    /// The public key of the ledger's checkpoints, in one line.
    LedgerKey,
    /// The newest ledger records, as JSON lines.
    Ledger {
        /// At most so many.
        limit: u32,
    },
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The caller may not.
    Denied,
    /// The pin no longer holds.
    PinChanged,
    /// It does not apply to the subject as it stands.
    NotApplicable,
    /// There is no such subject.
    NotFound,
    /// What is known of it is too old.
    Stale,
    /// The request itself is wrong.
    Invalid,
    /// The record could not be made durable.
    NotRecorded,
    /// The hub or backend failed.
    Internal,
}

/// A no, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    pub kind: RefusalKind,
    /// A sentence: what happened, what still holds, what to do.
    pub why: String,
    /// For a pin: each fact that changed.
    pub changes: Vec<FactChange>,
}

impl Refusal {
    /// A refusal without changed facts.
    #[must_use]
    pub fn new(kind: RefusalKind, why: impl Into<String>) -> Refusal {
        Refusal { kind, why: why.into(), changes: Vec::new() }
    }

    /// A refusal for a pin whose facts changed; the sentence names each.
    #[must_use]
    pub fn pin(changes: Vec<FactChange>) -> Refusal {
        let list: Vec<_> = changes.iter().map(ToString::to_string).collect();
        Refusal {
            kind: RefusalKind::PinChanged,
            why: format!("it changed since you looked: {}; nothing was done", list.join(", ")),
            changes,
        }
    }
}

/// How much a confirmation asks of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Friction {
    /// Done at once.
    None,
    /// `y`.
    Yes,
    /// Type this text, which names the target and changes with it.
    Challenge(String),
    /// Type this text and give a reason.
    ChallengeAndReason(String),
}

impl Friction {
    /// Is this what the person must type? An arrow may be typed as `->`, since no key has it.
    #[must_use]
    pub fn accepts(&self, typed: &str) -> bool {
        let plain = |text: &str| text.replace('→', "->").split_whitespace().collect::<Vec<_>>().join(" ");
        match self {
            Friction::None | Friction::Yes => true,
            Friction::Challenge(text) | Friction::ChallengeAndReason(text) => plain(typed) == plain(text),
        }
    }
}

/// What governance says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Decision {
    /// Yes, after this much friction.
    Allow { friction: Friction },
    /// Not yet: these kinds of evidence are missing.
    Needs(Vec<String>),
    /// No.
    Refuse(Refusal),
}

/// How a rollback would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackPath {
    /// The version before is still up: one switch.
    Warm,
    /// It must be started first.
    Start,
    /// What serves is ended first, then it is started: nothing serves in between.
    Recreate,
}

/// What a yes does next, said beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Forecast {
    /// Sentences, most important first: route, capacity, gates ahead, way back.
    pub lines: Vec<String>,
    /// What to be warned of: stable too small to carry all traffic, a step that can't be undone.
    pub warnings: Vec<String>,
    /// The step that the run will be at, where that is known.
    pub step: Option<u32>,
    /// How long until it is effective, where that can be said.
    pub takes: Option<SignedDuration>,
    pub path: Option<RollbackPath>,
    /// Why what it was made from may be old, such as `stale for 41 s: connection refused`; `None`: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

impl Forecast {
    /// All that there is to be warned of in words, that it may be old included.
    pub fn all_warnings(&self) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
        let stale = self.stale.iter().map(|why| format!("what is shown may be old: {why}").into());
        self.warnings.iter().map(|warning| warning.as_str().into()).chain(stale)
    }

    /// Takes over what a backend says of its own way, and keeps the warnings that are known besides.
    pub fn take_over(&mut self, own: Forecast) {
        let (warnings, stale) = (std::mem::take(&mut self.warnings), self.stale.take());
        *self = Forecast { stale, ..own };
        // The general warning tells of hidden characters, whatever the backend says.
        self.warnings.extend(warnings.into_iter().filter(|warning| warning.starts_with("its name")));
    }
}

/// The answer to [`Query::Prepare`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    pub action: Action,
    pub subject: Subject,
    /// May the caller, and how.
    pub decision: Decision,
    /// Which way it moves exposure here; a backend may say that an abort is none.
    pub direction: Direction,
    /// What a command must carry.
    pub pin: Option<Pin>,
    /// What would happen.
    pub forecast: Forecast,
}

/// Lines of an instance's output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLines {
    /// Oldest first, sanitised.
    pub lines: Vec<String>,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Reply {
    /// To `Prepare`.
    Prepared(Box<Prepared>),
    /// To `Inspect`.
    Detail(Box<Detail>),
    /// To `Board` and `Current`.
    Board(Vec<Entity>),
    /// To `Watches`.
    Watches(Vec<super::Watch>),
    /// To `WhoAmI`.
    WhoAmI {
        actor: super::Actor,
        /// Is policy enforced here (a server), or only advisory (one's own process)?
        enforced: bool,
    },
    /// To `Configs`.
    Configs(Vec<super::ConfigRevision>),
    /// To `Outputs`.
    Outputs(Vec<Output>),
    /// To `Logs`, `Diff`, and all that is asked of the ledger.
    Lines(LogLines),
    /// A question that can't be answered.
    Refused(Refusal),
}
