//! Its keys in `[sources.NAME]`.

use super::super::labels::Naming;
use super::super::settings::{Access, Labels, every};
use crate::credentials::Credentials;
use flightdeck_port::{RawSettings, WrongSetting, typed};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// An Alertmanager, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// Where it answers, with the path before `/api/v2` where there is one: `https://alertmanager.example`.
    #[schemars(title = "an address such as \"https://alertmanager.example\"")]
    url: String,
    /// Where its bearer token is read: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`; again whenever it is not
    /// taken any more. Without: none is sent.
    #[serde(default)]
    #[schemars(title = "where it is read, such as \"file:/run/secrets/alertmanager\"")]
    token: Option<String>,
    /// Who asks, where it wants a name and a password. Without: nobody is named.
    #[serde(default)]
    #[schemars(title = "a name")]
    username: Option<String>,
    /// Where the password is read, as `token` says it.
    #[serde(default)]
    #[schemars(title = "where it is read, such as \"file:/run/secrets/alertmanager\"")]
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
    #[schemars(title = "where it is read, such as \"file:/run/secrets/alertmanager.key\"")]
    client_key: Option<String>,
    /// Whose alerts are asked for where it has those of several, as Mimir: sent as `X-Scope-OrgID`.
    #[serde(default)]
    #[schemars(title = "a tenant's name")]
    tenant: Option<String>,
    /// Only alerts that match all of these, such as `["team=\"shop\""]`. Without: all.
    #[serde(default)]
    #[schemars(title = "a list of matchers such as team=\"shop\"")]
    filter: Vec<String>,
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

/// The same, checked.
pub(super) struct Settings {
    pub access: Access,
    pub filter: Vec<String>,
    pub every: Duration,
    pub naming: Naming,
}

impl Settings {
    pub fn of(raw: &RawSettings) -> Result<Settings, WrongSetting> {
        let written: Written = typed(raw)?;
        let Written { url, token, username, password, ca, client_certificate, client_key, tenant, filter, .. } =
            written;
        let credentials = Credentials { token, username, password, ca, client_certificate, client_key, tenant };
        let access = Access::new(url, credentials)?;
        if let Some(wrong) = filter.iter().find(|matcher| !matcher.contains('=') || matcher.contains(['{', '\n'])) {
            let what = format!("expected matchers such as team=\"shop\", found {wrong:?}");
            return Err(WrongSetting::at("filter", what));
        }
        let labels = Labels {
            namespace: written.namespace_label,
            workload: written.workload_label,
            service: written.service_label,
            environment: written.environment_label,
            sources: written.sources,
        };
        Ok(Settings { access, filter, every: every(written.every.as_deref())?, naming: labels.naming()? })
    }
}
