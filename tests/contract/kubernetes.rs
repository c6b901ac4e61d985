//! Workloads of the test cluster, behind a proxy that fails as it is told to. Whatever happens
//! "behind our back" is done by kubectl and the official plugin, past the proxy.

use crate::cluster::proxy::{Fault, Proxy};
use crate::cluster::{Namespace, blue_green, canary, deployment};
use crate::process::until;
use async_trait::async_trait;
use flightdeck::contract::{Backend, Fixture, Situation, Stop};
use flightdeck::integration::orchestrator::Orchestrator;
use flightdeck::integration::orchestrator::kubernetes::Kubernetes;
use flightdeck::model::{Action, Target};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Which sort of workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Canary,
    BlueGreen,
    Deployment,
}

struct Workload {
    sort: Sort,
    namespace: Namespace,
    proxy: Proxy,
    kubernetes: Arc<Kubernetes>,
}

/// Longer than the suite's hub waits.
const LATE: Duration = Duration::from_secs(4);

#[async_trait]
impl Backend for Sort {
    fn name(&self) -> String {
        match self {
            Sort::Canary => "Rollout canary",
            Sort::BlueGreen => "Rollout blueGreen",
            Sort::Deployment => "Deployment",
        }
        .to_owned()
    }

    async fn open(&self) -> Result<Box<dyn Fixture>, Stop> {
        let namespace = Namespace::new("contract");
        let proxy = Proxy::start("operator").await;
        let kubernetes = Arc::new(Kubernetes::new(proxy.before(namespace.settings("operator"))));
        Ok(Box::new(Workload { sort: *self, namespace, proxy, kubernetes }))
    }
}

impl Workload {
    fn what(&self) -> &'static str {
        if self.sort == Sort::Deployment { "deployment/shop" } else { "rollout/shop" }
    }

    fn kind(&self) -> &'static str {
        if self.sort == Sort::Deployment { "Deployment" } else { "Rollout" }
    }

    async fn until(&self, what: &str, so: impl Fn(&Value) -> bool + Send + Sync) {
        let so = &so;
        let look = || async move { so(&self.namespace.get(self.what())).then_some(()) };
        until(what, look).await;
    }

    /// Version 1.0, up; with a timed pause where no person is to be waited for.
    async fn first(&self, timed: bool) {
        let pause = if timed { json!({"pause": {"duration": "1h"}}) } else { json!({"pause": {}}) };
        match self.sort {
            Sort::Canary => {
                let steps = json!([{"setWeight": 20}, pause, {"setWeight": 60}, pause, {"setWeight": 80}]);
                self.namespace.apply(&canary("shop", "1.0", &steps));
            }
            Sort::BlueGreen => {
                for mut object in blue_green("shop", "1.0") {
                    if timed && object["kind"] == "Rollout" {
                        let strategy = &mut object["spec"]["strategy"]["blueGreen"];
                        strategy["autoPromotionEnabled"] = json!(true);
                        strategy["autoPromotionSeconds"] = json!(3600);
                    }
                    self.namespace.apply(&object);
                }
            }
            Sort::Deployment => {
                let mut object = deployment("shop", "1.0");
                object["spec"]["progressDeadlineSeconds"] = json!(600);
                self.namespace.apply(&object);
            }
        }
        self.until("version 1.0 is up", |object| up(self.sort, object)).await;
    }

    /// The next version on its way: standing at its pause, or with pods that never become ready.
    async fn next(&self) {
        if self.sort == Sort::Deployment {
            self.namespace.set_version(self.what(), "never");
            self.until("a new pod", |object| object["status"]["updatedReplicas"].as_u64() > Some(0)).await;
        } else {
            self.namespace.set_version(self.what(), "1.1");
            let paused = |object: &Value| !object["status"]["pauseConditions"].is_null();
            self.until("its pause", paused).await;
        }
    }

    async fn settled(&self) {
        self.first(false).await;
        if self.sort == Sort::Deployment {
            self.namespace.set_version(self.what(), "1.1");
        } else {
            self.next().await;
            self.namespace.argo(&["promote", "shop", "--full"]);
        }
        self.until("version 1.1 is up", |object| {
            up(self.sort, object) && object["status"]["observedGeneration"].to_string().trim_matches('"') != "1"
        })
        .await;
    }

    async fn changed(&self) {
        // Not its revision: a paused Deployment begins none, yet what a resume would bring is another.
        self.namespace.set_version(self.what(), "1.2");
        self.until("the change is observed", observed).await;
    }

    fn target(&self) -> Target {
        let object = self.namespace.get(self.what());
        Target {
            source: self.kubernetes.capabilities().source,
            kind: self.kind().to_owned(),
            namespace: Some(self.namespace.name.clone()),
            name: "shop".to_owned(),
            uid: object["metadata"]["uid"].as_str().expect("a uid").to_owned(),
        }
    }
}

/// Its controller has seen its newest change.
fn observed(object: &Value) -> bool {
    // Argo Rollouts writes it as a string.
    let seen = object["status"]["observedGeneration"].to_string();
    object["metadata"]["generation"].to_string().as_str() == seen.trim_matches('"')
}

/// Nothing is in flight.
fn up(sort: Sort, object: &Value) -> bool {
    let status = &object["status"];
    let seen = observed(object);
    let all = object["spec"]["replicas"].clone();
    match sort {
        Sort::Deployment => {
            seen && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|count| status[*count] == all)
        }
        _ => seen && status["phase"] == "Healthy" && status["stableRS"] == status["currentPodHash"],
    }
}

#[async_trait]
impl Fixture for Workload {
    fn orchestrator(&self) -> Arc<dyn Orchestrator> {
        Arc::clone(&self.kubernetes) as Arc<dyn Orchestrator>
    }

    async fn bring(&mut self, situation: Situation) -> Result<Target, Stop> {
        match situation {
            Situation::Paused => {
                self.first(false).await;
                self.next().await;
                if self.sort == Sort::Deployment {
                    self.namespace.kubectl(&["rollout", "pause", self.what()]);
                }
            }
            Situation::InFlight => {
                self.first(true).await;
                self.next().await;
            }
            Situation::Settled => self.settled().await,
            Situation::Aborted => {
                self.first(false).await;
                self.next().await;
                self.namespace.argo(&["abort", "shop"]);
                self.until("aborted", |object| object["status"]["abort"] == true).await;
            }
            Situation::Approval => {
                return Err(Stop::NotApplicable("Kubernetes has no approvals of its own".to_owned()));
            }
            Situation::Changed => self.changed().await,
            Situation::Deleted => {
                let target = self.target();
                self.namespace.kubectl(&["delete", self.what(), "--wait=true"]);
                return Ok(target);
            }
            Situation::Denied => self.proxy.fails(Fault::Readonly),
            Situation::Slow => self.proxy.fails(Fault::LateAnswer(LATE)),
            Situation::Cut => self.proxy.fails(Fault::CutAnswer),
            Situation::Stale => self.proxy.fails(Fault::Drop),
            Situation::Interrupted => {
                self.proxy.fails(Fault::Drop);
                self.changed().await;
                self.proxy.fails(Fault::None);
            }
            Situation::Restored => self.proxy.fails(Fault::None),
        }
        Ok(self.target())
    }

    fn lacks(&self, action: Action) -> Option<String> {
        let never = matches!(action, Action::Promote | Action::PromoteFull | Action::Abort | Action::Retry);
        (self.sort == Sort::Deployment && never)
            .then(|| format!("a Deployment has no {}: it goes on by itself, and undo takes it back", action.name()))
    }

    async fn close(self: Box<Self>) -> Result<(), Stop> {
        Ok(())
    }
}
