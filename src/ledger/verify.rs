//! Checks the chain from its first record to its head.

use super::record::{Fields, GENESIS, hex};
use super::store::{LEDGER_VERSION, database, number, read_head};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Number of records.
    pub count: u64,
    /// The last record's hash, in hexadecimal: keep it elsewhere to notice a chain made anew.
    pub head: String,
}

/// A chain that doesn't.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is broken at record {seq}: {why}")]
pub struct Broken {
    /// The first record that does not hold; 0: the store can't be read at all.
    pub seq: u64,
    /// In words.
    pub why: String,
}

/// Reads the whole ledger of a folder, whether a server has it open or not, and checks that each
/// record's hash follows from its fields and the record before, that none is missing, and that
/// the head record agrees. Records still in the spill file are not part of the chain yet.
pub fn verify(dir: &Path) -> Result<Verified, Broken> {
    let broken = |seq| move |why: rusqlite::Error| Broken { seq, why: format!("the store can't be read: {why}") };
    // Without SQLITE_OPEN_CREATE: a missing ledger is an error, not an empty one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database(dir), flags).map_err(broken(0))?;
    connection.execute_batch("PRAGMA query_only = 1; BEGIN;").map_err(broken(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(broken(0))?;
    if version > LEDGER_VERSION {
        let why =
            format!("it has version {version}, this flightdeck knows up to {LEDGER_VERSION}: use the newer program");
        return Err(Broken { seq: 0, why });
    }
    let (count, last) = walk(&connection)?;
    let head = read_head(&connection).map_err(|error| Broken { seq: count + 1, why: error.to_string() })?;
    if head.0 > count {
        let why = format!("it is missing: the head counts {} records, there are {count}", head.0);
        return Err(Broken { seq: count + 1, why });
    }
    if head != (count, last) {
        return Err(Broken { seq: count, why: "the head record does not agree with the last record".to_owned() });
    }
    let sound: String =
        connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(broken(count))?;
    if sound != "ok" {
        return Err(Broken { seq: count, why: format!("every record holds, but the store is damaged: {sound}") });
    }
    Ok(Verified { count, head: hex(&last) })
}

fn walk(connection: &Connection) -> Result<(u64, [u8; 32]), Broken> {
    let (mut count, mut previous) = (0_u64, GENESIS);
    let unreadable =
        |count: u64| move |why: rusqlite::Error| Broken { seq: count + 1, why: format!("it can't be read: {why}") };
    let sql = "SELECT seq, at, kind, subject, body, hash FROM records ORDER BY seq";
    let mut statement = connection.prepare(sql).map_err(unreadable(0))?;
    let mut rows = statement.query([]).map_err(unreadable(0))?;
    while let Some(row) = rows.next().map_err(unreadable(count))? {
        let text = |index: usize| row.get::<_, String>(index).map_err(unreadable(count));
        let seq = number(row.get(0).map_err(unreadable(count))?);
        if seq != count + 1 {
            let why = format!("it is missing: record {count} is followed by record {seq}");
            return Err(Broken { seq: count + 1, why });
        }
        let (at, kind, subject, body) = (text(1)?, text(2)?, text(3)?, text(4)?);
        let stored: Vec<u8> = row.get(5).map_err(unreadable(count))?;
        let hash = Fields { seq, at: &at, kind: &kind, subject: &subject, body: &body }.hash(&previous);
        if stored != hash {
            let why = "its hash does not follow from its content and the record before".to_owned();
            return Err(Broken { seq, why });
        }
        (count, previous) = (seq, hash);
    }
    Ok((count, previous))
}
