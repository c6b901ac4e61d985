//! `contract`: the cases that every backend must pass, on a program that docs/exec.md describes.

use super::output::{Cell, Table, Tone, print_lines};
use super::{Context, Failure, Format};
use crate::contract::{self, Case, Outcome, ProgramBackend};
use clap::Args;

/// Options of `contract`.
#[derive(Debug, Args)]
pub struct ContractArgs {
    /// The program and its arguments. It is started anew for each case.
    #[arg(value_name = "EXECUTABLE", required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Cases that run at the same time.
const AT_ONCE: usize = 4;

/// Runs all cases; fails where one does.
pub(super) async fn run(context: &Context, args: &ContractArgs) -> Result<(), Failure> {
    let backend = ProgramBackend { command: args.command.clone() };
    let column = contract::run(&backend, Case::ALL, AT_ONCE).await;
    let row = |(case, outcome): &(Case, Outcome)| {
        let tone = match outcome {
            Outcome::Passed => Tone::Good,
            Outcome::Failed(_) => Tone::Bad,
            Outcome::NotApplicable(_) => Tone::Dim,
        };
        let result = Cell { text: outcome.word().to_owned(), tone };
        vec![case.words().into(), result, outcome.why().unwrap_or_default().into()]
    };
    let table = Table { heads: &["CASE", "RESULT", "WHY"], rows: column.cells.iter().map(row).collect() };
    let failed: Vec<_> = column.failed().map(|(case, _)| case.words()).collect();
    match context.output.format {
        Format::Name => print_lines(&failed)?,
        _ => context.output.data(&column, &table, &[])?,
    }
    match failed.len() {
        0 => Ok(()),
        count => Err(Failure::failed(format!("{count} of {} cases failed", column.cells.len()))),
    }
}
