//! The kind `alertmanager` in the registry of systems.

use super::super::poll::Looked as _;
use super::Alertmanager;
use super::settings::{Settings, Written};
use async_trait::async_trait;
use flightdeck_model::counted;
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of};
use schemars::Schema;
use std::sync::Arc;

/// The kind `alertmanager`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlertmanagerProvider;

#[async_trait]
impl Provider for AlertmanagerProvider {
    fn kind(&self) -> &'static str {
        "alertmanager"
    }

    fn about(&self) -> &'static str {
        "alerts that fire at the rollouts that they concern, and silences, from Prometheus' Alertmanager"
    }

    fn section(&self) -> Section {
        Section::Sources
    }

    /// A silence names whoever asked for it; Alertmanager itself knows nobody.
    fn acts_as_people(&self) -> bool {
        true
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
                format!("alerts of the Alertmanager at {}, every {} s", access.host(), every.as_secs())
            }
            Err(wrong) => wrong.what,
        }
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        Ok(System::Executor(Arc::new(Alertmanager::open(configured).await?)))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        let todo = format!("mend its table [sources.{}] (docs/alerts.md)", configured.name);
        let shared = match Alertmanager::open(configured).await {
            Ok(alertmanager) => alertmanager.shared,
            Err(WrongSetting { key, what }) => {
                let key = key.map_or_else(String::new, |key| format!("`{key}`: "));
                return Checked::Bad { what: format!("{key}{what}"), todo };
            }
        };
        let host = shared.client.host();
        match shared.look().await {
            Ok(seen) => Checked::Good(format!("{host} answers: {}", counted(seen.alerts.len(), "alert"))),
            Err(problem) => Checked::Bad { what: format!("{host}: {}", problem.why), todo },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn raw(settings: &serde_json::Value) -> RawSettings {
        settings.as_object().unwrap().clone()
    }

    #[test]
    fn an_address_is_enough_and_mistakes_are_named_by_key() {
        let url = "http://127.0.0.1:9093";
        let kind = AlertmanagerProvider;
        assert_eq!(kind.check(&raw(&json!({"url": url}))), Ok(()));
        let described = kind.describe(&raw(&json!({"url": url})));
        assert_eq!(described, "alerts of the Alertmanager at 127.0.0.1:9093, every 15 s");
        for (settings, key, told) in [
            (json!({"url": "alertmanager:9093"}), Some("url"), "https://"),
            (json!({"url": url, "every": "1s"}), Some("every"), "\"5s\" to \"5m\", found 1s"),
            (json!({"url": url, "every": "often"}), Some("every"), "a span such as \"15s\""),
            (json!({"url": url, "filter": ["shop"]}), Some("filter"), "found \"shop\""),
            (json!({"url": url, "service_label": "a b"}), Some("service_label"), "\"a b\""),
            (json!({"url": url, "token": "hunter2"}), Some("token"), "env:NAME"),
            (json!({"url": url, "username": "ann"}), Some("username"), "`password` beside it"),
            (json!({"url": url, "password": "env:P"}), Some("password"), "`username` beside it"),
            (json!({"url": url, "username": "a", "password": "hunter2"}), Some("password"), "env:NAME"),
            (json!({"url": url, "username": "a", "password": "env:P", "token": "env:T"}), Some("username"), "`token`"),
            (json!({"url": url, "ca": "/ca.pem"}), Some("ca"), "https://"),
            (json!({"url": "https://a", "client_key": "env:K"}), Some("client_key"), "`client_certificate`"),
            (json!({"url": "https://a", "tenant": "a\nb"}), Some("tenant"), "one line"),
            (json!({"url": url, "team": "shop"}), None, "unknown field `team`"),
            (json!({}), None, "missing field `url`"),
        ] {
            let wrong = kind.check(&raw(&settings)).expect_err(&settings.to_string());
            assert_eq!(wrong.key, key, "{settings}: {wrong:?}");
            assert!(wrong.what.contains(told) && !wrong.what.contains("hunter2"), "{settings}: {wrong:?}");
        }
    }

    #[test]
    fn each_key_says_what_it_is() {
        let schema = AlertmanagerProvider.schema();
        let keys = schema.get("properties").and_then(|keys| keys.as_object()).unwrap();
        assert_eq!(keys.len(), 15);
        assert!(keys.values().all(|key| key.get("description").is_some()), "{keys:?}");
    }
}
