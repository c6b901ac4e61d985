//! `apply` and `diff`: a service configuration goes to the server whole.

use super::act::{self, ActArgs};
use super::output::{Cell, Format, Table, print_lines, say};
use super::{Code, Context, Failure, get, unexpected};
use crate::client::{Client, Link};
use crate::config::services;
use crate::model::{Action, ConfigRevision, Query, Reply, ServicePlace, Subject, sanitize_line};
use clap::Args;
use std::path::{Path, PathBuf};

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The configuration; without it flightdeck.toml.
    #[arg(value_name = "FILE", conflicts_with = "revision")]
    pub file: Option<PathBuf>,
    /// Put a configuration of before into force again; `flightdeck config history` lists them.
    #[arg(long, value_name = "N")]
    pub revision: Option<u64>,
    /// What runs and is to be ended by leaving it out of the configuration, such as checkout or
    /// checkout@production; can be given several times. Nothing that runs is ended without its name.
    #[arg(long, value_name = "NAME")]
    pub remove: Vec<String>,
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
    /// End with 10 where something would change, and with 0 where nothing would.
    #[arg(long)]
    pub exit_code: bool,
}

/// Puts a configuration into force.
pub(super) async fn run(context: &Context, args: &ApplyArgs) -> Result<(), Failure> {
    context.may_change()?;
    let client = context.client()?;
    let (text, path) = match args.revision {
        Some(revision) => before(&client, revision).await?,
        None => read(args.file.as_deref().unwrap_or(Path::new("flightdeck.toml")))?,
    };
    let remove = args.remove.iter().map(|name| ServicePlace::of(name)).collect();
    let link = Link::Server(client);
    act::perform(context, &link, Action::Apply, Subject::Config { text, path, remove }, None, &args.act).await
}

/// The text of a configuration of before, and where it lay.
async fn before(client: &Client, revision: u64) -> Result<(String, String), Failure> {
    let config = revision_of(client, revision).await?;
    let text = config.text.ok_or_else(|| Failure::failed(format!("the server gave no text of revision {revision}")))?;
    Ok((text, config.path))
}

async fn revision_of(client: &Client, revision: u64) -> Result<ConfigRevision, Failure> {
    match client.query(Query::Configs { revision: Some(revision) }).await? {
        Reply::Configs(mut configs) => configs.pop().ok_or_else(|| {
            Failure::usage(format!("there is no revision {revision}")).todo("see `flightdeck config history`")
        }),
        other => Err(unexpected(&other)),
    }
}

/// `config history`: the configurations that were in force, or the text of one.
pub(super) async fn history(context: &Context, revision: Option<u64>) -> Result<(), Failure> {
    let client = context.client()?;
    if let Some(revision) = revision {
        let config = revision_of(&client, revision).await?;
        let text = config.text.clone().unwrap_or_default();
        return match context.output.format {
            Format::Json | Format::Yaml => context.output.document(&serde_json::to_value(&config).unwrap_or_default()),
            Format::Table | Format::Name => print_lines(&text.lines().map(sanitize_line).collect::<Vec<_>>()),
        };
    }
    let configs = match client.query(Query::Configs { revision: None }).await? {
        Reply::Configs(configs) => configs,
        other => return Err(unexpected(&other)),
    };
    let rows = configs.iter().map(|config| {
        vec![
            Cell::from(config.revision.to_string()),
            get::at(config.at).into(),
            config.by.as_str().into(),
            config.digest.chars().take(19).collect::<String>().into(),
            config.path.as_str().into(),
            config.reason.as_deref().unwrap_or("-").into(),
        ]
    });
    let table = Table { heads: &["REVISION", "AT", "BY", "DIGEST", "FILE", "REASON"], rows: rows.collect() };
    let names: Vec<_> = configs.iter().map(|config| config.revision.to_string()).collect();
    context.output.data(&configs, &table, &names)
}

/// Shows what that would change.
pub(super) async fn diff(context: &Context, args: &DiffArgs) -> Result<(), Failure> {
    let (text, path) = read(&args.file)?;
    match context.client()?.query(Query::Diff { text, path }).await? {
        Reply::Lines(lines) if lines.lines.is_empty() => {
            say("nothing would change");
            Ok(())
        }
        Reply::Lines(lines) => {
            print_lines(&lines.lines.iter().map(|line| sanitize_line(line)).collect::<Vec<_>>())?;
            if args.exit_code { Err(Failure::new(Code::Differs, "")) } else { Ok(()) }
        }
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
