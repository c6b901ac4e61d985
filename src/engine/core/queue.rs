//! The line: who may start next, and what the others wait for.

use super::context::{StepContext, note_run_progress, words};
use super::ending::{Back, begin_rollback, remember};
use super::plans::first_steps;
use super::pools::new_pool;
use super::slots::placement;
use super::state::{Kind, Progress, RunState, Slot, State, Tally};
use super::types::SlotKey;
use flightdeck_model::{ArmRole, Concurrency, DeploymentOutcome, counted};

/// Lets the first in line start, or take the place of what is in flight, if it may.
pub(super) fn advance_queue(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    let Some(first) = slot.queue.front() else { return };
    if !first.pauses.none() {
        return;
    }
    let name = words(first);
    let author = first.author.clone();
    if let Some(run) = slot.active() {
        let concurrency = placement(state, &slot.key).map_or(Concurrency::Supersede, |of| of.concurrency);
        if concurrency == Concurrency::Supersede && !run.rolling_back() {
            let mut back =
                Back::new(DeploymentOutcome::Superseded, format!("replaced by {name}, asked for by {author}"));
            back.superseded_by = Some(format!("{} {name} by {author}", slot.key.service));
            begin_rollback(state, slot, ctx, &author, back);
        }
        return;
    }
    if blocked(state, slot, first).is_some() {
        return;
    }
    if let Some(run) = slot.queue.pop_front() {
        start(state, slot, ctx, run);
    }
}

/// What the first in line of a slot waits for, in words; `None`: it may start.
pub(super) fn blocked(state: &State, slot: &Slot, first: &RunState) -> Option<String> {
    waits_for_service(state, slot, first).or_else(|| crowded(state, slot, first.asked))
}

/// A service that it builds on must serve, and must not be on its way, nor ahead of it in line.
fn waits_for_service(state: &State, slot: &Slot, first: &RunState) -> Option<String> {
    if matches!(first.kind, Kind::Rollback | Kind::Restart) {
        return None;
    }
    let needed = &state.spec.services.get(&slot.key.service)?.depends_on;
    needed.iter().find_map(|service| {
        let key = SlotKey { service: service.clone(), environment: slot.key.environment.clone() };
        let other = state.slots.get(&key)?;
        if let Some(run) = other.active() {
            return Some(format!("{service}: {} is in flight", words(run)));
        }
        if let Some(ahead) = other.queue.front().filter(|ahead| ahead.pauses.none() && ahead.asked < first.asked) {
            return Some(format!("{service}: {} is in line before it", words(ahead)));
        }
        let serves = other.stable_pool().is_some_and(|pool| pool.ready() > 0);
        (!serves).then(|| format!("{service}: nothing of it serves in {}", key.environment))
    })
}

/// Is the environment at its limit, or is somebody else in line before?
fn crowded(state: &State, slot: &Slot, asked: u64) -> Option<String> {
    let environment = &slot.key.environment;
    let limit = state.spec.environments.get(environment).and_then(|of| of.concurrent_rollouts)?;
    let others = || state.slots.values().filter(|of| of.key.environment == *environment && of.key != slot.key);
    let flying = others().filter(|of| of.active().is_some()).count();
    let goes_first = |of: &Slot| {
        // Who waits for a service keeps nobody else from going.
        of.queue
            .front()
            .is_some_and(|run| run.pauses.none() && run.asked < asked && waits_for_service(state, of, run).is_none())
    };
    let ahead = others().filter(|of| of.active().is_none() && goes_first(of)).count();
    (flying + ahead >= limit as usize)
        .then(|| format!("a place: {environment} allows {} at once", counted(limit, "rollout")))
}

pub(super) fn start(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, mut run: RunState) {
    run.from = slot.stable_pool().map(|pool| pool.release.clone());
    slot.generation += 1;
    let text = if run.kind == Kind::Restart {
        let old = slot.stable_pool().map(|pool| pool.instances.keys().cloned().collect()).unwrap_or_default();
        run.progress = Progress::Restarting { old };
        format!("restarts {}, one instance after the other", run.to.version)
    } else {
        start_candidate(state, slot, &mut run)
    };
    if let Some(old) = slot.run.replace(run) {
        remember(slot, old);
    }
    note_run_progress(state, slot, ctx, "system:engine", text);
}

/// Gives a rollout its pool; says what it does in words.
fn start_candidate(state: &mut State, slot: &mut Slot, run: &mut RunState) -> String {
    slot.candidate = Some(new_pool(state, slot, ArmRole::Candidate, run.to.clone()));
    let Some(from) = run.from.as_ref().filter(|_| slot.stable.is_some()) else {
        run.kind = Kind::First;
        let (steps, left_out) = first_steps(&run.steps, &run.hooks, slot.kind);
        run.steps = steps;
        run.background = None;
        run.progress = if run.steps.is_empty() { Progress::Promoting } else { Progress::Steps };
        let left_out = match left_out.len() {
            0 => String::new(),
            1 => "; a step is left out, since there is nothing to compare with yet".to_owned(),
            n => format!("; {n} steps are left out, since there is nothing to compare with yet"),
        };
        return format!("brings up {}, the first version here{left_out}", run.to.version);
    };
    run.kind = Kind::Canary;
    run.tally = Tally::default();
    run.progress = if run.steps.is_empty() { Progress::Promoting } else { Progress::Steps };
    format!("starts from {} to {}", from.version, run.to.version)
}
