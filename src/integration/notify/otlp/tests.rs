use super::super::telling::told;
use super::*;
use crate::stub::Stub;
use flightdeck_model::{
    Action, AnalysisReport, BreachResponse, DeploymentKind, DeploymentOutcome, MetricResult, MetricVerdict, OnBreach,
    Ppm, RolloutRecord, Run, Stage, StageRecord, Step, StepRecord, Target,
};
use flightdeck_port::{BreachNews, CommandNews, NotifyEvent};
use jiff::SignedDuration;
use serde_json::{Value, json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_796_000_000 + seconds).unwrap()
}

fn nanoseconds(seconds: i64) -> String {
    format!("{}000000000", 1_796_000_000 + seconds)
}

/// Half an hour: twenty percent, a pause, and then somebody aborts it.
fn aborted() -> Notification {
    let target = Target {
        source: "local".into(),
        kind: "service".into(),
        namespace: Some("production".into()),
        name: "shop".into(),
        uid: "slot-1".into(),
        first_name: None,
    };
    let step = |index, step, began, ended, done| StepRecord { index, step, began: at(began), ended: at(ended), done };
    let rollout = RolloutRecord {
        run: Run { target, revision: "r-7".into() },
        service: "shop".into(),
        called: None,
        environment: "production".into(),
        from: Some("1.4".into()),
        to: "1.5".into(),
        author: Some("ann".into()),
        writer: None,
        started: at(0),
        ended: at(1800),
        outcome: DeploymentOutcome::Aborted,
        cause: "errors 18 % > 1 %".into(),
        kind: DeploymentKind::Deploy,
        digest: Some("sha256:9ff4".into()),
        commit: Some("3fe1c2a".into()),
        commit_at: None,
        pipeline_run: Some("https://ci.example/shop/runs/7".into()),
        reached: Some(Ppm::percent(20)),
        rollback: Some(SignedDuration::from_millis(1500)),
        waited: None,
        manual_steps: 0,
        steps: Some(1),
        step_times: vec![
            step(0, Step::SetWeight(Ppm::percent(20)), 10, 70, true),
            step(1, Step::Pause { duration: None }, 70, 1790, false),
        ],
        diagnosis: None,
    };
    Notification { event: NotifyEvent::Aborted, at: at(1800), rollout: Some(Box::new(rollout)), ..told() }
}

fn command(stage: Stage) -> Notification {
    let record = |stage, seconds| StageRecord { stage, at: at(seconds) };
    let stages = vec![record(Stage::Requested, 1780), record(Stage::Accepted, 1781), record(stage, 1795)];
    let (id, reason) = (flightdeck_model::CommandId("c-1".into()), Some("errors".into()));
    let news = CommandNews { id, action: Action::Abort, reason, stages };
    Notification {
        event: NotifyEvent::Command,
        at: at(1795),
        to: String::new(),
        command: Some(Box::new(news)),
        ..told()
    }
}

fn breach() -> Notification {
    let metric = MetricResult {
        name: "error_rate".into(),
        candidate: Some(0.18),
        stable: Some(0.001),
        limit: "at most 1 %".into(),
        max: Some(0.01),
        unit: "ratio".into(),
        verdict: MetricVerdict::Fail,
        why: "errors 18 % > 1 %".into(),
    };
    let report = AnalysisReport {
        template: "watchdog production".into(),
        from: at(10),
        to: at(70),
        candidate_requests: 300,
        stable_requests: 900,
        verdict: MetricVerdict::Fail,
        metrics: vec![metric],
    };
    let response = BreachResponse::Notified;
    let news = BreachNews { on_breach: OnBreach::Notify, response, report: Some(report) };
    Notification { event: NotifyEvent::Breach, at: at(70), breach: Some(Box::new(news)), ..told() }
}

fn spans_of(body: &Value) -> &Vec<Value> {
    body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap()
}

/// Keys and values of a list of attributes.
fn attributes(of: &Value) -> Value {
    let pair = |attribute: &Value| {
        let value = attribute["value"].as_object().unwrap().values().next().unwrap().clone();
        (attribute["key"].as_str().unwrap().to_owned(), value)
    };
    of["attributes"].as_array().unwrap().iter().map(pair).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn a_rollout_is_one_span_with_its_steps_inside() {
    let body = spans::request(&aborted());
    let resource = attributes(&body["resourceSpans"][0]["resource"]);
    assert_eq!(
        resource,
        json!({
            "service.name": "shop",
            "service.version": "1.5",
            "deployment.environment.name": "production",
            "vcs.ref.head.revision": "3fe1c2a",
            "cicd.pipeline.run.url.full": "https://ci.example/shop/runs/7",
        })
    );
    assert_eq!(body["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"], "flightdeck");
    let [root, first, second] = &spans_of(&body)[..] else { panic!("{body}") };
    assert_eq!((root["name"].as_str(), root["kind"].as_u64()), (Some("deploy shop"), Some(1)));
    assert_eq!(root["startTimeUnixNano"], nanoseconds(0));
    assert_eq!(root["endTimeUnixNano"], nanoseconds(1800));
    assert_eq!(root.get("parentSpanId"), None);
    assert_eq!(root["status"], json!({"code": 2, "message": "errors 18 % > 1 %"}));
    assert_eq!(
        attributes(root),
        json!({
            "deployment.id": "local/shop@production/r-7",
            "deployment.status": "aborted",
            "error.type": "aborted",
            "user.name": "ann",
            "artifact.hash": "9ff4",
            "flightdeck.source": "local",
            "flightdeck.rollout.kind": "deploy",
            "flightdeck.rollout.from": "1.4",
            "flightdeck.rollout.cause": "errors 18 % > 1 %",
            "flightdeck.rollout.reached": 0.2,
            "flightdeck.rollout.rollback_seconds": 1.5,
            "flightdeck.rollout.manual_steps": "0",
        })
    );
    assert_eq!((first["name"].as_str(), second["name"].as_str()), (Some("weight 20 %"), Some("pause")));
    assert_eq!(
        (&first["startTimeUnixNano"], &first["endTimeUnixNano"]),
        (&json!(nanoseconds(10)), &json!(nanoseconds(70)))
    );
    assert_eq!(
        attributes(first),
        json!({"cicd.pipeline.task.name": "weight 20 %", "flightdeck.step.number": "1", "flightdeck.step.done": true})
    );
    assert_eq!(first.get("status"), None);
    assert_eq!(second["status"]["code"], 2, "it was cut short by what ended the rollout");
    for span in [root, first, second] {
        assert_eq!(span["traceId"], TRACE);
        let id = span["spanId"].as_str().unwrap();
        assert!(id.len() == 16 && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{id}");
    }
    assert_eq!((&first["parentSpanId"], &second["parentSpanId"]), (&root["spanId"], &root["spanId"]));
    assert_ne!(first["spanId"], second["spanId"]);
    assert_eq!(spans::request(&aborted()), body, "the same told again is the same");
}

#[test]
fn how_a_rollout_ended_is_its_status() {
    for (outcome, status, code) in [
        (DeploymentOutcome::Succeeded, "succeeded", None),
        (DeploymentOutcome::Superseded, "superseded", None),
        (DeploymentOutcome::RolledBack, "rolled_back", Some(2)),
        (DeploymentOutcome::Failed, "failed", Some(2)),
    ] {
        let mut of = aborted();
        of.rollout.as_mut().unwrap().outcome = outcome;
        let body = spans::request(&of);
        let root = &spans_of(&body)[0];
        assert_eq!(attributes(root)["deployment.status"], status);
        assert_eq!(root["status"]["code"].as_u64(), code, "{status}");
        assert_eq!(attributes(root).get("error.type").is_some(), code.is_some(), "{status}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut of = aborted();
    let rollout = of.rollout.as_mut().unwrap();
    (rollout.commit, rollout.pipeline_run, rollout.author, rollout.digest) = (None, None, None, None);
    (rollout.reached, rollout.rollback, rollout.step_times) = (None, None, Vec::new());
    of.from = None;
    let body = spans::request(&of);
    let keys = [&attributes(&body["resourceSpans"][0]["resource"]), &attributes(&spans_of(&body)[0])];
    let keys: Vec<&String> = keys.iter().flat_map(|of| of.as_object().unwrap().keys()).collect();
    for key in ["vcs.ref.head.revision", "cicd.pipeline.run.url.full", "user.name", "artifact.hash"] {
        assert!(!keys.iter().any(|known| *known == key), "{key}");
    }
    assert_eq!(spans_of(&body).len(), 1);
}

#[test]
fn a_command_is_a_span_inside_the_rollout_that_it_is_about() {
    let root = spans_of(&spans::request(&aborted()))[0]["spanId"].clone();
    let body = spans::request(&command(Stage::effective("route 41: stable 100 %")));
    let [span] = &spans_of(&body)[..] else { panic!("{body}") };
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &root));
    assert_eq!(span["name"], "abort");
    assert_eq!(
        (&span["startTimeUnixNano"], &span["endTimeUnixNano"]),
        (&json!(nanoseconds(1780)), &json!(nanoseconds(1795)))
    );
    let events = span["events"].as_array().unwrap();
    assert_eq!(
        events.iter().map(|event| event["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["requested", "accepted", "effective"]
    );
    assert_eq!(events[1]["timeUnixNano"], nanoseconds(1781));
    assert_eq!(attributes(&events[2])["flightdeck.command.detail"], "route 41: stable 100 %");
    let of = attributes(span);
    assert_eq!((&of["user.name"], &of["flightdeck.command.reason"]), (&json!("ann"), &json!("errors")));
    assert_eq!((&of["flightdeck.command.stage"], span.get("status")), (&json!("effective"), None));
    let refused = spans::request(&command(Stage::Refused { why: "it is over".into() }));
    let span = &spans_of(&refused)[0];
    assert_eq!(span["status"], json!({"code": 2, "message": "it is over"}));
    assert_eq!(attributes(span)["error.type"], "refused");
    // What is about no run has a trace of its own, and nobody's service.
    let hold = Notification { run: String::new(), service: String::new(), ..command(Stage::effective("held")) };
    let body = spans::request(&hold);
    assert_eq!(spans_of(&body)[0].get("parentSpanId"), None);
    assert_eq!(attributes(&body["resourceSpans"][0]["resource"]), json!({"service.name": "flightdeck"}));
}

#[test]
fn a_breach_is_a_moment_with_its_numbers_inside_the_rollout() {
    let root = spans_of(&spans::request(&aborted()))[0]["spanId"].clone();
    let body = spans::request(&breach());
    let span = &spans_of(&body)[0];
    assert_eq!((&span["name"], &span["parentSpanId"]), (&json!("breach"), &root));
    assert_eq!(
        (&span["startTimeUnixNano"], &span["startTimeUnixNano"]),
        (&json!(nanoseconds(70)), &span["endTimeUnixNano"])
    );
    let of = attributes(span);
    assert_eq!(of["flightdeck.breach.on_breach"], "notify");
    assert_eq!(of["flightdeck.breach.candidate_requests"], "300");
    assert_eq!(of["flightdeck.breach.error_rate.candidate"], 0.18);
    assert_eq!(of["flightdeck.breach.error_rate.limit"], "at most 1 %");
    assert_eq!(of["flightdeck.breach.error_rate.max"], 0.01);
    assert_eq!(span["status"]["code"], 2);
}

#[test]
fn what_others_wrote_is_short_and_hides_nothing() {
    let mut of = aborted();
    of.rollout.as_mut().unwrap().cause = format!("a\u{202e}b\n{}", "x".repeat(9000));
    let body = spans::request(&of);
    let cause = attributes(&spans_of(&body)[0])["flightdeck.rollout.cause"].as_str().unwrap().to_owned();
    assert!(cause.chars().count() == 1000 && !cause.contains(['\u{202e}', '\n']), "{cause}");
}

#[tokio::test]
async fn it_is_posted_as_json_with_the_headers_of_a_file() {
    let stub = Stub::bind().await;
    let headers = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(headers.path(), "Authorization: Basic hunter2\n\nX-Scope-OrgID: shop\n").unwrap();
    let settings =
        json!({"endpoint": format!("{}/otlp/", stub.url()), "headers": format!("file:{}", headers.path().display())});
    let configured = Configured {
        name: "traces".into(),
        read_only: false,
        for_others: false,
        settings: settings.as_object().unwrap().clone(),
    };
    let Ok(System::Sink(sink)) = OtlpProvider.open(&configured).await else { panic!("a sink") };
    let notification = aborted();
    let tell = sink.tell(&notification, notification.at);
    let answered = stub.answer("200 OK", r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"trace too old"}}"#);
    let (told, (head, body)) = tokio::join!(tell, answered);
    assert_eq!(told, Err(NotTold::for_good("3 spans were rejected: trace too old")));
    assert!(head.starts_with("POST /otlp/v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert!(head.contains("authorization: Basic hunter2\r\n") && head.contains("x-scope-orgid: shop\r\n"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), spans::request(&notification));
}

#[test]
fn mistakes_are_named_by_key_and_each_key_says_what_it_is() {
    let endpoint = "http://127.0.0.1:4318";
    let raw = |settings: &Value| settings.as_object().unwrap().clone();
    assert_eq!(OtlpProvider.check(&raw(&json!({"endpoint": endpoint}))), Ok(()));
    assert_eq!(OtlpProvider.describe(&raw(&json!({"endpoint": endpoint}))), "traces to 127.0.0.1:4318");
    for (settings, key, told) in [
        (json!({"endpoint": "collector:4318"}), Some("endpoint"), "https://"),
        (json!({"endpoint": "http://collector:4318/v1/traces/"}), Some("endpoint"), "before /v1/traces"),
        (json!({"endpoint": endpoint, "headers": "hunter2"}), Some("headers"), "env:NAME"),
        (json!({"endpoint": endpoint, "protocol": "grpc"}), None, "unknown field `protocol`"),
        (json!({}), None, "missing field `endpoint`"),
    ] {
        let wrong = OtlpProvider.check(&raw(&settings)).expect_err(&settings.to_string());
        assert_eq!(wrong.key, key, "{settings}: {wrong:?}");
        assert!(wrong.what.contains(told) && !wrong.what.contains("hunter2"), "{settings}: {wrong:?}");
    }
    for (text, line) in [("hunter2", "line 1"), ("a: b\nsec ret: hunter2", "line 2"), ("a: hunter2\u{7}", "line 1")] {
        let wrong = headers_of(text).unwrap_err();
        assert!(wrong.what.contains(line) && !wrong.what.contains("hunter2"), "{wrong:?}");
    }
    let schema = OtlpProvider.schema();
    let keys = schema.get("properties").and_then(|keys| keys.as_object()).unwrap();
    assert!(keys.len() == 2 && keys.values().all(|key| key.get("description").is_some()), "{keys:?}");
}
