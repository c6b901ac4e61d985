//! Words for spans, ages and countdowns, and the moment when those words change. A screen is drawn again at that
//! moment and not before.

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

/// A length of time for people, in two units at most: `3.4 s`, `12 m 5 s`, `2 h 10 m`, `3 d 4 h`.
#[must_use]
pub fn span(length: SignedDuration) -> String {
    let seconds = length.as_secs().unsigned_abs();
    let parts = |large: u64, unit: &str, small: u64, rest: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {rest}"),
    };
    match seconds {
        0 => format!("{} ms", length.as_millis()),
        1..10 if length.subsec_nanos() == 0 => format!("{seconds} s"),
        1..10 => format!("{:.1} s", length.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => parts(seconds / 60, "m", seconds % 60, "s"),
        3600..172_800 => parts(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => parts(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A span as it stands in a plan, without loss: `90 s`, `5 m`, `1 h 30 m`.
#[must_use]
pub fn exact(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, 0) if minutes > 0 => format!("{minutes} m"),
        (0, 0..3, _) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} m {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} m"),
    }
}

/// `90 s`, `2 m`, `4 h`: the largest unit that loses nothing.
#[must_use]
pub fn length(duration: SignedDuration) -> String {
    match duration.as_secs() {
        _ if duration < SignedDuration::from_secs(1) => format!("{} ms", duration.as_millis()),
        secs if secs % 3600 == 0 => format!("{} h", secs / 3600),
        secs if secs % 60 == 0 => format!("{} m", secs / 60),
        secs => format!("{secs} s"),
    }
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

    #[test]
    fn spans_of_a_plan_are_exact() {
        for (seconds, plan) in
            [(0, "0 s"), (59, "59 s"), (90, "90 s"), (300, "5 m"), (301, "5 m 1 s"), (5400, "1 h 30 m")]
        {
            assert_eq!(exact(SignedDuration::from_secs(seconds)), plan);
        }
    }
}
