use super::rig::*;
use flightdeck::demo::load::Summary;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Sends so many requests over kept-alive connections; all must be answered 200.
fn send(address: SocketAddr, requests: usize) {
    const THREADS: usize = 4;
    const BATCH: usize = 50;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                for _ in 0..requests / THREADS / BATCH {
                    client.flood(BATCH);
                }
            });
        }
    });
}

#[test]
fn weight_0_is_no_request_and_100_is_every_request_by_the_instances_own_counts() {
    let (stable, candidate) = (Sample::quick("s1", "1"), Sample::quick("c1", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&canary(1, listen, 0, &stable, &candidate));
    send(listen, 20_000);
    assert_eq!((stable.count(), candidate.count()), (20_000, 0));
    proxy.route(&canary(2, listen, 100, &stable, &candidate));
    send(listen, 20_000);
    assert_eq!((stable.count(), candidate.count()), (20_000, 20_000));
    let (s, c) = (proxy.pool("stable"), proxy.pool("candidate"));
    assert_eq!((s.requests, c.requests), (20_000, 20_000));
    assert_eq!((s.latency.count(), s.errors, s.failures, s.in_flight), (20_000, 0, 0, 0));
}

#[test]
fn weights_between_are_met_within_chance() {
    // Chi-square with two degrees of freedom at p = 0.001. Two false alarms in a row: one in a million.
    const CRITICAL: f64 = 13.816;
    const REQUESTS: u32 = 6_000;
    let samples: Vec<Sample> = ["a", "b", "c"].iter().map(|id| Sample::quick(id, id)).collect();
    let shares = [60, 30, 10];
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let pools = samples.iter().zip(shares).map(|(s, share)| pool(&s.id, share, vec![s.endpoint()])).collect();
    proxy.route(&route(1, listen, pools));
    let chi_square = || {
        let before: Vec<u64> = samples.iter().map(Sample::count).collect();
        send(listen, REQUESTS as usize);
        let terms = samples.iter().zip(before).zip(shares).map(|((sample, before), share)| {
            let expected = f64::from(REQUESTS) * f64::from(share) / 100.0;
            (f64::from(u32::try_from(sample.count() - before).unwrap()) - expected).powi(2) / expected
        });
        terms.sum::<f64>()
    };
    let first = chi_square();
    if first > CRITICAL {
        let second = chi_square();
        assert!(second <= CRITICAL, "chi-square {first}, then {second}");
    }
}

#[test]
fn every_request_after_an_acknowledgement_follows_it_also_on_kept_alive_connections() {
    let (stable, candidate) = (Sample::quick("s1", "1"), Sample::quick("c1", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&canary(1, listen, 0, &stable, &candidate));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(listen)).collect();
    for version in 2..200 {
        let percent = if version % 2 == 0 { 100 } else { 0 };
        proxy.route(&canary(version, listen, percent, &stable, &candidate));
        for client in &mut clients {
            let expected = if percent == 100 { "2" } else { "1" };
            assert_eq!(client.get("/").version(), expected, "route {version}");
        }
    }
}

/// Three seconds; `FLIGHTDECK_WEIGHTS_SECONDS=30` makes it longer, `--nocapture` shows the count.
#[test]
fn weights_changed_every_50_ms_under_load_lose_nothing() {
    let seconds: u64 = std::env::var("FLIGHTDECK_WEIGHTS_SECONDS").map_or(3, |text| text.parse().unwrap());
    let (stable, candidate) = (Sample::quick("s1", "1"), Sample::quick("c1", "2"));
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&canary(1, listen, 0, &stable, &candidate));
    let target = format!("http://{listen}/");
    let load = Command::new(env!("CARGO_BIN_EXE_flightdeck"))
        .args(["load", "--target", &target, "--rate", "300", "--connections", "50", "--fresh", "0.1"])
        .args(["--streams", "3", "--stream-seconds", "1", "--duration", &seconds.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut load = Process(load);
    let (mut version, mut percents) = (1, [0, 50, 100].iter().cycle());
    while load.0.try_wait().unwrap().is_none() {
        version += 1;
        proxy.route(&canary(version, listen, *percents.next().unwrap(), &stable, &candidate));
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let summary: Summary = serde_json::from_reader(load.0.stdout.take().unwrap()).unwrap();
    assert_eq!((summary.failed.total(), summary.unfinished), (0, 0), "{summary:#?}");
    println!("{} routes, {} requests, {} streams, none failed", version - 1, summary.ok, summary.streams);
    assert!(summary.ok >= 300 * seconds && summary.streams >= 2 * seconds, "{summary:#?}");
    assert_eq!(summary.versions.len(), 2, "{summary:#?}");
    assert!(version > 10, "{version} routes");
}

#[test]
fn a_pool_without_instances_gets_nothing_while_another_has_one() {
    let sample = Sample::quick("c1", "2");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    let pools = |endpoints| vec![pool("stable", 100, vec![]), pool("candidate", 0, endpoints)];
    proxy.route(&route(1, listen, pools(vec![sample.endpoint()])));
    assert_eq!(get(listen, "/").version(), "2");
    proxy.route(&route(2, listen, pools(vec![])));
    let answer = get(listen, "/");
    assert_eq!((answer.status, answer.header("x-flightdeck-proxy")), (503, "no-instance"));
    let stable = proxy.pool("stable");
    assert_eq!((stable.requests, stable.failures, stable.in_flight), (1, 1, 0));
}

#[test]
fn instances_of_a_pool_take_turns() {
    let samples: Vec<Sample> = ["a", "b", "c"].iter().map(|id| Sample::quick(id, id)).collect();
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&route(1, listen, vec![pool("stable", 100, samples.iter().map(Sample::endpoint).collect())]));
    assert!(Client::connect(listen).pipeline(30).iter().all(|answer| answer.status == 200));
    let counts: Vec<u64> = samples.iter().map(Sample::count).collect();
    assert_eq!(counts, [10, 10, 10]);
}
