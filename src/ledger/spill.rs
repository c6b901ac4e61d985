//! Where urgent records go when the store can't be written: a file that already has its blocks.

use super::store::LOCKED;
use crate::files;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Room for some thousand records.
const SIZE: u64 = 4 << 20;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spilled {
    pub at: String,
    pub kind: String,
    pub subject: String,
    pub finished: bool,
    pub body: String,
    /// Why the store could not take it.
    pub why: String,
}

/// How many records wait in a ledger's spill file.
pub(super) fn waiting(dir: &Path) -> io::Result<u64> {
    let mut bytes = Vec::new();
    match File::open(dir.join("ledger.spill")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?.read_to_end(&mut bytes)?,
    };
    Ok(bytes.iter().take_while(|byte| **byte != 0).filter(|byte| **byte == b'\n').count() as u64)
}

/// JSON lines from the start of a preallocated file; the rest of it is zeros.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    path: PathBuf,
    end: u64,
}

/// The file is ours alone while this lives.
#[derive(Debug)]
pub(super) struct SpillLock {
    file: File,
}

impl Drop for SpillLock {
    fn drop(&mut self) {
        // A lock that can't be lifted goes with the file.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Spill {
    pub fn open(path: &Path) -> io::Result<Spill> {
        let file = files::open(path)?;
        if file.metadata()?.len() < SIZE {
            match fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
                Ok(()) => {}
                // A file system without it: write the zeros.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                    let from = file.metadata()?.len();
                    let missing = usize::try_from(SIZE - from).unwrap_or(0);
                    file.write_all_at(&vec![0; missing], from)?;
                }
                Err(error) => return Err(error.into()),
            }
            file.sync_all()?;
        }
        let mut spill = Spill { file, path: path.to_owned(), end: 0 };
        spill.end = spill.text()?.len() as u64;
        Ok(spill)
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Seek::rewind(&mut self.file)?;
        self.file.read_to_end(&mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        Ok(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Keeps other processes off the file until what this gives is dropped.
    pub fn lock(&self) -> io::Result<SpillLock> {
        let file = self.file.try_clone()?;
        files::lock(&file, &self.path, LOCKED).map_err(|error| match error {
            files::LockError::Io { source, .. } => source,
            held @ files::LockError::Held { .. } => io::Error::new(io::ErrorKind::TimedOut, held),
        })?;
        Ok(SpillLock { file })
    }

    /// Durable when it returns.
    pub fn push(&mut self, spilled: &Spilled) -> io::Result<()> {
        let mut line = serde_json::to_vec(spilled)?;
        line.push(b'\n');
        let _lock = self.lock()?;
        // Another process may have added to it, or have emptied it.
        self.end = self.text()?.len() as u64;
        self.file.write_all_at(&line, self.end)?;
        self.file.sync_data()?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// All records; a last line that a crash cut short is told apart and dropped.
    pub fn lines(&mut self) -> io::Result<Vec<Spilled>> {
        let text = self.text()?;
        self.end = text.len() as u64;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(io::Error::from)).collect()
    }

    /// Forgets all records, once they are in the chain.
    pub fn clear(&mut self) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(self.end).unwrap_or(0)];
        self.file.write_all_at(&zeros, 0)?;
        self.file.sync_data()?;
        self.end = 0;
        Ok(())
    }
}
