//! The lines of the protocol, one JSON object each; docs/exec.md is its description.

use flightdeck_control::Authorized;
use flightdeck_model::{
    ActionSet, Body, CommandId, Detail, Fact, Refusal, Rollout, Run, SourceId, Stage, Target, sanitize, sanitize_line,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Version of the lines; a program that speaks a newer one is refused.
pub const EXEC_WIRE: u32 = 1;

/// A line to the program.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub(super) enum ToProgram<'a> {
    /// The first line.
    Hello {
        wire: u32,
        source: &'a SourceId,
        read_only: bool,
        /// For the contract suite only: a folder that outlives the program.
        #[serde(skip_serializing_if = "Option::is_none")]
        scratch: Option<PathBuf>,
    },
    /// Tell everything anew: a line could not be read.
    Snapshot,
    Execute {
        id: u64,
        #[serde(flatten)]
        authorized: &'a Authorized,
        /// The pin's facts, as they stand in a row's `facts`.
        pinned: &'a BTreeMap<Fact, String>,
    },
    Read {
        id: u64,
        run: &'a Run,
    },
    Inspect {
        id: u64,
        run: &'a Run,
    },
    /// Bring about a situation of the contract suite.
    Contract {
        id: u64,
        situation: &'a str,
    },
}

impl ToProgram<'_> {
    /// The line, its end included.
    pub fn line(&self) -> Result<Vec<u8>, String> {
        let mut line = serde_json::to_vec(self).map_err(|error| format!("cannot write it down: {error}"))?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A line from the program.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub(super) enum FromProgram {
    Hello(Hello),
    Update(Box<Body>),
    Stage { command: CommandId, stage: Stage },
    Reply { id: u64, outcome: Outcome },
}

/// What the program says first.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    /// All that it can do at all.
    pub actions: ActionSet,
}

/// The answer to a line with an id.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub(super) enum Outcome {
    /// To `execute`: yes.
    Accepted {
        #[serde(default)]
        note: Option<String>,
    },
    /// To `execute`: no, nothing changed.
    Refused(Refusal),
    /// To `execute`: it never reached the platform, nothing changed.
    NotSent { why: String },
    /// To `execute`: the platform's answer was lost.
    Unknown { why: String },
    /// To `read`.
    Rollout(Box<Rollout>),
    /// To `inspect`.
    Detail(Box<Detail>),
    /// To `read` and `inspect`: there is no such run.
    NotFound,
    /// To `read` and `inspect`: the platform can't be reached.
    Unreachable { why: String },
    /// To `contract`: it is so, with this workload.
    Ready { target: Target },
    /// To `contract`: it can't be brought about here.
    Cannot { why: String },
}

/// Why a line is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("speaks version {0} of the protocol, this flightdeck knows up to {EXEC_WIRE}: update flightdeck")]
    Newer(u64),
    #[error("{0}")]
    Unreadable(String),
}

/// Reads one line; every text in it is made harmless.
pub(super) fn parse(line: &[u8]) -> Result<FromProgram, LineError> {
    let unreadable = |why: String| LineError::Unreadable(why);
    let mut value: Value = serde_json::from_slice(line).map_err(|error| unreadable(format!("no JSON: {error}")))?;
    if value.get("type").and_then(Value::as_str) == Some("hello") {
        let wire = value.pointer("/data/wire").and_then(Value::as_u64);
        let wire = wire.ok_or_else(|| unreadable("its hello names no wire version".to_owned()))?;
        if wire > u64::from(EXEC_WIRE) {
            return Err(LineError::Newer(wire));
        }
    }
    clean(&mut value, false);
    if let Some(detail) = value.pointer_mut("/data/outcome").and_then(detail_of) {
        for list in ["instances", "notes", "evidence", "receipts"] {
            detail.entry(list).or_insert_with(|| Value::Array(Vec::new()));
        }
        detail.entry("raw").or_insert(Value::Null);
    }
    let read = serde_json::from_value(value);
    read.map_err(|error| unreadable(format!("not of this protocol: {}", sanitize_line(&error.to_string()))))
}

fn detail_of(outcome: &mut Value) -> Option<&mut Map<String, Value>> {
    let is_detail = outcome.get("type").and_then(Value::as_str) == Some("detail");
    outcome.get_mut("data").filter(|_| is_detail)?.as_object_mut()
}

/// Sanitises every text; the backend's own object keeps its line feeds.
fn clean(value: &mut Value, lines: bool) {
    let harmless = |text: &str| if lines { sanitize(text) } else { sanitize_line(text) };
    match value {
        Value::String(text) => *text = harmless(text),
        Value::Array(values) => values.iter_mut().for_each(|value| clean(value, lines)),
        Value::Object(map) => {
            let entries = std::mem::take(map);
            for (key, mut value) in entries {
                clean(&mut value, lines || key == "raw");
                map.insert(sanitize_line(&key), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_of_the_protocol_says_why() {
        for (line, expected) in [
            ("nonsense", "no JSON: expected"),
            ("{\"type\":\"hello\",\"data\":{\"actions\":[]}}", "its hello names no wire version"),
            ("{\"type\":\"hello\",\"data\":{\"wire\":2,\"new\":1}}", "speaks version 2 of the protocol"),
            ("{\"type\":\"hello\",\"data\":{\"wire\":1,\"actions\":[\"fly\"]}}", "unknown variant `fly`"),
            ("{\"type\":\"dance\"}", "unknown variant `dance`"),
            ("[]", "not of this protocol"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn every_text_is_made_harmless_and_a_raw_object_keeps_its_lines() {
        let line = br#"{"type":"stage","data":{"command":"c-1\u001b[2J","stage":{"type":"failed","data":{"why":"a\nb\u202e"}}}}"#;
        let FromProgram::Stage { command, stage } = parse(line).unwrap() else { panic!("a stage") };
        assert_eq!(command.as_str(), "c-1\u{fffd}[2J");
        assert_eq!(stage, Stage::Failed { why: "a b\u{fffd}".into() });
        let mut value = serde_json::json!({"raw": {"a\nb": "c\nd\u{1b}"}});
        clean(&mut value, false);
        assert_eq!(value, serde_json::json!({"raw": {"a b": "c\nd\u{fffd}"}}));
    }
}
