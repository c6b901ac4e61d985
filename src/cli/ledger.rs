//! `ledger`: the record of what was done.

use super::output::{Format, print_lines, say};
use super::serve::ledger_dir;
use super::{Code, Context, Failure, unexpected};
use crate::client::ClientError;
use crate::ledger::{self, Ledger};
use crate::model::{LogLines, Query, Reply, sanitize_line};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;

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
    },
    /// Check the chain of hashes; names the first record that does not fit.
    Verify,
    /// Write all records as JSON lines, oldest first.
    Export {
        /// Into this file instead of stdout.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Carries it out.
pub(super) async fn run(context: &Context, args: &LedgerArgs) -> Result<(), Failure> {
    let (query, limit) = match &args.command {
        LedgerCommand::Show { lines } => (Query::Ledger { limit: *lines }, *lines),
        LedgerCommand::Verify => (Query::VerifyLedger, 0),
        LedgerCommand::Export { .. } => (Query::Ledger { limit: u32::MAX }, u32::MAX),
    };
    let verifies = matches!(args.command, LedgerCommand::Verify);
    let lines = match context.client()?.query(query).await {
        Ok(Reply::Lines(LogLines { lines })) => lines,
        // A broken chain is a finding and no wrong usage, whatever kind of refusal it comes as.
        Ok(Reply::Refused(refusal)) => return Err(Failure::failed(refusal.why)),
        Ok(other) => return Err(unexpected(&other)),
        // The record must be readable when everything else is down.
        Err(error @ ClientError::NoServer { .. }) => offline(context, verifies, limit, error).await?,
        Err(error) => return Err(error.into()),
    };
    match &args.command {
        LedgerCommand::Verify | LedgerCommand::Export { file: None } => print_lines(&lines),
        LedgerCommand::Export { file: Some(file) } => {
            let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
            std::fs::write(file, text)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))?;
            say(&format!("wrote {} records to {}", lines.len(), file.display()));
            Ok(())
        }
        LedgerCommand::Show { .. } => match context.output.format {
            Format::Json | Format::Yaml => {
                let records: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
                context.output.document(&records)
            }
            Format::Table | Format::Name => {
                print_lines(&lines.iter().map(|line| sanitize_line(line)).collect::<Vec<_>>())
            }
        },
    }
}

/// Reads the files themselves, if this machine has them.
async fn offline(context: &Context, verifies: bool, limit: u32, error: ClientError) -> Result<Vec<String>, Failure> {
    let dir = ledger_dir(&context.paths);
    if context.globals.server.is_some() || !dir.exists() {
        return Err(error.into());
    }
    say(&format!("no server answers; reading {}", dir.display()));
    if verifies {
        let chain = ledger::verify(&dir).map_err(|broken| Failure::failed(broken.to_string()))?;
        return Ok(vec![format!("{} records, each follows from the one before; head {}", chain.count, chain.head)]);
    }
    let wrong = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let opened = Ledger::open(&dir).map_err(|error| wrong(&error))?;
    let records = opened.records(limit).await.map_err(|error| wrong(&error))?;
    records.iter().map(|record| serde_json::to_string(record).map_err(|error| wrong(&error))).collect()
}
