//! What people are told of, from rows as they come. Pure.

use flightdeck_model::{
    Approval, ApprovalState, DeploymentKind, DeploymentOutcome, Entity, Rollout, RolloutRecord, Wait,
};
use flightdeck_port::{Notification, NotifyEvent};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Which of them a destination gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Which events; none: all.
    pub events: Vec<NotifyEvent>,
    /// In which environments; none: all.
    pub environments: Vec<String>,
    /// Of which services; none: all.
    pub services: Vec<String>,
}

impl Wanted {
    /// Is it one of them?
    #[must_use]
    pub fn takes(&self, notification: &Notification) -> bool {
        (self.events.is_empty() || self.events.contains(&notification.event))
            && (self.environments.is_empty() || self.environments.contains(&notification.environment))
            && (self.services.is_empty() || self.services.contains(&notification.service))
    }
}

/// What a row that came means to people outside, if anything. The same fact has the same id, however often it is
/// told and by whichever process.
#[must_use]
pub fn of(entity: &Entity) -> Option<Notification> {
    match entity {
        Entity::RolloutRecord(deployment) => ended(deployment),
        Entity::Approval(approval) => asked(approval),
        Entity::Rollout(rollout) => waits(rollout),
        _ => None,
    }
}

fn ended(of: &RolloutRecord) -> Option<Notification> {
    // A rehearsal says nothing of users.
    if of.kind == DeploymentKind::Drill {
        return None;
    }
    let event = match (of.outcome, of.kind) {
        (DeploymentOutcome::Failed, _) => NotifyEvent::Failed,
        (DeploymentOutcome::Aborted, _) => NotifyEvent::Aborted,
        (DeploymentOutcome::RolledBack, _) | (DeploymentOutcome::Succeeded, DeploymentKind::Rollback) => {
            NotifyEvent::RolledBack
        }
        (DeploymentOutcome::Succeeded | DeploymentOutcome::Superseded, _) => return None,
    };
    Some(Notification {
        id: id(&["ended", &of.run.to_string(), of.outcome.word()]),
        event,
        at: of.ended,
        source: of.run.target.source.0.clone(),
        service: of.service.0.clone(),
        environment: of.environment.0.clone(),
        run: of.run.to_string(),
        from: of.from.as_ref().map(ToString::to_string),
        to: of.to.to_string(),
        author: of.author.clone(),
        why: of.cause.clone(),
    })
}

fn asked(of: &Approval) -> Option<Notification> {
    if of.state != ApprovalState::Pending {
        return None;
    }
    let who = if of.requirement.from.is_empty() { "anybody".to_owned() } else { of.requirement.from.join(" or ") };
    Some(Notification {
        id: id(&["approval", of.run.target.source.as_str(), of.id.as_str()]),
        event: NotifyEvent::WaitsForPerson,
        at: of.requested,
        source: of.run.target.source.0.clone(),
        service: of.service.0.clone(),
        environment: of.environment.0.clone(),
        run: of.run.to_string(),
        from: of.from.as_ref().map(|from| from.version.to_string()),
        to: of.to.version.to_string(),
        author: Some(of.author.clone()),
        why: format!("{} needs {} yes of {who}", of.what, of.requirement.count),
    })
}

fn waits(of: &Rollout) -> Option<Notification> {
    // What a person stopped they know of.
    let (what, since) = of.waits.iter().find_map(|wait| match wait {
        Wait::Human { what, who: None, since } => Some((what, since)),
        _ => None,
    })?;
    let step = of.step.map(|step| step.to_string()).unwrap_or_default();
    let version = |arm: Option<&flightdeck_model::Arm>| arm.map(|arm| arm.version.to_string());
    Some(Notification {
        id: id(&["waits", &of.run.to_string(), &step, &since.to_string()]),
        event: NotifyEvent::WaitsForPerson,
        at: *since,
        source: of.run.target.source.0.clone(),
        service: of.service.0.clone(),
        environment: of.environment.0.clone(),
        run: of.run.to_string(),
        from: version(of.stable()),
        to: version(of.candidate()).or_else(|| version(of.stable())).unwrap_or_default(),
        author: of.author.clone(),
        why: what.clone(),
    })
}

/// `msg_` and 128 bits of a hash of what makes a fact the same one.
fn id(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(16).fold("msg_".to_owned(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}"); // writing to a String can't fail
        id
    })
}
