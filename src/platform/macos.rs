//! macOS: kqueues, and what the kernel says of processes, by way of `sysinfo` and `listeners`.

pub mod listening;

use super::identity::Identity;
use super::unsupported::{BinaryFormat, NotSupported};
use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process, setrlimit, waitid,
};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sysinfo::{Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

/// What the kernel runs by itself.
pub const BINARIES: BinaryFormat = BinaryFormat::MachO;
/// Does the kernel keep a process's own limit of writable memory? It counts only what no allocator uses.
pub const KEEPS_MEMORY_LIMITS: bool = false;
pub(super) const RECEIVE: RecvFlags = RecvFlags::empty();
/// No signal comes of a socket that the other side closed: Rust's runtime ignores it.
pub(super) const SEND: SendFlags = SendFlags::empty();
/// Bytes of a socket's path, without the zero at its end (`sun_path`, unix(4)).
const LONGEST_SOCKET: usize = 103;
/// The most that setrlimit(2) takes for open files (`OPEN_MAX`).
const MOST_OPEN_FILES: u64 = 10240;

/// When a process started, and whether it has ended.
pub(super) struct Start {
    /// In seconds since 1970. Process numbers come around in minutes at the soonest.
    pub time: u64,
    pub dead: bool,
}

/// What the kernel says of one process.
fn look<T>(pid: u32, what: ProcessRefreshKind, see: impl FnOnce(&Process) -> Option<T>) -> io::Result<T> {
    let mut system = System::new().map_err(io::Error::other)?;
    let pid = sysinfo::Pid::from_u32(pid);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    system.process(pid).and_then(see).ok_or_else(|| io::ErrorKind::NotFound.into())
}

pub(super) fn start_of(pid: u32) -> io::Result<Start> {
    let start =
        |process: &Process| Start { time: process.start_time(), dead: process.status() == ProcessStatus::Zombie };
    look(pid, ProcessRefreshKind::nothing(), |process| Some(start(process))).or_else(|error| {
        // Of a zombie it says nothing, but to its parent that there is one. When it started nobody will compare.
        let waits = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let ended = pid_of(pid).is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), waits), Ok(Some(_))));
        if ended { Ok(Start { time: wall().as_secs(), dead: true }) } else { Err(error) }
    })
}

#[expect(clippy::disallowed_methods, reason = "the kernel notes by this clock when a process started")]
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Not needed: no two boots share the times at which processes start.
#[expect(clippy::unnecessary_wraps, reason = "other systems read it")]
pub(super) fn boot_id() -> io::Result<String> {
    Ok(String::new())
}

/// By the clock on the wall.
pub(super) fn since(start: u64) -> Duration {
    wall().saturating_sub(Duration::from_secs(start))
}

/// Signals the process of this number if `is_it` says so. There is no descriptor of a process: one that ends and is
/// reaped right after the answer could have its number taken over before the signal.
pub(super) fn signal(pid: Pid, signal: Signal, is_it: impl FnOnce() -> bool) -> io::Result<()> {
    if is_it() { Ok(kill_process(pid, signal)?) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// A descriptor that is readable once the process has ended, which it does not reap. The process must be a child that
/// is not reaped yet, so that its pid can't have changed hands.
pub fn exit_fd(pid: Pid) -> io::Result<OwnedFd> {
    let queue = Kqueue::new()?;
    let number = usize::try_from(pid.as_raw_nonzero().get()).map_err(io::Error::other)?;
    let end = KEvent::new(number, EventFilter::EVFILT_PROC, EvFlags::EV_ADD, FilterFlag::NOTE_EXIT, 0, 0);
    match queue.kevent(&[end], &mut [], None) {
        Ok(_) => Ok(queue.into()),
        // It has ended by now. A pipe that nobody can write to is readable too.
        Err(Errno::ESRCH) => Ok(io::pipe()?.0.into()),
        Err(error) => Err(error.into()),
    }
}

/// The path of this process's own program.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The numbers of all processes.
pub fn processes() -> io::Result<Vec<u32>> {
    Ok(all(ProcessRefreshKind::nothing())?.processes().keys().map(|pid| pid.as_u32()).collect())
}

fn all(what: ProcessRefreshKind) -> io::Result<System> {
    let mut system = System::new().map_err(io::Error::other)?;
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    Ok(system)
}

/// The file that a process runs.
pub fn program_of(pid: u32) -> io::Result<PathBuf> {
    let what = ProcessRefreshKind::nothing().with_exe(UpdateKind::Always);
    look(pid, what, |process| process.exe().map(Path::to_owned))
}

/// The words that a process was started with.
pub fn command_line(pid: u32) -> io::Result<Vec<OsString>> {
    let what = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always);
    look(pid, what, |process| Some(process.cmd().to_vec()))
}

/// The folder that a process works in.
pub fn working_folder(pid: u32) -> io::Result<PathBuf> {
    let what = ProcessRefreshKind::nothing().with_cwd(UpdateKind::Always);
    look(pid, what, |process| process.cwd().map(Path::to_owned))
}

/// The kernel shows no environment of programs that are Apple's own, such as `/bin/sh`: those are not found.
pub(super) fn with_environment(entry: &str) -> Vec<Identity> {
    let Ok(system) = all(ProcessRefreshKind::nothing().with_environ(UpdateKind::Always)) else { return Vec::new() };
    let ours = system.processes().values().filter(|process| process.environ().iter().any(|found| found == entry));
    ours.map(|process| Identity {
        pid: process.pid().as_u32(),
        start_time: process.start_time(),
        boot_id: String::new(),
    })
    .collect()
}

/// Nobody says who locked a file.
pub(super) fn locker(_: &File) -> Option<u32> {
    None
}

/// Nobody counts what was ended for want of memory.
#[must_use]
pub fn machine_kills() -> Option<u64> {
    None
}

/// There are no cgroups.
#[must_use]
pub fn cgroup_mount() -> Option<PathBuf> {
    None
}

/// Does the kernel run more formats than its own here?
#[must_use]
pub fn runs_other_formats() -> bool {
    false
}

/// Where a socket can be connected to.
#[derive(Debug)]
pub struct SocketPath(PathBuf);

impl SocketPath {
    /// Of the socket of that name in a folder. There is no other way to it than its own path.
    pub fn of(folder: &Path, name: impl AsRef<Path>) -> io::Result<SocketPath> {
        let path = folder.join(name);
        if path.as_os_str().as_bytes().len() > LONGEST_SOCKET {
            let why = format!(
                "the path {} of a socket is longer than the {LONGEST_SOCKET} bytes that this system can connect to: \
                 choose shorter folders, by FLIGHTDECK_DATA_DIR and FLIGHTDECK_RUNTIME_DIR",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(SocketPath(path))
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// What is received can't come so. Between the two a program that another thread starts could inherit it.
pub(super) fn close_on_exec(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// The listening sockets of another process.
pub fn take_listeners(_: u32) -> io::Result<Vec<TcpListener>> {
    Err(NotSupported("taking sockets from a running process").into())
}

/// The kernel's number as its own type.
pub(super) fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Whoever takes nothing of what a connection of this socket sends for so long is cut off.
pub fn set_user_timeout(_: impl AsFd, _: Duration) -> io::Result<()> {
    Err(NotSupported("cutting off by the kernel who takes nothing of an answer").into())
}

/// An address that is a name instead of a path.
pub fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(NotSupported("a socket without a path").into())
}

/// The groups of a user, by what the machine knows, and this one.
pub fn groups_of(user: &str, group: u32) -> io::Result<Vec<u32>> {
    let groups = uzers::get_user_groups(user, group);
    let groups = groups.ok_or_else(|| io::Error::other(format!("the groups of {user} can't be looked up")))?;
    Ok(groups.iter().map(uzers::Group::gid).collect())
}

/// Can a process that is root become another user, with all groups?
pub const fn can_become_user() -> Result<(), NotSupported> {
    Err(NotSupported("starting a program as another user"))
}

/// Makes this process another user's.
pub fn become_user(_: u32, _: u32, _: &[u32]) -> io::Result<()> {
    Ok(can_become_user()?)
}

/// This process gets SIGTERM when its parent dies.
pub fn end_with_parent() -> io::Result<()> {
    Err(NotSupported("a signal at the end of the parent process").into())
}

/// Lowers the priority of the calling thread.
pub fn lower_priority() -> io::Result<()> {
    Err(NotSupported("a priority of one thread").into())
}

/// This process may have as many files open as it may ask for.
pub fn raise_open_files() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(MOST_OPEN_FILES, |most| most.min(MOST_OPEN_FILES)));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}
