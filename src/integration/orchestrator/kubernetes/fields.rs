//! Fields of typed objects as rows tell them.

use flightdeck_model::{Ppm, sanitize_line};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A count of pods; a negative one is nonsense and means none.
pub fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// A share of a whole, in parts per million; `None` of nothing.
pub fn part(of: u32, whole: u32) -> Option<Ppm> {
    let ppm = (u64::from(of.min(whole)) * 1_000_000).checked_div(u64::from(whole))?;
    u32::try_from(ppm).ok().map(Ppm)
}

pub fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

/// One line fit to be seen.
pub fn line(text: &str) -> String {
    sanitize_line(text)
}
