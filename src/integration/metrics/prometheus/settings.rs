//! Its keys in `[sources.NAME]`.

use super::query::HTTP;
use crate::http::{self, Http};
use crate::secret;
use flightdeck_model::SourceId;
use flightdeck_port::{RawSettings, WrongSetting, typed};
use hyper::header::HeaderMap;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

/// Asked more often than that, a Prometheus that scrapes each 15 s has nothing new to tell.
const SHORTEST: SignedDuration = SignedDuration::from_secs(5);
/// Asked less often than that, what is shown is no help to whoever watches a rollout.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
const EVERY: SignedDuration = SignedDuration::from_secs(15);
const RANGE: SignedDuration = SignedDuration::from_secs(60);

/// A Prometheus, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// Where it answers, with the path before `/api/v1` where there is one: `https://mimir.example/prometheus`.
    #[schemars(title = "an address such as \"https://prometheus.example\"")]
    url: String,
    /// Where its bearer token is read: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`; again whenever it is not
    /// taken any more. Without: none is sent.
    #[serde(default)]
    #[schemars(title = "where it is read, such as \"file:/run/secrets/prometheus\"")]
    token: Option<String>,
    /// How often it is asked, `5s` to `5m`. Without: `15s`.
    #[serde(default)]
    #[schemars(title = "a span such as \"15s\"")]
    every: Option<String>,
    /// The span that rates and latencies are taken over; four scrapes must fit into it, so `2m` where pods are
    /// scraped each 30 s. Without: `1m`.
    #[serde(default)]
    #[schemars(title = "a span such as \"1m\"")]
    range: Option<String>,
    /// The label with a pod's namespace. Without: `namespace`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    namespace_label: Option<String>,
    /// The label with a pod's name. Without: `pod`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    pod_label: Option<String>,
    /// The label with the status of an answer. Without: `code`, else `status`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    status_label: Option<String>,
    /// Further label matchers of all queries, such as `cluster="eu-1"` where it has the metrics of several clusters.
    #[serde(default)]
    #[schemars(title = "label matchers such as cluster=\"eu-1\"")]
    selector: Option<String>,
    /// The sources whose rollouts it measures. Without: all that do not measure themselves.
    #[serde(default)]
    #[schemars(title = "a list of sources")]
    sources: Vec<String>,
}

/// The same, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub(super) url: String,
    token: Option<String>,
    pub(super) every: SignedDuration,
    pub(super) range: SignedDuration,
    pub(super) namespace_label: String,
    pub(super) pod_label: String,
    status_label: Option<String>,
    pub(super) selector: Option<String>,
    sources: Vec<String>,
}

impl Settings {
    /// Reads them. Looks at nothing but them.
    ///
    /// # Errors
    /// The first that is wrong, with its key.
    pub fn of(raw: &RawSettings) -> Result<Settings, WrongSetting> {
        let Written { url, token, every, range, namespace_label, pod_label, status_label, selector, sources } =
            typed(raw)?;
        http::url_of("url", &url)?;
        if let Some(token) = &token {
            secret::check("token", token)?;
        }
        let every = span("every", every.as_deref(), EVERY)?;
        if !(SHORTEST..=LONGEST).contains(&every) {
            return Err(WrongSetting::at("every", format!("expected \"5s\" to \"5m\", found {every:#}")));
        }
        let range = span("range", range.as_deref(), RANGE.max(every))?;
        if range < every {
            let what = format!("expected no less than `every` ({every:#}), found {range:#}");
            return Err(WrongSetting::at("range", what));
        }
        if selector.as_ref().is_some_and(|matchers| matchers.contains(['{', '}', '\n'])) {
            let what = "expected label matchers without braces, such as cluster=\"eu-1\"";
            return Err(WrongSetting::at("selector", what));
        }
        let label = |key, written: Option<String>, usual: &str| match written {
            Some(label) if !is_label(&label) => {
                Err(WrongSetting::at(key, format!("expected a label's name, found {label:?}")))
            }
            written => Ok(written.unwrap_or_else(|| usual.to_owned())),
        };
        Ok(Settings {
            namespace_label: label("namespace_label", namespace_label, "namespace")?,
            pod_label: label("pod_label", pod_label, "pod")?,
            status_label: status_label.map(|written| label("status_label", Some(written), "")).transpose()?,
            url,
            token,
            every,
            range,
            selector,
            sources,
        })
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
            Some(reference) => http::bearer("token", &secret::read("token", reference).await?)?,
        };
        Http::new("url", &self.url, headers)
    }
}

/// `15s`, `2m`.
fn span(key: &'static str, written: Option<&str>, usual: SignedDuration) -> Result<SignedDuration, WrongSetting> {
    let Some(text) = written else { return Ok(usual) };
    text.parse().map_err(|_| WrongSetting::at(key, format!("expected a span such as \"15s\", found {text:?}")))
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

    fn raw(settings: &serde_json::Value) -> RawSettings {
        settings.as_object().unwrap().clone()
    }

    #[test]
    fn an_address_is_enough_and_mistakes_are_named_by_key() {
        let url = "http://127.0.0.1:9090";
        assert_eq!(Prometheus.check(&raw(&json!({"url": url}))), Ok(()));
        assert_eq!(
            Prometheus.describe(&raw(&json!({"url": url}))),
            "http_requests_total at 127.0.0.1:9090, every 15 s"
        );
        for (settings, key, told) in [
            (json!({"url": "prometheus:9090"}), Some("url"), "https://"),
            (json!({"url": url, "every": "1s"}), Some("every"), "\"5s\" to \"5m\", found 1s"),
            (json!({"url": url, "every": "30s", "range": "20s"}), Some("range"), "no less than `every` (30s)"),
            (json!({"url": url, "pod_label": "po d"}), Some("pod_label"), "\"po d\""),
            (json!({"url": url, "selector": "{a=\"b\"}"}), Some("selector"), "without braces"),
            (json!({"url": url, "every": "often"}), Some("every"), "a span such as \"15s\", found \"often\""),
            (json!({"url": url, "token": "hunter2"}), Some("token"), "env:NAME"),
            (json!({"url": url, "token": "file:token"}), Some("token"), "an absolute path"),
            (json!({"url": url, "tokn": "env:T"}), None, "unknown field `tokn`"),
            (json!({}), None, "missing field `url`"),
        ] {
            let wrong = Prometheus.check(&raw(&settings)).unwrap_err();
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
