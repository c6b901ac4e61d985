//! All records as JSON lines, with the newest checkpoint as the last line: a copy to be kept elsewhere,
//! which checks itself and is a witness for [`super::verify_against`].

use super::checkpoint::Checkpoint;
use super::merkle::{Frontier, Hash, leaf};
use super::note::{NoteError, VerifyKey};
use super::record::{Fields, GENESIS, hex};
use super::signing::{has_tables, newest, public_key};
use super::store::{LedgerError, database, number, sqlite};
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
    // Without SQLITE_OPEN_CREATE: a missing ledger is an error, not an empty one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database(dir), flags).map_err(sqlite("open"))?;
    connection.execute_batch("PRAGMA query_only = 1; BEGIN;").map_err(sqlite("read"))?;
    let sql = "SELECT seq, at, kind, subject, body, hash FROM records ORDER BY seq";
    let mut statement = connection.prepare(sql).map_err(sqlite("read"))?;
    let mut rows = statement.query([]).map_err(sqlite("read"))?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite("read"))? {
        lines.push(line(row)?);
    }
    let checkpoint = if has_tables(&connection).map_err(sqlite("read"))? { newest(&connection)? } else { None };
    if let (Some((size, note)), Some(key)) = (checkpoint, public_key(dir)?) {
        let last = Last { checkpoint: note, key: key.to_string() };
        let unwritable = |error: serde_json::Error| LedgerError::Unreadable { seq: size, why: error.to_string() };
        lines.push(serde_json::to_string(&last).map_err(unwritable)?);
    }
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
        /// In words.
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
