//! Jobs: what a service has run by the clock, with what is stable. Each of its times is run at most once, whatever
//! crashes: the id of the run and the time that it is of are committed with the effect. A time that passed without a
//! run is not made up for, and said. Holds and pauses are of rollouts: jobs go on.

use super::context::{StepContext, emit};
use super::jobs::{Once, end_job, launch};
use super::refusals::{Done, no, not_found};
use super::slots::placement;
use super::state::{Counters, Slot, State};
use super::types::{Effect, JobEnd};
use flightdeck_model::{JobRun, JobSpec, Missed, MissedRun, ServiceJob, Version};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// So much later a run may begin: a server is restarted in less. The least span between two runs is no shorter.
const LATE: SignedDuration = SignedDuration::from_mins(1);

/// Begins what is due.
pub(super) fn advance(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) {
    let Some(placement) = placement(state, &slot.key).filter(|_| !slot.removed) else { return };
    if placement.jobs.is_empty() && slot.jobs.is_empty() {
        return;
    }
    let wanted = placement.jobs.clone();
    let mut jobs = std::mem::take(&mut slot.jobs);
    ctx.changed |= configure(&mut jobs, &wanted, ctx.now);
    for job in &mut jobs {
        if job.next <= ctx.now && wanted.contains_key(&job.name) {
            due(state, slot, ctx, job);
        }
    }
    slot.jobs = jobs;
}

/// Takes over what is configured; true if that is otherwise than before.
fn configure(jobs: &mut Vec<ServiceJob>, wanted: &BTreeMap<String, JobSpec>, now: Timestamp) -> bool {
    let known = jobs.len();
    // One that left the configuration is remembered until it has ended.
    jobs.retain(|job| job.running.is_some() || wanted.contains_key(&job.name));
    let mut changed = jobs.len() != known;
    for (name, spec) in wanted {
        let next = spec.schedule.after(now);
        let Some(job) = jobs.iter_mut().find(|job| job.name == *name) else {
            let at = jobs.partition_point(|job| job.name < *name);
            let (name, spec) = (name.clone(), spec.clone());
            jobs.insert(at, ServiceJob { name, spec, next, running: None, last: None, missed: None });
            changed = true;
            continue;
        };
        // A clock that was set back by more than a turn is followed, or nothing would run until it is again where
        // it was.
        if job.spec.schedule != spec.schedule || job.next > spec.schedule.after(next) {
            job.next = next;
            changed = true;
        }
        if job.spec != *spec {
            job.spec = spec.clone();
            changed = true;
        }
    }
    changed
}

/// Its time has come, or has passed.
fn due(state: &mut State, slot: &Slot, ctx: &mut StepContext, job: &mut ServiceJob) {
    let schedule = &job.spec.schedule;
    let newest = schedule.until(ctx.now);
    let before = schedule.until(newest.saturating_sub(SignedDuration::from_millis(1)).unwrap_or(Timestamp::MIN));
    if before >= job.next {
        job.missed = Some(MissedRun { due: before, why: Missed::ServerDown });
    }
    job.next = schedule.after(ctx.now);
    ctx.changed = true;
    let begun = if ctx.now.duration_since(newest) > LATE {
        Err(Missed::ServerDown)
    } else if job.running.is_some() {
        Err(Missed::StillRunning)
    } else {
        begin(state, slot, ctx, job, newest).ok_or(Missed::NothingStable)
    };
    match begun {
        Ok(run) => job.running = Some(run),
        Err(why) => job.missed = Some(MissedRun { due: newest, why }),
    }
}

/// Runs it in the unpacked artifact of the stable version; `None`: there is none.
fn begin(state: &mut State, slot: &Slot, ctx: &mut StepContext, job: &ServiceJob, due: Timestamp) -> Option<JobRun> {
    let stable = slot.stable_pool()?.release.clone();
    let program = state.spec.program(&slot.key.service, &slot.key.environment)?;
    let id = format!("job-{}", Counters::next(&mut state.counters.job));
    let JobSpec { run, timeout, .. } = &job.spec;
    let once = Once { id: &id, hook: &job.name, one_off: false, run, timeout: *timeout };
    let launch = launch(state, slot, program, &stable, &once);
    emit(state, ctx, Effect::StartJob(Box::new(launch)));
    Some(JobRun { id, version: stable.version, due, began: ctx.now, ended: None })
}

/// May a person have it run now, with this command line? Two runs of it never overlap.
pub(super) fn may_run(slot: &Slot, name: &str, run: &[String]) -> Done {
    let job = slot.jobs.iter().find(|job| job.name == name);
    let job = job.ok_or_else(|| not_found(format!("{} has no job {name}", slot.key)))?;
    if let Some(running) = &job.running {
        return Err(no(format!(
            "the job {name} runs already, as {}: wait for its end, or end it first; nothing was run",
            running.id
        )));
    }
    if job.spec.run != run {
        return Err(no(format!("the job {name} is configured otherwise by now: ask again; nothing was run")));
    }
    Ok(())
}

/// A person has it run: until that has ended the clock does not start it.
pub(super) fn runs_by_hand(slot: &mut Slot, name: &str, id: &str, version: &Version, now: Timestamp) {
    if let Some(job) = slot.jobs.iter_mut().find(|job| job.name == name) {
        job.running = Some(JobRun { id: id.to_owned(), version: version.clone(), due: now, began: now, ended: None });
    }
}

/// Does this slot know it as one that runs?
pub(super) fn knows(slot: &Slot, id: &str) -> bool {
    running(slot).any(|(_, run)| run.id == id)
}

/// Those that run.
pub(super) fn running(slot: &Slot) -> impl Iterator<Item = (&ServiceJob, &JobRun)> {
    slot.jobs.iter().filter_map(|job| Some((job, job.running.as_ref()?)))
}

/// It has ended.
pub(super) fn ended(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, id: &str, how: &JobEnd) {
    settle(slot, ctx.now, id, how);
    end_job(state, ctx, id);
}

/// If it was a job's run, that is over.
pub(super) fn settle(slot: &mut Slot, now: Timestamp, id: &str, how: &JobEnd) {
    for job in &mut slot.jobs {
        end(job, now, how, |run| run.id == id);
    }
}

/// What ran when the backup was made is not known to have ended, and is not begun again.
pub(super) fn restored(slot: &mut Slot) {
    for job in &mut slot.jobs {
        let began = job.running.as_ref().map_or(job.next, |run| run.began);
        end(job, began, &JobEnd::Lost, |_| true);
    }
}

fn end(job: &mut ServiceJob, at: Timestamp, how: &JobEnd, is_it: impl FnOnce(&mut JobRun) -> bool) {
    let Some(run) = job.running.take_if(is_it) else { return };
    if *how == JobEnd::Exited(0) {
        job.missed.take_if(|missed| missed.due <= run.due);
    }
    job.last = Some(JobRun { ended: Some((at, how.clone())), ..run });
}
