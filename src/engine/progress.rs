//! How far a command has come at the built-in engine, from its run, the row before it and the row now.
//!
//! A command is effective when users are where it wanted them: the proxy acknowledged a share of the run
//! that the command is bound to, and an instance of it is ready. That it was accepted, a step's number or
//! a phase alone never is.

mod row;

use flightdeck_model::{
    Action, DeploymentOutcome, Fact, HoldId, Phase, Rollout, RolloutRecord, Run, Selector, Stage, Subject, Wait,
};
use flightdeck_port::Followed;
use row::{
    all_at_stable, first_share, in_force, is_held_by_person, place, serves, serves_all, settled, shares, version,
};
use std::cmp::Ordering;

/// The stage of a command that was accepted. Pure.
pub(super) fn progress(of: &Followed<'_>) -> Stage {
    match (&of.command.subject, of.command.action) {
        (_, Action::Deploy | Action::Retry | Action::Restart | Action::Drill) => of_created(of),
        (Subject::Run(_), Action::Rollback) if of.created.is_some() || !was_in_flight(of) => of_created(of),
        (Subject::Run(run) | Subject::Approval { run, .. }, action) => match of.current {
            Some(current) => of_run(of, action, run, current),
            None => gone(),
        },
        (Subject::Scope { selector, .. }, Action::Hold) => hold(selector, of.current),
        (Subject::Hold { id, .. }, Action::ReleaseHold) => release(id, of.current),
        // What it came to, and whether its addresses are in force, services' rows tell: the hub looks at them.
        (Subject::Command { .. }, Action::Run)
        | (Subject::OneOff { .. }, Action::EndRun)
        | (Subject::Config { .. }, Action::Apply) => Stage::Observed,
        (Subject::Release { service, version, .. }, Action::AddRelease) => {
            Stage::effective(format!("{service} {version} is stored, its digest verified, and journalled"))
        }
        (Subject::Release { service, version, .. }, Action::RemoveRelease) => {
            Stage::effective(format!("{service} {version} is not offered any more"))
        }
        (Subject::Migrations { environment, .. }, Action::Migration) => {
            Stage::effective(format!("journalled for {environment}; nothing was run"))
        }
        _ => Stage::Failed { why: format!("{} does not fit its subject", of.command.action.name()) },
    }
}

fn gone() -> Stage {
    Stage::superseded("the service is gone from the configuration")
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

/// A fact as it was when the command was asked: as pinned, else as the row had it.
fn then<'a>(of: &Followed<'a>, fact: Fact) -> Option<&'a str> {
    let pinned = of.command.pin.as_ref().and_then(|pin| pin.facts.get(&fact));
    pinned.or_else(|| of.before?.facts.0.get(&fact)).map(String::as_str)
}

/// The run that the command created. Where the engine's word of it was lost: the run that the row
/// shows, if that came after what was there and brings in what was asked for.
fn bound<'a>(of: &Followed<'a>) -> Option<&'a Run> {
    if of.created.is_some() {
        return of.created;
    }
    let row = of.current?;
    let wanted = match (&of.command.subject, of.command.action) {
        (Subject::NewRollout { version, .. }, _) => {
            version.as_ref().is_none_or(|version| row.arms.iter().any(|arm| arm.version == *version))
        }
        (_, Action::Retry) => is_of(row, then(of, Fact::Candidate)),
        (_, Action::Restart) => is_of(row, then(of, Fact::Stable)),
        _ => true,
    };
    let last = match &of.command.subject {
        Subject::Run(run) => Some(run),
        _ => of.before.map(|before| &before.run),
    };
    let newer = last.is_none_or(|last| order(row, last) == Ordering::Greater);
    (wanted && newer).then_some(&row.run)
}

/// Was the run in flight when the command was asked? Then a rollback takes it back, else it makes a run.
fn was_in_flight(of: &Followed<'_>) -> bool {
    match of.before {
        Some(before) => before.phase.in_flight(),
        None => of.ended.is_none_or(|ended| ended.outcome != DeploymentOutcome::Succeeded),
    }
}

/// Has the engine counted a change of the run since the command was asked?
fn is_newer(of: &Followed<'_>, row: &Rollout) -> bool {
    let count = |text: &str| text.parse::<u64>().ok();
    let now = row.facts.0.get(&Fact::Generation).and_then(|now| count(now));
    match (then(of, Fact::Generation).and_then(count), now) {
        (Some(then), Some(now)) => now > then,
        _ => true,
    }
}

/// The step at which the run stood: of the row before, else the one that the person saw.
fn step_before(of: &Followed<'_>, run: &Run) -> Option<u32> {
    match of.before.filter(|before| before.run == *run) {
        Some(before) => before.step,
        None => of.command.pin.as_ref()?.facts.get(&Fact::Step)?.parse().ok(),
    }
}

/// Does the row's run bring in that digest?
fn is_of(row: &Rollout, digest: Option<&str>) -> bool {
    digest.is_none_or(|digest| row.facts.0.get(&Fact::Candidate).is_none_or(|of| of == digest))
}

/// A command that created a run: that one counts, whatever else the row shows.
fn of_created(of: &Followed<'_>) -> Stage {
    let Some(row) = of.current else {
        // The first row of a service may still be on its way.
        return if of.before.is_some() { gone() } else { Stage::Accepted };
    };
    let asked_at = match &of.command.subject {
        Subject::Run(run) => Some(&run.target),
        _ => of.created.map(|run| &run.target),
    };
    if asked_at.is_some_and(|target| *target != row.run.target) {
        return Stage::superseded("the service was removed and configured anew");
    }
    let Some(run) = bound(of) else { return Stage::Accepted };
    match (order(row, run), of.command.action) {
        // In line behind the one that the row shows.
        (Ordering::Less, _) => Stage::Accepted,
        (Ordering::Greater, _) => of.ended.map_or_else(|| took_its_place(row), |ended| ended_before(ended, row)),
        (Ordering::Equal, Action::Restart) => replaced(row),
        (Ordering::Equal, Action::Rollback) => rolled_back(of.before, row),
        (Ordering::Equal, Action::Drill) => drilled(of, row),
        (Ordering::Equal, _) => brought_in(row),
    }
}

fn took_its_place(row: &Rollout) -> Stage {
    Stage::superseded(format!("{} of {} took its place", row.run.revision, row.service))
}

/// The run has ended and a later one is shown: what the engine recorded of its end counts. It ends well
/// only once the proxy acknowledged where the users are.
fn ended_before(ended: &RolloutRecord, row: &Rollout) -> Stage {
    let (run, cause, next) = (&ended.run.revision, &ended.cause, &row.run.revision);
    match ended.outcome {
        DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack => {
            Stage::effective(format!("{run} ended well: {cause}; {next} came after it"))
        }
        DeploymentOutcome::Superseded => Stage::superseded(cause),
        DeploymentOutcome::Aborted | DeploymentOutcome::Failed => Stage::Failed { why: format!("{run}: {cause}") },
    }
}

fn of_run(of: &Followed<'_>, action: Action, run: &Run, current: &Rollout) -> Stage {
    if current.run.target != run.target {
        return Stage::superseded("the service was removed and configured anew");
    }
    match (action, order(current, run)) {
        (Action::Abort | Action::Reject | Action::Rollback, order) => taken_back(of, run, current, order),
        // In line behind the one that the row shows: its own state is not in this row.
        (Action::Pause | Action::Resume | Action::LetThrough, Ordering::Less) => match of.ended {
            Some(ended) => Stage::superseded(&ended.cause),
            None => Stage::effective(format!(
                "{} is in line behind {}; nothing of it runs",
                run.revision, current.run.revision
            )),
        },
        (Action::Promote | Action::PromoteFull | Action::Approve, Ordering::Greater) => match of.ended {
            Some(ended) => match ended_before(ended, current) {
                Stage::Failed { why } => Stage::superseded(why),
                stage => stage,
            },
            None => took_its_place(current),
        },
        (_, Ordering::Greater | Ordering::Less) => took_its_place(current),
        (Action::Pause, Ordering::Equal) => paused(current),
        (Action::Resume, Ordering::Equal) => resumed(of, current),
        (Action::LetThrough, Ordering::Equal) => match current.held_by() {
            Some(_) => Stage::Accepted,
            None => over(current).unwrap_or_else(|| {
                Stage::effective(format!(
                    "not held any more: {} {}; {}",
                    current.phase.word(),
                    place(current),
                    shares(current)
                ))
            }),
        },
        (Action::Promote | Action::PromoteFull | Action::Approve, Ordering::Equal) => {
            moved_on(action, step_before(of, run), current)
        }
        _ => Stage::Failed { why: format!("{} does not fit a rollout", action.name()) },
    }
}

/// Ended, or on its way back, before the command could show.
fn over(row: &Rollout) -> Option<Stage> {
    match row.phase {
        Phase::RollingBack | Phase::Aborted | Phase::Failed | Phase::Superseded => {
            Some(Stage::superseded(format!("it is {}: {}", row.phase.word(), row.message)))
        }
        _ => None,
    }
}

fn paused(row: &Rollout) -> Stage {
    if !row.phase.in_flight() || row.phase == Phase::RollingBack {
        return Stage::superseded(format!("it is {}: {}", row.phase.word(), row.message));
    }
    if !is_held_by_person(row) {
        return Stage::Accepted;
    }
    if settled(row) { Stage::effective(format!("paused {}; {}", place(row), shares(row))) } else { Stage::Observed }
}

/// It goes on, and users are where its step wants them.
fn resumed(of: &Followed<'_>, row: &Rollout) -> Stage {
    if let Some(over) = over(row) {
        return over;
    }
    if is_held_by_person(row) || !is_newer(of, row) {
        return Stage::Accepted;
    }
    let restarts =
        row.steps.is_empty() && row.candidate().is_none() && settled(row) && row.stable().is_some_and(serves);
    if serves_all(row) || in_force(row) || restarts {
        return Stage::effective(format!("{} {}; {}", row.phase.word(), place(row), shares(row)));
    }
    Stage::Observed
}

fn moved_on(action: Action, earlier: Option<u32>, row: &Rollout) -> Stage {
    if serves_all(row) {
        return Stage::effective(format!("finished: {}", shares(row)));
    }
    if let Some(over) = over(row) {
        return over;
    }
    let advanced = earlier.is_some() && row.step > earlier;
    match (action, advanced) {
        (_, false) => Stage::Accepted,
        (Action::Promote | Action::Approve, true) if in_force(row) => {
            Stage::effective(format!("{}: {}", place(row), shares(row)))
        }
        _ => Stage::Observed,
    }
}

fn taken_back(of: &Followed<'_>, run: &Run, row: &Rollout, order: Ordering) -> Stage {
    match order {
        Ordering::Greater | Ordering::Less => match of.ended.map(|ended| (ended.outcome, &ended.cause)) {
            // It may be in line, or has just ended and its record is on its way.
            None if order == Ordering::Less => Stage::Accepted,
            None => Stage::Observed,
            Some((DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack, cause)) => {
                Stage::Failed { why: format!("it had finished: {cause}") }
            }
            Some((_, cause)) if order == Ordering::Less => {
                Stage::effective(format!("{} was in line and never had traffic: {cause}", run.revision))
            }
            // The next one is in line: what is shown is still what this one left, stable that is down included.
            Some(_) if row.phase == Phase::Queued && !all_at_stable(row) => Stage::Observed,
            // One begins only after the one before has ended and the proxy acknowledged it.
            Some((_, cause)) => Stage::effective(format!(
                "{} has ended ({cause}), {} came after it; {}",
                run.revision,
                row.run.revision,
                shares(row)
            )),
        },
        Ordering::Equal => match row.phase {
            Phase::RollingBack | Phase::Aborted | Phase::Failed | Phase::Superseded if all_at_stable(row) => {
                Stage::effective(format!("{}: {}", row.phase.word(), shares(row)))
            }
            Phase::RollingBack | Phase::Aborted | Phase::Failed | Phase::Superseded => Stage::Observed,
            Phase::Healthy | Phase::Degraded => Stage::Failed { why: format!("it had finished: {}", shares(row)) },
            _ => Stage::Accepted,
        },
    }
}

/// The run of a rollback: its stable arm is the version before.
fn rolled_back(before: Option<&Rollout>, row: &Rollout) -> Stage {
    let left = before.and_then(Rollout::stable).map(|arm| &arm.version);
    let back = row.stable().is_some_and(|stable| Some(&stable.version) != left);
    match row.phase {
        Phase::RollingBack | Phase::Healthy | Phase::Degraded if back && all_at_stable(row) => {
            Stage::effective(format!("back at {}: {}", version(row), shares(row)))
        }
        Phase::Failed | Phase::Aborted => Stage::Failed { why: row.message.clone() },
        Phase::Superseded => Stage::superseded(row.message.clone()),
        _ => Stage::Observed,
    }
}

/// There and back again: a run that goes back to the version before, and has ended once the one that it
/// began with has all traffic again.
fn drilled(of: &Followed<'_>, row: &Rollout) -> Stage {
    let pinned = of.command.pin.as_ref().and_then(|pin| pin.facts.get(&Fact::Stable));
    let began = of.before.and_then(Rollout::stable).map(|arm| &arm.version);
    let by_version = began.map(|version| row.stable().is_some_and(|arm| arm.version == *version));
    let by_digest = pinned.map(|digest| row.facts.0.get(&Fact::Stable) == Some(digest));
    match row.phase {
        Phase::Failed | Phase::Aborted => Stage::Failed { why: row.message.clone() },
        Phase::Superseded => Stage::superseded(row.message.clone()),
        Phase::Healthy | Phase::Degraded if by_digest.or(by_version) == Some(false) => {
            Stage::Failed { why: format!("it did not return: {}", shares(row)) }
        }
        _ if serves_all(row) => {
            Stage::effective(format!("went back and returned to {}: {}", version(row), shares(row)))
        }
        _ => Stage::Observed,
    }
}

/// How a run that brings something in ended badly, once it has ended; on its way back it has not.
fn failed(row: &Rollout) -> Option<Stage> {
    match row.phase {
        Phase::Failed | Phase::Aborted => {
            Some(Stage::Failed { why: format!("it is {}: {}", row.phase.word(), row.message) })
        }
        Phase::Superseded => Some(Stage::superseded(row.message.clone())),
        _ => None,
    }
}

/// A new version: effective once users meet it with the first share of its plan.
fn brought_in(row: &Rollout) -> Stage {
    if serves_all(row) {
        let shares = shares(row);
        // A worker's message says its share already.
        return Stage::effective(if row.message == shares { shares } else { format!("{}: {shares}", row.message) });
    }
    if let Some(failed) = failed(row) {
        return failed;
    }
    let share = row.candidate().filter(|arm| serves(arm)).and_then(|arm| arm.traffic.actual);
    match share {
        Some(share) if row.phase != Phase::RollingBack && share >= first_share(row) => {
            Stage::effective(format!("in flight {}: {}", place(row), shares(row)))
        }
        _ => Stage::Observed,
    }
}

/// A restart: effective once every instance is new, and they serve.
fn replaced(row: &Rollout) -> Stage {
    if serves_all(row) {
        return Stage::effective(format!("{}: {}", row.message, shares(row)));
    }
    failed(row).unwrap_or(Stage::Observed)
}

fn hold(selector: &Selector, current: Option<&Rollout>) -> Stage {
    match current {
        Some(row) if selector.holds(row) => {
            let held = row.waits.iter().any(|wait| matches!(wait, Wait::Hold(_)));
            match (held, settled(row)) {
                (false, _) => Stage::Accepted,
                (true, false) => Stage::Observed,
                (true, true) => Stage::effective(format!("held {}; {}", place(row), shares(row))),
            }
        }
        Some(row) => Stage::effective(format!("{} is {}: nothing to hold", row.service, row.phase.word())),
        None => Stage::effective("nothing was in flight; new rollouts wait"),
    }
}

fn release(id: &HoldId, current: Option<&Rollout>) -> Stage {
    match current {
        Some(row) if row.waits.contains(&Wait::Hold(id.clone())) => Stage::Accepted,
        Some(row) => Stage::effective(format!("{} {}; {}", row.phase.word(), place(row), shares(row))),
        None => Stage::effective(format!("{id} is gone; it held nothing")),
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
