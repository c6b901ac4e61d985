//! Freshness belongs to a watch: a row is as fresh as the watch that told of it.

use super::Board;
use crate::model::{LinkState, Rollout, Scope};
use jiff::Timestamp;

/// Can a row be believed?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// Its watch is complete and followed.
    Fresh,
    /// Its watch is not there yet.
    Connecting,
    /// It may be old.
    Stale {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: String,
    },
    /// Its watch is not allowed.
    Denied {
        /// The verb that is missing.
        verb: String,
        /// On what.
        resource: String,
    },
}

impl Freshness {
    /// Of a watch in that state; a watch that never told its state is `Connecting`.
    #[must_use]
    pub fn of(link: Option<&LinkState>) -> Freshness {
        match link {
            Some(LinkState::Live { .. } | LinkState::Absent { .. }) => Freshness::Fresh,
            None | Some(LinkState::Connecting) => Freshness::Connecting,
            Some(LinkState::Stale { since, why }) => Freshness::Stale { since: *since, why: why.clone() },
            Some(LinkState::Denied { verb, resource }) => {
                Freshness::Denied { verb: verb.clone(), resource: resource.clone() }
            }
        }
    }

    /// Can it be believed?
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        *self == Freshness::Fresh
    }

    /// Why not, such as `stale for 41 s: connection refused`; `None` when fresh.
    #[must_use]
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        match self {
            Freshness::Fresh => None,
            Freshness::Connecting => Some("not connected yet".to_owned()),
            Freshness::Stale { since, why } => {
                Some(format!("stale for {} s: {why}", now.duration_since(*since).as_secs().max(0)))
            }
            Freshness::Denied { verb, resource } => Some(format!("not readable: you lack {verb} on {resource}")),
        }
    }
}

/// How fresh a rollout's row is.
#[must_use]
pub fn freshness(board: &Board, rollout: &Rollout) -> Freshness {
    match board.rollout_scope(&rollout.run.target) {
        Some(scope) => of_scope(board, scope),
        None => Freshness::of(Some(&board.link(&rollout.run.target.source))),
    }
}

/// How fresh the rows of a watch are.
pub(crate) fn of_scope(board: &Board, scope: &Scope) -> Freshness {
    Freshness::of(board.link_of(scope))
}
