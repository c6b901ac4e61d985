//! What people see: the whole state as rows.

use super::context::words;
use super::holds::held_now;
use super::migration_rows;
use super::pins::{facts_of, find};
use super::plans::first_steps;
use super::pools::number;
use super::rows::rollout;
use super::state::{Asked, InstanceRecord, InstanceStage, Pool, Slot, State};
use super::types::SlotKey;
use flightdeck_model::{
    Approval, Detail, Entity, Environment, EnvironmentName, Fact, Instance, InstanceState, Listening, Place, Placement,
    Rollout, Run, Service, ServiceAddress, ServiceKind, ServiceName,
};
use jiff::Timestamp;
use std::net::SocketAddr;

/// Every row but those of finished rollouts, which [`super::Outcome::ended`] hands over; complete: successive projections differ by what happened between.
#[must_use]
pub fn project(state: &State, now: Timestamp) -> Vec<Entity> {
    let mut rows = Vec::new();
    rows.extend(environments(state).map(Entity::Environment));
    rows.extend(services(state).map(Entity::Service));
    rows.extend(state.releases.values().flat_map(|of| of.values()).cloned().map(Entity::Release));
    rows.extend(state.holds.iter().map(|hold| Entity::Hold(held_now(state, hold))));
    rows.extend(state.approvals.iter().map(|asked| Entity::Approval(Box::new(approval(state, asked)))));
    for slot in state.slots.values() {
        rows.extend(row(state, &slot.key, now).map(|row| Entity::Rollout(std::sync::Arc::new(row))));
        rows.extend(instances(state, slot).map(|of| Entity::Instance(Box::new(of))));
        rows.extend(slot.notes.iter().cloned().map(Entity::Note));
        rows.extend(slot.evidence.iter().cloned().map(|of| Entity::Evidence(Box::new(of))));
    }
    rows
}

/// The row of a service in an environment.
#[must_use]
pub fn row(state: &State, slot: &SlotKey, now: Timestamp) -> Option<Rollout> {
    let slot = state.slots.get(slot).filter(|slot| !slot.removed)?;
    Some(rollout(state, slot, slot.shown()?, now))
}

/// Everything about one run.
#[must_use]
pub fn detail(state: &State, run: &Run, now: Timestamp) -> Option<Detail> {
    // A service that left the configuration has no row any more, though its instances still drain.
    let (slot, of) = find(state, run).filter(|(slot, _)| !slot.removed)?;
    let raw = serde_json::json!({ "run": of, "routing": slot.routing, "pools": slot.pools, "warm": slot.warm });
    Some(Detail {
        groups: Vec::new(),
        analyses: Vec::new(),
        history: Vec::new(),
        gaps: Vec::new(),
        rollout: rollout(state, slot, of, now),
        instances: instances(state, slot).collect(),
        notes: slot.notes.iter().filter(|note| note.run == *run).cloned().collect(),
        evidence: slot.evidence.iter().filter(|evidence| evidence.run == *run).cloned().collect(),
        receipts: Vec::new(),
        raw,
    })
}

fn environments(state: &State) -> impl Iterator<Item = Environment> {
    state.spec.environments.iter().map(|(name, of)| Environment {
        source: state.source.clone(),
        name: name.clone(),
        order: of.order,
        tier: of.tier,
        allow_self: of.allow_self,
    })
}

fn services(state: &State) -> impl Iterator<Item = Service> {
    state.spec.services.iter().map(|(name, of)| Service {
        source: state.source.clone(),
        name: name.clone(),
        configuration: state.config_of(name).map(|(name, _)| name.clone()),
        kind: Some(of.kind),
        environments: of.placements.keys().cloned().collect(),
        addresses: of.placements.iter().flat_map(|(environment, of)| addresses(state, name, environment, of)).collect(),
        places: of.placements.iter().filter_map(|(environment, of)| place(state, name, environment, of)).collect(),
    })
}

/// Where users reach it, then where they are sent on from.
fn addresses(
    state: &State,
    service: &ServiceName,
    environment: &EnvironmentName,
    of: &Placement,
) -> Vec<ServiceAddress> {
    let key = SlotKey { service: service.clone(), environment: environment.clone() };
    let Some(slot) = state.slots.get(&key).filter(|slot| !slot.removed) else { return Vec::new() };
    let Some(listen) = of.listen else { return Vec::new() };
    let row = |(address, listening): (SocketAddr, Listening), certificates| {
        let address = address.to_string();
        ServiceAddress { environment: environment.clone(), address, listening, certificates }
    };
    let own = row((listen, slot.listening(listen)), slot.certificates.clone());
    let redirect = slot.redirect_listening(of).map(|at| row(at, Vec::new()));
    std::iter::once(own).chain(redirect).collect()
}

fn place(state: &State, service: &ServiceName, environment: &EnvironmentName, of: &Placement) -> Option<Place> {
    let key = SlotKey { service: service.clone(), environment: environment.clone() };
    let slot = state.slots.get(&key).filter(|slot| !slot.removed)?;
    let (steps, left_out) = match slot.stable {
        Some(_) => (of.steps.clone(), Vec::new()),
        None => first_steps(&of.steps, &of.hooks, slot.kind),
    };
    let user = state.spec.program(service, environment)?.run_as.map(|of| of.user);
    Some(Place {
        environment: environment.clone(),
        steps,
        left_out,
        migrations: migration_rows::rows(state, slot),
        one_offs: slot.one_offs.clone(),
        jobs: slot.jobs.clone(),
        user,
    })
}

fn approval(state: &State, asked: &Asked) -> Approval {
    let mut approval = asked.approval.clone();
    if let Some((slot, run)) = find(state, &approval.run) {
        approval.facts = facts_of(slot, run).with(Fact::Approval, approval.id.as_str());
        approval.behind = slot.queue.iter().filter(|of| of.revision != run.revision).map(words).collect();
    }
    approval
}

fn instances(state: &State, slot: &Slot) -> impl Iterator<Item = Instance> {
    let mut all: Vec<(&Pool, &InstanceRecord)> =
        slot.pools.values().flat_map(|pool| pool.instances.values().map(move |of| (pool, of))).collect();
    all.sort_by_key(|(_, instance)| number(&instance.id));
    let target = slot.target(&state.source);
    all.into_iter().map(move |(pool, instance)| Instance {
        id: instance.id.clone(),
        target: target.clone(),
        role: pool.role.clone(),
        version: pool.release.version.clone(),
        state: instance_state(instance),
        pid: instance.pid,
        address: instance.address.filter(|_| slot.kind != ServiceKind::Worker).map(|address| address.to_string()),
        restarts: instance.attempt,
        started: instance.started,
        limits: instance.limits.clone(),
        logs: None,
        draining: instance.draining,
    })
}

fn instance_state(instance: &InstanceRecord) -> InstanceState {
    match &instance.stage {
        InstanceStage::Stopping => InstanceState::Draining,
        _ if instance.leaving => InstanceState::Draining,
        InstanceStage::Starting => InstanceState::Starting,
        InstanceStage::Ready => InstanceState::Ready,
        InstanceStage::Unhealthy { why, .. } => InstanceState::Unhealthy { why: why.clone() },
        InstanceStage::BackingOff { why, .. } | InstanceStage::Cycling { why } => {
            InstanceState::BackingOff { why: why.clone() }
        }
    }
}
