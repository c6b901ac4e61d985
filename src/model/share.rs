//! Shares of traffic.

use serde::{Deserialize, Serialize};

/// A share in parts per million, 0 to 1,000,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ppm(pub u32);

impl Ppm {
    /// No share.
    pub const ZERO: Ppm = Ppm(0);
    /// Everything.
    pub const ALL: Ppm = Ppm(1_000_000);

    /// From whole percent, capped at 100.
    #[must_use]
    pub const fn percent(percent: u32) -> Ppm {
        Ppm(if percent >= 100 { 1_000_000 } else { percent * 10_000 })
    }

    /// As a fraction, 0.0 to 1.0.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// What is left of the whole.
    #[must_use]
    pub const fn rest(self) -> Ppm {
        Ppm(1_000_000_u32.saturating_sub(self.0))
    }
}

impl std::fmt::Display for Ppm {
    /// `25 %`, `16.7 %`, `0.05 %`: no trailing zeros, and no more digits than a person reads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = f64::from(self.0) / 10_000.0;
        let shown = if percent < 1.0 { percent } else { (percent * 10.0).round() / 10.0 };
        // Never the whole, nor nothing, before it is.
        let shown = if self.0 < Ppm::ALL.0 { shown.min(99.9) } else { shown };
        let text = format!("{shown} %");
        f.pad(&text)
    }
}
