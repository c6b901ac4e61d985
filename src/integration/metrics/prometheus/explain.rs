//! Each question once, and what it found.

use super::answer::Labels;
use super::growth::{OF_BUCKETS, OF_COUNTS, buckets_query, counts_query};
use super::preset::How;
use super::probe::{PrometheusProbe, namespaces};
use super::query::{Metric, labels, newest_query, query};
use super::settings::Settings;
use crate::metrics::arms::{Answers, reports};
use crate::metrics::increases::Moment;
use crate::metrics::numbers::Vector;
use flightdeck_model::Rollout;
use flightdeck_port::{Found, ProbeError, ProbeReport, QueryReport};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Asks all of it, one question after the other: nobody waits for it but whoever asked.
pub(super) async fn explain(probe: &PrometheusProbe, rows: &[&Rollout], now: Timestamp) -> ProbeReport {
    let namespaces = namespaces(rows);
    let mut explaining = Explaining { probe, namespaces: &namespaces, now, queries: Vec::new() };
    let mut told = Vec::new();
    for metric in Metric::ALL {
        told.push(explaining.metric(metric).await);
    }
    let there = told.first().and_then(|requests| requests.as_ref()?.at);
    if let Some(there) = there {
        explaining.growth(Moment::before(there, now, probe.settings.delay)).await;
    }
    let mut told = told.into_iter();
    let (requests, errors) = (told.next().flatten(), told.next().flatten());
    let rows = match (requests, errors) {
        (Some(requests), Some(errors)) => {
            reports(rows, &Answers { requests, errors, ..Answers::default() }, &probe.asked(), now)
        }
        _ => Vec::new(),
    };
    ProbeReport { told_apart_by: told_apart_by(&probe.settings), queries: explaining.queries, rows }
}

struct Explaining<'a> {
    probe: &'a PrometheusProbe,
    namespaces: &'a BTreeSet<&'a str>,
    now: Timestamp,
    queries: Vec<QueryReport>,
}

impl Explaining<'_> {
    async fn metric(&mut self, metric: Metric) -> Option<Vector> {
        let settings = &self.probe.settings;
        let query = query(metric, settings, self.namespaces)?;
        let needed = labels(settings);
        let answer = self.one(query.clone(), None, Labels { needed: &needed, further: &[] }).await;
        let newest = match newest_query(metric, settings, self.namespaces).filter(|_| answer.is_ok()) {
            Some(newest) => self.one(newest, None, Labels { needed: &[], further: &[] }).await.ok(),
            None => None,
        };
        let newest = newest.and_then(|newest| moment(newest.alone?));
        self.note(metric.word(), query, &answer, newest);
        answer.ok()
    }

    /// What counters grew by in the last window.
    async fn growth(&mut self, until: Moment) {
        let settings = &self.probe.settings;
        if settings.own.is_some() {
            return;
        }
        let seconds = settings.every.as_secs();
        let counts = Some(counts_query(settings, self.namespaces, seconds));
        let buckets = buckets_query(settings, self.namespaces, seconds);
        let needed = labels(settings);
        for (name, query, further) in
            [("increases", counts, &OF_COUNTS[..]), ("latency increases", buckets, &OF_BUCKETS[..])]
        {
            let Some(query) = query else { continue };
            let answer = self.one(query.clone(), Some(until.there), Labels { needed: &needed, further }).await;
            self.note(name, query, &answer, None);
        }
    }

    async fn one(&self, query: String, at: Option<i64>, labels: Labels<'_>) -> Result<Vector, ProbeError> {
        self.probe.asker.ready(self.now).await?;
        self.probe.asker.bounded(self.probe.ask(query, at, labels, self.now)).await
    }

    fn note(&mut self, metric: &str, query: String, answer: &Result<Vector, ProbeError>, newest: Option<Timestamp>) {
        let found = answer.as_ref().map_err(Clone::clone).map(|vector| Found {
            series: vector.values.len(),
            newest,
            warnings: vector.warnings.clone(),
        });
        self.queries.push(QueryReport { metric: metric.to_owned(), query, found });
    }
}

fn told_apart_by(settings: &Settings) -> String {
    let labels = labels(settings).join(", ");
    match (settings.told.how, settings.arm_labels().first()) {
        _ if settings.own.is_some() => format!("{} ({labels})", settings.told.by.word()),
        (How::Pod, Some(pod)) => {
            format!("{} ({pod} without its last part is the set of pods)", settings.told.by.word())
        }
        (How::NginxBackend, Some(service)) => {
            format!("{} ({service}, or canary where there is one)", settings.told.by.word())
        }
        _ => format!("{} ({labels})", settings.told.by.word()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
fn moment(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((seconds * 1000.0) as i64).ok()
}
