//! Linux: pidfds, `/proc`, cgroups.

pub mod listening;

/// It gives back what a thousand connections left behind, which the C library's keeps, and takes less time for each
/// request. One for every program that is built here.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use super::identity::Identity;
use super::unsupported::{BinaryFormat, NotSupported};
use nix::unistd::{Gid, Uid};
use rustix::io::Errno;
use rustix::net::sockopt::{self, socket_acceptconn};
use rustix::net::{RecvFlags, SendFlags};
use rustix::param::clock_ticks_per_second;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, getrlimit, pidfd_getfd, pidfd_open, pidfd_send_signal,
    set_parent_process_death_signal, setpriority_process, setrlimit,
};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the kernel runs by itself.
pub const BINARIES: BinaryFormat = BinaryFormat::Elf;
/// Does the kernel keep a process's own limit of writable memory?
pub const KEEPS_MEMORY_LIMITS: bool = true;
pub(super) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
pub(super) const SEND: SendFlags = SendFlags::NOSIGNAL;
/// Where the kernel lists what it runs by other means than by itself.
const OTHER_FORMATS: &str = "/proc/sys/fs/binfmt_misc";

/// When a process started, and whether it has ended.
pub(super) struct Start {
    /// In clock ticks since boot.
    pub time: u64,
    pub dead: bool,
}

pub(super) fn start_of(pid: u32) -> io::Result<Start> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat: {text:?}")))
}

/// Field 22 of proc_pid_stat(5). The second is the command in parentheses and may hold anything, parentheses included.
fn parse_stat(text: &str) -> Option<Start> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X" | "x");
    Some(Start { time: fields.nth(18)?.parse().ok()?, dead })
}

pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Time that the machine slept included. A jump of the wall clock changes nothing.
pub(super) fn since(start: u64) -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or_default());
    let ticks = clock_ticks_per_second().max(1);
    now.saturating_sub(Duration::from_millis(start.saturating_mul(1000) / ticks))
}

/// Signals the process of this number if `is_it` says so, which is asked once the number can't come to mean another.
pub(super) fn signal(pid: Pid, signal: Signal, is_it: impl FnOnce() -> bool) -> io::Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    if is_it() { Ok(pidfd_send_signal(&process, signal)?) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// A descriptor that is readable once the process has ended, which it does not reap. The process must be a child that
/// is not reaped yet, so that its pid can't have changed hands.
pub fn exit_fd(pid: Pid) -> io::Result<OwnedFd> {
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// The path of this process's own program, also when its file was replaced or removed.
pub fn own_program() -> io::Result<PathBuf> {
    Ok("/proc/self/exe".into())
}

/// The numbers of all processes.
pub fn processes() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// The file that a process runs, whether it is still there or has been replaced since.
pub fn program_of(pid: u32) -> io::Result<PathBuf> {
    let exe = fs::read_link(format!("/proc/{pid}/exe"))?.into_os_string().into_vec();
    Ok(OsString::from_vec(exe.strip_suffix(b" (deleted)").unwrap_or(&exe).to_vec()).into())
}

/// The words that a process was started with.
pub fn command_line(pid: u32) -> io::Result<Vec<OsString>> {
    let all = fs::read(format!("/proc/{pid}/cmdline"))?;
    let words = all.strip_suffix(b"\0").unwrap_or(&all).split(|byte| *byte == 0);
    Ok(words.map(|word| OsString::from_vec(word.to_vec())).collect())
}

/// The folder that a process works in.
pub fn working_folder(pid: u32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd"))
}

pub(super) fn with_environment(entry: &str) -> Vec<Identity> {
    let has = |pid: u32| {
        // The identity is read first: if the pid changes hands in between, the later check fails.
        let identity = Identity::of(pid).ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()).then_some(identity)
    };
    processes().unwrap_or_default().into_iter().filter_map(has).collect()
}

/// The process that locked the file, by the kernel's list. Source: proc_locks(5).
pub(super) fn locker(file: &File) -> Option<u32> {
    let about = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(about.dev()), rustix::fs::minor(about.dev()));
    let inode = format!("{major:02x}:{minor:02x}:{}", about.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let ours = locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            // Not those that only wait: `1: -> FLOCK …`.
            [_, "FLOCK", _, _, pid, at, ..] if *at == inode => pid.parse::<u32>().ok(),
            _ => None,
        }
    });
    ours.filter(|pid| *pid != 0)
}

/// How many processes the kernel has ended since the machine started, for want of memory of its own or of a limit.
/// `None`: this kernel does not count them.
#[must_use]
pub fn machine_kills() -> Option<u64> {
    let counts = fs::read_to_string("/proc/vmstat").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Where cgroup v2 is mounted; `None`: nowhere.
#[must_use]
pub fn cgroup_mount() -> Option<PathBuf> {
    mount_in(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// `36 35 98:0 / /sys/fs/cgroup rw … - cgroup2 cgroup2 rw`. Source: proc_pid_mountinfo(5).
fn mount_in(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let is_v2 = kind.split(' ').next() == Some("cgroup2");
        place.split(' ').nth(4).filter(|_| is_v2).map(PathBuf::from)
    })
}

/// Does the kernel run more formats than its own here, such as by qemu-user?
#[must_use]
pub fn runs_other_formats() -> bool {
    let Ok(formats) = fs::read_dir(OTHER_FORMATS) else { return false };
    formats.flatten().any(|format| !matches!(format.file_name().to_str(), Some("register" | "status")))
}

/// Where a socket can be connected to, however long its folder's path is. Good for as long as this is kept.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _folder: File,
}

impl SocketPath {
    /// Of the socket of that name in a folder.
    pub fn of(folder: &Path, name: impl AsRef<Path>) -> io::Result<SocketPath> {
        // Through a descriptor, since a socket's path is limited to 107 bytes.
        let folder = File::open(folder)?;
        Ok(SocketPath {
            path: PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name),
            _folder: folder,
        })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Received so already.
#[expect(clippy::unnecessary_wraps, reason = "other systems have to do something")]
pub(super) fn close_on_exec(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    Ok(descriptor)
}

/// The listening sockets of another process, which the kernel gives to whoever may trace it (pidfd_getfd(2)).
pub fn take_listeners(pid: u32) -> io::Result<Vec<TcpListener>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let process = pidfd_open(pid_of(pid).ok_or_else(invalid)?, PidfdFlags::empty())?;
    let mut taken = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // Connections come and go while this looks: what has gone since is no listener, and neither is what stands under
        // its number by now.
        let link = match fs::read_link(entry.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            link => link?,
        };
        if !link.to_string_lossy().starts_with("socket:") {
            continue;
        }
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok()).ok_or_else(invalid)?;
        let socket = match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            Err(Errno::BADF) => continue,
            socket => socket?,
        };
        // One that is no TCP socket has no such address.
        if socket_acceptconn(&socket).is_ok_and(|listens| listens)
            && let socket = TcpListener::from(socket)
            && socket.local_addr().is_ok()
        {
            taken.push(socket);
        }
    }
    Ok(taken)
}

/// The kernel's number as its own type.
pub(super) fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Whoever takes nothing of what a connection of this socket sends for so long is cut off.
pub fn set_user_timeout(socket: impl AsFd, bound: Duration) -> io::Result<()> {
    Ok(sockopt::set_tcp_user_timeout(socket, u32::try_from(bound.as_millis()).unwrap_or(u32::MAX))?)
}

/// An address that is a name instead of a path.
pub fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

/// The groups of a user, by what the machine knows, and this one.
pub fn groups_of(user: &str, group: u32) -> io::Result<Vec<u32>> {
    let user = CString::new(user).map_err(io::Error::other)?;
    Ok(nix::unistd::getgrouplist(&user, Gid::from_raw(group))?.into_iter().map(Gid::as_raw).collect())
}

/// Can a process that is root become another user, with all groups?
pub const fn can_become_user() -> Result<(), NotSupported> {
    Ok(())
}

/// Makes this process another user's.
pub fn become_user(user: u32, group: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    nix::unistd::setgroups(&groups)?;
    nix::unistd::setgid(Gid::from_raw(group))?;
    nix::unistd::setuid(Uid::from_raw(user))?;
    Ok(())
}

/// This process gets SIGTERM when its parent dies.
pub fn end_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::TERM))?)
}

/// Lowers the priority of the calling thread.
pub fn lower_priority() -> io::Result<()> {
    Ok(setpriority_process(None, 10)?)
}

/// This process may have as many files open as it may ask for.
pub fn raise_open_files() -> io::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::LockFile;
    use std::io::Read as _;

    #[test]
    fn the_start_time_is_found_behind_any_command_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21";
        for command in ["cat", "a b", "a) Z 1 (b", ""] {
            let start = parse_stat(&format!("12 ({command}) {rest}")).unwrap();
            assert_eq!((start.time, start.dead), (777, false), "{command:?}");
        }
        assert!(parse_stat("12 (cat) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20").unwrap().dead);
        assert!(parse_stat("12 (cat) S 1 2").is_none());
    }

    #[test]
    fn the_second_hierarchy_is_found_beside_the_first() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 24 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_in(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount_in("30 24 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"), None);
    }

    #[test]
    fn it_is_the_kernel_that_names_the_holder_whatever_the_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        fs::write(&path, "pid 1, somebody else\n").unwrap();
        let mut other = std::process::Command::new("flock")
            .arg(&path)
            .args(["sh", "-c", "echo locked; read line"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 7];
        other.stdout.take().unwrap().read_exact(&mut said).unwrap();
        let error = LockFile::take(&path, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}, flock ", other.id())), "{error}");
        drop(other.stdin.take());
        other.wait().unwrap();
    }
}
