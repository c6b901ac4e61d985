//! Attributes of resources, spans and their moments, as OTLP's JSON has them. What is not known is left out.

use flightdeck_model::sanitize_line;
use serde::Serialize;
use serde_json::{Value, json};

/// Characters of a value: backends cut longer ones off, or refuse them.
const MOST: usize = 1000;

/// Keys and values, in order.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Attributes(Vec<Value>);

impl Attributes {
    /// Left out where it is empty.
    pub fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.push(key, &json!({"stringValue": short(value)}));
        }
    }

    pub fn flag(&mut self, key: &str, value: bool) {
        self.push(key, &json!({"boolValue": value}));
    }

    /// As a string, since 64 bits are too many for numbers in JSON.
    pub fn count(&mut self, key: &str, value: u64) {
        self.push(key, &json!({"intValue": value.to_string()}));
    }

    pub fn number(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.push(key, &json!({"doubleValue": value}));
        }
    }

    fn push(&mut self, key: &str, value: &Value) {
        self.0.push(json!({"key": key, "value": value}));
    }
}

/// What others wrote, on one line and not too long.
pub(super) fn short(text: &str) -> String {
    sanitize_line(text).chars().take(MOST).collect()
}
