//! The chain in SQLite.

use super::note::NoteError;
use super::record::{Fields, GENESIS, Kind, Record, UNREADABLE, hex};
use super::signing::{TABLES, newest};
use super::spill::{Line, Spill, Spilled};
use flightdeck_platform::failpoint;
use flightdeck_platform::files::{self, LockError, LockFile};
use rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Version of the store's layout; a newer one is refused.
pub(super) const LEDGER_VERSION: i64 = 1;

/// How long another process may have the ledger locked; opening it takes milliseconds.
pub(super) const LOCKED: Duration = Duration::from_secs(10);

/// Pages of SQLite's log at which an append folds it into the file itself, which takes a hundred times as
/// long. Before that, whoever signs a checkpoint does so: then nobody waits.
const LONGEST_LOG: u32 = 2000;

const SCHEMA: &str = "
CREATE TABLE records (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  finished INTEGER NOT NULL,
  body TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE INDEX by_subject ON records (subject, kind, finished);
CREATE UNIQUE INDEX once ON records (kind, subject) WHERE kind IN ('requested', 'evidence', 'observed');
CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
";

/// Why the ledger can't do something.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Its folder can't be used.
    #[error("cannot use the ledger at {}: {step}", path.display())]
    Io {
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// Another process has it locked.
    #[error("cannot use the ledger: {0}, for more than {secs} s", secs = LOCKED.as_secs())]
    Locked(#[source] LockError),
    /// SQLite said no.
    #[error("cannot {step} the ledger: {source}")]
    Sqlite {
        /// What was tried.
        step: &'static str,
        #[source]
        source: rusqlite::Error,
    },
    /// It was written by a newer flightdeck.
    #[error("the ledger has version {found}, this flightdeck knows up to {known}: use the newer program")]
    Newer {
        /// The store's.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is recorded already: the same command or the same observation.
    #[error("{0} is recorded already")]
    Duplicate(String),
    /// A record can't be read back.
    #[error("record {seq} can't be read: {why}")]
    Unreadable { seq: u64, why: String },
    /// The key of its checkpoints can't be used.
    #[error("the ledger's key {} can't be used", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        #[source]
        source: NoteError,
    },
    /// What was signed before and what is there now do not agree: nothing is signed on top of it.
    #[error("the ledger is not signed any more: {0}; `flightdeck ledger verify` says more")]
    Unsound(String),
    /// It could not be written; told to each whose record was in the batch.
    #[error("not recorded: {0}")]
    Unwritable(String),
    /// More was asked for than one answer takes.
    #[error(
        "the newest {fit} records are {} MiB, and one answer takes no more: ask for fewer, or for an export",
        bytes >> 20
    )]
    TooMuch {
        /// How many are less.
        fit: usize,
        /// How much is taken.
        bytes: usize,
    },
    /// Its thread has ended.
    #[error("the ledger is closed")]
    Closed,
}

impl From<LockError> for LedgerError {
    fn from(error: LockError) -> LedgerError {
        match error {
            LockError::Io { step, path, source } => LedgerError::Io { path, step, source },
            held @ LockError::Held { .. } => LedgerError::Locked(held),
        }
    }
}

pub(super) fn sqlite(step: &'static str) -> impl FnOnce(rusqlite::Error) -> LedgerError {
    move |source| LedgerError::Sqlite { step, source }
}

/// A record on its way into the chain.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub at: String,
    pub kind: Kind,
    pub subject: String,
    pub finished: bool,
    pub body: String,
}

/// The open store; lives on the ledger's thread.
pub(super) struct Store {
    connection: Connection,
}

/// The file in a ledger's folder.
pub(super) fn database(dir: &Path) -> PathBuf {
    dir.join("ledger.db")
}

/// Held by a process while it opens the store or says that it lives.
pub(super) struct OpenLock {
    _lock: LockFile,
}

impl OpenLock {
    pub fn take(dir: &Path) -> Result<OpenLock, LedgerError> {
        Ok(OpenLock { _lock: LockFile::take(&dir.join("ledger.lock"), LOCKED)? })
    }
}

impl Store {
    pub fn open(dir: &Path, busy: Duration) -> Result<Store, LedgerError> {
        // SQLite changes the journal's mode without waiting for other processes: one after the other.
        let opening = OpenLock::take(dir)?;
        // SQLite would make it with a wider mode; its log files take the mode of the database.
        let path = database(dir);
        files::open(&path).map_err(|source| LedgerError::Io { path: path.clone(), step: "make it", source })?;
        let mut connection = Connection::open(path).map_err(sqlite("open"))?;
        connection.busy_timeout(busy).map_err(sqlite("open"))?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(sqlite("open"))?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite("open"))?;
        connection.pragma_update(None, "wal_autocheckpoint", LONGEST_LOG).map_err(sqlite("open"))?;
        let version = |connection: &Connection| {
            connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map_err(sqlite("open"))
        };
        let found = version(&connection)?;
        if found > LEDGER_VERSION {
            return Err(LedgerError::Newer { found, known: LEDGER_VERSION });
        }
        if found == 0 {
            let begun =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite("create"))?;
            let script = format!("{SCHEMA} PRAGMA user_version = {LEDGER_VERSION};");
            begun.execute_batch(&script).map_err(sqlite("create"))?;
            begun.commit().map_err(sqlite("create"))?;
        }
        connection.execute_batch(TABLES).map_err(sqlite("create"))?;
        drop(opening);
        Ok(Store { connection })
    }

    /// One that exists, to read from.
    pub fn reading(dir: &Path) -> Result<Store, LedgerError> {
        // Without SQLITE_OPEN_CREATE: a missing ledger is an error, not an empty one.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database(dir), flags).map_err(sqlite("open"))?;
        connection.pragma_update(None, "query_only", true).map_err(sqlite("open"))?;
        Ok(Store { connection })
    }

    /// How many records no checkpoint covers.
    pub fn unsigned(&self) -> Result<usize, LedgerError> {
        let signed = newest(&self.connection)?.map_or(0, |(size, _)| size);
        let left = read_head(&self.connection)?.0.saturating_sub(signed);
        Ok(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Is a record of that kind about that subject there? When in doubt: no.
    pub fn has(&self, kind: Kind, subject: &str) -> bool {
        let found = "SELECT EXISTS (SELECT 1 FROM records WHERE kind = ?1 AND subject = ?2)";
        let there =
            || self.connection.prepare_cached(found)?.query_row(params![kind.word(), subject], |row| row.get(0));
        there().unwrap_or(false)
    }

    /// Appends a batch in one transaction: one flush for all. Each draft has its own answer; if the
    /// batch can't be committed, the error stands for all of it.
    pub fn append(&mut self, drafts: &[&Draft]) -> Result<Vec<Result<u64, LedgerError>>, LedgerError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite("write"))?;
        // Read within the transaction: another process of the same user may share the ledger.
        let before = read_head(&transaction)?;
        let mut head = before;
        let mut answers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            answers.push(insert(&transaction, &mut head, draft)?);
        }
        if head.0 != before.0 {
            let count = i64::try_from(head.0).unwrap_or(i64::MAX);
            let newest = "INSERT OR REPLACE INTO head (id, count, hash) VALUES (1, ?1, ?2)";
            transaction
                .prepare_cached(newest)
                .and_then(|mut newest| newest.execute(params![count, &head.1[..]]))
                .map_err(sqlite("write"))?;
        }
        failpoint::pass("ledger-before-append");
        transaction.commit().map_err(sqlite("write"))?;
        failpoint::pass("ledger-after-append");
        Ok(answers)
    }

    /// Brings spilled records into the chain, each marked as spilled, and empties the spill file.
    pub fn merge(&mut self, spill: &mut Spill, now: &str) -> Result<usize, LedgerError> {
        let read =
            |source| LedgerError::Io { path: PathBuf::from("ledger.spill"), step: "read the spilled records", source };
        // Two processes that merged at once would both bring in the same records.
        let _lock = spill.lock().map_err(read)?;
        let lines = spill.lines().map_err(read)?;
        let drafts: Vec<Draft> = lines.into_iter().map(|line| merged(line, now)).collect();
        // A crash between the commit and the clearing of the file leaves lines that are in already.
        let mut fresh = Vec::new();
        for draft in &drafts {
            if !self.has_spilled(draft)? {
                fresh.push(draft);
            }
        }
        self.append(&fresh)?;
        spill.clear().map_err(read)?;
        Ok(fresh.len())
    }

    fn has_spilled(&self, draft: &Draft) -> Result<bool, LedgerError> {
        let sql = "SELECT body FROM records WHERE subject = ?1 AND kind = 'spilled'";
        let mut statement = self.connection.prepare(sql).map_err(sqlite("read"))?;
        let bodies = statement.query_map([&draft.subject], |row| row.get::<_, String>(0)).map_err(sqlite("read"))?;
        for body in bodies {
            if spilled_entry(&body.map_err(sqlite("read"))?) == spilled_entry(&draft.body) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest records, oldest first.
    pub fn records(&self, limit: u32) -> Result<Vec<Record>, LedgerError> {
        let mut records = Vec::new();
        self.newest(limit, |record| {
            records.push(record);
            Ok(())
        })?;
        records.reverse();
        Ok(records)
    }

    /// The newest records of what ended, oldest first; those that were spilled come as such.
    pub fn ends(&self, limit: u32) -> Result<Vec<Record>, LedgerError> {
        let sql = "SELECT seq, at, kind, subject, body, hash FROM records \
                   WHERE kind = 'observed' OR (kind = 'spilled' AND json_extract(body, '$.data.kind') = 'observed') \
                   ORDER BY seq DESC LIMIT ?1";
        let mut records = self.select(sql, params![limit])?;
        records.reverse();
        Ok(records)
    }

    /// Gives the newest records, newest first, until an error.
    pub fn newest(
        &self,
        limit: u32,
        mut take: impl FnMut(Record) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let sql = "SELECT seq, at, kind, subject, body, hash FROM records ORDER BY seq DESC LIMIT ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(sqlite("read"))?;
        let mut rows = statement.query(params![limit]).map_err(sqlite("read"))?;
        while let Some(row) = rows.next().map_err(sqlite("read"))? {
            take(record(row)?)?;
        }
        Ok(())
    }

    /// Every record about one subject, oldest first.
    pub fn about(&self, subject: &str) -> Result<Vec<Record>, LedgerError> {
        let sql = "SELECT seq, at, kind, subject, body, hash FROM records WHERE subject = ?1 ORDER BY seq";
        self.select(sql, params![subject])
    }

    /// Ids of commands: those without a final stage, or the newest of all.
    pub fn commands(&self, unfinished: bool, limit: u32) -> Result<Vec<String>, LedgerError> {
        let all = "SELECT subject, max(seq) AS last FROM records r WHERE kind IN ('requested', 'spilled') ";
        let open = "AND NOT EXISTS (SELECT 1 FROM records f WHERE f.subject = r.subject \
                    AND f.kind IN ('stage', 'spilled') AND f.finished = 1) ";
        let sql = format!("{all}{}GROUP BY subject ORDER BY last DESC LIMIT ?1", if unfinished { open } else { "" });
        let mut statement = self.connection.prepare(&sql).map_err(sqlite("read"))?;
        let rows = statement.query_map([limit], |row| row.get(0)).map_err(sqlite("read"))?;
        let mut ids = rows.collect::<Result<Vec<String>, _>>().map_err(sqlite("read"))?;
        ids.reverse();
        Ok(ids)
    }

    /// Ids of the commands that were asked for since then, oldest first.
    pub fn asked_since(&self, at: &str) -> Result<Vec<String>, LedgerError> {
        // From the newest back, as far as needed: the chain may be long.
        let sql = "SELECT subject, at FROM records WHERE kind IN ('requested', 'spilled') ORDER BY seq DESC";
        let mut statement = self.connection.prepare(sql).map_err(sqlite("read"))?;
        let mut rows = statement.query([]).map_err(sqlite("read"))?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next().map_err(sqlite("read"))? {
            if row.get_ref(1).and_then(|told| Ok(told.as_str()? < at)).map_err(sqlite("read"))? {
                break;
            }
            ids.push(row.get(0).map_err(sqlite("read"))?);
        }
        ids.reverse();
        ids.dedup();
        Ok(ids)
    }

    /// What was brought in from the spill file since then, oldest first.
    pub fn spilled_since(&self, at: &str) -> Result<Vec<Record>, LedgerError> {
        let sql = "SELECT seq, at, kind, subject, body, hash FROM records ORDER BY seq DESC";
        let mut statement = self.connection.prepare(sql).map_err(sqlite("read"))?;
        let mut rows = statement.query([]).map_err(sqlite("read"))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(sqlite("read"))? {
            let told = |index, is: &dyn Fn(&str) -> bool| {
                row.get_ref(index).and_then(|told| Ok(is(told.as_str()?))).map_err(sqlite("read"))
            };
            if told(1, &|told| told < at)? {
                break;
            }
            if told(2, &|told| told == Kind::Spilled.word())? {
                records.push(record(row)?);
            }
        }
        records.reverse();
        Ok(records)
    }

    fn select(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Record>, LedgerError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(sqlite("read"))?;
        let mut rows = statement.query(params).map_err(sqlite("read"))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(sqlite("read"))? {
            records.push(record(row)?);
        }
        Ok(records)
    }
}

/// SQLite's integers are signed; a negative one was never written and breaks the chain as 0.
pub(super) fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

pub(super) fn read_head(connection: &Connection) -> Result<(u64, [u8; 32]), LedgerError> {
    let row = connection
        .prepare_cached("SELECT count, hash FROM head WHERE id = 1")
        .and_then(|mut head| head.query_row([], |row| Ok((number(row.get(0)?), row.get(1)?))).optional())
        .map_err(sqlite("read"))?;
    Ok(row.unwrap_or((0, GENESIS)))
}

fn insert(
    transaction: &Transaction<'_>,
    head: &mut (u64, [u8; 32]),
    draft: &Draft,
) -> Result<Result<u64, LedgerError>, LedgerError> {
    let seq = head.0 + 1;
    let fields = Fields { seq, at: &draft.at, kind: draft.kind.word(), subject: &draft.subject, body: &draft.body };
    let hash = fields.hash(&head.1);
    let sql = "INSERT INTO records (seq, at, kind, subject, finished, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut statement = transaction.prepare_cached(sql).map_err(sqlite("write"))?;
    let number = i64::try_from(seq).unwrap_or(i64::MAX);
    let values = params![number, draft.at, draft.kind.word(), draft.subject, draft.finished, draft.body, &hash[..]];
    match statement.execute(values) {
        Ok(_) => {
            *head = (seq, hash);
            Ok(Ok(seq))
        }
        // SQLite undoes only this statement; the transaction goes on.
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.extended_code == SQLITE_CONSTRAINT_UNIQUE => {
            Ok(Err(LedgerError::Duplicate(draft.subject.clone())))
        }
        Err(source) => Err(LedgerError::Sqlite { step: "write", source }),
    }
}

impl Draft {
    /// What did not come into the chain the usual way, as a record that says so.
    pub fn spilled(line: Spilled, now: &str) -> Draft {
        let Spilled { at, kind, subject, finished, body, why } = line;
        let entry = serde_json::from_str(&body).unwrap_or(serde_json::Value::String(body));
        Draft::late(subject, finished, (&kind, &at, &why), &entry, now)
    }

    /// A line of the spill file that can't be read: it stops nothing, and is kept as it is.
    fn unreadable(text: String, why: &str, now: &str) -> Draft {
        tracing::error!(%why, "a line of the ledger's spill file can't be read; it is kept in the ledger");
        let subject = format!("spill-{}", hex(&Sha256::digest(&text)));
        let why = format!("a line of the spill file that can't be read: {why}");
        Draft::late(subject, false, (UNREADABLE, "", &why), &serde_json::Value::String(text), now)
    }

    fn late(
        subject: String,
        finished: bool,
        (kind, at, why): (&str, &str, &str),
        entry: &serde_json::Value,
        now: &str,
    ) -> Draft {
        let data = serde_json::json!({ "kind": kind, "at": at, "why": why, "entry": entry });
        let body = serde_json::json!({ "type": "spilled", "data": data }).to_string();
        Draft { at: now.to_owned(), kind: Kind::Spilled, subject, finished, body }
    }
}

/// A line of the spill file as a record of the chain.
fn merged(line: Line, now: &str) -> Draft {
    match line {
        Line::Record(line) => Draft::spilled(*line, now),
        Line::Unreadable { text, why } => Draft::unreadable(text, &why, now),
    }
}

/// What was spilled and when, out of a spilled record's body.
pub(super) fn spilled_entry(body: &str) -> Option<(serde_json::Value, serde_json::Value)> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let data = body.get("data")?;
    Some((data.get("at")?.clone(), data.get("entry")?.clone()))
}

fn record(row: &rusqlite::Row<'_>) -> Result<Record, LedgerError> {
    let get = sqlite("read");
    let (seq, at, kind, subject, body, hash) = (|| {
        Ok((
            number(row.get(0)?),
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get(3)?,
            row.get::<_, String>(4)?,
            row.get::<_, Vec<u8>>(5)?,
        ))
    })()
    .map_err(get)?;
    let unreadable = |why: String| LedgerError::Unreadable { seq, why };
    Ok(Record {
        seq,
        at: at.parse().map_err(|error| unreadable(format!("its time: {error}")))?,
        kind: Kind::from_word(&kind).ok_or_else(|| unreadable(format!("unknown kind {kind}")))?,
        subject,
        body: serde_json::from_str(&body).map_err(|error| unreadable(error.to_string()))?,
        hash: hex(&hash),
    })
}
