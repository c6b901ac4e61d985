//! The servers, and what was asked of them.

use crate::app::{ConnectionId, ConnectionState, Token};
use flightdeck_model::{Action, CommandId, HubId, Receipt, Refusal, Run, Scope, SourceId, Subject};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// What its user calls it.
    pub name: String,
    pub state: ConnectionState,
    /// Since when it is so.
    pub since: Timestamp,
    /// Which hub answers there, once it told something.
    pub hub: Option<HubId>,
    /// That hub's epoch.
    pub epoch: u64,
    /// The newest update seen.
    pub seq: u64,
    /// Sources that it tells of but another connection speaks for; what it says of them is dropped.
    pub disputed: BTreeSet<SourceId>,
    /// Watches that this connection told of; all of them are stale while it is down.
    pub scopes: BTreeSet<Scope>,
}

/// One's own command and what became of it. Once a receipt is there it is also on the board.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnCommand {
    pub id: CommandId,
    /// Binds the outcome.
    pub token: Token,
    /// To which server.
    pub connection: ConnectionId,
    pub action: Action,
    pub subject: Subject,
    /// Action and target in words.
    pub title: String,
    pub sent: Timestamp,
    /// How far it came.
    pub progress: OwnProgress,
}

/// How far one's own command came.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnProgress {
    /// On its way to the server.
    Sending,
    /// The newest receipt.
    Receipt(Box<Receipt>),
    /// The server said no.
    Refused(Refusal),
    /// It never left.
    NotSent(String),
    /// The answer was lost; a receipt may still come.
    Unknown(String),
}

/// What a question was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// For an item of a confirmation that is open or about to be.
    Item {
        /// Which confirmation.
        dialog: Token,
        item: usize,
    },
    /// For everything about a run.
    Detail(Run),
}

impl OwnProgress {
    /// Will more come?
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            OwnProgress::Sending | OwnProgress::Unknown(_) => true,
            OwnProgress::Receipt(receipt) => !receipt.stage().is_final(),
            OwnProgress::Refused(_) | OwnProgress::NotSent(_) => false,
        }
    }

    /// The word that stands on rows.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            OwnProgress::Sending => "sending",
            OwnProgress::Receipt(receipt) => receipt.stage().word(),
            OwnProgress::Refused(_) => "refused",
            OwnProgress::NotSent(_) => "not sent",
            OwnProgress::Unknown(_) => "unknown",
        }
    }
}
