use super::*;
use crate::orchestrator::kubernetes::kind::named;
use crate::orchestrator::kubernetes::plan::Body;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A canary of five pods at its first pause, as the API server tells it.
fn canary() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generation": 3,
            "annotations": {"rollout.argoproj.io/revision": "2"}},
        "spec": {
            "replicas": 5, "selector": {"matchLabels": {"app": "checkout"}},
            "template": template("1.10"),
            "strategy": {"canary": {"steps": [
                {"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"analysis": {"templates": []}}]}},
        },
        "status": {
            "phase": "Paused", "currentPodHash": "new", "stableRS": "old", "currentStepIndex": 1,
            "observedGeneration": "3", "controllerPause": true, "replicas": 5, "updatedReplicas": 1,
            "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-11-21T11:00:00Z"}],
        },
    })
}

fn template(tag: &str) -> Value {
    json!({"metadata": {"labels": {"app": "checkout"}},
        "spec": {"containers": [{"name": "app", "image": format!("registry.test/shop:{tag}")}]}})
}

/// The same, made at that hour, and with its last pods gone at the other one.
fn aged(mut set: Value, made: u32, gone: Option<u32>) -> Value {
    set["metadata"]["creationTimestamp"] = json!(format!("2026-11-21T{made:02}:00:00Z"));
    match gone {
        Some(hour) => {
            set["metadata"]["managedFields"] = json!([{"manager": "kube-controller-manager", "subresource": "status", "time": format!("2026-11-21T{hour:02}:00:00Z")}]);
        }
        None => set["spec"]["replicas"] = json!(5),
    }
    set
}

fn replica_set(hash: &str, revision: &str, tag: &str) -> Value {
    let mut template = template(tag);
    template["metadata"]["labels"][HASH] = json!(hash);
    json!({"metadata": {"name": format!("checkout-{hash}"), "labels": {HASH: hash},
        "annotations": {REVISION: revision}}, "spec": {"template": template}})
}

fn history() -> Vec<Value> {
    vec![replica_set("older", "1", "1.8"), replica_set("new", "3", "1.10"), replica_set("old", "2", "1.9")]
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut raw = canary();
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').unwrap();
        let parent = raw.pointer_mut(parent).unwrap();
        if value.is_null() {
            parent.as_object_mut().unwrap().remove(key);
        } else {
            parent[key] = value.clone();
        }
    }
    raw
}

fn live(raw: &Value) -> Live {
    Live::parse(named("Rollout").unwrap(), raw.clone()).unwrap()
}

fn rest(action: Action, raw: &Value, candidate: &str, target: Option<&str>) -> Rest {
    let live = live(raw);
    live.workload.rest(action, &live, candidate, target)
}

fn unpause(action: Action, live: &Live, candidate: &str) -> Option<Request> {
    match live.workload.rest(action, live, candidate, None) {
        Rest::Send(request) => Some(request),
        Rest::Nothing => None,
        Rest::NotYet => panic!("it waits for nothing"),
    }
}

fn planned(asked: &Asked<'_>) -> Result<Plan, Refusal> {
    asked.live.workload.plan(asked)
}

fn ask(action: Action, raw: &Value) -> Result<Plan, Refusal> {
    ask_with(action, raw, None)
}

fn ask_with(action: Action, raw: &Value, reference: Option<&Value>) -> Result<Plan, Refusal> {
    let now: Timestamp = "2026-11-21T12:00:00.9Z".parse().unwrap();
    planned(&Asked { action, live: &live(raw), history: &history(), reference, now })
}

/// The object after a patch, as the server would have it; `None` if a test of it fails.
fn after(raw: &Value, body: &Body) -> Option<Value> {
    let Body::Json(ops) = body else { panic!("{body:?} is no JSON patch") };
    // A test of an absent path against null passes at the server, and is an error of the library.
    let ops: Vec<Value> = ops
        .as_array()
        .unwrap()
        .iter()
        .filter(|op| {
            let path = op["path"].as_str().unwrap();
            let absent = op["op"] == "test" && raw.pointer(path).is_none();
            assert!(!absent || op["value"].is_null(), "{op} can't pass");
            !absent
        })
        .cloned()
        .collect();
    let mut object = raw.clone();
    let patch: json_patch::Patch = serde_json::from_value(json!(ops)).unwrap();
    json_patch::patch(&mut object, &patch).ok()?;
    Some(object)
}

fn done(action: Action, raw: &Value) -> (Plan, Value) {
    let plan = ask(action, raw).unwrap_or_else(|refusal| panic!("{action:?}: {refusal}"));
    let object = after(raw, &plan.request.body).expect("its tests hold on what was read");
    (plan, object)
}

fn why(action: Action, raw: &Value) -> String {
    ask(action, raw).expect_err("a refusal").why
}

/// Would the patch still be taken if this had changed meanwhile?
fn holds(plan: &Plan, raw: &Value, path: &str, value: Value) -> bool {
    let mut changed = raw.clone();
    let (parent, key) = path.rsplit_once('/').unwrap();
    changed.pointer_mut(parent).unwrap()[key] = value;
    let Body::Json(ops) = &plan.request.body else { panic!("no JSON patch") };
    ops.as_array()
        .unwrap()
        .iter()
        .filter(|op| op["op"] == "test")
        .all(|op| changed.pointer(op["path"].as_str().unwrap()).cloned().unwrap_or(Value::Null) == op["value"])
}

#[test]
fn a_promotion_ends_the_pause_that_was_seen_and_no_other() {
    let raw = canary();
    let (plan, object) = done(Action::Promote, &raw);
    assert!(plan.request.status && !plan.finish);
    assert_eq!(object["status"].get("pauseConditions"), None);
    assert_eq!(object["status"]["currentStepIndex"], 1);
    for (path, value) in [
        ("/metadata/uid", json!("u2")),
        ("/status/currentPodHash", json!("newer")),
        ("/status/currentStepIndex", json!(2)),
        ("/status/pauseConditions", json!([{"reason": "CanaryPauseStep", "startTime": "2026-11-21T11:30:00Z"}])),
        ("/status/abort", json!(true)),
        ("/spec/paused", json!(true)),
    ] {
        assert!(!holds(&plan, &raw, path, value), "{path} changed and the patch went through");
    }
    assert!(holds(&plan, &raw, "/spec/replicas", json!(9)), "an autoscaler is in nobody's way");
}

#[test]
fn a_promotion_past_an_inconclusive_analysis_moves_the_step_and_ends_the_controllers_pause() {
    let raw = with(&[
        ("/status/currentStepIndex", json!(3)),
        (
            "/status/pauseConditions",
            json!([{"reason": "InconclusiveAnalysisRun", "startTime": "2026-11-21T11:00:00Z"}]),
        ),
        ("/status/canary", json!({"currentStepAnalysisRunStatus": {"name": "a", "status": "Inconclusive"}})),
    ]);
    let (_, object) = done(Action::Promote, &raw);
    assert_eq!(object["status"]["currentStepIndex"], 4);
    assert_eq!(object["status"]["controllerPause"], false);
    assert_eq!(object["status"].get("pauseConditions"), None);
}

#[test]
fn a_promotion_past_a_running_step_moves_to_the_next_one() {
    let raw = with(&[("/status/pauseConditions", Value::Null), ("/status/currentStepIndex", json!(3))]);
    let (_, object) = done(Action::Promote, &raw);
    assert_eq!(object["status"]["currentStepIndex"], 4);
    let last = with(&[("/status/pauseConditions", Value::Null), ("/status/currentStepIndex", json!(4))]);
    assert!(why(Action::Promote, &last).contains("past the last of its 4 steps"));
}

#[test]
fn a_promotion_at_a_pause_and_paused_by_hand_unpauses_afterwards() {
    let raw = with(&[("/spec/paused", json!(true))]);
    let (plan, object) = done(Action::Promote, &raw);
    assert!(plan.finish);
    assert_eq!(object["spec"]["paused"], true, "a status patch can't change the spec");
    let both = after(&raw, plan.request.fallback.as_ref().unwrap()).unwrap();
    assert_eq!((both["spec"]["paused"].clone(), both["status"].get("pauseConditions")), (json!(false), None));
    let rest = unpause(Action::Promote, &live(&object), "new").unwrap();
    assert!(!rest.status);
    assert_eq!(after(&object, &rest.body).unwrap()["spec"]["paused"], false);
    let aborted = with(&[("/spec/paused", json!(true)), ("/status/abort", json!(true))]);
    assert_eq!(unpause(Action::Promote, &live(&aborted), "new"), None, "an abort came between");
    assert_eq!(unpause(Action::Promote, &live(&object), "newer"), None, "another version came between");
    let only = with(&[("/spec/paused", json!(true)), ("/status/pauseConditions", Value::Null)]);
    assert!(why(Action::Promote, &only).contains("resume lets it go on"));
}

#[test]
fn what_does_not_fit_is_refused_with_what_helps() {
    let settled = with(&[("/status/stableRS", json!("new")), ("/status/pauseConditions", Value::Null)]);
    let aborted = with(&[("/status/abort", json!(true)), ("/status/pauseConditions", Value::Null)]);
    let first = with(&[("/status/stableRS", Value::Null)]);
    let paused = with(&[("/spec/paused", json!(true))]);
    let full = with(&[("/status/promoteFull", json!(true)), ("/status/pauseConditions", Value::Null)]);
    let mark = json!({"id": "H-7", "owner": "anna", "reason": null, "since": "2026-11-21T11:00:00Z", "selector": {}});
    let held = with(&[
        ("/spec/paused", json!(true)),
        ("/metadata/annotations", json!({"flightdeck.dev/hold": mark.to_string()})),
    ]);
    for (action, raw, words) in [
        (Action::Promote, &settled, "no rollout in flight"),
        (Action::PromoteFull, &settled, "no rollout in flight"),
        (Action::Promote, &aborted, "retry first"),
        (Action::PromoteFull, &aborted, "retry first"),
        (Action::PromoteFull, &full, "in full already"),
        (Action::Abort, &aborted, "aborted already"),
        (Action::Abort, &first, "first version"),
        (Action::Rollback, &first, "first version"),
        (Action::Pause, &paused, "paused already"),
        (Action::Pause, &aborted, "on its way back"),
        (Action::Resume, &canary(), "promote it"),
        (Action::Retry, &canary(), "not aborted"),
        (Action::Promote, &held, "held by H-7 of anna"),
        (Action::PromoteFull, &held, "held by H-7 of anna"),
        (Action::Resume, &held, "held by H-7 of anna"),
        (Action::Deploy, &canary(), "knows no deploy"),
    ] {
        let why = why(action, raw);
        assert!(why.contains(words) && why.contains("nothing was done"), "{action:?}: {why}");
    }
}

#[test]
fn promote_full_tests_an_absent_abort_as_null_and_a_false_one_as_false() {
    let test_of = |raw: &Value| {
        let plan = ask(Action::PromoteFull, raw).unwrap();
        let Body::Json(ops) = plan.request.body else { panic!("no JSON patch") };
        ops.as_array().unwrap().iter().find(|op| op["path"] == "/status/abort").unwrap()["value"].clone()
    };
    assert_eq!(test_of(&canary()), Value::Null);
    assert_eq!(test_of(&with(&[("/status/abort", json!(false))])), json!(false));
    let (plan, object) = done(Action::PromoteFull, &canary());
    assert!(plan.request.status && object["status"]["promoteFull"] == true);
}

#[test]
fn an_abort_ends_a_full_promotion_in_the_same_patch() {
    let raw = with(&[("/status/promoteFull", json!(true)), ("/status/pauseConditions", Value::Null)]);
    let (plan, object) = done(Action::Abort, &raw);
    assert!(plan.request.status);
    assert_eq!((&object["status"]["abort"], &object["status"]["promoteFull"]), (&json!(true), &json!(false)));
    assert!(!holds(&plan, &raw, "/status/currentPodHash", json!("newer")));
    assert!(!holds(&plan, &raw, "/status/stableRS", json!("new")), "it finished meanwhile");
    assert!(holds(&plan, &raw, "/status/currentStepIndex", json!(3)), "a moving step never voids an abort");
    let bare = with(&[("/status/promoteFull", Value::Null)]);
    assert_eq!(done(Action::Abort, &bare).1["status"]["promoteFull"], false);
}

#[test]
fn issue_1292_an_abort_with_nothing_in_flight_is_never_sent() {
    let settled = with(&[("/status/stableRS", json!("new"))]);
    let why = why(Action::Abort, &settled);
    assert!(why.contains("nothing to abort") && why.contains("roll back"), "{why}");
}

#[test]
fn issue_3756_an_abort_of_a_paused_rollout_is_the_status_first_and_then_the_end_of_the_pause() {
    let raw = with(&[("/spec/paused", json!(true))]);
    let (plan, aborted) = done(Action::Abort, &raw);
    assert!(plan.request.status && plan.finish);
    let rest = unpause(Action::Abort, &live(&aborted), "new").unwrap();
    let free = after(&aborted, &rest.body).unwrap();
    assert!(!rest.status && free["spec"]["paused"] == false && free["status"]["abort"] == true);
    // Paused between the read and the patch: it is asked for all the same.
    assert!(done(Action::Abort, &canary()).0.finish);
    assert_eq!(unpause(Action::Abort, &live(&free), "new"), None, "once is enough");
    // A retry came between: unpausing would let the candidate go on.
    assert_eq!(unpause(Action::Abort, &live(&raw), "new"), None);
    // An undo came between: what is paused now keeps the candidate's pods, and only stable is left to come.
    let undone = with(&[
        ("/spec/paused", json!(true)),
        ("/status/currentPodHash", json!("old")),
        ("/status/abort", json!(false)),
    ]);
    let rest = unpause(Action::Abort, &live(&undone), "new").unwrap();
    assert_eq!(after(&undone, &rest.body).unwrap()["spec"]["paused"], false);
    let rest = Plan { request: rest, finish: false, target: None, note: None };
    assert!(!holds(&rest, &undone, "/spec/template", template("2.0")), "what comes then stays paused");
    let other = with(&[("/spec/paused", json!(true)), ("/status/currentPodHash", json!("newer"))]);
    assert_eq!(
        unpause(Action::Abort, &live(&other), "new"),
        None,
        "another version came: its pause is not the abort's"
    );
    // What an earlier abort left paused is completed by another one.
    let (second, free) = done(Action::Abort, &aborted);
    assert!(!second.request.status && free["spec"]["paused"] == false);
}

#[test]
fn an_abort_takes_a_hold_s_mark_with_it() {
    let mark = json!({"id": "H-7", "owner": "anna", "reason": null, "since": "2026-11-21T11:00:00Z", "selector": {}});
    let raw = with(&[
        ("/spec/paused", json!(true)),
        ("/metadata/annotations", json!({"flightdeck.dev/hold": mark.to_string(), "other": "kept"})),
    ]);
    let (_, aborted) = done(Action::Abort, &raw);
    let rest = unpause(Action::Abort, &live(&aborted), "new").unwrap();
    let free = after(&aborted, &rest.body).unwrap();
    assert_eq!(free["metadata"]["annotations"], json!({"other": "kept"}));
}

#[test]
fn issue_4265_promote_full_of_what_was_paused_by_hand_ends_that_pause_too() {
    let raw = with(&[("/spec/paused", json!(true)), ("/status/pauseConditions", Value::Null)]);
    let (plan, object) = done(Action::PromoteFull, &raw);
    assert!(plan.finish && object["status"]["promoteFull"] == true);
    let rest = unpause(Action::PromoteFull, &live(&object), "new").unwrap();
    assert_eq!(after(&object, &rest.body).unwrap()["spec"]["paused"], false);
}

#[test]
fn pause_and_resume_turn_the_spec_and_test_it() {
    let (plan, paused) = done(Action::Pause, &canary());
    assert!(!plan.request.status && paused["spec"]["paused"] == true);
    assert!(!holds(&plan, &canary(), "/status/abort", json!(true)), "nothing that goes back is paused");
    assert!(!holds(&plan, &canary(), "/metadata/generation", json!(4)), "nor what was just undone");
    let undone = with(&[("/metadata/generation", json!(4)), ("/spec/template", template("1.9"))]);
    assert!(why(Action::Pause, &undone).contains("has yet to take up its newest change"));
    assert_eq!(done(Action::Resume, &paused).1["spec"]["paused"], false);
}

#[test]
fn retry_needs_the_abort_that_was_seen() {
    let raw = with(&[("/status/abort", json!(true)), ("/status/pauseConditions", Value::Null)]);
    let (plan, object) = done(Action::Retry, &raw);
    assert!(plan.request.status && object["status"]["abort"] == false);
    assert!(!holds(&plan, &raw, "/status/currentPodHash", json!("newer")));
}

#[test]
fn a_restart_is_asked_for_in_whole_seconds_and_once_at_a_time() {
    let (_, object) = done(Action::Restart, &canary());
    assert_eq!(object["spec"]["restartAt"], "2026-11-21T12:00:00Z");
    assert!(why(Action::Restart, &object).contains("is being restarted since"));
    let finished = {
        let mut object = object;
        object["status"]["restartedAt"] = json!("2026-11-21T12:00:00Z");
        object
    };
    assert!(ask(Action::Restart, &finished).is_ok());
}

#[test]
fn undo_in_flight_returns_to_stable_and_settled_to_the_revision_before() {
    let (plan, object) = done(Action::Rollback, &canary());
    assert_eq!(object["spec"]["template"], template("1.9"), "its hash label is taken out");
    assert_eq!(object["metadata"]["annotations"], canary()["metadata"]["annotations"]);
    assert_eq!(plan.note.as_deref(), Some("back to revision 2 (shop:1.9): stable, so that no steps are taken"));
    let settled = with(&[("/status/stableRS", json!("new")), ("/status/pauseConditions", Value::Null)]);
    let (plan, object) = done(Action::Rollback, &settled);
    assert_eq!(object["spec"]["template"], template("1.9"));
    assert!(plan.note.unwrap().contains("begins by the steps of its plan, since nothing shows that it served"));
    assert!(!plan.finish);
    assert!(!holds(&ask(Action::Rollback, &settled).unwrap(), &settled, "/spec/template", template("2.0")));
}

#[test]
fn a_settled_undo_goes_to_what_users_had_before_and_is_promoted_in_full() {
    let settled = with(&[("/status/stableRS", json!("new")), ("/status/pauseConditions", Value::Null)]);
    let ask = |history: &[Value]| {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let asked = Asked { action: Action::Rollback, live: &live(&settled), history, reference: None, now };
        let plan = planned(&asked).unwrap();
        let image =
            after(&settled, &plan.request.body).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        (image, plan.target.unwrap(), plan.note.unwrap())
    };
    // 1.9-given-up was aborted before 1.10 was made; 1.8 served until then.
    let served = aged(replica_set("older", "1", "1.8"), 8, Some(11));
    let given_up = aged(replica_set("old", "2", "1.9"), 9, Some(9));
    let current = aged(replica_set("new", "3", "1.10"), 10, None);
    let (image, target, note) = ask(&[served.clone(), given_up.clone(), current.clone()]);
    assert_eq!((image, target), (json!("registry.test/shop:1.8"), Target { hash: "older".into(), through: true }));
    assert!(note.contains("back to revision 1 (shop:1.8): promoted in full"), "{note}");
    // Both had pods when 1.10 came: one of them was on its way, and nobody can tell which.
    let on_its_way = aged(replica_set("old", "2", "1.9"), 9, Some(11));
    let (image, target, note) = ask(&[served.clone(), on_its_way, current.clone()]);
    assert_eq!((image, target.through), (json!("registry.test/shop:1.9"), false));
    assert!(note.contains("promote full lets it through"), "{note}");
    // The current one was there before: its age tells nothing, and the first one served for sure.
    let mut again = current.clone();
    again["metadata"]["annotations"][HISTORY] = json!("2");
    assert!(!ask(&[served.clone(), given_up, again.clone()]).1.through);
    assert!(ask(&[served, again]).1.through);
}

#[test]
fn the_second_part_of_an_undo_waits_for_its_controller_and_stops_for_whatever_came_between() {
    let at = |current: &str, stable: &str, more: &[(&str, Value)]| {
        let mut all = vec![
            ("/status/currentPodHash", json!(current)),
            ("/status/stableRS", json!(stable)),
            ("/status/pauseConditions", Value::Null),
        ];
        all.extend_from_slice(more);
        with(&all)
    };
    let rest = |raw: &Value| rest(Action::Rollback, raw, "new", Some("old"));
    assert_eq!(rest(&at("new", "new", &[])), Rest::NotYet);
    let begun = at("old", "new", &[]);
    let Rest::Send(request) = rest(&begun) else { panic!("a full promotion") };
    assert!(request.status);
    assert_eq!(after(&begun, &request.body).unwrap()["status"]["promoteFull"], true);
    let plan = Plan { request, finish: false, target: None, note: None };
    assert!(!holds(&plan, &begun, "/status/currentPodHash", json!("newer")), "only what was seen");
    assert!(!holds(&plan, &begun, "/status/abort", json!(true)), "an abort came between");
    for (what, raw) in [
        ("done", at("old", "old", &[])),
        ("somebody's version", at("newer", "new", &[])),
        ("aborted", at("old", "new", &[("/status/abort", json!(true))])),
        ("promoted in full already", at("old", "new", &[("/status/promoteFull", json!(true))])),
        ("paused by somebody, whose pause it is", at("old", "new", &[("/spec/paused", json!(true))])),
    ] {
        assert_eq!(rest(&raw), Rest::Nothing, "{what}");
    }
}

#[test]
fn what_its_controller_refused_takes_nothing_until_it_is_mended() {
    let refused = json!([{"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec",
        "message": "AnalysisTemplate 'gone' not found"}]);
    let invalid = with(&[("/status/conditions", refused.clone())]);
    for action in [
        Action::Promote,
        Action::PromoteFull,
        Action::Abort,
        Action::Rollback,
        Action::Retry,
        Action::Restart,
        Action::Pause,
        Action::Resume,
    ] {
        let why = why(action, &invalid);
        assert!(
            why.contains("until its description is mended: AnalysisTemplate 'gone' not found"),
            "{action:?}: {why}"
        );
    }
    // Of an older description: what is there now may be mended.
    let older = with(&[("/status/conditions", refused), ("/metadata/generation", json!(4))]);
    assert!(ask(Action::Abort, &older).is_ok());
}

#[test]
fn where_no_pods_are_wanted_only_what_goes_back_is_sent() {
    let none = with(&[("/spec/replicas", json!(0))]);
    for action in [Action::Promote, Action::PromoteFull, Action::Restart] {
        assert!(why(action, &none).contains("wants no pods: nothing would serve"), "{action:?}");
    }
    assert!(ask(Action::Abort, &none).is_ok() && ask(Action::Rollback, &none).is_ok());
}

#[test]
fn undo_of_a_paused_candidate_ends_the_pause_or_nothing_would_move() {
    let paused = with(&[("/spec/paused", json!(true))]);
    let (_, object) = done(Action::Rollback, &paused);
    assert_eq!((&object["spec"]["paused"], &object["spec"]["template"]), (&json!(false), &template("1.9")));
    let (plan, _) = done(Action::Rollback, &canary());
    assert!(!holds(&plan, &canary(), "/spec/paused", json!(true)), "paused between the read and the patch");
    let settled = with(&[("/spec/paused", json!(true)), ("/status/stableRS", json!("new"))]);
    assert!(why(Action::Rollback, &settled).contains("resume it first"));
}

#[test]
fn undo_strips_what_the_controller_injected() {
    let mut history = history();
    history[2]["spec"]["template"]["metadata"]["labels"]["role"] = json!("stable");
    history[2]["spec"]["template"]["metadata"]["annotations"] = json!({"seen": "yes"});
    history[2]["metadata"]["annotations"][EPHEMERAL] =
        json!(r#"{"labels":{"role":"stable"},"annotations":{"seen":"yes"}}"#);
    let raw = canary();
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let asked = Asked { action: Action::Rollback, live: &live(&raw), history: &history, reference: None, now };
    let plan = planned(&asked).unwrap();
    assert_eq!(after(&raw, &plan.request.body).unwrap()["spec"]["template"], template("1.9"));
}

#[test]
fn undo_without_a_revision_to_return_to_says_which_is_missing() {
    let ask = |raw: &Value, history: &[Value]| {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let asked = Asked { action: Action::Rollback, live: &live(raw), history, reference: None, now };
        planned(&asked).expect_err("a refusal").why
    };
    let settled = with(&[("/status/stableRS", json!("new")), ("/status/pauseConditions", Value::Null)]);
    assert!(ask(&settled, &history()[1..2]).contains("only revision 3"));
    let mut none = settled.clone();
    none["spec"]["revisionHistoryLimit"] = json!(0);
    assert!(ask(&none, &history()[1..2]).contains("revisionHistoryLimit is 0"));
    assert!(ask(&canary(), &history()[..2]).contains("the ReplicaSet of stable old is gone"));
}

#[test]
fn issue_2459_undo_with_a_workload_ref_patches_the_workload_that_is_named() {
    let mut raw = canary();
    let spec = raw["spec"].as_object_mut().unwrap();
    spec.remove("template");
    spec.insert("workloadRef".into(), json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout-of"}));
    let wanted = live(&raw).workload.needs(Action::Rollback);
    assert_eq!(wanted.reference, Some((deployment::RESOURCE, "checkout-of".to_owned())));
    let deployment = json!({"metadata": {"name": "checkout-of", "namespace": "shop", "uid": "d1", "resourceVersion": "9"},
        "spec": {"replicas": 0, "template": template("1.10")}});
    let plan = ask_with(Action::Rollback, &raw, Some(&deployment)).unwrap();
    assert_eq!((plan.request.resource, plan.request.name.as_str()), (deployment::RESOURCE, "checkout-of"));
    assert_eq!(after(&deployment, &plan.request.body).unwrap()["spec"]["template"], template("1.9"));
    assert!(ask_with(Action::Rollback, &raw, None).unwrap_err().why.contains("is gone"));
    raw["spec"]["workloadRef"]["kind"] = json!("PodTemplate");
    let pods = json!({"metadata": {"name": "checkout-of", "namespace": "shop", "uid": "p1", "resourceVersion": "9"},
        "template": template("1.10")});
    let plan = ask_with(Action::Rollback, &raw, Some(&pods)).unwrap();
    assert_eq!(after(&pods, &plan.request.body).unwrap()["template"], template("1.9"), "its template is at the top");
}

#[test]
fn a_blue_green_rollout_is_promoted_at_its_pause_only() {
    let mut raw = with(&[(
        "/status/pauseConditions",
        json!([{"reason": "BlueGreenPause", "startTime": "2026-11-21T11:00:00Z"}]),
    )]);
    raw["spec"]["strategy"] = json!({"blueGreen": {"activeService": "a", "autoPromotionEnabled": false}});
    raw["status"].as_object_mut().unwrap().remove("currentStepIndex");
    let (_, object) = done(Action::Promote, &raw);
    assert_eq!(object["status"].get("pauseConditions"), None);
    assert_eq!(object["status"].get("currentStepIndex"), None);
    assert!(why(Action::Promote, &object).contains("does not wait for a promotion"));
}
