//! The sides of a real Rollout get their numbers, told apart in each of the ways that a Prometheus may have.

use super::exporter::{Pod, exported, exported_without_pods, set};
use super::rig::Deck;
use super::{Namespace, canary, until_told};
use crate::probe::{prometheus::opened, real, stub};
use flightdeck::model::*;
use flightdeck::port::Probe as _;
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster and a prometheus: tests/cluster/cluster, ./check"]
async fn the_sides_of_a_rollout_are_told_apart_by_pods_hashes_and_the_labels_of_a_mesh() {
    let namespace = Namespace::new("signals");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&canary("shop", "1.0", &json!([{"setWeight": 20}, {"pause": {}}])));
    deck.at("shop", Phase::Healthy).await;
    namespace.set_version("rollout/shop", "1.1");
    let paused =
        |row: &Rollout| row.phase == Phase::Paused && row.candidate().is_some_and(|arm| arm.replicas.ready == 1);
    let row = deck.row("shop", "its pause", paused).await;
    let since = Instant::now();
    // One in ten of the candidate's requests fails, none of stable's.
    let sides = [(ArmRole::Stable, 400.0, None), (ArmRole::Candidate, 100.0, Some(since))];
    let pod = |(role, rate, bad): &(ArmRole, f64, Option<Instant>)| Pod {
        set: set(&row, role).expect("a set of pods"),
        name: "x2x4z",
        version: row.arm(role).expect("a side").version.to_string(),
        rate: *rate,
        bad: *bad,
        since,
    };
    let (pods, name): (Vec<Pod>, _) = (sides.iter().map(pod).collect(), namespace.name.clone());
    let exporter = stub::Stub::start(move |_| {
        let text = exported(&name, &pods) + &exported_without_pods(&name, "shop", &pods);
        stub::Play::answer(200, &text)
    });
    let scratch = tempfile::tempdir().unwrap();
    let (_running, url) = real::prometheus(scratch.path(), exporter.url().trim_start_matches("http://"));
    for told_by in [
        json!({"preset": "http"}),
        json!({"preset": "http", "arms_by": "template_hash"}),
        json!({"preset": "istio", "arms_by": "version"}),
    ] {
        let mut settings = json!({"url": url, "every": "5s", "range": "8s"});
        settings.as_object_mut().unwrap().append(&mut told_by.as_object().unwrap().clone());
        let probe = opened(settings, Duration::from_secs(10)).await;
        let last = std::cell::RefCell::new(String::new());
        let rows = [Arc::new(row.clone())];
        let close =
            |got: u64, wanted: f64| (f64::from(u32::try_from(got).unwrap()) - wanted).abs() <= wanted.mul_add(0.1, 1.0);
        let samples = until_told(
            || format!("numbers by {told_by}; last {}", last.borrow()),
            async || {
                let measured = probe.measure(&rows, Timestamp::now()).await;
                *last.borrow_mut() = format!("{measured:?}");
                let samples = measured.ok()?.samples;
                let of = |role: &ArmRole| samples.iter().find(|sample| sample.role == *role);
                // Of windows of 5 s.
                let right = |role: &ArmRole, requests: f64, errors: f64| {
                    of(role).is_some_and(|of| close(of.requests, requests) && close(of.errors, errors))
                };
                (right(&ArmRole::Stable, 2000.0, 0.0) && right(&ArmRole::Candidate, 500.0, 50.0)).then_some(samples)
            },
        )
        .await;
        println!("{told_by}: {samples:?}");
    }
}
