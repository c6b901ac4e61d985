//! `kind = "slack"`: one message in a channel, by an incoming webhook. Source: docs.slack.dev, "Sending messages using
//! incoming webhooks"; Mattermost and Rocket.Chat take the same body.

use super::telling::{doctor, escaped, headline, is_address, judged};
use crate::http::Http;
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{
    Checked, Configured, NotTold, Notification, Provider, RawSettings, Section, Sink, System, WrongSetting, schema_of,
    typed,
};
use hyper::Method;
use hyper::header::HeaderMap;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Characters of a section's text that Slack takes.
const MOST_TEXT: usize = 3000;

/// A channel, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the incoming webhook's address is read: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`. Whoever has the
    /// address can post, so it stands in no file of settings.
    #[schemars(title = "where its address is read, such as \"file:/etc/flightdeck/slack\"")]
    webhook: String,
}

/// The kind in the registry.
#[derive(Debug, Clone, Copy)]
pub struct SlackProvider;

/// Posts to a channel.
#[derive(Debug, Clone)]
struct Slack {
    http: Http,
}

/// What is posted: a line for the phone's notification, and the same in full.
fn message(notification: &Notification) -> Value {
    let Notification { from, author, why, .. } = notification;
    let line = headline(notification);
    let before = from.iter().map(|from| format!("before: {}", escaped(from)));
    let asked = author.iter().map(|author| format!("asked for by {}", escaped(author)));
    let lines = [format!("*{}*", escaped(&line)), escaped(why)].into_iter().chain(before).chain(asked);
    let full: String = lines.collect::<Vec<_>>().join("\n").chars().take(MOST_TEXT).collect();
    let section = json!({"type": "section", "text": {"type": "mrkdwn", "text": full}});
    let small = format!("{} · {} · {}", escaped(&notification.run), notification.at, escaped(&notification.id));
    let context = json!({"type": "context", "elements": [{"type": "mrkdwn", "text": small}]});
    json!({"text": escaped(&line), "blocks": [section, context]})
}

#[async_trait]
impl Sink for Slack {
    /// A webhook has no key against doubles: the id stands in the message, so that people know a second one by it.
    async fn tell(&self, notification: &Notification, _now: Timestamp) -> Result<(), NotTold> {
        let answer = self.http.send(Method::POST, "", &message(notification)).await;
        judged(&answer.map_err(|error| NotTold::passing(error.to_string()))?)
    }
}

#[async_trait]
impl Provider for SlackProvider {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn about(&self) -> &'static str {
        "a message in a Slack channel by an incoming webhook; Mattermost and Rocket.Chat take the same"
    }

    fn section(&self) -> Section {
        Section::Notify
    }

    fn implied_by(&self) -> Option<&'static str> {
        Some("webhook")
    }

    fn schema(&self) -> Schema {
        schema_of::<Settings>()
    }

    fn check(&self, raw: &RawSettings) -> Result<(), WrongSetting> {
        secret::check("webhook", &typed::<Settings>(raw)?.webhook).map(drop)
    }

    fn describe(&self, _: &RawSettings) -> String {
        "a channel of the webhook's workspace".to_owned()
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let address = secret::read("webhook", &typed::<Settings>(&configured.settings)?.webhook).await?;
        is_address("webhook", address.trim())?;
        Ok(System::Sink(Arc::new(Slack { http: Http::new("webhook", address.trim(), HeaderMap::new())? })))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        doctor(self, configured).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::telling::told;
    use super::*;

    #[test]
    fn a_message_says_what_happened_and_makes_no_mention() {
        let notification = told();
        let message = message(&notification);
        assert_eq!(message["text"], "shop in production: 1.5 was rolled back");
        let full = message["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(full.contains("&lt;!channel&gt; &amp; more") && full.contains("asked for by ann"), "{full}");
        let long = Notification { why: "x".repeat(10_000), ..notification };
        let message = super::message(&long);
        assert!(message["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= MOST_TEXT);
    }
}
