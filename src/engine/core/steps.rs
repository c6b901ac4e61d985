//! The steps of a plan: one small function for each kind.

use super::context::{StepContext, note_run_progress, span};
use super::said::Said;
use super::shares::candidate_ready;
use super::slots::{placement, replicas};
use super::state::{Measured, Progress, RunState, Slot, State, count};
use super::{approvals, hooks, judge, shares};
use flightdeck_model::{Ppm, ServiceKind, Step, counted_do};
use jiff::SignedDuration;

/// One step of the plan. True if there is more to look at.
pub(super) fn at_step(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let Some(run) = slot.active() else { return false };
    let Some(step) = run.current_step().cloned() else {
        to_promoting(slot);
        ctx.changed = true;
        return true;
    };
    if !candidate_ready(state, slot) {
        return false;
    }
    let text = taken(run, &step);
    let said = match step {
        Step::SetWeight(weight) => set_weight(slot, ctx, weight),
        Step::Pause { duration } => pause(slot, duration),
        Step::Analysis { name, duration } => judge::step(state, slot, ctx, &name, duration),
        Step::Approval { count, from, expires } => approvals::step(state, slot, ctx, (count, from), expires),
        Step::Preview => preview(state, slot),
        Step::Batch { instances, .. } => batch(state, slot, ctx, instances),
        Step::TakeDown => take_down(slot),
        Step::Hook { name } => hooks::step(state, slot, ctx, &name),
        // A worker works as soon as it runs.
        Step::SetScale(share) if slot.kind == ServiceKind::Worker => set_weight(slot, ctx, share),
        // Its instances are ready. Steps of other backends are not in a configuration here.
        Step::SetScale(_) | Step::Other(_) => Said::Done,
    };
    match said {
        Said::Wait => false,
        Said::Moved => true,
        Said::Done => {
            note_run_progress(state, slot, ctx, "system:engine", text);
            next_step(slot);
            ctx.changed = true;
            true
        }
    }
}

/// What is written down of a step that was taken.
fn taken(run: &RunState, step: &Step) -> String {
    let what = match step {
        Step::SetWeight(weight) => format!("{} has {weight} of traffic", run.to.version),
        Step::Pause { duration: Some(duration) } => format!("the pause of {} is over", span(*duration)),
        Step::Pause { duration: None } => "the pause is over".to_owned(),
        Step::Analysis { name, .. } => format!("analysis {name} passed"),
        Step::Approval { .. } => "approved".to_owned(),
        Step::SetScale(share) => format!("{} has {share} of its instances ready", run.to.version),
        Step::Preview => "the preview address is open".to_owned(),
        Step::Batch { instances, .. } => {
            format!("{} {}", counted_do(*instances, "instance", "run"), run.to.version)
        }
        Step::TakeDown => "nothing of the version before runs any more".to_owned(),
        Step::Hook { name } => format!("hook {name} passed"),
        Step::Other(what) => what.clone(),
    };
    format!("step {} of {}: {what}", run.step + 1, run.steps.len())
}

/// The candidate is reached behind its preview address, if it has one.
fn preview(state: &State, slot: &Slot) -> Said {
    let address = placement(state, &slot.key).and_then(|placement| placement.preview);
    let open = slot.preview.settled() && slot.preview.acked.as_ref().is_some_and(|sent| sent.route.is_some());
    if open || address.is_none() { Said::Done } else { Said::Wait }
}

/// So many are the candidate's, have their share of the traffic, and their predecessors are gone.
pub(super) fn batch(state: &State, slot: &mut Slot, ctx: &mut StepContext, instances: u32) -> Said {
    let full = replicas(state, slot);
    if matches!(set_weight(slot, ctx, shares::capacity(instances, full)), Said::Wait) {
        return Said::Wait;
    }
    let left = slot.stable_pool().map_or(0, |pool| count(pool.instances.values()));
    if left <= full.saturating_sub(instances) { Said::Done } else { Said::Wait }
}

/// Nothing of stable runs any more.
fn take_down(slot: &Slot) -> Said {
    if slot.stable_pool().is_none_or(|pool| pool.instances.is_empty()) { Said::Done } else { Said::Wait }
}

fn to_promoting(slot: &mut Slot) {
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.progress = Progress::Promoting;
        run.elapsed = SignedDuration::ZERO;
        run.waited = SignedDuration::ZERO;
    }
}

/// The next step begins.
pub(super) fn next_step(slot: &mut Slot) {
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.step += 1;
        run.tally.steps += 1;
        run.elapsed = SignedDuration::ZERO;
        run.waited = SignedDuration::ZERO;
        run.measured = Measured::default();
        if run.step as usize >= run.steps.len() {
            run.progress = Progress::Promoting;
        }
    }
}

/// All that is left is skipped: to full size, then all traffic.
pub(super) fn skip_steps(slot: &mut Slot) {
    if let Some(run) = &mut slot.run {
        run.step = u32::try_from(run.steps.len()).unwrap_or(u32::MAX);
        run.measured = Measured::default();
    }
    to_promoting(slot);
}

/// Instances are ready: ask for the weight, and wait until the proxy follows it.
fn set_weight(slot: &mut Slot, ctx: &mut StepContext, weight: Ppm) -> Said {
    let Some(run) = &mut slot.run else { return Said::Wait };
    if run.weight != weight {
        run.weight = weight;
        ctx.changed = true;
    }
    if slot.exposed() == weight && slot.routing.settled() { Said::Done } else { Said::Wait }
}

fn pause(slot: &Slot, duration: Option<SignedDuration>) -> Said {
    match (duration, slot.active()) {
        (Some(duration), Some(run)) if run.elapsed >= duration => Said::Done,
        _ => Said::Wait,
    }
}

/// A step that a person did.
pub(super) fn by_person(slot: &mut Slot) {
    if let Some(run) = &mut slot.run {
        run.tally.manual += 1;
    }
}
