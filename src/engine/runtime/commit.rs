//! Durable first, then carried out.

use super::clock::clock;
use super::link::LinkOrder;
use super::spilled::{lowering, sentence, spill};
use super::task::{EngineTask, send};
use crate::journal::Spill;
use flightdeck_engine_core as core;
use flightdeck_engine_core::{Effect, Input, JobId, Numbered};
use flightdeck_model::RolloutRecord;
use flightdeck_platform::failpoint;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;

/// A route that only lowers exposure waits no longer than this for the journal.
const PATIENCE: Duration = Duration::from_millis(25);
/// A commit that takes longer is as good as lost.
const COMMIT: Duration = Duration::from_secs(2);

/// The state is not on disk.
pub(super) struct Unrecorded {
    pub(super) why: String,
    /// False: it may get there yet.
    pub(super) certain: bool,
}

impl EngineTask {
    /// Makes the state durable, with the effects that follow from it. If that fails, or takes too
    /// long, those that only take traffic from a candidate are carried out all the same; the rest
    /// waits. The next change, or the next tick, tries again.
    pub(super) async fn commit(&mut self, effects: &[Numbered]) -> Result<(), Unrecorded> {
        let text =
            serde_json::to_string(&self.state).map_err(|error| Unrecorded { why: error.to_string(), certain: true })?;
        let lowering = lowering(effects);
        let mut spilled = false;
        let result = {
            let mut commit = std::pin::pin!(self.journal.commit(text, self.ended.clone(), self.config.clone()));
            let mut result = timeout(PATIENCE, &mut commit).await;
            if !matches!(result, Ok(Ok(()))) && !lowering.is_empty() {
                for (_, route) in &lowering {
                    send(self.link.as_ref(), LinkOrder::Route(route.clone()));
                }
                spill(&mut self.spill, &lowering).await;
                spilled = true;
            }
            if result.is_err() {
                result = timeout(COMMIT, &mut commit).await;
            }
            result
        };
        let unrecorded = match result {
            Ok(Ok(())) => {
                self.ended.clear();
                self.config = None;
                self.recorded(spilled);
                return Ok(());
            }
            Ok(Err(error)) => Unrecorded { why: sentence(&error), certain: true },
            Err(_) => Unrecorded { why: "the disk did not answer in time".into(), certain: false },
        };
        tracing::error!(why = %unrecorded.why, "the engine's journal can't be written");
        self.unsaved = true;
        Err(unrecorded)
    }

    /// The state is durable: the spill file has nothing more to say, and what was held back goes on.
    pub(super) fn recorded(&mut self, spilled: bool) {
        let was_behind = std::mem::take(&mut self.unsaved);
        if (was_behind || spilled)
            && let Some(Err(error)) = self.spill.as_mut().map(Spill::clear)
        {
            tracing::error!(error = %sentence(&error), "the spill file can't be cleared");
        }
        if was_behind {
            // More than was held back, perhaps: carrying out twice is the same as once.
            self.carry_out(self.outstanding());
        }
    }

    /// What was not answered yet. A hook that is over with is not run, or nothing of it would be left
    /// that tells that it has run before.
    pub(super) fn outstanding(&self) -> Vec<Numbered> {
        let over: BTreeSet<&JobId> = core::pending(&self.state)
            .filter_map(|numbered| match &numbered.effect {
                Effect::EndJob { job } => Some(job),
                _ => None,
            })
            .collect();
        let runs =
            |numbered: &&Numbered| !matches!(&numbered.effect, Effect::StartJob(launch) if over.contains(&launch.job));
        core::pending(&self.state).filter(runs).cloned().collect()
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Numbered>) {
        let last = effects.len().saturating_sub(1);
        for (index, numbered) in effects.into_iter().enumerate() {
            self.carry_out_one(numbered.effect);
            if index == 0 && last > 0 {
                failpoint::pass("effects-after-first");
            }
            if index == last {
                failpoint::pass("effects-after-all");
            }
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Start(launch) => {
                failpoint::pass("effect-start");
                self.room.start(*launch);
            }
            Effect::Stop { instance, stop, drain } => {
                failpoint::pass("effect-stop");
                self.room.stop(&instance, stop, drain);
            }
            Effect::Route { route, .. } => {
                failpoint::pass("effect-route");
                let leased = route.fallback.is_some();
                self.send(LinkOrder::Route(route));
                if leased {
                    self.renew();
                }
            }
            effect @ Effect::Unroute { .. } => {
                if let Some((listener, version)) = effect.listener() {
                    self.send(LinkOrder::Unroute { listener, version });
                }
            }
            Effect::StartJob(launch) => {
                failpoint::pass("effect-job");
                self.room.run(*launch);
            }
            Effect::StopJob { job, stop } => self.room.stop_job(&job, stop),
            Effect::EndJob { job } => {
                failpoint::pass("effect-job-end");
                self.room.end_job(&job);
            }
        }
    }

    /// Steps through events, journals once, carries out what follows.
    pub(super) async fn feed(&mut self, inputs: Vec<Input>) {
        let (mut effects, mut changed) = (Vec::new(), false);
        for input in inputs {
            let outcome = core::step(&mut self.state, &input, clock());
            changed |= outcome.changed;
            self.finished(outcome.ended);
            effects.extend(outcome.effects);
            if let Some(refusal) = outcome.refused {
                tracing::debug!(why = %refusal, "the core refused an input");
            }
        }
        self.dirty = true;
        if changed && self.commit(&effects).await.is_err() {
            return; // said there; what was held back is carried out once it is recorded
        }
        self.carry_out(effects);
    }

    /// Rollouts ended: they are stored with the next commit, and told with the next rows.
    pub(super) fn finished(&mut self, ended: Vec<RolloutRecord>) {
        self.news.extend(ended.iter().cloned());
        self.ended.extend(ended);
    }
}
