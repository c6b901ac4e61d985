//! Locks of whole files: taken within a time, and whoever has one is named.

use crate::system;
use flightdeck_model::sanitize_line;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest description of an owner, in bytes.
const LONGEST: u64 = 200;

/// Why a lock can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another one has it.
    #[error("{} is locked by {holder}", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// By whom: `pid 17, flightdeck serve`.
        holder: String,
    },
    /// A step failed.
    #[error("cannot {step} {}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A lock file, which says who has it. Held until it is dropped, or the process ends however it does.
#[derive(Debug)]
pub struct LockFile {
    _file: File,
}

impl LockFile {
    /// Takes the lock, for which it waits so long at most. Blocks.
    pub fn take(path: &Path, wait: Duration) -> Result<LockFile, LockError> {
        let failed = |step| move |source| LockError::Io { step, path: path.to_owned(), source };
        let mut file = super::open(path).map_err(failed("open"))?;
        lock(&file, path, wait)?;
        match name_holder(&mut file) {
            // It is held all the same, and where the disk is full somebody has to be able to abort.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => file.set_len(0).map_err(failed("write"))?,
            named => named.map_err(failed("write"))?,
        }
        Ok(LockFile { _file: file })
    }
}

/// Over what stands there: emptied first, the file would give room away that somebody else takes on a full disk.
fn name_holder(file: &mut File) -> io::Result<()> {
    let line = format!("{}\n", described(std::process::id()));
    file.rewind()?;
    file.write_all(line.as_bytes())?;
    file.set_len(line.len() as u64)
}

/// Locks a file that is open, until it is unlocked or closed. Waits so long at most; blocks.
pub fn lock(file: &File, path: &Path, wait: Duration) -> Result<(), LockError> {
    let tries = wait.as_millis() / PAUSE.as_millis();
    for left in (0..=tries).rev() {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if left > 0 => std::thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => break,
            Err(error) => return Err(LockError::Io { step: "lock", path: path.to_owned(), source: error.into() }),
        }
    }
    Err(LockError::Held { path: path.to_owned(), holder: holder(file) })
}

/// Who has the lock: as the kernel says where it does, else as the file says.
fn holder(file: &File) -> String {
    if let Some(pid) = system::locker(file) {
        return described(pid);
    }
    let mut text = String::new();
    let mut start = file;
    // What can't be read says nothing.
    let read = start.rewind().and_then(|()| start.take(LONGEST).read_to_string(&mut text));
    let said = if read.is_ok() { sanitize_line(text.trim()) } else { String::new() };
    if said.is_empty() { "another process".to_owned() } else { said }
}

/// `pid 17, flightdeck serve`.
fn described(pid: u32) -> String {
    let words: Vec<String> = if pid == std::process::id() {
        std::env::args().take(2).collect()
    } else {
        let words = system::command_line(pid).unwrap_or_default();
        words.iter().filter(|word| !word.is_empty()).take(2).map(|word| word.to_string_lossy().into_owned()).collect()
    };
    let mut command = words.join(" ");
    if let Some((folder, _)) = words.first().and_then(|program| program.rsplit_once('/')) {
        command = command.split_off(folder.len() + 1);
    }
    let command: String = sanitize_line(&command).chars().take(100).collect();
    if command.is_empty() { format!("pid {pid}") } else { format!("pid {pid}, {command}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_has_it_after_its_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = LockFile::take(&path, Duration::ZERO).unwrap();
        for wait in [Duration::ZERO, PAUSE * 3] {
            let error = LockFile::take(&path, wait).unwrap_err().to_string();
            assert!(error.contains(&format!("is locked by pid {}, ", std::process::id())), "{error}");
        }
        drop(first);
        LockFile::take(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn one_who_comes_within_the_wait_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = LockFile::take(&path, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| LockFile::take(&path, Duration::from_secs(30)));
            drop(first);
            second.join().unwrap().unwrap();
        });
    }
}
