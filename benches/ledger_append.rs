//! What an append to the ledger costs beside a bare SQLite commit of the same bytes.
//!
//! `cargo bench --bench ledger_append`; `ROUNDS=5000` for more. Both sides write to the same disk in turns,
//! WAL and synchronous=FULL both; p50 and p99 in microseconds, and their ratio.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench that fails may panic")]
#![allow(clippy::disallowed_methods, reason = "a bench reads a clock")]

use flightdeck::ledger::{Entry, Ledger};
use flightdeck::model::{Stage, StageRecord};
use jiff::Timestamp;
use rusqlite::Connection;
use std::time::{Duration, Instant};

fn entry(number: usize) -> Entry {
    let why = "x".repeat(1500);
    let stage = StageRecord { stage: Stage::Failed { why }, at: Timestamp::UNIX_EPOCH };
    Entry::Stage {
        receipt: format!("c-{number}").as_str().into(),
        stage,
        targets: Vec::new(),
        grade: None,
        created: None,
        left: None,
        outcome: None,
    }
}

fn bare(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT").unwrap();
    connection
}

fn micros(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let last = times.len() - 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    let place = (last as f64 * part) as usize;
    times[place].as_secs_f64() * 1e6
}

fn main() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2000);
    let dir = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger")).unwrap();
    let connection = bare(&dir.path().join("bare.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut ours, mut theirs) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for number in 0..rounds {
        let one = entry(number);
        let body = serde_json::to_string(&one).unwrap();
        let began = Instant::now();
        runtime.block_on(ledger.append(&one)).unwrap();
        ours.push(began.elapsed());
        let began = Instant::now();
        connection.execute("INSERT INTO t (body) VALUES (?1)", [&body]).unwrap();
        theirs.push(began.elapsed());
    }
    let bytes = |name: &str| std::fs::metadata(dir.path().join(name)).map_or(0, |data| data.len());
    for (name, part) in [("p50", 0.50), ("p90", 0.90), ("p99", 0.99)] {
        let (us, them) = (micros(&mut ours, part), micros(&mut theirs, part));
        println!("{name}: ledger {us:.0} us, bare commit {them:.0} us, {:.2} times", us / them);
    }
    drop((ledger, connection));
    println!(
        "{rounds} records of {} bytes; ledger.db {} bytes, bare {} bytes",
        serde_json::to_string(&entry(0)).unwrap().len(),
        bytes("ledger/ledger.db"),
        bytes("bare.db")
    );
    let began = Instant::now();
    let verified = flightdeck::ledger::verify(&dir.path().join("ledger")).unwrap();
    println!(
        "verify: {} records, {} checkpoints in {:.0} ms",
        verified.count,
        verified.checkpoints,
        began.elapsed().as_secs_f64() * 1e3
    );
}
