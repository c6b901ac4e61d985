//! Kubernetes without its watch: lists again and again.

use async_trait::async_trait;
use flightdeck::control::Authorized;
use flightdeck::integration::orchestrator::kubernetes::plan::{Live, Resource};
use flightdeck::integration::orchestrator::kubernetes::row::{RowContext, row, version_of};
use flightdeck::integration::orchestrator::kubernetes::{
    KubernetesSettings, ReplicaGroup, WorkloadKind, execute, forecast, progress,
};
use flightdeck::integration::orchestrator::*;
use flightdeck::model::*;
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
struct Polled {
    settings: KubernetesSettings,
    client: Client,
}

pub async fn orchestrator(settings: KubernetesSettings) -> Arc<dyn Orchestrator> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let kubeconfig = Kubeconfig::read_from(settings.kubeconfig.clone().unwrap()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Arc::new(Polled { settings, client: Client::try_from(config).unwrap() })
}

impl Polled {
    async fn list(&self, resource: Resource) -> Vec<serde_json::Value> {
        let namespace = &self.settings.namespaces[0];
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource.api());
        let list = api.list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect()
    }

    async fn rows(&self) -> (Vec<Rollout>, Vec<Hold>) {
        let sets = self.list(Resource::ReplicaSet).await;
        let (mut rows, mut holds): (Vec<Rollout>, BTreeMap<HoldId, Hold>) = Default::default();
        for kind in WorkloadKind::ALL {
            for raw in self.list(Resource::Workload(kind)).await {
                let live = Live::parse(kind, raw.clone()).unwrap();
                let groups: Vec<ReplicaGroup> = sets
                    .iter()
                    .filter(|set| set.pointer("/metadata/ownerReferences/0/uid") == raw.pointer("/metadata/uid"))
                    .map(group)
                    .collect();
                let context = RowContext { settings: &self.settings, barred: &Arc::default(), now: Timestamp::now() };
                let row = row(&context, &live.workload, &groups);
                if let Some(mark) = live.held_by() {
                    let hold = holds.entry(mark.id.clone()).or_insert_with(|| Hold {
                        id: mark.id.clone(),
                        source: self.settings.source.clone(),
                        selector: mark.selector.clone(),
                        owner: mark.owner.clone(),
                        reason: mark.reason.clone(),
                        since: mark.since,
                        targets: vec![],
                    });
                    hold.targets.push(HoldTarget { run: row.run.clone(), held: true, note: "stands still".into() });
                    hold.targets.extend(mark.unheld);
                }
                rows.push(row);
            }
        }
        (rows, holds.into_values().collect())
    }
}

fn group(set: &serde_json::Value) -> ReplicaGroup {
    let text = |path: &str| set.pointer(path).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let count = |path: &str| set.pointer(path).and_then(|v| v.as_u64()).unwrap_or(0) as u32;
    let labels = &set["metadata"]["labels"];
    let hash = labels.get("rollouts-pod-template-hash").or(labels.get("pod-template-hash"));
    ReplicaGroup {
        name: text("/metadata/name"),
        hash: hash.and_then(|hash| hash.as_str()).unwrap_or_default().to_owned(),
        revision: None,
        version: version_of(&text("/spec/template/spec/containers/0/image")),
        replicas: Replicas { ready: count("/status/readyReplicas"), desired: count("/spec/replicas") },
        created: None,
        ends: None,
    }
}

#[async_trait]
impl Orchestrator for Polled {
    fn capabilities(&self) -> Capabilities {
        let actions = Action::TABLE.iter().map(|row| row.action).collect();
        Capabilities { source: self.settings.source.clone(), actions }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        let scope = Scope { source: self.settings.source.clone(), part: String::new() };
        futures::stream::unfold(self.clone(), |polled| async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Some((polled.rows().await, polled))
        })
        .flat_map(move |(rows, holds)| {
            let all = rows.into_iter().map(|row| Entity::Rollout(Arc::new(row)));
            let all = all.chain(holds.into_iter().map(Entity::Hold)).map(Body::Upsert);
            let live = Body::Link(LinkState::Live { as_of: Timestamp::now() });
            let bodies: Vec<Body> =
                [Body::SnapshotBegin].into_iter().chain(all).chain([Body::SnapshotEnd, live]).collect();
            let scope = scope.clone();
            futures::stream::iter(bodies.into_iter().map(move |body| Scoped { scope: scope.clone(), body }))
        })
        .boxed()
    }

    async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        execute::execute(self.client.clone(), &self.settings, authorized, Timestamp::now()).await
    }

    fn progress(&self, command: &Command, before: Option<&Rollout>, current: Option<&Rollout>, _: Timestamp) -> Stage {
        progress::progress(command, before, current)
    }

    fn forecast(&self, action: Action, row: &Rollout) -> Option<Forecast> {
        forecast::forecast(action, row)
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        let (rows, _) = self.rows().await;
        rows.into_iter().find(|row| row.run.target == run.target).ok_or_else(|| InspectError::NotFound(run.clone()))
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        Err(InspectError::NotFound(run.clone()))
    }
}
