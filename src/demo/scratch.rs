//! The demo's scratch directory, and the processes that belong to it.

use super::DemoError;
use super::plan::failed;
use crate::platform::{self, Identity, command_line, program_of, working_folder};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks at what still lives.
const LOOK: Duration = Duration::from_millis(20);
/// How long a process gets to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// A socket's path must be shorter than this (`sun_path`, less what lies below the directory).
const LONGEST_DIR: usize = 60;

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
/// another program is touched, and a pid that is used again is never hit.
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
                    process.signal(signal); // one that has ended meanwhile needs none
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
fn processes(dir: &Path) -> io::Result<Vec<Identity>> {
    let own = std::process::id();
    let exe = program_of(own)?;
    // The identity is read first: a signal then reaches what was looked at, or nothing.
    let ours = |pid: u32| Identity::of(pid).ok().filter(|_| pid != own && belongs(pid, &exe, dir));
    Ok(platform::processes()?.into_iter().filter_map(ours).collect())
}

fn belongs(pid: u32, exe: &Path, dir: &Path) -> bool {
    if program_of(pid).ok().as_deref() != Some(exe) {
        return false;
    }
    let names = |word: &OsString| contains(word.as_bytes(), dir.as_os_str().as_bytes());
    command_line(pid).is_ok_and(|words| words.iter().any(names))
        || working_folder(pid).is_ok_and(|folder| folder.starts_with(dir))
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && line.windows(part.len()).any(|window| window == part)
}
