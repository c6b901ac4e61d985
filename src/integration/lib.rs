//! The systems outside, one file or folder each, in a folder for what they are to us.

pub mod alert;
pub mod approval;
mod credentials;
pub mod http;
pub mod metrics;
pub mod notify;
pub mod orchestrator;
pub mod secret;
#[cfg(test)]
mod stub;
mod unopened;

pub use unopened::Unopened;

use flightdeck_port::Provider;

/// Every kind of system that the settings can name. Of each section the first is meant where a table says no kind and
/// has no key that tells it.
pub const PROVIDERS: &[&dyn Provider] = &[
    &orchestrator::kubernetes::KubernetesProvider,
    &orchestrator::exec::ExecProvider,
    &metrics::prometheus::Prometheus,
    &metrics::datadog::Datadog,
    &metrics::new_relic::NewRelic,
    &approval::github::GitHub,
    &approval::gitlab::GitLab,
    &approval::jenkins::Jenkins,
    &approval::circleci::CircleCi,
    &alert::alertmanager::AlertmanagerProvider,
    &alert::prometheus::PrometheusAlertsProvider,
    &notify::WebhookProvider,
    &notify::CommandProvider,
    &notify::SlackProvider,
    &notify::GrafanaProvider,
    &notify::OtlpProvider,
];
