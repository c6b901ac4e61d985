//! Confirmations as data.

use super::state::Input;
use super::{ConnectionId, Token};
use crate::board::Freshness;
use crate::model::{Action, Direction, FactChange, Forecast, Friction, Pin, Prepared, Refusal, Subject};
use jiff::{SignedDuration, Timestamp};

/// A dialog that raises exposure ignores keys for so long after it opened: they were meant for
/// what was there before.
pub const SETTLE: SignedDuration = SignedDuration::from_millis(300);

/// A confirmation that opens once the server has read the live objects: everything that raises
/// exposure. Its targets are frozen at the moment of the key press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Which; answers name it.
    pub id: Token,
    /// What.
    pub action: Action,
    /// To what, one for each marked row.
    pub items: Vec<Item>,
}

/// One target of a confirmation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What.
    pub subject: Subject,
    /// Which server carries it out.
    pub connection: ConnectionId,
    /// `checkout in production (local)`.
    pub target: String,
    /// From → to, where there is one: versions, or shares of traffic.
    pub change: Option<String>,
    /// As it was on the row when the key was pressed.
    pub pin: Option<Pin>,
    /// How fresh the row was.
    pub freshness: Freshness,
    /// What the server said, once it did.
    pub prepared: Option<Prepared>,
    /// Why the server can't do it, once it said so.
    pub refused: Option<Refusal>,
    /// The server could not be asked: why. Reducing exposure goes on without.
    pub unasked: Option<String>,
    /// Facts that changed since it opened.
    pub changes: Vec<FactChange>,
}

/// Where typing goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Field {
    /// `y`, Enter, Esc and nothing to type.
    #[default]
    Keys,
    /// The challenge.
    Challenge,
    /// The reason.
    Reason,
}

/// A confirmation that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Dialog {
    /// Which; answers name it.
    pub id: Token,
    /// What.
    pub action: Action,
    /// Which way it moves exposure.
    pub direction: Direction,
    /// To what; never empty.
    pub items: Vec<Item>,
    /// When it opened.
    pub opened: Timestamp,
    /// What it asks for.
    pub friction: Friction,
    /// Where typing goes.
    pub field: Field,
    /// What was typed of the challenge.
    pub challenge: Input,
    /// Why; optional unless the friction asks for it.
    pub reason: Input,
    /// The last thing that it ignored, and why: nothing is swallowed without a word.
    pub said: Option<String>,
}

impl Dialog {
    /// The items' forecasts together, most important first.
    pub fn forecasts(&self) -> impl Iterator<Item = &Forecast> {
        self.items.iter().filter_map(|item| item.prepared.as_ref()).map(|prepared| &prepared.forecast)
    }
}
