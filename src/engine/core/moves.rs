//! How a rollout moves: step by step, to full size, or instance by instance; and when it is given up.

use super::approvals::expire;
use super::context::{StepContext, span};
use super::ending::{Back, begin_rollback, finish};
use super::phase::waits_for_people;
use super::pools::{crash_loop, diagnosis, hopeless, retire, role, trouble};
use super::shares::candidate_ready;
use super::slots::{deadline, placement, replicas};
use super::state::{Progress, Slot, State, Succeeded, Warm};
use super::steps::at_step;
use super::{hooks, jobs, judge, migrations, pools, rollback, route};
use flightdeck_model::{ArmRole, DeploymentOutcome, Ppm, ServiceKind, Step};
use jiff::SignedDuration;

/// Versions that a slot remembers for rollbacks.
const LINEAGE: usize = 20;

/// Moves the rollout in flight as far as it can go now.
pub(super) fn advance(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    let rounds = slot.run.as_ref().map_or(0, |run| run.steps.len()) + 3;
    for _ in 0..rounds {
        if !advance_once(state, slot, ctx) {
            break;
        }
    }
}

fn advance_once(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let Some(run) = slot.active() else { return false };
    if run.rolling_back() {
        return rollback::advance(state, slot, ctx);
    }
    if unable(state, slot, ctx)
        || judge::background(state, slot, ctx)
        || hooks::watch(state, slot, ctx)
        || expired(state, slot, ctx)
    {
        return true;
    }
    let Some(run) = slot.active().filter(|run| run.pauses.none()) else { return false };
    match &run.progress {
        Progress::Steps => at_step(state, slot, ctx),
        Progress::Promoting => promoting(state, slot, ctx),
        Progress::Restarting { .. } => restarting(state, slot, ctx),
        _ => false,
    }
}

/// Fails a rollout that can't come up: an instance that can never start or does not stay up, or the deadline.
fn unable(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let Some(run) = slot.active() else { return false };
    let restarting = matches!(run.progress, Progress::Restarting { .. });
    let pool = if restarting { slot.stable_pool() } else { slot.candidate_pool() };
    let late = run.waited >= deadline(state, slot);
    let why = match pool.and_then(hopeless) {
        Some(why) => format!("{} can't start: {why}", run.to.version),
        None if run.pauses.none()
            && let Some(why) = pool.and_then(|pool| crash_loop(pool, &run.revision)) =>
        {
            format!("{} does not stay up: {why}", run.to.version)
        }
        None if late && run.pauses.none() => waited_for(state, slot),
        None => return false,
    };
    let found = pool.and_then(diagnosis);
    if let Some(run) = &mut slot.run {
        run.diagnosis = found;
    }
    begin_rollback(state, slot, ctx, "system:engine", Back::new(DeploymentOutcome::Failed, why));
    true
}

/// What a rollout waited for, in a sentence with its reason.
fn waited_for(state: &State, slot: &Slot) -> String {
    let time = span(deadline(state, slot));
    if let Some(why) = &slot.routing.refused {
        return format!("no progress for {time}: the proxy refused the route: {why}");
    }
    let Some(run) = slot.active() else { return String::new() };
    let restarting = matches!(run.progress, Progress::Restarting { .. });
    let Some(pool) = (if restarting { slot.stable_pool() } else { slot.candidate_pool() }) else {
        return format!("no progress for {time}");
    };
    if !restarting && candidate_ready(state, slot) {
        return format!("no progress for {time}: the proxy did not acknowledge the route");
    }
    let wanted = pool.desired;
    let ready = pool.ready();
    let why = trouble(pool).map_or("no check was answered".to_owned(), |why| why);
    format!("no progress for {time}: {ready} of {wanted} instances of {} were ready: {why}", run.to.version)
}

/// A request that nobody answered in time ends its rollout.
fn expired(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let Some(late) = expire(state, slot, ctx.now) else { return false };
    let why = format!("approval {late} expired: nobody answered in time");
    begin_rollback(state, slot, ctx, "system:engine", Back::new(DeploymentOutcome::Aborted, why));
    true
}

/// To full size, then all traffic, then it is stable.
fn promoting(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let ready = candidate_ready(state, slot);
    let Some(run) = &mut slot.run else { return false };
    if run.weight != Ppm::ALL {
        if !ready {
            return false;
        }
        run.weight = Ppm::ALL;
        ctx.changed = true;
    }
    if slot.exposed() == Ppm::ALL && slot.routing.settled() && ready {
        // A worker's share is in force without an acknowledgement that would have counted it.
        route::count(slot, ctx);
        promote(state, slot, ctx);
        return true;
    }
    false
}

/// All traffic is at the candidate and acknowledged: it is stable from now on.
fn promote(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    let Some(new) = slot.candidate.take() else { return };
    let keep = placement(state, &slot.key).map_or(SignedDuration::ZERO, |placement| placement.keep_warm);
    if let Some(warm) = slot.warm.take() {
        retire(slot, &warm.pool);
    }
    if let Some(old) = slot.stable.replace(new.clone()) {
        // A strategy that shrinks it on the way leaves nothing to keep up.
        let whole = slot.pools.get(&old).is_some_and(|pool| pool.ready() > 0 && pool.ready() >= pool.desired);
        if keep > SignedDuration::ZERO && whole {
            role(slot, &old, ArmRole::Cohort("previous".to_owned()));
            slot.warm = Some(Warm { pool: old, elapsed: SignedDuration::ZERO });
        } else {
            retire(slot, &old);
        }
    }
    role(slot, &new, ArmRole::Stable);
    migrations::succeeded(state, slot);
    succeeded(slot);
    let (version, ready, desired) = slot
        .stable_pool()
        .map_or((String::new(), 0, 0), |pool| (pool.release.version.to_string(), pool.ready(), pool.desired));
    let done = match slot.kind {
        ServiceKind::Worker => format!("{ready} of {desired} run {version}"),
        ServiceKind::Http | ServiceKind::Tcp => format!("all traffic is at {version}"),
    };
    finish(state, slot, ctx, DeploymentOutcome::Succeeded, done);
}

/// What is stable now is the newest that succeeded here, and serves from now on.
fn succeeded(slot: &mut Slot) {
    let Some(release) = slot.stable_pool().map(|pool| pool.release.clone()) else { return };
    // What is put back as it ran goes on counting: nothing else is known here and not the newest.
    let back = slot.lineage.last().is_some_and(|last| last.release == release);
    let known = slot.served.iter().find(|(of, _)| back && *of == release).map(|(_, served)| *served);
    slot.served.retain(|(of, _)| *of != release);
    slot.served.push((release.clone(), known.unwrap_or(SignedDuration::ZERO)));
    if !back {
        slot.lineage.push(Succeeded { release, number: slot.run.as_ref().map(|run| run.asked) });
    }
    if slot.lineage.len() > LINEAGE {
        slot.lineage.remove(0);
    }
    let lineage = &slot.lineage;
    slot.served.retain(|(of, _)| lineage.iter().any(|succeeded| succeeded.release == *of));
}

/// One more of the old instances goes once its replacement serves; where two may not run side by side,
/// all go at once.
fn restarting(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let full = replicas(state, slot);
    let settled = slot.routing.settled();
    let routed = slot.leads_to_stable();
    let (Some(run), Some(id)) = (&mut slot.run, &slot.stable) else { return false };
    let exclusive = run.exclusive();
    let (Progress::Restarting { old }, Some(pool)) = (&mut run.progress, slot.pools.get_mut(id)) else { return false };
    let before = old.len();
    old.retain(|id| pool.instances.get(id).is_some_and(|instance| !instance.leaving));
    ctx.changed |= old.len() != before;
    let ready = pool.ready();
    if old.is_empty() {
        // Who is new serves only once the proxy leads to it, and no more to who is old.
        if ready >= full && settled && routed && pool.staying() == full {
            let version = run.to.version.clone();
            finish(state, slot, ctx, DeploymentOutcome::Succeeded, format!("every instance of {version} is new"));
            return true;
        }
        return false;
    }
    if exclusive {
        for instance in pool.instances.iter_mut().filter(|(id, _)| old.contains(id)).map(|(_, instance)| instance) {
            instance.leaving = true;
        }
        ctx.changed = true;
        return true;
    }
    if ready > full && settled {
        // The next one in the order they were started.
        let next = old.iter().min_by_key(|id| pools::number(id)).cloned();
        if let Some(instance) = next.and_then(|id| pool.instances.get_mut(&id)) {
            instance.leaving = true;
            run.waited = SignedDuration::ZERO;
            ctx.changed = true;
        }
        return true;
    }
    false
}

/// Time passes for the rollout in flight: a wait that can move moves, else the deadline comes closer.
pub(super) fn tick(state: &State, slot: &mut Slot, dt: SignedDuration) {
    let ready = candidate_ready(state, slot);
    let exposed = slot.exposed() > Ppm::ZERO;
    let Some(run) = slot.run.as_mut().filter(|run| run.active()) else { return };
    jobs::tick(run, dt);
    if let Progress::RollingBack { elapsed, .. } = &mut run.progress {
        *elapsed = elapsed.saturating_add(dt);
        return;
    }
    if waits_for_people(run) && ready || !run.pauses.none() {
        run.tally.waited = run.tally.waited.saturating_add(dt);
    }
    if exposed {
        run.watched.exposed = run.watched.exposed.saturating_add(dt);
    }
    if !run.pauses.none() {
        return;
    }
    // A hook has a bound of its own.
    let waits = matches!(
        run.current_step(),
        Some(Step::Pause { .. } | Step::Analysis { .. } | Step::Approval { .. } | Step::Hook { .. })
    );
    let moving = ready && waits;
    let timer = if moving { &mut run.elapsed } else { &mut run.waited };
    *timer = timer.saturating_add(dt);
}
