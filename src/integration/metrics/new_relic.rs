//! New Relic: transactions by pod, one NRQL query for all rows, which NerdGraph takes,
//! <https://docs.newrelic.com/docs/apis/nerdgraph/examples/nerdgraph-nrql-tutorial/>. It tells errors with status 200.

use super::arms::{Answers, Asked, Words};
use super::asking::{self, Access, Request, garbled};
use super::naming::{Key, Naming};
use super::numbers::{shown, spelled};
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
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// Groups of an answer: where there are so many, more may be missing.
const MOST_GROUPS: usize = 5000;
/// Agents tell what happened once a minute at least; asked about a moment so long ago, all have told.
const DELAY: SignedDuration = SignedDuration::from_secs(60);
/// Errors that pass.
const PASSING: [&str; 3] = ["TIMEOUT", "SERVER_ERROR", "TOO_MANY_REQUESTS"];

/// New Relic, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Where its user key is read: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`; again whenever it is not taken any
    /// more.
    #[schemars(title = "where it is read, such as \"file:/run/secrets/new-relic\"")]
    api_key: String,
    /// The number of the account.
    account: u32,
    /// Where the account's data is. Without: `us`.
    #[serde(default)]
    region: Region,
    /// Its address in the place of the region's, such as a proxy's.
    #[serde(default)]
    #[schemars(title = "an address such as \"https://api.newrelic.com\"")]
    url: Option<String>,
    /// How often it is asked, `5s` to `5m`. Without: `15s`.
    #[serde(default)]
    #[schemars(title = "a span such as \"15s\"")]
    every: Option<String>,
    /// The span that rates and latencies are taken over. Without: `1m`.
    #[serde(default)]
    #[schemars(title = "a span such as \"1m\"")]
    range: Option<String>,
    /// The attribute of a transaction with its pod's namespace. Without: `k8s.namespaceName`.
    #[serde(default)]
    #[schemars(title = "an attribute's name")]
    namespace_attribute: Option<String>,
    /// The attribute with its pod's name. Without: `k8s.podName`.
    #[serde(default)]
    #[schemars(title = "an attribute's name")]
    pod_attribute: Option<String>,
    /// A further condition on transactions, in NRQL, such as `transactionType = 'Web'`. Without: all.
    #[serde(default, rename = "where")]
    #[schemars(title = "a condition such as \"transactionType = 'Web'\"")]
    condition: Option<String>,
    /// The sources whose rollouts it measures. Without: all that do not measure themselves.
    #[serde(default)]
    #[schemars(title = "a list of sources")]
    sources: Vec<String>,
}

/// Where data is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Region {
    /// In the United States.
    #[default]
    Us,
    /// In the European Union.
    Eu,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    url: String,
    api_key: String,
    account: u32,
    every: SignedDuration,
    range: SignedDuration,
    namespace: String,
    pod: String,
    condition: Option<String>,
    sources: Vec<String>,
}

impl Settings {
    fn of(raw: &RawSettings) -> Result<Settings, WrongSetting> {
        let written: Written = typed(raw)?;
        secret::check("api_key", &written.api_key)?;
        let usual = match written.region {
            Region::Us => "https://api.newrelic.com",
            Region::Eu => "https://api.eu.newrelic.com",
        };
        let url = written.url.unwrap_or_else(|| usual.to_owned());
        http::url_of("url", &url)?;
        let (every, range) = cadence(written.every.as_deref(), written.range.as_deref())?;
        let name = |key, written: Option<String>, usual: &str| {
            let name = written.unwrap_or_else(|| usual.to_owned());
            let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if fits { Ok(name) } else { Err(WrongSetting::at(key, format!("expected an attribute, found {name:?}"))) }
        };
        if written.condition.as_ref().is_some_and(|condition| condition.contains('\n') || condition.trim().is_empty()) {
            return Err(WrongSetting::at("where", "expected one line, such as \"transactionType = 'Web'\""));
        }
        Ok(Settings {
            url,
            api_key: written.api_key,
            account: written.account,
            every,
            range,
            namespace: name("namespace_attribute", written.namespace_attribute, "k8s.namespaceName")?,
            pod: name("pod_attribute", written.pod_attribute, "k8s.podName")?,
            condition: written.condition,
            sources: written.sources,
        })
    }

    fn nrql(&self, namespaces: &BTreeSet<&str>, now: Timestamp) -> String {
        let Settings { namespace, pod, .. } = self;
        let until = now.saturating_sub(DELAY).unwrap_or(now).as_millisecond();
        let since = until - i64::try_from(self.range.as_millis()).unwrap_or_default();
        let names: Vec<_> = namespaces.iter().map(|name| literal(name)).collect();
        let of = if names.is_empty() { "IS NOT NULL".to_owned() } else { format!("IN ({})", names.join(", ")) };
        let own = self.condition.as_ref().map_or_else(String::new, |own| format!(" AND ({own})"));
        format!(
            "SELECT count(*) AS requests, filter(count(*), WHERE error IS TRUE) AS errors, \
             percentile(duration, 50, 95, 99) AS latency FROM Transaction WHERE `{namespace}` {of}{own} \
             FACET `{namespace}`, capture(`{pod}`, r'(?P<set>.+)-[^-]+') SINCE {since} UNTIL {until} LIMIT MAX"
        )
    }
}

/// A text in NRQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[async_trait]
impl Access for Settings {
    async fn client(&self) -> Result<Http, WrongSetting> {
        let key = secret::read("api_key", &self.api_key).await?;
        Http::new("url", &self.url, http::header("api_key", API_KEY, key.trim())?)
    }
}

impl Dialect for Settings {
    fn asked(&self) -> Asked<'_> {
        Asked {
            naming: Naming::PodSet,
            sources: &self.sources,
            every: self.every,
            words: Words {
                requests: "transactions of the pods".to_owned(),
                status: "attribute error".to_owned(),
                labels: format!("the attribute {}", self.pod),
                scope: ", or a `where`",
            },
        }
    }

    fn every(&self) -> SignedDuration {
        self.every
    }

    fn questions(&self, namespaces: &BTreeSet<&str>, now: Timestamp) -> Vec<Question> {
        let text = self.nrql(namespaces, now);
        // A text in GraphQL is written as one in JSON.
        let query = format!(
            "{{ actor {{ account(id: {}) {{ nrql(query: {}, timeout: 15) {{ results }} }} }} }}",
            self.account,
            Value::from(text.as_str())
        );
        let request = Request::Json("graphql", json!({ "query": query }));
        vec![Question { about: "requests, errors, latency", text, request }]
    }

    fn answers(&self, came: &[Answer]) -> Result<Answers, ProbeError> {
        let [answer] = came else { return Err(garbled("an answer is missing")) };
        let results = results(answer)?;
        let mut answers = Answers::default();
        if results.len() >= MOST_GROUPS {
            answers.requests.warnings.push(format!("it tells no more than {MOST_GROUPS} groups"));
        }
        let seconds = self.range.as_secs_f64();
        for group in &results {
            let Some(key) = key(group) else { continue };
            let number = |name: &str| group.get(name).and_then(Value::as_f64);
            if let Some(requests) = number("requests")
                && answers.requests.values.insert(key.clone(), requests / seconds).is_some()
            {
                return Err(garbled(&format!("its answer has two values of {}", spelled(&key))));
            }
            answers.errors.values.extend(number("errors").map(|errors| (key.clone(), errors / seconds)));
            let latency = group.get("latency").or_else(|| group.get("percentile.duration"));
            for (name, of) in [("50", &mut answers.p50), ("95", &mut answers.p95), ("99", &mut answers.p99)] {
                let value = latency.and_then(|all| all.get(name)).and_then(Value::as_f64);
                of.values.extend(value.map(|value| (key.clone(), value * 1e6)));
            }
        }
        Ok(answers)
    }
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Value>,
    #[serde(default)]
    errors: Option<Vec<Problem>>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
    #[serde(default)]
    extensions: Map<String, Value>,
}

fn results(answer: &Answer) -> Result<Vec<Map<String, Value>>, ProbeError> {
    if !answer.status.is_success() {
        return Err(asking::refused(answer, "may its `api_key` query?", "is its `region` the one of the account?"));
    }
    let envelope: Envelope = answer.json().map_err(|why| garbled(&why))?;
    let rows = envelope.data.as_ref().and_then(|data| data.pointer("/actor/account/nrql/results"));
    let rows = rows.filter(|rows| !rows.is_null()).cloned();
    if let Some(problem) = envelope.errors.unwrap_or_default().first() {
        let said = shown(&problem.message);
        let class = problem.extensions.get("errorClass").and_then(Value::as_str).unwrap_or_default();
        return Err(match rows {
            Some(_) => garbled(&format!("its numbers may lack something: {said}")),
            None if PASSING.contains(&class) => ProbeError::Unreachable { why: format!("it refuses: {said}") },
            None => garbled(&format!("it refuses: {said}")),
        });
    }
    let rows = rows.ok_or_else(|| garbled("its answer has no results"))?;
    serde_json::from_value(rows)
        .map_err(|error| garbled(&format!("its answer is not what its documentation says ({error})")))
}

/// The namespace and the set of pods; nothing where one is missing.
fn key(group: &Map<String, Value>) -> Option<Key> {
    let facets = group.get("facet")?.as_array()?;
    let all: Option<Key> = facets.iter().map(|facet| facet.as_str().map(str::to_owned)).collect();
    all.filter(|key| key.len() == 2)
}

/// The kind `newrelic`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRelic;

impl NewRelic {
    async fn questioner(configured: &Configured) -> Result<Questioner<Settings>, WrongSetting> {
        Questioner::new(configured.name.clone(), Settings::of(&configured.settings)?).await
    }

    /// Makes it of a table, with a time limit for all answers of a question.
    ///
    /// # Errors
    /// The table is wrong, or a key can't be read.
    pub async fn within(configured: &Configured, within: Duration) -> Result<Arc<dyn Probe>, WrongSetting> {
        Ok(Arc::new(NewRelic::questioner(configured).await?.within(within)))
    }
}

#[async_trait]
impl Provider for NewRelic {
    fn kind(&self) -> &'static str {
        "newrelic"
    }

    fn about(&self) -> &'static str {
        "requests, errors and latency of Kubernetes rollouts, from New Relic"
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
            Ok(settings) => {
                format!(
                    "transactions of account {} at {}, every {} s",
                    settings.account,
                    settings.url,
                    settings.every.as_secs()
                )
            }
            Err(wrong) => wrong.what,
        }
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        Ok(System::Probe(Arc::new(NewRelic::questioner(configured).await?)))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        questioner::doctor(configured, NewRelic::questioner(configured).await).await
    }
}
