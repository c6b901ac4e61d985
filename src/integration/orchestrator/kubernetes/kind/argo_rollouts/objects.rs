//! The parts of `argoproj.io/v1alpha1` objects that rows are made of. Every field may be absent, and
//! unknown ones are dropped: Rollouts of several controller versions must all parse.

use crate::orchestrator::kubernetes::objects::{Condition, PodTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::Object;
use serde::{Deserialize, Serialize};

/// `argoproj.io/v1alpha1` Rollout.
pub type ArgoRollout = Object<RolloutSpec, RolloutStatus>;

/// `spec` of a Rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Wanted pods; absent means 1.
    pub replicas: Option<i32>,
    /// Paused by somebody?
    pub paused: bool,
    /// Pods made before are replaced.
    pub restart_at: Option<Time>,
    /// Which pods are its own.
    pub selector: Option<LabelSelector>,
    /// What it runs, unless another workload says so.
    pub template: Option<PodTemplate>,
    /// The workload that says what it runs.
    pub workload_ref: Option<WorkloadRef>,
    /// Revisions within which going back skips everything.
    pub rollback_window: Option<RollbackWindow>,
    /// How it replaces pods.
    pub strategy: RolloutStrategy,
}

/// Another workload whose template is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadRef {
    /// `Deployment`, `ReplicaSet` or `PodTemplate`.
    pub kind: String,
    pub name: String,
}

/// See [`RolloutSpec::rollback_window`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollbackWindow {
    pub revisions: Option<i32>,
}

/// One of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutStrategy {
    /// Growing shares.
    pub canary: Option<Canary>,
    /// Two sides and one switch.
    pub blue_green: Option<BlueGreen>,
}

/// A canary's plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Canary {
    /// In order.
    pub steps: Vec<CanaryStep>,
    /// Who shifts traffic; without it replicas do.
    pub traffic_routing: Option<TrafficRouting>,
    /// Is stable scaled down as the canary grows?
    pub dynamic_stable_scale: bool,
    /// A background analysis.
    pub analysis: Option<serde_json::Value>,
    /// The service of the canary's pods alone.
    #[serde(rename = "canaryService")]
    pub service: Option<String>,
    /// The service of stable's pods alone.
    pub stable_service: Option<String>,
}

/// Who shifts traffic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficRouting {
    /// The whole, where it is not 100.
    pub max_traffic_weight: Option<i32>,
}

/// One step; one of its fields is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryStep {
    /// Share of the canary.
    pub set_weight: Option<i32>,
    /// Stand still.
    pub pause: Option<Pause>,
    pub set_canary_scale: Option<serde_json::Value>,
    /// Requests with these headers go to the canary.
    pub set_header_route: Option<serde_json::Value>,
    /// Copies of these requests go to the canary.
    pub set_mirror_route: Option<serde_json::Value>,
    /// Pods beside the rollout for a while.
    pub experiment: Option<serde_json::Value>,
    /// Judge metrics.
    pub analysis: Option<serde_json::Value>,
    /// Something of somebody else's.
    pub plugin: Option<serde_json::Value>,
}

/// A pause; without a duration until somebody promotes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pause {
    /// Seconds as a number or numeric text, or a Go duration such as `1h30m`.
    pub duration: Option<IntOrString>,
}

/// A blue/green plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlueGreen {
    /// The service that users reach.
    pub active_service: String,
    /// The service that testers reach.
    pub preview_service: Option<String>,
    /// Switches by itself unless false.
    pub auto_promotion_enabled: Option<bool>,
    /// Seconds until it does.
    pub auto_promotion_seconds: Option<i32>,
    /// Judge before the switch.
    pub pre_promotion_analysis: Option<serde_json::Value>,
    /// Judge after the switch.
    pub post_promotion_analysis: Option<serde_json::Value>,
}

/// `status` of a Rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The controller's word.
    pub phase: Option<String>,
    /// The controller's sentence.
    pub message: Option<String>,
    /// The generation that the controller has seen; text, not always a number.
    pub observed_generation: Option<String>,
    /// Hash of the newest template.
    pub current_pod_hash: Option<String>,
    /// Hash of the template that users had before.
    #[serde(rename = "stableRS")]
    pub stable_rs: Option<String>,
    pub current_step_index: Option<i32>,
    /// Changes when the steps are edited.
    pub current_step_hash: Option<String>,
    /// What it stands still for.
    pub pause_conditions: Vec<PauseCondition>,
    /// The controller has paused it.
    pub controller_pause: bool,
    /// Aborted?
    pub abort: Option<bool>,
    pub aborted_at: Option<Time>,
    /// Everything left is skipped.
    pub promote_full: Option<bool>,
    /// The last restart that was carried out.
    pub restarted_at: Option<Time>,
    /// For a `workloadRef`: the generation of it that the controller has seen.
    pub workload_observed_generation: Option<String>,
    /// All pods.
    pub replicas: i32,
    /// Pods of the newest template.
    pub updated_replicas: i32,
    /// Ready pods.
    pub ready_replicas: i32,
    /// Pods ready for long enough.
    pub available_replicas: i32,
    /// See [`Condition`].
    pub conditions: Vec<Condition>,
    /// A canary's own.
    pub canary: CanaryStatus,
    /// A blue/green's own.
    pub blue_green: BlueGreenStatus,
}

/// One reason to stand still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PauseCondition {
    /// `CanaryPauseStep`, `BlueGreenPause`, `InconclusiveAnalysisRun`, `InconclusiveExperiment`.
    pub reason: String,
    pub start_time: Time,
}

/// See [`RolloutStatus::canary`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryStatus {
    /// What the traffic router was told.
    pub weights: Option<Weights>,
    pub current_step_analysis_run_status: Option<AnalysisRunStatus>,
    /// The analysis beside all steps.
    pub current_background_analysis_run_status: Option<AnalysisRunStatus>,
    /// The experiment of the current step.
    pub current_experiment: Option<String>,
}

/// Weights of a traffic router.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Weights {
    pub canary: Weight,
    pub stable: Weight,
    /// Does the router confirm them? Absent: nobody asked it.
    pub verified: Option<bool>,
}

/// One weight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Weight {
    /// Of the whole.
    pub weight: i32,
    pub pod_template_hash: Option<String>,
}

/// An analysis, as the rollout's status tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AnalysisRunStatus {
    pub name: String,
    /// Pending, Running, Successful, Failed, Error, Inconclusive.
    pub status: String,
    pub message: Option<String>,
}

/// See [`RolloutStatus::blue_green`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlueGreenStatus {
    /// Hash that the active service selects.
    pub active_selector: Option<String>,
    /// Hash that the preview service selects.
    pub preview_selector: Option<String>,
    /// Before the switch.
    pub pre_promotion_analysis_run_status: Option<AnalysisRunStatus>,
    /// After the switch.
    pub post_promotion_analysis_run_status: Option<AnalysisRunStatus>,
}
