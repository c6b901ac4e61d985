//! Pods as instances.

use crate::orchestrator::kubernetes::json::{SET_LABELS, label, line, time, version};
use crate::orchestrator::kubernetes::pod_sets::Set;
use crate::orchestrator::kubernetes::pods::{restarts, running_since, state};
use flightdeck_model::{ArmRole, Instance, InstanceState, Replicas, Target};
use serde_json::Value;

/// The set that a pod belongs to.
pub(super) fn set_of<'s, 'v>(pod: &Value, sets: &'s [Set<'v>]) -> Option<&'s Set<'v>> {
    let hash = SET_LABELS.into_iter().find_map(|key| label(pod, key)).filter(|hash| !hash.is_empty())?;
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
    Instance {
        id: format!("{}/{}", line(pod, "/metadata/namespace"), line(pod, "/metadata/name")),
        target: target.clone(),
        role,
        // A pod may have containers that were put into it.
        version: set.map_or_else(|| version(pod, &target.name), |set| set.version.clone()),
        state: state(pod),
        pid: None,
        address: Some(line(pod, "/status/podIP")).filter(|address| !address.is_empty()),
        restarts: restarts(pod),
        started: running_since(pod)
            .or_else(|| time(pod, "/status/startTime"))
            .or_else(|| time(pod, "/metadata/creationTimestamp")),
        limits: Vec::new(),
        logs: None,
        draining: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::kubernetes::kind::named;
    use serde_json::json;

    fn pod(status: &Value) -> Value {
        json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"pod-template-hash": "aaa"}},
            "spec": {"containers": [{"name": "web", "image": "registry:5000/web:1.4"}]},
            "status": status,
        })
    }

    #[test]
    fn a_pod_is_an_instance_of_its_side() {
        let target = Target {
            source: "prod".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
            uid: "u".into(),
            first_name: None,
        };
        let object = |hash: &str, image: &str| {
            json!({"metadata": {"name": format!("web-{hash}"), "labels": {"pod-template-hash": hash}},
                "spec": {"template": {"spec": {"containers": [{"image": image}]}}}, "status": {"replicas": 1}})
        };
        let objects = [object("aaa", "web:1.4"), object("bbb", "web:1.5")];
        let deployment = json!({"spec": {"template": {"spec": {"containers": [{"image": "web:1.5"}]}}}});
        let sets = super::super::history::sets(named("Deployment").unwrap(), &deployment, &objects);
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
