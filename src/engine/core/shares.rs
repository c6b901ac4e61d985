//! How many instances a share of traffic needs, and what share so many instances carry.

use super::slots::replicas;
use super::state::{Progress, RunState, Slot, State};
use flightdeck_model::{Ppm, Step};

/// Instances that a share of traffic needs: rounded up, at least one.
pub(super) fn needed(replicas: u32, share: Ppm) -> u32 {
    let exact = (u64::from(replicas) * u64::from(share.0)).div_ceil(1_000_000);
    u32::try_from(exact).unwrap_or(u32::MAX).clamp(1, replicas.max(1))
}

/// The share that so many ready instances can carry.
pub(super) fn capacity(ready: u32, replicas: u32) -> Ppm {
    if ready >= replicas.max(1) {
        return Ppm::ALL;
    }
    Ppm(u32::try_from(u64::from(ready) * 1_000_000 / u64::from(replicas.max(1))).unwrap_or(1_000_000))
}

impl RunState {
    /// Instances that the candidate needs at its place in the plan.
    pub(super) fn needs(&self, replicas: u32) -> u32 {
        if self.progress == Progress::Promoting {
            return replicas;
        }
        let done = self.steps.get(..=self.step as usize).unwrap_or(&self.steps);
        // Until then nothing of the candidate is started.
        if !done.is_empty() && done.iter().all(|step| matches!(step, Step::Hook { .. } | Step::TakeDown)) {
            return 0;
        }
        let floor = done.iter().rev().find_map(|step| match step {
            Step::SetScale(share) => Some(needed(replicas, *share)),
            Step::Batch { instances, .. } => Some((*instances).min(replicas)),
            _ => None,
        });
        needed(replicas, self.next_share()).max(floor.unwrap_or(0))
    }

    /// The share that instances are needed for: what is asked for next, if that is more.
    pub(super) fn next_share(&self) -> Ppm {
        match self.current_step() {
            Some(Step::SetWeight(weight)) => self.weight.max(*weight),
            _ => self.weight,
        }
    }
}

/// Are so many of the candidate's instances ready as its share needs?
pub(super) fn candidate_ready(state: &State, slot: &Slot) -> bool {
    let Some(run) = slot.active() else { return false };
    let needs = run.needs(replicas(state, slot));
    slot.candidate_pool().is_some_and(|pool| pool.ready() >= needs)
}

/// The share that stable can carry now.
pub(super) fn stable_capacity(state: &State, slot: &Slot) -> Ppm {
    slot.stable_pool().map_or(Ppm::ZERO, |pool| capacity(pool.ready(), replicas(state, slot)))
}
