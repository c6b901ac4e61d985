//! What ticks on a rollout's row, and when its words change.

use flightdeck_model::time::{age_changes, countdown_changes};
use flightdeck_model::{Phase, Rollout, Wait};
use jiff::Timestamp;

/// What ticks on a rollout's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Still,
    /// It stands, since then.
    Since(Timestamp),
    /// It goes on by itself, then.
    Until(Timestamp),
}

/// What ticks on a rollout's row: a countdown, or how long it has been waiting for somebody. A row
/// that neither waits nor counts down shows no age that ticks.
#[must_use]
pub fn clock(rollout: &Rollout) -> Clock {
    if !rollout.phase.in_flight() {
        return Clock::Still;
    }
    // Nothing but a release lets it go on, whatever moment its plan names.
    if rollout.held_by().is_some() {
        return Clock::Since(rollout.since);
    }
    let until = rollout.waits.iter().filter_map(|wait| match wait {
        Wait::Until { at } => Some(*at),
        Wait::Analysis { until, .. } => *until,
        _ => None,
    });
    match (until.min(), rollout.phase) {
        (Some(at), _) => Clock::Until(at),
        (None, Phase::Paused | Phase::Queued) => Clock::Since(rollout.since),
        (None, _) if rollout.awaits_human() => Clock::Since(rollout.since),
        _ => Clock::Still,
    }
}

/// When the words of a clock change next.
#[must_use]
pub fn clock_changes(clock: Clock, now: Timestamp) -> Option<Timestamp> {
    match clock {
        Clock::Still => None,
        Clock::Since(since) => Some(age_changes(since, now)),
        Clock::Until(until) => countdown_changes(until, now),
    }
}

/// When the words about what a rollout waits for change next, where each wait is spelled out.
#[must_use]
pub fn waits_change(rollout: &Rollout, now: Timestamp) -> Option<Timestamp> {
    let moments = rollout.waits.iter().filter_map(|wait| match wait {
        Wait::Human { since, .. } => Some(age_changes(*since, now)),
        Wait::Until { at } => countdown_changes(*at, now),
        Wait::Analysis { until, .. } => until.and_then(|at| countdown_changes(at, now)),
        _ => None,
    });
    moments.chain(clock_changes(clock(rollout), now)).min()
}
