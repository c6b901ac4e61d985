use super::*;

fn instance(id: &str) -> Arc<Instance> {
    Arc::new(Instance::new(id, "127.0.0.1:1".parse().unwrap()))
}

fn arm(id: &str, percent: u32, instances: &[&str]) -> Arm {
    let endpoints = instances.iter().map(|id| instance(id)).collect();
    Arm {
        pool: Arc::new(Pool::new("a@b", id)),
        role: ArmRole::Stable,
        version: "1".into(),
        weight: percent * 10_000,
        endpoints,
    }
}

fn unleased(arms: Vec<Arm>) -> Routing {
    Routing {
        arms,
        sticky: None,
        leased: None,
        response_timeout: Duration::from_mins(1),
        trusted_proxies: Vec::new(),
        access_log: None,
    }
}

/// The instance chosen, `503 POOL` or `exhausted`.
fn chosen(choice: &Choice) -> String {
    match choice {
        Choice::Instance(_, instance) => instance.id.clone(),
        Choice::Nobody(pool) => format!("503 {}", pool.id),
        Choice::Exhausted => "exhausted".to_owned(),
    }
}

fn draw(routing: &Routing, random: u32) -> String {
    chosen(&routing.choose(0, random, None, &[]))
}

const EDGES: [u32; 6] = [0, 1, 499_999, 500_000, 999_998, 999_999];

#[test]
fn nothing_and_everything_are_exact_at_every_draw() {
    let none = unleased(vec![arm("s", 100, &["s1"]), arm("c", 0, &["c1"])]);
    let all = unleased(vec![arm("s", 0, &["s1"]), arm("c", 100, &["c1"])]);
    for random in EDGES {
        assert_eq!((draw(&none, random), draw(&all, random)), ("s1".to_owned(), "c1".to_owned()), "{random}");
    }
}

#[test]
fn a_share_is_exactly_its_part_of_the_draws() {
    let routing = unleased(vec![arm("s", 95, &["s1"]), arm("c", 5, &["c1"])]);
    let share = (0..1_000_000).step_by(100).filter(|random| draw(&routing, *random) == "c1").count();
    assert_eq!(share, 500);
    assert_eq!((draw(&routing, 949_999), draw(&routing, 950_000)), ("s1".to_owned(), "c1".to_owned()));
}

#[test]
fn pools_without_instances_leave_their_share_to_the_others() {
    let routing = unleased(vec![arm("a", 60, &[]), arm("b", 30, &["b1"]), arm("c", 10, &["c1"]), arm("d", 0, &["d1"])]);
    assert_eq!((draw(&routing, 749_999), draw(&routing, 750_000)), ("b1".to_owned(), "c1".to_owned()));
    let last = unleased(vec![arm("a", 100, &[]), arm("d", 0, &["d1"])]);
    let none = unleased(vec![arm("a", 100, &[]), arm("d", 0, &[])]);
    for random in EDGES {
        assert_eq!((draw(&last, random), draw(&none, random)), ("d1".to_owned(), "503 a".to_owned()));
    }
}

#[test]
fn a_retry_stays_in_its_pool_then_goes_to_others_with_weight() {
    let routing = unleased(vec![arm("s", 50, &["s1"]), arm("c", 50, &["c1", "c2"]), arm("z", 0, &["z1"])]);
    let candidate = Arc::clone(&routing.arms[1].pool);
    let c1 = Arc::clone(&routing.arms[1].endpoints[0]);
    let c2 = Arc::clone(&routing.arms[1].endpoints[1]);
    let s1 = Arc::clone(&routing.arms[0].endpoints[0]);
    for random in EDGES {
        let next = |tried: &[Arc<Instance>]| chosen(&routing.choose(0, random, Some(&*candidate), tried));
        assert_eq!(next(std::slice::from_ref(&c1)), "c2");
        assert_eq!(next(&[c1.clone(), c2.clone()]), "s1");
        assert_eq!(next(&[c1.clone(), c2.clone(), s1.clone()]), "exhausted");
    }
}

#[test]
fn a_retry_follows_a_route_that_came_meanwhile() {
    let old = unleased(vec![arm("s", 0, &["s1"]), arm("c", 100, &["c1", "c2"])]);
    let (candidate, c1) = (Arc::clone(&old.arms[1].pool), Arc::clone(&old.arms[1].endpoints[0]));
    let new = unleased(vec![
        arm("s", 100, &["s1"]),
        Arm { pool: Arc::clone(&candidate), weight: 0, endpoints: old.arms[1].endpoints.clone(), ..arm("c", 0, &[]) },
    ]);
    assert_eq!(chosen(&new.choose(0, 0, Some(&*candidate), &[c1])), "s1");
}

#[test]
fn ejected_instances_wait_unless_they_are_the_last() {
    let routing = unleased(vec![arm("s", 100, &["s1", "s2"])]);
    routing.arms[0].endpoints[0].connect_failed(1000);
    for _ in 0..4 {
        assert_eq!(chosen(&routing.choose(1099, 0, None, &[])), "s2");
    }
    let later = || (0..4).filter(|_| chosen(&routing.choose(1100, 0, None, &[])) == "s1").count();
    assert_eq!(later(), 1, "one request tries it, the others wait for the outcome");
    routing.arms[0].endpoints[0].open();
    assert_eq!(later(), 2, "by turns, as if nothing had been");
    routing.arms[0].endpoints[0].connect_failed(2000);
    routing.arms[0].endpoints[1].connect_failed(2000);
    assert_ne!(chosen(&routing.choose(2001, 0, None, &[])), "exhausted");
}

#[test]
fn a_lease_lapses_at_its_time_and_for_good() {
    let lease = Lease::until(100);
    assert!(lease.exposed(99));
    lease.renew(99, 60);
    assert!(lease.exposed(158));
    assert!(!lease.exposed(159));
    lease.renew(160, 1000);
    assert!(!lease.exposed(161));
    assert_eq!(lease.lapsed(1000), Some(159), "when it lapsed, not when it was noticed");
    let unnoticed = Lease::until(100);
    unnoticed.renew(101, 1000);
    assert!(!unnoticed.exposed(102), "a renewal that comes too late is too late");
}

#[test]
fn a_lease_that_was_read_back_needs_a_renewal_in_time() {
    let lease = Lease::suspended_until(100);
    assert!(!lease.exposed(1));
    assert_eq!(lease.lapsed(1), None);
    lease.renew(50, 60);
    assert!(lease.exposed(51));
    assert!(!lease.exposed(110));
    let late = Lease::suspended_until(100);
    late.renew(100, 60);
    assert!(!late.exposed(101));
    let old = Lease::lapsed_since(7);
    old.renew(8, 60);
    assert_eq!((old.exposed(9), old.lapsed(9)), (false, Some(7)));
}

#[test]
fn without_its_lease_a_route_is_its_fallback() {
    let routing = |stable: &[&str], lease| {
        let arms = vec![arm("s", 10, stable), arm("c", 90, &["c1"])];
        Routing { leased: Some((0, lease)), ..unleased(arms) }
    };
    let lapsed = routing(&["s1"], Lease::until(0));
    let suspended = routing(&["s1"], Lease::suspended_until(1000));
    let held = routing(&["s1"], Lease::until(1000));
    let unmanned = routing(&[], Lease::until(0));
    for random in EDGES {
        assert_eq!((draw(&lapsed, random), draw(&suspended, random)), ("s1".to_owned(), "s1".to_owned()));
        assert_eq!(draw(&unmanned, random), "c1", "some answer is better than none");
    }
    assert_eq!(draw(&held, 999_999), "c1");
}

#[test]
fn a_pool_that_refuses_connections_is_passed_over_while_another_with_weight_is_there() {
    let routing = unleased(vec![arm("s", 50, &["s1"]), arm("c", 50, &["c1", "c2"]), arm("z", 0, &["z1"])]);
    let [c1, c2] = [&routing.arms[1].endpoints[0], &routing.arms[1].endpoints[1]];
    c1.connect_failed(0);
    assert_eq!(draw(&routing, 999_999), "c2", "the other one of its pool");
    c2.connect_failed(0);
    assert_eq!(draw(&routing, 999_999), "s1");
    routing.arms[0].endpoints[0].connect_failed(0);
    assert!(["c1", "c2"].contains(&draw(&routing, 999_999).as_str()), "nobody is left: never z1, never nobody");
    assert_eq!(draw(&routing, 0), "s1");
}

#[test]
fn who_was_on_the_candidate_stays_there_while_its_weight_grows() {
    let sides: Vec<Vec<String>> = [5, 20, 50, 100]
        .into_iter()
        .map(|percent| {
            let routing = unleased(vec![arm("c", percent, &["c1"]), arm("s", 100 - percent, &["s1"])]);
            (0..1_000_000).step_by(5_000).map(|place| draw(&routing, place)).collect()
        })
        .collect();
    for (before, after) in sides.iter().zip(&sides[1..]) {
        assert!(before.iter().zip(after).all(|(before, after)| before == "s1" || after == "c1"));
    }
    assert_eq!(sides[0].iter().filter(|side| *side == "c1").count(), 10, "5 % of 200");
}
