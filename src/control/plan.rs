//! Walking through a rollout's steps: what comes after a yes.

use flightdeck_model::time::length;
use flightdeck_model::{Arm, ArmRole, Ppm, Rollout, Step, counted};

/// Where a rollout comes to when it goes on from a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ahead {
    /// The next index; `steps.len()` when all are done.
    pub step: u32,
    /// The candidate's share once it stands still again.
    pub weight: Ppm,
}

/// The candidate's share now: in force where known, else asked for.
pub(super) fn share(rollout: &Rollout) -> Ppm {
    rollout.candidate().map_or(Ppm::ZERO, |arm| arm.traffic.actual.unwrap_or(arm.traffic.desired))
}

/// A share in words: `25 % of traffic`; a worker has none.
pub(super) fn of(rollout: &Rollout, share: Ppm) -> String {
    let what = if rollout.is_worker() { "its instances" } else { "traffic" };
    format!("{share} of {what}")
}

/// What leaving the current step brings: every weight until the next step that waits, or everything
/// after the last.
pub(super) fn after_step(rollout: &Rollout) -> Ahead {
    let here = rollout.step.unwrap_or(0);
    from_step(rollout, here.saturating_add(1))
}

/// What starting at a step brings.
pub(super) fn from_step(rollout: &Rollout, first: u32) -> Ahead {
    let mut weight = rollout.candidate().map_or(Ppm::ZERO, |arm| arm.traffic.desired);
    for step in rollout.steps.iter().skip(first as usize) {
        match step {
            Step::SetWeight(share) => weight = *share,
            Step::SetScale(share) if rollout.is_worker() => weight = *share,
            Step::Pause { .. }
            | Step::Analysis { .. }
            | Step::Approval { .. }
            | Step::Hook { .. }
            | Step::TakeDown
            | Step::Batch { .. }
            | Step::Other(_) => return Ahead { step: first, weight },
            Step::SetScale(_) | Step::Preview => {}
        }
    }
    Ahead { step: first, weight: Ppm::ALL }
}

/// The steps after an index that can stop a rollout, in words.
pub(super) fn gates_after(rollout: &Rollout, index: Option<u32>) -> Vec<String> {
    let skip = index.map_or(0, |index| index as usize + 1);
    gates(rollout.steps.get(skip..).unwrap_or_default())
}

/// The steps that can stop a rollout, in words.
pub(super) fn gates(steps: &[Step]) -> Vec<String> {
    let moves = |step: &&Step| {
        matches!(step, Step::SetWeight(_) | Step::SetScale(_) | Step::Preview | Step::Batch { .. } | Step::TakeDown)
    };
    steps.iter().filter(|step| !moves(step)).map(words).collect()
}

/// A step in words, such as `analysis golden for 2m`.
pub(super) fn words(step: &Step) -> String {
    match step {
        Step::SetWeight(share) => format!("{share} of traffic"),
        Step::Pause { duration: Some(duration) } => format!("pause of {}", length(*duration)),
        Step::Pause { duration: None } => "pause until promoted".to_owned(),
        Step::Analysis { name, duration } => format!("analysis {name} for {}", length(*duration)),
        Step::Approval { count, from, .. } if from.is_empty() => format!("approval by {count}"),
        Step::Approval { count, from, .. } => format!("approval by {count} of {}", from.join(", ")),
        Step::SetScale(share) => format!("candidate at {share} of its size"),
        Step::Preview => "candidate behind its preview address".to_owned(),
        Step::Batch { instances, .. } => format!("{} replaced", counted(*instances, "instance")),
        Step::TakeDown => "stable ended before the candidate starts".to_owned(),
        Step::Hook { name } => format!("hook {name}"),
        Step::Other(name) => name.clone(),
    }
}

/// Where the rollout stands, such as `step 2 of 6`.
pub(super) fn position(rollout: &Rollout, step: Option<u32>) -> Option<String> {
    let total = rollout.steps.len();
    let index = step? as usize;
    (index < total).then(|| format!("step {} of {total}", index + 1))
}

/// Instances that a whole pool has: the most that any side wants.
fn full(rollout: &Rollout) -> u32 {
    let sides = rollout.arms.iter().filter(|arm| arm.role != ArmRole::Shadow);
    sides.map(|arm| arm.replicas.desired).max().unwrap_or(0)
}

/// What stable can carry now of all traffic, if it is less than all: (ready, whole pool, share).
pub(super) fn short_stable(rollout: &Rollout) -> Option<(u32, u32, Ppm)> {
    let ready = rollout.stable().map_or(0, |arm| arm.replicas.ready);
    let full = full(rollout);
    let ppm = u64::from(ready) * 1_000_000 / u64::from(full.max(1));
    (ready < full).then(|| (ready, full, Ppm(u32::try_from(ppm).unwrap_or(Ppm::ALL.0).min(Ppm::ALL.0))))
}

/// `1.9.0`, or a dash where there is no such side.
pub(super) fn version(arm: Option<&Arm>) -> &str {
    arm.map_or("-", |arm| arm.version.as_str())
}

/// Whole percent, rounded; what a person types in a challenge.
pub(super) fn percent(share: Ppm) -> u32 {
    (share.0 + 5_000) / 10_000
}
