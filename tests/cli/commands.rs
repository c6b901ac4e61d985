use crate::support::live::{Server, eventually, flightdeck, program};
use flightdeck::model::Phase;

#[test]
fn without_a_server_the_code_is_4_and_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["status"][..],
        &["get", "rollouts"],
        &["promote", "shop", "--yes"],
        &["hold", "everything", "--yes"],
        &["watch"],
        &["logs", "x", "-f"],
        &["ledger", "verify"],
        &["get", "rollouts", "--server", "unix:/nowhere/at/all.sock"],
    ] {
        let done = flightdeck(dir.path(), args);
        assert_eq!(done.code, 4, "{args:?}: {done:?}");
        assert!(
            done.err.starts_with("error: no server at ") && done.err.contains("`flightdeck serve`"),
            "{}",
            done.err
        );
        assert_eq!(done.out, "", "{args:?}");
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    let dir = tempfile::tempdir().unwrap();
    for (args, why) in [
        (&["no-such"][..], "unrecognized subcommand"),
        (&["promote"], "<TARGET>"),
        (&["promote", "x", "--pin", "nonsense"], "not a pin"),
        (&["promote", "x", "--timeout", "5m"], "--wait"),
        (&["promote", "x", "--wait", "--timeout", "soon"], "--timeout"),
        (&["deploy", "shop", "--to", "production"], "VERSION"),
        (&["status", "--server", "http://x"], "expected unix:PATH"),
        (&[], "needs a terminal"),
        (&["config", "check", "absent.toml"], "cannot read absent.toml"),
    ] {
        let done = flightdeck(dir.path(), args);
        assert_eq!(done.code, 2, "{args:?}: {done:?}");
        assert!(done.err.contains(why), "{args:?}: {}", done.err);
    }
}

#[test]
fn a_broken_configuration_is_named_by_file_and_line_and_nothing_is_applied() {
    let server = Server::start();
    let file = server.path().join("flightdeck.toml");
    std::fs::write(&file, server.config().replace("order = 3", "oder = 3")).unwrap();
    for args in [&["apply", "--yes"][..], &["diff"], &["config", "check", "flightdeck.toml"]] {
        let done = server.run_cli(args);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains("flightdeck.toml:3:1: environment.production.oder"), "{}", done.err);
        assert!(done.err.contains("did you mean \"order\"?"), "{}", done.err);
    }
    assert_eq!(server.ok(&["get", "environments", "-o", "name"]), "");
    assert_eq!(server.ok(&["get", "receipts", "-o", "name"]), "");

    std::fs::create_dir_all(server.path().join("config")).unwrap();
    std::fs::write(server.path().join("config/config.toml"), "\ntheem = \"dark\"\n").unwrap();
    let done = server.run_cli(&["config", "check"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("config.toml:2:1") && done.err.contains("did you mean \"theme\"?"), "{}", done.err);
    let doctor = server.run_cli(&["doctor", "-o", "name"]);
    assert_eq!((doctor.code, doctor.out.trim()), (1, "config"), "{doctor:?}");
}

#[test]
fn without_a_terminal_nothing_is_asked_and_nothing_is_done() {
    let server = Server::start();
    server.with_canary();
    let before = server.rollout().unwrap();
    for args in [
        &["promote", "shop"][..],
        &["abort", "shop"],
        &["hold", "everything"],
        &["deploy", "shop", "1.0", "--to", "production"],
        &["apply"],
    ] {
        let done = server.run_cli(args);
        assert_eq!(done.code, 2, "{args:?}: {done:?}");
        assert!(done.err.contains("--yes") && done.err.contains("nothing was done"), "{}", done.err);
        let refused = server.run_cli(&[args, &["--yes", "--read-only"]].concat());
        assert_eq!(refused.code, 3, "{args:?}: {refused:?}");
    }
    // An approval is still ahead, and skipping it is not on offer.
    assert_eq!(server.run_cli(&["promote", "shop", "--full"]).code, 3);
    assert_eq!(server.rollout().unwrap(), before);
    // Pausing asks nobody anything.
    server.ok(&["pause", "shop", "--reason", "look", "--wait"]);
    assert!(server.rollout().unwrap().message.contains("paused by"));
}

#[test]
fn a_target_is_found_by_each_of_its_names_and_candidates_are_listed() {
    let server = Server::start();
    std::fs::write(server.path().join("flightdeck.toml"), server.config_of_two()).unwrap();
    server.ok(&["apply", "--yes", "--wait"]);
    server.ok(&["release", "add", "shop", "1.0", "--artifact", &server.artifact("1.0"), "--wait"]);
    server.ok(&["deploy", "shop", "1.0", "--to", "staging", "--yes", "--wait"]);
    server.first("1.0");
    let done = server.run_cli(&["promote", "shop", "--yes"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("\"shop\" means several rollouts"), "{}", done.err);
    assert!(done.err.contains("shop@production, shop@staging"), "{}", done.err);
    for target in ["shop@staging", "local/staging/shop"] {
        let done = server.run_cli(&["promote", target, "--yes"]);
        assert_eq!(done.code, 3, "found, but there is nothing to promote: {done:?}");
    }
    let done = server.run_cli(&["promote", "shop@stagin", "--yes"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("did you mean shop@staging?"), "{}", done.err);
    let done = server.run_cli(&["hold", "stagging", "--yes"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("environments: production, staging; services: shop"), "{}", done.err);
    let done = server.run_cli(&["hold", "environment=stagging", "--yes"]);
    assert_eq!(done.code, 2, "{done:?}");
}

#[test]
fn a_canary_goes_to_its_end_by_commands_alone() {
    let server = Server::start();
    server.with_canary();
    let pin = |action: &str| {
        let rows: serde_json::Value = serde_json::from_str(&server.ok(&["get", "rollouts", "-o", "json"])).unwrap();
        rows[0]["pins"][action].as_str().unwrap_or_else(|| panic!("no pin for {action}: {rows}")).to_owned()
    };
    let seen = pin("promote");
    let done = server.run_cli(&["promote", "shop@production", "--pin", &seen, "--yes", "--wait"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("effective") && done.err.contains("effective: "), "{done:?}");
    // What was seen is no longer so: refused with the facts, asked or not.
    for extra in [&["--yes"][..], &[]] {
        let done = server.run_cli(&[&["promote", "shop", "--pin", &seen], extra].concat());
        assert_eq!(done.code, 3, "{done:?}");
        assert!(done.err.contains("step was 1, is 3") && done.err.contains("generation was"), "{}", done.err);
    }
    let other = server.run_cli(&["abort", "shop", "--pin", &seen, "--yes"]);
    assert_eq!(other.code, 2, "{other:?}");

    server.ok(&["promote", "shop", "--yes", "--wait"]);
    server.until("it waits for approval", |rollout| rollout.step == Some(4) && rollout.awaits_human());
    assert!(server.ok(&["status"]).contains("waits for approval"));
    // The one before it was the first version's.
    let ids = server.ok(&["get", "approvals", "-o", "name"]);
    let id = ids.lines().last().unwrap();
    let wrong = server.run_cli(&["approve", "nothing", "--yes"]);
    assert!(wrong.code == 2 && wrong.err.contains(id.trim()), "{wrong:?}");
    server.ok(&["approve", id.trim(), "--reason", "seen", "--yes", "--wait"]);
    let settled = server.until("it serves", |rollout| rollout.phase == Phase::Healthy);
    assert_eq!(settled.stable().unwrap().version.as_str(), "2.0");
    server.ok(&["rollback", "shop", "--yes", "--wait"]);
    let back = server.until("1.0 serves", |rollout| rollout.phase == Phase::Healthy);
    assert_eq!(back.stable().unwrap().version.as_str(), "1.0");
}

#[test]
fn holds_are_released_by_their_id_alone() {
    let server = Server::start();
    server.with_canary();
    server.ok(&["hold", "production", "--reason", "fire", "--yes", "--wait"]);
    let id = server.ok(&["get", "holds", "-o", "name"]).trim().to_owned();
    assert!(server.ok(&["status"]).contains(&format!("hold {id} by ")));
    // The same once more is the same hold.
    server.ok(&["hold", "production", "--yes", "--wait"]);
    assert_eq!(server.ok(&["get", "holds", "-o", "name"]).trim(), id);
    let done = server.run_cli(&["release", "H-7", "--yes"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains(&format!("in force: {id} (environment=production)")), "{}", done.err);
    // One is let through by its name, and only with a reason.
    let without = server.run_cli(&["let-through", "shop", "--yes"]);
    assert!(without.code == 2 && without.err.contains("--reason"), "{without:?}");
    server.ok(&["let-through", "shop", "--reason", "the fix", "--yes", "--wait"]);
    server.until("it goes on", |rollout| rollout.held_by().is_none() && rollout.in_flight());
    assert_eq!(server.ok(&["get", "holds", "-o", "name"]).trim(), id, "its hold stays");
    let again = server.run_cli(&["let-through", "shop", "--reason", "the fix", "--yes"]);
    assert!(again.code == 3 && again.err.contains("is not held"), "{again:?}");
    server.ok(&["release", &id, "--yes", "--wait"]);
    assert_eq!(server.ok(&["get", "holds", "-o", "name"]), "");
}

#[test]
fn an_effect_that_is_not_seen_in_time_is_5() {
    let server = Server::start();
    server.prepare();
    let args = ["deploy", "shop", "1.0", "--to", "production", "--yes", "--wait", "--timeout", "1ms"];
    let done = server.run_cli(&args);
    assert_eq!(done.code, 5, "{done:?}");
    assert!(done.err.contains("not seen within 1ms") && done.err.contains("get receipts"), "{}", done.err);
}

#[test]
fn the_ledger_is_read_and_checked_with_and_without_a_server() {
    let mut server = Server::start();
    server.prepare();
    let count = |text: &str| text.split(' ').next().unwrap().parse::<usize>().unwrap();
    // Every record and a checkpoint; the last commands may still be followed.
    eventually("the export and what is verified agree", || {
        let before = count(&server.ok(&["ledger", "verify"]));
        server.ok(&["ledger", "export"]).lines().count() == before + 1
    });
    let running = count(&server.ok(&["ledger", "verify"]));
    assert!(running > 3, "{running}");
    let shown = server.ok(&["ledger", "show", "-n", "2"]);
    assert!(shown.starts_with("SEQ") && shown.lines().count() == 3, "{shown}");
    let file = server.path().join("out.jsonl");
    server.ok(&["ledger", "export", file.to_str().unwrap()]);
    let copy = std::fs::read_to_string(&file).unwrap();
    assert_eq!(copy.lines().count(), running + 1);
    let again = server.run_cli(&["ledger", "export", file.to_str().unwrap()]);
    assert!(again.code == 1 && again.err.contains("is there already; it is left as it is"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), copy);
    let key = server.ok(&["ledger", "show", "--key"]);
    assert!(copy.contains(key.trim_end()), "the export has the key {key}");
    let witness = ["ledger", "verify", "--witness", file.to_str().unwrap(), "--key", key.trim_end()];
    let agrees = format!("records 1 to {running} are those that it was made of");
    assert!(server.ok(&witness).contains(&agrees));
    server.stop();
    assert!(count(&server.ok(&["ledger", "verify"])) >= running);
    assert!(server.ok(&witness).contains(&agrees), "without a server too");
    assert_eq!(server.ok(&["ledger", "show", "--key"]), key);
    // One byte of one record is changed.
    let store = rusqlite::Connection::open(server.path().join("data/ledger/ledger.db")).unwrap();
    store.execute_batch("UPDATE records SET body = replace(body, 'apply', 'appli') WHERE seq = 2").unwrap();
    drop(store);
    let done = server.run_cli(&["ledger", "verify"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("broken at record 2"), "{}", done.err);
}

#[test]
fn config_init_writes_a_file_that_is_fine_and_never_over_another() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["config", "init"][..], &["config", "init", "--services"]] {
        assert_eq!(flightdeck(dir.path(), args).code, 0);
        let again = flightdeck(dir.path(), args);
        assert!(again.code == 1 && again.err.contains("left as it is"), "{again:?}");
    }
    assert_eq!(flightdeck(dir.path(), &["config", "check"]).code, 0);
    assert_eq!(flightdeck(dir.path(), &["config", "check", "flightdeck.toml"]).code, 0);
    let shown = program(dir.path()).args(["config", "show"]).env("FLIGHTDECK_SERVE_LEASE", "30s").output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = shown.lines().find(|line| line.starts_with("serve.lease ")).unwrap();
    assert!(line.contains("30s") && line.ends_with("environment FLIGHTDECK_SERVE_LEASE"), "{line}");
}
