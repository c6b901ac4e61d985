//! A probe of a system that tells rates and quantiles of groups: what is asked and what an answer means is the
//! system's own, all else is the same.

use super::arms::{Answers, Asked, measured, reports};
use super::asking::{Access, Asker, Request, all};
use crate::http::Answer;
use async_trait::async_trait;
use flightdeck_model::{Rollout, SourceId};
use flightdeck_port::{
    Checked, Configured, Found, Measured, Probe, ProbeError, ProbeReport, QueryReport, WrongSetting,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One system's questions and answers, pure; made of its settings.
pub(super) trait Dialect: Access + Clone + Send + Sync + 'static {
    /// Which rows, and how they are told apart.
    fn asked(&self) -> Asked<'_>;
    /// How often it is asked.
    fn every(&self) -> SignedDuration;
    /// The questions about these namespaces at a moment; of none about all of them.
    fn questions(&self, namespaces: &BTreeSet<&str>, now: Timestamp) -> Vec<Question>;
    /// What came back, in the order of the questions.
    fn answers(&self, came: &[Answer]) -> Result<Answers, ProbeError>;
}

/// One question.
pub(super) struct Question {
    /// What it is about, for people.
    pub about: &'static str,
    /// In the system's own language, for people.
    pub text: String,
    pub request: Request,
}

/// Asks one.
#[derive(Debug)]
pub(super) struct Questioner<D> {
    source: SourceId,
    dialect: D,
    every: Duration,
    asker: Asker,
}

impl<D: Dialect> Questioner<D> {
    /// Reads its secrets, connects nothing.
    pub(super) async fn new(source: SourceId, dialect: D) -> Result<Questioner<D>, WrongSetting> {
        let asker = Asker::open(dialect.clone()).await?;
        let every = Duration::try_from(dialect.every()).unwrap_or_default();
        Ok(Questioner { source, dialect, every, asker })
    }

    /// With another time limit for all answers of a question.
    #[must_use]
    pub(super) fn within(self, within: Duration) -> Questioner<D> {
        Questioner { asker: self.asker.within(within), ..self }
    }

    async fn answers(&self, questions: Vec<Question>, now: Timestamp) -> Result<Answers, ProbeError> {
        let asking =
            questions.into_iter().map(|Question { request, .. }| async move { self.asker.ask(&request, now).await });
        let came: Vec<Answer> = all(asking).await?;
        let answers = self.dialect.answers(&came).inspect_err(|error| {
            // Some say with status 200 that a secret is not taken.
            if matches!(error, ProbeError::Refused { .. }) {
                self.asker.distrust();
            }
        })?;
        // What lacks failures looks healthy, and what lacks requests looks idle: neither is shown.
        match answers.requests.warnings.iter().chain(&answers.errors.warnings).next() {
            Some(warning) => Err(ProbeError::Refused { why: format!("its numbers may lack something: {warning}") }),
            None => Ok(answers),
        }
    }

    /// What it has, for whoever sets it up.
    pub(super) async fn doctor(&self) -> Checked {
        let (host, now) = (self.asker.host(), now());
        let found = self.asker.bounded(self.answers(self.dialect.questions(&BTreeSet::new(), now), now)).await;
        match found {
            Ok(answers) if answers.requests.values.is_empty() => Checked::Doubtful {
                what: format!("{host} answers, and has no {}", self.dialect.asked().words.requests),
                todo: "`flightdeck metrics check` says what was asked (docs/metrics.md)".to_owned(),
            },
            Ok(answers) => Checked::Good(format!("{host} has requests of {} groups", answers.requests.values.len())),
            Err(error) => Checked::Bad {
                what: error.to_string(),
                todo: format!("mend its table [sources.{}], or wait until it answers (docs/metrics.md)", self.source),
            },
        }
    }
}

/// What `doctor` says of a table.
pub(super) async fn doctor<D: Dialect>(
    configured: &Configured,
    opened: Result<Questioner<D>, WrongSetting>,
) -> Checked {
    match opened {
        Ok(probe) => probe.doctor().await,
        Err(wrong) => {
            let key = wrong.key.map_or_else(String::new, |key| format!("`{key}`: "));
            let todo = format!("mend its table [sources.{}]", configured.name);
            Checked::Bad { what: format!("{key}{}", wrong.what), todo }
        }
    }
}

fn namespaces<'a>(rows: &[&'a Rollout]) -> BTreeSet<&'a str> {
    rows.iter().filter_map(|row| row.run.target.namespace.as_deref()).collect()
}

#[expect(clippy::disallowed_methods, reason = "whoever sets a system up asks about now")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[async_trait]
impl<D: Dialect> Probe for Questioner<D> {
    fn source(&self) -> &SourceId {
        &self.source
    }

    fn every(&self) -> Duration {
        self.every
    }

    async fn measure(&self, rows: &[Arc<Rollout>], now: Timestamp) -> Result<Measured, ProbeError> {
        self.asker.ready(now).await?;
        let asked = self.dialect.asked();
        let rows = asked.measurable(rows);
        let questions = self.dialect.questions(&namespaces(&rows), now);
        let answers = self.asker.bounded(self.answers(questions, now)).await?;
        Ok(if rows.is_empty() { Measured::default() } else { measured(&rows, &answers, &asked, now) })
    }

    async fn explain(&self, rows: &[Arc<Rollout>], now: Timestamp) -> ProbeReport {
        let asked = self.dialect.asked();
        let rows = asked.measurable(rows);
        let questions = || self.dialect.questions(&namespaces(&rows), now);
        let told = match self.asker.ready(now).await {
            Ok(()) => self.asker.bounded(self.answers(questions(), now)).await,
            Err(error) => Err(error),
        };
        let report = |question: Question| {
            let found = told.as_ref().map_err(Clone::clone).map(|answers| Found {
                series: answers.requests.values.len().max(answers.p95.values.len()),
                newest: None,
                warnings: answers.p95.warnings.clone(),
            });
            QueryReport { metric: question.about.to_owned(), query: question.text, found }
        };
        ProbeReport {
            told_apart_by: asked.words.labels.clone(),
            queries: questions().into_iter().map(report).collect(),
            rows: told.as_ref().map_or_else(|_| Vec::new(), |answers| reports(&rows, answers, &asked, now)),
        }
    }
}
