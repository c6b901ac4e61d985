//! Several people at one rollout at once: what the receipts say is what happened.

use super::rig::Deck;
use super::{Namespace, canary, until};
use flightdeck::model::{Action, Phase, Receipt, Refusal, Stage};
use futures::future::join_all;
use serde_json::json;

/// Rounds of the race; each begins a release and ends with the version before.
fn rounds() -> u32 {
    std::env::var("FLIGHTDECK_RACE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

fn accepted(outcome: &Result<Receipt, Refusal>) -> Option<&Receipt> {
    outcome.as_ref().ok().filter(|receipt| receipt.stages.iter().any(|record| record.stage == Stage::Accepted))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn an_accepted_abort_is_never_overridden_by_what_was_pinned_before() {
    let namespace = Namespace::new("races");
    namespace.apply(&canary("shop", "0", &json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}])));
    let people: [&'static str; 8] = ["ann", "ben", "cat", "dan", "eve", "fay", "gus", "hal"];
    let desks: Vec<Deck> = people.into_iter().map(|name| Deck::over(namespace.settings("operator"), name)).collect();
    let actions = [
        Action::Promote,
        Action::Pause,
        Action::Abort,
        Action::Rollback,
        Action::Promote,
        Action::PromoteFull,
        Action::Abort,
        Action::Pause,
    ];
    let mut told = Vec::new();
    for round in 1..=rounds() {
        let version = format!("{round}");
        namespace.set_version("rollout/shop", &version);
        let is_new = |row: &flightdeck::model::Rollout| {
            row.phase == Phase::Paused
                && row.awaits_human()
                && row.candidate().is_some_and(|arm| arm.version.as_str() == version)
        };
        let rows = join_all(desks.iter().map(|desk| desk.row("shop", "paused at its first step", is_new))).await;
        // Everybody has looked; now all act at once, in another order each round.
        let shift = round as usize;
        let racing = desks.iter().zip(&rows).enumerate().map(|(index, (desk, row))| {
            let action = actions[(index * 3 + shift) % actions.len()];
            let id = format!("{round}-{index}");
            async move { (action, desk.send(action, row, &id).await) }
        });
        let outcomes = join_all(racing).await;
        let mut held = false;
        for ((action, outcome), desk) in outcomes.iter().zip(&desks) {
            if let Some(receipt) = accepted(outcome) {
                let last = desk.end_of(receipt).await;
                held |= *action == Action::Abort && matches!(last.stage(), Stage::Effective { .. });
                told.push(format!("{round}: {} {}: {}", desk.who, action.name(), last.stage().word()));
            } else if let Err(refusal) = outcome {
                told.push(format!("{round}: {} {}: {refusal}", desk.who, action.name()));
            }
        }
        let aborted = outcomes.iter().any(|(action, outcome)| *action == Action::Abort && accepted(outcome).is_some());
        assert!(aborted, "one abort of two is accepted: {told:#?}");
        assert!(held, "an accepted abort takes effect: {told:#?}");
        let stable = until("the end of the round", async || {
            let object = namespace.get("rollout/shop");
            let status = &object["status"];
            let pods = namespace.get("replicasets");
            let candidate = status["currentPodHash"].as_str()?.to_owned();
            let old = status["stableRS"].as_str()?.to_owned();
            let count = |hash: &str| {
                let sets = pods["items"].as_array()?.iter();
                let of = |set: &&serde_json::Value| set["metadata"]["labels"]["rollouts-pod-template-hash"] == hash;
                sets.filter(of).find_map(|set| set["spec"]["replicas"].as_i64())
            };
            (candidate == old || count(&candidate) == Some(0)).then_some((old, count(status["stableRS"].as_str()?)))
        })
        .await;
        assert_eq!(stable.1, Some(5), "round {round}: stable has all pods: {told:#?}");
        let serving = namespace.kubectl(&[
            "get",
            "pods",
            "--output=jsonpath={range .items[?(@.metadata.deletionTimestamp==null)]}{.spec.containers[0].image} {end}",
        ]);
        assert!(!serving.contains(&super::image(&version)), "round {round}: nobody meets {version}: {serving}");
        // The next round begins from a settled rollout.
        let row = desks[0].row("shop", "settled", |row| !row.phase.in_flight()).await;
        if row.phase != Phase::Healthy {
            desks[0].does(Action::Rollback, "shop").await;
            desks[0].row("shop", "healthy again", |row| row.phase == Phase::Healthy).await;
        }
    }
    println!("{}", told.join("\n"));
}
