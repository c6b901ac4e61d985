//! Instances: what happens to them, how many there are, when they start again, when they end.

use super::context::{StepContext, emit, note_run};
use super::rollback::keep;
use super::run::{Kind, Progress, RunState};
use super::state::{Counters, InstanceRecord, InstanceStage, Pool, Slot, State, count};
use super::steps::share_of;
use super::types::{Effect, InstanceEvent, InstanceId, Launch, SlotKey};
use flightdeck_model::{
    ArmRole, Diagnosis, Draining, Placement, Ppm, ReleaseRef, ServiceKind, Step, Strategy, sanitize_line,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// Longest pause before a crashed instance is started again.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_secs(30);
/// An instance that was ready for so long starts its back-off anew.
const STEADY: SignedDuration = SignedDuration::from_secs(60);
/// Ends in a row after which a rollout does not wait for its deadline any more: with the pauses between them 15 s, in
/// which what it needs may come up.
const CRASH_LOOP: u32 = 5;
/// An instance that was ready and stays unhealthy for so long is started anew.
const UNHEALTHY: SignedDuration = SignedDuration::from_secs(5);

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

pub(super) fn new_pool(state: &mut State, slot: &mut Slot, role: ArmRole, release: ReleaseRef) -> String {
    let id = format!("P-{}", Counters::next(&mut state.counters.pool));
    let pool = Pool { id: id.clone(), role, release, desired: 0, retired: false, instances: BTreeMap::new() };
    slot.pools.insert(id.clone(), pool);
    id
}

pub(super) fn retire(slot: &mut Slot, pool: &str) {
    if let Some(pool) = slot.pools.get_mut(pool) {
        pool.retired = true;
        pool.desired = 0;
    }
}

/// Takes what happened to an instance into the state.
pub(super) fn happened(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, id: &str, event: &InstanceEvent) {
    answer(state, id, event);
    let now = ctx.now;
    let mut said = None;
    for pool in slot.pools.values_mut() {
        let Some(instance) = pool.instances.get_mut(id) else { continue };
        match event {
            InstanceEvent::Stopped => {
                if instance.leaving || instance.stage == InstanceStage::Stopping {
                    pool.instances.remove(id);
                } else {
                    said = stopped(instance);
                }
            }
            InstanceEvent::Started { pid, address, limits } => {
                instance.limits.clone_from(limits);
                let again = instance.pid == Some(*pid) && instance.address == Some(*address);
                if matches!(instance.stage, InstanceStage::Ready | InstanceStage::Unhealthy { .. }) && !again {
                    instance.stage = InstanceStage::Starting;
                }
                if !matches!(instance.stage, InstanceStage::BackingOff { .. }) {
                    instance.pid = Some(*pid);
                    instance.address = Some(*address);
                    instance.started = if again { instance.started.or(Some(now)) } else { Some(now) };
                }
            }
            InstanceEvent::Ready => {
                let up = matches!(instance.stage, InstanceStage::Starting | InstanceStage::Unhealthy { .. });
                if up && instance.address.is_some() {
                    if let Some(asked) = instance.asked.take() {
                        keep(&mut slot.timings.ready, now.duration_since(asked));
                    }
                    instance.stage = InstanceStage::Ready;
                    instance.ready_since = Some(now);
                    instance.hopeless = None;
                    instance.diagnosis = None;
                }
            }
            InstanceEvent::Draining { bound } => {
                let until = now.checked_add(*bound).unwrap_or(now);
                instance.draining = Some(Draining { requests: None, until });
            }
            InstanceEvent::Drained { remaining } => {
                instance.draining = None;
                said = remaining.filter(|remaining| *remaining > 0).map(|remaining| cut(slot.kind, remaining));
            }
            InstanceEvent::Unhealthy { why, diagnosis } => {
                instance.diagnosis.clone_from(diagnosis);
                said = unhealthy(instance, &sanitize_line(why));
            }
            InstanceEvent::Exited { why, diagnosis } => {
                instance.diagnosis.clone_from(diagnosis);
                let steady = instance.ready_since.is_some_and(|since| now.duration_since(since) > STEADY);
                said = exited(instance, &sanitize_line(why), steady);
            }
            InstanceEvent::StartFailed { why, permanent, diagnosis } => {
                instance.diagnosis.clone_from(diagnosis);
                let why = sanitize_line(why);
                said = exited(instance, &why, false);
                if *permanent && said.is_some() {
                    instance.hopeless = Some(why.clone());
                    instance.stage = InstanceStage::BackingOff { why, left: LONGEST_BACKOFF };
                }
            }
        }
        break;
    }
    if let Some(said) = said {
        note_run(state, slot, ctx, "system:engine", format!("{id}: {said}"));
    }
}

/// What was in flight when the bound of a drain had passed.
fn cut(kind: ServiceKind, remaining: u64) -> String {
    let were = if remaining == 1 { "was" } else { "were" };
    format!("drained for as long as it may: {} {were} still in flight", kind.in_flight(remaining))
}

/// What is in flight on instances that drain.
pub(super) fn counted(slot: &mut Slot, requests: &BTreeMap<InstanceId, u64>) {
    for instance in slot.pools.values_mut().flat_map(|pool| pool.instances.values_mut()) {
        if let Some(draining) = &mut instance.draining {
            draining.requests = requests.get(&instance.id).copied();
        }
    }
}

/// What the event answers is no longer to be carried out after a crash.
fn answer(state: &mut State, id: &str, event: &InstanceEvent) {
    state.pending.retain(|numbered| match (&numbered.effect, event) {
        (Effect::Start(launch), InstanceEvent::Started { .. } | InstanceEvent::StartFailed { .. }) => {
            launch.instance != id
        }
        (Effect::Stop { instance, .. }, InstanceEvent::Stopped) => instance != id,
        _ => true,
    });
}

/// The stop that was asked for is complete and not the end of the instance.
fn stopped(instance: &mut InstanceRecord) -> Option<String> {
    let said = match &instance.stage {
        InstanceStage::Cycling { why } => {
            let why = why.clone();
            instance.stage = InstanceStage::BackingOff { why, left: SignedDuration::ZERO };
            Some("stopped, starts anew".to_owned())
        }
        // Told twice: it was started anew already.
        InstanceStage::Starting if instance.pid.is_none() => None,
        _ => exited(instance, "it was stopped by somebody else", false),
    };
    instance.pid = None;
    instance.address = None;
    said
}

fn unhealthy(instance: &mut InstanceRecord, why: &str) -> Option<String> {
    instance.error = Some(why.to_owned());
    let was_ready = instance.stage == InstanceStage::Ready;
    match &mut instance.stage {
        InstanceStage::Starting => {
            instance.stage = InstanceStage::Unhealthy { why: why.to_owned(), left: None };
        }
        InstanceStage::Ready => {
            instance.stage = InstanceStage::Unhealthy { why: why.to_owned(), left: Some(UNHEALTHY) };
        }
        InstanceStage::Unhealthy { why: old, .. } => why.clone_into(old),
        _ => {}
    }
    was_ready.then(|| format!("unhealthy: {why}"))
}

fn exited(instance: &mut InstanceRecord, why: &str, steady: bool) -> Option<String> {
    use InstanceStage::{BackingOff, Cycling, Stopping};
    if matches!(instance.stage, Stopping | Cycling { .. } | BackingOff { .. }) {
        return None;
    }
    instance.crashes = if steady { 0 } else { instance.crashes };
    let left = SignedDuration::from_secs(1 << instance.crashes.min(5)).min(LONGEST_BACKOFF);
    instance.crashes = instance.crashes.saturating_add(1);
    instance.pid = None;
    instance.address = None;
    instance.ready_since = None;
    instance.error = Some(why.to_owned());
    instance.stage = BackingOff { why: why.to_owned(), left };
    Some(format!("{why}; starts again in {} s", left.as_secs()))
}

/// Time passes for waits of instances.
pub(super) fn tick(slot: &mut Slot, dt: SignedDuration) {
    for instance in slot.pools.values_mut().flat_map(|pool| pool.instances.values_mut()) {
        match &mut instance.stage {
            InstanceStage::BackingOff { left, .. } | InstanceStage::Unhealthy { left: Some(left), .. } => {
                *left = left.saturating_sub(dt).max(SignedDuration::ZERO);
            }
            _ => {}
        }
    }
}

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

fn placement<'a>(state: &'a State, key: &SlotKey) -> Option<&'a Placement> {
    state.spec.services.get(&key.service)?.placements.get(&key.environment)
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
            let there = run.weight == share_of(*instances, replicas) && slot.exposed() >= run.weight;
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

/// The running number at the end of an instance's id.
pub(super) fn number(id: &InstanceId) -> u64 {
    id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
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

/// Why a pool is not up: the newest error of its instances that are not ready.
pub(super) fn trouble(pool: &Pool) -> Option<String> {
    let mut bad = pool.instances.values().filter(|instance| !instance.serving() && !instance.leaving);
    bad.find_map(|instance| instance.error.clone())
}

/// What was found out about an instance of the pool that is not up: first of one that never can be.
pub(super) fn diagnosis(pool: &Pool) -> Option<Box<Diagnosis>> {
    let bad = || pool.instances.values().filter(|instance| !instance.serving() && !instance.leaving);
    let first = bad().filter(|instance| instance.hopeless.is_some()).chain(bad());
    first.into_iter().find_map(|instance| instance.diagnosis.clone())
}

/// An instance of the pool that can't ever start, with its reason.
pub(super) fn hopeless(pool: &Pool) -> Option<&str> {
    pool.instances.values().find_map(|instance| instance.hopeless.as_deref())
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

/// The pool to return to, if it is still up.
pub(super) fn warm_pool<'a>(slot: &'a Slot, release: &ReleaseRef) -> Option<&'a Pool> {
    let pool = slot.pools.get(&slot.warm.as_ref()?.pool)?;
    (pool.release == *release && !pool.retired).then_some(pool)
}

/// Is it the plan of a canary?
pub(super) const fn stepped(kind: Kind) -> bool {
    matches!(kind, Kind::Canary)
}

/// An instance that was made for a rollout and ended again and again, with the last reason. What ran before it, as a
/// version that is kept warm, may have ended for other reasons.
pub(super) fn crash_loop(pool: &Pool, revision: &str) -> Option<String> {
    let made_for = |instance: &&InstanceRecord| instance.revision.as_deref() == Some(revision);
    let mut bad = pool.instances.values().filter(made_for).filter(|of| !of.serving() && !of.leaving);
    let of = bad.find(|of| of.crashes >= CRASH_LOOP)?;
    let why = of.error.as_deref().unwrap_or("it ended");
    Some(format!("{} ended {} times in a row: {why}", of.id, of.crashes))
}
