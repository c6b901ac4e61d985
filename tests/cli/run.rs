//! A command, once, in the environment of a service.

use crate::support::live::{Server, eventually, processes, program};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

const SCRIPT: &str = r#"#!/bin/sh
case "$1" in
    say) shift; echo "to $*, $LOG, $TOKEN, $FLIGHTDECK_VERSION"; i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo "line $i"; done; exit 7;;
    term) trap 'echo "tidies up"; exit 5' TERM; echo ready; while :; do sleep 0.05; done;;
    deaf) trap '' TERM; echo ready; while :; do sleep 0.05; done;;
    *) exec sleep 1000;;
esac
"#;

/// A worker whose program is `bin/tool`; nothing of it is stable yet.
fn server() -> Server {
    let server = Server::start();
    std::fs::create_dir_all(server.path().join("tool/bin")).unwrap();
    let tool = server.path().join("tool/bin/tool");
    std::fs::write(&tool, SCRIPT).unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = server.path().join("tool.tar.gz");
    let packed = std::process::Command::new("tar")
        .args(["-czf".as_ref(), file.as_os_str(), "-C".as_ref(), server.path().join("tool").as_os_str(), ".".as_ref()])
        .status();
    assert!(packed.unwrap().success());
    let config = r#"
[environment.production]
tier = "low"
[service.tool]
kind = "worker"
run = ["bin/tool", "work"]
env = { LOG = "info" }
secrets = { TOKEN = "command:echo opensesame" }
health = { ready_after = "50ms" }
stop = { grace = "1s" }
[service.tool.in.production]
"#;
    std::fs::write(server.path().join("flightdeck.toml"), config).unwrap();
    server.ok(&["apply", "--yes", "--wait"]);
    server.ok(&["release", "add", "tool", "1.0", "--artifact", &file.display().to_string(), "--wait"]);
    server
}

fn with_stable() -> Server {
    let server = server();
    server.ok(&["deploy", "tool", "1.0", "--to", "production", "--yes", "--wait=finished"]);
    server
}

/// One that runs, once it has said that it does.
fn begun(server: &Server, args: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = program(server.path())
        .args(["run", "tool@production", "--yes", "--", "bin/tool"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

fn interrupt(child: &Child) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::INT).unwrap();
}

fn one_offs(server: &Server) -> Vec<Value> {
    let services: Value = serde_json::from_str(&server.ok(&["get", "services", "-o", "json"])).unwrap();
    services[0]["places"][0]["one_offs"].as_array().cloned().unwrap_or_default()
}

#[test]
fn its_output_and_exit_status_are_passed_on_and_recorded() {
    let server = with_stable();
    let why = "the queue is stuck";
    let args = ["run", "tool@production", "--yes", "--reason", why, "--", "bin/tool", "say", "a  b", "{version}"];
    let done = server.run_cli(&args);
    let lines: Vec<_> = done.out.lines().collect();
    assert_eq!(done.code, 7, "{done:#?}");
    assert_eq!(lines[0], "to a  b 1.0, info, •••, 1.0", "its variables, its secrets masked");
    assert_eq!((lines.len(), lines[300]), (301, "line 300"), "all of it, to its last line");
    let receipt = || {
        let all: Vec<Value> = serde_json::from_str(&server.ok(&["get", "receipts", "-o", "json"])).unwrap();
        all.into_iter().find(|of| of["command"]["action"] == "run").unwrap()
    };
    eventually("its end in the ledger", || receipt()["stages"].as_array().unwrap().len() == 5);
    let receipt = receipt();
    assert_eq!(receipt["command"]["reason"], why);
    assert_eq!(receipt["command"]["subject"]["data"]["run"][1], "say");
    let stages: Vec<_> = receipt["stages"].as_array().unwrap().iter().map(|of| &of["stage"]["type"]).collect();
    assert_eq!(stages, ["requested", "sent", "accepted", "observed", "failed"], "recorded before it began");
    assert_eq!(receipt["stages"][4]["stage"]["data"]["why"], "exit status 7");
    // Its output is found later, too.
    let id = one_offs(&server)[0]["id"].as_str().unwrap().to_owned();
    assert!(server.ok(&["logs", &id]).ends_with("line 300\n"));

    let quiet = server.run_cli(&["run", "tool@production", "--yes", "--", "/bin/sh", "-c", "pwd | grep -q root$"]);
    assert_eq!((quiet.code, quiet.out.as_str()), (0, ""), "in the unpacked artifact: {quiet:#?}");
    let missing = server.run_cli(&["run", "tool@production", "--yes", "--", "bin/none"]);
    assert!(missing.code == 1 && missing.err.contains("there is no bin/none in the artifact"), "{missing:#?}");
    let late = server.run_cli(&["run", "tool@production", "--yes", "--timeout", "300ms", "--", "bin/tool", "term"]);
    assert!(late.code == 1 && late.err.contains("it took too long"), "{late:#?}");
}

#[test]
fn ctrl_c_ends_it_in_order_and_kills_what_does_not() {
    let server = with_stable();
    let (mut child, out) = begun(&server, &["term"]);
    interrupt(&child);
    let rest: Vec<String> = out.lines().map(Result::unwrap).collect();
    assert!(rest.contains(&"tidies up".to_owned()), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(5));

    let (mut child, _out) = begun(&server, &["deaf"]);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 9), "after the grace of its service");

    // Who is gone ends nothing: it is there for the next one, to be ended by its id.
    let (mut child, _out) = begun(&server, &["term"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let running = one_offs(&server).into_iter().find(|of| of["ended"].is_null()).unwrap();
    let id = running["id"].as_str().unwrap();
    let services = server.ok(&["get", "services"]);
    assert!(services.contains(&format!("{id} bin/tool by ")), "{services}");
    server.ok(&["run", "tool@production", "--yes", "--end", id]);
    eventually("its end", || one_offs(&server).iter().all(|of| !of["ended"].is_null()));
    let of_tool = |process: &String| {
        std::fs::read_to_string(format!("{process}/cmdline")).is_ok_and(|line| line.contains("term"))
    };
    assert!(!processes(server.path()).iter().any(of_tool), "nothing of it is left");
}

#[test]
fn it_is_refused_where_nothing_is_stable_and_by_whom_it_may_not_be() {
    let server = server();
    let run = ["run", "tool@production", "--yes", "--", "bin/tool", "say"];
    let nothing = server.run_cli(&run);
    assert!(nothing.code == 3 && nothing.err.contains("nothing is stable in tool@production yet"), "{nothing:#?}");
    let unasked = server.run_cli(&["run", "tool@production", "--", "bin/tool", "say"]);
    assert!(unasked.code == 2 && unasked.err.contains("must be confirmed"), "{unasked:#?}");
    for (args, why) in [
        (&["run", "tool", "--yes", "--", "bin/tool"][..], "names no environment"),
        (&["run", "tool@staging", "--yes", "--", "bin/tool"], "staging"),
    ] {
        let done = server.run_cli(args);
        assert!(done.code == 2 && done.err.contains(why), "{done:#?}");
    }
    let refused = server.run_cli(&["--read-only", "run", "tool@production", "--yes", "--", "bin/tool"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
    assert!(one_offs(&server).is_empty(), "nothing was run");
}

#[test]
fn a_server_that_dies_takes_no_command_with_it_and_knows_its_end() {
    let mut server = with_stable();
    let (mut child, _out) = begun(&server, &["term"]);
    server.crash();
    server.start_again();
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the command to be known", || one_offs(&server).len() == 1);
    let running = one_offs(&server).remove(0);
    assert!(running["ended"].is_null(), "it runs on: {running:#}");
    server.ok(&["run", "tool@production", "--yes", "--end", running["id"].as_str().unwrap(), "--reason", "enough"]);
    eventually("its end", || !one_offs(&server)[0]["ended"].is_null());
    assert_eq!(one_offs(&server)[0]["ended"][1], serde_json::json!({ "type": "exited", "data": 5 }), "begun once");
}
