//! A rollout's life: asked for, started, promoted or taken back, ended.

use super::context::{StepContext, note, note_run, run_id, trim, words};
use super::pools::{new_pool, retire, stepped, warm_pool};
use super::run::{Drill, Kind, Measured, Pauses, Progress, RunState, Tally, Watched};
use super::state::{Counters, Slot, State, Succeeded, Warm};
use super::types::SlotKey;
use super::{jobs, migrations, rollback};
use flightdeck_model::{
    ApprovalState, ArmRole, Concurrency, DeploymentKind, DeploymentOutcome, Hold, HoldId, HookOn, HookSpec, Phase,
    Placement, Ppm, ReleaseRef, RollbackPath, RolloutRecord, ServiceKind, Step, Strategy,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settled rollouts kept of a slot, besides the newest.
const HISTORY: usize = 5;
/// Settled approvals kept.
const APPROVALS: usize = 100;
/// Versions that a slot remembers for rollbacks.
const LINEAGE: usize = 20;

/// How traffic goes back, and why.
pub(super) struct Back {
    outcome: DeploymentOutcome,
    why: String,
    pub(super) superseded_by: Option<String>,
}

impl Back {
    pub(super) const fn new(outcome: DeploymentOutcome, why: String) -> Back {
        Back { outcome, why, superseded_by: None }
    }
}

pub(super) fn placement<'a>(state: &'a State, key: &SlotKey) -> Option<&'a Placement> {
    state.spec.services.get(&key.service)?.placements.get(&key.environment)
}

/// A new rollout, not yet in line.
pub(super) fn plan(
    state: &mut State,
    slot: &mut Slot,
    ctx: &StepContext,
    kind: Kind,
    to: ReleaseRef,
    author: &str,
) -> RunState {
    slot.revision += 1;
    slot.generation += 1;
    if ctx.decided < ctx.now {
        rollback::keep(&mut slot.timings.wait, ctx.now.duration_since(ctx.decided));
    }
    let placement = placement(state, &slot.key);
    let strategy = placement.map_or(Strategy::Canary, |placement| placement.strategy);
    let none: Arc<[Step]> = Arc::from(Vec::new());
    let hooks = migrations::hooks(state, &slot.key, kind, &to);
    let steps = placement.filter(|_| stepped(kind)).map_or(none, |of| migrations::steps(&of.steps, &hooks));
    let background = placement.filter(|_| stepped(kind)).and_then(|placement| placement.background_analysis.clone());
    let named = steps.iter().filter_map(|step| match step {
        Step::Analysis { name, .. } => Some(name),
        _ => None,
    });
    let templates: BTreeMap<_, _> = named
        .chain(&background)
        .filter_map(|name| Some((name.clone(), state.analysis(&slot.key.service, name)?.clone())))
        .collect();
    RunState {
        revision: format!("r-{}", slot.revision),
        kind,
        to,
        from: slot.stable_pool().map(|pool| pool.release.clone()),
        author: author.to_owned(),
        asked: Counters::next(&mut state.counters.asked),
        started: ctx.now,
        since: ctx.now,
        phase: Phase::Queued,
        steps,
        templates,
        background,
        progress: Progress::Queued,
        step: 0,
        elapsed: SignedDuration::ZERO,
        waited: SignedDuration::ZERO,
        weight: Ppm::ZERO,
        measured: Measured::default(),
        pauses: Pauses { holds: holds_on(state, &slot.key), ..Pauses::default() },
        cause: String::new(),
        watched: Watched::default(),
        strategy,
        hooks,
        job: None,
        cut_off: None,
        watches: BTreeMap::new(),
        undo: None,
        drill: None,
        tally: Tally::default(),
        diagnosis: None,
    }
}

/// Does the hold mean this slot?
pub(super) fn covers(state: &State, hold: &Hold, key: &SlotKey) -> bool {
    let selector = &hold.selector;
    selector.source.as_ref().is_none_or(|source| *source == state.source)
        && selector.environment.as_ref().is_none_or(|environment| *environment == key.environment)
        && selector.service.as_ref().is_none_or(|service| *service == key.service)
}

fn holds_on(state: &State, key: &SlotKey) -> std::collections::BTreeSet<HoldId> {
    state.holds.iter().filter(|hold| covers(state, hold, key)).map(|hold| hold.id.clone()).collect()
}

/// Puts a rollout in line; it starts at once if nothing is before it. Gives its revision.
pub(super) fn enqueue(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, run: RunState, text: &str) -> String {
    let (revision, author, name) = (run.revision.clone(), run.author.clone(), words(&run));
    let concurrency = placement(state, &slot.key).map_or(Concurrency::Supersede, |of| of.concurrency);
    if concurrency == Concurrency::Supersede {
        for old in std::mem::take(&mut slot.queue) {
            settle_queued(state, slot, ctx, old, DeploymentOutcome::Superseded, &format!("replaced by {name}"));
        }
    }
    slot.queue.push_back(run);
    note(state, slot, ctx, &revision, &author, text);
    revision
}

/// Ends a rollout that never started.
pub(super) fn settle_queued(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    mut run: RunState,
    outcome: DeploymentOutcome,
    why: &str,
) {
    slot.generation += 1;
    why.clone_into(&mut run.cause);
    run.progress = Progress::Ended(outcome);
    run.pauses = Pauses::default();
    run.phase = ended_phase(outcome);
    run.since = ctx.now;
    record(state, slot, ctx, &run, outcome);
    if slot.active().is_some() {
        remember(slot, run);
    } else if let Some(old) = slot.run.replace(run) {
        remember(slot, old);
    }
    ctx.changed = true;
}

pub(super) const fn ended_phase(outcome: DeploymentOutcome) -> Phase {
    match outcome {
        DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack => Phase::Healthy,
        DeploymentOutcome::Aborted => Phase::Aborted,
        DeploymentOutcome::Failed => Phase::Failed,
        DeploymentOutcome::Superseded => Phase::Superseded,
    }
}

fn remember(slot: &mut Slot, mut run: RunState) {
    run.watched = Watched::default();
    slot.history.push_back(run);
    while slot.history.len() > HISTORY {
        slot.history.pop_front();
    }
    trim(slot);
}

fn record(state: &State, slot: &Slot, ctx: &mut StepContext, run: &RunState, outcome: DeploymentOutcome) {
    ctx.ended.push(RolloutRecord {
        run: run_id(state, slot, &run.revision),
        service: slot.key.service.clone(),
        called: None,
        environment: slot.key.environment.clone(),
        from: run.from.as_ref().map(|from| from.version.clone()),
        to: run.to.version.clone(),
        author: Some(run.author.clone()),
        writer: None,
        started: run.started,
        ended: ctx.now,
        outcome,
        cause: run.cause.clone(),
        kind: match run.kind {
            Kind::Rollback if run.drill.is_some() => DeploymentKind::Drill,
            Kind::Rollback => DeploymentKind::Rollback,
            Kind::Restart => DeploymentKind::Restart,
            Kind::First | Kind::Canary => DeploymentKind::Deploy,
        },
        digest: Some(run.to.digest.clone()),
        commit_at: state.release(&slot.key.service, &run.to.version).and_then(|release| release.commit_at),
        // What comes back by a rollback has all traffic in the end.
        reached: Some(if outcome == DeploymentOutcome::RolledBack { Ppm::ALL } else { run.tally.reached }),
        rollback: run.tally.back_took,
        waited: Some(run.tally.waited),
        manual_steps: run.tally.manual,
        steps: Some(run.tally.steps),
        diagnosis: run.diagnosis.clone().filter(|_| outcome != DeploymentOutcome::Succeeded),
    });
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
    note_run(state, slot, ctx, "system:engine", text);
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

/// The plan of a version before which nothing served, and the steps of a whole one that it leaves out: there
/// is nobody to compare with. Hooks, the preview and approvals stay; whatever stood in the plan with a share
/// of the traffic, users get it only once everybody has agreed.
pub(super) fn first_steps(plan: &[Step], hooks: &[HookSpec], kind: ServiceKind) -> (Arc<[Step]>, Vec<Step>) {
    let on = |step: &Step| match step {
        Step::Hook { name } => hooks.iter().find(|hook| hook.name == *name).map(|hook| hook.on),
        _ => None,
    };
    let (before, rest): (Vec<_>, Vec<_>) = plan.iter().cloned().partition(|step| on(step) == Some(HookOn::Before));
    let users = rest.iter().position(|step| matches!(step, Step::SetWeight(_) | Step::Batch { .. }));
    let (unseen, seen) = rest.split_at(users.unwrap_or(rest.len()));
    let is_approval = |step: &&Step| matches!(step, Step::Approval { .. });
    let stays = |step: &&Step| matches!(step, Step::Hook { .. } | Step::Preview) || is_approval(step);
    let gates = unseen.iter().filter(stays).chain(seen.iter().filter(is_approval));
    let gates: Vec<_> = gates.cloned().collect();
    let after: Vec<_> = seen.iter().filter(|step| stays(step) && !is_approval(step)).cloned().collect();
    let up = (!gates.is_empty() || !after.is_empty()).then_some((Step::SetScale(Ppm::ALL), Step::SetWeight(Ppm::ALL)));
    let (scale, switch) = up.unzip();
    let switch = switch.filter(|_| kind != ServiceKind::Worker);
    let steps = before.into_iter().chain(scale).chain(gates).chain(switch).chain(after).collect();
    let compares = |step: &&Step| match step {
        Step::SetWeight(weight) => *weight < Ppm::ALL,
        step => matches!(step, Step::Pause { .. } | Step::Analysis { .. }),
    };
    (steps, rest.iter().filter(compares).cloned().collect())
}

/// Sends all traffic to stable that it can carry, and ends the rollout once the candidate has none.
pub(super) fn begin_rollback(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, who: &str, back: Back) {
    let exposed = slot.exposed();
    if slot.active().is_none_or(RunState::rolling_back) {
        return;
    }
    slot.generation += 1;
    let cut_off = jobs::cancel(state, slot, ctx);
    let path = slot.stable_pool().map(|pool| pool.release.clone()).map(|to| rollback::path(state, slot, &to));
    let Some(run) = &mut slot.run else { return };
    run.tally.back_since = Some(ctx.decided);
    run.tally.back_path = path;
    let why = cut_off.map_or_else(|| back.why.clone(), |cut_off| format!("{}; {cut_off}", back.why));
    let mut said = why.clone();
    if let Some(pause) = run.pauses.person.as_ref().filter(|pause| pause.who != who) {
        said = format!("{said}; this ends the pause by {}", pause.who);
    }
    run.pauses = Pauses::default();
    run.weight = run.weight.min(exposed);
    run.cause = why;
    run.progress = Progress::RollingBack { outcome: back.outcome, elapsed: SignedDuration::ZERO };
    let revision = run.revision.clone();
    let by = back.superseded_by.unwrap_or_else(|| format!("{revision} ended: {}", back.why));
    supersede_approvals(state, slot, &revision, &by);
    note_run(state, slot, ctx, who, said);
}

/// What still waits for a yes of this run waits no more.
pub(super) fn supersede_approvals(state: &mut State, slot: &Slot, revision: &str, by: &str) {
    let run = run_id(state, slot, revision);
    for asked in &mut state.approvals {
        if asked.approval.run == run && asked.approval.state == ApprovalState::Pending {
            asked.approval.state = ApprovalState::Superseded { by: by.to_owned() };
        }
    }
    let settled = state.approvals.iter().filter(|asked| asked.approval.state != ApprovalState::Pending).count();
    let mut drop = settled.saturating_sub(APPROVALS);
    state.approvals.retain(|asked| {
        let old = drop > 0 && asked.approval.state != ApprovalState::Pending;
        drop -= usize::from(old);
        !old
    });
}

/// The rollout in flight is over; its pools are where they should be.
pub(super) fn finish(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    outcome: DeploymentOutcome,
    cause: String,
) {
    slot.generation += 1;
    jobs::cancel(state, slot, ctx);
    let Some(run) = slot.run.as_mut() else { return };
    run.progress = Progress::Ended(outcome);
    run.undo = None;
    run.pauses = Pauses::default();
    run.weight = Ppm::ZERO;
    run.watched = Watched::default();
    run.measured = Measured::default();
    run.cause = cause;
    let run = run.clone();
    supersede_approvals(state, slot, &run.revision, &format!("{} ended", run.revision));
    record(state, slot, ctx, &run, outcome);
    let word = ended_phase(outcome).word();
    note_run(state, slot, ctx, "system:engine", format!("{word}: {}", run.cause));
}

/// All traffic is at the candidate and acknowledged: it is stable from now on.
pub(super) fn promote(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
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
    if let Some(release) = slot.stable_pool().map(|pool| pool.release.clone()) {
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
    let (version, ready, desired) = slot
        .stable_pool()
        .map_or((String::new(), 0, 0), |pool| (pool.release.version.to_string(), pool.ready(), pool.desired));
    let done = match slot.kind {
        ServiceKind::Worker => format!("{ready} of {desired} run {version}"),
        ServiceKind::Http | ServiceKind::Tcp => format!("all traffic is at {version}"),
    };
    finish(state, slot, ctx, DeploymentOutcome::Succeeded, done);
}

pub(super) fn role(slot: &mut Slot, pool: &str, role: ArmRole) {
    if let Some(pool) = slot.pools.get_mut(pool) {
        pool.role = role;
    }
}

/// Where a rollback would go.
pub(super) fn previous(slot: &Slot) -> Option<&ReleaseRef> {
    slot.lineage.len().checked_sub(2).and_then(|at| slot.lineage.get(at)).map(|of| &of.release)
}

/// Returns from the stable version to the one before: that is stable from now on, and what is left
/// is the candidate of an abort.
pub(super) fn roll_back(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    to: &ReleaseRef,
    who: &str,
    (why, drill): (&str, Option<Drill>),
) {
    let path = rollback::path(state, slot, to);
    let mut run = plan(state, slot, ctx, Kind::Rollback, to.clone(), who);
    run.drill = drill;
    run.tally = Tally { back_since: Some(ctx.decided), back_path: Some(path), ..Tally::default() };
    run.pauses = Pauses::default();
    run.weight = Ppm::ALL;
    run.progress = Progress::RollingBack { outcome: DeploymentOutcome::RolledBack, elapsed: SignedDuration::ZERO };
    let warm = warm_pool(slot, to).map(|pool| pool.id.clone());
    let path = match (warm.is_some(), path) {
        (true, _) => "it is still up: one switch",
        (_, RollbackPath::Recreate) => "what serves ends first, then it is started",
        _ => "it is started first",
    };
    run.cause = format!("back to {}: {why}", to.version);
    // How it gets there is true until it is there: the row says it meanwhile.
    let text = format!("{}; {path}", run.cause);
    let target = match warm {
        Some(pool) => {
            slot.warm = None;
            pool
        }
        None => new_pool(state, slot, ArmRole::Stable, to.clone()),
    };
    role(slot, &target, ArmRole::Stable);
    slot.candidate = slot.stable.replace(target);
    if let Some(left) = slot.candidate.clone() {
        role(slot, &left, ArmRole::Candidate);
    }
    if let Some(old) = slot.run.replace(run) {
        remember(slot, old);
    }
    note_run(state, slot, ctx, who, text);
}

/// A rollback whose target can't come up: what served goes on serving.
pub(super) fn give_up_rollback(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, why: &str) {
    let Some(left) = slot.candidate.take() else { return };
    if let Some(target) = slot.stable.replace(left.clone()) {
        retire(slot, &target);
    }
    role(slot, &left, ArmRole::Stable);
    finish(state, slot, ctx, DeploymentOutcome::Failed, why.to_owned());
}
