//! `apps/v1` Deployment.

mod plan;
mod row;

use super::super::objects::{Deployment, DeploymentSpec, DeploymentStatus, PodTemplate};
use super::super::plan::Plan;
use super::super::pod_sets::{PodSets, ReplicaGroup};
use super::super::resource::Resource;
use super::super::row::{RowContext, number, revision};
use super::traits::newest_and_largest;
use super::{Asked, Kind, Source, Workload};
use flightdeck_model::{Refusal, Rollout};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ObjectMeta;

/// What the API calls them.
pub(super) const RESOURCE: Resource =
    Resource { group: "apps", version: "v1", kind: "Deployment", plural: "deployments" };
/// The label by which pods of one template are told from others.
const HASH: &str = "pod-template-hash";
/// A ReplicaSet's number, and that of the one which a Deployment is at.
const REVISION: &str = "deployment.kubernetes.io/revision";

#[derive(Debug)]
pub(super) struct Deployments;

impl Kind for Deployments {
    fn resource(&self) -> Resource {
        RESOURCE
    }

    fn read(&self, from: Source<'_>) -> serde_json::Result<Box<dyn Workload>> {
        from.object::<DeploymentSpec, DeploymentStatus>()
    }

    fn pod_sets(&self) -> Option<PodSets> {
        Some(PodSets::ReplicaSets { hash: HASH, revision: REVISION })
    }

    fn pause_field(&self) -> Option<&'static str> {
        Some("/spec/paused")
    }
}

impl Workload for Deployment {
    fn kind(&self) -> &'static dyn Kind {
        &Deployments
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn template(&self) -> Option<&PodTemplate> {
        Some(&self.spec.template)
    }

    fn selector(&self) -> Option<&LabelSelector> {
        Some(&self.spec.selector)
    }

    fn row(&self, context: &RowContext<'_>, groups: &[ReplicaGroup]) -> Rollout {
        row::row(context, self, groups)
    }

    fn needs_groups(&self) -> bool {
        row::needs_groups(self)
    }

    fn has_groups(&self, groups: &[ReplicaGroup]) -> bool {
        let revision = revision(&self.metadata, REVISION);
        groups.iter().any(|group| group.revision.as_deref() == Some(revision.as_str()))
    }

    fn sides<'g>(&self, row: &Rollout, groups: &'g [ReplicaGroup]) -> [Option<&'g ReplicaGroup>; 2] {
        newest_and_largest(groups, |group| group.revision.as_ref() == Some(&row.run.revision))
    }

    /// Its controller names the revision a moment after it has made the ReplicaSet.
    fn is_named_late(&self, revision: &str, groups: &[ReplicaGroup]) -> bool {
        groups.iter().filter_map(number).max() > Some(revision.parse::<u64>().unwrap_or(0))
    }

    fn plan(&self, asked: &Asked<'_>) -> Result<Plan, Refusal> {
        plan::plan(asked)
    }
}
