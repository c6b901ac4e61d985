//! Where the migrations of a slot stand.

use flightdeck_model::{HookSpec, ReleaseRef};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A migration of a slot's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// As it was run; its way back is in there.
    pub hook: HookSpec,
    /// With which release; `None`: no rollout ran it, a person said that it is there.
    pub release: Option<ReleaseRef>,
    /// By which rollout, in its slot of then.
    pub revision: String,
    /// The number of that rollout (`RunState::asked`), which no other has: its way back alone takes it back.
    /// `None`: not recorded.
    #[serde(default)]
    pub number: Option<u64>,
    /// Its place in order, over all migrations of the slot.
    pub order: u64,
    /// When it came to stand so.
    pub at: Timestamp,
    /// Where it stands.
    pub state: MigrationState,
}

/// Where a migration stands. One that was taken back is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum MigrationState {
    /// It runs, or its way back does.
    Running,
    /// Done; never run again.
    Applied,
    /// It, or its way back, ended badly or was cut off: a person must look.
    Half { why: String },
    /// Whether it ran nobody knows: a person must say.
    Unknown {
        /// Why it is not known.
        why: String,
    },
}
