//! Connections whose bytes pass as they are.

use super::rig::*;
use flightdeck::engine::proxy::wire::{Endpoint, Request, Response, Route};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// An instance that a test plays.
struct Played {
    id: &'static str,
    socket: TcpListener,
}

impl Played {
    fn new(id: &'static str) -> Self {
        Self { id, socket: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { instance: self.id.to_owned(), address: self.socket.local_addr().unwrap() }
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.socket.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Says its name to whoever connects, and closes.
    fn greets(self) -> Endpoint {
        let endpoint = self.endpoint();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = self.socket.accept() {
                let _gone = stream.write_all(self.id.as_bytes());
            }
        });
        endpoint
    }
}

fn tcp(version: u64, listen: SocketAddr, pools: Vec<(&str, u32, Vec<Endpoint>)>) -> Route {
    let pools = pools.into_iter().map(|(id, percent, endpoints)| pool(id, percent, endpoints)).collect();
    asking(route(version, listen, pools), |options| options.tcp = true)
}

fn connect(listen: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(listen).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut got = vec![0; bytes.len()];
    to.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

/// All that comes until the other side closes; a reset is an end, too.
fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("still open: {error}"),
        _ => String::from_utf8(rest).unwrap(),
    }
}

#[test]
fn bytes_pass_both_ways_and_are_counted_while_the_connection_is_open() {
    let (mut proxy, listen, instance) = (Proxy::start(), free_address(), Played::new("i"));
    proxy.route(&tcp(1, listen, vec![("stable", 100, vec![instance.endpoint()])]));
    let mut user = connect(listen);
    let mut served = instance.accept();
    // What is no HTTP, and the instance speaks first.
    pass(&mut served, &mut user, b"\x00 220 ready\n");
    pass(&mut user, &mut served, &vec![255; 100_000]);
    let open = wait_for("the bytes to be counted", || {
        let counted = proxy.pool("stable");
        (counted.received == 100_000).then_some(counted)
    });
    assert_eq!((open.requests, open.failures, open.in_flight, open.sent), (1, 0, 1, 12));
    assert_eq!(open.latency.count(), 0, "a connection has no latency");
    // One side may stop sending, and still listen.
    user.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut served), "");
    pass(&mut served, &mut user, b"bye");
    drop(served);
    assert_eq!(rest(&mut user), "");
    wait_for("the connection to be over", || (proxy.pool("stable").in_flight == 0).then_some(()));
    assert_eq!(proxy.pool("stable").requests, 1);
}

#[test]
fn connections_are_shared_out_by_weight_and_one_that_is_refused_is_tried_elsewhere() {
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let gone = Played::new("gone").endpoint();
    let stable = vec![gone.clone(), Played::new("stable").greets()];
    let candidate = vec![Played::new("candidate").greets()];
    proxy.route(&tcp(1, listen, vec![("stable", 70, stable), ("candidate", 30, candidate)]));
    let names: Vec<String> = (0..400).map(|_| rest(&mut connect(listen))).collect();
    let of_candidate = names.iter().filter(|name| *name == "candidate").count();
    assert_eq!(names.iter().filter(|name| *name == "stable").count() + of_candidate, 400, "each was taken by somebody");
    assert!((80..=160).contains(&of_candidate), "30 % of 400 are 120, not {of_candidate}");
    assert_eq!((proxy.pool("stable").failures, proxy.pool("candidate").failures), (0, 0));

    // Nobody else: the user is told by the end of the connection, and it counts.
    proxy.route(&tcp(2, listen, vec![("stable", 100, vec![gone])]));
    let before = proxy.pool("stable").requests;
    assert_eq!(rest(&mut connect(listen)), "");
    let counted =
        wait_for("the failure to be counted", || Some(proxy.pool("stable")).filter(|counted| counted.failures == 1));
    assert_eq!(counted.requests, before + 1);
}

#[test]
fn a_connection_of_an_instance_that_leaves_goes_on_until_the_bound_and_is_then_cut() {
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let (old, new) = (Played::new("old"), Played::new("new"));
    proxy.route(&tcp(1, listen, vec![("stable", 100, vec![old.endpoint()])]));
    let (mut user, mut quick) = (connect(listen), connect(listen));
    let (mut served, mut quickly) = (old.accept(), old.accept());
    proxy.route(&tcp(2, listen, vec![("stable", 0, vec![]), ("candidate", 100, vec![new.endpoint()])]));
    let drain = |timeout: Duration| Request::Drain {
        instances: vec!["old".to_owned()],
        timeout_ms: timeout.as_millis().try_into().unwrap(),
    };
    proxy.control.send(drain(Duration::from_millis(600)));
    // Whoever comes now is at the new one, and who was there stays.
    let mut late = connect(listen);
    let mut served_late = new.accept();
    pass(&mut late, &mut served_late, b"hello");
    pass(&mut user, &mut served, b"still here");
    pass(&mut quick, &mut quickly, b"and done");
    drop((quick, quickly));
    assert_eq!(proxy.control.receive().body, Response::Drained { remaining: 1 });
    assert_eq!((rest(&mut user), rest(&mut served)), (String::new(), String::new()), "both sides are cut");
    pass(&mut late, &mut served_late, b"not this one");
    proxy.control.send(drain(Duration::from_secs(20)));
    assert_eq!(proxy.control.receive().body, Response::Drained { remaining: 0 }, "at once: nothing is left");
}

#[test]
fn an_address_for_bytes_is_shared_with_nobody_and_outlives_the_process() {
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&tcp(1, listen, vec![("stable", 100, vec![Played::new("one").greets()])]));
    let other = |tcp: bool| {
        let other = Route { listener: "other@production".to_owned(), ..route(1, listen, vec![pool("p", 100, vec![])]) };
        asking(other, |options| options.tcp = tcp)
    };
    for tcp in [true, false] {
        let why = proxy.refused(Request::SetRoute(other(tcp)));
        assert!(why.contains("is listened on for shop@production, which shares it with nobody"), "{why}");
    }
    let saved = read(&proxy.dir.path().join("state.json"));
    assert!(saved.contains("\"format\":3"), "an older program does not begin with it: {saved}");
    proxy.process.kill();
    proxy.restart();
    assert_eq!(rest(&mut connect(listen)), "one", "the route on disk says how it is served");
}
