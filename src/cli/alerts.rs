//! `get alerts`: what fires, and which rollouts it concerns.

use super::Failure;
use super::get::{GetArgs, Row, at, of, value};
use super::output::{Cell, Tone};
use super::silence::board_of;
use super::target::{Names, Rows};
use crate::board::Board;
use crate::model::{Alert, AlertSeverity, AlertState, Rollout};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An alert within its source.
type Key<'a> = (&'a str, &'a str);

pub(super) fn rows(rows: &Rows, args: &GetArgs) -> Result<Vec<Row>, Failure> {
    let (board, names) = (board_of(rows), Names::of(rows));
    let mut concerned: BTreeMap<Key<'_>, Vec<&Rollout>> = BTreeMap::new();
    for rollout in board.rollouts() {
        for alert in board.alerts_of(rollout) {
            concerned.entry((alert.source.as_str(), &alert.fingerprint)).or_default().push(rollout);
        }
    }
    let filtered = args.service.is_some() || args.environment.is_some();
    let mut all: Vec<&Arc<Alert>> = board.shared_alerts().collect();
    all.sort_by_key(|alert| (!alert.is_firing(), alert.severity, alert.since));
    let mut list = Vec::new();
    for alert in all {
        let of_it = concerned.remove(&(alert.source.as_str(), alert.fingerprint.as_str())).unwrap_or_default();
        let meant = |row: &&Rollout| of(args, &row.service.0, &row.environment.0);
        let wanted = args.name.as_ref().is_none_or(|name| *name == alert.fingerprint || *name == alert.name);
        if !wanted || (filtered && !of_it.iter().any(meant)) {
            continue;
        }
        let of_it: Vec<String> = of_it.into_iter().map(|row| names.name(row)).collect();
        list.push(row(&board, alert, &of_it)?);
    }
    Ok(list)
}

fn row(board: &Board, alert: &Alert, concerns: &[String]) -> Result<Row, Failure> {
    let silence = board.silenced_until(alert);
    let state = match (&alert.state, silence) {
        (AlertState::Silenced { .. }, Some(silence)) => {
            format!("silenced until {} by {}", at(silence.until), silence.owner)
        }
        (state, _) => state.word().to_owned(),
    };
    let tone = match (alert.is_firing(), alert.severity) {
        (true, AlertSeverity::Critical) => Tone::Bad,
        (true, _) => Tone::Warn,
        (false, _) => Tone::Plain,
    };
    let concerned = if concerns.is_empty() { "nothing here".to_owned() } else { concerns.join(", ") };
    let cells = vec![
        alert.fingerprint.as_str().into(),
        alert.name.as_str().into(),
        Cell { text: alert.severity.word().to_owned(), tone },
        state.into(),
        concerned.into(),
        at(alert.since).into(),
        alert.summary.as_str().into(),
    ];
    let mut json = value(alert)?;
    if let Value::Object(fields) = &mut json {
        fields.insert("concerns".to_owned(), json!(concerns));
        fields.insert("silence".to_owned(), silence.map_or(Ok(Value::Null), value)?);
    }
    Ok(Row { name: alert.fingerprint.clone(), json, cells })
}
