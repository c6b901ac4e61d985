//! Migrations: which release brings which, whose way back takes which back, where each stands, and what people
//! say of that.

use super::context::{StepContext, note_run};
use super::pins::Ask;
use super::refusals::{Done, no, not_found};
use super::slots::{placement, with, with_all};
use super::state::{Counters, Job, JobStage, Kind, Migrated, MigrationState, RunState, Slot, State};
use super::types::{JobEnd, SlotKey};
use flightdeck_model::{HookSpec, Refusal, RefusalKind, ReleaseRef, Step};
use jiff::Timestamp;
use std::sync::Arc;

/// Those of a service in an environment that are configured, in their order.
pub(super) fn configured<'a>(state: &'a State, key: &SlotKey) -> impl Iterator<Item = &'a HookSpec> + use<'a> {
    let hooks = placement(state, key).map(|placement| &placement.hooks);
    hooks.into_iter().flat_map(|hooks| hooks.iter()).filter(|hook| hook.migration.is_some())
}

/// The names of all that are configured or recorded here.
pub(super) fn known<'a>(state: &'a State, slot: &'a Slot) -> Vec<&'a str> {
    let mut recorded: Vec<&Migrated> = slot.migrations.values().collect();
    recorded.sort_by_key(|of| of.order);
    let configured: Vec<&str> = configured(state, &slot.key).map(|hook| hook.name.as_str()).collect();
    // What left the configuration ran before what is in it.
    let gone = recorded.into_iter().map(|of| of.hook.name.as_str()).filter(|name| !configured.contains(name));
    gone.chain(configured.iter().copied()).collect()
}

fn brings(state: &State, key: &SlotKey, to: &ReleaseRef, name: &str) -> bool {
    state.release(&key.service, &to.version).is_none_or(|release| release.brings(name))
}

/// The hooks that a rollout takes along, as configured now; of migrations those that its release brings.
pub(super) fn hooks(state: &State, key: &SlotKey, kind: Kind, to: &ReleaseRef) -> Arc<[HookSpec]> {
    let Some(placement) = placement(state, key).filter(|_| kind != Kind::Restart) else { return Arc::default() };
    let taken = |hook: &&HookSpec| hook.migration.is_none() || brings(state, key, to, &hook.name);
    placement.hooks.iter().filter(taken).cloned().collect()
}

/// A plan without the steps of hooks that are not taken along.
pub(super) fn steps(steps: &[Step], hooks: &[HookSpec]) -> Arc<[Step]> {
    let taken = |step: &&Step| match step {
        Step::Hook { name } => hooks.iter().any(|hook| hook.name == *name),
        _ => true,
    };
    steps.iter().filter(taken).cloned().collect()
}

/// What a release brings must be there or be configured: else nobody knows how to run it.
pub(super) fn can_be_run(state: &State, slot: &Slot, to: &ReleaseRef) -> Done {
    let release = state.release(&slot.key.service, &to.version);
    let names = release.and_then(|release| release.migrations.as_ref());
    let applied = |name: &str| slot.migrations.get(name).is_some_and(|of| of.state == MigrationState::Applied);
    let lost = |name: &&String| configured(state, &slot.key).all(|hook| hook.name != **name) && !applied(name);
    match names.into_iter().flatten().find(lost) {
        Some(name) => Err(no(format!(
            "{} brings migration {name}, which is neither applied in {} nor configured any more: configure it, or \
             say that it is applied: flightdeck migration applied {} {name}",
            to.version, slot.key.environment, slot.key
        ))),
        None => Ok(()),
    }
}

/// Is a migration of the plan still to be run, which nothing may skip?
pub(super) fn migration_ahead(slot: &Slot, run: &RunState) -> Option<String> {
    let ahead = run.steps.get(run.step as usize..).unwrap_or_default();
    ahead.iter().find_map(|step| match step {
        Step::Hook { name } => {
            let migration = run.hook(name)?.migration.is_some();
            let applied = slot.migrations.get(name).is_some_and(|of| of.state == MigrationState::Applied);
            (migration && !applied).then(|| name.clone())
        }
        _ => None,
    })
}

/// A version that has succeeded needs nothing that is configured later: its list is closed.
pub(super) fn succeeded(state: &mut State, slot: &Slot) {
    let Some(run) = &slot.run else { return };
    let names = run.hooks.iter().filter(|hook| hook.migration.is_some()).map(|hook| hook.name.clone());
    close(state, &slot.key, &run.to, names.collect());
}

fn close(state: &mut State, key: &SlotKey, of: &ReleaseRef, names: Vec<String>) {
    let release = state.releases.get_mut(&key.service).and_then(|all| all.get_mut(&of.version));
    let open = release.filter(|release| {
        release.migrations.is_none() && release.artifacts.iter().any(|artifact| artifact.digest == of.digest)
    });
    if let Some(release) = open {
        release.migrations = Some(names);
    }
}

/// The same for what succeeded before lists were kept, as long as what was configured then still is.
pub(super) fn close_lists(state: &mut State) {
    with_all(state, |state, slot| {
        let names: Vec<String> = configured(state, &slot.key).map(|hook| hook.name.clone()).collect();
        for of in &slot.lineage {
            close(state, &slot.key, &of.release, names.clone());
        }
    });
}

pub(super) fn remember(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    hook: &HookSpec,
    release: &ReleaseRef,
    to: MigrationState,
) {
    let (revision, number) = slot.run.as_ref().map(|run| (run.revision.clone(), run.asked)).unzip();
    let order = match slot.migrations.get(&hook.name) {
        Some(known) => known.order,
        None => Counters::next(&mut state.counters.job),
    };
    let migrated = Migrated {
        hook: hook.clone(),
        release: Some(release.clone()),
        revision: revision.unwrap_or_default(),
        number,
        order,
        at: ctx.now,
        state: to,
    };
    slot.migrations.insert(hook.name.clone(), migrated);
    ctx.changed = true;
}

pub(super) fn mark(slot: &mut Slot, ctx: &mut StepContext, name: &str, to: MigrationState) {
    if let Some(migrated) = slot.migrations.get_mut(name) {
        migrated.state = to;
        migrated.at = ctx.now;
        ctx.changed = true;
    }
}

/// What it did before it failed nobody knows: it is not run again, and not taken back.
pub(super) fn failed_migration(slot: &mut Slot, ctx: &mut StepContext, name: &str, how: &JobEnd, why: &str) -> String {
    ctx.changed = true;
    if matches!(how, JobEnd::NotStarted(_)) {
        slot.migrations.remove(name);
        return format!("migration {name} could not be started: {why}; its data is as before");
    }
    if let Some(migrated) = slot.migrations.get_mut(name) {
        (migrated.state, migrated.at) = (MigrationState::Half { why: why.to_owned() }, ctx.now);
    }
    format!("migration {name} failed half way: {why}; look at its data")
}

/// Where a migration stands whose run was ended with its rollout; in words where a person must look.
pub(super) fn cut_off(slot: &mut Slot, ctx: &mut StepContext, job: &Job) -> Option<String> {
    let migrated = slot.migrations.get_mut(&job.hook).filter(|of| of.state == MigrationState::Running)?;
    ctx.changed = true;
    migrated.at = ctx.now;
    match (&job.stage, job.back) {
        // It had ended, and nobody had acted on that yet.
        (JobStage::Ended(JobEnd::Exited(0)), false) | (JobStage::Ended(JobEnd::NotStarted(_)), true) => {
            migrated.state = MigrationState::Applied;
            None
        }
        (JobStage::Ended(JobEnd::Exited(0)), true) | (JobStage::Ended(JobEnd::NotStarted(_)), false) => {
            slot.migrations.remove(&job.hook);
            None
        }
        (_, back) => {
            let what = if back { "its way back" } else { "it" };
            migrated.state = MigrationState::Half { why: format!("{what} was cut off") };
            Some(format!("migration {} is cut off half way: look at it", job.hook))
        }
    }
}

/// The number of the rollout whose migrations a way back of this one takes back: its own, or that which
/// brought in what is left. `None`: there is no version to return to, or the number is not recorded.
pub(super) fn taken_back(slot: &Slot, run: &RunState) -> Option<u64> {
    match run.kind {
        Kind::Rollback => slot.lineage.last().and_then(|of| of.number),
        Kind::First | Kind::Canary => slot.stable.as_ref().map(|_| run.asked),
        Kind::Restart => None,
    }
}

/// What a way back of this rollout is about, newest first, wherever each stands.
pub(super) fn of_rollback<'a>(slot: &'a Slot, run: &RunState) -> Vec<&'a Migrated> {
    let number = taken_back(slot, run);
    let mut all: Vec<_> = slot.migrations.values().filter(|of| of.number.is_some() && of.number == number).collect();
    all.sort_by_key(|of| std::cmp::Reverse(of.order));
    all
}

/// Those that this rollout applied.
pub(super) fn applied_by<'a>(slot: &'a Slot, run: &RunState) -> impl Iterator<Item = &'a Migrated> + use<'a> {
    let number = run.asked;
    slot.migrations.values().filter(move |of| of.number == Some(number) && of.state == MigrationState::Applied)
}

/// Why a migration stays as it is on the way back of the rollout that ran it; `None`: it is taken back.
pub(super) fn stays(of: &Migrated) -> Option<String> {
    let back = of.hook.migration.as_ref().is_some_and(|migration| !migration.back.is_empty());
    match &of.state {
        MigrationState::Applied if back => None,
        MigrationState::Applied => {
            Some(of.hook.irreversible.clone().unwrap_or_else(|| "it has no way back".to_owned()))
        }
        MigrationState::Running => Some("it runs, and would be cut off half way".to_owned()),
        MigrationState::Half { .. } => Some("it failed half way: look at it".to_owned()),
        MigrationState::Unknown { .. } => Some("whether it ran is not known".to_owned()),
    }
}

/// Migrations that a rollback takes back, newest first.
pub(super) fn undoes(slot: &Slot, run: &RunState) -> Vec<String> {
    let taken = of_rollback(slot, run).into_iter().filter(|of| stays(of).is_none());
    taken.map(|of| of.hook.name.clone()).collect()
}

/// What a rollback from `left` leaves as it is, each with its reason.
pub(super) fn cannot_undo(slot: &Slot, run: &RunState, left: &ReleaseRef) -> Vec<String> {
    let line = |name: &str, why: &str| format!("migration {name}: {why}");
    let own = of_rollback(slot, run).into_iter().filter_map(|of| Some(line(&of.hook.name, &stays(of)?)));
    let nobodys = slot.migrations.values().filter(|of| of.number.is_none() && of.release.as_ref() == Some(left));
    let nobodys = nobodys.map(|of| line(&of.hook.name, "which rollout ran it is not recorded"));
    let hooks = run.hooks.iter().filter(|hook| hook.migration.is_none());
    let hooks = hooks.filter_map(|hook| Some(format!("{}: {}", hook.name, hook.irreversible.as_ref()?)));
    own.chain(nobodys).chain(hooks).collect()
}

/// A person has looked at them: their data is there, or nothing of it is. Nothing is run.
pub(super) fn settle(
    state: &mut State,
    ctx: &mut StepContext,
    ask: &Ask<'_>,
    key: &SlotKey,
    names: &[String],
    applied: bool,
) -> Done {
    let done = with(state, key, |state, slot| {
        let names = meant(state, slot, names, applied)?;
        for name in &names {
            say(state, slot, ctx, name, applied);
        }
        let paused_at = slot.run.as_ref().and_then(|run| match run.current_step() {
            Some(Step::Hook { name }) if run.pauses.hook.is_some() => Some(name.clone()),
            _ => None,
        });
        if let Some(run) = slot.run.as_mut().filter(|_| paused_at.is_some_and(|name| names.contains(&name))) {
            run.pauses.hook = None;
        }
        slot.generation += 1;
        let stands = if applied { "applied" } else { "not applied" };
        let said = format!("{}: {stands}", names.join(", "));
        note_run(state, slot, ctx, &ask.actor.name, ask.because(&format!("told of migrations {said}, nothing is run")));
        ctx.note = Some(said);
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found(format!("{} is not configured in {}", key.service, key.environment))))
}

fn meant(state: &State, slot: &Slot, names: &[String], applied: bool) -> Result<Vec<String>, Refusal> {
    let known = known(state, slot);
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let known = if known.is_empty() { "there are none".to_owned() } else { format!("known: {}", known.join(", ")) };
        return Err(not_found(format!("{} has no migration {name}; {known}", slot.key)));
    }
    let meant = match names {
        [] if applied => configured(state, &slot.key).map(|hook| hook.name.clone()).collect(),
        names => names.to_vec(),
    };
    if meant.is_empty() {
        return Err(Refusal::new(RefusalKind::Invalid, "say which migrations; nothing was done"));
    }
    let cut_off = slot.run.as_ref().and_then(|run| run.cut_off.as_deref());
    if state.pending.iter().any(|numbered| cut_off.is_some() && numbered.effect.job() == cut_off) {
        return Err(no(format!("a hook of {} is still being ended: ask again in a moment", slot.key)));
    }
    let job = slot.run.as_ref().and_then(|run| run.job.as_ref());
    let undo = slot.run.iter().flat_map(|run| run.undo.iter().flatten()).filter(|undo| undo.back);
    let busy = job.map(|job| &job.hook).into_iter().chain(undo.map(|undo| &undo.hook.name));
    match busy.into_iter().find(|busy| meant.contains(busy)) {
        Some(name) => Err(no(format!("migration {name} runs, or is about to: wait until it has ended"))),
        None => Ok(meant),
    }
}

fn say(state: &mut State, slot: &mut Slot, ctx: &StepContext, name: &str, applied: bool) {
    if !applied {
        slot.migrations.remove(name);
    } else if let Some(known) = slot.migrations.get_mut(name) {
        if known.state != MigrationState::Applied {
            (known.state, known.at) = (MigrationState::Applied, ctx.now);
        }
    } else {
        record(state, slot, name, ctx.now, MigrationState::Applied);
    }
}

/// Notes where one stands that no rollout ran.
pub(super) fn record(state: &mut State, slot: &mut Slot, name: &str, at: Timestamp, to: MigrationState) {
    let Some(hook) = configured(state, &slot.key).find(|hook| hook.name == name).cloned() else { return };
    let order = Counters::next(&mut state.counters.job);
    let revision = String::new();
    slot.migrations
        .insert(name.to_owned(), Migrated { hook, release: None, revision, order, at, state: to, number: None });
}
