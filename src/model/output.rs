//! Whose output is kept, and what is known of it.

use super::{EnvironmentName, ServiceName, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The output of an instance, or of a hook's run, that runs or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The id by which [`super::Query::Logs`] gives its lines.
    pub id: String,
    /// What wrote it.
    pub of: OutputOf,
    pub service: ServiceName,
    pub environment: EnvironmentName,
    /// What it ran.
    pub version: Version,
    /// The rollout that started it; `None`: not recorded.
    pub revision: Option<String>,
    /// When it was started last.
    pub started: Timestamp,
    /// When it ended; `None`: its end was not seen.
    pub ended: Option<Timestamp>,
    /// How it ended, or what its check said last: `exit status 1`, `GET /healthz answered 404`, `stopped`.
    pub how: Option<String>,
    /// It did not do what it should.
    pub failed: bool,
}

/// What writes output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum OutputOf {
    Instance,
    /// A run of a hook, or of a job by the clock, which has no rollout.
    Hook {
        name: String,
    },
    /// A command that somebody had run once.
    OneOff,
}
