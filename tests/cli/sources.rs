//! Commands on what this process looks at itself, without a server and beside one.

use crate::support::live::{Done, Server, flightdeck, program};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A source that is a program: one rollout, paused at its first step, anew with each start. The
/// example finds it where the contract suite leaves one.
pub fn shop(dir: &Path, name: &str) -> String {
    let platform = r#"{"uid": "u-1", "revision": 2, "generation": 1, "stable": "1.0", "before": "0.9", "new": "1.1",
        "phase": "paused", "step": 1, "weight": 250000, "by": null, "since": "2026-01-01T00:00:00Z"}"#;
    fs::write(dir.join("platform.json"), platform).unwrap();
    let program = dir.join("shop");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/example.py");
    let scratch = format!(r#"s|"data":{{|"data":{{"scratch":"{}",|"#, dir.display());
    let script = format!(
        "#!/bin/sh\nread -r hello\n{{ printf '%s\\n' \"$hello\" | sed '{scratch}'; exec cat; }} | exec python3 {example:?}\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    format!("[sources.{name}]\nkind = \"exec\"\ncommand = [{:?}]\n", program.display().to_string())
}

pub fn configured(dir: &Path, text: &str) {
    fs::create_dir_all(dir.join("config")).unwrap();
    fs::write(dir.join("config/config.toml"), text).unwrap();
}

fn ok(done: Done) -> String {
    assert_eq!(done.code, 0, "{done:?}");
    done.out
}

#[test]
fn a_source_of_the_settings_is_seen_and_acted_on_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    configured(dir.path(), &shop(dir.path(), "mainframe"));
    let cli = |args: &[&str]| flightdeck(dir.path(), args);
    let status = ok(cli(&["status"]));
    assert!(status.contains(" at this process, policy advisory"), "{status}");
    assert_eq!(ok(cli(&["get", "rollouts", "-o", "name"])), "shop@dev\n");
    let refused = cli(&["promote", "shop", "--yes", "--read-only"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    let deployed = cli(&["deploy", "shop", "2.0", "--to", "dev", "--yes"]);
    assert_eq!(deployed.code, 3, "{deployed:?}");
    assert!(deployed.err.contains("mainframe does not take deploy; it takes promote"), "{}", deployed.err);
    let promoted = cli(&["promote", "mainframe/dev/shop", "--yes", "--wait", "-o", "json"]);
    assert!(ok(promoted).contains("effective"));
    let held = cli(&["hold", "source=mainfame", "--yes"]);
    assert!(held.code == 2 && held.err.contains("there are: mainframe"), "{held:?}");
    let verified = ok(cli(&["ledger", "verify"]));
    assert!(verified.contains("each follows from the one before"), "{verified}");
    let signs = fs::read_dir(dir.path().join("data/ledger/hubs")).unwrap().count();
    assert_eq!(signs, 0, "no hub lives on");
}

#[test]
fn doctor_tries_each_source_and_misses_no_server_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let gone = "[sources.gone]\nkind = \"exec\"\ncommand = [\"/no/such/program\"]\n";
    let told = "[notify.traces]\nendpoint = \"http://127.0.0.1:9\"\n\
        [notify.hook]\nurl = \"http://127.0.0.1:9\"\nsecret = \"file:/no/such\"\n";
    configured(dir.path(), &(shop(dir.path(), "mainframe") + gone + "[sources.prod]\ncontext = \"prod\"\n" + told));
    let done = flightdeck(dir.path(), &["doctor"]);
    let line = |name: &str| done.out.lines().find(|line| line.contains(name)).unwrap_or_default();
    let says = line("source mainframe");
    assert!(says.starts_with("ok ") && says.contains("says hello; it takes promote"), "{done:?}");
    let says = line("source gone");
    assert!(says.starts_with("fail ") && says.contains("No such file") && says.contains("docs/exec.md"), "{done:?}");
    let says = line("source prod");
    assert!(says.starts_with("fail ") && says.contains("kubectl config get-contexts"), "{done:?}");
    assert!(line(" server").starts_with("warn "), "{done:?}");
    let says = line("notify traces");
    assert!(says.starts_with("ok ") && says.contains("`flightdeck notify test traces` tries it"), "{done:?}");
    let says = line("notify hook");
    assert!(says.starts_with("fail ") && says.contains("/no/such"), "{done:?}");
    assert_eq!(
        (done.code, done.err.contains("not well: source gone, source prod, notify hook")),
        (1, true),
        "{done:?}"
    );
}

#[test]
fn a_name_that_several_sources_have_is_an_error_that_lists_them() {
    let dir = tempfile::tempdir().unwrap();
    configured(dir.path(), &(shop(dir.path(), "eu") + &shop(dir.path(), "us")));
    let done = flightdeck(dir.path(), &["pause", "shop", "--yes"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("means several rollouts"), "{}", done.err);
    assert!(done.err.contains("eu/dev/shop, us/dev/shop"), "{}", done.err);
    let all = flightdeck(dir.path(), &["get", "rollouts", "-o", "name"]);
    assert_eq!(ok(all), "eu/dev/shop\nus/dev/shop\n");
    let one = flightdeck(dir.path(), &["get", "rollouts", "-o", "name", "--context", "us"]);
    assert_eq!(ok(one), "shop@dev\n");
}

#[test]
fn beside_a_server_both_are_shown_and_each_gets_its_own_commands() {
    let server = Server::start();
    configured(server.path(), &shop(server.path(), "mainframe"));
    server.with_canary();
    let names = server.ok(&["get", "rollouts", "-o", "name"]);
    assert!(names.contains("shop@production") && names.contains("shop@dev"), "{names}");
    let status = server.ok(&["status"]);
    assert!(status.contains("policy enforced") && status.contains("policy advisory"), "{status}");
    server.ok(&["pause", "shop@production", "--yes"]);
    server.ok(&["promote", "mainframe/dev/shop", "--yes", "--wait"]);
    let receipts = server.ok(&["get", "receipts", "-o", "json"]);
    assert!(receipts.contains("\"pause\"") && receipts.contains("\"promote\""), "{receipts}");
    // A reason is added afterwards where the command was given: at the server, or in an earlier process.
    let receipts: Vec<Value> = serde_json::from_str(&receipts).unwrap();
    for action in ["pause", "promote"] {
        let of = receipts.iter().find(|of| of["command"]["action"] == action).unwrap();
        let added = server.ok(&["annotate", of["id"].as_str().unwrap(), &format!("why we {action}d")]);
        assert!(added.contains("annotate"), "{added}");
    }
    let shown = server.ok(&["ledger", "show"]);
    assert!(shown.contains("why we paused") && shown.contains("why we promoted"), "{shown}");
    let unknown = server.run_cli(&["annotate", "c-nowhere", "why"]);
    assert!(unknown.code == 2 && unknown.err.contains("get receipts"), "{unknown:?}");
    assert!(server.ok(&["ledger", "verify"]).contains("each follows from the one before"), "one chain");
}

#[test]
fn a_context_that_does_not_exist_is_said_with_those_that_do() {
    let dir = tempfile::tempdir().unwrap();
    let none = flightdeck(dir.path(), &["status", "--context", "prod"]);
    assert_eq!(none.code, 2, "{none:?}");
    let kubeconfig = dir.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: stage\ncontexts:\n- name: stage\n  context: {cluster: a, user: b}\n";
    fs::write(&kubeconfig, text).unwrap();
    let mut command = program(dir.path());
    command.env("KUBECONFIG", &kubeconfig).args(["status", "--context", "prod"]);
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("there is no context \"prod\"") && done.err.contains("there are: stage"), "{}", done.err);
}
