//! Datadog: trace metrics or one's own, two questions for all rows. API v2,
//! <https://docs.datadoghq.com/api/latest/metrics/#query-timeseries-data-across-multiple-products>.

use super::arms::{Answers, Asked, Words};
use super::asking::{self, Access, Request, garbled};
use super::naming::{Key, Naming};
use super::numbers::{Vector, shown, spelled};
use super::questioner::{self, Dialect, Question, Questioner};
use super::spans::cadence;
use crate::http::{self, Answer, Http};
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{
    Checked, Configured, Probe, ProbeError, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed,
};
use hyper::header::HeaderName;
use jiff::{SignedDuration, Timestamp};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const API_KEY: HeaderName = HeaderName::from_static("dd-api-key");
const APPLICATION_KEY: HeaderName = HeaderName::from_static("dd-application-key");
/// Counts come in buckets of so many seconds.
const BUCKET: i64 = 10;
/// A bucket is whole so long after it began.
const DELAY: i64 = 30;
/// Of answers that count as failed.
const FAILED: char = '5';

/// Datadog, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Where its API key is read: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`; again whenever it is not taken any
    /// more.
    #[schemars(title = "where it is read, such as \"file:/run/secrets/datadog-api\"")]
    api_key: String,
    /// Where its application key is read; it needs the scope `timeseries_query`.
    #[schemars(title = "where it is read, such as \"file:/run/secrets/datadog-application\"")]
    application_key: String,
    /// The site, such as `datadoghq.eu`. Without: `datadoghq.com`.
    #[serde(default)]
    #[schemars(title = "a site such as \"datadoghq.eu\"")]
    site: Option<String>,
    /// Its address in the place of the site's, such as a proxy's.
    #[serde(default)]
    #[schemars(title = "an address such as \"https://api.datadoghq.eu\"")]
    url: Option<String>,
    /// How often it is asked, `5s` to `5m`. Without: `15s`.
    #[serde(default)]
    #[schemars(title = "a span such as \"15s\"")]
    every: Option<String>,
    /// The span that rates and latencies are taken over. Without: `1m`.
    #[serde(default)]
    #[schemars(title = "a span such as \"1m\"")]
    range: Option<String>,
    /// A count of answers with the tag `status_tag`. Without: `trace.http.request.hits.by_http_status`.
    #[serde(default)]
    #[schemars(title = "a metric's name")]
    requests: Option<String>,
    /// A distribution of how long answers took. Without: `trace.http.request`.
    #[serde(default)]
    #[schemars(title = "a metric's name")]
    latency: Option<String>,
    /// The tag with the status, or its class, of an answer; what begins with 5 is a failure. Without:
    /// `http.status_class`.
    #[serde(default)]
    #[schemars(title = "a tag")]
    status_tag: Option<String>,
    /// By what the sides of a rollout are told apart: `version` (the tags `service` and `version`) or `replica_set` (the
    /// tags `kube_namespace` and `kube_replica_set`, which trace metrics do not have). Without: `version`.
    #[serde(default)]
    arms_by: ArmsBy,
    /// What else of tags is asked for, such as `env:production`. Without: all.
    #[serde(default)]
    #[schemars(title = "tags such as \"env:production\"")]
    filter: Option<String>,
    /// The sources whose rollouts it measures. Without: all that do not measure themselves.
    #[serde(default)]
    #[schemars(title = "a list of sources")]
    sources: Vec<String>,
}

/// By which tags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ArmsBy {
    /// `service` and `version`.
    #[default]
    Version,
    /// `kube_namespace` and `kube_replica_set`.
    ReplicaSet,
}

impl ArmsBy {
    const fn told(self) -> ([&'static str; 2], Naming) {
        match self {
            ArmsBy::Version => (["service", "version"], Naming::Release),
            ArmsBy::ReplicaSet => (["kube_namespace", "kube_replica_set"], Naming::PodSet),
        }
    }
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    url: String,
    api_key: String,
    application_key: String,
    every: SignedDuration,
    range: SignedDuration,
    requests: String,
    latency: String,
    status_tag: String,
    arms_by: ArmsBy,
    filter: String,
    sources: Vec<String>,
}

impl Settings {
    fn of(raw: &RawSettings) -> Result<Settings, WrongSetting> {
        let written: Written = typed(raw)?;
        secret::check("api_key", &written.api_key)?;
        secret::check("application_key", &written.application_key)?;
        let site = written.site.as_deref().unwrap_or("datadoghq.com");
        if !site.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')) {
            return Err(WrongSetting::at("site", format!("expected a site such as \"datadoghq.eu\", found {site:?}")));
        }
        let url = written.url.unwrap_or_else(|| format!("https://api.{site}"));
        http::url_of("url", &url)?;
        let (every, range) = cadence(written.every.as_deref(), written.range.as_deref())?;
        let name = |key, written: Option<String>, usual: &str| {
            let name = written.unwrap_or_else(|| usual.to_owned());
            let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
            if fits { Ok(name) } else { Err(WrongSetting::at(key, format!("expected a name, found {name:?}"))) }
        };
        let filter = written.filter.unwrap_or_else(|| "*".to_owned());
        if filter.contains(['{', '}', '\n']) {
            return Err(WrongSetting::at("filter", "expected tags without braces, such as \"env:production\""));
        }
        Ok(Settings {
            url,
            api_key: written.api_key,
            application_key: written.application_key,
            every,
            range,
            requests: name("requests", written.requests, "trace.http.request.hits.by_http_status")?,
            latency: name("latency", written.latency, "trace.http.request")?,
            status_tag: name("status_tag", written.status_tag, "http.status_class")?,
            arms_by: written.arms_by,
            filter,
            sources: written.sources,
        })
    }

    fn counts(&self) -> String {
        let ([one, other], _) = self.arms_by.told();
        format!("sum:{}{{{}}} by {{{one},{other},{}}}.as_count()", self.requests, self.filter, self.status_tag)
    }

    fn quantile(&self, name: &str) -> String {
        let ([one, other], _) = self.arms_by.told();
        format!("{name}:{}{{{}}} by {{{one},{other}}}", self.latency, self.filter)
    }
}

/// One question of several queries; the series of an answer say by number which of them they are of.
fn request(queries: &[(&str, String)], from: i64, to: i64, interval: i64) -> Request {
    let query = |(name, query): &(&str, String)| json!({"data_source": "metrics", "name": name, "query": query});
    let formula = |(name, _): &(&str, String)| json!({ "formula": name });
    Request::Json(
        "api/v2/query/timeseries",
        json!({"data": {"type": "timeseries_request", "attributes": {
            "from": from * 1000, "to": to * 1000, "interval": interval * 1000,
            "queries": queries.iter().map(query).collect::<Vec<_>>(),
            "formulas": queries.iter().map(formula).collect::<Vec<_>>(),
        }}}),
    )
}

#[async_trait]
impl Access for Settings {
    async fn client(&self) -> Result<Http, WrongSetting> {
        let mut headers = http::header("api_key", API_KEY, secret::read("api_key", &self.api_key).await?.trim())?;
        let own = secret::read("application_key", &self.application_key).await?;
        headers.extend(http::header("application_key", APPLICATION_KEY, own.trim())?);
        Http::new("url", &self.url, headers)
    }
}

impl Dialect for Settings {
    fn asked(&self) -> Asked<'_> {
        let (tags, naming) = self.arms_by.told();
        let tags = tags.join(" and ");
        Asked {
            naming,
            sources: &self.sources,
            every: self.every,
            words: Words {
                requests: format!("{} with {tags}", self.requests),
                status: format!("tag {}", self.status_tag),
                labels: format!("the tags {tags}"),
                scope: ", or a `filter`",
            },
        }
    }

    fn every(&self) -> SignedDuration {
        self.every
    }

    fn questions(&self, _: &BTreeSet<&str>, now: Timestamp) -> Vec<Question> {
        let to = (now.as_second() - DELAY).div_euclid(BUCKET) * BUCKET;
        let range = self.range.as_secs().max(BUCKET).div_euclid(BUCKET) * BUCKET;
        let counts = [("requests", self.counts())];
        let quantiles = ["p50", "p95", "p99"].map(|name| (name, self.quantile(name)));
        let texts = quantiles.each_ref().map(|(_, query)| query.as_str()).join("; ");
        vec![
            Question {
                about: "requests by status",
                text: counts[0].1.clone(),
                request: request(&counts, to - range, to, BUCKET),
            },
            Question { about: "latency", text: texts, request: request(&quantiles, to - range, to, range) },
        ]
    }

    fn answers(&self, came: &[Answer]) -> Result<Answers, ProbeError> {
        let [counts, latency] = came else { return Err(garbled("an answer is missing")) };
        let (tags, _) = self.arms_by.told();
        let (mut requests, mut errors) = (Vector::default(), Vector::default());
        let seconds = self.range.as_secs_f64();
        for series in read(counts)? {
            let Some(key) = series.key(&tags) else { continue };
            let rate = series.values.iter().sum::<f64>() / seconds;
            *requests.values.entry(key.clone()).or_default() += rate;
            let Some(status) = series.tags.get(self.status_tag.as_str()) else { continue };
            *errors.values.entry(key).or_default() += if status.starts_with(FAILED) { rate } else { 0.0 };
        }
        let mut quantiles = [Vector::default(), Vector::default(), Vector::default()];
        for series in read(latency)? {
            let (Some(key), Some(newest)) = (series.key(&tags), series.values.last()) else { continue };
            let Some(quantile) = quantiles.get_mut(series.query) else { return Err(garbled("no such query")) };
            if quantile.values.insert(key.clone(), newest * series.micros).is_some() {
                return Err(garbled(&format!("its answer has two values of {}", spelled(&key))));
            }
        }
        let [p50, p95, p99] = quantiles;
        Ok(Answers { requests, errors, p50, p95, p99 })
    }
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Data>,
    errors: Option<Value>,
}

#[derive(Deserialize)]
struct Data {
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    series: Vec<Told>,
    values: Vec<Vec<Option<f64>>>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    group_tags: Vec<String>,
    #[serde(default)]
    query_index: usize,
    #[serde(default)]
    unit: Option<Vec<Option<Unit>>>,
}

#[derive(Deserialize)]
struct Unit {
    #[serde(default)]
    family: String,
    #[serde(default)]
    scale_factor: f64,
}

/// One series of an answer.
struct Series {
    query: usize,
    tags: BTreeMap<String, String>,
    /// What is a number, in the order of time.
    values: Vec<f64>,
    /// Microseconds of its unit.
    micros: f64,
}

impl Series {
    fn key(&self, tags: &[&str]) -> Option<Key> {
        tags.iter().map(|tag| self.tags.get(*tag).cloned()).collect()
    }
}

fn read(answer: &Answer) -> Result<Vec<Series>, ProbeError> {
    if !answer.status.is_success() {
        return Err(asking::refused(
            answer,
            "may its `api_key` and `application_key` query metrics?",
            "is its `site` the one of the keys?",
        ));
    }
    let envelope: Envelope = answer.json().map_err(|why| garbled(&why))?;
    if let Some(errors) = envelope.errors.filter(|errors| !errors.is_null()) {
        let what = if envelope.data.is_some() { "its numbers may lack something" } else { "it refuses" };
        return Err(garbled(&format!("{what}: {}", shown(&errors.to_string()))));
    }
    let Some(Data { attributes: Attributes { series, values } }) = envelope.data else {
        return Err(garbled("its answer has no data"));
    };
    if series.len() != values.len() {
        return Err(garbled("its answer has not one list of values for each series"));
    }
    let told = |(told, values): (Told, Vec<Option<f64>>)| {
        let tag = |tag: &String| tag.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let unit = told.unit.into_iter().flatten().flatten().find(|unit| unit.family == "time");
        Series {
            query: told.query_index,
            tags: told.group_tags.iter().filter_map(tag).filter(|(_, value)| value != "N/A").collect(),
            values: values.into_iter().flatten().filter(|value| value.is_finite()).collect(),
            micros: unit.map_or(1e6, |unit| unit.scale_factor * 1e6),
        }
    };
    let all = series.into_iter().zip(values).map(told);
    Ok(all.filter(|series| !series.values.is_empty()).collect())
}

/// The kind `datadog`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Datadog;

impl Datadog {
    async fn questioner(configured: &Configured) -> Result<Questioner<Settings>, WrongSetting> {
        Questioner::new(configured.name.clone(), Settings::of(&configured.settings)?).await
    }

    /// Makes it of a table, with a time limit for all answers of a question.
    ///
    /// # Errors
    /// The table is wrong, or a key can't be read.
    pub async fn within(configured: &Configured, within: Duration) -> Result<Arc<dyn Probe>, WrongSetting> {
        Ok(Arc::new(Datadog::questioner(configured).await?.within(within)))
    }
}

#[async_trait]
impl Provider for Datadog {
    fn kind(&self) -> &'static str {
        "datadog"
    }

    fn about(&self) -> &'static str {
        "requests, errors and latency of Kubernetes rollouts, from Datadog"
    }

    fn section(&self) -> Section {
        Section::Sources
    }

    fn measures_others(&self) -> bool {
        true
    }

    fn schema(&self) -> Schema {
        schema_of::<Written>()
    }

    fn check(&self, settings: &RawSettings) -> Result<(), WrongSetting> {
        Settings::of(settings).map(drop)
    }

    fn describe(&self, settings: &RawSettings) -> String {
        match Settings::of(settings) {
            Ok(settings) => format!("{} at {}, every {} s", settings.requests, settings.url, settings.every.as_secs()),
            Err(wrong) => wrong.what,
        }
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        Ok(System::Probe(Arc::new(Datadog::questioner(configured).await?)))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        questioner::doctor(configured, Datadog::questioner(configured).await).await
    }
}
