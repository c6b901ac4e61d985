//! Each line of what the official tools and the controller's sources say, as a table.

use super::objects::ArgoRollout;
use super::phase::{ArgoPhase, phase};
use super::row::{has_groups, needs_groups, row};
use crate::orchestrator::kubernetes::images;
use crate::orchestrator::kubernetes::pod_sets::ReplicaGroup;
use crate::orchestrator::kubernetes::row::RowContext;
use crate::orchestrator::kubernetes::settings::KubernetesSettings;
use flightdeck_model::{
    Action, Arm, ArmRole, Fact, MetricVerdict, Phase, PodNames, Ppm, Replicas, Rollout, Strategy, TrafficSource,
    Version, Wait,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

const NEW: &str = "new";
const OLD: &str = "old";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A canary of 5 pods between 20 % and 50 %, one of them new; `change` is merged into it.
fn canary(change: &Value) -> Box<ArgoRollout> {
    both(&json!({}), change)
}

/// Two changes, one after the other: a null in the second removes what is there.
fn both(first: &Value, second: &Value) -> Box<ArgoRollout> {
    let mut object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {
            "name": "checkout", "namespace": "shop", "uid": "u-1", "generation": 4,
            "creationTimestamp": at(-9000).to_string(),
            "annotations": {"rollout.argoproj.io/revision": "2"},
        },
        "spec": {
            "replicas": 5,
            "template": {"spec": {"containers": [{"name": "app", "image": "shop/checkout:v2"}]}},
            "strategy": {"canary": {"steps": [
                {"setWeight": 20}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": "1m"}}, {"setWeight": 80},
            ]}},
        },
        "status": {
            "observedGeneration": "4", "currentPodHash": NEW, "stableRS": OLD, "currentStepIndex": 1,
            "replicas": 5, "updatedReplicas": 1, "readyReplicas": 5, "availableReplicas": 5,
        },
    });
    json_patch::merge(&mut object, first);
    json_patch::merge(&mut object, second);
    serde_json::from_value(object).unwrap()
}

fn group(hash: &str, version: &str, ready: u32, desired: u32) -> ReplicaGroup {
    ReplicaGroup {
        name: format!("checkout-{hash}"),
        hash: hash.to_owned(),
        revision: None,
        images: images::one(&format!("shop/checkout:{version}")),
        replicas: Replicas { ready, desired },
        created: Some(at(-100)),
        ends: None,
    }
}

fn groups() -> Vec<ReplicaGroup> {
    vec![group(OLD, "v1", 4, 4), group(NEW, "v2", 1, 1)]
}

fn row_of(object: &ArgoRollout, groups: &[ReplicaGroup]) -> Rollout {
    let settings = KubernetesSettings::new("east".into());
    let context = RowContext { settings: &settings, denied: &Arc::default(), pods: None, now: at(0) };
    row(&context, object, groups)
}

fn names(row: &Rollout) -> Vec<&'static str> {
    row.offers.iter().map(Action::name).collect()
}

fn pause(reason: &str) -> Value {
    json!([{"reason": reason, "startTime": at(-30).to_string()}])
}

fn blue_green(change: &Value) -> Box<ArgoRollout> {
    let whole = json!({
        "spec": {"strategy": {"canary": null, "blueGreen": {"activeService": "a", "previewService": "p"}}},
        "status": {"currentStepIndex": null, "replicas": 10, "updatedReplicas": 5, "availableReplicas": 5,
            "blueGreen": {"activeSelector": OLD, "previewSelector": NEW}},
    });
    both(&whole, change)
}

#[test]
fn phases_are_found_in_the_official_order() {
    let observed = "waiting for rollout spec update to be observed";
    for (what, object, expected, message) in [
        (
            "1: not observed",
            canary(&json!({"status": {"observedGeneration": "3", "phase": "Healthy"}})),
            ArgoPhase::Progressing,
            observed,
        ),
        (
            "1: a hash counts as observed",
            canary(&json!({"status": {"observedGeneration": "7f9c", "phase": "Healthy"}})),
            ArgoPhase::Healthy,
            "",
        ),
        (
            "1: so does a larger number",
            canary(&json!({"status": {"observedGeneration": "5", "phase": "Healthy"}})),
            ArgoPhase::Healthy,
            "",
        ),
        (
            "1: so does none",
            canary(&json!({"status": {"observedGeneration": null, "phase": "Healthy"}})),
            ArgoPhase::Healthy,
            "",
        ),
        (
            "2: to unpause",
            canary(&json!({"status": {"controllerPause": true, "phase": "Paused"}})),
            ArgoPhase::Progressing,
            "waiting for rollout to unpause",
        ),
        (
            "2: not while it has a reason",
            canary(
                &json!({"status": {"controllerPause": true, "phase": "Paused", "message": "CanaryPauseStep", "pauseConditions": pause("CanaryPauseStep")}}),
            ),
            ArgoPhase::Paused,
            "CanaryPauseStep",
        ),
        (
            "3: the workload's generation",
            canary(
                &json!({"metadata": {"annotations": {"rollout.argoproj.io/workload-generation": "2"}}, "spec": {"workloadRef": {"kind": "Deployment", "name": "x"}}, "status": {"workloadObservedGeneration": "1", "phase": "Healthy"}}),
            ),
            ArgoPhase::Progressing,
            "waiting for rollout spec update to be observed for the reference workload",
        ),
        (
            "3: observed",
            canary(
                &json!({"metadata": {"annotations": {"rollout.argoproj.io/workload-generation": "2"}}, "spec": {"workloadRef": {"kind": "Deployment", "name": "x"}}, "status": {"workloadObservedGeneration": "2", "phase": "Healthy"}}),
            ),
            ArgoPhase::Healthy,
            "",
        ),
        (
            "4: the controller's word",
            canary(&json!({"status": {"phase": "Degraded", "message": "why\u{1b}[2J"}})),
            ArgoPhase::Degraded,
            "why\u{fffd}[2J",
        ),
        (
            "4: a word that is new",
            canary(&json!({"status": {"phase": "Dancing"}})),
            ArgoPhase::Unknown,
            "its controller says Dancing",
        ),
    ] {
        assert_eq!(phase(&object), (expected, message.to_owned()), "{what}");
    }
}

/// What controllers before v1.0 left to be found out.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn without_the_controllers_word_the_phase_is_derived_in_the_official_order() {
    for (what, object, expected, message) in [
        (
            "5: invalid",
            canary(&json!({"status": {"conditions": [{"type": "InvalidSpec", "message": "no selector"}]}})),
            ArgoPhase::Degraded,
            "InvalidSpec: no selector",
        ),
        (
            "5: aborted",
            canary(
                &json!({"status": {"conditions": [{"type": "Progressing", "reason": "RolloutAborted", "message": "by hand"}]}}),
            ),
            ArgoPhase::Degraded,
            "RolloutAborted: by hand",
        ),
        (
            "5: too slow",
            canary(
                &json!({"status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "slow"}]}}),
            ),
            ArgoPhase::Degraded,
            "ProgressDeadlineExceeded: slow",
        ),
        ("5: paused by hand", canary(&json!({"spec": {"paused": true}})), ArgoPhase::Paused, "manually paused"),
        (
            "5: paused by itself",
            canary(&json!({"status": {"pauseConditions": pause("CanaryPauseStep")}})),
            ArgoPhase::Paused,
            "CanaryPauseStep",
        ),
        (
            "5: restarting",
            canary(&json!({"spec": {"restartAt": at(0).to_string()}})),
            ArgoPhase::Progressing,
            "rollout is restarting",
        ),
        (
            "5: restarted",
            canary(&json!({"spec": {"restartAt": at(0).to_string()}, "status": {"restartedAt": at(0).to_string()}})),
            ArgoPhase::Progressing,
            "more replicas need to be updated",
        ),
        (
            "5: available",
            canary(&json!({"status": {"updatedReplicas": 5, "availableReplicas": 4}})),
            ArgoPhase::Progressing,
            "updated replicas are still becoming available",
        ),
        ("5: cutover", blue_green(&json!({})), ArgoPhase::Progressing, "active service cutover pending"),
        (
            "5: analysis",
            blue_green(&json!({"status": {"blueGreen": {"activeSelector": NEW}}})),
            ArgoPhase::Progressing,
            "waiting for analysis to complete",
        ),
        (
            "5: blue/green done",
            blue_green(&json!({"status": {"stableRS": NEW, "blueGreen": {"activeSelector": NEW}}})),
            ArgoPhase::Healthy,
            "",
        ),
        (
            "5: terminating",
            canary(&json!({"status": {"updatedReplicas": 5, "replicas": 7}})),
            ArgoPhase::Progressing,
            "old replicas are pending termination",
        ),
        (
            "5: steps",
            canary(&json!({"status": {"updatedReplicas": 5}})),
            ArgoPhase::Progressing,
            "waiting for all steps to complete",
        ),
        (
            "5: routed ones may keep old pods",
            canary(
                &json!({"spec": {"strategy": {"canary": {"trafficRouting": {}}}}, "status": {"updatedReplicas": 5, "replicas": 7, "stableRS": NEW}}),
            ),
            ArgoPhase::Healthy,
            "",
        ),
        ("5: done", canary(&json!({"status": {"updatedReplicas": 5, "stableRS": NEW}})), ArgoPhase::Healthy, ""),
    ] {
        assert_eq!(phase(&object), (expected, message.to_owned()), "{what}");
    }
}

#[test]
fn a_human_is_awaited_by_some_pauses_and_the_clock_by_others() {
    let human = |what: &str| Wait::Human { what: what.to_owned(), who: None, since: at(-30) };
    let until = |seconds| Wait::Until { at: at(seconds) };
    let step = |index: i32, reason: &str| {
        canary(&json!({"status": {"phase": "Paused", "currentStepIndex": index, "pauseConditions": pause(reason)}}))
    };
    let bg = |auto: Value, seconds: Value| {
        blue_green(&json!({
            "spec": {"strategy": {"blueGreen": {"autoPromotionEnabled": auto, "autoPromotionSeconds": seconds}}},
            "status": {"phase": "Paused", "pauseConditions": pause("BlueGreenPause")},
        }))
    };
    for (what, object, expected) in [
        ("a pause without end", step(1, "CanaryPauseStep"), human("promote to 50 % of traffic")),
        ("a pause of a minute", step(3, "CanaryPauseStep"), until(30)),
        ("a pause whose step is gone", step(9, "CanaryPauseStep"), human("promote to all traffic")),
        (
            "an inconclusive analysis",
            step(3, "InconclusiveAnalysisRun"),
            human("a decision: its analysis is inconclusive"),
        ),
        (
            "an inconclusive experiment",
            step(3, "InconclusiveExperiment"),
            human("a decision: its experiment is inconclusive"),
        ),
        ("something new", step(3, "Siesta"), human("an end of Siesta")),
        ("blue/green by hand", bg(json!(false), json!(60)), human("promote to all traffic")),
        ("blue/green by the clock", bg(json!(true), json!(60)), until(30)),
        ("blue/green by the clock, unsaid", bg(Value::Null, json!(60)), until(30)),
        ("blue/green without a clock", bg(Value::Null, Value::Null), until(-30)),
    ] {
        assert_eq!(row_of(&object, &groups()).waits, [expected], "{what}");
    }
    let by_hand = canary(&json!({"spec": {"paused": true}, "status": {"phase": "Paused", "conditions": [
        {"type": "Paused", "status": "True", "lastTransitionTime": at(-7).to_string()}]}}));
    let by_hand = row_of(&by_hand, &groups());
    assert_eq!(by_hand.waits, [Wait::Human { what: "resume".into(), who: None, since: at(-7) }]);
    assert_eq!((by_hand.phase, by_hand.since), (Phase::Paused, at(-7)));
    let analysis = canary(
        &json!({"status": {"phase": "Progressing", "canary": {"currentStepAnalysisRunStatus": {"name": "checkout-a", "status": "Running"}}}}),
    );
    assert_eq!(row_of(&analysis, &[]).waits, [Wait::Analysis { name: "checkout-a".into(), until: None }]);
    let verdicts = |status: &str| {
        let of = json!({"name": "checkout-a", "status": status, "message": "metric \"errors\" assessed so"});
        let row = row_of(&canary(&json!({"status": {"canary": {"currentBackgroundAnalysisRunStatus": of}}})), &[]);
        row.analyses.iter().map(|analysis| (analysis.sentence(), analysis.verdict)).collect::<Vec<_>>()
    };
    let said = |status: &str| format!("checkout-a {status}: metric \"errors\" assessed so");
    for (status, verdict) in [
        ("Running", None),
        ("Successful", Some(MetricVerdict::Pass)),
        ("Failed", Some(MetricVerdict::Fail)),
        ("Inconclusive", Some(MetricVerdict::Missing)),
        ("Error", Some(MetricVerdict::Missing)),
    ] {
        assert_eq!(verdicts(status), [(said(status), verdict)]);
    }
    let done =
        json!({"status": {"stableRS": NEW, "canary": {"currentBackgroundAnalysisRunStatus": {"status": "Failed"}}}});
    assert_eq!(row_of(&canary(&done), &[]).analyses, [], "what is left of a rollout before");
    let moving = canary(&json!({"status": {"phase": "Progressing"}}));
    assert_eq!(row_of(&moving, &[]).waits, [Wait::Health]);
}

fn shares(row: &Rollout) -> (Ppm, Option<Ppm>, Option<Ppm>) {
    let (stable, candidate) = (row.stable().unwrap().traffic, row.candidate().unwrap().traffic);
    assert_eq!(stable.desired, candidate.desired.rest());
    (candidate.desired, candidate.actual, stable.actual)
}

#[test]
fn weights_are_those_of_the_steps_and_of_what_is_known() {
    let percent = |desired, actual: Option<u32>, stable: Option<u32>| {
        (Ppm::percent(desired), actual.map(Ppm::percent), stable.map(Ppm::percent))
    };
    let at_step = |index: i32| canary(&json!({"status": {"currentStepIndex": index}}));
    let routed = |most: Value, weights: Value, index: i32| {
        canary(&json!({
            "spec": {"strategy": {"canary": {"trafficRouting": {"maxTrafficWeight": most}}}},
            "status": {"currentStepIndex": index, "canary": {"weights": weights}},
        }))
    };
    let told = |canary: i32, stable: i32| json!({"canary": {"weight": canary}, "stable": {"weight": stable}});
    for (what, object, expected) in [
        ("at a weight", at_step(0), percent(20, Some(20), Some(80))),
        ("after it", at_step(1), percent(20, Some(20), Some(80))),
        ("the next one", at_step(2), percent(50, Some(20), Some(80))),
        ("after the last step", at_step(5), percent(100, Some(20), Some(80))),
        ("beyond it", at_step(500), percent(100, Some(20), Some(80))),
        ("a negative step", at_step(-3), percent(20, Some(20), Some(80))),
        ("no step told", canary(&json!({"status": {"currentStepIndex": null}})), percent(20, Some(20), Some(80))),
        ("aborted", canary(&json!({"status": {"abort": true, "currentStepIndex": 0}})), percent(0, Some(20), Some(80))),
        ("routed", routed(Value::Null, told(20, 80), 1), percent(20, Some(20), Some(80))),
        ("routed of 200", routed(json!(200), told(50, 150), 2), percent(25, Some(25), Some(75))),
        ("routed, nobody told", routed(Value::Null, Value::Null, 1), percent(20, None, None)),
        (
            "routed past the steps, not there yet",
            routed(Value::Null, told(80, 20), 5),
            percent(100, Some(80), Some(20)),
        ),
        ("a whole of nothing is 100", routed(json!(0), told(20, 80), 1), percent(20, Some(20), Some(80))),
    ] {
        assert_eq!(shares(&row_of(&object, &groups())), expected, "{what}");
    }
    let nobody = [group(OLD, "v1", 0, 4), group(NEW, "v2", 0, 1)];
    assert_eq!(shares(&row_of(&at_step(1), &nobody)), percent(20, None, None), "no pod is available");
    assert_eq!(shares(&row_of(&at_step(1), &[])), percent(20, None, None), "its ReplicaSets are not read yet");
}

#[test]
fn how_a_share_is_known_follows_the_router() {
    let how = |object: &ArgoRollout| row_of(object, &groups()).candidate().unwrap().traffic.how;
    let routed = |verified: Value| {
        canary(&json!({
            "spec": {"strategy": {"canary": {"trafficRouting": {}}}},
            "status": {"canary": {"weights": {"canary": {"weight": 20}, "stable": {"weight": 80}, "verified": verified}}},
        }))
    };
    assert_eq!(how(&canary(&json!({}))), TrafficSource::Replicas);
    assert_eq!(how(&routed(Value::Null)), TrafficSource::Declared);
    assert_eq!(how(&routed(json!(false))), TrafficSource::Declared);
    assert_eq!(how(&routed(json!(true))), TrafficSource::Acknowledged);
}

/// argo-rollouts #3589: weights −25 and 125.
#[test]
fn issue_3589_weights_that_cannot_be_are_not_believed() {
    let object = canary(&json!({
        "spec": {"strategy": {"canary": {"trafficRouting": {}}}},
        "status": {"phase": "Progressing", "canary": {"weights": {"canary": {"weight": -25}, "stable": {"weight": 125}}}},
    }));
    let row = row_of(&object, &groups());
    assert_eq!(shares(&row), (Ppm::percent(20), None, None));
    assert_eq!(row.message, "its weights can't be: -25 and 125 of 100");
}

/// argo-rollouts #4612: 70 % of traffic for a canary sized for 5 %.
#[test]
fn issue_4612_more_traffic_than_pods_is_said() {
    let object = |pods: i32| {
        canary(&json!({
            "spec": {"replicas": 20, "strategy": {"canary": {"trafficRouting": {}}}},
            "status": {"phase": "Progressing", "updatedReplicas": pods, "canary": {"weights": {"canary": {"weight": 70}, "stable": {"weight": 30}}}},
        }))
    };
    let row = |pods: u32| row_of(&object(1), &[group(OLD, "v1", 19, 19), group(NEW, "v2", pods, pods)]);
    assert_eq!(row(1).message, "v2 has 70 % of traffic on 1 pods of 20");
    assert_eq!(row(14).message, "");
}

/// argo-rollouts #1292 and #2050: stable scaled to nothing, or too early.
#[test]
fn issue_1292_and_2050_an_abort_without_pods_of_stable_is_said() {
    let object = canary(
        &json!({"status": {"phase": "Degraded", "message": "RolloutAborted", "abort": true, "abortedAt": at(-5).to_string(), "updatedReplicas": null, "availableReplicas": 0}}),
    );
    let row = row_of(&object, &[group(OLD, "v1", 0, 5), group(NEW, "v2", 0, 0)]);
    assert_eq!((row.phase, row.message.as_str()), (Phase::Aborted, "RolloutAborted; 0 of 5 pods of stable are ready"));
    assert_eq!(shares(&row), (Ppm::ZERO, None, None), "nobody serves, so nobody has the traffic");
}

#[test]
fn an_abort_counts_once_users_are_back() {
    let first = json!({"status": {"phase": "Degraded", "message": "RolloutAborted: by hand", "abort": true, "abortedAt": at(-5).to_string(), "currentStepIndex": 0}});
    let aborted = |change: Value| both(&first, &change);
    let none = vec![group(OLD, "v1", 5, 5), group(NEW, "v2", 0, 0)];
    let routed = |weight: i32| json!({"spec": {"strategy": {"canary": {"trafficRouting": {}}}}, "status": {"canary": {"weights": {"canary": {"weight": weight}, "stable": {"weight": 100 - weight}}}}});
    let by_hand = "RolloutAborted: by hand";
    for (what, object, groups, expected, message) in [
        ("pods stay", aborted(json!({})), groups(), Phase::RollingBack, "aborted, but 1 pod of v2 still serves"),
        (
            "paused by hand they stay for ever",
            aborted(json!({"spec": {"paused": true}})),
            groups(),
            Phase::RollingBack,
            "aborted, but 1 pod of v2 still serves; being paused, it does not move",
        ),
        (
            "the count is left out when it is none",
            aborted(json!({"status": {"updatedReplicas": null}})),
            none.clone(),
            Phase::Aborted,
            by_hand,
        ),
        (
            "and without its ReplicaSets",
            aborted(json!({"status": {"updatedReplicas": null}})),
            vec![],
            Phase::Aborted,
            by_hand,
        ),
        (
            "a ReplicaSet tells of a pod",
            aborted(json!({"status": {"updatedReplicas": null}})),
            groups(),
            Phase::RollingBack,
            "aborted, but 1 pod of v2 still serves",
        ),
        (
            "the router moved, pods stay for a retry",
            aborted(routed(0)),
            vec![group(OLD, "v1", 5, 5), group(NEW, "v2", 1, 1)],
            Phase::Aborted,
            by_hand,
        ),
        (
            "the router did not move",
            aborted(routed(20)),
            groups(),
            Phase::RollingBack,
            "aborted, but v2 still has 20 % of traffic",
        ),
        (
            "of a settled one",
            aborted(json!({"status": {"stableRS": NEW}})),
            vec![],
            Phase::Degraded,
            "aborted with nothing in flight: RolloutAborted: by hand",
        ),
    ] {
        let row = row_of(&object, &groups);
        assert_eq!((row.phase, row.message.as_str()), (expected, message), "{what}");
    }
    let bg = |active: &str, paused: bool| {
        row_of(
            &blue_green(
                &json!({"spec": {"paused": paused}, "status": {"abort": true, "abortedAt": at(-5).to_string(), "phase": "Degraded", "blueGreen": {"activeSelector": active}}}),
            ),
            &groups(),
        )
    };
    assert_eq!(bg(OLD, false).phase, Phase::Aborted);
    let stays = bg(NEW, true);
    assert_eq!(stays.phase, Phase::RollingBack);
    assert_eq!(stays.message, "aborted, but the active service still selects v2; being paused, it does not move");
    let back = row_of(&aborted(json!({"status": {"updatedReplicas": null}})), &none);
    assert_eq!((back.since, shares(&back)), (at(-5).max(back.started), (Ppm::ZERO, Some(Ppm::ZERO), Some(Ppm::ALL))));
}

#[test]
fn arms_are_told_apart_by_hash() {
    let roles = |row: &Rollout| -> Vec<(ArmRole, String, Replicas, Option<Ppm>)> {
        let arm = |arm: &Arm| (arm.role.clone(), arm.version.to_string(), arm.replicas, arm.traffic.actual);
        row.arms.iter().map(arm).collect()
    };
    let pods = |ready, desired| Replicas { ready, desired };
    let row = row_of(&canary(&json!({})), &groups());
    assert_eq!(
        roles(&row),
        [
            (ArmRole::Stable, "v1".into(), pods(4, 4), Some(Ppm::percent(80))),
            (ArmRole::Candidate, "v2".into(), pods(1, 1), Some(Ppm::percent(20))),
        ]
    );
    let row = row_of(&canary(&json!({})), &[]);
    assert_eq!(
        roles(&row),
        [(ArmRole::Stable, "unknown".into(), pods(4, 4), None), (ArmRole::Candidate, "v2".into(), pods(1, 1), None),],
        "where its ReplicaSets can't be read"
    );
    let settled = row_of(&canary(&json!({"status": {"stableRS": NEW, "currentStepIndex": 5}})), &[]);
    assert_eq!(roles(&settled), [(ArmRole::Stable, "v2".into(), pods(5, 5), Some(Ppm::ALL))]);
    assert_eq!(settled.step, Some(5));
    let first =
        row_of(&canary(&json!({"status": {"stableRS": null, "phase": "Progressing"}})), &[group(NEW, "v2", 2, 5)]);
    assert_eq!(roles(&first), [(ArmRole::Candidate, "v2".into(), pods(2, 5), Some(Ppm::ALL))]);
    assert_eq!(first.phase, Phase::Initializing);
    let side = row_of(&blue_green(&json!({})), &groups());
    assert_eq!(
        roles(&side),
        [
            (ArmRole::Stable, "v1".into(), pods(4, 4), Some(Ppm::ALL)),
            (ArmRole::Preview, "v2".into(), pods(1, 1), Some(Ppm::ZERO)),
        ]
    );
    let switched = row_of(&blue_green(&json!({"status": {"blueGreen": {"activeSelector": NEW}}})), &groups());
    let users = (ArmRole::Candidate, "v2".into(), pods(1, 5), Some(Ppm::ALL));
    assert_eq!(roles(&switched)[1], users, "a preview may be smaller, what users meet may not");
    assert_eq!(switched.strategy, Strategy::BlueGreen);
}

#[test]
fn each_arm_says_which_pods_are_its_own() {
    let pods = |object: &ArgoRollout, groups: &[ReplicaGroup]| -> Vec<PodNames> {
        row_of(object, groups).arms.into_iter().map(|arm| arm.pods.unwrap()).collect()
    };
    let of = |name: &str| PodNames::Set(name.into());
    let mut three = groups();
    three.push(group("older", "v0", 1, 1));
    assert_eq!(
        pods(&canary(&json!({})), &three),
        [of("checkout-old"), of("checkout-new"), of("checkout-older")],
        "stable, candidate, and what is left of another"
    );
    assert_eq!(pods(&canary(&json!({})), &[]), [of("checkout-old"), of("checkout-new")], "by its status alone");
    assert_eq!(pods(&canary(&json!({"status": {"stableRS": NEW}})), &[]), [of("checkout-new")], "at rest");
    assert_eq!(pods(&blue_green(&json!({})), &groups()), [of("checkout-old"), of("checkout-new")]);
}

#[test]
fn each_arm_says_behind_which_service_its_pods_alone_stand() {
    let services = |object: &ArgoRollout| -> Vec<Option<String>> {
        row_of(object, &groups()).arms.into_iter().map(|arm| arm.service).collect()
    };
    let of = |name: &str| Some(name.to_owned());
    let names = json!({"spec": {"strategy": {"canary": {"stableService": "web", "canaryService": "web-canary"}}}});
    assert_eq!(services(&canary(&names)), [of("web"), of("web-canary")]);
    assert_eq!(services(&both(&names, &json!({"status": {"stableRS": NEW}})))[0], of("web"), "at rest");
    assert_eq!(services(&canary(&json!({}))), [None, None]);
    assert_eq!(services(&blue_green(&json!({}))), [of("a"), of("p")]);
    let switched = json!({"status": {"blueGreen": {"activeSelector": NEW, "previewSelector": NEW}}});
    assert_eq!(services(&blue_green(&switched)), [None, of("a")], "users are with the new one");
}

#[test]
fn what_its_controller_refused_or_has_yet_to_see_does_not_run() {
    let sides = |row: &Rollout| -> Vec<(ArmRole, String, Replicas, Option<Ppm>)> {
        let arm = |arm: &Arm| (arm.role.clone(), arm.version.to_string(), arm.replicas, arm.traffic.actual);
        row.arms.iter().map(arm).collect()
    };
    let five = Replicas { ready: 5, desired: 5 };
    let old = vec![group(OLD, "v1", 5, 5)];
    let serves_old = vec![(ArmRole::Stable, "v1".to_owned(), five, Some(Ppm::ALL))];
    let invalid = json!({"status": {"currentPodHash": OLD, "phase": "Degraded", "message": "InvalidSpec: no template gone",
        "conditions": [{"type": "InvalidSpec", "status": "True"}], "updatedReplicas": 5}});
    let refused = canary(&invalid);
    assert!(needs_groups(&refused) && has_groups(&refused, &old) && !has_groups(&refused, &[]));
    let row = row_of(&refused, &old);
    assert_eq!((sides(&row), row.phase), (serves_old.clone(), Phase::Degraded));
    assert_eq!(row.message, "InvalidSpec: no template gone; v2 was not taken up");
    assert_eq!(names(&row).join(" "), "pause rollback");
    let unseen =
        canary(&json!({"metadata": {"generation": 5}, "status": {"currentPodHash": OLD, "updatedReplicas": 5}}));
    let row = row_of(&unseen, &old);
    assert_eq!((sides(&row), row.phase), (serves_old, Phase::Progressing));
    let born = both(&json!({"status": null}), &json!({}));
    let nothing = vec![(ArmRole::Candidate, "v2".to_owned(), Replicas { ready: 0, desired: 5 }, None)];
    assert_eq!(sides(&row_of(&born, &[])), nothing, "nothing that never served is stable");
    assert_eq!(row_of(&born, &[]).phase, Phase::Initializing);
}

#[test]
fn a_pause_that_keeps_it_from_its_size_is_said() {
    let replicas =
        |row: &Rollout| row.arms.iter().map(|arm| (arm.replicas.ready, arm.replicas.desired)).collect::<Vec<_>>();
    let of = |paused: bool| {
        let paused =
            json!({"spec": {"paused": paused, "replicas": 8}, "status": {"phase": "Paused", "message": "stands"}});
        row_of(&canary(&paused), &groups())
    };
    assert_eq!(replicas(&of(true)), [(4, 6), (1, 2)], "20 % of eight, rounded up");
    assert_eq!(of(true).message, "stands; not scaled while it is paused: 8 pods are wanted, 5 are there");
    assert_eq!((replicas(&of(false)), of(false).message.as_str()), (vec![(4, 4), (1, 1)], "stands"));
    let settled = json!({"spec": {"paused": true, "replicas": 8}, "status": {"stableRS": NEW, "updatedReplicas": 5}});
    let settled = row_of(&canary(&settled), &[]);
    assert_eq!((replicas(&settled), settled.message.contains("8 pods are wanted, 5 are there")), (vec![(5, 8)], true));
}

#[test]
fn of_no_pods_nothing_has_a_share_and_nothing_is_healthy() {
    let object = canary(&json!({"spec": {"replicas": 0}, "status": {"phase": "Healthy", "replicas": null,
        "updatedReplicas": null, "readyReplicas": null, "availableReplicas": null}}));
    let row = row_of(&object, &[group(OLD, "v1", 0, 0), group(NEW, "v2", 0, 0)]);
    assert_eq!(shares(&row), (Ppm::percent(20), None, None));
    assert_eq!(row.phase, Phase::Progressing);
}

#[test]
fn a_third_version_that_still_has_pods_has_an_arm() {
    let third = ReplicaGroup { revision: Some("1".into()), ..group("older", "v0", 2, 0) };
    let told = |row: &Rollout| -> Vec<(ArmRole, String, u32, Option<Ppm>)> {
        let arm = |arm: &Arm| (arm.role.clone(), arm.version.to_string(), arm.replicas.ready, arm.traffic.actual);
        row.arms.iter().map(arm).collect()
    };
    let name = || ArmRole::Cohort("revision 1".to_owned());
    let groups = [group(OLD, "v1", 5, 4), group(NEW, "v2", 1, 1), third];
    let share = |ppm| Some(Ppm(ppm));
    assert_eq!(
        told(&row_of(&canary(&json!({})), &groups)),
        [
            (ArmRole::Stable, "v1".into(), 5, share(625_000)),
            (ArmRole::Candidate, "v2".into(), 1, share(125_000)),
            (name(), "v0".into(), 2, share(250_000)),
        ]
    );
    let blue_green = row_of(&blue_green(&json!({})), &groups);
    assert_eq!(told(&blue_green)[2], (name(), "v0".into(), 2, Some(Ppm::ZERO)), "its service selects another");
    let settled = canary(&json!({"status": {"stableRS": NEW, "replicas": 7, "updatedReplicas": 5}}));
    assert!(needs_groups(&settled));
    let settled = row_of(&settled, &[group(NEW, "v2", 6, 6), groups[2].clone()]);
    assert_eq!(told(&settled)[1], (name(), "v0".into(), 2, share(250_000)));
}

#[test]
fn a_version_that_another_workload_says_comes_from_its_replica_sets() {
    let referenced = canary(
        &json!({"spec": {"template": null, "workloadRef": {"kind": "Deployment", "name": "x"}}, "status": {"stableRS": NEW}}),
    );
    let version = |groups: &[ReplicaGroup]| row_of(&referenced, groups).stable().unwrap().version.clone();
    assert_eq!(version(&groups()), Version("v2".into()));
    assert_eq!(version(&[]), Version("unknown".into()), "a hash is no version");
}

#[test]
fn what_is_offered_follows_from_where_it_stands() {
    let paused_at = json!({"status": {"phase": "Paused", "pauseConditions": pause("CanaryPauseStep")}});
    let hold =
        json!({"id": "H-1", "owner": "ann", "reason": null, "since": at(0).to_string(), "selector": {}}).to_string();
    let marked = json!({"metadata": {"annotations": {"flightdeck.dev/hold": hold}}, "spec": {"paused": true}});
    for (what, object, expected) in [
        ("at a pause step", canary(&paused_at), "promote promote-full pause abort rollback"),
        ("moving", canary(&json!({})), "promote promote-full pause abort rollback"),
        ("past its steps", canary(&json!({"status": {"currentStepIndex": 5}})), "promote-full pause abort rollback"),
        ("paused by hand", canary(&json!({"spec": {"paused": true}})), "promote-full resume abort rollback"),
        ("both", both(&paused_at, &json!({"spec": {"paused": true}})), "promote promote-full resume abort rollback"),
        ("held", both(&paused_at, &marked), "abort rollback let-through"),
        ("promoted in full", canary(&json!({"status": {"promoteFull": true}})), "pause abort rollback"),
        ("aborted", canary(&json!({"status": {"abort": true, "updatedReplicas": null}})), "rollback retry"),
        (
            "aborted while paused",
            canary(&json!({"spec": {"paused": true}, "status": {"abort": true}})),
            "resume abort rollback retry",
        ),
        (
            "aborted with nothing in flight",
            canary(&json!({"status": {"abort": true, "stableRS": NEW}})),
            "rollback retry",
        ),
        ("settled", canary(&json!({"status": {"stableRS": NEW}})), "pause rollback restart"),
        (
            "settled, the first revision",
            canary(
                &json!({"metadata": {"annotations": {"rollout.argoproj.io/revision": "1"}}, "status": {"stableRS": NEW}}),
            ),
            "pause restart",
        ),
        (
            "the first version on its way",
            canary(&json!({"metadata": {"annotations": null}, "status": {"stableRS": null, "currentStepIndex": 5}})),
            "pause",
        ),
    ] {
        let none = vec![group(OLD, "v1", 5, 5), group(NEW, "v2", 0, 0)];
        let groups = if what == "aborted" { none } else { groups() };
        assert_eq!(names(&row_of(&object, &groups)).join(" "), expected, "{what}");
    }
}

#[test]
fn facts_are_what_a_person_saw() {
    let object = canary(&json!({"status": {"pauseConditions": pause("CanaryPauseStep")}}));
    let row = row_of(&object, &groups());
    let expected = [
        (Fact::Workload, "u-1".to_owned()),
        (Fact::Revision, "2".to_owned()),
        (Fact::Step, "1".to_owned()),
        (Fact::Candidate, NEW.to_owned()),
        (Fact::Stable, OLD.to_owned()),
        (Fact::Pause, format!("CanaryPauseStep@{}", at(-30))),
    ];
    assert_eq!(row.facts.0.into_iter().collect::<Vec<_>>(), expected);
    let both = canary(&json!({"spec": {"paused": true}, "status": {"pauseConditions": pause("BlueGreenPause")}}));
    assert_eq!(row_of(&both, &[]).facts.0[&Fact::Pause], format!("paused+BlueGreenPause@{}", at(-30)));
    let bumped = canary(
        &json!({"metadata": {"generation": 5}, "status": {"observedGeneration": "5", "pauseConditions": pause("CanaryPauseStep")}}),
    );
    assert_eq!(row_of(&bumped, &groups()).facts, row_of(&object, &groups()).facts, "an autoscaler voids no pin");
}

#[test]
fn nonsense_makes_a_row_and_no_panic() {
    let object = canary(&json!({
        "metadata": {"name": "che\u{1b}[31mckout", "generation": -1},
        "spec": {"replicas": -7, "strategy": {"canary": {"steps": [{"setWeight": i32::MIN}, {"pause": {"duration": i32::MIN}}]}}},
        "status": {"currentStepIndex": i32::MAX, "replicas": i32::MAX, "updatedReplicas": -1, "availableReplicas": i32::MIN, "phase": "\u{202e}",
            "pauseConditions": [{"reason": "\u{7}", "startTime": "9999-12-30T22:00:00Z"}]},
    }));
    let mut far = groups();
    far[0].replicas = Replicas { ready: u32::MAX, desired: u32::MAX };
    let row = row_of(&object, &far);
    assert_eq!(row.service.as_str(), "shop/che\u{fffd}[31mckout");
    assert_eq!(row.phase, Phase::Unknown);
    assert!(row.message.contains('\u{fffd}'), "{}", row.message);
    let empty: ArgoRollout = serde_json::from_value(json!({"metadata": {}, "spec": {}})).unwrap();
    assert_eq!(row_of(&empty, &[]).run.revision, "0");
}

#[test]
fn a_hold_means_what_still_moves_whatever_its_phase_is_called() {
    use flightdeck_model::Selector;
    let holds = |change: &Value| {
        let row = row_of(&canary(change), &groups());
        (row.phase, Selector::default().holds(&row))
    };
    let late = json!({"status": {"phase": "Degraded", "message": "ProgressDeadlineExceeded: late"}});
    assert_eq!(holds(&late), (Phase::Degraded, true), "past its deadline it goes on trying");
    let settled = json!({"status": {"phase": "Degraded", "stableRS": NEW, "updatedReplicas": 5}});
    assert_eq!(holds(&settled), (Phase::Degraded, false), "what is missing is no rollout's");
    let back = json!({"status": {"abort": true, "abortedAt": at(-5).to_string()}});
    assert_eq!(holds(&back), (Phase::RollingBack, false), "what goes back is left alone");
}

#[test]
fn a_pause_says_that_it_keeps_the_scaling_too() {
    let paused = |replicas: u32| {
        let change = json!({"spec": {"paused": true, "replicas": replicas}});
        row_of(&canary(&change), &groups()).message
    };
    assert!(paused(8).contains("not scaled while it is paused: 8 pods are wanted, 5 are there"), "{}", paused(8));
    assert!(paused(0).contains("0 pods are wanted, 5 are there"), "{}", paused(0));
    assert!(!paused(5).contains("not scaled"), "{}", paused(5));
}
