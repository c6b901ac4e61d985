//! Its keys in `[sources.NAME]`.

use super::query::HTTP;
use crate::http::{self, Http};
use flightdeck_model::{SecretRef, SourceId};
use flightdeck_port::WrongSetting;
use jiff::SignedDuration;
use reqwest::header::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// Asked more often than that, a Prometheus that scrapes each 15 s has nothing new to tell.
const SHORTEST: SignedDuration = SignedDuration::from_secs(5);
/// Asked less often than that, what is shown is no help to whoever watches a rollout.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);

/// Keys of a source of kind `prometheus`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it answers, with the path before `/api/v1` where there is one: `https://mimir.example/prometheus`.
    pub url: String,
    /// Where its bearer token is kept: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`. Read again when it is
    /// not taken any more.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretRef>,
    /// How often it is asked, `5s` to `5m`.
    #[serde(default = "every", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub every: SignedDuration,
    /// The span that rates and latencies are taken over. Four scrapes must fit into it: it is to be `2m` where
    /// pods are scraped each 30 s.
    #[serde(default = "range", deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub range: SignedDuration,
    /// The label with a pod's namespace.
    #[serde(default = "namespace_label")]
    pub namespace_label: String,
    /// The label with a pod's name.
    #[serde(default = "pod_label")]
    pub pod_label: String,
    /// The label with the status of an answer. Without: `code`, else `status`.
    #[serde(default)]
    pub status_label: Option<String>,
    /// Further label matchers of all queries, such as `cluster="eu-1"` where it has the metrics of several clusters.
    #[serde(default)]
    pub selector: Option<String>,
    /// The sources whose rollouts it measures. Without: all that do not measure themselves.
    #[serde(default)]
    pub sources: Vec<String>,
}

fn every() -> SignedDuration {
    SignedDuration::from_secs(15)
}

fn range() -> SignedDuration {
    SignedDuration::from_secs(60)
}

fn namespace_label() -> String {
    "namespace".to_owned()
}

fn pod_label() -> String {
    "pod".to_owned()
}

/// `15s`, `2m`.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<SignedDuration, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("expected a span such as \"15s\", found {text:?}")))
}

impl Settings {
    /// What is wrong with them, as far as they alone tell.
    ///
    /// # Errors
    /// The first that is wrong, with its key.
    pub fn check(&self) -> Result<(), WrongSetting> {
        http::url_of("url", &self.url)?;
        if !(SHORTEST..=LONGEST).contains(&self.every) {
            return Err(WrongSetting::at("every", format!("expected \"5s\" to \"5m\", found {:#}", self.every)));
        }
        if self.range < self.every {
            let what = format!("expected no less than `every` ({:#}), found {:#}", self.every, self.range);
            return Err(WrongSetting::at("range", what));
        }
        let labels = [
            ("namespace_label", Some(&self.namespace_label)),
            ("pod_label", Some(&self.pod_label)),
            ("status_label", self.status_label.as_ref()),
        ];
        for (key, label) in labels {
            if let Some(label) = label.filter(|label| !is_label(label)) {
                return Err(WrongSetting::at(key, format!("expected a label's name, found {label:?}")));
            }
        }
        if self.selector.as_ref().is_some_and(|matchers| matchers.contains(['{', '}', '\n'])) {
            let what = "expected label matchers without braces, such as cluster=\"eu-1\"";
            return Err(WrongSetting::at("selector", what));
        }
        Ok(())
    }

    /// The labels that may have the status of an answer.
    pub(super) fn status_labels(&self) -> Vec<&str> {
        self.status_label.as_deref().map_or_else(|| HTTP.status_labels.to_vec(), |label| vec![label])
    }

    /// Does it measure the rows of that source?
    pub(super) fn measures(&self, source: &SourceId) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|name| name == source.as_str())
    }

    /// A client for its address, with its token as it is now.
    pub(super) async fn client(&self) -> Result<Http, WrongSetting> {
        let headers = match &self.token {
            None => HeaderMap::new(),
            Some(reference) => {
                let references = BTreeMap::from([("token".to_owned(), reference.clone())]);
                let read = flightdeck_secrets::read(&references).await;
                let mut secrets = read.map_err(|error| WrongSetting::at("token", error.why))?;
                http::bearer("token", &secrets.remove("token").unwrap_or_default())?
            }
        };
        Http::new("url", &self.url, headers)
    }
}

/// Can it be a label's name?
fn is_label(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use crate::metrics::prometheus::Prometheus;
    use flightdeck_port::{Provider as _, RawSettings};
    use serde_json::json;

    fn raw(settings: serde_json::Value) -> RawSettings {
        settings.as_object().unwrap().clone()
    }

    #[test]
    fn an_address_is_enough_and_mistakes_are_named_by_key() {
        let url = "http://127.0.0.1:9090";
        assert_eq!(Prometheus.check(&raw(json!({"url": url}))), Ok(()));
        assert_eq!(Prometheus.describe(&raw(json!({"url": url}))), "http_requests_total at 127.0.0.1:9090, every 15 s");
        for (settings, key, told) in [
            (json!({"url": "prometheus:9090"}), Some("url"), "https://"),
            (json!({"url": url, "every": "1s"}), Some("every"), "\"5s\" to \"5m\", found 1s"),
            (json!({"url": url, "every": "30s", "range": "20s"}), Some("range"), "no less than `every` (30s)"),
            (json!({"url": url, "pod_label": "po d"}), Some("pod_label"), "\"po d\""),
            (json!({"url": url, "selector": "{a=\"b\"}"}), Some("selector"), "without braces"),
            (json!({"url": url, "every": "often"}), None, "a span such as \"15s\", found \"often\""),
            (json!({"url": url, "token": "hunter2"}), None, "env:NAME"),
            (json!({"url": url, "tokn": "env:T"}), None, "unknown field `tokn`"),
            (json!({}), None, "missing field `url`"),
        ] {
            let wrong = Prometheus.check(&raw(settings.clone())).unwrap_err();
            assert_eq!(wrong.key, key, "{settings}: {wrong:?}");
            assert!(wrong.what.contains(told) && !wrong.what.contains("hunter2"), "{settings}: {wrong:?}");
        }
    }

    #[test]
    fn each_key_says_what_it_is() {
        let schema = Prometheus.schema();
        let keys = schema.get("properties").and_then(|keys| keys.as_object()).unwrap();
        assert_eq!(keys.len(), 9);
        assert!(keys.values().all(|key| key.get("description").is_some()), "{keys:?}");
    }
}
