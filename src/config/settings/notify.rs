//! `[notify.NAME]`: who is told outside what happens on a server.

use super::super::error::nearest;
use super::super::reader::{Value, alternatives, quoted};
use flightdeck_model::{SecretRef, has_hidden};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What can be told, as it is written in the settings.
pub const EVENTS: [&str; 4] = ["failed", "aborted", "rolled_back", "waits_for_person"];
const KEYS: [&str; 6] = ["url", "secret", "command", "events", "environments", "services"];

/// Somebody who is told. One of `url` and `command`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// A webhook: where it is posted to, `https://…` or `http://…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Webhook: where its secret is read, `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`; without one it is not signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A program, by its absolute path, and its arguments; it gets JSON on its standard input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// What is told: `failed`, `aborted`, `rolled_back`, `waits_for_person`; without any all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// In which environments; without any all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// Of which services; without any all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

/// Reads one `[notify.NAME]`; what is wrong is noted, key by key.
pub(super) fn read(name: &str, value: &Value<'_>) -> Notify {
    if name.is_empty() || name.len() > 64 || has_hidden(name) {
        value.wrong_key("expected a name of 1 to 64 visible characters", None);
    }
    let Some(table) = value.map() else { return Notify::default() };
    for (key, value) in table.entries().filter(|(key, _)| !KEYS.contains(key)) {
        let meant = nearest(key, KEYS).map(quoted);
        value.wrong_key(&format!("unknown key, expected {}", alternatives(&KEYS)), meant);
    }
    let text = |key: &str, what: &str| {
        let value = table.get(key)?;
        value.text(what).map(str::to_owned)
    };
    let texts = |key: &str, what: &str| -> Vec<String> {
        let elements = table.get(key).and_then(|value| value.list(what)).unwrap_or_default();
        elements.iter().filter_map(|element| element.text("text").map(str::to_owned)).collect()
    };
    let events = table.get("events").and_then(|value| value.list("a list of events")).unwrap_or_default();
    let words = EVENTS.map(|word| (word, word));
    let notify = Notify {
        url: text("url", "an address such as \"https://example.com/hook\""),
        secret: text("secret", "where it is read, such as \"file:/etc/flightdeck/hook\""),
        command: texts("command", "a list: the program's path and its arguments"),
        events: events.iter().filter_map(|event| event.word(&words)).map(str::to_owned).collect(),
        environments: texts("environments", "a list of environments"),
        services: texts("services", "a list of services"),
    };
    if let Some((key, what)) = wrong(&notify) {
        match table.get(key) {
            Some(value) => value.wrong(&what, None),
            None => table.wrong(&what),
        }
    }
    notify
}

/// What is wrong with one as a whole: the key and the sentence. A secret is never part of it.
pub(super) fn wrong(notify: &Notify) -> Option<(&'static str, String)> {
    match (&notify.url, notify.command.first()) {
        (None, None) => Some(("url", "expected url = \"https://…\" or command = [\"/path/to/program\"]".to_owned())),
        (Some(_), Some(_)) => Some(("command", "expected one of url and command, found both".to_owned())),
        (None, Some(program)) if !Path::new(program).is_absolute() => {
            Some(("command", format!("expected the program's absolute path first, found {program:?}")))
        }
        (None, Some(_)) if notify.secret.is_some() => {
            Some(("secret", "a program is not signed for; give it its secrets by its own means".to_owned()))
        }
        (Some(url), None) if !url.starts_with("https://") && !url.starts_with("http://") => {
            Some(("url", "expected an address that begins with \"https://\" or \"http://\"".to_owned()))
        }
        _ => {
            let secret = notify.secret.as_ref()?.parse::<SecretRef>();
            match secret {
                Err(error) => Some(("secret", error.to_string())),
                Ok(SecretRef::File(path)) if !Path::new(&path).is_absolute() => {
                    Some(("secret", "expected an absolute path after \"file:\"".to_owned()))
                }
                Ok(_) => None,
            }
        }
    }
}
