//! The socket: who may reach it, and that only one server has it.

use flightdeck_platform::files::{LockError, LockFile};
use rustix::fs::{AtFlags, Gid, Mode, chmodat, chown};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Only the user that runs the server: 0600 in a 0700 directory.
    Owner,
    /// The members of that group as well: 0660 in a 0750 directory.
    Group(String),
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another server has it.
    #[error("a server is already listening at {}{owner}: stop it first, or use another --data-dir", path.display())]
    Taken {
        path: PathBuf,
        /// Which process, in words; may be empty.
        owner: String,
    },
    /// Its folder is somebody else's.
    #[error("{} belongs to user {uid}: a socket in it would be theirs", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        uid: u32,
    },
    /// Something else lies there.
    #[error("{} is there and no socket: move it away", path.display())]
    InTheWay { path: PathBuf },
    /// The group does not exist.
    #[error("there is no group {0:?}")]
    NoGroup(String),
    /// A step failed.
    #[error("cannot {step} {}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A listening socket. Dropping it removes the file.
#[derive(Debug)]
pub struct Bound {
    pub listener: UnixListener,
    path: PathBuf,
    /// Held for as long as the socket is ours.
    _lock: LockFile,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "could not remove the socket");
        }
    }
}

/// Listens at that path. What a dead server left is replaced; a live one is left alone.
pub async fn bind(path: &Path, access: &Access) -> Result<Bound, SocketError> {
    let group = match access {
        Access::Owner => None,
        Access::Group(name) => Some(group(name)?),
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make", folder))?;
    owned(folder)?;
    let lock = lock(path)?;
    remove_stale(path).await?;
    // Not before it is known that no other server is there: the folder's mode says who reaches that one.
    protect(folder, group)?;
    let listener = UnixListener::bind(path).map_err(failed("listen at", path))?;
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    if let Some(gid) = group {
        chown(path, None, Some(gid)).map_err(|error| failed("give the group access to", path)(error.into()))?;
    }
    chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())
        .map_err(|error| failed("set the mode of", path)(error.into()))?;
    Ok(Bound { listener, path: path.to_owned(), _lock: lock })
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError + use<> {
    let path = path.to_owned();
    move |source| SocketError::Io { step, path, source }
}

fn group(name: &str) -> Result<Gid, SocketError> {
    let found = nix::unistd::Group::from_name(name)
        .map_err(|error| failed("look up the group of", Path::new(name))(error.into()))?;
    found.map(|group| Gid::from_raw(group.gid.as_raw())).ok_or_else(|| SocketError::NoGroup(name.to_owned()))
}

/// Is the folder ours?
fn owned(folder: &Path) -> Result<(), SocketError> {
    let about = std::fs::metadata(folder).map_err(failed("look at", folder))?;
    if about.uid() != rustix::process::geteuid().as_raw() {
        return Err(SocketError::Foreign { path: folder.to_owned(), uid: about.uid() });
    }
    Ok(())
}

/// Sets the folder's group and mode.
fn protect(folder: &Path, group: Option<Gid>) -> Result<(), SocketError> {
    if let Some(gid) = group {
        chown(folder, None, Some(gid)).map_err(|error| failed("give the group access to", folder)(error.into()))?;
    }
    let mode = if group.is_some() { 0o750 } else { 0o700 };
    std::fs::set_permissions(folder, PermissionsExt::from_mode(mode)).map_err(failed("set the mode of", folder))
}

/// Two servers that start at once must not both take the other's socket for a stale one.
fn lock(path: &Path) -> Result<LockFile, SocketError> {
    let name = path.with_extension("lock");
    // Earlier versions made it so that the socket's group could open it, and lock it for ever. Theirs is no
    // proof that a server lives: that one answers at its socket.
    match std::fs::symlink_metadata(&name) {
        Ok(about) if about.mode() & 0o077 != 0 => {
            std::fs::remove_file(&name).map_err(failed("replace", &name))?;
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("look at", &name)(error)),
        _ => {}
    }
    LockFile::take(&name, Duration::ZERO).map_err(|error| match error {
        LockError::Held { holder, .. } => SocketError::Taken { path: path.to_owned(), owner: format!(" ({holder})") },
        LockError::Io { step, path, source } => SocketError::Io { step, path, source },
    })
}

async fn remove_stale(path: &Path) -> Result<(), SocketError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
        Ok(about) if !about.file_type().is_socket() => {
            return Err(SocketError::InTheWay { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    // The lock says that no server of ours has it; something else might.
    match UnixStream::connect(path).await {
        Ok(_) => Err(SocketError::Taken { path: path.to_owned(), owner: String::new() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed("remove the stale", path))
        }
        Err(error) => Err(failed("look who listens at", path)(error)),
    }
}
