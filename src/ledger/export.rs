//! All records as JSON lines, with the newest checkpoint as the last line: a copy to be kept elsewhere,
//! which checks itself and is a witness for [`super::verify_against`].

use super::checkpoint::Checkpoint;
use super::merkle::{Frontier, Hash, leaf};
use super::note::{NoteError, VerifyKey};
use super::record::{Fields, GENESIS, hex};
use super::signing::{has_tables, newest, public_key};
use super::store::{LedgerError, Store, database, number, sqlite};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::path::Path;

/// A record with the very text that its hash covers.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    seq: u64,
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
    hash: String,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct Last {
    checkpoint: String,
    key: String,
}

/// Reads the whole ledger of a folder: a line for each record, then its newest checkpoint, if it has one.
pub fn export(dir: &Path) -> Result<Vec<String>, LedgerError> {
    let mut export = Export::open(dir)?;
    let mut lines = Vec::new();
    while let Some(part) = export.part(usize::MAX)? {
        lines.extend(part);
    }
    Ok(lines)
}

/// The same, part by part: whoever takes it slowly holds neither memory nor a view of the store, which would
/// keep its log from being folded in.
#[derive(Debug)]
pub struct Export {
    connection: Connection,
    /// The last record that was given.
    given: i64,
    /// The last record of the export: what comes later is not part of it.
    end: i64,
    checkpoint: Option<String>,
}

impl Export {
    /// What is there now. Blocks, as all of it does.
    pub fn open(dir: &Path) -> Result<Export, LedgerError> {
        // Without SQLITE_OPEN_CREATE: a missing ledger is an error, not an empty one.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database(dir), flags).map_err(sqlite("open"))?;
        // One view for both, so that the checkpoint is over records of the export.
        connection.execute_batch("PRAGMA query_only = 1; BEGIN;").map_err(sqlite("read"))?;
        let sql = "SELECT coalesce(max(seq), 0) FROM records";
        let end = connection.query_row(sql, [], |row| row.get(0)).map_err(sqlite("read"))?;
        let newest = if has_tables(&connection).map_err(sqlite("read"))? { newest(&connection)? } else { None };
        connection.execute_batch("COMMIT;").map_err(sqlite("read"))?;
        let checkpoint = match (newest, public_key(dir)?) {
            (Some((size, note)), Some(key)) => {
                let last = Last { checkpoint: note, key: key.to_string() };
                let unwritable =
                    |error: serde_json::Error| LedgerError::Unreadable { seq: size, why: error.to_string() };
                Some(serde_json::to_string(&last).map_err(unwritable)?)
            }
            _ => None,
        };
        Ok(Export { connection, given: i64::MIN, end, checkpoint })
    }

    /// The next lines, one at least and about so many bytes of them; `None`: that was all.
    pub fn part(&mut self, bytes: usize) -> Result<Option<Vec<String>>, LedgerError> {
        let sql = "SELECT seq, at, kind, subject, body, hash FROM records WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql).map_err(sqlite("read"))?;
        let mut rows = statement.query([self.given, self.end]).map_err(sqlite("read"))?;
        let (mut lines, mut size) = (Vec::new(), 0);
        while size < bytes
            && let Some(row) = rows.next().map_err(sqlite("read"))?
        {
            let line = line(row)?;
            self.given = row.get(0).map_err(sqlite("read"))?;
            size += line.len();
            lines.push(line);
        }
        if lines.is_empty() {
            lines.extend(self.checkpoint.take());
        }
        Ok(if lines.is_empty() { None } else { Some(lines) })
    }
}

/// The newest records of a folder's ledger as JSON lines, oldest first; an error if they are more than so many
/// bytes. On a view of its own: the ledger's thread goes on.
pub fn newest_lines(dir: &Path, limit: u32, bytes: usize) -> Result<Vec<String>, LedgerError> {
    let (mut lines, mut size) = (Vec::new(), 0);
    let unreadable = |seq| move |error: serde_json::Error| LedgerError::Unreadable { seq, why: error.to_string() };
    Store::reading(dir)?.newest(limit, |record| {
        let line = serde_json::to_string(&record).map_err(unreadable(record.seq))?;
        size += line.len();
        if size > bytes {
            return Err(LedgerError::TooMuch { fit: lines.len(), bytes });
        }
        lines.push(line);
        Ok(())
    })?;
    lines.reverse();
    Ok(lines)
}

fn line(row: &rusqlite::Row<'_>) -> Result<String, LedgerError> {
    let text = |index| row.get::<_, String>(index).map_err(sqlite("read"));
    let seq = number(row.get(0).map_err(sqlite("read"))?);
    let unreadable = |why: String| LedgerError::Unreadable { seq, why };
    let (at, kind, subject, body) = (text(1)?, text(2)?, text(3)?, text(4)?);
    let body: &RawValue = serde_json::from_str(&body).map_err(|error| unreadable(error.to_string()))?;
    if body.get().contains('\n') {
        return Err(unreadable("its body has several lines, which no flightdeck writes".to_owned()));
    }
    let hash = hex(&row.get::<_, Vec<u8>>(5).map_err(sqlite("read"))?);
    let line = Line { seq, at: at.into(), kind: kind.into(), subject: subject.into(), body, hash };
    serde_json::to_string(&line).map_err(|error| unreadable(error.to_string()))
}

/// A copy kept elsewhere: a checkpoint, alone or at the end of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The signed note.
    pub note: String,
    /// The key that came with it.
    pub key: Option<String>,
}

/// Why a copy is no witness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// It is neither a checkpoint nor an export with one.
    #[error("it is neither a signed checkpoint nor an export of a ledger that ends with one: {0}")]
    Form(String),
    /// An export's own lines do not agree with its checkpoint.
    #[error("the copy itself is damaged at line {line}: {why}")]
    Damaged {
        /// From 1.
        line: u64,
        why: String,
    },
    /// Its checkpoint does not hold by the key that came with it.
    #[error("the copy's checkpoint: {0}")]
    Note(#[from] NoteError),
}

impl Witness {
    /// Reads a file's text: a note, or an export, whose chain and root are computed anew.
    pub fn read(text: &str) -> Result<Witness, WitnessError> {
        if !text.starts_with('{') {
            return Ok(Witness { note: text.to_owned(), key: None });
        }
        let (mut frontier, mut previous, mut roots) = (Frontier::default(), GENESIS, vec![Frontier::default().root()]);
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() {
                return ended(line, &roots);
            }
            let at = frontier.size() + 1;
            previous = follows(line, at, &previous).map_err(|why| WitnessError::Damaged { line: at, why })?;
            frontier.push(leaf(&previous));
            roots.push(frontier.root());
        }
        Err(WitnessError::Form("it is empty".to_owned()))
    }
}

/// A record's hash, recomputed.
fn follows(line: &str, seq: u64, previous: &Hash) -> Result<Hash, String> {
    let record: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Line { at, kind, subject, body, hash, .. } = &record;
    let computed = Fields { seq, at, kind, subject, body: body.get() }.hash(previous);
    if record.seq != seq || hex(&computed) != *hash {
        return Err("its hash does not follow from its content and the record before".to_owned());
    }
    Ok(computed)
}

fn ended(line: &str, roots: &[Hash]) -> Result<Witness, WitnessError> {
    let last: Last = serde_json::from_str(line)
        .map_err(|_| WitnessError::Form("its last line is no checkpoint: its end is missing".to_owned()))?;
    let key: VerifyKey = last.key.parse()?;
    let said = Checkpoint::open(&last.checkpoint, &key)?;
    let root = usize::try_from(said.size).ok().and_then(|size| roots.get(size));
    if root != Some(&said.root) {
        let why = format!("its checkpoint is over {} records other than these {}", said.size, roots.len() - 1);
        return Err(WitnessError::Damaged { line: roots.len() as u64, why });
    }
    Ok(Witness { note: last.checkpoint, key: Some(last.key) })
}
