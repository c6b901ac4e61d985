//! Asks.

use super::answer::{Vector, answer};
use super::arms::{Answers, measurable, measured};
use super::query::{HTTP, Metric, SET, pods_query, query};
use super::{Settings, lost};
use crate::http::Http;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use flightdeck_model::{Rollout, SourceId};
use flightdeck_port::{Checked, Measured, Probe, ProbeError, WrongSetting};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// For all answers of one question together.
const WITHIN: Duration = Duration::from_secs(20);
/// How long it may compute one of them: less, so that it can still say so.
const COMPUTED: &str = "15s";
/// Queries at once.
const AT_ONCE: usize = 4;
/// Left alone for no longer than that, whatever it asks for.
const LONGEST_REST: Duration = Duration::from_mins(10);

/// One Prometheus.
#[derive(Debug)]
pub struct PrometheusProbe {
    source: SourceId,
    settings: Settings,
    every: Duration,
    within: Duration,
    http: ArcSwap<Http>,
    /// Its token was not taken: it is read again before the next question.
    refused: AtomicBool,
    /// Until then it asked to be left alone, in milliseconds since 1970.
    rests: AtomicI64,
}

impl PrometheusProbe {
    /// Made of its settings; reads its token, connects nothing.
    ///
    /// # Errors
    /// Its token can't be read.
    pub async fn open(source: SourceId, settings: Settings) -> Result<PrometheusProbe, WrongSetting> {
        let http = ArcSwap::from_pointee(settings.client().await?);
        let every = Duration::try_from(settings.every).unwrap_or_default();
        let (refused, rests) = (AtomicBool::new(false), AtomicI64::new(i64::MIN));
        Ok(PrometheusProbe { source, settings, every, within: WITHIN, http, refused, rests })
    }

    /// With another time limit for all answers of a question.
    #[must_use]
    pub fn within(self, within: Duration) -> PrometheusProbe {
        PrometheusProbe { within, ..self }
    }

    /// What it has, for whoever sets it up.
    pub(super) async fn doctor(&self) -> Checked {
        let host = self.http.load().host();
        let pods = match timeout(self.within, self.ask(&pods_query(&HTTP, &self.settings))).await {
            Err(_) => Err(self.late()),
            Ok((answer, _)) => answer,
        };
        match pods {
            Ok(pods) => match pods.alone {
                Some(pods) if pods > 0.0 => Checked::Good(format!("{host} has {} of {pods} pods", HTTP.requests)),
                _ => {
                    let Settings { namespace_label, pod_label, .. } = &self.settings;
                    Checked::Doubtful {
                        what: format!(
                            "{host} answers, and has no {} with {namespace_label} and {pod_label}",
                            HTTP.requests
                        ),
                        todo: "name the labels that it has: `namespace_label`, `pod_label` (docs/metrics.md)"
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

    /// One query; and how long it asks to be left alone.
    async fn ask(&self, query: &str) -> (Result<Vector, ProbeError>, Option<Duration>) {
        let http = self.http.load_full();
        match http.ask("api/v1/query", &[("query", query), ("timeout", COMPUTED)]).await {
            Err(error) => (Err(lost(&error)), None),
            Ok(came) => {
                if came.status == StatusCode::UNAUTHORIZED {
                    self.refused.store(true, Ordering::Relaxed);
                }
                let rest = came.retry_after().filter(|_| !came.status.is_success());
                (answer(&came, &self.settings.namespace_label, SET), rest)
            }
        }
    }

    /// One query, and a word of it that it wants to be left alone is kept.
    async fn asked(&self, query: &str, now: Timestamp) -> Result<Vector, ProbeError> {
        let (answer, rest) = self.ask(query).await;
        if let Some(until) = rest.and_then(|rest| SignedDuration::try_from(rest.min(LONGEST_REST)).ok()) {
            let until = now.saturating_add(until).unwrap_or(Timestamp::MAX);
            self.rests.store(until.as_millisecond(), Ordering::Relaxed);
        }
        answer
    }

    fn late(&self) -> ProbeError {
        let host = self.http.load().host();
        ProbeError::Unreachable { why: format!("{host}: nothing within {} s", self.within.as_secs_f32()) }
    }

    /// Is it to be asked at all?
    async fn ready(&self, now: Timestamp) -> Result<(), ProbeError> {
        let rests = self.rests.load(Ordering::Relaxed);
        if now.as_millisecond() < rests {
            let left = (rests - now.as_millisecond() + 999) / 1000;
            let host = self.http.load().host();
            return Err(ProbeError::Unreachable { why: format!("{host} asks to be left alone for {left} s more") });
        }
        if self.refused.swap(false, Ordering::Relaxed) {
            let client = self.settings.client().await.map_err(|wrong| {
                self.refused.store(true, Ordering::Relaxed);
                ProbeError::Refused { why: wrong.what }
            })?;
            self.http.store(Arc::new(client));
        }
        Ok(())
    }

    async fn answers(&self, namespaces: &BTreeSet<&str>, now: Timestamp) -> Result<Answers, ProbeError> {
        let queries = Metric::ALL.map(|metric| query(metric, &HTTP, &self.settings, namespaces));
        let asking = queries.into_iter().map(|query| async move { self.asked(&query, now).await });
        let told: Vec<Vector> = stream::iter(asking).buffered(AT_ONCE).try_collect().await?;
        let [requests, errors, p50, p95, p99]: [Vector; 5] =
            told.try_into().map_err(|_| ProbeError::Refused { why: "an answer is missing".to_owned() })?;
        // What lacks failures looks healthy, and what lacks requests looks idle: neither is shown.
        if let Some(warning) = requests.warnings.iter().chain(&errors.warnings).next() {
            return Err(ProbeError::Refused { why: format!("its numbers may lack something: {warning}") });
        }
        Ok(Answers { requests, errors, p50, p95, p99 })
    }
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
        self.ready(now).await?;
        let namespaces: BTreeSet<&str> = measurable(rows, &self.settings).map(|(_, namespace)| namespace).collect();
        let asking = async {
            if namespaces.is_empty() {
                return self.asked("vector(1)", now).await.map(|_| Measured::default());
            }
            let answers = self.answers(&namespaces, now).await?;
            Ok(measured(rows, &answers, &self.settings, now))
        };
        timeout(self.within, asking).await.unwrap_or_else(|_| Err(self.late()))
    }
}
