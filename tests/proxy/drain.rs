//! What becomes of long answers and tunnels when their instance leaves.

use super::rig::*;
use flightdeck::engine::proxy::wire::{Endpoint, Request, Response};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// A proxy in front of one instance that a test plays, and a tunnel through it.
struct Tunnel {
    proxy: Proxy,
    listen: SocketAddr,
    user: Client,
    instance: Client,
}

impl Tunnel {
    fn open(protocol: &str) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut proxy, listen) = (Proxy::start(), free_address());
        let endpoint = Endpoint { instance: "i".to_owned(), address: socket.local_addr().unwrap() };
        proxy.route(&route(1, listen, vec![pool("stable", 100, vec![endpoint])]));
        let mut user = Client::connect(listen);
        user.write(&format!("GET /ws HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"));
        let (stream, _) = socket.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut instance = Client(BufReader::new(stream));
        while !instance.line().unwrap().is_empty() {}
        instance.write(&format!("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"));
        assert_eq!(user.head().unwrap().status, 101);
        Self { proxy, listen, user, instance }
    }

    /// The instance leaves; gives what the answer will be numbered.
    fn leave(&mut self, bound: Duration) {
        self.proxy.route(&route(2, self.listen, vec![pool("next", 100, Vec::new())]));
        let timeout_ms = bound.as_millis().try_into().unwrap();
        self.proxy.control.send(Request::Drain { instances: vec!["i".to_owned()], timeout_ms });
    }

    fn drained(&mut self) -> Response {
        self.proxy.control.receive().body
    }
}

fn pass(from: &mut Client, to: &mut Client, bytes: &[u8]) {
    from.0.get_mut().write_all(bytes).unwrap();
    assert_eq!(read_exact(to, bytes.len()), bytes);
}

fn read_exact(client: &mut Client, length: usize) -> Vec<u8> {
    let mut got = vec![0; length];
    client.0.read_exact(&mut got).unwrap();
    got
}

#[test]
fn a_websocket_goes_on_until_the_bound_and_is_then_closed_between_two_frames() {
    let mut tunnel = Tunnel::open("WebSocket");
    let bound = Duration::from_millis(400);
    tunnel.leave(bound);
    let begun = Instant::now();
    // A frame of five bytes, of which three are there when the bound passes.
    pass(&mut tunnel.instance, &mut tunnel.user, b"\x81\x05hel");
    // To the instance whole frames with a mask.
    pass(&mut tunnel.user, &mut tunnel.instance, b"\x82\x81\x01\x02\x03\x04x");
    let close = read_exact(&mut tunnel.instance, 8);
    assert!(begun.elapsed() >= bound, "closed after {:?}", begun.elapsed());
    let [opcode, length, mask @ .., high, low] = close.as_slice() else { panic!("{close:?}") };
    assert_eq!((*opcode, *length, u16::from_be_bytes([high ^ mask[0], low ^ mask[1]])), (0x88, 0x82, 1001));
    // What still comes from the user before their own close is no longer passed on.
    tunnel.user.0.get_mut().write_all(b"\x82\x81\x01\x02\x03\x04y").unwrap();
    tunnel.instance.0.get_mut().write_all(b"lo\x81\x01z\x88\x02\x03\xe8").unwrap();
    assert_eq!(read_exact(&mut tunnel.user, 6), b"lo\x88\x02\x03\xe9", "the frame, then the close, then nothing");
    tunnel.user.0.get_mut().write_all(b"\x88\x82\x00\x00\x00\x00\x03\xe9").unwrap();
    assert!(tunnel.user.closed() && tunnel.instance.closed());
    assert!(begun.elapsed() < bound + Duration::from_secs(2), "both answered: nobody is waited for");
    assert_eq!(tunnel.drained(), Response::Drained { remaining: 1 });
    let stats = tunnel.proxy.pool("stable");
    assert_eq!((stats.in_flight, stats.requests, stats.failures), (0, 1, 0));
}

#[test]
fn a_websocket_that_does_not_answer_its_close_is_cut() {
    let mut tunnel = Tunnel::open("websocket");
    tunnel.leave(Duration::ZERO);
    assert_eq!(read_exact(&mut tunnel.user, 4), b"\x88\x02\x03\xe9", "at once, where the bound is none");
    assert!(tunnel.user.closed());
    read_exact(&mut tunnel.instance, 8);
    assert!(tunnel.instance.closed());
    assert_eq!(tunnel.drained(), Response::Drained { remaining: 1 });
}

#[test]
fn a_websocket_that_ends_before_the_bound_is_drained_at_once() {
    let mut tunnel = Tunnel::open("websocket");
    tunnel.leave(DEADLINE * 2);
    pass(&mut tunnel.user, &mut tunnel.instance, b"\x88\x82\x00\x00\x00\x00\x03\xe8");
    pass(&mut tunnel.instance, &mut tunnel.user, b"\x88\x02\x03\xe8");
    let Tunnel { mut proxy, user, instance, .. } = tunnel;
    drop((user, instance));
    assert_eq!(proxy.control.receive().body, Response::Drained { remaining: 0 });
}

#[test]
fn another_protocol_is_cut_at_the_bound_and_nothing_is_put_into_it() {
    let mut tunnel = Tunnel::open("echo");
    pass(&mut tunnel.user, &mut tunnel.instance, b"hello");
    tunnel.leave(Duration::from_millis(100));
    assert!(tunnel.user.closed() && tunnel.instance.closed());
    assert_eq!(tunnel.drained(), Response::Drained { remaining: 1 });
}

#[test]
fn an_instance_that_returns_has_tunnels_again() {
    let mut tunnel = Tunnel::open("echo");
    tunnel.leave(Duration::ZERO);
    assert!(tunnel.user.closed());
    tunnel.drained();
    // The same instance at the same address, under a process of the test.
    let address = tunnel.instance.0.get_ref().local_addr().unwrap();
    drop(tunnel.instance);
    let socket = wait_for("its address", || TcpListener::bind(address).ok());
    let endpoint = Endpoint { instance: "i".to_owned(), address };
    tunnel.proxy.route(&route(3, tunnel.listen, vec![pool("stable", 100, vec![endpoint])]));
    let mut user = Client::connect(tunnel.listen);
    user.write("GET /ws HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    let (stream, _) = socket.accept().unwrap();
    let mut instance = Client(BufReader::new(stream));
    while !instance.line().unwrap().is_empty() {}
    instance.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    assert_eq!(user.head().unwrap().status, 101);
    pass(&mut user, &mut instance, b"hello");
    pass(&mut instance, &mut user, b"hello");
}

#[test]
fn a_service_says_how_long_an_answer_may_take_to_begin() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut proxy, listen) = (Proxy::start_with(&["--answer-timeout-ms", "60000"]), free_address());
    let endpoint = Endpoint { instance: "i".to_owned(), address: silent.local_addr().unwrap() };
    let quick = route(1, listen, vec![pool("stable", 100, vec![endpoint])]);
    proxy.route(&asking(quick, |options| options.response_timeout_ms = Some(200)));
    let answer = get(listen, "/");
    assert_eq!((answer.status, answer.header("x-flightdeck-proxy")), (504, "timeout"));
}
