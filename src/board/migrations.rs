//! Where a service's migrations stand, in words: the same in the cockpit and on the command line.

use flightdeck_model::{MigrationRollback, MigrationRow, MigrationStanding};

/// Where it stands.
#[must_use]
pub fn standing(row: &MigrationRow) -> String {
    match &row.state {
        MigrationStanding::NotApplied => "not applied".to_owned(),
        MigrationStanding::Running => "runs".to_owned(),
        MigrationStanding::Applied => "applied".to_owned(),
        MigrationStanding::HalfWay { why } => format!("failed half way: {why}"),
        MigrationStanding::Unknown { why } => format!("not known: {why}"),
    }
}

/// What a way back from what is there now does with it.
#[must_use]
pub fn rollback(row: &MigrationRow) -> String {
    match &row.rollback {
        MigrationRollback::Nothing => "-".to_owned(),
        MigrationRollback::TakenBack => "takes it back".to_owned(),
        MigrationRollback::Stays { why } => format!("leaves it: {why}"),
    }
}

/// Must a person look at it, and say?
#[must_use]
pub const fn asks(row: &MigrationRow) -> bool {
    matches!(row.state, MigrationStanding::HalfWay { .. } | MigrationStanding::Unknown { .. })
}
