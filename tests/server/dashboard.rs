//! The dashboard that comes with the program asks for what the server tells, and for nothing else.

use serde_json::Value;
use std::collections::BTreeSet;

const DASHBOARD: &str = include_str!("../../config/grafana/flightdeck.json");
/// What renders `/metrics`.
const SERVER: &str = include_str!("../../src/server/metrics.rs");

/// The text between the first two quotes.
fn literal(text: &str) -> Option<&str> {
    text.split('"').nth(1)
}

/// The names of all series that are told, by the families that are begun: `family(name, kind, help)`.
fn told() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, begun) in SERVER.match_indices(".family(") {
        let (name, rest) = SERVER[at + begun.len()..].split_once(',').expect("a name, then a kind");
        let bound = SERVER[..at].rsplit_once("let name = ").map(|(_, bound)| bound);
        let name = literal(name).or_else(|| literal(bound?)).expect("a name");
        match literal(rest) {
            Some("histogram") => names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}"))),
            Some("counter" | "gauge") => drop(names.insert(name.to_owned())),
            kind => panic!("{name}: {kind:?} is no kind"),
        }
    }
    names
}

/// Words that begin as our series do, wherever they stand.
fn asked(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
            names.extend(words.filter(|word| word.starts_with("flightdeck_")).map(str::to_owned));
        }
        Value::Array(all) => all.iter().for_each(|value| asked(value, names)),
        Value::Object(all) => all.values().for_each(|value| asked(value, names)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_the_server_tells() {
    let mut names = BTreeSet::new();
    asked(&serde_json::from_str(DASHBOARD).unwrap(), &mut names);
    assert!(!names.is_empty());
    let unknown: Vec<_> = names.difference(&told()).cloned().collect();
    assert!(unknown.is_empty(), "nobody tells {unknown:?}");
}
