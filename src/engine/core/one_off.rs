//! Commands that people have run once in the environment of a service, with what is stable there. Each is begun at
//! most once, whatever crashes, as a hook is.

use super::context::{StepContext, emit};
use super::jobs::{Once, end_job, launch};
use super::pins::Ask;
use super::refusals::{Done, no, not_found};
use super::scheduled;
use super::slots::with;
use super::state::{Counters, Slot, State};
use super::types::{Effect, JobEnd, SlotKey};
use flightdeck_model::{CommandId, OneOff};
use jiff::SignedDuration;

/// Ended ones that a slot remembers.
const KEPT: usize = 20;
/// So many run at once in a slot.
const MOST: usize = 20;
/// One without a bound of its own.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 365);

/// What is asked to be run.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a CommandId,
    pub(super) run: &'a [String],
    pub(super) timeout: Option<SignedDuration>,
    /// As a run of this job.
    pub(super) job: Option<&'a str>,
}

/// Runs it in the unpacked artifact of the stable version.
pub(super) fn begin(
    state: &mut State,
    ctx: &mut StepContext,
    ask: &Ask<'_>,
    key: &SlotKey,
    wanted: &Wanted<'_>,
) -> Done {
    let done = with(state, key, |state, slot| {
        let program = state.spec.program(&key.service, &key.environment).filter(|_| !slot.removed);
        let program = program.ok_or_else(|| not_found(format!("{key} is not configured")))?;
        let stable = slot.stable_pool().map(|pool| pool.release.clone());
        let stable =
            stable.ok_or_else(|| no(format!("nothing is stable in {key} yet: there is nothing to run it with")))?;
        if slot.one_offs.iter().filter(|of| of.ended.is_none()).count() >= MOST {
            return Err(no(format!("{MOST} commands run in {key} already")));
        }
        let Wanted { id: command, run, timeout, job } = *wanted;
        job.map_or(Ok(()), |job| scheduled::may_run(slot, job, run))?;
        let id = format!("job-{}", Counters::next(&mut state.counters.job));
        // The output of a job's run is found with those of its other runs.
        let (hook, one_off) = (job.unwrap_or("run"), job.is_none());
        let once = Once { id: &id, hook, one_off, run, timeout: timeout.unwrap_or(LONGEST) };
        let launch = launch(state, slot, program, &stable, &once);
        if let Some(job) = job {
            scheduled::runs_by_hand(slot, job, &id, &stable.version, ctx.now);
        }
        slot.one_offs.push(OneOff {
            id: id.clone(),
            command: command.clone(),
            by: ask.actor.name.clone(),
            run: run.to_vec(),
            version: stable.version,
            began: ctx.now,
            ended: None,
        });
        emit(state, ctx, Effect::StartJob(Box::new(launch)));
        ctx.note = Some(id);
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found(format!("{key} is not configured"))))
}

/// Ends one that runs, or a run of a job: signalled as an instance of its service is, and killed after the same grace.
pub(super) fn end(state: &mut State, ctx: &mut StepContext, key: &SlotKey, id: &str) -> Done {
    let done = with(state, key, |state, slot| {
        if !knows(slot, id) && !scheduled::knows(slot, id) {
            let ended = slot.jobs.iter().filter_map(|job| job.last.as_ref()).any(|run| run.id == id)
                || slot.one_offs.iter().any(|of| of.id == id);
            return if ended { Ok(()) } else { Err(not_found(format!("there is no command {id} in {key}"))) };
        }
        let program = state.spec.program(&key.service, &key.environment);
        let stop = program.ok_or_else(|| not_found(format!("{key} is not configured")))?.stop;
        emit(state, ctx, Effect::StopJob { job: id.to_owned(), stop });
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found(format!("{key} is not configured"))))
}

/// Does this slot know it as one that runs?
pub(super) fn knows(slot: &Slot, id: &str) -> bool {
    slot.one_offs.iter().any(|of| of.id == id && of.ended.is_none())
}

/// It has ended.
pub(super) fn ended(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, id: &str, how: &JobEnd) {
    if let Some(of) = slot.one_offs.iter_mut().find(|of| of.id == id) {
        of.ended = Some((ctx.now, how.clone()));
    }
    scheduled::settle(slot, ctx.now, id, how);
    let over = slot.one_offs.iter().filter(|of| of.ended.is_some()).count();
    if over > KEPT
        && let Some(oldest) = slot.one_offs.iter().position(|of| of.ended.is_some())
    {
        slot.one_offs.remove(oldest);
    }
    end_job(state, ctx, id);
}

/// What ran when the backup was made is not known to have ended, and is not begun again.
pub(super) fn restored(slot: &mut Slot) {
    for of in slot.one_offs.iter_mut().filter(|of| of.ended.is_none()) {
        of.ended = Some((of.began, JobEnd::Lost));
    }
}

/// One that runs, or a job that does, in words: `bin/console by ann (job-7)`.
pub(super) fn running(slot: &Slot) -> Option<String> {
    let asked = slot.one_offs.iter().filter(|of| of.ended.is_none());
    let asked = asked.map(|of| format!("{} by {} ({})", of.run.first().map_or("", String::as_str), of.by, of.id));
    let jobs = scheduled::running(slot).map(|(job, run)| format!("the job {} ({})", job.name, run.id));
    asked.chain(jobs).next()
}
