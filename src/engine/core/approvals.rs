//! What waits for a yes: asked for, waited for, no longer waited for.

use super::context::{StepContext, ahead, note_run, run_id};
use super::said::Said;
use super::state::{Asked, Counters, RunState, Slot, State};
use flightdeck_model::{Approval, ApprovalId, ApprovalState, Facts, Requirement};
use jiff::{SignedDuration, Timestamp};

/// Settled approvals kept.
const APPROVALS: usize = 100;

/// Asks for an approval, and waits for it.
pub(super) fn step(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    (count, from): (u32, Vec<String>),
    expires: Option<SignedDuration>,
) -> Said {
    let Some(run) = slot.active() else { return Said::Wait };
    let id = run_id(state, slot, &run.revision);
    let asked = state.approvals.iter().find(|asked| asked.approval.run == id && asked.step == run.step);
    match asked.map(|asked| &asked.approval.state) {
        Some(ApprovalState::Approved) => return Said::Done,
        Some(_) => return Said::Wait,
        None => {}
    }
    ask(state, slot, ctx, (count, from), expires);
    Said::Wait
}

fn ask(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    (count, from): (u32, Vec<String>),
    expires: Option<SignedDuration>,
) {
    let Some(run) = slot.active() else { return };
    let allow_self = state.spec.environments.get(&slot.key.environment).is_some_and(|of| of.allow_self);
    let number = Counters::next(&mut state.counters.approval);
    let what = format!("step {} of {}: then {}", run.step + 1, run.steps.len(), ahead(slot, run, run.step + 1));
    let approval = Approval {
        id: ApprovalId::from(format!("{}-A{number}", state.source)),
        run: run_id(state, slot, &run.revision),
        service: slot.key.service.clone(),
        environment: slot.key.environment.clone(),
        what: what.clone(),
        from: run.from.clone(),
        to: run.to.clone(),
        author: run.author.clone(),
        requested: ctx.now,
        expires: expires.and_then(|expires| ctx.now.checked_add(expires).ok()),
        requirement: Requirement { count, from, allow_self },
        reviewers: None,
        votes: Vec::new(),
        state: ApprovalState::Pending,
        behind: Vec::new(),
        facts: Facts::default(),
    };
    let name = approval.id.to_string();
    state.approvals.push(Asked { approval, step: run.step });
    slot.generation += 1;
    note_run(state, slot, ctx, "system:engine", format!("asks for approval {name}, {what}"));
}

/// What a rollout waits for a yes of.
pub(super) fn pending<'a>(state: &'a State, slot: &Slot, run: &RunState) -> Option<&'a Asked> {
    let id = run_id(state, slot, &run.revision);
    state.approvals.iter().find(|asked| asked.approval.run == id && asked.approval.state == ApprovalState::Pending)
}

/// Marks a request of this rollout that nobody answered in time.
pub(super) fn expire(state: &mut State, slot: &Slot, now: Timestamp) -> Option<ApprovalId> {
    let id = run_id(state, slot, &slot.active()?.revision);
    let late = state.approvals.iter_mut().find(|asked| {
        asked.approval.run == id
            && asked.approval.state == ApprovalState::Pending
            && asked.approval.expires.is_some_and(|expires| now >= expires)
    })?;
    late.approval.state = ApprovalState::Expired;
    Some(late.approval.id.clone())
}

/// What still waits for a yes of this run waits no more.
pub(super) fn supersede(state: &mut State, slot: &Slot, revision: &str, by: &str) {
    let run = run_id(state, slot, revision);
    for asked in &mut state.approvals {
        if asked.approval.run == run && asked.approval.state == ApprovalState::Pending {
            asked.approval.state = ApprovalState::Superseded { by: by.to_owned() };
        }
    }
    let settled = state.approvals.iter().filter(|asked| asked.approval.state != ApprovalState::Pending).count();
    let mut drop = settled.saturating_sub(APPROVALS);
    state.approvals.retain(|asked| {
        let old = drop > 0 && asked.approval.state != ApprovalState::Pending;
        drop -= usize::from(old);
        !old
    });
}
