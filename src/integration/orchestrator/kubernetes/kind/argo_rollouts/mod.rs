//! `argoproj.io` Rollout: what Argo Rollouts' objects mean. The sources of argo-rollouts v1.10 are the reference.

mod forecast;
mod objects;
mod phase;
mod plan;
mod progress;
mod row;
mod steps;
#[cfg(test)]
mod tests;
mod weights;

use super::super::json::{annotation, label, text};
use super::super::meta::mark_path;
use super::super::objects::PodTemplate;
use super::super::plan::{Ops, Plan, Rest, take_ephemeral};
use super::super::pod_sets::{PodSets, ReplicaGroup, Set};
use super::super::progress::Seen;
use super::super::resource::Resource;
use super::super::row::RowContext;
use super::{Asked, Kind, Live, Needs, Right, Source, Workload, deployment};
use flightdeck_model::{Action, ArmRole, Fact, Forecast, Refusal, Rollout, Stage};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ObjectMeta;
use objects::{ArgoRollout, RolloutSpec, RolloutStatus};
use serde_json::Value;
use std::collections::BTreeSet;

/// What the API calls them.
const RESOURCE: Resource = Resource { group: "argoproj.io", version: "v1alpha1", kind: "Rollout", plural: "rollouts" };
/// The label by which pods of one template are told from others.
const HASH: &str = "rollouts-pod-template-hash";
/// A ReplicaSet's number, and that of the one which a Rollout is at.
const REVISION: &str = "rollout.argoproj.io/revision";
/// What the controller put into pods for a while.
const EPHEMERAL: &str = "rollout.argoproj.io/ephemeral-metadata";

#[derive(Debug)]
pub(super) struct Rollouts;

impl Kind for Rollouts {
    fn resource(&self) -> Resource {
        RESOURCE
    }

    fn read(&self, from: Source<'_>) -> serde_json::Result<Box<dyn Workload>> {
        from.object::<RolloutSpec, RolloutStatus>()
    }

    fn system(&self) -> Option<&'static str> {
        Some("Argo Rollouts")
    }

    fn pod_sets(&self) -> Option<PodSets> {
        Some(PodSets::ReplicaSets { hash: HASH, revision: REVISION })
    }

    fn pause_field(&self) -> Option<&'static str> {
        Some("/spec/paused")
    }

    fn rights(&self) -> &'static [Right] {
        &[
            Right { subresource: None, actions: Right::OF_THE_OBJECT },
            Right {
                subresource: Some("status"),
                actions: &[Action::Promote, Action::PromoteFull, Action::Abort, Action::Retry],
            },
        ]
    }

    fn listed_beside(&self) -> &'static [Resource] {
        &[Resource::ANALYSIS_RUNS, Resource::EXPERIMENTS]
    }

    fn progress(&self, seen: Seen<'_>) -> Stage {
        progress::progress(seen)
    }

    fn forecast(&self, action: Action, row: &Rollout) -> Option<Forecast> {
        forecast::forecast(action, row)
    }

    /// What the controller adds to pods of a side only while they are on it is no difference.
    fn set<'v>(&self, object: &'v Value) -> Option<Set<'v>> {
        let mut set = self.pod_sets()?.set(object);
        if let Some(listed) = annotation(object, EPHEMERAL) {
            take_ephemeral(&mut set.template, listed);
        }
        Some(set)
    }

    fn assign_roles(&self, rollout: &Value, sets: &mut [Set<'_>]) {
        let stable = text(rollout, "/status/stableRS");
        let current = text(rollout, "/status/currentPodHash");
        let preview = text(rollout, "/status/blueGreen/previewSelector");
        let active = text(rollout, "/status/blueGreen/activeSelector");
        for set in sets {
            let is = |hash: &str| !hash.is_empty() && set.hash == hash;
            set.role = match () {
                () if is(stable) => Some(ArmRole::Stable),
                // Up, but users reach the active side only.
                () if (is(preview) || (is(current) && !active.is_empty())) && !is(active) => Some(ArmRole::Preview),
                () if is(current) || is(active) => Some(ArmRole::Candidate),
                () => None,
            };
            set.current = is(current);
        }
    }

    /// Runs and experiments are labelled with the template that they are about.
    fn analysis_labels(&self, rollout: &Value, sets: &[Value]) -> Option<String> {
        let of_sets = sets.iter().filter_map(|set| label(set, HASH));
        let of_status = ["/status/currentPodHash", "/status/stableRS"].map(|path| text(rollout, path));
        let all: BTreeSet<&str> = of_sets.chain(of_status).filter(|hash| !hash.is_empty()).collect();
        Some(format!("{HASH} in ({})", all.into_iter().collect::<Vec<_>>().join(",")))
    }
}

impl Workload for ArgoRollout {
    fn kind(&self) -> &'static dyn Kind {
        &Rollouts
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn template(&self) -> Option<&PodTemplate> {
        self.spec.template.as_ref()
    }

    fn selector(&self) -> Option<&LabelSelector> {
        self.spec.selector.as_ref()
    }

    fn takes_template_from(&self) -> Option<(Resource, &str)> {
        let named = self.spec.workload_ref.as_ref()?;
        (named.kind == deployment::RESOURCE.kind).then_some((deployment::RESOURCE, named.name.as_str()))
    }

    fn row(&self, context: &RowContext<'_>, groups: &[ReplicaGroup]) -> Rollout {
        row::row(context, self, groups)
    }

    fn needs_groups(&self) -> bool {
        row::needs_groups(self)
    }

    fn has_groups(&self, groups: &[ReplicaGroup]) -> bool {
        row::has_groups(self, groups)
    }

    fn sides<'g>(&self, row: &Rollout, groups: &'g [ReplicaGroup]) -> [Option<&'g ReplicaGroup>; 2] {
        [Fact::Candidate, Fact::Stable]
            .map(|fact| groups.iter().find(|group| row.facts.0.get(&fact) == Some(&group.hash)))
    }

    fn needs(&self, action: Action) -> Needs {
        if action != Action::Rollback {
            return Needs::default();
        }
        let named = self.spec.workload_ref.as_ref();
        let reference = named.and_then(|named| Some((plan::referenced(&named.kind)?.0, named.name.clone())));
        Needs { history: Some(Resource::REPLICA_SETS), reference }
    }

    fn plan(&self, asked: &Asked<'_>) -> Result<Plan, Refusal> {
        plan::plan(asked, self)
    }

    fn rest(&self, action: Action, live: &Live, candidate: &str, target: Option<&str>) -> Rest {
        plan::rest(action, live, self, candidate, target)
    }

    fn unheld(&self) -> Option<&'static str> {
        plan::unheld(self)
    }

    /// A rollout that goes back must not be held: its candidate's pods would stay.
    fn hold_tests<'a>(&self, raw: &'a Value) -> Ops<'a> {
        Ops::on(raw)
            .as_read("/metadata/generation")
            .as_read("/status/currentPodHash")
            .as_read("/status/abort")
            .as_read("/spec/paused")
            .as_read(&mark_path())
    }
}
