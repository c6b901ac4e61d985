//! The store as a power cut leaves it: a real run's journal and ledger, cut at each write.
//!
//! A reader that holds the first snapshot keeps SQLite from folding its write-ahead log back, so that
//! every write of the run is in it, in order.

use crate::support::live::Server;
use flightdeck::engine::core::{SlotKey, State};
use flightdeck::engine::journal::Journal;
use flightdeck::ledger::{Ledger, verify};
use flightdeck::model::Step;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes before a log's first frame, and before each frame's page.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// A database and its log, as they are on disk.
struct Image {
    name: &'static str,
    main: Vec<u8>,
    log: Vec<u8>,
}

impl Image {
    fn read(dir: &Path, name: &'static str) -> Image {
        let file = |end: &str| fs::read(dir.join(format!("{name}{end}"))).unwrap();
        Image { name, main: file(""), log: file("-wal") }
    }

    fn frame(&self) -> usize {
        let page = u32::from_be_bytes(self.log[8..12].try_into().unwrap());
        FRAME_HEADER + page as usize
    }

    /// Where each frame ends, and whether it ends a transaction.
    fn frames(&self) -> Vec<(usize, bool)> {
        let salt = &self.log[16..24];
        let ends = (LOG_HEADER + self.frame()..=self.log.len()).step_by(self.frame());
        ends.map_while(|end| {
            let header = &self.log[end - self.frame()..][..FRAME_HEADER];
            (header[8..16] == *salt).then(|| (end, header[4..8] != [0; 4]))
        })
        .collect()
    }

    /// Writes it with its log cut, into a folder of its own.
    fn cut(&self, scratch: &Scratch, log: &[u8]) -> PathBuf {
        let dir = scratch.next();
        fs::write(dir.join(self.name), &self.main).unwrap();
        fs::write(dir.join(format!("{}-wal", self.name)), log).unwrap();
        dir
    }
}

struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    /// In memory where that is there: thousands of small files.
    fn new() -> Scratch {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Scratch { dir: dir.unwrap() }
    }

    fn next(&self) -> PathBuf {
        let dir = self.dir.path().join("image");
        let _ = fs::remove_dir_all(&dir); // the one before
        fs::create_dir(&dir).unwrap();
        dir
    }
}

/// A log that is not folded back while this lives.
fn hold(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    connection
}

/// The journal and the ledger of a run: two canaries, one promoted, one aborted.
struct Recorded {
    journal: Image,
    ledger: Image,
    key: Vec<u8>,
}

fn record() -> Recorded {
    let server = Server::start();
    let data = server.path().join("data");
    let held = [hold(&data.join("engine.db")), hold(&data.join("ledger/ledger.db"))];
    server.with_canary();
    server.ok(&["promote", "shop", "--yes", "--wait"]);
    server.ok(&["abort", "shop", "--yes", "--wait"]);
    server.ok(&["ledger", "show", "--key"]);
    let journal = Image::read(&data, "engine.db");
    let ledger = Image::read(&data.join("ledger"), "ledger.db");
    let key = fs::read(data.join("ledger/ledger.key")).unwrap();
    drop(held);
    Recorded { journal, ledger, key }
}

fn journal_of(dir: &Path) -> Option<String> {
    let opened = Journal::open(&dir.join("engine.db"), usize::MAX).unwrap_or_else(|error| panic!("it opens: {error}"));
    drop(opened.journal);
    opened.state
}

/// Records' hashes; each image must verify as it is.
fn ledger_of(dir: &Path) -> Vec<String> {
    let ledger = Ledger::open(dir).unwrap_or_else(|error| panic!("it opens: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let records = runtime.block_on(ledger.records(u32::MAX)).unwrap();
    drop(ledger);
    let verified = verify(dir).unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!(verified.count, records.len() as u64);
    records.into_iter().map(|record| record.hash).collect()
}

/// The cuts of a log: at each frame, in its header, in its page, and with a byte of garbage behind.
fn cuts(image: &Image) -> Vec<(usize, Option<u8>)> {
    let mut cuts = vec![(0, None), (LOG_HEADER / 2, None), (LOG_HEADER, None), (LOG_HEADER, Some(0xaa))];
    for (end, commit) in image.frames() {
        cuts.extend([(end - image.frame() + FRAME_HEADER / 2, None), (end - image.frame() / 2, None), (end, None)]);
        if commit {
            cuts.push((end, Some(0x55)));
        }
    }
    cuts
}

/// Each cut must give exactly what the last whole transaction before it had made of the store.
fn each_cut_is_what_was_committed<T: PartialEq + std::fmt::Debug + Clone>(
    image: &Image,
    prepare: impl Fn(&Path, usize),
    open: impl Fn(&Path) -> T,
) -> Vec<T> {
    let scratch = Scratch::new();
    let commits: Vec<usize> = image.frames().iter().filter(|(_, commit)| *commit).map(|(end, _)| *end).collect();
    let at = |end: usize| {
        let dir = image.cut(&scratch, &image.log[..end]);
        prepare(&dir, end);
        open(&dir)
    };
    // Before the first one there is what the main file had.
    let mut states = vec![at(0)];
    states.extend(commits.iter().map(|end| at(*end)));
    for (end, garbage) in cuts(image) {
        let mut log = image.log[..end].to_vec();
        log.extend(garbage);
        let dir = image.cut(&scratch, &log);
        prepare(&dir, end);
        let whole = commits.iter().filter(|commit| **commit <= end).count();
        assert_eq!(open(&dir), states[whole], "cut at byte {end}, garbage {garbage:?}");
    }
    // Bits that turned in the last transaction take it away, and nothing else.
    let last = *commits.last().unwrap();
    let mut turned = image.log[..last].to_vec();
    *turned.last_mut().unwrap() ^= 1;
    let dir = image.cut(&scratch, &turned);
    prepare(&dir, last - 1);
    assert_eq!(open(&dir), states[commits.len() - 1], "a turned bit");
    folded_half(image, &scratch, prepare, open, states.last().unwrap());
    states
}

/// The main file in the middle of being brought up to date: some pages are new, the log is whole.
fn folded_half<T: PartialEq + std::fmt::Debug>(
    image: &Image,
    scratch: &Scratch,
    prepare: impl Fn(&Path, usize),
    open: impl Fn(&Path) -> T,
    newest: &T,
) {
    let dir = image.cut(scratch, &image.log);
    let connection = Connection::open(dir.join(image.name)).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(())).unwrap();
    let folded = fs::read(dir.join(image.name)).unwrap();
    drop(connection);
    assert_ne!(folded, image.main, "the log was folded back");
    let page = image.frame() - FRAME_HEADER;
    for cut in (0..=folded.len()).step_by(page / 2) {
        let mut main = image.main.clone();
        main.resize(main.len().max(cut), 0);
        main[..cut].copy_from_slice(&folded[..cut]);
        let half = Image { name: image.name, main, log: image.log.clone() };
        let dir = half.cut(scratch, &half.log);
        prepare(&dir, half.log.len());
        assert_eq!(open(&dir), *newest, "folded up to byte {cut}");
    }
}

/// Commands that were known when a run came to the gate that it stands at.
type Gates = BTreeMap<(SlotKey, String), (u32, usize)>;

/// One committed state after another: numbers and time go up, and no gate is passed without being stood at
/// and, where a person is asked, without a command.
fn follows(before: &State, after: &State, gates: &mut Gates) {
    assert!(after.counters.effect >= before.counters.effect, "effects are numbered upwards");
    assert!(after.last >= before.last, "time goes on");
    for (key, slot) in &after.slots {
        let Some(run) = &slot.run else { continue };
        let gate = |step: u32| matches!(run.steps.get(step as usize), Some(Step::Pause { .. } | Step::Approval { .. }));
        let at = gates.entry((key.clone(), run.revision.clone())).or_insert((run.step, after.commands.len()));
        let (old, commands) = *at;
        if run.step == old {
            continue;
        }
        assert!((old + 1..run.step).all(|step| !gate(step)), "{key}: from step {old} to {}: past a gate", run.step);
        assert!(!gate(old) || after.commands.len() > commands, "{key} left the gate at step {old}, and nobody said so");
        *at = (run.step, after.commands.len());
    }
}

#[test]
fn a_store_cut_at_any_write_is_one_that_was_committed() {
    let recorded = record();
    let journals = each_cut_is_what_was_committed(&recorded.journal, |_, _| {}, journal_of);
    let states: Vec<State> =
        journals.iter().flatten().map(|text| serde_json::from_str(text).expect("each state can be read")).collect();
    assert!(states.len() > 12, "the run left {} states", states.len());
    let mut gates = Gates::new();
    for pair in states.windows(2) {
        follows(&pair[0], &pair[1], &mut gates);
    }
    assert!(gates.values().any(|(step, _)| *step > 1), "a gate was passed at all: {gates:?}");
    // The key is put in place once the first checkpoint is on disk.
    let ledger = &recorded.ledger;
    let signed = ledger.frames().iter().filter(|(_, commit)| *commit).map(|(end, _)| *end).find(|end| {
        let scratch = Scratch::new();
        let dir = ledger.cut(&scratch, &ledger.log[..*end]);
        let store = Connection::open(dir.join("ledger.db")).unwrap();
        store.query_row("SELECT count(*) FROM checkpoints", [], |row| row.get::<_, u32>(0)).is_ok_and(|count| count > 0)
    });
    let signed = signed.expect("there is a checkpoint");
    let with_key = |dir: &Path, end: usize| {
        let name = if end >= signed { "ledger.key" } else { "ledger.key.new" };
        fs::write(dir.join(name), &recorded.key).unwrap();
    };
    let chains = each_cut_is_what_was_committed(ledger, with_key, ledger_of);
    for pair in chains.windows(2) {
        assert!(pair[1].starts_with(&pair[0]), "records only come to the end");
    }
    assert!(chains.last().unwrap().len() > 10);
}
