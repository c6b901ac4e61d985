//! Asks.

use super::Settings;
use super::answer::{Labels, answer};
use super::growth::{OF_BUCKETS, OF_COUNTS, buckets_query, counts_query, of as grown_of};
use super::query::{Metric, count_query, labels, micros, own_labels, query};
use super::tally::{self, Count, Tallied};
use crate::http::Http;
use crate::metrics::arms::{Answers, Asked, Words, measured};
use crate::metrics::asking::{Access, Asker, Request, all};
use crate::metrics::increases::{Grown, Moment, Next, Window, increases};
use crate::metrics::numbers::Vector;
use async_trait::async_trait;
use flightdeck_model::{Rollout, SourceId};
use flightdeck_port::{Checked, Measured, Probe, ProbeError, ProbeReport, RowTally, TallyQuestion, WrongSetting};
use futures::FutureExt as _;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long it may compute one answer: less than it is waited for, so that it can still say so.
const COMPUTED: &str = "15s";

#[async_trait]
impl Access for Settings {
    async fn client(&self) -> Result<Http, WrongSetting> {
        Settings::client(self).await
    }
}

/// One Prometheus.
#[derive(Debug)]
pub struct PrometheusProbe {
    source: SourceId,
    pub(super) settings: Settings,
    every: Duration,
    pub(super) asker: Asker,
    /// Until when it told what counters grew by.
    told_until: Mutex<Option<Moment>>,
}

impl PrometheusProbe {
    /// Made of its settings; reads its secrets, connects nothing.
    ///
    /// # Errors
    /// One of them can't be read.
    pub async fn open(source: SourceId, settings: Settings) -> Result<PrometheusProbe, WrongSetting> {
        let asker = Asker::open(settings.clone()).await?;
        let every = Duration::try_from(settings.every).unwrap_or_default();
        Ok(PrometheusProbe { source, settings, every, asker, told_until: Mutex::new(None) })
    }

    /// With another time limit for all answers of a question.
    #[must_use]
    pub fn within(self, within: Duration) -> PrometheusProbe {
        PrometheusProbe { asker: self.asker.within(within), ..self }
    }

    /// What it has, for whoever sets it up.
    pub(super) async fn doctor(&self) -> Checked {
        let (host, requests) = (self.asker.host(), self.settings.requests());
        let none = Labels { needed: &[], further: &[] };
        match self.asker.bounded(self.ask(count_query(&self.settings), None, none, Timestamp::MIN)).await {
            Ok(found) => match found.alone {
                Some(many) if many > 0.0 => Checked::Good(format!("{host} has {requests} of {many} {}", self.many())),
                _ => {
                    let labels = own_labels(&self.settings).join(" and ");
                    Checked::Doubtful {
                        what: format!("{host} answers, and has no {requests} with {labels}"),
                        todo:
                            "name the labels that it has: `namespace_label`, `pod_label`, `arm_label` (docs/metrics.md)"
                                .to_owned(),
                    }
                }
            },
            Err(error) => {
                let todo =
                    format!("mend its table [sources.{}], or wait until it answers (docs/metrics.md)", self.source);
                Checked::Bad { what: error.to_string(), todo }
            }
        }
    }

    fn many(&self) -> &'static str {
        match self.settings.told.how {
            super::preset::How::Pod if self.settings.own.is_none() => "pods",
            _ => "groups of series",
        }
    }

    /// One query, at a moment by its own clock; without one as of when it is asked.
    pub(super) async fn ask(
        &self,
        query: String,
        at: Option<i64>,
        labels: Labels<'_>,
        now: Timestamp,
    ) -> Result<Vector, ProbeError> {
        // A part is no answer: where one is asked for all the same, it is told as a warning.
        let mut form =
            vec![("query", query), ("timeout", COMPUTED.to_owned()), ("partial_response", "false".to_owned())];
        if let Some(at) = at {
            // Else a VictoriaMetrics answers of half a minute ago instead.
            form.extend([("time", at.to_string()), ("nocache", "1".to_owned())]);
        }
        answer(&self.asker.ask(&Request::Form("api/v1/query", form), now).await?, labels)
    }

    async fn answers(&self, namespaces: &BTreeSet<&str>, now: Timestamp) -> Result<Answers, ProbeError> {
        let labels = labels(&self.settings);
        let asking = Metric::ALL.map(|metric| {
            let (query, labels) = (query(metric, &self.settings, namespaces), Labels { needed: &labels, further: &[] });
            async move {
                match query {
                    Some(query) => self.ask(query, None, labels, now).await,
                    None => Ok(Vector::default()),
                }
            }
            .boxed()
        });
        let told: Vec<Vector> = all(asking).await?;
        let [requests, errors, p50, p95, p99]: [Vector; 5] =
            told.try_into().map_err(|_| ProbeError::Refused { why: "an answer is missing".to_owned() })?;
        // What lacks failures looks healthy, and what lacks requests looks idle: neither is shown.
        whole(&[&requests, &errors])?;
        let micros = micros(&self.settings);
        let [p50, p95, p99] = [p50, p95, p99].map(|quantile| {
            let values = quantile.values.into_iter().map(|(key, value)| (key, value * micros)).collect();
            Vector { values, ..quantile }
        });
        Ok(Answers { requests, errors, p50, p95, p99 })
    }

    /// What counters grew by since the last answer, if they were looked at before.
    async fn grown(&self, rows: &[&Rollout], window: Window, now: Timestamp) -> Result<Grown, ProbeError> {
        let needed = labels(&self.settings);
        let (at, seconds) = (Some(window.to.there), window.seconds());
        let in_flight: Vec<&Rollout> = rows.iter().filter(|row| row.in_flight()).copied().collect();
        let counts = counts_query(&self.settings, &namespaces(rows), seconds);
        let buckets =
            (!in_flight.is_empty()).then(|| buckets_query(&self.settings, &namespaces(&in_flight), seconds)).flatten();
        let asking = [(Some(counts), &OF_COUNTS[..]), (buckets, &OF_BUCKETS[..])].map(|(query, further)| {
            let labels = Labels { needed: &needed, further };
            async move {
                match query {
                    Some(query) => self.ask(query, at, labels, now).await,
                    None => Ok(Vector::default()),
                }
            }
            .boxed()
        });
        let told: Vec<Vector> = all(asking).await?;
        let [counts, buckets]: [Vector; 2] =
            told.try_into().map_err(|_| ProbeError::Refused { why: "an answer is missing".to_owned() })?;
        whole(&[&counts, &buckets])?;
        Ok(grown_of(&counts, &buckets, micros(&self.settings)))
    }

    /// All that is asked of one window of objectives.
    async fn tallied(
        &self,
        namespaces: &BTreeSet<&str>,
        question: &TallyQuestion,
        now: Timestamp,
    ) -> Result<Tallied, ProbeError> {
        let needed = labels(&self.settings);
        let counts = Count::all(&self.settings, question);
        let mut asking = Vec::new();
        for count in &counts {
            let query = count.query(&self.settings, namespaces, question.window);
            let labels = Labels { needed: &needed, further: count.further() };
            asking.push(self.ask(query, None, labels, now).boxed());
        }
        let told: Vec<Vector> = all(asking).await?;
        whole(&told.iter().collect::<Vec<_>>())?;
        let mut of: BTreeMap<Count, Vector> = counts.into_iter().zip(told).collect();
        let mut take = |count| of.remove(&count);
        let first = take(Count::First);
        let own = take(Count::OwnRequests).zip(take(Count::OwnErrors));
        let grown = if let Some((requests, errors)) = own {
            Grown { requests, errors, ..Grown::default() }
        } else {
            let (statuses, buckets) = (take(Count::Statuses), take(Count::Buckets));
            grown_of(&statuses.unwrap_or_default(), &buckets.unwrap_or_default(), micros(&self.settings))
        };
        Ok(Tallied { grown, first })
    }

    /// Adds what counters grew by. Where that is not answered, the next answer has it.
    async fn add_increases(&self, rows: &[&Rollout], there: Option<f64>, now: Timestamp, to: &mut Measured) {
        let Some(there) = there.filter(|_| self.settings.own.is_none()) else { return };
        let moment = Moment::before(there, now, self.settings.delay);
        let last = *self.told_until.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match Next::after(last, moment) {
            Next::Wait => return,
            Next::Begin => Ok(Vec::new()),
            Next::Window(window) => {
                let grown = self.grown(rows, window, now).await;
                grown.map(|grown| increases(rows, &grown, &self.asked(), window))
            }
        };
        match told {
            Ok(increases) => {
                to.increases = increases;
                *self.told_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
            }
            Err(error) => to.warnings.push(format!("what counters grew by is left to the next answer: {error}")),
        }
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        let settings = &self.settings;
        let of_pods = settings.told.how == super::preset::How::Pod && settings.own.is_none();
        Asked {
            naming: settings.told.by.naming(),
            sources: &settings.sources,
            every: settings.every,
            words: Words {
                requests: format!("{}{}", settings.requests(), if of_pods { " of the pods" } else { "" }),
                status: format!("label {}", settings.status_labels().join(" nor ")),
                labels: format!("the label {}", settings.arm_labels().last().copied().unwrap_or_default()),
                scope: ", or a `selector`",
            },
        }
    }
}

/// Nothing of it says that it may lack something.
fn whole(vectors: &[&Vector]) -> Result<(), ProbeError> {
    match vectors.iter().flat_map(|vector| &vector.warnings).next() {
        Some(warning) => Err(ProbeError::Refused { why: format!("its numbers may lack something: {warning}") }),
        None => Ok(()),
    }
}

pub(super) fn namespaces<'a>(rows: &[&'a Rollout]) -> BTreeSet<&'a str> {
    rows.iter().filter_map(|row| row.run.target.namespace.as_deref()).collect()
}

#[async_trait]
impl Probe for PrometheusProbe {
    fn source(&self) -> &SourceId {
        &self.source
    }

    fn every(&self) -> Duration {
        self.every
    }

    async fn measure(&self, rows: &[Arc<Rollout>], now: Timestamp) -> Result<Measured, ProbeError> {
        self.asker.ready(now).await?;
        let asked = self.asked();
        let rows = asked.measurable(rows);
        let asking = async {
            if rows.is_empty() {
                let none = Labels { needed: &[], further: &[] };
                return self.ask("vector(1)".to_owned(), None, none, now).await.map(|_| Measured::default());
            }
            let answers = self.answers(&namespaces(&rows), now).await?;
            let mut measured = measured(&rows, &answers, &asked, now);
            self.add_increases(&rows, answers.requests.at, now, &mut measured).await;
            Ok(measured)
        };
        self.asker.bounded(asking).await
    }

    async fn tally(&self, question: &TallyQuestion, now: Timestamp) -> Result<Vec<RowTally>, ProbeError> {
        self.asker.ready(now).await?;
        let asked = self.asked();
        let rows = asked.measurable(&question.rows);
        let wanted: Vec<&Rollout> =
            rows.iter().filter(|row| question.wanted.contains(&row.run.target)).copied().collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let tallied = self.asker.bounded(self.tallied(&namespaces(&wanted), question, now)).await?;
        Ok(tally::rows(&rows, &tallied, question, &self.settings, &asked.words))
    }

    async fn explain(&self, rows: &[Arc<Rollout>], now: Timestamp) -> ProbeReport {
        super::explain::explain(self, &self.asked().measurable(rows), now).await
    }
}
