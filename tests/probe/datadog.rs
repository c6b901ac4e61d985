//! Datadog, by answers as its API description has them: there is none that could run here.

use super::stub::{Asked, Play, Stub};
use super::{Fixture, Odd, WITHIN, at, moving, stands, told, whole};
use async_trait::async_trait;
use flightdeck::integration::metrics::datadog::Datadog;
use flightdeck::port::{Checked, Configured, Probe, Provider as _};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Stubbed;

fn table(url: &str) -> Configured {
    let secrets = super::secret("s3cret-datadog");
    let settings = json!({"url": url, "api_key": secrets, "application_key": secrets});
    Configured {
        name: "datadog".into(),
        read_only: false,
        for_others: false,
        settings: super::prometheus::raw(settings),
    }
}

/// One series: of which query, of which service and version, with which values.
type Series = (usize, Vec<String>, Vec<Value>);

fn body(series: &[Series]) -> Value {
    let told = |(query, tags, _): &Series| json!({"group_tags": tags, "query_index": query, "unit": null});
    json!({"data": {"type": "timeseries_response", "id": "0", "attributes": {
        "times": (0..6).map(|n| 1_764_476_610_000_i64 + n * 10_000).collect::<Vec<_>>(),
        "series": series.iter().map(told).collect::<Vec<_>>(),
        "values": series.iter().map(|(_, _, values)| values.clone()).collect::<Vec<_>>(),
    }}})
}

/// What is asked, as its description has it.
fn series(asked: &Asked) -> Vec<Series> {
    assert_eq!(asked.path, "/api/v2/query/timeseries");
    let request: Value = serde_json::from_str(&asked.body).expect("JSON");
    let attributes = &request["data"]["attributes"];
    assert_eq!(request["data"]["type"], "timeseries_request");
    assert_eq!(attributes["to"].as_i64().unwrap() - attributes["from"].as_i64().unwrap(), 60_000);
    let counts = attributes["queries"][0]["name"] == "requests";
    let tags = |name: &str, version: &str| vec![format!("service:{name}"), format!("version:{version}")];
    let names = (0..200).map(|n| format!("web{n}")).chain(["web".to_owned()]);
    let of = |name: String| -> Vec<Series> {
        if counts {
            let by = |version: &str, class: &str, each: u32| {
                let tags = [tags(&name, version), vec![format!("http.status_class:{class}")]].concat();
                (0, tags, vec![json!(each); 6])
            };
            return vec![by("1.9.0", "2xx", 400), by("1.10.0", "2xx", 20), by("1.10.0", "5xx", 20)];
        }
        let quantile = |query, version: &str, seconds: f64| (query, tags(&name, version), vec![json!(seconds)]);
        let of =
            |version: &str, p95: f64| [(0, 0.1), (1, p95), (2, 0.5)].map(|(query, of)| quantile(query, version, of));
        [of("1.9.0", 0.18), of("1.10.0", 0.212)].concat()
    };
    names.flat_map(of).collect()
}

#[async_trait]
impl Fixture for Stubbed {
    async fn open(&self, url: &str, within: Duration) -> Arc<dyn Probe> {
        drop(rustls::crypto::ring::default_provider().install_default());
        Datadog::within(&table(url), within).await.unwrap()
    }

    fn good(&self, asked: &Asked) -> Play {
        Play::answer(200, &body(&series(asked)).to_string())
    }

    fn no_numbers(&self, asked: &Asked) -> Play {
        let mut all = series(asked);
        let counts = all[0].1.len() > 2;
        for (_, tags, values) in &mut all {
            if !counts || tags.contains(&"version:1.10.0".to_owned()) {
                values.fill(Value::Null);
            }
        }
        Play::answer(200, &body(&all).to_string())
    }

    fn partial(&self, asked: &Asked) -> Play {
        let mut body = body(&series(asked));
        body["errors"] = json!(["shard 7 did not answer"]);
        Play::answer(200, &body.to_string())
    }

    fn empty(&self) -> Play {
        Play::answer(200, &body(&[]).to_string())
    }

    fn refusal(&self) -> Play {
        Play::answer(200, r#"{"errors":["Error parsing query: unable to parse"]}"#)
    }

    fn odd(&self, asked: &Asked, odd: Odd) -> Play {
        let mut all = series(asked);
        match odd {
            Odd::Duplicate => all.extend(all.clone()),
            Odd::WithoutStable => all.retain(|(_, tags, _)| !tags.contains(&"version:1.9.0".to_owned())),
            Odd::Hostile => {
                for (_, tags, _) in &mut all {
                    tags[0].push_str("\u{1b}[2J\n");
                }
            }
        }
        Play::answer(200, &body(&all).to_string())
    }

    fn questions(&self) -> usize {
        2
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_what_every_probe_must() {
    stands(Arc::new(Stubbed)).await;
}

#[tokio::test]
async fn its_keys_go_with_each_question_and_403_is_no_key() {
    let stub = Stub::start(|asked| match (asked.header("dd-api-key"), asked.header("dd-application-key")) {
        (Some("s3cret-datadog"), Some("s3cret-datadog")) => Stubbed.good(asked),
        _ => Play::answer(403, r#"{"errors":["Forbidden"]}"#),
    });
    let probe = Stubbed.open(&stub.url(), WITHIN).await;
    assert_eq!(told(&probe.measure(&[moving("web")], at()).await.unwrap(), "web"), whole());
    let refusing = Stub::start(|_| Play::answer(403, r#"{"errors":["Forbidden"]}"#));
    let found = Datadog.doctor(&table(&refusing.url())).await;
    assert!(matches!(&found, Checked::Bad { what, .. } if what.contains("may its `api_key`")), "{found:?}");
    let good = Stub::start(|asked| Stubbed.good(asked));
    assert!(matches!(Datadog.doctor(&table(&good.url())).await, Checked::Good(what) if what.contains("402 groups")));
}

#[test]
fn mistakes_are_named_by_key() {
    for (more, key, told) in [
        (json!({"api_key": "hunter2"}), "api_key", "env:NAME"),
        (json!({"site": "a b"}), "site", "\"a b\""),
        (json!({"requests": "a{b}"}), "requests", "\"a{b}\""),
        (json!({"filter": "a} by {b"}), "filter", "without braces"),
        (json!({"every": "1s"}), "every", "\"5s\" to \"5m\""),
    ] {
        let mut settings = json!({"api_key": "env:A", "application_key": "env:B"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let wrong = Datadog.check(settings.as_object().unwrap()).unwrap_err();
        assert_eq!(wrong.key, Some(key), "{more}: {wrong:?}");
        assert!(wrong.what.contains(told) && !wrong.what.contains("hunter2"), "{more}: {wrong:?}");
    }
}
