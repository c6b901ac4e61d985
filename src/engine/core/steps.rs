//! How a rollout moves: one small function for each kind of step.

use super::judge;
use super::pools::{hopeless, needed, retire, trouble};
use super::rollout::{Back, begin_rollback, finish, give_up_rollback, placement, promote};
use super::route::stable_capacity;
use super::state::{Asked, Counters, Kind, Measured, Pool, Progress, RunState, Slot, State};
use super::turn::{Turn, note_run, run_id, span};
use crate::model::{Approval, ApprovalId, ApprovalState, DeploymentOutcome, Facts, Phase, Ppm, Requirement, Step};
use jiff::SignedDuration;

/// What a step says when it is asked how far it is.
enum Said {
    /// Not yet.
    Wait,
    /// The next one.
    Done,
    /// The state has changed: somebody else decides.
    Moved,
}

impl RunState {
    /// The share that instances are needed for: what is asked for next, if that is more.
    pub(super) fn next_share(&self) -> Ppm {
        match self.current_step() {
            Some(Step::SetWeight(weight)) => self.weight.max(*weight),
            _ => self.weight,
        }
    }
}

/// Moves the rollout in flight as far as it can go now.
pub(super) fn advance(state: &mut State, slot: &mut Slot, turn: &mut Turn) {
    let rounds = slot.run.as_ref().map_or(0, |run| run.steps.len()) + 3;
    for _ in 0..rounds {
        if !advance_once(state, slot, turn) {
            break;
        }
    }
}

fn advance_once(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    let Some(run) = slot.active() else { return false };
    if run.rolling_back() {
        return back(state, slot, turn);
    }
    if unable(state, slot, turn) || judge::background(state, slot, turn) || expired(state, slot, turn) {
        return true;
    }
    let Some(run) = slot.active().filter(|run| run.pauses.none()) else { return false };
    match &run.progress {
        Progress::Steps => at_step(state, slot, turn),
        Progress::Promoting => promoting(state, slot, turn),
        Progress::Restarting { .. } => restarting(state, slot, turn),
        _ => false,
    }
}

fn replicas(state: &State, slot: &Slot) -> u32 {
    placement(state, &slot.key).map_or(1, |placement| placement.replicas.max(1))
}

fn deadline(state: &State, slot: &Slot) -> SignedDuration {
    placement(state, &slot.key).map_or(SignedDuration::ZERO, |placement| placement.progress_deadline)
}

/// Are so many of the candidate's instances ready as its share needs?
pub(super) fn candidate_ready(state: &State, slot: &Slot) -> bool {
    let Some(run) = slot.active() else { return false };
    let needs = match run.progress {
        Progress::Promoting => replicas(state, slot),
        _ => needed(replicas(state, slot), run.next_share()),
    };
    slot.candidate_pool().is_some_and(|pool| pool.ready() >= needs)
}

/// Fails a rollout that can't come up: an instance that can never start, or the deadline.
fn unable(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    let Some(run) = slot.active() else { return false };
    let restarting = matches!(run.progress, Progress::Restarting { .. });
    let pool = if restarting { slot.stable_pool() } else { slot.candidate_pool() };
    let late = run.waited >= deadline(state, slot);
    let why = match pool.and_then(hopeless) {
        Some(why) => format!("{} can't start: {why}", run.to.version),
        None if late && run.pauses.none() => waited_for(state, slot),
        None => return false,
    };
    begin_rollback(state, slot, turn, "system:engine", Back::new(DeploymentOutcome::Failed, why));
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

/// One step of the plan. True if there is more to look at.
fn at_step(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    let Some(run) = slot.active() else { return false };
    let Some(step) = run.current_step().cloned() else {
        to_promoting(slot);
        turn.changed = true;
        return true;
    };
    if !candidate_ready(state, slot) {
        return false;
    }
    let said = match step {
        Step::SetWeight(weight) => set_weight(slot, turn, weight),
        Step::Pause { duration } => pause(slot, duration),
        Step::Analysis { name, duration } => judge::step(state, slot, turn, &name, duration).into(),
        Step::Approval { count, from, expires } => {
            let requirement = Requirement { count, from, allow_self: allow_self(state, slot) };
            approval(state, slot, turn, requirement, expires)
        }
        // The configuration has no such steps here.
        Step::SetScale(_)
        | Step::Preview
        | Step::Batch { .. }
        | Step::TakeDown
        | Step::Hook { .. }
        | Step::Other(_) => Said::Done,
    };
    match said {
        Said::Wait => false,
        Said::Moved => true,
        Said::Done => {
            next_step(slot);
            turn.changed = true;
            true
        }
    }
}

impl From<judge::StepSays> for Said {
    fn from(says: judge::StepSays) -> Said {
        match says {
            judge::StepSays::Wait => Said::Wait,
            judge::StepSays::Passed => Said::Done,
            judge::StepSays::Acted => Said::Moved,
        }
    }
}

fn to_promoting(slot: &mut Slot) {
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.progress = Progress::Promoting;
        run.elapsed = SignedDuration::ZERO;
        run.waited = SignedDuration::ZERO;
    }
}

/// The next step begins.
pub(super) fn next_step(slot: &mut Slot) {
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.step += 1;
        run.elapsed = SignedDuration::ZERO;
        run.waited = SignedDuration::ZERO;
        run.measured = Measured::default();
        if run.step as usize >= run.steps.len() {
            run.progress = Progress::Promoting;
        }
    }
}

/// All that is left is skipped: to full size, then all traffic.
pub(super) fn skip_steps(slot: &mut Slot) {
    if let Some(run) = &mut slot.run {
        run.step = u32::try_from(run.steps.len()).unwrap_or(u32::MAX);
        run.measured = Measured::default();
    }
    to_promoting(slot);
}

/// Instances are ready: ask for the weight, and wait until the proxy follows it.
fn set_weight(slot: &mut Slot, turn: &mut Turn, weight: Ppm) -> Said {
    let acked = slot.exposed();
    let Some(run) = &mut slot.run else { return Said::Wait };
    if run.weight != weight {
        run.weight = weight;
        turn.changed = true;
    }
    if acked == weight && slot.routing.settled() { Said::Done } else { Said::Wait }
}

fn pause(slot: &Slot, duration: Option<SignedDuration>) -> Said {
    match (duration, slot.active()) {
        (Some(duration), Some(run)) if run.elapsed >= duration => Said::Done,
        _ => Said::Wait,
    }
}

fn allow_self(state: &State, slot: &Slot) -> bool {
    state.spec.environments.get(&slot.key.environment).is_some_and(|environment| environment.allow_self)
}

fn approval(
    state: &mut State,
    slot: &mut Slot,
    turn: &mut Turn,
    requirement: Requirement,
    expires: Option<SignedDuration>,
) -> Said {
    let Some(run) = slot.active() else { return Said::Wait };
    let id = run_id(state, slot, &run.revision);
    let asked = state.approvals.iter().find(|asked| asked.approval.run == id && asked.step == run.step);
    match asked.map(|asked| &asked.approval.state) {
        Some(ApprovalState::Approved) => return Said::Done,
        Some(_) => return Said::Wait,
        None => {}
    }
    let number = Counters::next(&mut state.counters.approval);
    let what = format!("step {} of {}: then {}", run.step + 1, run.steps.len(), ahead(run, run.step + 1));
    let approval = Approval {
        id: ApprovalId::from(format!("{}-A{number}", state.source)),
        run: id,
        service: slot.key.service.clone(),
        environment: slot.key.environment.clone(),
        what: what.clone(),
        from: run.from.clone(),
        to: run.to.clone(),
        author: run.author.clone(),
        requested: turn.now,
        expires: expires.and_then(|expires| turn.now.checked_add(expires).ok()),
        requirement,
        votes: Vec::new(),
        state: ApprovalState::Pending,
        behind: Vec::new(),
        facts: Facts::default(),
    };
    let name = approval.id.to_string();
    state.approvals.push(Asked { approval, step: run.step });
    slot.generation += 1;
    note_run(state, slot, turn, "system:engine", format!("asks for approval {name}, {what}"));
    Said::Wait
}

/// What comes at or after a step, in words.
pub(super) fn ahead(run: &RunState, from: u32) -> String {
    let rest = run.steps.get(from as usize..).unwrap_or_default();
    let weight = rest.iter().find_map(|step| match step {
        Step::SetWeight(weight) => Some(format!("{weight} of traffic")),
        _ => None,
    });
    weight.unwrap_or_else(|| "all traffic".to_owned())
}

/// A request that nobody answered in time ends its rollout.
fn expired(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    let Some(run) = slot.active() else { return false };
    let id = run_id(state, slot, &run.revision);
    let late = state.approvals.iter_mut().find(|asked| {
        asked.approval.run == id
            && asked.approval.state == ApprovalState::Pending
            && asked.approval.expires.is_some_and(|expires| turn.now >= expires)
    });
    let Some(late) = late else { return false };
    late.approval.state = ApprovalState::Expired;
    let why = format!("approval {} expired: nobody answered in time", late.approval.id);
    begin_rollback(state, slot, turn, "system:engine", Back::new(DeploymentOutcome::Aborted, why));
    true
}

/// To full size, then all traffic, then it is stable.
fn promoting(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    let acked = slot.exposed();
    let ready = candidate_ready(state, slot);
    let settled = slot.routing.settled();
    let Some(run) = &mut slot.run else { return false };
    if run.weight != Ppm::ALL {
        if !ready {
            return false;
        }
        run.weight = Ppm::ALL;
        turn.changed = true;
    }
    if acked == Ppm::ALL && settled && ready {
        promote(state, slot, turn);
        return true;
    }
    false
}

/// One more of the old instances goes once its replacement serves.
fn restarting(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    let full = replicas(state, slot);
    let settled = slot.routing.settled();
    let (Some(run), Some(id)) = (&mut slot.run, &slot.stable) else { return false };
    let (Progress::Restarting { old }, Some(pool)) = (&mut run.progress, slot.pools.get_mut(id)) else { return false };
    let before = old.len();
    old.retain(|id| pool.instances.get(id).is_some_and(|instance| !instance.leaving));
    turn.changed |= old.len() != before;
    let ready = pool.ready();
    if old.is_empty() {
        if ready >= full && settled && pool.staying() == full {
            let version = run.to.version.clone();
            finish(state, slot, turn, DeploymentOutcome::Succeeded, format!("every instance of {version} is new"));
            return true;
        }
        return false;
    }
    if ready > full && settled {
        // The next one in the order they were started.
        let next = old.iter().min_by_key(|id| super::pools::number(id)).cloned();
        if let Some(instance) = next.and_then(|id| pool.instances.get_mut(&id)) {
            instance.leaving = true;
            run.waited = SignedDuration::ZERO;
            turn.changed = true;
        }
        return true;
    }
    false
}

/// Traffic goes back as far as stable can carry it; then the rollout ends.
fn back(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    let (capacity, late) = (stable_capacity(state, slot), back_late(state, slot));
    let stable_ready = slot.stable_pool().map_or(0, Pool::ready);
    let candidate_ready = slot.candidate_pool().map_or(0, Pool::ready);
    let Some(run) = &mut slot.run else { return false };
    let Progress::RollingBack { outcome, .. } = run.progress else { return false };
    let kind = run.kind;
    let all = candidate_ready == 0 || slot.stable.is_none() || (late && stable_ready > 0);
    let weight = run.weight.min(if all { Ppm::ZERO } else { capacity.rest() });
    if weight != run.weight {
        run.weight = weight;
        turn.changed = true;
    }
    let cause = run.cause.clone();
    if kind == Kind::Rollback {
        let lost = slot.stable_pool().and_then(hopeless).map(ToOwned::to_owned);
        if stable_ready == 0 && (late || lost.is_some()) {
            let why = lost.or_else(|| slot.stable_pool().and_then(trouble)).unwrap_or("it never was ready".to_owned());
            give_up_rollback(state, slot, turn, &format!("could not go back: {why}; what served goes on serving"));
            return true;
        }
        if capacity < Ppm::ALL && !(late && stable_ready > 0) {
            return false;
        }
    }
    let gone = slot.candidate.as_ref().is_none_or(|pool| slot.routing.in_force().all(|s| s.weight(pool) == Ppm::ZERO));
    let closed = slot.stable.is_some() || slot.routing.newest().is_none_or(|sent| sent.route.is_none());
    if weight > Ppm::ZERO || !gone || !closed || !slot.routing.settled() {
        return false;
    }
    end_back(state, slot, turn, outcome, cause);
    true
}

fn back_late(state: &State, slot: &Slot) -> bool {
    matches!(slot.active().map(|run| &run.progress),
        Some(Progress::RollingBack { elapsed, .. }) if *elapsed >= deadline(state, slot))
}

fn end_back(state: &mut State, slot: &mut Slot, turn: &mut Turn, outcome: DeploymentOutcome, cause: String) {
    if let Some(pool) = slot.candidate.take() {
        retire(slot, &pool);
    }
    if outcome == DeploymentOutcome::RolledBack {
        slot.lineage.pop();
    }
    finish(state, slot, turn, outcome, cause);
}

/// Time passes for the rollout in flight: a wait that can move moves, else the deadline comes closer.
pub(super) fn tick(state: &State, slot: &mut Slot, dt: SignedDuration) {
    let ready = candidate_ready(state, slot);
    let exposed = slot.exposed() > Ppm::ZERO;
    let Some(run) = slot.run.as_mut().filter(|run| run.active()) else { return };
    if let Progress::RollingBack { elapsed, .. } = &mut run.progress {
        *elapsed = elapsed.saturating_add(dt);
        return;
    }
    if exposed {
        run.watched.exposed = run.watched.exposed.saturating_add(dt);
    }
    if !run.pauses.none() {
        return;
    }
    let moving = ready && !matches!(run.current_step(), None | Some(Step::SetWeight(_)));
    let timer = if moving { &mut run.elapsed } else { &mut run.waited };
    *timer = timer.saturating_add(dt);
}

/// Where a rollout stands, for people.
pub(super) fn phase(slot: &Slot, run: &RunState, replicas: u32) -> Phase {
    let current = slot.run.as_ref().is_some_and(|of| of.revision == run.revision);
    match &run.progress {
        Progress::Queued => Phase::Queued,
        Progress::RollingBack { .. } => Phase::RollingBack,
        Progress::Ended(outcome) => {
            let phase = super::rollout::ended_phase(*outcome);
            let weak = current && slot.stable_pool().is_some_and(|pool| pool.ready() < replicas);
            if phase == Phase::Healthy && weak { Phase::Degraded } else { phase }
        }
        _ if !run.pauses.none() => Phase::Paused,
        Progress::Promoting if run.kind == Kind::First => Phase::Initializing,
        Progress::Steps => match run.current_step() {
            Some(Step::Pause { duration: None } | Step::Approval { .. }) => Phase::Paused,
            _ => Phase::Progressing,
        },
        Progress::Promoting | Progress::Restarting { .. } => Phase::Progressing,
    }
}

/// Notices that a phase changed.
pub(super) fn note_phase(state: &State, slot: &mut Slot, turn: &mut Turn) {
    let replicas = replicas(state, slot);
    let Some(phase) = slot.run.as_ref().map(|run| phase(slot, run, replicas)) else { return };
    if let Some(run) = slot.run.as_mut().filter(|run| run.phase != phase) {
        run.phase = phase;
        run.since = turn.now;
        turn.changed = true;
    }
}
