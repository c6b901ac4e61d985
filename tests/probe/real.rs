//! A real Prometheus, which scrapes an exporter of this test: pods of two sets that fail unequally often.
//!
//! Ignored unless it is asked for: `./check` fetches a Prometheus and runs it. `FLIGHTDECK_PROMETHEUS` names the
//! program; without, it is looked for in `PATH`.

mod engine;

use super::prometheus::opened;
use super::stub::{Play, Stub};
use crate::cluster::until_told;
use flightdeck::model::*;
use flightdeck::port::{ArmIncrease, Measured, Probe as _, RowTally, TallyQuestion};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A set of pods: its name, requests a second, of those failed, seconds that each takes, the label of its status.
const SETS: [(&str, f64, f64, f64, &str); 4] = [
    ("web-58bb4f", 200.0, 2.0, 0.08, "code"),
    ("web-7d5f9c", 50.0, 10.0, 0.3, "code"),
    // Never failed, so that it has no series of failures; and one without traffic.
    ("api-6c9d7", 20.0, 0.0, 0.08, "status"),
    ("idle-5d8f7", 0.0, 0.0, 0.08, "code"),
];
const BUCKETS: [f64; 4] = [0.05, 0.1, 0.2, 0.4];

/// What all pods would tell after so many seconds, two pods a set.
fn exported(seconds: f64) -> String {
    let mut text = String::new();
    for (set, requests, failed, takes, status) in SETS {
        for pod in ["x2x4z", "b7k9m"] {
            let labels = format!("namespace=\"shop\",pod=\"{set}-{pod}\"");
            let counted = |rate: f64| rate / 2.0 * seconds;
            let mut status_of = |code: &str, rate: f64| {
                writeln!(text, "http_requests_total{{{labels},{status}=\"{code}\"}} {}", counted(rate)).unwrap();
            };
            status_of("200", requests - failed);
            if failed > 0.0 {
                status_of("503", failed);
            }
            let name = "http_request_duration_seconds_bucket";
            for bucket in BUCKETS {
                let within = if takes <= bucket { counted(requests) } else { 0.0 };
                writeln!(text, "{name}{{{labels},le=\"{bucket}\"}} {within}").unwrap();
            }
            writeln!(text, "{name}{{{labels},le=\"+Inf\"}} {}", counted(requests)).unwrap();
        }
    }
    text
}

/// Ends with the test.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn prometheus(dir: &std::path::Path, target: &str) -> (Running, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: pods, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let program = std::env::var_os("FLIGHTDECK_PROMETHEUS").unwrap_or_else(|| "prometheus".into());
    let child = Command::new(program)
        .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .expect("a Prometheus: FLIGHTDECK_PROMETHEUS names one, and ./check fetches one");
    (Running(child), format!("http://{free}"))
}

fn row(name: &str, arms: &[(ArmRole, PodNames)]) -> Arc<Rollout> {
    let mut row = Rollout::clone(&super::moving(name));
    row.arms.truncate(arms.len());
    for (arm, (role, pods)) in row.arms.iter_mut().zip(arms) {
        (arm.role, arm.pods) = (role.clone(), Some(pods.clone()));
    }
    Arc::new(row)
}

fn of<'a>(measured: &'a Measured, name: &str, role: &ArmRole) -> Option<&'a ArmSample> {
    measured.samples.iter().find(|sample| sample.target.name == name && sample.role == *role)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a prometheus: ./check fetches one"]
async fn its_numbers_are_those_of_the_pods() {
    let begun = Instant::now();
    let exporter = Stub::start(move |_| Play::answer(200, &exported(begun.elapsed().as_secs_f64())));
    let dir = tempfile::tempdir().unwrap();
    let (_running, url) = prometheus(dir.path(), exporter.url().trim_start_matches("http://"));
    let settings = json!({"url": url, "every": "5s", "range": "8s"});
    let probe = opened(settings, Duration::from_secs(10)).await;
    let set = |name: &str| PodNames::Set(name.to_owned());
    let rows = [
        row("web", &[(ArmRole::Stable, set("web-58bb4f")), (ArmRole::Candidate, set("web-7d5f9c"))]),
        row("api", &[(ArmRole::Stable, PodNames::Workload("api".to_owned()))]),
        row("idle", &[(ArmRole::Stable, set("idle-5d8f7"))]),
        row("gone", &[(ArmRole::Stable, set("gone-5d8f7"))]),
    ];
    let close =
        |got: u64, wanted: f64| (f64::from(u32::try_from(got).unwrap()) - wanted).abs() <= wanted.mul_add(0.1, 1.0);
    let whole = |measured: &Measured| {
        let web = |role| {
            of(measured, "web", role).is_some_and(|sample| {
                let (requests, errors) = if *role == ArmRole::Stable { (200.0, 2.0) } else { (50.0, 10.0) };
                close(sample.requests, requests * 5.0) && close(sample.errors, errors * 5.0)
            })
        };
        web(&ArmRole::Stable) && web(&ArmRole::Candidate)
    };
    let last = RefCell::new(String::new());
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    let told = || format!("such numbers; there were {}; {}", last.borrow(), log());
    let measured = until_told(told, async || match probe.measure(&rows, Timestamp::now()).await {
        Ok(measured) if whole(&measured) => Some(measured),
        other => {
            last.replace(format!("{other:?}"));
            None
        }
    })
    .await;
    // Linear within the bucket that a quantile is in.
    let (stable, candidate) =
        (of(&measured, "web", &ArmRole::Stable).unwrap(), of(&measured, "web", &ArmRole::Candidate).unwrap());
    assert!((95_000..=100_000).contains(&stable.p95_us.unwrap()), "{stable:?}");
    assert!((380_000..=400_000).contains(&candidate.p95_us.unwrap()), "{candidate:?}");
    let api = of(&measured, "api", &ArmRole::Stable).unwrap();
    assert!(close(api.requests, 100.0) && api.errors == 0, "{api:?}");
    let idle = of(&measured, "idle", &ArmRole::Stable).unwrap();
    assert_eq!((idle.requests, idle.errors, idle.p95_us), (0, 0, None));
    assert_eq!(measured.samples.len(), 4, "{measured:?}");
    assert_eq!(measured.warnings, ["no http_requests_total of the pods of shop/gone"]);
}

/// What the pods tell at their so-manieth scrape: one dies, one comes, one restarts, one fails for the first time; two
/// scrapes fail. `None`: it is not answered.
fn lived(scrape: usize) -> Option<String> {
    let mut text = String::new();
    let grown = |from: usize, most: usize| scrape.saturating_sub(from).min(most);
    let mut count = |pod: &str, code: &str, value: usize| {
        writeln!(text, "http_requests_total{{namespace=\"shop\",pod=\"{pod}\",code=\"{code}\"}} {value}").unwrap();
    };
    count("web-58bb4f-aaaaa", "200", 100 + 10 * grown(0, 12));
    if scrape <= 4 {
        count("web-58bb4f-ddddd", "200", 10 + 5 * scrape);
    }
    let (good, bad) = (40 + 4 * grown(0, 12), if scrape < 3 { 0 } else { 3 + grown(3, 5) });
    count("web-7d5f9c-aaaaa", "200", good);
    if bad > 0 {
        count("web-7d5f9c-aaaaa", "500", bad);
    }
    count("api-6c9d7-aaaaa", "200", if scrape < 6 { 500 } else { 7 + 2 * grown(6, 5) });
    if scrape >= 2 {
        count("late-5d8f7-aaaaa", "200", 50 + 5 * grown(8, 4));
    }
    for (le, value) in [("0.1", good), ("+Inf", good + bad)] {
        let name = "http_request_duration_seconds_bucket";
        writeln!(text, "{name}{{namespace=\"shop\",pod=\"web-7d5f9c-aaaaa\",le=\"{le}\"}} {value}").unwrap();
    }
    (!(9..=10).contains(&scrape)).then_some(text)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a prometheus: ./check fetches one"]
async fn what_counters_grew_by_adds_up_to_the_truth() {
    let (begun, scraped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (going, counting) = (Arc::clone(&begun), Arc::clone(&scraped));
    let exporter = Stub::start(move |_| {
        // Nothing moves until the probe has seen where it begins.
        let number = if going.load(Ordering::SeqCst) { counting.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        lived(number).map_or_else(|| Play::answer(500, "no"), |text| Play::answer(200, &text))
    });
    let dir = tempfile::tempdir().unwrap();
    let (_running, url) = prometheus(dir.path(), exporter.url().trim_start_matches("http://"));
    let probe = opened(json!({"url": url, "every": "5s", "range": "8s", "delay": "2s"}), Duration::from_secs(10)).await;
    let set = |name: &str| PodNames::Set(name.to_owned());
    let rows = [
        row("web", &[(ArmRole::Stable, set("web-58bb4f")), (ArmRole::Candidate, set("web-7d5f9c"))]),
        row("api", &[(ArmRole::Stable, set("api-6c9d7"))]),
        row("late", &[(ArmRole::Stable, set("late-5d8f7"))]),
    ];
    let seen = RefCell::new(Vec::<ArmIncrease>::new());
    let look = async || {
        let measured = probe.measure(&rows, Timestamp::now()).await;
        let warned = measured.as_ref().is_ok_and(|measured| measured.warnings.iter().any(|of| of.contains("grew")));
        assert!(!warned, "{measured:?}");
        seen.borrow_mut().extend(measured.map(|measured| measured.increases).unwrap_or_default());
    };
    let total = |name: &str, role: &ArmRole| {
        let seen = seen.borrow();
        let of: Vec<_> = seen.iter().filter(|one| one.target.name == name && one.role == *role).collect();
        (of.iter().map(|one| one.requests).sum::<u64>(), of.iter().map(|one| one.errors).sum::<u64>())
    };
    let totals = || {
        let all = [
            ("web", ArmRole::Stable),
            ("web", ArmRole::Candidate),
            ("api", ArmRole::Stable),
            ("late", ArmRole::Stable),
        ];
        all.map(|(name, role)| total(name, &role))
    };
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    until_told(
        || format!("a first window: {:?}; {}", seen.borrow(), log()),
        async || {
            look().await;
            (seen.borrow().iter().filter(|one| one.target.name == "web").count() >= 2).then_some(())
        },
    )
    .await;
    assert_eq!(totals(), [(0, 0); 4], "nothing moves yet");
    begun.store(true, Ordering::SeqCst);
    let truth = [(140, 0), (56, 8), (17, 0), (20, 0)];
    until_told(
        || format!("{truth:?}, there is {:?}; {:?}", totals(), seen.borrow()),
        async || {
            look().await;
            (totals() == truth).then_some(())
        },
    )
    .await;
    // Nothing is counted twice afterwards, and the windows join.
    let until = scraped.load(Ordering::SeqCst).max(14) + 8;
    until_told(
        || "more scrapes".to_owned(),
        async || {
            look().await;
            (scraped.load(Ordering::SeqCst) >= until).then_some(())
        },
    )
    .await;
    assert_eq!(totals(), truth);
    let seen = seen.borrow();
    let candidate: Vec<_> = seen.iter().filter(|one| one.role == ArmRole::Candidate).collect();
    assert!(candidate.windows(2).all(|pair| pair[0].to == pair[1].from && pair[1].from < pair[1].to), "{candidate:?}");
    let mut latency = Histogram::default();
    for one in &candidate {
        latency.add(&one.latency);
    }
    let below = latency.count() - latency.count_from(bucket_floor(bucket_of(100_000)));
    assert_eq!((latency.count(), below), (56, 48), "{latency:?}");
}

/// What two pods tell at a scrape: one of a version that is long gone by then, one that fails for the first time.
fn promised(scrape: usize) -> String {
    let mut text = String::new();
    let mut count = |pod: &str, code: &str, value: usize| {
        writeln!(text, "http_requests_total{{namespace=\"shop\",pod=\"{pod}\",code=\"{code}\"}} {value}").unwrap();
    };
    if scrape <= 10 {
        count("web-58bb4f-aaaaa", "200", 100 * scrape);
        count("web-58bb4f-aaaaa", "503", scrape);
    }
    count("web-7d5f9c-aaaaa", "200", 50 * scrape);
    if scrape > 12 {
        // All at once, between two scrapes.
        count("web-7d5f9c-aaaaa", "500", 40);
    }
    count("idle-5d8f7-aaaaa", "200", 7);
    for (le, value) in [("0.3", 45 * scrape), ("+Inf", 50 * scrape)] {
        let name = "http_request_duration_seconds_bucket";
        writeln!(text, "{name}{{namespace=\"shop\",pod=\"web-7d5f9c-aaaaa\",le=\"{le}\"}} {value}").unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a prometheus: ./check fetches one"]
async fn what_a_service_promises_is_counted_with_versions_that_are_gone() {
    let scraped = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&scraped);
    let exporter = Stub::start(move |_| Play::answer(200, &promised(counting.fetch_add(1, Ordering::SeqCst))));
    let dir = tempfile::tempdir().unwrap();
    let (_running, url) = prometheus(dir.path(), exporter.url().trim_start_matches("http://"));
    let probe = opened(json!({"url": url}), Duration::from_secs(10)).await;
    let workload = |name: &str| row(name, &[(ArmRole::Stable, PodNames::Workload(name.to_owned()))]);
    let rows = vec![workload("web"), workload("idle"), workload("gone")];
    let question = |window: SignedDuration, indicators: &[Indicator]| TallyQuestion {
        wanted: rows.iter().map(|row| row.run.target.clone()).collect(),
        rows: rows.clone(),
        window,
        indicators: indicators.iter().copied().collect(),
    };
    let fast = Indicator::Latency { within_us: 300_000 };
    let found = |all: &[RowTally], name: &str, indicator: Indicator| {
        let mut of = all.iter().filter(|one| one.target.name == name && one.indicator == indicator);
        of.next().expect("an answer").found.clone()
    };
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
    until_told(|| format!("20 scrapes; {}", log()), async || (scraped.load(Ordering::SeqCst) >= 20).then_some(()))
        .await;
    // The whole of it, of which a moment is there: in a window of 30 days nothing was there at its beginning.
    let month = SignedDuration::from_hours(720);
    let all = probe.tally(&question(month, &[Indicator::Availability, fast]), Timestamp::now()).await.unwrap();
    let web = found(&all, "web", Indicator::Availability).unwrap();
    // Ten scrapes of the one that is gone, twenty of the other.
    assert!((1800.0..=2600.0).contains(&web.requests) && (9.0..=12.0).contains(&web.bad), "{web:?}");
    assert!(web.covers.is_some_and(|covers| covers < SignedDuration::from_hours(1)), "{web:?}");
    let idle = found(&all, "idle", Indicator::Availability).unwrap();
    assert_eq!((idle.requests.to_bits(), idle.bad.to_bits()), (0.0_f64.to_bits(), 0.0_f64.to_bits()));
    assert!(found(&all, "gone", Indicator::Availability).unwrap_err().starts_with("no http_requests_total"));
    let web = found(&all, "web", fast).unwrap();
    assert!((web.bad / web.requests - 0.1).abs() < 0.01 && web.requests > 900.0, "{web:?}");
    // A burst of failures between two scrapes is there where the pod was there when the window began.
    let seconds = SignedDuration::from_secs;
    let all = until_told(
        || format!("a burst; {}", log()),
        async || {
            let window = seconds(i64::try_from(scraped.load(Ordering::SeqCst)).unwrap() - 11);
            let all = probe.tally(&question(window, &[Indicator::Availability]), Timestamp::now()).await.ok()?;
            found(&all, "web", Indicator::Availability).is_ok_and(|web| web.bad >= 40.0).then_some(all)
        },
    )
    .await;
    let web = found(&all, "web", Indicator::Availability).unwrap();
    assert!((40.0..=45.0).contains(&web.bad), "{web:?}");
}
