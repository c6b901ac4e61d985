//! `[notify.NAME]`: who is told outside what happens on a server.

use super::provided::{self, Providers};
use flightdeck_model::has_hidden;
use flightdeck_port::{RawSettings, Section};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Somebody who is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Notify {
    /// How they are told; without it `webhook` where there is a `url`, `command` where there is a `command`, `slack` where there is a `webhook`, `otlp` where there is an `endpoint`.
    pub kind: String,
    /// What is told: `failed`, `aborted`, `rolled_back`, `waits_for_person`, `breach`, `succeeded`, `superseded`, `command`; without any the first five, and to `otlp` all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// In which environments; without any all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// Of which services; without any all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// The keys of its kind.
    #[serde(flatten)]
    pub settings: RawSettings,
}

/// What is wrong with notifications that came from elsewhere than a file.
pub(super) fn wrong(providers: Providers<'_>, all: &BTreeMap<String, Notify>) -> Option<String> {
    all.iter().find_map(|(name, notify)| {
        let of_kind = || provided::wrong(providers, Section::Notify, &notify.kind, &notify.settings);
        Some(format!("{name}: {}", wrong_name(name).or_else(of_kind)?))
    })
}

pub(super) fn wrong_name(name: &str) -> Option<String> {
    (name.is_empty() || name.len() > 64 || has_hidden(name))
        .then(|| "expected a name of 1 to 64 visible characters".to_owned())
}
