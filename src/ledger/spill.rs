//! Where urgent records go when the store can't be written: a file that already has its blocks.

use super::record::Entry;
use super::store::LOCKED;
use flightdeck_platform::files;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Room for some thousand records.
const SIZE: u64 = 4 << 20;

/// More than that is not read: nobody but this program has business in the file.
const LONGEST: u64 = 16 * SIZE;

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

/// What stands in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Record(Box<Spilled>),
    /// Torn by a crash, or not by this program.
    Unreadable {
        /// The line, as far as it is text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Line {
    fn read(bytes: &[u8]) -> Line {
        let record = || -> Result<Spilled, String> {
            let mut spilled: Spilled = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            let body = serde_json::from_str(&spilled.body).map_err(|error| format!("its body: {error}"))?;
            let entry = Entry::read(body).map_err(|error| format!("its body: {error}"))?;
            if (spilled.kind.as_str(), &spilled.subject) != (entry.kind().word(), &entry.subject()) {
                return Err("its body is of another record than it says".to_owned());
            }
            spilled.finished = entry.is_final();
            Ok(spilled)
        };
        match record() {
            Ok(spilled) => Line::Record(Box::new(spilled)),
            Err(why) => Line::Unreadable { text: String::from_utf8_lossy(bytes).into_owned(), why },
        }
    }
}

/// How many records wait in a ledger's spill file.
pub(super) fn waiting(dir: &Path) -> io::Result<u64> {
    match File::open(dir.join("ledger.spill")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        file => Ok(lines(&text(&file?)?).count() as u64),
    }
}

/// What is in the file up to the zeros that were set aside.
fn text(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Seek::rewind(&mut &*file)?;
    file.take(LONGEST).read_to_end(&mut bytes)?;
    // A crash can leave zeros before what was written behind them.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    Ok(bytes)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| line.iter().any(|byte| *byte != 0))
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
        spill.end = text(&spill.file)?.len() as u64;
        Ok(spill)
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
        let _lock = self.lock()?;
        // Another process may have added to it, or have emptied it.
        let before = text(&self.file)?;
        self.end = before.len() as u64;
        // A line that a crash cut short must not become a part of this one.
        let mut line = if before.last().is_none_or(|byte| *byte == b'\n') { Vec::new() } else { vec![b'\n'] };
        serde_json::to_writer(&mut line, spilled)?;
        line.push(b'\n');
        self.file.write_all_at(&line, self.end)?;
        self.file.sync_data()?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// All lines.
    pub fn lines(&mut self) -> io::Result<Vec<Line>> {
        let text = text(&self.file)?;
        self.end = text.len() as u64;
        Ok(lines(&text).map(Line::read).collect())
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
