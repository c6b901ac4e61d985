//! The rows of a board and how updates change them.

use super::alerts::AlertIndex;
use super::held::{Held, Origin};
use flightdeck_model::{
    Alert, Approval, ApprovalId, ArmRole, ArmSample, Body, Entity, EntityRef, Environment, EnvironmentName, Evidence,
    Hold, HoldId, Instance, LinkState, Note, Receipt, ReceiptId, Release, Rollout, RolloutRecord, Run, SAMPLE_HISTORY,
    Scope, Scoped, Service, ServiceKind, ServiceName, Silence, SourceId, Target, Version,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Finished rollouts, notes and evidence kept of each before the oldest are dropped.
const HISTORY: usize = 2000;
/// Finished receipts kept before the oldest are dropped: the ledger has all.
const RECEIPTS: usize = 500;

/// All rows of one or more hubs. Rows belong to the scope that last told of them.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// By target. By far the most rows are rollouts: each is two words here, the rest is shared.
    rollouts: BTreeSet<Held>,
    /// Everything else.
    rows: BTreeMap<EntityRef, (Origin, Entity)>,
    /// The alerts among them, by what they are about.
    pub(super) alert_index: AlertIndex,
    links: BTreeMap<Scope, LinkState>,
    samples: BTreeMap<Target, BTreeMap<ArmRole, VecDeque<ArmSample>>>,
    /// Each scope once, for its rows to share.
    scopes: BTreeSet<Arc<Scope>>,
    /// Lists that are being told: rows of the scope with an older number were not told again yet.
    pending: BTreeMap<Scope, u32>,
    /// Lists that were begun.
    lists: u32,
    /// Sources that ever told numbers, or instances by themselves.
    measured: BTreeSet<SourceId>,
}

/// Boards are equal that hold the same, however it was told.
impl PartialEq for Board {
    fn eq(&self, other: &Board) -> bool {
        self.links == other.links
            && self.samples == other.samples
            && self.pending.keys().eq(other.pending.keys())
            && self.entities().eq(other.entities())
    }
}

fn other<'a>((_, (origin, entity)): (&EntityRef, &'a (Origin, Entity))) -> (&'a Scope, Entity) {
    (&origin.scope, entity.clone())
}

/// What an update did to a board.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Nothing that a person could see.
    Nothing,
    /// A rollout is new, is another now, or is gone.
    Rollout {
        /// The row before.
        old: Option<Arc<Rollout>>,
        /// The row now.
        new: Option<Arc<Rollout>>,
    },
    /// A complete list did not have rows any more.
    Gone {
        /// The rollouts among them.
        rollouts: Vec<Arc<Rollout>>,
        /// Were there others?
        others: bool,
    },
    /// Something else, as the update says.
    Other,
}

/// Rows of one kind lie together: a walk over them costs what they cost, not what the board costs.
macro_rules! all {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty, $first:expr) => {
        $(#[$doc])*
        pub fn $name(&self) -> impl Iterator<Item = &$type> {
            self.rows.range($first..).map_while(|(_, (_, entity))| match entity {
                Entity::$variant(row) => {
                    let row: &$type = row;
                    Some(row)
                }
                _ => None,
            })
        }
    };
}

/// The first target in the order of keys.
fn no_target() -> Target {
    Target {
        source: "".into(),
        kind: String::new(),
        namespace: None,
        name: String::new(),
        uid: String::new(),
        first_name: None,
    }
}

macro_rules! one {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty, ($($arg:ident: $arg_type:ty),*)) => {
        $(#[$doc])*
        pub fn $name(&self, $($arg: $arg_type),*) -> Option<&$type> {
            match self.rows.get(&EntityRef::$variant($($arg.clone()),*)) {
                Some((_, Entity::$variant(row))) => Some(row),
                _ => None,
            }
        }
    };
}

impl Board {
    /// Applies one update. True if anything that a person could see changed.
    pub fn apply(&mut self, update: &Scoped) -> bool {
        self.take(update) != Change::Nothing
    }

    /// Applies one update and says what it did.
    pub fn take(&mut self, update: &Scoped) -> Change {
        let scope = &update.scope;
        let changed = |changed: bool| if changed { Change::Other } else { Change::Nothing };
        match &update.body {
            Body::SnapshotBegin => {
                self.lists += 1;
                self.pending.insert(scope.clone(), self.lists);
                Change::Nothing
            }
            Body::Upsert(Entity::Rollout(rollout)) => self.hold_rollout(scope, rollout),
            Body::Upsert(entity) => {
                let key = entity.key();
                let told = self.rows.get_mut(&key).filter(|(origin, _)| *origin.scope == *scope);
                if let Some((origin, _)) = told.filter(|(_, old)| old == entity) {
                    origin.list = self.lists;
                    return Change::Nothing;
                }
                if let Entity::Instance(instance) = entity {
                    self.measured_by(&instance.target.source);
                }
                let origin = self.origin(scope);
                let old = self.rows.insert(key, (origin, entity.clone()));
                self.index(old.map(|(_, old)| old).as_ref(), Some(entity));
                Change::Other
            }
            Body::Remove(EntityRef::Rollout(target)) => {
                self.samples.remove(target);
                match self.rollouts.take(target) {
                    Some(held) => Change::Rollout { old: Some(held.rollout), new: None },
                    None => Change::Nothing,
                }
            }
            Body::Remove(key) => {
                let old = self.rows.remove(key);
                self.index(old.as_ref().map(|(_, old)| old), None);
                changed(old.is_some())
            }
            Body::SnapshotEnd => self.end_list(scope),
            Body::Samples(samples) => {
                for sample in samples {
                    self.measured_by(&sample.target.source);
                    self.sample(sample);
                }
                changed(!samples.is_empty())
            }
            Body::Link(state) => changed(self.links.insert(scope.clone(), state.clone()).as_ref() != Some(state)),
        }
    }

    fn hold_rollout(&mut self, scope: &Scope, rollout: &Arc<Rollout>) -> Change {
        let target = &rollout.run.target;
        let old = self.rollouts.get(target);
        let same = old.is_some_and(|held| {
            *held.origin.scope == *scope && (Arc::ptr_eq(&held.rollout, rollout) || held.rollout == *rollout)
        });
        if same && !self.pending.contains_key(scope) {
            return Change::Nothing;
        }
        let origin = self.origin(scope);
        let old = self.rollouts.replace(Held { rollout: Arc::clone(rollout), origin }).map(|held| held.rollout);
        if same { Change::Nothing } else { Change::Rollout { old, new: Some(Arc::clone(rollout)) } }
    }

    /// The list of a scope is complete: what it did not tell is gone.
    fn end_list(&mut self, scope: &Scope) -> Change {
        let Some(list) = self.pending.remove(scope) else { return Change::Nothing };
        let old = |origin: &Origin| origin.list < list && *origin.scope == *scope;
        let gone = self.rollouts.iter().filter(|held| old(&held.origin)).map(|held| Arc::clone(&held.rollout));
        let rollouts: Vec<_> = gone.collect();
        for rollout in &rollouts {
            self.rollouts.remove(&rollout.run.target);
            self.samples.remove(&rollout.run.target);
        }
        let before = self.rows.len();
        self.rows.retain(|_, (origin, _)| !old(origin));
        let others = self.rows.len() < before;
        if others {
            self.alert_index = AlertIndex::of(self.shared_alerts());
        }
        if rollouts.is_empty() && !others { Change::Nothing } else { Change::Gone { rollouts, others } }
    }

    /// Keeps what alerts are about in step with their rows.
    fn index(&mut self, old: Option<&Entity>, new: Option<&Entity>) {
        if let Some(Entity::Alert(old)) = old {
            self.alert_index.remove(old);
        }
        if let Some(Entity::Alert(new)) = new {
            self.alert_index.insert(new);
        }
    }

    fn origin(&mut self, scope: &Scope) -> Origin {
        let list = self.lists;
        if let Some(scope) = self.scopes.get(scope) {
            return Origin { scope: Arc::clone(scope), list };
        }
        let scope = Arc::new(scope.clone());
        self.scopes.insert(Arc::clone(&scope));
        Origin { scope, list }
    }

    fn sample(&mut self, sample: &ArmSample) {
        if !self.samples.contains_key(&sample.target) {
            self.samples.insert(sample.target.clone(), BTreeMap::new());
        }
        let Some(arms) = self.samples.get_mut(&sample.target) else { return };
        let ring = arms.entry(sample.role.clone()).or_default();
        // A new version in the same role is another arm: its curve starts anew.
        if ring.back().is_some_and(|last| last.version != sample.version) {
            ring.clear();
        }
        // A snapshot tells of the last samples again.
        if ring.back().is_some_and(|last| last.at >= sample.at) && ring.iter().any(|known| known.at == sample.at) {
            return;
        }
        if ring.len() == SAMPLE_HISTORY {
            ring.pop_front();
        }
        ring.push_back(sample.clone());
    }

    /// Drops the oldest finished rollouts, notes, evidence and finished receipts beyond what is kept
    /// of each in memory; gives their scopes and keys.
    pub fn trim(&mut self) -> Vec<(Scope, EntityRef)> {
        let (mut deployments, mut notes, mut evidence, mut receipts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (key, (_, entity)) in &self.rows {
            match entity {
                Entity::RolloutRecord(row) => deployments.push((row.ended, key.clone())),
                Entity::Note(row) => notes.push((row.at, key.clone())),
                Entity::Evidence(row) => evidence.push((row.at, key.clone())),
                Entity::Receipt(row) => {
                    let last = row.stages.last().filter(|last| last.stage.is_final());
                    receipts.extend(last.map(|last| (last.at, key.clone())));
                }
                _ => {}
            }
        }
        let mut dropped = Vec::new();
        let kinds = [(HISTORY, deployments), (HISTORY, notes), (HISTORY, evidence), (RECEIPTS, receipts)];
        for (keep, mut of_kind) in kinds {
            of_kind.sort();
            let over = of_kind.len().saturating_sub(keep);
            for (_, key) in of_kind.drain(..over) {
                if let Some((origin, _)) = self.rows.remove(&key) {
                    dropped.push(((*origin.scope).clone(), key));
                }
            }
        }
        dropped
    }

    /// Rollouts, by target.
    pub fn rollouts(&self) -> impl Iterator<Item = &Rollout> {
        self.shared_rollouts().map(|rollout| &**rollout)
    }

    /// Rollouts, by target, for whoever keeps them.
    pub fn shared_rollouts(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        self.rollouts.iter().map(|held| &held.rollout)
    }

    /// Is a watch telling its whole list, and not done yet?
    pub fn is_listing(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many rollouts there are.
    pub fn rollout_count(&self) -> usize {
        self.rollouts.len()
    }

    /// The newest rollout of a target.
    pub fn rollout(&self, target: &Target) -> Option<&Rollout> {
        self.shared_rollout(target).map(|rollout| &**rollout)
    }

    /// The newest rollout of a target, for whoever keeps it.
    pub fn shared_rollout(&self, target: &Target) -> Option<&Arc<Rollout>> {
        self.rollouts.get(target).map(|held| &held.rollout)
    }

    all!(
        /// Approvals, settled ones included.
        approvals, Approval, Approval,
        EntityRef::Approval("".into())
    );
    all!(
        /// Environments.
        environments, Environment, Environment,
        EntityRef::Environment("".into(), "".into())
    );
    all!(
        /// Services.
        services, Service, Service,
        EntityRef::Service("".into(), "".into())
    );
    all!(
        /// Releases.
        releases, Release, Release,
        EntityRef::Release("".into(), "".into(), "".into())
    );
    all!(
        /// Holds in force.
        holds, Hold, Hold,
        EntityRef::Hold("".into(), "".into())
    );
    all!(
        /// Instances of all targets.
        instances, Instance, Instance,
        EntityRef::Instance("".into(), String::new())
    );
    all!(
        /// Notes of all runs.
        notes, Note, Note,
        EntityRef::Note("".into(), String::new())
    );
    all!(
        /// Evidence of all runs.
        evidence, Evidence, Evidence,
        EntityRef::Evidence("".into(), String::new())
    );
    all!(
        /// Receipts.
        receipts, Receipt, Receipt,
        EntityRef::Receipt("".into())
    );
    all!(
        /// Alerts that fire, silenced ones included.
        alerts, Alert, Alert,
        EntityRef::Alert("".into(), String::new())
    );
    all!(
        /// Alerts that fire, for whoever keeps them.
        shared_alerts, Alert, Arc<Alert>,
        EntityRef::Alert("".into(), String::new())
    );
    all!(
        /// Silences in force that concern an alert, or that were made with this program.
        silences, Silence, Silence,
        EntityRef::Silence("".into(), "".into())
    );
    all!(
        /// Finished rollouts.
        deployments, RolloutRecord, RolloutRecord,
        EntityRef::RolloutRecord(Run { target: no_target(), revision: String::new() })
    );

    one!(
        /// An approval.
        approval, Approval, Approval, (id: &ApprovalId)
    );
    one!(
        /// A receipt.
        receipt, Receipt, Receipt, (id: &ReceiptId)
    );
    one!(
        /// An environment.
        environment, Environment, Environment, (source: &SourceId, name: &EnvironmentName)
    );
    one!(
        /// A service.
        service, Service, Service, (source: &SourceId, name: &ServiceName)
    );
    one!(
        /// A hold.
        hold, Hold, Hold, (source: &SourceId, id: &HoldId)
    );
    one!(
        /// A finished rollout.
        deployment, RolloutRecord, RolloutRecord, (run: &Run)
    );

    one!(
        /// A stored release.
        release, Release, Release, (source: &SourceId, service: &ServiceName, version: &Version)
    );

    /// The rollout of a service in an environment of one backend.
    pub fn place(&self, source: &SourceId, service: &ServiceName, environment: &EnvironmentName) -> Option<&Rollout> {
        let fits = |rollout: &&Rollout| {
            rollout.run.target.source == *source && rollout.service == *service && rollout.environment == *environment
        };
        self.rollouts().find(fits)
    }

    /// Has another workload of its source its name, as a Rollout and a Deployment may? Then people need its
    /// kind to tell it from that.
    pub fn has_namesake(&self, target: &Target) -> bool {
        let at = |kind: &str, namespace: Option<String>, name: &str| {
            let (source, kind, name) = (target.source.clone(), kind.to_owned(), name.to_owned());
            let first = Target { source, kind, namespace, name, uid: String::new(), first_name: None };
            self.rollouts.range(first..).map(|held| &held.rollout.run.target).next()
        };
        let mut kind = String::new();
        while let Some(next) = at(&kind, None, "").filter(|next| next.source == target.source) {
            let same = |other: &Target| {
                other.kind == next.kind && other.namespace == target.namespace && other.name == target.name
            };
            if next.kind != target.kind && at(&next.kind, target.namespace.clone(), &target.name).is_some_and(same) {
                return true;
            }
            // The first of the kinds after it.
            kind = format!("{}\0", next.kind);
        }
        false
    }

    /// A rollout's service, behind its kind where that is what tells it apart.
    pub fn service_name(&self, rollout: &Rollout) -> String {
        let target = &rollout.run.target;
        if self.has_namesake(target) {
            format!("{}/{}", target.kind, rollout.service)
        } else {
            rollout.service.0.clone()
        }
    }

    /// How a rollout's service is reached, as far as its source says it.
    pub fn service_kind(&self, rollout: &Rollout) -> ServiceKind {
        if rollout.is_worker() {
            return ServiceKind::Worker;
        }
        self.service(&rollout.run.target.source, &rollout.service).and_then(|of| of.kind).unwrap_or_default()
    }

    /// What a rollout's workload is: `service`, `tcp service`, `worker`, or its platform's word, such as `Deployment`.
    pub fn kind_word<'a>(&self, rollout: &'a Rollout) -> &'a str {
        match self.service_kind(rollout) {
            ServiceKind::Http => &rollout.run.target.kind,
            kind => kind.noun(),
        }
    }

    /// Is there no row at all?
    pub fn is_empty(&self) -> bool {
        self.rollouts.is_empty() && self.rows.is_empty()
    }

    /// All rows, for a snapshot, in the order of their keys; rollouts are shared, the rest is copied.
    pub fn entities(&self) -> impl Iterator<Item = (&Scope, Entity)> {
        let first = EntityRef::Rollout(no_target());
        let rollouts =
            self.rollouts.iter().map(|held| (&*held.origin.scope, Entity::Rollout(Arc::clone(&held.rollout))));
        let before = self.rows.range(..first.clone()).map(other);
        before.chain(rollouts).chain(self.rows.range(first..).map(other))
    }

    /// A row that is no rollout.
    pub(super) fn row(&self, key: &EntityRef) -> Option<&Entity> {
        self.rows.get(key).map(|(_, entity)| entity)
    }

    /// The watch that last told of a row.
    pub fn scope(&self, key: &EntityRef) -> Option<&Scope> {
        match key {
            EntityRef::Rollout(target) => self.rollout_scope(target),
            key => self.rows.get(key).map(|(origin, _)| &*origin.scope),
        }
    }

    /// The watch that last told of a rollout.
    pub fn rollout_scope(&self, target: &Target) -> Option<&Scope> {
        self.rollouts.get(target).map(|held| &*held.origin.scope)
    }

    /// The health of one watch.
    pub fn link_of(&self, scope: &Scope) -> Option<&LinkState> {
        self.links.get(scope)
    }

    /// All watches and their health.
    pub fn links(&self) -> impl Iterator<Item = (&Scope, &LinkState)> {
        self.links.iter()
    }

    /// The health of a source: the worst of its watches; `Connecting` if it has none.
    pub fn link(&self, source: &SourceId) -> LinkState {
        let rank = |state: &LinkState| match state {
            LinkState::Live { .. } | LinkState::Absent { .. } => 0,
            LinkState::Connecting => 1,
            LinkState::Denied { .. } => 2,
            LinkState::Stale { .. } => 3,
        };
        self.links
            .iter()
            .filter(|(scope, _)| scope.source == *source)
            .map(|(_, state)| state)
            .max_by_key(|state| rank(state))
            .cloned()
            .unwrap_or(LinkState::Connecting)
    }

    /// The numbers of an arm, oldest first.
    pub fn samples(&self, target: &Target, role: &ArmRole) -> Option<&VecDeque<ArmSample>> {
        self.samples.get(target)?.get(role)
    }

    fn measured_by(&mut self, source: &SourceId) {
        if !self.measured.contains(source) {
            self.measured.insert(source.clone());
        }
    }

    /// Did a source ever tell numbers, or instances by itself? One that did neither has no metrics.
    pub fn measures(&self, source: &SourceId) -> bool {
        self.measured.contains(source)
    }

    /// The numbers of all arms.
    pub fn all_samples(&self) -> impl Iterator<Item = &VecDeque<ArmSample>> {
        self.samples.values().flat_map(BTreeMap::values)
    }
}
