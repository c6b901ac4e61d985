//! What counters grew by between two moments, asked so that joined windows add up to the truth: nothing is estimated,
//! and what a window misses the next one has.
//!
//! Of each series the last value in the five minutes before either moment counts, whether or not its pod still is
//! there: so the last requests of a pod that ended are not lost, nor those of a scrape that failed. It grew by the
//! difference; after a reset by the new value. A series that is new is counted whole where others of its pod were there
//! before, as that of the first error is; a pod that was never seen counts from the next answer on.

use super::preset::How;
use super::query::{by_arm, own_labels, scope};
use super::settings::Settings;
use crate::metrics::increases::Grown;
use crate::metrics::numbers::Vector;
use std::collections::{BTreeMap, BTreeSet};

/// How far back a series' last value may lie.
const LOOKBACK: u32 = 300;
/// What the status of a series says: that it is one, and that it is a failure.
const KNOWN: &str = "status_known";
const FAILED: &str = "status_failed";
/// What it says there. VictoriaMetrics puts the status itself where it is none.
const YES: &str = "1";
/// The further labels of an answer on counts.
pub(super) const OF_COUNTS: [&str; 2] = [KNOWN, FAILED];
/// Of one on buckets.
pub(super) const OF_BUCKETS: [&str; 1] = ["le"];

/// What each series of a counter grew by in so many seconds.
fn grown(series: &str, seconds: i64, settings: &Settings) -> String {
    let now = format!("last_over_time({series}[{LOOKBACK}s])");
    let before = format!("last_over_time({series}[{LOOKBACK}s] offset {seconds}s)");
    let target = target(settings);
    format!("({now} - {before} >= 0) or ({now} < {before}) or (({now} unless {before}) and on ({target}) {before})")
}

/// The labels of whoever has several series: a pod, or what is scraped.
pub(super) fn target(settings: &Settings) -> String {
    match settings.told.how {
        How::Pod => own_labels(settings).join(", "),
        _ => "job, instance".to_owned(),
    }
}

/// Requests by whether they failed.
pub(super) fn counts_query(settings: &Settings, namespaces: &BTreeSet<&str>, seconds: i64) -> String {
    let series = format!("{}{{{}}}", settings.preset.requests, scope(settings, namespaces));
    by_status(settings, &grown(&series, seconds, settings))
}

/// Sums by what tells arms apart and by whether requests failed; without a status that is not known.
pub(super) fn by_status(settings: &Settings, of_series: &str) -> String {
    let statuses = settings.status_labels();
    let labels: Vec<&str> = own_labels(settings).into_iter().chain(statuses.iter().copied()).collect();
    let mut sums = format!("sum by ({}) ({of_series})", labels.join(", "));
    for status in &statuses {
        sums = format!("label_replace({sums}, \"{KNOWN}\", \"{YES}\", \"{status}\", \".+\")");
        let failed = settings.preset.failed;
        sums = format!("label_replace({sums}, \"{FAILED}\", \"{YES}\", \"{status}\", \"{failed}\")");
    }
    by_arm(settings, &sums, &OF_COUNTS)
}

/// Buckets; `None` where there are none.
pub(super) fn buckets_query(settings: &Settings, namespaces: &BTreeSet<&str>, seconds: i64) -> Option<String> {
    let (buckets, _) = settings.preset.latency?;
    let series = format!("{buckets}{{{}}}", scope(settings, namespaces));
    Some(by_arm(settings, &grown(&series, seconds, settings), &OF_BUCKETS))
}

/// The two answers together.
pub(super) fn of(counts: &Vector, buckets: &Vector, micros: f64) -> Grown {
    let mut grown = Grown::default();
    for (key, value) in &counts.values {
        let [of @ .., known, failed] = key.as_slice() else { continue };
        let of = of.to_vec();
        *grown.requests.values.entry(of.clone()).or_default() += value;
        if !known.is_empty() {
            let errors = grown.errors.values.entry(of).or_default();
            *errors += if failed == YES { *value } else { 0.0 };
        }
    }
    let mut by_key: BTreeMap<Vec<String>, Vec<(f64, f64)>> = BTreeMap::new();
    for (key, value) in &buckets.values {
        let [of @ .., le] = key.as_slice() else { continue };
        // `+Inf` is one.
        let Ok(bound) = le.parse::<f64>() else { continue };
        by_key.entry(of.to_vec()).or_default().push((bound * micros, *value));
    }
    grown.buckets = by_key;
    grown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(more: &serde_json::Value) -> Settings {
        let mut all = json!({"url": "http://127.0.0.1:9090"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Settings::of(all.as_object().unwrap()).unwrap()
    }

    #[test]
    fn one_query_counts_by_status_and_looks_at_both_ends() {
        let query = counts_query(&settings(&json!({"status_label": "code"})), &BTreeSet::from(["shop"]), 15);
        let last = "last_over_time(http_requests_total{namespace=~\"shop\", pod!=\"\"}[300s])";
        let before = "last_over_time(http_requests_total{namespace=~\"shop\", pod!=\"\"}[300s] offset 15s)";
        let grown = format!(
            "({last} - {before} >= 0) or ({last} < {before}) or (({last} unless {before}) and on (namespace, pod) {before})"
        );
        assert_eq!(
            query,
            format!(
                "sum by (status_known, status_failed, namespace, pod_set) (label_replace(sum by (status_known, \
                 status_failed, namespace, pod) (label_replace(label_replace(sum by (namespace, pod, code) ({grown}), \
                 \"status_known\", \"1\", \"code\", \".+\"), \"status_failed\", \"1\", \"code\", \"5..\")), \
                 \"pod_set\", \"$1\", \"pod\", \"(.+)-[^-]+\"))"
            )
        );
        // Of a proxy's series it is the proxy that was there before.
        let traefik = counts_query(&settings(&json!({"preset": "traefik"})), &BTreeSet::new(), 15);
        assert!(traefik.contains("and on (job, instance) last_over_time("), "{traefik}");
        assert_eq!(buckets_query(&settings(&json!({"preset": "haproxy"})), &BTreeSet::new(), 15), None);
    }

    #[test]
    fn errors_are_a_part_of_requests_and_unknown_where_no_status_is() {
        let vector = |values: &[(&[&str], f64)]| {
            let of = |(key, value): &(&[&str], f64)| (key.iter().map(|part| (*part).to_owned()).collect(), *value);
            Vector { values: values.iter().map(of).collect(), ..Vector::default() }
        };
        let counts = vector(&[
            (&["shop", "web-1", "1", ""], 80.0),
            // As VictoriaMetrics 1.79 answered.
            (&["shop", "web-1", "1", "200"], 10.0),
            (&["shop", "web-1", "1", "1"], 10.0),
            (&["shop", "web-2", "1", ""], 5.0),
            (&["shop", "web-3", "", ""], 7.0),
        ]);
        let buckets = vector(&[(&["shop", "web-1", "0.1"], 60.0), (&["shop", "web-1", "+Inf"], 100.0)]);
        let grown = of(&counts, &buckets, 1e6);
        let key = |set: &str| vec!["shop".to_owned(), set.to_owned()];
        assert_eq!(grown.requests.values[&key("web-1")].to_bits(), 100.0_f64.to_bits());
        let errors: Vec<_> = ["web-1", "web-2", "web-3"].map(|set| grown.errors.values.get(&key(set)).copied()).into();
        assert_eq!(errors, [Some(10.0), Some(0.0), None]);
        assert_eq!(grown.buckets[&key("web-1")], [(f64::INFINITY, 100.0), (100_000.0, 60.0)]);
    }
}
