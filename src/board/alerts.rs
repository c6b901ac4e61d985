//! Which alerts concern which rollouts: what their labels say, by key, so that a row's alerts are found without looking
//! at all of them.
//!
//! An alert concerns a workload that it names with its namespace, by the most exact of the labels that it has: the
//! workload, else a set of its pods, else the service. And it concerns a service in an environment that it names both of.
//! What names neither concerns nothing here.

use super::Board;
use flightdeck_model::{
    Alert, AlertSeverity, Entity, EntityRef, PodNames, Rollout, ServiceName, Silence, SilenceId, SourceId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// By the place, then by the name there.
type Placed = BTreeMap<String, BTreeMap<String, Vec<Arc<Alert>>>>;

/// All alerts by what they are about.
#[derive(Debug, Clone, Default)]
pub(super) struct AlertIndex {
    /// By namespace and workload.
    workloads: Placed,
    /// By namespace and set of pods.
    pods: Placed,
    /// By namespace and service.
    services: Placed,
    /// By environment and service.
    deployed: Placed,
}

impl AlertIndex {
    pub fn of<'a>(alerts: impl Iterator<Item = &'a Arc<Alert>>) -> AlertIndex {
        let mut index = AlertIndex::default();
        alerts.for_each(|alert| index.insert(alert));
        index
    }

    pub fn insert(&mut self, alert: &Arc<Alert>) {
        for (placed, place, name) in self.places(alert) {
            let names = placed.entry(place.to_owned()).or_default();
            names.entry(name.to_owned()).or_default().push(Arc::clone(alert));
        }
    }

    pub fn remove(&mut self, alert: &Alert) {
        for (placed, place, name) in self.places(alert) {
            let Some(names) = placed.get_mut(place) else { continue };
            let Some(alerts) = names.get_mut(name) else { continue };
            alerts.retain(|known| (&known.source, &known.fingerprint) != (&alert.source, &alert.fingerprint));
            if alerts.is_empty() {
                names.remove(name);
            }
            if names.is_empty() {
                placed.remove(place);
            }
        }
    }

    /// Where an alert stands.
    fn places<'a>(&mut self, alert: &'a Alert) -> Vec<(&mut Placed, &'a str, &'a str)> {
        let about = &alert.about;
        let mut places: Vec<(&mut Placed, &str, &str)> = Vec::new();
        let service = about.service.as_ref().map(ServiceName::as_str);
        if let Some(namespace) = about.namespace.as_deref() {
            match (&about.workload, &about.pod_set, service) {
                (Some(workload), ..) => places.push((&mut self.workloads, namespace, workload)),
                (None, Some(set), _) => places.push((&mut self.pods, namespace, set)),
                (None, None, Some(service)) => places.push((&mut self.services, namespace, service)),
                (None, None, None) => {}
            }
        }
        if let (Some(environment), Some(service)) = (&about.environment, service) {
            places.push((&mut self.deployed, environment.as_str(), service));
        }
        places
    }

    /// Those that concern a rollout, some of them twice.
    fn found<'a>(&'a self, rollout: &Rollout) -> Vec<&'a Arc<Alert>> {
        let (target, service) = (&rollout.run.target, rollout.service.as_str());
        let at = |placed: &'a Placed, place: &str, name: &str| {
            let alerts = placed.get(place).and_then(|names| names.get(name));
            alerts.map(Vec::as_slice).unwrap_or_default()
        };
        let mut found: Vec<&Arc<Alert>> = at(&self.deployed, rollout.environment.as_str(), service).iter().collect();
        if let Some(namespace) = target.namespace.as_deref() {
            found.extend(at(&self.workloads, namespace, &target.name));
            found.extend(at(&self.services, namespace, &target.name));
            if service != target.name {
                found.extend(at(&self.services, namespace, service));
            }
            if let Some(sets) = self.pods.get(namespace) {
                for names in rollout.arms.iter().filter_map(|arm| arm.pods.as_ref()) {
                    found.extend(of_pods(sets, names, &target.name));
                }
            }
        }
        let may = |alert: &&Arc<Alert>| {
            let sources = &alert.about.sources;
            sources.is_empty() || sources.contains(&target.source)
        };
        found.retain(may);
        found
    }
}

fn of_pods<'a>(sets: &'a BTreeMap<String, Vec<Arc<Alert>>>, names: &PodNames, workload: &str) -> Vec<&'a Arc<Alert>> {
    let of_set = |set: &str| sets.get(set).into_iter().flatten().collect();
    match names {
        PodNames::Set(set) => of_set(set),
        PodNames::Workload(name) => {
            let prefix = format!("{name}-");
            let all = sets.range(prefix.clone()..).take_while(|(set, _)| set.starts_with(&prefix));
            // One part more: a longer one is a set of another workload.
            let own = all.filter(|(set, _)| !set.get(prefix.len()..).unwrap_or_default().contains('-'));
            own.flat_map(|(_, alerts)| alerts).collect()
        }
        // Pods of a StatefulSet or a DaemonSet have its own name and one part more.
        PodNames::Untold => of_set(workload),
    }
}

impl Board {
    /// The alerts that concern a rollout: those that notify first, the worst of them first, the oldest of those.
    #[must_use]
    pub fn alerts_of(&self, rollout: &Rollout) -> Vec<&Arc<Alert>> {
        let mut found = self.alert_index.found(rollout);
        let order = |alert: &&Arc<Alert>| {
            let Alert { severity, since, source, fingerprint, .. } = &***alert;
            (!alert.is_firing(), *severity, *since, source.clone(), fingerprint.clone())
        };
        if found.len() > 1 {
            found.sort_by_cached_key(order);
            found.dedup_by(|a, b| (&a.source, &a.fingerprint) == (&b.source, &b.fingerprint));
        }
        found
    }

    /// The worst that fires of a rollout and that nobody has silenced, if it is critical.
    #[must_use]
    pub fn critical_alert(&self, rollout: &Rollout) -> Option<&Arc<Alert>> {
        let first = self.alerts_of(rollout).into_iter().next()?;
        Some(first).filter(|alert| alert.is_firing() && alert.severity == AlertSeverity::Critical)
    }

    /// How many alerts concern no rollout that is known here.
    #[must_use]
    pub fn alerts_of_nothing(&self) -> usize {
        let mut all: BTreeSet<_> = self.alerts().map(|alert| (&alert.source, &alert.fingerprint)).collect();
        for rollout in self.rollouts() {
            if all.is_empty() {
                break;
            }
            for alert in self.alert_index.found(rollout) {
                all.remove(&(&alert.source, &alert.fingerprint));
            }
        }
        all.len()
    }

    /// One alert.
    #[must_use]
    pub fn alert(&self, source: &SourceId, fingerprint: &str) -> Option<&Arc<Alert>> {
        match self.row(&EntityRef::Alert(source.clone(), fingerprint.to_owned())) {
            Some(Entity::Alert(alert)) => Some(alert),
            _ => None,
        }
    }

    /// One silence.
    #[must_use]
    pub fn silence(&self, source: &SourceId, id: &SilenceId) -> Option<&Silence> {
        match self.row(&EntityRef::Silence(source.clone(), id.clone())) {
            Some(Entity::Silence(silence)) => Some(silence),
            _ => None,
        }
    }

    /// When the silences of an alert end, the last of them; `None`: none is known that silences it.
    #[must_use]
    pub fn silenced_until(&self, alert: &Alert) -> Option<&Silence> {
        let flightdeck_model::AlertState::Silenced { by } = &alert.state else { return None };
        by.iter().filter_map(|id| self.silence(&alert.source, id)).max_by_key(|silence| silence.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::{
        AlertAbout, AlertState, Arm, ArmRole, Body, Ppm, Replicas, Run, Scope, Scoped, Target, Traffic, TrafficSource,
    };
    use jiff::Timestamp;

    fn scope(part: &str) -> Scope {
        Scope { source: "am".into(), part: part.to_owned() }
    }

    fn row(source: &str, name: &str, pods: Option<PodNames>) -> Rollout {
        let target = Target {
            source: source.into(),
            kind: "Deployment".to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
            uid: name.to_owned(),
            first_name: None,
        };
        let run = Run { target, revision: "1".to_owned() };
        let mut row = Rollout::bare(run, format!("{name}-svc").into(), "production".into(), Timestamp::UNIX_EPOCH);
        row.arms = vec![Arm {
            role: ArmRole::Stable,
            version: "1".into(),
            digest: None,
            replicas: Replicas::default(),
            traffic: Traffic { desired: Ppm::ALL, actual: None, how: TrafficSource::Declared },
            pods,
            service: None,
        }];
        row
    }

    fn alert(fingerprint: &str, about: AlertAbout) -> Arc<Alert> {
        Arc::new(Alert {
            source: "am".into(),
            fingerprint: fingerprint.to_owned(),
            name: "HighErrors".to_owned(),
            severity: AlertSeverity::Critical,
            summary: String::new(),
            labels: BTreeMap::new(),
            since: Timestamp::UNIX_EPOCH,
            url: None,
            state: AlertState::Firing,
            about,
        })
    }

    fn in_shop(about: AlertAbout) -> AlertAbout {
        AlertAbout { namespace: Some("shop".to_owned()), ..about }
    }

    fn pods(set: &str) -> AlertAbout {
        in_shop(AlertAbout { pod_set: Some(set.to_owned()), ..AlertAbout::default() })
    }

    fn told(board: &mut Board, body: Body) {
        board.apply(&Scoped { scope: scope(Scope::ALERTS_PART), body });
    }

    #[test]
    fn an_alert_concerns_what_its_labels_name_and_nothing_else() {
        let none = AlertAbout::default;
        let set = |set: &str| Some(PodNames::Set(set.to_owned()));
        let rows = [
            row("east", "web", set("web-7d5f9c")),
            row("east", "web-admin", Some(PodNames::Workload("web-admin".to_owned()))),
            row("east", "store", Some(PodNames::Untold)),
            row("west", "web", set("web-1")),
        ];
        let workload = |name: &str| in_shop(AlertAbout { workload: Some(name.to_owned()), ..none() });
        let service = |name: &str| in_shop(AlertAbout { service: Some(name.into()), ..none() });
        let only = |about: AlertAbout, source: &str| AlertAbout { sources: vec![source.into()], ..about };
        let both = AlertAbout { service: Some("web-svc".into()), environment: Some("production".into()), ..none() };
        let elsewhere = AlertAbout { environment: Some("staging".into()), ..both.clone() };
        let cases: [(&str, AlertAbout, &[usize]); 14] = [
            ("workload", workload("web"), &[0, 3]),
            ("one source", only(workload("web"), "west"), &[3]),
            ("an arm's set", pods("web-7d5f9c"), &[0]),
            ("another set", pods("web-99"), &[]),
            ("a set of a workload", pods("web-admin-5f"), &[1]),
            ("a set of a workload with a longer name", pods("web-admin-eu-5f"), &[]),
            ("a stateful set", pods("store"), &[2]),
            ("service in a namespace", service("web-svc"), &[0, 3]),
            ("the workload by the service's label", service("web"), &[0, 3]),
            ("service in an environment", both, &[0, 3]),
            ("another environment", elsewhere, &[]),
            ("no place", AlertAbout { service: Some("web".into()), ..none() }, &[]),
            ("no name", in_shop(none()), &[]),
            // The exporter's own service says nothing of the pod.
            ("the most exact label", AlertAbout { service: Some("web".into()), ..pods("store") }, &[2]),
        ];
        for (name, about, expected) in cases {
            let mut board = Board::default();
            for row in &rows {
                let row = Body::Upsert(Entity::Rollout(Arc::new(row.clone())));
                board.apply(&Scoped { scope: scope(""), body: row });
            }
            told(&mut board, Body::Upsert(Entity::Alert(alert("a", about))));
            let concerned: Vec<usize> =
                rows.iter().enumerate().filter(|(_, row)| !board.alerts_of(row).is_empty()).map(|(at, _)| at).collect();
            assert_eq!(concerned, expected, "{name}");
            assert_eq!(board.alerts_of_nothing(), usize::from(expected.is_empty()), "{name}");
        }
    }

    #[test]
    fn the_index_follows_what_is_told() {
        let row = row("east", "web", None);
        let workload = |name: &str| in_shop(AlertAbout { workload: Some(name.to_owned()), ..AlertAbout::default() });
        let mut board = Board::default();
        let names = |board: &Board| -> Vec<String> {
            board.alerts_of(&row).iter().map(|alert| alert.fingerprint.clone()).collect()
        };
        let warning = Alert { severity: AlertSeverity::Warning, ..(*alert("b", workload("web"))).clone() };
        told(&mut board, Body::Upsert(Entity::Alert(Arc::new(warning))));
        told(&mut board, Body::Upsert(Entity::Alert(alert("a", workload("web")))));
        assert_eq!(names(&board), ["a", "b"], "the worst first");
        assert_eq!(board.critical_alert(&row).map(|alert| alert.fingerprint.as_str()), Some("a"));
        let by = vec!["s".into()];
        let silenced = Alert { state: AlertState::Silenced { by }, ..(*alert("a", workload("web"))).clone() };
        told(&mut board, Body::Upsert(Entity::Alert(Arc::new(silenced))));
        assert_eq!(names(&board), ["b", "a"], "silenced it stays, behind what notifies");
        assert_eq!(board.critical_alert(&row), None);
        told(&mut board, Body::Upsert(Entity::Alert(alert("a", workload("other")))));
        assert_eq!(names(&board), ["b"]);
        told(&mut board, Body::Remove(EntityRef::Alert("am".into(), "b".to_owned())));
        let by = vec!["s".into()];
        let quiet = Alert { state: AlertState::Silenced { by }, ..(*alert("q", workload("web"))).clone() };
        told(&mut board, Body::Upsert(Entity::Alert(Arc::new(quiet))));
        assert_eq!((names(&board), board.critical_alert(&row)), (vec!["q".to_owned()], None), "it calls nobody");
        told(&mut board, Body::Remove(EntityRef::Alert("am".into(), "q".to_owned())));
        assert!(names(&board).is_empty());
        told(&mut board, Body::Upsert(Entity::Alert(alert("c", workload("web")))));
        told(&mut board, Body::SnapshotBegin);
        told(&mut board, Body::Upsert(Entity::Alert(alert("d", workload("web")))));
        told(&mut board, Body::SnapshotEnd);
        assert_eq!(names(&board), ["d"], "what a whole list does not have is gone");
    }
}
