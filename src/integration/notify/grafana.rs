//! `kind = "grafana"`: an annotation, the line in the graphs of whoever looks at them. Source: grafana.com, "Annotations
//! HTTP API", `POST /api/annotations`.

use super::telling::{doctor, escaped, headline, judged};
use crate::http::{self, Http};
use crate::secret;
use async_trait::async_trait;
use flightdeck_model::sanitize_line;
use flightdeck_port::{
    Checked, Configured, NotTold, Notification, Provider, RawSettings, Section, Sink, System, WrongSetting, schema_of,
    typed,
};
use hyper::Method;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Below the address of the settings.
const ANNOTATIONS: &str = "api/annotations";
/// Characters of a line: it is for a tooltip.
const MOST_LINE: usize = 500;
/// Characters of a tag that Grafana keeps.
const MOST_TAG: usize = 100;
/// Characters of a dashboard's uid that Grafana gives.
const MOST_UID: usize = 40;

/// A Grafana, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where it answers, with the path before `/api` where there is one: `https://grafana.example`.
    #[schemars(title = "an address such as \"https://grafana.example\"")]
    url: String,
    /// Where the token of a service account is read that may write annotations: `file:PATH`, `env:NAME` or
    /// `command:PROGRAM ARGS`.
    #[schemars(title = "where it is read, such as \"file:/etc/flightdeck/grafana\"")]
    token: String,
    /// The uid of the dashboard that gets the annotations. Without: all of the organisation that ask for their tags.
    #[serde(default)]
    #[schemars(title = "a dashboard's uid")]
    dashboard: Option<String>,
    /// Tags beside `flightdeck`, the service, the environment and the event.
    #[serde(default)]
    #[schemars(title = "a list of tags")]
    tags: Vec<String>,
}

impl Settings {
    /// Reads no secret.
    fn of(raw: &RawSettings) -> Result<Settings, WrongSetting> {
        let settings: Settings = typed(raw)?;
        http::url_of("url", &settings.url)?;
        secret::check("token", &settings.token)?;
        if let Some(uid) = settings.dashboard.as_deref().filter(|uid| !is_uid(uid)) {
            let what = format!("expected the uid in a dashboard's address, /d/UID/…, found {uid:?}");
            return Err(WrongSetting::at("dashboard", what));
        }
        if let Some(wrong) = settings.tags.iter().find(|tag| !is_tag(tag)) {
            let what = format!("expected tags of 1 to {MOST_TAG} visible characters, found {wrong:?}");
            return Err(WrongSetting::at("tags", what));
        }
        Ok(settings)
    }
}

fn is_uid(text: &str) -> bool {
    (1..=MOST_UID).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

fn is_tag(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MOST_TAG && sanitize_line(text) == text
}

/// The kind in the registry.
#[derive(Debug, Clone, Copy)]
pub struct GrafanaProvider;

/// Annotates.
#[derive(Debug, Clone)]
struct Grafana {
    http: Http,
    dashboard: Option<String>,
    tags: Vec<String>,
}

/// What is posted: a point in time, since what is told of is over or only begins.
#[derive(Debug, Serialize)]
struct Annotation<'a> {
    #[serde(rename = "dashboardUID", skip_serializing_if = "Option::is_none")]
    dashboard: Option<&'a str>,
    /// Milliseconds.
    time: i64,
    tags: Vec<String>,
    text: String,
}

impl Grafana {
    fn annotation(&self, notification: &Notification) -> Value {
        let annotation = Annotation {
            dashboard: self.dashboard.as_deref(),
            time: notification.at.as_millisecond(),
            tags: self.tags_of(notification),
            text: text(notification),
        };
        json!(annotation)
    }

    fn tags_of(&self, notification: &Notification) -> Vec<String> {
        let Notification { event, service, environment, .. } = notification;
        let ours = ["flightdeck", service, environment, event.word()];
        let mut tags = Vec::new();
        for tag in ours.into_iter().chain(self.tags.iter().map(String::as_str)) {
            let tag: String = sanitize_line(tag).chars().take(MOST_TAG).collect();
            if !tag.is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }
}

/// What happened, why, what was there before, and by what a second one is known. Grafana takes it for HTML.
fn text(notification: &Notification) -> String {
    let Notification { id, from, author, why, run, .. } = notification;
    let before = from.iter().map(|from| format!("before: {from}"));
    let asked = author.iter().map(|author| format!("asked for by {author}"));
    let lines = [headline(notification), why.clone()].into_iter().chain(before).chain(asked);
    let harmless = |line: String| {
        let short: String = sanitize_line(&line).chars().take(MOST_LINE).collect();
        escaped(&short)
    };
    lines.chain([format!("{run} · {id}")]).map(harmless).collect::<Vec<_>>().join("<br>")
}

#[async_trait]
impl Sink for Grafana {
    /// Grafana has no key against doubles: the id stands in the text, so that people know a second one by it.
    async fn tell(&self, notification: &Notification, _now: Timestamp) -> Result<(), NotTold> {
        let answer = self.http.send(Method::POST, ANNOTATIONS, &self.annotation(notification)).await;
        judged(&answer.map_err(|error| NotTold::passing(error.to_string()))?)
    }
}

#[async_trait]
impl Provider for GrafanaProvider {
    fn kind(&self) -> &'static str {
        "grafana"
    }

    fn about(&self) -> &'static str {
        "an annotation in the graphs of a Grafana"
    }

    fn section(&self) -> Section {
        Section::Notify
    }

    fn schema(&self) -> Schema {
        schema_of::<Settings>()
    }

    fn check(&self, raw: &RawSettings) -> Result<(), WrongSetting> {
        Settings::of(raw).map(drop)
    }

    fn describe(&self, raw: &RawSettings) -> String {
        match Settings::of(raw).and_then(|settings| http::url_of("url", &settings.url)) {
            Ok(url) => format!("annotations in the Grafana at {}", http::host_of(&url)),
            Err(wrong) => wrong.what,
        }
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let Settings { url, token, dashboard, tags } = Settings::of(&configured.settings)?;
        let headers = http::bearer("token", &secret::read("token", &token).await?)?;
        Ok(System::Sink(Arc::new(Grafana { http: Http::new("url", &url, headers)?, dashboard, tags })))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        doctor(self, configured).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::telling::told;
    use super::*;
    use crate::stub::Stub;
    use flightdeck_port::NotifyEvent;
    use hyper::header::HeaderMap;

    fn grafana(dashboard: Option<&str>, tags: &[&str]) -> Grafana {
        Grafana {
            http: Http::new("url", "http://127.0.0.1:3000/grafana", HeaderMap::new()).unwrap(),
            dashboard: dashboard.map(str::to_owned),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }

    #[test]
    fn an_annotation_has_its_time_its_tags_and_what_happened() {
        let body = grafana(Some("jcIIG-07z"), &["team:shop", "shop"]).annotation(&told());
        assert_eq!(
            body,
            json!({
                "dashboardUID": "jcIIG-07z",
                "time": 1_796_011_200_000_i64,
                "tags": ["flightdeck", "shop", "production", "rolled_back", "team:shop"],
                "text": "shop in production: 1.5 was rolled back<br>errors 18 % &gt; 1 % &lt;!channel&gt; &amp; more\
                    <br>before: 1.4<br>asked for by ann<br>local/shop@production/r-7 · msg_1",
            })
        );
        let everywhere = grafana(None, &[]).annotation(&Notification { event: NotifyEvent::Test, ..told() });
        assert_eq!(everywhere.get("dashboardUID"), None);
        assert_eq!(everywhere["tags"], json!(["flightdeck", "shop", "production", "test"]));
    }

    #[tokio::test]
    async fn it_is_posted_with_the_token_below_the_path_of_the_settings() {
        let stub = Stub::bind().await;
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "glsa_1\n").unwrap();
        let settings =
            json!({"url": format!("{}/grafana", stub.url()), "token": format!("file:{}", token.path().display())});
        let configured = Configured {
            name: "graphs".into(),
            read_only: false,
            for_others: false,
            settings: settings.as_object().unwrap().clone(),
        };
        let Ok(System::Sink(sink)) = GrafanaProvider.open(&configured).await else { panic!("a sink") };
        let notification = told();
        let tell = sink.tell(&notification, notification.at);
        let answered = stub.answer("200 OK", r#"{"message":"Annotation added","id":1}"#);
        let (told, (head, body)) = tokio::join!(tell, answered);
        assert_eq!(told, Ok(()));
        assert!(head.starts_with("POST /grafana/api/annotations HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("authorization: Bearer glsa_1\r\n"), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["tags"][0], "flightdeck");
    }

    #[test]
    fn what_others_wrote_is_short_and_hides_nothing() {
        let odd = Notification { service: format!("sh\u{202e}op{}", "x".repeat(200)), why: "&".repeat(9000), ..told() };
        let body = grafana(None, &[]).annotation(&odd);
        let tag = body["tags"][1].as_str().unwrap();
        assert!(tag.chars().count() == MOST_TAG && !tag.contains('\u{202e}'), "{tag}");
        let text = body["text"].as_str().unwrap();
        assert!(!text.contains('\u{202e}') && text.ends_with("msg_1"), "{text}");
        assert_eq!(text.matches("&amp;").count(), MOST_LINE);
    }

    #[test]
    fn mistakes_are_named_by_key_and_each_key_says_what_it_is() {
        let (url, token) = ("https://grafana.example", "file:/t");
        let raw = |settings: &Value| settings.as_object().unwrap().clone();
        let right = json!({"url": url, "token": token, "dashboard": "jcIIG-07z", "tags": ["team:shop"]});
        assert_eq!(GrafanaProvider.check(&raw(&right)), Ok(()));
        assert_eq!(GrafanaProvider.describe(&raw(&right)), "annotations in the Grafana at grafana.example");
        for (settings, key, told) in [
            (json!({"url": "grafana:3000", "token": token}), Some("url"), "https://"),
            (json!({"url": url, "token": "hunter2"}), Some("token"), "env:NAME"),
            (json!({"url": url, "token": token, "dashboard": "d/a"}), Some("dashboard"), "found \"d/a\""),
            (json!({"url": url, "token": token, "dashboard": ""}), Some("dashboard"), "uid"),
            (json!({"url": url, "token": token, "tags": ["a", " "]}), Some("tags"), "found \" \""),
            (json!({"url": url, "token": token, "panel": 1}), None, "unknown field `panel`"),
            (json!({"url": url}), None, "missing field `token`"),
        ] {
            let wrong = GrafanaProvider.check(&raw(&settings)).expect_err(&settings.to_string());
            assert_eq!(wrong.key, key, "{settings}: {wrong:?}");
            assert!(wrong.what.contains(told) && !wrong.what.contains("hunter2"), "{settings}: {wrong:?}");
        }
        let schema = GrafanaProvider.schema();
        let keys = schema.get("properties").and_then(|keys| keys.as_object()).unwrap();
        assert_eq!(keys.len(), 4);
        assert!(keys.values().all(|key| key.get("description").is_some()), "{keys:?}");
    }
}
