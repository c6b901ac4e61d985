//! Several services on one address.

use super::rig::*;
use super::tls::issue;
use flightdeck::engine::proxy::wire::{Request, Response, Route};
use flightdeck::model::Ingress;
use std::net::{SocketAddr, TcpStream};

fn service(name: &str, version: u64, listen: SocketAddr, sample: &Sample, claim: (&[&str], &[&str])) -> Route {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let ingress = Ingress { hosts: owned(claim.0), paths: owned(claim.1), ..Ingress::default() };
    let route = route(version, listen, vec![pool(name, 100, vec![sample.endpoint()])]);
    asking(Route { listener: format!("{name}@production"), ..route }, |options| options.ingress = ingress)
}

fn ask(listen: SocketAddr, host: &str, path: &str) -> Answer {
    let mut client = Client::connect(listen);
    client.write(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    client.answer()
}

#[test]
fn requests_go_to_the_service_of_their_host_and_path_and_are_counted_there() {
    let (shop, api, rest) = (Sample::quick("a", "shop"), Sample::quick("b", "api"), Sample::quick("c", "rest"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&service("shop", 1, listen, &shop, (&["shop.example"], &[])));
    assert_eq!(ask(listen, "other.example", "/").header("x-flightdeck-proxy"), "no-service");
    assert_eq!(ask(listen, "other.example", "/").status, 404);
    assert_eq!(proxy.stats().unmatched, [(listen, 2)]);
    proxy.route(&service("api", 1, listen, &api, (&["shop.example"], &["/api"])));
    proxy.route(&service("rest", 1, listen, &rest, (&[], &[])));
    // One kept-alive connection may ask for any of them.
    let mut user = Client::connect(listen);
    for (host, path, expected) in [
        ("shop.example", "/", "shop"),
        ("SHOP.EXAMPLE:80", "/api/x?y=/", "api"),
        ("shop.example", "/apix", "shop"),
        ("other.example", "/api", "rest"),
    ] {
        user.write(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        assert_eq!(user.answer().version(), expected, "{host}{path}");
    }
    let requests = |proxy: &mut Proxy| ["shop", "api", "rest"].map(|id| proxy.pool(id).requests);
    assert_eq!(requests(&mut proxy), [2, 1, 1]);
    assert_eq!(proxy.stats().unmatched, [(listen, 2)]);
}

#[test]
fn one_of_two_leaves_and_the_other_stays_where_it_is() {
    let (shop, rest) = (Sample::quick("a", "shop"), Sample::quick("b", "rest"));
    let (mut proxy, listen, elsewhere) = (Proxy::start(), free_address(), free_address());
    proxy.route(&service("rest", 1, listen, &rest, (&[], &[])));
    proxy.route(&service("shop", 1, listen, &shop, (&["shop.example"], &[])));
    let mut user = Client::connect(listen);
    assert_eq!(user.get("/").version(), "rest");
    proxy.route(&service("shop", 2, elsewhere, &shop, (&[], &[])));
    assert_eq!(ask(elsewhere, "t", "/").version(), "shop");
    assert_eq!(ask(listen, "shop.example", "/").version(), "rest");
    let remove = |name: &str| Request::RemoveRoute { listener: format!("{name}@production") };
    proxy.route(&service("shop", 3, listen, &shop, (&["shop.example"], &[])));
    assert!(TcpStream::connect(elsewhere).is_err(), "nobody is reached there any more");
    assert_eq!(proxy.control.call(remove("rest")), Response::Done);
    assert_eq!(ask(listen, "shop.example", "/").version(), "shop");
    let last = user.get("/");
    assert_eq!((last.status, last.header("connection")), (404, ""), "the connection stays: others are reached on it");
    // Both come back with the next process.
    proxy.route(&service("rest", 2, listen, &rest, (&[], &["/old"])));
    proxy.process.kill();
    proxy.restart();
    assert_eq!(ask(listen, "shop.example", "/").version(), "shop");
    assert_eq!(ask(listen, "t", "/old").version(), "rest");
    assert_eq!(proxy.control.call(remove("shop")), Response::Done);
    assert_eq!(proxy.control.call(remove("rest")), Response::Done);
    assert!(TcpStream::connect(listen).is_err(), "the last one takes the address with it");
}

#[test]
fn an_address_speaks_tls_as_soon_as_one_of_its_services_has_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let files = issue(dir.path(), "shop", &["shop.example"]);
    let (shop, rest) = (Sample::quick("a", "shop"), Sample::quick("b", "rest"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&service("rest", 1, listen, &rest, (&[], &[])));
    assert_eq!(ask(listen, "t", "/").version(), "rest");
    let mut secured = service("shop", 1, listen, &shop, (&["shop.example"], &[]));
    secured.options.ingress.certificates.push(files);
    proxy.route(&secured);
    let mut open = Client::connect(listen);
    open.write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(open.line().map_or(true, |line| !line.starts_with("HTTP/1.1 200")));
    proxy.route(&service("shop", 2, listen, &shop, (&["shop.example"], &[])));
    assert_eq!(ask(listen, "t", "/").version(), "rest");
}
