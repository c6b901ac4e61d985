//! What a row of the engine proves: shares that the proxy acknowledged, at instances that are ready.

use flightdeck_model::{Arm, ArmRole, Phase, Ppm, Rollout, Step, Wait};

/// Is every acknowledged share the one that was asked for last?
pub(super) fn settled(row: &Rollout) -> bool {
    row.arms.iter().all(|arm| arm.traffic.actual == Some(arm.traffic.desired))
}

pub(super) fn shares(row: &Rollout) -> String {
    if row.is_worker() {
        return row.arms.iter().map(Arm::running).collect::<Vec<_>>().join(", ");
    }
    let of_users = |arm: &&Arm| !matches!(arm.role, ArmRole::Cohort(_));
    let (known, unknown): (Vec<&Arm>, Vec<&Arm>) =
        row.arms.iter().filter(of_users).partition(|arm| arm.traffic.actual.is_some());
    let share = |arm: &&Arm| arm.traffic.actual.map(|share| format!("{} has {share}", arm.version));
    let known: Vec<String> = known.iter().filter_map(share).collect();
    let known = (!known.is_empty()).then(|| format!("{}, acknowledged by the proxy", known.join(", ")));
    let unknown = unknown.iter().map(|arm| format!("the share of {} is not known", arm.version));
    let words: Vec<String> = known.into_iter().chain(unknown).collect();
    if words.is_empty() { "nothing has traffic".to_owned() } else { words.join("; ") }
}

pub(super) fn is_held_by_person(row: &Rollout) -> bool {
    row.waits.iter().any(|wait| matches!(wait, Wait::Human { what, .. } if what == "resume"))
}

pub(super) fn place(row: &Rollout) -> String {
    match row.step {
        Some(step) if (step as usize) < row.steps.len() => format!("at step {} of {}", step + 1, row.steps.len()),
        Some(_) => "past its last step".to_owned(),
        None => "without steps".to_owned(),
    }
}

/// Do requests arrive at a ready instance of it?
pub(super) fn serves(arm: &Arm) -> bool {
    arm.replicas.ready > 0 && arm.traffic.actual.is_some_and(|share| share > Ppm::ZERO)
}

/// The share that a step gives the candidate. A worker has it as soon as it runs.
fn share_of(row: &Rollout, step: &Step) -> Option<Ppm> {
    let steps = &row.steps;
    match step {
        Step::SetWeight(weight) => Some(*weight),
        Step::SetScale(share) => row.is_worker().then_some(*share),
        Step::Batch { instances, .. } => {
            // The last batch is the whole.
            let full = steps.iter().filter_map(|step| match step {
                Step::Batch { instances, .. } => Some(*instances),
                _ => None,
            });
            let full = u64::from(full.max().unwrap_or(*instances).max(1));
            Some(Ppm(u32::try_from(u64::from(*instances) * 1_000_000 / full).unwrap_or(Ppm::ALL.0)))
        }
        _ => None,
    }
}

/// The share that the plan asks for at the row's step: that of the last step that sets one, up to there.
fn planned(row: &Rollout) -> Option<Ppm> {
    let done = row.steps.len().min(row.step? as usize + 1);
    row.steps.get(..done)?.iter().rev().find_map(|step| share_of(row, step))
}

/// The share that users meet the version with at first; all of them where no step sets one.
pub(super) fn first_share(row: &Rollout) -> Ppm {
    let shares = row.steps.iter().filter_map(|step| share_of(row, step));
    shares.into_iter().find(|share| *share > Ppm::ZERO).unwrap_or(Ppm::ALL)
}

/// Does the candidate have the share of the row's step, with an instance that serves it?
pub(super) fn in_force(row: &Rollout) -> bool {
    let finished = row.step.is_none_or(|step| step as usize >= row.steps.len());
    let has = row.candidate().and_then(|arm| arm.traffic.actual).unwrap_or(Ppm::ZERO);
    let share = planned(row).unwrap_or(Ppm::ZERO);
    !finished && settled(row) && has == share && (share == Ppm::ZERO || row.candidate().is_some_and(serves))
}

pub(super) fn serves_all(row: &Rollout) -> bool {
    matches!(row.phase, Phase::Healthy | Phase::Degraded) && row.stable().is_some_and(has_all)
}

fn has_all(arm: &Arm) -> bool {
    serves(arm) && arm.traffic.actual == Some(Ppm::ALL)
}

/// All traffic is where it was before the run, as far as anything serves.
pub(super) fn all_at_stable(row: &Rollout) -> bool {
    let none = row.candidate().is_none_or(|arm| arm.traffic.actual == Some(Ppm::ZERO));
    // Without a stable version there is nowhere to go back to: nobody meets the candidate.
    none && row.stable().is_none_or(has_all)
}

pub(super) fn version(row: &Rollout) -> String {
    row.stable().map_or("nothing".to_owned(), |arm| arm.version.to_string())
}
