use super::{Source, named, progress};
use crate::orchestrator::kubernetes::images;
use crate::orchestrator::kubernetes::pod_sets::ReplicaGroup;
use crate::orchestrator::kubernetes::row::RowContext;
use crate::orchestrator::kubernetes::settings::KubernetesSettings;
use flightdeck_model::{Action, Command, Facts, Phase, Replicas, Rollout, Stage, Subject};
use flightdeck_port::Followed;
use serde_json::{Value, json};
use std::sync::Arc;

/// The row of a workload that runs one version on three pods, with this in it.
fn seen(kind: &str, change: &Value) -> Rollout {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "generation": 4, "annotations": {
            "deployment.kubernetes.io/revision": "2", "deprecated.daemonset.template.generation": "2"}},
        "spec": {"replicas": 3, "template": template("1.10")},
        "status": {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
            "availableReplicas": 3, "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
            "currentRevision": "web-a", "updateRevision": "web-a", "desiredNumberScheduled": 3,
            "updatedNumberScheduled": 3, "numberReady": 3, "numberAvailable": 3},
    });
    json_patch::merge(&mut object, change);
    let workload = named(kind).unwrap().read(Source::Value(object)).unwrap();
    let settings = KubernetesSettings::new("east".into());
    let context =
        RowContext { settings: &settings, denied: &Arc::default(), pods: None, now: jiff::Timestamp::UNIX_EPOCH };
    workload.row(&context, &[group("web-a", "1", "1.10"), group("web-b", "2", "1.9")])
}

fn group(name: &str, revision: &str, tag: &str) -> ReplicaGroup {
    ReplicaGroup {
        name: name.to_owned(),
        hash: String::new(),
        revision: Some(revision.to_owned()),
        images: images::one(&format!("shop:{tag}")),
        replicas: Replicas::default(),
        created: None,
        ends: None,
    }
}

fn template(tag: &str) -> Value {
    json!({"spec": {"containers": [{"name": "app", "image": format!("shop:{tag}")}]}})
}

/// The template that a restart leaves.
fn restarted() -> Value {
    let mut of = template("1.10");
    of["metadata"] = json!({"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-21T12:00:00Z"}});
    of
}

/// The same once its description has that template, which its controller has taken up or not.
fn at(template: &Value, observed: bool, status: &Value) -> Value {
    let mut whole = json!({"metadata": {"generation": 5, "annotations": {
        "deployment.kubernetes.io/revision": if observed { "3" } else { "2" }}},
        "spec": {"template": template}, "status": {"observedGeneration": if observed { 5 } else { 4 }}});
    json_patch::merge(&mut whole, &json!({"status": status}));
    whole
}

fn stage_left(action: Action, left: &Facts, before: Option<&Rollout>, pin: &Rollout, now: Option<&Rollout>) -> Stage {
    let command = Command {
        id: "c1".into(),
        action,
        subject: Subject::Run(pin.run.clone()),
        pin: Some(pin.facts.pin(action)),
        reason: None,
    };
    let left = Some(left).filter(|left| !left.0.is_empty());
    let now_is = jiff::Timestamp::UNIX_EPOCH;
    progress(&Followed { command: &command, created: None, left, before, current: now, ended: None, now: now_is })
}

/// What a command says that left that template, with the row now.
fn stage(action: Action, kind: &str, template: &Value, now: &Value) -> (String, String) {
    let before = seen(kind, &json!({}));
    let left = seen(kind, &at(template, false, &json!({}))).facts;
    let stage = stage_left(action, &left, Some(&before), &before, Some(&seen(kind, now)));
    (stage.word().to_owned(), stage.detail().unwrap_or_default().to_owned())
}

/// What a row is called, how it is made for a template, and the word and words of the stage that it makes.
type Row<'a> = (&'a str, &'a dyn Fn(&Value) -> Value, &'a str, &'a str);

/// Rows of a kind in turn, for a restart and an undo.
fn follows(kind: &str, rows: &[Row<'_>]) {
    for (action, template) in [(Action::Restart, restarted()), (Action::Rollback, template("1.9"))] {
        for (what, row, word, detail) in rows {
            let (was, said) = stage(action, kind, &template, &row(&template));
            assert_eq!(was, *word, "{action:?}: {what}: {said}");
            assert!(said.contains(detail), "{action:?}: {what}: {said:?} lacks {detail:?}");
        }
    }
}

#[test]
fn a_restart_and_an_undo_of_a_deployment_are_effective_when_every_pod_is_of_their_template() {
    let stuck = json!({"updatedReplicas": 1, "conditions":
        [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}]});
    follows(
        "Deployment",
        &[
            ("the change has not come through", &|_| json!({}), "accepted", ""),
            ("no controller", &|of| at(of, false, &json!({})), "observed", ""),
            ("one of three, with none too many", &|of| at(of, true, &json!({"updatedReplicas": 1})), "observed", ""),
            (
                "none serves in between",
                &|of| at(of, true, &json!({"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0})),
                "observed",
                "",
            ),
            ("old ones end", &|of| at(of, true, &json!({"replicas": 4})), "observed", ""),
            ("not ready", &|of| at(of, true, &json!({"availableReplicas": 2})), "observed", ""),
            ("there", &|of| at(of, true, &json!({})), "effective", "revision 3 everywhere; stable "),
            ("stuck", &|of| at(of, true, &stuck), "failed", "deadline"),
            (
                "somebody's deploy",
                &|_| at(&template("2.0"), true, &json!({})),
                "superseded",
                "revision 3 took its place",
            ),
        ],
    );
}

#[test]
fn an_undo_is_not_failed_by_the_condition_that_its_predecessor_left() {
    let failed = |since: &str| {
        json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "lastTransitionTime": since}])
    };
    let bad = json!({"spec": {"template": template("bad")}, "status": {"updatedReplicas": 1, "conditions": failed("2026-11-21T11:00:00Z")}});
    let before = seen("Deployment", &bad);
    assert_eq!(before.phase, Phase::Failed);
    let back = |conditions: &Value| {
        seen("Deployment", &at(&template("1.9"), true, &json!({"updatedReplicas": 2, "conditions": conditions})))
    };
    let left = back(&json!(null)).facts;
    let stage =
        |now: &Rollout| stage_left(Action::Rollback, &left, Some(&before), &before, Some(now)).word().to_owned();
    assert_eq!(stage(&back(&failed("2026-11-21T11:00:00Z"))), "observed", "its predecessor's");
    assert_eq!(stage(&back(&failed("2026-11-21T11:20:00Z"))), "failed", "its own");
    let done = seen("Deployment", &at(&template("1.9"), true, &json!({})));
    assert_eq!(stage(&done), "effective");
}

#[test]
fn where_no_pods_are_wanted_an_undo_says_that_nobody_is_served() {
    let none = json!({"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0, "readyReplicas": 0});
    let (word, said) = stage(Action::Rollback, "Deployment", &template("1.9"), &{
        let mut row = at(&template("1.9"), true, &none);
        row["spec"]["replicas"] = json!(0);
        row
    });
    assert_eq!(word, "effective");
    assert!(said.contains("nobody is served") && !said.contains("100 %"), "{said}");
}

#[test]
fn a_set_is_where_it_was_to_be_when_every_pod_is_and_not_before() {
    let update = |updated: u32, current: &str, update: &str| json!({"updatedReplicas": updated, "currentRevision": current, "updateRevision": update});
    let with = |mut row: Value, spec: Value| {
        json_patch::merge(&mut row, &json!({"spec": spec}));
        row
    };
    let partition = |partition: u32| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}});
    let by_hand = || json!({"updateStrategy": {"type": "OnDelete"}});
    follows(
        "StatefulSet",
        &[
            ("the change has not come through", &|_| json!({}), "accepted", ""),
            ("no controller", &|of| at(of, false, &json!({})), "observed", ""),
            ("one of three", &|of| at(of, true, &update(1, "web-a", "web-b")), "observed", ""),
            (
                "revisions are the same, and pods are not",
                &|of| at(of, true, &update(2, "web-b", "web-b")),
                "observed",
                "",
            ),
            (
                "there",
                &|of| at(of, true, &update(3, "web-b", "web-b")),
                "effective",
                "revision web-b everywhere; stable ",
            ),
            (
                "a partition keeps two",
                &|of| with(at(of, true, &update(1, "web-a", "web-b")), partition(2)),
                "failed",
                "partitioned rollout complete: 1 of 3 pods have the new template; stable 1.10: 2 of 2",
            ),
            (
                "pods that nobody deletes",
                &|of| with(at(of, true, &update(1, "web-a", "web-b")), by_hand()),
                "observed",
                "",
            ),
            (
                "all were deleted",
                &|of| with(at(of, true, &update(3, "web-a", "web-b")), by_hand()),
                "effective",
                "3 of 3",
            ),
        ],
    );
    let nodes = |updated: u32, available: u32| json!({"updatedNumberScheduled": updated, "numberAvailable": available});
    follows(
        "DaemonSet",
        &[
            ("the change has not come through", &|_| json!({}), "accepted", ""),
            ("no controller", &|of| at(of, false, &json!({})), "observed", ""),
            ("one of three", &|of| at(of, true, &nodes(1, 3)), "observed", ""),
            ("one is not available", &|of| at(of, true, &nodes(3, 2)), "observed", ""),
            ("pods that nobody deletes", &|of| with(at(of, true, &nodes(2, 3)), by_hand()), "observed", ""),
            ("there", &|of| at(of, true, &nodes(3, 3)), "effective", "3 of 3"),
        ],
    );
}

#[test]
fn a_deployment_is_paused_and_goes_on_when_its_controller_says_so() {
    let before = seen("Deployment", &json!({}));
    let paused = |observed: u32| {
        seen(
            "Deployment",
            &json!({"metadata": {"generation": 5}, "spec": {"paused": true}, "status": {"observedGeneration": observed}}),
        )
    };
    let resumed = |observed: u32| {
        seen("Deployment", &json!({"metadata": {"generation": 6}, "status": {"observedGeneration": observed}}))
    };
    let none = Facts::default();
    let stage = |action, from: &Rollout, now: &Rollout| stage_left(action, &none, Some(from), from, Some(now)).word();
    assert_eq!(stage(Action::Pause, &before, &before), "accepted");
    assert_eq!(stage(Action::Pause, &before, &paused(4)), "observed");
    assert_eq!(stage(Action::Pause, &before, &paused(5)), "effective");
    assert_eq!(stage(Action::Resume, &paused(5), &paused(5)), "accepted");
    assert_eq!(stage(Action::Resume, &paused(5), &resumed(5)), "observed");
    assert_eq!(stage(Action::Resume, &paused(5), &resumed(6)), "effective");
}

#[test]
fn where_the_answer_was_lost_nobody_s_version_is_taken_for_the_command_s() {
    let before = seen("Deployment", &json!({}));
    let none = Facts::default();
    let stage = |action, template: &Value| {
        let now = seen("Deployment", &at(template, true, &json!({})));
        stage_left(action, &none, Some(&before), &before, Some(&now)).word()
    };
    assert_eq!(stage(Action::Restart, &restarted()), "effective", "its images are the same");
    assert_eq!(stage(Action::Restart, &template("2.0")), "observed");
    assert_eq!(stage(Action::Rollback, &template("2.0")), "observed");
}

#[test]
fn a_workload_that_is_gone_or_another_supersedes() {
    let before = seen("Deployment", &json!({}));
    let anew = seen("Deployment", &json!({"metadata": {"uid": "u2"}}));
    let stage = |now: Option<&Rollout>| {
        let stage = stage_left(Action::Rollback, &Facts::default(), Some(&before), &before, now);
        (stage.word(), stage.detail().unwrap_or_default().to_owned())
    };
    assert_eq!(stage(None), ("superseded", "east/shop/web was deleted".into()));
    assert_eq!(stage(Some(&anew)).1, "east/shop/web was deleted and made anew");
}
