//! What a confirmation shows before it opens.

use super::Policy;
use super::budgets::{self, Burning, burning};
use super::context::{DecisionContext, identities};
use super::decide::{allowed, facts};
use super::forecast::forecast_of;
use super::friction::{direction_of, friction_of, typed_with_reason};
use flightdeck_board::Board;
use flightdeck_model::{Action, Actor, Decision, Direction, Prepared, Rollout, Subject, has_hidden};
use jiff::Timestamp;

/// May they, with how much friction, what would happen, and what must the command carry?
#[must_use]
pub fn prepare(
    policy: &Policy,
    board: &Board,
    actor: &Actor,
    action: Action,
    subject: &Subject,
    now: Timestamp,
) -> Prepared {
    prepare_with(policy, DecisionContext { board, live: None, now }, actor, action, subject)
}

/// The same with a row that was read from the backend just now.
#[must_use]
pub fn prepare_live(
    policy: &Policy,
    board: &Board,
    live: &Rollout,
    actor: &Actor,
    action: Action,
    subject: &Subject,
    now: Timestamp,
) -> Prepared {
    prepare_with(policy, DecisionContext { board, live: Some(live), now }, actor, action, subject)
}

/// What is to be known of error budgets before a yes, a sentence each.
#[must_use]
pub fn budget_warnings(board: &Board, action: Action, subject: &Subject, now: Timestamp) -> Vec<String> {
    budgets::warnings(DecisionContext { board, live: None, now }, action, subject)
}

fn prepare_with(
    policy: &Policy,
    seen: DecisionContext<'_>,
    actor: &Actor,
    action: Action,
    subject: &Subject,
) -> Prepared {
    let decision = match (allowed(policy, seen, actor, action, subject), burning(policy, seen, actor, action, subject))
    {
        (Err(refusal), _) | (Ok(()), Some(Burning::Refuse(refusal))) => Decision::Refuse(refusal),
        (Ok(()), Some(Burning::AskReason)) => Decision::Allow { friction: typed_with_reason(seen, action, subject) },
        (Ok(()), None) => Decision::Allow { friction: friction_of(seen, action, subject) },
    };
    let direction = direction_of(seen, action, subject);
    let mut forecast = forecast_of(seen, actor, action, subject);
    forecast.stale = seen.freshness(subject).problem(seen.now);
    if direction == Direction::Reduces && identities(seen, subject).into_iter().any(has_hidden) {
        forecast.warnings.push("its name holds characters that can't be seen: look twice".to_owned());
    }
    let pin = facts(seen, subject).map(|facts| facts.pin(action));
    Prepared { action, subject: subject.clone(), decision, direction, pin, forecast }
}
