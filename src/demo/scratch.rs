//! The demo's scratch directory, and the processes that belong to it.

use super::DemoError;
use super::plan::failed;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks at what still lives.
const LOOK: Duration = Duration::from_millis(20);
/// How long a process gets to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// A socket's path must be shorter than this (`sun_path`, less what lies below the directory).
const LONGEST_DIR: usize = 60;

/// A process of the demo that is still there. The descriptor can't come to mean another one.
#[derive(Debug)]
struct Left {
    pid: i32,
    fd: OwnedFd,
}

/// Makes the scratch directory, mode 0700.
pub(super) fn make() -> Result<PathBuf, DemoError> {
    let usual = std::env::temp_dir();
    let base = if usual.as_os_str().len() > LONGEST_DIR - 24 { Path::new("/tmp") } else { usual.as_path() };
    let dir = tempfile::Builder::new()
        .prefix("flightdeck-demo-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(base)
        .map_err(failed("make a scratch directory in", base))?;
    // Removed by hand: its processes must be gone first.
    let dir = dir.keep();
    dir.canonicalize().map_err(failed("find", &dir))
}

/// Ends whatever of this program still runs for that directory, then removes it. Nothing of
/// another program is touched, and a process is signalled through a descriptor that was checked
/// after it was opened, so a pid that is used again is never hit.
///
/// # Errors
/// If something can't be ended or removed; the text names it.
pub fn remove(dir: &Path) -> Result<(), DemoError> {
    let (signals, tries) = ([Signal::TERM, Signal::KILL], GRACE.as_millis() / LOOK.as_millis());
    for signal in signals {
        for round in 0..tries {
            let left = processes(dir).map_err(failed("look for processes of", dir))?;
            if left.is_empty() {
                return remove_files(dir);
            }
            // New ones may have been started meanwhile, such as a shim's next attempt.
            if round % 10 == 0 {
                for process in &left {
                    // One that has ended meanwhile needs no signal.
                    let _ = pidfd_send_signal(&process.fd, signal);
                }
            }
            std::thread::sleep(LOOK);
        }
    }
    let left = processes(dir).map_err(failed("look for processes of", dir))?;
    Err(DemoError::Left { dir: dir.to_owned(), pids: left.iter().map(|process| process.pid).collect() })
}

fn remove_files(dir: &Path) -> Result<(), DemoError> {
    let mut tries = GRACE.as_millis() / LOOK.as_millis();
    loop {
        match std::fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A file that was made while the directory was read, by a process at its end.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries > 0 => tries -= 1,
            Err(error) => return Err(failed("remove", dir)(error)),
        }
        std::thread::sleep(LOOK);
    }
}

/// Processes of this program, other than this one, that were told of the directory or work in it.
fn processes(dir: &Path) -> io::Result<Vec<Left>> {
    let exe = program("self")?;
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if pid == own || !belongs(pid, &exe, dir) {
            continue;
        }
        let fd = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // Checked again: the number may have changed hands before it was opened.
        if let Some(fd) = fd.filter(|_| belongs(pid, &exe, dir)) {
            left.push(Left { pid, fd });
        }
    }
    Ok(left)
}

/// The file that a process runs, whether it is still there or has been replaced since.
fn program(pid: &str) -> io::Result<PathBuf> {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"))?.into_os_string().into_vec();
    Ok(OsString::from_vec(exe.strip_suffix(b" (deleted)").unwrap_or(&exe).to_vec()).into())
}

fn belongs(pid: i32, exe: &Path, dir: &Path) -> bool {
    if program(&pid.to_string()).ok().as_deref() != Some(exe) {
        return false;
    }
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let told = std::fs::read(proc.join("cmdline")).is_ok_and(|line| contains(&line, dir.as_os_str().as_bytes()));
    let works_there = std::fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    told || works_there
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && line.windows(part.len()).any(|window| window == part)
}
