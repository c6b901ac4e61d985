//! Configurations of services that were put into force.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One configuration that was put into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRevision {
    /// Counts from 1; none is used twice.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why, where they said so.
    pub reason: Option<String>,
    /// Where they had it; the base of relative paths in it.
    pub path: String,
    /// `sha256:…` of its text.
    pub digest: String,
    /// The text of `flightdeck.toml`; left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
