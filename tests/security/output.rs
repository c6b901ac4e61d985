//! What the command line prints, and what the real program writes to a terminal, when everything that
//! it is told is hostile.

use super::strings::HOSTILE;
use crate::support::live::{Done, Server, eventually, flightdeck};
use crate::terminal::term::Term;
use flightdeck::model::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// All of them in one, without what no argument can hold.
fn worst() -> String {
    let all: Vec<&str> = HOSTILE.iter().filter(|(name, _)| *name != "long").map(|(_, text)| *text).collect();
    all.join("|").replace('\0', "")
}

/// Nothing that a terminal obeys or hides, on either stream.
fn plain(what: &str, done: &Done) {
    for (stream, text) in [("stdout", &done.out), ("stderr", &done.err)] {
        for (number, line) in text.lines().enumerate() {
            assert_eq!(sanitize_line(line), line, "{what}: {stream} line {}: {line:?}", number + 1);
        }
        assert!(!text.contains('\r'), "{what}: {stream}: {text:?}");
    }
}

/// A backend that tells of one rollout with such a text wherever there is text.
fn backend(dir: &Path, text: &str) -> String {
    let row = crate::screens::world::rollout("evil", "checkout", "production", "1.9.0", "1.10.0", 25);
    let mut row = Rollout { service: format!("shop{text}").as_str().into(), message: text.to_owned(), ..row };
    row.author = Some(text.to_owned());
    row.arms.iter_mut().for_each(|arm| arm.version = format!("1.{text}").as_str().into());
    row.run.target.name = format!("shop{text}");
    let note = Note {
        id: "n".into(),
        run: row.run.clone(),
        at: row.since,
        who: text.into(),
        text: text.into(),
        kind: NoteKind::Event,
    };
    let instance = Instance {
        id: format!("i-{text}"),
        target: row.run.target.clone(),
        role: ArmRole::Stable,
        version: format!("1.{text}").as_str().into(),
        pid: None,
        address: Some(text.into()),
        restarts: 0,
        started: None,
        logs: None,
        draining: None,
        state: InstanceState::BackingOff { why: text.into() },
        limits: Vec::new(),
    };
    let told = [Entity::Rollout(std::sync::Arc::new(row)), Entity::Note(note), Entity::Instance(Box::new(instance))];
    let line = |value: serde_json::Value| value.to_string();
    let mut lines = vec![
        line(serde_json::json!({"type": "hello", "data": {"wire": 1, "actions": ["promote", "abort", "pause"]}})),
        line(serde_json::json!({"type": "update", "data": {"type": "snapshot_begin"}})),
    ];
    lines.extend(told.map(|entity| {
        line(serde_json::json!({"type": "update", "data": {"type": "upsert", "data": serde_json::to_value(entity).unwrap()}}))
    }));
    lines.push(line(serde_json::json!({"type": "update", "data": {"type": "snapshot_end"}})));
    fs::write(dir.join("lines"), lines.join("\n") + "\n").unwrap();
    let program = dir.join("evil");
    let script = format!(
        "#!/bin/sh\ncat {0}/lines\nwhile read -r line; do case $line in *snapshot*) tail -n +2 {0}/lines;; esac; done\n",
        dir.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    format!("[sources.evil]\nkind = \"exec\"\ncommand = [{:?}]\n", program.display().to_string())
}

#[test]
fn what_a_hostile_backend_tells_is_printed_harmless_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let config = backend(dir.path(), &worst());
    fs::create_dir_all(dir.path().join("config")).unwrap();
    fs::write(dir.path().join("config/config.toml"), config).unwrap();
    let mut shown = 0;
    for format in ["table", "json", "yaml", "name"] {
        for args in [&["get", "rollouts"][..], &["get", "instances"], &["status"], &["ledger", "show"]] {
            let done = flightdeck(dir.path(), &[args, &["-o", format]].concat());
            plain(&format!("{args:?} as {format}"), &done);
            assert_eq!(done.code, 0, "{args:?} as {format}: {done:?}");
            shown += usize::from(done.out.contains("shop"));
            if format == "json" && args[0] == "get" {
                let rows: serde_json::Value = serde_json::from_str(&done.out).expect("it is JSON still");
                assert!(rows.is_array(), "{rows}");
            }
        }
    }
    assert!(shown >= 5, "it was told at all: {shown}");
    // A name with something hidden in it is not acted on without a look, and the words about it are plain.
    for args in
        [&["promote", "shop", "--yes"][..], &["abort", "shop", "--yes"], &["promote", "nothing\u{1b}[31m", "--yes"]]
    {
        let done = flightdeck(dir.path(), args);
        plain(&format!("{args:?}"), &done);
        assert_ne!(done.code, 0, "{args:?}: {done:?}");
        assert!(!done.err.is_empty());
    }
}

/// The server's configuration, with instances that say such things before they serve.
fn saying(server: &Server, text: &str) -> String {
    let octal = text.bytes().fold(String::new(), |octal, byte| octal + &format!("\\\\{byte:03o}"));
    let run = format!("run = [\"/bin/sh\", \"-c\", \"printf 'line {octal}\\\\n' >&2; exec \\\"$@\\\"\", \"sh\", ");
    server.config().replace("run = [", &run)
}

#[test]
fn reasons_output_and_errors_are_printed_harmless_and_the_ledger_too() {
    let server = Server::start();
    let worst = worst();
    fs::write(server.path().join("flightdeck.toml"), saying(&server, &worst)).unwrap();
    let path = |name: &str| server.path().join(name).display().to_string();
    let run = |args: &[&str]| {
        let done = server.run_cli(args);
        plain(&format!("{:?}", &args[..args.len().min(3)]), &done);
        done
    };
    assert_eq!(run(&["apply", "--yes", "--wait"]).code, 0);
    let one = server.artifact("1.0");
    assert_eq!(run(&["release", "add", "shop", "1.0", "--artifact", &one, "--wait"]).code, 0);
    let odd = run(&["release", "add", "shop", &format!("1.1{worst}"), "--artifact", &one, "--wait"]);
    let odd_service = run(&["release", "add", &format!("shop{worst}"), "1.1", "--artifact", &one]);
    assert!(odd.code != 0 && odd_service.code != 0, "{odd:?} {odd_service:?}");
    run(&["release", "add", "shop", "1.2", "--artifact", &format!("/no{worst}"), "--wait"]);
    server.first("1.0");
    assert_eq!(run(&["hold", "environment=production", "--reason", &worst, "--yes"]).code, 0);
    run(&["deploy", "shop", "1.0", "--to", "production", "--reason", &worst, "--yes"]);
    run(&["abort", "shop", "--reason", &worst, "--yes"]);
    let instances: Vec<Instance> = serde_json::from_str(&server.ok(&["get", "instances", "-o", "json"])).unwrap();
    eventually("an instance said something", || {
        let done = run(&["logs", &instances[0].id]);
        done.out.contains("line ")
    });
    for format in ["table", "json", "yaml", "name"] {
        for what in ["rollouts", "receipts", "holds", "releases", "approvals", "instances", "services", "deployments"] {
            run(&["get", what, "-o", format]);
        }
        run(&["status", "-o", format]);
        run(&["ledger", "show", "-o", format]);
    }
    run(&["ledger", "export"]);
    run(&["ledger", "verify"]);
    run(&["ledger", "export", &path("copy.jsonl")]);
    run(&["ledger", "verify", "--witness", &path("copy.jsonl")]);
    run(&["ledger", "verify", "--key", &worst]);
    run(&["doctor"]);
    for wrong in [vec![worst.as_str()], vec!["get", &worst], vec!["status", &format!("--{worst}")]] {
        assert_eq!(run(&wrong).code, 2, "{wrong:?}");
    }
    run(&["diff", &path(&format!("no{}", worst.replace('/', "")))]);
    run(&["backup", &path(&format!("no{}/x.tar", worst.replace('/', "")))]);
    run(&["restore", &path(&format!("no{}", worst.replace('/', "")))]);
    // What a person reads in the export means the same in JSON.
    let export = server.ok(&["ledger", "export"]);
    assert!(export.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert!(export.contains("red"), "the reason is in it: {export}");
    a_terminal_is_not_moved(&server);
}

/// The cockpit itself on that server, in a terminal that obeys what it is sent.
fn a_terminal_is_not_moved(server: &Server) {
    let socket = format!("unix:{}", server.socket().display());
    let mut term = Term::cockpit(120, 36, &[("FLIGHTDECK_SERVER", &socket)]);
    term.wait_for("shop");
    for (keys, shows) in [("\r", "Instances"), ("e", "shop"), ("l", "shop"), ("2", "pprovals"), ("1", "shop")] {
        term.send(keys);
        term.wait_for(shows);
    }
    let screen = term.screen();
    for line in screen.lines() {
        assert_eq!(sanitize_line(line), line, "{line:?}");
    }
    let written = String::from_utf8_lossy(&term.output).into_owned();
    for sequence in [
        "\u{1b}]52;c;cHduZWQ",
        "\u{1b}]0;pwned",
        "\u{1b}]8;;http://evil",
        "\u{1b}P$qm",
        "\u{1b}[31;5m",
        "\u{9b}",
        "\u{202e}",
        "\u{feff}",
        "\u{200b}",
        "\u{e0041}",
    ] {
        assert!(!written.contains(sequence), "{sequence:?} reached the terminal");
    }
    let top = screen.lines().next().unwrap();
    assert!(top.contains("flightdeck") || top.contains("local"), "the first line is the program's own: {top:?}");
    term.send("q");
    assert_eq!(term.exit(), 0);
}
