//! How a rollout moves: one small function for each kind of step.

use super::context::{StepContext, note_run, run_id, span};
use super::pools::{crash_loop, diagnosis, hopeless, needed, trouble};
use super::rollout::{Back, begin_rollback, finish, placement, promote};
use super::run::{Kind, Measured, Progress, RunState};
use super::state::{Asked, Counters, Slot, State};
use super::{jobs, judge, rollback, route};
use flightdeck_model::{
    Approval, ApprovalId, ApprovalState, DeploymentOutcome, Facts, Phase, Ppm, Requirement, ServiceKind, Step, counted,
    counted_do,
};
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
    /// Instances that the candidate needs at its place in the plan.
    pub(super) fn needs(&self, replicas: u32) -> u32 {
        if self.progress == Progress::Promoting {
            return replicas;
        }
        let done = self.steps.get(..=self.step as usize).unwrap_or(&self.steps);
        // Until then nothing of the candidate is started.
        if !done.is_empty() && done.iter().all(|step| matches!(step, Step::Hook { .. } | Step::TakeDown)) {
            return 0;
        }
        let floor = done.iter().rev().find_map(|step| match step {
            Step::SetScale(share) => Some(needed(replicas, *share)),
            Step::Batch { instances, .. } => Some((*instances).min(replicas)),
            _ => None,
        });
        needed(replicas, self.next_share()).max(floor.unwrap_or(0))
    }

    /// The share that instances are needed for: what is asked for next, if that is more.
    pub(super) fn next_share(&self) -> Ppm {
        match self.current_step() {
            Some(Step::SetWeight(weight)) => self.weight.max(*weight),
            _ => self.weight,
        }
    }
}

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
        || jobs::watch(state, slot, ctx)
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

pub(super) fn replicas(state: &State, slot: &Slot) -> u32 {
    placement(state, &slot.key).map_or(1, |placement| placement.replicas.max(1))
}

pub(super) fn deadline(state: &State, slot: &Slot) -> SignedDuration {
    placement(state, &slot.key).map_or(SignedDuration::ZERO, |placement| placement.progress_deadline)
}

/// Are so many of the candidate's instances ready as its share needs?
pub(super) fn candidate_ready(state: &State, slot: &Slot) -> bool {
    let Some(run) = slot.active() else { return false };
    let needs = run.needs(replicas(state, slot));
    slot.candidate_pool().is_some_and(|pool| pool.ready() >= needs)
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

/// One step of the plan. True if there is more to look at.
fn at_step(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let Some(run) = slot.active() else { return false };
    let Some(step) = run.current_step().cloned() else {
        to_promoting(slot);
        ctx.changed = true;
        return true;
    };
    if !candidate_ready(state, slot) {
        return false;
    }
    let text = taken(run, &step);
    let said = match step {
        Step::SetWeight(weight) => set_weight(slot, ctx, weight),
        Step::Pause { duration } => pause(slot, duration),
        Step::Analysis { name, duration } => judge::step(state, slot, ctx, &name, duration).into(),
        Step::Approval { count, from, expires } => {
            let requirement = Requirement { count, from, allow_self: allow_self(state, slot) };
            approval(state, slot, ctx, requirement, expires)
        }
        Step::Preview => preview(state, slot),
        Step::Batch { instances, .. } => batch(state, slot, ctx, instances),
        Step::TakeDown => take_down(slot),
        Step::Hook { name } => jobs::step(state, slot, ctx, &name).into(),
        // A worker works as soon as it runs.
        Step::SetScale(share) if slot.kind == ServiceKind::Worker => set_weight(slot, ctx, share),
        // Its instances are ready. Steps of other backends are not in a configuration here.
        Step::SetScale(_) | Step::Other(_) => Said::Done,
    };
    match said {
        Said::Wait => false,
        Said::Moved => true,
        Said::Done => {
            note_run(state, slot, ctx, "system:engine", text);
            next_step(slot);
            ctx.changed = true;
            true
        }
    }
}

/// What is written down of a step that was taken.
fn taken(run: &RunState, step: &Step) -> String {
    let what = match step {
        Step::SetWeight(weight) => format!("{} has {weight} of traffic", run.to.version),
        Step::Pause { duration: Some(duration) } => format!("the pause of {} is over", span(*duration)),
        Step::Pause { duration: None } => "the pause is over".to_owned(),
        Step::Analysis { name, .. } => format!("analysis {name} passed"),
        Step::Approval { .. } => "approved".to_owned(),
        Step::SetScale(share) => format!("{} has {share} of its instances ready", run.to.version),
        Step::Preview => "the preview address is open".to_owned(),
        Step::Batch { instances, .. } => {
            format!("{} {}", counted_do(*instances, "instance", "run"), run.to.version)
        }
        Step::TakeDown => "nothing of the version before runs any more".to_owned(),
        Step::Hook { name } => format!("hook {name} passed"),
        Step::Other(what) => what.clone(),
    };
    format!("step {} of {}: {what}", run.step + 1, run.steps.len())
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

impl From<jobs::Says> for Said {
    fn from(says: jobs::Says) -> Said {
        match says {
            jobs::Says::Wait => Said::Wait,
            jobs::Says::Passed => Said::Done,
            jobs::Says::Acted => Said::Moved,
        }
    }
}

/// The candidate is reached behind its preview address, if it has one.
fn preview(state: &State, slot: &Slot) -> Said {
    let address = placement(state, &slot.key).and_then(|placement| placement.preview);
    let open = slot.preview.settled() && slot.preview.acked.as_ref().is_some_and(|sent| sent.route.is_some());
    if open || address.is_none() { Said::Done } else { Said::Wait }
}

/// The share of so many instances of a full pool.
pub(super) fn share_of(instances: u32, replicas: u32) -> Ppm {
    super::pools::capacity(instances, replicas)
}

/// So many are the candidate's, have their share of the traffic, and their predecessors are gone.
fn batch(state: &State, slot: &mut Slot, ctx: &mut StepContext, instances: u32) -> Said {
    let full = replicas(state, slot);
    if matches!(set_weight(slot, ctx, share_of(instances, full)), Said::Wait) {
        return Said::Wait;
    }
    let left = slot.stable_pool().map_or(0, |pool| super::state::count(pool.instances.values()));
    if left <= full.saturating_sub(instances) { Said::Done } else { Said::Wait }
}

/// Nothing of stable runs any more.
fn take_down(slot: &Slot) -> Said {
    if slot.stable_pool().is_none_or(|pool| pool.instances.is_empty()) { Said::Done } else { Said::Wait }
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
        run.tally.steps += 1;
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
fn set_weight(slot: &mut Slot, ctx: &mut StepContext, weight: Ppm) -> Said {
    let Some(run) = &mut slot.run else { return Said::Wait };
    if run.weight != weight {
        run.weight = weight;
        ctx.changed = true;
    }
    if slot.exposed() == weight && slot.routing.settled() { Said::Done } else { Said::Wait }
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
    ctx: &mut StepContext,
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
    let what = format!("step {} of {}: then {}", run.step + 1, run.steps.len(), ahead(slot, run, run.step + 1));
    let approval = Approval {
        id: ApprovalId::from(format!("{}-A{number}", state.source)),
        run: id,
        service: slot.key.service.clone(),
        environment: slot.key.environment.clone(),
        what: what.clone(),
        from: run.from.clone(),
        to: run.to.clone(),
        author: run.author.clone(),
        requested: ctx.now,
        expires: expires.and_then(|expires| ctx.now.checked_add(expires).ok()),
        requirement,
        reviewers: None,
        votes: Vec::new(),
        state: ApprovalState::Pending,
        behind: Vec::new(),
        facts: Facts::default(),
    };
    let name = approval.id.to_string();
    state.approvals.push(Asked { approval, step: run.step });
    slot.generation += 1;
    note_run(state, slot, ctx, "system:engine", format!("asks for approval {name}, {what}"));
    Said::Wait
}

/// What comes at or after a step, in words.
pub(super) fn ahead(slot: &Slot, run: &RunState, from: u32) -> String {
    let rest = run.steps.get(from as usize..).unwrap_or_default();
    if slot.kind == ServiceKind::Worker {
        let batch = rest.iter().find_map(|step| match step {
            Step::Batch { instances, .. } => Some(format!("{} of it", counted(*instances, "instance"))),
            _ => None,
        });
        return batch.unwrap_or_else(|| "all instances".to_owned());
    }
    let weight = rest.iter().find_map(|step| match step {
        Step::SetWeight(weight) => Some(format!("{weight} of traffic")),
        _ => None,
    });
    weight.unwrap_or_else(|| "all traffic".to_owned())
}

/// A request that nobody answered in time ends its rollout.
fn expired(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let Some(run) = slot.active() else { return false };
    let id = run_id(state, slot, &run.revision);
    let late = state.approvals.iter_mut().find(|asked| {
        asked.approval.run == id
            && asked.approval.state == ApprovalState::Pending
            && asked.approval.expires.is_some_and(|expires| ctx.now >= expires)
    });
    let Some(late) = late else { return false };
    late.approval.state = ApprovalState::Expired;
    let why = format!("approval {} expired: nobody answered in time", late.approval.id);
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
        let next = old.iter().min_by_key(|id| super::pools::number(id)).cloned();
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

/// Where a rollout stands, for people.
pub(super) fn phase(slot: &Slot, run: &RunState, replicas: u32) -> Phase {
    let current = slot.run.as_ref().is_some_and(|of| of.revision == run.revision);
    match &run.progress {
        Progress::Queued => Phase::Queued,
        Progress::RollingBack { .. } => Phase::RollingBack,
        Progress::Ended(outcome) => {
            let phase = super::rollout::ended_phase(*outcome);
            let weak = current
                && (slot.routing.refused.is_some() || slot.stable_pool().is_some_and(|pool| pool.ready() < replicas));
            if phase == Phase::Healthy && weak { Phase::Degraded } else { phase }
        }
        _ if !run.pauses.none() || waits_for_people(run) => Phase::Paused,
        Progress::Promoting | Progress::Steps if run.kind == Kind::First => Phase::Initializing,
        Progress::Steps | Progress::Promoting | Progress::Restarting { .. } => Phase::Progressing,
    }
}

/// Is it at a step that only people end?
fn waits_for_people(run: &RunState) -> bool {
    matches!(run.current_step(), Some(Step::Pause { duration: None } | Step::Approval { .. }))
}

/// Notices that a phase changed.
pub(super) fn note_phase(state: &State, slot: &mut Slot, ctx: &mut StepContext) {
    let replicas = replicas(state, slot);
    let Some(phase) = slot.run.as_ref().map(|run| phase(slot, run, replicas)) else { return };
    if let Some(run) = slot.run.as_mut().filter(|run| run.phase != phase) {
        run.phase = phase;
        run.since = ctx.now;
        ctx.changed = true;
    }
}
