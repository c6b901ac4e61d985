use super::rig::*;
use flightdeck::engine::proxy::wire::{Lapse, Request, Response, Route};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

fn leased(version: u64, listen: SocketAddr, stable: &Sample, candidate: &Sample) -> Route {
    let fallback = Some("stable".to_owned());
    Route { fallback, ..canary(version, listen, 100, stable, candidate) }
}

fn lapses(hello: Response) -> Vec<(String, u64)> {
    let Response::Hello { lapsed, .. } = hello else { panic!("{hello:?}") };
    lapsed.into_iter().map(|Lapse { listener, version, .. }| (listener, version)).collect()
}

fn apps() -> (Sample, Sample, Proxy, SocketAddr) {
    (Sample::quick("s1", "1"), Sample::quick("c1", "2"), Proxy::start(), free_address())
}

#[test]
fn a_lease_that_nobody_renews_brings_everything_to_the_fallback_and_is_told_until_a_new_route() {
    let (stable, candidate, mut proxy, listen) = apps();
    let other = free_address();
    proxy.route(&leased(7, listen, &stable, &candidate));
    let unleased = Route { listener: "other@production".to_owned(), ..canary(1, other, 100, &stable, &candidate) };
    proxy.route(&unleased);
    let mut user = Client::connect(listen);
    assert_eq!(user.get("/").version(), "2");
    proxy.control.renew(60_000);
    assert_eq!(user.get("/").version(), "2");
    proxy.control.renew(1);
    wait_for("the fallback", || (user.get("/").version() == "1").then_some(()));
    assert_eq!(get(other, "/").version(), "2", "a route without a fallback is not leased");

    // An engine that comes back is told, and can't revive it.
    proxy.control = Control::new(UnixStream::connect(proxy.socket()).unwrap());
    let told = vec![("shop@production".to_owned(), 7)];
    assert_eq!(lapses(proxy.control.hello()), told);
    proxy.control.renew(60_000);
    proxy.route(&leased(7, listen, &stable, &candidate));
    assert_eq!(user.get("/").version(), "1");
    assert_eq!(proxy.stats().lapsed.len(), 1);
    proxy.route(&leased(8, listen, &stable, &candidate));
    assert_eq!(user.get("/").version(), "2");
    assert_eq!(proxy.stats().lapsed, []);
}

#[test]
fn a_lapsed_route_serves_from_what_there_is_when_the_fallback_has_no_instance() {
    let (stable, candidate, mut proxy, listen) = apps();
    let mut route = leased(1, listen, &stable, &candidate);
    route.pools[0].endpoints.clear();
    proxy.route(&route);
    proxy.control.renew(0);
    assert_eq!(get(listen, "/").version(), "2");
    assert_eq!(proxy.stats().lapsed.len(), 1);
}

#[test]
fn routes_come_back_after_kill_9_but_leased_ones_wait_on_their_fallback() {
    let (stable, candidate, mut proxy, listen) = apps();
    let other = free_address();
    proxy.route(&leased(3, listen, &stable, &candidate));
    let unleased = Route { listener: "other@production".to_owned(), ..canary(9, other, 100, &stable, &candidate) };
    proxy.route(&unleased);
    assert_eq!((get(listen, "/").version(), get(other, "/").version()), ("2", "2"));
    proxy.process.kill();
    let Response::Hello { routes, lapsed, .. } = proxy.restart() else { panic!("no hello") };
    assert_eq!(routes, [("other@production".to_owned(), 9), ("shop@production".to_owned(), 3)]);
    assert_eq!(lapsed, []);
    assert_eq!(get(other, "/").version(), "2");
    assert_eq!(get(listen, "/").version(), "1", "nobody is known to judge");
    proxy.control.renew(60_000);
    assert_eq!(get(listen, "/").version(), "2");
    assert!(proxy.refused(Request::SetRoute(leased(2, listen, &stable, &candidate))).contains("stale"));
}

#[test]
fn a_lapse_is_remembered_over_kill_9() {
    let (stable, candidate, mut proxy, listen) = apps();
    proxy.route(&leased(3, listen, &stable, &candidate));
    proxy.control.renew(1);
    let state = proxy.dir.path().join("state.json");
    // Written by itself: no request comes and nobody asks.
    wait_for("the lapse to be written", || read(&state).contains("\"lapsed\":[[\"shop").then_some(()));
    proxy.process.kill();
    assert_eq!(lapses(proxy.restart()), [("shop@production".to_owned(), 3)]);
    proxy.control.renew(60_000);
    assert_eq!(get(listen, "/").version(), "1");
}

#[test]
fn a_broken_state_file_means_no_routes_and_is_said() {
    let (stable, candidate, mut proxy, listen) = apps();
    proxy.route(&canary(1, listen, 0, &stable, &candidate));
    proxy.process.kill();
    std::fs::write(proxy.dir.path().join("state.json"), "{\"format\":1,").unwrap();
    let Response::Hello { routes, .. } = proxy.restart() else { panic!("no hello") };
    assert_eq!(routes, []);
    assert!(read(&proxy.dir.path().join("stderr")).contains("starting without routes"));
    proxy.route(&canary(1, listen, 0, &stable, &candidate));
    assert_eq!(get(listen, "/").version(), "1");
}
