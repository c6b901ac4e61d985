//! A bad canary is stopped by what a Prometheus counts of its pods, and people act at a cluster in their own names
//! through an account that is not theirs.

use super::exporter::{Pod, exported, set};
use super::rig::Deck;
use super::{Namespace, canary, dir, until, until_told};
use crate::probe::{real, stub};
use flightdeck::hub::{HubSettings, WatchdogRule};
use flightdeck::integration::orchestrator::kubernetes::KubernetesSettings;
use flightdeck::model::*;
use flightdeck::port::Probe;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn armed(environment: &'static str, on_breach: OnBreach) -> impl FnOnce(&mut HubSettings) {
    let limit = MetricLimit { metric: Metric::ErrorRate, max: None, over_stable: Some(0.01), ratio_to_stable: None };
    let template = AnalysisTemplate {
        limits: vec![limit],
        min_requests: 100,
        missing: Missing::Pause,
        window: SignedDuration::from_mins(1),
        judge: Judge::Sequential,
    };
    move |settings| drop(settings.watchdogs.insert(environment.into(), WatchdogRule { on_breach, template }))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the test cluster and a prometheus: tests/cluster/cluster, ./check"]
async fn a_bad_canary_is_aborted_by_what_a_prometheus_counts_of_its_pods() {
    let namespace = Namespace::new("watchdog");
    let pods: Arc<Mutex<Vec<Pod>>> = Arc::default();
    let (told, of) = (Arc::clone(&pods), namespace.name.clone());
    let exporter = stub::Stub::start(move |_| stub::Play::answer(200, &exported(&of, &told.lock().unwrap())));
    let scratch = tempfile::tempdir().unwrap();
    let (_running, url) = real::prometheus(scratch.path(), exporter.url().trim_start_matches("http://"));
    let settings = json!({"url": url, "every": "5s", "range": "8s"});
    let probe: Arc<dyn Probe> = Arc::new(crate::probe::prometheus::opened(settings, Duration::from_secs(10)).await);
    let deck = Deck::watched(namespace.settings("operator"), "anna", armed("test", OnBreach::Abort), vec![probe]).await;
    namespace.apply(&canary("shop", "1.0", &json!([{"setWeight": 20}, {"pause": {}}])));
    deck.at("shop", Phase::Healthy).await;
    namespace.set_version("rollout/shop", "1.1");
    let row = deck
        .row("shop", "its pause", |row| {
            row.phase == Phase::Paused && row.candidate().is_some_and(|arm| arm.replicas.ready == 1)
        })
        .await;
    let sets = [ArmRole::Stable, ArmRole::Candidate].map(|role| set(&row, &role).expect("a set of pods"));
    let since = Instant::now();
    for (set, rate) in sets.iter().zip([400.0, 100.0]) {
        let (set, version) = (set.clone(), String::new());
        pods.lock().unwrap().push(Pod { set, name: "x2x4z", version, rate, bad: None, since });
    }
    // While it is as good as stable it is watched, and nothing happens.
    let good = deck
        .row("shop", "numbers of a good candidate", |row| {
            let report = row.watchdog.as_ref().and_then(|watchdog| watchdog.report.as_ref());
            report.is_some_and(|report| report.candidate_requests > 500)
        })
        .await;
    assert!(good.watchdog.as_ref().unwrap().breach.is_none() && good.phase == Phase::Paused, "{:?}", good.watchdog);
    let bad = Instant::now();
    pods.lock().unwrap().last_mut().unwrap().bad = Some(bad);
    let last = std::cell::RefCell::new(String::new());
    let receipt = until_told(
        || format!("its abort; {}", last.borrow()),
        async || {
            let row = deck.find("shop").await;
            *last.borrow_mut() = format!("{:?}", row.and_then(|row| row.watchdog));
            deck.board().await.into_iter().find_map(|entity| match entity {
                Entity::Receipt(receipt) if receipt.actor.name == "system:watchdog" => Some(*receipt),
                _ => None,
            })
        },
    )
    .await;
    println!("aborted {:.1} s after one in ten requests began to fail", bad.elapsed().as_secs_f64());
    println!("{}", receipt.command.reason.as_deref().unwrap_or_default());
    let receipt = deck.end_of(&receipt).await;
    println!("effective {:.1} s after it", bad.elapsed().as_secs_f64());
    assert!(matches!(receipt.stage(), Stage::Effective { .. }), "{receipt:?}");
    assert!(namespace.argo(&["get", "rollout", "shop", "--no-color"]).contains("RolloutAborted"));
}

/// Who the API server took for the sender of changes: the account, and whom it acted for.
fn senders(namespace: &Namespace) -> Vec<(String, String)> {
    let log = std::fs::read_to_string(dir().join("audit.log")).unwrap_or_default();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let patches = events.filter(|event| {
        event["objectRef"]["namespace"] == namespace.name.as_str()
            && event["objectRef"]["resource"] == "rollouts"
            && event["stage"] == "ResponseComplete"
            && event["verb"] == "patch"
            && !event["impersonatedUser"].is_null()
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    patches.map(|event| (text(&event["user"]["username"]), text(&event["impersonatedUser"]["username"]))).collect()
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn through_an_account_that_is_not_theirs_people_may_what_the_cluster_lets_them() {
    let namespace = Namespace::new("people");
    for role in ["flightdeck-reader", "flightdeck-operator"] {
        let (role, name) = (format!("--clusterrole={role}"), format!("alice-{role}"));
        let words = ["create", "rolebinding", &name, &role, "--user=alice@example.com", "--namespace", &namespace.name];
        namespace.kubectl(&words);
    }
    // The account of the server, as config/kubernetes/watchdog.yaml has it: it may act for others.
    let binding = format!("impersonator-{}", namespace.name);
    let role = "--clusterrole=flightdeck-impersonator";
    namespace.kubectl(&["create", "clusterrolebinding", &binding, role, "--user=operator"]);
    let source = KubernetesSettings {
        impersonate: Some("{user}@example.com".to_owned()),
        for_others: true,
        ..namespace.settings("operator")
    };
    namespace.apply(&canary("shop", "1.0", &json!([{"setWeight": 20}, {"pause": {"duration": "1h"}}])));
    let alice = Deck::watched(source.clone(), "alice", |_| {}, Vec::new()).await;
    alice.at("shop", Phase::Healthy).await;
    namespace.set_version("rollout/shop", "1.1");
    let row = alice.row("shop", "its pause", |row| row.offers.contains(Action::Pause) && row.step == Some(1)).await;
    let bob = Deck::watched(source.clone(), "bob", |_| {}, Vec::new()).await;
    let refused = bob.send(Action::Pause, &row, "pause").await.unwrap_err();
    assert!(refused.kind == RefusalKind::Denied && refused.why.contains("you lack get on rollouts"), "{refused}");
    alice.does(Action::Pause, "shop").await;
    let sender = ("operator".to_owned(), "alice@example.com".to_owned());
    until("the audit log", async || senders(&namespace).contains(&sender).then_some(())).await;
    // Where nobody said who people are there, the account is lent to none.
    let unnamed = KubernetesSettings { impersonate: None, ..source };
    let carol = Deck::watched(unnamed, "carol", |_| {}, Vec::new()).await;
    let row = carol.row("shop", "its row", |row| row.offers.contains(Action::Abort)).await;
    let refused = carol.send(Action::Abort, &row, "abort").await.unwrap_err();
    assert!(refused.why.contains("`impersonate` in [sources.test]"), "{refused}");
    assert!(senders(&namespace).iter().all(|(_, who)| who != "carol@example.com"));
}
