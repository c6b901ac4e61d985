//! From what a person types to what is meant.

use super::Failure;
use crate::board::Sight;
use crate::model::{
    Approval, Entity, Environment, EnvironmentName, Hold, HoldId, Rollout, RolloutRecord, Selector, Service,
    ServiceName, SourceId, Watch,
};
use std::collections::{BTreeMap, BTreeSet};

/// The rows of a board, as a command needs them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// By target, as the server told them.
    pub entities: Vec<Entity>,
    /// The health of all watches that tell them.
    pub watches: Vec<Watch>,
    /// What of it could be seen.
    pub sight: Sight,
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
        deployments, RolloutRecord, RolloutRecord
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

/// What a rollout may be called, the shortest first. A kind before it tells two workloads of one name apart.
fn forms(rollout: &Rollout) -> [String; 4] {
    let kind = |name: &str| format!("{}/{name}", rollout.run.target.kind);
    let (name, full) = (name(rollout), full_name(rollout));
    [name.clone(), kind(&name), full.clone(), kind(&full)]
}

/// The names of all rollouts, by which a list tells them apart.
pub struct Names(BTreeMap<String, usize>);

impl Names {
    /// Of these rows.
    #[must_use]
    pub fn of(rows: &Rows) -> Names {
        let mut counts = BTreeMap::new();
        for form in rows.rollouts().flat_map(forms) {
            *counts.entry(form).or_default() += 1;
        }
        Names(counts)
    }

    /// The shortest that no other rollout has, where there is one.
    #[must_use]
    pub fn name(&self, rollout: &Rollout) -> String {
        let [first, second, third, last] = forms(rollout);
        let only = |form: &String| self.0.get(form).is_none_or(|count| *count == 1);
        [first, second, third].into_iter().find(only).unwrap_or(last)
    }
}

/// Does a TARGET mean this rollout?
#[must_use]
pub fn means(target: &str, rollout: &Rollout) -> bool {
    let of = &rollout.run.target;
    let of_kind = |word: &str| {
        let rest = word.split_once('/').filter(|(kind, _)| is_kind(kind, &of.kind)).map(|(_, rest)| rest);
        rest.is_some_and(|rest| {
            let without = rest.strip_suffix(&format!("@{}", rollout.environment)).unwrap_or(rest);
            is_plain(rest, rollout) || without == of.name
        })
    };
    let at_source = target.strip_prefix(of.source.as_str()).and_then(|rest| rest.strip_prefix('/'));
    is_plain(target, rollout) || of_kind(target) || at_source.is_some_and(of_kind)
}

/// Is it one of the names that tell no kind?
fn is_plain(target: &str, rollout: &Rollout) -> bool {
    target == name(rollout)
        || target == full_name(rollout)
        || target == rollout.run.target.to_string()
        || target == rollout.service.as_str()
}

/// Is a word that kind, in upper or lower case, singular or plural?
fn is_kind(word: &str, kind: &str) -> bool {
    let (word, kind) = (word.to_lowercase(), kind.to_lowercase());
    word == kind || word.strip_suffix('s').is_some_and(|one| one == kind)
}

/// The one rollout that a TARGET means: `service@environment`, `source/environment/service`, or
/// `service` where that is only one; each with its kind before it where two kinds have one name.
pub fn rollout<'a>(rows: &'a Rows, target: &str) -> Result<&'a Rollout, Failure> {
    let found: Vec<_> = rows.rollouts().filter(|rollout| means(target, rollout)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let known = Names::of(rows);
            let names: BTreeSet<_> = rows.rollouts().map(|rollout| known.name(rollout)).collect();
            let failure = Failure::usage(format!("there is no rollout {target:?}"));
            let near = nearest(target, &names).map(str::to_owned);
            Err(rows.absent(
                &format!("rollout {target:?}"),
                match (near, names.is_empty()) {
                    (_, true) => failure.todo("there are none yet: `flightdeck deploy` starts one"),
                    (Some(near), _) => failure.todo(format!("did you mean {near}? there are: {}", list(names))),
                    (None, _) => failure.todo(format!("there are: {}", list(names))),
                },
            ))
        }
        several => {
            // What is proposed means one, or it would be refused again.
            let only = |form: &String| rows.rollouts().filter(|rollout| means(form, rollout)).count() == 1;
            let names: BTreeSet<_> =
                several.iter().map(|one| forms(one).into_iter().find(only).unwrap_or_else(|| full_name(one))).collect();
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
            let todo = if ids.is_empty() {
                "nothing waits for approval".to_owned()
            } else {
                format!("waiting: {}", list(ids))
            };
            Err(rows.absent(&format!("approval {id:?}"), failure.todo(todo)))
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
    let todo = if ids.is_empty() { "nothing is held".to_owned() } else { format!("in force: {}", list(ids)) };
    let absent = Failure::usage(format!("there is no hold {id:?}")).todo(todo);
    Err(rows.absent(&format!("hold {id:?}"), absent))
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
            let todo = if known.is_empty() {
                "there are none yet: `flightdeck apply` brings them in".to_owned()
            } else {
                format!("there are: {}", list(known))
            };
            let absent = Failure::usage(format!("there is no service {word:?}")).todo(todo);
            Err(rows.absent(&format!("service {word:?}"), absent))
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
            let absent = Failure::usage(format!("there is no {what} {wanted:?}"));
            Err(rows.absent(&format!("{what} {wanted:?}"), absent.todo(format!("there are: {}", list(names)))))
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
            let absent = Failure::usage(format!("{word:?} is neither an environment nor a service"));
            let todo = format!("environments: {environments}; services: {services}; or `everything`");
            return Err(rows.absent(&format!("{word:?}"), absent.todo(todo)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn row(source: &str, kind: &str, namespace: &str, name: &str) -> Entity {
        let row = serde_json::json!({
            "run": {"target": {"source": source, "kind": kind, "namespace": namespace, "name": name, "uid": name}, "revision": "1"},
            "service": format!("{namespace}/{name}"), "environment": "prod", "strategy": "rolling", "steps": [], "step": null,
            "arms": [], "phase": "healthy", "waits": [], "message": "", "started": "2026-01-01T00:00:00Z",
            "since": "2026-01-01T00:00:00Z", "author": null, "facts": {}, "offers": [],
        });
        Entity::Rollout(Arc::new(serde_json::from_value(row).unwrap()))
    }

    fn rows() -> Rows {
        let entities = vec![
            row("east", "Deployment", "shop", "basket"),
            row("east", "Rollout", "shop", "basket"),
            row("east", "Rollout", "shop", "cart"),
            row("west", "Rollout", "shop", "cart"),
            row("west", "Deployment", "shop", "cart"),
        ];
        Rows { entities, ..Rows::default() }
    }

    fn meant(word: &str) -> String {
        match rollout(&rows(), word) {
            Ok(found) => format!("{} {}", found.run.target.source, found.run.target.kind),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn a_kind_tells_two_workloads_of_one_name_apart() {
        for word in ["Rollout/shop/basket", "rollout/basket", "rollouts/shop/basket@prod", "ROLLOUT/basket@prod"] {
            assert_eq!(meant(word), "east Rollout", "{word}");
        }
        for word in ["deployment/shop/basket", "east/Deployment/shop/basket", "Deployment/east/prod/shop/basket"] {
            assert_eq!(meant(word), "east Deployment", "{word}");
        }
        assert_eq!(meant("west/deployment/shop/cart"), "west Deployment");
        assert_eq!(meant("east/prod/shop/cart"), "east Rollout");
    }

    #[test]
    fn what_a_refusal_proposes_means_one() {
        let all = rows();
        for word in ["shop/basket", "shop/basket@prod", "east/shop/basket", "shop/cart", "rollout/cart", "cart@prod"] {
            let Err(failure) = rollout(&all, word) else { panic!("{word} means one") };
            let todo = failure.todo.unwrap_or_default();
            let (_, proposed) = todo.rsplit_once(": ").unwrap();
            assert!(proposed.split(", ").all(|name| rollout(&all, name).is_ok()), "{word}: {todo}");
        }
    }

    #[test]
    fn a_list_shows_the_kind_only_where_names_clash() {
        let all = rows();
        let names = Names::of(&all);
        let shown: Vec<_> = all.rollouts().map(|row| names.name(row)).collect();
        let expected = [
            "Deployment/shop/basket@prod",
            "Rollout/shop/basket@prod",
            "east/prod/shop/cart",
            "Rollout/west/prod/shop/cart",
            "Deployment/shop/cart@prod",
        ];
        assert_eq!(shown, expected);
        assert!(all.rollouts().all(|row| rollout(&all, &names.name(row)).is_ok_and(|found| found.run == row.run)));
    }
}
