//! The command line: one file a command. Data on stdout, words on stderr, exit codes as in [`Code`].

mod act;
mod alerts;
mod annotate;
mod apply;
mod backup;
mod check;
mod cockpit;
mod complete;
mod completions;
mod config;
mod confirm;
mod contract;
mod deploy;
mod doctor;
mod drill;
mod failure;
mod follow;
mod get;
pub mod hidden;
mod history;
mod hold;
mod ledger;
mod links;
mod logs;
mod metrics;
mod migration;
mod notify;
mod objectives;
mod output;
pub mod reference;
mod release;
mod run;
mod serve;
mod sight;
mod silence;
mod sources;
mod status;
mod target;
mod wait;
mod watch;

pub use complete::answer as complete;
pub use failure::{Code, Failure};
pub use output::{Format, Output};

use crate::client::Client;
use crate::config::Paths;
use crate::demo::{self, DemoArgs};
use crate::model::Reply;
use clap::{Args, Parser, Subcommand};
use links::Links;
use std::path::PathBuf;

/// A release cockpit for the terminal: watch, promote, pause, abort and roll back live rollouts.
///
/// Without a command it opens the cockpit on the local server and on what the settings name; without
/// settings, on the current context of the kubeconfig.
///
/// Exit codes: 0 done (with --wait: what was waited for was seen), 1 failed or superseded, 2 wrong usage,
/// 3 refused by policy or pin, 4 nothing could be seen (no server answers, no source can be reached or
/// read), 5 not seen in time, 6 only a part could be seen or done (the rest is named), 7 the rollout was
/// aborted, 8 it was rolled back, 9 it waits for a person,
/// 10 `diff --exit-code` found a difference.
#[derive(Debug, Parser)]
#[command(name = "flightdeck", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub globals: Globals,
    /// Which command; none: the cockpit.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// How data is written.
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// No colour, whatever the terminal can do. `NO_COLOR` does the same.
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Refuse everything that would change something.
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Arm the watchdogs of the settings for what is looked at without a server, as long as this runs.
    #[arg(long, global = true)]
    pub watchdog: bool,
    /// The server, as `unix:PATH`; else the one of this user.
    #[arg(long, global = true, value_name = "URL", env = "FLIGHTDECK_SERVER", hide_env_values = true)]
    pub server: Option<String>,
    /// A context of the kubeconfig to look at, or a source of the settings; can be given several times.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Vec<String>,
    /// Keep data (and, unless told elsewhere, sockets) here instead of in the user's folders.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What can be asked for. Verbs on a rollout come from the table of actions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try it on a live system of its own: real services, real traffic; gone when you quit.
    Demo(DemoArgs),
    /// Run the server: the built-in engine and what cockpits and scripts connect to.
    Serve(serve::ServeArgs),
    /// One screen of text: what is in flight, what needs you, what is held.
    Status,
    /// List rows of one kind.
    Get(get::GetArgs),
    /// Put a service configuration into force, whole or not at all.
    Apply(apply::ApplyArgs),
    /// Show what `apply` would change.
    Diff(apply::DiffArgs),
    /// Start a rollout of a stored release.
    Deploy(deploy::DeployArgs),
    /// Rehearse the way back: roll back and return, both measured.
    Drill(drill::DrillArgs),
    /// Store, list and delete releases; or end a hold: `release H-7K3PQ2`.
    Release(release::ReleaseArgs),
    /// A verb on a rollout or an approval.
    #[command(flatten)]
    Act(act::Verb),
    /// Hold the line: pause every rollout in scope until it is released.
    Hold(hold::HoldArgs),
    /// Wait until a rollout is where it should be, whoever moves it.
    Wait(wait::WaitArgs),
    /// Say of migrations that their data is there, or that it is not; runs none.
    Migration(migration::MigrationArgs),
    /// Add to the record of a command why it was given, or what came of it; does nothing else.
    Annotate(annotate::AnnotateArgs),
    /// Silence an alert for a while, or until its rollout ends; it stays in sight as silenced.
    Silence(silence::SilenceArgs),
    /// End a silence that was made with flightdeck: its alert notifies again.
    Unsilence(silence::UnsilenceArgs),
    /// Run a command once, with what is stable, in the environment of a service.
    Run(run::RunArgs),
    /// Show an instance's output.
    Logs(logs::LogsArgs),
    /// Print every change as it happens.
    Watch(watch::WatchArgs),
    /// Read and check the record of what was done.
    Ledger(ledger::LedgerArgs),
    /// Try who is told outside, and show what did not reach them.
    Notify(notify::NotifyArgs),
    /// Try whoever has numbers of rollouts: what each question finds, and which rollouts have none and why.
    Metrics(metrics::MetricsArgs),
    /// Save the server's data while it runs: journal, ledger, artifacts, settings.
    Backup(backup::BackupArgs),
    /// Bring a backup back into an empty folder, checked whole before anything is put in place.
    Restore(backup::RestoreArgs),
    /// Check that everything is as it should be, and say what to do where it is not.
    Doctor,
    /// Run the cases that every backend must pass on a program of yours.
    Contract(contract::ContractArgs),
    /// Write, check and show the configuration of this program.
    Config(config::ConfigArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Print the manual page.
    Man,
    /// What the program starts by itself.
    #[command(flatten)]
    Hidden(hidden::Hidden),
}

/// What a command needs to know of its surroundings.
#[derive(Debug, Clone)]
pub struct Context {
    /// Options of every command.
    pub globals: Globals,
    /// Where results go.
    pub output: Output,
    /// Where files lie.
    pub paths: Paths,
}

impl Context {
    fn new(globals: Globals) -> Result<Context, Failure> {
        let output = Output::new(globals.output, globals.no_color);
        let mut paths = Paths::from_env()?;
        if let Some(dir) = &globals.data_dir {
            paths.data = std::path::absolute(dir)?;
            if std::env::var_os("FLIGHTDECK_RUNTIME_DIR").is_none_or(|told| told.is_empty()) {
                paths.runtime = paths.data.join("run");
            }
        }
        Ok(Context { globals, output, paths })
    }

    /// Where the server listens.
    pub fn socket(&self) -> Result<PathBuf, Failure> {
        self.globals.server.as_deref().map_or_else(|| Ok(self.paths.socket()), socket_of)
    }

    /// A client of that server.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::unix(&self.socket()?)?)
    }

    /// Talks to every hub there is, then ends the one in this process in order.
    async fn with_links(&self, task: impl AsyncFnOnce(&Links) -> Result<(), Failure>) -> Result<(), Failure> {
        let links = Links::open(self).await?;
        let outcome = task(&links).await;
        links.close().await;
        outcome
    }

    /// Refuses where the person asked for nothing to be changed.
    pub fn may_change(&self) -> Result<(), Failure> {
        if self.globals.read_only {
            return Err(Failure::new(Code::Refused, "refused: --read-only was given; nothing was changed"));
        }
        Ok(())
    }
}

/// The path in `unix:PATH`.
fn socket_of(url: &str) -> Result<PathBuf, Failure> {
    let path = url.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
    path.map(PathBuf::from).ok_or_else(|| {
        Failure::usage(format!("server {url}: expected unix:PATH")).todo(
            "to reach one on another machine, forward its socket: ssh -L /tmp/fd.sock:/path/there/server.sock HOST",
        )
    })
}

/// A reply that belongs to another question, or a refusal.
fn unexpected(reply: &Reply) -> Failure {
    match reply {
        Reply::Refused(refusal) => refusal.clone().into(),
        other => Failure::failed(format!("the server answered another question: {other:?}")),
    }
}

/// Carries out a parsed command line.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { globals, command } = cli;
    // These need neither files nor a server.
    match &command {
        Some(Command::Completions(args)) => return completions::run(args),
        Some(Command::Man) => return reference::man(),
        _ => {}
    }
    let context = Context::new(globals)?;
    let context = &context;
    let Some(command) = command else { return cockpit::run(context) };
    match command {
        Command::Demo(args) => demonstrate(&args),
        Command::Serve(args) => serve::run(context, &args),
        Command::Status => block_on(context.with_links(async |links| status::run(context, links).await)),
        Command::Get(args) => block_on(context.with_links(async |links| get::run(context, links, &args).await)),
        Command::Apply(args) => block_on(apply::run(context, &args)),
        Command::Diff(args) => block_on(apply::diff(context, &args)),
        Command::Deploy(args) => block_on(context.with_links(async |links| deploy::run(context, links, &args).await)),
        Command::Drill(args) => block_on(context.with_links(async |links| drill::run(context, links, &args).await)),
        Command::Release(args) => block_on(context.with_links(async |links| release::run(context, links, &args).await)),
        Command::Act(verb) => block_on(context.with_links(async |links| act::run(context, links, &verb).await)),
        Command::Hold(args) => block_on(context.with_links(async |links| hold::run(context, links, &args).await)),
        Command::Wait(args) => block_on(context.with_links(async |links| wait::run(context, links, &args).await)),
        Command::Migration(args) => {
            block_on(context.with_links(async |links| migration::run(context, links, &args).await))
        }
        Command::Annotate(args) => {
            block_on(context.with_links(async |links| annotate::run(context, links, &args).await))
        }
        Command::Silence(args) => {
            block_on(context.with_links(async |links| silence::silence(context, links, &args).await))
        }
        Command::Unsilence(args) => {
            block_on(context.with_links(async |links| silence::unsilence(context, links, &args).await))
        }
        Command::Run(args) => block_on(context.with_links(async |links| run::run(context, links, &args).await)),
        Command::Logs(args) => block_on(logs::run(context, &args)),
        Command::Watch(args) => block_on(context.with_links(async |links| watch::run(context, links, &args).await)),
        Command::Ledger(args) => block_on(ledger::run(context, &args)),
        Command::Notify(args) => block_on(notify::run(context, &args)),
        Command::Metrics(args) => block_on(metrics::run(context, &args)),
        Command::Backup(args) => block_on(backup::backup(context, &args)),
        Command::Restore(args) => block_on(backup::restore(context, &args)),
        Command::Doctor => block_on(doctor::run(context)),
        Command::Contract(args) => block_on(contract::run(context, &args)),
        Command::Config(args) => config::run(context, &args),
        Command::Completions(args) => completions::run(&args),
        Command::Man => reference::man(),
        Command::Hidden(hidden) => hidden::run(hidden),
    }
}

/// Runs the demo; its exit code is that of its cockpit.
fn demonstrate(args: &DemoArgs) -> Result<(), Failure> {
    match demo::run(args) {
        Ok(0) => Ok(()),
        // The cockpit or its guardian said why.
        Ok(_) => Err(Failure::failed("")),
        Err(error @ demo::DemoError::NoTerminal) => Err(Failure::usage(error.to_string())),
        Err(error) => Err(Failure::from_error(Code::Failed, &error)),
    }
}

/// How long the end waits for reads that nobody needs any more.
const LEFT: std::time::Duration = std::time::Duration::from_millis(200);

/// One short conversation needs one thread.
fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(task);
    // A file on a mount that hangs must not hold up the end: nothing that is asked for is left there.
    runtime.shutdown_timeout(LEFT);
    outcome
}
