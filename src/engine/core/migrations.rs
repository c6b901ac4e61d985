//! Migrations: which release brings which, whose way back takes which back, what people say of them, and
//! what a restored state knows of them.

use super::commands::{Ask, Done, no, not_found};
use super::context::{StepContext, note_run};
use super::rollout::{placement, previous};
use super::run::{Job, JobStage, Kind, RunState};
use super::state::{Counters, Migrated, MigrationState, Slot, State};
use super::step::{with, with_all};
use super::types::{Effect, JobEnd, SlotKey};
use flightdeck_model::{
    HookSpec, MigrationRollback, MigrationRow, MigrationStanding, Refusal, RefusalKind, ReleaseRef, Spec, Step,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Those of a service in an environment that are configured, in their order.
pub(super) fn configured<'a>(state: &'a State, key: &SlotKey) -> impl Iterator<Item = &'a HookSpec> + use<'a> {
    let hooks = placement(state, key).map(|placement| &placement.hooks);
    hooks.into_iter().flat_map(|hooks| hooks.iter()).filter(|hook| hook.migration.is_some())
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

/// The number of the rollout whose migrations a way back of this one takes back: its own, or that which
/// brought in what is left. `None`: there is no version to return to, or the number is not recorded.
fn taken_back(slot: &Slot, run: &RunState) -> Option<u64> {
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

/// Every migration that is configured or recorded here.
pub(super) fn rows(state: &State, slot: &Slot) -> Vec<MigrationRow> {
    let mut recorded: Vec<&Migrated> = slot.migrations.values().collect();
    recorded.sort_by_key(|of| of.order);
    let known: Vec<&str> = configured(state, &slot.key).map(|hook| hook.name.as_str()).collect();
    // What left the configuration ran before what is in it.
    let gone = recorded.iter().map(|of| of.hook.name.as_str()).filter(|name| !known.contains(name));
    gone.chain(known.iter().copied()).map(|name| row(slot, name)).collect()
}

fn row(slot: &Slot, name: &str) -> MigrationRow {
    let recorded = slot.migrations.get(name);
    let state = match recorded.map(|of| &of.state) {
        None => MigrationStanding::NotApplied,
        Some(MigrationState::Running) => MigrationStanding::Running,
        Some(MigrationState::Applied) => MigrationStanding::Applied,
        Some(MigrationState::Half { why }) => MigrationStanding::HalfWay { why: why.clone() },
        Some(MigrationState::Unknown { why }) => MigrationStanding::Unknown { why: why.clone() },
    };
    MigrationRow {
        name: name.to_owned(),
        state,
        version: recorded.and_then(|of| of.release.as_ref()).map(|release| release.version.clone()),
        rollback: recorded.map_or(MigrationRollback::Nothing, |of| rollback_of(slot, of)),
    }
}

/// What a way back from what is there now would do with it.
fn rollback_of(slot: &Slot, of: &Migrated) -> MigrationRollback {
    let flying = slot.active();
    let nowhere = if flying.is_some() { slot.stable.is_none() } else { previous(slot).is_none() };
    let number = match flying {
        Some(run) => taken_back(slot, run),
        None => slot.lineage.last().and_then(|last| last.number),
    };
    let why = match of.number {
        _ if nowhere => Some("there is no version to return to".to_owned()),
        None => Some("which rollout ran it is not recorded".to_owned()),
        own if own != number => Some("another rollout ran it".to_owned()),
        Some(_) => stays(of),
    };
    why.map_or(MigrationRollback::TakenBack, |why| MigrationRollback::Stays { why })
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
    let known: Vec<String> = rows(state, slot).into_iter().map(|row| row.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
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
fn record(state: &mut State, slot: &mut Slot, name: &str, at: Timestamp, to: MigrationState) {
    let Some(hook) = configured(state, &slot.key).find(|hook| hook.name == name).cloned() else { return };
    let order = Counters::next(&mut state.counters.job);
    let revision = String::new();
    slot.migrations
        .insert(name.to_owned(), Migrated { hook, release: None, revision, order, at, state: to, number: None });
}

/// The state comes from a backup, and what was done to the data since that was made nobody knows. So nothing
/// that was about to run is begun, and nothing is taken back; what is not recorded is not known.
pub fn restored(state: &mut State, made: Timestamp) {
    let lost = |job: &mut Job| {
        if job.stage == JobStage::Running {
            job.stage = JobStage::Ended(JobEnd::Lost);
        }
    };
    state.pending.retain(|numbered| !matches!(numbered.effect, Effect::StartJob(_) | Effect::StopJob { .. }));
    state.restored = Some(made);
    state.applied_since_restore.clear();
    state.away_at_restore = state.removed.keys().chain(state.migrated.keys()).cloned().collect();
    with_all(state, |_, slot| {
        super::one_off::restored(slot);
        super::scheduled::restored(slot);
        if let Some(run) = &mut slot.run {
            let watches = run.watches.values_mut().filter_map(|watch| watch.job.as_mut());
            run.job.iter_mut().chain(watches).for_each(lost);
            let runs = run.job.as_ref().filter(|job| job.back).map(|job| job.hook.clone());
            if let Some(undo) = &mut run.undo {
                undo.retain(|undo| !undo.back || runs.as_ref() == Some(&undo.hook.name));
            }
        }
    });
    let slots = state.slots.values_mut().flat_map(|slot| slot.migrations.values_mut());
    for of in slots.chain(state.migrated.values_mut().flat_map(|all| all.values_mut())) {
        of.number = None;
    }
    unknown(state, made, |_| true);
}

/// A configuration is in force. After a restore that is the first thing known of what its services may have had
/// before, and so it is for a place that had left and is back.
pub(super) fn unknown_of(state: &mut State, spec: &Spec) {
    let Some(made) = state.restored else { return };
    let first = state.applied_since_restore.insert(spec.name.clone());
    let has =
        |key: &SlotKey| spec.services.get(&key.service).is_some_and(|of| of.placements.contains_key(&key.environment));
    let places: BTreeSet<String> = state.slots.keys().filter(|key| has(key)).map(ToString::to_string).collect();
    let back: BTreeSet<String> = state.away_at_restore.extract_if(.., |place| places.contains(place)).collect();
    unknown(state, made, |key| has(key) && (first || back.contains(&key.to_string())));
}

/// What is configured and not recorded may have been run after a backup was made.
fn unknown(state: &mut State, made: Timestamp, of: impl Fn(&SlotKey) -> bool) {
    with_all(state, |state, slot| {
        let configured = configured(state, &slot.key).filter(|_| of(&slot.key));
        let names: Vec<String> = configured.map(|hook| hook.name.clone()).collect();
        for name in names.iter().filter(|name| !slot.migrations.contains_key(*name)).cloned().collect::<Vec<_>>() {
            let why = format!("restored from a backup of {made}, which does not have it");
            record(state, slot, &name, made, MigrationState::Unknown { why });
        }
    });
}
