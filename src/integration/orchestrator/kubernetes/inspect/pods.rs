//! Pods as instances.

use super::history::Set;
use super::json::{at, count, items, label, line, text, time, version};
use super::mask::Masker;
use crate::model::{ArmRole, Instance, InstanceState, Replicas, Target, sanitize_line};
use jiff::Timestamp;
use serde_json::Value;

/// What a container waits for while nothing is wrong.
const STARTING: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];
/// The labels by which pods name the set that they belong to.
const LABELS: [&str; 3] = ["rollouts-pod-template-hash", "pod-template-hash", "controller-revision-hash"];

/// The set that a pod belongs to.
pub(super) fn set_of<'s, 'v>(pod: &Value, sets: &'s [Set<'v>]) -> Option<&'s Set<'v>> {
    let hash = LABELS.into_iter().find_map(|key| label(pod, key)).filter(|hash| !hash.is_empty())?;
    sets.iter().find(|set| set.hash == hash)
}

/// How many pods of a set there are, and how many of them are ready.
pub(super) fn counted(set: &Set<'_>, pods: &[Value], sets: &[Set<'_>]) -> Replicas {
    let mut replicas = Replicas::default();
    for pod in pods.iter().filter(|pod| set_of(pod, sets).is_some_and(|of| of.hash == set.hash)) {
        replicas.desired += 1;
        replicas.ready += u32::from(state(pod) == InstanceState::Ready);
    }
    replicas
}

/// The pods of a workload as its instances.
pub(super) fn instances(target: &Target, pods: &[Value], sets: &[Set<'_>]) -> Vec<Instance> {
    let mut all: Vec<Instance> = pods.iter().map(|pod| instance(target, pod, sets)).collect();
    all.sort_by(|a, b| (&a.role, &a.id).cmp(&(&b.role, &b.id)));
    all
}

fn instance(target: &Target, pod: &Value, sets: &[Set<'_>]) -> Instance {
    let set = set_of(pod, sets);
    let role = set.and_then(|set| set.role.clone()).unwrap_or_else(|| {
        let revision = set.and_then(|set| set.revision);
        ArmRole::Cohort(revision.map_or_else(|| "old".to_owned(), |revision| format!("revision {revision}")))
    });
    let statuses = || statuses(pod);
    Instance {
        id: format!("{}/{}", line(pod, "/metadata/namespace"), line(pod, "/metadata/name")),
        target: target.clone(),
        role,
        // A pod may have containers that were put into it.
        version: set.map_or_else(|| version(pod, &target.name), |set| set.version.clone()),
        state: state(pod),
        pid: None,
        address: Some(line(pod, "/status/podIP")).filter(|address| !address.is_empty()),
        restarts: statuses().map(|status| count(status, "/restartCount")).fold(0, u32::saturating_add),
        started: statuses()
            .filter_map(|status| time(status, "/state/running/startedAt"))
            .max()
            .or_else(|| time(pod, "/status/startTime"))
            .or_else(|| time(pod, "/metadata/creationTimestamp")),
        limits: Vec::new(),
        logs: None,
    }
}

/// Of every container, init containers first.
fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"].into_iter().flat_map(|path| items(pod, path))
}

fn condition<'v>(pod: &'v Value, kind: &str) -> &'v Value {
    items(pod, "/status/conditions").iter().find(|one| text(one, "/type") == kind).unwrap_or(&Value::Null)
}

/// `reason: message`, whichever there is.
fn why(value: &Value) -> String {
    let message = sanitize_line(&Masker::default().text(text(value, "/message")));
    match (line(value, "/reason"), message) {
        (reason, message) if message.is_empty() => reason,
        (reason, message) if reason.is_empty() => message,
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// Where a pod stands, what is wrong first.
pub(super) fn state(pod: &Value) -> InstanceState {
    if !text(pod, "/metadata/deletionTimestamp").is_empty() {
        return InstanceState::Draining;
    }
    match text(pod, "/status/phase") {
        "Succeeded" => return InstanceState::Ended { why: "completed".to_owned() },
        "Failed" => {
            return InstanceState::Ended {
                why: Some(why(at(pod, "/status"))).filter(|why| !why.is_empty()).unwrap_or_else(|| ended(pod)),
            };
        }
        _ => {}
    }
    let waiting = statuses(pod).map(|status| (status, at(status, "/state/waiting")));
    let mut wrong = waiting.filter(|(_, waiting)| waiting.is_object() && !STARTING.contains(&text(waiting, "/reason")));
    if let Some((status, waiting)) = wrong.next() {
        let last = at(status, "/lastState/terminated");
        let why = if last.is_null() { why(waiting) } else { format!("{}, {}", line(waiting, "/reason"), exit(last)) };
        return InstanceState::BackingOff { why };
    }
    let scheduled = condition(pod, "PodScheduled");
    if text(scheduled, "/status") == "False" {
        return InstanceState::Unhealthy { why: why(scheduled) };
    }
    let ready = condition(pod, "Ready");
    if text(ready, "/status") == "True" {
        return InstanceState::Ready;
    }
    // Ready is false from the start of a pod on; a later change means that it was ready before.
    let begun: Option<Timestamp> = statuses(pod).filter_map(|status| time(status, "/state/running/startedAt")).max();
    match (begun, time(ready, "/lastTransitionTime")) {
        (Some(begun), Some(changed)) if changed > begun => InstanceState::Unhealthy { why: why(ready) },
        _ => InstanceState::Starting,
    }
}

/// `exit status 3`, `OOMKilled`.
fn exit(terminated: &Value) -> String {
    match (text(terminated, "/reason"), count(terminated, "/exitCode")) {
        ("" | "Error" | "Completed", code) => format!("exit status {code}"),
        (_, code) => format!("{} with exit status {code}", line(terminated, "/reason")),
    }
}

fn ended(pod: &Value) -> String {
    let terminated = statuses(pod).map(|status| at(status, "/state/terminated")).find(|one| one.is_object());
    terminated.map_or_else(|| "failed".to_owned(), exit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integration::orchestrator::kubernetes::WorkloadKind;
    use serde_json::json;

    fn pod(status: &Value) -> Value {
        json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"pod-template-hash": "aaa"}},
            "spec": {"containers": [{"name": "web", "image": "registry:5000/web:1.4"}]},
            "status": status,
        })
    }

    #[test]
    fn states_of_pods() {
        let backing = |why: &str| InstanceState::BackingOff { why: why.into() };
        let unhealthy = |why: &str| InstanceState::Unhealthy { why: why.into() };
        let ended = |why: &str| InstanceState::Ended { why: why.into() };
        let running = json!([{"state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}}]);
        for (status, expected) in [
            (json!({}), InstanceState::Starting),
            (json!({"conditions": [{"type": "Ready", "status": "True"}]}), InstanceState::Ready),
            (
                json!({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}),
                InstanceState::Starting,
            ),
            (
                json!({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no\nsuch \u{1b}image"}}}]}),
                backing("ImagePullBackOff: no such \u{fffd}image"),
            ),
            (
                json!({"containerStatuses": [{"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                    "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}),
                backing("CrashLoopBackOff, exit status 3"),
            ),
            (
                json!({"initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}],
                    "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}),
                backing("CrashLoopBackOff, OOMKilled with exit status 137"),
            ),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}),
                unhealthy("Unschedulable: 0/3 nodes"),
            ),
            (
                json!({"containerStatuses": running, "conditions": [{"type": "Ready", "status": "False",
                    "lastTransitionTime": "2026-11-21T09:59:58Z"}]}),
                InstanceState::Starting,
            ),
            (
                json!({"containerStatuses": running, "conditions": [{"type": "Ready", "status": "False",
                    "reason": "ContainersNotReady", "message": "[web]", "lastTransitionTime": "2026-11-21T10:05:00Z"}]}),
                unhealthy("ContainersNotReady: [web]"),
            ),
            (json!({"phase": "Succeeded"}), ended("completed")),
            (json!({"phase": "Failed", "reason": "Evicted", "message": "disk"}), ended("Evicted: disk")),
            (
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}),
                ended("exit status 2"),
            ),
        ] {
            assert_eq!(state(&pod(&status)), expected, "{status}");
        }
        let mut gone = pod(&json!({"conditions": [{"type": "Ready", "status": "True"}]}));
        gone["metadata"]["deletionTimestamp"] = json!("2026-11-21T10:00:00Z");
        assert_eq!(state(&gone), InstanceState::Draining);
    }

    #[test]
    fn a_pod_is_an_instance_of_its_side() {
        let target = Target {
            source: "prod".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
            uid: "u".into(),
        };
        let object = |hash: &str, image: &str| {
            json!({"metadata": {"name": format!("web-{hash}"), "labels": {"pod-template-hash": hash}},
                "spec": {"template": {"spec": {"containers": [{"image": image}]}}}, "status": {"replicas": 1}})
        };
        let objects = [object("aaa", "web:1.4"), object("bbb", "web:1.5")];
        let deployment = json!({"spec": {"template": {"spec": {"containers": [{"image": "web:1.5"}]}}}});
        let sets = super::super::history::sets(WorkloadKind::Deployment, &deployment, &objects);
        let mut stray = pod(&json!({}));
        stray["metadata"]["labels"] = json!({"pod-template-hash": "zzz"});
        let up = pod(&json!({
            "podIP": "10.244.0.7", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"restartCount": 2, "state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}}, {"restartCount": 1}],
        }));
        let pods = [up, stray];
        let all = instances(&target, &pods, &sets);
        assert_eq!(
            (&all[0].role, all[0].id.as_str(), all[0].version.as_str()),
            (&ArmRole::Stable, "shop/web-1", "1.4")
        );
        assert_eq!((all[0].address.as_deref(), all[0].restarts), (Some("10.244.0.7"), 3));
        assert_eq!(all[0].started, "2026-11-21T10:00:00Z".parse().ok());
        assert_eq!(all[1].role, ArmRole::Cohort("old".into()));
        let stable = sets.iter().find(|set| set.hash == "aaa").unwrap();
        assert_eq!(counted(stable, &pods, &sets), Replicas { ready: 1, desired: 1 });
    }
}
