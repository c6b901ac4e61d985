//! What the rows of all kinds have in common. Pure: the objects and the time are inputs.

use super::fields::{line, part, time};
use super::images::{Images, unknown, versions};
use super::meta;
use super::objects::PodTemplate;
use super::pod_sets::ReplicaGroup;
use super::pods::Pods;
use super::resource::Resource;
use super::settings::KubernetesSettings;
use flightdeck_model::{
    Action, ActionSet, Arm, ArmRole, BackendAnalysis, Denied, Fact, Facts, ManagedBy, Phase, PodNames, Ppm, Replicas,
    Rollout, Run, Strategy, Target, Traffic, TrafficSource, Wait,
};
use jiff::Timestamp;
use kube::core::ObjectMeta;
use std::sync::Arc;

/// The name of a [`Wait::Human`] that ends when somebody resumes; the same for every backend.
pub const RESUME: &str = "resume";

/// What a row says of a pause whose author no object names.
pub const PAUSED: &str = "paused by somebody";

/// What a row depends on beside its objects.
#[derive(Debug, Clone, Copy)]
pub struct RowContext<'a> {
    /// Of which source, and how its namespaces are called.
    pub settings: &'a KubernetesSettings,
    /// What we may not do in the workload's namespace.
    pub denied: &'a Arc<[Denied]>,
    /// Its pods as they were last counted; `None`: they were not, since nothing asked for it.
    pub pods: Option<&'a Pods>,
    pub now: Timestamp,
}

/// Does it lack pods, so that only those tell why?
#[must_use]
pub fn needs_pods(row: &Rollout) -> bool {
    row.arms.iter().any(|arm| arm.replicas.ready < arm.replicas.desired)
}

/// Pods behind one load balancer: as much traffic as ready pods.
const fn by_replicas(desired: Ppm, actual: Option<Ppm>) -> Traffic {
    Traffic { desired, actual, how: TrafficSource::Replicas }
}

/// What a kind says of one of its workloads; the rest of a row is the same for all.
pub struct WorkloadStatus {
    pub strategy: Strategy,
    pub steps: Arc<[flightdeck_model::Step]>,
    pub step: Option<u32>,
    pub arms: Vec<Arm>,
    pub phase: Phase,
    pub waits: Vec<Wait>,
    pub message: String,
    pub started: Option<Timestamp>,
    pub since: Option<Timestamp>,
    pub revision: String,
    pub facts: Facts,
    pub offers: ActionSet,
    /// Can it still change what users get by itself, whatever its phase is called?
    pub in_flight: bool,
    pub analyses: Vec<BackendAnalysis>,
}

impl WorkloadStatus {
    /// Of a kind that replaces its pods by itself, in a phase that says all of it.
    #[must_use]
    pub fn rolling(phase: Phase, revision: String) -> WorkloadStatus {
        WorkloadStatus {
            strategy: Strategy::Rolling,
            steps: Arc::default(),
            step: None,
            arms: Vec::new(),
            phase,
            waits: Vec::new(),
            message: String::new(),
            started: None,
            since: None,
            revision,
            facts: Facts::default(),
            offers: ActionSet::EMPTY,
            in_flight: phase.in_flight(),
            analyses: Vec::new(),
        }
    }
}

/// Puts a row together.
pub fn assemble(context: &RowContext<'_>, kind: Resource, meta: &ObjectMeta, status: WorkloadStatus) -> Rollout {
    let target = target(context.settings, kind, meta);
    let created = time(meta.creation_timestamp.as_ref());
    let started = status.started.or(created).unwrap_or(context.now);
    let mut waits = status.waits;
    let held = meta::hold(meta);
    // A mark on a workload that goes on is a leftover, and does not hold.
    if let Some(hold) = &held
        && let Some(wait) = waits.iter_mut().find(|wait| matches!(wait, Wait::Human { what, .. } if what == RESUME))
    {
        *wait = Wait::Hold(line(hold.id.as_str()).into());
    }
    let mut message = status.message;
    let mut offers = status.offers;
    if let Some(hold) = held.as_ref().filter(|_| waits.iter().any(|wait| matches!(wait, Wait::Hold(_)))) {
        // Who it is stands in the mark; a pause alone does not say.
        let rest = message.strip_prefix(PAUSED).unwrap_or(&message).trim_start_matches("; ").to_owned();
        let rest = if rest.is_empty() { rest } else { format!("; {rest}") };
        message = format!("held by {} of {}{rest}", hold.id, hold.owner);
    }
    let failing = context.pods.map(Pods::failing).unwrap_or_default();
    if let Some(first) = failing.first() {
        let why = first.sentence("pod", "pods");
        message = if message.is_empty() { why } else { format!("{why}; {message}") };
    }
    if waits.iter().any(|wait| matches!(wait, Wait::Hold(_))) {
        // What a hold stopped goes on by releasing it, and by nothing else.
        let raises = |action: &Action| action.direction() != flightdeck_model::Direction::Reduces;
        offers = offers.iter().filter(|action| !raises(action) && *action != Action::Pause).collect();
        offers.insert(Action::LetThrough);
    }
    let facts = status.facts.with(Fact::Workload, target.uid.clone()).with(Fact::Revision, status.revision.clone());
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let (environment, _) = context.settings.environment_of(namespace);
    let service = context.settings.service_of(namespace, &target.name);
    Rollout {
        strategy: status.strategy,
        steps: status.steps,
        step: status.step,
        arms: status.arms,
        phase: status.phase,
        waits,
        message: line(&message),
        since: status.since.unwrap_or(started).max(started),
        facts,
        offers,
        denied: Arc::clone(context.denied),
        managed_by: managed_by(meta).map(Box::new),
        in_flight: Some(status.in_flight),
        failing,
        analyses: status.analyses,
        // Only a Rollout is ever told as aborted, and only while its template is the aborted one.
        still_asked: status.phase == Phase::Aborted,
        ..Rollout::bare(Run { target, revision: status.revision }, service, environment, started)
    }
}

/// The target that a workload is.
#[must_use]
pub fn target(settings: &KubernetesSettings, kind: Resource, meta: &ObjectMeta) -> Target {
    Target {
        source: settings.source.clone(),
        kind: kind.kind.to_owned(),
        namespace: Some(line(meta.namespace.as_deref().unwrap_or_default())),
        name: line(meta.name.as_deref().unwrap_or_default()),
        uid: line(meta.uid.as_deref().unwrap_or_default()),
        first_name: None,
    }
}

/// What owns the workload's description, by the labels and annotations that such tools leave.
#[must_use]
pub fn managed_by(meta: &ObjectMeta) -> Option<ManagedBy> {
    let label = |key: &str| meta.labels.as_ref()?.get(key).map(String::as_str);
    let annotation = |key: &str| meta::annotation(meta, key);
    let owner = |tool: &str, kind: &str, name: &str| ManagedBy {
        tool: tool.to_owned(),
        name: format!("{kind} {}", line(name)),
    };
    let place = |namespace: Option<&str>, name: &str| namespace.map_or(name.to_owned(), |of| format!("{of}/{name}"));
    if let Some(id) = annotation("argocd.argoproj.io/tracking-id") {
        return Some(owner("Argo CD", "application", id.split(':').next().unwrap_or(id)));
    }
    if let Some(name) = label("argocd.argoproj.io/instance") {
        return Some(owner("Argo CD", "application", name));
    }
    if let Some(name) = label("kustomize.toolkit.fluxcd.io/name") {
        let namespace = label("kustomize.toolkit.fluxcd.io/namespace");
        return Some(owner("Flux", "Kustomization", &place(namespace, name)));
    }
    if let Some(name) = label("helm.toolkit.fluxcd.io/name") {
        return Some(owner("Flux", "HelmRelease", &place(label("helm.toolkit.fluxcd.io/namespace"), name)));
    }
    let helm = label("app.kubernetes.io/managed-by") == Some("Helm");
    let release = annotation("meta.helm.sh/release-name").filter(|_| helm)?;
    Some(owner("Helm", "release", &place(annotation("meta.helm.sh/release-namespace"), release)))
}

/// What the pins of a kind with a template of its own are made of: all of its template, and whether its controller has taken
/// up the newest change. `observed` is the generation that its status is about.
pub fn facts(template: &PodTemplate, meta: &ObjectMeta, observed: i64) -> Facts {
    let facts = Facts::default().with(Fact::Candidate, template.digest.clone());
    let generation = meta.generation.unwrap_or(0);
    if generation > observed { facts.with(Fact::Unobserved, generation.to_string()) } else { facts }
}

pub fn resume(since: Timestamp) -> Wait {
    Wait::Human { what: RESUME.to_owned(), who: None, since }
}

/// An annotation's value as a revision; `0` where there is none.
pub fn revision(meta: &ObjectMeta, key: &str) -> String {
    meta::annotation(meta, key).map_or_else(|| "0".to_owned(), line)
}

/// Is there a revision before this one?
pub fn has_earlier(revision: &str) -> bool {
    revision.parse::<u64>().is_ok_and(|number| number > 1)
}

/// One side of a workload, before it is called by what differs from the others.
pub struct Side<'a> {
    pub role: ArmRole,
    /// What it runs, where that is known.
    pub images: Option<&'a Images>,
    pub replicas: Replicas,
    pub traffic: Traffic,
    pub pods: Option<PodNames>,
}

/// The arms of all sides. Their versions are what differs between them.
pub fn arms_of(sides: Vec<Side<'_>>) -> Vec<Arm> {
    let known: Vec<&Images> = sides.iter().filter_map(|side| side.images).collect();
    let mut names = versions(&known).into_iter();
    let arm = |side: Side<'_>| Arm {
        role: side.role,
        version: side.images.and_then(|_| names.next()).unwrap_or_else(unknown),
        digest: side.images.and_then(Images::digest),
        replicas: side.replicas,
        traffic: side.traffic,
        pods: side.pods,
        service: None,
    };
    sides.into_iter().map(arm).collect()
}

/// A further template that still has pods: neither stable nor what is being brought in.
pub fn older(group: &ReplicaGroup, traffic: Traffic) -> Side<'_> {
    let name = group.revision.as_deref().map_or_else(|| "old".to_owned(), |revision| format!("revision {revision}"));
    let pods = Some(pods_of(group));
    Side { role: ArmRole::Cohort(name), images: Some(&group.images), replicas: group.replicas, traffic, pods }
}

/// The pods of one set.
pub fn pods_of(group: &ReplicaGroup) -> PodNames {
    PodNames::Set(line(&group.name))
}

/// The name of a workload.
pub fn name_of(meta: &ObjectMeta) -> String {
    line(meta.name.as_deref().unwrap_or_default())
}

/// Has it pods, or is it to have some?
pub const fn has_pods(group: &ReplicaGroup) -> bool {
    group.replicas.ready > 0 || group.replicas.desired > 0
}

/// The only arm of a settled workload.
pub fn settled(
    images: Option<&Images>,
    ready: u32,
    desired: u32,
    how: TrafficSource,
    pods: Option<PodNames>,
) -> Side<'_> {
    // Nothing serves where nothing is ready.
    let actual = (ready > 0).then_some(Ppm::ALL);
    let traffic = Traffic { desired: Ppm::ALL, actual, how };
    Side { role: ArmRole::Stable, images, replicas: Replicas { ready, desired }, traffic, pods }
}

/// Pods of several templates behind one load balancer, stable first. `known`: each one's ready pods are.
pub fn rolling(
    stable: (Option<&Images>, Replicas, Option<PodNames>),
    candidate: (Option<&Images>, Replicas, Option<PodNames>),
    others: &[&ReplicaGroup],
    known: bool,
) -> Vec<Arm> {
    let others_ready = others.iter().fold(0_u32, |sum, group| sum.saturating_add(group.replicas.ready));
    let whole = stable.1.ready.saturating_add(candidate.1.ready).saturating_add(others_ready);
    let share = |desired, ready| by_replicas(desired, if known { part(ready, whole) } else { None });
    let side = |role, (images, replicas, pods): (_, Replicas, _), desired| {
        let traffic = share(desired, replicas.ready);
        Side { role, images, replicas, traffic, pods }
    };
    let mut sides = vec![side(ArmRole::Stable, stable, Ppm::ZERO), side(ArmRole::Candidate, candidate, Ppm::ALL)];
    sides.extend(others.iter().map(|group| older(group, share(Ppm::ZERO, group.replicas.ready))));
    arms_of(sides)
}

/// A revision's number.
pub fn number(group: &ReplicaGroup) -> Option<u64> {
    group.revision.as_deref().and_then(|text| text.parse::<u64>().ok())
}

/// The newest set beside that one.
pub fn newest_before<'a>(groups: &'a [ReplicaGroup], current: Option<&str>) -> Option<&'a ReplicaGroup> {
    groups.iter().filter(|group| Some(group.name.as_str()) != current).max_by_key(|group| number(group))
}
