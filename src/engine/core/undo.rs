//! What a way back does with the data, once traffic is back: hooks for it, then the ways back of
//! migrations, newest first.

use super::jobs::{Verdict, WHO, again, begin, forget_job, judge, started};
use super::run::{JobStage, Kind, RunState, Undo};
use super::state::{Migrated, MigrationState, Slot, State};
use super::turn::{Turn, note_run};
use super::types::Effect;
use crate::model::{HookOn, ReleaseRef};
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
    let mut done: Vec<&Migrated> = slot.migrations.values().filter(|of| is_undone(of, run, &left)).collect();
    done.sort_by_key(|of| std::cmp::Reverse(of.order));
    let migrations = done.into_iter().map(|of| Undo { hook: of.hook.clone(), release: of.release.clone(), back: true });
    hooks.chain(migrations).collect()
}

fn is_undone(of: &Migrated, run: &RunState, left: &ReleaseRef) -> bool {
    let theirs = if run.kind == Kind::Rollback { of.release == *left } else { of.revision == run.revision };
    theirs && !matches!(of.state, MigrationState::Half { .. })
}

/// What a rollback from `left` leaves as it is, each with its reason.
pub(super) fn cannot_undo(slot: &Slot, run: &RunState, left: &ReleaseRef) -> Vec<String> {
    let migrations = slot.migrations.values().filter(|of| is_undone(of, run, left)).filter_map(|of| {
        let back = of.hook.migration.as_ref().is_some_and(|migration| !migration.back.is_empty());
        let why = of.hook.irreversible.clone().or((!back).then(|| "it has no way back".to_owned()))?;
        Some(format!("migration {}: {why}", of.hook.name))
    });
    let hooks = run.hooks.iter().filter(|hook| hook.migration.is_none());
    let hooks = hooks.filter_map(|hook| Some(format!("{}: {}", hook.name, hook.irreversible.as_ref()?)));
    migrations.chain(hooks).collect()
}

/// Migrations that a rollback takes back, newest first.
pub(super) fn undoes(slot: &Slot, run: &RunState, left: &ReleaseRef) -> Vec<String> {
    let back = |of: &&Migrated| of.hook.migration.as_ref().is_some_and(|migration| !migration.back.is_empty());
    let mut done: Vec<_> = slot.migrations.values().filter(|of| is_undone(of, run, left)).filter(back).collect();
    done.sort_by_key(|of| std::cmp::Reverse(of.order));
    done.iter().map(|of| of.hook.name.clone()).collect()
}

/// Runs what the way back has to run, one after the other. True once nothing is left. Traffic is
/// back already: nothing that fails here keeps a rollback from its end.
pub(super) fn undo(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    loop {
        let Some(run) = slot.run.as_ref() else { return true };
        let is_cut_off = |effect: &Effect| effect.job().is_some_and(|job| run.cut_off.as_deref() == Some(job));
        if state.pending.iter().any(|numbered| is_cut_off(&numbered.effect)) {
            return false;
        }
        let Some(list) = run.undo.clone() else {
            let list = undo_list(slot, run);
            turn.changed |= !list.is_empty();
            if let Some(run) = &mut slot.run {
                run.undo = Some(list);
            }
            continue;
        };
        let Some(first) = list.front().cloned() else { return true };
        let Some(job) = run.job.clone() else {
            if first.back && first.hook.migration.as_ref().is_none_or(|migration| migration.back.is_empty()) {
                stays(state, slot, turn, &first);
                continue;
            }
            if first.back {
                mark(slot, turn, &first.hook.name, MigrationState::Running);
            }
            let job = begin(state, slot, turn, &first.hook, &first.release, first.back, 0);
            if job.is_none() {
                return true;
            }
            started(slot, job);
            return false;
        };
        match &job.stage {
            JobStage::Waiting(left) if left.is_zero() => {
                let job = begin(state, slot, turn, &first.hook, &first.release, first.back, job.attempt + 1);
                started(slot, job);
                return false;
            }
            JobStage::Running | JobStage::Waiting(_) => return false,
            JobStage::Ended(how) => match judge(&first.hook, &job, how) {
                Verdict::Again => again(slot, turn, &first.hook),
                Verdict::Passed => undone(state, slot, turn, &first, None),
                Verdict::Failed(why) => undone(state, slot, turn, &first, Some(&why)),
            },
        }
    }
}

/// A migration without a way back: what is done is done.
fn stays(state: &mut State, slot: &mut Slot, turn: &mut Turn, undo: &Undo) {
    let name = undo.hook.name.clone();
    let cut_off = slot.migrations.get(&name).is_some_and(|of| of.state == MigrationState::Running);
    if cut_off {
        let why = "it did not end well and has no way back".to_owned();
        mark(slot, turn, &name, MigrationState::Half { why });
    }
    note_run(state, slot, turn, WHO, format!("migration {name} is not taken back: it has no way back"));
    next_undo(slot, turn);
}

fn undone(state: &mut State, slot: &mut Slot, turn: &mut Turn, undo: &Undo, failed: Option<&str>) {
    let name = undo.hook.name.clone();
    let text = match (failed, undo.back) {
        (None, true) => {
            slot.migrations.remove(&name);
            format!("migration {name} is taken back")
        }
        (None, false) => format!("{name} passed"),
        (Some(why), true) => {
            mark(slot, turn, &name, MigrationState::Half { why: format!("its way back: {why}") });
            format!("migration {name} could not be taken back: {why}")
        }
        (Some(why), false) => format!("{name} failed on the way back: {why}"),
    };
    if let Some(run) = slot.run.as_mut().filter(|_| failed.is_some()) {
        run.cause = format!("{}; {text}", run.cause);
    }
    note_run(state, slot, turn, WHO, text);
    forget_job(slot);
    next_undo(slot, turn);
}

fn next_undo(slot: &mut Slot, turn: &mut Turn) {
    turn.changed = true;
    if let Some(list) = slot.run.as_mut().and_then(|run| run.undo.as_mut()) {
        list.pop_front();
    }
}

fn mark(slot: &mut Slot, turn: &mut Turn, name: &str, to: MigrationState) {
    if let Some(migrated) = slot.migrations.get_mut(name) {
        migrated.state = to;
        migrated.at = turn.now;
        turn.changed = true;
    }
}
