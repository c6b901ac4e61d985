//! Texts of answers, made harmless where they come in.

use flightdeck_model::sanitize_line;
use serde::{Deserialize, Deserializer};

/// Bytes of a text that are kept.
const LONGEST: usize = 256;

/// One line, bounded.
pub(super) fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(short(&String::deserialize(deserializer)?))
}

pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(|text| short(&text)))
}

pub(super) fn short(text: &str) -> String {
    sanitize_line(text.trim()).chars().take(LONGEST).collect()
}
