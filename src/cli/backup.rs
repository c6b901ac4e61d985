//! `backup` and `restore`: the server's data as one file or folder, and back.
//!
//! Artifacts, the engine's journal (with the configuration in force), the ledger with its key, what was
//! spilled, and the settings; each with its SHA-256 in `manifest.json`, which is written last. Not in it:
//! sockets, logs, the folders of instances (unpacked again), and the files that secrets are read from.

use super::output::say;
use super::serve::ledger_dir;
use super::{Code, Context, Failure};
use crate::engine::core::{MigrationState, State, restored};
use crate::engine::journal::{Journal, JournalError, Opened};
use crate::ledger::{self, Ledger};
use crate::model::counted;
use archive::{Archive, Sink};
use clap::Args;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

mod archive;

/// Version of a backup's form; a newer one is refused.
const VERSION: u32 = 1;
/// The last file of a backup.
const MANIFEST: &str = "manifest.json";
/// Where the settings are put: those of the user may be others by now.
const SETTINGS: &str = "settings.toml";
/// Files of JSON lines in a preallocated block; only the lines are kept.
const SPILLS: [&str; 2] = ["engine-spill", "ledger/ledger.spill"];
/// The databases, the one that others follow from first: the ledger knows of all that the journal has done.
const DATABASES: [&str; 2] = ["engine.db", "ledger/ledger.db"];

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// A new file `NAME.tar`, or a new or empty folder.
    #[arg(value_name = "FILE.tar|DIR")]
    pub to: PathBuf,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `backup` wrote.
    #[arg(value_name = "FILE.tar|DIR")]
    pub from: PathBuf,
    /// Into this new or empty folder; else the data folder that `serve` would use.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Restore even if the ledger in it does not verify.
    #[arg(long)]
    pub anyway: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    /// The program that made it.
    flightdeck: String,
    made: Timestamp,
    files: Vec<File>,
}

/// A file of the backup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct File {
    path: String,
    size: u64,
    sha256: String,
}

fn failed(step: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let what = format!("cannot {step} {}", path.display());
    move |error| Failure::failed(format!("{what}: {error}"))
}

fn failed_sql(step: &str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Failure {
    let what = format!("cannot {step} {}", path.display());
    move |error| Failure::failed(format!("{what}: {error}"))
}

/// Writes a backup; the server may run and work meanwhile.
pub(super) async fn backup(context: &Context, args: &BackupArgs) -> Result<(), Failure> {
    let data = &context.paths.data;
    if !data.join(DATABASES[0]).exists() {
        return Err(Failure::failed(format!("there is no server's data in {}", data.display()))
            .todo("root names that of another user's server with --data-dir DIR"));
    }
    sign(&ledger_dir(&context.paths)).await;
    let mut sink = Sink::create(&args.to)?;
    let written = fill(context, &mut sink).and_then(|files| Ok((files.len(), sink.finish()?)));
    let owner = fs::metadata(data).map_err(failed("read", data))?;
    give_back(data, &owner)?;
    give_back(&data.join("ledger"), &owner)?;
    match written {
        Ok((files, bytes)) => {
            say(&format!(
                "wrote {}, {bytes} bytes, to {}; it holds the ledger's key",
                counted(files, "file"),
                args.to.display()
            ));
            Ok(())
        }
        Err(failure) => {
            archive::remove(&args.to);
            Err(failure)
        }
    }
}

/// So that the copy is signed to its end, and its key is in place. An unsigned one is better than none.
async fn sign(dir: &Path) {
    let signed = match Ledger::open(dir) {
        Ok(ledger) => ledger.checkpoint().await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = signed {
        say(&format!("its ledger gets no new checkpoint: {}", Failure::from_error(Code::Failed, &error).what));
    }
}

/// What root made among another's files (a database that is looked at has files beside it) is the other's, who could
/// not open it otherwise.
fn give_back(dir: &Path, owner: &fs::Metadata) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
        let path = entry.map_err(failed("read", dir))?.path();
        match fs::symlink_metadata(&path) {
            Ok(there) if there.uid() == 0 => {
                lchown(&path, Some(owner.uid()), Some(owner.gid())).map_err(failed("give back", &path))?;
                if there.is_dir() {
                    give_back(&path, owner)?;
                }
            }
            // It went meanwhile.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("read", &path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn fill(context: &Context, sink: &mut Sink) -> Result<Vec<File>, Failure> {
    let data = &context.paths.data;
    let mut files = Vec::new();
    let mut stored = BTreeSet::new();
    artifacts(data, sink, &mut stored, &mut files)?;
    let scratch = tempfile::tempdir_in(sink.folder()).map_err(failed("make a folder in", sink.folder()))?;
    for (index, name) in DATABASES.iter().enumerate() {
        let copy = scratch.path().join(format!("{index}.db"));
        snapshot(&data.join(name), &copy)?;
        files.push(sink.add(name, &copy)?);
        if index == 0 {
            // What came after the first look; the journal may name it.
            artifacts(data, sink, &mut stored, &mut files)?;
        }
    }
    for name in ["ledger/ledger.key", "ledger/ledger.key.new"] {
        if data.join(name).exists() {
            files.push(sink.add(name, &data.join(name))?);
        }
    }
    for name in SPILLS {
        let lines = spilled(&data.join(name)).map_err(failed("read", &data.join(name)))?;
        if !lines.is_empty() {
            files.push(sink.add_bytes(name, &lines)?);
        }
    }
    let settings = context.paths.settings();
    if settings.exists() {
        files.push(sink.add(SETTINGS, &settings)?);
    }
    let manifest = Manifest { version: VERSION, flightdeck: env!("CARGO_PKG_VERSION").to_owned(), made: now(), files };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Failure::failed(format!("cannot write the manifest: {error}")))?;
    sink.add_bytes(MANIFEST, &text)?;
    Ok(manifest.files)
}

#[expect(clippy::disallowed_methods, reason = "the command line is a shell: a backup says when it was made")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn artifacts(
    data: &Path,
    sink: &mut Sink,
    stored: &mut BTreeSet<String>,
    files: &mut Vec<File>,
) -> Result<(), Failure> {
    let dir = data.join("artifacts/sha256");
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed("read", &dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(failed("read", &dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Digests only; and a release may be deleted while this reads.
        if name.len() == 64 && entry.path().is_file() && !stored.contains(&name) {
            files.push(sink.add(&format!("artifacts/sha256/{name}"), &entry.path())?);
            stored.insert(name);
        }
    }
    Ok(())
}

/// A copy as of one moment, while others write. `VACUUM INTO` reads one snapshot; source:
/// <https://www.sqlite.org/lang_vacuum.html>.
fn snapshot(database: &Path, copy: &Path) -> Result<(), Failure> {
    // Without SQLITE_OPEN_CREATE: nothing is made where the data should be.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(failed_sql("open", database))?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed_sql("open", database))?;
    let into = copy.to_str().ok_or_else(|| Failure::usage(format!("{} is no UTF-8", copy.display())))?;
    connection.execute("VACUUM INTO ?1", [into]).map(drop).map_err(failed_sql("copy", database))
}

/// The lines in a preallocated file, which ends in zeros.
fn spilled(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(bytes),
        file => file?.read_to_end(&mut bytes)?,
    };
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    Ok(bytes)
}

/// Brings a backup back, whole or not at all.
pub(super) async fn restore(context: &Context, args: &RestoreArgs) -> Result<(), Failure> {
    let data = args.data.clone().unwrap_or_else(|| context.paths.data.clone());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&data).map_err(failed("make", &data))?;
    let mut entries = fs::read_dir(&data).map_err(failed("read", &data))?;
    if entries.next().is_some() {
        return Err(Failure::failed(format!("{} is not empty; nothing was restored", data.display()))
            .todo("give a new folder with --data, or move that one away"));
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).map_err(failed("protect", &data))?;
    // Within the folder itself, so that what is whole moves up without being copied.
    let scratch = tempfile::Builder::new().prefix("restore-").tempdir_in(&data);
    let scratch = scratch.map_err(failed("make a folder in", &data))?;
    let found = Archive::open(&args.from)?.unpack(scratch.path())?;
    let manifest = check(scratch.path(), &found)?;
    let said = match ledger::verify(&scratch.path().join("ledger")) {
        Ok(verified) => format!("{} verified", counted(verified.count, "record")),
        Err(broken) if args.anyway => format!("restored although {broken}"),
        Err(broken) => {
            return Err(Failure::failed(format!("{broken}; nothing was restored"))
                .todo("an older backup may hold; --anyway restores this one as it is"));
        }
    };
    let asks = unsure(&scratch.path().join(DATABASES[0]), manifest.made).await?;
    for entry in fs::read_dir(scratch.path()).map_err(failed("read", scratch.path()))? {
        let entry = entry.map_err(failed("read", scratch.path()))?;
        let to = data.join(entry.file_name());
        fs::rename(entry.path(), &to).map_err(failed("put in place", &to))?;
    }
    // Into a folder that is another's, such as that of the server's own user.
    give_back(&data, &fs::metadata(&data).map_err(failed("read", &data))?)?;
    let artifacts = manifest.files.iter().filter(|file| file.path.starts_with("artifacts/")).count();
    say(&format!(
        "restored what flightdeck {} saved at {} to {}: the engine's journal, {}, the ledger ({said})",
        manifest.flightdeck,
        manifest.made,
        data.display(),
        counted(artifacts, "artifact"),
    ));
    if data.join(SETTINGS).exists() {
        say(&format!(
            "the settings of then are in {}; they are used where you put them",
            data.join(SETTINGS).display()
        ));
    }
    if asks > 0 {
        say(&format!(
            "whether {asks} migrations ran since then is not known: none is begun or taken back before a person has \
             said so; `flightdeck get migrations` lists them, `flightdeck migration --help` says how"
        ));
    }
    say("`flightdeck serve` starts again what ran; secrets are read from their own files, which no backup holds");
    Ok(())
}

/// Notes in the journal that nobody knows what was done to data since the backup was made; gives how many
/// migrations a person must say something of.
async fn unsure(journal: &Path, made: Timestamp) -> Result<usize, Failure> {
    let failed = |error: JournalError| Failure::from_error(Code::Failed, &error);
    let Opened { journal: open, state, .. } = Journal::open(journal, 0).map_err(failed)?;
    let Some(state) = state else { return Ok(0) };
    let unreadable = |error: serde_json::Error| Failure::failed(format!("the engine's state can't be read: {error}"));
    let mut state = State::read(&state).map_err(unreadable)?;
    restored(&mut state, made);
    let text = serde_json::to_string(&state).map_err(unreadable)?;
    open.commit(text, Vec::new(), None).await.map_err(failed)?;
    let all = state.slots.values().flat_map(|slot| slot.migrations.values());
    Ok(all.filter(|of| of.state != MigrationState::Applied).count())
}

/// Everything that the manifest names is there as it says, and nothing else.
fn check(dir: &Path, found: &[File]) -> Result<Manifest, Failure> {
    let damaged = |what: String| Failure::failed(format!("the backup is damaged: {what}; nothing was restored"));
    let text = fs::read(dir.join(MANIFEST))
        .map_err(|_| damaged("it has no manifest, which is written last: it was never finished".to_owned()))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| damaged(format!("its manifest can't be read: {error}")))?;
    if manifest.version > VERSION {
        let what = format!(
            "the backup is of form {}, this program knows up to {VERSION}; nothing was restored",
            manifest.version
        );
        return Err(Failure::failed(what).todo("use the newer program"));
    }
    let found: BTreeSet<&File> = found.iter().filter(|file| file.path != MANIFEST).collect();
    let told: BTreeSet<&File> = manifest.files.iter().collect();
    if let Some(file) = told.difference(&found).next() {
        return Err(damaged(format!("{} is missing or was changed", file.path)));
    }
    if let Some(file) = found.difference(&told).next() {
        return Err(damaged(format!("{} is not in its manifest", file.path)));
    }
    if let Some(name) = DATABASES.iter().find(|name| !dir.join(name).exists()) {
        return Err(damaged(format!("{name} is not in it")));
    }
    fs::remove_file(dir.join(MANIFEST)).map_err(failed("remove", &dir.join(MANIFEST)))?;
    Ok(manifest)
}
