//! `apply` and `diff`: a service configuration goes to the server whole.

use super::act::{self, ActArgs};
use super::output::{print_lines, say};
use super::{Context, Failure, unexpected};
use crate::client::Link;
use crate::config::services;
use crate::model::{Action, Query, Reply, Subject, sanitize_line};
use clap::Args;
use std::path::{Path, PathBuf};

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The configuration.
    #[arg(value_name = "FILE", default_value = "flightdeck.toml")]
    pub file: PathBuf,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The configuration.
    #[arg(value_name = "FILE", default_value = "flightdeck.toml")]
    pub file: PathBuf,
}

/// Puts a configuration into force.
pub(super) async fn run(context: &Context, args: &ApplyArgs) -> Result<(), Failure> {
    context.may_change()?;
    let (text, path) = read(&args.file)?;
    let link = Link::Server(context.client()?);
    act::perform(context, &link, Action::Apply, Subject::Config { text, path }, None, &args.act).await
}

/// Shows what that would change.
pub(super) async fn diff(context: &Context, args: &DiffArgs) -> Result<(), Failure> {
    let (text, path) = read(&args.file)?;
    match context.client()?.query(Query::Diff { text, path }).await? {
        Reply::Lines(lines) if lines.lines.is_empty() => {
            say("nothing would change");
            Ok(())
        }
        Reply::Lines(lines) => print_lines(&lines.lines.iter().map(|line| sanitize_line(line)).collect::<Vec<_>>()),
        other => Err(unexpected(&other)),
    }
}

/// Reads and checks here first, so that mistakes are found without a server.
fn read(file: &Path) -> Result<(String, String), Failure> {
    let path = std::path::absolute(file)?;
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", file.display()))
            .todo("name a file, or write a first one with `flightdeck config init --services`")
    })?;
    services::parse(&text, &path)?;
    Ok((text, path.display().to_string()))
}
