//! `serve`: data directory, engine, ledger, hub and socket, until it is told to end.

use super::output::say;
use super::{Code, Context, Failure, notify, objectives, sources};
use crate::config::{Paths, settings};
use crate::control::Policy;
use crate::demo;
use crate::engine::EngineExecutor;
use crate::engine::runtime::{Engine, EngineError, EngineTask, Retention, Settings, Stop};
use crate::hub::{Hub, HubSettings, HubTask, WatchdogRule};
use crate::integration::PROVIDERS;
use crate::ledger::Ledger;
use crate::model::{Body, EnvironmentName, LinkState, SourceId};
use crate::notify::Destination;
use crate::platform::{self, files};
use crate::server::{self, Access, Api, Bound};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the built-in engine and its hub are called among sources.
const SOURCE: &str = "local";
/// How long the hub may take to write down what it knows.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long whoever connects early waits for the engine's rows.
const FIRST_ROWS: Duration = Duration::from_secs(5);

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Members of this group may connect as well.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Ports of 127.0.0.1 for instances, first and last.
    #[arg(long, value_name = "PORTS")]
    pub ports: Option<String>,
    /// Without a word from this server for so long, candidates lose their traffic.
    #[arg(long, value_name = "DURATION")]
    pub lease: Option<String>,
    /// End instances and the proxy with the server. Else they go on, and the next server adopts them.
    #[arg(long)]
    pub stop_instances: bool,
    /// End everything when standard input, a pipe, closes: whoever started this has gone.
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
    /// Run the demo of that scratch directory, and remove all of it in the end.
    #[arg(long, value_name = "DIR", hide = true)]
    pub demo: Option<PathBuf>,
}

/// What became of one of the server's parts.
enum Ended {
    Engine(Result<(), EngineError>),
    Demo(Result<(), demo::DemoError>),
    Hub,
    Socket,
    /// Nobody is told outside any more, since everything ends.
    Notify,
    /// Its thread panicked.
    Failed(&'static str),
}

/// Why a server ends in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It was told so.
    Signal(&'static str),
    /// Whoever started it closed its standard input, or died.
    Orphaned,
}

/// A server whose parts are open but do not run yet.
struct Server {
    bound: Bound,
    engine: Engine,
    engine_task: EngineTask,
    hub: Hub,
    hub_task: HubTask,
    ledger: Ledger,
    policy: Policy,
    told: Vec<Destination>,
}

/// Runs a server until it is told to end.
pub(super) fn run(context: &Context, args: &ServeArgs) -> Result<(), Failure> {
    if context.globals.server.is_some() {
        return Err(Failure::usage("--server names a server to connect to; `serve` listens in the runtime folder")
            .todo("set --data-dir or FLIGHTDECK_RUNTIME_DIR"));
    }
    trace();
    files::for_the_owner_alone();
    let runtime = runtime("server", 2)?;
    // Served beside all else, and after it where the machine is busy.
    let watchers = tokio::runtime::Builder::new_multi_thread()
        .thread_name("watchers")
        .worker_threads(1)
        .max_blocking_threads(4)
        .on_thread_start(yielding)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(serve(context, args, watchers.handle()));
    // Nothing of the server runs any more when the scratch directory goes.
    drop((watchers, runtime));
    let removed = args.demo.as_deref().map_or(Ok(()), demo::remove);
    outcome.and(removed.map_err(|error| Failure::from_error(Code::Failed, &error)))
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, Failure> {
    let built =
        tokio::runtime::Builder::new_multi_thread().thread_name(name).worker_threads(threads).enable_all().build();
    built.map_err(|error| Failure::failed(format!("cannot start: {error}")))
}

/// Lowers the priority of the calling thread, where the system has one for each thread.
fn yielding() {
    if let Err(error) = platform::lower_priority() {
        tracing::debug!(%error, "could not lower the priority of a thread");
    }
}

/// Runs a part on a thread and a runtime of its own, so that it waits for nothing but itself. Resolves with what
/// it gave once nothing of it runs any more.
fn apart<F>(name: &'static str, part: F) -> Result<impl Future<Output = Option<F::Output>> + use<F>, Failure>
where
    F: Future<Output: Send> + Send + 'static,
{
    let runtime = runtime(name, 1)?;
    let (sender, ended) = oneshot::channel();
    let run = move || {
        let output = runtime.block_on(part);
        drop(runtime);
        drop(sender.send(output)); // whoever waited may have given up
    };
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| Failure::failed(format!("cannot start the thread of the {name}: {error}")))?;
    Ok(async move { ended.await.ok() })
}

/// What the server says goes to stderr: `FLIGHTDECK_LOG=debug`, or any filter of tracing.
fn trace() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FLIGHTDECK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let said = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    if said.try_init().is_err() {
        say("the log was set up before; it goes there");
    }
}

async fn serve(context: &Context, args: &ServeArgs, watchers: &Handle) -> Result<(), Failure> {
    // Listened to before anything starts, so that an early signal ends in order too.
    let stop = told_to_stop(args.exit_on_stdin_eof || args.demo.is_some())?;
    let Server { bound, engine, engine_task, hub, hub_task, ledger, policy, told } = open(context, args).await?;
    let ending = CancellationToken::new();
    let mut parts = JoinSet::new();
    // The lease is renewed, and what reduces exposure is carried out, on these two threads alone: no request,
    // however many there are, can make them late.
    let (engine_ended, hub_ended) = (apart("engine", engine_task.run())?, apart("hub", hub_task.run())?);
    parts.spawn(async move { engine_ended.await.map_or(Ended::Failed("the engine"), Ended::Engine) });
    parts.spawn(async move { hub_ended.await.map_or(Ended::Failed("the hub"), |()| Ended::Hub) });
    let api = Api {
        hub: hub.clone(),
        engine: engine.clone(),
        ledger,
        policy,
        watchers: watchers.clone(),
        ending: ending.clone(),
    };
    let first = hub.clone();
    parts.spawn(async move {
        first_rows(first).await;
        server::serve(bound, api).await;
        Ended::Socket
    });
    if !told.is_empty() {
        let (file, hub, ending) = (notify::outbox_file(context), hub.clone(), ending.clone());
        parts.spawn(async move {
            crate::notify::run(file, told, hub, ending).await;
            Ended::Notify
        });
    }
    let demo = args.demo.clone().map(|dir| {
        let (hub, engine) = (hub.clone(), engine.clone());
        parts.spawn(async move { Ended::Demo(demo::seed(&dir, &hub, &engine).await) })
    });
    let (data, socket) = (context.paths.data.display(), context.paths.socket());
    say(&format!("flightdeck {} listens at {}, data in {data}", env!("CARGO_PKG_VERSION"), socket.display()));
    tell_systemd("READY=1");
    let why = until_end(&mut parts, stop).await;
    tell_systemd("STOPPING=1");
    ending.cancel();
    if let Some(demo) = demo {
        demo.abort();
    }
    let everything = args.stop_instances || args.demo.is_some() || matches!(why, Ok(Why::Orphaned));
    engine.shutdown(if everything { Stop::Everything } else { Stop::LeaveRunning }).await;
    drop((hub, engine));
    let rest = async { while parts.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE, rest).await.is_err() {
        tracing::warn!("a part of the server did not end in time");
        parts.shutdown().await;
    }
    why.map(drop)
}

/// Nobody is answered before the engine has told its rows: a script would hear that its service is not
/// there. Who connects meanwhile waits.
async fn first_rows(hub: Hub) {
    let told = async {
        let mut updates = hub.subscribe(None).await?;
        while let Some(update) = updates.next().await {
            let rows = update.scoped.scope.source.as_str() == SOURCE && update.scoped.scope.part.is_empty();
            if rows && matches!(update.scoped.body, Body::Link(LinkState::Live { .. })) {
                break;
            }
        }
        Some(())
    };
    if tokio::time::timeout(FIRST_ROWS, told).await.is_err() {
        tracing::warn!("the engine has not told its rows yet; answering without them");
    }
}

/// Waits for a reason to end: it was told so, or a part failed.
async fn until_end(parts: &mut JoinSet<Ended>, stop: impl Future<Output = Why>) -> Result<Why, Failure> {
    let mut stop = std::pin::pin!(stop);
    loop {
        let ended = tokio::select! {
            why = &mut stop => {
                tracing::info!(?why, "ending");
                return Ok(why);
            }
            Some(ended) = parts.join_next() => ended,
        };
        let what = match ended {
            Ok(Ended::Demo(Ok(())) | Ended::Notify) => continue,
            Ok(Ended::Demo(Err(error))) => return Err(Failure::from_error(Code::Failed, &error)),
            Ok(Ended::Engine(Err(error))) => return Err(Failure::from_error(Code::Failed, &error)),
            Ok(Ended::Engine(Ok(()))) => "the engine",
            Ok(Ended::Hub) => "the hub",
            Ok(Ended::Failed(part)) => return Err(Failure::failed(format!("{part} failed; see the log"))),
            Ok(Ended::Socket) => "the listener",
            Err(error) => return Err(Failure::failed(format!("a part of the server failed: {error}"))),
        };
        return Err(Failure::failed(format!("{what} ended by itself; instances and proxy go on"))
            .todo("start the server again; it adopts them"));
    }
}

async fn open(context: &Context, args: &ServeArgs) -> Result<Server, Failure> {
    let wrong = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let flags = [("serve.group", &args.group), ("serve.ports", &args.ports), ("serve.lease", &args.lease)];
    let flags: Vec<_> = flags.iter().filter_map(|(key, value)| Some((*key, json!(value.as_ref()?)))).collect();
    let settings = settings::load(&context.paths, PROVIDERS, &flags)?.settings;
    let told = notify::destinations(&settings.notify).await?;
    let sources = sources::served(&settings)?;
    let (watchdogs, (objectives, on_burn)) = (watchdogs(&settings), objectives::rules(&settings));
    let serve = settings.serve;
    let access = serve.group.map_or(Access::Owner, Access::Group);
    reachable(&context.paths, &access)?;
    // First of all: a second server is refused before it has changed anything.
    let bound = server::bind(&context.paths.socket(), &access).await.map_err(|error| wrong(&error))?;
    let exe = std::env::current_exe().map_err(|error| Failure::failed(format!("cannot find this program: {error}")))?;
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let kept = serve.retention;
    let retention = Retention {
        releases: count(kept.releases),
        logs: count(kept.logs),
        log_age: kept.log_age,
        deployments: kept.deployments.into(),
        deployment_age: kept.deployment_age,
    };
    let (engine, engine_task) = Engine::open(Settings {
        source: SourceId::from(SOURCE),
        data: context.paths.data.clone(),
        exe,
        ports: serve.ports.0,
        lease: serve.lease,
        retention,
    })
    .map_err(|error| wrong(&error))?;
    let ledger = Ledger::open(&ledger_dir(&context.paths)).map_err(|error| wrong(&error))?;
    let policy = Policy {
        enforced: true,
        read_only: context.globals.read_only,
        operators: serve.operators,
        admins: serve.admins,
        apply: serve.apply.into_iter().map(|(name, who)| (name.into(), who)).collect(),
    };
    let hub = HubSettings::new(SourceId::from(SOURCE), policy.clone(), ledger.clone());
    let hub = HubSettings { watchdogs, objectives, on_burn, ..hub };
    let sources::Opened { mut executors, probes } = sources::open(sources).await;
    executors.insert(0, Arc::new(EngineExecutor(engine.clone())));
    let (hub, hub_task) = Hub::start(hub, executors);
    let hub_task = hub_task.measured_by(probes);
    Ok(Server { bound, engine, engine_task, hub, hub_task, ledger, policy, told })
}

/// What is done by itself about bad candidates, by environment.
pub(super) fn watchdogs(settings: &settings::Settings) -> BTreeMap<EnvironmentName, WatchdogRule> {
    let rule = |watchdog: &settings::Watchdog| WatchdogRule {
        on_breach: watchdog.on_breach,
        template: watchdog.template.clone(),
    };
    settings.watchdog.iter().map(|(name, watchdog)| (name.as_str().into(), rule(watchdog))).collect()
}

/// Where the ledger lies.
pub(super) fn ledger_dir(paths: &Paths) -> PathBuf {
    paths.data.join("ledger")
}

/// The data folder is nobody else's, so a socket inside it would be out of a group's reach.
fn reachable(paths: &Paths, access: &Access) -> Result<(), Failure> {
    match access {
        Access::Group(group) if paths.runtime.starts_with(&paths.data) => {
            let what =
                format!("the group {group} can't reach a socket in {}, which only you may enter", paths.data.display());
            Err(Failure::usage(what)
                .todo("set FLIGHTDECK_RUNTIME_DIR to a folder outside of it, such as /run/flightdeck"))
        }
        _ => Ok(()),
    }
}

/// Resolves with the reason once a signal, or the end of standard input, says to end.
fn told_to_stop(stdin: bool) -> Result<impl Future<Output = Why>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")));
    let (mut term, mut int, mut hangup) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?);
    Ok(async move {
        let closed = async {
            if !stdin {
                std::future::pending::<()>().await;
            }
            if let Err(error) = demo::stdin_closed().await {
                tracing::error!(%error, "standard input is no pipe whose end could be waited for");
            }
        };
        tokio::select! {
            _ = term.recv() => Why::Signal("SIGTERM"),
            _ = int.recv() => Why::Signal("SIGINT"),
            _ = hangup.recv() => Why::Signal("SIGHUP"),
            () = closed => Why::Orphaned,
        }
    })
}

/// Tells systemd, where it started us. Source: sd_notify(3).
fn tell_systemd(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&address, state) {
        tracing::warn!(%error, "could not tell the service manager {state}");
    }
}

fn send(address: &std::ffi::OsStr, state: &str) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.send_to_addr(state.as_bytes(), &platform::abstract_address(name)?),
        None => socket.send_to_addr(state.as_bytes(), &SocketAddr::from_pathname(address)?),
    }
    .map(drop)
}
