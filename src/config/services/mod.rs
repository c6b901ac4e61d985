//! `flightdeck.toml`: what a person wants to run.

mod canary;
mod confine;
mod connections;
mod hooks;
mod ingress;
mod jobs;
#[cfg(test)]
mod jobs_tests;
mod kind;
#[cfg(test)]
mod kind_tests;
mod known;
mod listener;
mod placement;
mod program;
mod relations;
mod strategy;
#[cfg(test)]
mod strategy_tests;
#[cfg(test)]
mod tests;

use super::error::ConfigError;
use super::reader::{Report, Table, Value, document};
pub(super) use canary::judged;
use flightdeck_model::{
    AnalysisTemplate, ConfigName, EnvironmentName, EnvironmentSpec, ServiceKind, ServiceName, ServiceSpec, Spec,
    StopSpec, Tier,
};
use jiff::SignedDuration;
pub(super) use known::or;
use known::{Known, each};
pub use known::{Machine, Surroundings};
pub(super) use known::{NAME, is_name};
use listener::Listener;
use relations::Relations;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml::Spanned;
use toml::de::DeTable;

/// Reads `flightdeck.toml`, whole or not at all.
///
/// `path` is where it lies: named in messages, and the base of relative secret paths, for which it
/// must be absolute. Reads no other file.
///
/// # Errors
/// Everything that is wrong: syntax errors alone, else all the rest at once.
pub fn parse(text: &str, path: &Path) -> Result<Spec, ConfigError> {
    parse_in(text, path, &Surroundings::default())
}

/// The same for the server that is to run it.
///
/// # Errors
/// As [`parse`], what does not fit beside the server's other configurations, and what its machine does not have.
pub fn parse_in(text: &str, path: &Path, around: &Surroundings<'_>) -> Result<Spec, ConfigError> {
    let report = Report::new(path, text);
    let spec = document(text, &report).and_then(|document| spec(&document, &report, path, around));
    report.finish(spec)
}

fn spec<'d>(
    document: &'d Spanned<DeTable<'d>>,
    report: &'d Report<'d>,
    path: &'d Path,
    around: &Surroundings<'d>,
) -> Option<Spec> {
    let root = Table::root(document, report, &["name", "environment", "service", "analysis"]);
    let name = match root.get("name") {
        Some(value) => {
            let name = value.text(NAME).filter(|name| {
                let fine = is_name(name);
                if !fine {
                    value.expected(NAME, None);
                }
                fine
            });
            name.map(ConfigName::from)
        }
        None if is_name(around.name.as_str()) => Some(around.name.clone()),
        None => {
            report.note(&(0..0), "name", &format!("expected {NAME}, found {:?}", around.name.as_str()), None);
            None
        }
    };
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
        machine: around.machine,
        beside: around.beside,
    };
    let mut relations = Relations::default();
    let environments = each(environments?, |name, value| environment(name, &value, &known, &mut relations));
    let analyses = each(analyses?, |_, value| canary::analysis(&value));
    let mut listeners = Vec::new();
    let services = each(services?, |name, value| service(name, &value, &known, &mut listeners, &mut relations));
    listener::clashes(&listeners, known.beside);
    relations.check();
    Some(Spec {
        name: name?,
        environments: environments?.into_iter().map(|(name, value)| (EnvironmentName(name), value)).collect(),
        services: services?.into_iter().map(|(name, value)| (ServiceName(name), value)).collect(),
        analyses: analyses?.into_iter().collect::<BTreeMap<String, AnalysisTemplate>>(),
    })
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
    let environment = EnvironmentSpec {
        only_named: table.len() == 0,
        order: order?,
        tier: tier?,
        concurrent_rollouts: concurrent?,
        allow_self: allow_self?,
        promote_from: promote_from?.map(EnvironmentName::from),
        soak: soak?,
    };
    for other in known.beside {
        let theirs = other.spec.environments.get(&EnvironmentName::from(name));
        let differs = theirs.map_or(Vec::new(), |theirs| environment.differs(theirs));
        if !differs.is_empty() {
            let (keys, whose) = (differs.join(" and "), other.words());
            let why = format!(
                "expected what {whose} says of it, or its name alone, found another {keys}; to change it for all, \
                 let one of them say it and the others only name it"
            );
            value.wrong_key(&why, None);
            return None;
        }
    }
    Some(environment)
}

fn service<'d>(
    name: &'d str,
    value: &Value<'d>,
    known: &Known<'d>,
    listeners: &mut Vec<Listener<'d>>,
    relations: &mut Relations<'d>,
) -> Option<ServiceSpec> {
    let keys: Vec<_> = program::KEYS
        .into_iter()
        .chain(connections::KEYS)
        .chain(["kind", "depends_on", "renamed_from", "migration", "job", "in"])
        .collect();
    let table = value.table(&keys)?;
    if let Some(other) = known.beside.iter().find(|other| other.spec.services.contains_key(&ServiceName::from(name))) {
        value.wrong_key(
            &format!("expected a service that no other configuration brings, it is of {}", other.words()),
            None,
        );
    }
    table.need("run", program::RUN);
    let kind = or(&table, "kind", ServiceKind::Http, |value| {
        value.word(&[ServiceKind::Http, ServiceKind::Tcp, ServiceKind::Worker].map(|kind| (kind.word(), kind)))
    })?;
    let fits = kind::fits(kind, &table);
    if kind == ServiceKind::Http {
        table.need("health", program::HEALTH);
    }
    let own = program::overrides(&table, kind, known);
    let connections = connections::connections(&table);
    let depends_on = or(&table, "depends_on", Vec::new(), |value| relations.dependencies(name, &value, known));
    let renamed_from = or(&table, "renamed_from", None, |value| relations.renamed(name, &value, known).map(Some));
    let migrations = or(&table, "migration", Vec::new(), |value| hooks::migrations(&value, kind));
    let placements = table.need("in", "at least one table such as [service.NAME.in.production]").and_then(|value| {
        relations.runs_in(name, &value);
        placement::placements(&value, kind, known, migrations.as_deref().unwrap_or_default(), listeners)
    });
    let places: Vec<_> =
        table.get("in").and_then(|value| value.map()).iter().flat_map(Table::entries).map(|(name, _)| name).collect();
    let jobs = or(&table, "job", Vec::new(), |value| jobs::jobs(&value, kind, &places));
    migrations?;
    fits?;
    let (own, depends_on, mut placements) = (own?, depends_on?, placements?);
    jobs::place(&jobs?, &mut placements)?;
    let service = ServiceSpec {
        kind,
        run: own.run?,
        env: own.env,
        secrets: own.secrets,
        health: own.health.or_else(|| program::unchecked(kind))?,
        run_as: own.run_as,
        limits: own.limits.unwrap_or_default(),
        stop: own.stop.unwrap_or(StopSpec { signal: "TERM".to_owned(), grace: SignedDuration::from_secs(10) }),
        depends_on,
        connections: connections?,
        renamed_from: renamed_from?,
        placements,
    };
    program::check(name, &table, &service, known);
    Some(service)
}
