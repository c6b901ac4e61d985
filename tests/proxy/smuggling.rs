//! Requests that two servers could read differently, against a raw instance that writes down what
//! reaches it: what was refused must not have left a trace, what passed must be what was meant.

use super::rig::*;
use flightdeck::engine::proxy::wire::Endpoint;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is to happen.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The first request is answered so, nothing more is read, and no instance hears of it.
    Refused(u16),
    /// The request before it is served; then as above.
    SecondRefused(u16),
    /// The instance gets these, and each is answered 200.
    Passes(&'static [&'static str]),
    /// Its head was good, its body is not: the instance gets no whole request.
    Broken,
}
use Verdict::{Broken, Passes, Refused, SecondRefused};

/// Follows each case: whoever reads it as a request of its own was deceived, or not, as the verdict says.
const NEXT: &str = "GET /next HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
/// Goes before one.
const FIRST: &str = "GET /first HTTP/1.1\r\nhost: t\r\n\r\n";
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: t\r\n\r\n";
const BOTH: Verdict = Passes(&["POST / abc", "GET /next "]);
const ONLY_NEXT: Verdict = Passes(&["GET / ", "GET /next "]);

fn post(headers: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: t\r\n{headers}\r\n\r\n{body}")
}

fn get(head: &str) -> String {
    format!("{head}\r\n\r\n")
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn corpus() -> Vec<(&'static str, String, Verdict)> {
    let chunked = |body: &str| post("transfer-encoding: chunked", body);
    vec![
        // What must pass.
        ("a length", post("content-length: 3", "abc"), BOTH),
        ("a length with tabs around", post("content-length:\t3\t", "abc"), BOTH),
        ("a length with zeros before", post("content-length: 0003", "abc"), BOTH),
        ("chunks", chunked("3\r\nabc\r\n0\r\n\r\n"), BOTH),
        ("chunks in capitals", post("Transfer-Encoding: CHUNKED", "3\r\nabc\r\n0\r\n\r\n"), BOTH),
        ("a chunk's extension", chunked("3;a=b\r\nabc\r\n0\r\n\r\n"), BOTH),
        ("a trailer", chunked("3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"), BOTH),
        ("an empty line before", get("\r\nGET / HTTP/1.1\r\nhost: t"), ONLY_NEXT),
        (
            "a body that looks like a request",
            post(&format!("content-length: {}", HIDDEN.len()), HIDDEN),
            Passes(&["POST / GET /hidden HTTP/1.1\r\nhost: t\r\n\r\n", "GET /next "]),
        ),
        ("an absolute target with another host", get("GET http://a/ HTTP/1.1\r\nhost: b"), ONLY_NEXT),
        // Length against chunks.
        ("CL.TE", post("content-length: 4\r\ntransfer-encoding: chunked", "0\r\n\r\n"), Refused(400)),
        ("TE.CL", post("transfer-encoding: chunked\r\ncontent-length: 4", "0\r\n\r\n"), Refused(400)),
        ("CL.0 beside chunks", post("content-length: 0\r\ntransfer-encoding: chunked", "0\r\n\r\n"), Refused(400)),
        (
            "CL.TE with a request hidden",
            post("content-length: 6\r\ntransfer-encoding: chunked", &format!("0\r\n\r\n{HIDDEN}")),
            Refused(400),
        ),
        (
            "CL.TE by a second head",
            format!("{FIRST}{}", post("content-length: 4\r\ntransfer-encoding: chunked", "0\r\n\r\n")),
            SecondRefused(400),
        ),
        // Lengths.
        ("two lengths", post("content-length: 3\r\ncontent-length: 4", "abcd"), Refused(400)),
        ("the same length twice", post("content-length: 3\r\ncontent-length: 3", "abc"), Refused(400)),
        ("two lengths in one", post("content-length: 3, 4", "abcd"), Refused(400)),
        ("the same length twice in one", post("content-length: 3, 3", "abc"), Refused(400)),
        ("a length with a sign", post("content-length: +3", "abc"), Refused(400)),
        ("a negative length", post("content-length: -3", "abc"), Refused(400)),
        ("a length in hex", post("content-length: 0x3", "abc"), Refused(400)),
        ("a length with space in it", post("content-length: 3 0", "abc"), Refused(400)),
        ("no length at all", post("content-length:", "abc"), Refused(400)),
        ("a length over 64 bits", post("content-length: 18446744073709551619", "abc"), Refused(400)),
        ("a length with a zero byte", post("content-length: 3\0", "abc"), Refused(400)),
        ("a length under another name", post("content_length: 3", "abc"), Refused(400)),
        // Transfer encodings.
        ("an unknown encoding", post("transfer-encoding: xchunked", "0\r\n\r\n"), Refused(400)),
        ("chunked, then identity", post("transfer-encoding: chunked, identity", "0\r\n\r\n"), Refused(400)),
        ("identity", post("transfer-encoding: identity", "0\r\n\r\n"), Refused(400)),
        ("gzip, then chunked", post("transfer-encoding: gzip, chunked", "0\r\n\r\n"), Refused(400)),
        ("chunked twice", post("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "0\r\n\r\n"), Refused(400)),
        ("chunked and another", post("transfer-encoding: chunked\r\ntransfer-encoding: x", "0\r\n\r\n"), Refused(400)),
        ("quoted", post("transfer-encoding: \"chunked\"", "0\r\n\r\n"), Refused(400)),
        ("with a parameter", post("transfer-encoding: chunked;q=1", "0\r\n\r\n"), Refused(400)),
        ("a vertical tab before", post("transfer-encoding: \x0bchunked", "0\r\n\r\n"), Refused(400)),
        ("an empty encoding", post("transfer-encoding:", "0\r\n\r\n"), Refused(400)),
        ("under another name", post("transfer_encoding: chunked", "0\r\n\r\n"), Refused(400)),
        ("space before the colon", post("transfer-encoding : chunked", "0\r\n\r\n"), Refused(400)),
        ("tab before the colon", post("transfer-encoding\t: chunked", "0\r\n\r\n"), Refused(400)),
        (
            "chunks in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            Refused(400),
        ),
        // Line ends.
        ("bare LF in a head", "GET / HTTP/1.1\nhost: t\n\n".into(), Refused(400)),
        ("bare LF behind a header", post("x: y\ntransfer-encoding: chunked", "0\r\n\r\n"), Refused(400)),
        ("bare LF at a head's end", "GET / HTTP/1.1\r\nhost: t\r\n\n".into(), Refused(400)),
        ("bare CR in a value", post("x: y\rtransfer-encoding: chunked", "0\r\n\r\n"), Refused(400)),
        ("CR CR LF", "GET / HTTP/1.1\r\nhost: t\r\r\n\r\n".into(), Refused(400)),
        ("bare CR in the target", get("GET /\r HTTP/1.1\r\nhost: t"), Refused(400)),
        ("a folded header", post("x: y\r\n transfer-encoding: chunked", ""), Refused(400)),
        ("a folded encoding", post("transfer-encoding:\r\n chunked", "0\r\n\r\n"), Refused(400)),
        ("space before the first header", "GET / HTTP/1.1\r\n host: t\r\n\r\n".into(), Refused(400)),
        // Heads.
        ("a zero byte in a value", get("GET / HTTP/1.1\r\nhost: t\r\nx: a\0b"), Refused(400)),
        ("no colon", get("GET / HTTP/1.1\r\nhost: t\r\nnonsense"), Refused(400)),
        ("no name", get("GET / HTTP/1.1\r\nhost: t\r\n: x"), Refused(400)),
        ("no host", get("GET / HTTP/1.1\r\nx: y"), Refused(400)),
        ("two hosts", get("GET / HTTP/1.1\r\nhost: a\r\nhost: b"), Refused(400)),
        ("two hosts in one", get("GET / HTTP/1.1\r\nhost: a,b"), Refused(400)),
        ("no host at all", get("GET / HTTP/1.1\r\nx: y"), Refused(400)),
        ("a host of nothing", get("GET / HTTP/1.1\r\nhost: "), Refused(400)),
        ("a host with a path", get("GET / HTTP/1.1\r\nhost: t/admin"), Refused(400)),
        ("a host with a port that is none", get("GET / HTTP/1.1\r\nhost: t:80:90"), Refused(400)),
        ("a target with somebody's name", get("GET http://me@t/ HTTP/1.1\r\nhost: t"), Refused(400)),
        ("two spaces in the first line", get("GET  / HTTP/1.1\r\nhost: t"), Refused(400)),
        ("space before the first line", get(" GET / HTTP/1.1\r\nhost: t"), Refused(400)),
        ("words behind the version", get("GET / HTTP/1.1 x\r\nhost: t"), Refused(400)),
        ("HTTP/0.9", get("GET /"), Refused(400)),
        ("HTTP/1.2", get("GET / HTTP/1.2\r\nhost: t"), Refused(400)),
        ("HTTP/2 from the start", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Refused(400)),
        ("CONNECT", get("CONNECT t:80 HTTP/1.1\r\nhost: t"), Refused(400)),
        // Sizes.
        ("a header of 70 kB", get(&format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}", "a".repeat(70_000))), Refused(431)),
        (
            "100 kB of headers",
            get(&format!(
                "GET / HTTP/1.1\r\nhost: t{}",
                "\r\nx: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(2_300)
            )),
            Refused(431),
        ),
        ("200 headers", get(&format!("GET / HTTP/1.1\r\nhost: t{}", "\r\nx: y".repeat(200))), Refused(431)),
        ("a target of 70 kB", get(&format!("GET /{} HTTP/1.1\r\nhost: t", "a".repeat(70_000))), Refused(431)),
        // Chunks.
        ("space behind a chunk's size", chunked("3 \r\nabc\r\n0\r\n\r\n"), Broken),
        ("a chunk's size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), Broken),
        ("a chunk's size of 17 digits", chunked("00000000000000003\r\nabc\r\n0\r\n\r\n"), Broken),
        ("a negative chunk", chunked("-3\r\nabc\r\n0\r\n\r\n"), Broken),
        ("a chunk longer than it says", chunked("3\r\nabcd\r\n0\r\n\r\n"), Broken),
        ("a chunk without its line end", chunked("3\r\nabc0\r\n\r\n"), Broken),
        ("bare LF behind a chunk's size", chunked("3\nabc\r\n0\r\n\r\n"), Broken),
        ("bare LF in a chunk's extension", chunked(&format!("3;\nx\r\nabc\r\n0\r\n\r\n{HIDDEN}")), Broken),
        ("bare LF behind a chunk", chunked("3\r\nabc\n0\r\n\r\n"), Broken),
        ("bare CR in a chunk's extension", chunked("3;a\rb\r\nabc\r\n0\r\n\r\n"), Broken),
        ("a length as trailer", chunked("3\r\nabc\r\n0\r\ncontent-length: 9\r\n\r\n"), Broken),
        // What `Connection` names.
        ("Connection names the length", post("connection: content-length\r\ncontent-length: 3", "abc"), BOTH),
        (
            "Connection names the encoding",
            post("connection: transfer-encoding\r\ntransfer-encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
            BOTH,
        ),
        ("Connection names the host", get("GET / HTTP/1.1\r\nconnection: host\r\nhost: t"), ONLY_NEXT),
        (
            "an upgrade to h2c",
            get(
                "GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
            ),
            ONLY_NEXT,
        ),
        (
            "an upgrade that nobody agreed to",
            get("GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket"),
            ONLY_NEXT,
        ),
    ]
}

/// An instance that takes everything literally: a request for each head, as long as it says.
struct Raw {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    fn start() -> Raw {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let raw = Raw { address: socket.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&raw.seen);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = socket.accept() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || while one(&stream, &mut BufReader::new(&stream), &seen).is_some() {});
            }
        });
        raw
    }
}

/// One request; nothing more than one is ever under way on a connection.
fn one(mut stream: &TcpStream, from: &mut BufReader<&TcpStream>, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut line = || {
        let mut line = String::new();
        (from.read_line(&mut line).ok()? > 0).then(|| line.trim_end_matches("\r\n").to_owned())
    };
    let first = line()?;
    let (mut length, mut chunked) = (0, false);
    while let Some(header) = line().filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(':')?;
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().ok()?,
            ("transfer-encoding", value) => chunked = value == "chunked",
            _ => {}
        }
    }
    let mut body = Vec::new();
    loop {
        let size = if chunked { usize::from_str_radix(&line_of(from)?, 16).ok()? } else { length };
        let mut part = vec![0; size];
        from.read_exact(&mut part).ok()?;
        body.extend(part);
        if !chunked {
            break;
        }
        if size == 0 {
            while !line_of(from)?.is_empty() {}
            break;
        }
        line_of(from)?;
    }
    let target = first.rsplit_once(' ').map_or(first.as_str(), |(start, _)| start);
    seen.lock().unwrap().push(format!("{target} {}", String::from_utf8_lossy(&body)));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}

fn line_of(from: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut line = String::new();
    (from.read_line(&mut line).ok()? > 0).then(|| line.trim_end_matches("\r\n").to_owned())
}

/// The statuses of all answers until the proxy closes.
fn statuses(listen: SocketAddr, bytes: &str) -> Vec<u16> {
    let mut stream = TcpStream::connect(listen).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // Refused before all was written, it may be cut off.
    let _cut = stream.write_all(bytes.as_bytes());
    let mut got = Vec::new();
    if let Err(error) = stream.read_to_end(&mut got) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "not closed");
    }
    let got = String::from_utf8_lossy(&got);
    let heads = got.split("HTTP/1.1 ").skip(1);
    heads.map(|head| head.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_request_is_one_request_for_everybody_or_none() {
    let raw = Raw::start();
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let endpoint = Endpoint { instance: "raw".to_owned(), address: raw.address };
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![endpoint])]));
    let mut wrong = Vec::new();
    for (name, bytes, verdict) in corpus() {
        raw.seen.lock().unwrap().clear();
        let got = statuses(listen, &format!("{bytes}{NEXT}"));
        let seen = raw.seen.lock().unwrap().clone();
        let right = match &verdict {
            // A cut connection may take the answer with it.
            Refused(status) => seen.is_empty() && (got == [*status] || (got.is_empty() && bytes.len() > 50_000)),
            SecondRefused(status) => seen == ["GET /first "] && got == [200, *status],
            Passes(expected) => seen == *expected && got == vec![200; expected.len()],
            Broken => seen.is_empty() && got == [400],
        };
        println!("{} {name}: {got:?}, the instance got {seen:?}", if right { "ok   " } else { "WRONG" });
        if !right {
            wrong.push(format!("{name}: expected {verdict:?}, got {got:?}, the instance got {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let stats = proxy.pool("stable");
    assert_eq!((stats.failures, stats.in_flight), (0, 0), "nothing of it is the instance's fault");
}

#[test]
fn a_refused_request_is_refused_however_it_is_cut() {
    let raw = Raw::start();
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let endpoint = Endpoint { instance: "raw".to_owned(), address: raw.address };
    proxy.route(&route(1, listen, vec![pool("stable", 100, vec![endpoint])]));
    let bytes = post("content-length: 4\r\ntransfer-encoding: chunked", "0\r\n\r\n");
    for cut in 1..bytes.len() {
        let mut user = Client::connect(listen);
        user.write(&bytes[..cut]);
        let mut rest = user.0.get_ref().try_clone().unwrap();
        let _cut = rest.write_all(&bytes.as_bytes()[cut..]);
        assert_eq!(user.answer().status, 400, "cut at {cut}");
    }
    assert!(raw.seen.lock().unwrap().is_empty());
}

#[test]
fn nobody_takes_away_what_a_hop_before_said() {
    let instance = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let endpoint = Endpoint { instance: "i".to_owned(), address: instance.local_addr().unwrap() };
    let plain = route(1, listen, vec![pool("stable", 100, vec![endpoint])]);
    proxy.route(&asking(plain, |options| options.trusted_proxies.push("127.0.0.1/32".parse().unwrap())));
    let mut user = Client::connect(listen);
    user.write(
        "GET / HTTP/1.1\r\nhost: t\r\nx-forwarded-for: 9.9.9.9\r\nauthorization: Basic x\r\nx-own: 1\r\n\
         connection: x-forwarded-for, authorization, x-request-id, x-own\r\nx-request-id: r1\r\n\r\n",
    );
    let mut client = Client(BufReader::new(instance.accept().unwrap().0));
    let mut head = Vec::new();
    while let Some(line) = client.line().ok().filter(|line| !line.is_empty()) {
        head.push(line.to_ascii_lowercase());
    }
    for line in ["x-forwarded-for: 9.9.9.9", "x-forwarded-for: 127.0.0.1", "authorization: basic x", "x-request-id: r1"]
    {
        assert!(head.iter().any(|got| got == line), "{line} in {head:?}");
    }
    assert!(!head.iter().any(|line| line.starts_with("x-own")), "{head:?}");
}
