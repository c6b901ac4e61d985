//! Counters of a pool.

use super::clock;
use flightdeck_model::{BUCKETS, Histogram, bucket_of};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Counts since the pool was first routed.
#[derive(Debug)]
pub struct Counters {
    /// Requests that ended.
    pub requests: AtomicU64,
    /// Of those, answered 5xx by the instance and to the last byte (or until the user left).
    pub errors: AtomicU64,
    /// Of those, not answered whole through the instance's fault.
    pub failures: AtomicU64,
    /// Not ended yet.
    pub in_flight: AtomicU64,
    /// Bytes from users, of connections that pass as they are.
    pub received: AtomicU64,
    /// Bytes to users, of the same.
    pub sent: AtomicU64,
    latency: Box<[AtomicU64]>,
}

impl Default for Counters {
    fn default() -> Self {
        let latency = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            latency,
        }
    }
}

impl Counters {
    /// The latency histogram, sparse.
    pub fn latency(&self) -> Histogram {
        let counts = self.latency.iter().enumerate().filter_map(|(bucket, count)| {
            let count = count.load(Relaxed);
            (count > 0).then(|| (u16::try_from(bucket).unwrap_or(u16::MAX), count))
        });
        Histogram(counts.collect())
    }

    pub(super) fn record(&self, started: Instant) {
        let micros = u32::try_from(clock::instant().duration_since(started).as_micros()).unwrap_or(u32::MAX);
        if let Some(count) = self.latency.get(usize::from(bucket_of(micros))) {
            count.fetch_add(1, Relaxed);
        }
    }
}
