//! What this process looks at itself: the sources of the settings, `--context`, or the current context.

use super::{Context, Failure};
use crate::cockpit::app::Found;
use crate::config::settings::{self, Source, SourceKind};
use crate::integration::orchestrator::exec::{Exec, ExecSettings};
use crate::integration::orchestrator::kubernetes::kubeconfig::{KubeconfigError, Places};
use crate::integration::orchestrator::kubernetes::{EnvironmentRule, Kubernetes, KubernetesSettings, WorkloadKind};
use crate::model::{SourceId, sanitize_line};
use crate::port::Executor;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How to make one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Planned {
    /// A context of a kubeconfig.
    Kubernetes(Box<KubernetesSettings>),
    /// A program that speaks JSON lines.
    Exec(ExecSettings),
}

/// The sources, and what was looked for to find them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    /// In the order of their names.
    pub planned: Vec<Planned>,
    /// For the page that has nothing else to show.
    pub found: Vec<Found>,
    /// Why a kubeconfig that somebody named, or that is there, can't be used.
    pub unseen: Option<String>,
}

impl Planned {
    /// What it is called.
    pub(super) fn source(&self) -> &SourceId {
        match self {
            Planned::Kubernetes(settings) => &settings.source,
            Planned::Exec(settings) => &settings.source,
        }
    }

    /// What it looks at, in words.
    pub(super) fn looks_at(&self) -> String {
        let words = match self {
            Planned::Exec(settings) => format!("what `{}` tells", settings.command.join(" ")),
            Planned::Kubernetes(settings) => {
                let context = settings.context.as_ref();
                let mut words =
                    vec![context.map_or("the current context".to_owned(), |name| format!("context {name}"))];
                words.push(match settings.namespaces.as_slice() {
                    [] => "all namespaces".to_owned(),
                    [one] => format!("namespace {one}"),
                    several => format!("namespaces {}", several.join(" ")),
                });
                words.extend(settings.selector.iter().map(|selector| format!("labels {selector}")));
                if settings.kinds.len() < WorkloadKind::ALL.len() {
                    let kinds: Vec<_> = settings.kinds.iter().map(|kind| kind.resource()).collect();
                    words.push(format!("only {}", kinds.join(" ")));
                }
                words.join(", ")
            }
        };
        sanitize_line(&words)
    }
}

/// Makes them; nothing is connected yet.
pub(super) fn open(planned: Vec<Planned>) -> Vec<Arc<dyn Executor>> {
    planned.into_iter().map(one).collect()
}

fn one(planned: Planned) -> Arc<dyn Executor> {
    match planned {
        Planned::Kubernetes(settings) => Arc::new(Kubernetes::new(*settings)),
        Planned::Exec(settings) => Arc::new(Exec::new(settings)),
    }
}

/// What is to be looked at. `--server` alone means that server and nothing else.
pub(super) fn find(context: &Context) -> Result<Sources, Failure> {
    let configured = settings::load(&context.paths, &[])?.settings.sources;
    let wanted = &context.globals.context;
    let planned: Vec<Planned> =
        configured.iter().map(|(name, source)| from_settings(name, source)).collect::<Result<_, _>>()?;
    if !wanted.is_empty() {
        return named(wanted, &planned);
    }
    if context.globals.server.is_some() {
        return Ok(Sources::default());
    }
    if planned.is_empty() { Ok(current()) } else { Ok(Sources { planned, ..Sources::default() }) }
}

fn from_settings(name: &str, source: &Source) -> Result<Planned, Failure> {
    let id = SourceId::from(name);
    if source.kind == SourceKind::Exec {
        let (command, read_only) = (source.command.clone(), source.read_only);
        return Ok(Planned::Exec(ExecSettings { source: id, command, read_only }));
    }
    let rules = source.environments.iter().map(|rule| EnvironmentRule {
        namespaces: rule.namespaces.clone(),
        environment: rule.environment.as_str().into(),
        tier: rule.tier,
    });
    let kind = |word: &String| {
        WorkloadKind::from_name(word).ok_or_else(|| Failure::usage(format!("sources.{name}: {word:?} is no workload")))
    };
    let usual = KubernetesSettings::new(id);
    let kinds = source.kinds.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
    Ok(Planned::Kubernetes(Box::new(KubernetesSettings {
        kubeconfig: source.kubeconfig.clone(),
        context: source.context.clone(),
        namespaces: source.namespaces.clone(),
        selector: source.selector.clone(),
        kinds: if kinds.is_empty() { usual.kinds.clone() } else { kinds },
        environments: rules.collect(),
        environment: source.environment.as_deref().map(Into::into),
        tier: source.tier.unwrap_or(usual.tier),
        order: source.order.unwrap_or(usual.order),
        read_only: source.read_only,
        ..usual
    })))
}

/// What `--context` names: sources of the settings by name or context, else contexts of the kubeconfig.
fn named(wanted: &[String], planned: &[Planned]) -> Result<Sources, Failure> {
    let mut sources = Sources::default();
    let mut seen = BTreeSet::new();
    for name in wanted.iter().filter(|name| seen.insert((*name).clone())) {
        let fits = |planned: &&Planned| match planned {
            Planned::Kubernetes(settings) => {
                settings.source.as_str() == name || settings.context.as_ref() == Some(name)
            }
            Planned::Exec(settings) => settings.source.as_str() == name,
        };
        match planned.iter().find(fits) {
            Some(known) => sources.planned.push(known.clone()),
            None => sources.planned.push(of_context(name)?),
        }
    }
    Ok(sources)
}

fn of_context(name: &str) -> Result<Planned, Failure> {
    let places = Places::of_environment();
    let read = places
        .read()
        .map_err(|error| Failure::usage(format!("--context {name}: {error}")).todo(format!("looked at {places}")))?;
    let names: Vec<_> = read.contexts.iter().map(|context| context.name.clone()).collect();
    if !names.iter().any(|known| known == name) {
        let known = names.iter().map(|name| sanitize_line(name)).collect::<Vec<_>>().join(", ");
        let what = format!("there is no context {name:?} in {places}");
        return Err(Failure::usage(what).todo(format!("there are: {known}")));
    }
    Ok(context_source(name))
}

fn context_source(name: &str) -> Planned {
    let settings = KubernetesSettings::new(SourceId(sanitize_line(name)));
    Planned::Kubernetes(Box::new(KubernetesSettings { context: Some(name.to_owned()), ..settings }))
}

/// The current context of the kubeconfig, where there is one.
fn current() -> Sources {
    let places = Places::of_environment();
    let what = format!("kubeconfig {places}");
    let found = |came: String, good| vec![Found { what: what.clone(), came, good }];
    let told = matches!(places, Places::Told(_));
    if !told && !places.files().iter().any(|path| path.exists()) {
        return Sources { found: found("not there".to_owned(), false), ..Sources::default() };
    }
    let read = match places.read() {
        Ok(read) => read,
        Err(error) => {
            let came = match &error {
                KubeconfigError::Gone(_) => "not there".to_owned(),
                _ => error.to_string(),
            };
            return Sources { found: found(came, false), unseen: Some(error.to_string()), ..Sources::default() };
        }
    };
    let names: Vec<_> = read.contexts.iter().map(|context| sanitize_line(&context.name)).collect();
    let contexts = if names.is_empty() { "no context".to_owned() } else { format!("contexts {}", names.join(", ")) };
    if let Some(current) = read.current_context.filter(|current| !current.is_empty()) {
        let came = format!("{contexts}; current: {}", sanitize_line(&current));
        Sources { planned: vec![context_source(&current)], found: found(came, true), unseen: None }
    } else {
        let came = format!("{contexts}; none is the current one: flightdeck --context NAME");
        Sources { found: found(came, false), ..Sources::default() }
    }
}
