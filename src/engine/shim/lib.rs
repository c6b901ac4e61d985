//! The shim: one small process for each instance, without a runtime and without a timer, asleep
//! until something happens. It outlives the server; the instance never does without it knowing.

mod check;
pub mod enter;
pub mod log;
pub mod mask;
pub mod socket_handoff;
pub mod wire;

pub use log::LogLimits;

use crate::check::Check;
use crate::log::Log;
use crate::mask::Mask;
use crate::socket_handoff::Sockets;
use crate::wire::{
    BEGUN_FILE, CheckEnd, Checked, DIR_VARIABLE, Ended, Greeting, LOCK_FILE, LOG_DIR, Listening, Request, Response,
    SHIM_WIRE, SOCKET_FILE, SPEC_FILE, STATE_FILE, ShimSpec, Status,
};
use flightdeck_platform::identity::{Identity, with_environment};
use flightdeck_platform::{exit_fd, failpoint, own_program, sockets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, fcntl_setfl, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Connections at once; more are closed unheard.
const MAX_CONNECTIONS: usize = 16;
/// Bytes of one request line.
const MAX_LINE: usize = 4096;
/// First and longest pause before a kept process is started again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A kept process that ran so long is started again at once.
const STEADY: Duration = Duration::from_secs(10);

/// How a shim is started.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ShimArgs {
    /// The instance's directory.
    #[arg(long)]
    pub dir: PathBuf,
}

/// Why a shim can't do its work.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// A step failed.
    #[error("cannot {step}")]
    Io {
        /// Which.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `spec.json` or the secrets can't be understood.
    #[error("cannot read {what}")]
    Parse {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A newer server wrote the spec.
    #[error("spec.json is of version {0}, this program knows {SHIM_WIRE} and older: use the newer program")]
    Newer(u32),
    /// Two shims for one instance.
    #[error("another shim holds this instance")]
    Held,
}

fn io_error(step: &'static str) -> impl Fn(io::Error) -> ShimError {
    move |source| ShimError::Io { step, source }
}

fn errno(step: &'static str) -> impl Fn(Errno) -> ShimError {
    move |error| ShimError::Io { step, source: error.into() }
}

/// Runs the instance of `dir` until it ended and the server has said `forget`.
pub fn run(dir: &Path) -> Result<(), ShimError> {
    match Shim::start(dir) {
        Ok((mut shim, listener)) => shim.serve(&listener),
        Err(error) => {
            let why = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(": ");
            // The server may be gone: then nobody listens, and the error is still returned.
            let _ = greet(&Greeting::Failed { why });
            Err(error)
        }
    }
}

fn greet(greeting: &Greeting) -> io::Result<()> {
    let mut line = serde_json::to_vec(greeting)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// A client of the socket.
struct Connection {
    stream: UnixStream,
    line: Vec<u8>,
    watches: bool,
    /// Came beside the line that is being read.
    socket: Option<OwnedFd>,
}

/// A running process.
struct Running {
    child: Child,
    pid: Pid,
    /// Readable once it has ended.
    exit: OwnedFd,
    since: Instant,
}

struct Shim {
    spec: ShimSpec,
    secrets: BTreeMap<String, String>,
    dir: PathBuf,
    status: Status,
    running: Option<Running>,
    check: Option<Check>,
    /// Asked to end: it is not started again.
    stopping: bool,
    respawn: Option<Instant>,
    pause: Duration,
    /// Read end of the output; `None` once every writer closed it.
    output: Option<OwnedFd>,
    log: Log,
    /// What the output must not show.
    mask: Mask,
    connections: Vec<Connection>,
    /// What the kept process listens on, while it is away too.
    sockets: Sockets,
    forgotten: bool,
    _lock: File,
}

#[expect(clippy::disallowed_methods, reason = "a shim is a shell: it paces restarts")]
fn now() -> Instant {
    Instant::now()
}

/// One shim for one directory, and the socket by which it is found there.
fn take_directory() -> Result<(File, UnixListener), ShimError> {
    let lock = File::create(LOCK_FILE).map_err(io_error("open shim.lock"))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Err(ShimError::Held),
        other => other.map_err(errno("lock shim.lock"))?,
    }
    match fs::remove_file(SOCKET_FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove the old socket")(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET_FILE).map_err(io_error("bind shim.sock"))?;
    listener.set_nonblocking(true).map_err(io_error("set up shim.sock"))?;
    Ok((lock, listener))
}

impl Shim {
    fn start(dir: &Path) -> Result<(Shim, UnixListener), ShimError> {
        // Fails only for a process group leader, which has a group of its own already.
        let _ = rustix::process::setsid();
        let dir = fs::canonicalize(dir).map_err(io_error("find the instance's directory"))?;
        // Relative from here on: a socket's path is limited to 107 bytes.
        std::env::set_current_dir(&dir).map_err(io_error("enter the instance's directory"))?;
        rustix::process::umask(Mode::from_raw_mode(0o077));
        let spec = fs::read(SPEC_FILE).map_err(io_error("read spec.json"))?;
        let spec: ShimSpec =
            serde_json::from_slice(&spec).map_err(|source| ShimError::Parse { what: "spec.json", source })?;
        if spec.wire > SHIM_WIRE {
            return Err(ShimError::Newer(spec.wire));
        }
        let (lock, listener) = take_directory()?;
        let log = Log::open(Path::new(LOG_DIR), spec.log).map_err(io_error("open the log"))?;
        let status = Status {
            wire: SHIM_WIRE,
            instance: spec.instance.clone(),
            attempt: spec.attempt,
            shim: Identity::mine().map_err(io_error("read the shim's own identity"))?,
            process: None,
            ended: None,
            failed: None,
            restarts: 0,
            keeps: spec.keep,
        };
        let mut shim = Shim {
            spec,
            secrets: BTreeMap::new(),
            dir,
            status,
            running: None,
            check: None,
            stopping: false,
            respawn: None,
            pause: Duration::ZERO,
            output: None,
            log,
            mask: Mask::default(),
            connections: Vec::new(),
            sockets: Sockets::default(),
            forgotten: false,
            _lock: lock,
        };
        shim.save()?;
        greet(&Greeting::Bound).map_err(io_error("answer the server"))?;
        // A server that dies before the end of this leaves half a line, and nothing is started.
        let mut secrets = Vec::new();
        io::stdin().read_to_end(&mut secrets).map_err(io_error("read the secrets"))?;
        shim.secrets =
            serde_json::from_slice(&secrets).map_err(|source| ShimError::Parse { what: "the secrets", source })?;
        shim.mask = Mask::new(&shim.secrets);
        shim.begin()?;
        failpoint::pass("shim-before-spawn");
        shim.spawn()?;
        shim.tell_start()?;
        Ok((shim, listener))
    }

    /// The server may have died by now: that is what a shim is for.
    fn tell_start(&mut self) -> Result<(), ShimError> {
        let _ = greet(&Greeting::Started(self.status.clone()));
        let null = File::options().read(true).write(true).open("/dev/null").map_err(io_error("open /dev/null"))?;
        rustix::stdio::dup2_stdin(&null).map_err(errno("close standard input"))?;
        rustix::stdio::dup2_stdout(&null).map_err(errno("close standard output"))
    }

    /// A file that is made once and never removed while there is anything to tell: whoever finds it
    /// there does not start the process again.
    fn begin(&self) -> Result<(), ShimError> {
        if !self.spec.once {
            return Ok(());
        }
        let made = File::create_new(BEGUN_FILE).and_then(|file| file.sync_all());
        made.and_then(|()| File::open(".")?.sync_all()).map_err(io_error("note that it begins"))
    }

    /// What is to be run, by way of what takes its user and limits first, if there are any.
    fn command(&self, program: &Path) -> Result<Command, ShimError> {
        let mut command = match &self.spec.confinement {
            None => Command::new(program),
            Some(confinement) => {
                let confinement = serde_json::to_string(confinement)
                    .map_err(|source| ShimError::Parse { what: "as whom and within what to start", source })?;
                let mut command = Command::new(own_program().map_err(io_error("find this program"))?);
                command.arg("enter").arg(confinement).arg("--").arg(program);
                command
            }
        };
        command.envs(&self.spec.env).envs(&self.secrets).env(DIR_VARIABLE, &self.dir).current_dir(&self.spec.cwd);
        Ok(command)
    }

    fn spawn(&mut self) -> Result<(), ShimError> {
        let (read, write) = io::pipe().map_err(io_error("make a pipe"))?;
        fcntl_setfl(&read, OFlags::NONBLOCK).map_err(errno("set up the pipe"))?;
        let errors = write.try_clone().map_err(io_error("duplicate the pipe"))?;
        let spawned = self
            .command(&self.spec.program)?
            .args(&self.spec.args)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::from(write))
            .stderr(Stdio::from(errors))
            .spawn();
        self.respawn = None;
        match spawned {
            Err(error) => {
                self.status.failed = Some(format!("{}: {error}", self.spec.program.display()));
                self.plan_respawn(Duration::ZERO);
            }
            Ok(child) => {
                failpoint::pass("shim-after-spawn");
                let identity = Identity::of(child.id()).map_err(io_error("read the instance's identity"))?;
                let pid = Pid::from_child(&child);
                // Not reaped yet, so that its pid can't have changed hands.
                let exit = exit_fd(pid).map_err(io_error("watch the instance"))?;
                self.output = Some(read.into());
                self.running = Some(Running { child, pid, exit, since: now() });
                self.status.process = Some(identity);
                self.status.ended = None;
                self.status.failed = None;
            }
        }
        self.changed()
    }

    fn plan_respawn(&mut self, ran: Duration) {
        if self.spec.keep && !self.stopping {
            // Users wait for it: the first time it comes back at once.
            self.pause = match (ran >= STEADY, self.pause) {
                (true, _) => Duration::ZERO,
                (false, Duration::ZERO) => PAUSES.0,
                (false, pause) => (pause * 2).min(PAUSES.1),
            };
            self.respawn = Some(now() + self.pause);
        }
    }

    /// Whole or not at all; synced only where it must be known after a power cut, which no process
    /// outlives.
    fn save(&self) -> Result<(), ShimError> {
        let text = serde_json::to_vec(&self.status)
            .map_err(|source| ShimError::Parse { what: "the state to be written", source })?;
        let temporary = format!("{STATE_FILE}.new");
        let mut file = File::create(&temporary).map_err(io_error("make state.json"))?;
        file.write_all(&text).map_err(io_error("write state.json"))?;
        if self.spec.once && self.status.ended.is_some() {
            file.sync_all().map_err(io_error("write state.json"))?;
        }
        fs::rename(&temporary, STATE_FILE).map_err(io_error("replace state.json"))
    }

    /// A full disk must not end a shim: watchers are told even if the file can't be written.
    fn changed(&mut self) -> Result<(), ShimError> {
        let saved = self.save();
        let response = Response::Status(self.status.clone());
        self.connections.retain(|connection| !connection.watches || send(&connection.stream, &response));
        if self.running.is_some() || self.status.ended.is_some() { Ok(()) } else { saved }
    }

    fn serve(&mut self, listener: &UnixListener) -> Result<(), ShimError> {
        while !self.forgotten {
            let ready = self.wait(listener)?;
            if ready.output {
                self.read_output();
            }
            if ready.ended {
                self.reap()?;
            }
            if let Some(check) = self.check.as_mut().filter(|_| ready.said) {
                check.read_output();
            }
            if ready.checked || self.check.as_ref().is_some_and(|check| check.left(now()).is_zero()) {
                self.end_check(ready.checked);
            }
            if self.respawn.is_some_and(|at| at <= now()) {
                self.status.restarts += 1;
                self.spawn()?;
            }
            self.read_connections(&ready.connections);
            if ready.accept {
                self.accept(listener);
            }
        }
        let _ = fs::remove_file(SOCKET_FILE); // gone with the shim, or replaced by the next one
        Ok(())
    }

    fn wait(&self, listener: &UnixListener) -> Result<Ready, ShimError> {
        let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
        fds.extend(self.output.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        fds.extend(self.running.as_ref().map(|running| PollFd::new(&running.exit, PollFlags::IN)));
        fds.extend(self.check.as_ref().map(|check| PollFd::from_borrowed_fd(check.exit(), PollFlags::IN)));
        let said = self.check.as_ref().and_then(Check::output);
        fds.extend(said.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        fds.extend(self.connections.iter().map(|connection| PollFd::new(&connection.stream, PollFlags::IN)));
        let respawn = self.respawn.map(|at| at.saturating_duration_since(now()));
        let checked = self.check.as_ref().map(|check| check.left(now()));
        let timeout = respawn.into_iter().chain(checked).min().map(|left| {
            let left = left + Duration::from_millis(1);
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(1), tv_nsec: i64::from(left.subsec_nanos()) }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(Ready::default()),
            other => other.map_err(errno("wait"))?,
        };
        let mut hits = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            accept: hits.next().unwrap_or(false),
            output: self.output.is_some() && hits.next().unwrap_or(false),
            ended: self.running.is_some() && hits.next().unwrap_or(false),
            checked: self.check.is_some() && hits.next().unwrap_or(false),
            said: said.is_some() && hits.next().unwrap_or(false),
            connections: hits.collect(),
        })
    }

    fn read_output(&mut self) {
        let mut buffer = [0; 16 << 10];
        while let Some(output) = &self.output {
            match rustix::io::read(output, &mut buffer) {
                Ok(count @ 1..) => {
                    let shown = self.mask.next(buffer.get(..count).unwrap_or_default());
                    self.write_log(&shown);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(0) | Err(_) => {
                    self.output = None;
                    let rest = self.mask.rest();
                    self.write_log(&rest);
                }
            }
        }
    }

    /// On a full disk the output is lost, but the instance is not blocked by it.
    fn write_log(&mut self, bytes: &[u8]) {
        drop(self.log.write(bytes));
    }

    /// The process is a zombie here: its pid, and with it the group's number, is still its own.
    fn reap(&mut self) -> Result<(), ShimError> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        // It is none of what the instance leaves behind.
        self.end_check(false);
        let left = self.left_behind();
        let _ = kill_process_group(running.pid, Signal::KILL); // nobody left is an error, and fine
        let status = running.child.wait().map_err(io_error("reap the instance"))?;
        self.read_output();
        failpoint::pass("shim-before-end-noted");
        self.status.ended = Some(Ended { code: status.code(), signal: status.signal(), left });
        self.plan_respawn(running.since.elapsed());
        self.changed()
    }

    /// How many processes of the instance run on although its first one has ended. What left its group is ended
    /// here: nobody else would find it before the next start. A kept process is a proxy, whose connections may
    /// be finished by others.
    fn left_behind(&self) -> u32 {
        if self.spec.keep {
            return 0;
        }
        let left = with_environment(&format!("{DIR_VARIABLE}={}", self.dir.display()));
        let lived = left.iter().filter(|process| process.kill()).count();
        u32::try_from(lived).unwrap_or(u32::MAX)
    }

    /// Runs the program that checks the instance; its answer comes when it has ended.
    fn check(&mut self, asker: &UnixStream, bound: Duration) -> Result<(), String> {
        self.end_check(false);
        let (program, args) = self.spec.check.split_first().ok_or("there is no check")?;
        let asker = asker.try_clone().map_err(|error| error.to_string())?;
        let mut command = self.command(Path::new(program)).map_err(|error| error.to_string())?;
        command.args(args);
        let mask = Mask::new(&self.secrets);
        let started = Check::start(command, now() + bound, asker, mask).map_err(|error| format!("{program}: {error}"));
        self.check = Some(started?);
        Ok(())
    }

    /// Tells what a check said, which has ended by itself or is ended now.
    fn end_check(&mut self, by_itself: bool) {
        let Some(check) = self.check.take() else { return };
        let (asker, checked) = if by_itself { check.said() } else { check.cut_off() };
        send(&asker, &Response::Checked(checked));
    }

    fn accept(&mut self, listener: &UnixListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.connections.len() < MAX_CONNECTIONS && stream.set_nonblocking(true).is_ok() {
                self.connections.push(Connection { stream, line: Vec::new(), watches: false, socket: None });
            }
        }
    }

    fn read_connections(&mut self, ready: &[bool]) {
        let connections = std::mem::take(&mut self.connections);
        for (index, mut connection) in connections.into_iter().enumerate() {
            let hit = ready.get(index).copied().unwrap_or(false);
            if !hit || self.read_connection(&mut connection) {
                self.connections.push(connection);
            }
        }
    }

    /// False when the connection is over.
    fn read_connection(&mut self, connection: &mut Connection) -> bool {
        let mut buffer = [0; 1024];
        loop {
            match sockets::receive(&connection.stream, &mut buffer) {
                Ok((0, _)) => return false,
                Ok((count, socket)) => {
                    connection.line.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    connection.socket = socket.or(connection.socket.take());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
            while let Some(end) = connection.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = connection.line.drain(..=end).collect();
                let sent = match serde_json::from_slice(&line) {
                    Ok(Request::Lend(at)) => self.lend(&connection.stream, &at),
                    Ok(Request::Check { timeout_ms }) => {
                        match self.check(&connection.stream, Duration::from_millis(timeout_ms)) {
                            Ok(()) => true,
                            Err(why) => {
                                let checked = Checked { end: CheckEnd::NotStarted { why }, said: Vec::new() };
                                send(&connection.stream, &Response::Checked(checked))
                            }
                        }
                    }
                    Ok(request) => {
                        let response = self.answer(request, connection);
                        send(&connection.stream, &response)
                    }
                    Err(error) => {
                        send(&connection.stream, &Response::Refused { why: format!("not a request: {error}") })
                    }
                };
                if !sent {
                    return false;
                }
            }
            if connection.line.len() > MAX_LINE {
                return false;
            }
        }
    }

    fn answer(&mut self, request: Request, connection: &mut Connection) -> Response {
        match request {
            Request::Status => Response::Status(self.status.clone()),
            Request::Watch => {
                connection.watches = true;
                Response::Status(self.status.clone())
            }
            Request::Signal { name } => match signal(&name) {
                Some(signal) => self.signal(signal),
                None => Response::Refused { why: format!("unknown signal {name:?}") },
            },
            Request::LetEnd => {
                self.let_end();
                Response::Done
            }
            Request::Kill => self.signal(Signal::KILL),
            Request::Forget if self.running.is_some() => Response::Refused { why: "the instance runs".into() },
            Request::Forget => {
                self.forgotten = true;
                Response::Done
            }
            Request::Hold(_) if !self.spec.keep => Response::Refused { why: "this process is not kept".into() },
            Request::Hold(at) => match self.sockets.hold(at, connection.socket.take()) {
                Ok(()) => Response::Done,
                Err(why) => Response::Refused { why: why.into() },
            },
            Request::LetGo(at) => {
                self.sockets.let_go(&at);
                Response::Done
            }
            Request::Held => Response::Held(self.sockets.list()),
            // Answered where they are read.
            Request::Lend(_) | Request::Check { .. } => Response::Refused { why: "not answered here".into() },
        }
    }

    fn lend(&self, stream: &UnixStream, at: &Listening) -> bool {
        match (self.sockets.get(at), line(&Response::Done)) {
            (Some(socket), Some(line)) => sockets::send(stream, &line, Some(socket)).is_ok(),
            _ => send(stream, &Response::Refused { why: "no such socket is held".into() }),
        }
    }

    fn let_end(&mut self) {
        self.stopping = true;
        self.status.keeps = false;
        self.respawn = None;
    }

    /// The process is not reaped while `running` is there, so its number is its own.
    fn signal(&mut self, signal: Signal) -> Response {
        self.let_end();
        let Some(running) = &self.running else { return Response::Done };
        let group = kill_process_group(running.pid, signal);
        // In case that it left its group.
        let own = if signal == Signal::KILL { kill_process(running.pid, signal) } else { group };
        match group.or(own) {
            Ok(()) | Err(Errno::SRCH) => Response::Done,
            Err(error) => Response::Refused { why: format!("cannot signal the instance: {error}") },
        }
    }
}

#[derive(Default)]
struct Ready {
    accept: bool,
    output: bool,
    ended: bool,
    checked: bool,
    said: bool,
    connections: Vec<bool>,
}

fn line(response: &Response) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(response).ok()?;
    line.push(b'\n');
    Some(line)
}

fn send(mut stream: &UnixStream, response: &Response) -> bool {
    // A client that does not read is dropped rather than waited for.
    line(response).is_some_and(|line| stream.write_all(&line).is_ok())
}

/// The signals that a configuration can name.
#[must_use]
pub fn signal(name: &str) -> Option<Signal> {
    Some(match name {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "HUP" => Signal::HUP,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        _ => return None,
    })
}
