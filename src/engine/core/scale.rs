//! How many instances there are: started, started again, and stopped once no route leads to them.

use super::context::{StepContext, emit};
use super::pools::{number, retire};
use super::shares::capacity;
use super::slots::placement;
use super::state::{Counters, InstanceRecord, InstanceStage, Pool, Progress, RunState, Slot, State, count};
use super::types::{Effect, Launch, SlotKey};
use flightdeck_model::{ReleaseRef, Step, Strategy};
use jiff::SignedDuration;

/// Gives each pool the size that it should have, and starts what is due to start again.
pub(super) fn scale(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    resize(state, slot);
    let key = slot.key.clone();
    let revision = slot.run.as_ref().map(|run| run.revision.clone());
    // What users have comes up first, as after a reboot; the version kept to return to waits for it.
    let stable_is_up = slot.stable_pool().is_none_or(|pool| pool.ready() >= pool.desired);
    let later = slot.warm.as_ref().filter(|_| !stable_is_up).map(|warm| warm.pool.clone());
    for pool in slot.pools.values_mut() {
        let (staying, release, id) = (pool.staying(), pool.release.clone(), pool.id.clone());
        for _ in staying..pool.desired {
            start_new(state, ctx, &key, pool, revision.clone());
        }
        for _ in pool.desired..staying {
            leave_one(pool, ctx);
        }
        if later.as_ref() == Some(&pool.id) {
            continue;
        }
        for instance in pool.instances.values_mut().filter(|instance| !instance.leaving) {
            let due = matches!(instance.stage, InstanceStage::BackingOff { left, .. } if left.is_zero());
            if due {
                instance.attempt = instance.attempt.saturating_add(1);
                start(state, ctx, &key, &id, &release, instance);
            }
        }
    }
}

fn resize(state: &State, slot: &mut Slot) {
    let Some(replicas) = placement(state, &slot.key).map(|placement| placement.replicas.max(1)) else { return };
    if slot.removed {
        return;
    }
    let run = slot.run.as_ref();
    let exclusive = run.is_some_and(|run| run.active() && run.exclusive());
    let surge = run.is_some_and(|run| {
        matches!(&run.progress, Progress::Restarting { old } if !old.is_empty()) && run.pauses.none() && !exclusive
    });
    // A restart that is paused between two replacements keeps its surplus instance.
    let paused_restart =
        run.is_some_and(|run| matches!(run.progress, Progress::Restarting { .. }) && !run.pauses.none());
    let full = replicas + u32::from(surge);
    let shrunk = run.filter(|run| run.active()).and_then(|run| stable_size(slot, run, replicas));
    if let Some(pool) = slot.stable.as_ref().and_then(|id| slot.pools.get_mut(id)) {
        let held = paused_restart && !exclusive;
        pool.desired = if held { pool.desired.clamp(replicas, replicas + 1) } else { shrunk.unwrap_or(full) };
    }
    let most = run.map_or(replicas, |run| room_for(slot, run, replicas));
    let Some(pool) = slot.candidate.as_ref().and_then(|id| slot.pools.get_mut(id)) else { return };
    if exclusive && run.is_some_and(RunState::rolling_back) {
        pool.desired = 0;
    }
    let Some(run) = run.filter(|run| run.active() && run.pauses.none()) else { return };
    match run.progress {
        Progress::Steps => pool.desired = pool.desired.max(run.needs(replicas).min(most)).min(replicas),
        Progress::Promoting => pool.desired = replicas,
        _ => {}
    }
}

/// What stable has where the strategy shrinks it on the way, or ends it first; `None`: it stays whole.
fn stable_size(slot: &Slot, run: &RunState, replicas: u32) -> Option<u32> {
    let stable = slot.stable_pool()?;
    let now = stable.desired.min(replicas);
    let done = run.steps.get(..=run.step as usize).unwrap_or(&run.steps);
    match (&run.progress, run.strategy) {
        // Only once nothing of what is left runs any more.
        (Progress::RollingBack { .. }, Strategy::Recreate) => {
            let runs = slot.candidate_pool().is_some_and(|pool| !pool.instances.is_empty());
            // What has not been ended goes on serving.
            Some(if runs && stable.staying() == 0 { 0 } else { replicas })
        }
        (Progress::Restarting { .. }, Strategy::Recreate) => {
            stable.instances.values().any(|instance| instance.leaving).then_some(0)
        }
        (Progress::Steps, Strategy::Recreate) => done.contains(&Step::TakeDown).then_some(0),
        (Progress::Steps, Strategy::Rolling) if run.pauses.none() => Some(batch_size(slot, run, done, replicas)),
        (Progress::Promoting, Strategy::Recreate) | (Progress::Promoting | Progress::Steps, Strategy::Rolling) => {
            Some(now)
        }
        _ => None,
    }
}

/// The candidate's instances that a batch has room for: what has still to end counts too.
fn room_for(slot: &Slot, run: &RunState, replicas: u32) -> u32 {
    let Some(Step::Batch { instances, unavailable }) = run.current_step() else { return replicas };
    let before = run.steps.get(..run.step as usize).unwrap_or_default();
    let surge = instances.saturating_sub(replaced(before)).saturating_sub(*unavailable);
    let stable = slot.stable_pool().map_or(0, |pool| count(pool.instances.values()));
    (replicas + surge).saturating_sub(stable)
}

/// Instances of the candidate after these steps.
fn replaced(before: &[Step]) -> u32 {
    let batch = |step: &Step| if let Step::Batch { instances, .. } = step { Some(*instances) } else { None };
    before.iter().rev().find_map(batch).unwrap_or(0)
}

/// What is left of stable at a place among the batches.
fn batch_size(slot: &Slot, run: &RunState, done: &[Step], replicas: u32) -> u32 {
    let (here, before) = done.split_last().map_or((None, done), |(here, before)| (Some(here), before));
    let replaced = replaced(before);
    let gone = match here {
        Some(Step::Batch { instances, unavailable }) => {
            let there = run.weight == capacity(*instances, replicas) && slot.exposed() >= run.weight;
            if there { *instances } else { replaced + (*unavailable).min(instances.saturating_sub(replaced)) }
        }
        _ => replaced,
    };
    replicas.saturating_sub(gone)
}

fn start_new(state: &mut State, ctx: &mut StepContext, key: &SlotKey, pool: &mut Pool, revision: Option<String>) {
    let Some(program) = state.spec.program(&key.service, &key.environment) else { return };
    let id = format!("{}-{}-{}", key.service, key.environment, Counters::next(&mut state.counters.instance));
    let mut instance = InstanceRecord {
        id: id.clone(),
        stage: InstanceStage::Starting,
        leaving: false,
        pid: None,
        address: None,
        attempt: 0,
        crashes: 0,
        ready_since: None,
        started: None,
        error: None,
        hopeless: None,
        stop: program.stop,
        asked: None,
        draining: None,
        revision,
        diagnosis: None,
        limits: Vec::new(),
    };
    start(state, ctx, key, &pool.id, &pool.release, &mut instance);
    pool.instances.insert(id, instance);
}

fn start(
    state: &mut State,
    ctx: &mut StepContext,
    key: &SlotKey,
    pool: &str,
    release: &ReleaseRef,
    instance: &mut InstanceRecord,
) {
    let Some(program) = state.spec.program(&key.service, &key.environment) else { return };
    instance.stage = InstanceStage::Starting;
    instance.ready_since = None;
    instance.asked = Some(ctx.now);
    instance.draining = None;
    instance.stop = program.stop.clone();
    let launch = Launch {
        instance: instance.id.clone(),
        slot: key.clone(),
        pool: pool.to_owned(),
        revision: instance.revision.clone(),
        version: release.version.clone(),
        digest: release.digest.clone(),
        run: program.run,
        env: program.env,
        secrets: program.secrets,
        health: program.health,
        stop: program.stop,
        attempt: instance.attempt,
        run_as: program.run_as,
        limits: program.limits,
    };
    state.pending.retain(|numbered| !is_start_of(&numbered.effect, &instance.id));
    emit(state, ctx, Effect::Start(Box::new(launch)));
}

fn is_start_of(effect: &Effect, id: &str) -> bool {
    matches!(effect, Effect::Start(launch) if launch.instance == id)
}

/// Marks the least useful instance: one that is not ready, else the newest.
fn leave_one(pool: &mut Pool, ctx: &mut StepContext) {
    let staying = pool.instances.values_mut().filter(|instance| !instance.leaving);
    if let Some(instance) = staying.max_by_key(|instance| (!instance.serving(), number(&instance.id))) {
        instance.leaving = true;
        ctx.changed = true;
    }
}

/// Stops what is to go and is in no route that the proxy may follow; forgets pools that are empty.
pub(super) fn sweep(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    let Slot { pools, routing, preview, .. } = slot;
    let mut stops = Vec::new();
    for instance in pools.values_mut().flat_map(|pool| pool.instances.values_mut()) {
        let sent = routing.in_force().chain(preview.in_force());
        let endpoints = sent.flat_map(|sent| &sent.route).flat_map(|route| &route.pools);
        let routed = endpoints.flat_map(|pool| &pool.endpoints).any(|endpoint| endpoint.instance == instance.id);
        let anew = match &instance.stage {
            InstanceStage::Unhealthy { why, left: Some(left) } if left.is_zero() => Some(why.clone()),
            _ => None,
        };
        let unsure = (routing.refusals > 0 || preview.refusals > 0) && instance.address.is_some();
        if routed || unsure || matches!(instance.stage, InstanceStage::Stopping) {
            continue;
        }
        if instance.leaving {
            // A stop that is under way already serves this one too.
            if !matches!(instance.stage, InstanceStage::Cycling { .. }) {
                stops.push((instance.id.clone(), instance.stop.clone()));
            }
            instance.stage = InstanceStage::Stopping;
        } else if let Some(why) = anew {
            stops.push((instance.id.clone(), instance.stop.clone()));
            instance.stage = InstanceStage::Cycling { why };
        }
    }
    for (instance, stop) in stops {
        state.pending.retain(|numbered| numbered.effect.instance() != Some(&instance));
        let drain = state.spec.connections(&slot.key.service, &slot.key.environment).drain;
        emit(state, ctx, Effect::Stop { instance, stop, drain });
    }
    let Slot { pools, warm, .. } = slot;
    pools.retain(|_, pool| !(pool.retired && pool.instances.is_empty()));
    if warm.as_ref().is_some_and(|warm| !pools.contains_key(&warm.pool)) {
        *warm = None;
    }
}

/// Keeps the version before up for its time.
pub(super) fn cool(state: &State, slot: &mut Slot, ctx: &mut StepContext) {
    let keep = placement(state, &slot.key).map_or(SignedDuration::ZERO, |placement| placement.keep_warm);
    // A rollback in flight may need what it leaves or takes; nothing is warm then.
    let Some(warm) = slot.warm.as_ref().filter(|warm| warm.elapsed >= keep || slot.removed) else { return };
    let pool = warm.pool.clone();
    slot.warm = None;
    retire(slot, &pool);
    ctx.changed = true;
}
