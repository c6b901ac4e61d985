//! How each case is checked.

mod effects;
mod evidence;
mod faults;
mod refusals;

pub(super) use effects::{effect, hold, reconnect, watch};
pub(super) use evidence::{failed_afterwards, lost, no_controller, serves, superseded};
pub(super) use faults::{cut, repeated, slow, stale};
pub(super) use refusals::{bad_pin, denied, gone, not_found, not_offered, pin_changed, pin_changed_at_backend};

use super::harness::{Harness, check};
use super::{Situation, Stop};
use crate::model::{Action, Phase, Rollout, Step};

/// An action that raises exposure here, and the situation that offers it.
fn raising(harness: &Harness) -> Result<(Situation, Action), Stop> {
    let known = [
        (Situation::Paused, Action::Promote),
        (Situation::Settled, Action::Restart),
        (Situation::Approval, Action::Approve),
    ];
    let found = known.into_iter().find(|(_, action)| harness.lacks(*action).is_none());
    found.ok_or_else(|| Stop::NotApplicable("it has no action that raises exposure".to_owned()))
}

/// The same for one that reduces it.
fn reducing(harness: &Harness) -> Result<(Situation, Action), Stop> {
    let known = [
        (Situation::Paused, Action::Abort),
        (Situation::InFlight, Action::Pause),
        (Situation::Settled, Action::Rollback),
        (Situation::Approval, Action::Reject),
    ];
    let found = known.into_iter().find(|(_, action)| harness.lacks(*action).is_none());
    found.ok_or_else(|| Stop::NotApplicable("it has no action that reduces exposure".to_owned()))
}

/// The row in a situation, once it offers the action.
async fn offering(harness: &mut Harness, action: Action, situation: Situation) -> Result<Rollout, Stop> {
    if let Some(why) = harness.lacks(action) {
        return Err(Stop::NotApplicable(why));
    }
    let before = harness.bring(situation).await?;
    if action == Action::Resume {
        harness.carried_out(harness.command(Action::Pause, &before)).await?;
    }
    let target = before.run.target.clone();
    harness
        .until("the row offers it", |harness| harness.row(&target).is_some_and(|row| row.offers.contains(action)))
        .await?;
    harness.found(&target)
}

/// Nothing was done to it: its facts are what they were.
async fn untouched(harness: &Harness, before: &Rollout) -> Result<(), Stop> {
    let live = harness.read(before).await?;
    check(live.facts == before.facts && live.phase == before.phase, || {
        format!("it changed though nothing was to be done: {:?} → {:?}", before.facts, live.facts)
    })
}

/// Pauses that a person must end, beyond the one it stands at.
fn pauses_ahead(row: &Rollout) -> usize {
    let ahead = row.steps.iter().skip(row.step.map_or(usize::MAX, |step| step as usize + 1));
    ahead.filter(|step| matches!(step, Step::Pause { duration: None })).count()
}

/// A raising command had its effect exactly once, as far as the backend lets that be told.
async fn once(harness: &mut Harness, action: Action, before: &Rollout) -> Result<(), Stop> {
    let target = before.run.target.clone();
    match action {
        Action::Promote if pauses_ahead(before) > 0 => {
            let at_next = |harness: &Harness| {
                harness.row(&target).is_some_and(|row| row.step > before.step && row.awaits_human())
            };
            harness.until("it stands at the next pause", at_next).await?;
            let row = harness.found(&target)?;
            check(row.phase.in_flight() && pauses_ahead(&row) + 1 == pauses_ahead(before), || {
                format!("promoted more than once: step {:?}, it was {:?}", row.step, before.step)
            })
        }
        Action::Promote => {
            harness
                .until("it has finished", |harness| harness.row(&target).is_some_and(|row| row.phase == Phase::Healthy))
                .await
        }
        // Where one person's yes is enough, it is there once.
        Action::Approve => {
            let counted = |harness: &Harness| {
                harness.board.approvals().find(|of| of.run == before.run).map_or(0, |approval| approval.votes.len())
            };
            harness.until("the yes is counted", |harness| counted(harness) > 0).await?;
            check(counted(harness) == 1, || format!("{} votes for one command", counted(harness)))
        }
        _ => {
            let number = |row: &Rollout| row.run.revision.trim_start_matches("r-").parse::<u64>().ok();
            let row = harness.found(&target)?;
            check(number(&row) == number(before).map(|number| number + 1) || number(before).is_none(), || {
                format!("carried out more than once: revision {}, it was {}", row.run.revision, before.run.revision)
            })
        }
    }
}
