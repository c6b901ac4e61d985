//! Routes: what the proxy should follow, what it acknowledged, refused, or left by itself.

use super::context::{StepContext, emit, note_run, note_run_progress};
use super::ending::{Back, begin_rollback};
use super::slots::placement;
use super::state::{Counters, Pool, Progress, Routing, RunState, Sent, Slot, State, keep};
use super::types::{Effect, SlotKey};
use flightdeck_model::{
    ArmRole, Connections, DeploymentOutcome, Ingress, Ppm, ServiceKind, Step, Strategy, sanitize_line,
};
use flightdeck_proxy::wire::{Endpoint, PoolRoute, Route, RouteOptions, Sticky};
use jiff::{SignedDuration, Timestamp};

/// Between two tries of a route that the proxy refused.
const RETRY: SignedDuration = SignedDuration::from_secs(1);
/// So many refusals in a row fail the rollout.
const REFUSALS: u32 = 3;

/// Tells the proxy what it should follow, if that is not what it was told last.
pub(super) fn send(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    if slot.kind == ServiceKind::Worker {
        return count(slot, ctx);
    }
    // An abort does not wait for the next try.
    let urgent = slot.run.as_ref().is_some_and(RunState::rolling_back);
    if !resting(&slot.routing, urgent) {
        let wanted = desired(state, slot);
        let lowers = wanted.as_ref().is_some_and(|route| lowers_exposure(slot, route));
        let listener = slot.listener(false);
        let effect = put((&slot.key, listener), &mut slot.routing, ctx, wanted, (lowers, false));
        tell(state, ctx, effect);
    }
    if !resting(&slot.preview, false) {
        let wanted = desired_preview(state, slot);
        let listener = slot.listener(true);
        let effect = put((&slot.key, listener), &mut slot.preview, ctx, wanted, (false, true));
        tell(state, ctx, effect);
    }
}

/// A route that was refused is not sent again at once.
fn resting(routing: &Routing, urgent: bool) -> bool {
    routing.retry.is_some_and(|left| !left.is_zero()) && (!urgent || routing.refusals > 1)
}

/// Writes down a route that differs from the newest.
fn put(
    (key, listener): (&SlotKey, String),
    routing: &mut Routing,
    ctx: &StepContext,
    wanted: Option<Route>,
    (lowers_exposure, preview): (bool, bool),
) -> Option<Effect> {
    // After a refusal nobody knows what the proxy follows: a route that was carried out but not
    // journalled before a crash may be in force. So another one is sent in any case.
    let unsure = routing.retry.is_some();
    let same = match routing.newest() {
        None => wanted.is_none(),
        Some(newest) => same(newest.route.as_ref(), wanted.as_ref()),
    };
    if same && !unsure {
        return None;
    }
    let version = Counters::next(&mut routing.version);
    let route = wanted.map(|route| Route { version, ..route });
    routing.sent.push(Sent { version, route: route.clone(), at: Some(ctx.now) });
    routing.retry = None;
    Some(match route {
        Some(route) => Effect::Route { slot: key.clone(), route, lowers_exposure },
        None => Effect::Unroute { slot: key.clone(), version, preview, listener: Some(listener) },
    })
}

fn tell(state: &mut State, ctx: &mut StepContext, effect: Option<Effect>) {
    let Some(effect) = effect else { return };
    let listener = effect.listener();
    state.pending.retain(|numbered| {
        numbered.effect.listener().is_none_or(|(of, _)| listener.as_ref().is_none_or(|(new, _)| of != *new))
    });
    emit(state, ctx, effect);
}

fn same(a: Option<&Route>, b: Option<&Route>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Route { version: b.version, ..a.clone() } == *b,
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
    let placement = placement(state, &slot.key)?;
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
    // Where stable shrinks on the way, or is ended first, it could not carry what falls back to it; without
    // a ready instance it is nothing to fall back to.
    let whole = slot.active().is_none_or(|run| !matches!(run.strategy, Strategy::Rolling | Strategy::Recreate));
    let falls_back = |stable: &&Pool| share > Ppm::ZERO && stable.ready() > 0 && whole;
    let fallback = stable.filter(falls_back).map(|stable| stable.id.clone());
    let salt = slot.candidate.clone().unwrap_or_default();
    let sticky = placement.sticky.clone().filter(|_| pools.len() > 1).map(|key| Sticky { key, salt });
    let route = Route { fallback, sticky, ..Route::to(slot.listener(false), placement.listen?, pools) };
    Some(with_connections(state, slot, placement.ingress.clone(), route))
}

/// From its step on the candidate is reached behind the preview address, until it serves users or goes.
fn desired_preview(state: &State, slot: &Slot) -> Option<Route> {
    let listen = placement(state, &slot.key)?.preview?;
    let run = slot.active().filter(|run| run.progress == Progress::Steps)?;
    let opened = run.steps.iter().take(run.step as usize + 1).any(|step| *step == Step::Preview);
    let candidate = slot.candidate_pool().filter(|pool| opened && pool.ready() > 0)?;
    let pools = vec![pool_route(candidate, ArmRole::Preview, Ppm::ALL)];
    Some(with_connections(state, slot, Ingress::default(), Route::to(slot.listener(true), listen, pools)))
}

/// The same with what the configuration says of connections.
fn with_connections(state: &State, slot: &Slot, ingress: Ingress, route: Route) -> Route {
    let Connections { response_timeout, trusted_proxies, access_log, .. } =
        state.spec.connections(&slot.key.service, &slot.key.environment);
    let milliseconds = |span: SignedDuration| u64::try_from(span.as_millis()).unwrap_or(0);
    let access_log = access_log.unwrap_or_default();
    // Only the lines of its access log need it.
    let called = Some(slot.key.to_string()).filter(|name| *name != route.listener && !access_log.is_off());
    let options = RouteOptions {
        response_timeout_ms: response_timeout.map(milliseconds),
        ingress,
        trusted_proxies: trusted_proxies.unwrap_or_default(),
        called,
        access_log,
        tcp: slot.kind == ServiceKind::Tcp,
    };
    Route { options: Box::new(options), ..route }
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

/// The proxy follows a route.
pub(super) fn acked(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, preview: bool, version: u64) {
    let listener = slot.listener(preview);
    let routing = if preview { &mut slot.preview } else { &mut slot.routing };
    state
        .pending
        .retain(|numbered| numbered.effect.listener().is_none_or(|(of, newer)| of != listener || newer > version));
    let Some(at) = routing.sent.iter().position(|sent| sent.version == version) else { return };
    routing.acked = routing.sent.drain(..=at).next_back();
    routing.refusals = 0;
    routing.refused = None;
    if let Some(sent) = routing.acked.as_ref().and_then(|sent| sent.at) {
        keep(&mut slot.timings.switch, ctx.now.duration_since(sent));
    }
    if !preview {
        if slot.routing.acked.as_ref().is_some_and(|sent| sent.route.is_some()) {
            slot.taken = None;
        }
        count(slot, ctx);
    }
}

/// What of the route that it just acknowledged the proxy can't do.
pub(super) fn lacks(slot: &mut Slot, preview: bool, lacking: Option<&str>) {
    let routing = if preview { &mut slot.preview } else { &mut slot.routing };
    routing.lacking = lacking.map(sanitize_line);
}

/// What the proxy follows is only a part of what it was told: it is told again, as a newer version.
pub(super) fn lost(slot: &mut Slot, preview: bool) {
    let routing = if preview { &mut slot.preview } else { &mut slot.routing };
    routing.lacking = None;
    routing.retry = Some(SignedDuration::ZERO);
}

/// What the rollout's record needs to know of the shares in force.
pub(super) fn count(slot: &mut Slot, ctx: &mut StepContext) {
    let exposed = slot.exposed();
    let route = slot.routing.acked.as_ref().and_then(|sent| sent.route.as_ref());
    let serves = match slot.kind {
        ServiceKind::Worker => slot.stable_pool().into_iter().chain(slot.candidate_pool()).any(|pool| pool.ready() > 0),
        ServiceKind::Http | ServiceKind::Tcp => route
            .is_some_and(|route| route.pools.iter().any(|pool| pool.weight > Ppm::ZERO && !pool.endpoints.is_empty())),
    };
    let Some(run) = slot.run.as_mut().filter(|run| run.active()) else { return };
    if !run.rolling_back() {
        run.tally.reached = run.tally.reached.max(exposed);
    }
    if !run.exclusive() || run.from.is_none() {
        return;
    }
    if !serves {
        run.tally.down_since.get_or_insert(ctx.now);
    } else if let Some(since) = run.tally.down_since.take() {
        keep(&mut slot.timings.down, ctx.now.duration_since(since));
    }
}

/// The proxy could not follow a route: it is tried again, then the rollout fails. `newer`: it follows that one,
/// which was carried out and lost by the journal.
pub(super) fn refused(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    preview: bool,
    (version, newer): (u64, Option<u64>),
    why: &str,
) {
    let why = sanitize_line(why);
    let listener = slot.listener(preview);
    let routing = if preview { &mut slot.preview } else { &mut slot.routing };
    let in_force = routing.acked.as_ref().is_some_and(|acked| acked.version == version && acked.route.is_some());
    match routing.sent.iter().position(|sent| sent.version == version) {
        Some(at) => drop(routing.sent.remove(at)),
        None if in_force => {}
        None => return,
    }
    if in_force && newer.is_none() {
        // A proxy that came back may not get the address again that it had: nothing is in force there.
        routing.acked = None;
    }
    state
        .pending
        .retain(|numbered| numbered.effect.listener().is_none_or(|(of, other)| of != listener || other != version));
    if version < routing.version {
        return;
    }
    routing.version = routing.version.max(newer.unwrap_or(0));
    routing.refusals = routing.refusals.saturating_add(1);
    // Known as well once nothing is routed there any more: from then on it is tried.
    let taken = (!preview && newer.is_none()).then(|| why.clone());
    // Tried again every second: said once.
    let new = routing.refused.replace(why.clone()).as_ref() != Some(&why);
    routing.retry = Some(RETRY);
    let often = routing.refusals >= REFUSALS;
    slot.taken = taken.or(slot.taken.take());
    let what = if preview { "the preview's route" } else { "route" };
    if new {
        note_run(state, slot, ctx, "system:proxy", format!("{what} {version} was refused: {why}"));
    }
    let needs_it = |run: &RunState| preview || run.weight > Ppm::ZERO;
    let failing = slot.active().is_some_and(|run| !run.rolling_back() && needs_it(run));
    if failing && often {
        let what = if preview { "the preview's route" } else { "the route" };
        let back = Back::new(DeploymentOutcome::Failed, format!("the proxy refused {what}: {why}"));
        begin_rollback(state, slot, ctx, "system:engine", back);
    }
}

/// The proxy went back to stable by itself.
pub(super) fn lapsed(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, version: u64, at: Timestamp) {
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
        note_run_progress(
            state,
            slot,
            ctx,
            "system:proxy",
            "lease lapsed while rolling back: all traffic is at stable",
        );
        return;
    }
    let why = format!("lease lapsed: nobody was judging, so the proxy went back to stable at {at:.0}");
    begin_rollback(state, slot, ctx, "system:proxy", Back::new(DeploymentOutcome::Aborted, why));
}

/// That route is known to be in force, with other weights than it was sent with.
fn follow_instead(routing: &mut Routing, version: u64, route: Route) {
    routing.sent.retain(|sent| sent.version > version);
    routing.acked = Some(Sent { version, route: Some(route), at: None });
}

/// Time passes for a refused route.
pub(super) fn tick(slot: &mut Slot, dt: SignedDuration) {
    for left in [&mut slot.routing.retry, &mut slot.preview.retry].into_iter().flatten() {
        *left = left.saturating_sub(dt).max(SignedDuration::ZERO);
    }
}
