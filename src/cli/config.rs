//! `config`: write, check and show the program's own configuration.

use super::act::ActArgs;
use super::output::{Cell, Table, say};
use super::{Context, Failure};
use crate::config::settings;
use crate::integration::PROVIDERS;
use crate::model::ConfigName;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// A first `flightdeck.toml`, with every key explained.
const SERVICES: &str = include_str!("../../config/flightdeck.toml");

/// Options of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a first file with every key and its default; never over an existing one.
    Init {
        /// Write a flightdeck.toml for services into this folder instead.
        #[arg(long)]
        services: bool,
    },
    /// Check config.toml, or the flightdeck.toml that is named. Says everything that is wrong.
    Check {
        /// A flightdeck.toml, or a folder of such files.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show every setting, its value and where that came from.
    Show,
    /// Show where files lie.
    Path,
    /// Print the JSON schema of config.toml.
    Schema,
    /// End all that one of the server's service configurations brought; `get configurations` lists them.
    Remove {
        /// What it is called.
        #[arg(value_name = "NAME")]
        name: String,
        /// How it is confirmed and followed.
        #[command(flatten)]
        act: ActArgs,
    },
    /// List the service configurations (flightdeck.toml) that the server had in force; `apply --revision`
    /// puts one into force again.
    History {
        /// Print the text of this one.
        #[arg(value_name = "REVISION")]
        revision: Option<u64>,
    },
}

/// Carries it out.
pub(super) fn run(context: &Context, args: &ConfigArgs) -> Result<(), Failure> {
    match &args.command {
        ConfigCommand::Init { services: false } => init(&context.paths.settings(), settings::TEMPLATE),
        ConfigCommand::Init { services: true } => init(Path::new("flightdeck.toml"), SERVICES),
        ConfigCommand::Check { file: None } => super::block_on(super::check::settings(context)),
        ConfigCommand::Check { file: Some(file) } => super::block_on(super::check::services(context, file)),
        ConfigCommand::Remove { name, act } => {
            super::block_on(super::apply::remove(context, &ConfigName::from(name.as_str()), act))
        }
        ConfigCommand::Show => show(context),
        ConfigCommand::Path => path(context),
        ConfigCommand::History { revision } => super::block_on(super::apply::history(context, *revision)),
        ConfigCommand::Schema => context.output.document(&settings::schema(PROVIDERS)),
    }
}

fn init(path: &Path, text: &str) -> Result<(), Failure> {
    let wrap = |error: std::io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(wrap)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(wrap)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::failed(format!("{} is there already; it was left as it is", path.display())));
        }
        Err(error) => return Err(wrap(error)),
    }
    say(&format!("wrote {}", path.display()));
    Ok(())
}

fn show(context: &Context) -> Result<(), Failure> {
    let effective = settings::load(&context.paths, PROVIDERS, &[])?;
    let json: Vec<_> = effective
        .rows
        .iter()
        .map(|row| json!({ "key": row.key, "value": row.value, "origin": row.origin.to_string() }))
        .collect();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows = effective
        .rows
        .iter()
        .map(|row| vec![Cell::from(row.key.as_str()), text(&row.value).into(), row.origin.to_string().into()]);
    let names: Vec<_> = effective.rows.iter().map(|row| row.key.clone()).collect();
    context.output.data(&json, &Table { heads: &["KEY", "VALUE", "FROM"], rows: rows.collect() }, &names)
}

fn path(context: &Context) -> Result<(), Failure> {
    let paths = &context.paths;
    let places = [
        ("settings", paths.settings()),
        ("keymap", paths.keymap()),
        ("themes", paths.themes()),
        ("data", paths.data.clone()),
        ("state", paths.state.clone()),
        ("socket", context.socket()?),
    ];
    let shown: Vec<_> = places.iter().map(|(what, path)| (*what, path.display().to_string())).collect();
    let json: serde_json::Map<_, _> = shown.iter().map(|(what, path)| ((*what).to_owned(), json!(path))).collect();
    let rows = shown.iter().map(|(what, path)| vec![Cell::from(*what), path.as_str().into()]).collect();
    let names: Vec<_> = shown.iter().map(|(_, path)| path.clone()).collect();
    context.output.data(&json, &Table { heads: &[], rows }, &names)
}
