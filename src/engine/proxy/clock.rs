//! The proxy's clocks. Those for times that pass are monotonic; the milliseconds are the machine's, so that they mean
//! the same to the process that comes after this one.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// Milliseconds of `CLOCK_MONOTONIC`.
pub fn now_ms() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// For dates of certificates.
#[expect(clippy::disallowed_methods, reason = "a certificate counts by the clock on the wall")]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// For measuring one request.
#[expect(clippy::disallowed_methods, reason = "the data plane measures latency: this is its clock")]
pub fn instant() -> Instant {
    Instant::now()
}
