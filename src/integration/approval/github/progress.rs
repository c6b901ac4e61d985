//! How far a yes or no has come, by the row of its run. Pure.

use super::gate::Standing;
use super::row::standing;
use flightdeck_model::{Action, Stage, Subject};
use flightdeck_port::Followed;

/// The stage of a review that GitHub took. A yes is effective once the job that it let through has begun, a no once
/// the run cannot deploy any more.
pub(super) fn progress(of: &Followed<'_>) -> Stage {
    let Subject::Approval { run, .. } = &of.command.subject else {
        return Stage::Failed { why: format!("{} does not fit its subject", of.command.action.name()) };
    };
    // After a start the first list may be on its way.
    let Some(row) = of.current else { return Stage::Accepted };
    if row.run.revision != run.revision {
        return Stage::superseded(format!("attempt {}: the run was started again", row.run.revision));
    }
    let Some((standing, reviewed)) = standing(row) else { return Stage::Accepted };
    let superseded = || Stage::superseded(row.message.clone());
    let effective = || Stage::effective(row.message.clone());
    match (of.command.action, standing) {
        (_, Standing::Asks | Standing::Timer | Standing::Unreviewed) => Stage::Accepted,
        (_, Standing::Rerun | Standing::Ended) => superseded(),
        // Somebody let it go on by another way.
        (_, _) if !reviewed => superseded(),
        (Action::Approve, Standing::Held | Standing::Approved) | (Action::Reject, Standing::Rejected) => {
            Stage::Observed
        }
        (Action::Approve, Standing::Deploying | Standing::Deployed) | (Action::Reject, Standing::Stopped) => {
            effective()
        }
        (Action::Approve, Standing::Failed) => Stage::Failed { why: row.message.clone() },
        // Somebody else was first, and said otherwise.
        _ => superseded(),
    }
}
