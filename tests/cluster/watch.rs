//! The watch of a real API server: what a board holds equals what the server has.

use super::proxy::{Fault, Proxy};
use super::{Namespace, blue_green, canary, daemon_set, deployment, stateful_set};
use flightdeck::board::Board;
use flightdeck::integration::orchestrator::kubernetes::{Kubernetes, KubernetesSettings};
use flightdeck::model::{
    Action, ArmRole, DeploymentOutcome, LinkState, Phase, Ppm, Rollout, Run, Scope, Scoped, SourceId, Version, Wait,
};
use flightdeck::port::{Executor as _, InspectError};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::json;
use std::time::{Duration, Instant};

/// A source and the board of its updates.
struct Watching {
    source: Kubernetes,
    stream: BoxStream<'static, Scoped>,
    board: Board,
    told: Vec<Scoped>,
}

impl Watching {
    fn new(settings: KubernetesSettings) -> Watching {
        let source = Kubernetes::new(settings);
        let stream = source.watch();
        Watching { source, stream, board: Board::default(), told: Vec::new() }
    }

    /// Applies updates until `found` finds something on the board.
    async fn until<T>(&mut self, what: &str, found: impl Fn(&Board) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(it) = found(&self.board) {
                return it;
            }
            let left = end.saturating_duration_since(Instant::now());
            let next = tokio::time::timeout(left, self.stream.next()).await;
            let Ok(scoped) = next else {
                let rows: Vec<_> = self
                    .board
                    .rollouts()
                    .map(|row| (row.service.to_string(), row.phase, row.message.clone()))
                    .collect();
                let links: Vec<_> = self.board.links().collect();
                panic!("waited 60 s in vain for {what}: {rows:?} {links:?}");
            };
            let scoped = scoped.expect("a watch never ends");
            self.board.apply(&scoped);
            self.told.push(scoped);
        }
    }

    async fn row(&mut self, service: &str, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
        let what = format!("{service} {what}");
        self.until(&what, |board| board.rollouts().find(|row| row.service.as_str() == service && is(row)).cloned())
            .await
    }

    async fn live(&mut self) {
        let live = |board: &Board| {
            let mut links = board.links();
            links.all(|(_, link)| matches!(link, LinkState::Live { .. } | LinkState::Absent { .. })).then_some(())
        };
        self.until("all links to be live", live).await;
    }

    /// The state of a part by its beginning.
    async fn link(&mut self, part: &str, what: &str, is: impl Fn(&LinkState) -> bool) -> LinkState {
        let found = |board: &Board| {
            let mut links = board.links();
            links.find(|(scope, link)| scope.part.starts_with(part) && is(link)).map(|(_, link)| link.clone())
        };
        self.until(&format!("{part} to be {what}"), found).await
    }
}

fn is_stale(link: &LinkState) -> bool {
    matches!(link, LinkState::Stale { .. })
}

const PAUSED: &[&str] = &["promote", "promote-full", "pause", "abort", "rollback"];

fn steps() -> serde_json::Value {
    json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": "1h"}}])
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn every_kind_is_told_and_followed() {
    let namespace = Namespace::new("watch-kinds");
    namespace.apply(&canary("shop", "1.0", &steps()));
    for object in blue_green("bank", "1.0") {
        namespace.apply(&object);
    }
    namespace.apply(&deployment("web", "1.0"));
    namespace.apply(&stateful_set("store", "1.0"));
    namespace.apply(&daemon_set("agent", "1.0"));
    let mut watching = Watching::new(namespace.settings("operator"));
    watching.live().await;
    for service in ["shop", "bank", "web", "store", "agent"] {
        let row = watching.row(service, "healthy", |row| row.phase == Phase::Healthy).await;
        assert_eq!(row.stable().unwrap().version.as_str(), "1.0", "{service}");
        assert_eq!(row.stable().unwrap().traffic.actual, Some(Ppm::ALL), "{service}");
        assert!(row.denied.is_empty());
    }
    assert_eq!(watching.board.services().count(), 5);
    assert_eq!(watching.board.environments().map(|of| of.name.as_str()).collect::<Vec<_>>(), ["test"]);

    namespace.set_version("rollout/shop", "2.0");
    let row = watching
        .row("shop", "paused with both arms", |row| {
            row.phase == Phase::Paused
                && row.candidate().is_some_and(|arm| arm.traffic.actual == Some(Ppm::percent(20)))
        })
        .await;
    assert_eq!((row.stable().unwrap().version.as_str(), row.candidate().unwrap().version.as_str()), ("1.0", "2.0"));
    assert!(matches!(row.waits.as_slice(), [Wait::Human { what, .. }] if what.starts_with("promote to ")));
    assert_eq!(row.offers.iter().map(Action::name).collect::<Vec<_>>(), PAUSED);
    assert_eq!(watching.source.read(&row.run).await.unwrap(), row, "a live read says the same");

    namespace.set_version("rollout/bank", "2.0");
    let row = watching
        .row("bank", "paused with a preview", |row| {
            row.phase == Phase::Paused && row.arm(&ArmRole::Preview).is_some_and(|arm| arm.replicas.ready == 2)
        })
        .await;
    assert_eq!(row.stable().unwrap().traffic.actual, Some(Ppm::ALL));

    namespace.argo(&["promote", "shop"]);
    let row =
        watching.row("shop", "waiting for the clock", |row| matches!(row.waits.as_slice(), [Wait::Until { .. }])).await;
    assert_eq!(row.step, Some(3));
    namespace.argo(&["promote", "shop", "--full"]);
    watching.row("shop", "done", |row| row.phase == Phase::Healthy).await;
    let history = |board: &Board| board.deployments().find(|of| of.service.as_str() == "shop").cloned();
    let done = watching.until("its history", history).await;
    assert_eq!(
        (done.outcome, done.from.as_ref().map(Version::as_str), done.to.as_str()),
        (DeploymentOutcome::Succeeded, Some("1.0"), "2.0")
    );
    assert!(
        matches!(watching.source.read(&Run { revision: "9".into(), ..done.run.clone() }).await, Ok(row) if row.run == done.run)
    );

    for what in ["deployment/web", "statefulset/store", "daemonset/agent"] {
        namespace.set_version(what, "2.0");
        let service = what.split('/').next_back().unwrap();
        let row = watching
            .row(service, "at 2.0", |row| {
                row.phase == Phase::Healthy && row.stable().is_some_and(|arm| arm.version.as_str() == "2.0")
            })
            .await;
        assert_eq!(row.arms.len(), 1, "{service}");
    }

    let run = done.run;
    namespace.kubectl(&["delete", "rollout/shop"]);
    watching.until("shop to be gone", |board| board.rollout(&run.target).is_none().then_some(())).await;
    assert!(watching.board.services().all(|of| of.name.as_str() != "shop"));
    assert_eq!(watching.source.read(&run).await, Err(InspectError::NotFound(run)));
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn an_abort_while_paused_is_not_told_as_done() {
    let namespace = Namespace::new("watch-abort");
    namespace.apply(&canary("shop", "1.0", &steps()));
    let mut watching = Watching::new(namespace.settings("operator"));
    watching.row("shop", "healthy", |row| row.phase == Phase::Healthy).await;
    namespace.set_version("rollout/shop", "2.0");
    watching.row("shop", "paused", |row| row.phase == Phase::Paused).await;
    namespace.argo(&["pause", "shop"]);
    namespace.argo(&["abort", "shop"]);
    let stands =
        |row: &Rollout| row.phase == Phase::RollingBack && row.message.ends_with("being paused, it does not move");
    watching.row("shop", "said not to move", stands).await;
    let phase = namespace.get("rollout/shop")["status"]["phase"].clone();
    assert_eq!(phase, "Degraded", "which the official tools call aborted");
    namespace.kubectl(&["patch", "rollout/shop", "--type=merge", "--patch", r#"{"spec":{"paused":false}}"#]);
    watching.row("shop", "aborted", |row| row.phase == Phase::Aborted).await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_stalled_deployment_shows_both_arms() {
    let namespace = Namespace::new("watch-stall");
    namespace.apply(&deployment("web", "1.0"));
    let mut watching = Watching::new(namespace.settings("operator"));
    watching.row("web", "healthy", |row| row.phase == Phase::Healthy).await;
    namespace.set_version("deployment/web", "bad");
    let row = watching.row("web", "failed", |row| row.phase == Phase::Failed && row.arms.len() == 2).await;
    assert_eq!(row.stable().unwrap().version.as_str(), "1.0");
    assert_eq!(
        (row.candidate().unwrap().replicas.ready, row.candidate().unwrap().traffic.actual),
        (0, Some(Ppm::ZERO))
    );
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn who_may_not_is_told_with_the_verb() {
    let namespace = Namespace::new("watch-denied");
    namespace.apply(&canary("shop", "1.0", &steps()));
    let mut nobody = Watching::new(namespace.settings("nobody"));
    let link = nobody.link("rollouts", "denied", |link| matches!(link, LinkState::Denied { .. })).await;
    let resource = format!("rollouts in {}", namespace.name);
    assert_eq!(link, LinkState::Denied { verb: "list".into(), resource });

    let mut reader = Watching::new(namespace.settings("readonly"));
    let row = reader.row("shop", "denied", |row| row.denied.len() == 2).await;
    let why = format!("you lack patch on rollouts/status in {}", namespace.name);
    assert_eq!(row.denial(Action::Promote), Some(why.as_str()));
    assert_eq!(reader.source.read(&row.run).await.unwrap().denied, row.denied);

    let mut settings = namespace.settings("operator");
    settings.read_only = true;
    let mut operator = Watching::new(settings);
    let row = operator.row("shop", "denied", |row| !row.denied.is_empty()).await;
    assert_eq!(row.denial(Action::Abort), Some("source test is read-only"));
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_mark_on_a_workload_is_a_hold_for_every_hub() {
    let namespace = Namespace::new("watch-hold");
    namespace.apply(&deployment("web", "1.0"));
    let mut watching = Watching::new(namespace.settings("operator"));
    watching.row("web", "healthy", |row| row.phase == Phase::Healthy).await;
    let mark = json!({"id": "H-7", "owner": "ann", "reason": "fire", "since": "2026-01-01T00:00:00Z", "selector": {}});
    let patch =
        json!({"metadata": {"annotations": {"flightdeck.dev/hold": mark.to_string()}}, "spec": {"paused": true}});
    namespace.kubectl(&["patch", "deployment/web", "--type=merge", "--patch", &patch.to_string()]);
    let hold = watching.until("the hold", |board| board.holds().next().cloned()).await;
    assert_eq!((hold.id.as_str(), hold.owner.as_str(), hold.reason.as_deref()), ("H-7", "ann", Some("fire")));
    assert!(hold.targets.iter().all(|target| target.held) && hold.targets.len() == 1);
    watching.row("web", "held", |row| row.waits == [Wait::Hold("H-7".into())]).await;
    let patch = json!({"metadata": {"annotations": {"flightdeck.dev/hold": null}}, "spec": {"paused": false}});
    namespace.kubectl(&["patch", "deployment/web", "--type=merge", "--patch", &patch.to_string()]);
    watching.until("the hold to end", |board| board.holds().next().is_none().then_some(())).await;
}

/// Everything that a connection can do to us; afterwards the board is what the server has.
#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn after_every_fault_the_board_equals_the_server() {
    let namespace = Namespace::new("watch-faults");
    namespace.apply(&deployment("web", "1"));
    let proxy = Proxy::start("operator").await;
    let mut watching = Watching::new(proxy.before(namespace.settings("operator")));
    watching.live().await;
    watching.row("web", "healthy", |row| row.phase == Phase::Healthy).await;
    let mut version = 1;
    for (fault, words) in [
        (Fault::Drop, ""),
        (Fault::Answer(410), "too old"),
        (Fault::Answer(429), "429"),
        (Fault::Answer(500), "500"),
        (Fault::Html, "does not answer as an API server does"),
        (Fault::HalfOpen, "no answer within"),
    ] {
        let begun = Instant::now();
        proxy.fails(fault);
        let link = watching.link("deployments", &format!("stale by {fault:?}"), is_stale).await;
        println!("{fault:?}: stale after {:?}: {link:?}", begun.elapsed());
        assert!(matches!(&link, LinkState::Stale { why, .. } if why.contains(words)), "{fault:?}: {link:?}");
        version += 1;
        namespace.set_version("deployment/web", &version.to_string());
        let row = watching.row("web", "as before", |_| true).await;
        assert!(watching.source.read(&row.run).await.is_err(), "{fault:?}: nothing is read live");
        proxy.fails(Fault::None);
        let begun = Instant::now();
        watching.live().await;
        let wanted = version.to_string();
        watching
            .row("web", "as the server has it", |row| {
                row.stable().is_some_and(|arm| arm.version.as_str() == wanted) && row.arms.len() == 1
            })
            .await;
        println!("{fault:?}: back after {:?}", begun.elapsed());
    }
}

/// A frozen server closes nothing, and a watch may be quiet for a minute.
#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_silent_server_is_stale_within_five_seconds_since_its_last_word() {
    let namespace = Namespace::new("watch-silent");
    namespace.apply(&deployment("web", "1"));
    let proxy = Proxy::start("operator").await;
    let mut watching = Watching::new(proxy.before(namespace.settings("operator")));
    watching.row("web", "healthy", |row| row.phase == Phase::Healthy).await;
    watching.live().await;
    let (begun, frozen) = (Instant::now(), jiff::Timestamp::now());
    proxy.fails(Fault::HalfOpen);
    for part in ["", "deployments", "rollouts", "statefulsets", "daemonsets"] {
        let link = watching.link(part, "stale", is_stale).await;
        let LinkState::Stale { since, never, .. } = link else { panic!("{link:?}") };
        assert!(!never && since <= frozen + jiff::SignedDuration::from_millis(500), "{part}: since {since}, {frozen}");
    }
    let after = begun.elapsed();
    assert!(after < Duration::from_millis(5500), "said after {after:?}");
    namespace.set_version("deployment/web", "2");
    let begun = Instant::now();
    proxy.fails(Fault::None);
    watching.live().await;
    println!("silent: stale after {after:?}, live again after {:?}", begun.elapsed());
    watching.row("web", "as it is", |row| row.arms.iter().any(|arm| arm.version.as_str() == "2")).await;
}

/// Who may do everything in one namespace and list nothing elsewhere sees the one of the context.
#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn with_rights_in_one_namespace_the_contexts_own_is_watched() {
    let (namespace, other) = (Namespace::new("watch-own"), Namespace::new("watch-other"));
    for namespace in [&namespace, &other] {
        namespace.apply(&deployment("web", "1"));
    }
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "team"},
        "rules": [{"apiGroups": ["apps", "argoproj.io", ""], "resources": ["*"], "verbs": ["get", "list", "watch", "patch"]}],
    }));
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "team"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "team"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}],
    }));
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let text = std::fs::read_to_string(super::kubeconfig("nobody")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["contexts"][0]["context"]["namespace"] = namespace.name.clone().into();
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let mut settings = KubernetesSettings::new(SourceId::from("test"));
    settings.kubeconfig = Some(kubeconfig);
    let mut watching = Watching::new(settings);
    let row = watching.row("web", "healthy", |row| row.phase == Phase::Healthy).await;
    assert_eq!(row.run.target.namespace.as_deref(), Some(namespace.name.as_str()));
    watching.live().await;
    let sight = flightdeck::board::Sight::of(watching.board.links());
    assert!(sight.unseen.is_empty(), "{:?}", sight.unseen);
    assert_eq!(sight.only, [(SourceId::from("test"), format!("namespace {}", namespace.name))]);
    assert_eq!(watching.board.rollouts().count(), 1, "the other namespace is not looked at");
    assert_eq!(watching.source.read(&row.run).await.unwrap().service, row.service);
}

/// The other form of 410: the stream begins well, and its first event says that it can't.
#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn a_version_that_is_too_old_is_read_anew() {
    let namespace = Namespace::new("watch-old");
    namespace.apply(&canary("shop", "1.0", &steps()));
    let proxy = Proxy::start("operator").await;
    let mut watching = Watching::new(proxy.before(namespace.settings("operator")));
    watching.live().await;
    watching.row("shop", "healthy", |row| row.phase == Phase::Healthy).await;
    proxy.fails(Fault::Ancient);
    let link = watching.link("rollouts", "stale", is_stale).await;
    assert!(matches!(&link, LinkState::Stale { why, .. } if why.contains("too old")), "{link:?}");
    namespace.set_version("rollout/shop", "2.0");
    watching.row("shop", "read anew", |row| row.candidate().is_some_and(|arm| arm.version.as_str() == "2.0")).await;
    proxy.fails(Fault::None);
    watching.live().await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn without_argo_rollouts_the_rest_is_there() {
    let namespace = Namespace::new("watch-crd");
    namespace.apply(&canary("shop", "1.0", &steps()));
    namespace.apply(&deployment("web", "1.0"));
    let proxy = Proxy::start("admin").await;
    let mut watching = Watching::new(proxy.before(namespace.settings("admin")));
    watching.row("shop", "there", |_| true).await;
    proxy.fails(Fault::NoRollouts);
    let link = watching.link("rollouts", "absent", |link| matches!(link, LinkState::Absent { .. })).await;
    assert_eq!(link, LinkState::Absent { why: "Argo Rollouts is not installed there".into() });
    watching.until("shop to be gone", |board| (board.rollouts().count() == 1).then_some(())).await;
    watching.row("web", "healthy", |row| row.phase == Phase::Healthy).await;
    watching.live().await;
}

#[tokio::test]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn an_unknown_context_and_a_dead_server_are_sentences() {
    let namespace = Namespace::new("watch-dead");
    let mut settings = namespace.settings("operator");
    settings.context = Some("nowhere".into());
    let mut watching = Watching::new(settings);
    let own = Scope { source: SourceId::from("test"), part: String::new() };
    let why = |board: &Board| match board.link_of(&own) {
        Some(LinkState::Stale { why, .. }) => Some(why.clone()),
        _ => None,
    };
    let said = watching.until("a sentence", why).await;
    assert!(said.starts_with("there is no context nowhere; there are "), "{said}");
    assert_eq!(watching.source.cluster().unwrap_err(), said);

    let proxy = Proxy::start("operator").await;
    let settings = proxy.before(namespace.settings("operator"));
    drop(proxy.kubeconfig());
    let path = settings.kubeconfig.clone().unwrap();
    let text = std::fs::read_to_string(&path).unwrap().replace(&proxy.address.to_string(), "127.0.0.1:1");
    std::fs::write(&path, text).unwrap();
    let mut watching = Watching::new(settings);
    let said = watching.until("a sentence", why).await;
    assert!(said.starts_with("cannot reach the API server: "), "{said}");
}

#[tokio::test]
#[ignore = "needs a Kubernetes control plane: tests/cluster/build, then ./check"]
async fn why_pods_are_not_ready_is_told_before_any_deadline_and_taken_back_once_they_are() {
    let namespace = Namespace::new("failing");
    let mut web = deployment("web", "1");
    web["spec"]["progressDeadlineSeconds"] = json!(600);
    namespace.apply(&web);
    namespace.apply(&stateful_set("db", "1"));
    let mut watching = Watching::new(namespace.settings("operator"));
    watching.row("web", "is up", |row| row.phase == Phase::Healthy).await;
    watching.row("db", "is up", |row| row.phase == Phase::Healthy).await;
    namespace.set_version("deployment/web", "crash");
    let failing = watching.row("web", "fails", |row| !row.failing.is_empty()).await;
    assert_eq!(failing.phase, Phase::Progressing, "long before its deadline");
    assert!(failing.failing[0].counted().starts_with("CrashLoopBackOff"), "{:?}", failing.failing);
    assert!(failing.message.contains("CrashLoopBackOff, exit status 1; "), "{}", failing.message);
    namespace.set_version("statefulset/db", "bad");
    let failing = watching.row("db", "fails", |row| !row.failing.is_empty()).await;
    assert!(failing.failing[0].counted().starts_with("ImagePullBackOff"), "{:?}", failing.failing);
    // The pods say which of those that are ready are the candidate's: none.
    let candidate = failing.candidate().unwrap();
    assert_eq!((candidate.replicas.ready, candidate.traffic.actual), (0, Some(Ppm::ZERO)));
    namespace.set_version("deployment/web", "2");
    watching.row("web", "is up again", |row| row.phase == Phase::Healthy && row.failing.is_empty()).await;
}
