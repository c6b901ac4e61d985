//! How far a command has come at the built-in engine, from the row before it and the row now.
//!
//! A command is effective when the proxy acknowledged the traffic that it asked for, or when there
//! is nothing left that it could change; never because it was accepted.

use crate::model::{
    Action, Arm, Command, Fact, HoldId, Phase, Ppm, Proof, Rollout, Run, Selector, Stage, Step, Subject, Version, Wait,
};
use std::cmp::Ordering;

/// The stage of a command that was accepted. Pure.
pub(super) fn progress(command: &Command, before: Option<&Rollout>, current: Option<&Rollout>) -> Stage {
    match (&command.subject, command.action) {
        (Subject::Run(run) | Subject::Approval { run, .. }, action) => match current {
            Some(current) => of_run(action, run, before, current, command),
            None => superseded("the service is gone from the configuration"),
        },
        (Subject::Deployment { version, .. }, Action::Deploy) => deploy(version.as_ref(), before, current),
        (Subject::Scope { selector, .. }, Action::Hold) => hold(selector, current),
        (Subject::Hold { id, .. }, Action::Release) => release(id, current),
        (Subject::Config { .. }, Action::Apply) => effective("the configuration is journalled and in force"),
        (Subject::Release { service, version, .. }, Action::AddRelease) => {
            effective(format!("{service} {version} is stored, its digest verified, and journalled"))
        }
        (Subject::Release { service, version, .. }, Action::RemoveRelease) => {
            effective(format!("{service} {version} is not offered any more"))
        }
        _ => Stage::Failed { why: format!("{} does not fit its subject", command.action.name()) },
    }
}

fn effective(text: impl Into<String>) -> Stage {
    Stage::Effective { proof: Proof { text: text.into() } }
}

fn superseded(by: impl Into<String>) -> Stage {
    Stage::Superseded { by: by.into() }
}

/// The running number of a revision, `r-N`.
fn number(revision: &str) -> Option<u64> {
    revision.strip_prefix("r-")?.parse().ok()
}

/// Is the row of this run, of a later one, or of an earlier one?
fn order(row: &Rollout, run: &Run) -> Ordering {
    if row.run.revision == run.revision {
        return Ordering::Equal;
    }
    number(&row.run.revision).cmp(&number(&run.revision))
}

/// The step that the person saw, for when the row before the command is not known any more.
fn pinned_step(command: &Command) -> Option<u32> {
    command.pin.as_ref()?.facts.get(&Fact::Step)?.parse().ok()
}

fn of_run(action: Action, run: &Run, before: Option<&Rollout>, current: &Rollout, command: &Command) -> Stage {
    let pinned = pinned_step(command);
    let pinned_stable = command.pin.as_ref().and_then(|pin| pin.facts.get(&Fact::Stable));
    if current.run.target != run.target {
        return superseded("the service was removed and configured anew");
    }
    let before = before.filter(|before| before.run == *run);
    match (action, order(current, run)) {
        (Action::Abort | Action::Reject, order) => taken_back(run, current, order),
        (Action::Rollback, Ordering::Greater) => rolled_back(before, current),
        (Action::Rollback, order) => {
            if before.is_some_and(|before| before == current) {
                Stage::Accepted
            } else {
                taken_back(run, current, order)
            }
        }
        (Action::Drill, Ordering::Greater) => drilled(before, current, pinned_stable),
        (Action::Retry | Action::Restart, Ordering::Greater) => new_run(current, None),
        (Action::Retry | Action::Restart | Action::Drill, _) => Stage::Accepted,
        // In line behind the one that the row shows: its own state is not in this row.
        (Action::Pause | Action::Resume | Action::LetThrough, Ordering::Less) => {
            effective(format!("{} is in line behind {}; nothing of it runs", run.revision, current.run.revision))
        }
        (_, Ordering::Greater | Ordering::Less) => {
            superseded(format!("{} of {} took its place", current.run.revision, current.service))
        }
        (Action::Pause, Ordering::Equal) => paused(current),
        (Action::Resume, Ordering::Equal) => resumed(current),
        (Action::LetThrough, Ordering::Equal) => match current.held_by() {
            Some(_) => Stage::Accepted,
            None => over(current).unwrap_or_else(|| {
                effective(format!(
                    "not held any more: {} {}; {}",
                    current.phase.word(),
                    place(current),
                    shares(current)
                ))
            }),
        },
        (Action::Promote | Action::PromoteFull, Ordering::Equal) => moved_on(action, before, current, pinned),
        (Action::Approve, Ordering::Equal) => approved(before, current, pinned),
        _ => Stage::Failed { why: format!("{} does not fit a rollout", action.name()) },
    }
}

/// The arms whose acknowledged share is what was asked for last.
fn settled(row: &Rollout) -> bool {
    row.arms.iter().all(|arm| arm.traffic.actual == Some(arm.traffic.desired) || unused(arm))
}

/// No route was ever acknowledged, and none is asked for.
fn unused(arm: &Arm) -> bool {
    arm.traffic.actual.is_none() && arm.traffic.desired == Ppm::ZERO
}

fn shares(row: &Rollout) -> String {
    let share = |arm: &Arm| {
        let share = arm.traffic.actual.map_or("an unknown share".to_owned(), |share| share.to_string());
        format!("{} has {share}", arm.version)
    };
    let arms: Vec<_> = row.arms.iter().map(share).collect();
    if arms.is_empty() {
        "nothing has traffic".to_owned()
    } else {
        format!("{}, acknowledged by the proxy", arms.join(", "))
    }
}

fn is_held_by_person(row: &Rollout) -> bool {
    row.waits.iter().any(|wait| matches!(wait, Wait::Human { what, .. } if what == "resume"))
}

fn place(row: &Rollout) -> String {
    match row.step {
        Some(step) if (step as usize) < row.steps.len() => format!("at step {} of {}", step + 1, row.steps.len()),
        Some(_) => "past its last step".to_owned(),
        None => "without steps".to_owned(),
    }
}

/// Ended, or on its way back, before the command could show.
fn over(row: &Rollout) -> Option<Stage> {
    match row.phase {
        Phase::RollingBack | Phase::Aborted | Phase::Failed | Phase::Superseded => {
            Some(superseded(format!("it is {}: {}", row.phase.word(), row.message)))
        }
        _ => None,
    }
}

fn paused(row: &Rollout) -> Stage {
    if !row.phase.in_flight() || row.phase == Phase::RollingBack {
        return superseded(format!("it is {}: {}", row.phase.word(), row.message));
    }
    if !is_held_by_person(row) {
        return Stage::Accepted;
    }
    if settled(row) { effective(format!("paused {}; {}", place(row), shares(row))) } else { Stage::Observed }
}

fn resumed(row: &Rollout) -> Stage {
    if let Some(over) = over(row) {
        return over;
    }
    if is_held_by_person(row) {
        return Stage::Accepted;
    }
    effective(format!("{} {}; {}", row.phase.word(), place(row), shares(row)))
}

/// The share that the plan asks for at the row's step: that of the last weight up to there.
fn planned(row: &Rollout) -> Option<Ppm> {
    let done = row.steps.len().min(row.step? as usize + 1);
    row.steps.get(..done)?.iter().rev().find_map(|step| match step {
        Step::SetWeight(weight) => Some(*weight),
        _ => None,
    })
}

/// Does the candidate have the share of the row's step?
fn in_force(row: &Rollout) -> bool {
    let finished = row.step.is_none_or(|step| step as usize >= row.steps.len());
    let has = row.candidate().and_then(|arm| arm.traffic.actual).unwrap_or(Ppm::ZERO);
    !finished && settled(row) && has == planned(row).unwrap_or(Ppm::ZERO)
}

fn serves_all(row: &Rollout) -> bool {
    matches!(row.phase, Phase::Healthy | Phase::Degraded)
        && row.stable().is_some_and(|stable| stable.traffic.actual == Some(Ppm::ALL))
}

fn moved_on(action: Action, before: Option<&Rollout>, row: &Rollout, pinned: Option<u32>) -> Stage {
    if serves_all(row) {
        return effective(format!("finished: {}", shares(row)));
    }
    if let Some(over) = over(row) {
        return over;
    }
    let earlier = before.map_or(pinned, |before| before.step);
    let advanced = earlier.is_some() && row.step > earlier;
    match (action, advanced) {
        (_, false) => Stage::Accepted,
        (Action::Promote | Action::Approve, true) if in_force(row) => {
            effective(format!("{}: {}", place(row), shares(row)))
        }
        _ => Stage::Observed,
    }
}

fn approved(before: Option<&Rollout>, row: &Rollout, pinned: Option<u32>) -> Stage {
    let votes = |row: &Rollout| row.message.split_once("waits for approval").and_then(|(_, rest)| yes(rest));
    if let (Some(before), Some(now)) = (before, votes(row))
        && before.step == row.step
    {
        let earlier = votes(before).map_or(0, |(yes, _)| yes);
        if now.0 > earlier && now.0 < now.1 {
            return effective(format!("one yes of {} needed is counted: {} so far", now.1, now.0));
        }
    }
    moved_on(Action::Approve, before, row, pinned)
}

/// `… (1 of 2)…` → 1, 2.
fn yes(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let (yes, count) = inside.split_once(" of ")?;
    Some((yes.parse().ok()?, count.parse().ok()?))
}

/// All traffic is where it was before the run, as far as anything serves.
fn all_at_stable(row: &Rollout) -> bool {
    let none = |arm: &Arm| arm.traffic.actual.is_none_or(|share| share == Ppm::ZERO);
    match row.stable() {
        Some(stable) => {
            stable.traffic.actual == Some(Ppm::ALL)
                && row.candidate().is_none_or(|arm| arm.traffic.actual == Some(Ppm::ZERO))
        }
        None => row.candidate().is_none_or(none),
    }
}

fn taken_back(run: &Run, row: &Rollout, order: Ordering) -> Stage {
    match order {
        // One begins only after the one before has ended and the proxy acknowledged it.
        Ordering::Greater => {
            effective(format!("{} has ended, {} came after it; {}", run.revision, row.run.revision, shares(row)))
        }
        Ordering::Less => effective(format!("{} was in line and never had traffic", run.revision)),
        Ordering::Equal => match row.phase {
            Phase::RollingBack | Phase::Aborted | Phase::Failed | Phase::Superseded if all_at_stable(row) => {
                effective(format!("{}: {}", row.phase.word(), shares(row)))
            }
            Phase::RollingBack | Phase::Aborted | Phase::Failed | Phase::Superseded => Stage::Observed,
            Phase::Healthy | Phase::Degraded => Stage::Failed { why: format!("it had finished: {}", shares(row)) },
            _ => Stage::Accepted,
        },
    }
}

/// From a settled rollout: a new run whose stable arm is the version before.
fn rolled_back(before: Option<&Rollout>, row: &Rollout) -> Stage {
    let left = before.and_then(Rollout::stable).map(|arm| &arm.version);
    let back = row.stable().is_some_and(|stable| Some(&stable.version) != left);
    match row.phase {
        Phase::RollingBack | Phase::Healthy | Phase::Degraded if back && all_at_stable(row) => {
            effective(format!("back at {}: {}", version(row), shares(row)))
        }
        Phase::Failed | Phase::Aborted => Stage::Failed { why: row.message.clone() },
        Phase::RollingBack => Stage::Observed,
        _ => superseded(format!("{} came after it", row.run.revision)),
    }
}

/// There and back again: a new run that goes back to the version before, and has ended once the one
/// that it began with has all traffic again.
fn drilled(before: Option<&Rollout>, row: &Rollout, pinned: Option<&String>) -> Stage {
    let began = before.and_then(Rollout::stable).map(|arm| &arm.version);
    let by_version = began.map(|version| row.stable().is_some_and(|arm| arm.version == *version));
    let by_digest = pinned.map(|digest| row.facts.0.get(&Fact::Stable) == Some(digest));
    match row.phase {
        Phase::Failed | Phase::Aborted => Stage::Failed { why: row.message.clone() },
        Phase::Superseded => superseded(row.message.clone()),
        Phase::Healthy | Phase::Degraded if by_digest.or(by_version) == Some(false) => {
            Stage::Failed { why: format!("it did not return: {}", shares(row)) }
        }
        _ if serves_all(row) => effective(format!("went back and returned to {}: {}", version(row), shares(row))),
        _ => Stage::Observed,
    }
}

fn version(row: &Rollout) -> String {
    row.stable().map_or("nothing".to_owned(), |arm| arm.version.to_string())
}

/// A run that a command asked for: effective once users meet it, or it is done.
fn new_run(row: &Rollout, wanted: Option<&Version>) -> Stage {
    let is_it = |arm: &Arm| wanted.is_none_or(|version| arm.version == *version);
    if serves_all(row) && row.stable().is_some_and(is_it) {
        return effective(format!("{}: {}", row.message, shares(row)));
    }
    match row.phase {
        Phase::Failed | Phase::Aborted | Phase::Superseded | Phase::RollingBack => {
            Stage::Failed { why: format!("it is {}: {}", row.phase.word(), row.message) }
        }
        Phase::Queued => Stage::Observed,
        _ => {
            let candidate = row.candidate().filter(|arm| is_it(arm));
            let meets = candidate.is_some_and(|arm| arm.traffic.actual.is_some_and(|share| share > Ppm::ZERO));
            if meets || (candidate.is_some() && row.step.is_some_and(|step| step > 0)) {
                effective(format!("in flight {}: {}", place(row), shares(row)))
            } else {
                Stage::Observed
            }
        }
    }
}

fn deploy(version: Option<&Version>, before: Option<&Rollout>, current: Option<&Rollout>) -> Stage {
    let Some(row) = current else { return Stage::Accepted };
    let newer = before.is_none_or(|before| order(row, &before.run) == Ordering::Greater);
    let named = row.arms.iter().any(|arm| version.is_none_or(|version| arm.version == *version));
    if newer && named { new_run(row, version) } else { Stage::Accepted }
}

fn hold(selector: &Selector, current: Option<&Rollout>) -> Stage {
    match current {
        Some(row) if selector.holds(row) => {
            let held = row.waits.iter().any(|wait| matches!(wait, Wait::Hold(_)));
            match (held, settled(row)) {
                (false, _) => Stage::Accepted,
                (true, false) => Stage::Observed,
                (true, true) => effective(format!("held {}; {}", place(row), shares(row))),
            }
        }
        Some(row) => effective(format!("{} is {}: nothing to hold", row.service, row.phase.word())),
        None => effective("nothing was in flight; new rollouts wait"),
    }
}

fn release(id: &HoldId, current: Option<&Rollout>) -> Stage {
    match current {
        Some(row) if row.waits.contains(&Wait::Hold(id.clone())) => Stage::Accepted,
        Some(row) => effective(format!("{} {}; {}", row.phase.word(), place(row), shares(row))),
        None => effective(format!("{id} is gone; it held nothing")),
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
