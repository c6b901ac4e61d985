//! One instance of a version.

use super::{ArmRole, Draining, LimitKept, Target, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum InstanceState {
    /// Written down or started, not ready yet.
    Starting,
    /// Serving.
    Ready,
    /// Up, but failing its checks.
    Unhealthy {
        /// What the check said.
        why: String,
    },
    /// Finishing its requests.
    Draining,
    /// Gone, and to be started again after a pause.
    BackingOff {
        /// How it ended last time.
        why: String,
    },
    /// Gone for good.
    Ended { why: String },
}

/// One running copy of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique within its source.
    pub id: String,
    pub target: Target,
    /// For which side.
    pub role: ArmRole,
    /// What it runs.
    pub version: Version,
    /// Where it stands.
    pub state: InstanceState,
    /// Process id, where there is one.
    pub pid: Option<u32>,
    /// Where it listens.
    pub address: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// When it was started last.
    pub started: Option<Timestamp>,
    /// What keeps each of its limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitKept>,
    /// The command line that shows its output, where flightdeck does not follow it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// What is still waited for before it is ended, where the source counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<Draining>,
}
