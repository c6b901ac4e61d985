//! What there is to set, from the code: the reference, the schema, the first file.

use super::Settings;
use super::layers::{leaves, variable};
use serde_json::Value;
use std::fmt::Write as _;

/// What `flightdeck config init` writes: every setting with its default, commented out.
pub const TEMPLATE: &str = include_str!("../../../config/config.toml");

/// JSON schema of `config.toml`.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

/// `docs/config.md`.
#[must_use]
pub fn reference() -> String {
    let schema = schema();
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
    out.push_str(MIDDLE);
    out.push_str(include_str!("../../../config/flightdeck.toml"));
    out.push_str("```\n");
    out
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

Written by the code; a test fails when it differs. Renew it with `BLESS=1 cargo test --lib reference`.

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
