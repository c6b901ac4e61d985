//! What a command sends: from the object as it was read to requests, or to a refusal. Pure.
//!
//! Every request carries JSON-patch `test`s (or the resource version) of what it was decided on, so
//! that it does nothing where that no longer holds at the server.

mod deployment;
mod hold;
mod patch;
mod sets;
mod template;

pub use deployment::RESTARTED;
pub use hold::{HoldPlan, let_through, plan_hold, plan_release, rewrite};
pub use patch::Ops;
pub use template::{Revisions, Side, take_ephemeral, text, words};

use super::{HOLD_ANNOTATION, HoldMark, Workload, WorkloadKind};
use crate::orchestrator::argo_rollouts;
use flightdeck_model::{Action, Refusal, RefusalKind};
use jiff::Timestamp;
use kube::core::ApiResource;
use serde_json::Value;

/// A kind of object that a command reads or patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// One of the four.
    Workload(WorkloadKind),
    /// `apps/v1`: the revisions of Deployments and Rollouts.
    ReplicaSet,
    /// `apps/v1`: the revisions of StatefulSets and DaemonSets.
    ControllerRevision,
    /// `v1`: what a Rollout's `workloadRef` may name.
    PodTemplate,
}

impl Resource {
    /// How the API calls it.
    #[must_use]
    pub fn api(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Resource::Workload(kind) => (kind.group(), kind.version(), kind.name(), kind.resource()),
            Resource::ReplicaSet => ("apps", "v1", "ReplicaSet", "replicasets"),
            Resource::ControllerRevision => ("apps", "v1", "ControllerRevision", "controllerrevisions"),
            Resource::PodTemplate => ("", "v1", "PodTemplate", "podtemplates"),
        };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// As permissions write it.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Resource::Workload(kind) => kind.resource(),
            Resource::ReplicaSet => "replicasets",
            Resource::ControllerRevision => "controllerrevisions",
            Resource::PodTemplate => "podtemplates",
        }
    }
}

/// A patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `application/json-patch+json`: a list of operations.
    Json(Value),
    /// `application/merge-patch+json`.
    Merge(Value),
    /// `application/strategic-merge-patch+json`; built-in kinds only.
    Strategic(Value),
}

/// One patch of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Of which kind.
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
    /// To its status subresource?
    pub status: bool,
    pub body: Body,
    /// What goes to the main resource where the server knows no status subresource.
    pub fallback: Option<Body>,
    pub what: String,
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is sent first, and for most commands only.
    pub request: Request,
    /// Is [`argo_rollouts::plan::rest`] asked afterwards for what is left to do?
    pub finish: bool,
    /// The template that it goes back to, where the workload's status names it only later.
    pub target: Option<Target>,
    /// What to say of it besides that it was accepted.
    pub note: Option<String>,
}

/// Where an undo goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The hash of its template, as a Rollout's status will name it.
    pub hash: String,
    /// Is it promoted in full once its controller works on it?
    pub through: bool,
}

/// A workload as it was read: pruned, and as it stands at the server.
#[derive(Debug, Clone)]
pub struct Live {
    /// As rows see it.
    pub workload: Workload,
    pub raw: Value,
}

impl Live {
    /// Parses an object of that kind.
    pub fn parse(kind: WorkloadKind, raw: Value) -> Result<Live, serde_json::Error> {
        let copy = raw.clone();
        let workload = match kind {
            WorkloadKind::Rollout => Workload::Rollout(serde_json::from_value(copy)?),
            WorkloadKind::Deployment => Workload::Deployment(serde_json::from_value(copy)?),
            WorkloadKind::StatefulSet => Workload::StatefulSet(serde_json::from_value(copy)?),
            WorkloadKind::DaemonSet => Workload::DaemonSet(serde_json::from_value(copy)?),
        };
        Ok(Live { workload, raw })
    }

    /// `shop/checkout`.
    #[must_use]
    pub fn place(&self) -> String {
        let meta = self.workload.meta();
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        flightdeck_model::sanitize_line(&format!("{}/{}", text(&meta.namespace), text(&meta.name)))
    }

    /// A patch of this object.
    #[must_use]
    pub fn request(&self, status: bool, body: Body, what: impl Into<String>) -> Request {
        let meta = self.workload.meta();
        Request {
            resource: Resource::Workload(self.workload.kind()),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            status,
            body,
            fallback: None,
            what: what.into(),
        }
    }

    /// Stands still by `spec.paused`?
    #[must_use]
    pub fn paused(&self) -> bool {
        match &self.workload {
            Workload::Rollout(rollout) => rollout.spec.paused,
            Workload::Deployment(deployment) => deployment.spec.paused,
            Workload::StatefulSet(_) | Workload::DaemonSet(_) => false,
        }
    }

    /// The hold that keeps it still; a mark on what was resumed since holds nothing.
    #[must_use]
    pub fn held_by(&self) -> Option<HoldMark> {
        self.workload.hold().filter(|_| self.paused())
    }

    /// Operations that take a mark away, whoever's it is.
    #[must_use]
    pub fn without_mark<'a>(&self, ops: Ops<'a>) -> Ops<'a> {
        let path = mark_path();
        if self.workload.annotation(HOLD_ANNOTATION).is_some() { ops.as_read(&path).remove(&path) } else { ops }
    }
}

/// Where the mark of a hold stands.
#[must_use]
pub fn mark_path() -> String {
    format!("/metadata/annotations/{}", HOLD_ANNOTATION.replace('~', "~0").replace('/', "~1"))
}

/// What was read for a command.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub action: Action,
    pub live: &'a Live,
    /// Its revisions, where [`needs`] asks for them: those that it owns.
    pub history: &'a [Value],
    /// The workload that a Rollout's `workloadRef` names, where [`needs`] asks for it.
    pub reference: Option<&'a Value>,
    pub now: Timestamp,
}

/// What must be read besides the workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Its revisions, as objects of this kind.
    pub history: Option<Resource>,
    /// This object of its namespace.
    pub reference: Option<(Resource, String)>,
}

/// What a command must know besides the workload itself.
#[must_use]
pub fn needs(action: Action, workload: &Workload) -> Needs {
    if action != Action::Rollback {
        return Needs::default();
    }
    match workload {
        Workload::Rollout(rollout) => {
            let reference = rollout.spec.workload_ref.as_ref().and_then(|named| {
                let resource = match named.kind.as_str() {
                    "Deployment" => Resource::Workload(WorkloadKind::Deployment),
                    "ReplicaSet" => Resource::ReplicaSet,
                    "PodTemplate" => Resource::PodTemplate,
                    _ => return None,
                };
                Some((resource, named.name.clone()))
            });
            Needs { history: Some(Resource::ReplicaSet), reference }
        }
        Workload::Deployment(_) => Needs { history: Some(Resource::ReplicaSet), reference: None },
        Workload::StatefulSet(_) | Workload::DaemonSet(_) => {
            Needs { history: Some(Resource::ControllerRevision), reference: None }
        }
    }
}

/// What to send, or why nothing is sent.
pub fn plan(asked: &Asked<'_>) -> Result<Plan, Refusal> {
    match &asked.live.workload {
        Workload::Rollout(rollout) => argo_rollouts::plan::plan(asked, rollout),
        Workload::Deployment(_) => deployment::plan(asked),
        Workload::StatefulSet(_) | Workload::DaemonSet(_) => sets::plan(asked),
    }
}

/// RFC 3339 in whole seconds, as Kubernetes writes times.
#[must_use]
pub fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// It does not go with the workload as it stands.
#[must_use]
pub fn refused(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::NotApplicable, format!("{why}; nothing was done"))
}

/// A hold stands against it.
pub fn check_hold(live: &Live) -> Result<(), Refusal> {
    let Some(mark) = live.held_by() else { return Ok(()) };
    Err(refused(format!(
        "{} is held by {} of {}: release that hold first",
        live.place(),
        flightdeck_model::sanitize_line(mark.id.as_str()),
        flightdeck_model::sanitize_line(&mark.owner)
    )))
}

#[cfg(test)]
mod tests;
