//! Kubernetes as an orchestrator: Deployments, StatefulSets, DaemonSets and Argo Rollouts of one context.

mod access;
mod calls;
pub mod client;
pub mod execute;
mod explain;
pub mod forecast;
mod hold;
pub mod images;
mod inspect;
mod json;
pub mod kubeconfig;
mod login;
pub mod objects;
pub mod plan;
pub(in crate::orchestrator) mod pods;
pub mod progress;
mod provider;
mod proxy;
mod requests;
pub mod row;
mod settings;
mod source;
mod watch;
mod wire;
mod workload;

pub use access::{Lacking, lacking};
pub use client::{Cluster, ConnectError};
pub use explain::{is_unauthorized, sentence};
pub use inspect::inspect;
pub use provider::KubernetesProvider;
pub use settings::{EnvironmentRule, KubernetesSettings, WorkloadKind};
pub use source::Kubernetes;
pub(in crate::orchestrator::kubernetes) use source::{Connection, Shared};
pub use workload::{HOLD_ANNOTATION, HoldMark, ReplicaGroup, Workload};
