//! The way back: traffic first, then hooks and migrations, then the rollout ends. How long it took is
//! kept, for the next one's estimate.

use super::context::{StepContext, note_run_progress, span};
use super::ending::{finish, remember};
use super::plans::plan;
use super::pools::{diagnosis, hopeless, new_pool, retire, role, trouble, warm_pool};
use super::shares::stable_capacity;
use super::slots::deadline;
use super::state::{BackTime, Drill, Kind, Pauses, Pool, Progress, RunState, Slot, State, Tally, Warm};
use super::{revert, rollback_path};
use flightdeck_model::{ArmRole, DeploymentOutcome, Ppm, ReleaseRef, RollbackPath};
use jiff::SignedDuration;

/// Returns from the stable version to the one before: that is stable from now on, and what is left
/// is the candidate of an abort.
pub(super) fn roll_back(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    to: &ReleaseRef,
    who: &str,
    (why, drill): (&str, Option<Drill>),
) {
    let path = rollback_path::path(state, slot, to);
    let mut run = plan(state, slot, ctx, Kind::Rollback, to.clone(), who);
    run.drill = drill;
    run.tally = Tally { back_since: Some(ctx.decided), back_path: Some(path), ..Tally::default() };
    run.pauses = Pauses::default();
    run.weight = Ppm::ALL;
    run.progress = Progress::RollingBack { outcome: DeploymentOutcome::RolledBack, elapsed: SignedDuration::ZERO };
    let warm = warm_pool(slot, to).map(|pool| pool.id.clone());
    let path = match (warm.is_some(), path) {
        (true, _) => "it is still up: one switch",
        (_, RollbackPath::Recreate) => "what serves ends first, then it is started",
        _ => "it is started first",
    };
    run.cause = format!("back to {}: {why}", to.version);
    // How it gets there is true until it is there: the row says it meanwhile.
    let text = format!("{}; {path}", run.cause);
    let target = match warm {
        Some(pool) => {
            slot.warm = None;
            pool
        }
        None => new_pool(state, slot, ArmRole::Stable, to.clone()),
    };
    role(slot, &target, ArmRole::Stable);
    slot.candidate = slot.stable.replace(target);
    if let Some(left) = slot.candidate.clone() {
        role(slot, &left, ArmRole::Candidate);
    }
    if let Some(old) = slot.run.replace(run) {
        remember(slot, old);
    }
    note_run_progress(state, slot, ctx, who, text);
}

/// Traffic goes back as far as stable can carry it; then the rollout ends. True if there is more to
/// look at.
pub(super) fn advance(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let (capacity, late) = (stable_capacity(state, slot), is_late(state, slot));
    let stable_ready = slot.stable_pool().map_or(0, Pool::ready);
    let candidate_ready = slot.candidate_pool().map_or(0, Pool::ready);
    let Some(run) = &mut slot.run else { return false };
    let Progress::RollingBack { outcome, .. } = run.progress else { return false };
    let all = candidate_ready == 0 || slot.stable.is_none() || (late && stable_ready > 0);
    let weight = run.weight.min(if all { Ppm::ZERO } else { capacity.rest() });
    if weight != run.weight {
        run.weight = weight;
        ctx.changed = true;
    }
    // Once data is on its way back, what is left could do without it no more: there is no giving up.
    if run.kind == Kind::Rollback && run.undo.is_none() {
        if give_up(state, slot, ctx, late) {
            return true;
        }
        if capacity < Ppm::ALL && !(late && stable_ready > 0) {
            return false;
        }
    }
    if weight > Ppm::ZERO || !traffic_is_back(slot, late) {
        return false;
    }
    is_back(slot, ctx);
    if slot.active().is_some_and(|run| run.drill == Some(Drill::Back)) {
        turn_around(state, slot, ctx);
        return true;
    }
    if !revert::undo(state, slot, ctx) {
        return false;
    }
    end(state, slot, ctx, outcome);
    true
}

/// Does the proxy follow a route that leads to stable alone, as far as stable can serve?
fn traffic_is_back(slot: &Slot, late: bool) -> bool {
    let stable_ready = slot.stable_pool().map_or(0, Pool::ready);
    let gone = slot.candidate.as_ref().is_none_or(|pool| slot.routing.in_force().all(|s| s.weight(pool) == Ppm::ZERO));
    let closed = slot.stable.is_some() || slot.routing.newest().is_none_or(|sent| sent.route.is_none());
    if !gone || !closed || !slot.routing.settled() {
        return false;
    }
    // Where one version ends before the other starts, traffic is back once stable serves.
    if slot.active().is_some_and(RunState::exclusive) && slot.stable.is_some() && stable_ready == 0 && !late {
        return false;
    }
    // An instance that has just become ready serves nobody before the proxy leads to it.
    let reached = slot.stable.as_ref().is_some_and(|pool| slot.share_in_force(pool) == Ppm::ALL);
    stable_ready == 0 || reached || slot.removed
}

fn is_late(state: &State, slot: &Slot) -> bool {
    matches!(slot.active().map(|run| &run.progress),
        Some(Progress::RollingBack { elapsed, .. }) if *elapsed >= deadline(state, slot))
}

/// All traffic is back: how long that took.
fn is_back(slot: &mut Slot, ctx: &mut StepContext) {
    let Some(run) = &mut slot.run else { return };
    if run.tally.back_took.is_some() {
        return;
    }
    let (Some(since), Some(path)) = (run.tally.back_since, run.tally.back_path) else { return };
    let took = ctx.now.duration_since(since);
    run.tally.back_took = Some(took.max(SignedDuration::ZERO));
    ctx.changed = true;
    // One that users never were at says nothing of the next.
    let real = run.kind == Kind::Rollback || run.tally.reached > Ppm::ZERO;
    if real {
        slot.timings.went_back(BackTime { path, took, at: ctx.now, drill: run.drill.is_some() });
    }
}

/// A rehearsal is where it wanted to be: now back to what served.
fn turn_around(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    let (Some(old), Some(new)) = (slot.stable.clone(), slot.candidate.clone()) else { return };
    slot.generation += 1;
    slot.stable = Some(new.clone());
    slot.candidate = Some(old.clone());
    role(slot, &new, ArmRole::Stable);
    role(slot, &old, ArmRole::Candidate);
    let Some(run) = &mut slot.run else { return };
    run.drill = Some(Drill::Return);
    run.weight = Ppm::ALL;
    if let Progress::RollingBack { elapsed, .. } = &mut run.progress {
        *elapsed = SignedDuration::ZERO;
    }
    let took = run.tally.back_took.map_or("an unknown time".to_owned(), span);
    let text = format!("drill: {} was back in {took}; returns", run.to.version);
    run.cause.clone_from(&text);
    note_run_progress(state, slot, ctx, "system:engine", text);
}

fn end(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, outcome: DeploymentOutcome) {
    let returned = slot.run.as_ref().is_some_and(|run| run.drill == Some(Drill::Return));
    let cause = slot.run.as_ref().map(|run| run.cause.clone()).unwrap_or_default();
    if returned {
        return end_drill(state, slot, ctx);
    }
    if let Some(pool) = slot.candidate.take() {
        retire(slot, &pool);
    }
    if outcome == DeploymentOutcome::RolledBack {
        slot.lineage.pop();
    }
    finish(state, slot, ctx, outcome, cause);
}

/// What served before serves again; what was warm before is warm again.
fn end_drill(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    let was_warm = slot.run.as_ref().is_some_and(|run| run.tally.back_path == Some(RollbackPath::Warm));
    if let Some(pool) = slot.candidate.take() {
        if was_warm {
            role(slot, &pool, ArmRole::Cohort("previous".to_owned()));
            slot.warm = Some(Warm { pool, elapsed: SignedDuration::ZERO });
        } else {
            retire(slot, &pool);
        }
    }
    let run = slot.run.as_ref();
    let (back, took) = run.map(|run| (run.to.version.to_string(), run.tally.back_took)).unwrap_or_default();
    let now = slot.stable_pool().map_or(String::new(), |pool| pool.release.version.to_string());
    let took = took.map_or("an unknown time".to_owned(), span);
    finish(
        state,
        slot,
        ctx,
        DeploymentOutcome::Succeeded,
        format!("drill: {back} was back in {took}; {now} serves again"),
    );
}

/// A rollback whose target can't come up, or not in time: what served goes on serving. True if it is given up.
fn give_up(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, late: bool) -> bool {
    let lost = slot.stable_pool().and_then(hopeless).map(ToOwned::to_owned);
    if slot.stable_pool().is_some_and(|pool| pool.ready() > 0) || !(late || lost.is_some()) {
        return false;
    }
    let why = lost.or_else(|| slot.stable_pool().and_then(trouble)).unwrap_or("it never was ready".to_owned());
    let serves = match slot.candidate_pool() {
        Some(left) if left.ready() > 0 => "what served goes on serving",
        _ => "what served comes up again",
    };
    let found = slot.stable_pool().and_then(diagnosis);
    if let Some(run) = &mut slot.run {
        run.diagnosis = found;
    }
    let Some(left) = slot.candidate.take() else { return true };
    if let Some(target) = slot.stable.replace(left.clone()) {
        retire(slot, &target);
    }
    role(slot, &left, ArmRole::Stable);
    finish(state, slot, ctx, DeploymentOutcome::Failed, format!("could not go back: {why}; {serves}"));
    true
}
