//! The watchdog: what a hub does by itself, once, when a candidate breaks the limits of its environment.

use super::{Action, AnalysisReport, CommandId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is done when a candidate is beyond a limit, and not by chance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBreach {
    /// It is said, and nothing is done.
    #[default]
    Notify,
    /// The rollout stands still.
    Pause,
    /// The candidate's traffic goes back to stable.
    Abort,
}

impl OnBreach {
    /// As it is written in the settings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            OnBreach::Notify => "notify",
            OnBreach::Pause => "pause",
            OnBreach::Abort => "abort",
        }
    }

    /// What it sends, where it sends something.
    #[must_use]
    pub const fn action(self) -> Option<Action> {
        match self {
            OnBreach::Notify => None,
            OnBreach::Pause => Some(Action::Pause),
            OnBreach::Abort => Some(Action::Abort),
        }
    }
}

/// A rollout under the watchdog of its hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchdogStatus {
    pub on_breach: OnBreach,
    /// Since when it takes numbers in: since the rollout was first seen, or since the hub was started.
    pub since: Timestamp,
    /// The command by which this run was begun again, where one did: of each try it tells a breach anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<CommandId>,
    /// `None`: it had no numbers of the candidate yet, so it can't act.
    pub measured: Option<WatchdogMeasured>,
    /// The numbers so far, limit by limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<AnalysisReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breach: Option<Breach>,
}

/// Which numbers it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WatchdogMeasured {
    /// End of the newest window.
    pub until: Timestamp,
    /// Up to then those are of now; after it, it sees nothing and does not act.
    pub of_now_until: Timestamp,
}

/// A limit was broken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Breach {
    pub at: Timestamp,
    /// The worst of it, with the numbers.
    pub sentence: String,
    pub response: BreachResponse,
}

/// What was done about a breach.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum BreachResponse {
    /// It was said, as the settings want it.
    Notified,
    /// A command was sent; its receipt tells what became of it.
    Sent { action: Action, command: CommandId },
    /// The command was refused; it is tried again with the next numbers.
    Refused { action: Action, why: String },
    /// The rollout takes neither what was wanted nor less: nothing was sent.
    NotOffered { action: Action, why: String },
}

impl WatchdogStatus {
    /// Does it have no numbers of now?
    #[must_use]
    pub fn is_blind(&self, now: Timestamp) -> bool {
        self.measured.is_none_or(|measured| measured.of_now_until < now)
    }
}
