//! The ledger: durable, chained, spilled when it must be.

mod attacks;

use crate::board::kit::*;
use flightdeck::ledger::{Appended, Entry, Kind, Ledger, LedgerError, Options, verify};
use flightdeck::model::*;
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

fn requested(id: &str, action: Action) -> Entry {
    let one = rollout("checkout", "production");
    let receipt = Receipt {
        id: id.into(),
        command: command(id, action, Subject::Run(one.run.clone()), None),
        actor: actor("alice", &[]),
        stages: vec![StageRecord { stage: Stage::Requested, at: at(1) }],
        forecast: None,
        grade: None,
        targets: Vec::new(),
        sources: Vec::new(),
        created: None,
        left: None,
        outcome: None,
    };
    Entry::Requested { receipt: Box::new(receipt), before: Some(Box::new(one)), hub: None, sources: Vec::new() }
}

fn stage(id: &str, stage: Stage) -> Entry {
    Entry::Stage {
        receipt: id.into(),
        stage: StageRecord { stage, at: at(2) },
        targets: Vec::new(),
        grade: None,
        created: None,
        left: None,
        outcome: None,
    }
}

fn effective() -> Stage {
    Stage::Effective { proof: Proof { text: "route 41".into() } }
}

/// Five records: three commands, the first of them finished.
async fn five(dir: &Path) -> Ledger {
    let ledger = Ledger::open(dir).unwrap();
    for (number, entry) in [
        requested("c-1", Action::Promote),
        stage("c-1", effective()),
        requested("c-2", Action::Abort),
        stage("c-2", Stage::Accepted),
        requested("c-3", Action::Pause),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(ledger.append(entry).await.unwrap(), number as u64 + 1);
    }
    ledger
}

/// Another process that has the store locked: no write succeeds until it is dropped.
fn lock(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("ledger.db")).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

#[tokio::test]
async fn records_stay_and_follow_from_each_other() {
    let dir = TempDir::new().unwrap();
    let before = {
        let ledger = five(dir.path()).await;
        let records = ledger.records(100).await.unwrap();
        assert_eq!(ledger.records(2).await.unwrap(), records[3..], "the newest, oldest first");
        records
    };
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.count, &verified.head), (5, &before[4].hash));
    let again = Ledger::open(dir.path()).unwrap();
    assert_eq!(again.records(100).await.unwrap(), before, "nothing is lost by opening it again");
    assert_eq!(again.append(&stage("c-3", effective())).await.unwrap(), 6);
    assert_eq!(verify(dir.path()).unwrap().count, 6, "a server that has it open does not hinder the check");
}

#[tokio::test]
async fn receipts_come_back_with_their_stages_and_the_row_they_were_decided_on() {
    let dir = TempDir::new().unwrap();
    five(dir.path()).await;
    let ledger = Ledger::open(dir.path()).unwrap();
    let unfinished = ledger.unfinished().await.unwrap();
    let ids: Vec<_> = unfinished.iter().map(|known| known.receipt.id.as_str()).collect();
    assert_eq!(ids, ["c-2", "c-3"]);
    assert_eq!(*unfinished[0].receipt.stage(), Stage::Accepted);
    assert_eq!(unfinished[0].before, Some(rollout("checkout", "production")));
    let all = ledger.receipts(10).await.unwrap();
    assert_eq!(all.iter().map(|known| known.receipt.id.as_str()).collect::<Vec<_>>(), ["c-1", "c-2", "c-3"]);
    assert_eq!(*all[0].receipt.stage(), effective());
    assert_eq!(ledger.receipts(1).await.unwrap().len(), 1);
    assert_eq!(ledger.receipt("c-1").await.unwrap(), all.first().cloned());
    assert_eq!(ledger.receipt("c-9").await.unwrap(), None);
}

#[tokio::test]
async fn the_same_command_is_recorded_once() {
    let dir = TempDir::new().unwrap();
    let ledger = five(dir.path()).await;
    let again = ledger.append(&requested("c-1", Action::Promote)).await;
    assert!(matches!(again, Err(LedgerError::Duplicate(id)) if id == "c-1"));
    assert_eq!(ledger.append(&stage("c-1", Stage::Reverted { by: "bob".into() })).await.unwrap(), 6);
    assert_eq!(verify(dir.path()).unwrap().count, 6);
}

/// Changes the closed store in a way that SQLite itself does not notice.
fn tamper(dir: &Path, sql: &str) {
    let connection = Connection::open(dir.join("ledger.db")).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql} changed nothing");
}

#[tokio::test]
async fn a_change_anywhere_names_the_first_record_that_does_not_hold() {
    for (sql, seq, word) in [
        ("UPDATE records SET body = replace(body, 'alice', 'alicf') WHERE seq = 3", 3, "hash"),
        ("UPDATE records SET at = replace(at, 'Z', 'z') WHERE seq = 2", 2, "hash"),
        ("UPDATE records SET kind = 'observed' WHERE seq = 4", 4, "hash"),
        ("UPDATE records SET subject = 'c-9' WHERE seq = 5", 5, "hash"),
        ("UPDATE records SET hash = zeroblob(32) WHERE seq = 1", 1, "hash"),
        ("DELETE FROM records WHERE seq = 4", 4, "missing"),
        ("DELETE FROM records WHERE seq = 1", 1, "missing"),
        ("DELETE FROM records WHERE seq = 5", 5, "missing"),
        ("DELETE FROM records WHERE seq >= 3", 3, "missing"),
        ("UPDATE head SET hash = zeroblob(32)", 5, "head"),
        ("UPDATE head SET count = 4", 5, "head"),
    ] {
        let dir = TempDir::new().unwrap();
        drop(five(dir.path()).await);
        tamper(dir.path(), sql);
        let broken = verify(dir.path()).unwrap_err();
        assert_eq!(broken.seq, seq, "{sql}: {broken}");
        assert!(broken.why.contains(word), "{sql}: {broken}");
    }
}

#[tokio::test]
async fn a_record_forged_with_a_hash_of_its_own_breaks_the_next_one() {
    use sha2::{Digest, Sha256};
    let dir = TempDir::new().unwrap();
    drop(five(dir.path()).await);
    let connection = Connection::open(dir.path().join("ledger.db")).unwrap();
    let previous: Vec<u8> =
        connection.query_row("SELECT hash FROM records WHERE seq = 2", [], |row| row.get(0)).unwrap();
    let fields: (String, String, String, String) = connection
        .query_row(
            "SELECT at, kind, subject, replace(body, 'alice', 'mallory') FROM records WHERE seq = 3",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    let mut hasher = Sha256::new();
    hasher.update(previous);
    let seq = 3_u64.to_be_bytes();
    for field in [&seq[..], fields.0.as_bytes(), fields.1.as_bytes(), fields.2.as_bytes(), fields.3.as_bytes()] {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let changed = connection.execute("UPDATE records SET body = ?1, hash = ?2 WHERE seq = 3", (&fields.3, &hash[..]));
    assert_eq!(changed.unwrap(), 1);
    drop(connection);
    assert_eq!(verify(dir.path()).unwrap_err().seq, 4, "the forged one holds by itself, what follows does not");
}

#[tokio::test]
async fn one_changed_byte_in_the_file_is_found() {
    let dir = TempDir::new().unwrap();
    drop(five(dir.path()).await);
    let file = dir.path().join("ledger.db");
    let bytes = fs::read(&file).unwrap();
    let needle = b"alice";
    let places = bytes.windows(needle.len()).enumerate().filter(|(_, window)| window == needle).map(|(place, _)| place);
    let mut named = std::collections::BTreeSet::new();
    for place in places.collect::<Vec<_>>() {
        let mut changed = bytes.clone();
        changed[place] = b'm';
        fs::write(&file, &changed).unwrap();
        // A copy that SQLite left behind in free space says nothing; every living one is found.
        named.extend(verify(dir.path()).err().map(|broken| broken.seq));
    }
    assert_eq!(named.into_iter().collect::<Vec<_>>(), [1, 3, 5], "the three records that name alice");
    fs::write(&file, &bytes).unwrap();
    assert_eq!(verify(dir.path()).unwrap().count, 5);
}

#[tokio::test]
async fn what_is_no_ledger_is_refused_with_a_reason() {
    let dir = TempDir::new().unwrap();
    assert_eq!(verify(dir.path()).unwrap_err().seq, 0, "a missing ledger is no empty one");
    assert!(!dir.path().join("ledger.db").exists(), "the check makes none");
    drop(five(dir.path()).await);
    Connection::open(dir.path().join("ledger.db")).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let error = Ledger::open(dir.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Newer { found: 2, known: 1 }), "{error}");
    assert!(verify(dir.path()).unwrap_err().why.contains("newer"));
    fs::write(dir.path().join("ledger.db"), "not a database, but long enough to be read as one").unwrap();
    assert!(matches!(Ledger::open(dir.path()).unwrap_err(), LedgerError::Sqlite { .. }));
}

fn impatient() -> Options {
    Options { busy: Duration::from_millis(20) }
}

#[tokio::test]
async fn a_store_that_fails_refuses_ordinary_records_and_spills_urgent_ones() {
    let dir = TempDir::new().unwrap();
    drop(five(dir.path()).await);
    let ledger = Ledger::open_with(dir.path(), impatient()).unwrap();
    let locked = lock(dir.path());
    let refused = ledger.append(&requested("c-4", Action::Promote)).await;
    assert!(matches!(refused, Err(LedgerError::Unwritable(_))), "{refused:?}");
    assert_eq!(ledger.append_urgent(&requested("c-5", Action::Abort)).await.unwrap(), Appended::Spilled);
    assert_eq!(ledger.append_urgent(&stage("c-5", Stage::Accepted)).await.unwrap(), Appended::Spilled);
    drop(locked);
    assert_eq!(ledger.append_urgent(&stage("c-5", effective())).await.unwrap(), Appended::Chained { seq: 8 });
    let records = ledger.records(3).await.unwrap();
    assert_eq!(
        records.iter().map(|record| record.kind).collect::<Vec<_>>(),
        [Kind::Spilled, Kind::Spilled, Kind::Stage]
    );
    assert_eq!(records[0].body["data"]["kind"], "requested");
    assert!(records[0].body["data"]["why"].as_str().unwrap().contains("locked"));
    let receipt = ledger.receipt("c-5").await.unwrap().expect("the spilled command is there").receipt;
    assert_eq!(receipt.stages.len(), 3, "requested, accepted, effective: in order");
    assert_eq!(*receipt.stage(), effective());
    assert!(ledger.receipt("c-4").await.unwrap().is_none());
    assert_eq!(verify(dir.path()).unwrap().count, 8);
}

#[tokio::test]
async fn what_was_spilled_before_a_crash_is_merged_once_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    drop(five(dir.path()).await);
    {
        let ledger = Ledger::open_with(dir.path(), impatient()).unwrap();
        let _locked = lock(dir.path());
        assert_eq!(ledger.append_urgent(&requested("c-5", Action::Abort)).await.unwrap(), Appended::Spilled);
    }
    let spill = dir.path().join("ledger.spill");
    let spilled = fs::read(&spill).unwrap();
    assert!(spilled.len() >= 1 << 20, "its blocks are there before they are needed: {}", spilled.len());
    drop(Ledger::open(dir.path()).unwrap());
    assert_eq!(verify(dir.path()).unwrap().count, 6);
    assert_eq!(fs::read(&spill).unwrap()[0], 0, "the file is empty again");
    // A crash after the merge and before the file was emptied, and a last line cut short.
    let mut again = spilled.clone();
    let end = again.iter().position(|byte| *byte == 0).unwrap();
    again[end..end + 8].copy_from_slice(b"{\"at\":\"2");
    fs::write(&spill, again).unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let unfinished = ledger.unfinished().await.unwrap();
    assert!(unfinished.iter().any(|known| known.receipt.id.as_str() == "c-5"), "it is followed on");
    assert_eq!(verify(dir.path()).unwrap().count, 7, "nothing is merged twice, and the rest of a line is kept");
}

/// Puts a line behind what is in a spill file, as a crash or somebody's editor does.
fn put_in_spill(dir: &Path, line: &[u8]) {
    let path = dir.join("ledger.spill");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes[end..end + line.len()].copy_from_slice(line);
    fs::write(&path, bytes).unwrap();
}

#[tokio::test]
async fn a_torn_or_forged_line_of_the_spill_file_stops_nothing_and_is_kept() {
    let real = |id: &str| {
        let body = serde_json::to_string(&requested(id, Action::Abort)).unwrap();
        serde_json::json!({
            "at": "2026-01-01T00:00:00Z", "kind": "requested", "subject": id, "finished": true, "body": body, "why": "x",
        })
    };
    let changed = |key: &str, value: &str| {
        let mut line = real("c-7");
        line[key] = value.into();
        format!("{line}\n").into_bytes()
    };
    for (what, line) in [
        ("torn", b"{\"at\":\"2".to_vec()),
        ("torn behind a hole", b"\0\0\0\0abc\n".to_vec()),
        ("no text", b"\xff\xfe\n".to_vec()),
        ("of another command", changed("subject", "c-1")),
        ("of another kind", changed("kind", "stage")),
        ("of no kind", changed("kind", "evil")),
        ("without an entry", changed("body", "{}")),
    ] {
        let dir = TempDir::new().unwrap();
        drop(five(dir.path()).await);
        put_in_spill(dir.path(), &line);
        let ledger = Ledger::open_with(dir.path(), impatient()).unwrap();
        let kept = ledger.records(1).await.unwrap().remove(0);
        assert_eq!((kept.kind, kept.body["data"]["kind"].as_str()), (Kind::Spilled, Some("unreadable")), "{what}");
        assert!(kept.spilled().unwrap().contains("can't be read"), "{what}: {:?}", kept.spilled());
        assert_eq!(ledger.append(&requested("c-6", Action::Promote)).await.unwrap(), 7, "{what}");
        assert_eq!(verify(dir.path()).unwrap().spilled, 1, "{what}");
        // While a server runs, the next record must not be swallowed by the line before it.
        put_in_spill(dir.path(), &line);
        {
            let _locked = lock(dir.path());
            assert_eq!(ledger.append_urgent(&requested("c-8", Action::Abort)).await.unwrap(), Appended::Spilled);
        }
        assert!(ledger.append(&requested("c-9", Action::Promote)).await.is_ok(), "{what}");
        assert!(ledger.receipt("c-8").await.unwrap().is_some(), "{what}");
        verify(dir.path()).unwrap();
    }
    // One that says that nothing more comes is believed by its content alone.
    let dir = TempDir::new().unwrap();
    drop(five(dir.path()).await);
    put_in_spill(dir.path(), format!("{}\n", real("c-7")).as_bytes());
    let ledger = Ledger::open(dir.path()).unwrap();
    assert!(ledger.unfinished().await.unwrap().iter().any(|known| known.receipt.id.as_str() == "c-7"));
    verify(dir.path()).unwrap();
}

#[tokio::test]
async fn what_was_done_under_an_id_that_was_used_before_is_recorded_all_the_same() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.append(&requested("c-1", Action::Promote)).await.unwrap();
    let again = ledger.append(&requested("c-1", Action::Promote)).await;
    assert!(matches!(again, Err(LedgerError::Duplicate(_))), "it is not done: {again:?}");
    let done = ledger.append_urgent(&requested("c-1", Action::Abort)).await.unwrap();
    assert_eq!(done, Appended::Chained { seq: 2 });
    let kept = ledger.records(1).await.unwrap().remove(0);
    assert!(matches!(kept.entry(), Some(Entry::Requested { receipt, .. }) if receipt.command.action == Action::Abort));
    assert!(kept.spilled().unwrap().contains("its id is recorded already"));
    verify(dir.path()).unwrap();
}

#[tokio::test]
async fn dropping_the_last_handle_waits_for_what_was_appended_and_two_handles_never_fork_the_chain() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (Ledger::open(dir.path()).unwrap(), Ledger::open(dir.path()).unwrap());
    let mut answers = Vec::new();
    for number in 0..50 {
        answers.push(one.append_urgent(&requested(&format!("a-{number}"), Action::Pause)));
        answers.push(two.append_urgent(&requested(&format!("b-{number}"), Action::Pause)));
    }
    drop((one, two, answers));
    assert_eq!(verify(dir.path()).unwrap().count, 100);
}

#[tokio::test]
async fn many_at_once_share_their_flushes_and_keep_their_order() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let all: Vec<_> =
        (0..500).map(|number| ledger.append_urgent(&requested(&format!("c-{number}"), Action::Pause))).collect();
    for (number, appended) in all.into_iter().enumerate() {
        assert_eq!(appended.await.unwrap(), Appended::Chained { seq: number as u64 + 1 });
    }
    assert_eq!(verify(dir.path()).unwrap().count, 500);
}

#[tokio::test]
async fn commands_of_before_subjects_named_their_source_are_still_read() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let subject = Subject::Hold { source: Some("local".into()), id: "H-3".into() };
    let Entry::Requested { mut receipt, .. } = requested("c-1", Action::ReleaseHold) else { panic!("it is requested") };
    receipt.command.subject = subject.clone();
    ledger.append(&Entry::Requested { receipt, before: None, hub: None, sources: Vec::new() }).await.unwrap();
    let (old, new) = (r#"{"type":"hold","data":"H-3"}"#, serde_json::to_string(&subject).unwrap());
    let store = Connection::open(dir.path().join("ledger.db")).unwrap();
    assert_eq!(store.execute("UPDATE records SET body = replace(body, ?2, ?1)", [old, new.as_str()]).unwrap(), 1);
    let body = ledger.records(1).await.unwrap().remove(0).body;
    assert_eq!(body.pointer("/data/receipt/command/subject/data").unwrap(), "H-3", "it is as it was before");
    assert_eq!(ledger.receipt("c-1").await.unwrap().unwrap().receipt.command.subject, subject);
}

/// What a process of its own does in the test below; without its variable it is no test.
#[tokio::test]
async fn appends_as_one_of_several_processes() {
    let Some(dir) = std::env::var_os("FLIGHTDECK_TEST_LEDGER") else { return };
    let who = std::env::var("FLIGHTDECK_TEST_WHO").unwrap();
    let ledger = Ledger::open_with(Path::new(&dir), Options { busy: Duration::from_mins(1) }).unwrap();
    for number in 0..200 {
        ledger.append(&requested(&format!("{who}-{number}"), Action::Pause)).await.unwrap();
    }
}

#[tokio::test]
async fn processes_that_append_at_once_make_one_chain() {
    let dir = TempDir::new().unwrap();
    let exe = std::env::current_exe().unwrap();
    let start = |who: usize| {
        let mut command = std::process::Command::new(&exe);
        command.args(["--exact", "ledger::appends_as_one_of_several_processes"]);
        command.env("FLIGHTDECK_TEST_LEDGER", dir.path()).env("FLIGHTDECK_TEST_WHO", format!("p{who}"));
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    // All four open and create it at once.
    let processes: Vec<_> = (0..4).map(start).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success(), "each process appends all of its records");
    }
    assert_eq!(verify(dir.path()).unwrap().count, 800);
    let ledger = Ledger::open(dir.path()).unwrap();
    let known = ledger.receipts(1000).await.unwrap();
    for who in 0..4 {
        let own = known.iter().filter(|known| known.receipt.id.as_str().starts_with(&format!("p{who}-")));
        let numbers: Vec<_> = own.map(|known| known.receipt.id.as_str().split_once('-').unwrap().1).collect();
        assert_eq!(numbers, (0..200).map(|n: u32| n.to_string()).collect::<Vec<_>>(), "in the order of p{who}");
    }
}

#[tokio::test]
async fn two_processes_that_spill_at_once_lose_nothing() {
    let dir = TempDir::new().unwrap();
    let (one, two) =
        (Ledger::open_with(dir.path(), impatient()).unwrap(), Ledger::open_with(dir.path(), impatient()).unwrap());
    {
        let _locked = lock(dir.path());
        for (ledger, id) in [(&one, "c-1"), (&two, "c-2"), (&one, "c-3"), (&two, "c-4")] {
            assert_eq!(ledger.append_urgent(&requested(id, Action::Abort)).await.unwrap(), Appended::Spilled);
        }
    }
    one.append(&requested("c-5", Action::Abort)).await.unwrap();
    two.append(&requested("c-6", Action::Abort)).await.unwrap();
    let known = two.receipts(10).await.unwrap();
    let mut ids: Vec<_> = known.iter().map(|known| known.receipt.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["c-1", "c-2", "c-3", "c-4", "c-5", "c-6"]);
    assert_eq!(verify(dir.path()).unwrap().count, 6, "nothing is merged twice");
}

#[tokio::test]
async fn a_hub_is_alive_as_long_as_it_keeps_its_sign() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let (hub, other) = (HubId::from("0192-a"), HubId::from("../../x"));
    assert!(!ledger.alive(&hub) && !ledger.alive(&other));
    let presence = ledger.appear(&hub).unwrap();
    assert!(Ledger::open(dir.path()).unwrap().alive(&hub), "seen through any handle");
    let second = ledger.appear(&"0192-b".into()).unwrap();
    assert!(ledger.alive(&hub), "another hub's coming takes no living one's sign away");
    drop(presence);
    assert!(!ledger.alive(&hub) && ledger.appear(&other).is_err());
    drop(second);
}

#[tokio::test]
async fn its_files_are_the_owners_alone_without_a_server_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("data/ledger");
    let ledger = five(&folder).await;
    let here = ledger.appear(&"hub-1".into());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.path().join("data")), mode(&folder), mode(&folder.join("hubs"))), (0o700, 0o700, 0o700));
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.lock", "ledger.spill", "hubs/hub-1"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    drop((here, ledger));
}
