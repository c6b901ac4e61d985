//! Each way to falsify a ledger, done to a real one as somebody would who can write its files.

use super::{effective, requested, stage};
use crate::process::until;
use flightdeck::ledger::{Against, Broken, Ledger, Tamper, Verified, Witness, export, verify, verify_against};
use flightdeck::model::Action;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// So many records, with a checkpoint over all, and one over the first half.
async fn signed(dir: &Path, records: u32) -> Ledger {
    let ledger = Ledger::open(dir).unwrap();
    more(&ledger, 0, records / 2).await;
    ledger.checkpoint().await.unwrap().unwrap();
    more(&ledger, records / 2, records).await;
    let signed = ledger.checkpoint().await.unwrap().unwrap();
    assert_eq!(signed.size, u64::from(records));
    ledger
}

async fn more(ledger: &Ledger, from: u32, to: u32) {
    let all: Vec<_> =
        (from..to).map(|number| ledger.append_urgent(&requested(&format!("c-{number}"), Action::Promote))).collect();
    for appended in all {
        appended.await.unwrap();
    }
}

fn sql(dir: &Path, statement: &str) {
    Connection::open(dir.join("ledger.db")).unwrap().execute_batch(statement).unwrap();
}

/// The attacker's own hand at the chain: numbers, hashes and head made anew from the first record on.
fn rechain(dir: &Path) {
    let mut store = Connection::open(dir.join("ledger.db")).unwrap();
    let begun = store.transaction().unwrap();
    let mut records: Vec<(i64, String, String, String, String)> = begun
        .prepare("SELECT seq, at, kind, subject, body FROM records ORDER BY seq")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut previous = [0_u8; 32];
    for (index, (old, at, kind, subject, body)) in records.iter_mut().enumerate() {
        let seq = index as u64 + 1;
        let mut hasher = Sha256::new();
        hasher.update(previous);
        let bytes = seq.to_be_bytes();
        for field in [&bytes[..], at.as_bytes(), kind.as_bytes(), subject.as_bytes(), body.as_bytes()] {
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        previous = hasher.finalize().into();
        let done = begun.execute(
            "UPDATE records SET seq = ?1, hash = ?2 WHERE seq = ?3",
            params![seq.cast_signed(), &previous[..], *old],
        );
        assert_eq!(done.unwrap(), 1);
    }
    let count = i64::try_from(records.len()).unwrap();
    begun.execute("UPDATE head SET count = ?1, hash = ?2", params![count, &previous[..]]).unwrap();
    begun.commit().unwrap();
}

/// Has the program itself sign what is there now: with the key that lies there, or a new one.
async fn sign_anew(dir: &Path) {
    let ledger = Ledger::open(dir).unwrap();
    ledger.checkpoint().await.unwrap().expect("it is signed");
}

/// Somebody with the key: the checkpoints are made again over other records. The program does not sign over
/// a hole, so they take its memory away first, and put the key back as one that has signed nothing yet.
async fn sign_with_stolen_key(dir: &Path) {
    sql(dir, "DELETE FROM checkpoints; DELETE FROM frontier");
    fs::rename(dir.join("ledger.key"), dir.join("ledger.key.new")).unwrap();
    sign_anew(dir).await;
}

fn caught(found: Result<Verified, Broken>) -> (Tamper, u64) {
    let broken = found.expect_err("it is caught");
    println!("{broken}");
    (broken.tamper, broken.seq)
}

fn against(dir: &Path, witness: &str) -> Result<Verified, Broken> {
    let witness = Witness::read(witness).unwrap();
    verify_against(dir, &Against { witness: Some(witness.note), key: None })
}

#[tokio::test]
async fn an_untouched_ledger_holds_and_says_what_only_a_copy_elsewhere_shows() {
    let dir = TempDir::new().unwrap();
    let ledger = signed(dir.path(), 20).await;
    let copy = export(dir.path()).unwrap().join("\n");
    more(&ledger, 20, 30).await;
    let signed = ledger.checkpoint().await.unwrap().unwrap();
    let alone = verify(dir.path()).unwrap();
    assert_eq!((alone.count, alone.checkpoints, alone.signed, alone.witnessed), (30, 3, 30, None));
    assert_eq!(alone.key.as_deref(), Some(signed.key.as_str()));
    assert!(alone.lines()[2].contains("Only a copy kept elsewhere shows that"), "{:?}", alone.lines());
    let compared = against(dir.path(), &copy).unwrap();
    assert_eq!(compared.witnessed, Some(20));
    assert!(compared.lines()[2].contains("records 1 to 20 are those"), "{:?}", compared.lines());
    assert_eq!(against(dir.path(), &signed.note).unwrap().witnessed, Some(30), "a bare checkpoint is a witness too");
    let told = Against { witness: None, key: Some(signed.key) };
    assert_eq!(verify_against(dir.path(), &told).unwrap().checkpoints, 3);
}

#[tokio::test]
async fn a_changed_byte_is_found_with_and_without_the_chain_made_anew() {
    let dir = TempDir::new().unwrap();
    drop(signed(dir.path(), 20).await);
    sql(dir.path(), "UPDATE records SET body = replace(body, 'alice', 'alicf') WHERE seq = 3");
    assert_eq!(caught(verify(dir.path())), (Tamper::Changed, 3));
    rechain(dir.path());
    assert_eq!(caught(verify(dir.path())), (Tamper::Rewritten, 10), "by the first checkpoint over it");
}

#[tokio::test]
async fn a_removed_record_is_found_with_and_without_the_chain_made_anew() {
    let dir = TempDir::new().unwrap();
    drop(signed(dir.path(), 20).await);
    sql(dir.path(), "DELETE FROM records WHERE seq = 15");
    assert_eq!(caught(verify(dir.path())), (Tamper::Removed, 15));
    rechain(dir.path());
    assert_eq!(caught(verify(dir.path())), (Tamper::CutTail, 20), "there is one less than was signed");
    sql(dir.path(), "DELETE FROM records WHERE seq = 4");
    rechain(dir.path());
    assert_eq!(caught(verify(dir.path())), (Tamper::Rewritten, 10), "the oldest checkpoint that does not fit");
}

#[tokio::test]
async fn a_cut_tail_is_found_and_with_its_checkpoint_gone_by_a_witness() {
    let dir = TempDir::new().unwrap();
    drop(signed(dir.path(), 20).await);
    let copy = export(dir.path()).unwrap().join("\n");
    sql(dir.path(), "DELETE FROM records WHERE seq > 12");
    assert_eq!(caught(verify(dir.path())), (Tamper::CutTail, 13), "by the head");
    rechain(dir.path());
    assert_eq!(caught(verify(dir.path())), (Tamper::CutTail, 13), "by the checkpoint");
    sql(dir.path(), "DELETE FROM checkpoints WHERE size > 10");
    assert_eq!(verify(dir.path()).unwrap().count, 12, "nothing here can show it any more");
    assert_eq!(caught(against(dir.path(), &copy)), (Tamper::CutTail, 13));
    // Filled up again with others, and signed by a program that knows nothing of it.
    sql(dir.path(), "DELETE FROM frontier");
    sql(dir.path(), "DELETE FROM checkpoints");
    assert_eq!(caught(verify(dir.path())), (Tamper::Removed, 0), "a key without any checkpoint");
    let ledger = Ledger::open(dir.path()).unwrap();
    let refused = ledger.checkpoint().await.unwrap_err().to_string();
    assert!(refused.contains("the checkpoints that it signed are gone"), "{refused}");
}

#[tokio::test]
async fn a_rewrite_with_another_key_is_found_by_what_is_left_and_by_a_witness() {
    let dir = TempDir::new().unwrap();
    let ledger = signed(dir.path(), 20).await;
    let kept = ledger.checkpoint().await.unwrap().unwrap();
    drop(ledger);
    let copy = export(dir.path()).unwrap().join("\n");
    let old_key = fs::read(dir.path().join("ledger.key")).unwrap();
    sql(dir.path(), "UPDATE records SET body = replace(body, 'alice', 'mallo')");
    rechain(dir.path());
    sql(dir.path(), "DELETE FROM checkpoints; DELETE FROM frontier");
    fs::remove_file(dir.path().join("ledger.key")).unwrap();
    sign_anew(dir.path()).await;
    assert_eq!(verify(dir.path()).unwrap().count, 20, "all of it is new, and fits");
    assert_eq!(caught(against(dir.path(), &copy)), (Tamper::OtherKey, 0));
    assert_eq!(caught(against(dir.path(), &kept.note)), (Tamper::OtherKey, 0), "a bare checkpoint is enough");
    let key = Against { witness: None, key: Some(kept.key) };
    assert_eq!(caught(verify_against(dir.path(), &key)), (Tamper::OtherKey, 0), "so is the public key");
    fs::write(dir.path().join("ledger.key"), old_key).unwrap();
    assert_eq!(caught(verify(dir.path())), (Tamper::OtherKey, 20), "with the true key beside it, it shows at once");
}

#[tokio::test]
async fn a_rewrite_with_the_stolen_key_is_found_by_a_witness_only() {
    let dir = TempDir::new().unwrap();
    drop(signed(dir.path(), 20).await);
    let copy = export(dir.path()).unwrap().join("\n");
    sql(dir.path(), "UPDATE records SET body = replace(body, 'alice', 'mallo') WHERE seq = 7");
    rechain(dir.path());
    sign_with_stolen_key(dir.path()).await;
    let alone = verify(dir.path()).unwrap();
    assert!(alone.lines()[2].contains("with the key (or a new one) make all of it anew"), "{:?}", alone.lines());
    assert_eq!(caught(against(dir.path(), &copy)), (Tamper::Rewritten, 20));
    let ledger = Ledger::open(dir.path()).unwrap();
    more(&ledger, 100, 110).await;
    drop(ledger);
    assert_eq!(caught(against(dir.path(), &copy)), (Tamper::Rewritten, 20), "what came after does not hide it");
}

#[tokio::test]
async fn forged_signatures_and_damaged_copies_are_told_apart_from_a_broken_ledger() {
    let dir = TempDir::new().unwrap();
    drop(signed(dir.path(), 20).await);
    let copy = export(dir.path()).unwrap();
    for (from, to) in [("alice", "mallo"), ("\"seq\":5", "\"seq\":6"), ("c-3", "c-4")] {
        let damaged: Vec<_> = copy.iter().map(|line| line.replacen(from, to, 1)).collect();
        let error = Witness::read(&damaged.join("\n")).unwrap_err().to_string();
        assert!(error.contains("the copy itself is damaged at line"), "{from}: {error}");
    }
    let cut = Witness::read(&copy[..15].join("\n")).unwrap_err().to_string();
    assert!(cut.contains("its last line is no checkpoint"), "{cut}");
    let short: Vec<_> = copy[..15].iter().chain(copy.last()).cloned().collect();
    let error = Witness::read(&short.join("\n")).unwrap_err().to_string();
    assert!(error.contains("over 20 records other than these 15"), "{error}");
    let note = Witness::read(&copy.join("\n")).unwrap().note;
    assert_eq!(caught(against(dir.path(), &note.replacen("20", "19", 1))), (Tamper::Witness, 0));
    assert_eq!(caught(against(dir.path(), "no note at all")), (Tamper::Witness, 0));
    sql(
        dir.path(),
        "UPDATE checkpoints SET note = replace(note, char(10) || '20' || char(10), char(10) || '21' || char(10)) WHERE size = 20",
    );
    assert_eq!(caught(verify(dir.path())), (Tamper::Forged, 20));
    sql(dir.path(), "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 10) WHERE size = 20");
    assert_eq!(caught(verify(dir.path())), (Tamper::Forged, 20), "a good one in the wrong place");
}

#[tokio::test]
async fn a_process_signs_what_it_wrote_when_it_ends_and_nothing_twice() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    assert_eq!(Ledger::open(dir.path()).unwrap().checkpoint().await.unwrap(), None, "of nothing");
    assert!(!dir.path().join("ledger.key").exists());
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.append(&requested("c-1", Action::Promote)).await.unwrap();
    drop(ledger);
    let first = verify(dir.path()).unwrap();
    assert_eq!((first.count, first.checkpoints, first.signed), (1, 1, 1));
    assert_eq!(fs::metadata(dir.path().join("ledger.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!dir.path().join("ledger.key.new").exists());
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.records(10).await.unwrap();
    drop(ledger);
    assert_eq!(verify(dir.path()).unwrap(), first, "who only reads signs nothing");
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.append(&stage("c-1", effective())).await.unwrap();
    drop(ledger);
    assert_eq!((verify(dir.path()).unwrap().checkpoints, verify(dir.path()).unwrap().key), (2, first.key));
}

#[tokio::test]
async fn a_ledger_of_before_there_were_checkpoints_holds_and_is_signed_from_then_on() {
    let dir = TempDir::new().unwrap();
    drop(signed(dir.path(), 20).await);
    sql(dir.path(), "DROP TABLE checkpoints; DROP TABLE frontier");
    fs::remove_file(dir.path().join("ledger.key")).unwrap();
    let old = verify(dir.path()).unwrap();
    assert_eq!((old.count, old.checkpoints, old.key.clone()), (20, 0, None));
    assert!(old.lines()[1].contains("no checkpoint is signed yet"));
    assert_eq!(export(dir.path()).unwrap().len(), 20, "its export has no checkpoint");
    sign_anew(dir.path()).await;
    assert_eq!(verify(dir.path()).unwrap().signed, 20);
}

#[tokio::test]
async fn a_store_that_is_never_quiet_is_signed_all_the_same() {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    for number in 0..1100 {
        ledger.append(&requested(&format!("c-{number}"), Action::Pause)).await.unwrap();
    }
    let verified = verify(dir.path()).unwrap();
    assert!(verified.signed >= 1024, "{} of {} are signed", verified.signed, verified.count);
}

#[tokio::test]
async fn what_a_killed_process_left_unsigned_is_signed_after_the_next_start() {
    let dir = TempDir::new().unwrap();
    // Still open, with a minute before it signs: the files are those of a process that was killed.
    let killed = Ledger::open(dir.path()).unwrap();
    more(&killed, 0, 3).await;
    assert_eq!(verify(dir.path()).unwrap().signed, 0);
    let _next = Ledger::open(dir.path()).unwrap();
    until("a checkpoint over what was left", async || (verify(dir.path()).ok()?.signed == 3).then_some(())).await;
}

#[tokio::test]
async fn many_records_are_signed_while_others_are_written() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (Ledger::open(dir.path()).unwrap(), Ledger::open(dir.path()).unwrap());
    for round in 0..5 {
        let all: Vec<_> = (0..200)
            .flat_map(|number| {
                [(&one, "a"), (&two, "b")].map(|(ledger, who)| (ledger, format!("{who}-{round}-{number}")))
            })
            .map(|(ledger, id)| ledger.append_urgent(&requested(&id, Action::Pause)))
            .collect();
        let (first, second) = tokio::join!(one.checkpoint(), two.checkpoint());
        assert_eq!(first.unwrap().unwrap().key, second.unwrap().unwrap().key, "one key for all processes");
        for appended in all {
            appended.await.unwrap();
        }
    }
    drop((one, two));
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.count, verified.signed), (2000, 2000));
}

#[tokio::test]
async fn that_nothing_more_comes_follows_from_what_is_hashed() {
    for (finished, of) in [(1, "requested"), (0, "stage")] {
        let dir = TempDir::new().unwrap();
        let ledger = signed(dir.path(), 4).await;
        ledger.append(&stage("c-3", effective())).await.unwrap();
        drop(ledger);
        assert!(verify(dir.path()).is_ok());
        sql(dir.path(), &format!("UPDATE records SET finished = {finished} WHERE kind = '{of}' AND seq > 3"));
        let (tamper, seq) = caught(verify(dir.path()));
        assert_eq!((tamper, seq), (Tamper::Changed, if of == "stage" { 5 } else { 4 }));
    }
}
