//! Lays file, environment and flags over the defaults and remembers where each value came from.

use super::super::error::{ConfigError, Problem, nearest};
use super::super::reader::{Report, Table, Value as Node, alternatives, document, quoted};
use super::super::services;
use super::provided::{self, Providers};
use super::{Settings, check};
use super::{slo, watchdog};
use crate::Paths;
use flightdeck_model::sanitize_line;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The key of the table of sources.
const SOURCES: &str = "sources";
/// The key of the table of who may apply which configuration.
const APPLY: &str = "serve.apply";
/// The key of the table of watchdogs.
const WATCHDOG: &str = "watchdog";
/// The key of the table of objectives.
const SLO: &str = "slo";
/// The key of the table of environments.
const ENVIRONMENTS: &str = "environments";
/// The key of the table of who is told.
const NOTIFY: &str = "notify";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The program.
    Default,
    File {
        path: String,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable of this name.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One line of `flightdeck config show`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Path of the key, such as `serve.lease`.
    pub key: String,
    /// Its value; null where there is none.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Settings in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The values.
    pub settings: Settings,
    /// The same, key by key with origins, in alphabetical order.
    pub rows: Vec<Row>,
}

/// Reads the user's `config.toml` (none is fine), the environment, and flags as key and value. `providers` say which
/// kinds of system there are.
///
/// # Errors
/// All that is wrong; nothing is taken then.
pub fn load(paths: &Paths, providers: Providers<'_>, flags: &[(&str, Value)]) -> Result<Effective, ConfigError> {
    let path = paths.settings();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(ConfigError::of_file(&path, &format!("cannot be read: {error}"))),
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    resolve(&text, &path, providers, environment, flags)
}

/// Lays the layers over each other. Pure.
///
/// # Errors
/// All that is wrong.
pub fn resolve(
    text: &str,
    path: &Path,
    providers: Providers<'_>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[(&str, Value)],
) -> Result<Effective, ConfigError> {
    let report = Report::new(path, text);
    let mut layers = Layers::new(providers);
    let document = document(text, &report);
    if let Some(document) = &document {
        file(&mut layers, &Table::whole(document, &report), &report);
    }
    let mut problems = match report.finish(Some(())) {
        Ok(()) => Vec::new(),
        Err(error) => error.problems,
    };
    let environment: BTreeMap<_, _> = environment.into_iter().collect();
    let told = layers.keys().into_iter().filter_map(|key| {
        let name = variable(&key);
        environment.get(&name).map(|text| (key, Origin::Environment(name), candidates(text)))
    });
    let flags =
        flags.iter().map(|(key, value)| ((*key).to_owned(), Origin::Flag((*key).to_owned()), vec![value.clone()]));
    for (key, origin, candidates) in told.collect::<Vec<_>>().into_iter().chain(flags) {
        if let Err(what) = layers.set_first(&key, candidates, &origin) {
            let (file, what) = (sanitize_line(&origin.to_string()), sanitize_line(&what));
            problems.push(Problem { file, place: None, key, what, suggestion: None });
        }
    }
    problems.extend(layers.unknown_source());
    if problems.is_empty() { Ok(layers.effective()) } else { Err(ConfigError { problems }) }
}

/// The environment variable of a key: `serve.lease` is `FLIGHTDECK_SERVE_LEASE`.
pub(super) fn variable(key: &str) -> String {
    format!("FLIGHTDECK_{}", key.to_uppercase().replace('.', "_"))
}

/// What a variable's text may mean, likeliest first: JSON (numbers, true, lists), text, a list with commas.
fn candidates(text: &str) -> Vec<Value> {
    let list = text.split(',').map(|item| Value::from(item.trim())).filter(|item| item != "").collect();
    serde_json::from_str(text).into_iter().chain([Value::from(text), Value::Array(list)]).collect()
}

/// Every key with its value; lists are values, tables are not.
pub(super) fn leaves(value: &Value) -> Vec<(String, Value)> {
    fn walk(path: &str, value: &Value, out: &mut Vec<(String, Value)>) {
        match value {
            // A table without any entry is a value that can be set, as an empty list is.
            Value::Object(entries) if !entries.is_empty() || path.is_empty() => {
                for (key, value) in entries {
                    walk(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, out);
                }
            }
            leaf => out.push((path.to_owned(), leaf.clone())),
        }
    }
    let mut out = Vec::new();
    walk("", value, &mut out);
    out
}

struct Layers<'p> {
    providers: Providers<'p>,
    settings: Settings,
    origins: BTreeMap<String, Origin>,
}

impl<'p> Layers<'p> {
    fn new(providers: Providers<'p>) -> Layers<'p> {
        Layers { providers, settings: Settings::default(), origins: BTreeMap::new() }
    }

    fn json(&self) -> Value {
        serde_json::to_value(&self.settings).unwrap_or_default()
    }

    fn keys(&self) -> Vec<String> {
        leaves(&self.json()).into_iter().map(|(key, _)| key).collect()
    }

    /// Tries a value on the settings as they stand; what those refuse changes nothing.
    fn set(&mut self, key: &str, value: Value, origin: &Origin) -> Result<(), String> {
        let mut json = self.json();
        match json.pointer_mut(&format!("/{}", key.replace('.', "/"))) {
            Some(place) => *place = value,
            None => return Err("there is no such key".to_owned()),
        }
        let settings: Settings = serde_json::from_value(json).map_err(|error| reworded(&error.to_string()))?;
        if let Some((_, what)) = check(&settings, self.providers).into_iter().find(|(wrong, _)| *wrong == key) {
            return Err(what);
        }
        self.settings = settings;
        self.origins.insert(key.to_owned(), origin.clone());
        Ok(())
    }

    /// Takes the first candidate that fits; else says what is wrong with the first that is text.
    fn set_first(&mut self, key: &str, candidates: Vec<Value>, origin: &Origin) -> Result<(), String> {
        let mut wrong = None;
        for value in candidates {
            let text = value.is_string();
            match self.set(key, value, origin) {
                Ok(()) => return Ok(()),
                Err(what) if wrong.is_none() || text => wrong = Some(what),
                Err(_) => {}
            }
        }
        Err(wrong.unwrap_or_default())
    }

    /// A server can only look at sources that there are; the order of the tables does not matter.
    fn unknown_source(&self) -> Option<Problem> {
        let Settings { serve, sources, .. } = &self.settings;
        let name = serve.sources.iter().find(|name| !sources.contains_key(*name))?;
        let key = "serve.sources".to_owned();
        let (file, place) = match self.origins.get(&key) {
            Some(Origin::File { path, line }) => (path.clone(), Some((*line, 1))),
            Some(origin) => (origin.to_string(), None),
            None => (String::new(), None),
        };
        let what = sanitize_line(&format!("expected names of [sources.NAME] tables, found {name:?}"));
        let suggestion = nearest(name, sources.keys().map(String::as_str)).map(quoted);
        Some(Problem { file: sanitize_line(&file), place, key, what, suggestion })
    }

    fn effective(self) -> Effective {
        let rows = leaves(&self.json())
            .into_iter()
            .map(|(key, value)| {
                let origin = self.origins.get(&key).cloned().unwrap_or(Origin::Default);
                Row { key, value, origin }
            })
            .collect();
        Effective { settings: self.settings, rows }
    }
}

/// serde's `invalid type: X, expected Y`, the way all our messages are.
fn reworded(message: &str) -> String {
    match message.split_once(": ").zip(message.rsplit_once(", expected ")) {
        Some(((kind, _), (before, expected))) if kind.starts_with("invalid ") => {
            let found = before.strip_prefix(kind).unwrap_or(before).trim_start_matches(": ");
            format!("expected {expected}, found {found}")
        }
        _ => message.to_owned(),
    }
}

/// Takes every value of a file that is fine and notes the others.
fn file(layers: &mut Layers<'_>, table: &Table<'_>, report: &Report<'_>) {
    let keys = layers.keys();
    let known: Vec<&str> = keys
        .iter()
        .filter_map(|key| {
            if table.path.is_empty() { Some(key.as_str()) } else { key.strip_prefix(&format!("{}.", table.path)) }
        })
        .filter_map(|rest| rest.split('.').next())
        .collect();
    for (name, value) in table.entries() {
        if value.path == SOURCES {
            named(layers, &value, report, |layers, name, value| {
                let source = provided::source(layers.providers, name, value);
                let json = serde_json::to_value(&source).unwrap_or_default();
                layers.settings.sources.insert(name.to_owned(), source);
                json
            });
        } else if value.path == NOTIFY {
            named(layers, &value, report, |layers, name, value| {
                let notify = provided::notify(layers.providers, name, value);
                let json = serde_json::to_value(&notify).unwrap_or_default();
                layers.settings.notify.insert(name.to_owned(), notify);
                json
            });
        } else if value.path == WATCHDOG {
            named(layers, &value, report, |layers, name, value| {
                let Some(watchdog) = watchdog::watchdog(value) else { return Value::Null };
                let json = serde_json::to_value(&watchdog).unwrap_or_default();
                layers.settings.watchdog.insert(name.to_owned(), watchdog);
                json
            });
        } else if value.path == SLO {
            named(layers, &value, report, |layers, name, value| {
                let Some(slo) = slo::slo(name, value) else { return Value::Null };
                let json = serde_json::to_value(&slo).unwrap_or_default();
                layers.settings.slo.insert(name.to_owned(), slo);
                json
            });
        } else if value.path == ENVIRONMENTS {
            named(layers, &value, report, |layers, name, value| {
                let Some(rules) = slo::environment(value) else { return Value::Null };
                let json = serde_json::to_value(rules).unwrap_or_default();
                layers.settings.environments.insert(name.to_owned(), rules);
                json
            });
        } else if value.path == APPLY {
            appliers(layers, &value, report);
        } else if keys.contains(&value.path) {
            leaf(layers, &value, report);
        } else if known.contains(&name) {
            if let Some(table) = value.map() {
                file(layers, &table, report);
            }
        } else {
            let mut words = known.clone();
            words.dedup();
            let what = format!("unknown key, expected {}", alternatives(&words));
            value.wrong_key(&what, nearest(name, words).map(quoted));
        }
    }
}

/// Sources and notifications are a table by name, so that none of their keys is there before the file names it.
/// `read` reads one and gives it as JSON.
fn named(
    layers: &mut Layers<'_>,
    value: &Node<'_>,
    report: &Report<'_>,
    read: impl Fn(&mut Layers<'_>, &str, &Node<'_>) -> Value,
) {
    let Some(table) = value.map() else { return };
    for (name, inner) in table.entries() {
        let json = read(layers, name, &inner);
        if json.is_null() {
            continue; // what is wrong with it was noted
        }
        let (path, line) = report.place(&inner.key_span);
        for (key, _) in leaves(&json) {
            let own = inner.map().and_then(|table| table.get(key.split('.').next().unwrap_or(&key)));
            let line = own.map_or(line, |own| report.place(&own.span).1);
            layers.origins.insert(format!("{}.{name}.{key}", value.path), Origin::File { path: path.clone(), line });
        }
    }
}

/// Who may apply which configuration: a list a name.
fn appliers(layers: &mut Layers<'_>, value: &Node<'_>, report: &Report<'_>) {
    let expected = "users and groups such as [\"user:ann\", \"group:web\"]";
    let Some(table) = value.map() else { return };
    for (name, list) in table.entries() {
        if !services::is_name(name) {
            list.wrong_key(&format!("expected {}", services::NAME), None);
            continue;
        }
        let Some(elements) = list.list(expected) else { continue };
        if elements.is_empty() {
            list.expected(expected, None);
        }
        let who: Option<Vec<String>> =
            elements.iter().map(|one| one.text("a user or group such as \"group:web\"").map(str::to_owned)).collect();
        let Some(who) = who else { continue };
        layers.settings.serve.apply.insert(name.to_owned(), who);
        let (path, line) = report.place(&list.key_span);
        layers.origins.insert(list.path.clone(), Origin::File { path, line });
    }
}

fn leaf(layers: &mut Layers<'_>, value: &Node<'_>, report: &Report<'_>) {
    let (path, line) = report.place(&value.span);
    let origin = Origin::File { path, line };
    // A list's elements are tried one by one first, so that the message has the right place.
    for element in value.elements() {
        if let Err(what) = layers.set(&value.path, Value::Array(vec![element.json()]), &origin) {
            element.wrong(&what, None);
            return;
        }
    }
    if let Err(what) = layers.set(&value.path, value.json(), &origin) {
        value.wrong(&what, None);
    }
}
