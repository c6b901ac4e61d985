//! Alerts that a monitoring system fires, and silences of them.

use super::{CommandId, EnvironmentName, Run, ServiceName, SilenceId, SourceId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long a silence lasts where nobody says it.
pub const USUAL_SILENCE: SignedDuration = SignedDuration::from_hours(1);
/// No silence lasts longer: what is silenced for ever is forgotten.
pub const LONGEST_SILENCE: SignedDuration = SignedDuration::from_hours(24);
/// Shorter than that nobody has read the alert.
pub const SHORTEST_SILENCE: SignedDuration = SignedDuration::from_mins(1);

/// How bad an alert says that it is. Ordered, worst first; what is not said is not harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    /// Somebody is called.
    Critical,
    Warning,
    /// It does not say, or uses a word of its own.
    Unknown,
    Info,
}

impl AlertSeverity {
    /// Of the words that are in use for it.
    #[must_use]
    pub fn of(word: &str) -> AlertSeverity {
        match word.trim().to_ascii_lowercase().as_str() {
            "critical" | "page" | "error" | "fatal" | "emergency" => AlertSeverity::Critical,
            "warning" | "warn" | "ticket" => AlertSeverity::Warning,
            "info" | "information" | "informational" | "notice" | "none" => AlertSeverity::Info,
            _ => AlertSeverity::Unknown,
        }
    }

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            AlertSeverity::Critical => "critical",
            AlertSeverity::Warning => "warning",
            AlertSeverity::Unknown => "unknown",
            AlertSeverity::Info => "info",
        }
    }
}

/// Is anybody notified of it?
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum AlertState {
    Firing,
    /// It fires, and somebody has silenced it.
    Silenced {
        by: Vec<SilenceId>,
    },
    /// It fires, and another one that fires keeps it quiet.
    Inhibited {
        /// Their fingerprints.
        by: Vec<String>,
    },
}

impl AlertState {
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            AlertState::Firing => "firing",
            AlertState::Silenced { .. } => "silenced",
            AlertState::Inhibited { .. } => "inhibited",
        }
    }
}

/// What its labels say that an alert is about, as far as they do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertAbout {
    /// Sources whose rollouts it can be about; none named: any.
    pub sources: Vec<SourceId>,
    pub namespace: Option<String>,
    /// The workload's or the rollout's name.
    pub workload: Option<String>,
    /// The set of pods, such as a ReplicaSet's name; of a StatefulSet its own.
    pub pod_set: Option<String>,
    pub service: Option<ServiceName>,
    pub environment: Option<EnvironmentName>,
}

/// One alert that fires, whether or not anybody is notified of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Who tells of it.
    pub source: SourceId,
    /// Unique within its source; the same for the same labels.
    pub fingerprint: String,
    pub name: String,
    pub severity: AlertSeverity,
    /// One sanitised line; empty: it has none.
    pub summary: String,
    /// Sanitised, and no more of them than can be read.
    pub labels: BTreeMap<String, String>,
    pub since: Timestamp,
    /// Where more is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub state: AlertState,
    #[serde(default)]
    pub about: AlertAbout,
}

impl Alert {
    /// Is somebody notified of it?
    #[must_use]
    pub fn is_firing(&self) -> bool {
        self.state == AlertState::Firing
    }

    /// Is it silenced by that one?
    #[must_use]
    pub fn is_silenced_by(&self, id: &SilenceId) -> bool {
        matches!(&self.state, AlertState::Silenced { by } if by.contains(id))
    }
}

/// A silence that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub source: SourceId,
    pub id: SilenceId,
    /// Which labels it matches, in words.
    pub matches: String,
    pub owner: String,
    /// One sanitised line.
    pub reason: String,
    pub since: Timestamp,
    pub until: Timestamp,
    /// `None`: somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<MadeSilence>,
}

/// What a silence says of itself that a command of ours made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeSilence {
    /// Which command.
    pub command: CommandId,
    /// The rollout that it was made for, and ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_severity_is_read_from_the_usual_words_and_what_is_not_said_is_not_harmless() {
        for (word, severity) in [
            ("critical", AlertSeverity::Critical),
            ("PAGE", AlertSeverity::Critical),
            (" warn ", AlertSeverity::Warning),
            ("none", AlertSeverity::Info),
            ("", AlertSeverity::Unknown),
            ("P2", AlertSeverity::Unknown),
        ] {
            assert_eq!(AlertSeverity::of(word), severity, "{word:?}");
        }
        assert!(AlertSeverity::Unknown < AlertSeverity::Info);
    }

    #[test]
    fn what_only_readers_of_alerts_understand_is_told_apart() {
        use crate::{Action, Actor, Body, Command, Entity, EntityRef, Hold, Receipt, ReceiptId, Selector, Subject};
        let silence = Subject::Silence { source: "am".into(), id: "s".into() };
        let command = |action, subject| Command { id: "c".into(), action, subject, pin: None, reason: None };
        let receipt = |command: Command| {
            let (id, actor) = (ReceiptId("c".into()), Actor::system("x"));
            let (forecast, grade, created, left, outcome) = (None, None, None, None, None);
            let (stages, targets, sources) = (Vec::new(), Vec::new(), Vec::new());
            let all = Receipt { id, command, actor, stages, forecast, grade, targets, sources, created, left, outcome };
            Body::Upsert(Entity::Receipt(Box::new(all)))
        };
        assert!(receipt(command(Action::Unsilence, silence)).is_of_alerts());
        let hold = Subject::Hold { source: None, id: "H-1".into() };
        assert!(!receipt(command(Action::ReleaseHold, hold)).is_of_alerts());
        assert!(Body::Remove(EntityRef::Alert("am".into(), "f".into())).is_of_alerts());
        let (owner, reason, since) = (String::new(), None, Timestamp::UNIX_EPOCH);
        let (id, source, selector) = ("H-1".into(), "local".into(), Selector::default());
        let hold = Hold { id, source, selector, owner, reason, since, targets: Vec::new() };
        assert!(!Body::Upsert(Entity::Hold(hold)).is_of_alerts());
    }
}
