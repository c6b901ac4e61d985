//! Kubernetes as an orchestrator: Deployments, StatefulSets, DaemonSets and Argo Rollouts of one context.

mod inspect;
pub mod objects;
pub mod row;
pub mod plan;
pub mod progress;
mod settings;
mod workload;

pub use settings::{EnvironmentRule, KubernetesSettings, WorkloadKind};
pub use workload::{HOLD_ANNOTATION, HoldMark, ReplicaGroup, Workload};
