//! Plain HTTP is sent on to TLS.

use super::rig::*;
use super::tls::issue;
use flightdeck::engine::proxy::wire::{Request, Response, Route};
use flightdeck::model::Ingress;
use std::net::{SocketAddr, TcpListener};

fn ask(listen: SocketAddr, method: &str, host: &str, path: &str) -> Answer {
    let mut client = Client::connect(listen);
    client.write(&format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n"));
    client.answer()
}

/// A service over TLS for one host, to which `from` sends on.
fn secured(
    version: u64,
    listen: SocketAddr,
    from: Option<SocketAddr>,
    sample: &Sample,
    dir: &std::path::Path,
) -> Route {
    let ingress = Ingress {
        hosts: vec!["shop.example".into()],
        certificates: vec![issue(dir, "shop", &["shop.example"])],
        redirect_from: from,
        ..Ingress::default()
    };
    asking(route(version, listen, vec![pool("stable", 100, vec![sample.endpoint()])]), |o| o.ingress = ingress)
}

#[test]
fn who_asks_in_the_open_is_sent_to_tls_with_what_was_asked() {
    let (dir, sample, other) = (tempfile::tempdir().unwrap(), Sample::quick("a", "1"), Sample::quick("b", "acme"));
    let (mut proxy, listen, from) = (Proxy::start(), free_address(), free_address());
    proxy.route(&secured(1, listen, Some(from), &sample, dir.path()));
    for (method, host, path) in [("GET", "shop.example", "/a/b?c=d"), ("POST", "SHOP.example:80", "/")] {
        let answer = ask(from, method, host, path);
        let name = host.split(':').next().unwrap();
        assert_eq!(
            (answer.status, answer.header("location")),
            (308, format!("https://{name}:{}{path}", listen.port()).as_str())
        );
    }
    assert_eq!(ask(from, "GET", "other.example", "/").status, 404, "only hosts of the service are sent on");
    assert_eq!(proxy.pool("stable").requests, 0);

    // Another service may answer in the open for whoever issues certificates, and for its own hosts.
    let ingress = Ingress { paths: vec!["/.well-known".into()], ..Ingress::default() };
    let plain = asking(route(1, from, vec![pool("acme", 100, vec![other.endpoint()])]), |o| o.ingress = ingress);
    proxy.route(&Route { listener: "acme@production".into(), ..plain });
    assert_eq!(ask(from, "GET", "shop.example", "/.well-known/acme-challenge/x").version(), "acme");
    assert_eq!(ask(from, "GET", "shop.example", "/.well-known/other").status, 308);
    assert_eq!(ask(from, "GET", "other.example", "/.well-known/other").version(), "acme");

    // Each leaves by itself; the address closes with the last of them.
    proxy.route(&secured(2, listen, None, &sample, dir.path()));
    assert_eq!(ask(from, "GET", "shop.example", "/.well-known/other").version(), "acme");
    proxy.route(&secured(3, listen, Some(from), &sample, dir.path()));
    proxy.control.call(Request::RemoveRoute { listener: "acme@production".into() });
    assert_eq!(ask(from, "GET", "shop.example", "/.well-known/acme-challenge/x").status, 308);
    proxy.control.call(Request::RemoveRoute { listener: "shop@production".into() });
    assert!(TcpListener::bind(from).is_ok(), "it is free");
}

#[test]
fn an_address_that_is_taken_keeps_nobody_from_tls_and_is_told_until_it_is_free() {
    let (dir, sample) = (tempfile::tempdir().unwrap(), Sample::quick("a", "1"));
    let (mut proxy, listen, from) = (Proxy::start(), free_address(), free_address());
    let foreign = TcpListener::bind(from).unwrap();
    let route = secured(1, listen, Some(from), &sample, dir.path());
    let why = format!("{from} is in use by another program");
    match proxy.control.call(Request::SetRoute(route.clone())) {
        Response::Acked { redirect_refused, .. } => assert_eq!(redirect_refused.as_deref(), Some(why.as_str())),
        other => panic!("{other:?}"),
    }
    assert_eq!(proxy.stats().redirects_refused, [("shop@production".to_owned(), why)]);
    std::net::TcpStream::connect(listen).expect("TLS is spoken all the same");
    proxy.process.kill();
    proxy.restart();
    assert_eq!(proxy.stats().redirects_refused.len(), 1, "told by the next process too");
    drop(foreign);
    wait_for("the address to be taken", || proxy.stats().redirects_refused.is_empty().then_some(()));
    assert_eq!(ask(from, "GET", "shop.example", "/").status, 308);
}
