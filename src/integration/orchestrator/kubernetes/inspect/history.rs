//! Sets of pods of one template and the revisions that a workload can go back to.

use super::diff::{bare, templates};
use super::json::{annotation, at, count, images, label, line, name, text, time};
use super::mask::Masker;
use crate::orchestrator::kubernetes::WorkloadKind;
use crate::orchestrator::kubernetes::images::{Images, unknown, versions};
use flightdeck_model::{ArmRole, Group, Replicas, Revision, Version, sanitize_line};
use serde_json::Value;
use std::cmp::Reverse;

/// Revisions that are shown.
const MAX_REVISIONS: usize = 20;

/// One template that a workload runs or ran.
#[derive(Debug, Clone)]
pub(super) struct Set<'v> {
    /// The ReplicaSet or ControllerRevision.
    pub(super) object: &'v Value,
    /// How pods name it in their label.
    pub(super) hash: String,
    pub(super) revision: Option<u64>,
    /// Its template, without what controllers added.
    pub(super) template: Value,
    /// What it is called beside the others.
    pub(super) version: Version,
    /// Which side runs it.
    pub(super) role: Option<ArmRole>,
    /// The one that the workload asks for.
    pub(super) current: bool,
}

/// The templates of a workload, newest revision first.
pub(super) fn sets<'v>(kind: WorkloadKind, workload: &Value, objects: &'v [Value]) -> Vec<Set<'v>> {
    let mut sets: Vec<Set<'v>> = objects.iter().map(|object| set(kind, object)).collect();
    sets.sort_by_key(|set| (Reverse(set.revision), name(set.object)));
    let images: Vec<Images> = sets.iter().map(|set| images(&set.template, name(workload))).collect();
    let oldest_first: Vec<&Images> = images.iter().rev().collect();
    for (set, version) in sets.iter_mut().rev().zip(versions(&oldest_first)) {
        set.version = version;
    }
    match kind {
        WorkloadKind::Rollout => rollout_roles(workload, &mut sets),
        WorkloadKind::Deployment => deployment_roles(workload, &mut sets),
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => set_roles(workload, &mut sets),
    }
    sets
}

fn set(kind: WorkloadKind, object: &Value) -> Set<'_> {
    let (hash, revision, template) = match kind {
        WorkloadKind::Rollout => (
            label(object, "rollouts-pod-template-hash").unwrap_or_default(),
            annotation(object, "rollout.argoproj.io/revision").and_then(|text| text.parse().ok()),
            without_ephemeral(object, bare(at(object, "/spec/template"))),
        ),
        WorkloadKind::Deployment => (
            label(object, "pod-template-hash").unwrap_or_default(),
            annotation(object, "deployment.kubernetes.io/revision").and_then(|text| text.parse().ok()),
            bare(at(object, "/spec/template")),
        ),
        // Pods of a StatefulSet name the whole revision, those of a DaemonSet only its hash.
        WorkloadKind::StatefulSet => {
            (name(object), at(object, "/revision").as_u64(), bare(at(object, "/data/spec/template")))
        }
        WorkloadKind::DaemonSet => (
            label(object, "controller-revision-hash").unwrap_or_default(),
            at(object, "/revision").as_u64(),
            bare(at(object, "/data/spec/template")),
        ),
    };
    Set { object, hash: hash.to_owned(), revision, template, version: unknown(), role: None, current: false }
}

/// What the controller adds to pods of a side only while they are on it.
fn without_ephemeral(object: &Value, mut template: Value) -> Value {
    let added: Value = annotation(object, "rollout.argoproj.io/ephemeral-metadata")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    for part in ["labels", "annotations"] {
        let Some(added) = added.get(part).and_then(Value::as_object) else { continue };
        if let Some(map) =
            template.get_mut("metadata").and_then(|meta| meta.get_mut(part)).and_then(Value::as_object_mut)
        {
            map.retain(|key, _| !added.contains_key(key));
        }
    }
    bare(&template)
}

fn rollout_roles(rollout: &Value, sets: &mut [Set<'_>]) {
    let stable = text(rollout, "/status/stableRS");
    let current = text(rollout, "/status/currentPodHash");
    let preview = text(rollout, "/status/blueGreen/previewSelector");
    let active = text(rollout, "/status/blueGreen/activeSelector");
    for set in sets {
        let is = |hash: &str| !hash.is_empty() && set.hash == hash;
        set.role = match () {
            () if is(stable) => Some(ArmRole::Stable),
            // Up, but users reach the active side only.
            () if (is(preview) || (is(current) && !active.is_empty())) && !is(active) => Some(ArmRole::Preview),
            () if is(current) || is(active) => Some(ArmRole::Candidate),
            () => None,
        };
        set.current = is(current);
    }
}

fn deployment_roles(deployment: &Value, sets: &mut [Set<'_>]) {
    let template = bare(at(deployment, "/spec/template"));
    // Of several with the same template the oldest counts, as for the controller.
    let current = sets
        .iter()
        .filter(|set| set.template == template)
        .min_by_key(|set| (text(set.object, "/metadata/creationTimestamp"), name(set.object)))
        .map(|set| set.hash.clone());
    let pods = |set: &Set<'_>| count(set.object, "/status/replicas") > 0;
    let others = sets.iter().any(|set| pods(set) && Some(&set.hash) != current.as_ref());
    for set in sets {
        set.current = Some(&set.hash) == current.as_ref();
        set.role = match (set.current, pods(set)) {
            (true, _) if others => Some(ArmRole::Candidate),
            (true, _) | (false, true) => Some(ArmRole::Stable),
            (false, false) => None,
        };
    }
}

fn set_roles(workload: &Value, sets: &mut [Set<'_>]) {
    let newest = sets.first().map(|set| name(set.object).to_owned()).unwrap_or_default();
    let update = match text(workload, "/status/updateRevision") {
        "" => newest.as_str(),
        update => update,
    };
    let before = text(workload, "/status/currentRevision");
    // A DaemonSet does not say which revision it had before: all pods that are not of the newest.
    let moving = match before {
        "" => count(workload, "/status/updatedNumberScheduled") < count(workload, "/status/desiredNumberScheduled"),
        before => before != update,
    };
    let second = sets.get(1).map(|set| name(set.object).to_owned()).unwrap_or_default();
    let stable = if before.is_empty() { second.as_str() } else { before };
    for set in sets {
        let own = name(set.object);
        set.current = own == update;
        set.role = match () {
            () if set.current && moving => Some(ArmRole::Candidate),
            () if set.current || (moving && own == stable) => Some(ArmRole::Stable),
            () => None,
        };
    }
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
            cause: annotation(set.object, "kubernetes.io/change-cause")
                .map(|text| sanitize_line(&Masker::default().text(text))),
            role: set.role.clone(),
            diff: if set.current { Vec::new() } else { templates(&now, &set.template) },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let sets = sets(WorkloadKind::Rollout, &rollout, &objects);
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
        let got = sets(WorkloadKind::Deployment, &deployment, &moving);
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
        let got = sets(WorkloadKind::Deployment, &deployment, &settled);
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
        let got = sets(WorkloadKind::StatefulSet, &stateful, &objects);
        assert_eq!(
            roles(&got),
            [("web-bbb".into(), Some(ArmRole::Candidate), true), ("web-aaa".into(), Some(ArmRole::Stable), false)]
        );
        // Undone: the older revision is asked for and gets the higher number.
        let daemon = json!({"status": {"updatedNumberScheduled": 3, "desiredNumberScheduled": 3}});
        let got = sets(WorkloadKind::DaemonSet, &daemon, &objects);
        assert_eq!(roles(&got), [("bbb".into(), Some(ArmRole::Stable), true), ("aaa".into(), None, false)]);
        let moving = json!({"status": {"updatedNumberScheduled": 1, "desiredNumberScheduled": 3}});
        let got = sets(WorkloadKind::DaemonSet, &moving, &objects);
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
        let got = sets(WorkloadKind::Rollout, &json!({}), &objects);
        assert_eq!(got[0].template["metadata"], json!({"labels": {"app": "web"}}));
    }
}
