//! From sets of pods to the arms of rows.

use super::answer::Vector;
use super::query::HTTP;
use super::settings::Settings;
use flightdeck_model::{Arm, ArmSample, PodNames, Rollout, Target, sanitize_line};
use flightdeck_port::Measured;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows that a warning names; the others are counted.
const NAMED: usize = 3;
/// A ReplicaSet's name ends in a hash of at least so many of these characters, and what people call a workload
/// hardly ever does.
const SHORTEST_HASH: usize = 5;
const OF_A_HASH: &str = "bcdfghjklmnpqrstvwxz2456789";
/// A clock that differs by more is worth a word.
const MOST_SKEW: f64 = 60.0;
/// Counts are made of rates within spans of so many seconds: far from where floating point gets coarse.
const PERIOD: i64 = 3600;

/// All that was told of one moment.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub requests: Vector,
    pub errors: Vector,
    pub p50: Vector,
    pub p95: Vector,
    pub p99: Vector,
}

/// A namespace and a set of pods in it.
type Key = (String, String);

/// The rows that can be measured by their pods: those with a namespace and an arm that says which pods it has.
pub(super) fn measurable<'a>(
    rows: &'a [Arc<Rollout>],
    settings: &'a Settings,
) -> impl Iterator<Item = (&'a Rollout, &'a str)> {
    rows.iter().filter(|row| settings.measures(&row.run.target.source)).filter_map(|row| {
        let namespace = row.run.target.namespace.as_deref().filter(|name| !name.is_empty())?;
        row.arms.iter().any(|arm| arm.pods.is_some()).then_some((&**row, namespace))
    })
}

/// The samples of all arms that have numbers, and why others have none.
pub(super) fn measured(rows: &[Arc<Rollout>], answers: &Answers, settings: &Settings, now: Timestamp) -> Measured {
    let rows: Vec<_> = measurable(rows, settings).collect();
    let claims = Claims::of(&rows, &answers.requests);
    let mut measured = Measured::default();
    let (mut without, mut untold, mut contested, mut status) =
        (Names::default(), Names::default(), Names::default(), Names::default());
    for (row, namespace) in &rows {
        let mut found = false;
        for arm in &row.arms {
            if arm.pods == Some(PodNames::Untold) {
                untold.note(row);
                found = true;
                continue;
            }
            let sets = claims.sets(namespace, arm);
            if sets.iter().any(|key| claims.is_contested(key)) {
                contested.note(row);
                found = true;
                continue;
            }
            let Some(requests) = sum(&answers.requests, &sets) else { continue };
            found = true;
            let Some(errors) = sum(&answers.errors, &sets) else {
                status.note(row);
                continue;
            };
            measured.samples.push(sample(row, arm, (requests, errors), answers, &sets, settings.every, now));
        }
        if !found {
            without.note(row);
        }
    }
    let labels = settings.status_labels().join(" nor ");
    let (metric, pod) = (HTTP.requests, &settings.pod_label);
    measured.warnings.extend(without.words(|rows| format!("no {metric} of the pods of {rows}")));
    measured.warnings.extend(
        status.words(|rows| {
            format!("{metric} of {rows} has no label {labels}: errors are not known, so nothing is shown")
        }),
    );
    measured.warnings.extend(untold.words(|rows| format!("the label {pod} does not tell the sides of {rows} apart")));
    measured.warnings.extend(contested.words(|rows| {
        format!("which pods are whose can't be told of {rows}: name the `sources` that it measures, or a `selector`")
    }));
    measured.warnings.extend(skew(&answers.requests, now));
    for (name, quantile) in [("p50", &answers.p50), ("p95", &answers.p95), ("p99", &answers.p99)] {
        measured.warnings.extend(quantile.warnings.iter().map(|warning| format!("{name} is left out: {warning}")));
    }
    measured
}

fn sample(
    row: &Rollout,
    arm: &Arm,
    (requests, errors): (f64, f64),
    answers: &Answers,
    sets: &[Key],
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
pub(super) fn counted(rate: f64, now: Timestamp, window: SignedDuration) -> u64 {
    let end = now.as_duration() - SignedDuration::from_secs(now.as_second() / PERIOD * PERIOD);
    let until = |moment: SignedDuration| (rate * moment.as_secs_f64()).floor();
    (until(end) - until(end - window)).max(0.0) as u64
}

/// Seconds of a histogram as microseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within u32 by the test before")]
fn micros(value: f64) -> Option<u32> {
    let micros = value * HTTP.micros;
    (0.0..=f64::from(u32::MAX)).contains(&micros).then_some(micros as u32)
}

fn sum(of: &Vector, sets: &[Key]) -> Option<f64> {
    let mut known = sets.iter().filter_map(|set| of.values.get(set)).peekable();
    known.peek()?;
    Some(known.sum())
}

/// Quantiles can't be added up: the worst of several sets. Nothing of an answer that may lack something.
fn highest(of: &Vector, sets: &[Key]) -> Option<f64> {
    if !of.warnings.is_empty() {
        return None;
    }
    sets.iter().filter_map(|set| of.values.get(set)).copied().reduce(f64::max)
}

fn skew(of: &Vector, now: Timestamp) -> Option<String> {
    let ahead = of.at? - now.as_duration().as_secs_f64();
    let direction = if ahead > 0.0 { "ahead of" } else { "behind" };
    (ahead.abs() > MOST_SKEW).then(|| format!("its clock is {:.0} s {direction} the one here", ahead.abs()))
}

/// Which sets of pods which rows say to be theirs.
struct Claims<'a> {
    /// Who names a set.
    named: BTreeMap<Key, BTreeSet<&'a Target>>,
    /// The sets that answers have and nobody names, by the name before their hash.
    by_workload: BTreeMap<Key, Vec<Key>>,
    /// Who names a workload.
    workloads: BTreeMap<Key, BTreeSet<&'a Target>>,
}

impl<'a> Claims<'a> {
    fn of(rows: &[(&'a Rollout, &'a str)], requests: &Vector) -> Claims<'a> {
        let (mut named, mut workloads) = (BTreeMap::<Key, BTreeSet<_>>::new(), BTreeMap::<Key, BTreeSet<_>>::new());
        let mut called = BTreeSet::new();
        for (row, namespace) in rows {
            let target = &row.run.target;
            called.insert(((*namespace).to_owned(), target.name.clone()));
            for arm in &row.arms {
                let key = |name: &String| ((*namespace).to_owned(), name.clone());
                match &arm.pods {
                    Some(PodNames::Set(name)) => drop(named.entry(key(name)).or_default().insert(target)),
                    Some(PodNames::Workload(name)) => drop(workloads.entry(key(name)).or_default().insert(target)),
                    Some(PodNames::Untold) | None => {}
                }
            }
        }
        let mut by_workload = BTreeMap::<Key, Vec<Key>>::new();
        for key in requests.values.keys().filter(|key| !named.contains_key(*key) && !called.contains(*key)) {
            if let Some((workload, hash)) = key.1.rsplit_once('-')
                && hash.len() >= SHORTEST_HASH
                && hash.chars().all(|c| OF_A_HASH.contains(c))
            {
                by_workload.entry((key.0.clone(), workload.to_owned())).or_default().push(key.clone());
            }
        }
        Claims { named, by_workload, workloads }
    }

    fn sets(&self, namespace: &str, arm: &Arm) -> Vec<Key> {
        let key = |name: &String| (namespace.to_owned(), name.clone());
        match &arm.pods {
            Some(PodNames::Set(name)) => vec![key(name)],
            Some(PodNames::Workload(name)) => self.by_workload.get(&key(name)).cloned().unwrap_or_default(),
            Some(PodNames::Untold) | None => Vec::new(),
        }
    }

    /// Do several rows say that it is theirs, as workloads of the same name in two clusters do?
    fn is_contested(&self, set: &Key) -> bool {
        let several = |of: Option<&BTreeSet<&Target>>| of.is_some_and(|targets| targets.len() > 1);
        let workload = set.1.rsplit_once('-').map(|(workload, _)| (set.0.clone(), workload.to_owned()));
        let by_workload = workload.filter(|_| !self.named.contains_key(set)).and_then(|key| self.workloads.get(&key));
        several(self.named.get(set)) || several(by_workload)
    }
}

/// Rows that have the same trouble.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn note(&mut self, row: &Rollout) {
        let Target { namespace, name, .. } = &row.run.target;
        self.0.insert(sanitize_line(&format!("{}/{name}", namespace.as_deref().unwrap_or_default())));
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
