//! How users' connections are treated: what a service says everywhere, and what an environment says otherwise.

use super::{SECOND, or};
use crate::config::reader::Table;
use crate::model::Connections;
use jiff::SignedDuration;

/// What a service and each of its environments may say.
pub(super) const KEYS: [&str; 2] = ["response_timeout", "drain"];

/// Reads what a table says of it.
pub(super) fn connections(table: &Table<'_>) -> Option<Connections> {
    let response_timeout = or(table, "response_timeout", None, |value| value.duration(SECOND).map(Some));
    let drain = or(table, "drain", None, |value| value.duration(SignedDuration::ZERO).map(Some));
    Some(Connections { response_timeout: response_timeout?, drain: drain? })
}
