//! Prometheus, by answers that one gave.

use super::stub::{Asked, Play, Stub};
use super::{Fixture, Odd, WITHIN, at, moving, stands, told, whole};
use async_trait::async_trait;
use flightdeck::integration::metrics::prometheus::{Prometheus, PrometheusProbe, Settings};
use flightdeck::port::{Checked, Configured, Probe, Provider as _, RawSettings, System};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub struct Stubbed;

pub fn raw(settings: Value) -> RawSettings {
    let Value::Object(settings) = settings else { panic!("a table") };
    settings
}

pub fn configured(settings: Value) -> Configured {
    Configured { name: "prometheus".into(), read_only: false, for_others: false, settings: raw(settings) }
}

pub async fn opened(settings: Value, within: Duration) -> PrometheusProbe {
    drop(rustls::crypto::ring::default_provider().install_default());
    PrometheusProbe::open("prometheus".into(), Settings::of(&raw(settings)).unwrap()).await.unwrap().within(within)
}

/// What a query is about, by its text.
fn metric(asked: &Asked) -> &'static str {
    let query = asked.field("query");
    let quantiles =
        [("histogram_quantile(0.5,", "p50"), ("histogram_quantile(0.95,", "p95"), ("histogram_quantile(0.99,", "p99")];
    let quantile = quantiles.into_iter().find(|(start, _)| query.starts_with(start)).map(|(_, name)| name);
    match quantile {
        Some(name) => name,
        None if query.starts_with("sum by (le,") => "buckets",
        None if query.contains("last_over_time") => "counts",
        None if query.starts_with("max(timestamp(") => "newest",
        None if query == "vector(1)" => "vector",
        None if query.starts_with("count(") => "count",
        None if query.contains("5..") => "errors",
        None => "requests",
    }
}

/// One series for each set of pods of as many services as are asked for.
fn vector(stable: &str, candidate: &str) -> Value {
    let names = (0..200).map(|n| format!("web{n}")).chain(["web".to_owned()]);
    let series = |set: String, value: &str| json!({"metric": {"namespace": "shop", "pod_set": set}, "value": [1_764_476_700.135, value]});
    let result: Vec<Value> = names
        .flat_map(|name| [series(format!("{name}-58bb4f"), stable), series(format!("{name}-7d5f9c"), candidate)])
        .collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": result}})
}

fn values(asked: &Asked) -> Value {
    assert_eq!(asked.path, "/api/v1/query");
    match metric(asked) {
        "requests" => vector("40", "4"),
        "errors" => vector("0", "2"),
        "p95" => vector("0.18", "0.212"),
        "vector" => {
            json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}})
        }
        "count" => {
            json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "12"]}]}})
        }
        _ => vector("0.1", "0.1"),
    }
}

#[async_trait]
impl Fixture for Stubbed {
    async fn open(&self, url: &str, within: Duration) -> Arc<dyn Probe> {
        Arc::new(opened(json!({"url": url}), within).await)
    }

    fn good(&self, asked: &Asked) -> Play {
        Play::answer(200, &values(asked).to_string())
    }

    fn no_numbers(&self, asked: &Asked) -> Play {
        let body = match metric(asked) {
            "requests" => vector("40", "+Inf"),
            "errors" => vector("0", "NaN"),
            _ => vector("NaN", "+Inf"),
        };
        Play::answer(200, &body.to_string())
    }

    fn partial(&self, asked: &Asked) -> Play {
        let mut body = values(asked);
        body["warnings"] = json!(["store 10.0.0.7 did not answer"]);
        Play::answer(200, &body.to_string())
    }

    fn empty(&self) -> Play {
        Play::answer(200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#)
    }

    fn refusal(&self) -> Play {
        Play::answer(200, r#"{"status":"error","errorType":"execution","error":"found duplicate series"}"#)
    }

    fn odd(&self, asked: &Asked, odd: Odd) -> Play {
        let mut body = values(asked);
        let result = body["data"]["result"].as_array_mut().unwrap();
        match odd {
            Odd::Duplicate => {
                let mut other = result[0].clone();
                other["value"][1] = json!("3");
                result.push(other);
            }
            Odd::WithoutStable => result.retain(|of| !of["metric"]["pod_set"].as_str().unwrap().ends_with("58bb4f")),
            Odd::Hostile => {
                for of in result {
                    let name = format!("{}\u{1b}[2J\n\"}} or vector(1)", of["metric"]["pod_set"].as_str().unwrap());
                    of["metric"]["pod_set"] = json!(name);
                }
            }
        }
        Play::answer(200, &body.to_string())
    }

    fn questions(&self) -> usize {
        5
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_what_every_probe_must() {
    stands(Arc::new(Stubbed)).await;
}

pub fn write(path: &Path, secret: &str) {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).unwrap().write_all(secret.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_token_goes_with_each_question_and_is_read_again_once_it_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    write(&token, "s3cret-old\n");
    let stub = Stub::start(|asked| match asked.header("authorization") {
        Some("Bearer s3cret-new") => Stubbed.good(asked),
        other => Play::answer(401, &format!("not {other:?}")),
    });
    let settings = json!({"url": stub.url(), "token": format!("file:{}", token.display())});
    let probe = opened(settings, WITHIN).await;
    assert!(!format!("{probe:?}").contains("s3cret"), "{probe:?}");
    probe.measure(&[moving("web")], at()).await.unwrap_err();
    write(&token, "s3cret-new\n");
    let measured = probe.measure(&[moving("web")], at()).await.unwrap();
    assert_eq!(told(&measured, "web"), whole());
    // Gone, it is told so without being asked again with the old one.
    std::fs::remove_file(&token).unwrap();
    let gone = opened(json!({"url": stub.url()}), WITHIN).await;
    assert!(
        gone.measure(&[moving("web")], at())
            .await
            .unwrap_err()
            .to_string()
            .contains("may its `token` or `username` query?")
    );
}

#[tokio::test]
async fn a_latency_that_may_lack_something_is_left_out_and_said() {
    let stub = Stub::start(|asked| if metric(asked) == "p95" { Stubbed.partial(asked) } else { Stubbed.good(asked) });
    let measured = opened(json!({"url": stub.url()}), WITHIN).await.measure(&[moving("web")], at()).await.unwrap();
    assert_eq!(measured.samples.len(), 2);
    assert!(measured.samples.iter().all(|sample| sample.p95_us.is_none() && sample.p99_us.is_some()));
    assert_eq!(measured.warnings, ["p95 is left out: store 10.0.0.7 did not answer"]);
}

#[tokio::test]
async fn the_doctor_says_what_it_has() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let good = Stub::start(|asked| Stubbed.good(asked));
    let empty = Stub::start(|_| Stubbed.empty());
    let refused = Stub::start(|_| Play::answer(401, "no"));
    let check = async |url: String| Prometheus.doctor(&configured(json!({"url": url}))).await;
    assert!(matches!(check(good.url()).await, Checked::Good(what) if what.contains("http_requests_total of 12 pods")));
    let Checked::Doubtful { what, todo } = check(empty.url()).await else { panic!("it has nothing") };
    assert!(what.contains("no http_requests_total with namespace and pod") && todo.contains("pod_label"));
    assert!(matches!(check(refused.url()).await, Checked::Bad { what, .. } if what.contains("401 Unauthorized")));
    assert!(matches!(check("nonsense".to_owned()).await, Checked::Bad { what, .. } if what.contains("`url`")));
    let opened = Prometheus.open(&configured(json!({"url": good.url()}))).await;
    assert!(matches!(opened, Ok(System::Probe(probe)) if probe.source().as_str() == "prometheus"));
}

/// What counters of all sets grew by in the window that is asked about: at 40 a second, and at 4 with 2 failed.
fn grown(asked: &Asked) -> Value {
    let seconds: u64 =
        asked.field("query").split("offset ").nth(1).unwrap().split('s').next().unwrap().parse().unwrap();
    let series = |set: &str, more: Value, each: u64| {
        let mut metric = json!({"namespace": "shop", "pod_set": format!("web-{set}")});
        metric.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"metric": metric, "value": [1, (each * seconds).to_string()]})
    };
    let known = |failed: &str| json!({"status_known": "1", "status_failed": failed});
    let result = match metric(asked) {
        "counts" => {
            vec![series("58bb4f", known(""), 40), series("7d5f9c", known(""), 2), series("7d5f9c", known("1"), 2)]
        }
        _ => vec![series("7d5f9c", json!({"le": "0.25"}), 3), series("7d5f9c", json!({"le": "+Inf"}), 4)],
    };
    json!({"status": "success", "data": {"resultType": "vector", "result": result}})
}

#[tokio::test]
async fn windows_of_increases_join_and_what_is_missed_comes_with_the_next() {
    let (seconds, failing) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (clock, fails) = (Arc::clone(&seconds), Arc::clone(&failing));
    let stub = Stub::start(move |asked| match metric(asked) {
        "counts" if fails.load(Ordering::SeqCst) => Play::answer(503, "no quorum"),
        "counts" | "buckets" => Play::answer(200, &grown(asked).to_string()),
        // Its clock is five minutes ahead.
        _ => {
            let at = format!("{}.25", 1_764_477_000 + clock.load(Ordering::SeqCst));
            Play::answer(200, &values(asked).to_string().replace("1764476700.135", &at))
        }
    });
    let probe = opened(json!({"url": stub.url()}), WITHIN).await;
    let look = async |after: u64, fails: bool| {
        seconds.store(after, Ordering::SeqCst);
        failing.store(fails, Ordering::SeqCst);
        let before = stub.asked().len();
        let now = at() + SignedDuration::from_secs(i64::try_from(after).unwrap());
        let measured = probe.measure(&[moving("web")], now).await.expect("numbers");
        assert_eq!(told(&measured, "web").len(), 2, "the samples are there all the same");
        (measured, stub.asked().len() - before)
    };
    let (first, asked) = look(0, false).await;
    assert_eq!((first.increases, asked), (vec![], 5));
    let (second, asked) = look(15, false).await;
    assert_eq!((second.increases.len(), asked), (2, 7));
    let (missed, _) = look(30, true).await;
    let why = "what counters grew by is left to the next answer: no answer: 503 Service Unavailable: no quorum";
    assert!(missed.increases.is_empty() && missed.warnings.iter().any(|of| of == why), "{:?}", missed.warnings);
    let (fourth, _) = look(45, false).await;
    let both = [&second.increases, &fourth.increases];
    let counts = both.map(|all| all.iter().map(|one| (one.requests, one.errors)).collect::<Vec<_>>());
    assert_eq!(counts, [vec![(600, 0), (60, 30)], vec![(1200, 0), (120, 60)]], "30 s after the one that was missed");
    let [second, fourth] = both.map(|all| &all[1]);
    assert_eq!((second.to, second.latency.count()), (fourth.from, 60));
    // By the clock here, a quarter of a minute ago: what may come late is in.
    assert_eq!(second.from, at() - SignedDuration::from_millis(15_250));
    assert_eq!(fourth.to, at() + SignedDuration::from_millis(45_000 - 15_250));
    let times: Vec<_> =
        stub.asked().iter().filter(|of| metric(of) == "counts").map(|of| of.field("time").to_owned()).collect();
    assert_eq!(times, ["1764477000", "1764477015", "1764477030"], "by its own clock, in whole seconds");
    let counts = |of: &&Asked| metric(of) == "counts";
    assert!(stub.asked().iter().filter(counts).all(|of| of.field("nocache") == "1"), "at that moment and no other");
}

#[tokio::test]
async fn who_asks_is_told_by_name_and_password_and_for_whom_by_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    write(&password, "s3cret\n");
    let stub = Stub::start(|asked| match (asked.header("authorization"), asked.header("x-scope-orgid")) {
        (Some("Basic YWRhOnMzY3JldA=="), Some("team-a")) => Stubbed.good(asked),
        other => Play::answer(401, &format!("not {other:?}")),
    });
    let secret = format!("file:{}", password.display());
    let settings = json!({"url": stub.url(), "username": "ada", "password": secret, "tenant": "team-a"});
    let probe = opened(settings, WITHIN).await;
    assert!(!format!("{probe:?}").contains("s3cret"), "{probe:?}");
    let measured = probe.measure(&[moving("web")], at()).await.unwrap();
    assert_eq!(told(&measured, "web"), whole());
    assert!(stub.asked().iter().all(|asked| asked.field("partial_response") == "false"), "of a Thanos no part");
}
