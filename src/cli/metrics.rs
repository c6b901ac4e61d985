//! `metrics`: whoever has numbers of rollouts, and what each of its questions finds.

use super::links::{Links, Need, now};
use super::output::{Cell, Table, Tone, print, say};
use super::sources::{self, Planned};
use super::{Code, Context, Failure, Format};
use crate::model::{ArmRole, Rollout, SourceId, sanitize_line};
use crate::port::{Found, ProbeError, ProbeReport, QueryReport, RowReport, Unmeasured};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Options of `metrics`.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MetricsCommand,
}

/// What can be done with metrics.
#[derive(Debug, Subcommand)]
pub enum MetricsCommand {
    /// Ask each question once and say what it found, and which rollouts have no numbers and why.
    Check {
        /// A source of the settings that measures; else all of them.
        #[arg(value_name = "SOURCE")]
        source: Option<String>,
    },
}

/// A source and its report.
type Reported = (SourceId, Result<ProbeReport, String>);

/// Carries it out.
pub(super) async fn run(context: &Context, args: &MetricsArgs) -> Result<(), Failure> {
    let MetricsCommand::Check { source } = &args.command;
    let planned = measuring(context, source.as_deref())?;
    let (rows, unseen) = rows(context).await?;
    let mut reports = Vec::new();
    for one in planned {
        let report = match one.probe().await {
            Ok(probe) => Ok(probe.explain(&rows, now()).await),
            Err(why) => Err(why),
        };
        reports.push((one.source().clone(), report));
    }
    tell(context, &reports)?;
    match verdict(&reports) {
        Ok(()) => unseen.map_or(Ok(()), Err),
        Err(failure) => Err(failure),
    }
}

/// The sources that measure: one, where one is meant.
fn measuring(context: &Context, wanted: Option<&str>) -> Result<Vec<Planned>, Failure> {
    let mut planned = sources::measuring(context)?;
    let known: Vec<String> = planned.iter().map(|planned| planned.source().to_string()).collect();
    if let Some(wanted) = wanted {
        planned.retain(|planned| planned.source().as_str() == wanted);
    }
    if planned.is_empty() {
        let settings = context.paths.settings();
        let what = wanted.map_or_else(
            || format!("no source in {} measures rollouts", settings.display()),
            |wanted| format!("there is no source {wanted:?} that measures in {}", settings.display()),
        );
        let todo = match known.as_slice() {
            [] => "docs/metrics.md says how one is named".to_owned(),
            known => format!("there are: {}", known.join(", ")),
        };
        return Err(Failure::usage(what).todo(todo));
    }
    Ok(planned)
}

/// The rollouts that there are, and what of them could not be seen.
async fn rows(context: &Context) -> Result<(Vec<Arc<Rollout>>, Option<Failure>), Failure> {
    let links = match Links::showing(context).await {
        Ok(links) => links,
        // Whether questions are answered can be said all the same.
        Err(failure) if failure.code == Code::Unreachable => {
            let partial = Failure { code: Code::Partial, ..failure };
            return Ok((Vec::new(), Some(partial)));
        }
        Err(failure) => return Err(failure),
    };
    let told = links.rows(Need::All).await;
    links.close().await;
    let told = told?;
    let rows = told.rollouts().map(|row| Arc::new(row.clone())).collect();
    let unseen = told.whole().err().map(|failure| Failure { code: Code::Partial, ..failure });
    Ok((rows, unseen))
}

/// All good, or the exit code and what is not.
fn verdict(reports: &[Reported]) -> Result<(), Failure> {
    let lost = |(_, report): &Reported| match report {
        Err(_) => true,
        Ok(report) => report.queries.iter().all(|query| matches!(query.found, Err(ProbeError::Unreachable { .. }))),
    };
    if reports.iter().all(lost) {
        return Err(Failure::new(Code::Unreachable, "no question was answered"));
    }
    let bad: Vec<&str> =
        reports.iter().filter(|reported| !is_good(reported)).map(|(source, _)| source.as_str()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Code::Partial, format!("not all is known: {}", bad.join(", "))).todo("docs/metrics.md"))
}

fn is_good((_, report): &Reported) -> bool {
    let Ok(report) = report else { return false };
    let answered = |query: &QueryReport| query.found.as_ref().is_ok_and(|found| found.warnings.is_empty());
    let found = report.queries.first().is_some_and(|query| query.found.as_ref().is_ok_and(|found| found.series > 0));
    found && report.queries.iter().all(answered) && report.rows.iter().all(|row| row.without.is_empty())
}

fn tell(context: &Context, reports: &[Reported]) -> Result<(), Failure> {
    if context.output.format != Format::Table {
        return context.output.document(&reports.iter().map(document).collect::<Vec<_>>());
    }
    for (source, report) in reports {
        match report {
            Err(why) => say(&format!("{source}: {why}")),
            Ok(report) => {
                print(&format!("{source}: sides are told apart by {}\n", sanitize_line(&report.told_apart_by)))?;
                print(&context.output.columns(&queries(report, now())))?;
                if !report.rows.is_empty() {
                    print("\n")?;
                    print(&context.output.columns(&table_of_rows(&report.rows)))?;
                }
            }
        }
    }
    Ok(())
}

fn cell(text: impl Into<String>, tone: Tone) -> Cell {
    Cell { text: text.into(), tone }
}

fn queries(report: &ProbeReport, now: Timestamp) -> Table {
    let rows = report.queries.iter().map(|query| {
        let (series, newest, came) = match &query.found {
            Err(error) => ("-".to_owned(), "-".to_owned(), cell(error.to_string(), Tone::Bad)),
            Ok(Found { series, newest, warnings }) => {
                let age = newest.map_or_else(|| "-".to_owned(), |newest| age(newest, now));
                let came = match warnings.first() {
                    Some(warning) => cell(warning.clone(), Tone::Warn),
                    None if *series == 0 => cell("nothing", Tone::Warn),
                    None => cell("ok", Tone::Good),
                };
                (series.to_string(), age, came)
            }
        };
        vec![query.metric.as_str().into(), series.into(), newest.into(), came, query.query.as_str().into()]
    });
    Table { heads: &["QUESTION", "SERIES", "NEWEST", "CAME", "QUERY"], rows: rows.collect() }
}

/// How long ago, by a clock that may be another.
fn age(newest: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(newest).as_secs();
    if seconds < 0 { format!("{} s ahead", -seconds) } else { format!("{seconds} s ago") }
}

fn table_of_rows(rows: &[RowReport]) -> Table {
    let roles = |roles: &[ArmRole]| match roles {
        [] => "-".to_owned(),
        roles => roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let rows = rows.iter().map(|row| {
        let why = row.why.iter().map(|(_, sentence)| sentence.as_str()).collect::<Vec<_>>().join("; ");
        let tone = if row.without.is_empty() { Tone::Plain } else { Tone::Warn };
        let name = row
            .target
            .namespace
            .as_ref()
            .map_or_else(|| row.target.name.clone(), |namespace| format!("{namespace}/{}", row.target.name));
        vec![name.into(), roles(&row.measured).into(), cell(roles(&row.without), tone), why.into()]
    });
    Table { heads: &["ROLLOUT", "MEASURED", "WITHOUT", "WHY"], rows: rows.collect() }
}

fn document((source, report): &Reported) -> Value {
    let report = match report {
        Err(why) => return json!({ "source": source, "error": why }),
        Ok(report) => report,
    };
    let query = |query: &QueryReport| match &query.found {
        Ok(found) => json!({
            "metric": query.metric, "query": query.query, "series": found.series, "newest": found.newest,
            "warnings": found.warnings,
        }),
        Err(error) => json!({
            "metric": query.metric, "query": query.query, "error": error.to_string(),
            "answered": matches!(error, ProbeError::Refused { .. }),
        }),
    };
    let why = |(why, sentence): &(Unmeasured, String)| json!({ "reason": word(*why), "sentence": sentence });
    let row = |row: &RowReport| {
        json!({
            "target": row.target, "measured": row.measured, "without": row.without,
            "why": row.why.iter().map(why).collect::<Vec<_>>(),
        })
    };
    json!({
        "source": source, "told_apart_by": report.told_apart_by,
        "queries": report.queries.iter().map(query).collect::<Vec<_>>(),
        "rows": report.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

const fn word(why: Unmeasured) -> &'static str {
    match why {
        Unmeasured::NoSeries => "no_series",
        Unmeasured::NoStatus => "no_status",
        Unmeasured::NotToldApart => "not_told_apart",
        Unmeasured::Contested => "contested",
    }
}
