//! Whoever is told outside.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// A rollout could not come up.
    Failed,
    /// A rollout was aborted, by a person or by its analysis.
    Aborted,
    /// A version that served was taken back.
    RolledBack,
    /// A rollout stands still until a person does something.
    WaitsForPerson,
    /// Somebody tries whether they are reached.
    Test,
}

impl NotifyEvent {
    /// All that happen by themselves, with the words of the settings.
    pub const ALL: [(&'static str, NotifyEvent); 4] = [
        ("failed", NotifyEvent::Failed),
        ("aborted", NotifyEvent::Aborted),
        ("rolled_back", NotifyEvent::RolledBack),
        ("waits_for_person", NotifyEvent::WaitsForPerson),
    ];
}

/// What is told, as JSON: the body of a webhook, the standard input of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The same on each try: whoever gets it twice knows it by this.
    pub id: String,
    pub event: NotifyEvent,
    pub at: Timestamp,
    /// Which source tells of it.
    pub source: String,
    pub service: String,
    pub environment: String,
    /// Which run, as `get rollouts -o json` names it.
    pub run: String,
    /// What served before, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What was brought in.
    pub to: String,
    /// Who asked for the rollout, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why, or what a person is asked for; one line.
    pub why: String,
}

/// Why somebody was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTold {
    /// In words, without secrets.
    pub why: String,
    /// Can another try help?
    pub again: bool,
}

impl NotTold {
    /// Another try can help.
    pub fn passing(why: impl Into<String>) -> NotTold {
        NotTold { why: why.into(), again: true }
    }

    /// No other try helps.
    pub fn for_good(why: impl Into<String>) -> NotTold {
        NotTold { why: why.into(), again: false }
    }
}

/// Tells somebody outside.
#[async_trait]
pub trait Sink: Send + Sync {
    /// One try, within bounds of its own. `now` is the moment that a signature covers.
    async fn tell(&self, notification: &Notification, now: Timestamp) -> Result<(), NotTold>;
}
