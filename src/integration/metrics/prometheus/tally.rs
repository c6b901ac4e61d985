//! Requests over a window as long as an objective's, and how many of them were good: one query an indicator for all
//! services. Pure.
//!
//! They are estimated as `increase` does. A series that is new, such as that of a first error, is counted from its first
//! value on where its pod was there when the window began; `increase` alone would leave that value out.

use super::growth::{OF_BUCKETS, OF_COUNTS, by_status, target};
use super::own::Own;
use super::query::{alternatives, by_arm, micros, scope};
use super::settings::Settings;
use crate::metrics::arms::Words;
use crate::metrics::increases::Grown;
use crate::metrics::naming::Key;
use crate::metrics::numbers::Vector;
use crate::metrics::services::{Services, why};
use flightdeck_model::{Indicator, Rollout, Tally};
use flightdeck_port::{RowTally, TallyQuestion, Unmeasured};
use jiff::SignedDuration;
use std::collections::BTreeSet;

/// The label that keeps what a series grew by and its first value apart until they are added up.
const PART: &str = "part";
/// It is looked in so many places of a window for how much of it has numbers.
const PLACES: i64 = 120;
/// Shorter ones are not looked through: what they lack they have soon.
const LOOKED_THROUGH: SignedDuration = SignedDuration::from_hours(24);
/// Bounds of buckets this near are the same, whatever rounding did to them.
const SAME: f64 = 1e-6;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Count {
    /// Requests, by whether they failed.
    Statuses,
    /// Of queries of one's own: requests, and those that failed.
    OwnRequests,
    OwnErrors,
    /// Requests by how long they took.
    Buckets,
    /// When the first sample in the window was.
    First,
}

impl Count {
    /// The questions about these indicators.
    pub(super) fn all(settings: &Settings, question: &TallyQuestion) -> Vec<Count> {
        let availability = question.indicators.contains(&Indicator::Availability);
        let latency = question.indicators.iter().any(|of| matches!(of, Indicator::Latency { .. }));
        let mut all = Vec::new();
        match (&settings.own, settings.preset.latency) {
            (Some(_), _) if availability => all.extend([Count::OwnRequests, Count::OwnErrors]),
            (Some(_), _) => {}
            (None, buckets) => {
                all.extend(availability.then_some(Count::Statuses));
                all.extend(buckets.filter(|_| latency).map(|_| Count::Buckets));
            }
        }
        if question.window > LOOKED_THROUGH && !all.is_empty() {
            all.push(Count::First);
        }
        all
    }

    /// The labels of its answer beside those that tell whose a number is.
    pub(super) const fn further(self) -> &'static [&'static str] {
        match self {
            Count::Statuses => &OF_COUNTS,
            Count::Buckets => &OF_BUCKETS,
            Count::OwnRequests | Count::OwnErrors | Count::First => &[],
        }
    }

    pub(super) fn query(self, settings: &Settings, namespaces: &BTreeSet<&str>, window: SignedDuration) -> String {
        let (seconds, places) = (window.as_secs(), window.as_secs() / PLACES);
        let series = |name: &str| format!("{name}{{{}}}", scope(settings, namespaces));
        let own = |of: fn(&Own) -> &String, range: i64| {
            let query = settings.own.as_ref().map(of).map_or("", String::as_str);
            Own::filled(query, &alternatives(namespaces), &format!("{range}s"))
        };
        match self {
            Count::Statuses => by_status(settings, &increase(settings, &series(settings.preset.requests), seconds)),
            Count::Buckets => {
                let (buckets, _) = settings.preset.latency.unwrap_or_default();
                by_arm(settings, &increase(settings, &series(buckets), seconds), &OF_BUCKETS)
            }
            // They tell a second what is wanted of the whole window.
            Count::OwnRequests => format!("({}) * {seconds}", own(|own| &own.requests, seconds)),
            Count::OwnErrors => format!("({}) * {seconds}", own(|own| &own.errors, seconds)),
            Count::First => {
                let there = if settings.own.is_some() {
                    own(|own| &own.requests, places)
                } else {
                    by_arm(settings, &series(settings.preset.requests), &[])
                };
                format!("min_over_time(timestamp({there})[{seconds}s:{places}s])")
            }
        }
    }
}

/// What each series grew by, and its first value where it is new and its pod is not.
fn increase(settings: &Settings, series: &str, seconds: i64) -> String {
    let part = |of: String, number: u8| format!("label_replace({of}, \"{PART}\", \"{number}\", \"\", \"\")");
    let (before, target) = (format!("{series} offset {seconds}s"), target(settings));
    let grown = part(format!("increase({series}[{seconds}s])"), 1);
    let first = format!("(min_over_time({series}[{seconds}s]) unless {before}) and on ({target}) {before}");
    format!("{grown} or {}", part(first, 2))
}

/// All answers of one window.
#[derive(Debug, Default)]
pub(super) struct Tallied {
    /// Requests, errors and buckets by whose they are.
    pub grown: Grown,
    /// When the first sample in the window was, by the system's clock.
    pub first: Option<Vector>,
}

/// The answer about each row that is wanted and measured here.
pub(super) fn rows(
    all: &[&Rollout],
    tallied: &Tallied,
    question: &TallyQuestion,
    settings: &Settings,
    words: &Words,
) -> Vec<RowTally> {
    let Tallied { grown, .. } = tallied;
    let found: BTreeSet<&Key> = grown.requests.values.keys().chain(grown.buckets.keys()).collect();
    let services = Services::of(all, settings.told.by.naming(), found);
    let mut told = Vec::new();
    for row in all.iter().filter(|row| question.wanted.contains(&row.run.target)) {
        let Some(keys) = services.of_row(row) else { continue };
        for indicator in &question.indicators {
            let found = match &keys {
                Ok(keys) => one(*indicator, keys, tallied, question.window, settings, words, row),
                Err(unmeasured) => Err(why(words, *unmeasured, row)),
            };
            told.push(RowTally { target: row.run.target.clone(), indicator: *indicator, found });
        }
    }
    told
}

fn one(
    indicator: Indicator,
    keys: &BTreeSet<&Key>,
    tallied: &Tallied,
    window: SignedDuration,
    settings: &Settings,
    words: &Words,
    row: &Rollout,
) -> Result<Tally, String> {
    let (requests, bad) = match indicator {
        Indicator::Availability => available(keys, &tallied.grown).map_err(|unmeasured| why(words, unmeasured, row))?,
        Indicator::Latency { .. } if settings.own.is_some() => {
            return Err("`queries` of one's own tell no buckets, so it is not known how many were in time".to_owned());
        }
        Indicator::Latency { .. } if settings.preset.latency.is_none() => {
            return Err("this preset tells no latencies".to_owned());
        }
        Indicator::Latency { within_us } => in_time(keys, &tallied.grown, within_us, micros(settings))?,
    };
    let covers = tallied.first.as_ref().map(|first| covers(keys, first, window));
    Ok(Tally { requests, bad: bad.clamp(0.0, requests), covers })
}

/// Requests, and those that failed. Those without a status may have failed, too: then neither is known.
fn available(keys: &BTreeSet<&Key>, grown: &Grown) -> Result<(f64, f64), Unmeasured> {
    let mut sums = None;
    for key in keys {
        let Some(requests) = grown.requests.values.get(*key) else { continue };
        match grown.errors.values.get(*key) {
            Some(errors) => {
                let (all, failed) = sums.unwrap_or((0.0, 0.0));
                sums = Some((all + requests, failed + errors));
            }
            None if *requests > 0.0 => return Err(Unmeasured::NoStatus),
            None => {}
        }
    }
    sums.ok_or(Unmeasured::NoSeries)
}

/// Requests, and those that took longer. A threshold within a bucket could not be told.
fn in_time(keys: &BTreeSet<&Key>, grown: &Grown, within_us: u64, micros: f64) -> Result<(f64, f64), String> {
    #[expect(clippy::cast_precision_loss, reason = "a latency in microseconds is far below 2^52")]
    let within = within_us as f64;
    let (mut requests, mut in_time, mut bounds) = (0.0, 0.0, Vec::new());
    let mut found = false;
    for buckets in keys.iter().filter_map(|key| grown.buckets.get(*key)) {
        let all = buckets.iter().find(|(bound, _)| bound.is_infinite()).map_or(0.0, |(_, count)| *count);
        match buckets.iter().find(|(bound, _)| (bound - within).abs() <= within * SAME) {
            Some((_, count)) => in_time += count,
            None if all > 0.0 => {
                bounds = buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect();
                bounds.sort_by(f64::total_cmp);
            }
            None => continue,
        }
        (requests, found) = (requests + all, true);
    }
    if !bounds.is_empty() {
        let list: Vec<String> = bounds.iter().map(|bound| format!("{}", bound / micros)).collect();
        return Err(format!("no bucket ends at {}; there are le = {}", within / micros, list.join(", ")));
    }
    if found { Ok((requests, requests - in_time)) } else { Err("there are no buckets of its latencies".to_owned()) }
}

/// For how much of the window there are numbers; none where they are all younger than the last place that was looked at.
fn covers(keys: &BTreeSet<&Key>, first: &Vector, window: SignedDuration) -> SignedDuration {
    let earliest = keys.iter().filter_map(|key| first.values.get(*key)).copied().reduce(f64::min);
    let (Some(earliest), Some(at)) = (earliest, first.at) else { return SignedDuration::ZERO };
    let covers = SignedDuration::try_from_secs_f64(at - earliest).unwrap_or(SignedDuration::ZERO);
    // The first place may lie that far within.
    let all = covers + SignedDuration::from_secs(window.as_secs() / PLACES * 2) >= window;
    if all { window } else { covers }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
