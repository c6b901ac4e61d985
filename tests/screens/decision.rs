//! The moment before a yes: a canary with numbers, and where both of its versions came from.

use crate::screens::world::*;
use flightdeck::cockpit::app::State;
use flightdeck::model::*;
use std::sync::Arc;

fn release(version: &str, commit: &str) -> Entity {
    Entity::Release(Release {
        source: "local".into(),
        service: "checkout".into(),
        version: version.into(),
        artifacts: Vec::new(),
        commit: Some(commit.into()),
        commit_at: None,
        pipeline_run: None,
        author: "ci".into(),
        added: ago(1_000_000),
        migrations: None,
    })
}

fn deployed(run: &Run, version: &str) -> Entity {
    Entity::RolloutRecord(Arc::new(RolloutRecord {
        run: run.clone(),
        service: "checkout".into(),
        called: None,
        environment: "production".into(),
        from: None,
        to: version.into(),
        author: Some("alice".into()),
        writer: None,
        started: ago(900_000),
        ended: ago(899_000),
        outcome: DeploymentOutcome::Succeeded,
        cause: String::new(),
        kind: DeploymentKind::Deploy,
        digest: None,
        commit: None,
        commit_at: None,
        pipeline_run: None,
        step_times: Vec::new(),
        reached: None,
        rollback: None,
        waited: None,
        manual_steps: 0,
        steps: None,
        diagnosis: None,
    }))
}

fn deploy(id: &str, run: &Run, reason: &str) -> Entity {
    let command = Command {
        id: id.into(),
        action: Action::Deploy,
        subject: Subject::Run(run.clone()),
        pin: None,
        reason: Some(reason.into()),
    };
    Entity::Receipt(Box::new(Receipt {
        id: id.into(),
        command,
        actor: Actor { name: "dana".into(), uid: None, roles: Vec::new() },
        stages: vec![StageRecord { stage: Stage::Requested, at: ago(760) }],
        forecast: None,
        grade: None,
        targets: Vec::new(),
        sources: Vec::new(),
        created: Some(run.clone()),
        left: None,
        outcome: None,
    }))
}

/// One canary that waits for an approval, with so many of a thousand requests of its candidate failing.
pub fn weighed(columns: u16, rows: u16, errors: u64, judged: MetricVerdict) -> State {
    let mut state = empty(columns, rows);
    connect(&mut state, 0, "local", true);
    let mut row = rollout("local", "checkout", "production", "1.9.0", "1.10.0", 5);
    row.offers = [Action::Promote, Action::Approve, Action::Reject, Action::Abort].into_iter().collect();
    let run = row.run.clone();
    let before = Run { revision: "r-6".into(), ..run.clone() };
    let mut pending = approval(&run, "checkout", "production", "A-17");
    (pending.from, pending.to) = (
        Some(ReleaseRef { version: "1.9.0".into(), digest: format!("sha256:{}", "3fa9".repeat(16)) }),
        ReleaseRef { version: "1.10.0".into(), digest: format!("sha256:{}", "b04e".repeat(16)) },
    );
    let summary = match judged {
        MetricVerdict::Fail => "slo fails: errors 18 % against 0.5 % at stable, limit 1 %",
        _ => "slo passes: errors 0.4 % against 0.5 % at stable, limit 1 %",
    };
    let evidence = Evidence {
        id: "e-1".into(),
        run: run.clone(),
        at: ago(8),
        kind: "analysis".into(),
        analysis: Some(AnalysisReport {
            template: "slo".into(),
            from: ago(68),
            to: ago(8),
            candidate_requests: 3000,
            stable_requests: 60_000,
            verdict: judged,
            metrics: Vec::new(),
        }),
        summary: summary.into(),
    };
    let entities = vec![
        release("1.9.0", "3fa9c01b77aa"),
        release("1.10.0", "b04e11d2c3d4"),
        deployed(&before, "1.9.0"),
        deploy("c-1", &before, "spring sale prices"),
        deploy("c-2", &run, "new payment form"),
        Entity::Evidence(Box::new(evidence)),
        Entity::Approval(Box::new(pending)),
        Entity::Rollout(Arc::new(row)),
    ];
    let mut hub = Hub::new(0, "local");
    hub.snapshot(&mut state, entities);
    let all = samples(&target("local", "production", "checkout"), |_| {
        [Some((50, errors * 50 / 1000, 212)), Some((1000, 5, 181))]
    });
    hub.send(&mut state, Body::Samples(all));
    tell(&mut state, flightdeck::cockpit::app::Event::Wake);
    state
}
