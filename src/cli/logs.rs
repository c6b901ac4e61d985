//! `logs`: what instances and hooks wrote, those that have ended included.

use super::output::{Format, print_lines};
use super::target::{self, Rows};
use super::{Context, Failure, complete, get, unexpected};
use crate::client::Client;
use crate::model::{Entity, Output, OutputOf, Query, Reply, sanitize_line};
use clap::Args;
use futures::StreamExt as _;
use serde::Serialize;
use std::cmp::Reverse;

/// Options of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// An instance (`get instances` lists them), or a TARGET such as shop@production: what failed in its newest
    /// rollout first, then what runs; where nothing runs, what failed last.
    #[arg(value_name = "INSTANCE|TARGET", add = complete::rollouts(None))]
    pub what: String,
    /// Of a TARGET, all that this rollout started, ended or not, such as r-4 (`get deployments` lists them).
    #[arg(long, value_name = "ROLLOUT")]
    pub rollout: Option<String>,
    /// Of a TARGET, the newest instance that has ended.
    #[arg(long, conflicts_with_all = ["rollout", "hook", "follow"])]
    pub previous: bool,
    /// Of a TARGET, only runs of this hook, migration or job, newest first.
    #[arg(long, value_name = "NAME")]
    pub hook: Option<String>,
    /// Go on with each new line.
    #[arg(short, long)]
    pub follow: bool,
    /// At most so many of the last lines, of each.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    pub lines: u32,
}

/// What a script gets of each.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    output: Output,
    lines: Vec<String>,
}

/// Prints them.
pub(super) async fn run(context: &Context, args: &LogsArgs) -> Result<(), Failure> {
    let client = context.client()?;
    let chosen = chosen(&client, args).await?;
    let Some(outputs) = chosen else {
        if args.follow {
            return follow(&client, &args.what, args.lines).await;
        }
        return print_lines(&lines(&client, &args.what, args.lines).await?);
    };
    if args.follow {
        let [output] = outputs.as_slice() else {
            let ids: Vec<_> = outputs.iter().map(|output| output.id.as_str()).collect();
            return Err(Failure::usage(format!("{} are to be followed, and only one can be", outputs.len()))
                .todo(format!("name one of {}", ids.join(", "))));
        };
        print_lines(&[head(output)])?;
        return follow(&client, &output.id, args.lines).await;
    }
    let mut told = Vec::new();
    for output in outputs {
        let lines = lines(&client, &output.id, args.lines).await?;
        told.push(Told { output, lines });
    }
    match context.output.format {
        Format::Name => print_lines(&told.iter().map(|of| of.output.id.as_str()).collect::<Vec<_>>()),
        Format::Json | Format::Yaml => context.output.document(&told),
        Format::Table => {
            for (number, Told { output, lines }) in told.iter().enumerate() {
                if number > 0 {
                    print_lines(&[""])?;
                }
                print_lines(&[head(output)])?;
                print_lines(lines)?;
            }
            Ok(())
        }
    }
}

async fn lines(client: &Client, id: &str, lines: u32) -> Result<Vec<String>, Failure> {
    match client.query(Query::Logs { instance: id.to_owned(), lines }).await? {
        Reply::Lines(lines) => Ok(lines.lines.iter().map(|line| sanitize_line(line)).collect()),
        other => Err(unexpected(&other)),
    }
}

async fn follow(client: &Client, id: &str, lines: u32) -> Result<(), Failure> {
    let mut lines = client.follow_log(id, lines).await?;
    while let Some(line) = lines.next().await {
        print_lines(&[sanitize_line(&line?)])?;
    }
    Ok(())
}

/// Whose output is meant; `None`: that of the instance that was named.
async fn chosen(client: &Client, args: &LogsArgs) -> Result<Option<Vec<Output>>, Failure> {
    let of_target = args.rollout.is_some() || args.previous || args.hook.is_some();
    let entities = match client.query(Query::Current).await? {
        Reply::Board(entities) => entities,
        other => return Err(unexpected(&other)),
    };
    let is_instance = entities.iter().any(|row| matches!(row, Entity::Instance(row) if row.id == args.what));
    if is_instance && !of_target {
        return Ok(None);
    }
    let rows = Rows { entities, ..Rows::default() };
    let (service, environment) = match target::rollout(&rows, &args.what) {
        Ok(row) => (row.service.clone(), row.environment.clone()),
        // One that has ended has no row any more.
        Err(_) if !of_target && !args.what.contains(['@', '/']) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let name = format!("{service}@{environment}");
    let all = match client.query(Query::Outputs { service, environment }).await? {
        Reply::Outputs(outputs) => outputs,
        other => return Err(unexpected(&other)),
    };
    let known: Vec<_> = all.iter().filter_map(|output| output.revision.clone()).collect();
    let outputs = choose(all, args);
    if outputs.is_empty() {
        let failure = Failure::failed(format!("no output of that is kept of {name}"));
        return Err(match known.first() {
            Some(newest) => failure.todo(format!("output is kept of these rollouts: {}", unique(&known, newest))),
            None => failure,
        });
    }
    Ok(Some(outputs))
}

fn unique(known: &[String], newest: &str) -> String {
    let mut names = vec![newest];
    names.extend(known.iter().map(String::as_str).filter(|name| *name != newest));
    names.dedup();
    names.join(", ")
}

/// What failed first, then the newest.
fn choose(mut outputs: Vec<Output>, args: &LogsArgs) -> Vec<Output> {
    let is_instance = |output: &Output| output.of == OutputOf::Instance;
    if args.previous {
        outputs.retain(|output| is_instance(output) && output.ended.is_some());
        outputs.truncate(1);
        return outputs;
    }
    if let Some(hook) = &args.hook {
        outputs.retain(|output| matches!(&output.of, OutputOf::Hook { name } if name == hook));
    }
    if let Some(rollout) = &args.rollout {
        outputs.retain(|output| output.revision.as_ref() == Some(rollout));
    }
    if args.hook.is_none() && args.rollout.is_none() {
        let runs = |output: &Output| is_instance(output) && output.ended.is_none();
        let newest = if outputs.iter().any(runs) {
            // What was run beside a rollout is of none.
            outputs.iter().find_map(|output| output.revision.clone())
        } else {
            outputs.iter().find(|output| output.failed).and_then(|output| output.revision.clone())
        };
        outputs.retain(|output| runs(output) || (output.failed && output.revision == newest));
    }
    outputs.sort_by_key(|output| (!output.failed, Reverse(output.started)));
    outputs
}

/// Whose output follows, and how it ended.
fn head(output: &Output) -> String {
    let what = match &output.of {
        OutputOf::Instance => output.id.clone(),
        OutputOf::Hook { name } => format!("hook {name} ({})", output.id),
        OutputOf::OneOff => format!("command {}", output.id),
    };
    let rollout = output.revision.as_ref().map(|revision| format!(", rollout {revision}")).unwrap_or_default();
    let how = match (&output.how, output.ended) {
        (Some(how), Some(ended)) => format!("{how}, at {}", get::at(ended)),
        (None, Some(ended)) => format!("ended at {}", get::at(ended)),
        (Some(how), None) => format!("it runs: {how}"),
        (None, None) => "it runs".to_owned(),
    };
    sanitize_line(&format!(
        "==> {what}, version {}{rollout}, started {}: {how} <==",
        output.version,
        get::at(output.started)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn output(id: &str, revision: &str, started: i64, ended: bool, failed: bool) -> Output {
        let hook = id.strip_prefix("job-").map(|name| OutputOf::Hook { name: name.to_owned() });
        Output {
            id: id.to_owned(),
            of: hook.unwrap_or(OutputOf::Instance),
            service: "shop".into(),
            environment: "production".into(),
            version: "1.0".into(),
            revision: Some(revision.to_owned()),
            started: Timestamp::from_second(started).unwrap(),
            ended: ended.then(|| Timestamp::from_second(started + 1).unwrap()),
            how: None,
            failed,
        }
    }

    fn args() -> LogsArgs {
        let what = "shop@production".to_owned();
        LogsArgs { what, rollout: None, previous: false, hook: None, follow: false, lines: 9 }
    }

    #[test]
    fn what_failed_comes_first_and_options_narrow_it() {
        let newest_first = |mut all: Vec<Output>| {
            all.sort_by_key(|output| Reverse(output.started));
            all
        };
        let up = newest_first(vec![
            output("old", "r-1", 1, true, true),
            output("a", "r-2", 2, false, false),
            output("job-smoke", "r-3", 3, true, true),
            output("b", "r-3", 4, true, true),
            output("c", "r-3", 5, false, false),
        ]);
        let mut down = up.clone();
        for output in &mut down {
            output.ended = Some(output.started);
        }
        down.insert(0, output("job-other", "r-4", 6, true, false));
        // What was run beside rollouts is of none of them.
        let mut beside = up.clone();
        beside.insert(0, Output { revision: None, ..output("job-cleanup", "", 7, true, true) });
        let hook = |name: &str| LogsArgs { hook: Some(name.to_owned()), ..args() };
        let rollout = |name: &str| LogsArgs { rollout: Some(name.to_owned()), ..args() };
        for (all, args, expected) in [
            (&up, args(), "b job-smoke c a"),
            (&down, args(), "b job-smoke"),
            (&beside, args(), "b job-smoke c a"),
            (&beside, hook("cleanup"), "job-cleanup"),
            (&up, rollout("r-3"), "b job-smoke c"),
            (&up, rollout("r-1"), "old"),
            (&up, rollout("r-9"), ""),
            (&up, hook("smoke"), "job-smoke"),
            (&up, LogsArgs { previous: true, ..args() }, "b"),
        ] {
            let ids: Vec<_> = choose(all.clone(), &args).into_iter().map(|output| output.id).collect();
            assert_eq!(ids.join(" "), expected, "{args:?}");
        }
    }
}
