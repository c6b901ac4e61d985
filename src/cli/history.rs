//! `get deployments` and `get dora`: finished rollouts, and what they add up to.

use super::Failure;
use super::get::{GetArgs, Row, at, value};
use super::output::{Cell, Tone, say};
use super::target::Rows;
use crate::board::dora::{self, Dora, Figure, Window};
use crate::model::time::span;
use crate::model::{DeploymentOutcome, RolloutRecord};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde_json::json;

/// Reads a length of time such as 7d or 36h; a day has 24 hours.
pub(super) fn length(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| format!("{error}"))?;
    if length <= SignedDuration::ZERO {
        Err("expected a length of time such as 7d or 36h".to_owned())
    } else {
        Ok(length)
    }
}

const fn tone(outcome: DeploymentOutcome) -> Tone {
    match outcome {
        DeploymentOutcome::Succeeded => Tone::Good,
        DeploymentOutcome::RolledBack => Tone::Warn,
        DeploymentOutcome::Aborted | DeploymentOutcome::Failed => Tone::Bad,
        DeploymentOutcome::Superseded => Tone::Plain,
    }
}

/// A finished rollout as a row.
pub(super) fn deployment(row: &RolloutRecord) -> Result<Row, Failure> {
    let from = row.from.as_ref().map(|from| format!("{from} → ")).unwrap_or_default();
    let then = row.called.as_ref().map(|called| format!(" ({called} then)")).unwrap_or_default();
    let cells = vec![
        at(row.ended).into(),
        format!("{}@{}{}", row.service, row.environment, then).into(),
        format!("{from}{}", row.to).into(),
        row.kind.word().into(),
        Cell { text: row.outcome.word().to_owned(), tone: tone(row.outcome) },
        span(row.ended.duration_since(row.started)).into(),
        row.rollback.map_or_else(|| "-".to_owned(), span).into(),
        row.who().as_ref().into(),
        row.cause.as_str().into(),
    ];
    Ok(Row { name: row.run.to_string(), json: value(row)?, cells })
}

/// Is it of what was asked for, and did it end lately enough?
pub(super) fn wanted(args: &GetArgs, now: Timestamp, row: &RolloutRecord) -> bool {
    let named = |name: &String| *name == row.service.0 || *name == row.run.to_string();
    let since = |length| row.ended >= Window::before(now, length).from;
    args.name.as_ref().is_none_or(named) && args.since.is_none_or(since)
}

/// The figures of each service in each environment.
pub(super) fn dora(rows: &Rows, args: &GetArgs, now: Timestamp) -> Result<Vec<Row>, Failure> {
    let length = args.since.unwrap_or(SignedDuration::from_hours(dora::DAYS * 24));
    let window = Window::before(now, length);
    let records: Vec<_> = rows.deployments().collect();
    let oldest = records.iter().map(|of| of.started).min();
    let places = dora::by_place(records.iter().copied(), window);
    let wanted = places.into_iter().filter(|((service, environment), _)| {
        args.name.as_ref().or(args.service.as_ref()).is_none_or(|name| *name == service.0)
            && args.environment.as_ref().is_none_or(|name| *name == environment.0)
    });
    let list: Result<Vec<_>, Failure> = wanted
        .map(|((service, environment), of)| {
            let then = dora::then(records.iter().copied(), &service, &environment);
            place((&service.0, &environment.0, &then), &of, window)
        })
        .collect();
    let list = list?;
    if !list.is_empty() {
        let begins = oldest.filter(|oldest| *oldest > window.from);
        let begins = begins.map(|oldest| format!("; what is known here begins at {}", at(oldest))).unwrap_or_default();
        say(&format!("what ended within {}, since {}{begins}", span(length), at(window.from)));
    }
    Ok(list)
}

fn place((service, environment, then): (&str, &str, &str), of: &Dora, window: Window) -> Result<Row, Failure> {
    let name = format!("{service}@{environment}");
    let mut cells = vec![Cell::from(format!("{name}{then}"))];
    cells.extend([
        cell(of.frequency, |per_day| format!("{per_day:.2}")),
        cell(of.lead_time, |spread| format!("{} / {}", span(spread.median), span(spread.p90))),
        cell(of.recovery, span),
        cell(of.fail_rate, percent),
        cell(of.rework_rate, percent),
        cell(of.rollback, span),
        cell(of.manual, percent),
        Cell::from(of.unknown.to_string()),
    ]);
    let mut json = value(of)?;
    if let serde_json::Value::Object(fields) = &mut json {
        fields.insert("service".to_owned(), json!(service));
        fields.insert("environment".to_owned(), json!(environment));
        fields.insert("from".to_owned(), json!(window.from));
        fields.insert("to".to_owned(), json!(window.to));
    }
    Ok(Row { name, json, cells })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A figure with its n; without data that is said, never 0.
fn cell<T>(figure: Figure<T>, words: impl Fn(T) -> String) -> Cell {
    match figure.value {
        Some(value) => Cell::from(format!("{} (n {})", words(value), figure.n)),
        None if figure.n > 0 => Cell { text: format!("too few (n {})", figure.n), tone: Tone::Dim },
        None => Cell { text: "no data".to_owned(), tone: Tone::Dim },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_with_days_and_written_in_two_units() {
        for (text, seconds, words) in [
            ("7d", 604_800, "7 d"),
            ("36h", 129_600, "36 h"),
            ("1w 2d", 777_600, "9 d"),
            ("90m", 5400, "1 h 30 m"),
            ("125s", 125, "2 m 5 s"),
            ("3s", 3, "3 s"),
        ] {
            let read = length(text).unwrap();
            assert_eq!((read.as_secs(), span(read).as_str()), (seconds, words), "{text}");
        }
        assert_eq!(span(SignedDuration::from_millis(420)), "420 ms");
        for text in ["", "7", "-3d", "0s", "soon", "1mo"] {
            assert!(length(text).is_err(), "{text}");
        }
    }
}
