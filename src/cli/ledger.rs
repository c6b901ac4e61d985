//! `ledger`: the record of what was done.

use super::get::at;
use super::output::{Cell, Format, Table, Tone, print, print_lines, say};
use super::serve::ledger_dir;
use super::{Code, Context, Failure, act, unexpected};
use crate::client::ClientError;
use crate::ledger::{self, Against, Entry, Kind, Ledger, Record, Witness};
use crate::model::{LogLines, Query, Reply, RolloutRecord, Stage, counted, escape_hidden, sanitize_line};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Options of `ledger`.
#[derive(Debug, Args)]
pub struct LedgerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LedgerCommand,
}

/// What can be done with the ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Show the newest records.
    Show {
        /// At most so many.
        #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
        lines: u32,
        /// Show the public key of its checkpoints instead; keep it elsewhere.
        #[arg(long)]
        key: bool,
    },
    /// Check hashes, checkpoints and their signatures; names what does not fit.
    Verify {
        /// Compare with an export, or a checkpoint, that was kept elsewhere.
        #[arg(long, value_name = "FILE")]
        witness: Option<PathBuf>,
        /// The public key that was kept elsewhere; else the one beside the ledger.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Write all records as JSON lines, oldest first, and a signed checkpoint as the last line.
    ///
    /// Keep the file on another machine: it is what `verify --witness` compares with.
    Export {
        /// Into this new file instead of stdout.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The same.
        #[arg(long = "file", value_name = "FILE", hide = true, conflicts_with = "file")]
        named: Option<PathBuf>,
    },
}

/// Carries it out.
pub(super) async fn run(context: &Context, args: &LedgerArgs) -> Result<(), Failure> {
    let query = query(&args.command)?;
    let lines = match context.client()?.query(query.clone()).await {
        Ok(Reply::Lines(LogLines { lines })) => lines,
        // A broken chain is a finding and no wrong usage, whatever kind of refusal it comes as.
        Ok(Reply::Refused(refusal)) => return Err(Failure::failed(refusal.why)),
        Ok(other) => return Err(unexpected(&other)),
        // The record must be readable when everything else is down.
        Err(error @ ClientError::NoServer { .. }) => offline(context, query, error).await?,
        Err(error) => return Err(error.into()),
    };
    match &args.command {
        LedgerCommand::Export { file, named } => match file.as_deref().or(named.as_deref()) {
            Some(file) => write(file, &lines),
            // A terminal may be behind it: what is hidden is escaped, which means the same in JSON.
            None => print_lines(&lines.iter().map(|line| escape_hidden(line)).collect::<Vec<_>>()),
        },
        LedgerCommand::Show { key: false, .. } if matches!(context.output.format, Format::Json | Format::Yaml) => {
            let records: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            context.output.document(&records)
        }
        LedgerCommand::Show { key: false, .. } if context.output.format == Format::Table => {
            let rows = lines.iter().map(|line| row(line)).collect();
            print(&context.output.columns(&Table { heads: &["SEQ", "WHEN", "WHO", "WHAT"], rows }))
        }
        LedgerCommand::Verify { .. } | LedgerCommand::Show { .. } => {
            print_lines(&lines.iter().map(|line| sanitize_line(line)).collect::<Vec<_>>())
        }
    }
}

/// A record for people; `-o json` has all of it.
fn row(line: &str) -> Vec<Cell> {
    let Ok(record) = serde_json::from_str::<Record>(line) else {
        return vec!["?".into(), "".into(), "".into(), format!("no record that can be read: {line}").into()];
    };
    let (who, what, tone) = record.entry().map_or_else(
        || (String::new(), format!("a record of kind {} that can't be read", record.kind.word()), Tone::Bad),
        |entry| words(&entry),
    );
    let what = if record.kind == Kind::Spilled { format!("spilled: {what}") } else { what };
    vec![record.seq.to_string().into(), at(record.at).into(), who.into(), Cell { text: what, tone }]
}

/// Who, what, and how that is meant.
fn words(entry: &Entry) -> (String, String, Tone) {
    let told = |who: &str, what: String, tone| (who.to_owned(), what, tone);
    match entry {
        Entry::Requested { receipt, .. } => {
            let command = &receipt.command;
            let reason = command.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
            let what = format!("{} {}{reason} ({})", command.action.name(), act::object(&command.subject), receipt.id);
            told(&receipt.actor.name, what, Tone::Plain)
        }
        Entry::Refused { receipt, refusal } => {
            let what = format!("{} refused: {}", receipt.command.action.name(), refusal.why);
            told(&receipt.actor.name, what, Tone::Warn)
        }
        Entry::RefusedBriefly { who, action, why, .. } => {
            told(who, format!("{} refused: {why}", action.name()), Tone::Warn)
        }
        Entry::RefusedMore { who, count, until, .. } => {
            told(who, format!("{} refused, the last at {}", counted(*count, "more command"), at(*until)), Tone::Warn)
        }
        Entry::Stage { receipt, stage, .. } => {
            let detail = stage.stage.detail().map_or(String::new(), |detail| format!(": {detail}"));
            let tone = match &stage.stage {
                Stage::Effective { .. } => Tone::Good,
                stage if stage.is_final() => Tone::Bad,
                _ => Tone::Plain,
            };
            told("", format!("{receipt} {}{detail}", stage.stage.word()), tone)
        }
        Entry::Evidence(evidence) => told("analysis", evidence.summary.clone(), Tone::Plain),
        Entry::Observed { deployment, .. } => {
            let RolloutRecord { service, environment, to, outcome, cause, .. } = &**deployment;
            told(&deployment.who(), format!("{service}@{environment} {to} {}: {cause}", outcome.word()), Tone::Plain)
        }
        Entry::Hold(hold) => {
            told(&hold.owner, format!("hold {} of {} is in force", hold.id, hold.selector), Tone::Plain)
        }
        Entry::Started { version, .. } => told("", format!("flightdeck {version} started"), Tone::Plain),
    }
}

fn query(command: &LedgerCommand) -> Result<Query, Failure> {
    Ok(match command {
        LedgerCommand::Show { key: true, .. } => Query::LedgerKey,
        LedgerCommand::Show { lines, .. } => Query::Ledger { limit: *lines },
        LedgerCommand::Verify { witness: None, key: None } => Query::VerifyLedger,
        LedgerCommand::Verify { witness, key } => {
            let witness = witness.as_deref().map(read).transpose()?;
            Query::VerifyLedgerAgainst { witness: witness.map(|witness| witness.note), key: key.clone() }
        }
        LedgerCommand::Export { .. } => Query::ExportLedger,
    })
}

/// The copy, checked by itself before anything is compared with it.
fn read(file: &Path) -> Result<Witness, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    Witness::read(&text).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))
}

/// Never over another file: a copy that is kept is what a later ledger is compared with.
fn write(file: &Path, lines: &[String]) -> Result<(), Failure> {
    let write = || {
        let file = crate::platform::files::options().write(true).create_new(true).open(file)?;
        let mut out = std::io::BufWriter::new(file);
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    };
    write().map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::failed(format!("{} is there already; it is left as it is", file.display()))
        }
        _ => Failure::failed(format!("cannot write {}: {error}", file.display())),
    })?;
    let records = lines.iter().filter(|line| line.starts_with("{\"seq\"")).count();
    let signed = if records < lines.len() { ", signed" } else { ", without a checkpoint" };
    say(&format!("wrote {}{signed} to {}; keep it on another machine", counted(records, "record"), file.display()));
    Ok(())
}

/// Reads the files themselves, if this machine has them.
async fn offline(context: &Context, query: Query, error: ClientError) -> Result<Vec<String>, Failure> {
    let dir = ledger_dir(&context.paths);
    if context.globals.server.is_some() || !dir.exists() {
        return Err(error.into());
    }
    say(&format!("no server answers; reading {}", dir.display()));
    let wrong = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let verified = |against: Against| {
        let verified = ledger::verify_against(&dir, &against).map_err(|broken| Failure::failed(broken.to_string()))?;
        Ok(verified.lines())
    };
    match query {
        Query::VerifyLedger => return verified(Against::default()),
        Query::VerifyLedgerAgainst { witness, key } => return verified(Against { witness, key }),
        _ => {}
    }
    let opened = Ledger::open(&dir).map_err(|error| wrong(&error))?;
    match query {
        Query::ExportLedger => {
            if let Err(error) = opened.checkpoint().await {
                say(&format!("it gets no new checkpoint: {}", wrong(&error).what));
            }
            ledger::export(&dir).map_err(|error| wrong(&error))
        }
        Query::LedgerKey => match opened.checkpoint().await.map_err(|error| wrong(&error))? {
            Some(signed) => Ok(vec![signed.key]),
            None => Err(Failure::failed("the ledger has no records yet, and so no key")),
        },
        query => {
            let limit = if let Query::Ledger { limit } = query { limit } else { u32::MAX };
            let records = opened.records(limit).await.map_err(|error| wrong(&error))?;
            records.iter().map(|record| serde_json::to_string(record).map_err(|error| wrong(&error))).collect()
        }
    }
}
