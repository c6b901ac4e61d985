//! A disk that is really full: a small file system with the server's data on it.

use crate::support::live::{Server, block_on, eventually};
use flightdeck::ledger::verify;
use flightdeck::model::{Entity, Phase, Ppm, Query, Reply};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of so many bytes, unmounted when it is dropped.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn new(size: &str) -> Disk {
        let dir = tempfile::Builder::new().prefix("fd-disk-").tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "flightdeck-test"]).arg(dir.path()).output();
        let done = done.unwrap();
        assert!(done.status.success(), "cannot mount: {}", String::from_utf8_lossy(&done.stderr));
        Disk { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes every byte that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        let mut block = vec![7_u8; 1 << 16];
        while !block.is_empty() {
            if file.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(done.is_ok_and(|status| status.success()) || std::thread::panicking(), "it is unmounted");
    }
}

/// A server whose data lies on that disk.
fn server_on(disk: &Disk) -> Server {
    let dir = tempfile::Builder::new().prefix("fd-").tempdir().unwrap();
    std::os::unix::fs::symlink(disk.path(), dir.path().join("data")).unwrap();
    Server::start_in(dir, &[])
}

fn spilled(server: &Server) -> usize {
    let json = server.ok(&["ledger", "show", "-n", "1000", "-o", "json"]);
    json.lines().filter(|line| line.contains("\"kind\": \"spilled\"")).count()
}

#[test]
#[ignore = "mounts a small file system, which needs root: sudo -E cargo test -- --ignored a_full_disk"]
fn a_full_disk_refuses_what_raises_exposure_takes_an_abort_and_keeps_its_record() {
    let disk = Disk::new("32m");
    let server = server_on(&disk);
    server.with_canary();
    let ballast = disk.fill();
    let promoted = server.run_cli(&["promote", "shop", "--yes", "--wait"]);
    assert_eq!(promoted.code, 1, "{promoted:?}");
    assert!(promoted.err.contains("without a durable record nothing that raises exposure is done"), "{}", promoted.err);
    let still = server.rollout().unwrap();
    assert_eq!((still.phase, still.step), (Phase::Paused, Some(1)));
    assert!(server.ok(&["status"]).contains("the ledger can't be written"), "the screen says so");
    let aborted = server.run_cli(&["abort", "shop", "--yes", "--reason", "the disk is full"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    server.until("stable has all traffic", |rollout| {
        rollout.candidate().is_none_or(|candidate| candidate.traffic.actual == Some(Ppm::ZERO))
            && rollout.phase != Phase::Paused
    });
    assert_eq!(spilled(&server), 0, "it could not be written yet");
    let waits = server.ok(&["ledger", "verify"]);
    assert!(waits.contains("wait in it") && !waits.contains("; 0 wait in it"), "{waits}");
    fs::remove_file(ballast).unwrap();
    eventually("the engine goes on once there is room", || {
        let done = server.run_cli(&["deploy", "shop", "2.0", "--to", "production", "--yes"]);
        done.code == 0
    });
    server.until("the canary is there again", |rollout| rollout.phase == Phase::Paused && rollout.step == Some(1));
    assert!(spilled(&server) >= 1);
    let log = server.ok(&["ledger", "show", "-n", "1000"]);
    let line = log.lines().find(|line| line.contains("spilled") && line.contains("the disk is full")).unwrap();
    assert!(line.contains("abort"), "{line}");
    let verified = server.ok(&["ledger", "verify"]);
    assert!(
        verified.contains("came late, by way of the spill file") && verified.contains("; 0 wait in it"),
        "{verified}"
    );
    let seen = server.ok(&["get", "rollouts", "-o", "json"]);
    assert!(seen.contains("shop"), "{seen}");
}

#[test]
#[ignore = "mounts a small file system, which needs root: sudo -E cargo test -- --ignored a_full_disk"]
fn a_full_disk_keeps_no_server_from_starting_again_nor_an_abort_from_being_done() {
    let disk = Disk::new("32m");
    let mut server = server_on(&disk);
    server.with_canary();
    let ballast = disk.fill();
    // Something waits in the spill file already, and the canary has its traffic.
    assert_eq!(server.run_cli(&["pause", "shop", "--yes"]).code, 0);
    for _ in 0..2 {
        server.crash();
        disk.fill();
        server.start_again();
    }
    let promoted = server.run_cli(&["promote", "shop", "--yes", "--wait"]);
    assert!(promoted.code != 0 && promoted.err.contains("nothing that raises exposure is done"), "{promoted:?}");
    assert!(server.ok(&["status"]).contains("the ledger can't be written"), "the screen says so");
    let aborted = server.run_cli(&["abort", "shop", "--yes", "--reason", "the disk is full"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    server.until("stable has all traffic", |rollout| {
        rollout.candidate().is_none_or(|candidate| candidate.traffic.actual == Some(Ppm::ZERO))
    });
    fs::remove_file(ballast).unwrap();
    eventually("the engine goes on once there is room", || {
        server.run_cli(&["deploy", "shop", "2.0", "--to", "production", "--yes"]).code == 0
    });
    let verified = server.ok(&["ledger", "verify"]);
    assert!(verified.contains("came late, by way of the spill file"), "{verified}");
}

#[test]
#[ignore = "mounts a small file system, which needs root: sudo -E cargo test -- --ignored a_full_disk"]
fn a_full_disk_s_records_are_brought_in_by_the_next_server_and_said() {
    let disk = Disk::new("32m");
    let mut server = server_on(&disk);
    server.with_canary();
    let ballast = disk.fill();
    assert_eq!(server.run_cli(&["abort", "shop", "--yes", "--reason", "no room"]).code, 0);
    eventually("its record waits in the spill file", || {
        server.ok(&["ledger", "verify"]).contains("came late, by way of the spill file")
    });
    server.kill_all();
    fs::remove_file(ballast).unwrap();
    server.start_again();
    assert!(verify(&disk.path().join("ledger")).unwrap().spilled >= 1);
    assert!(spilled(&server) >= 1);
    let rollout = server.until("it is over", |rollout| rollout.phase != Phase::Progressing);
    let reply = block_on(server.client().query(Query::Board));
    let Ok(Reply::Board(rows)) = reply else { panic!("{reply:?}") };
    let notes: Vec<_> = rows
        .into_iter()
        .filter_map(|row| match row {
            Entity::Note(note) if note.who == "ledger" => Some(note),
            _ => None,
        })
        .collect();
    let told =
        notes.iter().any(|note| note.run.target == rollout.run.target && note.text.contains("kept in the spill file"));
    assert!(told, "the rollout's page says it: {notes:?}");
}
