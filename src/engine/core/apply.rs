//! Configurations: put into force whole, or refused whole.

use super::context::{StepContext, note_run};
use super::diff::service_changes;
use super::may_apply::may_apply;
use super::plans::{enqueue, plan};
use super::removals::{keep_for_takedown, returns, take_down};
use super::slots::{with, with_all};
use super::state::{Configured, Counters, Kind, Removed, Slot, State};
use super::types::{Apply, SlotKey};
use super::{configs, migrations, rename, restore};
use flightdeck_model::{Actor, Refusal, ServiceKind};
use std::sync::Arc;

/// Puts a configuration into force, services that it renames first.
pub(super) fn apply(state: &mut State, ctx: &mut StepContext, wanted: &Apply) -> Result<(), Refusal> {
    let renamed = rename::due(state, &wanted.spec)?;
    if renamed.is_empty() {
        return put_into_force(state, ctx, wanted);
    }
    // On a copy: what is refused after it must not leave them renamed.
    let mut next = state.clone();
    for one in &renamed {
        rename::carry_out(&mut next, one);
        with_all(&mut next, |state, slot| {
            if slot.key.service == one.to {
                note_run(
                    state,
                    slot,
                    ctx,
                    &wanted.actor.name,
                    format!("{} is called {} from now on", one.from, one.to),
                );
            }
        });
    }
    put_into_force(&mut next, ctx, wanted)?;
    *state = next;
    ctx.renamed = renamed;
    Ok(())
}

fn put_into_force(state: &mut State, ctx: &mut StepContext, wanted: &Apply) -> Result<(), Refusal> {
    let (spec, actor) = (&wanted.spec, &wanted.actor);
    let gone = may_apply(state, spec, &wanted.remove)?;
    migrations::close_lists(state);
    let changes = service_changes(&state.configuration(&spec.name), spec);
    let text = |key: &SlotKey| changes.get(key).filter(|lines| !lines.is_empty()).map(|lines| lines.join(", "));
    // What is taken down keeps its configuration until it is down.
    let others = state.configs_beside(&spec.name);
    let mut next = configs::together(others.iter().map(|other| &other.spec).chain([spec]));
    let down = state.slots.values().filter(|slot| slot.removed).map(|slot| &slot.key);
    for key in gone.iter().chain(down) {
        keep_for_takedown(&mut next, &state.spec, key);
    }
    with_all(state, |state, slot| {
        if let Some(text) = text(&slot.key) {
            note_run(state, slot, ctx, &actor.name, format!("configuration: {text}"));
        }
    });
    state.spec = next;
    state.config = Some(wanted.digest.clone());
    let revision = Counters::next(&mut state.counters.config);
    if spec.is_empty() {
        state.configs.remove(&spec.name);
    } else {
        state.configs.insert(spec.name.clone(), Configured::of(spec, &wanted.path, revision));
    }
    for key in &gone {
        remove(state, key);
    }
    for (service, of) in &spec.services {
        for environment in of.placements.keys() {
            let key = SlotKey { service: service.clone(), environment: environment.clone() };
            match state.slots.get_mut(&key) {
                Some(slot) => slot.kind = of.kind,
                None => add(state, ctx, &key, actor),
            }
        }
    }
    restore::unknown_of(state, spec);
    ctx.note = Some(if spec.is_empty() {
        format!("the configuration {} is removed, as revision {revision}", spec.name)
    } else {
        format!("in force as revision {revision}")
    });
    Ok(())
}

/// Takes a place down. What ran there is not forgotten.
fn remove(state: &mut State, key: &SlotKey) {
    let removed = with(state, key, |_, slot| {
        let removed = Removed::of(slot);
        take_down(slot);
        removed
    });
    state.removed.extend(removed.map(|removed| (key.to_string(), removed)));
}

/// Brings a place in. What was there before is not forgotten, and what served comes up again.
fn add(state: &mut State, ctx: &mut StepContext, key: &SlotKey, actor: &Actor) {
    let number = Counters::next(&mut state.counters.slot);
    let kind = state.spec.services.get(&key.service).map_or(ServiceKind::default(), |of| of.kind);
    let mut slot = Box::new(Slot::new(key.clone(), number, kind));
    // A renamed one may still be known to the proxy as this.
    if state.of_listener(&slot.listener(false)).is_some() {
        slot.listener = Some(slot.uid.clone());
    }
    slot.migrations = state.migrated.remove(&key.to_string()).unwrap_or_default();
    let before = state.removed.remove(&key.to_string());
    let release = before.as_ref().and_then(|before| returns(state, &key.service, before));
    if let Some(Removed { lineage, served, timings, revision, .. }) = before {
        (slot.lineage, slot.served, slot.timings, slot.revision) = (lineage, served, timings, revision);
    }
    state.slots.insert(key.clone(), slot);
    let Some(to) = release else { return };
    with(state, key, |state, slot| {
        let mut run = plan(state, slot, ctx, Kind::First, to.clone(), &actor.name);
        // It went through its steps when it came here, and its hooks have run.
        run.steps = Arc::from(Vec::new());
        let text = format!("put back by {}: {} comes up again, as it ran", actor.name, to.version);
        enqueue(state, slot, ctx, run, &text);
    });
}
