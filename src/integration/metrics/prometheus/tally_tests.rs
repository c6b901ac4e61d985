use super::super::growth::of as grown_of;
use super::*;
use flightdeck_model::{Arm, ArmRole, PodNames, Ppm, Replicas, Run, Target, Traffic, TrafficSource};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn settings(more: &serde_json::Value) -> Settings {
    let mut all = json!({"url": "http://127.0.0.1:9090"});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Settings::of(all.as_object().unwrap()).unwrap()
}

fn question(indicators: &[Indicator], window: SignedDuration) -> TallyQuestion {
    let target = Target {
        source: "east".into(),
        kind: "Deployment".into(),
        namespace: Some("shop".into()),
        name: "web".into(),
        uid: "web".into(),
        first_name: None,
    };
    let arm = Arm {
        role: ArmRole::Stable,
        version: "1.0".into(),
        digest: None,
        replicas: Replicas::default(),
        traffic: Traffic { desired: Ppm::ALL, actual: None, how: TrafficSource::Replicas },
        pods: Some(PodNames::Workload("web".into())),
        service: None,
    };
    let run = Run { target: target.clone(), revision: "2".into() };
    let bare = Rollout::bare(run, "web".into(), "production".into(), Timestamp::UNIX_EPOCH);
    let row = Rollout { arms: vec![arm], ..bare };
    TallyQuestion {
        rows: vec![Arc::new(row)],
        wanted: [target].into(),
        window,
        indicators: indicators.iter().copied().collect(),
    }
}

fn vector(values: &[(&[&str], f64)]) -> Vector {
    let of = |(key, value): &(&[&str], f64)| (key.iter().map(|part| (*part).to_owned()).collect(), *value);
    Vector { values: values.iter().map(of).collect(), at: Some(10_000_000.0), ..Vector::default() }
}

const FAST: Indicator = Indicator::Latency { within_us: 300_000 };

fn told(
    settings: &Settings,
    question: &TallyQuestion,
    counts: &[(&[&str], f64)],
    buckets: &[(&[&str], f64)],
    first: Option<f64>,
) -> Vec<Result<Tally, String>> {
    let grown = grown_of(&vector(counts), &vector(buckets), micros(settings));
    let first = first.map(|first| vector(&[(&["shop", "web-7d5f9c"], first)]));
    let all: Vec<&Rollout> = question.rows.iter().map(|row| &**row).collect();
    let words = Words {
        requests: "http_requests_total of the pods".into(),
        status: "label code nor status".into(),
        labels: "the label pod".into(),
        scope: "",
    };
    let told = rows(&all, &Tallied { grown, first }, question, settings, &words);
    told.into_iter().map(|one| one.found).collect()
}

#[test]
fn one_query_an_indicator_counts_for_all_services() {
    let plain = settings(&json!({"status_label": "code"}));
    let both = question(&[Indicator::Availability, FAST], DAY * 30);
    assert_eq!(Count::all(&plain, &both), [Count::Statuses, Count::Buckets, Count::First]);
    let shop = BTreeSet::from(["pay", "shop"]);
    let series = "http_requests_total{namespace=~\"pay|shop\", pod!=\"\"}";
    let statuses = Count::Statuses.query(&plain, &shop, DAY * 30);
    let grown = format!(
        "label_replace(increase({series}[2592000s]), \"part\", \"1\", \"\", \"\") or \
         label_replace((min_over_time({series}[2592000s]) unless {series} offset 2592000s) and on (namespace, pod) \
         {series} offset 2592000s, \"part\", \"2\", \"\", \"\")"
    );
    assert!(statuses.contains(&format!("sum by (namespace, pod, code) ({grown})")), "{statuses}");
    assert!(statuses.starts_with("sum by (status_known, status_failed, namespace, pod_set) ("), "{statuses}");
    let buckets = Count::Buckets.query(&plain, &shop, DAY);
    assert!(buckets.starts_with("sum by (le, namespace, pod_set) ("), "{buckets}");
    assert_eq!(
        Count::First.query(&plain, &shop, DAY * 30),
        format!(
            "min_over_time(timestamp(sum by (namespace, pod_set) (label_replace(sum by (namespace, pod) ({series}), \
             \"pod_set\", \"$1\", \"pod\", \"(.+)-[^-]+\")))[2592000s:21600s])"
        )
    );
}

#[test]
fn what_is_asked_is_what_is_wanted_and_can_be_told() {
    let hour = SignedDuration::from_hours(1);
    let of = |more: serde_json::Value, indicators: &[Indicator], window| {
        Count::all(&settings(&more), &question(indicators, window))
    };
    assert_eq!(of(json!({}), &[Indicator::Availability], hour), [Count::Statuses]);
    assert_eq!(of(json!({}), &[FAST], hour), [Count::Buckets]);
    assert_eq!(of(json!({"preset": "haproxy"}), &[FAST], DAY * 30), []);
    let own = json!({"queries": {"requests": "sum(rate(r{n=~\"{namespaces}\"}[{range}]))", "errors": "e[{range}]"}});
    assert_eq!(of(own.clone(), &[FAST], hour), []);
    let both = of(own.clone(), &[Indicator::Availability, FAST], DAY * 30);
    assert_eq!(both, [Count::OwnRequests, Count::OwnErrors, Count::First]);
    let shop = BTreeSet::from(["shop"]);
    let asked = |count: Count| count.query(&settings(&own), &shop, hour);
    assert_eq!(asked(Count::OwnRequests), "(sum(rate(r{n=~\"shop\"}[3600s]))) * 3600");
    assert_eq!(asked(Count::OwnErrors), "(e[3600s]) * 3600");
    assert_eq!(asked(Count::First), "min_over_time(timestamp(sum(rate(r{n=~\"shop\"}[30s])))[3600s:30s])");
}

#[test]
fn requests_of_all_versions_are_the_services_and_no_errors_are_none() {
    let plain = settings(&json!({}));
    let question = question(&[Indicator::Availability], DAY * 30);
    let counts: &[(&[&str], f64)] = &[
        (&["shop", "web-7d5f9c", "1", ""], 900.0),
        (&["shop", "web-7d5f9c", "1", "1"], 1.5),
        (&["shop", "web-58bb4f", "1", ""], 98.5),
        (&["shop", "api-58bb4f", "1", "1"], 7.0),
    ];
    let tally = |bad, requests, covers| Ok(Tally { requests, bad, covers });
    assert_eq!(told(&plain, &question, counts, &[], None), [tally(1.5, 1000.0, None)]);
    assert_eq!(told(&plain, &question, &counts[2..], &[], None), [tally(0.0, 98.5, None)]);
    let idle: &[(&[&str], f64)] = &[(&["shop", "web-7d5f9c", "1", ""], 0.0)];
    assert_eq!(told(&plain, &question, idle, &[], None), [tally(0.0, 0.0, None)]);
    // How much of the window there is: it ends at 10 000 000 s, and is looked at each 6 h.
    for (first, covers) in [(7_420_000.0, DAY * 30), (8_704_000.0, DAY * 15)] {
        assert_eq!(told(&plain, &question, idle, &[], Some(first)), [tally(0.0, 0.0, Some(covers))]);
    }
    for (counts, why) in [
        (&counts[3..], "no http_requests_total of the pods of shop/web"),
        (&[(&["shop", "web-7d5f9c", "", ""][..], 5.0)][..], "errors are not known"),
    ] {
        let told = told(&plain, &question, counts, &[], None).remove(0).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn a_latency_is_told_by_the_bucket_that_ends_there_and_by_no_other() {
    let plain = settings(&json!({}));
    let fast = question(&[FAST], SignedDuration::from_hours(1));
    let buckets: &[(&[&str], f64)] = &[
        (&["shop", "web-7d5f9c", "0.1"], 500.0),
        (&["shop", "web-7d5f9c", "0.3"], 985.0),
        (&["shop", "web-7d5f9c", "+Inf"], 1000.0),
        (&["shop", "web-58bb4f", "0.30000000000000004"], 10.0),
        (&["shop", "web-58bb4f", "+Inf"], 20.0),
        (&["shop", "api-58bb4f", "+Inf"], 99.0),
    ];
    let tally = Tally { requests: 1020.0, bad: 25.0, covers: None };
    assert_eq!(told(&plain, &fast, &[], buckets, None), [Ok(tally)]);
    let other = question(&[Indicator::Latency { within_us: 250_000 }], SignedDuration::from_hours(1));
    let why = told(&plain, &other, &[], &buckets[..3], None).remove(0).unwrap_err();
    assert_eq!(why, "no bucket ends at 0.25; there are le = 0.1, 0.3");
    let none = |settings: &Settings, counts: &[(&[&str], f64)]| {
        told(settings, &fast, counts, &[], None).remove(0).unwrap_err()
    };
    let counts: &[(&[&str], f64)] = &[(&["shop", "web-7d5f9c", "1", ""], 900.0)];
    assert_eq!(none(&plain, counts), "there are no buckets of its latencies");
    let own = settings(&json!({"queries": {"requests": "r", "errors": "e"}}));
    let counts: &[(&[&str], f64)] = &[(&["shop", "web-7d5f9c", "1", ""], 900.0)];
    assert!(none(&own, counts).contains("tell no buckets"));
}
