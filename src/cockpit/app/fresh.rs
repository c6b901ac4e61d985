//! How fresh what is shown is: a lost server makes all that it told stale.

use super::ConnectionState;
use super::state::{Connection, State};
use flightdeck_board as board;
use flightdeck_board::Freshness;
use flightdeck_model::{Approval, EntityRef, Rollout, SourceId, Target};

/// How fresh a rollout's row is: a lost server makes all that it told stale.
#[must_use]
pub fn freshness(state: &State, rollout: &Rollout) -> Freshness {
    of_target(state, &rollout.run.target, || board::freshness(&state.board, rollout))
}

fn of_target(state: &State, target: &Target, otherwise: impl FnOnce() -> Freshness) -> Freshness {
    state.server(&target.source).and_then(lost).unwrap_or_else(otherwise)
}

/// How fresh all that a source tells is.
#[must_use]
pub fn source_freshness(state: &State, source: &SourceId) -> Freshness {
    state.server(source).and_then(lost).unwrap_or_else(|| Freshness::of(Some(&state.board.link(source))))
}

/// Why nothing that a connection told can be believed now.
#[must_use]
pub(super) fn lost(connection: &Connection) -> Option<Freshness> {
    let known = !connection.scopes.is_empty();
    match &connection.state {
        ConnectionState::Up { .. } => None,
        ConnectionState::Connecting if known => {
            Some(Freshness::Stale { since: connection.since, why: "connecting again".to_owned() })
        }
        ConnectionState::Connecting => Some(Freshness::Connecting),
        // What never told anything has no rows that could be old.
        ConnectionState::Down { why, .. } if !known => {
            Some(Freshness::Never { since: connection.since, why: why.clone() })
        }
        ConnectionState::Down { why, .. } => Some(Freshness::Stale { since: connection.since, why: why.clone() }),
    }
}

/// How fresh an approval's row is.
#[must_use]
pub fn approval_freshness(state: &State, approval: &Approval) -> Freshness {
    of_target(state, &approval.run.target, || {
        let scope = state.board.scope(&EntityRef::Approval(approval.id.clone()));
        Freshness::of(scope.and_then(|scope| state.board.link_of(scope)))
    })
}
