//! What people ask of a rollout: for each action when it may be done, what is offered of it, and what it does.

use super::context::{StepContext, note, note_progress, run_id, words};
use super::ending::{Back, begin_rollback, settle_queued};
use super::holds::{let_through, may_let_through};
use super::hooks::looked_at;
use super::migrations::migration_ahead;
use super::pins::Ask;
use super::plans::{enqueue, plan};
use super::pools::warm_pool;
use super::refusals::{Done, no, not_found};
use super::rollback::roll_back;
use super::state::{Drill, Kind, Measured, Pause, Progress, RunState, Slot, State};
use super::steps::{by_person, next_step, skip_steps};
use super::{approvals, jobs, migrations};
use flightdeck_model::{
    Action, ActionSet, ApprovalState, DeploymentOutcome, Refusal, RefusalKind, ReleaseRef, Step, Tier,
};
use jiff::SignedDuration;

/// Does it to the rollout in flight, or to the newest settled one.
pub(super) fn on_current(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    match ask.action {
        Action::Promote => promote(state, slot, ctx, ask),
        Action::PromoteFull => promote_full(state, slot, ctx, ask),
        Action::Pause => pause(state, slot, ctx, ask),
        Action::Resume => resume(state, slot, ctx, ask),
        Action::Abort => abort(state, slot, ctx, ask),
        Action::Rollback => rollback(state, slot, ctx, ask),
        Action::Retry => retry(state, slot, ctx, ask),
        Action::Restart => restart(state, slot, ctx, ask),
        Action::Drill => drill(state, slot, ctx, ask),
        Action::LetThrough => {
            moving(slot, Action::LetThrough)?;
            let revision = slot.run.as_ref().map(|run| run.revision.clone()).unwrap_or_default();
            let_through(state, slot, ctx, ask, &revision)
        }
        _ => Err(Refusal::new(RefusalKind::Invalid, format!("{} is not for a rollout", ask.action.name()))),
    }
}

/// What is offered for a rollout: what would be taken now and would change something.
pub(super) fn offers(state: &State, slot: &Slot, run: &RunState) -> ActionSet {
    let is_offered = |action: &Action| {
        if run.progress == Progress::Queued {
            is_offered_in_line(run, *action)
        } else {
            slot.is_current(run) && is_offered(state, slot, *action)
        }
    };
    Action::TABLE.iter().map(|row| row.action).filter(is_offered).collect()
}

/// The same for the one in flight, or the newest settled one. A pause that stands and a way back under way may be asked for once
/// more, but not offered.
fn is_offered(state: &State, slot: &Slot, action: Action) -> bool {
    let moving = || moving(slot, action);
    match action {
        Action::Promote => may_promote(slot).is_ok(),
        Action::PromoteFull => may_promote_full(state, slot).is_ok(),
        Action::Pause => moving().is_ok_and(|run| run.pauses.person.is_none()),
        Action::Resume => may_resume(slot).is_ok(),
        Action::Abort => moving().is_ok() && may_abort(slot).is_ok(),
        Action::Rollback => moving().is_ok() || may_rollback(state, slot).is_ok(),
        Action::Retry => may_retry(state, slot).is_ok(),
        Action::Restart => may_restart(slot).is_ok(),
        Action::Drill => may_drill(state, slot).is_ok(),
        Action::LetThrough => moving().is_ok_and(|run| may_let_through(run).is_ok()),
        // Those come by the approval that they are about.
        Action::Approve | Action::Reject => moving().is_ok_and(|run| approvals::pending(state, slot, run).is_some()),
        _ => false,
    }
}

/// The rollout in flight, if this may be done to it.
fn in_flight(slot: &Slot, action: Action) -> Result<&RunState, Refusal> {
    let Some(run) = &slot.run else { return Err(not_found("there is no rollout")) };
    if !run.active() {
        return Err(no(format!("{} is {}: there is nothing to {}", words(run), run.phase.word(), action.row().label)));
    }
    Ok(run)
}

fn moving(slot: &Slot, action: Action) -> Result<&RunState, Refusal> {
    let run = in_flight(slot, action)?;
    if run.rolling_back() {
        let way = if slot.stable.is_some() {
            "is on its way back to stable"
        } else {
            "is being taken down, nothing was there before it"
        };
        return Err(no(format!("{} {way}: {}", words(run), run.cause)));
    }
    Ok(run)
}

fn not_held(run: &RunState) -> Done {
    let holds: Vec<_> = run.pauses.holds.iter().map(ToString::to_string).collect();
    if holds.is_empty() {
        return Ok(());
    }
    Err(no(format!("{} is held by {}; release that first", words(run), holds.join(", "))))
}

fn not_paused_by_person(run: &RunState) -> Done {
    match &run.pauses.person {
        Some(pause) => Err(no(format!("{} is paused by {}; resume it first", words(run), pause.who))),
        None => Ok(()),
    }
}

/// May it go on by one step now?
fn may_promote(slot: &Slot) -> Result<&RunState, Refusal> {
    let run = moving(slot, Action::Promote)?;
    not_held(run)?;
    not_paused_by_person(run)?;
    let at = format!("step {} of {}", run.step + 1, run.steps.len());
    match run.current_step() {
        Some(Step::Pause { .. } | Step::Analysis { .. }) => Ok(run),
        Some(Step::Hook { .. }) if run.pauses.hook.is_some() => Ok(run),
        Some(Step::Hook { name }) => Err(no(format!("{at} runs {name}, which promote does not skip"))),
        Some(Step::Approval { .. }) => Err(no(format!("{at} waits for an approval, which promote does not give"))),
        Some(Step::SetWeight(weight)) => {
            Err(no(format!("{at} is already on its way to {weight}; it waits for instances and the proxy")))
        }
        Some(Step::Other(_) | Step::SetScale(_) | Step::Preview | Step::Batch { .. } | Step::TakeDown) => {
            Err(no(format!("{at} is under way; it waits for instances and the proxy")))
        }
        None => Err(no(format!("{} has no step left to go past: it is on its way to all traffic", words(run)))),
    }
}

fn promote(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    let run = may_promote(slot)?;
    let (revision, text) =
        (run.revision.clone(), format!("promoted past step {} of {}", run.step + 1, run.steps.len()));
    clear_analysis(slot);
    looked_at(slot, true);
    by_person(slot);
    next_step(slot);
    note_progress(state, slot, ctx, &revision, &ask.actor.name, &ask.because(&text));
    Ok(())
}

fn clear_analysis(slot: &mut Slot) {
    if let Some(run) = &mut slot.run
        && run.pauses.analysis.take().is_some()
    {
        run.watched.anew();
    }
}

/// May every step that is left be skipped now?
fn may_promote_full<'a>(state: &State, slot: &'a Slot) -> Result<&'a RunState, Refusal> {
    let run = moving(slot, Action::PromoteFull)?;
    not_held(run)?;
    not_paused_by_person(run)?;
    if run.progress != Progress::Steps {
        return Err(no(format!("{} has no step left to skip", words(run))));
    }
    let ahead = run.steps.get(run.step as usize..).unwrap_or_default();
    if let Some(name) = migration_ahead(slot, run) {
        return Err(no(format!("migration {name} is still to be run, which promote full does not skip")));
    }
    if ahead.contains(&Step::TakeDown) {
        return Err(no(format!("{} must end what serves first, which promote full does not skip", words(run))));
    }
    let id = run_id(state, slot, &run.revision);
    let granted = |step: u32| {
        state.approvals.iter().any(|asked| {
            asked.approval.run == id && asked.step == step && asked.approval.state == ApprovalState::Approved
        })
    };
    let gate = (run.step..).zip(run.steps.get(run.step as usize..).unwrap_or_default());
    let gate = gate.into_iter().find(|(at, step)| matches!(step, Step::Approval { .. }) && !granted(*at));
    match gate {
        Some((at, _)) => Err(no(format!(
            "step {} of {} needs an approval, which promote full does not skip",
            at + 1,
            run.steps.len()
        ))),
        None => Ok(run),
    }
}

fn promote_full(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    let run = may_promote_full(state, slot)?;
    let revision = run.revision.clone();
    clear_analysis(slot);
    jobs::cancel(state, slot, ctx);
    by_person(slot);
    skip_steps(slot);
    note_progress(
        state,
        slot,
        ctx,
        &revision,
        &ask.actor.name,
        &ask.because("promoted full: every step left is skipped"),
    );
    Ok(())
}

pub(super) fn pause(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    let run = moving(slot, Action::Pause)?;
    if run.pauses.person.is_some() {
        return Ok(());
    }
    let revision = run.revision.clone();
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.pauses.person = Some(Pause { who: ask.actor.name.clone(), why: ask.reason.clone(), since: ctx.now });
    }
    note_progress(state, slot, ctx, &revision, &ask.actor.name, &ask.because("paused"));
    Ok(())
}

/// May a person's or an analysis's pause be ended now?
fn may_resume(slot: &Slot) -> Result<&RunState, Refusal> {
    let run = moving(slot, Action::Resume)?;
    not_held(run)?;
    if run.pauses.person.is_none() && run.pauses.analysis.is_none() && run.pauses.hook.is_none() {
        return Err(no(format!("{} is not paused", words(run))));
    }
    Ok(run)
}

fn resume(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    let run = may_resume(slot)?;
    let (revision, measure) = (run.revision.clone(), run.pauses.analysis.is_some());
    slot.generation += 1;
    clear_analysis(slot);
    looked_at(slot, false);
    by_person(slot);
    if let Some(run) = &mut slot.run {
        run.pauses.person = None;
        if measure && matches!(run.current_step(), Some(Step::Analysis { .. })) {
            // Measured anew over the whole span.
            run.elapsed = SignedDuration::ZERO;
            run.measured = Measured::default();
        }
    }
    note_progress(state, slot, ctx, &revision, &ask.actor.name, &ask.because("resumed"));
    Ok(())
}

/// May traffic be sent back to stable now? Asking again while it goes back is no error.
fn may_abort(slot: &Slot) -> Result<&RunState, Refusal> {
    let run = in_flight(slot, Action::Abort)?;
    if run.kind == Kind::Rollback {
        return Err(no(format!("{} already takes users back; there is nothing safer to return to", words(run))));
    }
    Ok(run)
}

fn abort(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    if may_abort(slot)?.rolling_back() {
        return Ok(());
    }
    let back = Back::new(DeploymentOutcome::Aborted, ask.because("aborted"));
    begin_rollback(state, slot, ctx, &ask.actor.name, back);
    Ok(())
}

/// Where a rollback would go from here, if it may.
pub(super) fn may_rollback(state: &State, slot: &Slot) -> Result<ReleaseRef, Refusal> {
    let Some(run) = &slot.run else { return Err(not_found("there is no rollout")) };
    if !matches!(run.progress, Progress::Ended(DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack)) {
        let back = match slot.stable_pool() {
            Some(pool) if pool.ready() > 0 => "stable serves already",
            Some(_) => "stable is all there is, and no instance of it is ready",
            None => "nothing was there before it",
        };
        return Err(no(format!("{} is {}: {back}", words(run), run.phase.word())));
    }
    let Some(to) = slot.previous().cloned() else {
        return Err(no(format!("there is no version before {} to roll back to", run.to.version)));
    };
    let stored = state.release(&slot.key.service, &to.version).is_some();
    if !stored && warm_pool(slot, &to).is_none() {
        return Err(no(format!("{} is neither up nor stored any more", to.version)));
    }
    Ok(to)
}

fn rollback(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    if slot.active().is_some() {
        return abort(state, slot, ctx, ask);
    }
    let to = may_rollback(state, slot)?;
    roll_back(state, slot, ctx, &to, &ask.actor.name, (&ask.because("rolled back"), None));
    ctx.created = slot.run.as_ref().map(|run| run_id(state, slot, &run.revision));
    Ok(())
}

/// Where a rehearsal of the way back would go, if it may.
fn may_drill(state: &State, slot: &Slot) -> Result<ReleaseRef, Refusal> {
    let environment = &slot.key.environment;
    if state.spec.environments.get(environment).is_some_and(|of| of.tier == Tier::Critical) {
        return Err(no(format!("{environment} is critical: rehearse in an environment below it")));
    }
    if let Some(run) = slot.active().or_else(|| slot.queue.front()) {
        return Err(no(format!("{} is in flight", words(run))));
    }
    may_rollback(state, slot)
}

fn drill(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    let to = may_drill(state, slot)?;
    roll_back(state, slot, ctx, &to, &ask.actor.name, (&ask.because("drill asked for"), Some(Drill::Back)));
    ctx.created = slot.run.as_ref().map(|run| run_id(state, slot, &run.revision));
    Ok(())
}

/// What a retry would start again, if it may.
fn may_retry(state: &State, slot: &Slot) -> Result<ReleaseRef, Refusal> {
    let Some(run) = &slot.run else { return Err(not_found("there is no rollout")) };
    let over = matches!(run.progress, Progress::Ended(DeploymentOutcome::Aborted | DeploymentOutcome::Failed));
    if !over || run.kind == Kind::Rollback {
        return Err(no(format!(
            "{} is {}: only an aborted or failed rollout is retried",
            words(run),
            run.phase.word()
        )));
    }
    if let Some(queued) = slot.queue.front() {
        return Err(no(format!("{} is in line already", words(queued))));
    }
    if run.kind != Kind::Restart && state.release(&slot.key.service, &run.to.version).is_none() {
        return Err(no(format!("{} is not stored any more", run.to.version)));
    }
    Ok(run.to.clone())
}

fn retry(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    let to = may_retry(state, slot)?;
    migrations::can_be_run(state, slot, &to)?;
    let kind =
        if slot.run.as_ref().is_some_and(|run| run.kind == Kind::Restart) { Kind::Restart } else { Kind::Canary };
    let run = plan(state, slot, ctx, kind, to, &ask.actor.name);
    let revision = enqueue(state, slot, ctx, run, &ask.because("retried"));
    ctx.created = Some(run_id(state, slot, &revision));
    Ok(())
}

/// May every instance be replaced now?
fn may_restart(slot: &Slot) -> Result<ReleaseRef, Refusal> {
    if let Some(run) = slot.active().or_else(|| slot.queue.front()) {
        return Err(no(format!("{} is in flight", words(run))));
    }
    slot.stable_pool().map(|pool| pool.release.clone()).ok_or_else(|| no("nothing runs here"))
}

fn restart(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>) -> Done {
    let to = may_restart(slot)?;
    let run = plan(state, slot, ctx, Kind::Restart, to, &ask.actor.name);
    let revision = enqueue(state, slot, ctx, run, &ask.because("restart asked for"));
    ctx.created = Some(run_id(state, slot, &revision));
    Ok(())
}

/// The same for one that waits in line.
fn is_offered_in_line(run: &RunState, action: Action) -> bool {
    match action {
        Action::Abort => true,
        Action::Pause => run.pauses.person.is_none(),
        Action::Resume => run.pauses.person.is_some() && not_held(run).is_ok(),
        Action::LetThrough => may_let_through(run).is_ok(),
        _ => false,
    }
}

/// Does it to a rollout that waits in line.
pub(super) fn on_queued(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>, at: usize) -> Done {
    let Some(run) = slot.queue.get_mut(at) else { return Err(not_found("it is gone")) };
    let (revision, name) = (run.revision.clone(), words(run));
    let text = match ask.action {
        Action::Pause if run.pauses.person.is_some() => return Ok(()),
        Action::Pause => {
            run.pauses.person = Some(Pause { who: ask.actor.name.clone(), why: ask.reason.clone(), since: ctx.now });
            "paused in line"
        }
        Action::Resume => {
            not_held(run)?;
            run.pauses.person.take().ok_or_else(|| no(format!("{name} is not paused; it waits in line")))?;
            "resumed in line"
        }
        Action::LetThrough => return let_through(state, slot, ctx, ask, &revision),
        Action::Abort | Action::Rollback => {
            if let Some(run) = slot.queue.remove(at) {
                let why = ask.because("aborted in line");
                settle_queued(state, slot, ctx, run, DeploymentOutcome::Aborted, &why);
                note(state, slot, ctx, &revision, &ask.actor.name, &why);
            }
            return Ok(());
        }
        action => return Err(no(format!("{name} waits in line: it can't {} yet", action.row().label))),
    };
    slot.generation += 1;
    note_progress(state, slot, ctx, &revision, &ask.actor.name, &ask.because(text));
    Ok(())
}
