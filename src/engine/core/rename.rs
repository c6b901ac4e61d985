//! A service goes on under another name: with its releases, history, instances, approvals and holds, and with the
//! listener that the proxy knows it by, so that nothing is started and nothing is routed anew.

use super::context::words;
use super::refusals::{invalid, no};
use super::state::State;
use super::types::{Effect, SlotKey};
use flightdeck_model::{EnvironmentName, Refusal, Renamed, ServiceName, Spec};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The renames that a configuration asks for and that are not done yet.
pub(super) fn due(state: &State, spec: &Spec) -> Result<Vec<Renamed>, Refusal> {
    let asked = spec.services.iter().filter_map(|(to, of)| Some((of.renamed_from.as_ref()?, to)));
    let mut renamed: Vec<Renamed> = Vec::new();
    for (from, to) in asked.filter(|(from, to)| !is_done(state, from, to)) {
        if let Some(other) = renamed.iter().find(|other| other.from == *from) {
            return Err(invalid(&format!("{} and {to} are both renamed from {from}", other.to)));
        }
        may_rename(state, spec, from, to)?;
        renamed.push(Renamed { from: from.clone(), to: to.clone() });
    }
    Ok(renamed)
}

fn is_done(state: &State, from: &ServiceName, to: &ServiceName) -> bool {
    state.slots.values().any(|slot| slot.key.service == *to && !slot.removed && slot.names.contains(from))
}

fn may_rename(state: &State, spec: &Spec, from: &ServiceName, to: &ServiceName) -> Result<(), Refusal> {
    let Some((owner, _)) = state.config_of(from) else {
        let why = format!("there is no service {from} that {to} could be renamed from; take its renamed_from away");
        return Err(invalid(&why));
    };
    if *owner != spec.name {
        return Err(invalid(&format!("{to} can't be renamed from {from}, which is of the configuration {owner}")));
    }
    if spec.services.contains_key(from) || state.config_of(to).is_some() {
        return Err(invalid(&format!("{to} can't be renamed from {from}: both exist")));
    }
    let slots = || state.slots.values().filter(|slot| [from, to].contains(&&slot.key.service));
    if let Some(slot) = slots().find(|slot| slot.removed) {
        return Err(no(format!("{} is still being taken down; apply again in a moment", slot.key)));
    }
    if let Some((slot, run)) = slots().find_map(|slot| Some((slot, slot.active().or_else(|| slot.queue.front())?))) {
        let what = words(run);
        return Err(no(format!(
            "{}: {what} is in flight there; rename {from} once it has ended; nothing was applied",
            slot.key
        )));
    }
    let stored = |service| state.releases.get(service).into_iter().flatten();
    let clash = stored(from).find(|(version, ours)| {
        state.release(to, version).is_some_and(|theirs| theirs.artifacts.first() != ours.artifacts.first())
    });
    match clash {
        Some((version, _)) => {
            Err(invalid(&format!("{to} {version} is stored already with other content than {from} {version}")))
        }
        None => Ok(()),
    }
}

/// The state with all that a configuration renames, for whoever wants to know what would come of it.
pub(super) fn foreseen<'a>(state: &'a State, spec: &Spec) -> Result<Cow<'a, State>, Refusal> {
    let mut foreseen = Cow::Borrowed(state);
    for renamed in due(state, spec)? {
        carry_out(foreseen.to_mut(), &renamed);
    }
    Ok(foreseen)
}

pub(super) fn carry_out(state: &mut State, renamed: &Renamed) {
    let Renamed { from, to } = renamed;
    let mut releases = state.releases.remove(from).unwrap_or_default();
    for release in releases.values_mut() {
        release.service.clone_from(to);
    }
    if !releases.is_empty() {
        state.releases.entry(to.clone()).or_default().extend(releases);
    }
    let spec = state.spec.services.remove(from);
    state.spec.services.extend(spec.map(|spec| (to.clone(), spec)));
    for of in state.configs.values_mut() {
        if of.services.remove(from) {
            of.services.insert(to.clone());
        }
    }
    for hold in state.holds.iter_mut().filter(|hold| hold.selector.service.as_ref() == Some(from)) {
        hold.selector.service = Some(to.clone());
    }
    rekey(&mut state.migrated, from, to);
    rekey(&mut state.removed, from, to);
    let prefix = format!("{from}@");
    let away: Vec<_> = state.away_at_restore.extract_if(.., |place| place.starts_with(&prefix)).collect();
    state.away_at_restore.extend(away.iter().map(|place| place.replacen(&prefix, &format!("{to}@"), 1)));
    let keys: Vec<SlotKey> = state.slots.keys().filter(|key| key.service == *from).cloned().collect();
    for key in keys {
        slot(state, &key, renamed);
    }
    for numbered in &mut state.pending {
        effect(&mut numbered.effect, renamed);
    }
}

fn called(key: &SlotKey, to: &ServiceName) -> SlotKey {
    SlotKey { service: to.clone(), environment: key.environment.clone() }
}

fn slot(state: &mut State, key: &SlotKey, Renamed { from, to }: &Renamed) {
    let Some(mut slot) = state.slots.remove(key) else { return };
    slot.listener.get_or_insert_with(|| key.to_string());
    slot.key = called(key, to);
    slot.names.push(from.clone());
    // It is the same target; what people read of it is not.
    let target = slot.target(&state.source);
    for asked in state.approvals.iter_mut().filter(|asked| asked.approval.run.target == target) {
        asked.approval.service.clone_from(to);
        asked.approval.run.target.clone_from(&target);
    }
    let held = state.holds.iter_mut().flat_map(|hold| &mut hold.targets).filter(|of| of.run.target == target);
    for of in held {
        of.run.target.clone_from(&target);
    }
    state.removed.remove(&slot.key.to_string());
    state.slots.insert(slot.key.clone(), slot);
}

/// What nothing answered yet is carried out again after a crash, for the slot as it is called then.
fn effect(effect: &mut Effect, Renamed { from, to }: &Renamed) {
    let known_as = effect.listener().map(|(listener, _)| listener);
    match effect {
        Effect::Start(launch) if launch.slot.service == *from => launch.slot = called(&launch.slot, to),
        Effect::StartJob(launch) if launch.slot.service == *from => launch.slot = called(&launch.slot, to),
        Effect::Route { slot, .. } if slot.service == *from => *slot = called(slot, to),
        Effect::Unroute { slot, listener, .. } if slot.service == *from => {
            (*slot, *listener) = (called(slot, to), known_as);
        }
        _ => {}
    }
}

/// What is remembered of places that left the configuration, by `service@environment`.
fn rekey<T>(memory: &mut BTreeMap<String, T>, from: &ServiceName, to: &ServiceName) {
    let prefix = format!("{from}@");
    let moved: Vec<_> = memory.extract_if(.., |key, _| key.starts_with(&prefix)).collect();
    memory.extend(moved.into_iter().map(|(key, of)| (key.replacen(&prefix, &format!("{to}@"), 1), of)));
}

/// The names that a service had in an environment, that of now included. Who else has one of them has it alone.
#[must_use]
pub fn names(state: &State, service: &ServiceName, environment: &EnvironmentName) -> Vec<ServiceName> {
    let key = |service: &ServiceName| SlotKey { service: service.clone(), environment: environment.clone() };
    let before = state.slots.get(&key(service)).map(|slot| slot.names.clone()).unwrap_or_default();
    let free = before.into_iter().filter(|name| !state.slots.contains_key(&key(name)));
    free.chain([service.clone()]).collect()
}
