//! Error budgets: an environment may ask that nothing is promoted while one burns too fast.

use super::Policy;
use super::context::DecisionContext;
use flightdeck_board::objectives::{Standing, ranked, sentence, standing};
use flightdeck_model::{
    Action, Actor, EnvironmentName, NotKnown, ObjectiveStatus, OnBurn, Refusal, RefusalKind, Rollout, Subject,
};

/// What a budget that burns too fast means for a command.
pub(super) enum Burning {
    /// It is refused.
    Refuse(Refusal),
    /// Who asks may go on, and says why: an administrator whom the settings name.
    AskReason,
}

/// Does it give a version more users, or lets it go on to where it does? A restart brings nothing new, and may be what
/// helps; a hold is released by whoever had a reason for it.
pub(super) const fn promotes(action: Action) -> bool {
    matches!(
        action,
        Action::Promote
            | Action::PromoteFull
            | Action::Resume
            | Action::Approve
            | Action::Retry
            | Action::Deploy
            | Action::LetThrough
            | Action::Drill
    )
}

/// What stands against promoting that; `None`: nothing that is known. A budget of which too little is known stands
/// against nothing, and the confirmation says so.
pub(super) fn burning(
    policy: &Policy,
    seen: DecisionContext<'_>,
    actor: &Actor,
    action: Action,
    subject: &Subject,
) -> Option<Burning> {
    let row = row(seen, subject).filter(|_| promotes(action))?;
    let burns =
        |status: &&ObjectiveStatus| status.on_burn == OnBurn::Refuse && standing(status, seen.now) == Standing::Burning;
    let status = row.objectives.iter().find(burns)?;
    // Without names everybody would be one, and any script that gives reasons.
    if policy.admins.iter().any(|entry| actor.is(entry)) {
        return Some(Burning::AskReason);
    }
    let around = match policy.admins.as_slice() {
        [] => String::new(),
        admins => format!("; {} may, with a reason", admins.join(", ")),
    };
    let why = format!(
        "{}, as that of {} does: {}; abort, pause and roll back go through{around}",
        asked(&row.environment),
        row.service,
        sentence(status, seen.now)
    );
    Some(Burning::Refuse(Refusal::new(RefusalKind::Denied, why)))
}

/// What is to be known of the budgets before a yes, a sentence each: those that burn too fast, and those of which that is
/// not known.
pub(super) fn warnings(seen: DecisionContext<'_>, action: Action, subject: &Subject) -> Vec<String> {
    let Some(row) = row(seen, subject).filter(|_| promotes(action)) else { return Vec::new() };
    let warning = |status: &ObjectiveStatus| {
        let told = sentence(status, seen.now);
        match (standing(status, seen.now), status.burns_too_fast(seen.now)) {
            (Standing::Burning, _) => Some(format!("its error budget burns too fast: {told}")),
            (_, Err(_)) if status.on_burn == OnBurn::Refuse => {
                Some(format!("{}, and whether it does is not known: {told}", asked(&row.environment)))
            }
            (Standing::Spent, _) => Some(format!("its error budget is spent: {told}")),
            (_, Err(_)) => Some(format!("whether its error budget burns too fast is not known: {told}")),
            (_, Ok(_)) => None,
        }
    };
    ranked(&row.objectives, seen.now).into_iter().filter_map(warning).collect()
}

/// Is the environment's question still to be answered for the first time?
pub(super) fn unasked(seen: DecisionContext<'_>, action: Action, subject: &Subject) -> bool {
    let of = |status: &ObjectiveStatus| {
        status.on_burn == OnBurn::Refuse && status.burns_too_fast(seen.now) == Err(NotKnown::Unasked)
    };
    row(seen, subject).filter(|_| promotes(action)).is_some_and(|row| row.objectives.iter().any(of))
}

fn asked(environment: &EnvironmentName) -> String {
    format!("{environment} asks that nothing is promoted while an error budget burns too fast")
}

/// The hub's own row: what was read live does not tell of budgets.
fn row<'a>(seen: DecisionContext<'a>, subject: &Subject) -> Option<&'a Rollout> {
    match subject {
        Subject::Run(run) | Subject::Approval { run, .. } => seen.board.rollout(&run.target),
        Subject::NewRollout { source, service, environment, .. } => seen.place(source, service, environment),
        _ => None,
    }
}
