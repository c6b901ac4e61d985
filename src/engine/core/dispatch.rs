//! Which command is about what: found by what it names, its pin tested, and handed on.

use super::commands::{on_current, on_queued};
use super::context::{StepContext, words};
use super::deploy::deploy;
use super::holds::{hold, release_hold};
use super::one_off::Wanted;
use super::pins::{Ask, check_pin, facts_of};
use super::refusals::{Done, no, not_found};
use super::slots::{find_slot, with};
use super::state::{Slot, State};
use super::types::SlotKey;
use super::votes::on_approval;
use super::{migrations, one_off};
use flightdeck_model::{Action, Actor, Command, HoldId, Refusal, RefusalKind, Run, Subject, Verdict, sanitize_line};

/// Checks the pin and carries the command out, or says why not; then nothing has changed.
pub(super) fn carry_out(state: &mut State, ctx: &mut StepContext, command: &Command, actor: &Actor) -> Done {
    let reason = command.reason.as_ref().map(|reason| sanitize_line(reason));
    let ask = Ask { action: command.action, actor, pin: command.pin.as_ref(), reason };
    match (&command.subject, command.action) {
        (Subject::Run(run), _) => on_run(state, ctx, &ask, run),
        (Subject::Approval { id, run }, Action::Approve) => on_approval(state, ctx, &ask, id, run, Verdict::Approved),
        (Subject::Approval { id, run }, Action::Reject) => on_approval(state, ctx, &ask, id, run, Verdict::Rejected),
        (Subject::Scope { selector, hold: named, .. }, Action::Hold) => {
            let id = named.clone().unwrap_or_else(|| HoldId::of(command.id.as_str()));
            hold(state, ctx, &ask, selector, id)
        }
        (Subject::Hold { id, .. }, Action::ReleaseHold) => release_hold(state, ctx, &ask, id),
        (Subject::NewRollout { service, environment, version, from, .. }, Action::Deploy) => {
            let key = SlotKey { service: service.clone(), environment: environment.clone() };
            deploy(state, ctx, &ask, &key, version.as_ref(), from.as_ref())
        }
        (Subject::Migrations { service, environment, names, applied, .. }, Action::Migration) => {
            let key = SlotKey { service: service.clone(), environment: environment.clone() };
            migrations::settle(state, ctx, &ask, &key, names, *applied)
        }
        (Subject::Command { service, environment, run, timeout, job, .. }, Action::Run) => {
            let key = SlotKey { service: service.clone(), environment: environment.clone() };
            let wanted = Wanted { id: &command.id, run, timeout: *timeout, job: job.as_deref() };
            one_off::begin(state, ctx, &ask, &key, &wanted)
        }
        (Subject::OneOff { service, environment, id, .. }, Action::EndRun) => {
            let key = SlotKey { service: service.clone(), environment: environment.clone() };
            one_off::end(state, ctx, &key, id)
        }
        (_, action) => Err(Refusal::new(
            RefusalKind::Invalid,
            format!("{} does not fit what it was asked for; nothing was done", action.name()),
        )),
    }
}

/// What is asked of one rollout: of that in flight or the newest settled one, or of one in line.
fn on_run(state: &mut State, ctx: &mut StepContext, ask: &Ask<'_>, run: &Run) -> Done {
    let key = find_slot(state, run)?;
    let done = with(state, &key, |state, slot| {
        if let Some(of) = slot.runs().find(|of| of.revision == run.revision) {
            check_pin(ask, &facts_of(slot, of))?;
        }
        match find_place(slot, run)? {
            Place::Current => on_current(state, slot, ctx, ask),
            Place::Queued(at) => on_queued(state, slot, ctx, ask, at),
        }
    });
    done.unwrap_or_else(|| Err(not_found("it is gone")))
}

/// Which of a slot's rollouts is meant.
enum Place {
    Current,
    Queued(usize),
}

fn find_place(slot: &Slot, run: &Run) -> Result<Place, Refusal> {
    if slot.run.as_ref().is_some_and(|of| of.revision == run.revision) {
        return Ok(Place::Current);
    }
    if let Some(at) = slot.queue.iter().position(|of| of.revision == run.revision) {
        return Ok(Place::Queued(at));
    }
    let newest = slot.shown().map_or("nothing".to_owned(), words);
    match slot.history.iter().find(|of| of.revision == run.revision) {
        Some(old) => Err(no(format!("{} is {}; {newest} is there now", words(old), old.phase.word()))),
        None => Err(not_found(format!("there is no rollout {} of {}; {newest} is there now", run.revision, slot.key))),
    }
}
