//! Freshness belongs to a watch: a row is as fresh as the watch that told of it.

use super::Board;
use flightdeck_model::{ArmRole, ArmSample, LinkState, Rollout, Scope, Target};
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
        /// When the last word was heard.
        since: Timestamp,
        why: String,
    },
    /// Nothing was ever heard of it.
    Never {
        /// Since when it is tried.
        since: Timestamp,
        why: String,
    },
    /// Its watch is not allowed.
    Denied {
        /// The verb that is missing.
        verb: String,
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
            Some(LinkState::Stale { since, why, never: true }) => Freshness::Never { since: *since, why: why.clone() },
            Some(LinkState::Stale { since, why, never: false }) => Freshness::Stale { since: *since, why: why.clone() },
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
        let seconds = |since: &Timestamp| now.duration_since(*since).as_secs().max(0);
        match self {
            Freshness::Fresh => None,
            Freshness::Connecting => Some("not connected yet".to_owned()),
            Freshness::Stale { since, why } => Some(format!("stale for {} s: {why}", seconds(since))),
            Freshness::Never { since, why } => Some(format!("never reached, tried for {} s: {why}", seconds(since))),
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

/// How old the newest numbers of a workload are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumbersAge {
    /// End of their window.
    pub at: Timestamp,
    /// From then on they are no longer of now.
    pub old_from: Timestamp,
}

/// How old its newest numbers are; `None` where there are none, or they tell of no request: a source need not tell
/// again that nothing happens.
#[must_use]
pub fn numbers_age(board: &Board, target: &Target) -> Option<NumbersAge> {
    let last = |role| board.samples(target, &role)?.back();
    let arms = || [last(ArmRole::Candidate), last(ArmRole::Stable)].into_iter().flatten();
    let at = arms().map(|sample| sample.at).max()?;
    let busy = arms().filter(|sample| sample.at == at && sample.requests > 0);
    Some(NumbersAge { at, old_from: busy.map(ArmSample::of_now_until).max()? })
}

/// Why whoever measures rows of others can't, such as `prometheus: stale for 41 s: connection refused`.
#[must_use]
pub fn metrics_problem(board: &Board, now: Timestamp) -> Option<String> {
    problem_of(board, Scope::METRICS_PART, now)
}

/// Why nobody can say now which alerts fire, where somebody is asked for them.
#[must_use]
pub fn alerts_problem(board: &Board, now: Timestamp) -> Option<String> {
    problem_of(board, Scope::ALERTS_PART, now)
}

fn problem_of(board: &Board, part: &str, now: Timestamp) -> Option<String> {
    let mut watches = board.links().filter(|(scope, _)| scope.part == part);
    watches.find_map(|(scope, link)| Some(format!("{}: {}", scope.source, Freshness::of(Some(link)).problem(now)?)))
}

/// How fresh the rows of a watch are.
pub(crate) fn of_scope(board: &Board, scope: &Scope) -> Freshness {
    Freshness::of(board.link_of(scope))
}
