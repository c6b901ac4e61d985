//! What the API calls the objects that are read and patched.

use kube::core::ApiResource;

/// A kind of object, as URLs, permissions and patches name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Its API group; empty: the core one.
    pub group: &'static str,
    /// Its version in that group.
    pub version: &'static str,
    /// As Kubernetes writes it, such as `Deployment`.
    pub kind: &'static str,
    /// As URLs and permissions write it, such as `deployments`.
    pub plural: &'static str,
}

impl Resource {
    /// The revisions of Deployments and Rollouts.
    pub const REPLICA_SETS: Resource =
        Resource { group: "apps", version: "v1", kind: "ReplicaSet", plural: "replicasets" };
    /// The revisions of StatefulSets and DaemonSets.
    pub const CONTROLLER_REVISIONS: Resource =
        Resource { group: "apps", version: "v1", kind: "ControllerRevision", plural: "controllerrevisions" };
    /// What runs.
    pub const PODS: Resource = Resource { group: "", version: "v1", kind: "Pod", plural: "pods" };
    /// What happened.
    pub const EVENTS: Resource = Resource { group: "", version: "v1", kind: "Event", plural: "events" };
    /// What a Rollout's `workloadRef` may name.
    pub const POD_TEMPLATES: Resource =
        Resource { group: "", version: "v1", kind: "PodTemplate", plural: "podtemplates" };
    /// Judgements of metrics by Argo Rollouts.
    pub const ANALYSIS_RUNS: Resource =
        Resource { group: "argoproj.io", version: "v1alpha1", kind: "AnalysisRun", plural: "analysisruns" };
    /// Pods beside a rollout of Argo Rollouts for a while.
    pub const EXPERIMENTS: Resource =
        Resource { group: "argoproj.io", version: "v1alpha1", kind: "Experiment", plural: "experiments" };

    /// `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of all its objects, or of those of a namespace.
    #[must_use]
    pub fn path(self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        let of = namespace.map_or(String::new(), |namespace| format!("/namespaces/{namespace}"));
        format!("/{root}/{}{of}/{}", self.api_version(), self.plural)
    }

    /// For clients that find out what they speak of at run time.
    #[must_use]
    pub fn api(self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}
