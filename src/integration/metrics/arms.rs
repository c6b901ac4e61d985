//! From numbers to the arms of rows.

use super::claims::{Claimed, Claims};
use super::naming::{Key, Naming};
use super::numbers::Vector;
use flightdeck_model::{Arm, ArmSample, Rollout, SourceId, Target, sanitize_line};
use flightdeck_port::{Measured, RowReport, Unmeasured};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows that a warning names; the others are counted.
const NAMED: usize = 3;
/// A clock that differs by more is worth a word.
const MOST_SKEW: f64 = 60.0;
/// Counts are made of rates within spans of so many seconds: far from where floating point gets coarse.
const PERIOD: i64 = 3600;

/// All that was told of one moment.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Answered a second.
    pub requests: Vector,
    /// Of those, failed. Not there where it is not known which failed.
    pub errors: Vector,
    /// Quantiles, in microseconds.
    pub p50: Vector,
    pub p95: Vector,
    pub p99: Vector,
}

/// Which rows are asked about, and how they are told apart.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub naming: Naming,
    /// The sources whose rows are measured; none: all.
    pub sources: &'a [String],
    /// How long a window is.
    pub every: SignedDuration,
    pub words: Words,
}

/// What people call what is asked for.
#[derive(Debug)]
pub(super) struct Words {
    /// `http_requests_total of the pods`
    pub requests: String,
    /// `label code nor status`
    pub status: String,
    /// What does not tell the sides apart, where they are not: `the label pod`.
    pub labels: String,
    /// What else tells workloads of the same name apart: `, or a `selector``.
    pub scope: &'static str,
}

impl Asked<'_> {
    /// The rows that can be measured: those with an arm that can be told.
    pub(super) fn measurable<'r>(&self, rows: &'r [Arc<Rollout>]) -> Vec<&'r Rollout> {
        let own = |source: &SourceId| self.sources.is_empty() || self.sources.iter().any(|own| own == source.as_str());
        let can = |row: &Rollout| row.arms.iter().any(|arm| self.naming.of(row, arm) != super::naming::Named::Nothing);
        rows.iter().map(|row| &**row).filter(|row| own(&row.run.target.source) && can(row)).collect()
    }
}

/// The numbers of all arms, and why rows have none.
pub(super) struct Told {
    pub samples: Vec<ArmSample>,
    pub unmeasured: Vec<(Target, Unmeasured)>,
}

/// The samples of all arms that have numbers, and why others have none.
pub(super) fn told(rows: &[&Rollout], answers: &Answers, asked: &Asked<'_>, now: Timestamp) -> Told {
    let claims = Claims::of(rows, asked.naming, answers.requests.values.keys());
    let mut told = Told { samples: Vec::new(), unmeasured: Vec::new() };
    for row in rows {
        let mut why = BTreeSet::new();
        let mut found = false;
        for arm in &row.arms {
            let sets = match claims.of_arm(row, arm) {
                Claimed::Keys(keys) => keys,
                Claimed::Contested => {
                    why.insert(Unmeasured::Contested);
                    continue;
                }
                Claimed::Untold => {
                    why.insert(Unmeasured::NotToldApart);
                    continue;
                }
                Claimed::Nothing => continue,
            };
            let Some(requests) = sum(&answers.requests, &sets) else { continue };
            let Some(errors) = sum(&answers.errors, &sets) else {
                why.insert(Unmeasured::NoStatus);
                continue;
            };
            found = true;
            told.samples.push(sample(row, arm, (requests, errors), answers, &sets, asked.every, now));
        }
        if !found && why.is_empty() {
            why.insert(Unmeasured::NoSeries);
        }
        told.unmeasured.extend(why.into_iter().map(|why| (row.run.target.clone(), why)));
    }
    told
}

/// The same with a sentence for whatever has no numbers.
pub(super) fn measured(rows: &[&Rollout], answers: &Answers, asked: &Asked<'_>, now: Timestamp) -> Measured {
    let Told { samples, unmeasured } = told(rows, answers, asked, now);
    let mut warnings = sentences(&unmeasured, &asked.words);
    warnings.extend(skew(&answers.requests, now));
    for (name, quantile) in [("p50", &answers.p50), ("p95", &answers.p95), ("p99", &answers.p99)] {
        warnings.extend(quantile.warnings.iter().map(|warning| format!("{name} is left out: {warning}")));
    }
    Measured { samples, warnings, ..Measured::default() }
}

/// What was found of each row.
pub(super) fn reports(rows: &[&Rollout], answers: &Answers, asked: &Asked<'_>, now: Timestamp) -> Vec<RowReport> {
    let Told { samples, unmeasured } = told(rows, answers, asked, now);
    let report = |row: &&Rollout| {
        let target = &row.run.target;
        let has = |arm: &&Arm| samples.iter().any(|sample| sample.target == *target && sample.role == arm.role);
        let (measured, without): (Vec<&Arm>, Vec<&Arm>) = row.arms.iter().partition(has);
        let roles = |arms: Vec<&Arm>| arms.into_iter().map(|arm| arm.role.clone()).collect();
        let mut why: Vec<Unmeasured> = unmeasured.iter().filter(|(of, _)| of == target).map(|(_, why)| *why).collect();
        if why.is_empty() && !without.is_empty() {
            why.push(Unmeasured::NoSeries);
        }
        let name = place(target);
        RowReport {
            target: target.clone(),
            measured: roles(measured),
            without: roles(without),
            why: why.into_iter().map(|why| (why, asked.words.of(why, &name))).collect(),
        }
    };
    rows.iter().map(report).collect()
}

/// What people call a workload.
fn place(target: &Target) -> String {
    let Target { namespace, name, .. } = target;
    sanitize_line(&namespace.as_ref().map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}")))
}

fn sentences(unmeasured: &[(Target, Unmeasured)], words: &Words) -> Vec<String> {
    let mut by_why: BTreeMap<Unmeasured, Names> = BTreeMap::new();
    for (target, why) in unmeasured {
        by_why.entry(*why).or_default().note(target);
    }
    let sentence = |(why, names): (Unmeasured, Names)| names.words(|rows| words.of(why, rows));
    by_why.into_iter().filter_map(sentence).collect()
}

impl Words {
    /// Why these rows have no numbers.
    pub(super) fn of(&self, why: Unmeasured, rows: &str) -> String {
        let Words { requests, status, labels, scope } = self;
        match why {
            Unmeasured::NoSeries => format!("no {requests} of {rows}"),
            Unmeasured::NoStatus => {
                format!("{requests} of {rows} has no {status}: errors are not known, so nothing is shown")
            }
            Unmeasured::NotToldApart => format!("{labels} does not tell the sides of {rows} apart"),
            Unmeasured::Contested => {
                format!("which numbers are whose can't be told of {rows}: name the `sources` that it measures{scope}")
            }
        }
    }
}

fn sample(
    row: &Rollout,
    arm: &Arm,
    (requests, errors): (f64, f64),
    answers: &Answers,
    sets: &[&Key],
    window: SignedDuration,
    now: Timestamp,
) -> ArmSample {
    let quantile = |of: &Vector| highest(of, sets).and_then(micros);
    let errors = counted(errors, now, window);
    ArmSample {
        target: row.run.target.clone(),
        role: arm.role.clone(),
        version: arm.version.clone(),
        at: now,
        window_ms: u32::try_from(window.as_millis()).unwrap_or(u32::MAX),
        requests: counted(requests, now, window).max(errors),
        errors,
        p50_us: quantile(&answers.p50),
        p95_us: quantile(&answers.p95),
        p99_us: quantile(&answers.p99),
    }
}

/// How many of a rate's events are in the window that ends `now`. A rate of one a minute is one event in each
/// fourth window of 15 s, not none in each: what is rounded away in one window comes with another.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no less than zero, far below 2^52")]
fn counted(rate: f64, now: Timestamp, window: SignedDuration) -> u64 {
    let end = now.as_duration() - SignedDuration::from_secs(now.as_second() / PERIOD * PERIOD);
    let until = |moment: SignedDuration| (rate * moment.as_secs_f64()).floor();
    (until(end) - until(end - window)).max(0.0) as u64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within u32 by the test before")]
fn micros(value: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX)).contains(&value).then_some(value as u32)
}

/// All of them together; `None` where none is known.
pub(super) fn sum(of: &Vector, keys: &[&Key]) -> Option<f64> {
    let mut known = keys.iter().filter_map(|key| of.values.get(*key)).peekable();
    known.peek()?;
    Some(known.sum())
}

/// Quantiles can't be added up: the worst of several sets. Nothing of an answer that may lack something.
fn highest(of: &Vector, keys: &[&Key]) -> Option<f64> {
    if !of.warnings.is_empty() {
        return None;
    }
    keys.iter().filter_map(|key| of.values.get(*key)).copied().reduce(f64::max)
}

fn skew(of: &Vector, now: Timestamp) -> Option<String> {
    let ahead = of.at? - now.as_duration().as_secs_f64();
    let direction = if ahead > 0.0 { "ahead of" } else { "behind" };
    (ahead.abs() > MOST_SKEW).then(|| format!("its clock is {:.0} s {direction} the one here", ahead.abs()))
}

/// Rows that have the same trouble.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn note(&mut self, target: &Target) {
        self.0.insert(place(target));
    }

    fn words(&self, sentence: impl Fn(&str) -> String) -> Option<String> {
        let mut shown: Vec<&str> = self.0.iter().take(NAMED).map(String::as_str).collect();
        let more = self.0.len().saturating_sub(NAMED);
        let rest = format!("{more} more");
        if more > 0 {
            shown.push(&rest);
        }
        (!shown.is_empty()).then(|| sentence(&shown.join(", ")))
    }
}

#[cfg(test)]
#[path = "arms_tests.rs"]
mod tests;
