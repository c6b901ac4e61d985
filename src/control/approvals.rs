//! Who may say yes or no to an approval.

use flightdeck_model::{Action, Actor, Approval, ApprovalState, Refusal, RefusalKind};
use jiff::Timestamp;

/// May they? `Err` says why not. A no needs less than a yes: the author may withdraw their own
/// rollout, and whoever said yes may still say no.
pub fn may_vote(approval: &Approval, actor: &Actor, action: Action, now: Timestamp) -> Result<(), Refusal> {
    let refuse = |kind, why: String| Err(Refusal::new(kind, why));
    if approval.state != ApprovalState::Pending {
        let state = name_of_state(&approval.state);
        return refuse(RefusalKind::NotApplicable, format!("approval {} is settled: {state}", approval.id));
    }
    if let Some(expires) = approval.expires.filter(|expires| *expires <= now) {
        return refuse(
            RefusalKind::NotApplicable,
            format!("approval {} lapsed at {expires}: deploy again to ask anew", approval.id),
        );
    }
    if let Some(why) = approval.reviewers.as_ref().and_then(|reviewers| reviewers.denied.as_ref()) {
        return refuse(RefusalKind::Denied, why.clone());
    }
    let from = &approval.requirement.from;
    let eligible = from.is_empty() || from.iter().any(|entry| actor.is(entry));
    let author = approval.author == actor.name;
    if action == Action::Reject {
        return if eligible || author {
            Ok(())
        } else {
            refuse(RefusalKind::Denied, format!("only {} may reject it; abort stops the rollout", from.join(", ")))
        };
    }
    if !eligible {
        return refuse(
            RefusalKind::Denied,
            format!("only {} may approve it, and {} is none of them", from.join(", "), actor.name),
        );
    }
    if author && !approval.requirement.allow_self {
        return refuse(
            RefusalKind::Denied,
            format!("{} asked for this rollout and can't approve it: another person must", actor.name),
        );
    }
    if approval.votes.iter().any(|vote| vote.who == actor.name) {
        return refuse(
            RefusalKind::NotApplicable,
            format!("{} has voted already; {} different people must agree", actor.name, approval.requirement.count),
        );
    }
    Ok(())
}

/// How a settled approval ended, in words.
fn name_of_state(state: &ApprovalState) -> String {
    match state {
        ApprovalState::Pending => "pending".to_owned(),
        ApprovalState::Approved => "approved".to_owned(),
        ApprovalState::Rejected => "rejected".to_owned(),
        ApprovalState::Expired => "nobody answered in time".to_owned(),
        ApprovalState::Superseded { by } => format!("replaced by {by}"),
    }
}
