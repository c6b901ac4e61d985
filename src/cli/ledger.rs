//! `ledger`: the record of what was done.

use super::output::{Format, print_lines, say};
use super::{Context, Failure, unexpected};
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
    let client = context.client()?;
    let query = match &args.command {
        LedgerCommand::Show { lines } => Query::Ledger { limit: *lines },
        LedgerCommand::Verify => Query::VerifyLedger,
        LedgerCommand::Export { .. } => Query::Ledger { limit: u32::MAX },
    };
    let LogLines { lines } = match client.query(query).await? {
        Reply::Lines(lines) => lines,
        // A broken chain is a finding and no wrong usage, whatever kind of refusal it comes as.
        Reply::Refused(refusal) => return Err(Failure::failed(refusal.why)),
        other => return Err(unexpected(&other)),
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
