//! `[sources.NAME]`: what the cockpit and the command line look at themselves, without a server.

use super::super::error::nearest;
use super::super::reader::{Table, Value, alternatives, quoted};
use flightdeck_model::{Tier, has_hidden};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Kinds of workload that a Kubernetes source can watch, as Kubernetes names their resources.
pub const WORKLOADS: [&str; 4] = ["rollouts", "deployments", "statefulsets", "daemonsets"];
/// The server on this machine has this name.
const LOCAL: &str = "local";
/// Longest name of a source: it stands in the header.
const LONGEST: usize = 64;

/// What sort of source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A context of a kubeconfig.
    #[default]
    Kubernetes,
    /// A program of your own that speaks JSON lines on its standard input and output.
    Exec,
}

/// One source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// `kubernetes` or `exec`.
    pub kind: SourceKind,
    /// Nothing may be changed through it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Kubernetes: which context of the kubeconfig; without it the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Kubernetes: the file with contexts; without it `$KUBECONFIG`, else `~/.kube/config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Kubernetes: namespaces to watch; without any all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Kubernetes: label selector that workloads must match, such as `team=shop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Kubernetes: kinds of workload to watch; without any all four.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Kubernetes: the environment that this source is; without it the source's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Kubernetes: how much care that environment asks for: `low`, `standard` or `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Kubernetes: position of its environments in the order of promotion, lowest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// Kubernetes: namespaces that are other environments; the first that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<NamespaceRule>,
    /// Exec: the program, by its absolute path, and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// Namespaces that are an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceRule {
    /// A namespace's name, with `*` for any characters.
    pub namespaces: String,
    /// The environment that they are.
    pub environment: String,
    /// How much care it asks for.
    #[serde(default)]
    pub tier: Tier,
}

const TIERS: [(&str, Tier); 3] = [("low", Tier::Low), ("standard", Tier::Standard), ("critical", Tier::Critical)];
const KINDS: [(&str, SourceKind); 2] = [("kubernetes", SourceKind::Kubernetes), ("exec", SourceKind::Exec)];
const EVERY: [&str; 2] = ["kind", "read_only"];
const KUBERNETES: [&str; 9] =
    ["context", "kubeconfig", "namespaces", "selector", "kinds", "environment", "tier", "order", "environments"];
const EXEC: [&str; 1] = ["command"];

/// Reads one `[sources.NAME]`; what is wrong is noted, key by key.
pub(super) fn read(name: &str, value: &Value<'_>) -> Source {
    if let Some(what) = wrong_name(name) {
        value.wrong_key(&what, None);
    }
    let Some(table) = value.map() else { return Source::default() };
    let kind = table.get("kind").and_then(|kind| kind.word(&KINDS)).unwrap_or_default();
    only(&table, kind);
    let text = |key: &str, what: &str| table.get(key).and_then(|value| some_text(&value, what));
    let source = Source {
        kind,
        read_only: table.get("read_only").and_then(|value| value.flag()).unwrap_or_default(),
        context: text("context", "a context's name"),
        kubeconfig: text("kubeconfig", "a file's path").map(PathBuf::from),
        namespaces: texts(&table, "namespaces", "a list of namespaces"),
        selector: text("selector", "a label selector such as \"team=shop\""),
        kinds: kinds(&table),
        environment: text("environment", "an environment's name"),
        tier: table.get("tier").and_then(|value| value.word(&TIERS)),
        order: table.get("order").and_then(|value| value.count(0..=1000)),
        environments: rules(&table),
        command: texts(&table, "command", "a list: the program's path and its arguments"),
    };
    if let Some(what) = wrong_path(&source)
        && let Some(value) = table.get("kubeconfig")
    {
        value.wrong(&what, None);
    }
    if let Some(what) = wrong_command(&source) {
        match table.get("command") {
            Some(value) => value.wrong(&what, None),
            None => table.wrong(&what),
        }
    }
    source
}

/// What is wrong with sources that came from elsewhere than a file.
pub(super) fn wrong(sources: &std::collections::BTreeMap<String, Source>) -> Option<String> {
    sources.iter().find_map(|(name, source)| {
        let kinds = source.kinds.iter().find(|kind| !WORKLOADS.contains(&kind.as_str()));
        let kinds = kinds.map(|kind| format!("kinds: expected {}, found {kind:?}", alternatives(&WORKLOADS)));
        let what = wrong_name(name).or(kinds).or_else(|| wrong_path(source)).or_else(|| wrong_command(source))?;
        Some(format!("{name}: {what}"))
    })
}

fn wrong_name(name: &str) -> Option<String> {
    if name == LOCAL {
        return Some("expected another name: \"local\" is the server of this machine".to_owned());
    }
    let odd = |c: char| c.is_whitespace() || c == '/' || c == '@' || c == '=';
    (name.is_empty() || name.len() > LONGEST || name.contains(odd) || has_hidden(name))
        .then(|| format!("expected a name of 1 to {LONGEST} visible characters without spaces, \"/\", \"@\" and \"=\""))
}

fn wrong_path(source: &Source) -> Option<String> {
    let path = source.kubeconfig.as_ref().filter(|path| !path.is_absolute())?;
    Some(format!("expected an absolute path, found {:?}", path.display().to_string()))
}

fn wrong_command(source: &Source) -> Option<String> {
    if source.kind != SourceKind::Exec {
        return None;
    }
    match source.command.first() {
        None => Some("expected command = [\"/path/to/program\"] for kind \"exec\", found nothing".to_owned()),
        Some(program) if !Path::new(program).is_absolute() => {
            Some(format!("expected the program's absolute path first, found {program:?}"))
        }
        Some(_) => None,
    }
}

/// Notes keys that there are not, and keys of the other kind.
fn only(table: &Table<'_>, kind: SourceKind) {
    let own: &[&str] = if kind == SourceKind::Exec { &EXEC } else { &KUBERNETES };
    let known: Vec<&str> = EVERY.iter().chain(own).copied().collect();
    for (name, value) in table.entries().filter(|(name, _)| !known.contains(name)) {
        let other = KUBERNETES.iter().chain(&EXEC).any(|key| *key == name);
        let word = if kind == SourceKind::Exec { "exec" } else { "kubernetes" };
        let (what, meant) = if other {
            (format!("there is no such key for kind {word:?}, expected {}", alternatives(&known)), None)
        } else {
            let meant = nearest(name, known.iter().copied()).map(quoted);
            (format!("unknown key, expected {}", alternatives(&known)), meant)
        };
        value.wrong_key(&what, meant);
    }
}

fn some_text(value: &Value<'_>, expected: &str) -> Option<String> {
    let text = value.text(expected)?;
    if text.is_empty() {
        value.expected(expected, None);
        return None;
    }
    Some(text.to_owned())
}

fn texts(table: &Table<'_>, key: &str, expected: &str) -> Vec<String> {
    let elements = table.get(key).and_then(|value| value.list(expected)).unwrap_or_default();
    elements.iter().filter_map(|element| some_text(element, "text")).collect()
}

fn kinds(table: &Table<'_>) -> Vec<String> {
    let words = WORKLOADS.map(|word| (word, word));
    let elements = table.get("kinds").and_then(|value| value.list("a list of kinds")).unwrap_or_default();
    elements.iter().filter_map(|element| element.word(&words)).map(str::to_owned).collect()
}

fn rules(table: &Table<'_>) -> Vec<NamespaceRule> {
    let expected = "a list such as [{ namespaces = \"shop-*\", environment = \"production\" }]";
    let elements = table.get("environments").and_then(|value| value.list(expected)).unwrap_or_default();
    let rule = |element: &Value<'_>| {
        let table = element.table(&["namespaces", "environment", "tier"])?;
        let text = |key: &str, what: &str| table.need(key, what).and_then(|value| some_text(&value, what));
        let (namespaces, environment) =
            (text("namespaces", "a namespace's name, with * for any characters"), text("environment", "its name"));
        let tier = table.get("tier").and_then(|value| value.word(&TIERS)).unwrap_or_default();
        Some(NamespaceRule { namespaces: namespaces?, environment: environment?, tier })
    };
    elements.iter().filter_map(rule).collect()
}
