//! What a command comes to: patches, or a refusal.

use super::super::resource::Resource;
use flightdeck_model::{Refusal, RefusalKind};
use jiff::Timestamp;
use serde_json::Value;

/// A patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `application/json-patch+json`: a list of operations.
    Json(Value),
    /// `application/merge-patch+json`.
    Merge(Value),
    /// `application/strategic-merge-patch+json`; built-in kinds only.
    Strategic(Value),
}

/// One patch of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Of which kind.
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
    /// To its status subresource?
    pub status: bool,
    pub body: Body,
    /// What goes to the main resource where the server knows no status subresource.
    pub fallback: Option<Body>,
    pub what: String,
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is sent first, and for most commands only.
    pub request: Request,
    /// Is its kind asked afterwards for what is left to do?
    pub finish: bool,
    /// The template that it goes back to, where the workload's status names it only later.
    pub target: Option<Target>,
    /// What to say of it besides that it was accepted.
    pub note: Option<String>,
}

/// Where an undo goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The hash of its template, as a Rollout's status will name it.
    pub hash: String,
    /// Is it promoted in full once its controller works on it?
    pub through: bool,
}

/// What is left of a command whose first part went through.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, a command")]
pub enum Rest {
    Nothing,
    /// This.
    Send(Request),
    /// Something, once its controller has taken up the first part.
    NotYet,
}

/// RFC 3339 in whole seconds, as Kubernetes writes times.
#[must_use]
pub fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// It does not go with the workload as it stands.
#[must_use]
pub fn refused(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::NotApplicable, format!("{why}; nothing was done"))
}
