//! Kubernetes as an orchestrator: Deployments, StatefulSets, DaemonSets and Argo Rollouts of one context.

mod inspect;
pub mod objects;
pub mod plan;
pub mod progress;
pub mod row;
mod settings;
mod workload;

pub use settings::{EnvironmentRule, KubernetesSettings, WorkloadKind};
pub use workload::{HOLD_ANNOTATION, HoldMark, ReplicaGroup, Workload};
