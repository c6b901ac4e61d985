//! How a rollback would go, in words: the same in the cockpit, in a confirmation and on the command line.

use flightdeck_model::time::span;
use flightdeck_model::{RollbackPath, RollbackPlan, ServiceKind};
use jiff::SignedDuration;

/// By which path, as a sentence without its end.
#[must_use]
pub fn path(way: &RollbackPlan) -> String {
    let to = &way.to;
    if way.kind == ServiceKind::Worker {
        return match way.path {
            RollbackPath::Warm => format!("{to} still works, with all of its instances"),
            RollbackPath::Start => format!("{to} is started first; what works now works until it is ready"),
            RollbackPath::Recreate => {
                format!("what works is ended first, then {to} is started: nothing works in between")
            }
        };
    }
    match way.path {
        RollbackPath::Warm => format!("{to} is still up: all traffic goes to it in one switch"),
        RollbackPath::Start => format!("{to} is started first; what serves now serves until it is ready"),
        RollbackPath::Recreate => {
            format!("what serves is ended first, then {to} is started: nothing serves in between")
        }
    }
}

/// How long it takes, and how that is known.
#[must_use]
pub fn estimate(way: &RollbackPlan) -> String {
    let drilled = way.drilled.map(|(_, took)| format!("; the last drill took {}", span(took))).unwrap_or_default();
    match way.estimate {
        // What is measured ends with the traffic: hooks and migrations are taken back after it.
        Some(estimate) => {
            let what = if way.kind == ServiceKind::Worker { "back" } else { "traffic back" };
            format!("{what} in about {} (n {}){drilled}", span(estimate), way.measured)
        }
        None => format!("never measured: try `flightdeck drill`{drilled}"),
    }
}

/// Does it meet the service's objective?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// None is set.
    Unset,
    /// Nothing was measured that could be held against it.
    Unknown(SignedDuration),
    /// Estimate and last drill, as far as there are any, stay within it.
    Met(SignedDuration),
    /// One of them is longer.
    Missed {
        /// The objective.
        rto: SignedDuration,
        /// The longer of the two.
        by: SignedDuration,
    },
}

/// Holds the estimate and the last drill against the objective; the longer of them counts.
#[must_use]
pub fn objective(way: &RollbackPlan) -> Objective {
    let Some(rto) = way.rto else { return Objective::Unset };
    match way.estimate.into_iter().chain(way.drilled.map(|(_, took)| took)).max() {
        None => Objective::Unknown(rto),
        Some(longest) if longest <= rto => Objective::Met(rto),
        Some(by) => Objective::Missed { rto, by },
    }
}

/// The same in words; `None` where no objective is set.
#[must_use]
pub fn objective_words(way: &RollbackPlan) -> Option<String> {
    match objective(way) {
        Objective::Unset => None,
        Objective::Unknown(rto) => Some(format!("RTO {}: nothing was measured to hold against it", span(rto))),
        Objective::Met(rto) => Some(format!("RTO {}: met", span(rto))),
        Objective::Missed { rto, by } => Some(format!("RTO {}: missed, it takes {}", span(rto), span(by))),
    }
}
