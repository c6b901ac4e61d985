//! Files and folders that are nobody else's from the moment they are made, and locks on them.
//!
//! A mode that is set after a file was made leaves a moment in which others may open it, and whoever has it open
//! keeps it, to read it or to lock it.

mod lock;

pub use lock::{LockError, LockFile, lock};

use rustix::fs::Mode;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Makes a folder of mode 0700, with those above it where they are missing. One that is there and ours gets this
/// mode.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let about = std::fs::metadata(path)?;
    if about.mode() & OTHERS != 0 && about.uid() == rustix::process::geteuid().as_raw() {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// How a file is opened that has mode 0600 if it is made.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Opens a file for reading and writing, and makes it, with mode 0600, where it is missing. One of ours that
/// others may open gets this mode; it is not made shorter.
pub fn open(path: &Path) -> io::Result<File> {
    let file = options().read(true).write(true).create(true).truncate(false).open(path)?;
    let about = file.metadata()?;
    if about.mode() & OTHERS != 0 && about.uid() == rustix::process::geteuid().as_raw() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// From now on what this process makes is its user's alone, whoever makes it.
pub fn for_the_owner_alone() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_the_owners_alone_and_what_was_wider_is_narrowed() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        folder(&deep).unwrap();
        assert_eq!((mode(&dir.path().join("a")), mode(&deep)), (0o700, 0o700));
        let file = deep.join("file");
        open(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        std::fs::write(&file, "kept").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        std::fs::set_permissions(&deep, Permissions::from_mode(0o755)).unwrap();
        folder(&deep).unwrap();
        open(&file).unwrap();
        assert_eq!((mode(&deep), mode(&file)), (0o700, 0o600));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    }
}
