//! Everything that the core remembers.

mod migrated;
mod pairs;
mod pool;
mod routing;
mod run;
mod slot;
mod timings;

pub use migrated::*;
pub use pool::*;
pub use routing::*;
pub use run::*;
pub use slot::*;
pub use timings::*;

use super::types::{EffectId, Numbered, SlotKey};
use flightdeck_model::{
    AnalysisTemplate, Approval, CommandId, ConfigName, EnvironmentName, EnvironmentSpec, Hold, Refusal, Release,
    ReleaseRef, Run, ServiceName, SourceId, Spec, Version,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The core's whole state. Serialises; the journal gives it a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its name among the sources of a board.
    pub source: SourceId,
    /// What is in force: all configurations together but for their analyses, and what is being taken down.
    pub spec: Spec,
    /// `sha256:…` of the text that was applied last.
    pub config: Option<String>,
    /// The configurations that are in force, by name.
    #[serde(default)]
    pub configs: BTreeMap<ConfigName, Configured>,
    /// Stored releases.
    pub releases: BTreeMap<ServiceName, BTreeMap<Version, Release>>,
    /// Every service in every environment.
    #[serde(with = "pairs")]
    pub slots: BTreeMap<SlotKey, Box<Slot>>,
    /// Holds in force.
    pub holds: Vec<Hold>,
    /// Approvals: all that are pending, and the newest settled ones.
    pub approvals: Vec<Asked>,
    /// Effects that nothing answered yet, by number.
    pub pending: Vec<Numbered>,
    /// The newest commands and what came of them.
    pub commands: VecDeque<Remembered>,
    /// Counters of ids.
    pub counters: Counters,
    /// When the core was last told the time.
    pub last: Option<Timestamp>,
    /// Migrations of services that left the configuration, by `service@environment`: their data stays.
    #[serde(default)]
    pub migrated: BTreeMap<String, BTreeMap<String, Migrated>>,
    /// What ran in places that left the configuration, by `service@environment`: put back, they run it again.
    #[serde(default)]
    pub removed: BTreeMap<String, Removed>,
    /// It was restored from a backup that was made then.
    #[serde(default)]
    pub restored: Option<Timestamp>,
    /// Configurations that were applied since: what comes with them later is new.
    #[serde(default)]
    pub applied_since_restore: BTreeSet<ConfigName>,
    /// Places that had left their configuration in that backup, and are not back yet, as `service@environment`.
    #[serde(default)]
    pub away_at_restore: BTreeSet<String>,
}

/// What is remembered of a place that left the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// What served when it was removed.
    pub release: Option<ReleaseRef>,
    /// What succeeded there, oldest first.
    pub lineage: Vec<Succeeded>,
    /// For how long each of that served.
    pub served: Vec<(ReleaseRef, SignedDuration)>,
    /// How long things took there.
    pub timings: Timings,
    /// Its rollouts go on being counted from here.
    pub revision: u64,
}

/// Counters of ids; none is used twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub effect: EffectId,
    pub slot: u64,
    pub pool: u64,
    /// Of instances.
    pub instance: u64,
    pub approval: u64,
    /// Of notes.
    pub note: u64,
    pub evidence: u64,
    /// Of runs of hooks.
    #[serde(default)]
    pub job: u64,
    /// Of configurations put into force.
    #[serde(default)]
    pub config: u64,
    /// Of rollouts that were asked for, over all slots: the order of the waiting line.
    pub asked: u64,
}

impl Counters {
    pub(super) const fn next(counter: &mut u64) -> u64 {
        *counter += 1;
        *counter
    }
}

/// A command and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    pub id: CommandId,
    /// Why it was refused, if it was.
    pub refused: Option<Refusal>,
    /// What was answered besides.
    pub note: Option<String>,
    #[serde(default)]
    pub created: Option<Run>,
}

/// An approval and the step that asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What people see; its facts and what queues behind it are filled in when it is shown.
    pub approval: Approval,
    /// Index of the step.
    pub step: u32,
}

impl Default for State {
    fn default() -> State {
        State::new(SourceId::from("local"))
    }
}

impl State {
    /// The empty state of a new engine.
    #[must_use]
    pub fn new(source: SourceId) -> State {
        State {
            source,
            spec: Spec::default(),
            config: None,
            configs: BTreeMap::new(),
            releases: BTreeMap::new(),
            slots: BTreeMap::new(),
            holds: Vec::new(),
            approvals: Vec::new(),
            pending: Vec::new(),
            commands: VecDeque::new(),
            counters: Counters::default(),
            last: None,
            migrated: BTreeMap::new(),
            removed: BTreeMap::new(),
            restored: None,
            applied_since_restore: BTreeSet::new(),
            away_at_restore: BTreeSet::new(),
        }
    }

    /// The slot of a listener's name, and whether it is the preview's.
    #[must_use]
    pub fn of_listener(&self, listener: &str) -> Option<(SlotKey, bool)> {
        self.slots.values().find_map(|slot| {
            let preview = [false, true].into_iter().find(|preview| slot.listener(*preview) == listener)?;
            Some((slot.key.clone(), preview))
        })
    }

    /// The stored release, if there is one.
    pub fn release(&self, service: &ServiceName, version: &Version) -> Option<&Release> {
        self.releases.get(service)?.get(version)
    }
}

/// A configuration that is in force: what it brought. What it says of its services stands in [`State::spec`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Configured {
    /// By which it came into force; 0: none was.
    pub revision: u64,
    /// Where its text lay; empty: not recorded.
    pub path: String,
    /// Those that it alone may change.
    pub services: BTreeSet<ServiceName>,
    /// As it says of them; what counts stands in [`State::spec`].
    pub environments: BTreeMap<EnvironmentName, EnvironmentSpec>,
    /// For its own services.
    pub analyses: BTreeMap<String, AnalysisTemplate>,
}

impl Configured {
    pub(super) fn of(spec: &Spec, path: &str, revision: u64) -> Configured {
        Configured {
            revision,
            path: path.to_owned(),
            services: spec.services.keys().cloned().collect(),
            environments: spec.environments.clone(),
            analyses: spec.analyses.clone(),
        }
    }
}
