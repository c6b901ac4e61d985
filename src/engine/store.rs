//! Artifacts by content: `artifacts/sha256/<hex>`, verified when they are added and before each use.

use flightdeck_model::ArtifactRef;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tar::EntryType;

/// Largest artifact, packed.
pub const MAX_PACKED: u64 = 1 << 30;
/// Largest content, unpacked.
pub const MAX_UNPACKED: u64 = 4 << 30;
/// Most entries of an artifact.
const MAX_ENTRIES: u64 = 100_000;
/// Longest name that a header of its own carries: no path may be longer.
const MAX_NAME: u64 = 4096;
/// Most bytes of attributes before an entry.
const MAX_ATTRIBUTES: u64 = 64 << 10;
/// Most bytes of both, in all.
const MAX_NAMES: u64 = 16 << 20;

/// Why an artifact can't be stored or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A step failed.
    #[error("cannot {step} {path}")]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is not what was announced, or it changed on disk.
    #[error("the artifact's digest is {found}, expected {expected}: it is not what was meant to run")]
    Digest {
        /// `sha256:…` as expected.
        expected: String,
        /// `sha256:…` as it is.
        found: String,
    },
    /// Not a digest.
    #[error("{0:?} is not a digest; expected sha256: and 64 hexadecimal digits")]
    NotADigest(String),
    /// It is not stored.
    #[error("the artifact {0} is not stored")]
    Missing(String),
    #[error("the artifact has {found} bytes, at most {MAX_PACKED} are taken")]
    TooLarge {
        /// Its size.
        found: u64,
    },
    /// It can't be unpacked safely.
    #[error("the artifact can't be unpacked: {0}")]
    Unsafe(String),
}

impl StoreError {
    /// Would trying again end the same way?
    #[must_use]
    pub fn permanent(&self) -> bool {
        !matches!(self, StoreError::Io { .. })
    }

    /// The sentence with its causes.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            StoreError::Io { source, .. } => format!("{self}: {source}"),
            other => other.to_string(),
        }
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { step, path: path.to_owned(), source }
}

/// `sha256:…` of everything that is left to read.
pub fn digest_of(mut reader: impl Read) -> io::Result<String> {
    struct Hash(Sha256);
    impl Write for Hash {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hash = Hash(Sha256::new());
    io::copy(&mut reader, &mut hash)?;
    let mut text = String::from("sha256:");
    for byte in hash.0.finalize() {
        let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
    }
    Ok(text)
}

/// The store under a directory.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens or makes the store in `dir`.
    pub fn open(dir: PathBuf) -> Result<Store, StoreError> {
        fs::create_dir_all(&dir).map_err(failed("make", &dir))?;
        Ok(Store { dir })
    }

    fn path(&self, digest: &str) -> Result<PathBuf, StoreError> {
        let hex = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        let hex = hex.filter(|hex| hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        Ok(self.dir.join(hex.ok_or_else(|| StoreError::NotADigest(digest.to_owned()))?))
    }

    /// Takes a file into the store: it is hashed, compared, looked through, synced, and moved in
    /// place. Nothing is kept of one that is refused. Blocks.
    pub fn take(&self, upload: &Path, expected: Option<&str>) -> Result<ArtifactRef, StoreError> {
        let taken = self.check_and_move(upload, expected);
        if taken.is_err() {
            let _ = fs::remove_file(upload); // the refusal is what counts; the next sweep finds leftovers
        }
        taken
    }

    fn check_and_move(&self, upload: &Path, expected: Option<&str>) -> Result<ArtifactRef, StoreError> {
        let file = File::open(upload).map_err(failed("read", upload))?;
        let size = file.metadata().map_err(failed("read", upload))?.len();
        if size > MAX_PACKED {
            return Err(StoreError::TooLarge { found: size });
        }
        let digest = digest_of(&file).map_err(failed("read", upload))?;
        if let Some(expected) = expected {
            self.path(expected)?;
            if expected != digest {
                return Err(StoreError::Digest { expected: expected.to_owned(), found: digest });
            }
        }
        bounded(&file)?;
        each_entry(&file, |_, _| Ok(()))?;
        file.set_permissions(Permissions::from_mode(0o400)).map_err(failed("protect", upload))?;
        file.sync_all().map_err(failed("sync", upload))?;
        let path = self.path(&digest)?;
        fs::rename(upload, &path).map_err(failed("store", &path))?;
        let dir = File::open(&self.dir).map_err(failed("open", &self.dir))?;
        dir.sync_all().map_err(failed("sync", &self.dir))?;
        Ok(ArtifactRef { digest, size })
    }

    /// Verifies an artifact and unpacks it into `root`, which must not exist. Blocks.
    pub fn unpack(&self, digest: &str, root: &Path) -> Result<(), StoreError> {
        let path = self.path(digest)?;
        let file = stored(digest, &path)?;
        let found = digest_of(&file).map_err(failed("read", &path))?;
        if found != digest {
            return Err(StoreError::Digest { expected: digest.to_owned(), found });
        }
        fs::create_dir_all(root).map_err(failed("make", root))?;
        each_entry(&file, |entry, name| {
            let placed = entry.unpack_in(root).map_err(failed("unpack into", root))?;
            if placed { Ok(()) } else { Err(StoreError::Unsafe(format!("{name} leaves the directory"))) }
        })
    }

    /// Calls `visit` with each entry of a stored artifact, in order. Blocks.
    ///
    /// # Errors
    /// It is not stored, or can't be read.
    pub fn each(
        &self,
        digest: &str,
        mut visit: impl FnMut(&mut tar::Entry<'_, Box<dyn Read>>) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let path = self.path(digest)?;
        let file = stored(digest, &path)?;
        each_entry(&file, |entry, _| visit(entry).map_err(failed("read", &path)))
    }

    /// Removes what nobody refers to. What was stored within the last `grace` stays, since its
    /// release may be on its way. Gives the number of artifacts removed. Blocks.
    pub fn sweep(&self, used: &BTreeSet<String>, grace: Duration) -> io::Result<usize> {
        let mut removed = 0;
        for file in fs::read_dir(&self.dir)? {
            let file = file?;
            let digest = format!("sha256:{}", file.file_name().to_string_lossy());
            // A file from the future is left alone.
            let old = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age >= grace);
            if old && !used.contains(&digest) {
                fs::remove_file(file.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn stored(digest: &str, path: &Path) -> Result<File, StoreError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Missing(digest.to_owned())),
        other => other.map_err(failed("read", path)),
    }
}

type Entry<'a> = tar::Entry<'a, Box<dyn Read>>;

#[expect(clippy::needless_pass_by_value, reason = "an error as it comes")]
fn malformed(error: io::Error) -> StoreError {
    StoreError::Unsafe(format!("not a tar archive, or a broken one: {error}"))
}

/// The archive in a file, unpacked if it is packed, and cut off where it is larger than any may be.
fn archive(file: &File) -> Result<tar::Archive<Box<dyn Read>>, StoreError> {
    let mut start = [0; 2];
    let mut reader = BufReader::new(file.try_clone().map_err(malformed)?);
    reader.rewind().map_err(malformed)?;
    let read = reader.read(&mut start).map_err(malformed)?;
    reader.rewind().map_err(malformed)?;
    let plain: Box<dyn Read> = if start.get(..read) == Some(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(reader))
    } else {
        Box::new(reader)
    };
    // Headers and padding come on top of the content.
    Ok(tar::Archive::new(Box::new(plain.take(MAX_UNPACKED + MAX_ENTRIES * 1024))))
}

/// Refuses what is too much by its headers alone. Names and attributes that have a header of their own are read
/// into memory whole as soon as somebody asks for the entry behind them, and so are the maps of sparse files: a
/// few kilobytes can unpack to gigabytes of them.
fn bounded(file: &File) -> Result<(), StoreError> {
    let refused = |why: String| Err(StoreError::Unsafe(why));
    let (mut count, mut names) = (0, 0_u64);
    for entry in archive(file)?.entries().map_err(malformed)?.raw(true) {
        let mut entry = entry.map_err(malformed)?;
        let (kind, size) = (entry.header().entry_type(), entry.size());
        count += 1;
        let longest = match kind {
            EntryType::GNULongName | EntryType::GNULongLink => MAX_NAME,
            EntryType::XHeader | EntryType::XGlobalHeader => MAX_ATTRIBUTES,
            EntryType::GNUSparse => return refused("it has a sparse file".into()),
            _ => continue,
        };
        names = names.saturating_add(size);
        // Each entry may have one of each.
        if size > longest || names > MAX_NAMES || count > 4 * MAX_ENTRIES {
            return refused(format!("a name has more than {longest} bytes, or all have more than {MAX_NAMES}"));
        }
        if longest == MAX_ATTRIBUTES {
            let mut attributes = Vec::new();
            entry.read_to_end(&mut attributes).map_err(malformed)?;
            // With two sizes others would find other entries here than we have just looked at.
            if memchr::memmem::find(&attributes, b" size=").is_some() {
                return refused("an entry says its size twice".into());
            }
        }
    }
    Ok(())
}

/// Calls `visit` with each entry of the archive, after having found it harmless.
fn each_entry(
    file: &File,
    mut visit: impl FnMut(&mut Entry<'_>, &str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut archive = archive(file)?;
    archive.set_preserve_permissions(false);
    archive.set_preserve_mtime(false);
    let (mut links, mut count, mut size) = (BTreeSet::new(), 0, 0_u64);
    for entry in archive.entries().map_err(malformed)? {
        let mut entry = entry.map_err(malformed)?;
        count += 1;
        size = size.saturating_add(entry.size());
        if count > MAX_ENTRIES || size > MAX_UNPACKED {
            return Err(StoreError::Unsafe(format!("more than {MAX_ENTRIES} entries or {MAX_UNPACKED} bytes")));
        }
        let path = entry.path().map_err(malformed)?.into_owned();
        let name = flightdeck_model::sanitize_line(&path.to_string_lossy());
        check_entry(&entry, &path, &mut links).map_err(|why| StoreError::Unsafe(format!("{name} {why}")))?;
        visit(&mut entry, &name)?;
    }
    if count == 0 { Err(StoreError::Unsafe("it is empty".into())) } else { Ok(()) }
}

/// By induction no path leads out: entries never lie behind a link of the archive, and a link's
/// target goes up only at its beginning and not above the root.
fn check_entry(entry: &Entry<'_>, path: &Path, links: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    let path = inside(Path::new(""), path).ok_or("leaves the directory")?;
    if path.ancestors().skip(1).any(|parent| links.contains(parent)) {
        return Err("lies behind a link".into());
    }
    let target = entry.link_name().map_err(|error| format!("has a broken link: {error}"))?;
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory | EntryType::XGlobalHeader => Ok(()),
        EntryType::Symlink => {
            let target = target.ok_or("is a link to nothing")?;
            inside(path.parent().unwrap_or(Path::new("")), &target).ok_or("is a link that leaves the directory")?;
            links.insert(path);
            Ok(())
        }
        EntryType::Link => {
            let target = inside(Path::new(""), &target.ok_or("is a link to nothing")?);
            let target = target.ok_or("is a link that leaves the directory")?;
            if target.ancestors().any(|parent| links.contains(parent)) {
                return Err("is a link behind a link".into());
            }
            Ok(())
        }
        other => Err(format!("is neither file, directory nor link ({other:?})")),
    }
}

/// `base`/`path` without dots, if it stays below the root; `..` counts only at the beginning.
fn inside(base: &Path, path: &Path) -> Option<PathBuf> {
    let mut out = base.to_owned();
    let mut down = false;
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                down = true;
                out.push(name);
            }
            Component::CurDir => {}
            Component::ParentDir if !down && out.pop() => {}
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (base, path, expected) in [
            ("", "bin/app", Some("bin/app")),
            ("", "./bin/./app", Some("bin/app")),
            ("", "../app", None),
            ("", "/etc/passwd", None),
            ("a/b", "../c", Some("a/c")),
            ("a/b", "../../c", Some("c")),
            ("a/b", "../../../c", None),
            ("a", "b/../c", None),
        ] {
            assert_eq!(inside(Path::new(base), Path::new(path)), expected.map(PathBuf::from), "{base} + {path}");
        }
    }

    fn archive(entries: &[(EntryType, &str, &str)]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast()));
        for (kind, name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            // Written by hand: the builder itself refuses what an attacker would write.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            let body = if *kind == EntryType::Regular { content.as_bytes() } else { b"" };
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        file
    }

    #[test]
    fn what_leads_out_or_is_no_file_is_refused_before_it_is_stored() {
        use EntryType::{Char, Fifo, Link, Regular, Symlink};
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        for (entries, why) in [
            (vec![(Regular, "../evil", "x")], "leaves the directory"),
            (vec![(Regular, "/etc/evil", "x")], "leaves the directory"),
            (vec![(Symlink, "out", "/etc")], "is a link that leaves"),
            (vec![(Symlink, "a/out", "../../etc")], "is a link that leaves"),
            (vec![(Symlink, "a/b/up", "../.."), (Symlink, "out", "a/b/up/..")], "is a link that leaves"),
            (vec![(Symlink, "d", "."), (Regular, "d/file", "x")], "lies behind a link"),
            (vec![(Link, "passwd", "/etc/passwd")], "is a link that leaves"),
            (vec![(Symlink, "s", "x"), (Link, "h", "s")], "is a link behind a link"),
            (vec![(Char, "null", "")], "neither file"),
            (vec![(Fifo, "pipe", "")], "neither file"),
        ] {
            let upload = dir.path().join("upload");
            fs::copy(archive(&entries), &upload).unwrap();
            let error = store.take(&upload, None).unwrap_err().to_string();
            assert!(error.contains(why), "{entries:?}: {error}");
            assert!(!upload.exists());
        }
        assert_eq!(fs::read_dir(dir.path().join("store")).unwrap().count(), 0);
    }

    /// A header with so many bytes behind it.
    fn entry(builder: &mut tar::Builder<impl Write>, kind: EntryType, bytes: impl Read, size: u64) {
        let mut header = tar::Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }

    #[test]
    fn names_and_attributes_are_bounded_before_they_are_in_memory() {
        use EntryType::{GNULongLink, GNULongName, GNUSparse, Regular, XGlobalHeader, XHeader};
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let take = |kind, each: u64, times: u64, text: &[u8]| {
            let upload = dir.path().join("upload");
            let packed = flate2::write::GzEncoder::new(File::create(&upload).unwrap(), flate2::Compression::fast());
            let mut builder = tar::Builder::new(packed);
            for _ in 0..times {
                let rest = each - text.len() as u64;
                entry(&mut builder, kind, text.chain(io::repeat(b'a').take(rest)), each);
                entry(&mut builder, Regular, io::empty(), 0);
            }
            builder.into_inner().unwrap().finish().unwrap();
            store.take(&upload, None).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(take(GNULongName, 4096, 10, b""), Ok(()));
        assert_eq!(take(XHeader, 18, 10, b"18 comment=a word\n"), Ok(()));
        for (kind, each, times, text, why) in [
            (GNULongName, 4 << 20, 1, &b""[..], "a name has more than 4096 bytes"),
            (GNULongLink, 5000, 1, b"", "a name has more than 4096 bytes"),
            (XHeader, 4 << 20, 1, b"", "a name has more than 65536 bytes"),
            (XGlobalHeader, 65_537, 1, b"", "a name has more than 65536 bytes"),
            (GNULongName, 4096, 4097, b"", "or all have more than 16777216"),
            (XHeader, 12, 1, b"12 size=999\n", "says its size twice"),
            (GNUSparse, 0, 1, b"", "a sparse file"),
        ] {
            let refused = take(kind, each, times, text).unwrap_err();
            assert!(refused.contains(why), "{kind:?} of {each}: {refused}");
        }
    }

    #[test]
    fn a_stored_artifact_is_verified_each_time_it_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let upload = dir.path().join("upload");
        let good = [(EntryType::Regular, "bin/app", "#!/bin/sh\n"), (EntryType::Symlink, "app", "bin/app")];
        fs::copy(archive(&good), &upload).unwrap();
        let expected = digest_of(File::open(&upload).unwrap()).unwrap();
        let wrong = format!("sha256:{}", "0".repeat(64));
        let error = store.take(&upload, Some(&wrong)).unwrap_err().to_string();
        assert!(error.contains(&wrong) && error.contains(&expected), "{error}");
        fs::copy(archive(&good), &upload).unwrap();
        let artifact = store.take(&upload, Some(&expected)).unwrap();
        assert_eq!(artifact.digest, expected);

        store.unpack(&expected, &dir.path().join("root")).unwrap();
        let app = dir.path().join("root/app");
        assert_eq!(fs::read_to_string(&app).unwrap(), "#!/bin/sh\n");
        assert_eq!(fs::metadata(&app).unwrap().permissions().mode() & 0o7000, 0, "no setuid");

        let blob = dir.path().join("store").join(expected.strip_prefix("sha256:").unwrap());
        fs::set_permissions(&blob, Permissions::from_mode(0o600)).unwrap();
        let mut bytes = fs::read(&blob).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&blob, bytes).unwrap();
        let error = store.unpack(&expected, &dir.path().join("root2")).unwrap_err();
        assert!(matches!(error, StoreError::Digest { .. }) && error.permanent(), "{error}");
        assert!(!dir.path().join("root2").exists());
        assert!(matches!(store.unpack(&wrong, dir.path()), Err(StoreError::Missing(_))));
        assert!(matches!(store.unpack("sha256:../../x", dir.path()), Err(StoreError::NotADigest(_))));
    }

    #[test]
    fn the_sweep_keeps_what_is_used_or_new() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_owned()).unwrap();
        for name in ["a", "b"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let used = BTreeSet::from(["sha256:a".to_owned()]);
        assert_eq!(store.sweep(&used, Duration::from_hours(1)).unwrap(), 0);
        assert_eq!(store.sweep(&used, Duration::ZERO).unwrap(), 1);
        assert!(dir.path().join("a").exists());
    }
}
