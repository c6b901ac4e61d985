//! Prometheus and what speaks its HTTP API (Thanos, Mimir, VictoriaMetrics): rates and latencies of the pods of each
//! arm. API version 1, <https://prometheus.io/docs/prometheus/latest/querying/api/>.
//!
//! `preset.rs` is where which system has its numbers, `query.rs`, `growth.rs` and `tally.rs` make the questions, `answer.rs` reads
//! what comes back: pure all five. `probe.rs` asks; `explain.rs`
//! says what each question found.

mod answer;
mod explain;
mod growth;
mod own;
mod preset;
mod probe;
mod query;
mod settings;
mod tally;

pub use probe::PrometheusProbe;
pub use settings::Settings;

use crate::http;
use async_trait::async_trait;
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of};
use schemars::Schema;
use std::sync::Arc;

/// The kind `prometheus`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prometheus;

#[async_trait]
impl Provider for Prometheus {
    fn kind(&self) -> &'static str {
        "prometheus"
    }

    fn about(&self) -> &'static str {
        "requests, errors and latency of Kubernetes rollouts, from Prometheus, Thanos, Mimir or VictoriaMetrics"
    }

    fn section(&self) -> Section {
        Section::Sources
    }

    fn measures_others(&self) -> bool {
        true
    }

    fn schema(&self) -> Schema {
        schema_of::<settings::Written>()
    }

    fn check(&self, settings: &RawSettings) -> Result<(), WrongSetting> {
        Settings::of(settings).map(drop)
    }

    fn describe(&self, settings: &RawSettings) -> String {
        match Settings::of(settings) {
            Ok(settings) => {
                let url = http::url_of("url", &settings.url);
                let host = url.map_or_else(|wrong| wrong.what, |url| http::host_of(&url));
                format!("{} at {host}, every {} s", settings.requests(), settings.every.as_secs())
            }
            Err(wrong) => wrong.what,
        }
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let settings = Settings::of(&configured.settings)?;
        Ok(System::Probe(Arc::new(PrometheusProbe::open(configured.name.clone(), settings).await?)))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        let opened = match Settings::of(&configured.settings) {
            Ok(settings) => PrometheusProbe::open(configured.name.clone(), settings).await,
            Err(wrong) => Err(wrong),
        };
        match opened {
            Ok(probe) => probe.doctor().await,
            Err(wrong) => {
                let key = wrong.key.map_or_else(String::new, |key| format!("`{key}`: "));
                let todo = format!("mend its table [sources.{}]", configured.name);
                Checked::Bad { what: format!("{key}{}", wrong.what), todo }
            }
        }
    }
}
