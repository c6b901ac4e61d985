//! Services and environments, which follow from the workloads that there are.

use super::super::KubernetesSettings;
use flightdeck_model::{Body, Entity, EntityRef, Environment, EnvironmentName, Rollout, Service, ServiceName};
use std::collections::BTreeMap;

pub(super) struct Places {
    settings: KubernetesSettings,
    services: BTreeMap<ServiceName, BTreeMap<EnvironmentName, usize>>,
    environments: BTreeMap<EnvironmentName, usize>,
}

impl Places {
    pub fn new(settings: &KubernetesSettings) -> Places {
        Places { settings: settings.clone(), services: BTreeMap::new(), environments: BTreeMap::new() }
    }

    /// A row is new.
    pub fn add(&mut self, row: &Rollout, bodies: &mut Vec<Body>) {
        let environments = self.environments.entry(row.environment.clone()).or_default();
        *environments += 1;
        if *environments == 1 {
            let (_, tier) = self.settings.environment_of(row.run.target.namespace.as_deref().unwrap_or_default());
            bodies.push(Body::Upsert(Entity::Environment(Environment {
                source: self.settings.source.clone(),
                name: row.environment.clone(),
                order: self.settings.order,
                tier,
                allow_self: false,
            })));
        }
        let of = self.services.entry(row.service.clone()).or_default();
        let count = of.entry(row.environment.clone()).or_default();
        *count += 1;
        if *count == 1 {
            bodies.push(self.service(&row.service));
        }
    }

    /// A row is gone.
    pub fn remove(&mut self, row: &Rollout, bodies: &mut Vec<Body>) {
        let source = || self.settings.source.clone();
        if let Some(of) = self.services.get_mut(&row.service)
            && less(of, &row.environment)
        {
            if of.is_empty() {
                self.services.remove(&row.service);
                bodies.push(Body::Remove(EntityRef::Service(source(), row.service.clone())));
            } else {
                bodies.push(self.service(&row.service));
            }
        }
        if less(&mut self.environments, &row.environment) {
            bodies.push(Body::Remove(EntityRef::Environment(source(), row.environment.clone())));
        }
    }

    fn service(&self, name: &ServiceName) -> Body {
        let environments = self.services.get(name).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        Body::Upsert(Entity::Service(Service {
            kind: None,
            source: self.settings.source.clone(),
            name: name.clone(),
            configuration: None,
            environments,
            addresses: Vec::new(),
            places: Vec::new(),
        }))
    }
}

/// One fewer; true if none is left.
fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count = count.saturating_sub(1);
    let none = *count == 0;
    if none {
        counts.remove(key);
    }
    none
}
