//! What there is to set, from the code: the reference, the schema, the first file.

use super::Settings;
use super::layers::{leaves, variable};
use super::provided::{Providers, properties};
use flightdeck_port::{Provider, Section};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What `flightdeck config init` writes: every setting with its default, commented out.
pub const TEMPLATE: &str = include_str!("../../../config/config.toml");

/// JSON schema of `config.toml`, with the keys of each kind of system.
#[must_use]
pub fn schema(providers: Providers<'_>) -> Value {
    let mut schema = schemars::schema_for!(Settings).to_value();
    for (section, word, table) in SECTIONS {
        let common = schema.pointer(&format!("/$defs/{table}")).cloned().unwrap_or_default();
        let of_section = providers.iter().filter(|provider| provider.section() == section);
        let kinds: Vec<Value> = of_section.map(|provider| of_kind(&common, *provider)).collect();
        if let Some(place) = schema.pointer_mut(&format!("/properties/{word}/additionalProperties")) {
            *place = json!({"anyOf": kinds});
        }
    }
    schema
}

/// Where providers' tables stand: the word, and the struct of what all tables there have.
const SECTIONS: [(Section, &str, &str); 2] =
    [(Section::Sources, "sources", "Source"), (Section::Notify, "notify", "Notify")];

/// A table of one kind. References within a provider's schema stay within it.
fn of_kind(common: &Value, provider: &dyn Provider) -> Value {
    let mut own = provider.schema().to_value();
    let mut properties = common.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.insert("kind".to_owned(), json!({"const": provider.kind()}));
    if let Some(place) = own.get_mut("properties").and_then(Value::as_object_mut) {
        properties.append(place);
    }
    if let Some(own) = own.as_object_mut() {
        own.insert("$id".to_owned(), format!("flightdeck:{}", provider.kind()).into());
        own.insert("title".to_owned(), provider.about().into());
        own.insert("additionalProperties".to_owned(), false.into());
        own.insert("properties".to_owned(), properties.into());
    }
    own
}

/// `docs/config.md`.
#[must_use]
pub fn reference(providers: Providers<'_>) -> String {
    let schema = schema(providers);
    let mut out = String::from(HEAD);
    for (key, default) in leaves(&serde_json::to_value(Settings::default()).unwrap_or_default()) {
        let default = match default {
            Value::Null => "–".to_owned(),
            default => format!("`{default}`"),
        };
        let about = description(&schema, &key).replace('\n', " ");
        // Writing to a String can't fail.
        let _ = writeln!(out, "| `{key}` | {default} | {about} | `{}` |", variable(&key));
    }
    for (section, word, table) in SECTIONS {
        let _ = write!(out, "\n### `[{word}.NAME]`\n\n| Key | Means |\n|---|---|\n");
        let common = schema.pointer(&format!("/$defs/{table}")).cloned().unwrap_or_default();
        keys(&mut out, &common);
        for provider in providers.iter().filter(|provider| provider.section() == section) {
            let _ =
                write!(out, "\n`kind = \"{}\"`: {}\n\n| Key | Means |\n|---|---|\n", provider.kind(), provider.about());
            keys(&mut out, &provider.schema().to_value());
        }
    }
    out.push_str("\n### `[watchdog.ENVIRONMENT]`\n\n| Key | Means |\n|---|---|\n");
    keys(&mut out, &schema.pointer("/$defs/Watchdog").cloned().unwrap_or_default());
    for (heading, table) in [("[slo.NAME]", "Slo"), ("[environments.NAME]", "EnvironmentRules")] {
        let _ = write!(out, "\n### `{heading}`\n\n| Key | Means |\n|---|---|\n");
        keys(&mut out, &schema.pointer(&format!("/$defs/{table}")).cloned().unwrap_or_default());
    }
    out.push_str(MIDDLE);
    out.push_str(include_str!("../../../config/flightdeck.toml"));
    out.push_str("```\n");
    out
}

fn keys(out: &mut String, schema: &Value) {
    for (key, schema) in properties(schema) {
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let _ = writeln!(out, "| `{key}` | {about} |");
    }
}

/// The sentence of a key: its field's doc comment.
fn description(schema: &Value, key: &str) -> String {
    let mut node = schema;
    for part in key.split('.') {
        let inner = node.pointer(&format!("/properties/{part}")).unwrap_or(&Value::Null);
        let pointed =
            inner.get("$ref").and_then(Value::as_str).and_then(|path| schema.pointer(path.trim_start_matches('#')));
        node = if key.ends_with(part) && inner.get("description").is_some() { inner } else { pointed.unwrap_or(inner) };
    }
    node.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

const HEAD: &str = "# Configuration

Written by the code; a test fails when it differs. Renew it with `BLESS=1 cargo test -p flightdeck-config reference`.

## config.toml: how the program behaves

`flightdeck config path` says where it lies, `config init` writes one, `config check` reads it,
`config show` prints what is in force and where each value came from, `config schema` the JSON
schema. Layers: defaults < file < environment < flags. An unknown key is an error.

| Key | Default | Means | Environment |
|---|---|---|---|
";

const MIDDLE: &str = "
Folders: `FLIGHTDECK_CONFIG_DIR`, `FLIGHTDECK_DATA_DIR`, `FLIGHTDECK_STATE_DIR` and
`FLIGHTDECK_RUNTIME_DIR` replace those of the XDG base directories.

## flightdeck.toml: what runs

Every key there is:

```toml
";
