//! What could not be seen is named, in words, as data and as an exit code; it is never an empty answer.

use super::sources::{configured, shop};
use crate::support::live::{Done, Server, eventually, program};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A kubeconfig of the context `far`, whose server refuses connections.
fn far(dir: &Path, user: &str) -> PathBuf {
    let path = dir.join("far.kubeconfig");
    let text = format!(
        "current-context: far\nclusters: [{{name: far, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
         users: [{{name: me, user: {user}}}]\ncontexts: [{{name: far, context: {{cluster: far, user: me}}}}]\n"
    );
    fs::write(&path, text).unwrap();
    path
}

fn with(dir: &Path, kubeconfig: &Path, args: &[&str]) -> Done {
    program(dir).env("KUBECONFIG", kubeconfig).args(args).output().unwrap().into()
}

#[test]
fn a_cluster_that_is_away_is_no_empty_list() {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = far(dir.path(), "{token: t}");
    for command in [
        "get rollouts",
        "get rollouts -o name",
        "get services -o yaml",
        "get holds",
        "get receipts",
        "get deployments",
        "get dora",
        "status",
        "status -o name",
        "promote shop --yes",
        "abort shop --yes",
        "approve A-1 --yes",
        "deploy shop 2.0 --to production --yes",
        "release H-1 --yes",
        "hold everything --yes --reason x",
    ] {
        let done = with(dir.path(), &kubeconfig, &command.split(' ').collect::<Vec<_>>());
        assert_eq!(done.code, 4, "{command}: {done:?}");
        assert!(done.err.contains("far: could not be reached: cannot reach the API server"), "{command}: {}", done.err);
        assert!(!done.err.contains("there is no ") && !done.err.contains("none yet"), "{command}: {}", done.err);
    }
    let listed = with(dir.path(), &kubeconfig, &["get", "rollouts", "-o", "json"]);
    let json: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!((json["rows"].as_array().map(Vec::len), json["unseen"][0]["source"].as_str()), (Some(0), Some("far")));
    assert_eq!(json["unseen"][0]["state"]["data"]["never"], true);
    let status = with(dir.path(), &kubeconfig, &["status"]);
    assert!(status.out.contains("Needs you: nothing that could be seen"), "{}", status.out);
}

#[test]
fn beside_one_that_is_away_the_rest_is_shown_and_the_doubt_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = far(dir.path(), "{token: t}");
    let source = format!("[sources.far]\nkubeconfig = {:?}\n", kubeconfig.display().to_string());
    configured(dir.path(), &(shop(dir.path(), "mainframe") + &source));
    let cli = |args: &[&str]| Done::from(program(dir.path()).args(args).output().unwrap());
    let partly = |args: &[&str]| {
        let done = cli(args);
        assert_eq!(done.code, 6, "{args:?}: {done:?}");
        assert!(done.err.contains("far: could not be reached"), "{args:?}: {}", done.err);
        done.out
    };
    assert_eq!(partly(&["get", "rollouts", "-o", "name"]), "shop@dev\n");
    let json: Value = serde_json::from_str(&partly(&["get", "rollouts", "-o", "json"])).unwrap();
    assert_eq!(
        (json["rows"][0]["service"].as_str(), json["unseen"][0]["source"].as_str()),
        (Some("shop"), Some("far"))
    );
    let json: Value = serde_json::from_str(&partly(&["status", "-o", "json"])).unwrap();
    assert_eq!(json["unseen"][0]["source"], "far");
    let other = cli(&["abort", "basket", "--yes"]);
    assert_eq!(other.code, 6, "{other:?}");
    assert!(other.err.contains("rollout \"basket\" is not among what could be seen"), "{}", other.err);
    assert!(partly(&["get", "rollouts", "basket"]).is_empty());
    // One that was named with its source was seen.
    let promoted = cli(&["promote", "mainframe/dev/shop", "--yes"]);
    assert_eq!((promoted.code, promoted.err.contains("far")), (0, false), "{promoted:?}");
    let held = cli(&["hold", "source=mainframe", "--yes", "--reason", "x"]);
    assert!(!held.err.contains("far"), "{held:?}");
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    let done = with(dir.path(), &gone, &["get", "rollouts"]);
    let words = format!("KUBECONFIG names {}, which is not there", gone.display());
    assert_eq!(done.code, 4, "{done:?}");
    assert!(done.err.contains(&words), "{}", done.err);
    let doctor = with(dir.path(), &gone, &["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains(&words), "{doctor:?}");
    let server = Server::start();
    server.with_canary();
    let beside = with(server.path(), &gone, &["get", "services"]);
    assert!(beside.code == 6 && beside.err.contains(&words), "{beside:?}");
}

#[test]
fn servers_of_the_settings_count_as_they_do_in_the_cockpit() {
    let mut server = Server::start();
    server.with_canary();
    let dir = tempfile::tempdir().unwrap();
    configured(dir.path(), &format!("[[servers]]\nname = \"build\"\nurl = \"unix:{}\"\n", server.socket().display()));
    let cli = |args: &[&str]| Done::from(program(dir.path()).args(args).output().unwrap());
    let listed = cli(&["get", "rollouts", "-o", "name"]);
    assert_eq!((listed.code, listed.out.as_str()), (0, "shop@production\n"), "{listed:?}");
    let paused = cli(&["pause", "shop@production", "--yes"]);
    assert_eq!(paused.code, 0, "{paused:?}");
    let doctor = cli(&["doctor"]);
    assert!(doctor.out.contains("server build"), "{doctor:?}");
    server.stop();
    let lost = cli(&["get", "rollouts"]);
    assert_eq!(lost.code, 4, "{lost:?}");
    assert!(lost.err.contains("build: could not be reached: no server at"), "{}", lost.err);
}

#[test]
fn a_login_command_that_hangs_is_given_up_and_ended_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let (login, pids) = (dir.path().join("corp-login"), dir.path().join("pids"));
    fs::write(&login, format!("#!/bin/sh\nsleep 600 & echo $$ $! > {}; wait\n", pids.display())).unwrap();
    fs::set_permissions(&login, fs::Permissions::from_mode(0o755)).unwrap();
    let exec = format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {}}}}}", login.display());
    let done = with(dir.path(), &far(dir.path(), &exec), &["get", "rollouts"]);
    assert_eq!(done.code, 4, "{done:?}");
    assert!(done.err.contains(&format!("its login command {} has not ended yet", login.display())), "{}", done.err);
    let pids = fs::read_to_string(pids).unwrap();
    eventually("both have ended", || {
        pids.split_whitespace().all(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
        })
    });
}
