//! A rollout's row: arms, waits, why it stands so, and what could be done to it.

use super::commands::{
    may_abort, may_drill, may_promote, may_promote_full, may_restart, may_resume, may_retry, may_rollback,
    pauses_in_words,
};
use super::context::{run_id, span, words};
use super::holds::may_let_through;
use super::pools::{capacity, diagnosis, trouble};
use super::project::{facts_of, is_pending_approval};
use super::queue::blocked;
use super::rollback::{estimate, rollback_plan};
use super::rollout::placement;
use super::run::{JobStage, Kind, Progress, RunState};
use super::state::{InstanceStage, Pool, Slot, State};
use super::steps::{ahead, candidate_ready, phase};
use super::types::PoolId;
use flightdeck_model::{
    Action, ActionSet, Arm, ArmRole, DeploymentOutcome, Diagnosis, Draining, FailingInstances, Ppm, Replicas,
    RollbackPath, Rollout, ServiceKind, Step, Strategy, Traffic, TrafficSource, Wait, are, counted, counted_do,
    sanitize_line, times,
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
        rollback_plan: is_current(slot, run).then(|| rollback_plan(state, slot, run)).flatten().map(Arc::new),
        listening: placement.and_then(|of| of.listen).filter(|_| is_current(slot, run)).map(|at| slot.listening(at)),
        in_flight: Some(!matches!(run.progress, Progress::Ended(_))),
        failing: if is_current(slot, run) { failing(slot) } else { Vec::new() },
        still_asked: false,
        diagnosis: diagnosed(slot, run),
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
    if matches!(run.progress, Progress::Ended(DeploymentOutcome::Succeeded)) || !is_current(slot, run) {
        return slot.stable_pool().filter(|_| is_current(slot, run)).and_then(diagnosis);
    }
    let pool =
        if matches!(run.progress, Progress::Restarting { .. }) { slot.stable_pool() } else { slot.candidate_pool() };
    run.diagnosis.clone().or_else(|| pool.filter(|_| run.active()).and_then(diagnosis))
}

fn is_current(slot: &Slot, run: &RunState) -> bool {
    slot.run.as_ref().is_some_and(|of| of.revision == run.revision)
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
    };
    arms.extend(slot.stable_pool().map(|pool| arm(pool, ArmRole::Stable)));
    let flying = run.active() && is_current(slot, run);
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
        };
        arms.push(left.map_or_else(none, |pool| arm(pool, ArmRole::Candidate)));
        left.map(|pool| pool.id.clone())
    };
    arms.extend(others(slot, shown.as_ref()).map(|(pool, role)| arm(pool, role)));
    arms
}

/// The share of a pool, as it is asked for and as it is in force; of a worker its instances of a full pool, those that are still
/// to end among them.
fn traffic(slot: &Slot, pool: &Pool, replicas: u32) -> Traffic {
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

fn waits(state: &State, slot: &Slot, run: &RunState, now: Timestamp) -> Vec<Wait> {
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
    if !run.active() || run.rolling_back() || !is_current(slot, run) {
        return waits;
    }
    if matches!(run.progress, Progress::Restarting { .. }) || !candidate_ready(state, slot) {
        waits.push(Wait::Health);
    }
    let left = |duration: SignedDuration| {
        let left = duration.saturating_sub(run.elapsed).max(SignedDuration::ZERO);
        now.checked_add(left).ok()
    };
    match run.current_step() {
        Some(Step::Pause { duration: None }) => {
            waits.push(human(format!("promote to {}", ahead(slot, run, run.step + 1)), None, run.since));
        }
        Some(Step::Pause { duration: Some(duration) }) => {
            waits.extend(left(*duration).filter(|_| run.pauses.none()).map(|at| Wait::Until { at }));
        }
        Some(Step::Analysis { name, duration }) => {
            waits.push(Wait::Analysis { name: name.clone(), until: left(*duration).filter(|_| run.pauses.none()) });
        }
        Some(Step::Hook { name }) if run.pauses.none() => waits.push(Wait::Gate(format!("hook {name}"))),
        Some(Step::Approval { .. }) => {
            if let Some(asked) = is_pending_approval(state, slot, run) {
                let of = &asked.approval;
                let from = &of.requirement.from;
                let who = (!from.is_empty()).then(|| from.join(", "));
                waits.push(human(format!("approval {}", of.id), who, of.requested));
            }
        }
        _ => {}
    }
    waits
}

/// Why it stands as it does, in one line.
fn message(state: &State, slot: &Slot, run: &RunState, now: Timestamp) -> String {
    let mut text = reason(state, slot, run);
    if is_current(slot, run) {
        let troubles = slot.certificates.iter().filter_map(|of| of.trouble.as_ref());
        let troubles = troubles.map(|why| format!("the certificate before stays in force: {why}"));
        let redirect = slot.redirect_refused.iter().map(|why| format!("nobody is sent on to TLS: {why}"));
        let besides =
            slot.routing.lacking.clone().into_iter().chain(troubles).chain(redirect).chain(draining(slot, now));
        besides.for_each(|besides| text = format!("{text}; {besides}"));
    }
    text
}

/// What instances that leave are still waited for, by version.
fn draining(slot: &Slot, now: Timestamp) -> impl Iterator<Item = String> {
    slot.pools.values().filter_map(move |pool| {
        let all = || pool.instances.values().filter_map(|instance| instance.draining);
        let until = all().map(|of| of.until).max()?;
        let requests = all().map(|of| of.requests).sum();
        Some(format!("{} is {}", pool.release.version, Draining { requests, until }.words(now, slot.kind)))
    })
}

fn reason(state: &State, slot: &Slot, run: &RunState) -> String {
    if let Progress::Ended(_) = run.progress {
        return ended(state, slot, run);
    }
    if let Some(words) = pauses_in_words(&run.pauses) {
        return words;
    }
    let behind = match slot.queue.len() {
        0 => String::new(),
        _ if !run.active() => String::new(),
        1 => "; 1 rollout in line behind it".to_owned(),
        more => format!("; {more} rollouts in line behind it"),
    };
    let text = match &run.progress {
        Progress::Queued => queued(state, slot),
        Progress::RollingBack { .. } => rolling_back(slot, run),
        Progress::Promoting => promoting(state, slot, run),
        Progress::Restarting { old } => {
            format!("{} still to be replaced{}", counted(old.len(), "instance"), pool_trouble(slot.stable_pool()))
        }
        Progress::Steps => at_step(state, slot, run),
        Progress::Ended(_) => String::new(),
    };
    format!("{text}{behind}")
}

fn ended(state: &State, slot: &Slot, run: &RunState) -> String {
    if let Some(why) = slot.routing.refused.as_ref().filter(|_| is_current(slot, run)) {
        return format!("not listening: {why}; {}", run.cause);
    }
    let stable = slot.stable_pool().filter(|_| is_current(slot, run));
    match stable.filter(|pool| pool.ready() < pool.desired) {
        Some(pool) => {
            let why = pool_trouble(Some(pool));
            format!("{}; {} of {} instances of stable are ready{why}", run.cause, pool.ready(), pool.desired)
        }
        None => format!("{}{}", run.cause, kept_up(state, slot, run)),
    }
}

/// What stays up for a way back, as long as it does.
fn kept_up(state: &State, slot: &Slot, run: &RunState) -> String {
    let warm = slot.warm.as_ref().filter(|_| is_current(slot, run)).and_then(|warm| slot.pools.get(&warm.pool));
    let Some((pool, placement)) = warm.zip(placement(state, &slot.key)) else { return String::new() };
    format!("; {} stays up for {}", pool.release.version, span(placement.keep_warm))
}

fn pool_trouble(pool: Option<&Pool>) -> String {
    pool.and_then(trouble).map_or(String::new(), |why| format!(": {why}"))
}

fn queued(state: &State, slot: &Slot) -> String {
    if let Some(run) = slot.active() {
        return format!("waits for {}", words(run));
    }
    let waits = slot.queue.front().and_then(|first| blocked(state, slot, first));
    waits.map_or("waits in line".to_owned(), |what| format!("waits in line for {what}"))
}

fn rolling_back(slot: &Slot, run: &RunState) -> String {
    let (ready, desired) = slot.stable_pool().map_or((0, 0), |pool| (pool.ready(), pool.desired));
    if slot.stable.is_some() && ready < desired {
        let why = pool_trouble(slot.stable_pool());
        let way = on_its_way(run);
        return format!("{}{way}; {ready} of {desired} instances of stable are ready{why}", run.cause);
    }
    format!("{}{}", run.cause, on_its_way(run))
}

/// How a rollback gets to its version, until it is there.
fn on_its_way(run: &RunState) -> &'static str {
    match run.tally.back_path {
        _ if run.kind != Kind::Rollback || run.tally.back_took.is_some() => "",
        Some(RollbackPath::Warm) => "; it is still up: one switch",
        Some(RollbackPath::Recreate) => "; what serves ends first, then it is started",
        Some(RollbackPath::Start) => "; it is started first",
        None => "",
    }
}

fn candidate_words(slot: &Slot) -> String {
    let Some(pool) = slot.candidate_pool() else { return "no instance yet".to_owned() };
    let why = pool_trouble(Some(pool));
    format!("{} of {} instances of {} ready{why}", pool.ready(), pool.desired, pool.release.version)
}

fn refused(slot: &Slot) -> Option<String> {
    slot.routing.refused.as_ref().map(|why| format!("the proxy refused the route: {why}"))
}

fn promoting(state: &State, slot: &Slot, run: &RunState) -> String {
    let first = if run.kind == Kind::First { "first version" } else { "to full size" };
    refused(slot).unwrap_or_else(|| {
        if candidate_ready(state, slot) {
            match slot.kind {
                ServiceKind::Worker => format!("every instance of {} runs", run.to.version),
                ServiceKind::Http | ServiceKind::Tcp => format!("all traffic goes to {}", run.to.version),
            }
        } else {
            format!("{first}: {}", candidate_words(slot))
        }
    })
}

fn at_step(state: &State, slot: &Slot, run: &RunState) -> String {
    let at = format!("step {} of {}", run.step + 1, run.steps.len());
    if let Some(refused) = refused(slot) {
        return format!("{at}: {refused}");
    }
    if let Some(Step::TakeDown) = run.current_step() {
        let (down, measured) = estimate(&slot.timings, RollbackPath::Recreate);
        let how_long = down.map_or("how long was never measured here".to_owned(), |down| {
            format!("about {}, as measured {}", span(down), times(measured))
        });
        return format!("{at}: ends what serves, then starts {}; down for {how_long}", run.to.version);
    }
    if !candidate_ready(state, slot) {
        return format!("{at}: {}", candidate_words(slot));
    }
    let next = ahead(slot, run, run.step + 1);
    match run.current_step() {
        Some(Step::SetWeight(weight)) => format!("{at}: {weight} of traffic to {}", run.to.version),
        Some(Step::Pause { duration: None }) => format!("{at}: waits for a promotion, then {next}"),
        Some(Step::Pause { duration: Some(duration) }) => format!("{at}: pause of {}, then {next}", span(*duration)),
        Some(Step::Analysis { name, duration }) => {
            format!("{at}: analysis {name} over {}, then {next}", span(*duration))
        }
        Some(Step::SetScale(_)) => format!("{at}: {}", candidate_words(slot)),
        Some(Step::Preview) => format!("{at}: opens the preview address"),
        Some(Step::Batch { instances, .. }) => {
            let left = slot.stable_pool().map_or(0, |pool| pool.instances.len());
            format!(
                "{at}: {} {}, {left} of the version before {} left",
                counted_do(*instances, "instance", "run"),
                run.to.version,
                are(left)
            )
        }
        Some(Step::Hook { name }) => format!("{at}: {}, then {next}", hook_words(run, name)),
        Some(Step::Approval { count, from, .. }) => {
            let who = if from.is_empty() { String::new() } else { format!(" of {}", from.join(", ")) };
            let yes = is_pending_approval(state, slot, run).map_or(0, |asked| asked.approval.votes.len());
            format!("{at}: waits for approval{who} ({yes} of {count}), then {next}")
        }
        _ => at,
    }
}

fn hook_words(run: &RunState, name: &str) -> String {
    match run.job.as_ref().map(|job| (&job.stage, job.attempt)) {
        Some((JobStage::Waiting(left), attempt)) => {
            format!("hook {name} failed {} and is tried again in {}", times(attempt + 1), span(*left))
        }
        Some((_, attempt)) if attempt > 0 => format!("hook {name} runs, try {}", attempt + 1),
        _ => format!("hook {name} runs"),
    }
}

fn offers(state: &State, slot: &Slot, run: &RunState) -> ActionSet {
    let mut offers = ActionSet::EMPTY;
    let mut offer = |action, may: bool| {
        if may {
            offers.insert(action);
        }
    };
    if run.progress == Progress::Queued {
        offer(Action::Abort, true);
        offer(Action::Pause, run.pauses.person.is_none());
        offer(Action::Resume, run.pauses.person.is_some() && run.pauses.holds.is_empty());
        offer(Action::LetThrough, may_let_through(run).is_ok());
        return offers;
    }
    if !is_current(slot, run) {
        return offers;
    }
    let moving = run.active() && !run.rolling_back();
    offer(Action::Promote, may_promote(slot).is_ok());
    offer(Action::PromoteFull, may_promote_full(state, slot).is_ok());
    offer(Action::Pause, moving && run.pauses.person.is_none());
    offer(Action::Resume, may_resume(slot).is_ok());
    offer(Action::Abort, moving && may_abort(slot).is_ok());
    offer(Action::Rollback, moving || may_rollback(state, slot).is_ok());
    offer(Action::Retry, may_retry(state, slot).is_ok());
    offer(Action::Restart, may_restart(slot).is_ok());
    offer(Action::Drill, may_drill(state, slot).is_ok());
    offer(Action::LetThrough, moving && may_let_through(run).is_ok());
    let asked = moving && is_pending_approval(state, slot, run).is_some();
    offer(Action::Approve, asked);
    offer(Action::Reject, asked);
    offers
}
