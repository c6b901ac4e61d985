//! What this process looks at itself: the sources of the settings, `--context`, or the current context.

use super::{Context, Failure};
use crate::cockpit::app::Found;
use crate::config::settings::{self, Source, configured, provider};
use crate::integration::orchestrator::kubernetes::kubeconfig::{KubeconfigError, Places};
use crate::integration::{PROVIDERS, Unopened};
use crate::model::{Scope, SourceId, sanitize_line};
use crate::port::{Checked, Configured, Executor, Probe, Provider, Section, System, WrongSetting};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A source and what makes it.
#[derive(Clone)]
pub(super) struct Planned {
    provider: &'static dyn Provider,
    configured: Configured,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Planned").field(&self.provider.kind()).field(&self.configured).finish()
    }
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
    fn new(name: &str, source: &Source) -> Result<Planned, Failure> {
        let found = provider(PROVIDERS, Section::Sources, &source.kind, |key| source.settings.contains_key(key));
        let provider =
            found.ok_or_else(|| Failure::usage(format!("sources.{name}: there is no kind {:?}", source.kind)))?;
        Ok(Planned { provider, configured: configured(name, source.read_only, &source.settings) })
    }

    /// What it is called.
    pub(super) fn source(&self) -> &SourceId {
        &self.configured.name
    }

    /// What it looks at, in words.
    pub(super) fn looks_at(&self) -> String {
        sanitize_line(&self.provider.describe(&self.configured.settings))
    }

    /// Does it answer, and what may one do there?
    pub(super) async fn doctor(&self) -> Checked {
        self.provider.doctor(&self.configured).await
    }

    /// Has it numbers of other sources' rows, and none of its own?
    pub(super) fn measures_others(&self) -> bool {
        self.provider.measures_others()
    }

    /// Made, where it has numbers of other sources' rows; else why not.
    pub(super) async fn probe(&self) -> Result<Arc<dyn Probe>, String> {
        match self.provider.open(&self.configured).await {
            Ok(System::Probe(probe)) => Ok(probe),
            Ok(_) => Err("it measures nothing".to_owned()),
            Err(WrongSetting { key, what }) => Err(key.map_or_else(|| what.clone(), |key| format!("{key}: {what}"))),
        }
    }

    /// Has it alerts that concern other sources' rows, and none of those itself?
    pub(super) fn tells_alerts(&self) -> bool {
        self.provider.tells_alerts()
    }

    /// Does it tell only of what others show?
    fn is_beside(&self) -> bool {
        self.measures_others() || self.tells_alerts()
    }

    /// Is it meant by this word of `--context`: its name, or the context that it looks at?
    fn goes_by(&self, word: &str) -> bool {
        let context = self.configured.settings.get("context").and_then(serde_json::Value::as_str);
        self.source().as_str() == word || context == Some(word)
    }
}

/// What a hub is made over.
#[derive(Default)]
pub(super) struct Opened {
    pub executors: Vec<Arc<dyn Executor>>,
    pub probes: Vec<Arc<dyn Probe>>,
}

/// Makes them; nothing is connected yet. One that can't be made stands there and says why, since the others count too.
pub(super) async fn open(planned: Vec<Planned>) -> Opened {
    let Opened { mut executors, mut probes } = Opened::default();
    for Planned { provider, configured } in planned {
        let opened = match provider.open(&configured).await {
            Ok(System::Executor(executor)) => Ok(executor),
            Ok(System::Probe(probe)) => {
                probes.push(probe);
                continue;
            }
            Ok(System::Sink(_)) => Err("it shows nothing".to_owned()),
            Err(WrongSetting { key, what }) => Err(key.map_or_else(|| what.clone(), |key| format!("{key}: {what}"))),
        };
        executors.push(opened.unwrap_or_else(|why| {
            tracing::warn!(source = %configured.name, why, "a source can't be opened");
            Arc::new(Unopened {
                source: configured.name,
                part: if provider.tells_alerts() { Scope::ALERTS_PART } else { "" },
                why: sanitize_line(&format!("{why}; once that is mended, start flightdeck again")),
                since: now(),
            })
        }));
    }
    Opened { executors, probes }
}

#[expect(clippy::disallowed_methods, reason = "the command line is a shell: it says when it looked")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// The sources that a server looks at itself. Where it can't act in the name of whoever asks, it only looks.
pub(super) fn served(settings: &settings::Settings) -> Result<Vec<Planned>, Failure> {
    let named = settings.serve.sources.iter().filter_map(|name| Some((name, settings.sources.get(name)?)));
    named
        .map(|(name, source)| {
            let mut planned = Planned::new(name, source)?;
            planned.configured.for_others = true;
            planned.configured.read_only |= !planned.provider.acts_as_people();
            Ok(planned)
        })
        .collect()
}

/// What is to be looked at. `--server` alone means that server and nothing else.
pub(super) fn find(context: &Context) -> Result<Sources, Failure> {
    let settings = settings::load(&context.paths, PROVIDERS, &[])?.settings;
    let wanted = &context.globals.context;
    // Those of the server it tells itself, unless they are asked for by name.
    let own = |name: &String| wanted.contains(name) || !settings.serve.sources.contains(name);
    let planned: Vec<Planned> = settings
        .sources
        .iter()
        .filter(|(name, _)| own(name))
        .map(|(name, source)| Planned::new(name, source))
        .collect::<Result<_, _>>()?;
    let beside = || planned.iter().filter(|planned| planned.is_beside()).cloned();
    if !wanted.is_empty() {
        let mut sources = named(wanted, &planned)?;
        let asked: BTreeSet<_> = sources.planned.iter().map(|planned| planned.source().clone()).collect();
        sources.planned.extend(beside().filter(|planned| !asked.contains(planned.source())));
        return Ok(sources);
    }
    if context.globals.server.is_some() {
        return Ok(Sources::default());
    }
    if planned.iter().any(|planned| !planned.is_beside()) {
        return Ok(Sources { planned, ..Sources::default() });
    }
    let mut sources = current()?;
    // Numbers are those of what is looked at here; alerts can concern what a server shows, too.
    let here = !sources.planned.is_empty();
    sources.planned.extend(beside().filter(|planned| here || planned.tells_alerts()));
    Ok(sources)
}

/// The sources of the settings that have numbers of others' rows.
pub(super) fn measuring(context: &Context) -> Result<Vec<Planned>, Failure> {
    let configured = settings::load(&context.paths, PROVIDERS, &[])?.settings.sources;
    let planned: Vec<Planned> =
        configured.iter().map(|(name, source)| Planned::new(name, source)).collect::<Result<_, _>>()?;
    Ok(planned.into_iter().filter(Planned::measures_others).collect())
}

/// What `--context` names: sources of the settings by name or context, else contexts of the kubeconfig.
fn named(wanted: &[String], planned: &[Planned]) -> Result<Sources, Failure> {
    let mut sources = Sources::default();
    let mut seen = BTreeSet::new();
    for name in wanted.iter().filter(|name| seen.insert((*name).clone())) {
        match planned.iter().find(|planned| planned.goes_by(name)) {
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
    context_source(name)
}

fn context_source(name: &str) -> Result<Planned, Failure> {
    let settings = [("context".to_owned(), name.into())].into_iter().collect();
    Planned::new(&sanitize_line(name), &Source { settings, ..Source::default() })
}

/// The current context of the kubeconfig, where there is one.
fn current() -> Result<Sources, Failure> {
    let places = Places::of_environment();
    let what = format!("kubeconfig {places}");
    let found = |came: String, good| vec![Found { what: what.clone(), came, good }];
    let told = matches!(places, Places::Told(_));
    if !told && !places.files().iter().any(|path| path.exists()) {
        return Ok(Sources { found: found("not there".to_owned(), false), ..Sources::default() });
    }
    let read = match places.read() {
        Ok(read) => read,
        Err(error) => {
            let came = match &error {
                KubeconfigError::Gone(_) => "not there".to_owned(),
                _ => error.to_string(),
            };
            return Ok(Sources { found: found(came, false), unseen: Some(error.to_string()), ..Sources::default() });
        }
    };
    let names: Vec<_> = read.contexts.iter().map(|context| sanitize_line(&context.name)).collect();
    let contexts = if names.is_empty() { "no context".to_owned() } else { format!("contexts {}", names.join(", ")) };
    if let Some(current) = read.current_context.filter(|current| !current.is_empty()) {
        let came = format!("{contexts}; current: {}", sanitize_line(&current));
        Ok(Sources { planned: vec![context_source(&current)?], found: found(came, true), unseen: None })
    } else {
        let came = format!("{contexts}; none is the current one: flightdeck --context NAME");
        Ok(Sources { found: found(came, false), ..Sources::default() })
    }
}
