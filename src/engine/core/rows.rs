//! A rollout's row: arms, waits, why it stands so, and what could be done to it.

use super::approvals;
use super::commands::offers;
use super::context::{ahead, run_id};
use super::phase::phase;
use super::pins::facts_of;
use super::pools::diagnosis;
use super::reasons::message;
use super::rollback_plan::rollback_plan;
use super::shares::{candidate_ready, capacity};
use super::slots::placement;
use super::state::{InstanceStage, Kind, Pool, Progress, RunState, Slot, State};
use super::types::PoolId;
use flightdeck_model::{
    Arm, ArmRole, DeploymentOutcome, Diagnosis, FailingInstances, Ppm, Replicas, Rollout, ServiceKind, Step, Strategy,
    Traffic, TrafficSource, Wait, sanitize_line,
};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::sync::Arc;

pub(super) fn rollout(state: &State, slot: &Slot, run: &RunState, now: Timestamp) -> Rollout {
    let placement = placement(state, &slot.key);
    let replicas = placement.map_or(1, |placement| placement.replicas);
    let phase = phase(slot, run, replicas);
    Rollout {
        run: run_id(state, slot, &run.revision),
        service: slot.key.service.clone(),
        environment: slot.key.environment.clone(),
        strategy: if run.kind == Kind::Restart && !run.exclusive() { Strategy::Rolling } else { run.strategy },
        steps: run.steps.clone(),
        step: (!run.steps.is_empty()).then_some(run.step),
        arms: arms(slot, run, replicas),
        phase,
        waits: waits(state, slot, run, now),
        message: sanitize_line(&message(state, slot, run, now)),
        started: run.started,
        since: run.since,
        author: Some(run.author.clone()),
        facts: facts_of(slot, run),
        offers: offers(state, slot, run),
        denied: Arc::default(),
        managed_by: None,
        analyses: Vec::new(),
        rollback_plan: slot.is_current(run).then(|| rollback_plan(state, slot, run)).flatten().map(Arc::new),
        listening: placement.and_then(|of| of.listen).filter(|_| slot.is_current(run)).map(|at| slot.listening(at)),
        in_flight: Some(!matches!(run.progress, Progress::Ended(_))),
        failing: if slot.is_current(run) { failing(slot) } else { Vec::new() },
        still_asked: false,
        diagnosis: diagnosed(slot, run),
        watchdog: None,
        objectives: Vec::new(),
    }
}

/// Instances of both sides that are not up, by what went wrong with them last.
fn failing(slot: &Slot) -> Vec<FailingInstances> {
    let pools = [slot.stable_pool(), slot.candidate_pool()];
    let instances = pools.into_iter().flatten().flat_map(|pool| pool.instances.values());
    let mut failing: Vec<FailingInstances> = Vec::new();
    for instance in instances.filter(|instance| !instance.serving() && !instance.leaving) {
        // One that comes up for the first time is waited for, whatever its checks say meanwhile.
        let first = match instance.stage {
            InstanceStage::Starting | InstanceStage::Unhealthy { left: None, .. } => instance.crashes == 0,
            _ => false,
        };
        let Some(error) = instance.error.as_ref().filter(|_| !first) else { continue };
        let reason = sanitize_line(error);
        match failing.iter_mut().find(|of| of.reason == reason) {
            Some(of) => {
                of.instances += 1;
                of.restarts = of.restarts.saturating_add(instance.attempt);
            }
            None => failing.push(FailingInstances {
                reason,
                instances: 1,
                restarts: instance.attempt,
                detail: String::new(),
            }),
        }
    }
    failing.sort_by_key(|of| Reverse(of.instances));
    failing
}

/// What failed it, else what keeps it from coming up now.
fn diagnosed(slot: &Slot, run: &RunState) -> Option<Box<Diagnosis>> {
    if matches!(run.progress, Progress::Ended(DeploymentOutcome::Succeeded)) || !slot.is_current(run) {
        return slot.stable_pool().filter(|_| slot.is_current(run)).and_then(diagnosis);
    }
    let pool =
        if matches!(run.progress, Progress::Restarting { .. }) { slot.stable_pool() } else { slot.candidate_pool() };
    run.diagnosis.clone().or_else(|| pool.filter(|_| run.active()).and_then(diagnosis))
}

fn arms(slot: &Slot, run: &RunState, replicas: u32) -> Vec<Arm> {
    let mut arms = Vec::new();
    let arm = |pool: &Pool, role: ArmRole| Arm {
        role,
        version: pool.release.version.clone(),
        digest: Some(pool.release.digest.clone()),
        replicas: Replicas { ready: pool.ready(), desired: pool.desired },
        traffic: traffic(slot, pool, replicas),
        pods: None,
        service: None,
    };
    arms.extend(slot.stable_pool().map(|pool| arm(pool, ArmRole::Stable)));
    let flying = run.active() && slot.is_current(run);
    if let Some(pool) = slot.candidate_pool().filter(|_| flying) {
        arms.push(arm(pool, ArmRole::Candidate));
        arms.extend(others(slot, None).map(|(pool, role)| arm(pool, role)));
        return arms;
    }
    // In line or ended without success: what would be, or was, brought in has nothing.
    let serves = slot.stable_pool().is_some_and(|pool| pool.release == run.to);
    let shown = if serves || matches!(run.kind, Kind::Restart | Kind::Rollback) {
        None
    } else {
        // What is left of it, if it has ended just now.
        let left = slot.pools.values().find(|pool| pool.retired && pool.release == run.to);
        let none = || Arm {
            role: ArmRole::Candidate,
            version: run.to.version.clone(),
            digest: Some(run.to.digest.clone()),
            replicas: Replicas::default(),
            traffic: Traffic { desired: Ppm::ZERO, actual: Some(Ppm::ZERO), how: known(slot) },
            pods: None,
            service: None,
        };
        arms.push(left.map_or_else(none, |pool| arm(pool, ArmRole::Candidate)));
        left.map(|pool| pool.id.clone())
    };
    arms.extend(others(slot, shown.as_ref()).map(|(pool, role)| arm(pool, role)));
    arms
}

/// The share of a pool, as it is asked for and as it is in force; of a worker its instances of a full pool, those that are still
/// to end among them.
pub(super) fn traffic(slot: &Slot, pool: &Pool, replicas: u32) -> Traffic {
    let (desired, actual) = match slot.kind {
        ServiceKind::Worker => (capacity(pool.desired, replicas), Some(capacity(pool.working(), replicas))),
        ServiceKind::Http | ServiceKind::Tcp => {
            let desired = slot.routing.newest().map_or(Ppm::ZERO, |sent| sent.share(&pool.id));
            (desired, actual(slot, pool))
        }
    };
    Traffic { desired, actual, how: known(slot) }
}

fn known(slot: &Slot) -> TrafficSource {
    match slot.kind {
        ServiceKind::Worker => TrafficSource::Instances,
        ServiceKind::Http | ServiceKind::Tcp => TrafficSource::Acknowledged,
    }
}

/// The share that arrives at the pool, as far as the proxy acknowledged it; `None`: nobody knows.
fn actual(slot: &Slot, pool: &Pool) -> Option<Ppm> {
    let routing = &slot.routing;
    let Some(acked) = &routing.acked else {
        // The proxy was never told of it, or it is not known whether it took what it was told.
        let untold = routing.sent.is_empty() && routing.refusals == 0;
        return untold.then_some(Ppm::ZERO);
    };
    let share = acked.share(&pool.id);
    // What was sent before it was taken back may be in force.
    let withdrawn = routing.newest().is_some_and(|sent| sent.share(&pool.id) == Ppm::ZERO);
    if share == Ppm::ZERO && withdrawn && routing.in_force().any(|sent| sent.share(&pool.id) > Ppm::ZERO) {
        return None;
    }
    // It still leads to instances that answer no more; a route without them is on its way.
    (share == Ppm::ZERO || routing.reaches(pool)).then_some(share)
}

/// Neither stable nor what is brought in, and instances of it are still there: kept up for a way back, or
/// ending.
fn others<'a>(slot: &'a Slot, shown: Option<&PoolId>) -> impl Iterator<Item = (&'a Pool, ArmRole)> {
    let named = [slot.stable.clone(), slot.candidate.clone(), shown.cloned()];
    let others =
        slot.pools.values().filter(move |pool| !named.contains(&Some(pool.id.clone())) && !pool.instances.is_empty());
    others.map(|pool| {
        let name = if pool.retired { "ending" } else { "previous" };
        (pool, ArmRole::Cohort(name.to_owned()))
    })
}

pub(super) fn waits(state: &State, slot: &Slot, run: &RunState, now: Timestamp) -> Vec<Wait> {
    let mut waits = Vec::new();
    let human = |what: String, who: Option<String>, since| Wait::Human { what, who, since };
    if let Some(pause) = &run.pauses.person {
        waits.push(human("resume".to_owned(), Some(pause.who.clone()), pause.since));
    }
    if let Some(pause) = &run.pauses.hook {
        let why = pause.why.clone().unwrap_or_else(|| "a migration".to_owned());
        waits.push(human(why, None, pause.since));
    }
    if let Some(pause) = &run.pauses.analysis {
        let why = pause.why.clone().unwrap_or_else(|| "no data".to_owned());
        waits.push(human(why, Some(pause.who.clone()), pause.since));
    }
    waits.extend(run.pauses.holds.iter().cloned().map(Wait::Hold));
    if !run.active() || run.rolling_back() || !slot.is_current(run) {
        return waits;
    }
    if matches!(run.progress, Progress::Restarting { .. }) || !candidate_ready(state, slot) {
        waits.push(Wait::Health);
    }
    waits.extend(step_wait(state, slot, run, now));
    waits
}

/// What the current step waits for.
fn step_wait(state: &State, slot: &Slot, run: &RunState, now: Timestamp) -> Option<Wait> {
    let left = |duration: SignedDuration| {
        let left = duration.saturating_sub(run.elapsed).max(SignedDuration::ZERO);
        now.checked_add(left).ok().filter(|_| run.pauses.none())
    };
    match run.current_step()? {
        Step::Pause { duration: None } => {
            let what = format!("promote to {}", ahead(slot, run, run.step + 1));
            Some(Wait::Human { what, who: None, since: run.since })
        }
        Step::Pause { duration: Some(duration) } => left(*duration).map(|at| Wait::Until { at }),
        Step::Analysis { name, duration } => Some(Wait::Analysis { name: name.clone(), until: left(*duration) }),
        Step::Hook { name } if run.pauses.none() => Some(Wait::Gate(format!("hook {name}"))),
        Step::Approval { .. } => {
            let of = &approvals::pending(state, slot, run)?.approval;
            let from = &of.requirement.from;
            let who = (!from.is_empty()).then(|| from.join(", "));
            Some(Wait::Human { what: format!("approval {}", of.id), who, since: of.requested })
        }
        _ => None,
    }
}
