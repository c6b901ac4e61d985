//! Confirmations as data.

use super::input::Input;
use super::{ConnectionId, Token};
use flightdeck_board::Freshness;
use flightdeck_model::{Action, Direction, FactChange, Forecast, Friction, Pin, Prepared, Refusal, Run, Subject};
use jiff::{SignedDuration, Timestamp};

/// A confirmation ignores keys until it was on the screen for so long: they were meant for what was
/// there before.
pub const SETTLE: SignedDuration = SignedDuration::from_millis(300);

/// One target of a confirmation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
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
    /// As of when it is shown: when the key was pressed, when the live object was read for it, or when its
    /// row was last heard of.
    pub seen: Timestamp,
    /// The newest word on its run that was known then, by the clock of its server; what changes it later
    /// is newer.
    pub heard: Option<Timestamp>,
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
    Challenge,
    Reason,
}

/// A confirmation that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Dialog {
    /// Which; answers name it.
    pub id: Token,
    pub action: Action,
    /// Which way it moves exposure.
    pub direction: Direction,
    /// To what, frozen at the moment of the key press; never empty.
    pub items: Vec<Item>,
    /// Since when what it asks is on the screen; `None`: it was not drawn yet.
    pub shown: Option<Timestamp>,
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

/// What asks for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonFor {
    /// The server does, with the challenge.
    Friction,
    /// A candidate that fails would get more traffic.
    Failing,
}

impl Dialog {
    /// Does a yes give a candidate more of the traffic? How it does is shown then.
    #[must_use]
    pub const fn raises_candidate(&self) -> bool {
        matches!(
            self.action,
            Action::Promote
                | Action::PromoteFull
                | Action::Approve
                | Action::Resume
                | Action::Retry
                | Action::LetThrough
                | Action::Deploy
        )
    }

    /// Is its server still asked what a yes would do? What raises exposure waits for that.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.action.direction() != Direction::Reduces && self.items.iter().any(|item| !item.answered())
    }

    /// The items' forecasts together, most important first.
    pub fn forecasts(&self) -> impl Iterator<Item = &Forecast> {
        self.items.iter().filter_map(|item| item.prepared.as_ref()).map(|prepared| &prepared.forecast)
    }
}

impl Item {
    /// Did the server say something?
    #[must_use]
    pub fn answered(&self) -> bool {
        self.prepared.is_some() || self.refused.is_some() || self.unasked.is_some()
    }

    /// Why the server won't do it, or could not be asked.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let refused = self.refused.as_ref().map(|refusal| refusal.why.clone());
        refused.or_else(|| self.unasked.as_ref().map(|why| format!("the server could not be asked: {why}")))
    }

    /// What a command carries. What raises exposure binds the live object that was read for the
    /// confirmation; what reduces it opened from the row, so it binds what the row showed.
    #[must_use]
    pub fn wanted_pin(&self) -> Option<Pin> {
        let live = self.prepared.as_ref().and_then(|prepared| prepared.pin.clone());
        live.filter(|_| !self.binds_row()).or_else(|| self.pin.clone())
    }

    /// Is its command bound to what the row showed, not to the live object?
    pub(super) fn binds_row(&self) -> bool {
        self.pin.as_ref().is_some_and(|row| row.action.direction() == Direction::Reduces)
    }

    /// The run that it is about.
    #[must_use]
    pub const fn run(&self) -> Option<&Run> {
        match &self.subject {
            Subject::Run(run) | Subject::Approval { run, .. } => Some(run),
            _ => None,
        }
    }
}
