//! `[sources.NAME]`: what the cockpit and the command line look at themselves, without a server.

use super::provided::{self, Providers};
use flightdeck_model::has_hidden;
use flightdeck_port::{RawSettings, Section};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind of a source that names none.
const DEFAULT_KIND: &str = "kubernetes";
/// The server on this machine has this name.
const LOCAL: &str = "local";
/// Longest name of a source: it stands in the header.
const LONGEST: usize = 64;

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// What kind of system it is.
    #[serde(default = "default_kind")]
    pub kind: String,
    /// Nothing may be changed through it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// The keys of its kind.
    #[serde(flatten)]
    pub settings: RawSettings,
}

impl Default for Source {
    fn default() -> Source {
        Source { kind: default_kind(), read_only: false, settings: RawSettings::new() }
    }
}

fn default_kind() -> String {
    DEFAULT_KIND.to_owned()
}

/// What is wrong with sources that came from elsewhere than a file.
pub(super) fn wrong(providers: Providers<'_>, sources: &BTreeMap<String, Source>) -> Option<String> {
    sources.iter().find_map(|(name, source)| {
        let of_kind = || provided::wrong(providers, Section::Sources, &source.kind, &source.settings);
        Some(format!("{name}: {}", wrong_name(name).or_else(of_kind)?))
    })
}

pub(super) fn wrong_name(name: &str) -> Option<String> {
    if name == LOCAL {
        return Some("expected another name: \"local\" is the server of this machine".to_owned());
    }
    let odd = |c: char| c.is_whitespace() || c == '/' || c == '@' || c == '=';
    (name.is_empty() || name.len() > LONGEST || name.contains(odd) || has_hidden(name))
        .then(|| format!("expected a name of 1 to {LONGEST} visible characters without spaces, \"/\", \"@\" and \"=\""))
}
