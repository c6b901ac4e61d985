//! Files of a backup, into and out of a tar or a folder.

use super::{File, failed};
use crate::cli::Failure;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File as Open, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

/// Where a backup is written to; only its owner can read it.
pub(super) enum Sink {
    Folder { dir: PathBuf, bytes: u64 },
    Tar { folder: PathBuf, path: PathBuf, builder: Box<tar::Builder<Open>> },
}

impl Sink {
    /// A tar if its name ends so, else a folder; neither is ever written over.
    pub fn create(path: &Path) -> Result<Sink, Failure> {
        if path.extension().is_some_and(|extension| extension == "tar") {
            let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let file = opened.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    Failure::failed(format!("{} is there already; it is left as it is", path.display()))
                }
                _ => failed("make", path)(error),
            })?;
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let builder = Box::new(tar::Builder::new(file));
            return Ok(Sink::Tar { folder: folder.to_owned(), path: path.to_owned(), builder });
        }
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_dir(path).map_err(failed("read", path))?.next().is_some() {
                    let what = format!("{} is not empty; it is left as it is", path.display());
                    return Err(Failure::failed(what).todo("give a new folder, or a file whose name ends in .tar"));
                }
                fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed("protect", path))?;
            }
            made => made.map_err(failed("make", path))?,
        }
        Ok(Sink::Folder { dir: path.to_owned(), bytes: 0 })
    }

    /// A folder on the same file system.
    pub fn folder(&self) -> &Path {
        match self {
            Sink::Folder { dir, .. } => dir,
            Sink::Tar { folder, .. } => folder,
        }
    }

    /// Adds a file under a name.
    pub fn add(&mut self, name: &str, from: &Path) -> Result<File, Failure> {
        let mut open = Open::open(from).map_err(failed("read", from))?;
        let size = open.metadata().map_err(failed("read", from))?.len();
        self.write(name, &mut open, size)
    }

    /// Adds what is in memory.
    pub fn add_bytes(&mut self, name: &str, mut bytes: &[u8]) -> Result<File, Failure> {
        let size = bytes.len() as u64;
        self.write(name, &mut bytes, size)
    }

    fn write(&mut self, name: &str, from: &mut dyn Read, size: u64) -> Result<File, Failure> {
        let mut hashing = Hashing { from: from.take(size), hasher: Sha256::new(), size: 0 };
        match self {
            Sink::Folder { dir, bytes } => {
                let to = dir.join(name);
                put(&to, &mut hashing).map_err(failed("write", &to))?;
                *bytes += size;
            }
            Sink::Tar { path, builder, .. } => {
                let mut header = tar::Header::new_gnu();
                header.set_size(size);
                header.set_mode(0o600);
                builder.append_data(&mut header, name, &mut hashing).map_err(failed("write", path))?;
            }
        }
        hashing.told(name, size)
    }

    /// Durable when it returns; gives its size in bytes.
    pub fn finish(self) -> Result<u64, Failure> {
        match self {
            Sink::Folder { dir, bytes } => {
                sync(&dir).map_err(failed("write", &dir))?;
                Ok(bytes)
            }
            Sink::Tar { folder, path, builder } => {
                let file = builder.into_inner().map_err(failed("write", &path))?;
                file.sync_all().and_then(|()| sync(&folder)).map_err(failed("write", &path))?;
                Ok(file.metadata().map_err(failed("read", &path))?.len())
            }
        }
    }
}

/// Takes away what could not be finished; without its manifest it is refused in any case.
pub(super) fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        crate::cli::output::say(&format!("{} is left unfinished: {error}", path.display()));
    }
}

/// Makes folders on the way; a file for its owner alone, on disk when it returns.
fn put(to: &Path, from: &mut dyn Read) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(from, &mut file)?;
    file.flush()?;
    file.sync_all()
}

fn sync(dir: &Path) -> io::Result<()> {
    Open::open(dir)?.sync_all()
}

/// Hashes what is read through it.
struct Hashing<R> {
    from: R,
    hasher: Sha256,
    size: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.size += read as u64;
        Ok(read)
    }
}

impl<R> Hashing<R> {
    fn told(self, name: &str, expected: u64) -> Result<File, Failure> {
        if self.size != expected {
            return Err(Failure::failed(format!("{name} became shorter while it was read")));
        }
        let sha256 = self.hasher.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
            text
        });
        Ok(File { path: name.to_owned(), size: self.size, sha256 })
    }
}

/// A backup to be read.
pub(super) enum Archive {
    Folder(PathBuf),
    Tar(PathBuf),
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive, Failure> {
        let folder = fs::metadata(path).map_err(failed("read", path))?.is_dir();
        Ok(if folder { Archive::Folder(path.to_owned()) } else { Archive::Tar(path.to_owned()) })
    }

    /// Copies all its files into a folder; gives each with its hash as it is.
    pub fn unpack(&self, into: &Path) -> Result<Vec<File>, Failure> {
        let mut files = Vec::new();
        match self {
            Archive::Folder(dir) => copy(dir, dir, into, &mut files)?,
            Archive::Tar(path) => {
                let mut archive = tar::Archive::new(Open::open(path).map_err(failed("read", path))?);
                for entry in archive.entries().map_err(failed("read", path))? {
                    let mut entry = entry.map_err(failed("read", path))?;
                    let name = entry.path().map_err(failed("read", path))?.into_owned();
                    if !entry.header().entry_type().is_file() {
                        return Err(Failure::failed(format!("{} is no file, as all of a backup are", name.display())));
                    }
                    files.push(take(&name, &mut entry, into)?);
                }
            }
        }
        Ok(files)
    }
}

fn copy(top: &Path, dir: &Path, into: &Path, files: &mut Vec<File>) -> Result<(), Failure> {
    for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
        let path = entry.map_err(failed("read", dir))?.path();
        if path.is_dir() {
            copy(top, &path, into, files)?;
        } else if let Ok(name) = path.strip_prefix(top) {
            let mut open = Open::open(&path).map_err(failed("read", &path))?;
            files.push(take(name, &mut open, into)?);
        }
    }
    Ok(())
}

/// Only below the folder, whatever a name says.
fn take(name: &Path, from: &mut dyn Read, into: &Path) -> Result<File, Failure> {
    let text = name.to_str().filter(|_| name.components().all(|part| matches!(part, Component::Normal(_))));
    let text = text.ok_or_else(|| Failure::failed(format!("{} is no name of a backup's file", name.display())))?;
    let mut hashing = Hashing { from, hasher: Sha256::new(), size: 0 };
    let to = into.join(name);
    put(&to, &mut hashing).map_err(failed("write", &to))?;
    let size = hashing.size;
    hashing.told(text, size)
}
