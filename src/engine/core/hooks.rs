//! Hooks: programs around a rollout. What the end of a run means for the rollout and for the data is decided here.

use super::context::{StepContext, note_run, note_run_progress};
use super::ending::{Back, begin_rollback};
use super::jobs::{Verdict, WHO, again, begin, forget_job, judge, pause, started};
use super::migrations::{failed_migration, remember};
use super::said::Said;
use super::state::{Job, JobStage, MigrationState, Pause, Slot, State, Watch};
use flightdeck_model::{DeploymentOutcome, HookOn, HookSpec, Ppm, ReleaseRef, Step};
use jiff::SignedDuration;

/// The hook of the current step.
pub(super) fn step(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, name: &str) -> Said {
    let Some(run) = slot.active() else { return Said::Wait };
    let (to, Some(hook)) = (run.to.clone(), run.hook(name).cloned()) else {
        return fail(state, slot, ctx, format!("there is no hook {name}"));
    };
    let Some(job) = run.job.clone() else { return first_try(state, slot, ctx, &hook, &to) };
    match &job.stage {
        JobStage::Waiting(left) if left.is_zero() => {
            let job = begin(state, slot, ctx, &hook, &to, false, job.attempt + 1);
            started(slot, job)
        }
        JobStage::Running | JobStage::Waiting(_) => Said::Wait,
        JobStage::Ended(how) => match judge(&hook, &job, how) {
            Verdict::Passed => {
                forget_job(slot);
                if hook.migration.is_some() {
                    remember(state, slot, ctx, &hook, &to, MigrationState::Applied);
                }
                note_run(state, slot, ctx, WHO, format!("{name} passed"));
                Said::Done
            }
            Verdict::Again => {
                again(slot, ctx, &hook);
                Said::Wait
            }
            Verdict::Failed(why) => {
                forget_job(slot);
                let why = if hook.migration.is_some() {
                    failed_migration(slot, ctx, name, how, &why)
                } else {
                    format!("hook {name}: {why}")
                };
                fail(state, slot, ctx, why)
            }
        },
    }
}

/// Begins the hook of a step, unless it is a migration that is there already or that a person must look at first.
fn first_try(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, hook: &HookSpec, release: &ReleaseRef) -> Said {
    let name = &hook.name;
    if hook.migration.is_some() {
        let what = match slot.migrations.get(name).map(|of| &of.state) {
            None => None,
            Some(MigrationState::Applied) => {
                note_run(state, slot, ctx, WHO, format!("migration {name} is there already"));
                return Said::Done;
            }
            Some(MigrationState::Half { why }) => Some(format!("migration {name} stands half way ({why})")),
            Some(MigrationState::Unknown { why }) => Some(format!("whether migration {name} ran is not known ({why})")),
            Some(MigrationState::Running) => {
                Some(format!("migration {name} stands half way (it was begun before, and has no known end)"))
            }
        };
        if let Some(what) = what {
            return ask_person(state, slot, ctx, &what);
        }
        remember(state, slot, ctx, hook, release, MigrationState::Running);
    }
    if let Some(why) = &hook.irreversible {
        note_run(state, slot, ctx, WHO, format!("runs {name}, which can't be taken back: {why}"));
    }
    let job = begin(state, slot, ctx, hook, release, false, 0);
    started(slot, job)
}

fn fail(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, why: String) -> Said {
    begin_rollback(state, slot, ctx, WHO, Back::new(DeploymentOutcome::Failed, why));
    Said::Moved
}

fn ask_person(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, what: &str) -> Said {
    let why = format!(
        "{what}: look at the data and put it right, then promote if it is applied, or resume if it is not, to run it"
    );
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.pauses.hook = Some(Pause { who: WHO.to_owned(), why: Some(why.clone()), since: ctx.now });
    }
    note_run_progress(state, slot, ctx, WHO, format!("paused: {why}"));
    Said::Moved
}

/// A person has looked at the migration of the current step: applied as it is, or to be run again.
pub(super) fn looked_at(slot: &mut Slot, applied: bool) {
    let Some(run) = &mut slot.run else { return };
    if run.pauses.hook.take().is_none() {
        return;
    }
    let Some(Step::Hook { name }) = run.current_step().cloned() else { return };
    match slot.migrations.get_mut(&name) {
        Some(migrated) if applied => migrated.state = MigrationState::Applied,
        _ => {
            slot.migrations.remove(&name);
        }
    }
}

/// Hooks that run again and again while users are at the candidate. True if one of them ended the
/// rollout.
pub(super) fn watch(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let exposed = slot.exposed() > Ppm::ZERO;
    let Some(run) = slot.active().filter(|run| !run.rolling_back() && exposed) else { return false };
    let (to, hooks) = (run.to.clone(), run.hooks.clone());
    for hook in hooks.iter() {
        let HookOn::While { every } = hook.on else { continue };
        let Some(run) = slot.run.as_ref() else { return false };
        let watch = run.watches.get(&hook.name).cloned().unwrap_or_default();
        match watched(state, slot, ctx, hook, &to, every, &watch) {
            Ok(next) => {
                ctx.changed |= next != watch;
                if let Some(run) = &mut slot.run {
                    run.watches.insert(hook.name.clone(), next);
                }
            }
            Err(why) => {
                let why = format!("hook {}: {why}", hook.name);
                begin_rollback(state, slot, ctx, WHO, Back::new(DeploymentOutcome::Aborted, why));
                return true;
            }
        }
    }
    false
}

/// Where a hook that runs again and again stands after this, or why it failed.
fn watched(
    state: &mut State,
    slot: &Slot,
    ctx: &mut StepContext,
    hook: &HookSpec,
    release: &ReleaseRef,
    every: SignedDuration,
    watch: &Watch,
) -> Result<Watch, String> {
    let mut next = watch.clone();
    match watch.job.as_ref().map(|job| (job, &job.stage)) {
        None if watch.left.is_zero() => next.job = begin(state, slot, ctx, hook, release, false, 0),
        Some((job, JobStage::Waiting(left))) if left.is_zero() => {
            next.job = begin(state, slot, ctx, hook, release, false, job.attempt + 1);
        }
        None | Some((_, JobStage::Running | JobStage::Waiting(_))) => {}
        Some((job, JobStage::Ended(how))) => match judge(hook, job, how) {
            Verdict::Passed => next = Watch { job: None, left: every },
            Verdict::Again => {
                next.job = Some(Job { stage: JobStage::Waiting(pause(hook, job.attempt)), ..job.clone() });
            }
            Verdict::Failed(why) => return Err(why),
        },
    }
    Ok(next)
}
