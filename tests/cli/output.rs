use crate::support::live::{Done, Server, eventually, flightdeck, program};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const KINDS: [&str; 10] = [
    "rollouts",
    "approvals",
    "services",
    "environments",
    "receipts",
    "releases",
    "holds",
    "instances",
    "deployments",
    "dora",
];

#[test]
fn every_kind_is_written_in_every_format() {
    let server = Server::start();
    server.with_canary();
    server.ok(&["hold", "everything", "--yes", "--wait"]);
    for kind in KINDS {
        let json: serde_json::Value = serde_json::from_str(&server.ok(&["get", kind, "-o", "json"])).unwrap();
        let rows = json.as_array().unwrap().len();
        assert!(rows > 0 || kind == "approvals", "{kind}");
        assert_eq!(server.ok(&["get", kind, "-o", "name"]).lines().count(), rows, "{kind}");
        let table = server.ok(&["get", kind]);
        assert_eq!(table.lines().count(), rows + 1, "{table}");
        assert!(!table.contains('\u{1b}'), "a pipe gets no colour: {table:?}");
        let yaml = server.ok(&["get", kind, "-o", "yaml"]);
        assert_eq!(yaml.lines().filter(|line| line.starts_with("- ")).count(), rows, "{yaml}");
    }
    for args in [&["status"][..], &["doctor"], &["config", "show"], &["config", "path"], &["config", "schema"]] {
        let text = server.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"));
    }
    let rows: serde_json::Value = serde_json::from_str(&server.ok(&["get", "rollouts", "-o", "json"])).unwrap();
    let offers: Vec<_> = rows[0]["offers"].as_array().unwrap().iter().map(|o| o.as_str().unwrap().to_owned()).collect();
    let pins = rows[0]["pins"].as_object().unwrap();
    assert!(!offers.is_empty());
    for offer in &offers {
        let pin: flightdeck::model::Pin = pins[offer].as_str().unwrap().parse().unwrap();
        assert_eq!(pin.action.name(), offer);
    }
}

#[test]
fn finished_rollouts_are_listed_newest_first_and_add_up_to_figures() {
    let server = Server::start();
    server.prepare();
    let added = ["release", "add", "shop", "2.5", "--commit", "abc", "--commit-at", "2026-01-02T03:04:05+01:00"];
    let artifact = server.artifact("2.5");
    server.ok(&[&added[..], &["--artifact", &artifact, "--yes"]].concat());
    let releases: serde_json::Value = serde_json::from_str(&server.ok(&["get", "releases", "-o", "json"])).unwrap();
    let release = releases.as_array().unwrap().iter().find(|row| row["version"] == "2.5").unwrap();
    assert_eq!(release["commit_at"], "2026-01-02T02:04:05Z");
    server.first("1.0");
    server.ok(&["restart", "shop", "--yes", "--wait"]);
    let names = |args: &[&str]| server.ok(&[&["get", "deployments", "-o", "json"][..], args].concat());
    let read = |args: &[&str]| -> Vec<serde_json::Value> { serde_json::from_str(&names(args)).unwrap() };
    let all = read(&[]);
    let kinds: Vec<_> = all.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["restart", "deploy"]);
    assert_eq!(read(&["shop", "--env", "production", "--since", "7d"]).len(), 2);
    assert_eq!(read(&["--limit", "1"]), all[..1]);
    assert_eq!(read(&["--env", "elsewhere"]).len(), 0);
    let dora: Vec<serde_json::Value> = serde_json::from_str(&server.ok(&["get", "dora", "-o", "json"])).unwrap();
    assert_eq!((dora.len(), &dora[0]["fail_rate"]["n"]), (1, &1.into()), "a restart is none: {dora:?}");
    assert_eq!(dora[0]["recovery"], serde_json::json!({ "value": null, "n": 0 }), "no data, not 0");
    assert!(server.ok(&["get", "dora"]).contains("no data"));
    let done = server.run_cli(&["get", "rollouts", "--since", "7d"]);
    assert!(done.code == 2 && done.err.contains("what has ended"), "{done:?}");
    let done = server.run_cli(&["get", "deployments", "nothing"]);
    assert!(done.code == 2 && done.err.contains("there are: shop"), "{done:?}");
}

#[test]
fn a_filter_that_fits_nothing_is_2_and_says_what_there_is() {
    let server = Server::start();
    server.prepare();
    let done = server.run_cli(&["get", "environments", "prod"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("there are: production"), "{}", done.err);
    assert_eq!(server.ok(&["get", "releases", "--service", "other", "-o", "name"]), "");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let server = Server::start();
    for args in [&["get", "environments"][..], &["watch"], &["watch", "-o", "json"], &["completions", "bash"]] {
        let mut child =
            program(server.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        // `watch` ends at its first line that nobody reads.
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn watch_tells_changes_as_lines_and_as_json() {
    let server = Server::start();
    for (format, found) in [("table", "receipt "), ("json", "\"upsert\"")] {
        let mut child = program(server.path()).args(["watch", "-o", format]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("waiting for a first line").unwrap();
        assert!(!first.is_empty());
        server.prepare();
        let line = lines.map(Result::unwrap).find(|line| line.contains(found)).expect("waiting for a change");
        assert!(!line.contains(" is: "), "{line}");
        if format == "json" {
            serde_json::from_str::<flightdeck::model::Envelope>(&line).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let done = server.run_cli(&["watch", "-o", "yaml"]);
    assert_eq!(done.code, 2, "{done:?}");
    // What was there when it began is told first, and as such.
    server.with_stable();
    let mut child = program(server.path()).arg("watch").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let row = lines.find(|line| line.contains("rollout shop@production")).expect("waiting for the row");
    assert!(row.contains(" is: rollout shop@production"), "{row}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_suggested_for_an_unknown_command_is_never_one_that_is_hidden() {
    for (typed, meant) in [("proxi", None), ("shimm", None), ("promot", Some("promote"))] {
        let done = flightdeck(std::path::Path::new("/"), &[typed]);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(!done.err.contains("'proxy'") && !done.err.contains("'shim'"), "{}", done.err);
        assert!(meant.is_none_or(|meant| done.err.contains(meant)), "{}", done.err);
    }
}

#[test]
fn an_instances_output_is_printed_and_followed() {
    let server = Server::start();
    server.with_stable();
    let instance = server.ok(&["get", "instances", "-o", "name"]);
    assert!(server.ok(&["logs", instance.trim()]).contains("listens on"));
    let mut child =
        program(server.path()).args(["logs", instance.trim(), "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().expect("waiting for a line").unwrap().contains("listens on"));
    child.kill().unwrap();
    child.wait().unwrap();
    let done = server.run_cli(&["logs", "no-such"]);
    assert_eq!(done.code, 2, "{done:?}");
}

#[test]
fn doctor_says_that_all_is_well_or_what_is_not() {
    let server = Server::start();
    // The proxy may still be on its way up.
    let mut text = String::new();
    eventually("doctor finds all well", || {
        let done = server.run_cli(&["doctor"]);
        text = done.out;
        done.code == 0
    });
    for check in ["config", "data", "runtime", "socket", "server", "ledger", "clock", "proxy"] {
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(check));
        let line = line.unwrap_or_else(|| panic!("no {check} in {text}"));
        assert!(line.starts_with("ok "), "{line}");
    }
    let dir = tempfile::tempdir().unwrap();
    let done = flightdeck(dir.path(), &["doctor"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("fail  server") && done.err.contains("not well: server"), "{done:?}");
}

/// What bash is told for the last of these words.
fn completed(dir: &std::path::Path, words: &[&str]) -> Vec<String> {
    let mut asked = program(dir);
    asked.env("FLIGHTDECK_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    asked.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    let done = Done::from(asked.arg("--").args(words).output().unwrap());
    assert_eq!(done.code, 0, "{done:?}");
    done.out.lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_what_is_there_and_takes_the_command() {
    let server = Server::start();
    server.with_canary();
    let of = |words: &[&str]| {
        let mut all = completed(server.path(), words);
        all.retain(|word| !word.starts_with('-'));
        all
    };
    assert_eq!(of(&["flightdeck", "pause", "sh"]), ["shop@production"]);
    assert_eq!(of(&["flightdeck", "retry", ""]), [""; 0], "it is in flight, so nothing takes a retry");
    assert_eq!(of(&["flightdeck", "deploy", ""]), ["shop"]);
    let receipts = of(&["flightdeck", "annotate", ""]);
    assert!(!receipts.is_empty(), "the deployment has one");
    server.ok(&["annotate", &receipts[0], "the one that broke search"]);
}

#[test]
fn completions_and_the_manual_page_need_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = flightdeck(dir.path(), &["completions", shell]);
        assert!(done.code == 0 && done.out.contains("FLIGHTDECK_COMPLETE"), "{shell}");
    }
    let commands = completed(dir.path(), &["flightdeck", ""]);
    assert!(commands.iter().any(|one| one == "rollback"), "{commands:?}");
    assert!(!commands.iter().any(|one| one == "sample-app"), "hidden commands stay hidden: {commands:?}");
    let page = flightdeck(dir.path(), &["man"]);
    assert!(page.code == 0 && page.out.starts_with(".ie") && page.out.contains("FLIGHTDECK PROMOTE"), "{}", page.out);
    for part in [".SH FILES", "server.sock", ".SH ENVIRONMENT", "FLIGHTDECK_DATA_DIR", "KUBECONFIG"] {
        assert!(page.out.contains(part), "{part}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was written");
}
