//! `kind = "webhook"` and `kind = "command"` of `[notify.NAME]`.

use super::command::CommandNotifier;
use super::telling::{doctor, is_address};
use super::webhook::{Secret, WebhookNotifier};
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// A webhook, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WebhookSettings {
    /// Where it is posted to, `https://…` or `http://…`.
    #[schemars(title = "an address such as \"https://example.com/hook\"")]
    url: String,
    /// Where its secret is read, `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`; without one it is not signed.
    #[schemars(title = "where it is read, such as \"file:/etc/flightdeck/hook\"")]
    #[serde(default)]
    secret: Option<String>,
}

/// A program, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommandSettings {
    /// The program, by its absolute path, and its arguments; it gets JSON on its standard input.
    #[schemars(title = "a list: the program's path and its arguments")]
    command: Vec<String>,
}

/// A signed webhook.
#[derive(Debug, Clone, Copy)]
pub struct WebhookProvider;

/// A program of one's own.
#[derive(Debug, Clone, Copy)]
pub struct CommandProvider;

#[async_trait]
impl Provider for WebhookProvider {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn about(&self) -> &'static str {
        "JSON posted to an address, signed as Standard Webhooks says (docs/notify.md)"
    }

    fn section(&self) -> Section {
        Section::Notify
    }

    fn implied_by(&self) -> Option<&'static str> {
        Some("url")
    }

    fn schema(&self) -> Schema {
        schema_of::<WebhookSettings>()
    }

    fn check(&self, raw: &RawSettings) -> Result<(), WrongSetting> {
        let settings: WebhookSettings = typed(raw)?;
        is_address("url", &settings.url)?;
        settings.secret.map_or(Ok(()), |text| secret::check("secret", &text).map(drop))
    }

    fn describe(&self, raw: &RawSettings) -> String {
        typed::<WebhookSettings>(raw).map_or_else(|_| "a webhook".to_owned(), |settings| settings.url)
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let settings: WebhookSettings = typed(&configured.settings)?;
        let secret = match &settings.secret {
            None => None,
            Some(text) => {
                let text = secret::read("secret", text).await?;
                Some(Secret::read(&text).map_err(|error| WrongSetting::at("secret", error.to_string()))?)
            }
        };
        Ok(System::Sink(Arc::new(WebhookNotifier::new("url", &settings.url, secret)?)))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        doctor(self, configured).await
    }
}

#[async_trait]
impl Provider for CommandProvider {
    fn kind(&self) -> &'static str {
        "command"
    }

    fn about(&self) -> &'static str {
        "a program of your own that gets JSON on its standard input"
    }

    fn section(&self) -> Section {
        Section::Notify
    }

    fn implied_by(&self) -> Option<&'static str> {
        Some("command")
    }

    fn schema(&self) -> Schema {
        schema_of::<CommandSettings>()
    }

    fn check(&self, raw: &RawSettings) -> Result<(), WrongSetting> {
        let settings: CommandSettings = typed(raw)?;
        match settings.command.first() {
            Some(program) if Path::new(program).is_absolute() => Ok(()),
            Some(program) => Err(WrongSetting::at(
                "command",
                format!("expected the program's absolute path first, found {program:?}"),
            )),
            None => Err(WrongSetting::at("command", "expected the program's absolute path, found an empty list")),
        }
    }

    fn describe(&self, raw: &RawSettings) -> String {
        typed::<CommandSettings>(raw).map_or_else(|_| "a program".to_owned(), |settings| settings.command.join(" "))
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let settings: CommandSettings = typed(&configured.settings)?;
        Ok(System::Sink(Arc::new(CommandNotifier { words: settings.command })))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        doctor(self, configured).await
    }
}
