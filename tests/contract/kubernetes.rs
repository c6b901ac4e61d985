//! Workloads of the test cluster, behind a proxy that fails as it is told to. Whatever happens
//! "behind our back" is done by kubectl and the official plugin, past the proxy.

use crate::cluster::proxy::{Fault, Proxy};
use crate::cluster::{Namespace, blue_green, canary, control, deployment};
use crate::process::until;
use async_trait::async_trait;
use flightdeck::contract::{Backend, Fixture, Situation, Stop};
use flightdeck::integration::orchestrator::kubernetes::Kubernetes;
use flightdeck::model::{Action, Target};
use flightdeck::port::Executor;
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

/// The same while nothing else uses the cluster: then its controllers may be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alone(pub Sort);

/// How a workload loses its controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The controller of Argo Rollouts is told that it is another one's.
    Label,
    /// The process is killed, and started again.
    Kill,
}

struct Workload {
    sort: Sort,
    loss: Loss,
    uncontrolled: bool,
    namespace: Namespace,
    proxy: Proxy,
    kubernetes: Arc<Kubernetes>,
}

/// The controller leaves alone what another one of that name is to carry out.
const OTHERS: &str = "argo-rollouts.argoproj.io/controller-instance-id";

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
        Ok(Box::new(Workload::new(*self, Loss::Label).await))
    }
}

#[async_trait]
impl Backend for Alone {
    fn name(&self) -> String {
        format!("{}, processes killed", self.0.name())
    }

    async fn open(&self) -> Result<Box<dyn Fixture>, Stop> {
        Ok(Box::new(Workload::new(self.0, Loss::Kill).await))
    }
}

impl Workload {
    async fn new(sort: Sort, loss: Loss) -> Workload {
        let namespace = Namespace::new("contract");
        let proxy = Proxy::start("operator").await;
        let kubernetes = Arc::new(Kubernetes::new(proxy.before(namespace.settings("operator"))));
        Workload { sort, loss, uncontrolled: false, namespace, proxy, kubernetes }
    }

    fn controller(&self) -> &'static str {
        if self.sort == Sort::Deployment { "kube-controller-manager" } else { "rollouts-controller" }
    }

    fn loses_controller(&mut self) -> Result<(), Stop> {
        match (self.loss, self.sort) {
            (Loss::Kill, _) => control("kill", self.controller()),
            (Loss::Label, Sort::Deployment) => {
                let why = "one controller serves all Deployments: what happens without it is tried alone";
                return Err(Stop::NotApplicable(why.to_owned()));
            }
            (Loss::Label, _) => drop(self.namespace.kubectl(&["label", self.what(), &format!("{OTHERS}=nobody")])),
        }
        self.uncontrolled = true;
        Ok(())
    }

    fn is_controlled_again(&mut self) {
        if std::mem::take(&mut self.uncontrolled) {
            match self.loss {
                Loss::Kill => control("start", self.controller()),
                Loss::Label => drop(self.namespace.kubectl(&["label", self.what(), &format!("{OTHERS}-")])),
            }
        }
    }

    /// What a promotion brings is judged by an analysis that can only fail.
    async fn doomed(&self) {
        let metric = json!({"name": "unreachable", "count": 1, "failureLimit": 0, "consecutiveErrorLimit": 0,
            "provider": {"web": {"url": "http://127.0.0.1:1/", "timeoutSeconds": 1, "jsonPath": "{$}"}}});
        self.namespace.apply(&json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
            "metadata": {"name": "doomed"}, "spec": {"metrics": [metric]}}));
        let analysis = json!({"templates": [{"templateName": "doomed"}]});
        if self.sort == Sort::Canary {
            let steps = json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"analysis": analysis}]);
            self.namespace.apply(&canary("shop", "1.0", &steps));
        } else {
            for mut object in blue_green("shop", "1.0") {
                if object["kind"] == "Rollout" {
                    object["spec"]["strategy"]["blueGreen"]["postPromotionAnalysis"] = analysis.clone();
                }
                self.namespace.apply(&object);
            }
        }
        self.until("version 1.0 is up", |object| up(self.sort, object)).await;
        self.next().await;
    }

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
        if !self.uncontrolled {
            self.until("the change is observed", observed).await;
        }
    }

    fn target(&self) -> Target {
        let object = self.namespace.get(self.what());
        Target {
            source: self.kubernetes.capabilities().source,
            kind: self.kind().to_owned(),
            namespace: Some(self.namespace.name.clone()),
            name: "shop".to_owned(),
            uid: object["metadata"]["uid"].as_str().expect("a uid").to_owned(),
            first_name: None,
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
    fn orchestrator(&self) -> Arc<dyn Executor> {
        Arc::clone(&self.kubernetes) as Arc<dyn Executor>
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
            Situation::Doomed => self.doomed().await,
            Situation::Uncontrolled => self.loses_controller()?,
            Situation::Slow => self.proxy.fails(Fault::LateAnswer(LATE)),
            Situation::Cut => self.proxy.fails(Fault::CutAnswer),
            Situation::Stale => self.proxy.fails(Fault::Drop),
            Situation::Interrupted => {
                self.proxy.fails(Fault::Drop);
                self.changed().await;
                self.proxy.fails(Fault::None);
            }
            Situation::Restored => {
                self.proxy.fails(Fault::None);
                self.is_controlled_again();
            }
        }
        Ok(self.target())
    }

    fn lacks(&self, action: Action) -> Option<String> {
        let never = matches!(action, Action::Promote | Action::PromoteFull | Action::Abort | Action::Retry);
        (self.sort == Sort::Deployment && never)
            .then(|| format!("a Deployment has no {}: it goes on by itself, and undo takes it back", action.name()))
    }

    async fn close(mut self: Box<Self>) -> Result<(), Stop> {
        // Also after a case that failed: others need the controller.
        self.is_controlled_again();
        Ok(())
    }
}
