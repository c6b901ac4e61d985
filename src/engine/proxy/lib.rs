//! The data plane: a process of its own, so that traffic survives the server.
//!
//! A current-thread runtime. `control` owns what is in force and obeys the engine over a unix
//! socket; each `frontend` accepts users' connections on one address and serves them with hyper, with TLS
//! or without; `forward` takes one request to the `backend` that it is for, to one instance and back. What a
//! request may choose is a `route::Routing`, swapped whole; who answers is a `pool::Instance` with its own
//! idle connections. On an address for TCP `tcp` carries bytes as they are, after one choice for each connection.

mod accept;
mod access;
mod backend;
mod body;
mod budget;
pub mod certificate;
mod clock;
mod coalesce;
mod control;
mod counters;
mod drain;
mod flight;
mod forward;
mod framing;
mod frontend;
mod frontends;
mod headers;
mod hosts;
mod pool;
mod route;
mod session;
mod sockets;
mod state;
mod stats;
mod sticky;
mod strict;
mod tcp;
mod tls;
mod tunnel;
mod upload;
mod user;
mod websocket;
pub mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the proxy is started.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ProxyArgs {
    /// Unix socket on which the engine steers; made with mode 0600.
    #[arg(long)]
    pub socket: PathBuf,
    /// Where the routes in force are kept, for a restart.
    #[arg(long)]
    pub state: PathBuf,
    /// Socket of the shim that holds the listening sockets while this process is away.
    #[arg(long, env = SHIM_VARIABLE)]
    pub shim: Option<PathBuf>,
    /// Folder of the access logs, one for each service in an environment.
    #[arg(long, default_value = "../access")]
    pub access_logs: PathBuf,
    /// Log file; standard error without it.
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// How long a leased route stays without a renewal, from when it is set.
    #[arg(long, default_value_t = 60_000)]
    pub lease_ms: u64,
    /// Time for a request's head to arrive; also how long an idle kept-alive connection stays.
    #[arg(long, default_value_t = 60_000)]
    pub header_timeout_ms: u64,
    /// Time for connecting to an instance.
    #[arg(long, default_value_t = 2_000)]
    pub connect_timeout_ms: u64,
    /// Time without progress for an instance to begin its answer. The answer itself may take forever.
    #[arg(long, default_value_t = 60_000)]
    pub answer_timeout_ms: u64,
    /// Time without progress for a user to send the body of a request, or to take an answer.
    #[arg(long, default_value_t = 60_000)]
    pub stall_timeout_ms: u64,
    /// Connections from users for each address; more wait in the kernel's queue.
    #[arg(long, default_value_t = 4_096)]
    pub max_connections: usize,
    /// Of those, for each address that users come from, besides that none may have more than three times what is left free; more are
    /// closed at once.
    #[arg(long, default_value_t = 4_096)]
    pub max_connections_per_address: usize,
    /// Longest request or answer head in bytes; at least 8192.
    #[arg(long, default_value_t = 65_536)]
    pub max_head_bytes: usize,
    /// Bound for requests in flight after SIGTERM.
    #[arg(long, default_value_t = 10_000)]
    pub grace_ms: u64,
    /// For how long a closing listener says `Connection: close` before it closes idle connections.
    #[arg(long, default_value_t = 1_000)]
    pub announce_ms: u64,
}

/// The limits of [`ProxyArgs`], as the data path uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a request's head.
    pub header: Duration,
    /// For a connection to an instance.
    pub connect: Duration,
    /// Without progress, until an answer's head.
    pub answer: Duration,
    /// Without progress, for the bytes from and to a user.
    pub stall: Duration,
    /// `Connection: close` is said for so long.
    pub announce: Duration,
    /// Users' connections for each address that is listened on.
    pub connections: usize,
    /// Of those, for each address that they come from.
    pub per_address: usize,
    /// Bytes of a head.
    pub head_bytes: usize,
}

impl ProxyArgs {
    fn limits(&self) -> Limits {
        Limits {
            header: Duration::from_millis(self.header_timeout_ms),
            connect: Duration::from_millis(self.connect_timeout_ms),
            answer: Duration::from_millis(self.answer_timeout_ms),
            stall: Duration::from_millis(self.stall_timeout_ms),
            announce: Duration::from_millis(self.announce_ms),
            connections: self.max_connections.max(1),
            per_address: self.max_connections_per_address.max(1),
            head_bytes: self.max_head_bytes.max(8192),
        }
    }
}

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The async runtime did not start.
    #[error("starting the proxy's runtime")]
    Runtime(#[source] io::Error),
    /// The log file can't be written.
    #[error("opening the proxy's log {path}")]
    Log {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The control socket can't be had.
    #[error("listening on the control socket {path}")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another proxy answers on this socket.
    #[error("another proxy is already serving {path}")]
    Taken {
        /// Which.
        path: PathBuf,
    },
    /// The access log's thread can't be had.
    #[error("starting the thread of the access log")]
    AccessLog(#[source] io::Error),
    /// Signals can't be received.
    #[error("listening for signals")]
    Signals(#[source] io::Error),
}

/// The variable that names the socket of [`ProxyArgs::shim`]. Not an argument, so that a program that
/// does not know it yet starts too.
pub const SHIM_VARIABLE: &str = "FLIGHTDECK_SHIM";

/// The routes that a proxy left on disk; none if they can't be read.
pub fn routes_on_disk(state: &Path) -> Vec<wire::Route> {
    state::Saved::read(state).map(|saved| saved.routes).unwrap_or_default()
}

/// Runs the proxy until it is told to stop.
#[expect(clippy::needless_pass_by_value, reason = "the process's own arguments")]
pub fn run(args: ProxyArgs) -> Result<(), ProxyError> {
    start_log(&args)?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ProxyError::Runtime)?;
    let result = runtime.block_on(control::serve(&args));
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

fn start_log(args: &ProxyArgs) -> Result<(), ProxyError> {
    // A line that can't be written (its shim was killed, the disk is full) must not end the traffic, as
    // the subscriber's own complaint on standard error would.
    let fmt =
        tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO).log_internal_errors(false);
    // A subscriber that is already set (a test, an embedding program) stays: the log is its affair.
    let _already = match &args.log {
        None => fmt.with_writer(io::stderr).try_init(),
        Some(path) => {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|source| ProxyError::Log { path: path.clone(), source })?;
            fmt.with_writer(std::sync::Mutex::new(file)).try_init()
        }
    };
    Ok(())
}

/// A proxied connection takes two descriptors; the usual soft limit of 1024 would be reached first.
fn raise_descriptor_limit() {
    if let Err(error) = flightdeck_platform::raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
