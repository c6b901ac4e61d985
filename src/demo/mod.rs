//! A live system to try: sample services, load, a scratch directory.
//!
//! `flightdeck demo` is a small parent that owns one child, `flightdeck serve --demo DIR`, by a pipe
//! on its standard input. When the pipe closes, for whatever reason, the server ends everything and
//! removes the directory; so nothing is left behind, also after a kill -9 of the parent. If the
//! server was killed, the parent does the same in its place.

pub mod load;
mod pipe;
mod plan;
pub mod sample;
mod scratch;
mod seed;

pub use pipe::stdin_closed;
pub use plan::{Deployed, PLAN, Plan, Seeded, Users};
pub use scratch::remove;
pub use seed::seed;

use crate::cockpit::shell::{GuardError, guard};
use crate::config::{ConfigError, Paths};
use crate::model::sanitize;
use plan::failed;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often the parent looks whether its server is up, or gone.
const LOOK: Duration = Duration::from_millis(10);
/// How many such looks until the server counts as not starting.
const LOOKS_UP: u32 = 1500;
/// How many until it counts as not ending.
const LOOKS_DOWN: u32 = 2000;
/// The server's output, in the scratch directory.
const LOG: &str = "serve.log";

/// Options of `flightdeck demo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct DemoArgs {
    /// No cockpit: print the server's socket and run until a signal comes.
    #[arg(long)]
    pub headless: bool,
}

/// Why the demo could not be shown, or left something behind.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file or directory.
    #[error("cannot {step} {path}")]
    File {
        /// What was tried.
        step: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// No free ports.
    #[error("cannot find free ports on 127.0.0.1 from 10000 to 18999")]
    Ports,
    /// The demo's own configuration is not accepted.
    #[error("the demo's own configuration is wrong")]
    Config(#[source] ConfigError),
    /// The plan can't be read.
    #[error("cannot read the demo's plan")]
    Plan(#[source] serde_json::Error),
    /// There is nothing to draw on.
    #[error("the demo needs a terminal; `flightdeck demo --headless` does without")]
    NoTerminal,
    /// A process.
    #[error("cannot {step}")]
    Process {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The server ended or never answered.
    #[error("the demo's server {how}; its last words:\n{log}")]
    Server {
        /// What it did.
        how: String,
        /// The end of its output.
        log: String,
    },
    /// The cockpit.
    #[error("cannot run the cockpit")]
    Guard(#[from] GuardError),
    /// Processes that can't be ended.
    #[error("processes {pids:?} of the demo in {dir} can't be ended; end them by hand, then remove it")]
    Left {
        /// The scratch directory.
        dir: PathBuf,
        /// Which.
        pids: Vec<u32>,
    },
    /// Something that the server was to do at its start.
    #[error("the demo's server could not {step}: {why}")]
    Seed {
        /// What.
        step: String,
        /// What was said.
        why: String,
    },
}

/// Runs the demo until its cockpit ends, then removes all of it. Returns the cockpit's exit code.
///
/// # Errors
/// If it could not be started, or if something of it could not be removed.
pub fn run(args: &DemoArgs) -> Result<i32, DemoError> {
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if !args.headless && !terminal {
        return Err(DemoError::NoTerminal);
    }
    // From here on these signals end the demo in order, not at once.
    let mut signals = Signals::new([SIGCHLD, SIGTERM, SIGHUP, SIGINT]).map_err(process("listen for signals"))?;
    let exe = std::env::current_exe().map_err(process("find this program"))?;
    let dir = scratch::make()?;
    let shown = show(args, &exe, &dir, &mut signals);
    // Whatever happened, nothing stays behind; the first error is the one that counts.
    let removed = remove(&dir);
    let code = shown?;
    removed.map(|()| code)
}

fn show(args: &DemoArgs, exe: &Path, dir: &Path, signals: &mut Signals) -> Result<i32, DemoError> {
    plan::write(dir, exe)?;
    let paths = Paths::under(dir);
    let mut server = Server::start(exe, dir, &paths)?;
    server.wait_until_up(&paths.socket(), signals)?;
    let code = if args.headless {
        let line = format!("{}\n", paths.socket().display());
        io::stdout()
            .write_all(line.as_bytes())
            .and_then(|()| io::stdout().flush())
            .map_err(process("print the socket"))?;
        server.wait_for_signal(signals)?;
        0
    } else {
        let mut cockpit = Command::new(exe);
        cockpit.arg("--server").arg(format!("unix:{}", paths.socket().display()));
        let code = code_of(guard(cockpit)?);
        // One that ended meanwhile is told with its last words.
        server.still_there()?;
        code
    };
    server.end()?;
    Ok(code)
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

fn process(step: &'static str) -> impl Fn(io::Error) -> DemoError {
    move |source| DemoError::Process { step, source }
}

/// The demo's server.
struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it in a process group of its own: ctrl-c and ctrl-z are for the cockpit alone.
    fn start(exe: &Path, dir: &Path, paths: &Paths) -> Result<Server, DemoError> {
        let log = dir.join(LOG);
        let out = std::fs::File::create(&log).map_err(failed("write", &log))?;
        let err = out.try_clone().map_err(failed("write", &log))?;
        let child = Command::new(exe)
            .arg("serve")
            .arg("--demo")
            .arg(dir)
            .env("FLIGHTDECK_CONFIG_DIR", &paths.config)
            .env("FLIGHTDECK_DATA_DIR", &paths.data)
            .env("FLIGHTDECK_STATE_DIR", &paths.state)
            .env("FLIGHTDECK_RUNTIME_DIR", &paths.runtime)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(process("start the demo's server"))?;
        Ok(Server { child, log })
    }

    fn wait_until_up(&mut self, socket: &Path, signals: &mut Signals) -> Result<(), DemoError> {
        for _ in 0..LOOKS_UP {
            if UnixStream::connect(socket).is_ok() {
                return Ok(());
            }
            self.still_there()?;
            if let Some(signal) = signals.pending().find(|signal| *signal != SIGCHLD) {
                return Err(self.failure(format!("was not up yet when signal {signal} came")));
            }
            std::thread::sleep(LOOK);
        }
        Err(self.failure("did not answer in time".to_owned()))
    }

    fn still_there(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait().map_err(process("ask for the demo's server"))? {
            Some(status) => Err(self.failure(format!("ended ({status})"))),
            None => Ok(()),
        }
    }

    fn failure(&self, how: String) -> DemoError {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n");
        DemoError::Server { how, log: sanitize(&tail) }
    }

    fn wait_for_signal(&mut self, signals: &mut Signals) -> Result<(), DemoError> {
        loop {
            for signal in signals.wait() {
                if signal != SIGCHLD {
                    return Ok(());
                }
                self.still_there()?;
            }
        }
    }

    /// Closes the pipe and waits for the end; a server that hangs is left to [`remove`].
    fn end(&mut self) -> Result<(), DemoError> {
        drop(self.child.stdin.take());
        for _ in 0..LOOKS_DOWN {
            if self.child.try_wait().map_err(process("wait for the demo's server"))?.is_some() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Server {
    /// On an error as well the server gets its chance to end everything in order.
    fn drop(&mut self) {
        let _ = self.end();
    }
}
