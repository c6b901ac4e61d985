//! How far a yes or no has come, by the row of its run. Pure.

use super::gate::Standing;
use super::row::{UNSTARTED, standing};
use flightdeck_model::{Action, Fact, Facts, Rollout, Stage, Subject};
use flightdeck_port::Followed;

/// The stage of a yes or no that its system took. A yes is effective once the job that it let through has begun, a no once
/// the run cannot deploy any more.
pub(super) fn progress(of: &Followed<'_>, tells_reviews: bool) -> Stage {
    let Subject::Approval { run, .. } = &of.command.subject else {
        return Stage::Failed { why: format!("{} does not fit its subject", of.command.action.name()) };
    };
    // After a start the first list may be on its way.
    let Some(row) = of.current else { return Stage::Accepted };
    if row.run.revision != run.revision {
        return Stage::superseded(format!("attempt {} took its place", row.run.revision));
    }
    let Some((standing, reviewed)) = standing(row) else { return Stage::Accepted };
    let superseded = || Stage::superseded(row.message.clone());
    let effective = || Stage::effective(row.message.clone());
    match (of.command.action, standing) {
        // One yes of several: it did what it can once it is counted.
        (Action::Approve, Standing::Asks) if counted(of.before, row) && is_unstarted(&row.facts) => unstarted(of, row),
        (Action::Approve, Standing::Asks) if counted(of.before, row) => effective(),
        (_, Standing::Asks | Standing::Timer | Standing::Unreviewed) => Stage::Accepted,
        (_, Standing::Rerun) => superseded(),
        (action, _) if !reviewed && !tells_reviews => untold(of, row, action == Action::Approve, standing),
        (_, Standing::Ended) => superseded(),
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

/// Nobody tells who said what: it was somebody else, or this one, whose answer was lost. How its run ends tells.
fn untold(of: &Followed<'_>, row: &Rollout, yes: bool, standing: Standing) -> Stage {
    match standing {
        // What was taken is known with the next look.
        _ if of.left.is_some() => Stage::Accepted,
        // A run goes on for a moment after a no, too.
        Standing::Deploying => Stage::Observed,
        Standing::Deployed if yes => Stage::effective(row.message.clone()),
        Standing::Stopped if !yes => Stage::effective(row.message.clone()),
        _ => Stage::superseded(row.message.clone()),
    }
}

/// The yes counts, and the job that it lets through stands. Between the two a row may have been read that is no longer
/// so: what was known when the answer came goes first.
fn unstarted(of: &Followed<'_>, row: &Rollout) -> Stage {
    match of.left {
        Some(left) if !is_unstarted(left) => Stage::Accepted,
        _ => Stage::Failed { why: format!("the yes counts, and its job was not started: {}", row.message) },
    }
}

pub(super) fn is_unstarted(facts: &Facts) -> bool {
    facts.0.get(&Fact::Pause).is_some_and(|pause| pause == UNSTARTED)
}

/// Are there more reviews than before?
fn counted(before: Option<&Rollout>, now: &Rollout) -> bool {
    let reviews = |row: &Rollout| row.facts.0.get(&Fact::Generation).and_then(|count| count.parse::<usize>().ok());
    before.and_then(reviews).zip(reviews(now)).is_some_and(|(before, now)| now > before)
}
