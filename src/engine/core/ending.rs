//! How a rollout ends: its traffic goes back to stable, or it is settled; its record.

use super::context::{StepContext, note_run_progress, run_id, trim};
use super::state::{Kind, Measured, Pauses, Progress, RunState, Slot, State, Watched};
use super::{approvals, jobs, rollback_path};
use flightdeck_model::{DeploymentKind, DeploymentOutcome, Phase, Ppm, RolloutRecord};
use jiff::SignedDuration;

/// Settled rollouts kept of a slot, besides the newest.
const HISTORY: usize = 5;

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

/// Sends all traffic to stable that it can carry, and ends the rollout once the candidate has none.
pub(super) fn begin_rollback(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, who: &str, back: Back) {
    let exposed = slot.exposed();
    if slot.active().is_none_or(RunState::rolling_back) {
        return;
    }
    slot.generation += 1;
    let cut_off = jobs::cancel(state, slot, ctx);
    let path = slot.stable_pool().map(|pool| pool.release.clone()).map(|to| rollback_path::path(state, slot, &to));
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
    approvals::supersede(state, slot, &revision, &by);
    note_run_progress(state, slot, ctx, who, said);
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
    approvals::supersede(state, slot, &run.revision, &format!("{} ended", run.revision));
    record(state, slot, ctx, &run, outcome);
    let word = ended_phase(outcome).word();
    note_run_progress(state, slot, ctx, "system:engine", format!("{word}: {}", run.cause));
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

pub(super) fn remember(slot: &mut Slot, mut run: RunState) {
    run.watched = Watched::default();
    slot.history.push_back(run);
    while slot.history.len() > HISTORY {
        slot.history.pop_front();
    }
    trim(slot);
}
