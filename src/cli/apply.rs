//! `apply` and `diff`: service configurations go to the server, each whole.

use super::act::{self, ActArgs};
use super::check::{self, Said};
use super::output::{Cell, Format, Table, print_lines, say};
use super::{Code, Context, Failure, get, unexpected};
use crate::client::{Client, Link};
use crate::config::services::{self, Surroundings};
use crate::model::{
    Action, ConfigName, ConfigRevision, Query, Receipt, Reply, ServicePlace, Spec, Subject, sanitize_line,
};
use clap::Args;
use std::path::{Path, PathBuf};

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The configuration, or a folder whose *.toml are one each, called by their `name` or else as their files
    /// are; without it flightdeck.toml.
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
    /// The configuration, or a folder of them.
    #[arg(value_name = "FILE", default_value = "flightdeck.toml")]
    pub file: PathBuf,
    /// End with 10 where something would change, and with 0 where nothing would.
    #[arg(long)]
    pub exit_code: bool,
}

/// A configuration on its way to the server.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: ConfigName,
    text: String,
    path: String,
}

/// Puts a configuration, or a folder of them, into force.
pub(super) async fn run(context: &Context, args: &ApplyArgs) -> Result<(), Failure> {
    context.may_change()?;
    let client = context.client()?;
    let file = args.file.as_deref().unwrap_or(Path::new("flightdeck.toml"));
    if args.revision.is_none() && file.is_dir() {
        return folder(context, &Link::Server(client), file, args).await;
    }
    let source = match args.revision {
        Some(revision) => before(&client, revision).await?,
        None => read(file, ConfigName::default())?.0,
    };
    let remove = args.remove.iter().map(|name| ServicePlace::of(name)).collect();
    act::perform(context, &Link::Server(client), Action::Apply, source.subject(remove), None, &args.act).await
}

impl Source {
    pub(super) fn subject(self, remove: Vec<ServicePlace>) -> Subject {
        let Source { name, text, path } = self;
        Subject::Config { name, text, path, remove }
    }
}

/// Each file by itself: one that is refused holds up no other, and what became of each is said.
async fn folder(context: &Context, link: &Link, dir: &Path, args: &ApplyArgs) -> Result<(), Failure> {
    if !args.remove.is_empty() {
        return Err(Failure::usage("--remove is for one configuration").todo("name the file that it is to leave"));
    }
    let files = files(dir)?;
    let mut receipts = Vec::new();
    let mut failed: Vec<(String, Failure)> = Vec::new();
    for file in &files {
        let applied = apply_file(link, file, &args.act, &mut receipts).await;
        let Err(failure) = applied else { continue };
        say(&format!("{}: {failure}", file.display()));
        failed.push((file.display().to_string(), failure));
    }
    let ids: Vec<_> = receipts.iter().map(|receipt: &Receipt| receipt.id.to_string()).collect();
    context.output.data(&receipts, &act::table(&receipts), &ids)?;
    act::say_open(context, &args.act, &receipts);
    let Some((_, first)) = failed.first() else { return Ok(()) };
    // Some are in force and some are not: that is a part, whatever kept the others.
    let code = if failed.len() < files.len() { Code::Partial } else { first.code };
    let names: Vec<_> = failed.iter().map(|(file, _)| file.as_str()).collect();
    let what = format!("{} of {} configurations were not applied: {}", failed.len(), files.len(), names.join(", "));
    Err(Failure::new(code, what))
}

async fn apply_file(link: &Link, file: &Path, args: &ActArgs, receipts: &mut Vec<Receipt>) -> Result<(), Failure> {
    let (source, _) = read(file, stem(file))?;
    let command = act::confirmed(link, Action::Apply, source.subject(Vec::new()), None, args).await?;
    let id = command.id.clone();
    let receipt = act::followed(link, &id.0, args, link.submit(command)).await?;
    let outcome = act::outcome(&receipt);
    receipts.push(receipt);
    outcome
}

/// The configurations of a folder, by name.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", dir.display()));
    let entries: Vec<_> = std::fs::read_dir(dir).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "toml") && path.is_file());
    files.sort();
    if files.is_empty() {
        return Err(Failure::usage(format!("there is no *.toml in {}", dir.display())));
    }
    // Of two of one name the second would take away what the first brought.
    let mut names: Vec<(ConfigName, &PathBuf)> = Vec::new();
    for file in &files {
        // One that can't be read is told of when its turn comes.
        let Ok((Source { name, .. }, _)) = read(file, stem(file)) else { continue };
        if let Some((_, other)) = names.iter().find(|(of, _)| *of == name) {
            let what = format!("{} and {} are both the configuration {name}", other.display(), file.display());
            return Err(Failure::usage(what).todo("give each a name of its own, such as name = \"shop\""));
        }
        names.push((name, file));
    }
    Ok(files)
}

/// What a file of a folder is called where its text does not say. One that is called as without a folder is the
/// same one.
pub(super) fn stem(file: &Path) -> ConfigName {
    match file.file_stem().map(|stem| stem.to_string_lossy()) {
        Some(stem) if stem != "flightdeck" => ConfigName::from(stem.as_ref()),
        _ => ConfigName::default(),
    }
}

/// Ends all that a configuration brought.
pub(super) async fn remove(context: &Context, name: &ConfigName, args: &ActArgs) -> Result<(), Failure> {
    context.may_change()?;
    let client = context.client()?;
    let configs = configs(&client).await?;
    let Some(config) = configs.iter().find(|config| config.in_force && config.name == *name) else {
        let known: Vec<_> = configs.iter().filter(|of| of.in_force).map(|of| of.name.as_str()).collect();
        let known = if known.is_empty() { "none is".to_owned() } else { known.join(", ") };
        return Err(Failure::usage(format!("no configuration {name} is in force")).todo(format!("in force: {known}")));
    };
    let services: Vec<_> = config.services.iter().map(ToString::to_string).collect();
    let ends = if services.is_empty() { "nothing, since it has no service".to_owned() } else { services.join(", ") };
    say(&format!("config remove {name} ends everywhere: {ends}"));
    // Whoever names the configuration means all that it brought; what of that runs is shown before it is confirmed.
    let places = config.services.iter().map(|service| ServicePlace { service: service.clone(), environment: None });
    let source = Source { name: name.clone(), text: String::new(), path: config.path.clone() };
    act::perform(context, &Link::Server(client), Action::Apply, source.subject(places.collect()), None, args).await
}

/// The text of a configuration of before, and where it lay.
async fn before(client: &Client, revision: u64) -> Result<Source, Failure> {
    let config = revision_of(client, revision).await?;
    let text = config.text.ok_or_else(|| Failure::failed(format!("the server gave no text of revision {revision}")))?;
    Ok(Source { name: config.name, text, path: config.path })
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
    let configs = configs(&client).await?;
    let rows = configs.iter().map(|config| {
        vec![
            Cell::from(config.revision.to_string()),
            config.name.as_str().into(),
            (if config.in_force { "yes" } else { "-" }).into(),
            get::at(config.at).into(),
            config.by.as_str().into(),
            config.digest.chars().take(19).collect::<String>().into(),
            config.path.as_str().into(),
            config.reason.as_deref().unwrap_or("-").into(),
        ]
    });
    let table = Table {
        heads: &["REVISION", "NAME", "IN FORCE", "AT", "BY", "DIGEST", "FILE", "REASON"],
        rows: rows.collect(),
    };
    let names: Vec<_> = configs.iter().map(|config| config.revision.to_string()).collect();
    context.output.data(&configs, &table, &names)
}

pub(super) async fn configs(client: &Client) -> Result<Vec<ConfigRevision>, Failure> {
    match client.query(Query::Configs { revision: None }).await? {
        Reply::Configs(configs) => Ok(configs),
        other => Err(unexpected(&other)),
    }
}

/// `get configurations`: those that are in force.
pub(super) async fn in_force(context: &Context, name: Option<&str>) -> Result<(), Failure> {
    let mut configs = configs(&context.client()?).await?;
    configs.retain(|config| config.in_force && name.is_none_or(|name| config.name.as_str() == name));
    if let (Some(name), true) = (name, configs.is_empty()) {
        return Err(Failure::usage(format!("no configuration {name:?} is in force")));
    }
    configs.sort_by(|a, b| a.name.cmp(&b.name));
    let rows = configs.iter().map(|config| {
        let services: Vec<_> = config.services.iter().map(ToString::to_string).collect();
        vec![
            Cell::from(config.name.as_str()),
            config.revision.to_string().into(),
            get::at(config.at).into(),
            config.by.as_str().into(),
            services.join(", ").into(),
            config.path.as_str().into(),
        ]
    });
    let table = Table { heads: &["CONFIGURATION", "REVISION", "AT", "BY", "SERVICES", "FILE"], rows: rows.collect() };
    let names: Vec<_> = configs.iter().map(|config| config.name.to_string()).collect();
    context.output.data(&configs, &table, &names)
}

/// Shows what that would change.
pub(super) async fn diff(context: &Context, args: &DiffArgs) -> Result<(), Failure> {
    let client = context.client()?;
    let differs = if args.file.is_dir() {
        let mut differs = false;
        for file in files(&args.file)? {
            differs |= diff_of(&client, read(&file, stem(&file))?.0, true).await?;
        }
        differs
    } else {
        diff_of(&client, read(&args.file, ConfigName::default())?.0, false).await?
    };
    if differs && args.exit_code { Err(Failure::new(Code::Differs, "")) } else { Ok(()) }
}

/// Shows what one would change; true: something would.
async fn diff_of(client: &Client, source: Source, one_of_several: bool) -> Result<bool, Failure> {
    let Source { name, text, path } = source.clone();
    let named = one_of_several || name != ConfigName::default();
    let whose = if named { format!("configuration {name}: ") } else { String::new() };
    let place = path.clone();
    let lines = match client.query(Query::Diff { name, text, path }).await? {
        Reply::Lines(lines) => lines.lines,
        Reply::Refused(refusal) if one_of_several => {
            let failure = Failure::from(refusal);
            return Err(Failure { what: format!("{place}: {}", failure.what), ..failure });
        }
        other => return Err(unexpected(&other)),
    };
    if lines.is_empty() {
        say(&format!("{whose}nothing would change"));
    } else {
        if named {
            say(&format!("{whose}{place}"));
        }
        print_lines(&lines.iter().map(|line| sanitize_line(line)).collect::<Vec<_>>())?;
    }
    match check::of_server(client, source).await? {
        Said::Fine => {}
        Said::Refused(why) => say(&format!("{whose}apply would be refused: {why}")),
        Said::Nothing(why) => say(&check::unlooked(&why)),
    }
    Ok(!lines.is_empty())
}

/// Reads and checks here first, so that mistakes are found without a server.
pub(super) fn read(file: &Path, name: ConfigName) -> Result<(Source, Spec), Failure> {
    let path = std::path::absolute(file)?;
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", file.display()))
            .todo("name a file, or write a first one with `flightdeck config init --services`")
    })?;
    let spec = services::parse_in(&text, &path, &Surroundings { name, ..Surroundings::default() })?;
    Ok((Source { name: spec.name.clone(), text, path: path.display().to_string() }, spec))
}
