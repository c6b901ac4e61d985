use super::*;
use crate::integration::orchestrator::kubernetes::row::{RowContext, row};
use crate::integration::orchestrator::kubernetes::{KubernetesSettings, Workload};
use serde_json::{Value, json};
use std::sync::Arc;

fn deployment(change: &Value) -> Rollout {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "generation": 4,
            "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "app", "image": "shop:1.10"}]}}},
        "status": {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
            "availableReplicas": 3, "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]},
    });
    json_patch::merge(&mut object, change);
    let workload = Workload::Deployment(Box::new(serde_json::from_value(object).unwrap()));
    let settings = KubernetesSettings::new("east".into());
    row(&RowContext { settings: &settings, barred: &Arc::default(), now: jiff::Timestamp::UNIX_EPOCH }, &workload, &[])
}

fn stage(action: Action, before: &Rollout, now: Option<&Rollout>) -> (String, String) {
    let command = Command {
        id: "c1".into(),
        action,
        subject: Subject::Run(before.run.clone()),
        pin: Some(before.facts.pin(action)),
        reason: None,
    };
    let stage = progress(&command, Some(before), now);
    (stage.word().to_owned(), stage.detail().unwrap_or_default().to_owned())
}

fn third(change: &Value) -> Value {
    let mut whole = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "3"}}});
    json_patch::merge(&mut whole, change);
    whole
}

#[test]
fn a_restart_and_an_undo_of_a_deployment_are_effective_when_every_pod_is_new() {
    let before = deployment(&json!({}));
    let stuck = json!({"status": {"updatedReplicas": 1, "conditions":
        [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}]}});
    for action in [Action::Restart, Action::Rollback] {
        for (row, word, detail) in [
            (deployment(&json!({"metadata": {"generation": 5}})), "accepted", ""),
            (deployment(&third(&json!({"status": {"updatedReplicas": 1}}))), "observed", ""),
            (deployment(&third(&json!({"status": {"replicas": 4}}))), "observed", ""),
            (deployment(&third(&json!({}))), "effective", "revision 3 everywhere; stable 1.10: 3 of 3 pods ready"),
            (deployment(&third(&stuck)), "failed", "deadline"),
        ] {
            let (was, said) = stage(action, &before, Some(&row));
            assert_eq!(was, word, "{said}");
            assert!(said.contains(detail), "{said}");
        }
    }
}

#[test]
fn a_deployment_is_paused_and_goes_on() {
    let before = deployment(&json!({}));
    let paused = deployment(&json!({"spec": {"paused": true}}));
    assert_eq!(stage(Action::Pause, &before, Some(&before)).0, "accepted");
    assert_eq!(stage(Action::Pause, &before, Some(&paused)).0, "effective");
    assert_eq!(stage(Action::Resume, &paused, Some(&paused)).0, "accepted");
    assert_eq!(stage(Action::Resume, &paused, Some(&before)).0, "effective");
}

#[test]
fn a_workload_that_is_gone_or_another_supersedes() {
    let before = deployment(&json!({}));
    let anew = deployment(&json!({"metadata": {"uid": "u2"}}));
    assert_eq!(stage(Action::Rollback, &before, None), ("superseded".into(), "east/shop/web was deleted".into()));
    assert_eq!(stage(Action::Rollback, &before, Some(&anew)).1, "east/shop/web was deleted and made anew");
}
