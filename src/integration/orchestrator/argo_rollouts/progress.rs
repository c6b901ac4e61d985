//! How far a command about a Rollout has come.

use crate::integration::orchestrator::kubernetes::progress::{Seen, effective, pods, ready, superseded};
use crate::model::{Action, Arm, ArmRole, Fact, Phase, Ppm, Rollout, Stage, Step, Strategy, TrafficSource};

/// The stage of a command about a Rollout that was accepted.
#[must_use]
pub fn progress(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    // Until its newest template is seen, the status tells of the one before.
    let same = seen.then(Fact::Candidate) == seen.now(Fact::Candidate);
    match seen.command.action {
        Action::Abort => aborted(seen, same),
        Action::Rollback => undone(seen, same),
        Action::Restart => restarted(seen),
        Action::Pause => paused(seen),
        Action::Resume if seen.paused() => Stage::Accepted,
        Action::Resume | Action::LetThrough => effective(format!("{} {}; {}", row.phase.word(), place(row), pods(row))),
        _ if !same => superseded(format!("revision {} took its place", row.run.revision)),
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
        && stable.is_some_and(|stable| ready(stable) && (stable.replicas.ready > 0 || stable.replicas.desired == 0))
        && others.into_iter().all(gone)
}

fn place(row: &Rollout) -> String {
    match row.step {
        Some(step) if (step as usize) < row.steps.len() => format!("at step {} of {}", step + 1, row.steps.len()),
        Some(_) => "past its last step".to_owned(),
        None => "without steps".to_owned(),
    }
}

fn aborted(seen: Seen<'_>, same: bool) -> Stage {
    let row = seen.row;
    match (same, finished(seen)) {
        (true, true) => Stage::Failed { why: format!("it had finished before: {}", pods(row)) },
        (false, true) if all_at_stable(row) => {
            effective(format!("revision {} serves; {}", row.run.revision, pods(row)))
        }
        (false, true) => Stage::Observed,
        (false, false) => superseded(format!("revision {} took its place", row.run.revision)),
        (true, false) => match row.phase {
            Phase::Aborted if all_at_stable(row) => effective(format!("aborted; {}", pods(row))),
            // The status alone says it: while it is paused by hand its pods stay.
            Phase::Aborted | Phase::RollingBack => Stage::Observed,
            _ => Stage::Accepted,
        },
    }
}

fn undone(seen: Seen<'_>, same: bool) -> Stage {
    let row = seen.row;
    if same {
        // Its controller has yet to see the template.
        return Stage::Accepted;
    }
    let left =
        seen.before.is_some_and(|before| before.facts.0.get(&Fact::Candidate) != before.facts.0.get(&Fact::Stable));
    if finished(seen) {
        return if all_at_stable(row) {
            effective(format!("revision {} serves; {}", row.run.revision, pods(row)))
        } else {
            Stage::Observed
        };
    }
    match row.phase {
        Phase::Aborted | Phase::Failed | Phase::RollingBack => {
            Stage::Failed { why: format!("the version before is {}: {}", row.phase.word(), row.message) }
        }
        // Back to stable ends in the case above; another template than that is somebody else's.
        _ if left => superseded(format!("revision {} took its place", row.run.revision)),
        _ => begun(row, "the version before comes by its steps: "),
    }
}

/// A rollout that a command asked for: effective once users meet it.
fn begun(row: &Rollout, what: &str) -> Stage {
    let met = |arm: &Arm| arm.replicas.ready > 0 && arm.traffic.actual.is_none_or(|share| share > Ppm::ZERO);
    let candidate = row.arms.iter().find(|arm| arm.role != ArmRole::Stable);
    let preview = candidate.is_some_and(|arm| row.strategy == Strategy::BlueGreen && arm.replicas.ready > 0);
    if preview || candidate.is_some_and(met) || row.step.is_some_and(|step| step > 0) {
        effective(format!("{what}{}; {}", place(row), pods(row)))
    } else {
        Stage::Observed
    }
}

fn restarted(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    let before = seen.before.and_then(|before| before.facts.0.get(&Fact::Restart)).map(String::as_str);
    match seen.now(Fact::Restart).filter(|at| Some(*at) != before) {
        Some(at) if !at.ends_with(" pending") && row.arms.iter().all(ready) => {
            effective(format!("every pod is newer than {at}; {}", pods(row)))
        }
        Some(_) => Stage::Observed,
        None => Stage::Accepted,
    }
}

fn paused(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    match row.phase {
        Phase::Paused if seen.paused() => effective(format!("paused {}; {}", place(row), pods(row))),
        Phase::Aborted | Phase::RollingBack => superseded(format!("it is {}: {}", row.phase.word(), row.message)),
        _ if seen.paused() => Stage::Observed,
        _ => Stage::Accepted,
    }
}

/// It was aborted before the command could show.
fn taken_back(row: &Rollout) -> Option<Stage> {
    matches!(row.phase, Phase::Aborted | Phase::RollingBack)
        .then(|| superseded(format!("it is {}: {}", row.phase.word(), row.message)))
}

fn retried(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    if finished(seen) {
        return effective(format!("finished; {}", pods(row)));
    }
    match row.phase {
        Phase::Aborted | Phase::RollingBack | Phase::Degraded | Phase::Failed => Stage::Accepted,
        _ => begun(row, "started again: "),
    }
}

/// All of its traffic at the candidate, which is stable now.
fn done(seen: Seen<'_>) -> Option<Stage> {
    finished(seen).then(|| {
        if all_at_stable(seen.row) { effective(format!("finished; {}", pods(seen.row))) } else { Stage::Observed }
    })
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
    let advanced = then.is_some() && row.step > then;
    let unpaused = seen.then(Fact::Pause).is_some() && seen.now(Fact::Pause) != seen.then(Fact::Pause);
    match (advanced, in_force(row)) {
        (true, true) => effective(format!("{}; {}", place(row), pods(row))),
        (true, false) => Stage::Observed,
        (false, _) if unpaused => Stage::Observed,
        (false, _) => Stage::Accepted,
    }
}

/// Is the weight of the row's step in force? The controller leaves a step that sets one only when it
/// is, and replicas can't meet every share exactly.
fn in_force(row: &Rollout) -> bool {
    let step = row.step.and_then(|step| row.steps.get(step as usize));
    let left = step.is_some_and(|step| !matches!(step, Step::SetWeight(_)));
    let arrived = |arm: &Arm| match arm.traffic.how {
        TrafficSource::Replicas => ready(arm),
        _ => ready(arm) && arm.traffic.actual == Some(arm.traffic.desired),
    };
    left && row.candidate().is_some_and(arrived)
}

/// A blue/green promotion shows when its active service selects the candidate.
fn switched(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    let candidate = row.arms.iter().find(|arm| arm.role != ArmRole::Stable);
    if candidate.is_some_and(|arm| arm.traffic.actual == Some(Ppm::ALL) && ready(arm)) {
        return effective(format!("the active service selects it; {}", pods(row)));
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
