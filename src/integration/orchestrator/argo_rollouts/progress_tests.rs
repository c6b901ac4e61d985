use super::*;
use crate::integration::orchestrator::kubernetes::images;
use crate::integration::orchestrator::kubernetes::progress::progress;
use crate::integration::orchestrator::kubernetes::row::{RowContext, row};
use crate::integration::orchestrator::kubernetes::{KubernetesSettings, ReplicaGroup, Workload};
use crate::model::{Command, Replicas, Subject};
use serde_json::{Value, json};
use std::sync::Arc;

/// Pods of each template: ready of wanted.
type Pods = (u32, u32);

fn group(hash: &str, tag: &str, (ready, desired): Pods) -> ReplicaGroup {
    ReplicaGroup {
        name: format!("checkout-{hash}"),
        hash: hash.to_owned(),
        revision: None,
        images: images::one(&format!("shop:{tag}")),
        replicas: Replicas { ready, desired },
        created: None,
        ends: None,
    }
}

/// The row of a canary of five pods, 1.9 to 1.10, with this in its spec and status.
fn seen(change: &Value, old: Pods, new: Pods) -> Rollout {
    let mut object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "u1", "generation": 3,
            "annotations": {"rollout.argoproj.io/revision": "2"}},
        "spec": {"replicas": 5, "template": {"spec": {"containers": [{"name": "app", "image": "shop:1.10"}]}},
            "strategy": {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}]}}},
        "status": {
            "phase": "Progressing", "currentPodHash": "new", "stableRS": "old", "currentStepIndex": 0,
            "observedGeneration": "3", "replicas": old.0 + new.0, "updatedReplicas": new.0,
            "availableReplicas": old.0 + new.0,
        },
    });
    json_patch::merge(&mut object, change);
    let workload = Workload::Rollout(Box::new(serde_json::from_value(object).unwrap()));
    let settings = KubernetesSettings::new("east".into());
    let context = RowContext { settings: &settings, barred: &Arc::default(), now: jiff::Timestamp::UNIX_EPOCH };
    row(&context, &workload, &[group("old", "1.9", old), group("new", "1.10", new)])
}

const PAUSES: &str = "2026-11-21T11:00:00Z";

fn at_pause(step: u32) -> Value {
    json!({"status": {"phase": "Paused", "currentStepIndex": step, "controllerPause": true,
        "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": PAUSES}]}})
}

fn aborted() -> Value {
    json!({"status": {"phase": "Degraded", "message": "RolloutAborted: Rollout aborted update to revision 2",
        "abort": true, "abortedAt": PAUSES, "updatedReplicas": null}})
}

fn stage(action: Action, before: &Rollout, now: &Rollout) -> Stage {
    let command = Command {
        id: "c1".into(),
        action,
        subject: Subject::Run(before.run.clone()),
        pin: Some(before.facts.pin(action)),
        reason: None,
    };
    progress(&command, Some(before), Some(now))
}

/// Each row in turn, and the word and words of the stage that it makes.
fn follows(action: Action, before: &Rollout, rows: &[(&str, Rollout, &str, &str)]) {
    for (what, row, word, detail) in rows {
        let stage = stage(action, before, row);
        let said = stage.detail().unwrap_or_default();
        assert_eq!(stage.word(), *word, "{what}: {said}");
        assert!(said.contains(detail), "{what}: {said:?} lacks {detail:?}");
    }
}

fn merged(one: &Value, other: &Value) -> Value {
    let mut whole = one.clone();
    json_patch::merge(&mut whole, other);
    whole
}

#[test]
fn a_promotion_is_effective_when_the_next_weight_is_in_force() {
    let before = seen(&at_pause(1), (4, 4), (1, 1));
    let past = |step: u32| json!({"status": {"phase": "Progressing", "currentStepIndex": step}});
    follows(
        Action::Promote,
        &before,
        &[
            ("nothing yet", before.clone(), "accepted", ""),
            ("the pause is over", seen(&json!({"status": {"currentStepIndex": 1}}), (4, 4), (1, 1)), "observed", ""),
            ("the weight is being set", seen(&past(2), (4, 4), (1, 1)), "observed", ""),
            ("pods are coming", seen(&at_pause(3), (2, 2), (2, 3)), "observed", ""),
            ("there", seen(&at_pause(3), (2, 2), (3, 3)), "effective", "at step 4 of 4; stable 1.9: 2 of 2 pods ready"),
            ("aborted instead", seen(&aborted(), (5, 5), (0, 0)), "superseded", "it is aborted"),
            (
                "done",
                seen(&json!({"status": {"phase": "Healthy", "stableRS": "new"}}), (0, 0), (5, 5)),
                "effective",
                "finished; stable 1.10: 5 of 5",
            ),
        ],
    );
    let other = seen(&json!({"status": {"currentPodHash": "newer"}}), (4, 4), (1, 1));
    assert_eq!(stage(Action::Promote, &before, &other).word(), "superseded");
}

#[test]
fn issue_4694_a_promotion_that_the_controller_lost_is_never_called_effective() {
    let before = seen(&at_pause(1), (4, 4), (1, 1));
    let lost = seen(
        &json!({"status": {"phase": "Progressing", "currentStepIndex": 1, "controllerPause": true}}),
        (4, 4),
        (1, 1),
    );
    assert_eq!(stage(Action::Promote, &before, &lost), Stage::Observed);
}

#[test]
fn issue_3756_an_abort_while_paused_is_effective_only_when_the_candidates_pods_are_gone() {
    let paused = json!({"spec": {"paused": true}});
    let before = seen(&merged(&at_pause(1), &paused), (4, 4), (1, 1));
    let halted = merged(&merged(&aborted(), &paused), &json!({"status": {"updatedReplicas": 1}}));
    follows(
        Action::Abort,
        &before,
        &[
            ("nothing yet", before.clone(), "accepted", ""),
            ("the status alone", seen(&halted, (4, 4), (1, 1)), "observed", ""),
            (
                "unpaused",
                seen(&merged(&aborted(), &json!({"status": {"updatedReplicas": 1}})), (4, 5), (1, 0)),
                "observed",
                "",
            ),
            ("gone", seen(&aborted(), (5, 5), (0, 0)), "effective", "aborted; stable 1.9: 5 of 5 pods ready"),
        ],
    );
}

#[test]
fn issue_2050_and_2235_an_abort_is_not_effective_while_stable_has_too_few_pods() {
    let before = seen(&at_pause(3), (2, 2), (3, 3));
    follows(
        Action::Abort,
        &before,
        &[
            ("stable was scaled away", seen(&aborted(), (0, 5), (0, 0)), "observed", ""),
            ("stable grows", seen(&aborted(), (3, 5), (0, 0)), "observed", ""),
            ("stable is being scaled away", seen(&aborted(), (5, 4), (0, 0)), "observed", ""),
            ("stable is as small as asked", seen(&aborted(), (4, 4), (0, 0)), "observed", ""),
            ("stable stands", seen(&aborted(), (5, 5), (0, 0)), "effective", "5 of 5"),
        ],
    );
}

#[test]
fn issue_2929_an_abort_that_is_retried_at_once_is_not_effective() {
    let before = seen(&at_pause(1), (4, 4), (1, 1));
    let again =
        seen(&json!({"status": {"phase": "Progressing", "currentStepIndex": 0, "abort": false}}), (4, 4), (1, 1));
    assert_eq!(stage(Action::Abort, &before, &again), Stage::Accepted);
}

#[test]
fn an_abort_that_came_too_late_says_so() {
    let before = seen(&at_pause(3), (2, 2), (3, 3));
    let done = seen(&json!({"status": {"phase": "Healthy", "stableRS": "new"}}), (0, 0), (5, 5));
    let Stage::Failed { why } = stage(Action::Abort, &before, &done) else { panic!("it had finished") };
    assert!(why.contains("it had finished before: stable 1.10: 5 of 5"), "{why}");
    let newer = seen(&json!({"status": {"currentPodHash": "newer"}}), (2, 2), (3, 3));
    assert_eq!(stage(Action::Abort, &before, &newer).word(), "superseded");
}

#[test]
fn issue_4612_with_a_router_a_weight_counts_when_the_router_has_it() {
    let routed = json!({"spec": {"strategy": {"canary": {"trafficRouting": {"smi": {}}}}}});
    let weights = |canary: u32| {
        json!({"status": {"canary": {"weights": {
        "canary": {"weight": canary}, "stable": {"weight": 100 - canary}}}}})
    };
    let before = seen(&merged(&merged(&at_pause(1), &routed), &weights(20)), (5, 5), (1, 1));
    let asked = |canary| merged(&merged(&at_pause(3), &routed), &weights(canary));
    follows(
        Action::Promote,
        &before,
        &[
            ("not told yet", seen(&asked(20), (5, 5), (3, 3)), "observed", ""),
            ("too few pods", seen(&asked(60), (5, 5), (1, 3)), "observed", ""),
            ("in force", seen(&asked(60), (5, 5), (3, 3)), "effective", "60 % of traffic, as told to the router"),
        ],
    );
    // Its pods may stay for a while: what counts is the weight.
    let gone = merged(&merged(&aborted(), &routed), &weights(0));
    follows(Action::Abort, &before, &[("weight 0", seen(&gone, (5, 5), (1, 1)), "effective", "0 % of traffic")]);
    let stays = merged(&merged(&aborted(), &routed), &weights(20));
    follows(Action::Abort, &before, &[("weight 20", seen(&stays, (5, 5), (1, 1)), "observed", "")]);
}

#[test]
fn issue_4265_promote_full_that_a_pause_stalls_is_not_effective() {
    let paused = json!({"spec": {"paused": true}});
    let before = seen(&merged(&json!({"status": {"phase": "Paused"}}), &paused), (4, 4), (1, 1));
    let stalled = seen(&merged(&json!({"status": {"phase": "Paused", "promoteFull": true}}), &paused), (4, 4), (1, 1));
    follows(
        Action::PromoteFull,
        &before,
        &[
            ("stalled", stalled, "accepted", ""),
            ("going", seen(&json!({"status": {"promoteFull": true}}), (4, 4), (1, 5)), "observed", ""),
            (
                "old pods end",
                seen(&json!({"status": {"phase": "Progressing", "stableRS": "new"}}), (1, 0), (5, 5)),
                "observed",
                "",
            ),
            (
                "done",
                seen(&json!({"status": {"phase": "Healthy", "stableRS": "new"}}), (0, 0), (5, 5)),
                "effective",
                "finished",
            ),
        ],
    );
}

#[test]
fn a_pause_is_effective_when_its_controller_stands_still_and_a_resume_when_it_goes_on() {
    let before = seen(&json!({}), (4, 4), (0, 1));
    let paused = |phase: &str, generation: u32| json!({"metadata": {"generation": generation}, "spec": {"paused": true}, "status": {"phase": phase}});
    let standing = seen(&paused("Paused", 3), (4, 4), (1, 1));
    follows(
        Action::Pause,
        &before,
        &[
            ("nothing yet", before.clone(), "accepted", ""),
            ("not seen by its controller", seen(&paused("Progressing", 4), (4, 4), (0, 1)), "observed", ""),
            ("standing", standing.clone(), "effective", "paused at step 1 of 4; stable 1.9: 4 of 4"),
            ("going back", seen(&aborted(), (5, 5), (0, 0)), "superseded", "it is aborted"),
        ],
    );
    follows(
        Action::Resume,
        &standing,
        &[("nothing yet", standing.clone(), "accepted", ""), ("on", before, "effective", "progressing at step 1 of 4")],
    );
}

#[test]
fn a_retry_is_effective_when_users_meet_the_candidate_again() {
    let before = seen(&aborted(), (5, 5), (0, 0));
    let going = json!({"status": {"abort": false, "phase": "Progressing"}});
    follows(
        Action::Retry,
        &before,
        &[
            ("nothing yet", before.clone(), "accepted", ""),
            ("begun", seen(&going, (5, 5), (0, 1)), "observed", ""),
            ("met", seen(&going, (4, 4), (1, 1)), "effective", "started again: at step 1 of 4"),
        ],
    );
}

#[test]
fn an_undo_in_flight_is_effective_when_only_stable_has_pods() {
    let before = seen(&at_pause(1), (4, 4), (1, 1));
    let back = |phase: &str| json!({"status": {"currentPodHash": "old", "phase": phase}});
    follows(
        Action::Rollback,
        &before,
        &[
            ("nothing yet", before.clone(), "accepted", ""),
            ("pods end", seen(&back("Progressing"), (5, 5), (1, 0)), "observed", ""),
            ("back", seen(&back("Healthy"), (5, 5), (0, 0)), "effective", "serves"),
            ("somebody else's", seen(&json!({"status": {"currentPodHash": "x"}}), (4, 4), (1, 1)), "superseded", ""),
        ],
    );
}

#[test]
fn an_undo_of_what_was_done_begins_a_canary_and_says_so() {
    let before = seen(&json!({"status": {"phase": "Healthy", "currentPodHash": "old"}}), (5, 5), (0, 0));
    follows(
        Action::Rollback,
        &before,
        &[
            ("begun", seen(&json!({}), (5, 5), (0, 1)), "observed", ""),
            (
                "met",
                seen(&at_pause(1), (4, 4), (1, 1)),
                "effective",
                "the version before comes by its steps: at step 2 of 4",
            ),
            ("failed", seen(&aborted(), (5, 5), (0, 0)), "failed", "the version before is aborted"),
        ],
    );
}

#[test]
fn a_restart_is_effective_when_every_pod_is_newer() {
    let healthy = |spec: &Value, status: &Value| json!({"spec": {"restartAt": spec}, "status": {"phase": "Healthy", "currentPodHash": "old", "restartedAt": status}});
    let before = seen(&healthy(&Value::Null, &Value::Null), (5, 5), (0, 0));
    follows(
        Action::Restart,
        &before,
        &[
            ("nothing yet", before.clone(), "accepted", ""),
            ("under way", seen(&healthy(&json!(PAUSES), &Value::Null), (4, 5), (0, 0)), "observed", ""),
            ("all new", seen(&healthy(&json!(PAUSES), &json!(PAUSES)), (5, 5), (0, 0)), "effective", "newer than"),
        ],
    );
}

#[test]
fn a_blue_green_promotion_and_abort_show_in_the_active_service() {
    let plan = json!({"spec": {"strategy": {"canary": null, "blueGreen": {"activeService": "a"}}},
        "status": {"currentStepIndex": null}});
    let side = |active: &str, more: &Value| {
        merged(
            &merged(&plan, &json!({"status": {"blueGreen": {"activeSelector": active, "previewSelector": "new"}}})),
            more,
        )
    };
    let pause = json!({"status": {"phase": "Paused", "controllerPause": true,
        "pauseConditions": [{"reason": "BlueGreenPause", "startTime": PAUSES}]}});
    let before = seen(&side("old", &pause), (5, 5), (5, 5));
    follows(
        Action::Promote,
        &before,
        &[
            ("nothing yet", before.clone(), "accepted", ""),
            ("the pause is over", seen(&side("old", &json!({})), (5, 5), (5, 5)), "observed", ""),
            ("switched", seen(&side("new", &json!({})), (5, 5), (5, 5)), "effective", "the active service selects it"),
        ],
    );
    follows(
        Action::Abort,
        &before,
        &[
            ("still at the candidate", seen(&side("new", &aborted()), (5, 5), (5, 5)), "observed", ""),
            ("back", seen(&side("old", &aborted()), (5, 5), (5, 5)), "effective", "aborted"),
        ],
    );
}
