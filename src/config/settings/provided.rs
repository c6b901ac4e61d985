//! `[sources.NAME]` and `[notify.NAME]`: tables whose keys depend on their `kind`. What every table of a section has is
//! read here, the rest by the schema of the kind's provider, so that nothing here names a system.

use super::super::error::nearest;
use super::super::reader::{Table, Value as Node, alternatives, quoted};
use super::notify::{self, Notify};
use super::sources::{self, Source};
use flightdeck_port::{Configured, NotifyEvent, Provider, RawSettings, Section, WrongSetting};
use serde_json::Value;

/// The kinds of system that there are.
pub type Providers<'p> = &'p [&'p dyn Provider];

/// Keys of every `[sources.NAME]`, beside those of its kind.
const OF_SOURCES: [&str; 2] = ["kind", "read_only"];
/// Of every `[notify.NAME]`.
const OF_NOTIFY: [&str; 4] = ["kind", "events", "environments", "services"];

/// The provider of a table: that of its kind; where it names none the one that its keys imply, else the section's
/// first.
#[must_use]
pub fn provider<'p>(
    providers: Providers<'p>,
    section: Section,
    kind: &str,
    has: impl Fn(&str) -> bool,
) -> Option<&'p dyn Provider> {
    let mut of_section = providers.iter().filter(|provider| provider.section() == section).copied();
    if !kind.is_empty() {
        return of_section.find(|provider| provider.kind() == kind);
    }
    let first = of_section.next()?;
    let mut all = std::iter::once(first).chain(of_section);
    Some(all.find(|provider| provider.implied_by().is_some_and(&has)).unwrap_or(first))
}

/// Reads one `[sources.NAME]`; what is wrong is noted, key by key.
pub(super) fn source(providers: Providers<'_>, name: &str, value: &Node<'_>) -> Source {
    if let Some(what) = sources::wrong_name(name) {
        value.wrong_key(&what, None);
    }
    let Some(table) = value.map() else { return Source::default() };
    let Some(provider) = kind_of(providers, Section::Sources, &table) else { return Source::default() };
    Source {
        kind: provider.kind().to_owned(),
        read_only: table.get("read_only").and_then(|value| value.flag()).unwrap_or_default(),
        settings: settings(providers, provider, &table, &OF_SOURCES),
    }
}

/// Reads one `[notify.NAME]` likewise.
pub(super) fn notify(providers: Providers<'_>, name: &str, value: &Node<'_>) -> Notify {
    if let Some(what) = notify::wrong_name(name) {
        value.wrong_key(&what, None);
    }
    let Some(table) = value.map() else { return Notify::default() };
    let Some(provider) = kind_of(providers, Section::Notify, &table) else { return Notify::default() };
    let texts = |key: &str, what: &str| -> Vec<String> {
        let elements = table.get(key).and_then(|value| value.list(what)).unwrap_or_default();
        elements.iter().filter_map(|element| element.text("text").map(str::to_owned)).collect()
    };
    let events = table.get("events").and_then(|value| value.list("a list of events")).unwrap_or_default();
    let words = NotifyEvent::ALL.map(|(word, _)| (word, word));
    Notify {
        kind: provider.kind().to_owned(),
        events: events.iter().filter_map(|event| event.word(&words)).map(str::to_owned).collect(),
        environments: texts("environments", "a list of environments"),
        services: texts("services", "a list of services"),
        settings: settings(providers, provider, &table, &OF_NOTIFY),
    }
}

/// What is wrong with a table that came from elsewhere than a file.
pub(super) fn wrong(providers: Providers<'_>, section: Section, kind: &str, settings: &RawSettings) -> Option<String> {
    let Some(provider) = provider(providers, section, kind, |key| settings.contains_key(key)) else {
        return Some(format!("kind: expected {}, found {kind:?}", alternatives(&kinds(providers, section))));
    };
    let WrongSetting { key, what } = provider.check(settings).err()?;
    Some(key.map_or_else(|| what.clone(), |key| format!("{key}: {what}")))
}

fn kinds(providers: Providers<'_>, section: Section) -> Vec<&str> {
    providers.iter().filter(|provider| provider.section() == section).map(|provider| provider.kind()).collect()
}

/// The same for a table of a file; a kind that there is not is noted.
fn kind_of<'p>(providers: Providers<'p>, section: Section, table: &Table<'_>) -> Option<&'p dyn Provider> {
    let Some(kind) = table.get("kind") else { return provider(providers, section, "", |key| table.get(key).is_some()) };
    let of_section = providers.iter().filter(|provider| provider.section() == section);
    let words: Vec<_> = of_section.map(|provider| (provider.kind(), *provider)).collect();
    kind.word(&words)
}

/// The keys of a kind, by its schema; then what the provider says of them together.
fn settings(providers: Providers<'_>, provider: &dyn Provider, table: &Table<'_>, common: &[&str]) -> RawSettings {
    let schema = provider.schema().to_value();
    let own = properties(&schema);
    let known: Vec<&str> = common.iter().copied().chain(own.iter().map(|(key, _)| *key)).collect();
    for (name, value) in table.entries().filter(|(name, _)| !known.contains(name)) {
        let another =
            providers.iter().any(|other| properties(&other.schema().to_value()).iter().any(|(key, _)| *key == name));
        let (what, meant) = if another {
            (format!("there is no such key for kind {:?}, expected {}", provider.kind(), alternatives(&known)), None)
        } else {
            let meant = nearest(name, known.iter().copied()).map(quoted);
            (format!("unknown key, expected {}", alternatives(&known)), meant)
        };
        value.wrong_key(&what, meant);
    }
    let read = object(&schema, &schema, table);
    // What is wrong is left out, and what remains is looked at all the same, so that all is told at once.
    if !read.lacks_required
        && let Err(WrongSetting { key, what }) = provider.check(&read.settings)
    {
        match key.and_then(|key| table.get(key)) {
            Some(value) => value.wrong(&what, None),
            None => table.wrong(&what),
        }
    }
    read.settings
}

/// The properties of an object's schema, in the order of its struct's fields where that is kept.
pub(super) fn properties(schema: &Value) -> Vec<(&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(key, schema)| (key.as_str(), schema)).collect()
}

/// What of a table fits its schema.
struct Object {
    settings: RawSettings,
    /// Nothing is left out.
    whole: bool,
    /// What is left out must be there.
    lacks_required: bool,
}

/// A table by its schema; what is wrong in it is noted and left out.
fn object(root: &Value, schema: &Value, table: &Table<'_>) -> Object {
    let required = |key: &str| {
        schema.get("required").and_then(Value::as_array).is_some_and(|keys| keys.iter().any(|of| of == key))
    };
    let mut read = Object { settings: RawSettings::new(), whole: true, lacks_required: false };
    for (key, schema) in properties(schema) {
        let node = if required(key) { table.need(key, &expected(root, schema)) } else { table.get(key) };
        if let Some(value) = node.as_ref().and_then(|node| by_schema(root, schema, node)) {
            read.settings.insert(key.to_owned(), value);
        } else {
            read.whole &= node.is_none();
            read.lacks_required |= required(key);
        }
    }
    read
}

/// A value by its schema; what does not fit is noted.
fn by_schema(root: &Value, schema: &Value, node: &Node<'_>) -> Option<Value> {
    let shape = resolved(root, schema);
    let said = expected(root, schema);
    if let Some(words) = words(shape) {
        let words: Vec<_> = words.into_iter().map(|word| (word, word)).collect();
        return node.word(&words).map(Value::from);
    }
    match kind(shape) {
        "string" => {
            let text = node.text(&said)?;
            if text.is_empty() {
                node.expected(&said, None);
                return None;
            }
            Some(text.into())
        }
        "boolean" => node.flag().map(Value::from),
        "integer" => {
            let bound = |key: &str| shape.get(key).and_then(Value::as_u64).and_then(|bound| u32::try_from(bound).ok());
            node.count(bound("minimum").unwrap_or(0)..=bound("maximum").unwrap_or(u32::MAX)).map(Value::from)
        }
        "number" => {
            let number = node.number();
            if number.is_none() {
                node.expected(&said, None);
            }
            number.map(Value::from)
        }
        "array" => {
            let of = shape.get("items").unwrap_or(&Value::Null);
            let elements = node.list(&said)?;
            // Each is looked at, so that each mistake is told.
            let values: Vec<Option<Value>> = elements.iter().map(|element| by_schema(root, of, element)).collect();
            values.into_iter().collect::<Option<Vec<_>>>().map(Value::from)
        }
        _ => {
            let known: Vec<&str> = properties(shape).into_iter().map(|(key, _)| key).collect();
            let read = object(root, shape, &node.table(&known)?);
            (read.whole && !read.lacks_required).then(|| read.settings.into())
        }
    }
}

/// What stands behind a reference, or beside "or nothing".
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        return root.pointer(path.trim_start_matches('#')).map_or(schema, |target| resolved(root, target));
    }
    let choices = schema.get("anyOf").and_then(Value::as_array);
    let some = choices.and_then(|choices| choices.iter().find(|choice| kind(choice) != "null"));
    some.map_or(schema, |choice| resolved(root, choice))
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ => "",
    }
}

/// The words of an enum.
fn words(schema: &Value) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    let choices = schema.get("oneOf").and_then(Value::as_array)?;
    choices.iter().map(|choice| choice.get("const").and_then(Value::as_str)).collect()
}

/// What is expected, in words: the schema's title where it has one.
fn expected(root: &Value, schema: &Value) -> String {
    let shape = resolved(root, schema);
    let title = |of: &Value| of.get("title").and_then(Value::as_str).map(str::to_owned);
    // A struct's name is no words for people.
    let named = title(schema).or_else(|| title(shape).filter(|title| title.contains(' ')));
    named.unwrap_or_else(|| match kind(shape) {
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "array" => "a list".to_owned(),
        _ => "a table".to_owned(),
    })
}

/// One table of the settings with its provider.
#[must_use]
pub fn configured(name: &str, read_only: bool, settings: &RawSettings) -> Configured {
    Configured { name: name.into(), read_only, for_others: false, settings: settings.clone() }
}
