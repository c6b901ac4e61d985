//! Which of the hubs that share a ledger still run: each keeps a lock as long as it lives.

use super::store::{LedgerError, OpenLock};
use flightdeck_model::HubId;
use flightdeck_platform::files;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A hub's sign of life. The kernel lifts it when the process ends, however it ends.
#[derive(Debug)]
pub struct Presence {
    _lock: File,
    path: PathBuf,
}

impl Drop for Presence {
    fn drop(&mut self) {
        // What stays behind is an unlocked file, which says the same.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The folder of the signs, in a ledger's.
fn folder(dir: &Path) -> PathBuf {
    dir.join("hubs")
}

/// Ids are chosen by this program, but they come back out of records.
fn file(dir: &Path, hub: &HubId) -> Option<PathBuf> {
    let plain = !hub.as_str().is_empty() && hub.as_str().chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    plain.then(|| folder(dir).join(hub.as_str()))
}

/// Gives the sign, and takes away those of hubs that have ended.
pub(super) fn appear(dir: &Path, hub: &HubId) -> Result<Presence, LedgerError> {
    let io = |step| move |source| LedgerError::Io { path: dir.to_owned(), step, source };
    let folder = folder(dir);
    // Nobody takes a sign away between its being made and its being locked.
    let _lock = OpenLock::take(dir)?;
    files::folder(&folder).map_err(io("make the folder of its hubs"))?;
    for entry in std::fs::read_dir(&folder).map_err(io("read the folder of its hubs"))?.flatten() {
        let name = HubId(entry.file_name().to_string_lossy().into_owned());
        if !alive(dir, &name) {
            let _ = std::fs::remove_file(entry.path()); // another hub may have been faster
        }
    }
    let odd = || io("name a hub")(io::Error::from(io::ErrorKind::InvalidInput));
    let path = file(dir, hub).ok_or_else(odd)?;
    let lock = files::open(&path).map_err(io("make a hub's sign"))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| io("lock a hub's sign")(error.into()))?;
    Ok(Presence { _lock: lock, path })
}

/// Does that hub still run?
pub(super) fn alive(dir: &Path, hub: &HubId) -> bool {
    let sign = file(dir, hub).and_then(|path| File::open(path).ok());
    sign.is_some_and(|sign| flock(&sign, FlockOperation::NonBlockingLockShared).is_err())
}
