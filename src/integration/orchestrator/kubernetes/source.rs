//! A cluster as an [`Executor`]: what its parts share, and which of them does what.

use super::client::Cluster;
use super::execute;
use super::inspect::inspect;
use super::kind::{Kind, Source, Workload, actions, forecast, named, progress};
use super::pod_sets::ReplicaGroup;
use super::requests::{Failure, Place, one};
use super::row::RowContext;
use super::settings::KubernetesSettings;
use super::shared::{Shared, now};
use super::watch::{sets, watch};
use async_trait::async_trait;
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Detail, Forecast, Rollout, Run, Scoped, Stage};
use flightdeck_port::{Accepted, Capabilities, Executor, Followed, InspectError, NotDone};
use futures::stream::BoxStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long one live read may take.
const READ: Duration = Duration::from_secs(8);

/// One context of a kubeconfig, with all its kinds of workloads.
pub struct Kubernetes {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("settings", &self.shared.settings()).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// Never fails and never waits: the watch connects, and says what came of it.
    #[must_use]
    pub fn new(settings: KubernetesSettings) -> Kubernetes {
        Kubernetes { shared: Arc::new(Shared::new(settings)) }
    }

    /// The cluster as it can be asked now, or the sentence why it can't.
    pub fn cluster(&self) -> Result<Arc<Cluster>, String> {
        self.shared.cluster()
    }
}

#[async_trait]
impl Executor for Kubernetes {
    fn capabilities(&self) -> Capabilities {
        let later = "it does not hold what begins later: hold again then";
        let settings = self.shared.settings();
        Capabilities { source: settings.source.clone(), actions: actions(), later, read_only: settings.read_only }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        watch(Arc::clone(&self.shared))
    }

    async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        let cluster = self.cluster().map_err(|why| NotDone::NotSent { why })?;
        execute::execute(cluster.writer.clone(), &self.shared.settings(), authorized, now()).await
    }

    fn progress(&self, followed: &Followed<'_>) -> Stage {
        progress(followed)
    }

    fn forecast(&self, action: Action, row: &Rollout) -> Option<Forecast> {
        forecast(action, row)
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        let cluster = self.cluster().map_err(InspectError::Unreachable)?;
        let late = |_| InspectError::Unreachable(format!("no answer within {} s", READ.as_secs()));
        timeout(READ, read(&self.shared, &cluster, run)).await.map_err(late)?
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        let cluster = self.cluster().map_err(InspectError::Unreachable)?;
        let (kind, access) =
            (kind_of(run).ok_or_else(|| InspectError::NotFound(run.clone()))?, self.shared.access.load());
        let denied = access.denied(kind.resource(), run.target.namespace.as_deref().unwrap_or_default());
        let settings = self.shared.settings();
        let context = RowContext { settings: &settings, denied, pods: None, now: now() };
        inspect(&cluster, &context, run).await
    }
}

fn kind_of(run: &Run) -> Option<&'static dyn Kind> {
    named(&run.target.kind)
}

fn row_of(shared: &Shared, workload: &dyn Workload, groups: &[ReplicaGroup]) -> Rollout {
    let access = shared.access.load();
    let namespace = workload.meta().namespace.as_deref().unwrap_or_default();
    let denied = access.denied(workload.kind().resource(), namespace);
    workload.row(&RowContext { settings: &shared.settings(), denied, pods: None, now: now() }, groups)
}

/// The row of a run's workload as the API server has it now.
async fn read(shared: &Shared, cluster: &Cluster, run: &Run) -> Result<Rollout, InspectError> {
    let kind = kind_of(run).ok_or_else(|| InspectError::NotFound(run.clone()))?;
    let place = Place::of(kind.resource(), run.target.namespace.as_deref());
    let failed = |failure| match failure {
        Failure::Absent => InspectError::NotFound(run.clone()),
        Failure::Forbidden => InspectError::Unreachable(format!("you lack get on {}", place.name())),
        Failure::Expired => InspectError::Unreachable("the API server says that it is too old".to_owned()),
        Failure::Unauthorized(why) | Failure::Other(why) => InspectError::Unreachable(why),
    };
    let text = one(&cluster.reader, &place, &run.target.name).await.map_err(failed)?;
    let garbled = |error| InspectError::Unreachable(format!("its object can't be read: {error}"));
    let text = String::from_utf8_lossy(&text);
    let workload = kind.read(Source::Text(&text)).map_err(garbled)?;
    if workload.meta().uid.as_deref() != Some(run.target.uid.as_str()) {
        return Err(InspectError::NotFound(run.clone()));
    }
    let groups = if workload.needs_groups() {
        // Without them the row says less, and the decision is still made on what is true.
        sets(&cluster.reader, workload.as_ref()).await.unwrap_or_default()
    } else {
        Vec::new()
    };
    Ok(row_of(shared, workload.as_ref(), &groups))
}
