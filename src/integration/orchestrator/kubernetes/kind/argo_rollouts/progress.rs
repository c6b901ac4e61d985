//! How far a command about a Rollout has come.
//!
//! Commands write into the status, too. What counts is what only the controller writes there: the hash of
//! the template that it works on, of stable and of the active service, steps beyond the one that was
//! written, weights, and pods.

use crate::orchestrator::kubernetes::progress::{Seen, Template, pods, ready, replaced, wants_none};
use flightdeck_model::{Action, Arm, ArmRole, Fact, Phase, Ppm, Rollout, Stage, Step, Strategy, TrafficSource, Wait};

/// The stage of a command about a Rollout that was accepted.
#[must_use]
pub fn progress(seen: Seen<'_>) -> Stage {
    // Until its newest template is seen, the status tells of the one before.
    let same = seen.then(Fact::Candidate) == seen.now(Fact::Candidate);
    match seen.action() {
        Action::Abort => aborted(seen, same),
        Action::Rollback => undone(seen),
        Action::Pause => paused(seen),
        _ if !same => replaced(seen.row),
        Action::Resume | Action::LetThrough => resumed(seen),
        Action::Restart => restarted(seen),
        Action::Retry => retried(seen),
        Action::Promote => promoted(seen),
        Action::PromoteFull => promoted_in_full(seen),
        other => Stage::Failed { why: format!("{} does not fit a Rollout", other.name()) },
    }
}

/// Does the newest template count as stable?
fn finished(seen: Seen<'_>) -> bool {
    seen.now(Fact::Candidate).is_some() && seen.now(Fact::Candidate) == seen.now(Fact::Stable)
}

/// Does stable stand, and nothing else meet users? Without a router that takes pods that are gone;
/// with one, or with services that are switched, its share.
fn all_at_stable(row: &Rollout) -> bool {
    let gone = |arm: &Arm| match arm.traffic.how {
        TrafficSource::Replicas => arm.replicas.ready == 0,
        _ => arm.traffic.actual == Some(Ppm::ZERO),
    };
    let others = row.arms.iter().filter(|arm| !matches!(arm.role, ArmRole::Stable | ArmRole::Preview));
    // A row of one template tells of no other's pods: then its phase says that they are gone.
    let settled = row.phase == Phase::Healthy || row.arms.len() > 1;
    let stable = row.stable();
    settled
        && stable.is_some_and(|stable| ready(stable) && (stable.replicas.ready > 0 || wants_none(row)))
        && others.into_iter().all(gone)
}

fn place(row: &Rollout) -> String {
    match row.step {
        Some(step) if (step as usize) < row.steps.len() => format!("at step {} of {}", step + 1, row.steps.len()),
        Some(_) => "past its last step".to_owned(),
        None => "without steps".to_owned(),
    }
}

/// The pods, and that nobody is served where none are wanted.
fn served(row: &Rollout) -> String {
    let none = if wants_none(row) { "; no pods are wanted now, so that nobody is served" } else { "" };
    format!("{}{none}", pods(row))
}

fn aborted(seen: Seen<'_>, same: bool) -> Stage {
    let row = seen.row;
    match (same, finished(seen)) {
        (true, true) => Stage::Failed { why: format!("it had finished before: {}", pods(row)) },
        (false, true) if !seen.unobserved() && all_at_stable(row) => {
            Stage::effective(format!("revision {} serves; {}", row.run.revision, served(row)))
        }
        (false, true) => Stage::Observed,
        (false, false) => replaced(row),
        (true, false) => match row.phase {
            Phase::Aborted if all_at_stable(row) => Stage::effective(format!("aborted; {}", served(row))),
            // The status alone says it: while it is paused by hand its pods stay.
            Phase::Aborted | Phase::RollingBack => Stage::Observed,
            _ => Stage::Accepted,
        },
    }
}

/// Back where the template says that it goes: only once it is stable and serves everybody. On its way by
/// the steps of a plan most users are still on what is left behind.
fn undone(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    match seen.template() {
        Template::Before => Stage::Accepted,
        Template::Other => replaced(row),
        Template::Unknown => Stage::Observed,
        Template::Ours if seen.unobserved() => Stage::Observed,
        Template::Ours if finished(seen) && all_at_stable(row) => {
            Stage::effective(format!("revision {} serves; {}", row.run.revision, served(row)))
        }
        Template::Ours if finished(seen) => Stage::Observed,
        Template::Ours => match row.phase {
            Phase::Aborted | Phase::Failed | Phase::RollingBack => {
                Stage::Failed { why: format!("the version before is {}: {}", row.phase.word(), row.message) }
            }
            _ => Stage::Observed,
        },
    }
}

/// A rollout that a retry began anew: effective once users meet it, or, with two sides and a switch, once
/// its preview stands.
fn begun(row: &Rollout) -> Stage {
    let candidate = row.arms.iter().find(|arm| arm.role != ArmRole::Stable);
    let preview = row.strategy == Strategy::BlueGreen
        && candidate.is_some_and(|arm| arm.replicas.ready > 0 && ready(arm) && arm.traffic.actual.is_some());
    let met = candidate.is_some_and(|arm| arm.traffic.actual.is_some_and(|share| share > Ppm::ZERO));
    if preview || (met && in_force(row)) {
        Stage::effective(format!("started again: {}; {}", place(row), pods(row)))
    } else {
        Stage::Observed
    }
}

fn restarted(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    let before = seen.before.and_then(|before| before.facts.0.get(&Fact::Restart)).map(String::as_str);
    let all = row.arms.iter().all(ready) && row.stable().is_some_and(|arm| arm.replicas.ready > 0);
    match seen.now(Fact::Restart).filter(|at| Some(*at) != before) {
        Some(at) if !at.ends_with(" pending") && !seen.unobserved() && all => {
            Stage::effective(format!("every pod is newer than {at}; {}", pods(row)))
        }
        Some(_) => Stage::Observed,
        None => Stage::Accepted,
    }
}

fn paused(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    match row.phase {
        Phase::Paused if seen.paused() && !seen.unobserved() => {
            Stage::effective(format!("paused {}; {}", place(row), pods(row)))
        }
        Phase::Aborted | Phase::RollingBack => {
            Stage::superseded(format!("it is {}: {}", row.phase.word(), row.message))
        }
        _ if seen.paused() => Stage::Observed,
        _ => Stage::Accepted,
    }
}

fn resumed(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    match (seen.paused(), taken_back(row)) {
        (true, _) => Stage::Accepted,
        (false, Some(stage)) => stage,
        (false, None) if seen.unobserved() => Stage::Observed,
        (false, None) => Stage::effective(format!("{} {}; {}", row.phase.word(), place(row), pods(row))),
    }
}

/// It was aborted before the command could show.
fn taken_back(row: &Rollout) -> Option<Stage> {
    matches!(row.phase, Phase::Aborted | Phase::RollingBack)
        .then(|| Stage::superseded(format!("it is {}: {}", row.phase.word(), row.message)))
}

fn retried(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    if let Some(stage) = done(seen) {
        return stage;
    }
    let again = seen.before.is_some_and(|before| before.phase == Phase::Aborted && before.since != row.since);
    match row.phase {
        Phase::Aborted if again => Stage::Failed { why: format!("it was aborted again: {}", row.message) },
        Phase::Aborted | Phase::RollingBack | Phase::Degraded | Phase::Failed => Stage::Accepted,
        _ if seen.unobserved() => Stage::Observed,
        _ => begun(row),
    }
}

/// All of its traffic at the candidate, which is stable now.
fn done(seen: Seen<'_>) -> Option<Stage> {
    finished(seen).then(|| {
        if !seen.unobserved() && all_at_stable(seen.row) && !wants_none(seen.row) {
            Stage::effective(format!("finished; {}", pods(seen.row)))
        } else {
            Stage::Observed
        }
    })
}

/// A pause of its plan's own, by what and since when.
fn own_pause(pause: Option<&str>) -> Option<&str> {
    pause?.split('+').find(|part| part.contains('@'))
}

/// The step that the promotion itself wrote into the status: past an analysis or whatever else runs, the
/// next one; past a pause none, there it is the controller that goes on.
fn written(seen: Seen<'_>) -> Option<u32> {
    let then = seen.then(Fact::Step)?.parse::<u32>().ok()?;
    let pause = own_pause(seen.then(Fact::Pause));
    let by_controller = pause.is_some_and(|pause| !pause.starts_with("Inconclusive"));
    Some(if by_controller { then } else { then + 1 })
}

/// Does the controller work on the step, by a pause or an analysis that it has begun since?
fn begun_since(seen: Seen<'_>) -> bool {
    let pause = own_pause(seen.now(Fact::Pause));
    let analysis = |wait: &Wait| matches!(wait, Wait::Analysis { .. });
    let before = seen.before.map(|row| row.waits.as_slice());
    let another = |wait: &Wait| analysis(wait) && before.is_some_and(|before| !before.contains(wait));
    (pause.is_some() && pause != own_pause(seen.then(Fact::Pause))) || seen.row.waits.iter().any(another)
}

fn promoted(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    if let Some(stage) = done(seen).or_else(|| taken_back(row)) {
        return stage;
    }
    if row.strategy == Strategy::BlueGreen {
        return switched(seen);
    }
    let then = seen.then(Fact::Step).and_then(|step| step.parse::<u32>().ok());
    let moved = row.step.is_some() && row.step > then;
    let advanced = match (row.step, written(seen)) {
        (Some(now), Some(written)) => now > written || (now == written && moved && begun_since(seen)),
        _ => false,
    };
    let unpaused = seen.then(Fact::Pause).is_some() && seen.now(Fact::Pause) != seen.then(Fact::Pause);
    if advanced && !seen.unobserved() && in_force(row) {
        Stage::effective(format!("{}; {}", place(row), pods(row)))
    } else if moved || unpaused {
        Stage::Observed
    } else {
        Stage::Accepted
    }
}

/// Is the weight of the row's step in force? The controller leaves a step that sets one only when it
/// is, and replicas can't meet every share exactly.
fn in_force(row: &Rollout) -> bool {
    let step = row.step.and_then(|step| row.steps.get(step as usize));
    let left = step.is_some_and(|step| !matches!(step, Step::SetWeight(_)));
    let arrived = |arm: &Arm| {
        let met = arm.replicas.ready > 0 && arm.traffic.actual.is_some_and(|share| share > Ppm::ZERO);
        let exact = arm.traffic.how == TrafficSource::Replicas || arm.traffic.actual == Some(arm.traffic.desired);
        ready(arm) && exact && (met || arm.traffic.desired == Ppm::ZERO)
    };
    left && row.candidate().is_some_and(arrived)
}

/// A blue/green promotion shows when its active service selects the candidate.
fn switched(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    let candidate = row.arms.iter().find(|arm| arm.role != ArmRole::Stable);
    let all = |arm: &Arm| arm.traffic.actual == Some(Ppm::ALL) && arm.replicas.ready > 0 && ready(arm);
    if candidate.is_some_and(all) {
        return Stage::effective(format!("the active service selects it; {}", pods(row)));
    }
    if seen.now(Fact::Pause) == seen.then(Fact::Pause) { Stage::Accepted } else { Stage::Observed }
}

fn promoted_in_full(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    if let Some(stage) = done(seen).or_else(|| taken_back(row)) {
        return stage;
    }
    let moved = seen.now(Fact::Step) != seen.then(Fact::Step) || seen.now(Fact::Pause) != seen.then(Fact::Pause);
    if moved { Stage::Observed } else { Stage::Accepted }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
