//! Kubernetes as an orchestrator: Deployments, StatefulSets, DaemonSets and Argo Rollouts of one context.

mod access;
pub mod client;
mod explain;
mod inspect;
pub mod objects;
mod proxy;
pub mod row;
mod settings;
mod workload;

pub use client::{Cluster, ConnectError};
pub use explain::{is_unauthorized, sentence};
pub use inspect::inspect;
pub use settings::{EnvironmentRule, KubernetesSettings, WorkloadKind};
pub use workload::{HOLD_ANNOTATION, HoldMark, ReplicaGroup, Workload};
