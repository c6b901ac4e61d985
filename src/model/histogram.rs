//! A latency histogram that can be added up: counts in log-linear buckets of microseconds.
//!
//! Each power of two is cut into 32 parts, so a quantile is right to about 3 %. Counts of several
//! windows or instances are simply added, which precomputed quantiles would not allow.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PARTS_LOG2: u32 = 5;
const PARTS: u32 = 1 << PARTS_LOG2;
/// Number of buckets: values up to 2^32 µs, over an hour.
pub const BUCKETS: usize = ((32 - PARTS_LOG2 + 1) * PARTS) as usize;

/// The bucket of a value in microseconds.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the largest bucket is BUCKETS - 1, below 2^16")]
pub const fn bucket_of(micros: u32) -> u16 {
    if micros < PARTS {
        return micros as u16;
    }
    let exponent = micros.ilog2();
    let shift = exponent - PARTS_LOG2;
    ((shift + 1) * PARTS + ((micros >> shift) - PARTS)) as u16
}

/// The smallest value, in microseconds, that falls into a bucket.
#[must_use]
pub const fn bucket_floor(bucket: u16) -> u32 {
    let bucket = bucket as u32;
    if bucket < PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    (PARTS + bucket % PARTS) << shift
}

/// Counts by bucket; sparse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(pub BTreeMap<u16, u64>);

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, micros: u32) {
        *self.0.entry(bucket_of(micros)).or_default() += 1;
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Histogram) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// What came on top of an earlier state of the same counters; buckets that shrank count whole,
    /// as after a restart of whoever counts.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        Histogram(
            self.0
                .iter()
                .filter_map(|(bucket, count)| {
                    let before = earlier.0.get(bucket).copied().unwrap_or(0);
                    let more = if *count >= before { count - before } else { *count };
                    (more > 0).then_some((*bucket, more))
                })
                .collect(),
        )
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many values of at least so many microseconds, by the buckets that hold no smaller one.
    #[must_use]
    pub fn count_from(&self, micros: u32) -> u64 {
        let bucket = bucket_of(micros);
        let whole = if bucket_floor(bucket) < micros { bucket + 1 } else { bucket };
        self.0.range(whole..).map(|(_, count)| count).sum()
    }

    /// The q-quantile (0.0 to 1.0) in microseconds: the middle of its bucket. `None` when empty.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u32> {
        let bucket = self.bucket_at(q)?;
        let (low, high) = (bucket_floor(bucket), bucket_floor(bucket + 1));
        Some(low + high.saturating_sub(low + 1) / 2)
    }

    /// The smallest value, in microseconds, of the bucket that the q-quantile is in. `None` when empty.
    #[must_use]
    pub fn quantile_floor(&self, q: f64) -> Option<u32> {
        self.bucket_at(q).map(bucket_floor)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank is between 1 and the count"
    )]
    fn bucket_at(&self, q: f64) -> Option<u16> {
        let total = self.count();
        let rank = ((q * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        let reaches = |(bucket, count): (&u16, &u64)| {
            seen += count;
            (seen >= rank).then_some(*bucket)
        };
        self.0.iter().find_map(reaches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_value_without_gap() {
        for micros in (0..5000).chain([99_999, 1_000_000, 60_000_000, u32::MAX - 1]) {
            let bucket = bucket_of(micros);
            assert!((bucket as usize) < BUCKETS);
            assert!(bucket_floor(bucket) <= micros, "{micros}");
            assert!(bucket as usize + 1 == BUCKETS || micros < bucket_floor(bucket + 1), "{micros}");
        }
    }

    #[test]
    fn quantiles_are_right_to_three_percent_and_empty_has_none() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=10_000).for_each(|micros| histogram.record(micros));
        for (q, exact) in [(0.5, 5000.0), (0.95, 9500.0), (0.99, 9900.0)] {
            let got = f64::from(histogram.quantile(q).unwrap());
            assert!((got - exact).abs() / exact < 0.032, "{q}: {got}");
        }
    }

    #[test]
    fn since_counts_what_came_on_top_and_survives_a_reset() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        for micros in [5, 5, 900] {
            a.record(micros);
        }
        for micros in [5, 5, 5, 900, 70] {
            b.record(micros);
        }
        assert_eq!(b.since(&a).count(), 2);
        assert_eq!(a.since(&b).count(), 2, "two fives count anew, 900 is unchanged");
    }
}
