//! The sample app and the load generator, of which the other tests and the demo make use.

use super::rig::*;
use flightdeck::demo::load::{Failed, Summary};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

fn load(address: SocketAddr, args: &[&str]) -> Process {
    let child = Command::new(env!("CARGO_BIN_EXE_flightdeck"))
        .args(["load", "--target", &format!("http://{address}/")])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Process(child)
}

fn summary(mut load: Process) -> Summary {
    assert!(load.ended().success());
    serde_json::from_reader(load.0.stdout.take().unwrap()).unwrap()
}

#[test]
fn the_sample_app_does_what_its_arguments_say() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("access.log");
    let mut app = Sample::start("a", "1.2.3", &["--latency-ms", "0", "--access-log", log.to_str().unwrap()]);
    let mut client = Client::connect(app.address);
    let answer = client.get("/");
    assert_eq!((answer.status, answer.version()), (200, "1.2.3"));
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((body["version"].as_str(), body["pid"].as_u64()), (Some("1.2.3"), Some(u64::from(app.process.0.id()))));
    client.write("POST /x HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhello");
    assert!(client.answer().body.contains("\"length\":5"));
    assert_eq!(client.get("/stream?seconds=0.2").body, "0 of 2\n1 of 2\nend\n");
    assert_eq!((client.get("/healthz").status, client.get("/count").body.as_str()), (200, "3"));
    let text = read(&log);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(
        lines.iter().map(|line| line[1..].join(" ")).collect::<Vec<_>>(),
        ["GET /", "POST /x", "GET /stream?seconds=0.2"]
    );
    assert!(lines.windows(2).all(|pair| pair[0][0].parse::<u64>().unwrap() < pair[1][0].parse::<u64>().unwrap()));

    client.write("GET /stream?seconds=1 HTTP/1.1\r\nhost: t\r\n\r\n");
    client.head().unwrap();
    app.process.signal(Signal::TERM);
    let mut last = Vec::new();
    while let Some(chunk) = client.chunk().unwrap() {
        last = chunk;
    }
    assert_eq!(last, b"end\n", "what is in flight is finished");
    assert!(app.process.ended().success());
}

#[test]
fn the_sample_app_misbehaves_on_demand() {
    let sick = Sample::start("a", "1", &["--healthz-fail"]);
    assert_eq!(get(sick.address, "/healthz").status, 503);
    let mut crashing = Sample::start("b", "1", &["--crash-after", "0.05"]);
    assert!(!crashing.process.ended().success());
}

#[test]
fn the_load_generator_counts_what_came_back() {
    let app = Sample::start("a", "7", &["--latency-ms", "1", "--error-rate", "0.5"]);
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let args = ["--rate", "400", "--duration", "1", "--streams", "2", "--stream-seconds", "0.3"];
    let got = summary(load(app.address, &[&args[..], &["--report", report.to_str().unwrap()]].concat()));
    assert_eq!((got.failed, got.unfinished), (Failed::default(), 0), "{got:#?}");
    assert_eq!(got.sent, got.ok + got.injected);
    assert_eq!(got.sent - got.streams, 400, "{got:#?}");
    assert!(got.injected > 100 && got.ok > 100 && got.streams >= 4, "{got:#?}");
    assert_eq!(got.versions["7"], got.sent);
    assert_eq!(app.count(), got.sent, "nothing is sent twice");
    assert!(got.latency_us.p99 >= got.latency_us.p50 && got.latency_us.p50.is_some_and(|p50| p50 > 500));
    assert_eq!(serde_json::from_str::<Summary>(&read(&report)).unwrap(), got);
}

#[test]
fn a_server_that_dies_is_a_failure_and_a_signal_ends_the_load() {
    let mut app = Sample::quick("a", "1");
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let args = ["--rate", "200", "--streams", "1", "--stream-seconds", "60", "--report", report.to_str().unwrap()];
    let load = load(app.address, &args);
    let so_far = || serde_json::from_str::<Summary>(&read(&report)).ok();
    wait_for("answers", || so_far().filter(|summary| summary.ok > 50));
    app.process.kill();
    let broken = wait_for("failures", || so_far().filter(|summary| summary.failed.reset > 20));
    assert_eq!(broken.failed.short_body, 1, "the stream: {broken:#?}");
    assert!(!broken.examples.is_empty());
    load.signal(Signal::TERM);
    let last = summary(load);
    assert!(last.failed.reset >= broken.failed.reset);
}

/// Serves connections with this answer until the end of the test, each as often as asked for.
fn scripted(answer: &'static str) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = socket.accept() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() || answer.contains("close") {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn the_load_generator_tells_kinds_of_failure_apart() {
    let args = ["--rate", "100", "--duration", "0.2", "--fresh", "0", "--timeout", "0.5"];
    let run = |answer| summary(load(scripted(answer), &args));
    let closing = run("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((closing.ok, closing.failed.total()), (20, 0), "announced: {closing:#?}");
    let bad = run("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((bad.failed.status, bad.failed.total()), (20, 20), "{bad:#?}");
    let short = run("HTTP/1.1 200 OK\r\nx: close\r\ncontent-length: 9\r\n\r\nshort");
    assert_eq!((short.failed.short_body, short.failed.total()), (20, 20), "{short:#?}");
    let silent = run("");
    assert_eq!((silent.failed.timeout, silent.failed.total()), (20, 20), "{silent:#?}");
    let refused = summary(load(free_address(), &args));
    assert_eq!((refused.failed.reset, refused.failed.total()), (20, 20), "{refused:#?}");
}
