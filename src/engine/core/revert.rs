//! What a way back does with the data, once traffic is back: hooks for it, then the ways back of
//! migrations, newest first.

use super::context::{StepContext, note_run};
use super::jobs::{Verdict, WHO, again, begin, forget_job, judge, started};
use super::migrations::{applied_by, mark, of_rollback};
use super::state::{JobStage, Kind, MigrationState, RunState, Slot, State, Undo};
use super::types::{Effect, JobEnd};
use flightdeck_model::{HookOn, HookSpec, ReleaseRef};
use std::collections::VecDeque;

/// What there is to run.
fn undo_list(slot: &Slot, run: &RunState) -> VecDeque<Undo> {
    if run.drill.is_some() || run.kind == Kind::Restart {
        return VecDeque::new();
    }
    let left = match run.kind {
        Kind::Rollback => slot.candidate_pool().map(|pool| pool.release.clone()),
        _ => Some(run.to.clone()),
    };
    let Some(left) = left else { return VecDeque::new() };
    let hooks = run.hooks.iter().filter(|hook| hook.on == HookOn::Rollback);
    let hooks = hooks.map(|hook| Undo { hook: hook.clone(), release: left.clone(), back: false });
    let migrations = of_rollback(slot, run).into_iter().filter(|of| of.state == MigrationState::Applied);
    let undo =
        |hook: &HookSpec, release: &ReleaseRef| Undo { hook: hook.clone(), release: release.clone(), back: true };
    let migrations = migrations.filter_map(|of| of.release.as_ref().map(|release| undo(&of.hook, release)));
    hooks.chain(migrations).collect()
}

/// What this rollout applied stays where there is no version to return to that could do without it.
fn nowhere(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    let Some(run) = slot.run.as_ref().filter(|run| run.kind == Kind::First) else { return };
    let names: Vec<_> = applied_by(slot, run).map(|of| of.hook.name.as_str()).collect();
    if !names.is_empty() {
        let text = format!("not taken back, since there is no version to return to: migration {}", names.join(", "));
        tell(state, slot, ctx, text);
    }
}

/// Says it in the rollout's notes, and where it says why it ended.
fn tell(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, text: String) {
    if let Some(run) = &mut slot.run {
        run.cause = format!("{}; {text}", run.cause);
    }
    note_run(state, slot, ctx, WHO, text);
}

/// Runs what the way back has to run, one after the other. True once nothing is left. Traffic is
/// back already: nothing that fails here keeps a rollback from its end.
pub(super) fn undo(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    loop {
        let Some(run) = slot.run.as_ref() else { return true };
        let is_cut_off = |effect: &Effect| effect.job().is_some_and(|job| run.cut_off.as_deref() == Some(job));
        if state.pending.iter().any(|numbered| is_cut_off(&numbered.effect)) {
            return false;
        }
        let Some(list) = run.undo.clone() else {
            let list = undo_list(slot, run);
            ctx.changed |= !list.is_empty();
            nowhere(state, slot, ctx);
            if let Some(run) = &mut slot.run {
                run.undo = Some(list);
            }
            continue;
        };
        let Some(first) = list.front().cloned() else { return true };
        let Some(job) = run.job.clone() else {
            if first.back && first.hook.migration.as_ref().is_none_or(|migration| migration.back.is_empty()) {
                without_a_rollback(state, slot, ctx, &first);
                continue;
            }
            if first.back {
                mark(slot, ctx, &first.hook.name, MigrationState::Running);
            }
            let job = begin(state, slot, ctx, &first.hook, &first.release, first.back, 0);
            if job.is_none() {
                return true;
            }
            started(slot, job);
            return false;
        };
        match &job.stage {
            JobStage::Waiting(left) if left.is_zero() => {
                let job = begin(state, slot, ctx, &first.hook, &first.release, first.back, job.attempt + 1);
                started(slot, job);
                return false;
            }
            JobStage::Running | JobStage::Waiting(_) => return false,
            JobStage::Ended(how) => match judge(&first.hook, &job, how) {
                Verdict::Again => again(slot, ctx, &first.hook),
                Verdict::Passed => undone(state, slot, ctx, &first, None),
                Verdict::Failed(why) => undone(state, slot, ctx, &first, Some((how, &why))),
            },
        }
    }
}

/// A migration without a way back: what is done is done.
fn without_a_rollback(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, undo: &Undo) {
    let name = &undo.hook.name;
    let why = undo.hook.irreversible.as_deref().unwrap_or("it has no way back");
    tell(state, slot, ctx, format!("migration {name} is not taken back: {why}"));
    next_undo(slot, ctx);
}

fn undone(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, undo: &Undo, failed: Option<(&JobEnd, &str)>) {
    let name = undo.hook.name.clone();
    let text = match (failed, undo.back) {
        (None, true) => {
            slot.migrations.remove(&name);
            format!("migration {name} is taken back")
        }
        (None, false) => format!("{name} passed"),
        (Some((JobEnd::NotStarted(_), why)), true) => {
            mark(slot, ctx, &name, MigrationState::Applied);
            format!("migration {name} is not taken back, its way back could not be started: {why}")
        }
        (Some((_, why)), true) => {
            mark(slot, ctx, &name, MigrationState::Half { why: format!("its way back: {why}") });
            format!("migration {name} could not be taken back and stands half way: {why}")
        }
        (Some((_, why)), false) => format!("{name} failed on the way back: {why}"),
    };
    if failed.is_some() || undo.back {
        tell(state, slot, ctx, text);
    } else {
        note_run(state, slot, ctx, WHO, text);
    }
    forget_job(slot);
    next_undo(slot, ctx);
}

fn next_undo(slot: &mut Slot, ctx: &mut StepContext) {
    ctx.changed = true;
    if let Some(list) = slot.run.as_mut().and_then(|run| run.undo.as_mut()) {
        list.pop_front();
    }
}
