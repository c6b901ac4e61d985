use super::{Asked, Live, named};
use crate::orchestrator::kubernetes::meta::{HoldMark, RESTARTED};
use crate::orchestrator::kubernetes::plan::{Body, HoldPlan, Plan, plan_hold, plan_release, rewrite};
use flightdeck_model::{Action, HoldId, HoldTarget, Refusal, Run, Selector, Target};
use serde_json::{Value, json};

fn template(tag: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": format!("registry.test/shop:{tag}")}]}})
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
            "annotations": {"deployment.kubernetes.io/revision": "3", "team": "new"}},
        "spec": {"replicas": 3, "template": template("1.10")}, "status": {},
    })
}

fn replica_set(revision: u32, tag: &str, ready: u32) -> Value {
    let mut template = template(tag);
    template["metadata"]["labels"]["pod-template-hash"] = json!(format!("h{revision}"));
    json!({"metadata": {"name": format!("web-h{revision}"), "annotations": {
        "deployment.kubernetes.io/revision": revision.to_string(), "team": "old", "flightdeck.dev/hold": "{}"}},
        "spec": {"template": template}, "status": {"readyReplicas": ready}})
}

fn set(kind: &str, update: &str, current: &str) -> Value {
    json!({"kind": kind, "metadata": {"name": "db", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
        "spec": {"template": template("1.10"), "updateStrategy": {"type": "RollingUpdate"}},
        "status": {"updateRevision": update, "currentRevision": current}})
}

fn controller_revision(number: u32, tag: &str) -> Value {
    let mut template = template(tag);
    template["$patch"] = json!("replace");
    json!({"metadata": {"name": format!("db-{number}")}, "revision": number, "data": {"spec": {"template": template}}})
}

fn ask(action: Action, kind: &str, raw: &Value, history: &[Value]) -> Result<Plan, Refusal> {
    let live = Live::parse(named(kind).unwrap(), raw.clone()).unwrap();
    let now = "2026-11-21T12:00:00.9Z".parse().unwrap();
    live.workload.plan(&Asked { action, live: &live, history, reference: None, now })
}

fn of_deployment(action: Action, raw: &Value, history: &[Value]) -> Result<Plan, Refusal> {
    ask(action, "Deployment", raw, history)
}

/// The object after a patch whose tests hold.
fn after(raw: &Value, body: &Body) -> Value {
    let Body::Json(ops) = body else { panic!("{body:?} is no JSON patch") };
    let absent = |op: &&Value| op["op"] == "test" && raw.pointer(op["path"].as_str().unwrap()).is_none();
    let ops: Vec<&Value> = ops.as_array().unwrap().iter().filter(|op| !absent(op)).collect();
    let patch: json_patch::Patch = serde_json::from_value(json!(ops)).unwrap();
    let mut object = raw.clone();
    json_patch::patch(&mut object, &patch).expect("its tests hold");
    object
}

#[test]
fn every_patch_of_a_built_in_kind_is_bound_to_the_version_that_was_read() {
    let history = [replica_set(2, "1.9", 0), replica_set(3, "1.10", 3)];
    for action in [Action::Pause, Action::Restart, Action::Rollback] {
        let plan = of_deployment(action, &deployment(), &history).unwrap();
        let Body::Json(ops) = plan.request.body else { panic!("no JSON patch") };
        for (path, value) in [("/metadata/uid", "u1"), ("/metadata/resourceVersion", "7")] {
            assert!(ops.as_array().unwrap().contains(&json!({"op": "test", "path": path, "value": value})), "{ops}");
        }
    }
}

#[test]
fn a_deployment_is_paused_resumed_and_restarted() {
    let paused = after(&deployment(), &of_deployment(Action::Pause, &deployment(), &[]).unwrap().request.body);
    assert_eq!(paused["spec"]["paused"], true);
    let on = after(&paused, &of_deployment(Action::Resume, &paused, &[]).unwrap().request.body);
    assert_eq!(on["spec"]["paused"], false);
    let restarted = after(&deployment(), &of_deployment(Action::Restart, &deployment(), &[]).unwrap().request.body);
    let wanted = json!({"labels": {"app": "web"}, "annotations": {RESTARTED: "2026-11-21T12:00:00Z"}});
    assert_eq!(restarted["spec"]["template"]["metadata"], wanted);
    let mut bare = deployment();
    bare["spec"]["template"].as_object_mut().unwrap().remove("metadata");
    let restarted = after(&bare, &of_deployment(Action::Restart, &bare, &[]).unwrap().request.body);
    assert!(restarted["spec"]["template"]["metadata"]["annotations"].is_object(), "missing parents are made");
}

#[test]
fn undo_of_a_deployment_brings_template_and_annotations_of_the_revision_before() {
    let history = [replica_set(1, "1.8", 0), replica_set(3, "1.10", 3), replica_set(2, "1.9", 0)];
    let plan = of_deployment(Action::Rollback, &deployment(), &history).unwrap();
    let object = after(&deployment(), &plan.request.body);
    assert_eq!(object["spec"]["template"], template("1.9"));
    let wanted = json!({"deployment.kubernetes.io/revision": "3", "team": "old"});
    assert_eq!(object["metadata"]["annotations"], wanted, "its own revision, their team, and no hold's mark");
    assert_eq!(plan.note.as_deref(), Some("back to revision 2 (shop:1.9) from revision 3"));
}

#[test]
fn undo_in_flight_returns_to_what_still_serves_not_to_another_failure() {
    let history = [replica_set(1, "1.8", 3), replica_set(2, "1.9", 0), replica_set(3, "1.10", 1)];
    let plan = of_deployment(Action::Rollback, &deployment(), &history).unwrap();
    assert_eq!(after(&deployment(), &plan.request.body)["spec"]["template"], template("1.8"));
}

#[test]
fn what_does_not_fit_a_built_in_kind_is_refused_with_what_helps() {
    let paused = {
        let mut raw = deployment();
        raw["spec"]["paused"] = json!(true);
        raw
    };
    let all = [replica_set(2, "1.9", 0), replica_set(3, "1.10", 3)];
    let equal = [replica_set(2, "1.9", 0), replica_set(3, "1.11", 3)];
    let mut same = deployment();
    same["spec"]["template"] = template("1.9");
    let mut none = deployment();
    none["spec"]["revisionHistoryLimit"] = json!(0);
    for (action, raw, history, words) in [
        (Action::Pause, &paused, &all[..], "paused already"),
        (Action::Resume, &deployment(), &all, "is not paused"),
        (Action::Restart, &paused, &all, "resume it first"),
        (Action::Rollback, &paused, &all, "a paused Deployment can't be undone"),
        (Action::Rollback, &deployment(), &all[1..], "only revision 3"),
        (Action::Rollback, &none, &all[1..], "revisionHistoryLimit is 0"),
        (Action::Rollback, &deployment(), &[], "no revision yet"),
        (Action::Abort, &deployment(), &all, "roll back (b) undoes it"),
        (Action::Promote, &deployment(), &all, "no steps"),
        (Action::Retry, &deployment(), &all, "goes on trying"),
    ] {
        let why = of_deployment(action, raw, history).expect_err("a refusal").why;
        assert!(why.contains(words) && why.contains("nothing was done"), "{action:?}: {why}");
    }
    let why = of_deployment(Action::Rollback, &same, &equal[..1]);
    assert!(why.is_err(), "the only revision is the current one");
    for kind in ["StatefulSet", "DaemonSet"] {
        let raw = set(kind, "db-2", "db-2");
        for (action, words) in
            [(Action::Pause, "nothing in Kubernetes can pause one"), (Action::Abort, "roll back (b)")]
        {
            let why = ask(action, kind, &raw, &[]).expect_err("a refusal").why;
            assert!(why.contains(words), "{why}");
        }
        let why = ask(Action::Rollback, kind, &raw, &[controller_revision(2, "1.10")]).expect_err("a refusal").why;
        assert!(why.contains("only revision 2"), "{why}");
    }
}

#[test]
fn undo_of_a_set_sends_a_revision_as_it_was_stored_bound_to_the_version_that_was_read() {
    let history = [controller_revision(1, "1.8"), controller_revision(3, "1.10"), controller_revision(2, "1.9")];
    let sent = |kind: &str, raw: &Value| match ask(Action::Rollback, kind, raw, &history).unwrap().request.body {
        Body::Strategic(body) => body,
        other => panic!("{other:?}"),
    };
    for kind in ["StatefulSet", "DaemonSet"] {
        let body = sent(kind, &set(kind, "db-3", "db-3"));
        let mut wanted = controller_revision(2, "1.9")["data"].clone();
        wanted["metadata"] = json!({"resourceVersion": "7"});
        assert_eq!(body, wanted);
    }
    // In flight from revision 1: that is what its pods ran.
    let body = sent("StatefulSet", &set("StatefulSet", "db-3", "db-1"));
    assert_eq!(body["spec"]["template"]["spec"], template("1.8")["spec"]);
}

fn mark(id: &str) -> HoldMark {
    HoldMark {
        id: HoldId::from(id),
        owner: "anna".into(),
        reason: Some("pager".into()),
        since: "2026-11-21T12:00:00Z".parse().unwrap(),
        selector: Selector::default(),
        paused_before: false,
        unheld: Vec::new(),
    }
}

fn parsed(raw: &Value) -> Live {
    Live::parse(named("Deployment").unwrap(), raw.clone()).unwrap()
}

fn gripped(raw: &Value, mark: &HoldMark) -> Value {
    match plan_hold(&parsed(raw), mark) {
        HoldPlan::Send(request) => after(raw, &request.body),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hold_stops_and_marks_and_its_release_undoes_both() {
    let mut bare = deployment();
    bare["metadata"].as_object_mut().unwrap().remove("annotations");
    let held = gripped(&bare, &mark("H-1"));
    assert_eq!(held["spec"]["paused"], true);
    assert_eq!(parsed(&held).held_by(), Some(mark("H-1")));
    assert_eq!(plan_hold(&parsed(&held), &mark("H-1")), HoldPlan::HeldAlready);
    let HoldPlan::Cannot(why) = plan_hold(&parsed(&held), &mark("H-2")) else { panic!("it is another's") };
    assert!(why.contains("hold H-1 of anna"), "{why}");
    assert_eq!(plan_release(&parsed(&held), &HoldId::from("H-2")), None);
    let free = after(&held, &plan_release(&parsed(&held), &HoldId::from("H-1")).unwrap().body);
    assert_eq!((free["spec"]["paused"].clone(), parsed(&free).mark()), (json!(false), None));
}

#[test]
fn what_stood_still_before_a_hold_stands_still_after_it() {
    let mut paused = deployment();
    paused["spec"]["paused"] = json!(true);
    let held = gripped(&paused, &mark("H-1"));
    assert!(parsed(&held).held_by().unwrap().paused_before);
    let free = after(&held, &plan_release(&parsed(&held), &HoldId::from("H-1")).unwrap().body);
    assert_eq!((free["spec"]["paused"].clone(), parsed(&free).mark()), (json!(true), None));
}

#[test]
fn a_mark_on_what_somebody_resumed_holds_nothing() {
    let mut held = gripped(&deployment(), &mark("H-1"));
    held["spec"]["paused"] = json!(false);
    assert_eq!(parsed(&held).held_by(), None);
    assert_eq!(parsed(&gripped(&held, &mark("H-2"))).held_by().unwrap().id, HoldId::from("H-2"));
    let free = after(&held, &plan_release(&parsed(&held), &HoldId::from("H-1")).unwrap().body);
    assert_eq!(free["spec"]["paused"], false);
}

#[test]
fn sets_can_t_be_held_and_a_mark_tells_of_them() {
    let live = Live::parse(named("StatefulSet").unwrap(), set("StatefulSet", "db-2", "db-1")).unwrap();
    assert_eq!(plan_hold(&live, &mark("H-1")), HoldPlan::Cannot("a StatefulSet can't be paused: it goes on".into()));
    let target = Target {
        source: "s".into(),
        kind: "StatefulSet".into(),
        namespace: None,
        name: "db".into(),
        uid: "u".into(),
        first_name: None,
    };
    let unheld =
        vec![HoldTarget { run: Run { target, revision: "1".into() }, held: false, note: "no".into(), undone: false }];
    let held = gripped(&deployment(), &mark("H-1"));
    let more = HoldMark { unheld: unheld.clone(), ..mark("H-1") };
    let told = after(&held, &rewrite(&parsed(&held), &more).unwrap().body);
    assert_eq!(parsed(&told).held_by().unwrap().unheld, unheld);
}

#[test]
fn one_is_let_through_whoever_holds_it() {
    let held = gripped(&deployment(), &mark("H-1"));
    let plan = of_deployment(Action::LetThrough, &held, &[]).unwrap();
    let free = after(&held, &plan.request.body);
    assert_eq!((free["spec"]["paused"].clone(), parsed(&free).mark(), plan.note), (json!(false), None, None));
    let refused = of_deployment(Action::LetThrough, &deployment(), &[]).unwrap_err();
    assert!(refused.why.contains("shop/web is not held"), "{refused}");
    let mut paused = deployment();
    paused["spec"]["paused"] = json!(true);
    let still = gripped(&paused, &mark("H-1"));
    let plan = of_deployment(Action::LetThrough, &still, &[]).unwrap();
    assert!(plan.note.unwrap().contains("it stood still before"));
}
