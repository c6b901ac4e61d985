//! Where the migrations of a slot stand, as people see it.

use super::migrations::{known, stays, taken_back};
use super::state::{Migrated, MigrationState, Slot, State};
use flightdeck_model::{MigrationRollback, MigrationRow, MigrationStanding};

/// Every migration that is configured or recorded here.
pub(super) fn rows(state: &State, slot: &Slot) -> Vec<MigrationRow> {
    known(state, slot).into_iter().map(|name| row(slot, name)).collect()
}

fn row(slot: &Slot, name: &str) -> MigrationRow {
    let recorded = slot.migrations.get(name);
    let state = match recorded.map(|of| &of.state) {
        None => MigrationStanding::NotApplied,
        Some(MigrationState::Running) => MigrationStanding::Running,
        Some(MigrationState::Applied) => MigrationStanding::Applied,
        Some(MigrationState::Half { why }) => MigrationStanding::HalfWay { why: why.clone() },
        Some(MigrationState::Unknown { why }) => MigrationStanding::Unknown { why: why.clone() },
    };
    MigrationRow {
        name: name.to_owned(),
        state,
        version: recorded.and_then(|of| of.release.as_ref()).map(|release| release.version.clone()),
        rollback: recorded.map_or(MigrationRollback::Nothing, |of| rollback_of(slot, of)),
    }
}

/// What a way back from what is there now would do with it.
fn rollback_of(slot: &Slot, of: &Migrated) -> MigrationRollback {
    let flying = slot.active();
    let nowhere = if flying.is_some() { slot.stable.is_none() } else { slot.previous().is_none() };
    let number = match flying {
        Some(run) => taken_back(slot, run),
        None => slot.lineage.last().and_then(|last| last.number),
    };
    let why = match of.number {
        _ if nowhere => Some("there is no version to return to".to_owned()),
        None => Some("which rollout ran it is not recorded".to_owned()),
        own if own != number => Some("another rollout ran it".to_owned()),
        Some(_) => stays(of),
    };
    why.map_or(MigrationRollback::TakenBack, |why| MigrationRollback::Stays { why })
}
