//! Places that leave the configuration: what may leave, what is remembered of it, and how it comes back.

use super::context::words;
use super::one_off;
use super::pools::retire;
use super::refusals::{invalid, no};
use super::state::{Removed, Slot, State};
use super::types::SlotKey;
use flightdeck_model::{Refusal, ReleaseRef, ServiceKind, ServiceName, ServicePlace, ServiceSpec, Spec, counted};
use std::collections::BTreeMap;

/// What its configuration brought and it brings no more.
pub(super) fn removed(state: &State, spec: &Spec) -> Vec<SlotKey> {
    let ours = |slot: &Slot| state.config_of(&slot.key.service).is_some_and(|(name, _)| *name == spec.name);
    let slots = state.slots.values().filter(|slot| !slot.removed && ours(slot) && !has(spec, &slot.key));
    slots.map(|slot| slot.key.clone()).collect()
}

/// What runs ends by its name only: a file that lost a part must not take production down.
pub(super) fn check_named(state: &State, gone: &[SlotKey], remove: &[ServicePlace]) -> Result<(), Refusal> {
    let means = |place: &ServicePlace, key: &SlotKey| place.means(&key.service, &key.environment);
    if let Some(place) = remove.iter().find(|place| !gone.iter().any(|key| means(place, key))) {
        let why = format!("{place} is asked to be removed, but it would not leave the configuration by this");
        return Err(invalid(&why));
    }
    let up = gone.iter().filter_map(|key| state.slots.get(key)).filter(|slot| slot.is_up());
    let unnamed: Vec<&Slot> =
        up.map(|slot| &**slot).filter(|slot| !remove.iter().any(|place| means(place, &slot.key))).collect();
    if unnamed.is_empty() {
        return Ok(());
    }
    let runs: Vec<String> = unnamed
        .iter()
        .map(|slot| format!("{} in {} ({})", slot.key.service, slot.key.environment, running(slot)))
        .collect();
    let flags: Vec<String> = unnamed.iter().map(|slot| format!("--remove {}", slot.key)).collect();
    Err(no(format!(
        "it would end what runs: {}. If that is meant, say so by name: {}; nothing was applied",
        runs.join(", "),
        flags.join(" ")
    )))
}

pub(super) fn check_removals(state: &State, spec: &Spec, gone: &[SlotKey]) -> Result<(), Refusal> {
    for slot in gone.iter().filter_map(|key| state.slots.get(key)) {
        if let Some(run) = slot.active().or_else(|| slot.queue.front()) {
            return Err(no(format!(
                "{} is gone from the configuration, but {} is in flight there; abort it first; nothing was applied",
                slot.key,
                words(run)
            )));
        }
    }
    let busy =
        gone.iter().filter_map(|key| state.slots.get(key)).find_map(|slot| Some((slot, one_off::running(slot)?)));
    if let Some((slot, what)) = busy {
        return Err(no(format!(
            "{} is gone from the configuration, but {what} runs there; end it first; nothing was applied",
            slot.key
        )));
    }
    match state.slots.values().find(|slot| slot.removed && has(spec, &slot.key)) {
        Some(slot) => Err(no(format!("{} is still being taken down; apply again in a moment", slot.key))),
        None => Ok(()),
    }
}

pub(super) fn has(spec: &Spec, key: &SlotKey) -> bool {
    spec.services.get(&key.service).is_some_and(|service| service.placements.contains_key(&key.environment))
}

/// `3 instances of 1.9.0, 100 % of its traffic`.
pub(super) fn running(slot: &Slot) -> String {
    let pools = slot.pools.values().filter(|pool| !pool.retired && !pool.instances.is_empty());
    let words = pools.map(|pool| {
        let (count, version) = (pool.instances.len(), &pool.release.version);
        let traffic = match slot.kind {
            ServiceKind::Worker => String::new(),
            ServiceKind::Http | ServiceKind::Tcp => format!(", {} of its traffic", slot.share_in_force(&pool.id)),
        };
        format!("{} of {version}{traffic}", counted(count, "instance"))
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "its instances are to come up".to_owned() } else { words.join(" and ") }
}

pub(super) fn take_down(slot: &mut Slot) {
    slot.removed = true;
    let pools: Vec<_> = slot.pools.keys().cloned().collect();
    for pool in pools {
        retire(slot, &pool);
    }
    slot.warm = None;
    slot.stable = None;
    slot.candidate = None;
}

impl Removed {
    pub(super) fn of(slot: &Slot) -> Removed {
        Removed {
            release: slot.stable_pool().map(|pool| pool.release.clone()),
            lineage: slot.lineage.clone(),
            served: slot.served.clone(),
            timings: slot.timings.clone(),
            revision: slot.revision,
        }
    }
}

/// What comes up again when a place is put back: what served there, as long as it is stored.
pub(super) fn returns(state: &State, service: &ServiceName, before: &Removed) -> Option<ReleaseRef> {
    let release = before.release.as_ref()?;
    let stored = state.release(service, &release.version)?.artifacts.first()?;
    (stored.digest == release.digest).then(|| release.clone())
}

pub(super) fn keep_for_takedown(next: &mut Spec, old: &Spec, key: &SlotKey) {
    let Some(service) = old.services.get(&key.service) else { return };
    let Some(placement) = service.placements.get(&key.environment) else { return };
    let hidden = ServiceSpec { placements: BTreeMap::new(), ..service.clone() };
    let service = next.services.entry(key.service.clone()).or_insert(hidden);
    service.placements.insert(key.environment.clone(), placement.clone());
}

/// Forgets the configuration of what is down.
pub(super) fn forget(state: &mut State, key: &SlotKey) {
    if let Some(service) = state.spec.services.get_mut(&key.service) {
        service.placements.remove(&key.environment);
        if service.placements.is_empty() {
            state.spec.services.remove(&key.service);
        }
    }
}
