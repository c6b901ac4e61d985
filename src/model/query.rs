//! Questions and their answers.

use super::{
    Action, ConfigName, Detail, Entity, EnvironmentName, Output, Prepared, Refusal, Run, ServiceName, Subject,
};
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
