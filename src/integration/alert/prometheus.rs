//! The alerts that Prometheus itself says fire, `/api/v1/alerts`, for whoever has no Alertmanager to ask: it knows
//! nothing of silences. <https://prometheus.io/docs/prometheus/latest/querying/api/#alerts>

use super::client::{Client, Problem};
use super::labels::{self, Naming, Told, fingerprint};
use super::poll::{self, Looked, Seen};
use super::settings::{Access, Labels, every};
use crate::credentials::Credentials;
use async_trait::async_trait;
use flightdeck_control::Authorized;
use flightdeck_model::{
    ActionSet, Alert, AlertState, Detail, Refusal, RefusalKind, Rollout, Run, Scoped, SourceId, Stage, counted,
};
use flightdeck_port::{
    Accepted, Capabilities, Checked, Configured, Executor, Followed, InspectError, NotDone, Provider, RawSettings,
    Section, System, WrongSetting, schema_of, typed,
};
use futures::stream::BoxStream;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A Prometheus whose alerts are looked at, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Where it answers, with the path before `/api/v1` where there is one: `https://prometheus.example`.
    #[schemars(title = "an address such as \"https://prometheus.example\"")]
    url: String,
    /// Where its bearer token is read: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`; again whenever it is not
    /// taken any more. Without: none is sent.
    #[serde(default)]
    #[schemars(title = "where it is read, such as \"file:/run/secrets/prometheus\"")]
    token: Option<String>,
    /// Who asks, where it wants a name and a password. Without: nobody is named.
    #[serde(default)]
    #[schemars(title = "a name")]
    username: Option<String>,
    /// Where the password is read, as `token` says it.
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
    /// Where the key of `client_certificate` is read, as `token` says it.
    #[serde(default)]
    #[schemars(title = "where it is read, such as \"file:/run/secrets/prometheus.key\"")]
    client_key: Option<String>,
    /// Whose alerts are asked for where it has those of several, as Mimir: sent as `X-Scope-OrgID`.
    #[serde(default)]
    #[schemars(title = "a tenant's name")]
    tenant: Option<String>,
    /// How often it is looked at, `5s` to `5m`. Without: `15s`.
    #[serde(default)]
    #[schemars(title = "a span such as \"15s\"")]
    every: Option<String>,
    /// The label with a workload's namespace. Without: `namespace`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    namespace_label: Option<String>,
    /// The label with a workload's or a rollout's name. Without: `workload`, else `rollout`, `deployment`,
    /// `statefulset`, `daemonset`; else `replicaset` or `pod` tells it.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    workload_label: Option<String>,
    /// The label with a service's name. Without: `service`, else `app`, `app_kubernetes_io_name`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    service_label: Option<String>,
    /// The label with an environment's name. Without: `environment`, else `env`.
    #[serde(default)]
    #[schemars(title = "a label's name")]
    environment_label: Option<String>,
    /// The sources whose rollouts its alerts can concern. Without: all.
    #[serde(default)]
    #[schemars(title = "a list of sources")]
    sources: Vec<String>,
}

struct Settings {
    access: Access,
    every: Duration,
    naming: Naming,
}

impl Settings {
    fn of(raw: &RawSettings) -> Result<Settings, WrongSetting> {
        let written: Written = typed(raw)?;
        let Written { url, token, username, password, ca, client_certificate, client_key, tenant, .. } = written;
        let credentials = Credentials { token, username, password, ca, client_certificate, client_key, tenant };
        let access = Access::new(url, credentials)?;
        let labels = Labels {
            namespace: written.namespace_label,
            workload: written.workload_label,
            service: written.service_label,
            environment: written.environment_label,
            sources: written.sources,
        };
        Ok(Settings { access, every: every(written.every.as_deref())?, naming: labels.naming()? })
    }

    async fn open(self, source: SourceId) -> Result<Arc<Rules>, WrongSetting> {
        let Settings { access, every, naming } = self;
        let client = Client::open(access).await?;
        Ok(Arc::new(Rules { source, client, naming, every, changed: watch::Sender::new(()) }))
    }
}

#[derive(Debug)]
struct Rules {
    source: SourceId,
    client: Client,
    naming: Naming,
    every: Duration,
    /// Nothing is ever changed there.
    changed: watch::Sender<()>,
}

/// The alerts of one Prometheus.
#[derive(Debug, Clone)]
pub struct PrometheusAlerts(Arc<Rules>);

#[derive(Debug, Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    alerts: Vec<WireAlert>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAlert {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// `pending` is one that does not fire yet.
    state: String,
    active_at: Timestamp,
}

/// What fires, of an answer. Pure.
fn firing(envelope: Envelope, source: &SourceId, naming: &Naming) -> Result<Vec<Alert>, Problem> {
    let refused =
        envelope.error.as_deref().map_or_else(|| "without saying why".to_owned(), |error| labels::short(error, 200));
    let data = envelope.data.filter(|_| envelope.status == "success");
    let data = data.ok_or_else(|| Problem::of(format!("it refuses: {refused}")))?;
    let firing = data.alerts.iter().filter(|alert| alert.state == "firing");
    let row = |alert: &WireAlert| {
        let told = Told {
            fingerprint: &fingerprint(&alert.labels),
            labels: &alert.labels,
            annotations: &alert.annotations,
            since: alert.active_at,
            url: None,
            state: AlertState::Firing,
        };
        labels::alert(source, told, naming)
    };
    Ok(firing.map(row).collect())
}

#[async_trait]
impl Looked for Rules {
    fn source(&self) -> &SourceId {
        &self.source
    }

    fn every(&self) -> Duration {
        self.every
    }

    async fn look(&self) -> Result<Seen, Problem> {
        let envelope: Envelope = self.client.get("api/v1/alerts", &[]).await?;
        Ok(Seen { alerts: firing(envelope, &self.source, &self.naming)?, silences: Vec::new() })
    }

    fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

#[async_trait]
impl Executor for PrometheusAlerts {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: self.0.source.clone(),
            actions: ActionSet::EMPTY,
            later: "Prometheus knows no hold",
            read_only: true,
        }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        poll::watch(Arc::clone(&self.0) as Arc<dyn Looked>)
    }

    async fn execute(&self, _: &Authorized) -> Result<Accepted, NotDone> {
        Err(Refusal::new(RefusalKind::NotApplicable, "Prometheus knows no silences: name its Alertmanager").into())
    }

    fn progress(&self, _: &Followed<'_>) -> Stage {
        Stage::Accepted
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        Err(InspectError::NotFound(run.clone()))
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        Err(InspectError::NotFound(run.clone()))
    }
}

/// The kind `prometheus-alerts`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PrometheusAlertsProvider;

#[async_trait]
impl Provider for PrometheusAlertsProvider {
    fn kind(&self) -> &'static str {
        "prometheus-alerts"
    }

    fn about(&self) -> &'static str {
        "alerts that fire by the rules of a Prometheus, where no Alertmanager can be asked; no silences"
    }

    fn section(&self) -> Section {
        Section::Sources
    }

    fn tells_alerts(&self) -> bool {
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
            Ok(Settings { access, every, .. }) => {
                format!("alerts of the Prometheus at {}, every {} s", access.host(), every.as_secs())
            }
            Err(wrong) => wrong.what,
        }
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let rules = Settings::of(&configured.settings)?.open(configured.name.clone()).await?;
        Ok(System::Executor(Arc::new(PrometheusAlerts(rules))))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        let todo = format!("mend its table [sources.{}] (docs/alerts.md)", configured.name);
        let opened = match Settings::of(&configured.settings) {
            Ok(settings) => settings.open(configured.name.clone()).await,
            Err(wrong) => Err(wrong),
        };
        let rules = match opened {
            Ok(rules) => rules,
            Err(wrong) => return Checked::Bad { what: wrong.what, todo },
        };
        let host = rules.client.host();
        match rules.look().await {
            Ok(seen) => Checked::Good(format!("{host} answers: {}", counted(seen.alerts.len(), "alert"))),
            Err(problem) => Checked::Bad { what: format!("{host}: {}", problem.why), todo },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Prometheus 2.42 answered.
    const RECORDED: &str = r#"{"status":"success","data":{"alerts":[
        {"labels":{"alertname":"Slow","namespace":"shop","deployment":"web","severity":"warning"},
         "annotations":{"summary":"slow"},"state":"firing","activeAt":"2026-11-30T17:37:11.523421Z","value":"1e+00"},
        {"labels":{"alertname":"Soon"},"annotations":{},"state":"pending","activeAt":"2026-11-30T17:37:11Z","value":"1"}]}}"#;

    #[test]
    fn what_fires_is_told_and_what_is_pending_is_not() {
        let naming = Labels::default().naming().unwrap();
        let of = |body: &str| firing(serde_json::from_str(body).unwrap(), &"prom".into(), &naming);
        let alerts = of(RECORDED).unwrap();
        assert_eq!(alerts.len(), 1);
        assert_eq!((alerts[0].name.as_str(), alerts[0].about.workload.as_deref()), ("Slow", Some("web")));
        let why = of(r#"{"status":"error","errorType":"internal","error":"boom"}"#).unwrap_err().why;
        assert_eq!(why, "it refuses: boom");
        assert_eq!(of(r#"{"status":"success"}"#).unwrap_err().why, "it refuses: without saying why");
    }
}
