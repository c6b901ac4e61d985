//! Ages and countdowns: their words, and the moment when those words change, in one place. The
//! screen is drawn again at that moment and not before.

use flightdeck_model::{Phase, Rollout, Wait};
use jiff::{SignedDuration, Timestamp};

/// Units with their length in seconds, largest first; a unit is used from twice its length on.
const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];

fn unit(seconds: i64) -> (i64, &'static str) {
    UNITS.into_iter().find(|(length, _)| seconds >= 2 * length).unwrap_or((1, "s"))
}

/// `41 s`, `12 m`, `5 h`, `3 d`.
#[must_use]
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (length, name) = unit(seconds);
    format!("{} {name}", seconds / length)
}

/// When [`age`] changes next.
#[must_use]
pub fn age_changes(since: Timestamp, now: Timestamp) -> Timestamp {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (length, _) = unit(seconds);
    let next = (seconds / length + 1) * length;
    since.saturating_add(SignedDuration::from_secs(next)).unwrap_or(Timestamp::MAX)
}

/// `0:42`, `12:05`, `3:10:00`; `now` once it has come.
#[must_use]
pub fn countdown(until: Timestamp, now: Timestamp) -> String {
    let left = remaining(until, now);
    if left == 0 {
        return "now".to_owned();
    }
    match (left / 3600, left / 60 % 60, left % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// When [`countdown`] changes next; `None` once it has come.
#[must_use]
pub fn countdown_changes(until: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let left = remaining(until, now);
    let next = until.saturating_sub(SignedDuration::from_secs(left - 1)).unwrap_or(until);
    (left > 0).then_some(next)
}

/// Whole seconds until then, rounded up: 0 only when it has come.
fn remaining(until: Timestamp, now: Timestamp) -> i64 {
    let left = until.duration_since(now);
    (left.as_secs() + i64::from(left.subsec_nanos() > 0)).max(0)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn ages_change_exactly_when_they_say() {
        for seconds in [0, 1, 59, 60, 119, 120, 121, 3599, 7199, 7200, 172_799, 172_800, 500_000] {
            let (since, now) = (at(500), at(500 + seconds * 1000 + 250));
            let next = age_changes(since, now);
            assert!(next > now, "{seconds}");
            assert_ne!(age(since, now), age(since, next), "{seconds}");
            assert_eq!(age(since, now), age(since, at(next.as_millisecond() - 1)), "{seconds}");
        }
        assert_eq!(age(at(0), at(41_000)), "41 s");
        assert_eq!(age(at(0), at(12 * 60_000)), "12 m");
    }

    #[test]
    fn countdowns_change_exactly_when_they_say() {
        for millis in [1, 999, 1000, 1001, 42_000, 60_000, 3_600_000] {
            let (now, until) = (at(250), at(250 + millis));
            let next = countdown_changes(until, now).unwrap();
            assert!(next > now, "{millis}");
            assert_ne!(countdown(until, now), countdown(until, next), "{millis}");
            assert_eq!(countdown(until, now), countdown(until, at(next.as_millisecond() - 1)), "{millis}");
        }
        assert_eq!(countdown(at(42_000), at(0)), "0:42");
        assert_eq!((countdown(at(0), at(0)), countdown_changes(at(0), at(0))), ("now".to_owned(), None));
    }
}
