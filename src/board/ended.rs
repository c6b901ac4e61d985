//! Finished rollouts in the order of a list.

use super::{Board, Filter};
use flightdeck_model::{RolloutRecord, Run};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;

/// What a list of finished rollouts is sorted by; ties are broken by the end, the newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum EndedOrder {
    /// The newest first.
    #[default]
    Newest,
    /// By service name.
    Service,
    /// By environment name.
    Environment,
    /// What went wrong first.
    Outcome,
    /// The longest first.
    Duration,
    /// The slowest way back first; those that had none last.
    Rollback,
}

impl EndedOrder {
    /// All, in the order that a key steps through.
    pub const ALL: [EndedOrder; 6] = [
        EndedOrder::Newest,
        EndedOrder::Service,
        EndedOrder::Environment,
        EndedOrder::Outcome,
        EndedOrder::Duration,
        EndedOrder::Rollback,
    ];

    /// The word that stands above a list.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            EndedOrder::Newest => "end",
            EndedOrder::Service => "service",
            EndedOrder::Environment => "environment",
            EndedOrder::Outcome => "outcome",
            EndedOrder::Duration => "duration",
            EndedOrder::Rollback => "time to rollback",
        }
    }

    /// The one after it, round and round.
    #[must_use]
    pub fn next(self) -> EndedOrder {
        let mut all = Self::ALL.into_iter().cycle();
        all.find(|order| *order == self);
        all.next().unwrap_or_default()
    }
}

/// What one row is sorted by.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Text(&'a str),
    Number(Reverse<Option<SignedDuration>>),
    Class(u8),
}

fn key(order: EndedOrder, of: &RolloutRecord) -> Key<'_> {
    match order {
        EndedOrder::Newest => Key::Class(0),
        EndedOrder::Service => Key::Text(of.service.as_str()),
        EndedOrder::Environment => Key::Text(of.environment.as_str()),
        EndedOrder::Outcome => {
            use flightdeck_model::DeploymentOutcome::{Aborted, Failed, RolledBack, Succeeded, Superseded};
            Key::Class(match of.outcome {
                Failed => 0,
                Aborted => 1,
                RolledBack => 2,
                Superseded => 3,
                Succeeded => 4,
            })
        }
        EndedOrder::Duration => Key::Number(Reverse(Some(of.ended.duration_since(of.started)))),
        EndedOrder::Rollback => Key::Number(Reverse(of.rollback)),
    }
}

/// The runs of those that match, in order.
#[must_use]
pub fn ended(board: &Board, filter: &Filter, order: EndedOrder, reverse: bool) -> Vec<Run> {
    let mut list: Vec<(Key<'_>, Reverse<Timestamp>, &RolloutRecord)> = filter
        .select_ended(board.deployments())
        .into_iter()
        .map(|of| (key(order, of), Reverse(of.ended), of))
        .collect();
    list.sort_by(|(a, a_end, x), (b, b_end, y)| {
        let by = a.cmp(b);
        let by = if order == EndedOrder::Newest { a_end.cmp(b_end) } else { by };
        let by = if reverse { by.reverse() } else { by };
        by.then_with(|| a_end.cmp(b_end)).then_with(|| y.run.cmp(&x.run))
    });
    list.into_iter().map(|(.., of)| of.run.clone()).collect()
}
