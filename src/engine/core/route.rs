//! Routes: what the proxy should follow, what it acknowledged, refused, or left by itself.

use super::pools::capacity;
use super::rollout::{Back, begin_rollback};
use super::state::{Counters, Pool, Progress, Routing, Sent, Slot, State};
use super::turn::{Turn, emit, note_run};
use super::types::Effect;
use crate::engine::proxy::wire::{Endpoint, PoolRoute, Route};
use crate::model::{ArmRole, DeploymentOutcome, Ppm, sanitize_line};
use jiff::{SignedDuration, Timestamp};

/// Between two tries of a route that the proxy refused.
const RETRY: SignedDuration = SignedDuration::from_secs(1);
/// So many refusals in a row fail the rollout.
const REFUSALS: u32 = 3;

/// Tells the proxy what it should follow, if that is not what it was told last.
pub(super) fn send(state: &mut State, slot: &mut Slot, turn: &mut Turn) {
    if slot.routing.retry.is_some_and(|left| !left.is_zero()) {
        // An abort does not wait for the next try.
        if !slot.run.as_ref().is_some_and(super::state::RunState::rolling_back) || slot.routing.refusals > 1 {
            return;
        }
    }
    let wanted = desired(state, slot);
    // After a refusal nobody knows what the proxy follows: a route that was carried out but not
    // journalled before a crash may be in force. So another one is sent in any case.
    let unsure = slot.routing.retry.is_some();
    let same = match slot.routing.newest() {
        None => wanted.is_none(),
        Some(newest) => same(newest.route.as_ref(), wanted.as_ref()),
    };
    let same = same && !unsure;
    if same {
        return;
    }
    let lowers = wanted.as_ref().is_some_and(|route| lowers_exposure(slot, route));
    let version = Counters::next(&mut slot.routing.version);
    let route = wanted.map(|route| Route { version, ..route });
    state.pending.retain(|numbered| !is_route_of(&numbered.effect, slot));
    let effect = match route.clone() {
        Some(route) => Effect::Route { slot: slot.key.clone(), route, lowers_exposure: lowers },
        None => Effect::Unroute { slot: slot.key.clone(), version, preview: false },
    };
    slot.routing.sent.push(Sent { version, route });
    slot.routing.retry = None;
    emit(state, turn, effect);
}

fn is_route_of(effect: &Effect, of: &Slot) -> bool {
    matches!(effect, Effect::Route { slot, .. } | Effect::Unroute { slot, .. } if *slot == of.key)
}

fn same(a: Option<&Route>, b: Option<&Route>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a.listen == b.listen && a.pools == b.pools && a.fallback == b.fallback && a.sticky == b.sticky
        }
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Compared with every route that may be in force, the candidate gets nothing more and somewhere
/// less, and nobody gets requests who could not get any before: if the journal loses such a route,
/// nothing that is in it is unknown.
fn lowers_exposure(slot: &Slot, route: &Route) -> bool {
    let Some(candidate) = &slot.candidate else { return false };
    let before = || slot.routing.in_force().filter_map(|sent| sent.route.as_ref());
    let weight =
        |route: &Route| route.pools.iter().find(|pool| pool.pool == *candidate).map_or(Ppm::ZERO, |pool| pool.weight);
    let endpoints = |route: &Route| -> Vec<Endpoint> {
        route.pools.iter().flat_map(|pool| pool.endpoints.iter().cloned()).collect()
    };
    let known: Vec<_> = before().flat_map(endpoints).collect();
    before().all(|before| weight(route) <= weight(before))
        && before().any(|before| weight(route) < weight(before))
        && before().all(|before| before.listen == route.listen)
        && endpoints(route).iter().all(|endpoint| known.contains(endpoint))
}

/// What the proxy should follow; `None`: nothing.
fn desired(state: &State, slot: &Slot) -> Option<Route> {
    let placement = state.spec.services.get(&slot.key.service)?.placements.get(&slot.key.environment)?;
    if slot.removed {
        return None;
    }
    let (stable, candidate) = (slot.stable_pool(), slot.candidate_pool());
    let share = share(slot);
    let mut pools = Vec::new();
    if let Some(stable) = stable {
        pools.push(pool_route(stable, ArmRole::Stable, share.rest()));
    }
    if let Some(candidate) = candidate.filter(|_| share > Ppm::ZERO) {
        pools.push(pool_route(candidate, ArmRole::Candidate, share));
    }
    if pools.is_empty() {
        return None;
    }
    // Without a ready instance stable is nothing to fall back to.
    let fallback = stable.filter(|stable| share > Ppm::ZERO && stable.ready() > 0).map(|stable| stable.id.clone());
    Some(Route { listener: slot.key.to_string(), version: 0, listen: placement.listen, pools, fallback, sticky: None })
}

/// The candidate's share: as wanted, but nothing goes to a side without a ready instance while the
/// other side has one.
fn share(slot: &Slot) -> Ppm {
    let Some(run) = slot.active() else { return Ppm::ZERO };
    let ready = |pool: Option<&Pool>| pool.is_some_and(|pool| pool.ready() > 0);
    match (ready(slot.stable_pool()), ready(slot.candidate_pool())) {
        _ if slot.candidate.is_none() => Ppm::ZERO,
        _ if slot.stable.is_none() => {
            if run.rolling_back() {
                Ppm::ZERO
            } else {
                run.weight
            }
        }
        (_, false) => Ppm::ZERO,
        (false, true) => Ppm::ALL,
        (true, true) => run.weight,
    }
}

fn pool_route(pool: &Pool, role: ArmRole, weight: Ppm) -> PoolRoute {
    let serving = pool.instances.values().filter(|instance| instance.serving());
    let endpoints = serving
        .filter_map(|instance| Some(Endpoint { instance: instance.id.clone(), address: instance.address? }))
        .collect();
    PoolRoute { pool: pool.id.clone(), role, version: pool.release.version.clone(), weight, endpoints }
}

/// The share that stable can carry now.
pub(super) fn stable_capacity(state: &State, slot: &Slot) -> Ppm {
    let services = state.spec.services.get(&slot.key.service);
    let replicas = services.and_then(|service| service.placements.get(&slot.key.environment));
    slot.stable_pool().map_or(Ppm::ZERO, |pool| capacity(pool.ready(), replicas.map_or(1, |of| of.replicas)))
}

/// The proxy follows a route.
pub(super) fn acked(state: &mut State, slot: &mut Slot, version: u64) {
    let routing = &mut slot.routing;
    if let Some(at) = routing.sent.iter().position(|sent| sent.version == version) {
        routing.acked = routing.sent.drain(..=at).next_back();
        routing.refusals = 0;
        routing.refused = None;
    }
    let key = slot.key.clone();
    state.pending.retain(|numbered| match &numbered.effect {
        Effect::Route { slot, route, .. } => *slot != key || route.version > version,
        Effect::Unroute { slot, version: of, .. } => *slot != key || *of > version,
        _ => true,
    });
}

/// The proxy could not follow a route: it is tried again, then the rollout fails.
pub(super) fn refused(state: &mut State, slot: &mut Slot, turn: &mut Turn, version: u64, why: &str) {
    let why = sanitize_line(why);
    let routing = &mut slot.routing;
    let Some(at) = routing.sent.iter().position(|sent| sent.version == version) else { return };
    routing.sent.remove(at);
    let key = slot.key.clone();
    state.pending.retain(|numbered| match &numbered.effect {
        Effect::Route { slot, route, .. } => *slot != key || route.version != version,
        Effect::Unroute { slot, version: of, .. } => *slot != key || *of != version,
        _ => true,
    });
    if version < slot.routing.version {
        return;
    }
    slot.routing.refusals = slot.routing.refusals.saturating_add(1);
    slot.routing.refused = Some(why.clone());
    slot.routing.retry = Some(RETRY);
    note_run(state, slot, turn, "system:proxy", format!("route {version} was refused: {why}"));
    let failing = slot.active().is_some_and(|run| !run.rolling_back() && run.weight > Ppm::ZERO);
    if failing && slot.routing.refusals >= REFUSALS {
        let back = Back::new(DeploymentOutcome::Failed, format!("the proxy refused the route: {why}"));
        begin_rollback(state, slot, turn, "system:engine", back);
    }
}

/// The proxy went back to stable by itself.
pub(super) fn lapsed(state: &mut State, slot: &mut Slot, turn: &mut Turn, version: u64, at: Timestamp) {
    let lapsed = slot.routing.in_force().find(|sent| sent.version == version);
    let Some(route) = lapsed.and_then(|sent| sent.route.clone()) else { return };
    let (Some(fallback), Some(candidate)) = (route.fallback.clone(), slot.candidate.clone()) else { return };
    let exposed = route.pools.iter().any(|pool| pool.pool == candidate && pool.weight > Ppm::ZERO);
    let mut after = route;
    for pool in &mut after.pools {
        pool.weight = if pool.pool == fallback { Ppm::ALL } else { Ppm::ZERO };
    }
    follow_instead(&mut slot.routing, version, after);
    if !exposed {
        return;
    }
    let Some(run) = slot.run.as_mut().filter(|run| run.active()) else { return };
    run.weight = Ppm::ZERO;
    if let Progress::RollingBack { .. } = run.progress {
        note_run(state, slot, turn, "system:proxy", "lease lapsed while rolling back: all traffic is at stable");
        return;
    }
    let why = format!("lease lapsed: nobody was judging, so the proxy went back to stable at {at:.0}");
    begin_rollback(state, slot, turn, "system:proxy", Back::new(DeploymentOutcome::Aborted, why));
}

/// That route is known to be in force, with other weights than it was sent with.
fn follow_instead(routing: &mut Routing, version: u64, route: Route) {
    routing.sent.retain(|sent| sent.version > version);
    routing.acked = Some(Sent { version, route: Some(route) });
}

/// Time passes for a refused route.
pub(super) fn tick(slot: &mut Slot, dt: SignedDuration) {
    if let Some(left) = &mut slot.routing.retry {
        *left = left.saturating_sub(dt).max(SignedDuration::ZERO);
    }
}
