//! Commands that people have run once in the environment of a service, with what is stable there. Each is begun at
//! most once, whatever crashes, as a hook is.

use super::commands::{Ask, Done, no, not_found};
use super::jobs::{end_job, variables};
use super::state::{Counters, Slot, State};
use super::step::with;
use super::turn::{Turn, emit};
use super::types::{Effect, JobEnd, JobLaunch, SlotKey};
use crate::model::{CommandId, OneOff};
use jiff::SignedDuration;

/// Ended ones that a slot remembers.
const KEPT: usize = 20;
/// So many run at once in a slot.
const MOST: usize = 20;
/// One without a bound of its own.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 365);

/// Runs it in the unpacked artifact of the stable version.
pub(super) fn begin(
    state: &mut State,
    turn: &mut Turn,
    ask: &Ask<'_>,
    (key, command): (&SlotKey, &CommandId),
    run: &[String],
    timeout: Option<SignedDuration>,
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
        let id = format!("job-{}", Counters::next(&mut state.counters.job));
        let (listen, preview, env) = variables(state, slot, &stable, program.env);
        let launch = JobLaunch {
            job: id.clone(),
            slot: key.clone(),
            hook: "run".to_owned(),
            one_off: true,
            revision: None,
            repeats: false,
            version: stable.version.clone(),
            digest: stable.digest,
            run: run.to_vec(),
            env,
            secrets: program.secrets,
            listen,
            preview,
            timeout: timeout.unwrap_or(LONGEST),
            run_as: program.run_as,
            limits: program.limits,
        };
        slot.one_offs.push(OneOff {
            id: id.clone(),
            command: command.clone(),
            by: ask.actor.name.clone(),
            run: run.to_vec(),
            version: stable.version,
            began: turn.now,
            ended: None,
        });
        emit(state, turn, Effect::Run(Box::new(launch)));
        turn.note = Some(id);
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found(format!("{key} is not configured"))))
}

/// Ends one that runs: signalled as an instance of its service is, and killed after the same grace.
pub(super) fn end(state: &mut State, turn: &mut Turn, key: &SlotKey, id: &str) -> Done {
    let done = with(state, key, |state, slot| {
        let of = slot.one_offs.iter().find(|of| of.id == id);
        let of = of.ok_or_else(|| not_found(format!("there is no command {id} in {key}")))?;
        if of.ended.is_some() {
            return Ok(());
        }
        let program = state.spec.program(&key.service, &key.environment);
        let stop = program.ok_or_else(|| not_found(format!("{key} is not configured")))?.stop;
        emit(state, turn, Effect::StopJob { job: id.to_owned(), stop });
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found(format!("{key} is not configured"))))
}

/// Does this slot know it as one that runs?
pub(super) fn knows(slot: &Slot, id: &str) -> bool {
    slot.one_offs.iter().any(|of| of.id == id && of.ended.is_none())
}

/// It has ended.
pub(super) fn ended(state: &mut State, slot: &mut Slot, turn: &mut Turn, id: &str, how: &JobEnd) {
    if let Some(of) = slot.one_offs.iter_mut().find(|of| of.id == id) {
        of.ended = Some((turn.now, how.clone()));
    }
    let over = slot.one_offs.iter().filter(|of| of.ended.is_some()).count();
    if over > KEPT
        && let Some(oldest) = slot.one_offs.iter().position(|of| of.ended.is_some())
    {
        slot.one_offs.remove(oldest);
    }
    end_job(state, turn, id);
}

/// What ran when the backup was made is not known to have ended, and is not begun again.
pub(super) fn restored(slot: &mut Slot) {
    for of in slot.one_offs.iter_mut().filter(|of| of.ended.is_none()) {
        of.ended = Some((of.began, JobEnd::Lost));
    }
}

/// One that runs, in words: `bin/console by ann (job-7)`.
pub(super) fn running(slot: &Slot) -> Option<String> {
    let of = slot.one_offs.iter().find(|of| of.ended.is_none())?;
    Some(format!("{} by {} ({})", of.run.first().map_or("", String::as_str), of.by, of.id))
}
