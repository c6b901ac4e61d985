//! What happens to instances.

use super::context::{StepContext, note_run};
use super::state::{InstanceRecord, InstanceStage, Slot, State, keep};
use super::types::{Effect, InstanceEvent, InstanceId};
use flightdeck_model::{Draining, ServiceKind, sanitize_line};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Longest pause before a crashed instance is started again.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_secs(30);
/// An instance that was ready for so long starts its back-off anew.
const STEADY: SignedDuration = SignedDuration::from_secs(60);
/// An instance that was ready and stays unhealthy for so long is started anew.
const UNHEALTHY: SignedDuration = SignedDuration::from_secs(5);

/// Takes what happened to an instance into the state.
pub(super) fn happened(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, id: &str, event: &InstanceEvent) {
    answer(state, id, event);
    let now = ctx.now;
    let Some(pool) = slot.pools.values_mut().find(|pool| pool.instances.contains_key(id)) else { return };
    let Some(instance) = pool.instances.get_mut(id) else { return };
    let mut said = None;
    match event {
        InstanceEvent::Stopped if instance.leaving || instance.stage == InstanceStage::Stopping => {
            pool.instances.remove(id);
        }
        InstanceEvent::Stopped => said = stopped(instance),
        InstanceEvent::Started { pid, address, limits } => {
            instance.limits.clone_from(limits);
            started(instance, *pid, *address, now);
        }
        InstanceEvent::Ready => {
            if let Some(asked) = ready(instance, now) {
                keep(&mut slot.timings.ready, now.duration_since(asked));
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
    if let Some(said) = said {
        note_run(state, slot, ctx, "system:engine", format!("{id}: {said}"));
    }
}

/// Its process runs, or was adopted: then it is the one that is known.
fn started(instance: &mut InstanceRecord, pid: u32, address: SocketAddr, now: Timestamp) {
    let again = instance.pid == Some(pid) && instance.address == Some(address);
    if matches!(instance.stage, InstanceStage::Ready | InstanceStage::Unhealthy { .. }) && !again {
        instance.stage = InstanceStage::Starting;
    }
    if !matches!(instance.stage, InstanceStage::BackingOff { .. }) {
        instance.pid = Some(pid);
        instance.address = Some(address);
        instance.started = if again { instance.started.or(Some(now)) } else { Some(now) };
    }
}

/// It serves. Gives when its start was asked for, the first time after that.
fn ready(instance: &mut InstanceRecord, now: Timestamp) -> Option<Timestamp> {
    let up = matches!(instance.stage, InstanceStage::Starting | InstanceStage::Unhealthy { .. });
    if !up || instance.address.is_none() {
        return None;
    }
    instance.stage = InstanceStage::Ready;
    instance.ready_since = Some(now);
    instance.hopeless = None;
    instance.diagnosis = None;
    instance.asked.take()
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
