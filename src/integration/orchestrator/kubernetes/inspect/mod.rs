//! Everything about one workload, read live: its object, sets, revisions, pods, analyses and events.
//! Each part is asked with a limit of time; one that can't be read is a sentence, never a failure of
//! the rest.

mod analysis;
mod diff;
mod events;
mod history;
mod pods;
mod query;

use super::client::Cluster;
use super::json::{self, annotation, at, name, owned, text, time, uid};
use super::kind::{Kind, Source, named};
use super::mask::Masker;
use super::pod_sets::{ReplicaGroup, Set};
use super::resource::Resource;
use super::row::RowContext;
use flightdeck_model::{Detail, Note, Replicas, Run, sanitize_line};
use flightdeck_port::InspectError;
use jiff::Timestamp;
use query::{Asked, Missing, Reader};
use serde_json::Value;
use std::path::Path;

/// ReplicaSets or ControllerRevisions that are looked at.
const MAX_SETS: u32 = 200;
/// Pods that are shown.
const MAX_PODS: u32 = 200;
/// Events of one kind that are looked at.
const MAX_EVENTS: u32 = 1000;
/// AnalysisRuns and Experiments that are looked at.
const MAX_RUNS: u32 = 200;

/// Reads everything about a run.
pub async fn inspect(cluster: &Cluster, context: &RowContext<'_>, run: &Run) -> Result<Detail, InspectError> {
    let kind = named(&run.target.kind).ok_or_else(|| InspectError::NotFound(run.clone()))?;
    let namespace = run.target.namespace.clone().unwrap_or_default();
    let reader = Reader { client: &cluster.reader, namespace: &namespace };
    let object = workload(&reader, kind, run).await?;
    let read = Read::everything(&reader, kind, object).await;
    let mut detail = read.detail(kind, context, run)?;
    for instance in &mut detail.instances {
        instance.logs = kubectl_logs(&cluster.context, context.settings.kubeconfig.as_deref(), &instance.id);
    }
    Ok(detail)
}

/// The command line that shows a pod's output.
fn kubectl_logs(context: &str, kubeconfig: Option<&Path>, id: &str) -> Option<String> {
    let (namespace, pod) = id.split_once('/')?;
    let file = kubeconfig.map_or_else(String::new, |path| format!(" --kubeconfig {}", quoted(&path.to_string_lossy())));
    Some(format!("kubectl{file} --context {} -n {namespace} logs {pod} --all-containers -f", quoted(context)))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let word = sanitize_line(word);
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c));
    if plain { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

async fn workload(reader: &Reader<'_>, kind: &dyn Kind, run: &Run) -> Result<Value, InspectError> {
    match reader.get(kind.resource(), &run.target.name).await {
        Ok(object) if uid(&object) == run.target.uid => Ok(object),
        Ok(_) | Err(Missing::Gone) => Err(InspectError::NotFound(run.clone())),
        Err(Missing::Because(why)) => Err(InspectError::Unreachable(why)),
    }
}

/// What was read of a workload.
struct Read {
    object: Value,
    sets: Vec<Value>,
    pods: Option<Vec<Value>>,
    runs: Vec<Value>,
    experiments: Vec<Value>,
    events: Vec<Value>,
    gaps: Vec<String>,
}

impl Read {
    async fn everything(reader: &Reader<'_>, kind: &dyn Kind, object: Value) -> Read {
        let selector = selector(&object);
        let of = Asked { labels: &selector, ..Asked::default() };
        let (owner, fields) = (uid(&object), |fields| Asked { labels: "", fields });
        let own = format!("involvedObject.uid={owner}");
        let (sets, pods, about, of_sets, of_pods) = tokio::join!(
            Read::sets(reader, kind, of),
            reader.list(Resource::PODS, of, MAX_PODS),
            reader.list(Resource::EVENTS, fields(&own), MAX_EVENTS),
            reader.list(Resource::EVENTS, fields("involvedObject.kind=ReplicaSet"), MAX_EVENTS),
            reader.list(Resource::EVENTS, fields("involvedObject.kind=Pod"), MAX_EVENTS),
        );
        let mut gaps = Vec::new();
        let mut taken = |part: Result<query::Listed, String>| match part {
            Ok(listed) => {
                gaps.extend(listed.more);
                Some(listed.items)
            }
            Err(why) => {
                gaps.push(why);
                None
            }
        };
        let mut sets = taken(sets).unwrap_or_default();
        sets.retain(|set| owned(set, owner));
        let pods = taken(pods);
        let mut events: Vec<Value> = [about, of_sets, of_pods].into_iter().filter_map(&mut taken).flatten().collect();
        let (mut runs, mut experiments) = (Vec::new(), Vec::new());
        if let Some(labels) = kind.analysis_labels(&object, &sets) {
            let of = Asked { labels: &labels, ..Asked::default() };
            let (asked, tried) = tokio::join!(
                reader.list(Resource::ANALYSIS_RUNS, of, MAX_RUNS),
                reader.list(Resource::EXPERIMENTS, of, MAX_RUNS),
            );
            experiments = taken(tried).unwrap_or_default();
            experiments.retain(|experiment| owned(experiment, owner));
            runs = taken(asked).unwrap_or_default();
            runs.retain(|run| owned(run, owner) || experiments.iter().any(|experiment| owned(run, uid(experiment))));
        }
        let mut read = Read { object, sets, pods, runs, experiments, events: Vec::new(), gaps };
        if let Some(pods) = &mut read.pods {
            let own = |pod: &Value| owned(pod, uid(&read.object)) || read.sets.iter().any(|set| owned(pod, uid(set)));
            pods.retain(own);
        }
        events.retain(|event| read.about(kind, event));
        read.events = events;
        // One verb may be missing for several questions.
        read.gaps.sort();
        read.gaps.dedup();
        read
    }

    /// The objects that tell of its sets of pods, where it has any.
    async fn sets(reader: &Reader<'_>, kind: &dyn Kind, of: Asked<'_>) -> Result<query::Listed, String> {
        match kind.pod_sets() {
            Some(sets) => reader.list(sets.resource(), of, MAX_SETS).await,
            None => Ok(query::Listed { items: Vec::new(), more: None }),
        }
    }

    /// Is the event about the workload, one of its sets or pods, gone ones included?
    fn about(&self, kind: &dyn Kind, event: &Value) -> bool {
        let of = text(event, "/involvedObject/uid");
        if [&self.object].into_iter().chain(&self.sets).chain(self.pods.iter().flatten()).any(|one| uid(one) == of) {
            return true;
        }
        text(event, "/involvedObject/kind") == "Pod"
            && kind.names_pod(&self.object, &self.sets, text(event, "/involvedObject/name"))
    }

    #[expect(clippy::result_large_err, reason = "an error names its run, once an inspection")]
    fn detail(mut self, kind: &dyn Kind, context: &RowContext<'_>, run: &Run) -> Result<Detail, InspectError> {
        let sets = history::sets(kind, &self.object, &self.sets);
        let counted = |set: &Set<'_>| self.pods.as_ref().map(|pods| pods::counted(set, pods, &sets));
        let groups = history::groups(&sets, &counted);
        let history = history::revisions(&self.object, &sets);
        let instances = pods::instances(&run.target, self.pods.as_deref().unwrap_or_default(), &sets);
        let mut notes: Vec<Note> = self.experiments.iter().filter_map(|one| events::experiment(run, one)).collect();
        notes.extend(events::notes(run, &self.events));
        notes.sort_by_key(|note| note.at);
        let garbled = |error: serde_json::Error| InspectError::Unreachable(error.to_string());
        let workload = kind.read(Source::Value(self.object.clone())).map_err(garbled)?;
        let rollout = workload
            .row(context, &sets.iter().map(|set| replica_group(set, &run.target.name, &counted)).collect::<Vec<_>>());
        if rollout.run.revision != run.revision {
            return Err(InspectError::NotFound(run.clone()));
        }
        Masker::default().object(&mut self.object);
        Ok(Detail {
            rollout,
            instances,
            notes,
            evidence: Vec::new(),
            receipts: Vec::new(),
            groups,
            analyses: analysis::analyses(&self.runs, &self.experiments),
            history,
            raw: self.object,
            gaps: self.gaps,
        })
    }
}

fn replica_group(set: &Set<'_>, workload: &str, counted: &dyn Fn(&Set<'_>) -> Option<Replicas>) -> ReplicaGroup {
    ReplicaGroup {
        name: name(set.object).to_owned(),
        hash: set.hash.clone(),
        revision: set.revision.map(|revision| revision.to_string()),
        images: json::images(&set.template, workload),
        replicas: history::replicas(set, counted),
        created: time(set.object, "/metadata/creationTimestamp"),
        ends: annotation(set.object, "scale-down-deadline").and_then(|text| text.parse::<Timestamp>().ok()),
    }
}

/// The label selector of a workload's pods, as the API server takes it.
fn selector(object: &Value) -> String {
    let spec = serde_json::from_value(at(object, "/spec/selector").clone()).unwrap_or_default();
    let selector: Result<kube::core::Selector, _> =
        k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector::try_into(spec);
    match selector.map(|selector| selector.to_string()) {
        Ok(selector) if !selector.is_empty() => selector,
        // A Rollout that takes its template from elsewhere tells its selector in its status.
        _ => text(object, "/status/selector").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_for_a_pods_output_is_exact() {
        let of = |context, file: Option<&str>| kubectl_logs(context, file.map(Path::new), "shop/web-1").unwrap();
        assert_eq!(of("me@east", None), "kubectl --context me@east -n shop logs web-1 --all-containers -f");
        let quoted =
            "kubectl --kubeconfig '/my files/it'\\''s' --context '$(x)' -n shop logs web-1 --all-containers -f";
        assert_eq!(of("$(x)", Some("/my files/it's")), quoted);
    }
}
