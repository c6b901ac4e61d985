//! The access log.

use super::rig::*;
use flightdeck::engine::proxy::wire::Route;
use flightdeck::model::{AccessLog, Ppm};
use serde_json::Value;
use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

const ALL: AccessLog = AccessLog::On { sample: Ppm::ALL, max_bytes: 100 << 20 };

fn logging(dir: &Path) -> Proxy {
    Proxy::start_with(&["--access-logs", dir.to_str().unwrap()])
}

/// So many lines of the service's log, once they are there.
fn lines(dir: &Path, count: usize) -> Vec<Value> {
    let path = dir.join("shop@production/out.log");
    wait_for("the lines of the access log", || {
        let text = read(&path);
        let all: Vec<_> =
            text.lines().map(|line| serde_json::from_str(line).expect("a line is one JSON object")).collect();
        (text.ends_with('\n') && all.len() >= count).then_some(all)
    })
}

#[test]
fn each_request_is_a_line_with_who_answered_and_how_it_ended() {
    let logs = tempfile::tempdir().unwrap();
    let (stable, sick) =
        (Sample::quick("a", "1.0"), Sample::start("b", "2.0", &["--latency-ms", "0", "--error-rate", "1"]));
    let (mut proxy, listen) = (logging(logs.path()), free_address());
    let to = |version, pools| {
        asking(Route { listener: "shop@production!preview".into(), ..route(version, listen, pools) }, |options| {
            (options.access_log, options.called) = (ALL, Some("shop@production".into()));
        })
    };
    proxy.route(&to(1, vec![pool("stable", 100, vec![stable.endpoint()])]));
    let mut user = Client::connect(listen);
    user.write("GET /cart?card=4711 HTTP/1.1\r\nhost: shop.example\r\nuser-agent: te\"st\r\nreferer: http://a/b?secret\r\nx-request-id: one\r\n\r\n");
    let body = user.answer().body.len();
    proxy
        .route(&to(2, vec![pool("stable", 0, vec![stable.endpoint()]), pool("candidate", 100, vec![sick.endpoint()])]));
    assert_eq!(user.get("/").status, 500);
    proxy.route(&to(3, vec![pool("stable", 100, Vec::new())]));
    assert_eq!(user.get("/").status, 503);

    let all = lines(logs.path(), 3);
    let first = &all[0];
    for (field, expected) in [
        ("service", Value::from("shop")),
        ("environment", "production".into()),
        ("client", "127.0.0.1".into()),
        ("protocol", "HTTP/1.1".into()),
        ("tls", false.into()),
        ("method", "GET".into()),
        ("host", "shop.example".into()),
        ("path", "/cart".into()),
        ("status", 200.into()),
        ("bytes", body.into()),
        ("ended", "answered".into()),
        ("role", "stable".into()),
        ("version", "stable".into()),
        ("instance", "a".into()),
        ("request_id", "one".into()),
        ("user_agent", "te\"st".into()),
        ("referer", "http://a/b".into()),
        ("proxy", Value::Null),
        ("sample", Value::Null),
    ] {
        assert_eq!(first.get(field).unwrap_or(&Value::Null), &expected, "{field} of {first}");
    }
    assert!(first["duration_ms"].as_f64().unwrap() > 0.0 && first["time"].as_str().unwrap().ends_with('Z'), "{first}");
    assert!(!read(&logs.path().join("shop@production/out.log")).contains("4711"), "a query may hold what is secret");
    assert_eq!(
        (&all[1]["status"], &all[1]["role"], &all[1]["instance"]),
        (&500.into(), &"candidate".into(), &"b".into())
    );
    assert_eq!(
        (&all[2]["status"], &all[2]["ended"], &all[2]["proxy"]),
        (&503.into(), &"failed".into(), &"no-instance".into())
    );
    assert_eq!(all[2].get("instance"), None);
}

#[test]
fn what_goes_well_is_sampled_and_what_fails_is_not() {
    let logs = tempfile::tempdir().unwrap();
    let (well, sick) = (Sample::quick("a", "1"), Sample::start("b", "2", &["--latency-ms", "0", "--error-rate", "1"]));
    let (mut proxy, listen) = (logging(logs.path()), free_address());
    let none = AccessLog::On { sample: Ppm::ZERO, max_bytes: 100 << 20 };
    let half = AccessLog::On { sample: Ppm::percent(50), max_bytes: 100 << 20 };
    let to = |version, sample: &Sample, log| {
        asking(route(version, listen, vec![pool("stable", 100, vec![sample.endpoint()])]), |o| o.access_log = log)
    };
    let ask = |proxy: &mut Proxy, route, count: usize| {
        proxy.route(&route);
        let mut user = Client::connect(listen);
        (0..count).for_each(|_| drop(user.get("/")));
    };
    ask(&mut proxy, to(1, &well, AccessLog::Off), 9);
    ask(&mut proxy, to(2, &well, none), 9);
    ask(&mut proxy, to(3, &well, half), 64);
    ask(&mut proxy, to(4, &sick, none), 9);
    // The process writes what waits before it ends.
    proxy.process.signal(rustix::process::Signal::TERM);
    assert!(proxy.process.ended().success());
    let all = lines(logs.path(), 9);
    let of = |status: u64| all.iter().filter(|line| line["status"] == status).collect::<Vec<_>>();
    assert_eq!((of(500).len(), of(500)[0].get("sample")), (9, None));
    // 64 halves: all but one in a billion of such runs are within these.
    assert!((8..=56).contains(&of(200).len()), "{} of 64", of(200).len());
    assert_eq!(of(200)[0]["sample"], 0.5);
}

#[test]
fn a_user_who_leaves_and_an_answer_that_breaks_off_are_told_apart() {
    let logs = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint =
        flightdeck::engine::proxy::wire::Endpoint { instance: "i".into(), address: socket.local_addr().unwrap() };
    let (mut proxy, listen) = (logging(logs.path()), free_address());
    proxy.route(&asking(route(1, listen, vec![pool("stable", 100, vec![endpoint])]), |o| o.access_log = ALL));

    let mut user = Client::connect(listen);
    user.write("GET /left HTTP/1.1\r\nhost: t\r\n\r\n");
    let (waiting, _) = socket.accept().unwrap();
    drop(user);
    let left = lines(logs.path(), 1).remove(0);
    assert_eq!((&left["path"], &left["ended"], left.get("status")), (&"/left".into(), &"user_left".into(), None));
    drop(waiting);

    let mut user = Client::connect(listen);
    user.write("GET /half HTTP/1.1\r\nhost: t\r\n\r\n");
    let (stream, _) = socket.accept().unwrap();
    let mut instance = Client(BufReader::new(stream));
    while instance.line().is_ok_and(|line| !line.is_empty()) {}
    instance.0.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
    drop(instance);
    let half = lines(logs.path(), 2).remove(1);
    assert_eq!((&half["path"], &half["status"], &half["ended"]), (&"/half".into(), &200.into(), &"failed".into()));
}

#[test]
fn two_processes_write_one_log_and_a_full_file_makes_room() {
    let logs = tempfile::tempdir().unwrap();
    let sample = Sample::quick("a", "1");
    let (mut one, mut two) = (logging(logs.path()), logging(logs.path()));
    let (first, second) = (free_address(), free_address());
    // Five files of 2 kB.
    let small = AccessLog::On { sample: Ppm::ALL, max_bytes: 10_000 };
    let to =
        |listen| asking(route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]), |o| o.access_log = small);
    one.route(&to(first));
    two.route(&to(second));
    for _ in 0..40 {
        for listen in [first, second] {
            assert_eq!(Client::connect(listen).get("/").status, 200);
        }
    }
    for proxy in [&mut one, &mut two] {
        proxy.process.signal(rustix::process::Signal::TERM);
        assert!(proxy.process.ended().success());
    }
    let files: Vec<_> =
        std::fs::read_dir(logs.path().join("shop@production")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    for file in files {
        let text = read(&file);
        // Each process counts what it writes itself.
        assert!(text.len() < 5_000, "{file:?} has {} bytes", text.len());
        text.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).expect("no line is torn")));
    }
}
