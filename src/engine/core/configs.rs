//! Which configuration brought what: each has its own services and analyses, environments are shared by those that
//! name them.

use super::refusals::invalid;
use super::state::{Configured, State};
use flightdeck_model::{
    AnalysisTemplate, ConfigName, EnvironmentName, InForce, Refusal, ServiceName, ServicePlace, Spec,
};

impl State {
    /// Reads what a journal holds. What one of before several configurations says is all of the default one.
    ///
    /// # Errors
    /// It is no state.
    pub fn read(text: &str) -> Result<State, serde_json::Error> {
        let mut state: State = serde_json::from_str(text)?;
        let known = state.spec.environments.len() + state.spec.services.len() + state.spec.analyses.len();
        if state.configs.is_empty() && known > 0 {
            let mut of = Configured::of(&state.spec, "", state.counters.config);
            // What is being taken down is nobody's any more.
            let stays =
                |name: &ServiceName| state.slots.values().any(|slot| slot.key.service == *name && !slot.removed);
            of.services.retain(stays);
            state.configs.insert(ConfigName::default(), of);
            state.spec.analyses.clear();
        }
        Ok(state)
    }

    /// The configuration that brought a service, and what else that brought.
    #[must_use]
    pub fn config_of(&self, service: &ServiceName) -> Option<(&ConfigName, &Configured)> {
        self.configs.iter().find(|(_, of)| of.services.contains(service))
    }

    /// An analysis as the configuration of a service has it.
    pub(super) fn analysis(&self, service: &ServiceName, name: &str) -> Option<&AnalysisTemplate> {
        self.config_of(service)?.1.analyses.get(name)
    }

    /// What the configuration of a name says; nothing if none is in force.
    #[must_use]
    pub fn configuration(&self, name: &ConfigName) -> Spec {
        let nothing = Spec { name: name.clone(), ..Spec::default() };
        self.configs.get(name).map_or(nothing, |of| self.said(name, of))
    }

    /// All configurations in force but that one.
    #[must_use]
    pub fn configs_beside(&self, name: &ConfigName) -> Vec<InForce> {
        let others = self.configs.iter().filter(|(other, _)| *other != name);
        others.map(|(other, of)| InForce { path: of.path.clone(), spec: self.said(other, of) }).collect()
    }

    /// What was asked to leave the configurations and has not ended yet.
    #[must_use]
    pub fn ending(&self, asked: &[ServicePlace]) -> Vec<ServicePlace> {
        let slots = self.slots.values().filter(|slot| slot.removed).map(|slot| &slot.key);
        let meant = slots.filter(|key| asked.iter().any(|place| place.means(&key.service, &key.environment)));
        meant
            .map(|key| ServicePlace { service: key.service.clone(), environment: Some(key.environment.clone()) })
            .collect()
    }

    fn said(&self, name: &ConfigName, of: &Configured) -> Spec {
        let down = |service: &ServiceName, environment: &EnvironmentName| {
            let mut slots = self.slots.values().filter(|slot| slot.removed);
            slots.any(|slot| slot.key.service == *service && slot.key.environment == *environment)
        };
        let services = of.services.iter().filter_map(|service| {
            let mut spec = self.spec.services.get(service)?.clone();
            spec.placements.retain(|environment, _| !down(service, environment));
            Some((service.clone(), spec))
        });
        Spec {
            name: name.clone(),
            environments: of.environments.clone(),
            services: services.collect(),
            analyses: of.analyses.clone(),
        }
    }
}

/// All configurations together. Of an environment counts what those say that do not only name it.
pub(super) fn together<'a>(all: impl IntoIterator<Item = &'a Spec>) -> Spec {
    let mut whole = Spec::default();
    for spec in all {
        for (name, said) in &spec.environments {
            let counts = whole.environments.entry(name.clone()).or_default();
            if !said.only_named {
                counts.clone_from(said);
            }
        }
        whole.services.extend(spec.services.clone());
    }
    whole
}

/// May it stand beside the others? The reader says the same with the place in its text; this is what holds.
pub(super) fn fits(state: &State, spec: &Spec, others: &[InForce]) -> Result<(), Refusal> {
    for other in others {
        if let Some(service) = spec.services.keys().find(|name| other.spec.services.contains_key(*name)) {
            let why = format!("{service} is of {}, and a service is of one configuration", other.words());
            return Err(invalid(&why));
        }
        for (name, said) in &spec.environments {
            let differs = other.spec.environments.get(name).map_or(Vec::new(), |theirs| said.differs(theirs));
            if !differs.is_empty() {
                let whose = other.words();
                return Err(invalid(&format!("{name}: {} is otherwise in {whose}", differs.join(" and "))));
            }
        }
    }
    let whole = together(others.iter().map(|other| &other.spec).chain([spec]));
    for (name, of) in &whole.environments {
        let Some(from) = &of.promote_from else { continue };
        if whole.environments.get(from).is_none_or(|from| from.order >= of.order) {
            let why = format!("{name} takes its versions from {from}, whose order must be lower than its own");
            return Err(invalid(&why));
        }
    }
    keeps_meaning(state, &whole, others)
}

/// An environment that others only name keeps what is said of it: critical to them must not become standard
/// because somebody else tidied up.
fn keeps_meaning(state: &State, whole: &Spec, others: &[InForce]) -> Result<(), Refusal> {
    let lost =
        state.spec.environments.iter().filter(|(name, before)| {
            !before.only_named && whole.environments.get(*name).is_some_and(|now| now.only_named)
        });
    for (name, _) in lost {
        if let Some(other) = others.iter().find(|other| other.spec.environments.contains_key(name)) {
            let why = format!(
                "{name} is used by {}, which only names it and takes from here what it is: let it say so itself first",
                other.words()
            );
            return Err(invalid(&why));
        }
    }
    Ok(())
}
