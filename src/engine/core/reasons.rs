//! Why a rollout stands as it does, in one line.

use super::approvals;
use super::context::{ahead, span, words};
use super::pools::trouble;
use super::queue::blocked;
use super::rollback_path::estimate;
use super::shares::candidate_ready;
use super::slots::placement;
use super::state::{JobStage, Kind, Pauses, Pool, Progress, RunState, Slot, State};
use flightdeck_model::{Draining, RollbackPath, ServiceKind, Step, are, counted, counted_do, times};
use jiff::Timestamp;

/// What a person stops is told apart from what the program stops.
pub(super) fn pauses_in_words(pauses: &Pauses) -> Option<String> {
    let mut words = Vec::new();
    if let Some(pause) = &pauses.person {
        let why = pause.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        words.push(format!("paused by {}{why}", pause.who));
    }
    words.extend(pauses.holds.iter().map(|hold| format!("held by {hold}")));
    words.extend(pauses.hook.iter().filter_map(|pause| pause.why.clone()));
    words.extend(pauses.analysis.iter().map(|pause| pause.why.clone().unwrap_or_else(|| "no data".to_owned())));
    (!words.is_empty()).then(|| words.join("; "))
}

/// Why it stands as it does, in one line.
pub(super) fn message(state: &State, slot: &Slot, run: &RunState, now: Timestamp) -> String {
    let mut text = reason(state, slot, run);
    if slot.is_current(run) {
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

pub(super) fn reason(state: &State, slot: &Slot, run: &RunState) -> String {
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
    if let Some(why) = slot.routing.refused.as_ref().filter(|_| slot.is_current(run)) {
        return format!("not listening: {why}; {}", run.cause);
    }
    let stable = slot.stable_pool().filter(|_| slot.is_current(run));
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
    let warm = slot.warm.as_ref().filter(|_| slot.is_current(run)).and_then(|warm| slot.pools.get(&warm.pool));
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
            let yes = approvals::pending(state, slot, run).map_or(0, |asked| asked.approval.votes.len());
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
