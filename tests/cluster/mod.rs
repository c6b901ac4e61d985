//! A real Kubernetes control plane with Argo Rollouts (`tests/cluster/cluster`). kwok runs no
//! containers: pods are real objects whose states are set by stages; logs and traffic there are not.
//!
//! Each test has a namespace of its own. All are ignored unless the cluster is there: `./check`
//! starts one and runs them.

mod commands;
mod detail;
mod exporter;
mod faults;
pub mod proxy;
mod races;
pub mod rig;
mod signals;
mod watch;
mod watchdog;

use flightdeck::integration::orchestrator::kubernetes::KubernetesSettings;
use flightdeck::model::SourceId;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Images of the tests; tags `bad`, `crash`, `never` and `slow` fail as their names say.
pub fn image(version: &str) -> String {
    format!("registry.test/shop:{version}")
}

/// The folder of the running cluster.
pub fn dir() -> PathBuf {
    let dir = std::env::var_os("FLIGHTDECK_CLUSTER").expect(
        "FLIGHTDECK_CLUSTER names the folder of a running cluster: tests/cluster/cluster run DIR -- cargo test … -- --include-ignored",
    );
    PathBuf::from(dir)
}

/// The kubeconfig of `admin`, `operator`, `readonly` or `nobody`.
pub fn kubeconfig(user: &str) -> PathBuf {
    dir().join(format!("{user}.kubeconfig"))
}

/// A client as that user.
pub async fn client(user: &str) -> Client {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    let kubeconfig = Kubeconfig::read_from(kubeconfig(user)).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a config");
    Client::try_from(config).expect("a client")
}

/// Has `tests/cluster/cluster` do that to one process of the cluster: `kill` or `start`.
pub fn control(what: &str, process: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/cluster");
    let folder = dir();
    let done = output(&script, &[what, folder.to_str().expect("a path"), process], None);
    assert!(done.status.success(), "{what} {process}: {}", String::from_utf8_lossy(&done.stderr));
}

fn output(program: &Path, words: &[&str], stdin: Option<&Value>) -> Output {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = Command::new(program)
        .args(words)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    if let (Some(value), Some(mut pipe)) = (stdin, child.stdin.take()) {
        pipe.write_all(value.to_string().as_bytes()).expect("written");
    }
    child.wait_with_output().expect("its output")
}

/// Waits until `found` finds something; panics with what was awaited.
pub async fn until<T>(what: &str, found: impl AsyncFnMut() -> Option<T>) -> T {
    until_told(|| what.to_owned(), found).await
}

/// The same, where what there was instead is to be told, too.
pub async fn until_told<T>(what: impl Fn() -> String, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(it) = found().await {
            return it;
        }
        assert!(Instant::now() < end, "waited 60 s in vain for {}", what());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A namespace of a test's own.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    /// Makes one; `of` is the test's name.
    pub fn new(of: &str) -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{count}", of.replace('_', "-"), std::process::id());
        let namespace = Namespace { name };
        namespace.kubectl(&["create", "namespace", &namespace.name]);
        namespace
    }

    /// Runs kubectl as admin; panics with its words where it fails.
    pub fn kubectl(&self, words: &[&str]) -> String {
        self.run("kubectl", words, None)
    }

    /// Runs the official plugin of Argo Rollouts as admin.
    pub fn argo(&self, words: &[&str]) -> String {
        self.run("kubectl-argo-rollouts", words, None)
    }

    fn run(&self, program: &str, words: &[&str], stdin: Option<&Value>) -> String {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cluster/bin").join(program);
        let admin = kubeconfig("admin");
        let mut all = vec!["--kubeconfig", admin.to_str().expect("a path"), "--namespace", &self.name];
        all.extend(words);
        let output = output(&built, &all, stdin);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program} {}: {out}{err}", words.join(" "));
        out.into_owned()
    }

    /// Applies an object.
    pub fn apply(&self, object: &Value) {
        self.run("kubectl", &["apply", "--filename=-"], Some(object));
    }

    /// An object as it is, such as `get("rollout/shop")`.
    pub fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", what, "--output=json"])).expect("JSON")
    }

    /// Gives a workload's container `app` another version.
    pub fn set_version(&self, what: &str, version: &str) {
        let patch =
            json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image(version)}]);
        self.kubectl(&["patch", what, "--type=json", "--patch", &patch.to_string()]);
    }

    /// A source that sees this namespace only, as that user.
    pub fn settings(&self, user: &str) -> KubernetesSettings {
        KubernetesSettings {
            kubeconfig: Some(kubeconfig(user)),
            namespaces: vec![self.name.clone()],
            ..KubernetesSettings::new(SourceId::from("test"))
        }
    }

    /// What was asked of the API server in this namespace by that user, changes only: verb, resource
    /// with subresource, name, body.
    pub fn changes_by(&self, user: &str) -> Vec<Asked> {
        let log = std::fs::read_to_string(dir().join("audit.log")).unwrap_or_default();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events
            .filter(|event| event["user"]["username"] == user && event["objectRef"]["namespace"] == self.name.as_str())
            .filter(|event| event["stage"] == "ResponseComplete")
            .filter(|event| !["get", "list", "watch"].contains(&event["verb"].as_str().unwrap_or_default()))
            .map(|event| {
                let object = &event["objectRef"];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let resource = match object["subresource"].as_str() {
                    Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
                    None => text(&object["resource"]),
                };
                Asked {
                    verb: text(&event["verb"]),
                    resource,
                    name: text(&object["name"]),
                    body: event["requestObject"].clone(),
                    status: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
                }
            })
            .collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let words = ["delete", "namespace", &self.name, "--wait=false"];
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cluster/bin/kubectl");
        let admin = kubeconfig("admin");
        let all = [&["--kubeconfig", admin.to_str().unwrap_or_default()], words.as_slice()].concat();
        // The whole cluster goes away soon: what stays behind harms nobody.
        drop(output(&built, &all, None));
    }
}

/// One request that changed something, or tried to.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub verb: String,
    pub resource: String,
    pub name: String,
    pub body: Value,
    pub status: u64,
}

fn template(name: &str, version: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": image(version)}], "terminationGracePeriodSeconds": 0},
    })
}

fn workload(api: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A canary without a traffic router, five pods.
pub fn canary(name: &str, version: &str, steps: &Value) -> Value {
    let spec = json!({
        "replicas": 5, "selector": {"matchLabels": {"app": name}}, "template": template(name, version),
        "strategy": {"canary": {"steps": steps}},
    });
    workload("argoproj.io/v1alpha1", "Rollout", name, &spec)
}

/// The two services of a blue/green rollout and the rollout, which waits for a person.
pub fn blue_green(name: &str, version: &str) -> Vec<Value> {
    let service = |service: &str| {
        let spec = json!({"selector": {"app": name}, "ports": [{"port": 80}]});
        workload("v1", "Service", service, &spec)
    };
    let (active, preview) = (format!("{name}-active"), format!("{name}-preview"));
    let spec = json!({
        "replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template(name, version),
        "strategy": {"blueGreen": {
            "activeService": active, "previewService": preview, "autoPromotionEnabled": false, "scaleDownDelaySeconds": 5,
        }},
    });
    vec![service(&active), service(&preview), workload("argoproj.io/v1alpha1", "Rollout", name, &spec)]
}

/// A deployment of three pods that gives up after ten seconds.
pub fn deployment(name: &str, version: &str) -> Value {
    let spec = json!({
        "replicas": 3, "progressDeadlineSeconds": 10,
        "selector": {"matchLabels": {"app": name}}, "template": template(name, version),
    });
    workload("apps/v1", "Deployment", name, &spec)
}

/// A stateful set of two pods.
pub fn stateful_set(name: &str, version: &str) -> Value {
    let spec = json!({
        "replicas": 2, "serviceName": name,
        "selector": {"matchLabels": {"app": name}}, "template": template(name, version),
    });
    workload("apps/v1", "StatefulSet", name, &spec)
}

/// A daemon set.
pub fn daemon_set(name: &str, version: &str) -> Value {
    let spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template(name, version)});
    workload("apps/v1", "DaemonSet", name, &spec)
}

mod itself {
    use super::{Namespace, blue_green, canary, client, daemon_set, deployment, stateful_set, until};
    use serde_json::json;

    #[tokio::test]
    #[ignore = "needs the test cluster: tests/cluster/cluster"]
    async fn every_kind_comes_up() {
        let namespace = Namespace::new("every-kind");
        namespace.apply(&canary("shop", "1.0", &json!([{"setWeight": 20}, {"pause": {}}])));
        for object in blue_green("bank", "1.0") {
            namespace.apply(&object);
        }
        namespace.apply(&deployment("web", "1.0"));
        namespace.apply(&stateful_set("store", "1.0"));
        namespace.apply(&daemon_set("agent", "1.0"));
        for (what, path, wanted) in [
            ("rollout/shop", "/status/phase", json!("Healthy")),
            ("rollout/bank", "/status/phase", json!("Healthy")),
            ("deployment/web", "/status/availableReplicas", json!(3)),
            ("statefulset/store", "/status/readyReplicas", json!(2)),
            ("daemonset/agent", "/status/numberReady", json!(2)),
        ] {
            until(what, async || (namespace.get(what).pointer(path) == Some(&wanted)).then_some(())).await;
        }
        assert!(client("readonly").await.apiserver_version().await.is_ok());
    }
}
