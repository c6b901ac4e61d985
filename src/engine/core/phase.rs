//! Where a rollout stands, in one word.

use super::context::StepContext;
use super::ending;
use super::slots::replicas;
use super::state::{Kind, Progress, RunState, Slot, State};
use flightdeck_model::{Phase, Step};

/// Where a rollout stands, for people.
pub(super) fn phase(slot: &Slot, run: &RunState, replicas: u32) -> Phase {
    let current = slot.is_current(run);
    match &run.progress {
        Progress::Queued => Phase::Queued,
        Progress::RollingBack { .. } => Phase::RollingBack,
        Progress::Ended(outcome) => {
            let phase = ending::ended_phase(*outcome);
            let weak = current
                && (slot.routing.refused.is_some() || slot.stable_pool().is_some_and(|pool| pool.ready() < replicas));
            if phase == Phase::Healthy && weak { Phase::Degraded } else { phase }
        }
        _ if !run.pauses.none() || waits_for_people(run) => Phase::Paused,
        Progress::Promoting | Progress::Steps if run.kind == Kind::First => Phase::Initializing,
        Progress::Steps | Progress::Promoting | Progress::Restarting { .. } => Phase::Progressing,
    }
}

/// Is it at a step that only people end?
pub(super) fn waits_for_people(run: &RunState) -> bool {
    matches!(run.current_step(), Some(Step::Pause { duration: None } | Step::Approval { .. }))
}

/// Notices that a phase changed.
pub(super) fn note_phase(state: &State, slot: &mut Slot, ctx: &mut StepContext) {
    let replicas = replicas(state, slot);
    let Some(phase) = slot.run.as_ref().map(|run| phase(slot, run, replicas)) else { return };
    if let Some(run) = slot.run.as_mut().filter(|run| run.phase != phase) {
        run.phase = phase;
        run.since = ctx.now;
        ctx.changed = true;
    }
}
