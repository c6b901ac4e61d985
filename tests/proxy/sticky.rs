use super::rig::*;
use flightdeck::engine::proxy::wire::{Route, Sticky};
use flightdeck::model::StickyKey;

/// Who is where, asked over one connection.
fn sides(user: &mut Client, header: &str) -> Vec<String> {
    let ask = |name: usize| {
        user.write(&format!("GET / HTTP/1.1\r\nhost: t\r\n{}\r\n\r\n", header.replace('*', &name.to_string())));
        user.answer().version().to_owned()
    };
    (0..200).map(ask).collect()
}

fn sticky(mut route: Route, key: StickyKey, salt: &str) -> Route {
    route.sticky = Some(Sticky { key, salt: salt.into() });
    route
}

#[test]
fn a_user_stays_on_one_side_while_weights_grow() {
    let (stable, candidate) = (Sample::quick("s1", "1"), Sample::quick("c1", "2"));
    for (key, header) in [
        (StickyKey::Cookie("uid".into()), "cookie: a=b; uid=user-*"),
        (StickyKey::Header("x-user".into()), "X-User: user-*"),
    ] {
        let (mut proxy, listen) = (Proxy::start(), free_address());
        let mut before: Vec<String> = vec!["1".into(); 200];
        let mut user = Client::connect(listen_of(&mut proxy, listen, &stable, &candidate));
        for (version, percent) in (2..).zip([5, 25, 25, 60, 100]) {
            proxy.route(&sticky(canary(version, listen, percent, &stable, &candidate), key.clone(), "run-1"));
            let now = sides(&mut user, header);
            assert_eq!(now, sides(&mut user, header), "the same at each request");
            assert!(before.iter().zip(&now).all(|(before, now)| before == "1" || now == "2"), "back at {percent} %");
            let on_candidate = now.iter().filter(|side| *side == "2").count();
            let expected = 2 * percent as usize;
            assert!(on_candidate.abs_diff(expected) <= 30, "{on_candidate} of 200 at {percent} %");
            before = now;
        }
    }
}

fn listen_of(
    proxy: &mut Proxy,
    listen: std::net::SocketAddr,
    stable: &Sample,
    candidate: &Sample,
) -> std::net::SocketAddr {
    proxy.route(&canary(1, listen, 0, stable, candidate));
    listen
}

#[test]
fn another_salt_chooses_others_and_without_a_key_it_is_chance() {
    let (stable, candidate) = (Sample::quick("s1", "1"), Sample::quick("c1", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let key = || StickyKey::Header("x-user".into());
    let mut of = |version, salt, header| {
        proxy.route(&sticky(canary(version, listen, 50, &stable, &candidate), key(), salt));
        sides(&mut Client::connect(listen), header)
    };
    let one = of(1, "run-1", "x-user: user-*");
    assert_ne!(one, of(2, "run-2", "x-user: user-*"));
    // The same user's 200 requests are on one side, nobody's on both.
    assert!(of(3, "run-2", "x-user: the-same").windows(2).all(|pair| pair[0] == pair[1]));
    let anonymous = of(4, "run-2", "x-other: *");
    assert!(anonymous.contains(&"1".to_owned()) && anonymous.contains(&"2".to_owned()));
}

#[test]
fn a_lapsed_lease_wins_over_sides() {
    let (stable, candidate) = (Sample::quick("s1", "1"), Sample::quick("c1", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let mut leased = sticky(canary(1, listen, 100, &stable, &candidate), StickyKey::Header("x-user".into()), "run-1");
    leased.fallback = Some("stable".into());
    proxy.route(&leased);
    let mut user = Client::connect(listen);
    assert!(sides(&mut user, "x-user: *").iter().all(|side| side == "2"));
    proxy.control.renew(1);
    wait_for("the lapse", || proxy.stats().lapsed.pop());
    assert!(sides(&mut user, "x-user: *").iter().all(|side| side == "1"));
}

#[test]
fn a_new_visitor_gets_a_cookie_and_never_goes_back() {
    let (stable, candidate) = (Sample::quick("s1", "1"), Sample::quick("c1", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let mut visitors: Vec<(String, String)> = Vec::new();
    for (version, percent) in (1..).zip([25, 50, 75, 100]) {
        proxy.route(&sticky(canary(version, listen, percent, &stable, &candidate), StickyKey::Own, "run-1"));
        for (cookie, before) in &mut visitors {
            let mut user = Client::connect(listen);
            user.write(&format!("GET / HTTP/1.1\r\nhost: t\r\ncookie: a=b; {cookie}\r\n\r\n"));
            let answer = user.answer();
            assert_eq!(answer.header("set-cookie"), "", "who has a name keeps it");
            assert!(*before == "1" || answer.version() == "2", "back at {percent} %");
            answer.version().clone_into(before);
        }
        for _ in 0..40 {
            let first = get(listen, "/");
            let (cookie, how) = first.header("set-cookie").split_once("; ").unwrap();
            assert_eq!(how, "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
            visitors.push((cookie.to_owned(), first.version().to_owned()));
        }
    }
    let names: std::collections::BTreeSet<_> = visitors.iter().map(|(cookie, _)| cookie).collect();
    assert_eq!(names.len(), 160, "each has a name of its own");
    proxy.route(&canary(9, listen, 50, &stable, &candidate));
    assert_eq!(get(listen, "/").header("set-cookie"), "", "without a rollout nobody needs one");
}
