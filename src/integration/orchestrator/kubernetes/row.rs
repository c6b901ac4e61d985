//! Workloads as rows: what every kind has in common. Pure: the objects and the time are inputs.

mod daemon_set;
mod deployment;
mod stateful_set;
#[cfg(test)]
mod tests;

use super::objects::PodTemplate;
use super::{KubernetesSettings, ReplicaGroup, Workload};
use crate::integration::orchestrator::argo_rollouts;
use crate::model::{
    Action, ActionSet, Arm, ArmRole, Barred, Fact, Facts, ManagedBy, Phase, Ppm, Replicas, Rollout, Run, Strategy,
    Target, Traffic, TrafficSource, Version, Wait, sanitize_line,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::ObjectMeta;
use std::sync::Arc;

/// The name of a [`Wait::Human`] that ends when somebody resumes; the same for every backend.
pub const RESUME: &str = "resume";

/// What a row depends on beside its objects.
#[derive(Debug, Clone, Copy)]
pub struct RowContext<'a> {
    /// Of which source, and how its namespaces are called.
    pub settings: &'a KubernetesSettings,
    /// What we may not do in the workload's namespace.
    pub barred: &'a Arc<[Barred]>,
    /// The time.
    pub now: Timestamp,
}

/// The row of a workload. `groups` are its ReplicaSets (Deployment, Rollout) or its revisions
/// (StatefulSet, DaemonSet); they matter in flight only and may be empty: then what they would tell
/// is left open.
#[must_use]
pub fn row(context: &RowContext<'_>, workload: &Workload, groups: &[ReplicaGroup]) -> Rollout {
    match workload {
        Workload::Rollout(object) => argo_rollouts::row(context, workload, object, groups),
        Workload::Deployment(object) => deployment::row(context, workload, object, groups),
        Workload::StatefulSet(object) => stateful_set::row(context, workload, object, groups),
        Workload::DaemonSet(object) => daemon_set::row(context, workload, object, groups),
    }
}

/// Can the row be told without the workload's sets of pods? If not, they are to be fetched.
#[must_use]
pub fn needs_groups(workload: &Workload) -> bool {
    match workload {
        // Without a template of its own only a ReplicaSet says what it runs.
        Workload::Rollout(object) => argo_rollouts::in_flight(object) || object.spec.template.is_none(),
        Workload::Deployment(object) => deployment::in_flight(object),
        Workload::StatefulSet(object) => stateful_set::in_flight(object),
        Workload::DaemonSet(object) => daemon_set::in_flight(object),
    }
}

/// Pods behind one load balancer: as much traffic as ready pods.
const fn by_replicas(desired: Ppm, actual: Option<Ppm>) -> Traffic {
    Traffic { desired, actual, how: TrafficSource::Replicas }
}

/// What a kind says of itself; the rest of a row is the same for all.
pub(in crate::integration::orchestrator) struct Told {
    pub strategy: Strategy,
    pub steps: Arc<[crate::model::Step]>,
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
}

/// Puts a row together.
pub(in crate::integration::orchestrator) fn assemble(
    context: &RowContext<'_>,
    workload: &Workload,
    told: Told,
) -> Rollout {
    let target = target(context.settings, workload);
    let created = time(workload.meta().creation_timestamp.as_ref());
    let started = told.started.or(created).unwrap_or(context.now);
    let mut waits = told.waits;
    let held = workload.hold();
    // A mark on a workload that goes on is a leftover, and does not hold.
    if let Some(hold) = &held
        && let Some(wait) = waits.iter_mut().find(|wait| matches!(wait, Wait::Human { what, .. } if what == RESUME))
    {
        *wait = Wait::Hold(line(hold.id.as_str()).into());
    }
    let mut offers = told.offers;
    if waits.iter().any(|wait| matches!(wait, Wait::Hold(_))) {
        // What a hold stopped goes on by releasing it, and by nothing else.
        let raises = |action: &Action| action.direction() != crate::model::Direction::Reduces;
        offers = offers.iter().filter(|action| !raises(action) && *action != Action::Pause).collect();
        offers.insert(Action::LetThrough);
    }
    let facts = told.facts.with(Fact::Workload, target.uid.clone()).with(Fact::Revision, told.revision.clone());
    Rollout {
        environment: context.settings.environment_of(target.namespace.as_deref().unwrap_or_default()).0,
        service: context.settings.service_of(target.namespace.as_deref().unwrap_or_default(), &target.name),
        run: Run { target, revision: told.revision },
        strategy: told.strategy,
        steps: told.steps,
        step: told.step,
        arms: told.arms,
        phase: told.phase,
        waits,
        message: line(&told.message),
        started,
        since: told.since.unwrap_or(started).max(started),
        author: None,
        facts,
        offers,
        barred: Arc::clone(context.barred),
        managed_by: managed_by(workload).map(Box::new),
        way_back: None,
        in_flight: Some(told.in_flight),
    }
}

/// The target that a workload is.
#[must_use]
pub fn target(settings: &KubernetesSettings, workload: &Workload) -> Target {
    let meta = workload.meta();
    Target {
        source: settings.source.clone(),
        kind: workload.kind().name().to_owned(),
        namespace: Some(line(meta.namespace.as_deref().unwrap_or_default())),
        name: line(meta.name.as_deref().unwrap_or_default()),
        uid: line(meta.uid.as_deref().unwrap_or_default()),
    }
}

/// What owns the workload's description, by the labels and annotations that such tools leave.
#[must_use]
pub fn managed_by(workload: &Workload) -> Option<ManagedBy> {
    let label = |key: &str| workload.meta().labels.as_ref()?.get(key).map(String::as_str);
    let annotation = |key: &str| workload.annotation(key);
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

/// What people call an image: its tag, else twelve characters of its digest.
#[must_use]
pub fn version_of(image: &str) -> Version {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    // A colon before the last slash belongs to a registry's port.
    let base = name.rsplit('/').next().unwrap_or(name);
    let text = match (base.split_once(':'), digest) {
        (Some((_, tag)), _) if !tag.is_empty() => tag.to_owned(),
        (_, Some(digest)) => short_digest(digest),
        _ if image.trim().is_empty() => "unknown".to_owned(),
        _ => "latest".to_owned(),
    };
    Version(line(&text))
}

fn short_digest(digest: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').unwrap_or(("", digest));
    let short: String = hex.chars().take(12).collect();
    if algorithm.is_empty() { short } else { format!("{algorithm}:{short}") }
}

/// The version that a template brings: that of its first container.
#[must_use]
pub fn version_of_template(template: &PodTemplate) -> Version {
    version_of(template.spec.containers.first().map_or("", |container| container.image.as_str()))
}

/// The digest that a template's first image is pinned to, where it is.
#[must_use]
pub fn digest_of_template(template: &PodTemplate) -> Option<String> {
    let (_, digest) = template.spec.containers.first()?.image.split_once('@')?;
    Some(line(digest))
}

/// What every built-in kind's pins are made of: all of its template, and whether its controller has taken
/// up the newest change. `observed` is the generation that its status is about.
fn facts(template: &PodTemplate, meta: &ObjectMeta, observed: i64) -> Facts {
    let facts = Facts::default().with(Fact::Candidate, template.digest.clone());
    let generation = meta.generation.unwrap_or(0);
    if generation > observed { facts.with(Fact::Unobserved, generation.to_string()) } else { facts }
}

/// A count of pods; a negative one is nonsense and means none.
pub(in crate::integration::orchestrator) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// A share of a whole, in parts per million; `None` of nothing.
pub(in crate::integration::orchestrator) fn part(of: u32, whole: u32) -> Option<Ppm> {
    let ppm = (u64::from(of.min(whole)) * 1_000_000).checked_div(u64::from(whole))?;
    u32::try_from(ppm).ok().map(Ppm)
}

pub(in crate::integration::orchestrator) fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

pub(in crate::integration::orchestrator) fn line(text: &str) -> String {
    sanitize_line(text)
}

pub(in crate::integration::orchestrator) fn resume(since: Timestamp) -> Wait {
    Wait::Human { what: RESUME.to_owned(), who: None, since }
}

/// An annotation's value as a revision; `0` where there is none.
pub(in crate::integration::orchestrator) fn revision(workload: &Workload, key: &str) -> String {
    workload.annotation(key).map_or_else(|| "0".to_owned(), line)
}

/// Is there a revision before this one?
pub(in crate::integration::orchestrator) fn has_earlier(revision: &str) -> bool {
    revision.parse::<u64>().is_ok_and(|number| number > 1)
}

/// The only arm of a settled workload.
pub(in crate::integration::orchestrator) fn settled(
    version: Version,
    digest: Option<String>,
    ready: u32,
    desired: u32,
    how: TrafficSource,
) -> Arm {
    // Nothing serves where nothing is ready.
    let actual = (ready > 0).then_some(Ppm::ALL);
    let traffic = Traffic { desired: Ppm::ALL, actual, how };
    Arm { role: ArmRole::Stable, version, digest, replicas: Replicas { ready, desired }, traffic }
}

/// Pods of two templates behind one load balancer, stable first.
fn rolling(stable: (Version, Replicas), candidate: (Version, Option<String>, Replicas), known: bool) -> Vec<Arm> {
    let whole = stable.1.ready.saturating_add(candidate.2.ready);
    let share = |ready| if known { part(ready, whole) } else { None };
    vec![
        Arm {
            role: ArmRole::Stable,
            version: stable.0,
            digest: None,
            replicas: stable.1,
            traffic: by_replicas(Ppm::ZERO, share(stable.1.ready)),
        },
        Arm {
            role: ArmRole::Candidate,
            version: candidate.0,
            digest: candidate.1,
            replicas: candidate.2,
            traffic: by_replicas(Ppm::ALL, share(candidate.2.ready)),
        },
    ]
}

/// Sums the pods of several sets; the version is that of the largest, newest first among equals.
fn together<'a>(groups: impl Iterator<Item = &'a ReplicaGroup>) -> Option<(Version, Replicas)> {
    let groups: Vec<&ReplicaGroup> = groups.collect();
    let size = |group: &&&ReplicaGroup| {
        let number = group.revision.as_deref().and_then(|text| text.parse::<u64>().ok());
        (group.replicas.desired.max(group.replicas.ready), number)
    };
    let largest = groups.iter().max_by_key(size)?;
    let sum =
        |of: fn(&Replicas) -> u32| groups.iter().fold(0_u32, |sum, group| sum.saturating_add(of(&group.replicas)));
    Some((largest.version.clone(), Replicas { ready: sum(|of| of.ready), desired: sum(|of| of.desired) }))
}

/// The newest set beside that one.
fn newest_before<'a>(groups: &'a [ReplicaGroup], current: Option<&str>) -> Option<&'a ReplicaGroup> {
    let others = groups.iter().filter(|group| Some(group.name.as_str()) != current);
    others.max_by_key(|group| group.revision.as_deref().and_then(|text| text.parse::<u64>().ok()))
}
