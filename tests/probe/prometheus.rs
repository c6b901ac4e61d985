//! Prometheus, by answers that one gave.

use super::stub::{Asked, Play, Stub};
use super::{Fixture, WITHIN, at, moving, stands, told, whole};
use async_trait::async_trait;
use flightdeck::integration::metrics::prometheus::{Prometheus, PrometheusProbe, Settings};
use flightdeck::port::{Checked, Configured, Probe, Provider as _, RawSettings, System};
use serde_json::{Value, json};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
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

    fn questions(&self) -> usize {
        5
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_what_every_probe_must() {
    stands(Arc::new(Stubbed)).await;
}

fn write(path: &Path, secret: &str) {
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
    let stub = Stub::start(|asked| match asked.authorization.as_deref() {
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
    assert!(gone.measure(&[moving("web")], at()).await.unwrap_err().to_string().contains("may its `token` query?"));
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
