//! Silences whose rollout has ended, and how often it was tried to end them.

use flightdeck_model::{SilenceId, SourceId};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub tries: u32,
    /// Not tried before.
    pub next: Timestamp,
}

impl Ending {
    /// To be tried at once.
    pub const NEW: Ending = Ending { tries: 0, next: Timestamp::UNIX_EPOCH };
}

/// By source and id.
pub(super) type Endings = BTreeMap<(SourceId, SilenceId), Ending>;
