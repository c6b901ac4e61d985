//! What the demo's server does by itself, in the name of `system:demo`: stores releases, deploys
//! what runs from the start, sends users to it, then begins the rollouts that the person sees.

use super::plan::{Deployed, Plan, Seeded, Users, failed};
use super::{DemoError, PLAN, process};
use crate::engine::runtime::{Engine, StagedRelease};
use crate::hub::Hub;
use crate::model::{
    Action, Actor, Approval, ApprovalState, Body, Command, CommandId, ConfigName, Entity, Envelope, Phase, RefusalKind,
    Subject,
};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command as Program};

/// Carries out the plan of a scratch directory and stays with its users, until it is dropped.
///
/// # Errors
/// The first step that failed; what was done before stays.
pub async fn seed(dir: &Path, hub: &Hub, engine: &Engine) -> Result<(), DemoError> {
    let path = dir.join(PLAN);
    let json = tokio::fs::read(&path).await.map_err(failed("read", &path))?;
    let plan: Plan = serde_json::from_slice(&json).map_err(DemoError::Plan)?;
    apply(&plan, hub).await?;
    for release in &plan.releases {
        add(release, hub, engine).await?;
    }
    for deployed in &plan.first {
        deploy(deployed, hub, engine).await?;
    }
    all_healthy(&plan.first, hub).await?;
    let mut users = Vec::new();
    for (number, group) in plan.users.iter().enumerate() {
        users.push(send(&plan.exe, group, &dir.join(format!("load-{number}.json")))?);
    }
    for deployed in &plan.next {
        deploy(deployed, hub, engine).await?;
    }
    tracing::info!(rollouts = plan.next.len(), "the demo is under way");
    // Waiting for a child closes its pipe unless that is held: it would leave at once.
    let _pipes: Vec<_> = users.iter_mut().map(|child| child.stdin.take()).collect();
    for mut child in users {
        let status = child.wait().await.map_err(process("wait for the demo's users"))?;
        tracing::warn!(%status, "some of the demo's users went away");
    }
    Ok(())
}

async fn submit(hub: &Hub, id: CommandId, action: Action, subject: Subject, step: &str) -> Result<(), DemoError> {
    let command = Command { id, action, subject, pin: None, reason: Some("the demo".to_owned()) };
    let done = hub.submit(Actor::system("demo"), command).await;
    done.map(drop).map_err(|refusal| DemoError::Seed { step: step.to_owned(), why: refusal.why })
}

fn new_id() -> CommandId {
    CommandId(uuid::Uuid::now_v7().to_string())
}

async fn apply(plan: &Plan, hub: &Hub) -> Result<(), DemoError> {
    let text = tokio::fs::read_to_string(&plan.config).await.map_err(failed("read", &plan.config))?;
    let subject = Subject::Config {
        name: ConfigName::default(),
        text,
        path: plan.config.display().to_string(),
        remove: Vec::new(),
    };
    submit(hub, new_id(), Action::Apply, subject, "apply its configuration").await
}

async fn add(release: &Seeded, hub: &Hub, engine: &Engine) -> Result<(), DemoError> {
    let id = new_id();
    let upload = engine.stage_upload(&id);
    tokio::fs::copy(&release.artifact, &upload).await.map_err(failed("copy an artifact to", &upload))?;
    let commit = Some(release.commit.clone());
    engine.staged(
        &id,
        StagedRelease { commit, commit_at: None, pipeline_run: None, expected_digest: None, migrations: None },
    );
    let (source, service, version) = (engine.source().clone(), release.service.clone(), release.version.clone());
    let subject = Subject::Release { source, service, version };
    submit(hub, id, Action::AddRelease, subject, &format!("store {} {}", release.service, release.version)).await
}

async fn deploy(deployed: &Deployed, hub: &Hub, engine: &Engine) -> Result<(), DemoError> {
    let Deployed { service, environment, version } = deployed;
    let step = format!("deploy {service} {version} to {environment}");
    let (service, environment, version) = (service.clone(), environment.clone(), Some(version.clone()));
    let source = engine.source().clone();
    let subject = Subject::NewRollout { source, service, environment, version, from: None };
    submit(hub, new_id(), Action::Deploy, subject, &step).await
}

/// Follows the hub until each of these serves.
async fn all_healthy(deployed: &[Deployed], hub: &Hub) -> Result<(), DemoError> {
    let mut missing: Vec<&Deployed> = deployed.iter().collect();
    while !missing.is_empty() {
        let ended =
            || DemoError::Seed { step: "wait for its services".to_owned(), why: "the hub has ended".to_owned() };
        let mut updates = hub.subscribe(None).await.ok_or_else(ended)?;
        // A subscriber that fell behind starts over with a snapshot.
        while let Some(envelope) = updates.next().await {
            if let Body::Upsert(Entity::Approval(asked)) = &envelope.scoped.body {
                agree(asked, hub).await?;
                continue;
            }
            let Some((phase, is)) = rollout(&envelope) else { continue };
            if phase == Phase::Failed
                && let Some(failed) = missing.iter().find(|one| is(one))
            {
                let why = format!("{} in {} failed", failed.service, failed.environment);
                return Err(DemoError::Seed { step: "start its services".to_owned(), why });
            }
            missing.retain(|one| phase != Phase::Healthy || !is(one));
            if missing.is_empty() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A colleague says yes to a first version; what came between is told anew, and asked then.
async fn agree(asked: &Approval, hub: &Hub) -> Result<(), DemoError> {
    if asked.state != ApprovalState::Pending {
        return Ok(());
    }
    let subject = Subject::Approval { id: asked.id.clone(), run: asked.run.clone() };
    let (action, pin) = (Action::Approve, Some(asked.facts.pin(Action::Approve)));
    let command = Command { id: new_id(), action, subject, pin, reason: Some("the first version".to_owned()) };
    match hub.submit(Actor::system("colleague"), command).await {
        Err(refusal) if !matches!(refusal.kind, RefusalKind::PinChanged | RefusalKind::NotApplicable) => {
            Err(DemoError::Seed { step: format!("approve {}", asked.id), why: refusal.why })
        }
        _ => Ok(()),
    }
}

/// The phase of a row that was told, and whether it is about a deployment.
fn rollout(envelope: &Envelope) -> Option<(Phase, impl Fn(&Deployed) -> bool)> {
    let Body::Upsert(Entity::Rollout(row)) = &envelope.scoped.body else { return None };
    let is = move |one: &Deployed| one.service == row.service && one.environment == row.environment;
    Some((row.phase, is))
}

/// Starts users; they leave when their standard input closes. Each may have a connection of its own: were
/// there hardly enough, one slow moment would leave a queue that never ends.
fn send(exe: &Path, users: &Users, report: &Path) -> Result<Child, DemoError> {
    let mut program = Program::new(exe);
    program.args(["load", "--until-eof", "--rate"]).arg(users.rate.to_string());
    // It names the scratch directory, by which a load without its server is found.
    program.arg("--report").arg(report);
    for target in &users.targets {
        program.arg("--target").arg(format!("http://{target}/"));
    }
    program.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    program.spawn().map_err(process("start the demo's users"))
}
