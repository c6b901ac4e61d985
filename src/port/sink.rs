//! Whoever is told outside.

use async_trait::async_trait;
use flightdeck_model::{Action, AnalysisReport, BreachResponse, CommandId, OnBreach, RolloutRecord, StageRecord};
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
    /// A candidate broke a limit of its environment's watchdog.
    Breach,
    /// A rollout's version became stable.
    Succeeded,
    /// A newer rollout took its place.
    Superseded,
    /// A command has come to its end: it took effect, or it is known that it did not.
    Command,
    /// Somebody tries whether they are reached.
    Test,
}

impl NotifyEvent {
    /// All that happen by themselves, with the words of the settings.
    pub const ALL: [(&'static str, NotifyEvent); 8] = [
        ("failed", NotifyEvent::Failed),
        ("aborted", NotifyEvent::Aborted),
        ("rolled_back", NotifyEvent::RolledBack),
        ("waits_for_person", NotifyEvent::WaitsForPerson),
        ("breach", NotifyEvent::Breach),
        ("succeeded", NotifyEvent::Succeeded),
        ("superseded", NotifyEvent::Superseded),
        ("command", NotifyEvent::Command),
    ];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        NotifyEvent::ALL.iter().find(|(_, known)| *known == self).map_or("test", |(word, _)| word)
    }

    /// Does it want somebody's attention? What goes as it was meant to is told only to those who ask for it.
    #[must_use]
    pub const fn is_urgent(self) -> bool {
        !matches!(self, NotifyEvent::Succeeded | NotifyEvent::Superseded | NotifyEvent::Command)
    }
}

/// What is told, as JSON: the body of a webhook, the standard input of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The same on each try: whoever gets it twice knows it by this.
    pub id: String,
    pub event: NotifyEvent,
    pub at: Timestamp,
    /// Which source tells of it; empty where a command is about none.
    pub source: String,
    /// Empty where a command is about none.
    pub service: String,
    /// Likewise.
    pub environment: String,
    /// Which run, as `get rollouts -o json` names it; empty where a command is about none.
    pub run: String,
    /// 128 bits in hexadecimal: the same in all that is told of one run, whatever its service is called meanwhile. Where
    /// a command is about no run it has one of its own.
    #[serde(default)]
    pub trace_id: String,
    /// What served before, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What was brought in; empty where a command is about none.
    pub to: String,
    /// Who asked for the rollout, or for the command, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why, or what a person is asked for; one line.
    pub why: String,
    /// Of a breach: the numbers, and what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breach: Option<Box<BreachNews>>,
    /// Of a rollout that ended: its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Box<RolloutRecord>>,
    /// Of a command: what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Box<CommandNews>>,
}

/// A limit that was broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreachNews {
    /// What the settings want.
    pub on_breach: OnBreach,
    /// What was done.
    pub response: BreachResponse,
    /// The numbers, limit by limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<AnalysisReport>,
}

/// A command that has come to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandNews {
    pub id: CommandId,
    pub action: Action,
    /// As whoever asked gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Everything it went through, in order; never empty.
    pub stages: Vec<StageRecord>,
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

    /// Is it told everything, where the settings name no events? Else only what [`NotifyEvent::is_urgent`].
    fn wants_all(&self) -> bool {
        false
    }
}
