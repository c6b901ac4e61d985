use super::rig::*;
use flightdeck::engine::proxy::wire::{Endpoint, Request, Response};
use std::net::TcpListener;

#[test]
fn errors_latency_and_flights_are_counted_where_they_happen() {
    let (good, bad) = (Sample::quick("s1", "1"), Sample::start("c1", "2", &["--error-rate", "1", "--latency-ms", "0"]));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&canary(1, listen, 100, &good, &bad));
    let answers = Client::connect(listen).pipeline(10);
    assert!(answers.iter().all(|answer| answer.status == 500 && answer.header("x-sample-injected") == "1"));
    let candidate = proxy.pool("candidate");
    assert_eq!((candidate.requests, candidate.errors, candidate.failures), (10, 10, 0));
    assert_eq!(candidate.latency.count(), 10);
    let stable = proxy.pool("stable");
    assert_eq!((stable.requests, stable.by_instance), (0, vec![("s1".to_owned(), 0)]));
}

#[test]
fn a_stream_is_in_flight_until_its_last_byte_and_a_user_who_leaves_is_no_failure() {
    let sample = Sample::quick("s1", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let begin = |seconds: &str| {
        let mut client = Client::connect(listen);
        client.write(&format!("GET /stream?seconds={seconds} HTTP/1.1\r\nhost: t\r\n\r\n"));
        client.head().unwrap();
        assert!(client.chunk().unwrap().is_some(), "the first part comes long before the last");
        client
    };
    let mut whole = begin("0.5");
    let leaving = begin("3600");
    let stats = proxy.pool("stable");
    assert_eq!((stats.requests, stats.in_flight), (0, 2));
    assert_eq!(stats.by_instance, [("s1".to_owned(), 2)]);
    while whole.chunk().unwrap().is_some() {}
    let stats = proxy.pool("stable");
    assert_eq!((stats.requests, stats.in_flight, stats.latency.count()), (1, 1, 1));
    drop(leaving);
    let stats =
        wait_for("the proxy to see that the user left", || Some(proxy.pool("stable")).filter(|s| s.in_flight == 0));
    assert_eq!((stats.requests, stats.failures, stats.errors, stats.latency.count()), (2, 0, 0, 2));
    assert_eq!(stats.by_instance, [("s1".to_owned(), 0)]);
}

#[test]
fn a_user_who_leaves_before_the_answer_counts_as_a_request_with_its_latency() {
    let sample = Sample::start("s1", "1", &["--latency-ms", "30000"]);
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    wait_for("the request to be in flight", || (proxy.pool("stable").in_flight == 1).then_some(()));
    drop(client);
    let stats =
        wait_for("the proxy to see that the user left", || Some(proxy.pool("stable")).filter(|s| s.in_flight == 0));
    assert_eq!((stats.requests, stats.failures, stats.latency.count()), (1, 0, 1));

    let mut client = Client::connect(listen);
    client.write("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhalf");
    wait_for("the request to be in flight", || (proxy.pool("stable").in_flight == 1).then_some(()));
    drop(client);
    let stats =
        wait_for("the proxy to see that the user left", || Some(proxy.pool("stable")).filter(|s| s.in_flight == 0));
    assert_eq!((stats.requests, stats.failures), (2, 0), "a body that broke off is the user's doing");
}

#[test]
fn a_drain_ends_with_the_last_request_or_at_its_bound() {
    let (one, two) = (Sample::quick("a", "1"), Sample::quick("b", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![one.endpoint()])]));
    let why = proxy.refused(Request::Drain { instances: vec!["a".to_owned()], timeout_ms: 1 });
    assert!(why.contains("still stands in the route"), "{why}");
    let mut client = Client::connect(listen);
    client.write("GET /stream?seconds=1 HTTP/1.1\r\nhost: t\r\n\r\n");
    client.head().unwrap();
    proxy.route(&route(2, listen, vec![pool("stable", 100, vec![two.endpoint()])]));

    let instances = vec!["a".to_owned(), "unknown".to_owned()];
    let at_the_bound = proxy.control.call(Request::Drain { instances: instances.clone(), timeout_ms: 10 });
    assert_eq!(at_the_bound, Response::Drained { remaining: 1 });
    let drain = proxy.control.send(Request::Drain { instances, timeout_ms: 20_000 });
    // Other requests are answered meanwhile.
    let stats = proxy.control.send(Request::Stats);
    assert_eq!(proxy.control.receive().id, stats);
    while client.chunk().unwrap().is_some() {}
    let answer = proxy.control.receive();
    assert_eq!((answer.id, answer.body), (drain, Response::Drained { remaining: 0 }));
    assert_eq!(client.get("/").version(), "2", "the user's connection lives on");
}

#[test]
fn a_drain_closes_idle_connections_to_its_instances_at_once() {
    let instance = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint { instance: "a".to_owned(), address: instance.local_addr().unwrap() };
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![endpoint])]));
    let accept = || {
        let (stream, _) = instance.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Client(std::io::BufReader::new(stream));
        while client.line().is_ok_and(|line| !line.is_empty()) {}
        client
    };
    let mut users = [Client::connect(listen), Client::connect(listen)];
    users[0].write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    let mut busy = accept();
    users[1].write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    let mut idle = accept();
    idle.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(users[1].answer().status, 200);
    proxy.route(&route(2, listen, vec![pool("stable", 100, vec![])]));
    let bound = Request::Drain { instances: vec!["a".to_owned()], timeout_ms: 1 };
    assert_eq!(proxy.control.call(bound), Response::Drained { remaining: 1 });
    assert!(idle.closed(), "without another request");
    let drain = Request::Drain { instances: vec!["a".to_owned()], timeout_ms: 20_000 };
    proxy.control.send(drain);
    busy.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(users[0].answer().status, 200);
    assert_eq!(proxy.control.receive().body, Response::Drained { remaining: 0 });
    assert!(busy.closed(), "once it is idle");
}

#[test]
fn counters_outlive_the_route_of_their_pool() {
    let (one, two) = (Sample::quick("a", "1"), Sample::quick("b", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("old", 100, vec![one.endpoint()])]));
    assert_eq!(get(listen, "/").status, 200);
    proxy.route(&route(2, listen, vec![pool("new", 100, vec![two.endpoint()])]));
    assert_eq!(proxy.pool("old").requests, 1);
    assert_eq!(proxy.control.call(Request::RemoveRoute { listener: "shop@production".to_owned() }), Response::Done);
    assert_eq!(proxy.pool("old").requests, 1);
    proxy.route(&route(1, free_address(), vec![pool("old", 100, vec![one.endpoint()])]));
    assert_eq!(proxy.pool("old").requests, 1, "a pool that comes back counts on");
}
