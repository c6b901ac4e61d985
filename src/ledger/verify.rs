//! Checks the chain from its first record to its head, the checkpoints, and a copy kept elsewhere.

use super::checkpoint::Checkpoint;
use super::merkle::{Frontier, Hash, leaf};
use super::note::{NoteError, VerifyKey};
use super::record::{Fields, GENESIS, Kind, hex, is_last};
use super::signing::{has_tables, public_key};
use super::spill::waiting;
use super::store::{LEDGER_VERSION, database, number, read_head};
use flightdeck_model::counted;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::Path;

/// A ledger that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Number of records.
    pub count: u64,
    /// The last record's hash, in hexadecimal.
    pub head: String,
    /// How many checkpoints there are, all of them good.
    pub checkpoints: u64,
    /// How many records the newest of them covers.
    pub signed: u64,
    /// How many records came by way of the spill file.
    pub spilled: u64,
    /// How many still wait in it.
    pub waiting: u64,
    /// The public key that they were verified with.
    pub key: Option<String>,
    /// How many records the copy kept elsewhere covers, if one was given.
    pub witnessed: Option<u64>,
}

impl Verified {
    /// In sentences: what holds, and what only a copy kept elsewhere can show.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("{}, each follows from the one before; head {}", counted(self.count, "record"), self.head)];
        match &self.key {
            Some(key) if self.checkpoints > 0 => lines.push(format!(
                "{}, each signed by {key}; the newest covers records 1 to {}",
                counted(self.checkpoints, "checkpoint"),
                self.signed
            )),
            _ => lines.push("no checkpoint is signed yet".to_owned()),
        }
        if self.spilled + self.waiting > 0 {
            lines.push(format!(
                "{} records (kind spilled) came late, by way of the spill file, since the store could not be written; \
                 {} wait in it",
                self.spilled, self.waiting
            ));
        }
        lines.push(match self.witnessed {
            Some(size) => format!("the copy kept elsewhere agrees: records 1 to {size} are those that it was made of"),
            None => "not looked at: whoever can write these files can cut the end off together with its \
                     checkpoints, and with the key (or a new one) make all of it anew. Only a copy kept elsewhere \
                     shows that: `flightdeck ledger export FILE` makes one, `ledger verify --witness FILE` compares"
                .to_owned(),
        });
        lines
    }
}

/// What somebody, or a failing disk, did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tamper {
    /// It can't be read at all, or was written by a newer program.
    Unreadable,
    /// Bytes of a record, or of the head, were changed.
    Changed,
    /// A record, or all checkpoints, were taken out.
    Removed,
    /// Records at the end were taken away.
    CutTail,
    /// Records were made anew, chain and all.
    Rewritten,
    /// Checkpoints are by another key than the ledger's or the copy's.
    OtherKey,
    /// A checkpoint says that it is signed by the key, and is not.
    Forged,
    /// All records hold, but the store is damaged.
    Damaged,
    /// The copy to compare with is none.
    Witness,
}

/// A ledger that doesn't hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is broken at record {seq}: {why}")]
pub struct Broken {
    /// The first record that does not hold, or the last one of the checkpoint that doesn't; 0: none in particular.
    pub seq: u64,
    /// What it is a sign of.
    pub tamper: Tamper,
    pub why: String,
}

fn broken(seq: u64, tamper: Tamper, why: impl Into<String>) -> Broken {
    Broken { seq, tamper, why: why.into() }
}

/// What a ledger is compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Against {
    /// A checkpoint kept elsewhere: the signed note.
    pub witness: Option<String>,
    /// The public key kept elsewhere; else the one beside the ledger.
    pub key: Option<String>,
}

/// The same as [`verify_against`] with nothing from outside.
pub fn verify(dir: &Path) -> Result<Verified, Broken> {
    verify_against(dir, &Against::default())
}

/// Reads the whole ledger of a folder, whether a server has it open or not, and checks that each
/// record's hash follows from its fields and the record before, that none is missing, that the head
/// record agrees, that each checkpoint is signed by the key and over these very records, and that the
/// tree of a witness is a prefix of this one. Records still in the spill file are not part of the chain
/// yet. One pass: some two seconds for 100,000 records of 2 kB on a slow machine.
pub fn verify_against(dir: &Path, against: &Against) -> Result<Verified, Broken> {
    verify_until(dir, against, &|| false)
}

/// The same, until nobody wants to know any more, which is asked at each record.
pub fn verify_until(dir: &Path, against: &Against, given_up: &dyn Fn() -> bool) -> Result<Verified, Broken> {
    let unreadable = |why: rusqlite::Error| broken(0, Tamper::Unreadable, format!("the store can't be read: {why}"));
    // Without SQLITE_OPEN_CREATE: a missing ledger is an error, not an empty one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database(dir), flags).map_err(unreadable)?;
    connection.execute_batch("PRAGMA query_only = 1; BEGIN;").map_err(unreadable)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unreadable)?;
    if version > LEDGER_VERSION {
        let why =
            format!("it has version {version}, this flightdeck knows up to {LEDGER_VERSION}: use the newer program");
        return Err(broken(0, Tamper::Unreadable, why));
    }
    let notes = notes(&connection).map_err(unreadable)?;
    let key = key(dir, against)?;
    let witness = against.witness.as_deref().map(|note| witnessed(note, key.as_ref()));
    let sizes = notes.keys().copied().chain(witness.iter().flatten().map(|witness| witness.size));
    let walked = walk(&connection, sizes.map(|size| (size, None)).collect(), given_up)?;
    head(&connection, &walked)?;
    checkpoints(&notes, key.as_ref(), &walked)?;
    let witness = witness.transpose()?;
    if let Some(witness) = &witness {
        compare(witness, &walked)?;
    }
    let sound = connection.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0));
    let sound = sound.map_err(unreadable)?;
    if sound != "ok" {
        let why = format!("every record holds, but the store is damaged: {sound}");
        return Err(broken(walked.count, Tamper::Damaged, why));
    }
    Ok(Verified {
        count: walked.count,
        head: hex(&walked.last),
        checkpoints: notes.len() as u64,
        signed: notes.keys().next_back().copied().unwrap_or(0),
        spilled: walked.spilled,
        waiting: waiting(dir).map_err(|error| broken(0, Tamper::Unreadable, format!("the spill file: {error}")))?,
        key: key.map(|key| key.to_string()),
        witnessed: witness.map(|witness| witness.size),
    })
}

fn notes(connection: &Connection) -> rusqlite::Result<BTreeMap<u64, String>> {
    if !has_tables(connection)? {
        return Ok(BTreeMap::new());
    }
    let mut statement = connection.prepare("SELECT size, note FROM checkpoints")?;
    statement.query_map([], |row| Ok((number(row.get(0)?), row.get(1)?)))?.collect()
}

/// The key that was given, which the one beside the ledger must be; else that one.
fn key(dir: &Path, against: &Against) -> Result<Option<VerifyKey>, Broken> {
    let here = public_key(dir).map_err(|error| broken(0, Tamper::Unreadable, with_source(&error)))?;
    let Some(told) = &against.key else { return Ok(here) };
    let told: VerifyKey =
        told.parse().map_err(|error| broken(0, Tamper::Witness, format!("the key that was given: {error}")))?;
    match here {
        Some(here) if here != told => {
            let why = format!("it is signed by {}, not by the key kept elsewhere, {}", here.short(), told.short());
            Err(broken(0, Tamper::OtherKey, why))
        }
        _ => Ok(Some(told)),
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

struct Walked {
    count: u64,
    last: Hash,
    spilled: u64,
    /// The root over so many records, for each size that was asked for and is there.
    roots: BTreeMap<u64, Option<Hash>>,
}

fn walk(
    connection: &Connection,
    mut roots: BTreeMap<u64, Option<Hash>>,
    given_up: &dyn Fn() -> bool,
) -> Result<Walked, Broken> {
    let (mut frontier, mut previous, mut spilled) = (Frontier::default(), GENESIS, 0);
    let unreadable = |count: u64| {
        move |why: rusqlite::Error| broken(count + 1, Tamper::Unreadable, format!("it can't be read: {why}"))
    };
    let mut note_root = |frontier: &Frontier| {
        if let Some(root) = roots.get_mut(&frontier.size()) {
            *root = Some(frontier.root());
        }
    };
    note_root(&frontier);
    let sql = "SELECT seq, at, kind, subject, body, hash, finished FROM records ORDER BY seq";
    let mut statement = connection.prepare(sql).map_err(unreadable(0))?;
    let mut rows = statement.query([]).map_err(unreadable(0))?;
    while let Some(row) = rows.next().map_err(unreadable(frontier.size()))? {
        let count = frontier.size();
        if given_up() {
            return Err(broken(count, Tamper::Unreadable, "the check was given up"));
        }
        let text = |index: usize| row.get_ref(index).and_then(|value| Ok(value.as_str()?)).map_err(unreadable(count));
        let seq = number(row.get(0).map_err(unreadable(count))?);
        if seq != count + 1 {
            let why = format!("it is missing: record {count} is followed by record {seq}");
            return Err(broken(count + 1, Tamper::Removed, why));
        }
        let fields = Fields { seq, at: text(1)?, kind: text(2)?, subject: text(3)?, body: text(4)? };
        let hash = fields.hash(&previous);
        if row.get_ref(5).map_err(unreadable(count))?.as_bytes() != Ok(&hash[..]) {
            let why = "its hash does not follow from its content and the record before: it was changed, \
                       or the one before is another";
            return Err(broken(seq, Tamper::Changed, why));
        }
        if row.get::<_, bool>(6).map_err(unreadable(count))? != is_last(fields.kind, fields.body) {
            let why = "whether more comes about its subject does not follow from its content: it was changed";
            return Err(broken(seq, Tamper::Changed, why));
        }
        spilled += u64::from(fields.kind == Kind::Spilled.word());
        frontier.push(leaf(&hash));
        note_root(&frontier);
        previous = hash;
    }
    Ok(Walked { count: frontier.size(), last: previous, spilled, roots })
}

fn head(connection: &Connection, walked: &Walked) -> Result<(), Broken> {
    let count = walked.count;
    let head = read_head(connection).map_err(|error| broken(count + 1, Tamper::Unreadable, error.to_string()))?;
    if head.0 > count {
        let why = format!("it is missing: the head counts {} records, there are {count}", head.0);
        return Err(broken(count + 1, Tamper::CutTail, why));
    }
    if head != (count, walked.last) {
        return Err(broken(count, Tamper::Changed, "the head record does not agree with the last record"));
    }
    Ok(())
}

/// Each checkpoint, from the oldest on: by the key, and over these records.
fn checkpoints(notes: &BTreeMap<u64, String>, key: Option<&VerifyKey>, walked: &Walked) -> Result<(), Broken> {
    let key = match (key, notes.is_empty()) {
        (Some(key), false) => key,
        (None, true) => return Ok(()),
        (Some(key), true) => {
            let why = format!("{} signed checkpoints of it, and all of them were taken out", key.short());
            return Err(broken(0, Tamper::Removed, why));
        }
        (None, false) => {
            let why = "the key of its checkpoints is missing: put ledger.key back, or give the public one with --key";
            return Err(broken(0, Tamper::OtherKey, why));
        }
    };
    for (size, note) in notes {
        let said = Checkpoint::open(note, key).map_err(|error| match error {
            NoteError::OtherKey { by } => {
                let why = format!("the checkpoint over {size} records is signed by {by}, not by {}", key.short());
                broken(*size, Tamper::OtherKey, why)
            }
            error => broken(*size, Tamper::Forged, format!("the checkpoint over {size} records: {error}")),
        })?;
        if said.size != *size {
            let why = format!("the checkpoint kept for {size} records is one over {}", said.size);
            return Err(broken(*size, Tamper::Forged, why));
        }
        if *size > walked.count {
            let why = format!("it is missing: a checkpoint was signed over {size} records, there are {}", walked.count);
            return Err(broken(walked.count + 1, Tamper::CutTail, why));
        }
        if walked.roots.get(size) != Some(&Some(said.root)) {
            let why = format!("records 1 to {size} are not those that a checkpoint was signed over: made anew");
            return Err(broken(*size, Tamper::Rewritten, why));
        }
    }
    Ok(())
}

fn witnessed(note: &str, key: Option<&VerifyKey>) -> Result<Checkpoint, Broken> {
    let Some(key) = key else {
        let why = "there is a copy kept elsewhere of a signed ledger, but this one has no key";
        return Err(broken(0, Tamper::OtherKey, why));
    };
    Checkpoint::open(note, key).map_err(|error| match error {
        NoteError::OtherKey { by } => {
            let why = format!(
                "the copy kept elsewhere is signed by {by}, this ledger by {}: it was made anew with another key, \
                 or the copy is of another ledger",
                key.short()
            );
            broken(0, Tamper::OtherKey, why)
        }
        error => broken(0, Tamper::Witness, format!("the copy kept elsewhere: {error}")),
    })
}

fn compare(witness: &Checkpoint, walked: &Walked) -> Result<(), Broken> {
    let (size, count) = (witness.size, walked.count);
    if size > count {
        let why = format!("it is missing: the copy kept elsewhere was made of {size} records, there are {count}");
        return Err(broken(count + 1, Tamper::CutTail, why));
    }
    if walked.roots.get(&size) != Some(&Some(witness.root)) {
        let why = format!(
            "records 1 to {size} are not those that the copy kept elsewhere was made of: they were made anew by \
             somebody who has the ledger's key"
        );
        return Err(broken(size, Tamper::Rewritten, why));
    }
    Ok(())
}
