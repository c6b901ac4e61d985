//! What a hub is told at its start.

use flightdeck_control::Policy;
use flightdeck_ledger::Ledger;
use flightdeck_model::{
    AnalysisTemplate, EnvironmentName, HubId, Objective, OnBreach, OnBurn, Rollout, ServiceName, SourceId,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// What the watchdog does in one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchdogRule {
    pub on_breach: OnBreach,
    /// By what candidates are judged.
    pub template: AnalysisTemplate,
}

/// What services promise.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectiveRule {
    pub objective: Objective,
    /// Of which services; none: all.
    pub services: Vec<ServiceName>,
    /// Where; none: everywhere.
    pub environments: Vec<EnvironmentName>,
}

impl ObjectiveRule {
    pub(super) fn concerns(&self, row: &Rollout) -> bool {
        (self.services.is_empty() || self.services.contains(&row.service))
            && (self.environments.is_empty() || self.environments.contains(&row.environment))
    }
}

/// What a hub is made of.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Unique for the hub's life; part of every envelope.
    pub id: HubId,
    /// The hub's own source, in whose scope `hub` its receipts are.
    pub source: SourceId,
    /// Grows with each start: sequences of two epochs can't be compared.
    pub epoch: u64,
    /// Who may do what.
    pub policy: Policy,
    /// Where it records.
    pub ledger: Ledger,
    /// Envelopes that a subscriber may have missed and still resume from.
    pub ring: usize,
    /// Envelopes that a slow subscriber may be behind before it is told to start over.
    pub lag: usize,
    /// How long a backend's answer is waited for before its outcome counts as unknown.
    pub answer: SignedDuration,
    /// By what candidates are watched, in the environments that are. None by default: nothing is done by itself.
    pub watchdogs: BTreeMap<EnvironmentName, WatchdogRule>,
    /// What services promise. None by default.
    pub objectives: Vec<ObjectiveRule>,
    /// What is done in environments while an error budget burns too fast there; where nothing is said it is told.
    pub on_burn: BTreeMap<EnvironmentName, OnBurn>,
}

impl HubSettings {
    /// The usual ones; the epoch is the time of the start in milliseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the hub is a shell: its epoch is the time of its start")]
    pub fn new(source: SourceId, policy: Policy, ledger: Ledger) -> HubSettings {
        let epoch = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        let id = HubId(uuid::Uuid::now_v7().to_string());
        // A backend may have to read before it acts, on a slow link, and says itself how it fared.
        let answer = SignedDuration::from_secs(45);
        let (watchdogs, objectives, on_burn) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        HubSettings { id, source, epoch, policy, ledger, ring: 1024, lag: 8192, answer, watchdogs, objectives, on_burn }
    }
}
