//! A backup of a server at work, and what a restored one knows and runs.

use crate::support::live::{Server, eventually, flightdeck};
use flightdeck::ledger::verify;
use flightdeck::model::{Phase, Rollout};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

/// What of a rollout must be the same afterwards: who runs where, and where it waits.
fn essence(rollout: &Rollout) -> impl PartialEq + std::fmt::Debug + use<> {
    let arms: Vec<_> = rollout
        .arms
        .iter()
        .map(|arm| {
            (arm.role.clone(), arm.version.clone(), arm.digest.clone(), arm.replicas.desired, arm.traffic.desired)
        })
        .collect();
    (rollout.run.clone(), rollout.step, arms, rollout.phase)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_ran_runs_again_from_a_backup_taken_under_work_on_a_machine_where_nothing_is_left() {
    let mut server = Server::start();
    server.with_canary();
    let file = server.path().join("saved.tar");
    // Commands go on while it is written.
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            for version in 3..9 {
                let version = format!("{version}.0");
                let artifact = server.artifact(&version);
                server.ok(&["release", "add", "shop", &version, "--artifact", &artifact, "--wait"]);
            }
        });
        let early = server.path().join("early.tar");
        server.ok(&["backup", early.to_str().unwrap()]);
        busy.join().unwrap();
    });
    server.ok(&["backup", file.to_str().unwrap()]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds the key");
    let before = server.rollout().unwrap();
    let records = verify(&server.path().join("data/ledger")).unwrap();
    let releases = server.ok(&["get", "releases", "-o", "name"]);
    server.kill_all();
    for name in ["early.tar", "saved.tar"] {
        fs::remove_dir_all(server.path().join("data")).unwrap();
        let from = server.path().join(name);
        server.ok(&["restore", from.to_str().unwrap()]);
        assert!(verify(&server.path().join("data/ledger")).is_ok(), "{name}");
    }
    let restored = verify(&server.path().join("data/ledger")).unwrap();
    assert_eq!((restored.head, restored.key), (records.head, records.key));
    server.start_again();
    let after = server.until("the canary waits at 10 % as before", |rollout| {
        essence(rollout) == essence(&before)
            && rollout.arms.iter().all(|arm| arm.replicas.ready == arm.replicas.desired)
    });
    assert_eq!(after.phase, Phase::Paused);
    assert_eq!(server.ok(&["get", "releases", "-o", "name"]), releases);
    eventually("users are served again", || std::net::TcpStream::connect(server.listen).is_ok());
    server.ok(&["abort", "shop", "--yes", "--wait"]);
    assert!(server.ok(&["ledger", "verify"]).contains("each follows from the one before"));
}

#[test]
fn a_folder_is_as_good_as_a_file_and_neither_is_written_over() {
    let mut server = Server::start();
    server.prepare();
    let path = server.path().to_owned();
    let at = |name: &str| path.join(name).display().to_string();
    fs::create_dir_all(server.path().join("config")).unwrap();
    fs::write(server.path().join("config/config.toml"), "").unwrap();
    server.ok(&["backup", &at("saved")]);
    server.ok(&["backup", &at("saved.tar")]);
    for name in ["saved", "saved.tar"] {
        let again = server.run_cli(&["backup", &at(name)]);
        assert!(again.code == 1 && again.err.contains("it is left as it is"), "{again:?}");
        let full = server.run_cli(&["restore", &at(name)]);
        assert!(full.code == 1 && full.err.contains("is not empty; nothing was restored"), "{full:?}");
        let to = format!("{name}-restored");
        server.ok(&["restore", &at(name), "--data", &at(&to)]);
        assert_eq!(
            names(&server.path().join(&to)),
            ["artifacts", "engine.db", "ledger", "settings.toml"],
            "no sockets, no logs, no instances, nothing of its own making"
        );
        assert_eq!(names(&server.path().join(&to).join("ledger")), ["ledger.db", "ledger.key"]);
    }
    server.stop();
    let none = flightdeck(server.path(), &["--data-dir", &at("elsewhere"), "backup", &at("x.tar")]);
    assert!(none.code == 1 && none.err.contains("there is no server's data"), "{none:?}");
    assert!(!server.path().join("x.tar").exists());
}

/// Everything below a folder, and it itself.
fn whole(dir: &Path) -> Vec<PathBuf> {
    let mut paths = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { paths.extend(whole(&path)) } else { paths.push(path) }
    }
    paths
}

#[test]
fn root_saves_and_restores_for_another_user_who_can_still_open_everything() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return; // nobody else may give files away
    }
    let mut server = Server::start();
    server.prepare();
    server.stop();
    let data = server.path().join("data");
    for path in whole(&data) {
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let at = |name: &str| server.path().join(name).display().to_string();
    let to = server.path().join("to");
    fs::create_dir(&to).unwrap();
    chown(&to, Some(NOBODY), Some(NOBODY)).unwrap();
    let saved = flightdeck(server.path(), &["backup", &at("saved.tar")]);
    assert_eq!(saved.code, 0, "{saved:?}");
    let restored = flightdeck(server.path(), &["restore", &at("saved.tar"), "--data", &at("to")]);
    assert_eq!(restored.code, 0, "{restored:?}");
    for path in whole(&data).into_iter().chain(whole(&to)) {
        assert_eq!(fs::symlink_metadata(&path).unwrap().uid(), NOBODY, "{}", path.display());
    }
}

#[test]
fn a_damaged_backup_is_refused_whole_and_by_name() {
    let server = Server::start();
    server.prepare();
    let at = |name: &str| server.path().join(name).display().to_string();
    server.ok(&["backup", &at("saved")]);
    let saved = server.path().join("saved");
    let artifact = format!("artifacts/sha256/{}", names(&saved.join("artifacts/sha256"))[0]);
    let refused = |what: &str, words: &str| {
        let done = server.run_cli(&["restore", &at("saved"), "--data", &at("to")]);
        assert_eq!(done.code, 1, "{what}: {done:?}");
        assert!(done.err.contains(words) && done.err.contains("nothing was restored"), "{what}: {}", done.err);
        assert_eq!(fs::read_dir(server.path().join("to")).unwrap().count(), 0, "{what}: nothing is left there");
    };
    let changing = |name: &str, change: &dyn Fn(&Path), words: &str| {
        let path = saved.join(name);
        let kept = fs::read(&path).ok();
        change(&path);
        refused(name, words);
        match kept {
            Some(kept) => fs::write(&path, kept).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    };
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    changing(&artifact, &flip, "is missing or was changed");
    changing("engine.db", &flip, "engine.db is missing or was changed");
    changing("ledger/ledger.db", &|path| fs::remove_file(path).unwrap(), "ledger.db is missing or was changed");
    changing("manifest.json", &|path| fs::remove_file(path).unwrap(), "it was never finished");
    changing("more", &|path| fs::write(path, "x").unwrap(), "more is not in its manifest");
    changing(
        "manifest.json",
        &|path| {
            let text = fs::read_to_string(path).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
            fs::write(path, text).unwrap();
        },
        "the backup is of form 2",
    );
    // A ledger that was falsified before it was saved is noticed too.
    rusqlite::Connection::open(server.path().join("data/ledger/ledger.db"))
        .unwrap()
        .execute_batch("UPDATE records SET body = replace(body, 'apply', 'appli') WHERE seq = 2")
        .unwrap();
    server.ok(&["backup", &at("false.tar")]);
    let done = server.run_cli(&["restore", &at("false.tar"), "--data", &at("to")]);
    assert!(done.code == 1 && done.err.contains("broken at record 2"), "{done:?}");
    let done = server.run_cli(&["restore", &at("false.tar"), "--data", &at("to"), "--anyway"]);
    assert!(done.code == 0 && done.err.contains("restored although the ledger is broken at record 2"), "{done:?}");
}
