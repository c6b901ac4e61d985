//! The way back: traffic first, then hooks and migrations, then the rollout ends. How long it took is
//! kept, for the next one's estimate.

use super::context::{StepContext, note_run, span};
use super::pools::{diagnosis, hopeless, retire, trouble, warm_pool};
use super::rollout::{finish, give_up_rollback, previous, role};
use super::route::stable_capacity;
use super::run::{Drill, Kind, Progress, RunState};
use super::state::{BackTime, Pool, Slot, State, Timings, Warm};
use super::steps::{deadline, replicas};
use super::{jobs, revert};
use flightdeck_model::{
    ArmRole, DeploymentOutcome, Ppm, ReleaseRef, RollbackPath, RollbackPlan, ServiceKind, Strategy, are, counted,
};
use jiff::SignedDuration;
use std::collections::VecDeque;

/// Times kept of each sort.
const KEPT: usize = 20;
/// A time beyond this is a jump of the clock.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// Keeps a time, unless the clock jumped meanwhile.
pub(super) fn keep(times: &mut VecDeque<SignedDuration>, took: SignedDuration) {
    if took >= SignedDuration::ZERO && took < LONGEST {
        times.push_back(took);
        if times.len() > KEPT {
            times.pop_front();
        }
    }
}

/// Traffic goes back as far as stable can carry it; then the rollout ends. True if there is more to
/// look at.
pub(super) fn advance(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let (capacity, late) = (stable_capacity(state, slot), is_late(state, slot));
    let stable_ready = slot.stable_pool().map_or(0, Pool::ready);
    let candidate_ready = slot.candidate_pool().map_or(0, Pool::ready);
    let Some(run) = &mut slot.run else { return false };
    let Progress::RollingBack { outcome, .. } = run.progress else { return false };
    let kind = run.kind;
    let all = candidate_ready == 0 || slot.stable.is_none() || (late && stable_ready > 0);
    let weight = run.weight.min(if all { Ppm::ZERO } else { capacity.rest() });
    if weight != run.weight {
        run.weight = weight;
        ctx.changed = true;
    }
    // Once data is on its way back, what is left could do without it no more: there is no giving up.
    if kind == Kind::Rollback && run.undo.is_none() {
        let lost = slot.stable_pool().and_then(hopeless).map(ToOwned::to_owned);
        if stable_ready == 0 && (late || lost.is_some()) {
            let why = lost.or_else(|| slot.stable_pool().and_then(trouble)).unwrap_or("it never was ready".to_owned());
            let serves = if candidate_ready > 0 { "what served goes on serving" } else { "what served comes up again" };
            let found = slot.stable_pool().and_then(diagnosis);
            if let Some(run) = &mut slot.run {
                run.diagnosis = found;
            }
            give_up_rollback(state, slot, ctx, &format!("could not go back: {why}; {serves}"));
            return true;
        }
        if capacity < Ppm::ALL && !(late && stable_ready > 0) {
            return false;
        }
    }
    let gone = slot.candidate.as_ref().is_none_or(|pool| slot.routing.in_force().all(|s| s.weight(pool) == Ppm::ZERO));
    let closed = slot.stable.is_some() || slot.routing.newest().is_none_or(|sent| sent.route.is_none());
    if weight > Ppm::ZERO || !gone || !closed || !slot.routing.settled() {
        return false;
    }
    // Where one version ends before the other starts, traffic is back once stable serves.
    if slot.active().is_some_and(RunState::exclusive) && slot.stable.is_some() && stable_ready == 0 && !late {
        return false;
    }
    // An instance that has just become ready serves nobody before the proxy leads to it.
    let reached = slot.stable.as_ref().is_some_and(|pool| slot.share_in_force(pool) == Ppm::ALL);
    if stable_ready > 0 && !reached && !slot.removed {
        return false;
    }
    is_back(slot, ctx);
    if slot.active().is_some_and(jobs::rehearses) {
        turn_around(state, slot, ctx);
        return true;
    }
    if !revert::undo(state, slot, ctx) {
        return false;
    }
    end(state, slot, ctx, outcome);
    true
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
    if real && took >= SignedDuration::ZERO && took < LONGEST {
        let back = &mut slot.timings.back;
        back.push_back(BackTime { path, took, at: ctx.now, drill: run.drill.is_some() });
        if back.len() > KEPT {
            back.pop_front();
        }
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
    note_run(state, slot, ctx, "system:engine", text);
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

/// By which path users would get back to `to`.
pub(super) fn path(state: &State, slot: &Slot, to: &ReleaseRef) -> RollbackPath {
    let full = replicas(state, slot);
    let up = |pool: Option<&Pool>| pool.is_some_and(|pool| pool.release == *to && pool.ready() >= full);
    let strategy = super::rollout::placement(state, &slot.key).map(|placement| placement.strategy);
    if up(warm_pool(slot, to)) || (slot.active().is_some() && up(slot.stable_pool())) {
        RollbackPath::Warm
    } else if strategy == Some(Strategy::Recreate) {
        RollbackPath::Recreate
    } else {
        RollbackPath::Start
    }
}

fn median(mut times: Vec<SignedDuration>) -> Option<SignedDuration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

/// How long a way back takes, from this slot's own times, and of how many.
pub(super) fn estimate(timings: &Timings, path: RollbackPath) -> (Option<SignedDuration>, u32) {
    let own: Vec<_> = timings.back.iter().rev().filter(|of| of.path == path).take(5).map(|of| of.took).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    if !own.is_empty() {
        let measured = count(own.len());
        return (median(own), measured);
    }
    let of = |times: &VecDeque<SignedDuration>| median(times.iter().copied().collect());
    let switch = of(&timings.switch).map(|switch| switch.saturating_add(of(&timings.wait).unwrap_or_default()));
    match path {
        RollbackPath::Warm => (switch, count(timings.switch.len())),
        RollbackPath::Start => {
            // All are started at once: the slowest counts.
            let slowest = timings.ready.iter().max().copied();
            let whole = slowest.and_then(|ready| ready.checked_add(switch?));
            (whole, count(timings.ready.len()))
        }
        RollbackPath::Recreate => (of(&timings.down), count(timings.down.len())),
    }
}

/// What happens to workers, which have no traffic.
fn worker_steps(path: RollbackPath, full: u32, to: &ReleaseRef, left: &ReleaseRef) -> Vec<String> {
    let (to, left) = (&to.version, &left.version);
    let started = format!("{} of {to} {} started", counted(full, "instance"), are(full));
    match path {
        RollbackPath::Warm => vec![format!("{to} goes on working: all of its instances run")],
        RollbackPath::Start => {
            let ready = if full == 1 { "it is" } else { "they are" };
            vec![format!("{started}; {left} goes on working until {ready} ready")]
        }
        RollbackPath::Recreate => vec![format!("every instance of {left} ends: nothing works from here"), started],
    }
}

/// The plan of a rollback from here; `None`: there is nowhere to go.
pub(super) fn rollback_plan(state: &State, slot: &Slot, run: &RunState) -> Option<RollbackPlan> {
    let flying = run.active();
    let to = if flying { slot.stable_pool()?.release.clone() } else { previous(slot)?.clone() };
    let left = if flying { run.to.clone() } else { slot.stable_pool()?.release.clone() };
    if run.rolling_back() || (!flying && super::commands::may_rollback(state, slot).is_err()) {
        return None;
    }
    let path = path(state, slot, &to);
    let (estimate, measured) = estimate(&slot.timings, path);
    let full = replicas(state, slot);
    let started = format!("{} of {} {} started", counted(full, "instance"), to.version, are(full));
    let mut steps = match (slot.kind, path) {
        (ServiceKind::Worker, path) => worker_steps(path, full, &to, &left),
        (_, RollbackPath::Warm) => vec![format!("all traffic goes to {}, which is up, in one switch", to.version)],
        (_, RollbackPath::Start) => vec![
            format!("{started}; {} goes on serving", left.version),
            match full {
                1 => "all traffic follows once it is ready".to_owned(),
                _ => "traffic follows as they become ready, all of it once they all are".to_owned(),
            },
        ],
        (_, RollbackPath::Recreate) => vec![
            format!("every instance of {} ends: nothing serves from here", left.version),
            format!("{started} and {} all traffic", if full == 1 { "gets" } else { "get" }),
        ],
    };
    let hooks = run.hooks.iter().filter(|hook| hook.on == flightdeck_model::HookOn::Rollback);
    steps.extend(hooks.map(|hook| format!("hook {} runs", hook.name)));
    let as_rollback = RunState { kind: if flying { run.kind } else { Kind::Rollback }, ..run.clone() };
    steps.extend(revert::undoes(slot, &as_rollback).into_iter().map(|name| format!("migration {name} is taken back")));
    steps.push(format!("{} ends", left.version));
    let drilled = slot.timings.back.iter().rev().find(|of| of.drill).map(|of| (of.at, of.took));
    Some(RollbackPlan {
        kind: slot.kind,
        path,
        to: to.version,
        steps,
        estimate,
        measured,
        cannot_undo: revert::cannot_undo(slot, &as_rollback, &left),
        rto: super::rollout::placement(state, &slot.key).and_then(|placement| placement.rto),
        drilled,
    })
}
