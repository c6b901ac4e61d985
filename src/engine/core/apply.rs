//! Configurations: put into force whole, or refused whole.

use super::commands::no;
use super::configs::{self, Configured};
use super::context::{StepContext, note_run, words};
use super::pools::retire;
use super::rename;
use super::rollout::{enqueue, plan};
use super::run::Kind;
use super::state::{Counters, Removed, Slot, State};
use super::step::{with, with_all};
use super::types::{Apply, SlotKey};
use super::{migrations, one_off};
use flightdeck_model::{
    Actor, InForce, Listens, Placement, Program, Refusal, RefusalKind, ReleaseRef, Renamed, ServiceKind, ServiceName,
    ServicePlace, ServiceSpec, Spec, Step, counted,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
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
    for key in gone {
        let removed = with(state, &key, |_, slot| {
            let removed = Removed::of(slot);
            take_down(slot);
            removed
        });
        state.removed.extend(removed.map(|removed| (key.to_string(), removed)));
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
    migrations::unknown_of(state, spec);
    ctx.note = Some(if spec.is_empty() {
        format!("the configuration {} is removed, as revision {revision}", spec.name)
    } else {
        format!("in force as revision {revision}")
    });
    Ok(())
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

/// What comes up again when a place is put back: what served there, as long as it is stored.
fn returns(state: &State, service: &ServiceName, before: &Removed) -> Option<ReleaseRef> {
    let release = before.release.as_ref()?;
    let stored = state.release(service, &release.version)?.artifacts.first()?;
    (stored.digest == release.digest).then(|| release.clone())
}

impl Removed {
    fn of(slot: &Slot) -> Removed {
        Removed {
            release: slot.stable_pool().map(|pool| pool.release.clone()),
            lineage: slot.lineage.clone(),
            served: slot.served.clone(),
            timings: slot.timings.clone(),
            revision: slot.revision,
        }
    }
}

/// May it be put into force? Gives what leaves the configuration with it.
fn may_apply(state: &State, spec: &Spec, remove: &[ServicePlace]) -> Result<Vec<SlotKey>, Refusal> {
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

/// What runs ends by its name only: a file that lost a part must not take production down.
fn check_named(state: &State, gone: &[SlotKey], remove: &[ServicePlace]) -> Result<(), Refusal> {
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

/// `3 instances of 1.9.0, 100 % of its traffic`.
fn running(slot: &Slot) -> String {
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

pub(super) fn invalid(why: &str) -> Refusal {
    Refusal::new(RefusalKind::Invalid, format!("{why}; nothing was applied"))
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

fn has(spec: &Spec, key: &SlotKey) -> bool {
    spec.services.get(&key.service).is_some_and(|service| service.placements.contains_key(&key.environment))
}

/// What its configuration brought and it brings no more.
fn removed(state: &State, spec: &Spec) -> Vec<SlotKey> {
    let ours = |slot: &Slot| state.config_of(&slot.key.service).is_some_and(|(name, _)| *name == spec.name);
    let slots = state.slots.values().filter(|slot| !slot.removed && ours(slot) && !has(spec, &slot.key));
    slots.map(|slot| slot.key.clone()).collect()
}

fn check_removals(state: &State, spec: &Spec, gone: &[SlotKey]) -> Result<(), Refusal> {
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

fn keep_for_takedown(next: &mut Spec, old: &Spec, key: &SlotKey) {
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

fn take_down(slot: &mut Slot) {
    slot.removed = true;
    let pools: Vec<_> = slot.pools.keys().cloned().collect();
    for pool in pools {
        retire(slot, &pool);
    }
    slot.warm = None;
    slot.stable = None;
    slot.candidate = None;
}

/// What applying a configuration would change of what that of its name brought, a line each; empty: nothing.
#[must_use]
pub fn diff(state: &State, spec: &Spec) -> Vec<String> {
    // Why it can't be renamed is no change: that is what would be refused.
    let renamed = rename::due(state, spec).unwrap_or_default();
    let mut lines: Vec<_> =
        renamed.iter().map(|Renamed { from, to }| format!("~ service {from}: renamed {to}, as it runs")).collect();
    let state = &rename::foreseen(state, spec).unwrap_or(Cow::Borrowed(state));
    let old = &state.configuration(&spec.name);
    maps(&mut lines, "environment", &old.environments, &spec.environments);
    maps(&mut lines, "analysis", &old.analyses, &spec.analyses);
    for name in old.services.keys().filter(|name| !spec.services.contains_key(*name)) {
        lines.push(format!("- service {name}: removed everywhere"));
    }
    for name in spec.services.keys().filter(|name| !old.services.contains_key(*name)) {
        lines.push(format!("+ service {name}"));
    }
    for (key, changes) in service_changes(old, spec) {
        let sign = match (has(old, &key), has(spec, &key)) {
            (false, _) => "+",
            (_, false) => "-",
            _ => "~",
        };
        if !changes.is_empty() {
            let besides = besides(state, &key, sign);
            lines.push(format!("{sign} {} in {}: {}{besides}", key.service, key.environment, changes.join(", ")));
        }
    }
    lines
}

/// What ends with a place that is removed, and what comes up again with one that is put back.
fn besides(state: &State, key: &SlotKey, sign: &str) -> String {
    let slot = state.slots.get(key).filter(|slot| sign == "-" && slot.is_up());
    let before = state.removed.get(&key.to_string()).filter(|_| sign == "+");
    match (slot, before.and_then(|before| before.release.as_ref().map(|release| (before, release)))) {
        (Some(slot), _) => format!("; it runs: {}", running(slot)),
        (None, Some((before, release))) if returns(state, &key.service, before).is_some() => {
            format!("; {} comes up again, as it ran when it was removed", release.version)
        }
        (None, Some((_, release))) => format!("; {} ran there, and is not stored any more", release.version),
        (None, None) => String::new(),
    }
}

fn maps<K: Ord + std::fmt::Display, V: PartialEq>(
    lines: &mut Vec<String>,
    what: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) {
    lines.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("- {what} {name}")));
    lines.extend(new.iter().filter_map(|(name, value)| match old.get(name) {
        None => Some(format!("+ {what} {name}")),
        Some(before) if before != value => Some(format!("~ {what} {name}: changed")),
        Some(_) => None,
    }));
}

/// By placement, what differs.
fn service_changes<'a>(old: &'a Spec, new: &'a Spec) -> BTreeMap<SlotKey, Vec<String>> {
    let mut changes = BTreeMap::new();
    let names = |spec: &Spec| -> Vec<SlotKey> {
        spec.services
            .iter()
            .flat_map(|(service, of)| {
                of.placements
                    .keys()
                    .map(|environment| SlotKey { service: service.clone(), environment: environment.clone() })
            })
            .collect()
    };
    for key in names(old).into_iter().chain(names(new)) {
        let of = |spec: &'a Spec| {
            let service = spec.services.get(&key.service)?;
            let placement = service.placements.get(&key.environment)?;
            Some((service, placement, service.program(&key.service, &key.environment)?))
        };
        let lines = match (of(old), of(new)) {
            (Some(old), Some(new)) => placement_changes(&old, &new),
            (None, Some((_, placement, _))) => {
                let behind = placement.listen.map_or(String::new(), |listen| format!(" behind {listen}"));
                vec![format!("{}{behind}", counted(placement.replicas, "instance"))]
            }
            (Some(_), None) => vec!["removed".to_owned()],
            (None, None) => Vec::new(),
        };
        changes.insert(key, lines);
    }
    changes
}

/// A service in an environment, and how its instances are run there.
type Placed<'a> = (&'a ServiceSpec, &'a Placement, Program);

fn placement_changes(old: &Placed<'_>, new: &Placed<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut differs = |what: &str, same: bool, note: &str| {
        if !same {
            lines.push(format!("{what} changed{note}"));
        }
    };
    let later = " (for instances started from now on)";
    differs("run", old.2.run == new.2.run, later);
    differs("env", old.2.env == new.2.env, later);
    differs("secrets", old.2.secrets == new.2.secrets, later);
    differs("health", old.2.health == new.2.health, later);
    differs("stop", old.2.stop == new.2.stop, later);
    differs("user", old.2.run_as == new.2.run_as, later);
    differs("limits", old.2.limits == new.2.limits, later);
    differs("depends_on", old.0.depends_on == new.0.depends_on, "");
    let connections = (old.1.connections.or(&old.0.connections), new.1.connections.or(&new.0.connections));
    differs("response_timeout", connections.0.response_timeout == connections.1.response_timeout, "");
    differs("drain", connections.0.drain == connections.1.drain, "");
    differs("access_log", connections.0.access_log == connections.1.access_log, "");
    differs("trusted_proxies", connections.0.trusted_proxies == connections.1.trusted_proxies, "");
    differs("hosts", old.1.ingress.hosts == new.1.ingress.hosts, "");
    differs("paths", old.1.ingress.paths == new.1.ingress.paths, "");
    differs("redirect_from", old.1.ingress.redirect_from == new.1.ingress.redirect_from, "");
    differs("tls", old.1.ingress.certificates == new.1.ingress.certificates, "");
    let from_to = |what: &str, old: String, new: String| (old != new).then(|| format!("{what} {old} → {new}"));
    lines.extend(from_to("kind", old.0.kind.word().to_owned(), new.0.kind.word().to_owned()));
    let mut differs = |what: &str, same: bool, note: &str| {
        if !same {
            lines.push(format!("{what} changed{note}"));
        }
    };
    let (old, new) = (old.1, new.1);
    let next = " (for rollouts asked for from now on)";
    differs("steps", old.steps == new.steps, next);
    differs("hooks", old.hooks == new.hooks, next);
    differs("jobs", old.jobs == new.jobs, " (for runs due from now on)");
    differs("sticky", old.sticky == new.sticky, "");
    let address = |preview: Option<SocketAddr>| preview.map_or("none".to_owned(), |preview| preview.to_string());
    lines.extend(from_to("strategy", format!("{:?}", old.strategy), format!("{:?}", new.strategy)));
    lines.extend(from_to("preview", address(old.preview), address(new.preview)));
    let objective = |rto: Option<jiff::SignedDuration>| rto.map_or("none".to_owned(), super::context::span);
    lines.extend(from_to("rto", objective(old.rto), objective(new.rto)));
    lines.extend(from_to("replicas", old.replicas.to_string(), new.replicas.to_string()));
    lines.extend(from_to("listen", address(old.listen), address(new.listen)));
    lines.extend(from_to(
        "progress_deadline",
        super::context::span(old.progress_deadline),
        super::context::span(new.progress_deadline),
    ));
    lines.extend(from_to("keep_warm", super::context::span(old.keep_warm), super::context::span(new.keep_warm)));
    lines.extend(from_to("concurrency", format!("{:?}", old.concurrency), format!("{:?}", new.concurrency)));
    lines.extend(from_to(
        "background_analysis",
        old.background_analysis.clone().unwrap_or("none".to_owned()),
        new.background_analysis.clone().unwrap_or("none".to_owned()),
    ));
    lines
}
