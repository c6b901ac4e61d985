//! Every command on the real controllers: what was sent, what came of it, and that the official tools
//! see the same end.

use super::rig::{Deck, story};
use super::{Namespace, blue_green, canary, deployment, stateful_set, until};
use flightdeck::model::*;
use serde_json::{Value, json};

fn steps() -> Value {
    json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}])
}

/// A canary of 5 pods that stands at its first pause: 4 of 1.0, 1 of 1.1.
async fn standing(namespace: &Namespace, deck: &Deck, steps: &Value) -> Rollout {
    namespace.apply(&canary("shop", "1.0", steps));
    deck.at("shop", Phase::Healthy).await;
    namespace.set_version("rollout/shop", "1.1");
    deck.row("shop", "its first pause", |row| {
        row.phase == Phase::Paused && row.candidate().is_some_and(|arm| arm.replicas.ready == 1)
    })
    .await
}

/// Ready pods by version, from the ReplicaSets themselves.
fn pods(namespace: &Namespace) -> Vec<(String, u64)> {
    let sets = namespace.get("replicasets");
    let mut pods: Vec<(String, u64)> = sets["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| {
            let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
            let version = image.rsplit(':').next().unwrap().to_owned();
            (version, set["status"]["replicas"].as_u64().unwrap_or(0))
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    pods.sort();
    pods
}

fn version(namespace: &Namespace, what: &str) -> String {
    let image = namespace.get(what)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    image.as_str().unwrap().rsplit(':').next().unwrap().to_owned()
}

/// Resources of what the operator changed, in order.
fn changed(namespace: &Namespace) -> Vec<String> {
    let asked = namespace.changes_by("operator");
    for one in &asked {
        println!("  {} {} {} {} -> {}", one.verb, one.resource, one.name, one.body, one.status);
    }
    asked.into_iter().filter(|one| one.status < 300).map(|one| one.resource).collect()
}

/// What the official plugin says, once it says so.
async fn says(namespace: &Namespace, words: &str) {
    until(&format!("the plugin to say {words}"), async || {
        namespace.argo(&["get", "rollout", "shop", "--no-color"]).contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_canary_is_promoted_step_by_step_and_in_full() {
    let namespace = Namespace::new("promote");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    standing(&namespace, &deck, &steps()).await;
    let proof = deck.does(Action::Promote, "shop").await;
    assert!(proof.contains("at step 4 of 4") && proof.contains("candidate 1.1: 3 of 3 pods ready"), "{proof}");
    assert_eq!(pods(&namespace), [("1.0".to_owned(), 2), ("1.1".to_owned(), 3)]);
    deck.row("shop", "its last pause", |row| row.phase == Phase::Paused && row.step == Some(3)).await;
    let proof = deck.does(Action::PromoteFull, "shop").await;
    assert!(proof.contains("finished; stable 1.1: 5 of 5"), "{proof}");
    assert_eq!(pods(&namespace), [("1.1".to_owned(), 5)]);
    assert_eq!(changed(&namespace), ["rollouts/status", "rollouts/status"]);
    says(&namespace, "Healthy").await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_canary_is_paused_and_resumed() {
    let namespace = Namespace::new("pause");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    standing(
        &namespace,
        &deck,
        &json!([{"setWeight": 20}, {"pause": {"duration": "2s"}}, {"setWeight": 60}, {"pause": {}}]),
    )
    .await;
    let proof = deck.does(Action::Pause, "shop").await;
    assert!(proof.starts_with("paused at step 2 of 4"), "{proof}");
    says(&namespace, "Paused").await;
    deck.does(Action::Resume, "shop").await;
    // Its own pause ends by itself now.
    deck.row("shop", "its last pause", |row| row.step == Some(3) && row.phase == Phase::Paused).await;
    assert_eq!(changed(&namespace), ["rollouts", "rollouts"]);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn an_abort_brings_stable_back_and_a_retry_the_candidate() {
    let namespace = Namespace::new("abort");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    standing(&namespace, &deck, &steps()).await;
    let proof = deck.does(Action::Abort, "shop").await;
    assert!(proof.contains("stable 1.0: 5 of 5"), "{proof}");
    assert_eq!(pods(&namespace), [("1.0".to_owned(), 5)]);
    says(&namespace, "RolloutAborted").await;
    let proof = deck.does(Action::Retry, "shop").await;
    assert!(proof.starts_with("started again"), "{proof}");
    deck.row("shop", "its first pause", |row| row.phase == Phase::Paused && row.step == Some(1)).await;
    assert_eq!(changed(&namespace), ["rollouts/status", "rollouts/status"]);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn an_abort_while_paused_takes_the_candidates_pods_which_the_official_one_leaves() {
    let (theirs, ours) = (Namespace::new("paused-theirs"), Namespace::new("paused-ours"));
    let deck = Deck::new(&theirs, "operator", "anna").await;
    standing(&theirs, &deck, &steps()).await;
    theirs.argo(&["pause", "shop"]);
    deck.row("shop", "paused by hand", |row| row.facts.0.get(&Fact::Pause).is_some_and(|of| of.contains("paused")))
        .await;
    theirs.argo(&["abort", "shop"]);
    let row = deck
        .row("shop", "its pods to stay", |row| row.phase == Phase::RollingBack && row.message.contains("still serve"))
        .await;
    says(&theirs, "RolloutAborted").await;
    println!("official: {}; pods {:?}", row.message, pods(&theirs));
    assert_eq!(pods(&theirs), [("1.0".to_owned(), 4), ("1.1".to_owned(), 1)], "aborted, and users stay on 1.1");
    // Ours completes what theirs left.
    deck.does(Action::Abort, "shop").await;
    assert_eq!(pods(&theirs), [("1.0".to_owned(), 5)]);

    let deck = Deck::new(&ours, "operator", "anna").await;
    standing(&ours, &deck, &steps()).await;
    deck.does(Action::Pause, "shop").await;
    deck.does(Action::Abort, "shop").await;
    assert_eq!(pods(&ours), [("1.0".to_owned(), 5)]);
    assert_eq!(changed(&ours), ["rollouts", "rollouts/status", "rollouts"]);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn an_abort_right_after_promote_full_holds_which_the_official_one_does_not() {
    // Pods of 1.1-slow take a while, so that the full promotion is still under way.
    let begin = async |namespace: &Namespace, deck: &Deck| {
        namespace.apply(&canary("shop", "1.0", &json!([{"setWeight": 0}, {"pause": {}}])));
        deck.at("shop", Phase::Healthy).await;
        namespace.set_version("rollout/shop", "slow");
        deck.row("shop", "its pause", |row| row.phase == Phase::Paused).await
    };
    let (theirs, ours) = (Namespace::new("full-theirs"), Namespace::new("full-ours"));
    let watching = Deck::new(&theirs, "operator", "anna").await;
    begin(&theirs, &watching).await;
    theirs.argo(&["promote", "shop", "--full"]);
    theirs.argo(&["abort", "shop"]);
    watching.row("shop", "what the official abort leaves", |row| row.phase == Phase::Healthy).await;
    println!("official: pods {:?}", pods(&theirs));
    assert_eq!(pods(&theirs), [("slow".to_owned(), 5)], "the abort was lost");

    let deck = Deck::new(&ours, "operator", "anna").await;
    let row = begin(&ours, &deck).await;
    let full = deck.send(Action::PromoteFull, &row, "full").await.unwrap();
    let abort = deck.send(Action::Abort, &row, "abort").await.unwrap();
    let abort = deck.end_of(&abort).await;
    assert!(matches!(abort.stage(), Stage::Effective { .. }), "{}", story(&abort));
    let full = deck.end_of(&full).await;
    assert!(matches!(full.stage(), Stage::Superseded { .. }), "{}", story(&full));
    deck.at("shop", Phase::Aborted).await;
    // What the controller had begun for the full promotion is taken back.
    until("all pods of 1.0 and no other", async || (pods(&ours) == [("1.0".to_owned(), 5)]).then_some(())).await;
    assert_eq!(ours.get("rollout/shop")["status"]["abort"], true);
    changed(&ours);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn an_undo_goes_back_to_stable_in_flight_and_in_full_when_done() {
    let namespace = Namespace::new("undo");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    standing(&namespace, &deck, &steps()).await;
    deck.does(Action::Pause, "shop").await;
    let proof = deck.does(Action::Rollback, "shop").await;
    assert!(proof.contains("stable 1.0: 5 of 5"), "{proof}");
    assert_eq!((version(&namespace, "rollout/shop"), pods(&namespace)), ("1.0".into(), vec![("1.0".into(), 5)]));
    namespace.set_version("rollout/shop", "1.2");
    deck.row("shop", "its first pause", |row| row.phase == Phase::Paused).await;
    deck.does(Action::PromoteFull, "shop").await;
    let proof = deck.does(Action::Rollback, "shop").await;
    assert!(proof.contains("stable 1.0: 5 of 5 pods ready, 100 % of traffic"), "{proof}");
    assert_eq!(pods(&namespace), [("1.0".to_owned(), 5)], "1.1, which was given up on its way, is passed over");
    changed(&namespace);
    says(&namespace, "Healthy").await;
    // 1.0 was taken up again: what served before it can't be told, so the newest other one only begins.
    let row = deck.at("shop", Phase::Healthy).await;
    let receipt = deck.send(Action::Rollback, &row, "on").await.unwrap();
    deck.row("shop", "its first pause", |row| row.phase == Phase::Paused && row.step == Some(1)).await;
    let at_pause = receipt_of(&deck, &receipt).await;
    assert_eq!(at_pause.stage(), &Stage::Observed, "a fifth of the way: {}", story(&at_pause));
    deck.does(Action::PromoteFull, "shop").await;
    let receipt = deck.end_of(&receipt).await;
    assert!(matches!(receipt.stage(), Stage::Effective { .. } | Stage::Superseded { .. }), "{}", story(&receipt));
}

/// The receipt as the hub has it now.
async fn receipt_of(deck: &Deck, receipt: &Receipt) -> Receipt {
    let all = deck.board().await.into_iter().filter_map(|entity| match entity {
        Entity::Receipt(of) if of.id == receipt.id => Some(*of),
        _ => None,
    });
    all.last().expect("its receipt")
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_rollback_of_a_blue_green_is_effective_once_its_service_selects_the_version_before() {
    let namespace = Namespace::new("bank-back");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    for mut object in blue_green("bank", "1.0") {
        if object["kind"] == "Rollout" {
            object["spec"]["strategy"]["blueGreen"]["previewReplicaCount"] = json!(1);
        }
        namespace.apply(&object);
    }
    deck.at("bank", Phase::Healthy).await;
    namespace.set_version("rollout/bank", "slow");
    deck.at("bank", Phase::Paused).await;
    let proof = deck.does(Action::Promote, "bank").await;
    assert!(proof.contains("slow: 2 of 2 pods ready, 100 % of traffic"), "{proof}");
    deck.at("bank", Phase::Healthy).await;
    let proof = deck.does(Action::Rollback, "bank").await;
    assert!(proof.contains("stable 1.0: 2 of 2 pods ready, 100 % of traffic"), "{proof}");
    let status = namespace.get("rollout/bank")["status"].clone();
    let service = namespace.get("service/bank-active");
    let selected = &service["spec"]["selector"]["rollouts-pod-template-hash"];
    assert_eq!((selected, &status["stableRS"]), (&status["currentPodHash"], &status["currentPodHash"]));
    assert_eq!(version(&namespace, "rollout/bank"), "1.0");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn at_no_replicas_an_abort_ends_and_a_promotion_is_refused() {
    let namespace = Namespace::new("zero");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    standing(&namespace, &deck, &steps()).await;
    namespace.kubectl(&["scale", "rollout/shop", "--replicas=0"]);
    let empty = |row: &Rollout| row.arms.iter().all(|arm| arm.replicas.ready == 0 && arm.traffic.actual.is_none());
    let row = deck.row("shop", "nobody served", empty).await;
    let refused = deck.send(Action::Promote, &row, "p").await.expect_err("nobody would be served");
    assert!(refused.why.contains("wants no pods"), "{refused}");
    let proof = deck.does(Action::Abort, "shop").await;
    assert!(proof.contains("nobody is served") && !proof.contains("100 %"), "{proof}");
    namespace.kubectl(&["scale", "rollout/shop", "--replicas=4"]);
    until("stable alone", async || (pods(&namespace) == [("1.0".to_owned(), 4)]).then_some(())).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_set_that_a_partition_or_a_person_keeps_back_is_not_called_done() {
    let namespace = Namespace::new("kept-back");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&stateful_set("store", "1.0"));
    deck.at("store", Phase::Healthy).await;
    let patch = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}});
    namespace.kubectl(&["patch", "statefulset/store", "--type=merge", "--patch", &patch.to_string()]);
    let receipt = deck.act(Action::Restart, "store").await;
    let Stage::Failed { why } = receipt.stage() else { panic!("one pod of two: {}", story(&receipt)) };
    assert!(why.contains("1 of 2 pods have the new template"), "{why}");

    namespace.apply(&stateful_set("vault", "1.0"));
    deck.at("vault", Phase::Healthy).await;
    let patch = json!([{"op": "replace", "path": "/spec/updateStrategy", "value": {"type": "OnDelete"}}]);
    namespace.kubectl(&["patch", "statefulset/vault", "--type=json", "--patch", &patch.to_string()]);
    let row = deck.row("vault", "offered", |row| row.offers.contains(Action::Restart)).await;
    let receipt = deck.send(Action::Restart, &row, "by-hand").await.unwrap();
    deck.row("vault", "to wait for a person", Rollout::awaits_human).await;
    assert_eq!(receipt_of(&deck, &receipt).await.stage(), &Stage::Observed);
    namespace.kubectl(&["delete", "pods", "--selector=app=vault"]);
    let receipt = deck.end_of(&receipt).await;
    assert!(matches!(receipt.stage(), Stage::Effective { .. }), "{}", story(&receipt));
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_stateful_set_on_its_way_is_back_when_every_pod_is() {
    let namespace = Namespace::new("store-back");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&stateful_set("store", "1.0"));
    deck.at("store", Phase::Healthy).await;
    // Each of its pods takes three seconds: the undo comes in between.
    namespace.set_version("statefulset/store", "slow");
    deck.row("store", "pods of two templates", |row| row.phase == Phase::Progressing && row.arms.len() == 2).await;
    let proof = deck.does(Action::Rollback, "store").await;
    assert!(proof.contains("stable 1.0: 2 of 2 pods ready"), "{proof}");
    let pods = namespace.get("pods");
    let images: Vec<_> =
        pods["items"].as_array().unwrap().iter().map(|pod| &pod["spec"]["containers"][0]["image"]).collect();
    assert!(images.iter().all(|image| image.as_str().unwrap().ends_with(":1.0")), "{images:?}");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn what_its_controller_refused_takes_nothing_and_says_why() {
    let namespace = Namespace::new("refused");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&canary("shop", "1.0", &steps()));
    deck.at("shop", Phase::Healthy).await;
    let gone = json!([
        {"op": "add", "path": "/spec/strategy/canary/steps/-", "value": {"analysis": {"templates": [{"templateName": "gone"}]}}},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": super::image("1.1")},
    ]);
    namespace.kubectl(&["patch", "rollout/shop", "--type=json", "--patch", &gone.to_string()]);
    let row = deck.row("shop", "to be refused", |row| row.message.contains("gone")).await;
    for action in [Action::Restart, Action::Pause] {
        let refused = deck.send(action, &row, action.name()).await.expect_err("it is refused");
        assert!(refused.why.contains("gone"), "{}: {refused}", action.name());
    }
    assert!(namespace.changes_by("operator").is_empty());
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn the_way_back_of_a_deployment_that_exceeded_its_deadline_is_not_failed_by_it() {
    let namespace = Namespace::new("deadline");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&deployment("web", "1.0"));
    deck.at("web", Phase::Healthy).await;
    namespace.set_version("deployment/web", "never");
    deck.at("web", Phase::Failed).await;
    let proof = deck.does(Action::Rollback, "web").await;
    assert!(proof.contains("stable 1.0: 3 of 3 pods ready, 100 % of traffic"), "{proof}");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_rollout_is_restarted() {
    let namespace = Namespace::new("restart");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&canary("shop", "1.0", &steps()));
    deck.at("shop", Phase::Healthy).await;
    // A restart leaves pods alone that were made in the very second in which it is asked for.
    until("a second in which no pod was made", async || {
        let pods = namespace.get("pods");
        let newest = pods["items"]
            .as_array()?
            .iter()
            .filter_map(|pod| pod["metadata"]["creationTimestamp"].as_str()?.parse::<jiff::Timestamp>().ok());
        (newest.max()?.as_second() < jiff::Timestamp::now().as_second()).then_some(())
    })
    .await;
    let proof = deck.does(Action::Restart, "shop").await;
    assert!(proof.starts_with("every pod is newer than"), "{proof}");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_blue_green_is_promoted_and_aborted() {
    let namespace = Namespace::new("blue-green");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    for object in blue_green("bank", "1.0") {
        namespace.apply(&object);
    }
    deck.at("bank", Phase::Healthy).await;
    namespace.set_version("rollout/bank", "1.1");
    deck.at("bank", Phase::Paused).await;
    deck.does(Action::Abort, "bank").await;
    deck.does(Action::Retry, "bank").await;
    deck.row("bank", "its pause", |row| row.phase == Phase::Paused).await;
    deck.does(Action::Promote, "bank").await;
    deck.at("bank", Phase::Healthy).await;
    let status = namespace.get("rollout/bank")["status"].clone();
    assert_eq!(status["blueGreen"]["activeSelector"], status["currentPodHash"]);
    assert_eq!(changed(&namespace), ["rollouts/status", "rollouts/status", "rollouts/status"]);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_deployment_is_paused_resumed_restarted_and_undone() {
    let namespace = Namespace::new("deployment");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&deployment("web", "1.0"));
    deck.at("web", Phase::Healthy).await;
    deck.does(Action::Restart, "web").await;
    namespace.set_version("deployment/web", "never");
    deck.row("web", "its pods to hang", |row| row.phase == Phase::Progressing && row.arms.len() == 2).await;
    deck.does(Action::Pause, "web").await;
    deck.does(Action::Resume, "web").await;
    let proof = deck.does(Action::Rollback, "web").await;
    assert!(proof.contains("stable 1.0: 3 of 3"), "{proof}");
    assert_eq!(version(&namespace, "deployment/web"), "1.0");
    assert_eq!(changed(&namespace), ["deployments"; 4]);
    assert!(namespace.kubectl(&["rollout", "status", "deployment/web"]).contains("successfully rolled out"));
    let history = namespace.kubectl(&["rollout", "history", "deployment/web"]);
    println!("{history}");
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_stateful_set_is_undone() {
    let namespace = Namespace::new("stateful-set");
    let deck = Deck::new(&namespace, "operator", "anna").await;
    namespace.apply(&stateful_set("store", "1.0"));
    deck.at("store", Phase::Healthy).await;
    namespace.set_version("statefulset/store", "1.1");
    deck.row("store", "1.1 everywhere", |row| {
        row.phase == Phase::Healthy && row.stable().is_some_and(|arm| arm.version.as_str() == "1.1")
    })
    .await;
    deck.does(Action::Rollback, "store").await;
    assert_eq!(version(&namespace, "statefulset/store"), "1.0");
    assert_eq!(changed(&namespace), ["statefulsets"]);
    namespace.kubectl(&["rollout", "status", "statefulset/store"]);
}

fn held(board: &[Entity]) -> Vec<&Hold> {
    board.iter().filter_map(|entity| if let Entity::Hold(hold) = entity { Some(hold) } else { None }).collect()
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_hold_stops_what_can_be_stopped_and_another_hub_sees_and_releases_it() {
    let namespace = Namespace::new("hold");
    let anna = Deck::new(&namespace, "operator", "anna").await;
    let bert = Deck::new(&namespace, "operator", "bert").await;
    standing(&namespace, &anna, &steps()).await;
    namespace.apply(&deployment("web", "1.0"));
    namespace.apply(&deployment("calm", "1.0"));
    namespace.apply(&stateful_set("store", "1.0"));
    for name in ["web", "calm", "store"] {
        anna.at(name, Phase::Healthy).await;
    }
    namespace.set_version("deployment/web", "never");
    namespace.set_version("statefulset/store", "never");
    for name in ["web", "store"] {
        anna.row(name, "in flight", |row| row.phase == Phase::Progressing).await;
    }
    let scope = Subject::Scope { selector: Selector::default(), frozen: vec![], hold: None };
    let receipt = anna.submit(Action::Hold, scope.clone(), "hold").await.unwrap();
    let receipt = anna.end_of(&receipt).await;
    println!("{:#?}", receipt.targets);
    let words: Vec<(String, &str)> =
        receipt.targets.iter().map(|target| (target.run.target.name.clone(), target.stage.word())).collect();
    for wanted in [("shop", "effective"), ("web", "effective"), ("store", "failed")] {
        assert!(words.contains(&(wanted.0.to_owned(), wanted.1)), "{words:?}");
    }
    assert!(!words.iter().any(|(name, _)| name == "calm"), "{words:?}");
    let both = |hold: &&&Hold| hold.targets.iter().filter(|target| target.held).count() == 2;
    let seen = until("the other hub to see both", async || {
        held(&bert.board().await).iter().find(both).map(|hold| (*hold).clone())
    })
    .await;
    assert_eq!((seen.owner.as_str(), seen.targets.len()), ("anna", 3), "what could not be held is told, too");
    // The same again is the same hold, and nothing goes on past it.
    let again = anna.submit(Action::Hold, scope, "hold-again").await.unwrap();
    anna.end_of(&again).await;
    assert_eq!(held(&bert.board().await).len(), 1);
    let row = bert.find("shop").await.unwrap();
    assert!(row.waits.contains(&Wait::Hold(seen.id.clone())), "{:?}", row.waits);
    let refused = bert.send(Action::Promote, &row, "past-it").await.expect_err("it is held");
    assert!(refused.why.contains(seen.id.as_str()), "{refused}");
    // Abort works under it and takes only its own target along.
    bert.does(Action::Abort, "shop").await;
    assert_eq!(pods(&namespace).iter().find(|(version, _)| version == "1.1"), None);
    let release = Subject::Hold { source: Some("test".into()), id: seen.id.clone() };
    let receipt = bert.submit(Action::ReleaseHold, release, "release").await.unwrap();
    let receipt = bert.end_of(&receipt).await;
    assert!(matches!(receipt.stage(), Stage::Effective { .. }), "{}", story(&receipt));
    let web = namespace.get("deployment/web");
    assert!(!web["spec"]["paused"].as_bool().unwrap_or(false));
    assert!(!web["metadata"]["annotations"].to_string().contains("flightdeck"), "{web}");
    changed(&namespace);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn of_two_hubs_only_one_promotes_a_pause_that_both_saw() {
    let namespace = Namespace::new("two-hubs");
    let anna = Deck::new(&namespace, "operator", "anna").await;
    let bert = Deck::new(&namespace, "operator", "bert").await;
    let row = standing(&namespace, &anna, &steps()).await;
    bert.row("shop", "the same", |other| other.facts == row.facts).await;
    let (one, two) = tokio::join!(anna.send(Action::Promote, &row, "p"), bert.send(Action::Promote, &row, "p"));
    println!("{one:?}\n{two:?}");
    let refused: Vec<&Refusal> = [&one, &two].into_iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(refused.len(), 1, "exactly one goes through");
    assert_eq!(refused[0].kind, RefusalKind::PinChanged, "{}", refused[0]);
    let row = anna.row("shop", "its last pause", |row| row.phase == Phase::Paused && row.step == Some(3)).await;
    // An abort that is accepted stands, whatever was pinned before it.
    let abort = bert.send(Action::Abort, &row, "a").await.unwrap();
    let late = anna.send(Action::Promote, &row, "late").await;
    assert!(late.is_err(), "{late:?}");
    bert.end_of(&abort).await;
    assert_eq!(pods(&namespace), [("1.0".to_owned(), 5)]);
    let log = changed(&namespace);
    assert_eq!(log, ["rollouts/status", "rollouts/status"]);
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn who_may_only_read_is_told_the_missing_verb() {
    let namespace = Namespace::new("denied");
    let deck = Deck::new(&namespace, "readonly", "anna").await;
    let row = standing(&namespace, &deck, &steps()).await;
    for (action, resource) in [
        (Action::Promote, "rollouts/status"),
        (Action::Abort, "rollouts/status"),
        (Action::Pause, "rollouts"),
        (Action::Rollback, "rollouts"),
    ] {
        let refusal = deck.send(action, &row, action.name()).await.expect_err("denied");
        assert_eq!(refusal.kind, RefusalKind::Denied, "{refusal}");
        assert!(refusal.why.contains(&format!("you lack patch on {resource} in {}", namespace.name)), "{refusal}");
    }
    assert!(namespace.changes_by("readonly").iter().all(|asked| asked.status == 403));
}
