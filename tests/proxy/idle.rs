//! Connections on which nothing happens for a while keep only their socket, and go on as if nothing had been.

use super::rig::*;
use super::tls::{ask, connect, issue, secured, trusting};
use flightdeck::engine::proxy::wire::Request;
use std::time::{Duration, Instant};

/// The time after which a connection is idle, and some more: what is tested is that it passes.
fn idle() {
    let began = Instant::now();
    wait_for("the time after which a connection is idle", || {
        (began.elapsed() > Duration::from_millis(400)).then_some(())
    });
}

#[test]
fn an_idle_connection_goes_on_and_what_is_under_way_is_not_idle() {
    let sample = Sample::quick("a", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let mut silent = Client::connect(listen);
    let mut half = Client::connect(listen);
    let mut long = Client::connect(listen);
    let mut user = Client::connect(listen);
    half.write("GET / HTTP/1.1\r\nhost: t\r\nx-one:");
    long.write("GET /stream?seconds=3 HTTP/1.1\r\nhost: t\r\n\r\n");
    for _ in 0..2 {
        assert_eq!(user.get("/").status, 200);
        idle();
    }
    // Two requests at once, of which the second one comes in parts.
    user.write("GET / HTTP/1.1\r\nhost: t\r\n\r\nGET / HTTP/1.1\r\nho");
    assert_eq!(user.answer().status, 200);
    idle();
    user.write("st: t\r\n\r\n");
    assert_eq!(user.answer().status, 200);
    half.write(" two\r\n\r\n");
    assert_eq!(half.answer().status, 200);
    assert_eq!(silent.get("/").status, 200);
    assert!(long.answer().body.ends_with("end\n"), "a long answer is not cut");
    assert_eq!(proxy.pool("stable").requests, 7);
}

#[test]
fn an_idle_connection_over_tls_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let files = issue(dir.path(), "shop", &["shop.example"]);
    let sample = Sample::quick("a", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&secured(1, listen, sample.endpoint(), &[&files]));
    let mut user = connect(listen, "shop.example", &trusting(&[&files], &["http/1.1"])).unwrap();
    for _ in 0..2 {
        let answer = ask(&mut user, "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        idle();
    }
}

#[test]
fn an_idle_connection_ends_with_its_time_with_its_address_and_with_its_user() {
    let sample = Sample::quick("a", "1");
    let mut proxy = Proxy::start_with(&["--header-timeout-ms", "4000", "--max-connections", "1"]);
    let listen = free_address();
    let own = route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]);
    proxy.route(&own);
    // There is room for one: each is served only once the one before is gone.
    let mut gone = Client::connect(listen);
    assert_eq!(gone.get("/").status, 200);
    idle();
    drop(gone);
    let mut late = Client::connect(listen);
    assert_eq!(late.get("/").status, 200);
    assert!(late.line().is_err(), "nothing was asked for too long");
    let mut last = Client::connect(listen);
    assert_eq!(last.get("/").status, 200);
    idle();
    let began = Instant::now();
    proxy.control.call(Request::RemoveRoute { listener: own.listener });
    assert!(last.line().is_err(), "it closes with its address");
    assert!(began.elapsed() < Duration::from_millis(3500), "and not only when its time is over: {:?}", began.elapsed());
}

#[test]
fn a_thousand_idle_connections_need_little_memory() {
    let sample = Sample::quick("a", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let pid = proxy.process.0.id();
    let anonymous = || -> u64 {
        let status = read(std::path::Path::new(&format!("/proc/{pid}/status")));
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the kernel tells");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // A few at a time: what one needs while it is served is there for the next one.
    let mut users = Vec::new();
    let mut before = 0;
    for round in 0..21 {
        for _ in 0..50 {
            let mut user = Client::connect(listen);
            assert_eq!(user.get("/").status, 200);
            users.push(user);
        }
        idle();
        if round == 0 {
            before = anonymous();
        }
    }
    let more = anonymous().saturating_sub(before);
    assert!(more < 6_000, "{more} KiB for a thousand");
}
