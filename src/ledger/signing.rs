//! Makes checkpoints: reads the new records' hashes, goes on with the tree, signs its root.
//!
//! On a connection of its own whose commits do not wait for the disk: a checkpoint that a power cut loses
//! is made again from the records, and those are durable before it is made.

use super::checkpoint::Checkpoint;
use super::merkle::{Frontier, leaf};
use super::note::{NoteError, Signer, VerifyKey};
use super::store::{LedgerError, OpenLock, database, number, read_head, sqlite};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Beside what a version 1 had; an older program of that version goes on without them.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS frontier (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, nodes BLOB NOT NULL) STRICT;
";

/// The first part of a new key's name, which is the origin of its checkpoints.
const ORIGIN: &str = "flightdeck";
/// Records that one turn takes into the tree: some ten milliseconds.
const TURN: u32 = 4096;

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// How many records it covers.
    pub size: u64,
    /// The signed note itself.
    pub note: String,
    /// The public key, to verify it with.
    pub key: String,
}

/// The key's file in a ledger's folder. It is there once a checkpoint is.
fn key_file(dir: &Path) -> PathBuf {
    dir.join("ledger.key")
}

/// The same before its first checkpoint is written.
fn new_key_file(dir: &Path) -> PathBuf {
    dir.join("ledger.key.new")
}

/// The key that a ledger signs with, if it has one.
pub(super) fn read_key(dir: &Path) -> Result<Option<Signer>, LedgerError> {
    read_key_at(&key_file(dir))
}

fn read_key_at(path: &Path) -> Result<Option<Signer>, LedgerError> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(key_error(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LedgerError::Io { path: path.to_owned(), step: "read its key", source }),
    }
}

fn key_error(path: &Path) -> impl FnOnce(NoteError) -> LedgerError {
    move |source| LedgerError::Key { path: path.to_owned(), source }
}

/// Has the store a table for checkpoints? One that only an older program wrote to has none.
pub(super) fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'checkpoints'";
    connection.query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? > 0))
}

/// The newest checkpoint's size and note.
pub(super) fn newest(connection: &Connection) -> Result<Option<(u64, String)>, LedgerError> {
    let sql = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1";
    let row = connection.query_row(sql, [], |row| Ok((number(row.get(0)?), row.get(1)?)));
    row.optional().map_err(sqlite("read"))
}

/// What makes checkpoints; lives on the ledger's thread.
pub(super) struct Signing {
    dir: PathBuf,
    busy: Duration,
    open: Option<Connection>,
}

impl Signing {
    pub fn new(dir: &Path, busy: Duration) -> Signing {
        Signing { dir: dir.to_owned(), busy, open: None }
    }

    /// Takes new records into the tree and signs it. Also says whether there are more of them.
    pub fn turn(&mut self) -> Result<(Option<Signed>, bool), LedgerError> {
        let mut connection = match self.open.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let done = self.sign(&mut connection);
        self.open = Some(connection);
        done
    }

    fn connect(&self) -> Result<Connection, LedgerError> {
        let connection = Connection::open(database(&self.dir)).map_err(sqlite("open"))?;
        connection.busy_timeout(self.busy).map_err(sqlite("open"))?;
        synchronous(&connection, "NORMAL")?;
        Ok(connection)
    }

    fn sign(&self, connection: &mut Connection) -> Result<(Option<Signed>, bool), LedgerError> {
        // Records are never changed, so what is read here holds when it is written below.
        let seen = connection.transaction().map_err(sqlite("read"))?;
        let (count, _) = read_head(&seen)?;
        let newest = newest(&seen)?;
        let key = self.key(newest.is_some())?;
        let mut frontier = frontier(&seen)?;
        if let Some((size, note)) = &newest {
            let signed = Checkpoint::open(note, key.key()).map_err(|error| unsound(&error.to_string()))?;
            if signed.size != *size || frontier.size() != *size || frontier.root() != signed.root {
                return Err(unsound("the tree kept beside it is another one"));
            }
        }
        let from = frontier.size();
        grow(&seen, &mut frontier)?;
        drop(seen);
        let size = frontier.size();
        if size == from {
            let signed = newest.map(|(size, note)| Signed { size, note, key: key.key().to_string() });
            return Ok((signed, false));
        }
        let text = Checkpoint { origin: key.name().to_owned(), size, root: frontier.root() }.text();
        let note = key.sign(&text);
        if newest.is_some() {
            store(connection, &frontier, &note)?;
        } else {
            // From here on the key's file says that there are checkpoints: so the first one must be durable.
            synchronous(connection, "FULL")?;
            store(connection, &frontier, &note)?;
            synchronous(connection, "NORMAL")?;
            rename(&new_key_file(&self.dir), &key_file(&self.dir))?;
        }
        Ok((Some(Signed { size, note, key: key.key().to_string() }), size < count))
    }

    /// The key, made where there is none yet. A key whose checkpoints are gone, or checkpoints whose key
    /// is, are never replaced silently: whoever rewrites the records must not get them signed anew.
    fn key(&self, signed_before: bool) -> Result<Signer, LedgerError> {
        let (settled, new) = (key_file(&self.dir), new_key_file(&self.dir));
        match (read_key_at(&settled)?, signed_before) {
            (Some(key), true) => Ok(key),
            (Some(_), false) => Err(unsound("it has a key, but the checkpoints that it signed are gone")),
            (None, true) => {
                let begun = read_key_at(&new)?;
                let begun = begun.ok_or_else(|| unsound("the key of its checkpoints is missing"))?;
                rename(&new, &settled)?; // a crash came between its first checkpoint and this
                Ok(begun)
            }
            (None, false) => {
                let _one = OpenLock::take(&self.dir)?;
                if let Some(begun) = read_key_at(&new)? {
                    return Ok(begun);
                }
                let key = Signer::generate(ORIGIN).map_err(key_error(&new))?;
                write_key(&new, &key).map_err(|source| LedgerError::Io { path: new, step: "write its key", source })?;
                Ok(key)
            }
        }
    }
}

fn synchronous(connection: &Connection, how: &str) -> Result<(), LedgerError> {
    connection.pragma_update(None, "synchronous", how).map_err(sqlite("open"))
}

fn unsound(why: &str) -> LedgerError {
    LedgerError::Unsound(why.to_owned())
}

fn rename(from: &Path, to: &Path) -> Result<(), LedgerError> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => Ok(()), // another process did
        done => done.map_err(|source| LedgerError::Io { path: to.to_owned(), step: "put its key in place", source }),
    }
}

fn write_key(path: &Path, key: &Signer) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.secret())?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn frontier(connection: &Connection) -> Result<Frontier, LedgerError> {
    let row = connection
        .query_row("SELECT size, nodes FROM frontier", [], |row| Ok((number(row.get(0)?), row.get::<_, Vec<u8>>(1)?)))
        .optional()
        .map_err(sqlite("read"))?;
    let Some((size, nodes)) = row else { return Ok(Frontier::default()) };
    Frontier::decode(size, &nodes).ok_or_else(|| unsound("the tree kept beside it can't be read"))
}

fn grow(connection: &Connection, frontier: &mut Frontier) -> Result<(), LedgerError> {
    let sql = "SELECT seq, hash FROM records WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = connection.prepare(sql).map_err(sqlite("read"))?;
    let from = i64::try_from(frontier.size()).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![from, TURN]).map_err(sqlite("read"))?;
    while let Some(row) = rows.next().map_err(sqlite("read"))? {
        let seq = number(row.get(0).map_err(sqlite("read"))?);
        if seq != frontier.size() + 1 {
            return Err(unsound(&format!("record {} is missing", frontier.size() + 1)));
        }
        frontier.push(leaf(&row.get::<_, Vec<u8>>(1).map_err(sqlite("read"))?));
    }
    Ok(())
}

fn store(connection: &mut Connection, frontier: &Frontier, note: &str) -> Result<(), LedgerError> {
    let write = || sqlite("write a checkpoint to");
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(write())?;
    // Another process may have signed as much or more meanwhile.
    if newest(&begun)?.is_some_and(|(size, _)| size >= frontier.size()) {
        return Ok(());
    }
    let size = i64::try_from(frontier.size()).unwrap_or(i64::MAX);
    begun.execute("INSERT INTO checkpoints (size, note) VALUES (?1, ?2)", params![size, note]).map_err(write())?;
    let sql = "INSERT OR REPLACE INTO frontier (id, size, nodes) VALUES (1, ?1, ?2)";
    begun.execute(sql, params![size, frontier.encode()]).map_err(write())?;
    begun.commit().map_err(write())
}

/// The public key of the ledger in a folder, if it has signed anything.
pub(super) fn public_key(dir: &Path) -> Result<Option<VerifyKey>, LedgerError> {
    Ok(read_key(dir)?.map(|key| key.key().clone()))
}
