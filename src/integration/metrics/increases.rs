//! What counters grew by, as increases of arms: joined windows, which a judge may add up.

use super::arms::{Asked, sum};
use super::claims::{Claimed, Claims};
use super::naming::Key;
use super::numbers::Vector;
use flightdeck_model::{Arm, Histogram, Rollout, bucket_of};
use flightdeck_port::ArmIncrease;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// After answers that were missed one window takes in all that was missed, up to this; then it begins anew.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// One moment, by the clock of whoever is asked, in whole seconds, and by the one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub there: i64,
    pub here: Timestamp,
}

impl Moment {
    /// The moment that was `delay` ago when it was `now` here and `there` there.
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    pub(super) fn before(there: f64, now: Timestamp, delay: SignedDuration) -> Moment {
        let whole = (there - delay.as_secs_f64()).floor();
        let ago = SignedDuration::try_from_secs_f64(there - whole).unwrap_or(delay);
        Moment { there: whole as i64, here: now.saturating_sub(ago).unwrap_or(now) }
    }
}

/// From one moment to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub from: Moment,
    pub to: Moment,
}

impl Window {
    pub(super) fn seconds(&self) -> i64 {
        self.to.there - self.from.there
    }
}

/// What follows the last moment that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing is known of before: from now on.
    Begin,
    /// It has just been told.
    Wait,
    Window(Window),
}

impl Next {
    pub(super) fn after(last: Option<Moment>, to: Moment) -> Next {
        let Some(from) = last else { return Next::Begin };
        let length = SignedDuration::from_secs(to.there - from.there);
        if length.abs() > LONGEST {
            return Next::Begin;
        }
        if length <= SignedDuration::ZERO || to.here <= from.here {
            Next::Wait
        } else {
            Next::Window(Window { from, to })
        }
    }
}

/// What counters of each key grew by.
#[derive(Debug, Default)]
pub(super) struct Grown {
    pub requests: Vector,
    /// Not there where it is not known which failed.
    pub errors: Vector,
    /// Cumulative counts by the upper bounds of their buckets in microseconds; without an upper bound: infinity.
    pub buckets: BTreeMap<Key, Vec<(f64, f64)>>,
}

/// The increases of all arms whose counters were there at both ends. Latency only of rows in flight.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, no less than zero")]
pub(super) fn increases(rows: &[&Rollout], grown: &Grown, asked: &Asked<'_>, window: Window) -> Vec<ArmIncrease> {
    let claims = Claims::of(rows, asked.naming, grown.requests.values.keys());
    let arms = rows.iter().flat_map(|row| row.arms.iter().map(move |arm| (*row, arm)));
    let increase = |(row, arm): (&Rollout, &Arm)| {
        let Claimed::Keys(keys) = claims.of_arm(row, arm) else { return None };
        let (requests, errors) = (sum(&grown.requests, &keys)?, sum(&grown.errors, &keys)?);
        let requests = requests.max(0.0).round() as u64;
        let of_keys = keys.iter().filter_map(|key| grown.buckets.get(*key)).map(Vec::as_slice);
        Some(ArmIncrease {
            target: row.run.target.clone(),
            role: arm.role.clone(),
            version: arm.version.clone(),
            from: window.from.here,
            to: window.to.here,
            requests,
            errors: (errors.max(0.0).round() as u64).min(requests),
            latency: if row.in_flight() { histogram(of_keys) } else { Histogram::default() },
        })
    };
    arms.filter_map(increase).collect()
}

/// Each count at the lower bound of its bucket; nothing where buckets are no histogram's, as those of pods with
/// different bounds.
fn histogram<'a>(of: impl Iterator<Item = &'a [(f64, f64)]>) -> Histogram {
    let mut all = Histogram::default();
    for buckets in of {
        match counts(buckets) {
            Some(counts) => all.add(&counts),
            None => return Histogram::default(),
        }
    }
    all
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds and counts, no less than zero")]
fn counts(buckets: &[(f64, f64)]) -> Option<Histogram> {
    let mut sorted = buckets.to_vec();
    sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut counts, mut from, mut below) = (Histogram::default(), 0.0_f64, 0.0_f64);
    for (bound, count) in sorted {
        // Half a request less can be rounding, more can't.
        let more = (count - below).round();
        if more < 0.0 || bound < 0.0 {
            return None;
        }
        if more > 0.0 {
            let low = from.min(f64::from(u32::MAX)) as u32;
            *counts.0.entry(bucket_of(low)).or_default() += more as u64;
        }
        (from, below) = (bound, count.max(below));
    }
    Some(counts)
}

#[cfg(test)]
#[path = "increases_tests.rs"]
mod tests;
