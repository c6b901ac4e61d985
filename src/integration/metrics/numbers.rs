//! What one question found.

use super::naming::Key;
use flightdeck_model::sanitize_line;
use std::collections::BTreeMap;

/// Characters of others' words that are shown.
const MOST_WORDS: usize = 200;

/// Numbers by whose they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Vector {
    /// What is a number; what is none (no traffic, a share of nothing) is left out.
    pub values: BTreeMap<Key, f64>,
    /// A value without labels, of questions that have one answer.
    pub alone: Option<f64>,
    /// The system's own words on what may be missing or wrong.
    pub warnings: Vec<String>,
    /// At which second it was computed, by the system's clock.
    pub at: Option<f64>,
}

/// Words of others on one line.
pub(super) fn shown(text: &str) -> String {
    sanitize_line(text).chars().take(MOST_WORDS).collect()
}

/// A key as people read it.
pub(super) fn spelled(key: &Key) -> String {
    sanitize_line(&key.join("/"))
}
