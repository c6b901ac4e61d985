//! A service under another name: its users, its instances and its history notice nothing.

use crate::support::live::{EXE, Server, eventually};
use flightdeck::demo::load::Summary;
use flightdeck::model::{Phase, Rollout};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

fn json(server: &Server, args: &[&str]) -> Vec<Value> {
    serde_json::from_str(&server.ok(&[args, &["-o", "json"]].concat())).unwrap()
}

/// Instances by id, with the process and the service of each.
fn instances(server: &Server) -> Vec<(String, u64, String)> {
    let rows = json(server, &["get", "instances"]);
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    rows.iter().map(|of| (text(&of["id"]), of["pid"].as_u64().unwrap(), text(&of["target"]["name"]))).collect()
}

/// Users, who end with the test however that ends.
struct Users(Child);

impl Users {
    fn summary(mut self) -> Summary {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut text = Vec::new();
        self.0.stdout.take().unwrap().read_to_end(&mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it has ended where its summary was read
        let _ = self.0.wait();
    }
}

/// Asks once more on a connection that stays open.
fn ask(users: &mut BufReader<TcpStream>) {
    users.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        assert!(users.read_line(&mut line).unwrap() > 0, "it was closed after {head}");
        if let Some(said) = line.to_lowercase().strip_prefix("content-length:") {
            length = said.trim().parse().unwrap();
        }
        head += &line;
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    users.read_exact(&mut vec![0; length]).unwrap();
}

#[test]
fn a_renamed_service_goes_on_without_a_restart_and_without_a_lost_request() {
    let mut server = Server::start();
    server.with_stable();
    let target = format!("http://{}/", server.listen);
    let load = Users(
        Command::new(EXE)
            .args(["load", "--rate", "500", "--connections", "4", "--fresh", "0.3", "--target", &target])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut users = BufReader::new(TcpStream::connect(server.listen).unwrap());
    ask(&mut users);
    let before = instances(&server);
    let deployed = json(&server, &["get", "deployments"]);
    let file = server.path().join("flightdeck.toml");
    let renamed = server.config().replace("service.shop", "service.store");
    let renamed = renamed.replace("[service.store]", "[service.store]\nrenamed_from = \"shop\"");
    std::fs::write(&file, &renamed).unwrap();
    assert_eq!(server.ok(&["diff"]), "~ service shop: renamed store, as it runs\n");
    server.ok(&["apply", "--yes", "--wait"]);
    let same = |now: Vec<(String, u64, String)>| {
        let as_before: Vec<_> = before.iter().map(|(id, pid, _)| (id.clone(), *pid, "store".to_owned())).collect();
        assert_eq!(now, as_before);
    };
    same(instances(&server));
    ask(&mut users);

    // What happened as shop is store's, and says so; with it the figures, releases and the way of a receipt.
    let history = server.ok(&["get", "deployments", "store"]);
    assert!(history.contains("store@production (shop then)"), "{history}");
    let by_old_name = server.run_cli(&["get", "deployments", "shop"]);
    assert_eq!((by_old_name.out, by_old_name.err.as_str()), (history, "shop is called store now\n"));
    let now = json(&server, &["get", "deployments"]);
    assert_eq!(
        (now.len(), &now[0]["run"], &now[0]["called"]),
        (deployed.len(), &deployed[0]["run"], &Value::from("shop"))
    );
    assert!(server.ok(&["get", "dora", "store"]).contains("store@production (shop then)"));
    let figures = json(&server, &["get", "dora", "store"]);
    assert_eq!((figures.len(), &figures[0]["frequency"]["n"]), (1, &Value::from(deployed.len())));
    let releases = json(&server, &["get", "releases"]);
    assert!(releases.len() == 2 && releases.iter().all(|of| of["service"] == "store"), "{releases:?}");
    assert_eq!(server.ok(&["get", "services", "-o", "name"]), "store\n");
    assert_eq!(server.ok(&["diff", "--exit-code"]), "", "and it is done");

    // The next server knows it too.
    server.crash();
    server.start_again();
    server.until("it serves", |row| row.phase == Phase::Healthy && row.service.as_str() == "store");
    eventually("its instances are adopted", || instances(&server).len() == before.len());
    same(instances(&server));
    server.ok(&["apply", "--yes", "--wait"]);
    assert!(server.ok(&["get", "deployments", "store"]).contains("(shop then)"));

    ask(&mut users);
    server.ok(&["deploy", "store", "2.0", "--to", "production", "--yes"]);
    let waits = |row: &Rollout| row.phase == Phase::Paused && row.step == Some(1);
    let canary = server.until("the canary waits at 10 %", waits);
    assert_eq!(canary.run.target.to_string(), "local/production/store");
    let busy = server.path().join("busy.toml");
    let third = renamed.replace("service.store", "service.market").replace("\"shop\"", "\"store\"");
    std::fs::write(&busy, third).unwrap();
    let refused = server.run_cli(&["apply", &busy.display().to_string(), "--yes"]);
    assert!(refused.code == 3 && refused.err.contains("is in flight there; rename store once"), "{refused:?}");
    server.ok(&["abort", "store@production", "--yes", "--wait"]);
    server.until("it is aborted", |row| row.phase == Phase::Aborted);

    let summary = load.summary();
    assert!(summary.failed.total() == 0 && summary.ok > 50, "{summary:?}");
    let rows = server.ok(&["get", "deployments", "store"]);
    assert_eq!(rows.matches("(shop then)").count(), deployed.len(), "{rows}");
    assert_eq!(rows.lines().count(), deployed.len() + 2, "{rows}");
}
