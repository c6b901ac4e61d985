//! The proof that a decision was made.

use flightdeck_model::{Actor, Command};
use jiff::Timestamp;
use serde::Serialize;

/// A command that may be carried out. It serialises but does not deserialise: only a decision of
/// this room makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Authorized {
    command: Command,
    actor: Actor,
    at: Timestamp,
}

impl Authorized {
    pub(super) fn new(command: Command, actor: Actor, at: Timestamp) -> Authorized {
        Authorized { command, actor, at }
    }

    /// What was asked.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// Who asked.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// When it was decided.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}
