//! Everything about a workload, read from a real control plane.

use super::*;
use crate::support::live::flightdeck;
use flightdeck::integration::orchestrator::kubernetes::kind::{Source, named};
use flightdeck::integration::orchestrator::kubernetes::row::RowContext;
use flightdeck::integration::orchestrator::kubernetes::{Cluster, KubernetesSettings, client as clusters, inspect};
use flightdeck::model::*;
use flightdeck::port::InspectError;
use jiff::Timestamp;
use std::sync::Arc;

struct Seen {
    cluster: Cluster,
    settings: KubernetesSettings,
    denied: Arc<[Denied]>,
}

impl Seen {
    async fn of(namespace: &Namespace, user: &str) -> Seen {
        drop(rustls::crypto::ring::default_provider().install_default());
        let settings = namespace.settings(user);
        Seen {
            cluster: clusters::connect(&settings, &clusters::doing().0).await.expect("connected"),
            settings,
            denied: Arc::default(),
        }
    }

    fn context(&self) -> RowContext<'_> {
        RowContext { settings: &self.settings, denied: &self.denied, pods: None, now: Timestamp::now() }
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        inspect(&self.cluster, &self.context(), run).await
    }

    /// The run that an object is of.
    fn run(&self, object: &Value) -> Run {
        let kind = object["kind"].as_str().and_then(named).expect("a kind");
        kind.read(Source::Value(object.clone())).expect("an object of it").row(&self.context(), &[]).run
    }

    /// Reads until what is awaited is there.
    async fn until(&self, namespace: &Namespace, object: &str, what: &str, found: impl Fn(&Detail) -> bool) -> Detail {
        until(what, async || {
            let run = self.run(&namespace.get(object));
            self.inspect(&run).await.ok().filter(&found)
        })
        .await
    }
}

/// Answers every request with the same JSON until the test ends.
async fn metrics() -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let task = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let Ok(_) = stream.read(&mut request).await else { continue };
            let body = r#"{"rate":0.03}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
        }
    });
    (format!("http://{address}/rate?token=hunter2"), task)
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_canary_with_its_pods_sets_analysis_and_history() {
    let namespace = Namespace::new("detail_canary");
    let (url, task) = metrics().await;
    namespace.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "errors"},
        "spec": {"metrics": [{"name": "error-rate", "interval": "1s", "count": 3, "failureLimit": 1, "successCondition": "result < 0.05",
            "provider": {"web": {"url": url, "jsonPath": "{$.rate}"}}}]},
    }));
    let steps = json!([{"setWeight": 20}, {"analysis": {"templates": [{"templateName": "errors"}]}}, {"pause": {}}]);
    let mut shop = canary("shop", "v1", &steps);
    shop["spec"]["template"]["spec"]["containers"][0]["env"] = json!([
        {"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "DB", "value": "postgres://app:hunter2@db/shop"},
    ]);
    namespace.apply(&shop);
    let seen = Seen::of(&namespace, "readonly").await;
    let ready = |detail: &Detail| detail.instances.iter().filter(|one| one.state == InstanceState::Ready).count();
    seen.until(&namespace, "rollout/shop", "five ready pods of v1", |detail| {
        ready(detail) == 5 && detail.rollout.phase == Phase::Healthy
    })
    .await;
    namespace.set_version("rollout/shop", "v2");
    seen.until(&namespace, "rollout/shop", "the row tells of the analysis that runs", |detail| {
        let running = |one: &BackendAnalysis| one.phase == "Running" && one.verdict.is_none();
        detail.rollout.analyses.iter().any(running)
    })
    .await;
    let detail = seen
        .until(&namespace, "rollout/shop", "the analysis passed and the pause reached", |detail| {
            detail.rollout.phase == Phase::Paused && detail.analyses.iter().any(|one| one.phase == "Successful")
        })
        .await;
    task.abort();
    assert_eq!(detail.gaps, Vec::<String>::new());
    let groups: Vec<_> =
        detail.groups.iter().map(|one| (one.version.as_str(), one.role.clone(), one.replicas)).collect();
    let (one, four) = (Replicas { ready: 1, desired: 1 }, Replicas { ready: 4, desired: 4 });
    assert_eq!(groups, [("v2", Some(ArmRole::Candidate), one), ("v1", Some(ArmRole::Stable), four)]);
    let roles = |role: &ArmRole| detail.instances.iter().filter(|one| one.role == *role).count();
    assert_eq!((roles(&ArmRole::Stable), roles(&ArmRole::Candidate)), (4, 1), "{:?}", detail.instances);
    assert!(
        detail.instances.iter().all(|one| one.address.is_some() && one.started.is_some()),
        "{:?}",
        detail.instances
    );

    let [analysis] = detail.analyses.as_slice() else { panic!("{:?}", detail.analyses) };
    assert_eq!(analysis.belongs, "step 2 of revision 2");
    let metric = &analysis.metrics[0];
    assert_eq!((metric.verdict, metric.measurements.len()), (Some(MetricVerdict::Pass), 3));
    assert!(metric.measurements.iter().all(|one| one.value == Some(0.03)), "{metric:?}");
    assert_eq!(metric.limit, "result < 0.05, fails after 1, 3 times every 1s");

    let [now, before] = detail.history.as_slice() else { panic!("{:?}", detail.history) };
    assert_eq!((now.revision.as_str(), before.revision.as_str()), ("2", "1"));
    assert!(now.diff.is_empty());
    let changed: Vec<_> = before.diff.iter().filter(|line| line.starts_with(['+', '-'])).collect();
    assert_eq!(changed.len(), 2, "{:?}", before.diff);
    assert!(
        changed[0].ends_with("image: registry.test/shop:v2") && changed[1].ends_with("image: registry.test/shop:v1")
    );

    assert!(detail.notes.iter().any(|note| note.text.starts_with("RolloutPaused: ")), "{:?}", detail.notes);
    assert!(detail.notes.iter().any(|note| note.text.contains("replicaset shop-")), "{:?}", detail.notes);
    assert!(detail.notes.iter().any(|note| note.text.contains("pod shop-")), "{:?}", detail.notes);
    assert!(detail.notes.is_sorted_by_key(|note| note.at));

    let text = serde_json::to_string(&detail).expect("JSON");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!text.contains("managedFields") && !text.contains("last-applied"), "{text}");
    assert_eq!(
        detail.raw["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"],
        "postgres://app:•••@db/shop"
    );
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn pods_that_fail_say_why() {
    let namespace = Namespace::new("detail_fail");
    namespace.apply(&deployment("web", "v1"));
    let seen = Seen::of(&namespace, "readonly").await;
    seen.until(&namespace, "deployment/web", "a Deployment that is up", |detail| {
        detail.rollout.phase == Phase::Healthy
    })
    .await;
    for (version, why) in [("crash", "CrashLoopBackOff"), ("bad", "ImagePullBackOff")] {
        namespace.set_version("deployment/web", version);
        let detail = seen
            .until(&namespace, "deployment/web", why, |detail| {
                detail.instances.iter().any(|one| match &one.state {
                    InstanceState::BackingOff { why: said } => one.version.as_str() == version && said.starts_with(why),
                    _ => false,
                })
            })
            .await;
        assert_eq!(detail.groups[0].role, Some(ArmRole::Candidate));
        assert_eq!(detail.history.iter().filter(|one| one.diff.is_empty()).count(), 1, "{:?}", detail.history);
    }
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn revisions_of_a_stateful_set() {
    let namespace = Namespace::new("detail_set");
    namespace.apply(&stateful_set("db", "v1"));
    let seen = Seen::of(&namespace, "readonly").await;
    seen.until(&namespace, "statefulset/db", "a StatefulSet that is up", |detail| {
        detail.rollout.phase == Phase::Healthy
    })
    .await;
    namespace.set_version("statefulset/db", "v2");
    let detail = seen
        .until(&namespace, "statefulset/db", "both revisions, settled", |detail| {
            detail.history.len() == 2 && detail.rollout.phase == Phase::Healthy
        })
        .await;
    let groups: Vec<_> = detail.groups.iter().map(|one| (one.version.as_str(), one.role.clone())).collect();
    assert_eq!(groups, [("v2", Some(ArmRole::Stable)), ("v1", None)]);
    let counted = u32::try_from(detail.instances.len()).expect("few");
    assert_eq!(detail.groups[0].replicas, Replicas { ready: counted, desired: counted });
    assert!(detail.history[1].diff.iter().any(|line| line.starts_with('+') && line.ends_with(":v1")));
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn what_a_reader_may_not_list_is_a_sentence() {
    let namespace = Namespace::new("detail_gaps");
    namespace.apply(&canary("shop", "v1", &json!([{"setWeight": 20}])));
    let admin = Seen::of(&namespace, "admin").await;
    admin
        .until(&namespace, "rollout/shop", "a Rollout that is up", |detail| detail.rollout.phase == Phase::Healthy)
        .await;
    let nobody = Seen::of(&namespace, "nobody").await;
    let run = admin.run(&namespace.get("rollout/shop"));
    let error = nobody.inspect(&run).await.expect_err("nothing may be read");
    assert_eq!(error, InspectError::Unreachable(format!("you lack get on rollouts in {}", namespace.name)));
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "some"},
        "rules": [
            {"apiGroups": ["argoproj.io"], "resources": ["rollouts", "analysisruns"], "verbs": ["get", "list"]},
            {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
        ],
    }));
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "some"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}],
    }));
    let detail =
        nobody.until(&namespace, "rollout/shop", "the role in force", |detail| !detail.groups.is_empty()).await;
    let lack = |what: &str| format!("you lack list on {what} in {}", namespace.name);
    assert_eq!(detail.gaps, [lack("events"), lack("experiments"), lack("pods")]);
    assert!(detail.instances.is_empty() && detail.notes.is_empty());
    assert_eq!((detail.groups.len(), detail.rollout.phase), (1, Phase::Healthy));
    assert_eq!(detail.raw["kind"], "Rollout");

    let mut gone = run;
    gone.target.uid = "another".into();
    assert_eq!(admin.inspect(&gone).await.expect_err("another object"), InspectError::NotFound(gone));
}

#[test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
fn doctor_says_who_one_is_and_what_one_may_not_do() {
    let namespace = Namespace::new("doctor");
    let said = |user: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = namespace.settings(user).kubeconfig.unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let text = format!("[sources.prod]\nkubeconfig = {file:?}\nnamespaces = [{:?}]\n", namespace.name);
        std::fs::write(dir.path().join("config/config.toml"), text).unwrap();
        let done = flightdeck(dir.path(), &["doctor"]);
        done.out.lines().find(|line| line.contains("source prod")).unwrap_or_default().to_owned()
    };
    let operator = said("operator");
    assert!(operator.starts_with("ok ") && operator.contains("you are operator and may read and change"), "{operator}");
    let reader = said("readonly");
    let lack = format!(
        "you are readonly, and lack patch on rollouts, deployments, statefulsets, daemonsets, rollouts/status in {}: ",
        namespace.name
    );
    assert!(reader.starts_with("warn ") && reader.contains(&lack), "{reader}");
    assert!(reader.contains("operator.yaml") && !reader.contains("list on"), "{reader}");
    let nobody = said("nobody");
    assert!(nobody.starts_with("fail ") && nobody.contains("lack get/list/watch on rollouts, "), "{nobody}");
    assert!(nobody.contains("reader.yaml"), "{nobody}");
}
