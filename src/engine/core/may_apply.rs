//! May a configuration be put into force?

use super::refusals::{invalid, no};
use super::removals::{check_named, check_removals, has, removed};
use super::state::{Slot, State};
use super::types::SlotKey;
use super::{configs, rename};
use flightdeck_model::{InForce, Listens, Placement, Refusal, ServiceKind, ServicePlace, Spec, Step};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// May it be put into force? Gives what leaves the configuration with it.
pub(super) fn may_apply(state: &State, spec: &Spec, remove: &[ServicePlace]) -> Result<Vec<SlotKey>, Refusal> {
    let others = state.configs_beside(&spec.name);
    check(spec, &others)?;
    check_kinds(state, spec)?;
    configs::fits(state, spec, &others)?;
    let gone = removed(state, spec);
    check_removals(state, spec, &gone)?;
    check_named(state, &gone, remove)?;
    Ok(gone)
}

/// Why a configuration would be refused as it stands; nothing if it would be taken.
#[must_use]
pub fn why_not_apply(state: &State, spec: &Spec, remove: &[ServicePlace]) -> Option<Refusal> {
    rename::foreseen(state, spec).and_then(|state| may_apply(&state, spec, remove)).err()
}

/// What runs stays what it is: nothing leads from what is routed to what is not without an end in between.
fn check_kinds(state: &State, spec: &Spec) -> Result<(), Refusal> {
    let kind = |slot: &Slot| spec.services.get(&slot.key.service).filter(|_| has(spec, &slot.key)).map(|of| of.kind);
    let up = state.slots.values().filter(|slot| slot.is_up() || slot.routing.newest_route().is_some());
    let mut other = up.filter_map(|slot| Some((slot, kind(slot).filter(|kind| *kind != slot.kind)?)));
    match other.next() {
        Some((slot, kind)) => Err(no(format!(
            "{} is up as kind {:?} and would become {:?}: give the new one another name, or remove it first; nothing \
             was applied",
            slot.key,
            slot.kind.word(),
            kind.word()
        ))),
        None => Ok(()),
    }
}

/// A configuration must be whole in itself, and listen where no other one does.
fn check(spec: &Spec, others: &[InForce]) -> Result<(), Refusal> {
    let mut listens: BTreeMap<SocketAddr, Vec<Listens>> = BTreeMap::new();
    for other in others {
        for mut of in other.spec.listens() {
            of.place = format!("{} of {}", of.place, other.words());
            listens.entry(of.address).or_default().push(of);
        }
    }
    for of in spec.listens() {
        let there = listens.entry(of.address).or_default();
        if let Some((other, what)) = there.iter().find_map(|other| Some((&other.place, of.clash(other)?))) {
            let (key, address) = (&of.place, of.address);
            return Err(invalid(&format!(
                "{key} and {other} listen on the same address {address} and both want {what}"
            )));
        }
        there.push(of);
    }
    for (service, of) in &spec.services {
        for (environment, placement) in &of.placements {
            let key = format!("{service} in {environment}");
            if !spec.environments.contains_key(environment) {
                return Err(invalid(&format!("{key}: there is no environment {environment}")));
            }
            if placement.listen.is_none() != (of.kind == ServiceKind::Worker) {
                return Err(invalid(&format!("{key}: expected an address, unless it is a worker")));
            }
            check_placement(spec, &key, placement)?;
        }
    }
    Ok(())
}

fn check_placement(spec: &Spec, key: &str, placement: &Placement) -> Result<(), Refusal> {
    if placement.replicas == 0 {
        return Err(invalid(&format!("{key}: replicas is 0, expected at least 1")));
    }
    let named = placement.steps.iter().filter_map(|step| match step {
        Step::Analysis { name, .. } => Some(name),
        _ => None,
    });
    for name in named.chain(&placement.background_analysis) {
        if !spec.analyses.contains_key(name) {
            return Err(invalid(&format!("{key}: there is no analysis {name}")));
        }
    }
    for step in placement.steps.iter() {
        match step {
            Step::SetWeight(weight) if weight.0 > 1_000_000 => {
                return Err(invalid(&format!("{key}: a weight of {weight}, expected at most 100 %")));
            }
            Step::Hook { name } if !placement.hooks.iter().any(|hook| hook.name == *name) => {
                return Err(invalid(&format!("{key}: there is no hook {name}")));
            }
            Step::Other(name) => return Err(invalid(&format!("{key}: there is no step {name}"))),
            _ => {}
        }
    }
    Ok(())
}
