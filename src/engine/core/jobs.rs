//! Runs of programs beside the instances of a slot. Each has an id of its own and is begun at most once, whatever
//! crashes.

use super::context::{StepContext, emit, note_run, span};
use super::migrations;
use super::said::Said;
use super::slots::placement;
use super::state::{Counters, Job, JobStage, RunState, Slot, State};
use super::types::{Effect, JobEnd, JobEvent, JobLaunch};
use flightdeck_model::{Diagnosis, HookOn, HookSpec, Program, ReleaseRef};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Who writes down what hooks do.
pub(super) const WHO: &str = "system:hooks";

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

/// What is run once beside the instances of a slot.
pub(super) struct Once<'a> {
    pub(super) id: &'a str,
    /// What its output is asked for by.
    pub(super) hook: &'a str,
    /// Somebody asked for it.
    pub(super) one_off: bool,
    pub(super) run: &'a [String],
    pub(super) timeout: SignedDuration,
}

/// How to run it in the unpacked artifact of a release.
pub(super) fn launch(state: &State, slot: &Slot, program: Program, release: &ReleaseRef, once: &Once<'_>) -> JobLaunch {
    let (listen, preview, env) = variables(state, slot, release, program.env);
    JobLaunch {
        job: once.id.to_owned(),
        slot: slot.key.clone(),
        hook: once.hook.to_owned(),
        one_off: once.one_off,
        revision: None,
        repeats: false,
        version: release.version.clone(),
        digest: release.digest.clone(),
        run: once.run.to_vec(),
        env,
        secrets: program.secrets,
        listen,
        preview,
        timeout: once.timeout,
        run_as: program.run_as,
        limits: program.limits,
    }
}

/// Where users and the preview are, and the variables of a program that is run once beside an instance.
fn variables(
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
    let way_back = hook.migration.as_ref().filter(|_| back).map(|migration| &migration.back);
    let id = format!("job-{}", Counters::next(&mut state.counters.job));
    let run = way_back.unwrap_or(&hook.run);
    let once = Once { id: &id, hook: &hook.name, one_off: false, run, timeout: hook.timeout };
    let mut launch = launch(state, slot, program, release, &once);
    launch.revision = slot.run.as_ref().map(|run| run.revision.clone());
    launch.repeats = matches!(hook.on, HookOn::While { .. });
    let from = slot.stable_pool().map(|pool| pool.release.version.0.clone()).unwrap_or_default();
    launch.env.extend([("FLIGHTDECK_HOOK".to_owned(), hook.name.clone()), ("FLIGHTDECK_FROM".to_owned(), from)]);
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

/// It is what the rollout waits for now.
pub(super) fn started(slot: &mut Slot, job: Option<Job>) -> Said {
    if let Some(run) = &mut slot.run {
        run.job = job;
    }
    Said::Wait
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

/// How long to wait before the next try.
pub(super) fn pause(hook: &HookSpec, attempt: u32) -> SignedDuration {
    hook.backoff.saturating_mul(1 << attempt.min(10))
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
