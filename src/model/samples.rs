//! Numbers over time, by arm.

use super::{ArmRole, Target, Version};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How many samples a board keeps for each arm: ten minutes of one a second.
pub const SAMPLE_HISTORY: usize = 600;

/// Numbers younger than this are of now, however short their windows are.
const OF_NOW: SignedDuration = SignedDuration::from_secs(30);

/// What one arm did in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmSample {
    /// Of which workload.
    pub target: Target,
    /// Which side.
    pub role: ArmRole,
    /// What it runs.
    pub version: Version,
    /// End of the window.
    pub at: Timestamp,
    /// Length of the window in milliseconds.
    pub window_ms: u32,
    /// Requests that ended in it.
    pub requests: u64,
    /// Of those, answered 5xx or not at all.
    pub errors: u64,
    /// Latency quantiles in microseconds; `None`: no requests, so no data.
    pub p50_us: Option<u32>,
    /// 95th percentile, microseconds.
    pub p95_us: Option<u32>,
    /// 99th percentile, microseconds.
    pub p99_us: Option<u32>,
}

impl ArmSample {
    /// Share of requests that failed; `None` without requests: no data is not zero.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count per second is far below 2^52")]
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }

    /// Length of the window.
    #[must_use]
    pub fn window(&self) -> SignedDuration {
        SignedDuration::from_millis(i64::from(self.window_ms))
    }

    /// Until when it is of now: the next windows would be told by then, even if two were missed.
    #[must_use]
    pub fn of_now_until(&self) -> Timestamp {
        self.at.saturating_add(OF_NOW.max(self.window() * 3)).unwrap_or(Timestamp::MAX)
    }

    /// Requests per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a count per second is far below 2^52")]
    pub fn rate(&self) -> f64 {
        self.requests as f64 * 1000.0 / f64::from(self.window_ms.max(1))
    }
}
