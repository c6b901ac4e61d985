//! `kind = "otlp"`: traces to whoever takes OTLP over HTTP, as JSON. Source: opentelemetry-proto,
//! docs/specification.md, "OTLP/HTTP Request".

mod answer;
mod attributes;
mod spans;
#[cfg(test)]
mod tests;

use super::telling::doctor;
use crate::http::{self, Http};
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{
    Checked, Configured, NotTold, Notification, Provider, RawSettings, Section, Sink, System, WrongSetting, schema_of,
    typed,
};
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use std::sync::Arc;

/// Below the address of the settings.
const TRACES: &str = "v1/traces";

/// A receiver of traces, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where it takes OTLP over HTTP, before `/v1/traces`: `http://127.0.0.1:4318` of an OpenTelemetry collector.
    #[schemars(title = "an address such as \"http://127.0.0.1:4318\"")]
    endpoint: String,
    /// Where headers are read that go with each request, a line each, such as `Authorization: Basic …`: `file:PATH`,
    /// `env:NAME` or `command:PROGRAM ARGS`.
    #[serde(default)]
    #[schemars(title = "where they are read, such as \"file:/etc/flightdeck/otlp-headers\"")]
    headers: Option<String>,
}

impl Settings {
    /// Reads no secret.
    fn of(raw: &RawSettings) -> Result<Settings, WrongSetting> {
        let settings: Settings = typed(raw)?;
        let url = http::url_of("endpoint", &settings.endpoint)?;
        if url.path().trim_end_matches('/').ends_with(TRACES) {
            return Err(WrongSetting::at("endpoint", "expected the address before /v1/traces, which is added"));
        }
        if let Some(headers) = &settings.headers {
            secret::check("headers", headers)?;
        }
        Ok(settings)
    }
}

/// The kind in the registry.
#[derive(Debug, Clone, Copy)]
pub struct OtlpProvider;

/// Sends spans.
#[derive(Debug, Clone)]
struct Otlp {
    http: Http,
}

/// Headers of a text, a line each; no message repeats them.
fn headers_of(text: &str) -> Result<HeaderMap, WrongSetting> {
    let wrong = |number: usize| {
        WrongSetting::at("headers", format!("expected `Name: value` in each line, line {} is another", number + 1))
    };
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong(number))?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong(number))?;
        let mut value = HeaderValue::try_from(value.trim()).map_err(|_| wrong(number))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[async_trait]
impl Sink for Otlp {
    /// What is sent twice has the same ids.
    async fn tell(&self, notification: &Notification, _now: Timestamp) -> Result<(), NotTold> {
        let answer = self.http.send(Method::POST, TRACES, &spans::request(notification)).await;
        answer::judged(&answer.map_err(|error| NotTold::passing(error.to_string()))?)
    }

    fn wants_all(&self) -> bool {
        true
    }
}

#[async_trait]
impl Provider for OtlpProvider {
    fn kind(&self) -> &'static str {
        "otlp"
    }

    fn about(&self) -> &'static str {
        "traces of rollouts and commands to an OpenTelemetry collector, or whatever takes OTLP over HTTP"
    }

    fn section(&self) -> Section {
        Section::Notify
    }

    fn implied_by(&self) -> Option<&'static str> {
        Some("endpoint")
    }

    fn schema(&self) -> Schema {
        schema_of::<Settings>()
    }

    fn check(&self, raw: &RawSettings) -> Result<(), WrongSetting> {
        Settings::of(raw).map(drop)
    }

    fn describe(&self, raw: &RawSettings) -> String {
        match Settings::of(raw).and_then(|settings| http::url_of("endpoint", &settings.endpoint)) {
            Ok(url) => format!("traces to {}", http::host_of(&url)),
            Err(wrong) => wrong.what,
        }
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let Settings { endpoint, headers } = Settings::of(&configured.settings)?;
        let headers = match headers {
            None => HeaderMap::new(),
            Some(text) => headers_of(&secret::read("headers", &text).await?)?,
        };
        Ok(System::Sink(Arc::new(Otlp { http: Http::new("endpoint", &endpoint, headers)? })))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        doctor(self, configured).await
    }
}
