use super::rig::*;
use flightdeck::engine::proxy::wire::{PROXY_WIRE, Request, Response, Route};
use flightdeck::model::Ppm;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

fn another(proxy: &Proxy) -> Control {
    Control::new(UnixStream::connect(proxy.socket()).unwrap())
}

#[test]
fn a_port_in_use_is_refused_with_a_sentence_and_what_was_in_force_stays() {
    let (one, two) = (Sample::quick("a", "1"), Sample::quick("b", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let free = free_address();
    let to = |version, listen, sample: &Sample| route(version, listen, vec![pool("p", 100, vec![sample.endpoint()])]);
    // The held port is that of the first sample: a real listener.
    let in_use = one.address;
    let why = proxy.refused(Request::SetRoute(to(1, in_use, &two)));
    assert_eq!(why, format!("{in_use} is in use by another program"));
    proxy.route(&to(1, listen, &two));
    proxy.refused(Request::SetRoute(to(2, in_use, &two)));
    assert_eq!(get(listen, "/").version(), "2");
    // A free one is moved to, and the old address is closed.
    proxy.route(&to(2, free, &two));
    assert_eq!(get(free, "/").version(), "2");
    assert!(TcpStream::connect(listen).is_err(), "the old address is closed");
}

#[test]
fn stale_routes_are_refused_and_the_same_route_is_acknowledged_again() {
    let (one, two) = (Sample::quick("a", "1"), Sample::quick("b", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let five = canary(5, listen, 0, &one, &two);
    proxy.route(&five);
    proxy.route(&five);
    for stale in [canary(4, listen, 0, &one, &two), canary(5, listen, 100, &one, &two)] {
        let why = proxy.refused(Request::SetRoute(stale));
        assert!(why.contains("stale: 5 is in force"), "{why}");
    }
    assert_eq!(get(listen, "/").version(), "1");
    proxy.route(&canary(6, listen, 100, &one, &two));
    assert_eq!(get(listen, "/").version(), "2");
}

/// Spoils a good route.
type Break = fn(&mut Route);

#[test]
fn a_route_that_makes_no_sense_is_refused() {
    let (one, two) = (Sample::quick("a", "1"), Sample::quick("b", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let good = canary(1, listen, 25, &one, &two);
    let broken: [(&str, Break); 5] = [
        ("sum to 750001", |route| route.pools[1].weight = Ppm(1)),
        ("has no pool", |route| route.pools.clear()),
        ("names pool stable twice", |route| route.pools[1].pool = "stable".to_owned()),
        ("names instance a twice", |route| route.pools[1].endpoints[0].instance = "a".to_owned()),
        ("is not one of its pools", |route| route.fallback = Some("x".to_owned())),
    ];
    for (sentence, break_it) in broken {
        let mut route = good.clone();
        break_it(&mut route);
        let why = proxy.refused(Request::SetRoute(route));
        assert!(why.contains(sentence), "{why}");
    }
    proxy.route(&good);
}

#[test]
fn garbage_is_answered_and_disturbs_nobody() {
    let mut proxy = Proxy::start();
    let mut garbage = another(&proxy);
    garbage.send_line("{\"id\":42,\"body\":{\"type\":\"explode\"}}");
    let answer = garbage.receive();
    assert_eq!(answer.id, 42);
    assert!(matches!(&answer.body, Response::Refused { why, .. } if why.contains("unknown variant")), "{answer:?}");
    garbage.send_line("\u{1b}[2J not json");
    let answer = garbage.receive();
    assert!(matches!(&answer.body, Response::Refused { why, .. } if why.contains("not a request")), "{answer:?}");
    garbage.send_line(&"x".repeat(5 << 20));
    assert!(matches!(garbage.receive().body, Response::Refused { .. }));
    garbage.hello();
    proxy.control.hello();
    proxy.control.renew(1);
    assert_eq!(proxy.stats().pools, []);
}

#[test]
fn the_last_to_say_hello_rules() {
    let mut proxy = Proxy::start();
    let mut second = another(&proxy);
    assert!(matches!(second.call(Request::Renew { ttl_ms: 1 }), Response::Refused { .. }), "no Hello yet");
    let newer = second.call(Request::Hello { wire: PROXY_WIRE + 1 });
    assert!(matches!(&newer, Response::Refused { why, .. } if why.contains("wire 1, the asker 2")), "{newer:?}");
    proxy.control.renew(1);
    second.hello();
    second.renew(1);
    proxy.refused(Request::Renew { ttl_ms: 1 });
    assert_eq!(proxy.stats().pools, [], "reading stays allowed");
    drop(second);
    proxy.refused(Request::Renew { ttl_ms: 1 });
    proxy.control.hello();
    proxy.control.renew(1);
}

#[test]
fn the_socket_is_private_and_has_one_proxy() {
    let proxy = Proxy::start();
    let mode = std::fs::metadata(proxy.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = Command::new(env!("CARGO_BIN_EXE_flightdeck"))
        .arg("proxy")
        .args(["--socket".as_ref(), proxy.socket().as_os_str()])
        .args(["--state".as_ref(), proxy.dir.path().join("other.json").as_os_str()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another proxy is already serving"), "{said}");
}

/// A stream of a second under way on one connection, an idle kept-alive one, and what stops the proxy.
fn stop_under_way(args: &[&str], stop: impl FnOnce(&mut Proxy)) {
    let sample = Sample::quick("a", "1");
    let (mut proxy, listen) = (Proxy::start_with(args), free_address());
    proxy.route(&route(1, listen, vec![pool("p", 100, vec![sample.endpoint()])]));
    let (mut idle, mut busy) = (Client::connect(listen), Client::connect(listen));
    assert_eq!(idle.get("/").status, 200);
    busy.write("GET /stream?seconds=1 HTTP/1.1\r\nhost: t\r\n\r\n");
    busy.head().unwrap();
    stop(&mut proxy);
    wait_for("the port to close", || TcpStream::connect(listen).is_err().then_some(()));
    let answer = idle.get("/");
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    assert!(idle.closed());
    let mut last = Vec::new();
    while let Some(chunk) = busy.chunk().unwrap() {
        last = chunk;
    }
    assert_eq!(last, b"end\n");
    drop(busy);
    assert!(proxy.process.ended().success());
    assert!(!proxy.socket().exists());
}

#[test]
fn shutdown_finishes_what_is_in_flight() {
    stop_under_way(&["--announce-ms", "20000"], |proxy| {
        proxy.control.send(Request::Shutdown { timeout_ms: 20_000 });
    });
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    stop_under_way(&["--announce-ms", "20000", "--grace-ms", "20000"], |proxy| {
        proxy.process.signal(rustix::process::Signal::TERM);
    });
}

#[test]
fn shutdown_ends_at_its_bound_and_answers_before_the_end() {
    let sample = Sample::quick("a", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("p", 100, vec![sample.endpoint()])]));
    let mut busy = Client::connect(listen);
    busy.write("GET /stream?seconds=3600 HTTP/1.1\r\nhost: t\r\n\r\n");
    busy.head().unwrap();
    assert_eq!(proxy.control.call(Request::Shutdown { timeout_ms: 50 }), Response::Done);
    assert!(proxy.process.ended().success());
}

#[test]
fn a_removed_route_closes_its_listener() {
    let sample = Sample::quick("a", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(9, listen, vec![pool("p", 100, vec![sample.endpoint()])]));
    let mut user = Client::connect(listen);
    assert_eq!(user.get("/").header("connection"), "");
    assert_eq!(proxy.control.call(Request::RemoveRoute { listener: "shop@production".to_owned() }), Response::Done);
    assert!(TcpStream::connect(listen).is_err(), "its address is free at once");
    let last = user.get("/");
    assert_eq!((last.status, last.header("connection")), (200, "close"), "nobody is cut off");
    proxy.route(&route(1, listen, vec![pool("p", 100, vec![sample.endpoint()])]));
    assert_eq!(get(listen, "/").status, 200);
}
