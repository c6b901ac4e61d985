//! New Relic, by answers as its documentation has them: there is none that could run here.

use super::stub::{Asked, Play, Stub};
use super::{Fixture, Odd, WITHIN, at, moving, stands, told, whole};
use async_trait::async_trait;
use flightdeck::integration::metrics::new_relic::NewRelic;
use flightdeck::port::{Configured, Probe, Provider as _};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Stubbed;

fn table(url: &str) -> Configured {
    let settings = json!({"url": url, "api_key": super::secret("s3cret-newrelic"), "account": 7});
    Configured {
        name: "newrelic".into(),
        read_only: false,
        for_others: false,
        settings: super::prometheus::raw(settings),
    }
}

fn body(results: &[Value]) -> Value {
    json!({"data": {"actor": {"account": {"nrql": {"results": results}}}}})
}

/// Of a minute.
fn results(asked: &Asked) -> Vec<Value> {
    assert_eq!(asked.path, "/graphql");
    let request: Value = serde_json::from_str(&asked.body).expect("JSON");
    let query = request["query"].as_str().expect("a query");
    assert!(query.starts_with("{ actor { account(id: 7) { nrql(query: \"SELECT count(*) AS requests"), "{query}");
    let moment = |word: &str| query.split(word).nth(1).and_then(|rest| rest.split(' ').next()?.parse::<i64>().ok());
    let (since, until) = (moment("SINCE ").expect("a beginning"), moment("UNTIL ").expect("an end"));
    // A minute that ended a minute ago.
    assert!(until - since == 60_000 && until >= 1_764_476_640_000, "{query}");
    let group = |set: String, requests: u32, errors: u32, p95: f64| {
        json!({"facet": ["shop", set], "requests": requests, "errors": errors,
            "latency": {"50": 0.1, "95": p95, "99": 0.5}})
    };
    let names = (0..200).map(|n| format!("web{n}")).chain(["web".to_owned()]);
    let of = |name: String| {
        [group(format!("{name}-58bb4f"), 2400, 0, 0.18), group(format!("{name}-7d5f9c"), 240, 120, 0.212)]
    };
    names.flat_map(of).collect()
}

#[async_trait]
impl Fixture for Stubbed {
    async fn open(&self, url: &str, within: Duration) -> Arc<dyn Probe> {
        drop(rustls::crypto::ring::default_provider().install_default());
        NewRelic::within(&table(url), within).await.unwrap()
    }

    fn good(&self, asked: &Asked) -> Play {
        Play::answer(200, &body(&results(asked)).to_string())
    }

    fn no_numbers(&self, asked: &Asked) -> Play {
        let mut all = results(asked);
        for group in &mut all {
            group["latency"] = json!({"50": null, "95": null, "99": null});
            if group["facet"][1].as_str().unwrap().ends_with("7d5f9c") {
                group["requests"] = Value::Null;
            }
        }
        Play::answer(200, &body(&all).to_string())
    }

    fn partial(&self, asked: &Asked) -> Play {
        let mut body = body(&results(asked));
        body["errors"] = json!([{"message": "a part timed out"}]);
        Play::answer(200, &body.to_string())
    }

    fn empty(&self) -> Play {
        Play::answer(200, &body(&[]).to_string())
    }

    fn refusal(&self) -> Play {
        let errors =
            json!([{"message": "NRQL Syntax Error: unexpected 'x'", "extensions": {"errorClass": "BAD_USER_INPUT"}}]);
        let body = json!({"data": {"actor": {"account": {"nrql": null}}}, "errors": errors});
        Play::answer(200, &body.to_string())
    }

    fn odd(&self, asked: &Asked, odd: Odd) -> Play {
        let mut all = results(asked);
        match odd {
            Odd::Duplicate => all.extend(all.clone()),
            Odd::WithoutStable => all.retain(|group| !group["facet"][1].as_str().unwrap().ends_with("58bb4f")),
            Odd::Hostile => {
                for group in &mut all {
                    group["facet"][1] = json!(format!("{}\u{1b}[2J\n", group["facet"][1].as_str().unwrap()));
                }
            }
        }
        Play::answer(200, &body(&all).to_string())
    }

    fn questions(&self) -> usize {
        1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_what_every_probe_must() {
    stands(Arc::new(Stubbed)).await;
}

#[tokio::test]
async fn its_key_goes_with_each_question_and_is_read_again_once_it_is_not_taken_whatever_the_status() {
    let stub = Stub::start(|asked| match asked.header("api-key") {
        Some("s3cret-new") => Stubbed.good(asked),
        // As it says it: with status 200.
        _ => Play::answer(
            200,
            r#"{"errors":[{"message":"Api-Key is invalid","extensions":{"errorClass":"UNAUTHORIZED"}}]}"#,
        ),
    });
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    super::prometheus::write(&key, "s3cret-old");
    let mut table = table(&stub.url());
    table.settings.insert("api_key".to_owned(), json!(format!("file:{}", key.display())));
    let probe = NewRelic::within(&table, WITHIN).await.unwrap();
    let error = probe.measure(&[moving("web")], at()).await.unwrap_err().to_string();
    assert!(error.contains("Api-Key is invalid"), "{error}");
    super::prometheus::write(&key, "s3cret-new");
    assert_eq!(told(&probe.measure(&[moving("web")], at()).await.unwrap(), "web"), whole());
}

#[tokio::test]
async fn as_many_groups_as_it_tells_at_most_may_lack_one() {
    let stub = Stub::start(|asked| {
        let mut all = results(asked);
        all.resize_with(5000, || json!({"facet": ["shop", null], "requests": 1}));
        Play::answer(200, &body(&all).to_string())
    });
    let error = Stubbed.open(&stub.url(), WITHIN).await.measure(&[moving("web")], at()).await.unwrap_err();
    assert!(error.to_string().contains("may lack something: it tells no more than 5000 groups"), "{error}");
}

#[test]
fn mistakes_are_named_by_key() {
    for (more, key, told) in [
        (json!({"api_key": "hunter2"}), "api_key", "env:NAME"),
        (json!({"pod_attribute": "a` b"}), "pod_attribute", "\"a` b\""),
        (json!({"where": " "}), "where", "one line"),
        (json!({"url": "newrelic"}), "url", "address"),
    ] {
        let mut settings = json!({"api_key": "env:A", "account": 7});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let wrong = NewRelic.check(settings.as_object().unwrap()).unwrap_err();
        assert_eq!(wrong.key, Some(key), "{more}: {wrong:?}");
        assert!(wrong.what.contains(told) && !wrong.what.contains("hunter2"), "{more}: {wrong:?}");
    }
}
