//! `metrics check`: what each question found, and which rollouts have no numbers and why.

use super::sources::{configured, shop};
use crate::probe::stub::{Asked, Play, Stub};
use crate::support::live::{Done, flightdeck};
use serde_json::{Value, json};
use std::path::Path;

/// A Prometheus with the requests of these versions of the shop, by their role.
fn has(asked: &Asked, sides: &[(&str, &str)]) -> Play {
    let query = asked.field("query");
    let series = |more: Value| {
        sides.iter().map(move |(role, version)| {
            let mut metric = json!({"environment": "dev", "service": "shop", "version": version, "role": role});
            metric.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"metric": metric, "value": [1_764_476_700.5, "1"]})
        })
    };
    let result: Vec<Value> = if query.starts_with("max(timestamp(") {
        vec![json!({"metric": {}, "value": [1_764_476_700.5, "1764476690"]})]
    } else {
        series(if query.starts_with("sum by (le,") { json!({"le": "0.1"}) } else { json!({}) }).collect()
    };
    let data = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    Play::answer(200, &data.to_string())
}

fn settings(dir: &Path, url: &str) {
    let prometheus = format!("[sources.prom]\nkind = \"prometheus\"\npreset = \"flightdeck\"\nurl = {url:?}\n");
    configured(dir, &(shop(dir, "mainframe") + &prometheus));
}

fn document(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:?}"))
}

#[test]
fn each_question_is_asked_once_and_all_good_is_0() {
    let stub = Stub::start(|asked| has(asked, &[("stable", "1.0"), ("candidate", "1.1")]));
    let dir = tempfile::tempdir().unwrap();
    settings(dir.path(), &stub.url());
    let done = flightdeck(dir.path(), &["metrics", "check", "-o", "json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let told = &document(&done)[0];
    assert_eq!(told["told_apart_by"], "role (environment, service, version, role)");
    let queries: Vec<_> = told["queries"].as_array().unwrap().iter().map(|of| of["metric"].as_str().unwrap()).collect();
    assert_eq!(queries, ["requests", "errors", "p50", "p95", "p99", "increases", "latency increases"]);
    let mut asked: Vec<_> = stub.asked().iter().map(|asked| asked.field("query").to_owned()).collect();
    asked.retain(|query| !query.starts_with("max(timestamp("));
    assert_eq!(asked.len(), 7, "{asked:?}");
    assert_eq!(told["queries"][0]["newest"], "2025-11-30T04:24:50Z");
    assert_eq!((&told["rows"][0]["measured"].as_array().unwrap().len(), &told["rows"][0]["why"]), (&2, &json!([])));
    let text = flightdeck(dir.path(), &["metrics", "check", "prom"]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.out.starts_with("prom: sides are told apart by role (environment"), "{}", text.out);
}

#[test]
fn a_side_without_numbers_is_named_and_is_not_0() {
    let stub = Stub::start(|asked| has(asked, &[("stable", "1.0")]));
    let dir = tempfile::tempdir().unwrap();
    settings(dir.path(), &stub.url());
    let done = flightdeck(dir.path(), &["metrics", "check"]);
    assert_eq!(done.code, 6, "{done:?}");
    let line = done.out.lines().find(|line| line.starts_with("shop ")).unwrap_or_default();
    assert!(line.contains("stable") && line.contains("candidate"), "{done:?}");
    assert!(line.contains("no flightdeck_requests_total of shop"), "{done:?}");
    assert!(done.err.contains("not all is known: prom"), "{done:?}");
    // Nothing at all fits.
    let other = Stub::start(|asked| has(asked, &[("stable", "0.1")]));
    settings(dir.path(), &other.url());
    let done = flightdeck(dir.path(), &["metrics", "check", "-o", "json"]);
    assert_eq!((done.code, &document(&done)[0]["rows"][0]["why"][0]["reason"]), (6, &json!("no_series")));
}

#[test]
fn what_is_refused_or_not_there_is_said_of_each_question() {
    let dir = tempfile::tempdir().unwrap();
    let refusing = Stub::start(|_| Play::answer(401, "no\u{1b}[2J"));
    settings(dir.path(), &refusing.url());
    let done = flightdeck(dir.path(), &["metrics", "check", "prom"]);
    assert_eq!(done.code, 6, "{done:?}");
    assert!(done.out.contains("401 Unauthorized") && !done.out.contains('\u{1b}'), "{done:?}");
    let gone = refusing.url();
    drop(refusing);
    settings(dir.path(), &gone);
    let done = flightdeck(dir.path(), &["metrics", "check", "-o", "json"]);
    assert_eq!(done.code, 4, "{done:?}");
    assert_eq!(document(&done)[0]["queries"][0]["answered"], json!(false));
    let none = flightdeck(dir.path(), &["metrics", "check", "mainframe"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("there are: prom"), "{none:?}");
}
