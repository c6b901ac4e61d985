//! Votes on what waits for a yes.

use super::context::{StepContext, note};
use super::ending::{Back, begin_rollback};
use super::pins::{Ask, check_pin, facts_of};
use super::refusals::{Done, no, not_found};
use super::slots::{find_slot, with};
use super::state::{Slot, State};
use super::steps;
use flightdeck_model::{ApprovalId, ApprovalState, DeploymentOutcome, Fact, Refusal, RefusalKind, Run, Verdict, Vote};

pub(super) fn on_approval(
    state: &mut State,
    ctx: &mut StepContext,
    ask: &Ask<'_>,
    id: &ApprovalId,
    run: &Run,
    verdict: Verdict,
) -> Done {
    let Some(at) = state.approvals.iter().position(|asked| asked.approval.id == *id && asked.approval.run == *run)
    else {
        return Err(not_found(format!("there is no approval {id} for {run}")));
    };
    let key = find_slot(state, run)?;
    let done = with(state, &key, |state, slot| {
        if let Some(of) = slot.runs().find(|of| of.revision == run.revision) {
            check_pin(ask, &facts_of(slot, of).with(Fact::Approval, id.as_str()))?;
        }
        vote(state, ctx, ask, at, verdict)?;
        settle_votes(state, slot, ctx, ask, at);
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found("it is gone")))
}

/// Takes one person's word, if it counts.
fn vote(state: &mut State, ctx: &StepContext, ask: &Ask<'_>, at: usize, verdict: Verdict) -> Done {
    let Some(asked) = state.approvals.get_mut(at) else { return Err(not_found("it is gone")) };
    let (approval, who) = (&mut asked.approval, &ask.actor.name);
    let lapsed = approval.expires.is_some_and(|expires| ctx.now >= expires);
    match &approval.state {
        ApprovalState::Pending if lapsed => return Err(no(format!("{} has expired", approval.id))),
        ApprovalState::Pending => {}
        ApprovalState::Superseded { by } => {
            return Err(no(format!("{} waits no more: {by}", approval.id)));
        }
        ApprovalState::Approved => return Err(no(format!("{} is approved already", approval.id))),
        ApprovalState::Rejected => return Err(no(format!("{} is rejected already", approval.id))),
        ApprovalState::Expired => return Err(no(format!("{} has expired", approval.id))),
    }
    if approval.votes.iter().any(|vote| vote.who == *who && vote.verdict == verdict) {
        return Err(no(format!(
            "{who} has said so already; {} needs {} different people",
            approval.id, approval.requirement.count
        )));
    }
    if verdict == Verdict::Approved {
        let denied = |why: String| Err(Refusal::new(RefusalKind::Denied, why));
        if *who == approval.author && !approval.requirement.allow_self {
            return denied(format!("{who} asked for this rollout and may not approve it"));
        }
        let from = &approval.requirement.from;
        let counts = from.is_empty() || from.iter().any(|of| of == who || ask.actor.roles.contains(of));
        if !counts {
            return denied(format!("{} takes the yes of {} only", approval.id, from.join(", ")));
        }
    }
    approval.votes.push(Vote { who: who.clone(), verdict, at: ctx.now, reason: ask.reason.clone() });
    Ok(())
}

fn settle_votes(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, ask: &Ask<'_>, at: usize) {
    let Some(asked) = state.approvals.get_mut(at) else { return };
    let approval = &mut asked.approval;
    let (id, revision) = (approval.id.clone(), approval.run.revision.clone());
    let who = &ask.actor.name;
    if approval.votes.iter().any(|vote| vote.verdict == Verdict::Rejected) {
        approval.state = ApprovalState::Rejected;
        let back = Back::new(DeploymentOutcome::Aborted, ask.because(&format!("{id} rejected")));
        begin_rollback(state, slot, ctx, who, back);
        return;
    }
    let yes = approval.votes.iter().filter(|vote| vote.verdict == Verdict::Approved).count();
    let count = approval.requirement.count as usize;
    if yes >= count {
        approval.state = ApprovalState::Approved;
        slot.generation += 1;
        steps::by_person(slot);
    }
    note(state, slot, ctx, &revision, who, &ask.because(&format!("{id} approved ({yes} of {count})")));
}
