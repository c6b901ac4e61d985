//! The rows of a board and how updates change them.

use crate::model::{
    Approval, ApprovalId, ArmRole, ArmSample, Body, Deployment, Entity, EntityRef, Environment, EnvironmentName,
    Evidence, Hold, HoldId, Instance, LinkState, Note, Receipt, ReceiptId, Release, Rollout, Run, SAMPLE_HISTORY,
    Scope, Scoped, Service, ServiceName, SourceId, Target, Version,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Notes, evidence and receipts kept per source before the oldest are dropped.
const HISTORY: usize = 2000;

/// A watch and its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Which watch.
    pub scope: Scope,
    /// How it is.
    pub state: LinkState,
}

/// All rows of one or more hubs. Rows belong to the scope that last told of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Board {
    rows: BTreeMap<EntityRef, (Scope, Entity)>,
    links: BTreeMap<Scope, LinkState>,
    samples: BTreeMap<(Target, ArmRole), VecDeque<ArmSample>>,
    /// Keys not yet told again in a snapshot under way.
    pending: BTreeMap<Scope, BTreeSet<EntityRef>>,
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
    Target { source: "".into(), kind: String::new(), namespace: None, name: String::new(), uid: String::new() }
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
        let scope = &update.scope;
        match &update.body {
            Body::SnapshotBegin => {
                let keys = self.rows.iter().filter(|(_, (of, _))| of == scope).map(|(key, _)| key.clone()).collect();
                self.pending.insert(scope.clone(), keys);
                false
            }
            Body::Upsert(entity) => {
                let key = entity.key();
                if let Some(pending) = self.pending.get_mut(scope) {
                    pending.remove(&key);
                }
                if self.rows.get(&key).is_some_and(|(of, old)| of == scope && old == entity) {
                    return false;
                }
                self.rows.insert(key, (scope.clone(), entity.clone()));
                true
            }
            Body::Remove(key) => self.remove(key),
            Body::SnapshotEnd => {
                let gone = self.pending.remove(scope).unwrap_or_default();
                gone.iter().filter(|key| self.remove(key)).count() > 0
            }
            Body::Samples(samples) => {
                for sample in samples {
                    self.sample(sample);
                }
                !samples.is_empty()
            }
            Body::Link(state) => self.links.insert(scope.clone(), state.clone()).as_ref() != Some(state),
        }
    }

    fn remove(&mut self, key: &EntityRef) -> bool {
        if let EntityRef::Rollout(target) = key {
            self.samples.retain(|(of, _), _| of != target);
        }
        self.rows.remove(key).is_some()
    }

    fn sample(&mut self, sample: &ArmSample) {
        let ring = self.samples.entry((sample.target.clone(), sample.role.clone())).or_default();
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

    /// Drops the oldest notes, evidence and finished receipts beyond what is kept in memory; gives their keys.
    pub fn trim(&mut self) -> Vec<EntityRef> {
        let mut old: Vec<(jiff::Timestamp, EntityRef)> = self
            .rows
            .iter()
            .filter_map(|(key, (_, entity))| match entity {
                Entity::Note(note) => Some((note.at, key.clone())),
                Entity::Evidence(evidence) => Some((evidence.at, key.clone())),
                Entity::Deployment(deployment) => Some((deployment.ended, key.clone())),
                Entity::Receipt(receipt) if receipt.stage().is_final() => {
                    receipt.stages.last().map(|last| (last.at, key.clone()))
                }
                _ => None,
            })
            .collect();
        if old.len() <= HISTORY {
            return Vec::new();
        }
        old.sort();
        old.truncate(old.len() - HISTORY);
        let keys: Vec<_> = old.into_iter().map(|(_, key)| key).collect();
        for key in &keys {
            self.rows.remove(key);
        }
        keys
    }

    all!(
        /// Rollouts, by target.
        rollouts, Rollout, Rollout,
        EntityRef::Rollout(no_target())
    );
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
        /// Finished rollouts.
        deployments, Deployment, Deployment,
        EntityRef::Deployment(Run { target: no_target(), revision: String::new() })
    );

    one!(
        /// The newest rollout of a target.
        rollout, Rollout, Rollout, (target: &Target)
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
        /// A hold.
        hold, Hold, Hold, (source: &SourceId, id: &HoldId)
    );
    one!(
        /// A finished rollout.
        deployment, Deployment, Deployment, (run: &Run)
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

    /// All rows, for a snapshot.
    pub fn entities(&self) -> impl Iterator<Item = (&Scope, &Entity)> {
        self.rows.values().map(|(scope, entity)| (scope, entity))
    }

    /// The watch that last told of a row.
    pub fn scope(&self, key: &EntityRef) -> Option<&Scope> {
        self.rows.get(key).map(|(scope, _)| scope)
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
        self.samples.get(&(target.clone(), role.clone()))
    }

    /// The numbers of all arms.
    pub fn all_samples(&self) -> impl Iterator<Item = &VecDeque<ArmSample>> {
        self.samples.values()
    }
}
