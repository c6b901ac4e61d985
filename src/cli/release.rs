//! `release add|list|rm` for stored releases, `release H-3` for a hold.

use super::act::{self, ActArgs};
use super::get::{self, GetArgs, Kind};
use super::links::{Links, Need};
use super::output::say;
use super::target::Rows;
use super::{Context, Failure, complete, confirm, hold, target, unexpected};
use crate::client::{Client, Link, NewRelease, fresh_id};
use crate::model::{Action, Query, Reply, Subject};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

/// Options of `release`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, arg_required_else_help = true)]
pub struct ReleaseArgs {
    /// What to do with stored releases.
    #[command(subcommand)]
    pub command: Option<ReleaseCommand>,
    /// The hold to end, such as H-7K3PQ2, wherever it is in force; source/H-7K3PQ2 ends it there alone. Only
    /// what it held goes on.
    #[arg(value_name = "HOLD-ID", required = true, add = complete::holds())]
    pub hold: Option<String>,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// What can be done with stored releases.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Store an artifact as a release.
    Add(AddArgs),
    /// List stored releases.
    List {
        /// Only of this service.
        #[arg(value_name = "SERVICE")]
        service: Option<String>,
    },
    /// Delete a stored release that nothing runs or needs.
    Rm {
        /// Of which service, or source/service where several sources have it.
        #[arg(value_name = "SERVICE")]
        service: String,
        /// Which version.
        #[arg(value_name = "VERSION")]
        version: String,
        /// How it is confirmed and followed.
        #[command(flatten)]
        act: ActArgs,
    },
}

/// Options of `release add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Of which service, or source/service where several sources have it.
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// Its version, as you write it.
    #[arg(value_name = "VERSION")]
    pub version: String,
    /// The artifact: a gzipped tar.
    #[arg(long, value_name = "FILE")]
    pub artifact: PathBuf,
    /// Source commit that it was built from.
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,
    /// When that commit was made, such as 2026-03-01T12:00:00Z (`git log -1 --format=%cI`): a change's lead
    /// time begins there.
    #[arg(long, value_name = "RFC3339")]
    pub commit_at: Option<Timestamp>,
    /// Address of the pipeline's run that built it, such as https://ci.example/shop/runs/7.
    #[arg(long, value_name = "URL")]
    pub pipeline_run: Option<String>,
    /// The digest that it must have, sha256:…, such as the builder printed.
    #[arg(long, value_name = "DIGEST")]
    pub digest: Option<String>,
    /// A migration that it brings; can be given several times. Left out, those that are configured when it
    /// first succeeds.
    #[arg(long, value_name = "NAME", conflicts_with = "no_migrations")]
    pub migration: Vec<String>,
    /// It brings none, such as a fix for an older version.
    #[arg(long)]
    pub no_migrations: bool,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// Carries it out.
pub(super) async fn run(context: &Context, links: &Links, args: &ReleaseArgs) -> Result<(), Failure> {
    match (&args.command, &args.hold) {
        (Some(ReleaseCommand::Add(add_args)), _) => add(context, add_args).await,
        (Some(ReleaseCommand::List { service }), _) => {
            let list = GetArgs { service: service.clone(), ..GetArgs::all(Kind::Releases) };
            get::run(context, links, &list).await
        }
        (Some(ReleaseCommand::Rm { service, version, act }), _) => {
            context.may_change()?;
            let (_, link, rows) = store(context).await?;
            let (source, service) = target::service(&rows, service, None)?;
            let subject = Subject::Release { source, service, version: version.as_str().into() };
            act::perform(context, &link, Action::RemoveRelease, subject, None, act).await
        }
        (None, Some(id)) => {
            context.may_change()?;
            let rows = links.rows(Need::Named(id)).await?;
            let named = target::hold(&rows, id)?;
            // It may be in force where nothing could be seen.
            hold::release(context, links, &named, &args.act).await.and_then(|()| rows.whole())
        }
        (None, None) => Err(Failure::usage("nothing to release").todo("name a hold, or say add, list or rm")),
    }
}

/// Releases are stored by the server alone, whatever else has a service of that name.
async fn store(context: &Context) -> Result<(Client, Link, Rows), Failure> {
    let client = context.client()?;
    let link = Link::Server(client.clone());
    match link.query(Query::Board).await? {
        Reply::Board(entities) => Ok((client, link, Rows { entities, ..Rows::default() })),
        other => Err(unexpected(&other)),
    }
}

async fn add(context: &Context, args: &AddArgs) -> Result<(), Failure> {
    context.may_change()?;
    let digest = digest(&args.artifact)?;
    if let Some(wanted) = args.digest.as_ref().filter(|wanted| **wanted != digest) {
        let what = format!("{} has the digest {digest} and not {wanted}; nothing was stored", args.artifact.display());
        return Err(Failure::usage(what).todo("is it the file that was built?"));
    }
    let (client, link, rows) = store(context).await?;
    let (source, service) = target::service(&rows, &args.service, None)?;
    let subject = Subject::Release { source, service: service.clone(), version: args.version.as_str().into() };
    let prepared = act::prepare(&link, Action::AddRelease, subject).await?;
    confirm::confirm(&prepared, &args.act)?;
    let release = NewRelease {
        id: fresh_id(),
        service,
        version: args.version.as_str().into(),
        commit: args.commit.clone(),
        commit_at: args.commit_at,
        pipeline_run: args.pipeline_run.clone(),
        digest: Some(digest.clone()),
        migrations: (args.no_migrations || !args.migration.is_empty()).then(|| args.migration.clone()),
        artifact: args.artifact.clone(),
    };
    say(&format!("storing {} as {} {}, {digest}", args.artifact.display(), args.service, args.version));
    act::finish(context, &link, &release.id.0, &args.act, client.add_release(&release)).await
}

/// `sha256:…` of a file, so that the server can tell whether it arrived whole.
fn digest(file: &Path) -> Result<String, Failure> {
    let wrap = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", file.display()));
    let mut hasher = Sha256::new();
    let mut reader = std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(file).map_err(wrap)?);
    loop {
        let bytes = reader.fill_buf().map_err(wrap)?;
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        let taken = bytes.len();
        reader.consume(taken);
    }
    Ok(hasher.finalize().iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
        text
    }))
}
