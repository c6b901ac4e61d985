//! Its keys in `[sources.NAME]`.

use super::own::Own;
use super::preset::{ArmsBy, How, Preset, PresetName, Told};
use crate::credentials::Credentials;
use crate::http::{self, Http};
use crate::metrics::spans::{cadence, span};
use flightdeck_port::{RawSettings, WrongSetting, typed};
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

/// A sample has the time at which its scrape began, and may come as late as a scrape may take, 10 s usually, or as
/// remote storage needs: what counters grew by is looked at so long afterwards.
const DELAY: SignedDuration = SignedDuration::from_secs(15);
const LONGEST_DELAY: SignedDuration = SignedDuration::from_mins(5);

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
    /// The name for HTTP's basic authentication, with `password`.
    #[serde(default)]
    #[schemars(title = "a user's name")]
    username: Option<String>,
    /// Where the password of `username` is read, as for `token`.
    #[serde(default)]
    #[schemars(title = "where it is read, such as \"file:/run/secrets/prometheus\"")]
    password: Option<String>,
    /// A file with the certificates of whoever signed its own, PEM. Without: those that this machine trusts.
    #[serde(default)]
    #[schemars(title = "a file's absolute path")]
    ca: Option<String>,
    /// A file with the certificate that is shown to it, PEM, with `client_key`.
    #[serde(default)]
    #[schemars(title = "a file's absolute path")]
    client_certificate: Option<String>,
    /// Where the key of `client_certificate` is read, as for `token`.
    #[serde(default)]
    #[schemars(title = "where it is read, such as \"file:/run/secrets/prometheus.key\"")]
    client_key: Option<String>,
    /// Whose numbers are asked for where it has those of several, as Mimir: sent as `X-Scope-OrgID`.
    #[serde(default)]
    #[schemars(title = "a tenant's name")]
    tenant: Option<String>,
    /// How often it is asked, `5s` to `5m`. Without: `15s`.
    #[serde(default)]
    #[schemars(title = "a span such as \"15s\"")]
    every: Option<String>,
    /// The span that rates and latencies are taken over; four scrapes must fit into it, so `2m` where pods are
    /// scraped each 30 s. Without: `1m`.
    #[serde(default)]
    #[schemars(title = "a span such as \"1m\"")]
    range: Option<String>,
    /// How late samples may come: what counters grew by is looked at so long afterwards, up to `5m`. Without: `15s`.
    #[serde(default)]
    #[schemars(title = "a span such as \"15s\"")]
    delay: Option<String>,
    /// Whose metrics they are: `http` (plain application metrics), `istio`, `linkerd`, `ingress-nginx`, `envoy`,
    /// `traefik`, `haproxy` or `flightdeck` (another flightdeck server's). Without: `http`.
    #[serde(default)]
    preset: Option<PresetName>,
    /// By what the sides of a rollout are told apart: `pod` (the name of a pod), `template_hash`, `workload` (rows with
    /// one side only), `version`, `service` (a Service each) or `role`. Without: as is usual for the preset.
    #[serde(default)]
    arms_by: Option<ArmsBy>,
    /// The label that `arms_by` is about, where it has another name. Without: the preset's; of `queries` `pod_set`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    arm_label: Option<String>,
    /// The label with a pod's namespace. Without: `namespace`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    namespace_label: Option<String>,
    /// The label with a pod's name. Without: `pod`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    pod_label: Option<String>,
    /// The label with the status of an answer. Without: the preset's, of `http` `code`, else `status`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    status_label: Option<String>,
    /// Further label matchers of all queries, such as `cluster="eu-1"` where it has the metrics of several clusters.
    #[serde(default)]
    #[schemars(title = "label matchers such as cluster=\"eu-1\"")]
    selector: Option<String>,
    /// Queries of one's own in the place of a preset's.
    #[serde(default)]
    queries: Option<Own>,
    /// The sources whose rollouts it measures. Without: all that do not measure themselves.
    #[serde(default)]
    #[schemars(title = "a list of sources")]
    sources: Vec<String>,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(super) url: String,
    credentials: Credentials,
    pub(super) every: SignedDuration,
    pub(super) range: SignedDuration,
    pub(super) delay: SignedDuration,
    pub(super) preset: &'static Preset,
    pub(super) told: &'static Told,
    arm_label: Option<String>,
    namespace_label: Option<String>,
    pod_label: String,
    status_label: Option<String>,
    pub(super) selector: Option<String>,
    pub(super) own: Option<Own>,
    pub(super) sources: Vec<String>,
}

/// By what the series of queries of one's own are told apart.
const OF_OWN: &[Told] = &[
    own(ArmsBy::Pod),
    own(ArmsBy::TemplateHash),
    own(ArmsBy::Workload),
    Told { by: ArmsBy::Service, namespace: None, how: How::Labels(&["service"]) },
];

const fn own(by: ArmsBy) -> Told {
    Told { by, namespace: Some("namespace"), how: How::Labels(&["pod_set"]) }
}

impl Settings {
    /// Reads them. Looks at nothing but them.
    ///
    /// # Errors
    /// The first that is wrong, with its key.
    pub fn of(raw: &RawSettings) -> Result<Settings, WrongSetting> {
        let written: Written = typed(raw)?;
        http::url_of("url", &written.url)?;
        let Written { url, token, username, password, ca, client_certificate, client_key, tenant, .. } = written;
        let credentials =
            Credentials { token, username, password, ca, client_certificate, client_key, tenant }.checked(&url)?;
        let (every, range) = cadence(written.every.as_deref(), written.range.as_deref())?;
        let delay = span("delay", written.delay.as_deref(), DELAY)?;
        if !(SignedDuration::ZERO..=LONGEST_DELAY).contains(&delay) {
            return Err(WrongSetting::at("delay", format!("expected \"0s\" to \"5m\", found {delay:#}")));
        }
        if written.selector.as_ref().is_some_and(|matchers| matchers.contains(['{', '}', '\n'])) {
            let what = "expected label matchers without braces, such as cluster=\"eu-1\"";
            return Err(WrongSetting::at("selector", what));
        }
        let preset = written.preset.unwrap_or_default().preset();
        if let Some(own) = &written.queries {
            own.check()?;
            let beside = [("preset", written.preset.is_some()), ("status_label", written.status_label.is_some())];
            if let Some((key, _)) = beside.into_iter().find(|(_, there)| *there) {
                return Err(WrongSetting::at(key, "expected only without `queries`, which say all of it"));
            }
        }
        let ways = if written.queries.is_some() { OF_OWN } else { preset.arms };
        let told = match written.arms_by {
            None => ways.first(),
            Some(by) => ways.iter().find(|told| told.by == by),
        };
        let told = told.ok_or_else(|| {
            let known: Vec<_> = ways.iter().map(|told| format!("{:?}", told.by.word())).collect();
            let found = written.arms_by.map_or("nothing", ArmsBy::word);
            WrongSetting::at("arms_by", format!("expected {} here, found {found:?}", known.join(" or ")))
        })?;
        Ok(Settings {
            arm_label: label("arm_label", written.arm_label)?,
            namespace_label: label("namespace_label", written.namespace_label)?,
            pod_label: label("pod_label", written.pod_label)?.unwrap_or_else(|| "pod".to_owned()),
            status_label: label("status_label", written.status_label)?,
            url,
            credentials,
            every,
            range,
            delay,
            preset,
            told,
            selector: written.selector,
            own: written.queries,
            sources: written.sources,
        })
    }

    /// The labels that may have what came of a request.
    pub(super) fn status_labels(&self) -> Vec<&str> {
        self.status_label.as_deref().map_or_else(|| self.preset.status_labels.to_vec(), |label| vec![label])
    }

    /// The label with the namespace, where there is one.
    pub(super) fn namespace_label(&self) -> Option<&str> {
        let usual = self.told.namespace?;
        Some(self.namespace_label.as_deref().unwrap_or(usual))
    }

    /// The labels that tell arms apart, but for the namespace's, as the series have them.
    pub(super) fn arm_labels(&self) -> Vec<&str> {
        let own = self.arm_label.as_deref();
        match self.told.how {
            How::Pod => vec![own.unwrap_or(&self.pod_label)],
            How::NginxBackend => vec![own.unwrap_or("service"), "canary"],
            // Of several the last is what differs between the sides of a row.
            How::Labels(labels) => {
                let last = own.or_else(|| labels.last().copied());
                labels.iter().take(labels.len().saturating_sub(1)).copied().chain(last).collect()
            }
        }
    }

    /// What counts requests, in words.
    pub(super) fn requests(&self) -> &'static str {
        if self.own.is_some() { "requests" } else { self.preset.requests }
    }

    /// A client for its address, with its secrets as they are now.
    pub(super) async fn client(&self) -> Result<Http, WrongSetting> {
        self.credentials.client(&self.url).await
    }
}

/// A label's name, where one is written.
fn label(key: &'static str, written: Option<String>) -> Result<Option<String>, WrongSetting> {
    match written {
        Some(label) if !is_label(&label) => {
            Err(WrongSetting::at(key, format!("expected a label's name, found {label:?}")))
        }
        written => Ok(written),
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
            (json!({"url": url, "token": "env:T", "username": "u", "password": "env:P"}), Some("username"), "`token`"),
            (json!({"url": url, "username": "u"}), Some("username"), "`password`"),
            (json!({"url": url, "password": "env:P"}), Some("password"), "`username`"),
            (json!({"url": url, "username": "u:v", "password": "env:P"}), Some("username"), "without a colon"),
            (json!({"url": url, "username": "u", "password": "hunter2"}), Some("password"), "env:NAME"),
            (json!({"url": url, "ca": "/ca.pem"}), Some("ca"), "https://"),
            (json!({"url": "https://p", "ca": "ca.pem"}), Some("ca"), "an absolute path"),
            (json!({"url": "https://p", "client_certificate": "/c"}), Some("client_certificate"), "`client_key`"),
            (json!({"url": "https://p", "client_key": "env:K"}), Some("client_key"), "`client_certificate`"),
            (json!({"url": url, "tenant": "a\nb"}), Some("tenant"), "one line"),
            (json!({"url": url, "delay": "6m"}), Some("delay"), "\"0s\" to \"5m\", found 6m"),
            (json!({"url": url, "preset": "nginx"}), None, "unknown variant `nginx`"),
            (json!({"url": url, "arms_by": "service"}), Some("arms_by"), "\"pod\" or \"template_hash\" here"),
            (json!({"url": url, "arm_label": "a-b"}), Some("arm_label"), "\"a-b\""),
            (json!({"url": url, "queries": {"requests": "r"}}), None, "missing field `errors`"),
            (json!({"url": url, "queries": {"requests": "r", "errors": " "}}), Some("queries"), "errors: expected"),
            (
                json!({"url": url, "queries": {"requests": "rate(x[{interval}])", "errors": "e"}}),
                Some("queries"),
                "requests: there is no {interval}, expected {namespaces} or {range}",
            ),
            (
                json!({"url": url, "preset": "istio", "queries": {"requests": "r", "errors": "e"}}),
                Some("preset"),
                "without `queries`",
            ),
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
        assert_eq!(keys.len(), 20);
        assert!(keys.values().all(|key| key.get("description").is_some()), "{keys:?}");
    }
}
