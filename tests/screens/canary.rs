//! A rollout of a backend that is asked: a canary of a cluster, whose pods, sets, analyses and
//! revisions come with the answer.

use crate::screens::world::*;
use flightdeck::cockpit::app::{Effect, Event, State};
use flightdeck::model::ArmRole::{Candidate, Stable};
use flightdeck::model::*;
use jiff::SignedDuration;
use std::sync::Arc;

/// Presses a key and answers what it asks the server, if there is an answer.
pub fn answer_with(state: &mut State, key: &str, answer: Option<&Reply>) {
    for effect in effects_of(state, Event::Key(key.into())) {
        if let (Effect::Ask { token, .. }, Some(answer)) = (effect, answer) {
            tell(state, Event::Reply { token, reply: Ok(Box::new(answer.clone())) });
        }
    }
}

/// One canary of a cluster and nothing else.
pub fn canary(columns: u16, rows: u16, change: &impl Fn(&mut Rollout)) -> State {
    let mut state = empty(columns, rows);
    connect(&mut state, 0, "prod", true);
    let mut row = rollout("prod", "shop", "production", "v1.9", "v1.10", 20);
    row.run.target.kind = "Rollout".into();
    row.steps = vec![
        Step::SetWeight(Ppm::percent(20)),
        Step::Analysis { name: "errors".into(), duration: SignedDuration::ZERO },
        Step::Pause { duration: None },
    ]
    .into();
    row.phase = Phase::Paused;
    row.waits = vec![Wait::Human { what: "promote to 50 % of traffic".into(), who: None, since: ago(600) }];
    row.message = "its plan pauses here".into();
    change(&mut row);
    Hub::new(0, "prod").snapshot(&mut state, vec![Entity::Rollout(Arc::new(row))]);
    state
}

fn pod(run: &Run, name: &str, role: ArmRole, version: &str, state: InstanceState, restarts: u32) -> Instance {
    Instance {
        id: format!("shop/{name}"),
        target: run.target.clone(),
        role,
        version: version.into(),
        pid: None,
        address: Some("10.244.0.17".into()),
        restarts,
        started: Some(ago(700)),
        state,
        logs: Some(format!("kubectl --context prod-eu -n shop logs {name} --all-containers -f")),
        draining: None,
        limits: Vec::new(),
    }
}

fn group(name: &str, role: Option<ArmRole>, version: &str, revision: u32, ready: u32, desired: u32) -> Group {
    Group {
        name: name.into(),
        role,
        version: version.into(),
        revision: Some(revision.to_string()),
        replicas: Replicas { ready, desired },
        ends: (ready > desired).then(|| now() + SignedDuration::from_secs(30)),
    }
}

fn metric(name: &str, phase: &str, verdict: Option<MetricVerdict>, limit: &str, values: &[f64]) -> AnalysisMetric {
    let measured = |(n, value): (usize, &f64)| Measurement {
        at: Some(ago(300) + SignedDuration::from_secs(10 * i64::try_from(n).unwrap())),
        phase: "Successful".into(),
        value: Some(*value),
        text: format!("[{value}]"),
    };
    AnalysisMetric {
        name: name.into(),
        phase: phase.into(),
        verdict,
        limit: limit.into(),
        message: String::new(),
        measurements: values.iter().enumerate().map(measured).collect(),
    }
}

fn analyses() -> Vec<Analysis> {
    let mut bad = metric(
        "error-rate",
        "Failed",
        Some(MetricVerdict::Fail),
        "result[0] < 0.05, fails after 2, every 10s",
        &[0.01, 0.012, 0.02, 0.031, 0.049, 0.062, 0.08, 0.081],
    );
    bad.message = "failed (3) > failureLimit (2)".into();
    let fine = metric(
        "p95",
        "Successful",
        Some(MetricVerdict::Pass),
        "result[0] < 250, fails after 2",
        &[120.0, 131.0, 118.0, 140.0, 122.0],
    );
    let mut lost = metric("saturation", "Running", None, "result < 0.8, fails at the first failure", &[0.3, 0.4, 0.5]);
    lost.measurements[1].value = None;
    lost.measurements[1].text = "timeout".into();
    let run = |name: &str, belongs: &str, phase: &str, message: &str, metrics| Analysis {
        name: name.into(),
        belongs: belongs.into(),
        phase: phase.into(),
        message: message.into(),
        started: Some(ago(310)),
        metrics,
    };
    vec![
        run("shop-7c9-4-1", "step 2 of revision 4", "Failed", "metric error-rate failed", vec![bad, fine]),
        run("shop-7c9-4", "background of revision 4", "Running", "", vec![lost]),
    ]
}

fn revision(revision: &str, version: &str, role: Option<ArmRole>, cause: Option<&str>, diff: &str) -> Revision {
    Revision {
        revision: revision.into(),
        version: version.into(),
        at: Some(ago(800)),
        cause: cause.map(str::to_owned),
        role,
        diff: diff.lines().map(str::to_owned).collect(),
    }
}

const TO_THREE: &str = "@@ -4,9 +4,9 @@
   containers:
     - env:
         - name: LEVEL
           value: info
         - name: API_TOKEN
-          value: •••
-      image: registry.test/shop:v1.10
+          value: ••• (another value)
+      image: registry.test/shop:v1.9
       name: shop
       resources:
         limits:
           memory: 256Mi";
const TO_TWO: &str = "@@ -8,3 +8,3 @@
-      image: registry.test/shop:v1.10
+      image: registry.test/shop:v1.8
       name: shop";

pub fn canary_detail(state: &State) -> Detail {
    let rollout = state.board.rollouts().next().unwrap().clone();
    let run = rollout.run.clone();
    let crash = InstanceState::BackingOff { why: "CrashLoopBackOff, exit status 3".into() };
    let note = |id: &str, at, who: &str, text: &str| Note {
        id: id.into(),
        run: run.clone(),
        at,
        who: who.into(),
        text: text.into(),
        kind: NoteKind::Event,
    };
    Detail {
        instances: vec![
            pod(&run, "shop-5d8-a1", Stable, "v1.9", InstanceState::Ready, 0),
            pod(&run, "shop-5d8-a2", Stable, "v1.9", InstanceState::Ready, 1),
            pod(&run, "shop-7c9-b1", Candidate, "v1.10", crash, 4),
        ],
        notes: vec![
            note("e1", ago(700), "rollouts-controller", "RolloutStepCompleted: Rollout step 1/3 completed"),
            note("e2", ago(90), "kubelet", "Warning BackOff, pod shop-7c9-b1: Back-off restarting (12 times)"),
        ],
        evidence: Vec::new(),
        receipts: Vec::new(),
        groups: vec![
            group("shop-7c9", Some(Candidate), "v1.10", 4, 0, 1),
            group("shop-5d8", Some(Stable), "v1.9", 3, 4, 4),
            group("shop-111", None, "v1.8", 2, 1, 0),
        ],
        analyses: analyses(),
        history: vec![
            revision("4", "v1.10", Some(Candidate), None, ""),
            revision("3", "v1.9", Some(Stable), Some("kubectl set image rollout/shop shop=v1.9"), TO_THREE),
            revision("2", "v1.8", None, None, TO_TWO),
        ],
        raw: serde_json::json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "shop", "namespace": "shop", "annotations": {"rollout.argoproj.io/revision": "4"}},
            "spec": {"replicas": 5, "template": {"spec": {"containers": [{
                "name": "shop", "image": "registry.test/shop:v1.10", "env": [{"name": "API_TOKEN", "value": "•••"}],
            }]}}},
            "status": {"phase": "Paused", "stableRS": "5d8", "currentPodHash": "7c9"},
        }),
        gaps: Vec::new(),
        rollout,
    }
}
