//! Hooks: programs around a rollout. Each run of one has an id of its own and is begun at most once,
//! whatever crashes; what its end means for the rollout and for the data is decided here.

use super::context::{StepContext, emit, note_run, span};
use super::migrations;
use super::rollout::{Back, begin_rollback, placement};
use super::run::{Drill, Job, JobStage, Pause, RunState};
use super::state::{Counters, Migrated, MigrationState, Slot, State};
use super::types::{Effect, JobEnd, JobEvent, JobLaunch};
use flightdeck_model::{DeploymentOutcome, Diagnosis, HookOn, HookSpec, Ppm, ReleaseRef};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub(super) const WHO: &str = "system:hooks";

/// What the hook of a step says.
pub(super) enum Says {
    /// Not over yet.
    Wait,
    /// Over, or there is nothing to do.
    Passed,
    /// It paused or ended the rollout.
    Acted,
}

/// What the end of a run means.
pub(super) enum Verdict {
    Passed,
    Again,
    Failed(String),
}

pub(super) fn judge(hook: &HookSpec, job: &Job, how: &JobEnd) -> Verdict {
    let more = job.attempt < hook.retries;
    // A migration that did something is not begun over itself.
    let harmless = hook.migration.is_none();
    match how {
        JobEnd::Exited(0) => Verdict::Passed,
        JobEnd::Exited(code) if more && harmless && hook.transient.contains(code) => Verdict::Again,
        JobEnd::Exited(_) | JobEnd::Killed(_) => Verdict::Failed(how.to_string()),
        JobEnd::TimedOut => Verdict::Failed(format!("it took longer than {}", span(hook.timeout))),
        JobEnd::NotStarted(_) if more => Verdict::Again,
        JobEnd::NotStarted(why) => Verdict::Failed(why.clone()),
        // That was not its fault: once more, where a second run does no harm.
        JobEnd::Lost if harmless && job.attempt <= hook.retries => Verdict::Again,
        JobEnd::Lost => {
            Verdict::Failed("it was cut off when its shim or the machine died; how far it came nobody knows".to_owned())
        }
    }
}

fn of_run(run: &RunState, name: &str) -> Option<HookSpec> {
    run.hooks.iter().find(|hook| hook.name == name).cloned()
}

/// Where users and the preview are, and the variables of a program that is run once beside an instance.
pub(super) fn variables(
    state: &State,
    slot: &Slot,
    release: &ReleaseRef,
    mut env: BTreeMap<String, String>,
) -> (Option<SocketAddr>, Option<SocketAddr>, BTreeMap<String, String>) {
    let (listen, preview) = placement(state, &slot.key).map(|of| (of.listen, of.preview)).unwrap_or_default();
    let text = |address: Option<SocketAddr>| address.map_or(String::new(), |address| address.to_string());
    env.extend(
        [
            ("SERVICE", slot.key.service.0.clone()),
            ("ENVIRONMENT", slot.key.environment.0.clone()),
            ("VERSION", release.version.0.clone()),
            ("LISTEN", text(listen)),
            ("PREVIEW", text(preview)),
        ]
        .map(|(name, value)| (format!("FLIGHTDECK_{name}"), value)),
    );
    (listen, preview, env)
}

/// Begins a run of a hook.
pub(super) fn begin(
    state: &mut State,
    slot: &Slot,
    ctx: &mut StepContext,
    hook: &HookSpec,
    release: &ReleaseRef,
    back: bool,
    attempt: u32,
) -> Option<Job> {
    let program = state.spec.program(&slot.key.service, &slot.key.environment)?;
    let from = slot.stable_pool().map(|pool| pool.release.version.0.clone()).unwrap_or_default();
    let (listen, preview, mut env) = variables(state, slot, release, program.env);
    env.extend([("FLIGHTDECK_HOOK".to_owned(), hook.name.clone()), ("FLIGHTDECK_FROM".to_owned(), from)]);
    let way_back = hook.migration.as_ref().filter(|_| back).map(|migration| migration.back.clone());
    let id = format!("job-{}", Counters::next(&mut state.counters.job));
    let launch = JobLaunch {
        job: id.clone(),
        slot: slot.key.clone(),
        hook: hook.name.clone(),
        one_off: false,
        revision: slot.run.as_ref().map(|run| run.revision.clone()),
        repeats: matches!(hook.on, HookOn::While { .. }),
        version: release.version.clone(),
        digest: release.digest.clone(),
        run: way_back.unwrap_or_else(|| hook.run.clone()),
        env,
        secrets: program.secrets,
        listen,
        preview,
        timeout: hook.timeout,
        run_as: program.run_as,
        limits: program.limits,
    };
    emit(state, ctx, Effect::StartJob(Box::new(launch)));
    Some(Job { id, hook: hook.name.clone(), back, attempt, stage: JobStage::Running, since: ctx.now })
}

/// Whatever of it runs is ended, and its files go. False: it was never begun.
pub(super) fn end_job(state: &mut State, ctx: &mut StepContext, id: &str) -> bool {
    state.pending.retain(|numbered| numbered.effect.job() != Some(id));
    // Decided in this very step: then it is never begun.
    let begun = ctx.effects.len();
    ctx.effects.retain(|numbered| numbered.effect.job() != Some(id));
    if ctx.effects.len() < begun {
        return false;
    }
    emit(state, ctx, Effect::EndJob { job: id.to_owned() });
    true
}

/// Takes the end of a run into the state; what follows is decided where the rollout moves.
pub(super) fn happened(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, id: &str, event: &JobEvent) {
    let JobEvent::Ended { how, output, cause } = event else { return };
    let Some(run) = &mut slot.run else { return };
    let of_watches = run.watches.values_mut().filter_map(|watch| watch.job.as_mut());
    let Some(job) = run.job.iter_mut().chain(of_watches).find(|job| job.id == id) else { return };
    if job.stage != JobStage::Running {
        return;
    }
    job.stage = JobStage::Ended(how.clone());
    let (hook, passed) = (job.hook.clone(), *how == JobEnd::Exited(0));
    let found = || Diagnosis {
        output_of: id.to_owned(),
        hook: Some(hook.clone()),
        how: how.to_string(),
        cause: cause.as_deref().cloned(),
        output: output.clone(),
    };
    // On the way back it is known already what failed.
    if !run.rolling_back() || run.diagnosis.is_none() {
        run.diagnosis = (!passed).then(|| Box::new(found()));
    }
    end_job(state, ctx, id);
    // A synthetic transaction that passes each few seconds is no news.
    let watched = slot.run.as_ref().is_some_and(|run| run.watches.contains_key(&hook));
    if !(watched && passed) {
        for line in output {
            note_run(state, slot, ctx, WHO, format!("{hook}: {line}"));
        }
    }
}

/// Does this slot know the run?
pub(super) fn knows(slot: &Slot, id: &str) -> bool {
    slot.run.as_ref().is_some_and(|run| {
        let watches = run.watches.values().filter_map(|watch| watch.job.as_ref());
        run.job.iter().chain(watches).any(|job| job.id == id)
    })
}

/// The hook of the current step.
pub(super) fn step(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, name: &str) -> Says {
    let Some(run) = slot.active() else { return Says::Wait };
    let (to, Some(hook)) = (run.to.clone(), of_run(run, name)) else {
        return fail(state, slot, ctx, format!("there is no hook {name}"));
    };
    let Some(job) = run.job.clone() else {
        if hook.migration.is_some() {
            match slot.migrations.get(name) {
                Some(Migrated { state: MigrationState::Applied, .. }) => {
                    note_run(state, slot, ctx, WHO, format!("migration {name} is there already"));
                    return Says::Passed;
                }
                Some(Migrated { state: MigrationState::Half { why }, .. }) => {
                    return ask_person(state, slot, ctx, &format!("migration {name} stands half way ({why})"));
                }
                Some(Migrated { state: MigrationState::Unknown { why }, .. }) => {
                    return ask_person(state, slot, ctx, &format!("whether migration {name} ran is not known ({why})"));
                }
                Some(Migrated { state: MigrationState::Running, .. }) => {
                    let what = format!("migration {name} stands half way (it was begun before, and has no known end)");
                    return ask_person(state, slot, ctx, &what);
                }
                None => remember(state, slot, ctx, &hook, &to, MigrationState::Running),
            }
        }
        if let Some(why) = &hook.irreversible {
            note_run(state, slot, ctx, WHO, format!("runs {name}, which can't be taken back: {why}"));
        }
        let job = begin(state, slot, ctx, &hook, &to, false, 0);
        return started(slot, job);
    };
    match &job.stage {
        JobStage::Waiting(left) if left.is_zero() => {
            let job = begin(state, slot, ctx, &hook, &to, false, job.attempt + 1);
            started(slot, job)
        }
        JobStage::Running | JobStage::Waiting(_) => Says::Wait,
        JobStage::Ended(how) => match judge(&hook, &job, how) {
            Verdict::Passed => {
                forget_job(slot);
                if hook.migration.is_some() {
                    remember(state, slot, ctx, &hook, &to, MigrationState::Applied);
                }
                note_run(state, slot, ctx, WHO, format!("{name} passed"));
                Says::Passed
            }
            Verdict::Again => {
                again(slot, ctx, &hook);
                Says::Wait
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

/// What it did before it failed nobody knows: it is not run again, and not taken back.
fn failed_migration(slot: &mut Slot, ctx: &mut StepContext, name: &str, how: &JobEnd, why: &str) -> String {
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

/// It is what the rollout waits for now.
pub(super) fn started(slot: &mut Slot, job: Option<Job>) -> Says {
    if let Some(run) = &mut slot.run {
        run.job = job;
    }
    Says::Wait
}

/// Its end was taken in.
pub(super) fn forget_job(slot: &mut Slot) {
    if let Some(run) = &mut slot.run {
        run.job = None;
    }
}

/// Once more, after a pause.
pub(super) fn again(slot: &mut Slot, ctx: &mut StepContext, hook: &HookSpec) {
    if let Some(job) = slot.run.as_mut().and_then(|run| run.job.as_mut()) {
        job.stage = JobStage::Waiting(pause(hook, job.attempt));
        ctx.changed = true;
    }
}

fn pause(hook: &HookSpec, attempt: u32) -> SignedDuration {
    hook.backoff.saturating_mul(1 << attempt.min(10))
}

fn fail(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, why: String) -> Says {
    begin_rollback(state, slot, ctx, WHO, Back::new(DeploymentOutcome::Failed, why));
    Says::Acted
}

fn ask_person(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, what: &str) -> Says {
    let why = format!(
        "{what}: look at the data and put it right, then promote if it is applied, or resume if it is not, to run it"
    );
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.pauses.hook = Some(Pause { who: WHO.to_owned(), why: Some(why.clone()), since: ctx.now });
    }
    note_run(state, slot, ctx, WHO, format!("paused: {why}"));
    Says::Acted
}

fn remember(
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

/// A person has looked at the migration of the current step: applied as it is, or to be run again.
pub(super) fn looked_at(slot: &mut Slot, applied: bool) {
    let Some(run) = &mut slot.run else { return };
    if run.pauses.hook.take().is_none() {
        return;
    }
    let Some(flightdeck_model::Step::Hook { name }) = run.current_step().cloned() else { return };
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
    let Some(run) = slot.active().filter(|run| !run.rolling_back()) else { return false };
    let to = run.to.clone();
    let hooks = run.hooks.clone();
    for hook in hooks.iter() {
        let HookOn::While { every } = hook.on else { continue };
        if !exposed {
            continue;
        }
        let Some(run) = slot.run.as_ref() else { return false };
        let watch = run.watches.get(&hook.name).cloned().unwrap_or_default();
        let mut next = watch.clone();
        match watch.job.as_ref().map(|job| (job, &job.stage)) {
            None if watch.left.is_zero() => next.job = begin(state, slot, ctx, hook, &to, false, 0),
            Some((job, JobStage::Waiting(left))) if left.is_zero() => {
                next.job = begin(state, slot, ctx, hook, &to, false, job.attempt + 1);
            }
            None | Some((_, JobStage::Running | JobStage::Waiting(_))) => {}
            Some((job, JobStage::Ended(how))) => match judge(hook, job, how) {
                Verdict::Passed => {
                    next.job = None;
                    next.left = every;
                }
                Verdict::Again => {
                    next.job = Some(Job { stage: JobStage::Waiting(pause(hook, job.attempt)), ..job.clone() });
                }
                Verdict::Failed(why) => {
                    let why = format!("hook {}: {why}", hook.name);
                    begin_rollback(state, slot, ctx, WHO, Back::new(DeploymentOutcome::Aborted, why));
                    return true;
                }
            },
        }
        if next != watch {
            ctx.changed = true;
        }
        if let Some(run) = &mut slot.run {
            run.watches.insert(hook.name.clone(), next);
        }
    }
    false
}

/// What runs for the rollout in flight is ended. Gives a sentence where that leaves a migration half way.
pub(super) fn cancel(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> Option<String> {
    let run = slot.run.as_mut()?;
    let watches = std::mem::take(&mut run.watches).into_values().filter_map(|watch| watch.job);
    let mut job = run.job.take();
    run.cut_off = job.as_ref().filter(|job| job.stage == JobStage::Running).map(|job| job.id.clone());
    let mut watches: Vec<Job> = watches.collect();
    for job in job.iter_mut().chain(&mut watches).filter(|job| job.stage == JobStage::Running) {
        if !end_job(state, ctx, &job.id) {
            job.stage = JobStage::Ended(JobEnd::NotStarted("its rollout went back first".to_owned()));
        }
    }
    job.and_then(|job| migrations::cut_off(slot, ctx, &job))
}

/// Time passes for hooks that wait to be run again.
pub(super) fn tick(run: &mut RunState, dt: SignedDuration) {
    let less = |left: &mut SignedDuration| *left = left.saturating_sub(dt).max(SignedDuration::ZERO);
    for watch in run.watches.values_mut() {
        less(&mut watch.left);
    }
    let watches = run.watches.values_mut().filter_map(|watch| watch.job.as_mut());
    for job in run.job.iter_mut().chain(watches) {
        if let JobStage::Waiting(left) = &mut job.stage {
            less(left);
        }
    }
}

/// Is a migration of the plan still to be run, which nothing may skip?
pub(super) fn migration_ahead(slot: &Slot, run: &RunState) -> Option<String> {
    let ahead = run.steps.get(run.step as usize..).unwrap_or_default();
    ahead.iter().find_map(|step| match step {
        flightdeck_model::Step::Hook { name } => {
            let migration = of_run(run, name)?.migration.is_some();
            let applied = slot.migrations.get(name).is_some_and(|of| of.state == MigrationState::Applied);
            (migration && !applied).then(|| name.clone())
        }
        _ => None,
    })
}

/// Is it a rehearsal on its way there?
pub(super) fn rehearses(run: &RunState) -> bool {
    run.drill == Some(Drill::Back)
}
