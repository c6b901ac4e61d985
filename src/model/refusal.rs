//! Why a command was not carried out.

use super::FactChange;
use serde::{Deserialize, Serialize};

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
