//! One server for one data directory.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why the data directory can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another one has it.
    #[error("{path} belongs to another server: {owner}; stop that one, or use another data directory")]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What it says of its owner.
        owner: String,
    },
    /// A step failed.
    #[error("cannot {step} {path}")]
    Io {
        /// Which.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Held until it is dropped, or the process ends however it does.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; its file then names this process as the owner.
    pub fn take(path: &Path) -> Result<Lock, LockError> {
        let failed = |step| move |source| LockError::Io { step, path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed("open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let mut owner = String::new();
                file.take(200).read_to_string(&mut owner).map_err(failed("read"))?;
                let owner = crate::model::sanitize_line(owner.trim());
                let owner = if owner.is_empty() { "one that is just starting".into() } else { owner };
                return Err(LockError::Held { path: path.to_owned(), owner });
            }
            other => other.map_err(|error| failed("lock")(error.into()))?,
        }
        let me = crate::engine::process::Identity::mine().map_err(failed("name the owner of"))?;
        file.set_len(0).map_err(failed("write"))?;
        file.rewind().map_err(failed("write"))?;
        writeln!(file, "pid {}, start time {}", me.pid, me.start_time).map_err(failed("write"))?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_the_owner_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("another server: pid {}, start time", std::process::id())), "{error}");
        drop(first);
        Lock::take(&path).unwrap();
    }
}
