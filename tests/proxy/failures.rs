use super::rig::*;
use flightdeck::engine::proxy::wire::Endpoint;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

fn dead(id: &str) -> Endpoint {
    Endpoint { instance: id.to_owned(), address: free_address() }
}

#[test]
fn killing_one_of_two_instances_costs_at_most_what_was_in_flight_on_it() {
    const THREADS: usize = 6;
    let (mut one, two) =
        (Sample::start("a", "1", &["--latency-ms", "3"]), Sample::start("b", "1", &["--latency-ms", "3"]));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![one.endpoint(), two.endpoint()])]));
    let (done, bad, after, served) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut client = Client::connect(listen);
                while !done.load(SeqCst) {
                    let began_after = killed.load(SeqCst);
                    let answer = client.get("/");
                    served.fetch_add(1, SeqCst);
                    if answer.status != 200 {
                        bad.fetch_add(1, SeqCst);
                        after.fetch_add(usize::from(began_after), SeqCst);
                    }
                }
            });
        }
        wait_for("some requests", || (served.load(SeqCst) > 100).then_some(()));
        one.process.kill();
        killed.store(true, SeqCst);
        let until = served.load(SeqCst) + 200;
        wait_for("requests after the kill", || (served.load(SeqCst) > until).then_some(()));
        done.store(true, SeqCst);
    });
    assert_eq!(after.load(SeqCst), 0, "a request that began after the instance died failed");
    assert!(bad.load(SeqCst) <= THREADS, "{bad:?} failed, {THREADS} were in flight");
    // What the dead one had taken counts there also where the other answered in its place.
    let lost = usize::try_from(proxy.pool("stable").failures).unwrap();
    assert!((bad.load(SeqCst)..=THREADS).contains(&lost), "{lost} were lost, {bad:?} failed");
}

#[test]
fn what_was_never_sent_goes_to_another_instance_whatever_its_method() {
    let sample = Sample::quick("b", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![dead("a"), sample.endpoint()])]));
    let mut client = Client::connect(listen);
    for _ in 0..20 {
        client.write("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhello");
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("\"length\":5"), "{answer:?}");
    }
    let stats = proxy.pool("stable");
    assert_eq!((stats.requests, stats.failures), (20, 0));
}

#[test]
fn an_instance_is_used_again_once_it_accepts() {
    let (sample, listen) = (Sample::quick("b", "1"), free_address());
    let (late, mut proxy) = (dead("a"), Proxy::start());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![late.clone(), sample.endpoint()])]));
    let mut client = Client::connect(listen);
    for _ in 0..10 {
        assert_eq!(client.get("/").version(), "1");
    }
    let _late = Sample::start_at("a", "2", late.address.port(), &["--latency-ms", "0"]);
    wait_for("the ejection to end", || (client.get("/").version() == "2").then_some(()));
}

#[test]
fn other_pools_with_weight_help_out_but_0_stays_0() {
    let sample = Sample::quick("s1", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let pools = |percent| {
        vec![
            pool("candidate", percent, vec![dead("c1"), dead("c2")]),
            pool("stable", 100 - percent, vec![sample.endpoint()]),
        ]
    };
    proxy.route(&route(1, listen, pools(90)));
    let answers = Client::connect(listen).pipeline(50);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(sample.count(), 50);
    let stable = proxy.pool("stable");
    assert_eq!((stable.requests, stable.failures, proxy.pool("candidate").requests), (50, 0, 0));

    proxy.route(&route(2, listen, pools(100)));
    let answer = get(listen, "/");
    assert_eq!((answer.status, answer.header("x-flightdeck-proxy")), (502, "connect"));
    assert_eq!(sample.count(), 50);
    let candidate = proxy.pool("candidate");
    assert_eq!((candidate.requests, candidate.failures, candidate.in_flight), (1, 1, 0));
}

/// An instance that reads a head and answers these bytes, then closes. Counts its connections.
fn rude(answer: &'static str) -> (SocketAddr, &'static AtomicUsize) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (socket.local_addr().unwrap(), &*Box::leak(Box::new(AtomicUsize::new(0))));
    std::thread::spawn(move || {
        while let Ok((stream, _)) = socket.accept() {
            seen.fetch_add(1, SeqCst);
            let mut client = Client(std::io::BufReader::new(stream));
            while client.line().is_ok_and(|line| !line.is_empty()) {}
            let _gone = client.0.get_mut().write_all(answer.as_bytes());
        }
    });
    (address, seen)
}

fn route_to(proxy: &mut Proxy, address: SocketAddr) -> SocketAddr {
    let listen = free_address();
    let endpoint = Endpoint { instance: "i".to_owned(), address };
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![endpoint])]));
    listen
}

#[test]
fn a_request_without_an_answer_goes_to_another_instance_only_if_it_may_be_asked_twice() {
    let sample = Sample::quick("b", "1");
    for (method, saved) in [("GET", true), ("DELETE", true), ("OPTIONS", true), ("POST", false), ("PATCH", false)] {
        let mut proxy = Proxy::start();
        let ((address, seen), listen) = (rude(""), free_address());
        let rude = Endpoint { instance: "a".to_owned(), address };
        proxy.route(&route(1, listen, vec![pool("stable", 100, vec![rude, sample.endpoint()])]));
        let mut user = Client::connect(listen);
        let statuses: Vec<u16> = (0..4)
            .map(|_| {
                user.write(&format!("{method} / HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n"));
                user.answer().status
            })
            .collect();
        let bad = statuses.iter().filter(|status| **status == 502).count();
        let seen = seen.load(SeqCst);
        assert!(seen >= 2, "{method}: {seen}");
        assert_eq!(bad, if saved { 0 } else { seen }, "{method}: {statuses:?}");
        let stats = proxy.pool("stable");
        assert_eq!(stats.failures, seen as u64, "{method}: what failed counts where it failed");
        assert_eq!(stats.requests, 4 + if saved { seen as u64 } else { 0 }, "{method}");
    }
}

#[test]
fn a_body_is_never_sent_twice() {
    let sample = Sample::quick("b", "1");
    let mut proxy = Proxy::start();
    let ((address, seen), listen) = (rude(""), free_address());
    let rude = Endpoint { instance: "a".to_owned(), address };
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![rude, sample.endpoint()])]));
    let mut user = Client::connect(listen);
    let put = |user: &mut Client| {
        user.write("PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nab");
        user.answer().status
    };
    let mut statuses = [put(&mut user), put(&mut user)];
    statuses.sort_unstable();
    assert_eq!((statuses, seen.load(SeqCst)), ([200, 502], 1));
}

#[test]
fn an_instance_that_breaks_request_after_request_is_left_out_but_never_the_last_one() {
    let sample = Sample::quick("b", "1");
    let mut proxy = Proxy::start();
    let ((address, seen), listen) = (rude(""), free_address());
    let rude = Endpoint { instance: "a".to_owned(), address };
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![rude.clone(), sample.endpoint()])]));
    let mut user = Client::connect(listen);
    let post = "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n";
    let mut ask = |times: usize| {
        let mut bad = 0;
        for _ in 0..times {
            user.write(post);
            bad += usize::from(user.answer().status == 502);
        }
        bad
    };
    assert_eq!(ask(10), 5, "every second one, until it is left out");
    let before = seen.load(SeqCst);
    wait_for("it to be tried again", || {
        ask(1);
        (seen.load(SeqCst) > before).then_some(())
    });
    proxy.route(&route(2, listen, vec![pool("stable", 100, vec![rude])]));
    assert_eq!(ask(20), 20, "alone it is asked each time");
}

#[test]
fn an_outage_is_not_multiplied_by_retries() {
    const REQUESTS: usize = 1_000;
    let mut proxy = Proxy::start();
    let rudes: Vec<_> = (0..4).map(|_| rude("")).collect();
    let listen = free_address();
    let endpoints = rudes
        .iter()
        .enumerate()
        .map(|(number, (address, _))| Endpoint { instance: format!("i{number}"), address: *address });
    proxy.route(&route(1, listen, vec![pool("stable", 100, endpoints.collect())]));
    let mut user = Client::connect(listen);
    for _ in 0..REQUESTS {
        assert_eq!(user.get("/").status, 502);
    }
    let seen: usize = rudes.iter().map(|(_, seen)| seen.load(SeqCst)).sum();
    // A fifth, and ten a second for each ten seconds begun; each request may be tried twice.
    assert!(seen > REQUESTS, "{seen}: none was tried again");
    assert!(seen <= REQUESTS + REQUESTS / 5 + 300, "{seen} tries of {REQUESTS} requests");
}

#[test]
fn a_request_to_a_single_instance_is_never_sent_again() {
    let mut proxy = Proxy::start();
    let (address, seen) = rude("");
    let listen = route_to(&mut proxy, address);
    let answer = get(listen, "/");
    assert_eq!((answer.status, answer.header("x-flightdeck-proxy")), (502, "reset"));
    assert_eq!(seen.load(SeqCst), 1);
    assert_eq!(proxy.pool("stable").failures, 1);
}

#[test]
fn an_answer_that_breaks_off_is_a_failure_and_reaches_the_user_as_one() {
    let mut proxy = Proxy::start();
    let (address, _) = rude("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort");
    let listen = route_to(&mut proxy, address);
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(client.try_answer().is_err());
    let stats = proxy.pool("stable");
    assert_eq!((stats.requests, stats.failures, stats.in_flight), (1, 1, 0));
}

#[test]
fn an_instance_that_stays_silent_is_given_up_but_a_long_stream_is_not() {
    let mut proxy = Proxy::start_with(&["--answer-timeout-ms", "300"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = route_to(&mut proxy, silent.local_addr().unwrap());
    let answer = get(listen, "/");
    assert_eq!((answer.status, answer.header("x-flightdeck-proxy")), (504, "timeout"));
    assert_eq!(proxy.pool("stable").failures, 1);

    let sample = Sample::quick("s", "1");
    proxy.route(&route(2, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    assert!(get(listen, "/stream?seconds=1").body.ends_with("end\n"));
}
