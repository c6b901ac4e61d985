use super::rig::*;
use flightdeck::engine::proxy::wire::{Endpoint, RouteOptions};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

/// A proxy in front of one instance that a test plays itself.
struct Stage {
    proxy: Proxy,
    listen: SocketAddr,
    instance: TcpListener,
}

impl Stage {
    fn set() -> Self {
        Self::set_with(&[])
    }

    fn set_with(args: &[&str]) -> Self {
        let instance = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut proxy, listen) = (Proxy::start_with(args), free_address());
        let endpoint = Endpoint { instance: "i".to_owned(), address: instance.local_addr().unwrap() };
        proxy.route(&route(1, listen, vec![pool("stable", 100, vec![endpoint])]));
        Self { proxy, listen, instance }
    }

    /// The same route, asking for more.
    fn route(&mut self, ask: impl FnOnce(&mut RouteOptions)) {
        let endpoint = Endpoint { instance: "i".to_owned(), address: self.instance.local_addr().unwrap() };
        self.proxy.route(&asking(route(2, self.listen, vec![pool("stable", 100, vec![endpoint])]), ask));
    }

    fn accept(&self) -> Client {
        let (stream, _) = self.instance.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Client(BufReader::new(stream))
    }
}

#[test]
fn nobody_but_a_named_proxy_says_who_asks() {
    let mut stage = Stage::set();
    stage.route(|options| options.trusted_proxies.push("10.0.0.0/8".parse().unwrap()));
    let mut user = Client::connect(stage.listen);
    user.write(
        "GET / HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: https\r\n\
         x-forwarded-host: evil.example\r\nforwarded: for=9.9.9.9\r\nx-real-ip: 9.9.9.9\r\n\r\n",
    );
    let head = head_lines(&mut stage.accept());
    let said: Vec<_> = head.iter().filter(|line| line.contains("forwarded") || line.contains("real-ip")).collect();
    assert_eq!(said, ["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: shop.example"]);
}

/// The lines of a head, without its end.
fn head_lines(client: &mut Client) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = client.line().unwrap().to_ascii_lowercase();
        if line.is_empty() {
            return lines;
        }
        lines.push(line);
    }
}

#[test]
fn bytes_before_the_protocol_changed_are_refused_and_never_reach_the_instance() {
    // A frame of a WebSocket, a request, and the beginning of one.
    for early in ["\u{1}\u{5}hello", "GET /hidden HTTP/1.1\r\nhost: t\r\n\r\n", "G"] {
        let mut stage = Stage::set();
        let mut user = Client::connect(stage.listen);
        let upgrade = "GET /ws HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        user.write(&format!("{upgrade}{early}"));
        let mut instance = stage.accept();
        head_lines(&mut instance);
        instance.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        let answer = user.answer();
        assert_eq!((answer.status, answer.header("connection")), (400, "close"), "{early:?}");
        assert!(answer.body.contains("bytes came before the answer"), "{early:?}");
        assert!(user.closed(), "{early:?}");
        let mut got = Vec::new();
        // A connection that is reset has brought nothing either.
        let _ended = instance.0.read_to_end(&mut got);
        assert_eq!(got, b"", "{early:?}");
        assert_eq!(stage.proxy.pool("stable").failures, 0, "it is no fault of the instance");
    }
}

#[test]
fn a_websocket_is_a_tunnel_that_counts_as_in_flight() {
    let mut stage = Stage::set();
    let mut user = Client::connect(stage.listen);
    user.write("GET /ws HTTP/1.1\r\nhost: t\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n");
    let mut instance = stage.accept();
    let head = head_lines(&mut instance);
    for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-key: k"] {
        assert!(head.iter().any(|got| got == line), "{line} in {head:?}");
    }
    instance.write("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: a\r\n\r\n");
    let answer = user.head().unwrap();
    assert_eq!(
        (answer.status, answer.header("upgrade"), answer.header("sec-websocket-accept")),
        (101, "websocket", "a")
    );
    for size in [1, 58_000, 5] {
        let data = vec![b'x'; size];
        let mut got = vec![0; size];
        user.0.get_mut().write_all(&data).unwrap();
        instance.0.read_exact(&mut got).unwrap();
        instance.0.get_mut().write_all(&got).unwrap();
        user.0.read_exact(&mut got).unwrap();
        assert_eq!(got, data);
    }
    let stats = stage.proxy.pool("stable");
    assert_eq!((stats.in_flight, stats.requests, stats.latency.count()), (1, 0, 1));
    drop(user);
    assert!(instance.closed());
    drop(instance);
    let done = wait_for("the tunnel to end", || Some(stage.proxy.pool("stable")).filter(|s| s.in_flight == 0));
    assert_eq!((done.requests, done.failures, done.latency.count()), (1, 0, 1));
}

#[test]
fn headers_of_one_connection_stay_there_and_an_instance_learns_who_asks() {
    let mut stage = Stage::set();
    stage.route(|options| options.trusted_proxies.push("127.0.0.0/8".parse().unwrap()));
    let mut user = Client::connect(stage.listen);
    user.write(
        "GET http://shop.example/p?q=1 HTTP/1.1\r\nhost: other\r\nconnection: x-private\r\nx-private: 1\r\nte: trailers\r\n\
         keep-alive: 5\r\nproxy-connection: x\r\nx-forwarded-for: 9.9.9.9\r\nupgrade: h2c\r\n\r\n",
    );
    let mut instance = stage.accept();
    let head = head_lines(&mut instance);
    assert_eq!(head[0], "get /p?q=1 http/1.1");
    for line in [
        "host: shop.example",
        "x-forwarded-for: 9.9.9.9",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.example",
    ] {
        assert_eq!(head.iter().filter(|got| *got == line).count(), 1, "{line} in {head:?}");
    }
    assert!(head.iter().any(|line| line.starts_with("x-request-id: ") && line.len() == 14 + 32), "{head:?}");
    // Of its own connection the proxy says that it passes trailers on.
    for line in ["te: trailers", "connection: te"] {
        assert_eq!(head.iter().filter(|got| *got == line).count(), 1, "{line} in {head:?}");
    }
    for name in ["x-private", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(!head.iter().any(|line| line.starts_with(&format!("{name}:"))), "{name} in {head:?}");
    }
    instance.write("HTTP/1.1 200 OK\r\nconnection: keep-alive, x-inner\r\nx-inner: 1\r\nkeep-alive: 5\r\nx-outer: 2\r\ncontent-length: 2\r\n\r\nok");
    let answer = user.answer();
    assert_eq!((answer.body.as_str(), answer.header("x-outer")), ("ok", "2"));
    assert_eq!((answer.header("x-inner"), answer.header("keep-alive"), answer.header("connection")), ("", "", ""));
}

#[test]
fn a_request_body_streams_through() {
    let stage = Stage::set();
    let mut user = Client::connect(stage.listen);
    user.write("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
    let mut instance = stage.accept();
    let head = head_lines(&mut instance);
    assert!(head.iter().any(|line| line == "transfer-encoding: chunked"), "{head:?}");
    assert_eq!(instance.chunk().unwrap().unwrap(), b"one", "before the second part exists");
    user.write("3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(instance.chunk().unwrap().unwrap(), b"two");
    assert!(instance.chunk().unwrap().is_none());
    instance.write("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(user.answer().status, 204);
}

#[test]
fn trailers_pass_both_ways() {
    let stage = Stage::set();
    let mut user = Client::connect(stage.listen);
    user.write("POST / HTTP/1.1\r\nhost: t\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n");
    user.write("3\r\none\r\n0\r\nx-sum: 1\r\n\r\n");
    let mut instance = stage.accept();
    let head = head_lines(&mut instance);
    assert!(head.iter().any(|line| line == "trailer: x-sum"), "{head:?}");
    assert_eq!(instance.chunk().unwrap().unwrap(), b"one");
    assert_eq!(instance.line().unwrap(), "0");
    assert_eq!(head_lines(&mut instance), ["x-sum: 1"]);
    instance.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-took\r\n\r\n");
    instance.write("2\r\nok\r\n0\r\nx-took: 7\r\n\r\n");
    assert_eq!(user.head().unwrap().header("trailer"), "x-took");
    assert_eq!(user.chunk().unwrap().unwrap(), b"ok");
    assert_eq!(user.line().unwrap(), "0");
    assert_eq!(head_lines(&mut user), ["x-took: 7"]);
}

#[test]
fn answers_without_a_body_keep_their_headers_and_the_connection() {
    let sample = Sample::quick("s", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let mut user = Client::connect(listen);
    user.write("HEAD / HTTP/1.1\r\nhost: t\r\n\r\n");
    let head = user.head().unwrap();
    let get = user.get("/");
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(get.body.len().to_string(), get.header("content-length"));
    assert_eq!(proxy.pool("stable").requests, 2);
}

#[test]
fn a_user_who_asks_before_sending_is_told_to_continue() {
    let stage = Stage::set();
    let mut user = Client::connect(stage.listen);
    user.write("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    let mut instance = stage.accept();
    let head = head_lines(&mut instance);
    assert!(!head.iter().any(|line| line.starts_with("expect")), "{head:?}");
    assert_eq!(user.head().unwrap().status, 100);
    user.write("hello");
    let mut body = [0; 5];
    instance.0.read_exact(&mut body).unwrap();
    instance.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((&body, user.answer().status), (b"hello", 200));
}

#[test]
fn heads_have_a_bound() {
    let sample = Sample::quick("s", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let many = "x-again: 1\r\n".repeat(200);
    for (what, headers) in [("long", format!("x-long: {}\r\n", "a".repeat(70_000))), ("many", many)] {
        let mut user = Client::connect(listen);
        // The proxy may answer and close before everything is written.
        let _cut = user.0.get_mut().write_all(format!("GET / HTTP/1.1\r\nhost: t\r\n{headers}\r\n").as_bytes());
        match user.try_answer() {
            Ok(answer) => assert_eq!(answer.status, 431, "{what}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{what}"),
        }
    }
    assert_eq!(sample.count(), 0);
    assert_eq!(get(listen, "/").status, 200);
}

#[test]
fn a_head_that_comes_too_slowly_is_given_up() {
    let sample = Sample::quick("s", "1");
    let (mut proxy, listen) = (Proxy::start_with(&["--header-timeout-ms", "200"]), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let mut user = Client::connect(listen);
    user.write("GET / HTTP/1.1\r\nhost: t\r\nx-slow: ");
    // Waits for the end, and panics in the client's own timeout if there is none.
    assert!(user.closed());
}

#[test]
fn connections_have_a_bound_and_those_beyond_it_wait() {
    let sample = Sample::quick("s", "1");
    let (mut proxy, listen) = (Proxy::start_with(&["--max-connections", "2"]), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let mut users: Vec<Client> = (0..2).map(|_| Client::connect(listen)).collect();
    assert!(users.iter_mut().all(|user| user.get("/").status == 200));
    let mut third = Client::connect(listen);
    third.write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    third.0.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(third.try_answer().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(sample.count(), 2);
    drop(users.pop());
    third.0.get_ref().set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(third.answer().status, 200);
}

#[test]
fn one_stuck_user_does_not_hold_up_the_others() {
    let sample = Sample::quick("s", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let mut stuck = TcpStream::connect(listen).unwrap();
    stuck.write_all("GET / HTTP/1.1\r\nhost: t\r\n\r\n".repeat(20_000).as_bytes().split_at(400_000).0).unwrap();
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || done.send(get(listen, "/").status));
    assert_eq!(finished.recv_timeout(DEADLINE), Ok(200));
}

#[test]
fn one_address_has_not_all_connections() {
    let sample = Sample::quick("s", "1");
    let (mut proxy, listen) = (Proxy::start_with(&["--max-connections-per-address", "2"]), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let mut users: Vec<Client> = (0..2).map(|_| Client::connect(listen)).collect();
    assert!(users.iter_mut().all(|user| user.get("/").status == 200));
    assert!(Client::connect(listen).closed(), "one too many is closed at once");
    drop(users.pop());
    let answered = || {
        let mut third = Client::connect(listen);
        third.0.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").ok()?;
        third.try_answer().ok()
    };
    assert_eq!(wait_for("a place", answered).status, 200);
    assert_eq!(users[0].get("/").status, 200);
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let mut stage = Stage::set_with(&["--stall-timeout-ms", "200"]);
    // Before the answer begins …
    let mut user = Client::connect(stage.listen);
    user.write("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nhalf");
    let mut instance = stage.accept();
    head_lines(&mut instance);
    let answer = user.answer();
    assert_eq!((answer.status, answer.header("x-flightdeck-proxy")), (408, "request-timeout"));
    // … and after.
    let mut user = Client::connect(stage.listen);
    user.write("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nhalf");
    let mut instance = stage.accept();
    head_lines(&mut instance);
    instance.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nearly");
    assert_eq!(user.head().unwrap().status, 200);
    let mut rest = Vec::new();
    let _cut = user.0.read_to_end(&mut rest);
    assert_eq!(rest, b"early");
    let stats = wait_for("the end", || Some(stage.proxy.pool("stable")).filter(|stats| stats.in_flight == 0));
    assert_eq!((stats.requests, stats.failures), (2, 0), "the instance did nothing wrong");
}

#[test]
fn a_user_who_takes_nothing_is_cut_off() {
    let mut stage = Stage::set_with(&["--stall-timeout-ms", "300"]);
    let mut user = Client::connect(stage.listen);
    user.write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    let mut instance = stage.accept();
    head_lines(&mut instance);
    instance.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    instance.0.get_ref().set_write_timeout(Some(DEADLINE)).unwrap();
    let cut = loop {
        if let Err(error) = instance.0.get_mut().write_all(chunk.as_bytes()) {
            break error.kind();
        }
    };
    assert_ne!(cut, std::io::ErrorKind::WouldBlock, "nobody cut the instance's side");
    wait_for("the end", || Some(stage.proxy.pool("stable")).filter(|stats| stats.in_flight == 0));
    drop(user);
}
