//! Configurations of services that were put into force.

use super::{ConfigName, ServiceName, Spec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One configuration that was put into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRevision {
    /// Counts from 1; none is used twice.
    pub revision: u64,
    /// Which of the server's configurations it is one of.
    #[serde(default)]
    pub name: ConfigName,
    /// Is it what is in force of that name? Known of lists, and as they are made.
    #[serde(default)]
    pub in_force: bool,
    /// The services that it brought; empty also where that was not recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceName>,
    /// The services that it renamed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Renamed>,
    pub at: Timestamp,
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

/// A service that goes on under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// What it was called.
    pub from: ServiceName,
    pub to: ServiceName,
}

/// A configuration that is in force beside another one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InForce {
    /// Where its text lay; empty: not recorded.
    pub path: String,
    /// What it says.
    pub spec: Spec,
}

impl InForce {
    /// `the configuration search (/srv/search.toml)`.
    #[must_use]
    pub fn words(&self) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!(" ({})", self.path) };
        format!("the configuration {}{path}", self.spec.name)
    }
}
