//! `kind = "kubernetes"`: a context of a kubeconfig.

use super::access::lacking;
use super::client::ConnectError;
use super::client::{connect, doing};
use super::kind::{KINDS, watched};
use super::resource::Resource;
use super::settings::{EnvironmentRule, KubernetesSettings};
use super::source::Kubernetes;
use async_trait::async_trait;
use flightdeck_model::{SourceId, Tier};
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a login and the first answer of a cluster may take.
const CONNECTED: Duration = Duration::from_secs(20);

/// A context of a kubeconfig, as it is written in the settings.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Which context of the kubeconfig; without it the current one.
    #[schemars(title = "a context's name")]
    context: Option<String>,
    /// The file with contexts; without it `$KUBECONFIG`, else `~/.kube/config`.
    #[schemars(title = "a file's path")]
    kubeconfig: Option<PathBuf>,
    /// Namespaces to watch; without any all.
    #[schemars(title = "a list of namespaces")]
    namespaces: Vec<String>,
    /// Label selector that workloads must match, such as `team=shop`.
    #[schemars(title = "a label selector such as \"team=shop\"")]
    selector: Option<String>,
    /// Kinds of workload to watch; without any all of them.
    #[schemars(title = "a list of kinds")]
    kinds: Vec<KindName>,
    /// The environment that this source is; without it the source's name.
    #[schemars(title = "an environment's name")]
    environment: Option<String>,
    /// How much care that environment asks for: `low`, `standard` or `critical`.
    tier: Option<Tier>,
    /// The name that people have at the cluster, with `{user}` for the one they have here, such as
    /// `"{user}@example.com"`: their commands are sent in it, so that the cluster says what they may. For a server,
    /// whose account is not theirs; the account needs the right to impersonate them.
    #[schemars(title = "a name such as \"{user}@example.com\"")]
    impersonate: Option<String>,
    /// Position of its environments in the order of promotion, lowest first.
    #[schemars(range(max = 1000))]
    order: Option<u32>,
    /// Namespaces that are other environments; the first that fits counts.
    #[schemars(title = "a list such as [{ namespaces = \"shop-*\", environment = \"production\" }]")]
    environments: Vec<NamespaceRule>,
}

/// Namespaces that are an environment.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamespaceRule {
    /// A namespace's name, with `*` for any characters.
    #[schemars(title = "a namespace's name, with * for any characters")]
    namespaces: String,
    /// The environment that they are.
    #[schemars(title = "its name")]
    environment: String,
    /// How much care it asks for.
    #[serde(default)]
    tier: Tier,
}

/// A kind of workload, by the name that URLs have.
#[derive(Debug, Clone, Copy)]
struct KindName(Resource);

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<KindName, D::Error> {
        let name = String::deserialize(from)?;
        let found = KINDS.iter().map(|kind| kind.resource()).find(|kind| kind.plural == name);
        found.map(KindName).ok_or_else(|| {
            let known: Vec<_> = KINDS.iter().map(|kind| format!("`{}`", kind.resource().plural)).collect();
            D::Error::custom(format!("unknown kind `{name}`, expected one of {}", known.join(", ")))
        })
    }
}

impl JsonSchema for KindName {
    fn schema_name() -> Cow<'static, str> {
        "WorkloadKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds = KINDS.iter().map(|kind| kind.resource());
        let choices = kinds.map(|kind| {
            let api = format!("`{}` {}.", kind.api_version(), kind.kind);
            json_schema!({ "description": api, "type": "string", "const": kind.plural })
        });
        json_schema!({ "description": "A kind of workload.", "oneOf": choices.collect::<Vec<_>>() })
    }
}

/// The kind in the registry.
#[derive(Debug, Clone, Copy)]
pub struct KubernetesProvider;

fn settings(source: SourceId, read_only: bool, settings: &RawSettings) -> Result<KubernetesSettings, WrongSetting> {
    let read: Settings = typed(settings)?;
    if let Some(path) = read.kubeconfig.as_ref().filter(|path| !path.is_absolute()) {
        let what = format!("expected an absolute path, found {:?}", path.display().to_string());
        return Err(WrongSetting::at("kubeconfig", what));
    }
    let rules = read.environments.into_iter().map(|rule| EnvironmentRule {
        namespaces: rule.namespaces,
        environment: rule.environment.as_str().into(),
        tier: rule.tier,
    });
    if let Some(pattern) = read.impersonate.as_ref().filter(|pattern| !pattern.contains("{user}")) {
        let what = format!("expected {{user}} in it, such as \"{{user}}@example.com\", found {pattern:?}");
        return Err(WrongSetting::at("impersonate", what));
    }
    let usual = KubernetesSettings::new(source);
    Ok(KubernetesSettings {
        kubeconfig: read.kubeconfig,
        context: read.context,
        namespaces: read.namespaces,
        selector: read.selector,
        kinds: read.kinds.into_iter().map(|kind| kind.0).collect(),
        environments: rules.collect(),
        environment: read.environment.as_deref().map(Into::into),
        tier: read.tier.unwrap_or(usual.tier),
        order: read.order.unwrap_or(usual.order),
        impersonate: read.impersonate,
        read_only,
        ..usual
    })
}

#[async_trait]
impl Provider for KubernetesProvider {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn about(&self) -> &'static str {
        "Deployments, StatefulSets, DaemonSets and Argo Rollouts of a context of a kubeconfig"
    }

    fn section(&self) -> Section {
        Section::Sources
    }

    fn acts_as_people(&self) -> bool {
        true
    }

    fn schema(&self) -> Schema {
        schema_of::<Settings>()
    }

    fn check(&self, raw: &RawSettings) -> Result<(), WrongSetting> {
        settings("checked".into(), false, raw).map(drop)
    }

    fn describe(&self, raw: &RawSettings) -> String {
        let Ok(settings) = settings("described".into(), false, raw) else { return "a cluster".to_owned() };
        let context = settings.context.as_ref();
        let mut words = vec![context.map_or("the current context".to_owned(), |name| format!("context {name}"))];
        words.push(match settings.namespaces.as_slice() {
            [] => "all namespaces".to_owned(),
            [one] => format!("namespace {one}"),
            several => format!("namespaces {}", several.join(" ")),
        });
        words.extend(settings.selector.iter().map(|selector| format!("labels {selector}")));
        if watched(&settings).len() < KINDS.len() {
            let kinds: Vec<_> = settings.kinds.iter().map(|kind| kind.plural).collect();
            words.push(format!("only {}", kinds.join(" ")));
        }
        words.join(", ")
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let settings = settings(configured.name.clone(), configured.read_only, &configured.settings)?;
        let settings = KubernetesSettings { for_others: configured.for_others, ..settings };
        Ok(System::Executor(Arc::new(Kubernetes::new(settings))))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        match settings(configured.name.clone(), configured.read_only, &configured.settings) {
            Ok(settings) => looked_at(settings).await,
            Err(wrong) => Checked::Bad { what: wrong.what, todo: "mend the file".to_owned() },
        }
    }
}

/// Logs in, and asks what one may do there.
async fn looked_at(mut settings: KubernetesSettings) -> Checked {
    let bad = |what: String, todo: &str| Checked::Bad { what, todo: todo.to_owned() };
    let doubtful = |what: String, todo: &str| Checked::Doubtful { what, todo: todo.to_owned() };
    let (doing, at) = doing();
    let cluster = match timeout(CONNECTED, connect(&settings, &doing)).await {
        Ok(Ok(cluster)) => cluster,
        Err(_) => {
            let what = format!("no connection within {} s: {}", CONNECTED.as_secs(), *at.borrow());
            return bad(what, "does `kubectl auth whoami` in that context answer?");
        }
        Ok(Err(error)) => {
            let todo = match &error {
                ConnectError::Kubeconfig(_) | ConnectError::Context(_) => "`kubectl config get-contexts` lists them",
                ConnectError::Unusable { .. } => "log in in your shell first; flightdeck never asks",
                ConnectError::Server(_) => "does `kubectl auth whoami` in that context say the same?",
            };
            return bad(error.to_string(), todo);
        }
    };
    let mut who = format!("context {} answers; you are {}", cluster.context, cluster.identity);
    if let Some(namespace) = &cluster.only {
        who = format!("{who}, only namespace {namespace} is looked at, since you may not list all namespaces,");
        settings.namespaces = vec![namespace.clone()];
    }
    let lacking = match lacking(&cluster, &settings).await {
        Ok(lacking) => lacking,
        Err(why) => return doubtful(format!("{who}; what you may do is not known: {why}"), "try again"),
    };
    let all: Vec<_> = lacking.read.iter().chain(&lacking.change).map(String::as_str).collect();
    let lack = format!("{who}, and lack {}", all.join("; "));
    match (lacking.read.is_empty(), lacking.change.is_empty()) {
        (true, true) if settings.read_only => Checked::Good(format!("{who} and may read all that it looks at")),
        (true, true) => Checked::Good(format!("{who} and may read and change all that it looks at")),
        (true, false) => {
            doubtful(lack, "have the role of config/kubernetes/operator.yaml bound to you, or set read_only = true")
        }
        (false, _) => bad(
            lack,
            "have the role of config/kubernetes/reader.yaml bound to you, or narrow the source: \
             `namespaces = [\"NAME\"]`, `kinds = [\"rollouts\"]` in its table [sources.NAME] of config.toml",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_that_is_none_is_answered_with_those_that_there_are() {
        let raw = |kinds: serde_json::Value| RawSettings::from_iter([("kinds".to_owned(), kinds)]);
        let read = settings("east".into(), false, &raw(json!(["statefulsets", "rollouts"]))).unwrap();
        let names: Vec<_> = read.kinds.iter().map(|kind| kind.kind).collect();
        assert_eq!(names, ["StatefulSet", "Rollout"]);
        let wrong = KubernetesProvider.check(&raw(json!(["jobs"]))).expect_err("no kind");
        let all = "unknown kind `jobs`, expected one of `rollouts`, `deployments`, `statefulsets`, `daemonsets`";
        assert_eq!(wrong.what, all);
        let said = |kinds| KubernetesProvider.describe(&raw(kinds));
        assert!(said(json!(["rollouts"])).ends_with("all namespaces, only rollouts"));
        assert!(said(json!([])).ends_with("all namespaces"));
    }
}
