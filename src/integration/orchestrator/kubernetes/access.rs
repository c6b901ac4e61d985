//! What we may not do, asked of the cluster: keys are dimmed with the verb that is missing.

use super::client::{ANSWER, Cluster};
use super::explain::sentence;
use super::{KubernetesSettings, WorkloadKind};
use flightdeck_model::{Action, ActionSet, Denied};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::timeout;

/// Something that may be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    kind: WorkloadKind,
    subresource: Option<&'static str>,
}

impl Right {
    /// What is patched for these kinds.
    fn all(kinds: &[WorkloadKind]) -> Vec<Right> {
        let mut rights: Vec<Right> = kinds.iter().map(|kind| Right { kind: *kind, subresource: None }).collect();
        if kinds.contains(&WorkloadKind::Rollout) {
            rights.push(Right { kind: WorkloadKind::Rollout, subresource: Some("status") });
        }
        rights
    }

    /// As in a role: `rollouts/status`.
    fn resource(self) -> String {
        let resource = self.kind.resource();
        self.subresource.map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}"))
    }

    /// The actions that need it.
    fn actions(self) -> ActionSet {
        let actions: &[Action] = match (self.kind, self.subresource) {
            (WorkloadKind::Rollout, Some(_)) => &[Action::Promote, Action::PromoteFull, Action::Abort, Action::Retry],
            _ => &[
                Action::Pause,
                Action::Resume,
                Action::Restart,
                Action::Rollback,
                Action::Hold,
                Action::ReleaseHold,
                Action::LetThrough,
            ],
        };
        actions.iter().copied().collect()
    }
}

/// What is missing, by kind; `namespace` is for the sentence.
fn denied(missing: &[Right], namespace: Option<&str>) -> BTreeMap<WorkloadKind, Arc<[Denied]>> {
    let mut denied: BTreeMap<WorkloadKind, Vec<Denied>> = BTreeMap::new();
    for right in missing {
        let place = namespace.map_or(String::new(), |namespace| format!(" in {namespace}"));
        let why = format!("you lack patch on {}{place}", right.resource());
        denied.entry(right.kind).or_default().push(Denied { actions: right.actions(), why });
    }
    denied.into_iter().map(|(kind, denied)| (kind, denied.into())).collect()
}

/// The namespace of the context, where it is all that can be looked at: none is named in the settings, no
/// kind may be listed everywhere, and one may be listed there. What can't be found out is as before: the
/// watches say what is wrong.
pub(super) async fn only_namespace(client: &Client, settings: &KubernetesSettings, context: &str) -> Option<String> {
    if !settings.namespaces.is_empty() {
        return None;
    }
    let may = async |namespace: Option<&str>| {
        let each = settings
            .kinds
            .iter()
            .map(|kind| allowed(client, attributes("list", kind.group(), kind.resource(), None, namespace)));
        futures::future::try_join_all(each).await.map(|each| each.into_iter().any(|allowed| allowed))
    };
    let only = may(None).await == Ok(false) && may(Some(context)).await == Ok(true);
    only.then(|| context.to_owned())
}

/// Everything, where nothing may be changed through this source at all.
fn read_only(settings: &KubernetesSettings) -> Arc<[Denied]> {
    let actions = Action::TABLE.iter().map(|row| row.action).collect();
    vec![Denied { actions, why: format!("source {} is read-only", settings.source) }].into()
}

/// What is known of our rights, by kind and namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    none: Arc<[Denied]>,
    /// Nothing may be changed: no need to ask.
    read_only: Option<Arc<[Denied]>>,
    /// Missing cluster-wide: asked again by namespace.
    partial: Vec<WorkloadKind>,
    namespaces: BTreeMap<String, BTreeMap<WorkloadKind, Arc<[Denied]>>>,
}

impl Access {
    /// What is denied for that kind there; nothing as long as it is not known.
    pub fn denied(&self, kind: WorkloadKind, namespace: &str) -> &Arc<[Denied]> {
        let known = self.namespaces.get(namespace).and_then(|kinds| kinds.get(&kind));
        self.read_only.as_ref().or(known).unwrap_or(&self.none)
    }

    /// Must that namespace be asked about?
    pub fn is_open(&self, namespace: &str) -> bool {
        self.read_only.is_none() && !self.partial.is_empty() && !self.namespaces.contains_key(namespace)
    }

    /// The kinds to ask about, namespace by namespace.
    pub fn partial(&self) -> Vec<WorkloadKind> {
        self.partial.clone()
    }

    /// Takes in what was found out about a namespace.
    pub fn learn(&mut self, namespace: String, denied: Bars) {
        self.namespaces.insert(namespace, denied);
    }
}

/// Bars of one namespace, by kind.
pub(super) type Bars = BTreeMap<WorkloadKind, Arc<[Denied]>>;

/// Asks what may be done everywhere.
pub(super) async fn everywhere(client: &Client, settings: &KubernetesSettings) -> Result<Access, String> {
    if settings.read_only {
        return Ok(Access { read_only: Some(read_only(settings)), ..Access::default() });
    }
    let missing = missing(client, &Right::all(&settings.kinds), None).await?;
    let mut partial: Vec<WorkloadKind> = missing.iter().map(|right| right.kind).collect();
    partial.sort_unstable();
    partial.dedup();
    Ok(Access { partial, ..Access::default() })
}

/// Asks what may be done in one namespace.
pub(super) async fn within(client: &Client, kinds: &[WorkloadKind], namespace: &str) -> Result<Bars, String> {
    let missing = missing(client, &Right::all(kinds), Some(namespace)).await?;
    Ok(denied(&missing, Some(namespace)))
}

async fn missing(client: &Client, rights: &[Right], namespace: Option<&str>) -> Result<Vec<Right>, String> {
    let answers =
        rights.iter().map(|right| async move { Ok::<_, String>((*right, may(client, *right, namespace).await?)) });
    let answers = futures::future::try_join_all(answers).await?;
    Ok(answers.into_iter().filter(|(_, may)| !may).map(|(right, _)| right).collect())
}

/// What is read beside the kinds that are watched: group and resource. All of it is listed.
const BESIDE: [(&str, &str); 6] = [
    ("apps", "replicasets"),
    ("apps", "controllerrevisions"),
    ("", "pods"),
    ("", "events"),
    ("argoproj.io", "analysisruns"),
    ("argoproj.io", "experiments"),
];

/// What we may not do of what a source is for: a sentence a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking {
    /// To show everything, such as `get/list/watch on rollouts, list on pods in shop`.
    pub read: Vec<String>,
    /// To carry out what keys ask for; nothing is asked where the source is read-only.
    pub change: Vec<String>,
}

/// Asks about every verb that a source uses, wherever it looks.
pub async fn lacking(cluster: &Cluster, settings: &KubernetesSettings) -> Result<Lacking, String> {
    let mut lacking = Lacking::default();
    let named: Vec<_> = settings.namespaces.iter().map(|name| Some(name.as_str())).collect();
    let rights = Right::all(if settings.read_only { &[] } else { &settings.kinds });
    for namespace in if named.is_empty() { &[None] } else { named.as_slice() } {
        let (read, change) = futures::future::try_join(
            unread(&cluster.reader, &settings.kinds, *namespace),
            missing(&cluster.reader, &rights, *namespace),
        )
        .await?;
        let place = namespace.map_or(String::new(), |namespace| format!(" in {namespace}"));
        let change: Vec<_> = change.into_iter().map(Right::resource).collect();
        if !read.is_empty() {
            lacking.read.push(format!("{}{place}", read.join(", ")));
        }
        if !change.is_empty() {
            lacking.change.push(format!("patch on {}{place}", change.join(", ")));
        }
    }
    Ok(lacking)
}

/// What can't be read: verbs and resource.
async fn unread(client: &Client, kinds: &[WorkloadKind], namespace: Option<&str>) -> Result<Vec<String>, String> {
    let watched = kinds.iter().map(|kind| (["get", "list", "watch"].as_slice(), kind.group(), kind.resource()));
    let argo = kinds.contains(&WorkloadKind::Rollout);
    let beside = BESIDE.into_iter().filter(|(group, _)| argo || *group != WorkloadKind::Rollout.group());
    let beside = beside.map(|(group, resource)| (["list"].as_slice(), group, resource));
    let asked = watched.chain(beside).map(|(verbs, group, resource)| async move {
        let verbs = verbs.iter().map(|verb| async move {
            let allowed = allowed(client, attributes(verb, group, resource, None, namespace)).await?;
            Ok::<_, String>((!allowed).then_some(*verb))
        });
        let verbs: Vec<_> = futures::future::try_join_all(verbs).await?.into_iter().flatten().collect();
        Ok::<_, String>((!verbs.is_empty()).then(|| format!("{} on {resource}", verbs.join("/"))))
    });
    Ok(futures::future::try_join_all(asked).await?.into_iter().flatten().collect())
}

async fn may(client: &Client, right: Right, namespace: Option<&str>) -> Result<bool, String> {
    let kind = right.kind;
    allowed(client, attributes("patch", kind.group(), kind.resource(), right.subresource, namespace)).await
}

fn attributes(
    verb: &str,
    group: &str,
    resource: &str,
    subresource: Option<&str>,
    namespace: Option<&str>,
) -> ResourceAttributes {
    ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: subresource.map(str::to_owned),
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    }
}

async fn allowed(client: &Client, attributes: ResourceAttributes) -> Result<bool, String> {
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let ask = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    match timeout(ANSWER, api.create(&PostParams::default(), &ask)).await {
        Err(_) => Err("the API server did not say what we may do".to_owned()),
        Ok(Err(error)) => Err(sentence(&error)),
        Ok(Ok(review)) => Ok(review.status.is_some_and(|status| status.allowed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_bars_the_actions_that_need_it_and_is_named() {
        let missing = Right::all(&[WorkloadKind::Rollout, WorkloadKind::Deployment]);
        let denied = denied(&missing, Some("shop"));
        let said = |kind: WorkloadKind, action: Action| {
            denied.get(&kind)?.iter().find(|bar| bar.actions.contains(action)).map(|bar| bar.why.as_str())
        };
        assert_eq!(said(WorkloadKind::Rollout, Action::Abort), Some("you lack patch on rollouts/status in shop"));
        assert_eq!(said(WorkloadKind::Rollout, Action::Pause), Some("you lack patch on rollouts in shop"));
        assert_eq!(said(WorkloadKind::Deployment, Action::Rollback), Some("you lack patch on deployments in shop"));
        assert_eq!(said(WorkloadKind::Deployment, Action::Promote), None);
        assert_eq!(said(WorkloadKind::StatefulSet, Action::Restart), None);
    }

    #[test]
    fn what_is_not_known_bars_nothing_and_is_asked_once() {
        let mut access = Access { partial: vec![WorkloadKind::Deployment], ..Access::default() };
        assert!(access.denied(WorkloadKind::Deployment, "shop").is_empty() && access.is_open("shop"));
        access.learn("shop".into(), denied(&Right::all(&[WorkloadKind::Deployment]), Some("shop")));
        assert!(!access.is_open("shop") && access.is_open("bank"));
        assert_eq!(access.denied(WorkloadKind::Deployment, "shop").len(), 1);
        let mut settings = KubernetesSettings::new("east".into());
        settings.read_only = true;
        let access = Access { read_only: Some(read_only(&settings)), ..Access::default() };
        let denied = access.denied(WorkloadKind::Rollout, "any");
        assert_eq!(denied[0].why, "source east is read-only");
        assert!(denied[0].actions.contains(Action::Hold) && !access.is_open("any"));
    }
}
