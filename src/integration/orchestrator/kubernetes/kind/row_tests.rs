//! Each line of `kubectl rollout status` as a table, and what all kinds have in common.

use super::{Source, Workload, named};
use crate::orchestrator::kubernetes::images::{self, version_of};
use crate::orchestrator::kubernetes::pod_sets::ReplicaGroup;
use crate::orchestrator::kubernetes::row::{RowContext, managed_by};
use crate::orchestrator::kubernetes::settings::KubernetesSettings;
use flightdeck_model::{Action, Denied, Fact, Phase, PodNames, Ppm, Replicas, Rollout, Strategy, Wait};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A parsed object.
type Parsed = Box<dyn Workload>;

fn row_of(workload: &Parsed, groups: &[ReplicaGroup]) -> Rollout {
    let settings = KubernetesSettings::new("east".into());
    workload.row(&RowContext { settings: &settings, denied: &Arc::default(), pods: None, now: at(0) }, groups)
}

fn merged(mut object: Value, change: &Value) -> Value {
    json_patch::merge(&mut object, change);
    object
}

fn parsed(kind: &str, object: Value) -> Parsed {
    named(kind).unwrap().read(Source::Value(object)).unwrap()
}

fn meta() -> Value {
    json!({"name": "checkout", "namespace": "shop", "uid": "u-1", "generation": 3,
        "creationTimestamp": at(-9000).to_string(), "annotations": {"deployment.kubernetes.io/revision": "2"}})
}

fn template() -> Value {
    json!({"spec": {"containers": [{"name": "app", "image": "shop/checkout:v2"}]}})
}

fn deployment(change: &Value) -> Parsed {
    let object = json!({"metadata": meta(), "spec": {"replicas": 4, "selector": {}, "template": template()},
        "status": {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 4, "readyReplicas": 4, "availableReplicas": 4}});
    parsed("Deployment", merged(object, change))
}

fn stateful_set(change: &Value) -> Parsed {
    let object = json!({"metadata": meta(), "spec": {"replicas": 4, "selector": {}, "template": template(), "updateStrategy": {"type": "RollingUpdate"}},
        "status": {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 4, "readyReplicas": 4, "currentRevision": "checkout-b", "updateRevision": "checkout-b"}});
    parsed("StatefulSet", merged(object, change))
}

fn daemon_set(change: &Value) -> Parsed {
    let object = json!({"metadata": merged(meta(), &json!({"annotations": {"deprecated.daemonset.template.generation": "2"}})),
        "spec": {"selector": {}, "template": template(), "updateStrategy": {"type": "RollingUpdate"}},
        "status": {"observedGeneration": 3, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3, "numberAvailable": 3}});
    parsed("DaemonSet", merged(object, change))
}

fn set(name: &str, revision: &str, version: &str, ready: u32, desired: u32) -> ReplicaGroup {
    ReplicaGroup {
        name: name.to_owned(),
        hash: String::new(),
        revision: Some(revision.to_owned()),
        images: images::one(&format!("shop/checkout:{version}")),
        replicas: Replicas { ready, desired },
        created: Some(at(-60)),
        ends: None,
    }
}

fn progressing(reason: &str) -> Value {
    json!([{"type": "Progressing", "status": "True", "reason": reason, "message": "words", "lastUpdateTime": at(-20).to_string(), "lastTransitionTime": at(-40).to_string()}])
}

#[test]
fn a_deployment_stands_as_kubectl_rollout_status_says() {
    let done = progressing("NewReplicaSetAvailable");
    for (what, change, expected, message) in [
        (
            "paused first",
            json!({"spec": {"paused": true}, "metadata": {"generation": 9}}),
            Phase::Paused,
            "paused by somebody",
        ),
        ("1", json!({"metadata": {"generation": 4}}), Phase::Progressing, "waiting for its change to be observed"),
        (
            "2",
            json!({"status": {"updatedReplicas": 1, "conditions": progressing("ProgressDeadlineExceeded")}}),
            Phase::Failed,
            "exceeded its progress deadline: words",
        ),
        ("3", json!({"status": {"updatedReplicas": 1}}), Phase::Progressing, "1 of 4 pods have the new template"),
        (
            "3, pods refused",
            json!({"status": {"updatedReplicas": 1, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]}}),
            Phase::Progressing,
            "1 of 4 pods have the new template; pods can't be made: quota",
        ),
        ("4", json!({"status": {"replicas": 5}}), Phase::Progressing, "1 old pod is still to be terminated"),
        ("4, more", json!({"status": {"replicas": 6}}), Phase::Progressing, "2 old pods are still to be terminated"),
        ("5", json!({"status": {"availableReplicas": 3}}), Phase::Progressing, "3 of 4 updated pods are available"),
        (
            "5, rolled out before",
            json!({"status": {"availableReplicas": 3, "conditions": done}}),
            Phase::Degraded,
            "3 of 4 updated pods are available",
        ),
        ("6", json!({"status": {"conditions": done}}), Phase::Healthy, "4 of 4 pods are available"),
        (
            "the first one",
            json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}, "status": {"updatedReplicas": 1}}),
            Phase::Initializing,
            "1 of 4 pods have the new template",
        ),
        ("no status", json!({"status": null}), Phase::Progressing, "waiting for its change to be observed"),
    ] {
        let row = row_of(&deployment(&change), &[]);
        assert_eq!((row.phase, row.message.as_str()), (expected, message), "{what}");
    }
}

#[test]
fn a_stateful_set_stands_as_kubectl_rollout_status_says() {
    let two = json!({"status": {"currentRevision": "checkout-a", "updatedReplicas": 1}});
    let with = |change: &Value| merged(two.clone(), change);
    let partition = |of: i32| json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": of}}}});
    for (what, change, expected, message) in [
        (
            "unobserved",
            json!({"status": {"observedGeneration": 0}}),
            Phase::Progressing,
            "waiting for its change to be observed",
        ),
        ("behind", json!({"metadata": {"generation": 4}}), Phase::Progressing, "waiting for its change to be observed"),
        ("unready", with(&json!({"status": {"readyReplicas": 3}})), Phase::Progressing, "3 of 4 pods are ready"),
        (
            "unready without a rollout",
            json!({"status": {"readyReplicas": 3}}),
            Phase::Degraded,
            "3 of 4 pods are ready",
        ),
        (
            "a partition to reach",
            with(&partition(2)),
            Phase::Progressing,
            "1 of 2 pods above the partition have the new template",
        ),
        (
            "a partition reached",
            with(&partition(3)),
            Phase::Healthy,
            "partitioned rollout complete: 1 of 4 pods have the new template",
        ),
        (
            "a partition above all",
            with(&partition(99)),
            Phase::Healthy,
            "partitioned rollout complete: 1 of 4 pods have the new template",
        ),
        ("two revisions", two.clone(), Phase::Progressing, "1 of 4 pods have the new template"),
        (
            "by hand",
            with(&json!({"spec": {"updateStrategy": {"type": "OnDelete"}}})),
            Phase::Paused,
            "1 of 4 pods have the new template; each gets it when it is deleted",
        ),
        ("done", json!({}), Phase::Healthy, "4 of 4 pods are ready"),
        (
            "the first pods",
            json!({"metadata": {"generation": 1, "creationTimestamp": at(-60).to_string()}, "status": {"observedGeneration": 1, "readyReplicas": 1}}),
            Phase::Initializing,
            "1 of 4 pods are ready",
        ),
    ] {
        let row = row_of(&stateful_set(&change), &[]);
        assert_eq!((row.phase, row.message.as_str()), (expected, message), "{what}");
    }
}

#[test]
fn a_daemon_set_stands_as_kubectl_rollout_status_says() {
    for (what, change, expected, message) in [
        ("behind", json!({"metadata": {"generation": 4}}), Phase::Progressing, "waiting for its change to be observed"),
        (
            "updating",
            json!({"status": {"updatedNumberScheduled": 1}}),
            Phase::Progressing,
            "1 of 3 nodes have the new template",
        ),
        (
            "unavailable",
            json!({"status": {"numberAvailable": 2}}),
            Phase::Progressing,
            "2 of 3 nodes have it available",
        ),
        (
            "by hand",
            json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"updatedNumberScheduled": 1}}),
            Phase::Paused,
            "1 of 3 nodes have the new template; each gets it when its pod is deleted",
        ),
        ("done", json!({}), Phase::Healthy, "3 of 3 nodes have it available"),
    ] {
        let row = row_of(&daemon_set(&change), &[]);
        assert_eq!((row.phase, row.message.as_str()), (expected, message), "{what}");
    }
}

fn arms(row: &Rollout) -> Vec<(String, Replicas, Option<Ppm>)> {
    row.arms.iter().map(|arm| (arm.version.to_string(), arm.replicas, arm.traffic.actual)).collect()
}

#[test]
fn a_rolling_deployment_has_two_arms_by_its_replica_sets() {
    let pods = |ready, desired| Replicas { ready, desired };
    let rolling = deployment(&json!({"status": {"replicas": 5, "updatedReplicas": 2, "availableReplicas": 4}}));
    assert!(rolling.needs_groups() && !deployment(&json!({})).needs_groups());
    let groups =
        [set("c", "2", "v2", 1, 2), set("b", "1", "v1", 2, 2), set("a", "0", "v0", 1, 1), set("z", "9", "v9", 0, 0)];
    assert_eq!(
        arms(&row_of(&rolling, &groups)),
        [
            ("v1".into(), pods(2, 2), Some(Ppm(500_000))),
            ("v2".into(), pods(1, 4), Some(Ppm(250_000))),
            ("v0".into(), pods(1, 1), Some(Ppm(250_000))),
        ],
        "a third version that still has pods"
    );
    assert_eq!(arms(&row_of(&rolling, &[])), [("unknown".into(), pods(3, 3), None), ("v2".into(), pods(1, 4), None)]);
    assert_eq!(arms(&row_of(&deployment(&json!({})), &[])), [("v2".into(), pods(4, 4), Some(Ppm::ALL))]);
    let nothing = deployment(&json!({"spec": {"replicas": 0}, "status": null}));
    assert_eq!(arms(&row_of(&nothing, &[])), [("v2".into(), pods(0, 0), None)], "nobody serves");
}

#[test]
fn what_is_described_runs_only_once_it_is_taken_up() {
    let four = Replicas { ready: 4, desired: 4 };
    let unseen =
        deployment(&json!({"metadata": {"generation": 4, "annotations": {"deployment.kubernetes.io/revision": "1"}}}));
    assert!(unseen.needs_groups() && !unseen.has_groups(&[]));
    let groups = [set("b", "1", "v1", 4, 4)];
    assert!(unseen.has_groups(&groups));
    assert_eq!(arms(&row_of(&unseen, &groups)), [("v1".into(), four, Some(Ppm::ALL))]);
    assert_eq!(arms(&row_of(&unseen, &[])), [("unknown".into(), four, Some(Ppm::ALL))]);
    let both = [set("b", "1", "v1", 3, 3), set("c", "2", "v2", 1, 1)];
    let sides = arms(&row_of(&unseen, &both));
    assert_eq!((sides[0].0.as_str(), sides[1].0.as_str()), ("v1", "v2"), "its new set is made before it says so");
    let paused = json!({"spec": {"paused": true}, "status": {"updatedReplicas": 0}, "metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}});
    assert_eq!(
        arms(&row_of(&deployment(&paused), &groups)),
        [("v1".into(), four, Some(Ppm::ALL))],
        "it begins once it is resumed"
    );
    let sets = [set("checkout-a", "1", "v1", 0, 0)];
    let unseen = stateful_set(
        &json!({"metadata": {"generation": 4}, "status": {"currentRevision": "checkout-a", "updateRevision": "checkout-a"}}),
    );
    assert!(unseen.needs_groups() && unseen.has_groups(&sets) && !unseen.has_groups(&[]));
    assert_eq!(arms(&row_of(&unseen, &sets)), [("v1".into(), four, Some(Ppm::ALL))]);
    let unseen = daemon_set(&json!({"metadata": {"generation": 4}}));
    assert!(unseen.needs_groups());
    assert_eq!(arms(&row_of(&unseen, &sets))[0].0, "v1");
}

#[test]
fn a_rolling_set_has_two_arms_by_its_counts() {
    let pods = |ready, desired| Replicas { ready, desired };
    let rolling = stateful_set(&json!({"status": {"currentRevision": "checkout-a", "updatedReplicas": 1}}));
    let groups = [set("checkout-b", "2", "v2", 0, 0), set("checkout-a", "1", "v1", 0, 0)];
    assert!(rolling.needs_groups() && !stateful_set(&json!({})).needs_groups());
    assert_eq!(
        arms(&row_of(&rolling, &groups)),
        [("v1".into(), pods(3, 3), Some(Ppm(750_000))), ("v2".into(), pods(1, 4), Some(Ppm(250_000))),]
    );
    let down =
        stateful_set(&json!({"status": {"currentRevision": "checkout-a", "updatedReplicas": 2, "readyReplicas": 3}}));
    assert_eq!(
        arms(&row_of(&down, &groups)),
        [("v1".into(), pods(2, 2), None), ("v2".into(), pods(1, 4), None)],
        "which one is down is not told"
    );
    let nodes = daemon_set(&json!({"status": {"updatedNumberScheduled": 1}}));
    assert_eq!(
        arms(&row_of(&nodes, &groups)),
        [("v1".into(), pods(2, 2), Some(Ppm(666_666))), ("v2".into(), pods(1, 3), Some(Ppm(333_333)))]
    );
}

#[test]
fn each_arm_says_which_pods_are_its_own() {
    let pods = |workload: &Parsed, groups: &[ReplicaGroup]| -> Vec<PodNames> {
        row_of(workload, groups).arms.into_iter().map(|arm| arm.pods.unwrap()).collect()
    };
    let of = |name: &str| PodNames::Set(name.into());
    let rolling = deployment(&json!({"status": {"replicas": 6, "updatedReplicas": 2}}));
    let groups =
        [set("checkout-a", "1", "v1", 3, 3), set("checkout-b", "2", "v2", 2, 2), set("checkout-0", "0", "v0", 1, 1)];
    let settled = deployment(&json!({}));
    assert_eq!(pods(&rolling, &groups), [of("checkout-a"), of("checkout-b"), of("checkout-0")]);
    assert_eq!(pods(&settled, &[]), [PodNames::Workload("checkout".into())], "its sets were not read");
    assert_eq!(pods(&settled, &groups[1..2]), [of("checkout-b")]);
    // All pods of these are called alike: of two templates nobody can tell which are whose.
    let two = json!({"status": {"currentRevision": "checkout-a", "updatedReplicas": 1, "updatedNumberScheduled": 1}});
    for of_kind in [stateful_set, daemon_set] {
        assert_eq!(pods(&of_kind(&json!({})), &[]), [of("checkout")]);
        assert_eq!(pods(&of_kind(&two), &[]), [PodNames::Untold, PodNames::Untold]);
    }
}

#[test]
fn each_kind_offers_what_it_can() {
    let names = |workload: &Parsed| row_of(workload, &[]).offers.iter().map(Action::name).collect::<Vec<_>>().join(" ");
    let first = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}});
    assert_eq!(names(&deployment(&json!({}))), "pause rollback restart");
    assert_eq!(names(&deployment(&first)), "pause restart");
    assert_eq!(names(&deployment(&json!({"spec": {"paused": true}}))), "resume");
    assert_eq!(names(&stateful_set(&json!({}))), "rollback restart");
    assert_eq!(names(&daemon_set(&json!({}))), "rollback restart");
}

#[test]
fn a_held_deployment_waits_for_its_hold() {
    let mark =
        json!({"id": "H-1", "owner": "ann", "reason": null, "since": at(0).to_string(), "selector": {}}).to_string();
    let marked = |paused: bool| {
        deployment(&json!({"metadata": {"annotations": {"flightdeck.dev/hold": mark}}, "spec": {"paused": paused}}))
    };
    let held = row_of(&marked(true), &[]);
    assert_eq!(held.waits, [Wait::Hold("H-1".into())]);
    assert!(held.offers.iter().eq([Action::LetThrough]));
    assert_eq!(held.message, "held by H-1 of ann");
    assert!(row_of(&marked(false), &[]).waits.is_empty(), "a mark on what goes on holds nothing");
    let garbled =
        deployment(&json!({"metadata": {"annotations": {"flightdeck.dev/hold": "{"}}, "spec": {"paused": true}}));
    assert!(matches!(row_of(&garbled, &[]).waits.as_slice(), [Wait::Human { .. }]));
}

#[test]
fn a_row_says_who_it_is() {
    let row = row_of(&deployment(&json!({"status": {"conditions": progressing("NewReplicaSetAvailable")}})), &[]);
    let target = &row.run.target;
    assert_eq!((target.kind.as_str(), target.to_string().as_str()), ("Deployment", "east/shop/checkout"));
    assert_eq!((row.run.revision.as_str(), row.environment.as_str(), row.strategy), ("2", "east", Strategy::Rolling));
    assert_eq!((row.started, row.since), (at(-20), at(-20)));
    assert_eq!(row.facts.0[&Fact::Workload], "u-1");
    assert_eq!(row.facts.0[&Fact::Candidate].len(), 10);
    assert_eq!(row_of(&stateful_set(&json!({})), &[]).run.revision, "checkout-b");
    assert_eq!(row_of(&daemon_set(&json!({})), &[]).run.revision, "2");
    let plain = daemon_set(&json!({"metadata": {"annotations": null}}));
    assert_eq!(row_of(&plain, &[]).run.revision, "3");
    assert_eq!(row_of(&deployment(&json!({"metadata": {"annotations": null}})), &[]).run.revision, "0");
}

#[test]
fn bars_are_shared_not_copied() {
    let denied: Arc<[Denied]> =
        vec![Denied { actions: [Action::Pause].into_iter().collect(), why: "no".into() }].into();
    let settings = KubernetesSettings::new("east".into());
    let context = RowContext { settings: &settings, denied: &denied, pods: None, now: at(0) };
    assert!(Arc::ptr_eq(&deployment(&json!({})).row(&context, &[]).denied, &denied));
}

#[test]
fn a_version_is_an_images_tag_or_digest() {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (image, expected) in [
        ("nginx:1.27".to_owned(), "1.27"),
        ("nginx".to_owned(), "latest"),
        ("localhost:5000/shop/checkout".to_owned(), "latest"),
        ("localhost:5000/shop/checkout:v1.2".to_owned(), "v1.2"),
        (format!("shop/checkout@{digest}"), "sha256:0123456789ab"),
        (format!("shop/checkout:v1@{digest}"), "v1"),
        ("shop/checkout@oops".to_owned(), "oops"),
        (String::new(), "unknown"),
        ("a:b\u{1b}[2J".to_owned(), "b\u{fffd}[2J"),
        ("x:".to_owned(), "latest"),
    ] {
        assert_eq!(version_of(&image).as_str(), expected, "{image}");
    }
}

#[test]
fn owners_are_known_by_their_labels() {
    for (labels, annotations, expected) in [
        (json!({"argocd.argoproj.io/instance": "shop"}), json!({}), Some(("Argo CD", "application shop"))),
        (
            json!({}),
            json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/checkout"}),
            Some(("Argo CD", "application shop")),
        ),
        (
            json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux"}),
            json!({}),
            Some(("Flux", "Kustomization flux/apps")),
        ),
        (
            json!({"helm.toolkit.fluxcd.io/name": "shop", "app.kubernetes.io/managed-by": "Helm"}),
            json!({"meta.helm.sh/release-name": "shop"}),
            Some(("Flux", "HelmRelease shop")),
        ),
        (
            json!({"app.kubernetes.io/managed-by": "Helm"}),
            json!({"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "ns"}),
            Some(("Helm", "release ns/shop")),
        ),
        (json!({"app.kubernetes.io/managed-by": "Helm"}), json!({}), None),
        (json!({}), json!({"meta.helm.sh/release-name": "shop"}), None),
    ] {
        let workload = deployment(&json!({"metadata": {"labels": labels, "annotations": annotations}}));
        let found = managed_by(workload.meta()).map(|of| (of.tool, of.name));
        assert_eq!(found, expected.map(|(tool, name)| (tool.to_owned(), name.to_owned())), "{labels} {annotations}");
    }
}

#[test]
fn what_is_past_its_deadline_still_moves_and_can_be_held() {
    use flightdeck_model::Selector;
    let progressing =
        |reason: &str| json!([{"type": "Progressing", "status": "False", "reason": reason, "message": "m"}]);
    let late = json!({"status": {"updatedReplicas": 1, "conditions": progressing("ProgressDeadlineExceeded")}});
    for (name, workload, phase, held) in [
        ("late", deployment(&late), Phase::Failed, true),
        ("moving", deployment(&json!({"status": {"updatedReplicas": 1}})), Phase::Progressing, true),
        ("settled", deployment(&json!({})), Phase::Healthy, false),
        (
            "pods missing of what was rolled out",
            deployment(
                &json!({"status": {"availableReplicas": 1, "conditions": progressing("NewReplicaSetAvailable")}}),
            ),
            Phase::Degraded,
            false,
        ),
        ("a set", stateful_set(&json!({"status": {"updateRevision": "checkout-c"}})), Phase::Progressing, true),
    ] {
        let row = row_of(&workload, &[]);
        assert_eq!((row.phase, Selector::default().holds(&row)), (phase, held), "{name}");
    }
}
