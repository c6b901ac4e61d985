//! What ran before this engine, and what is to run after it.

use super::spilled::Spilled;
use super::task::{Adopting, EngineTask};
use crate::process::context::Report;
use flightdeck_engine_core::{Effect, Input, InstanceStage};
use flightdeck_model::StopSpec;
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// An instance that no journal knows is ended so.
const UNKNOWN: SignedDuration = SignedDuration::from_secs(1);

impl EngineTask {
    /// Adopts what the journal names, ends what it does not, and carries out what was not answered.
    pub(super) async fn take_over(&mut self) {
        for spilled in std::mem::take(&mut self.spilled) {
            self.follow_spilled(&spilled).await;
        }
        let unreadable = |error| {
            tracing::error!(%error, "cannot read the instances' directories");
            Vec::new()
        };
        let recorded = self.room.recorded().unwrap_or_else(unreadable);
        let jobs = self.room.recorded_jobs().unwrap_or_else(unreadable);
        let pending = self.outstanding();
        let ordered: BTreeSet<&str> = pending.iter().filter_map(|numbered| instance_of(&numbered.effect)).collect();
        // One that backs off has no process, unless the server died before it heard of its end.
        let known: BTreeMap<String, bool> = self
            .instances()
            .map(|instance| (instance.id.clone(), !matches!(instance.stage, InstanceStage::BackingOff { .. })))
            .collect();
        let mut adopted = BTreeSet::new();
        for (id, expected) in &known {
            if !ordered.contains(id.as_str()) && (*expected || recorded.contains(id)) {
                self.room.adopt(id);
                adopted.insert(id.clone());
            }
        }
        self.adopting =
            (!adopted.is_empty()).then(|| Adopting { all: adopted.len(), left: adopted, since: Instant::now() });
        for id in recorded.iter().filter(|id| !known.contains_key(*id) && !ordered.contains(id.as_str())) {
            tracing::warn!(instance = %id, "ending an instance that the journal does not know");
            self.room.stop(id, StopSpec { signal: "TERM".into(), grace: UNKNOWN }, None);
        }
        let awaited: BTreeSet<&str> = pending.iter().filter_map(|numbered| job_of(&numbered.effect)).collect();
        for id in jobs.iter().filter(|id| !awaited.contains(id.as_str())) {
            tracing::warn!(job = %id, "ending a hook that the journal does not wait for");
            self.room.end_job(id);
        }
        // Routes are sent when the proxy is connected.
        let about = |effect: &Effect| instance_of(effect).or_else(|| job_of(effect)).is_some();
        self.carry_out(pending.into_iter().filter(|numbered| about(&numbered.effect)).collect());
    }

    /// An instance that ran before has answered, or is known to be gone.
    pub(super) fn answered(&mut self, report: &Report) {
        let Report::Instance { id, .. } = report else { return };
        let Some(adopting) = &mut self.adopting else { return };
        adopting.left.remove(id);
        if adopting.left.is_empty() {
            let (all, took) = (adopting.all, adopting.since.elapsed());
            tracing::info!(instances = all, milliseconds = took.as_millis(), "adopted what ran before");
            self.adopting = None;
        }
    }

    /// A route went to the proxy that the journal knows nothing of: the rollout is over, as after a
    /// lease that lapsed, and the next route needs a higher version.
    pub(super) async fn follow_spilled(&mut self, spilled: &Spilled) {
        tracing::warn!(?spilled, "done while the journal could not be written");
        let Some(slot) = &spilled.slot else { return };
        let Some(found) = self.state.slots.get_mut(slot) else { return };
        if found.routing.version >= spilled.version {
            return;
        }
        let version = found.routing.acked.as_ref().map_or(0, |acked| acked.version);
        found.routing.version = spilled.version;
        self.feed(vec![Input::LeaseLapsed { slot: slot.clone(), version, at: spilled.at }]).await;
    }

    /// Stops every instance and waits for the ends. The journal keeps them: the next engine starts
    /// them again. A hook is killed; how far it came the next engine can't know.
    pub(super) async fn stop_instances(&mut self) {
        self.room.abandon_jobs();
        let known: BTreeMap<String, StopSpec> =
            self.instances().map(|instance| (instance.id.clone(), instance.stop.clone())).collect();
        let ids: Vec<String> = self.room.supervised().cloned().collect();
        for id in ids {
            let unknown = || StopSpec { signal: "TERM".into(), grace: UNKNOWN };
            self.room.stop(&id, known.get(&id).cloned().unwrap_or_else(unknown), None);
        }
        while self.room.supervised().next().is_some() {
            let Some(report) = self.reports.recv().await else { return };
            self.room.heard(&report);
        }
    }
}

/// The instance that an effect is about.
fn instance_of(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::Start(launch) => Some(&launch.instance),
        Effect::Stop { instance, .. } => Some(instance),
        Effect::Route { .. }
        | Effect::Unroute { .. }
        | Effect::StartJob(_)
        | Effect::StopJob { .. }
        | Effect::EndJob { .. } => None,
    }
}

/// The hook's run that an effect is about.
fn job_of(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::StartJob(launch) => Some(&launch.job),
        Effect::EndJob { job } | Effect::StopJob { job, .. } => Some(job),
        Effect::Start(_) | Effect::Stop { .. } | Effect::Route { .. } | Effect::Unroute { .. } => None,
    }
}
