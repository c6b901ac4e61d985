//! Sets of pods of one template and the revisions that a workload can go back to.

use super::diff::templates;
use crate::orchestrator::kubernetes::images::{Images, versions};
use crate::orchestrator::kubernetes::json::{annotation, at, bare, count, images, line, name, time};
use crate::orchestrator::kubernetes::kind::Kind;
use crate::orchestrator::kubernetes::mask::masked;
use crate::orchestrator::kubernetes::pod_sets::Set;
use flightdeck_model::{Group, Replicas, Revision, sanitize_line};
use serde_json::Value;
use std::cmp::Reverse;

/// Revisions that are shown.
const MAX_REVISIONS: usize = 20;

/// The templates of a workload, newest revision first.
pub(super) fn sets<'v>(kind: &dyn Kind, workload: &Value, objects: &'v [Value]) -> Vec<Set<'v>> {
    let mut sets: Vec<Set<'v>> = objects.iter().filter_map(|object| kind.set(object)).collect();
    sets.sort_by_key(|set| (Reverse(set.revision), name(set.object)));
    let images: Vec<Images> = sets.iter().map(|set| images(&set.template, name(workload))).collect();
    let oldest_first: Vec<&Images> = images.iter().rev().collect();
    for (set, version) in sets.iter_mut().rev().zip(versions(&oldest_first)) {
        set.version = version;
    }
    kind.assign_roles(workload, &mut sets);
    sets
}

/// The pods of a set: as its ReplicaSet tells them, else as they were counted.
pub(super) fn replicas(set: &Set<'_>, counted: &dyn Fn(&Set<'_>) -> Option<Replicas>) -> Replicas {
    match at(set.object, "/spec/replicas").as_u64() {
        Some(_) => {
            Replicas { ready: count(set.object, "/status/readyReplicas"), desired: count(set.object, "/spec/replicas") }
        }
        None => counted(set).unwrap_or_default(),
    }
}

/// The sets that have pods or a role, and those that could be scaled up again, newest first. `counted`
/// says how many pods of a set there are and how many of them are ready, where pods were read.
pub(super) fn groups(sets: &[Set<'_>], counted: &dyn Fn(&Set<'_>) -> Option<Replicas>) -> Vec<Group> {
    sets.iter()
        .take(MAX_REVISIONS)
        .map(|set| Group {
            name: line(set.object, "/metadata/name"),
            role: set.role.clone(),
            version: set.version.clone(),
            revision: set.revision.map(|revision| revision.to_string()),
            replicas: replicas(set, counted),
            ends: annotation(set.object, "scale-down-deadline").and_then(|text| text.parse().ok()),
        })
        .collect()
}

/// The revisions with what going back to each would change, newest first.
pub(super) fn revisions(workload: &Value, sets: &[Set<'_>]) -> Vec<Revision> {
    let now = sets
        .iter()
        .find(|set| set.current)
        .map_or_else(|| bare(at(workload, "/spec/template")), |set| set.template.clone());
    sets.iter()
        .take(MAX_REVISIONS)
        .map(|set| Revision {
            revision: set.revision.map_or_else(|| line(set.object, "/metadata/name"), |revision| revision.to_string()),
            version: set.version.clone(),
            at: time(set.object, "/metadata/creationTimestamp"),
            // Often a whole command line.
            cause: annotation(set.object, "kubernetes.io/change-cause").map(|text| sanitize_line(&masked(text))),
            role: set.role.clone(),
            diff: if set.current { Vec::new() } else { templates(&now, &set.template) },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::kubernetes::kind::named;
    use flightdeck_model::ArmRole;
    use serde_json::json;

    fn replica_set(hash: &str, revision: u32, replicas: u32, image: &str, label: &str, annotation: &str) -> Value {
        json!({
            "metadata": {
                "name": format!("web-{hash}"), "uid": hash, "creationTimestamp": format!("2026-11-21T10:0{revision}:00Z"),
                "labels": {label: hash},
                "annotations": {annotation: revision.to_string(), "kubernetes.io/change-cause": format!("set {image} --token=hunter2")},
            },
            "spec": {"replicas": replicas, "template": {
                "metadata": {"labels": {"app": "web", label: hash}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            }},
            "status": {"replicas": replicas, "readyReplicas": replicas},
        })
    }

    fn roles(sets: &[Set<'_>]) -> Vec<(String, Option<ArmRole>, bool)> {
        sets.iter().map(|set| (set.hash.clone(), set.role.clone(), set.current)).collect()
    }

    #[test]
    fn sides_of_a_rollout_are_told_by_their_hashes() {
        use ArmRole::{Candidate, Preview, Stable};
        let set = |hash, revision, replicas, image| {
            replica_set(hash, revision, replicas, image, "rollouts-pod-template-hash", "rollout.argoproj.io/revision")
        };
        let objects = [set("aaa", 1, 0, "web:1"), set("bbb", 2, 4, "web:2"), set("ccc", 3, 1, "web:3")];
        for (status, expected) in [
            (json!({"stableRS": "bbb", "currentPodHash": "ccc"}), [Some(Candidate), Some(Stable), None]),
            (json!({"stableRS": "ccc", "currentPodHash": "ccc"}), [Some(Stable), None, None]),
            (json!({"currentPodHash": "ccc"}), [Some(Candidate), None, None]),
            (
                json!({"stableRS": "bbb", "currentPodHash": "ccc",
                    "blueGreen": {"activeSelector": "bbb", "previewSelector": "ccc"}}),
                [Some(Preview), Some(Stable), None],
            ),
            (
                json!({"stableRS": "bbb", "currentPodHash": "ccc",
                    "blueGreen": {"activeSelector": "ccc", "previewSelector": "ccc"}}),
                [Some(Candidate), Some(Stable), None],
            ),
        ] {
            let rollout = json!({"status": status});
            let sets = sets(named("Rollout").unwrap(), &rollout, &objects);
            let got: Vec<_> = sets.iter().map(|set| set.role.clone()).collect();
            assert_eq!(got, expected, "{rollout}");
            assert!(sets[0].current);
        }
    }

    #[test]
    fn a_deployment_has_two_sides_while_it_moves() {
        let set = |hash, revision, replicas, image| {
            replica_set(hash, revision, replicas, image, "pod-template-hash", "deployment.kubernetes.io/revision")
        };
        let deployment = json!({"spec": {"template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:3"}]}}}});
        let moving = [set("aaa", 1, 0, "web:1"), set("bbb", 2, 2, "web:2"), set("ccc", 3, 1, "web:3")];
        let got = sets(named("Deployment").unwrap(), &deployment, &moving);
        assert_eq!(
            roles(&got),
            [
                ("ccc".into(), Some(ArmRole::Candidate), true),
                ("bbb".into(), Some(ArmRole::Stable), false),
                ("aaa".into(), None, false)
            ]
        );
        let history = revisions(&deployment, &got);
        assert_eq!(history[0].diff, Vec::<String>::new());
        assert_eq!(history[1].revision, "2");
        assert_eq!(history[1].cause.as_deref(), Some("set web:2 --token=•••"));
        let changed: Vec<_> = history[1].diff.iter().filter(|line| line.contains("image")).collect();
        assert_eq!(changed, ["-  - image: web:3", "+  - image: web:2"], "{:?}", history[1].diff);
        let settled = [set("bbb", 2, 0, "web:2"), set("ccc", 3, 2, "web:3")];
        let got = sets(named("Deployment").unwrap(), &deployment, &settled);
        assert_eq!(roles(&got)[0], ("ccc".into(), Some(ArmRole::Stable), true));
        let groups = groups(&got, &|_| None);
        assert_eq!(groups[0].replicas, Replicas { ready: 2, desired: 2 });
        assert_eq!((groups[0].name.as_str(), groups[1].role.clone()), ("web-ccc", None));
    }

    #[test]
    fn sets_without_replica_sets_are_told_by_their_revisions() {
        let revision = |name: &str, number: u32, image: &str| {
            json!({"metadata": {"name": name, "labels": {"controller-revision-hash": name.trim_start_matches("web-")}},
                "revision": number, "data": {"spec": {"template": {"$patch": "replace",
                    "spec": {"containers": [{"name": "web", "image": image}]}}}}})
        };
        let objects = [revision("web-aaa", 1, "web:1"), revision("web-bbb", 2, "web:2")];
        let stateful = json!({"status": {"currentRevision": "web-aaa", "updateRevision": "web-bbb"}});
        let got = sets(named("StatefulSet").unwrap(), &stateful, &objects);
        assert_eq!(
            roles(&got),
            [("web-bbb".into(), Some(ArmRole::Candidate), true), ("web-aaa".into(), Some(ArmRole::Stable), false)]
        );
        // Undone: the older revision is asked for and gets the higher number.
        let daemon = json!({"status": {"updatedNumberScheduled": 3, "desiredNumberScheduled": 3}});
        let got = sets(named("DaemonSet").unwrap(), &daemon, &objects);
        assert_eq!(roles(&got), [("bbb".into(), Some(ArmRole::Stable), true), ("aaa".into(), None, false)]);
        let moving = json!({"status": {"updatedNumberScheduled": 1, "desiredNumberScheduled": 3}});
        let got = sets(named("DaemonSet").unwrap(), &moving, &objects);
        assert_eq!(got[1].role, Some(ArmRole::Stable));
        let counted = groups(&got, &|set| Some(Replicas { ready: u32::from(set.hash == "bbb"), desired: 3 }));
        assert_eq!(counted[0].replicas, Replicas { ready: 1, desired: 3 });
        assert_eq!(counted[0].version.as_str(), "2");
    }

    #[test]
    fn what_a_controller_adds_for_a_while_is_no_difference() {
        let mut object =
            replica_set("aaa", 1, 1, "web:1", "rollouts-pod-template-hash", "rollout.argoproj.io/revision");
        object["metadata"]["annotations"]["rollout.argoproj.io/ephemeral-metadata"] =
            json!("{\"labels\":{\"role\":\"canary\"}}");
        object["spec"]["template"]["metadata"]["labels"]["role"] = json!("canary");
        let objects = [object];
        let got = sets(named("Rollout").unwrap(), &json!({}), &objects);
        assert_eq!(got[0].template["metadata"], json!({"labels": {"app": "web"}}));
    }
}
