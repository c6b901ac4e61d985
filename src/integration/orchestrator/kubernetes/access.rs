//! What we may not do, asked of the cluster: keys are dimmed with the verb that is missing.

use super::client::{ANSWER, Cluster};
use super::explain::sentence;
use super::kind::{Kind, Right, watched};
use super::resource::Resource;
use super::settings::KubernetesSettings;
use flightdeck_model::{Action, Denied};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::timeout;

/// What is patched of a kind.
type Needed = (&'static dyn Kind, Right);

/// What is patched of these kinds: the objects themselves, then parts of theirs.
fn needed(kinds: &[&'static dyn Kind]) -> Vec<Needed> {
    let all = kinds.iter().flat_map(|kind| kind.rights().iter().map(|right| (*kind, *right)));
    let (whole, parts): (Vec<_>, Vec<_>) = all.partition(|(_, right)| right.subresource.is_none());
    whole.into_iter().chain(parts).collect()
}

/// As in a role: `rollouts/status`.
fn name((kind, right): Needed) -> String {
    let plural = kind.resource().plural;
    right.subresource.map_or_else(|| plural.to_owned(), |sub| format!("{plural}/{sub}"))
}

/// What is missing, by kind; `namespace` is for the sentence.
fn denied(missing: &[Needed], namespace: Option<&str>) -> Bars {
    let mut denied: BTreeMap<Resource, Vec<Denied>> = BTreeMap::new();
    for (kind, right) in missing {
        let place = namespace.map_or(String::new(), |namespace| format!(" in {namespace}"));
        let why = format!("you lack patch on {}{place}", name((*kind, *right)));
        let actions = right.actions.iter().copied().collect();
        denied.entry(kind.resource()).or_default().push(Denied { actions, why });
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
        let each = watched(settings)
            .into_iter()
            .map(|kind| allowed(client, attributes("list", kind.resource(), None, namespace)));
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
    partial: Vec<&'static dyn Kind>,
    namespaces: BTreeMap<String, Bars>,
}

impl Access {
    /// What is denied for that kind there; nothing as long as it is not known.
    pub fn denied(&self, kind: Resource, namespace: &str) -> &Arc<[Denied]> {
        let known = self.namespaces.get(namespace).and_then(|kinds| kinds.get(&kind));
        self.read_only.as_ref().or(known).unwrap_or(&self.none)
    }

    /// Must that namespace be asked about?
    pub fn is_open(&self, namespace: &str) -> bool {
        self.read_only.is_none() && !self.partial.is_empty() && !self.namespaces.contains_key(namespace)
    }

    /// The kinds to ask about, namespace by namespace.
    pub fn partial(&self) -> Vec<&'static dyn Kind> {
        self.partial.clone()
    }

    /// Takes in what was found out about a namespace.
    pub fn learn(&mut self, namespace: String, denied: Bars) {
        self.namespaces.insert(namespace, denied);
    }
}

/// Bars of one namespace, by kind.
pub(super) type Bars = BTreeMap<Resource, Arc<[Denied]>>;

/// Asks what may be done everywhere.
pub(super) async fn everywhere(client: &Client, settings: &KubernetesSettings) -> Result<Access, String> {
    if settings.read_only {
        return Ok(Access { read_only: Some(read_only(settings)), ..Access::default() });
    }
    if settings.impersonate.is_some() {
        // What people may is theirs, and the cluster says it with each command.
        return Ok(Access::default());
    }
    let kinds = watched(settings);
    let missing = missing(client, &needed(&kinds), None).await?;
    let partial = kinds.into_iter().filter(|kind| missing.iter().any(|(of, _)| of == kind)).collect();
    Ok(Access { partial, ..Access::default() })
}

/// Asks what may be done in one namespace.
pub(super) async fn within(client: &Client, kinds: &[&'static dyn Kind], namespace: &str) -> Result<Bars, String> {
    let missing = missing(client, &needed(kinds), Some(namespace)).await?;
    Ok(denied(&missing, Some(namespace)))
}

async fn missing(client: &Client, needed: &[Needed], namespace: Option<&str>) -> Result<Vec<Needed>, String> {
    let answers = needed.iter().map(|(kind, right)| async move {
        let attributes = attributes("patch", kind.resource(), right.subresource, namespace);
        Ok::<_, String>(((*kind, *right), allowed(client, attributes).await?))
    });
    let answers = futures::future::try_join_all(answers).await?;
    Ok(answers.into_iter().filter(|(_, may)| !may).map(|(needed, _)| needed).collect())
}

/// What is listed beside the kinds that are watched, whichever those are.
const BESIDE: [Resource; 4] =
    [Resource::REPLICA_SETS, Resource::CONTROLLER_REVISIONS, Resource::PODS, Resource::EVENTS];

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
    let kinds = watched(settings);
    let needed = needed(if settings.read_only { &[] } else { &kinds });
    for namespace in if named.is_empty() { &[None] } else { named.as_slice() } {
        let (read, change) = futures::future::try_join(
            unread(&cluster.reader, &kinds, *namespace),
            missing(&cluster.reader, &needed, *namespace),
        )
        .await?;
        let place = namespace.map_or(String::new(), |namespace| format!(" in {namespace}"));
        let change: Vec<_> = change.into_iter().map(name).collect();
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
async fn unread(client: &Client, kinds: &[&dyn Kind], namespace: Option<&str>) -> Result<Vec<String>, String> {
    let watched = kinds.iter().map(|kind| (["get", "list", "watch"].as_slice(), kind.resource()));
    let beside = BESIDE.into_iter().chain(kinds.iter().flat_map(|kind| kind.listed_beside()).copied());
    let beside = beside.map(|resource| (["list"].as_slice(), resource));
    let asked = watched.chain(beside).map(|(verbs, resource)| async move {
        let verbs = verbs.iter().map(|verb| async move {
            let allowed = allowed(client, attributes(verb, resource, None, namespace)).await?;
            Ok::<_, String>((!allowed).then_some(*verb))
        });
        let verbs: Vec<_> = futures::future::try_join_all(verbs).await?.into_iter().flatten().collect();
        Ok::<_, String>((!verbs.is_empty()).then(|| format!("{} on {}", verbs.join("/"), resource.plural)))
    });
    Ok(futures::future::try_join_all(asked).await?.into_iter().flatten().collect())
}

fn attributes(
    verb: &str,
    resource: Resource,
    subresource: Option<&str>,
    namespace: Option<&str>,
) -> ResourceAttributes {
    ResourceAttributes {
        group: Some(resource.group.to_owned()),
        resource: Some(resource.plural.to_owned()),
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
    use crate::orchestrator::kubernetes::kind::named;

    fn of(name: &str) -> &'static dyn Kind {
        named(name).unwrap()
    }

    #[test]
    fn a_missing_right_bars_the_actions_that_need_it_and_is_named() {
        let missing = needed(&[of("Rollout"), of("Deployment")]);
        let denied = denied(&missing, Some("shop"));
        let said = |kind: &str, action: Action| {
            denied
                .get(&of(kind).resource())?
                .iter()
                .find(|bar| bar.actions.contains(action))
                .map(|bar| bar.why.as_str())
        };
        assert_eq!(said("Rollout", Action::Abort), Some("you lack patch on rollouts/status in shop"));
        assert_eq!(said("Rollout", Action::Pause), Some("you lack patch on rollouts in shop"));
        assert_eq!(said("Deployment", Action::Rollback), Some("you lack patch on deployments in shop"));
        assert_eq!(said("Deployment", Action::Promote), None);
        assert_eq!(said("StatefulSet", Action::Restart), None);
    }

    #[test]
    fn what_is_not_known_bars_nothing_and_is_asked_once() {
        let mut access = Access { partial: vec![of("Deployment")], ..Access::default() };
        assert!(access.denied(of("Deployment").resource(), "shop").is_empty() && access.is_open("shop"));
        access.learn("shop".into(), denied(&needed(&[of("Deployment")]), Some("shop")));
        assert!(!access.is_open("shop") && access.is_open("bank"));
        assert_eq!(access.denied(of("Deployment").resource(), "shop").len(), 1);
        let mut settings = KubernetesSettings::new("east".into());
        settings.read_only = true;
        let access = Access { read_only: Some(read_only(&settings)), ..Access::default() };
        let denied = access.denied(of("Rollout").resource(), "any");
        assert_eq!(denied[0].why, "source east is read-only");
        assert!(denied[0].actions.contains(Action::Hold) && !access.is_open("any"));
    }
}
