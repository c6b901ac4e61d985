use super::*;
use crate::orchestrator::kubernetes::images;
use crate::orchestrator::kubernetes::kind::{Source, named, progress};
use crate::orchestrator::kubernetes::pod_sets::ReplicaGroup;
use crate::orchestrator::kubernetes::row::RowContext;
use crate::orchestrator::kubernetes::settings::KubernetesSettings;
use flightdeck_model::{Command, Facts, Replicas, Subject};
use flightdeck_port::Followed;
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
    let workload = named("Rollout").unwrap().read(Source::Value(object)).unwrap();
    let settings = KubernetesSettings::new("east".into());
    let context =
        RowContext { settings: &settings, denied: &Arc::default(), pods: None, now: jiff::Timestamp::UNIX_EPOCH };
    workload.row(&context, &[group("old", "1.9", old), group("new", "1.10", new)])
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
    // An undo leaves the template of stable.
    let left =
        if action == Action::Rollback { Facts::default().with(Fact::Candidate, "old") } else { Facts::default() };
    let command = Command {
        id: "c1".into(),
        action,
        subject: Subject::Run(before.run.clone()),
        pin: Some(before.facts.pin(action)),
        reason: None,
    };
    let left = Some(&left).filter(|left| !left.0.is_empty());
    let (command, before, current, at) = (&command, Some(before), Some(now), jiff::Timestamp::UNIX_EPOCH);
    progress(&Followed { command, created: None, left, before, current, ended: None, now: at })
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
    let on = |generation: u32| seen(&json!({"metadata": {"generation": generation}}), (4, 4), (0, 1));
    follows(
        Action::Resume,
        &standing,
        &[
            ("nothing yet", standing.clone(), "accepted", ""),
            ("no controller", on(4), "observed", ""),
            ("on", on(3), "effective", "progressing at step 1 of 4"),
            ("aborted instead", seen(&aborted(), (5, 5), (0, 0)), "superseded", "it is aborted"),
            ("somebody's version", seen(&json!({"status": {"currentPodHash": "x"}}), (4, 4), (0, 1)), "superseded", ""),
        ],
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
            ("its first weight is not in force", seen(&going, (4, 4), (1, 1)), "observed", ""),
            ("met", seen(&at_pause(1), (4, 4), (1, 1)), "effective", "started again: at step 2 of 4"),
        ],
    );
    // An abort that was never carried out: nothing of the retry shows in what still stands there.
    let never = merged(&at_pause(1), &json!({"status": {"abort": true}}));
    let before = seen(&never, (4, 4), (1, 1));
    let stays = merged(&at_pause(1), &json!({"status": {"abort": false, "abortedAt": PAUSES}}));
    let late = merged(&aborted(), &json!({"status": {"abortedAt": "2026-11-21T11:30:00Z"}}));
    follows(
        Action::Retry,
        &seen(&aborted(), (5, 5), (0, 0)),
        &[
            ("the controller has yet to forget the abort", seen(&stays, (4, 4), (1, 1)), "observed", ""),
            ("aborted again", seen(&late, (5, 5), (0, 0)), "failed", "it was aborted again"),
        ],
    );
    assert_eq!(stage(Action::Retry, &before, &before), Stage::Accepted);
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
fn an_undo_of_what_was_done_is_effective_when_the_version_before_serves_everybody() {
    let before =
        seen(&json!({"status": {"phase": "Healthy", "currentPodHash": "new", "stableRS": "new"}}), (0, 0), (5, 5));
    let given_up = merged(&aborted(), &json!({"status": {"updatedReplicas": 0}}));
    let back = |change: &Value, old, new| {
        seen(&merged(&json!({"status": {"currentPodHash": "old", "stableRS": "new"}}), change), old, new)
    };
    follows(
        Action::Rollback,
        &before,
        &[
            ("nothing yet", before.clone(), "accepted", ""),
            ("begun", back(&json!({}), (0, 1), (5, 5)), "observed", ""),
            ("a fifth of the way, at a pause", back(&at_pause(1), (1, 1), (4, 4)), "observed", ""),
            (
                "stable, and the bad one's pods end",
                back(&json!({"status": {"stableRS": "old"}}), (5, 5), (1, 0)),
                "observed",
                "",
            ),
            (
                "everybody",
                back(&json!({"status": {"phase": "Healthy", "stableRS": "old"}}), (5, 5), (0, 0)),
                "effective",
                "serves; stable 1.10: 5 of 5 pods ready, 100 % of traffic",
            ),
            ("failed", back(&given_up, (0, 0), (5, 5)), "failed", "the version before is aborted"),
            (
                "somebody's",
                seen(&json!({"status": {"currentPodHash": "x", "stableRS": "new"}}), (0, 1), (5, 5)),
                "superseded",
                "",
            ),
        ],
    );
    let plan = json!({"spec": {"strategy": {"canary": null, "blueGreen": {"activeService": "a"}}},
        "status": {"currentStepIndex": null}});
    let bad_serves =
        merged(&plan, &json!({"status": {"blueGreen": {"activeSelector": "new", "previewSelector": "old"}}}));
    follows(
        Action::Rollback,
        &before,
        &[("the active service is at the bad one", back(&bad_serves, (5, 5), (5, 5)), "observed", "")],
    );
}

#[test]
fn a_step_that_the_promotion_wrote_itself_is_no_evidence() {
    let running = json!({"spec": {"strategy": {"canary": {"steps": [{"setWeight": 20}, {"analysis": {"templates": []}},
        {"pause": {}}, {"setWeight": 60}, {"pause": {}}]}}}});
    let at = |more: &Value| merged(&running, &json!({"status": more}));
    let judged =
        json!({"currentStepIndex": 1, "canary": {"currentStepAnalysisRunStatus": {"name": "a", "status": "Running"}}});
    let before = seen(&at(&judged), (4, 4), (1, 1));
    let pauses = json!({"phase": "Paused", "currentStepIndex": 2, "controllerPause": true,
        "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": PAUSES}]});
    follows(
        Action::Promote,
        &before,
        &[
            ("no controller", seen(&at(&json!({"currentStepIndex": 2})), (4, 4), (1, 1)), "observed", ""),
            ("it has begun the pause", seen(&at(&pauses), (4, 4), (1, 1)), "effective", "at step 3 of 5"),
        ],
    );
}

#[test]
fn a_promotion_to_a_preview_that_is_smaller_waits_for_all_its_pods() {
    let plan = json!({"spec": {"strategy": {"canary": null, "blueGreen": {"activeService": "a"}}},
        "status": {"currentStepIndex": null}});
    let side = |active: &str, more: &Value| {
        let selectors = json!({"status": {"blueGreen": {"activeSelector": active, "previewSelector": "new"}}});
        merged(&merged(&plan, &selectors), more)
    };
    let pause = json!({"status": {"phase": "Paused", "controllerPause": true,
        "pauseConditions": [{"reason": "BlueGreenPause", "startTime": PAUSES}]}});
    let before = seen(&side("old", &pause), (5, 5), (1, 1));
    follows(
        Action::Promote,
        &before,
        &[
            ("it grows", seen(&side("old", &json!({})), (5, 5), (2, 5)), "observed", ""),
            ("its ReplicaSet was read before it grew", seen(&side("new", &json!({})), (5, 5), (1, 1)), "observed", ""),
            ("switched", seen(&side("new", &json!({})), (5, 5), (5, 5)), "effective", "5 of 5"),
        ],
    );
}

#[test]
fn at_no_replicas_an_abort_ends_and_says_that_nobody_is_served() {
    let none = |more: &Value| merged(&json!({"spec": {"replicas": 0}, "status": {"availableReplicas": 0}}), more);
    let before = seen(&none(&at_pause(1)), (0, 0), (0, 0));
    let gone = none(&merged(&aborted(), &json!({"status": {"replicas": 0}})));
    follows(Action::Abort, &before, &[("aborted", seen(&gone, (0, 0), (0, 0)), "effective", "nobody is served")]);
    let done = none(&json!({"status": {"phase": "Healthy", "stableRS": "new"}}));
    follows(Action::Promote, &before, &[("all steps passed", seen(&done, (0, 0), (0, 0)), "observed", "")]);
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
            (
                "somebody's version, which ends the restart",
                seen(&json!({"spec": {"restartAt": PAUSES}, "status": {"restartedAt": PAUSES}}), (5, 5), (0, 0)),
                "superseded",
                "took its place",
            ),
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
