//! What is said while parts of the control plane are dead. These tests kill controllers that every
//! other test of the cluster needs: they run by themselves, one after the other.

use crate::cluster::rig::{Deck, story};
use crate::cluster::{Namespace, control, daemon_set, stateful_set, until};
use crate::contract::all_passed;
use crate::contract::kubernetes::{Alone, Sort};
use flightdeck::contract::{Case, run};
use flightdeck::model::{Action, Phase, Receipt, Stage};

/// What is asked of a workload without its controller.
fn cases() -> Vec<Case> {
    let uncontrolled = |case: &Case| matches!(case, Case::NoController(..) | Case::Superseded(..));
    Case::ALL.iter().copied().filter(uncontrolled).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills controllers of the test cluster: runs alone"]
async fn nothing_is_effective_on_a_workload_whose_controller_is_dead() {
    for sort in [Sort::Canary, Sort::BlueGreen, Sort::Deployment] {
        all_passed(&run(&Alone(sort), &cases(), 1).await, &cases());
    }
}

/// The receipt as it stands, once the hub has looked at what is on the board.
async fn now(deck: &Deck, receipt: &Receipt) -> Receipt {
    let receipts = deck.board().await.into_iter().filter_map(|entity| match entity {
        flightdeck::model::Entity::Receipt(of) if of.id == receipt.id => Some(*of),
        _ => None,
    });
    receipts.last().expect("its receipt")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kills controllers of the test cluster: runs alone"]
async fn a_set_is_restarted_and_undone_only_once_its_controller_is_back() {
    let namespace = Namespace::new("dead");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&stateful_set("store", "1.0"));
    namespace.apply(&daemon_set("agent", "1.0"));
    for (what, name) in [("statefulset/store", "store"), ("daemonset/agent", "agent")] {
        deck.at(name, Phase::Healthy).await;
        namespace.set_version(what, "1.1");
        let new = |row: &flightdeck::model::Rollout| {
            row.phase == Phase::Healthy && row.stable().is_some_and(|arm| arm.version.as_str() == "1.1")
        };
        deck.row(name, "1.1 everywhere", new).await;
    }
    for action in [Action::Rollback, Action::Restart] {
        control("kill", "kube-controller-manager");
        let mut sent = Vec::new();
        for name in ["store", "agent"] {
            let row = deck.row(name, "offered", |row| row.offers.contains(action)).await;
            let receipt = deck.send(action, &row, &format!("{}-{name}", action.name())).await.expect("taken");
            let changed = |now: &flightdeck::model::Rollout| now.facts != row.facts;
            deck.row(name, "its description changed", changed).await;
            let receipt = now(&deck, &receipt).await;
            assert!(matches!(receipt.stage(), Stage::Accepted | Stage::Observed), "{}", story(&receipt));
            sent.push(receipt);
        }
        control("start", "kube-controller-manager");
        for receipt in sent {
            let last = deck.end_of(&receipt).await;
            assert!(matches!(last.stage(), Stage::Effective { .. }), "{}", story(&last));
        }
    }
    let version = |what: &str| namespace.get(what)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    until("both to be at 1.0", async || {
        ["statefulset/store", "daemonset/agent"]
            .iter()
            .all(|what| version(what).as_str().is_some_and(|image| image.ends_with(":1.0")))
            .then_some(())
    })
    .await;
}
