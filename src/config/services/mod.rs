//! `flightdeck.toml`: what a person wants to run.

mod canary;
mod hooks;
mod placement;
mod relations;
mod strategy;
#[cfg(test)]
mod strategy_tests;
#[cfg(test)]
mod tests;

use super::error::{ConfigError, nearest};
use super::reader::{Report, Table, Value, alternatives, document, quoted};
use crate::model::{
    AnalysisTemplate, EnvironmentName, EnvironmentSpec, HealthSpec, ServiceName, ServiceSpec, Spec, StopSpec, Tier,
};
use jiff::SignedDuration;
use placement::Listener;
use relations::Relations;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml::Spanned;
use toml::de::DeTable;

/// What an instance's command line may contain.
const PLACEHOLDERS: [&str; 4] = ["port", "instance", "version", "environment"];
/// How an instance may be told to end.
const SIGNALS: [&str; 6] = ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"];
const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Reads `flightdeck.toml`, whole or not at all.
///
/// `path` is where it lies: named in messages, and the base of relative secret paths, for which it
/// must be absolute. Reads no other file.
///
/// # Errors
/// Everything that is wrong: syntax errors alone, else all the rest at once.
pub fn parse(text: &str, path: &Path) -> Result<Spec, ConfigError> {
    let report = Report::new(path, text);
    let spec = document(text, &report).and_then(|document| spec(&document, &report, path));
    report.finish(spec)
}

/// What the parts of a file need to know of each other.
struct Known<'d> {
    environments: BTreeSet<&'d str>,
    services: BTreeSet<&'d str>,
    analyses: BTreeSet<&'d str>,
    folder: Option<&'d Path>,
}

fn spec<'d>(document: &'d Spanned<DeTable<'d>>, report: &'d Report<'d>, path: &'d Path) -> Option<Spec> {
    let root = Table::root(document, report, &["environment", "service", "analysis"]);
    let section =
        |name| root.get(name).map_or(Some(Vec::new()), |value| Some(value.map()?.entries().collect::<Vec<_>>()));
    let (environments, services, analyses) = (section("environment"), section("service"), section("analysis"));
    let names = |section: &Option<Vec<(&'d str, Value<'d>)>>| {
        section.iter().flatten().map(|(name, _)| *name).collect::<BTreeSet<_>>()
    };
    let known = Known {
        environments: names(&environments),
        services: names(&services),
        analyses: names(&analyses),
        folder: path.parent().filter(|_| path.is_absolute()),
    };
    let mut relations = Relations::default();
    let environments = each(environments?, |name, value| environment(name, &value, &known, &mut relations));
    let analyses = each(analyses?, |_, value| canary::analysis(&value));
    let mut listeners = Vec::new();
    let services = each(services?, |name, value| service(name, &value, &known, &mut listeners, &mut relations));
    placement::clashes(&listeners);
    relations.check();
    Some(Spec {
        environments: environments?.into_iter().map(|(name, value)| (EnvironmentName(name), value)).collect(),
        services: services?.into_iter().map(|(name, value)| (ServiceName(name), value)).collect(),
        analyses: analyses?.into_iter().collect::<BTreeMap<String, AnalysisTemplate>>(),
    })
}

/// Reads every entry, so that all problems are noted; `None` if one of them is wrong.
fn each<'d, T>(
    section: Vec<(&'d str, Value<'d>)>,
    mut read: impl FnMut(&'d str, Value<'d>) -> Option<T>,
) -> Option<Vec<(String, T)>> {
    let all: Vec<_> = section
        .into_iter()
        .map(|(name, value)| {
            let named = is_name(name);
            if !named {
                value.wrong_key(&format!("expected {NAME}"), None);
            }
            read(name, value).filter(|_| named).map(|value| (name.to_owned(), value))
        })
        .collect();
    all.into_iter().collect()
}

/// What [`is_name`] asks for.
const NAME: &str =
    "a name of lower-case letters, digits, \"-\" and \"_\" that starts with a letter or digit, at most 63 characters";

/// Names become parts of paths, labels and `service@environment`.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63 && name.starts_with(plain) && name.chars().all(|c| plain(c) || matches!(c, '-' | '_'))
}

/// An optional value: `Some(default)` if it is absent, `None` (noted) if it is wrong.
fn or<'d, T>(table: &Table<'d>, key: &str, default: T, read: impl FnOnce(Value<'d>) -> Option<T>) -> Option<T> {
    table.get(key).map_or(Some(default), read)
}

fn environment<'d>(
    name: &'d str,
    value: &Value<'d>,
    known: &Known<'d>,
    relations: &mut Relations<'d>,
) -> Option<EnvironmentSpec> {
    let table = value.table(&["order", "tier", "concurrent_rollouts", "allow_self", "promote_from", "soak"])?;
    let order = or(&table, "order", 0, |value| value.count(0..=1000));
    let tier = or(&table, "tier", Tier::default(), |value| {
        value.word(&[("low", Tier::Low), ("standard", Tier::Standard), ("critical", Tier::Critical)])
    });
    let concurrent = or(&table, "concurrent_rollouts", None, |value| value.count(1..=1000).map(Some));
    let allow_self = or(&table, "allow_self", false, |value| value.flag());
    let promote_from = or(&table, "promote_from", None, |value| {
        relations::one_of("environment", &value, &known.environments)
            .inspect(|from| relations.promotes(name, from, value))
            .map(Some)
    });
    let soak = or(&table, "soak", SignedDuration::ZERO, |value| value.duration(SignedDuration::ZERO));
    if let Some(soak) = table.get("soak").filter(|_| table.get("promote_from").is_none()) {
        soak.wrong_key(
            "expected promote_from beside it: nothing soaks in an environment that nothing comes from",
            None,
        );
        return None;
    }
    relations.order(name, order);
    Some(EnvironmentSpec {
        order: order?,
        tier: tier?,
        concurrent_rollouts: concurrent?,
        allow_self: allow_self?,
        promote_from: promote_from?.map(EnvironmentName::from),
        soak: soak?,
    })
}

fn service<'d>(
    name: &'d str,
    value: &Value<'d>,
    known: &Known<'d>,
    listeners: &mut Vec<Listener<'d>>,
    relations: &mut Relations<'d>,
) -> Option<ServiceSpec> {
    let table = value.table(&["run", "env", "secrets", "health", "stop", "depends_on", "migration", "in"])?;
    let expected = "a list of texts such as [\"bin/app\", \"--port\", \"{port}\"]";
    let run = table.need("run", expected).and_then(|value| command(&value, expected, &PLACEHOLDERS));
    let env = or(&table, "env", BTreeMap::new(), |value| variables(&value));
    let secrets = or(&table, "secrets", BTreeMap::new(), |value| secrets(&value, &table, known));
    let health = table.need("health", "a table such as { path = \"/healthz\" }").and_then(|value| health(&value));
    let default = StopSpec { signal: "TERM".to_owned(), grace: SignedDuration::from_secs(10) };
    let stop = or(&table, "stop", default, |value| stop(&value));
    let depends_on = or(&table, "depends_on", Vec::new(), |value| relations.dependencies(name, &value, known));
    let migrations = or(&table, "migration", Vec::new(), |value| hooks::migrations(&value));
    let placements = table.need("in", "at least one table such as [service.NAME.in.production]").and_then(|value| {
        relations.runs_in(name, &value);
        placement::placements(&value, known, migrations.as_deref().unwrap_or_default(), listeners)
    });
    migrations?;
    Some(ServiceSpec {
        run: run?,
        env: env?,
        secrets: secrets?,
        health: health?,
        stop: stop?,
        depends_on: depends_on?,
        placements: placements?,
    })
}

fn command(value: &Value<'_>, expected: &str, placeholders: &[&str]) -> Option<Vec<String>> {
    let words: Option<Vec<_>> =
        value.list(expected)?.iter().map(|word| word.text("text").map(|text| (word.clone(), text))).collect();
    let words = words?;
    if words.first().is_none_or(|(_, program)| program.is_empty()) {
        value.wrong("expected a program as the first element, found none", None);
        return None;
    }
    let mut fine = true;
    for (word, text) in &words {
        for name in text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name) {
            // Braces that look like none of ours belong to the program.
            if let Some(meant) = word.nearest(name, placeholders.iter().copied()).filter(|meant| *meant != name) {
                word.wrong(&format!("unknown placeholder {{{name}}}"), Some(format!("{{{meant}}}")));
                fine = false;
            }
        }
    }
    fine.then(|| words.into_iter().map(|(_, text)| text.to_owned()).collect())
}

/// Reads a table of environment variables.
fn variables(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    let all: Vec<_> = value
        .map()?
        .entries()
        .map(|(name, value)| {
            let named = !name.is_empty() && !name.contains(['=', '\0']);
            if !named {
                value.wrong_key("expected the name of an environment variable, without \"=\"", None);
            }
            value
                .text("text, as environment variables are")
                .filter(|_| named)
                .map(|text| (name.to_owned(), text.to_owned()))
        })
        .collect();
    all.into_iter().collect()
}

fn secrets(value: &Value<'_>, service: &Table<'_>, known: &Known<'_>) -> Option<BTreeMap<String, String>> {
    variables(value)?;
    let plain = service.get("env").and_then(|env| env.map());
    let all: Vec<_> = value
        .map()?
        .entries()
        .map(|(name, value)| {
            if plain.as_ref().is_some_and(|plain| plain.get(name).is_some()) {
                value.wrong_key("is in \"env\" already; expected each variable in one of the two", None);
                return None;
            }
            let text = value.text("\"file:PATH\"")?;
            let Some(file) = text.strip_prefix("file:").filter(|file| !file.is_empty()) else {
                // The text may be the secret itself: it is not repeated.
                value.wrong("expected \"file:PATH\", found something else; a secret never stands in this file", None);
                return None;
            };
            let Some(file) = absolute(known.folder, Path::new(file)) else {
                value.wrong("expected an absolute path, since it is not known where this file lies", None);
                return None;
            };
            Some((name.to_owned(), format!("file:{}", file.display())))
        })
        .collect();
    all.into_iter().collect()
}

fn absolute(folder: Option<&Path>, file: &Path) -> Option<std::path::PathBuf> {
    if file.is_absolute() { Some(file.to_owned()) } else { folder.map(|folder| folder.join(file)) }
}

fn health(value: &Value<'_>) -> Option<HealthSpec> {
    let table = value.table(&["path", "interval", "healthy", "unhealthy", "timeout"])?;
    let path = table.need("path", "a path such as \"/healthz\"").and_then(|value| {
        let expected = "a path that starts with \"/\" and has no spaces";
        let path = value.text(expected)?;
        let fine = path.starts_with('/') && path.is_ascii() && !path.contains([' ', '#']);
        if !fine {
            let meant = format!("/{}", path.trim_start_matches('/'));
            value.expected(expected, (!path.starts_with('/') && !path.contains("://")).then(|| quoted(&meant)));
        }
        fine.then(|| path.to_owned())
    });
    let interval = or(&table, "interval", SECOND, |value| value.duration(SignedDuration::from_millis(10)));
    let timeout = or(&table, "timeout", SECOND, |value| value.duration(MILLISECOND));
    let healthy = or(&table, "healthy", 2, |value| value.count(1..=1000));
    let unhealthy = or(&table, "unhealthy", 3, |value| value.count(1..=1000));
    Some(HealthSpec { path: path?, interval: interval?, healthy: healthy?, unhealthy: unhealthy?, timeout: timeout? })
}

fn stop(value: &Value<'_>) -> Option<StopSpec> {
    let table = value.table(&["signal", "grace"])?;
    let signal = or(&table, "signal", "TERM", |value| {
        let text = value.text(&alternatives(&SIGNALS))?;
        let short = text.to_uppercase();
        let short = short.strip_prefix("SIG").unwrap_or(&short);
        if !SIGNALS.contains(&text) {
            value.expected(&alternatives(&SIGNALS), nearest(short, SIGNALS).map(quoted));
        }
        SIGNALS.into_iter().find(|signal| *signal == text)
    });
    let grace = or(&table, "grace", SignedDuration::from_secs(10), |value| value.duration(SignedDuration::ZERO));
    Some(StopSpec { signal: signal?.to_owned(), grace: grace? })
}
