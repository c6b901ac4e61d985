//! From what a person types to what is meant.

use super::Failure;
use crate::model::{
    Approval, Deployment, Entity, Environment, EnvironmentName, Hold, HoldId, Rollout, Selector, Service, ServiceName,
    SourceId,
};
use std::collections::BTreeSet;

/// The rows of a board, as a command needs them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// By target, as the server told them.
    pub entities: Vec<Entity>,
}

macro_rules! rows {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        pub fn $name(&self) -> impl Iterator<Item = &$type> {
            self.entities.iter().filter_map(|entity| match entity {
                Entity::$variant(row) => {
                    let row: &$type = row;
                    Some(row)
                }
                _ => None,
            })
        }
    };
}

impl Rows {
    rows!(
        /// Rollouts.
        rollouts, Rollout, Rollout
    );
    rows!(
        /// Approvals.
        approvals, Approval, Approval
    );
    rows!(
        /// Services.
        services, Service, Service
    );
    rows!(
        /// Environments.
        environments, Environment, Environment
    );
    rows!(
        /// Finished rollouts.
        deployments, Deployment, Deployment
    );
    rows!(
        /// Holds in force.
        holds, Hold, Hold
    );

    /// Every service with its source: a backend need not list what its rollouts name.
    fn known_services(&self) -> BTreeSet<(&SourceId, &ServiceName)> {
        let listed = self.services().map(|service| (&service.source, &service.name));
        listed.chain(self.rollouts().map(|rollout| (&rollout.run.target.source, &rollout.service))).collect()
    }

    /// Every environment with its source.
    fn known_environments(&self) -> BTreeSet<(&SourceId, &EnvironmentName)> {
        let listed = self.environments().map(|environment| (&environment.source, &environment.name));
        listed.chain(self.rollouts().map(|rollout| (&rollout.run.target.source, &rollout.environment))).collect()
    }
}

/// `service@environment`: what a rollout is called on the command line.
#[must_use]
pub fn name(rollout: &Rollout) -> String {
    format!("{}@{}", rollout.service, rollout.environment)
}

/// `source/environment/service`: the same, unambiguous over all sources.
#[must_use]
pub fn full_name(rollout: &Rollout) -> String {
    format!("{}/{}/{}", rollout.run.target.source, rollout.environment, rollout.service)
}

/// Does a TARGET mean this rollout?
fn means(target: &str, rollout: &Rollout) -> bool {
    target == name(rollout)
        || target == full_name(rollout)
        || target == rollout.run.target.to_string()
        || target == rollout.service.as_str()
}

/// The one rollout that a TARGET means: `service@environment`, `source/environment/service`, or
/// `service` where that is only one.
pub fn rollout<'a>(rows: &'a Rows, target: &str) -> Result<&'a Rollout, Failure> {
    let found: Vec<_> = rows.rollouts().filter(|rollout| means(target, rollout)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let names: BTreeSet<_> = rows.rollouts().map(name).collect();
            let failure = Failure::usage(format!("there is no rollout {target:?}"));
            let near = nearest(target, &names).map(str::to_owned);
            Err(match (near, names.is_empty()) {
                (_, true) => failure.todo("there are none yet: `flightdeck deploy` starts one"),
                (Some(near), _) => failure.todo(format!("did you mean {near}? there are: {}", list(names))),
                (None, _) => failure.todo(format!("there are: {}", list(names))),
            })
        }
        several => {
            let names: BTreeSet<_> = several.iter().map(|rollout| name(rollout)).collect();
            // Two sources may have the same service in environments of the same name.
            let names =
                if names.len() == several.len() { names } else { several.iter().map(|r| full_name(r)).collect() };
            Err(Failure::usage(format!("{target:?} means several rollouts"))
                .todo(format!("say which: {}", list(names))))
        }
    }
}

/// The approval that an id means, or the pending one of a TARGET.
pub fn approval<'a>(rows: &'a Rows, id: &str) -> Result<&'a Approval, Failure> {
    if let Some(approval) = rows.approvals().find(|approval| approval.id.as_str() == id) {
        return Ok(approval);
    }
    let pending = || rows.approvals().filter(|a| a.state == crate::model::ApprovalState::Pending);
    let found: Vec<_> =
        pending().filter(|a| rows.rollouts().any(|rollout| rollout.run == a.run && means(id, rollout))).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let ids: Vec<_> = pending().map(|a| format!("{} ({}@{})", a.id, a.service, a.environment)).collect();
            let failure = Failure::usage(format!("there is no approval {id:?}"));
            Err(failure.todo(if ids.is_empty() {
                "nothing waits for approval".to_owned()
            } else {
                format!("waiting: {}", list(ids))
            }))
        }
        several => {
            let ids = several.iter().map(|a| format!("{} ({}@{})", a.id, a.service, a.environment));
            Err(Failure::usage(format!("{id:?} means several approvals")).todo(format!("say which: {}", list(ids))))
        }
    }
}

/// What a person means by a hold: its id, and its source where they named one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldNamed {
    /// Its id.
    pub id: HoldId,
    /// At these sources.
    pub sources: Vec<SourceId>,
}

/// The hold that `H-3` means, wherever it is in force; `source/H-3`: there alone.
pub fn hold(rows: &Rows, id: &str) -> Result<HoldNamed, Failure> {
    let full = |hold: &Hold| format!("{}/{}", hold.source, hold.id);
    let found: Vec<_> = rows.holds().filter(|hold| hold.id.as_str() == id || full(hold) == id).collect();
    if let Some(first) = found.first() {
        let sources = found.iter().map(|hold| hold.source.clone()).collect();
        return Ok(HoldNamed { id: first.id.clone(), sources });
    }
    let ids: BTreeSet<_> = rows.holds().map(|hold| format!("{} ({})", hold.id, hold.selector)).collect();
    Err(Failure::usage(format!("there is no hold {id:?}")).todo(if ids.is_empty() {
        "nothing is held".to_owned()
    } else {
        format!("in force: {}", list(ids))
    }))
}

/// The service that `checkout` or `source/checkout` means, and its source: the one that runs it in
/// the environment, where one is given.
pub fn service(rows: &Rows, word: &str, environment: Option<&str>) -> Result<(SourceId, ServiceName), Failure> {
    let full = |(source, name): &(&SourceId, &ServiceName)| format!("{source}/{name}");
    let named = rows.known_services().into_iter().filter(|one| one.1.as_str() == word || full(one) == word);
    let named: Vec<_> = named.collect();
    let runs = |(source, name): &&(&SourceId, &ServiceName)| {
        let Some(wanted) = environment else { return true };
        let listed = rows.services().filter(|service| service.source == **source && service.name == **name);
        let listed = listed.flat_map(|service| &service.environments).any(|name| name.as_str() == wanted);
        let there = |rollout: &Rollout| rollout.run.target.source == **source && rollout.service == **name;
        listed || rows.rollouts().any(|rollout| there(rollout) && rollout.environment.as_str() == wanted)
    };
    let fitting: Vec<_> = named.iter().filter(runs).copied().collect();
    // Where none runs there, the one of that name says best what is wrong.
    let found = if fitting.is_empty() { named } else { fitting };
    match found.as_slice() {
        [(source, name)] => Ok(((*source).clone(), (*name).clone())),
        [] => {
            let known: BTreeSet<_> = rows.known_services().into_iter().map(|(_, name)| name.to_string()).collect();
            Err(Failure::usage(format!("there is no service {word:?}")).todo(if known.is_empty() {
                "there are none yet: `flightdeck apply` brings them in".to_owned()
            } else {
                format!("there are: {}", list(known))
            }))
        }
        several => Err(Failure::usage(format!("{word:?} means several services"))
            .todo(format!("say which: {}", list(several.iter().map(full))))),
    }
}

/// A SCOPE: `everything`, words such as `environment=production`, a TARGET, or the bare name of an
/// environment or service.
pub fn selector(rows: &Rows, words: &[String]) -> Result<Selector, Failure> {
    let mut selector = Selector::default();
    for word in words {
        match word.split_once('=') {
            Some(("source", value)) => selector.source = Some(value.into()),
            Some(("environment" | "env", value)) => selector.environment = Some(value.into()),
            Some(("service", value)) => selector.service = Some(value.into()),
            Some((key, _)) => {
                return Err(Failure::usage(format!("a scope has no {key:?}"))
                    .todo("say source=…, environment=…, service=…, or `everything`"));
            }
            None if word == "everything" => {}
            None => bare(rows, word, &mut selector)?,
        }
    }
    let known = |wanted: Option<&str>, mut names: Vec<String>, what: &str| match wanted {
        Some(wanted) if !names.iter().any(|name| name == wanted) => {
            names.sort();
            names.dedup();
            Err(Failure::usage(format!("there is no {what} {wanted:?}")).todo(format!("there are: {}", list(names))))
        }
        _ => Ok(()),
    };
    // A slip of the finger must not hold nothing while its author believes otherwise.
    known(
        selector.environment.as_ref().map(EnvironmentName::as_str),
        rows.known_environments().into_iter().map(|(_, name)| name.to_string()).collect(),
        "environment",
    )?;
    known(
        selector.service.as_ref().map(ServiceName::as_str),
        rows.known_services().into_iter().map(|(_, name)| name.to_string()).collect(),
        "service",
    )?;
    known(
        selector.source.as_ref().map(SourceId::as_str),
        rows.known_environments().into_iter().map(|(source, _)| source.to_string()).collect(),
        "source",
    )?;
    Ok(selector)
}

fn bare(rows: &Rows, word: &str, selector: &mut Selector) -> Result<(), Failure> {
    if let Some((service, environment)) = word.split_once('@') {
        selector.service = Some(service.into());
        selector.environment = Some(environment.into());
        return Ok(());
    }
    if let [source, environment, service] = word.split('/').collect::<Vec<_>>().as_slice() {
        selector.source = Some((*source).into());
        selector.environment = Some((*environment).into());
        selector.service = Some((*service).into());
        return Ok(());
    }
    let environment = rows.known_environments().iter().any(|(_, name)| name.as_str() == word);
    let service = rows.known_services().iter().any(|(_, name)| name.as_str() == word);
    match (environment, service) {
        (true, false) => selector.environment = Some(word.into()),
        (false, true) => selector.service = Some(word.into()),
        (true, true) => {
            return Err(Failure::usage(format!("{word:?} is an environment and a service"))
                .todo(format!("say environment={word} or service={word}")));
        }
        (false, false) => {
            let environments =
                list(rows.known_environments().into_iter().map(|(_, name)| name.to_string()).collect::<BTreeSet<_>>());
            let services =
                list(rows.known_services().into_iter().map(|(_, name)| name.to_string()).collect::<BTreeSet<_>>());
            return Err(Failure::usage(format!("{word:?} is neither an environment nor a service"))
                .todo(format!("environments: {environments}; services: {services}; or `everything`")));
        }
    }
    Ok(())
}

fn list(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn nearest<'a>(word: &str, names: &'a BTreeSet<String>) -> Option<&'a str> {
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(word, name), name.as_str()))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
