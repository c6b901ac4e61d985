//! Durable first, then carried out.

use super::clock;
use super::link::LinkOrder;
use super::task::{EngineTask, Link, sentence};
use crate::journal::Spill;
use flightdeck_engine_core as core;
use flightdeck_engine_core::{Effect, JobId, Numbered, SlotKey};
use flightdeck_platform::failpoint;
use flightdeck_proxy::wire::Route;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A route that only lowers exposure waits no longer than this for the journal.
const PATIENCE: Duration = Duration::from_millis(25);
/// A commit that takes longer is as good as lost.
const COMMIT: Duration = Duration::from_secs(2);

/// A line of the spill file: what was done although the journal could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spilled {
    pub at: Timestamp,
    /// A route that only lowers exposure was sent for this slot.
    pub slot: Option<SlotKey>,
    pub version: u64,
    pub what: String,
}

impl Spilled {
    /// A line that can't be read says nothing that could be acted on.
    pub fn parse(line: &str) -> Option<Spilled> {
        serde_json::from_str(line).inspect_err(|error| tracing::error!(%error, line, "an unreadable spill line")).ok()
    }
}

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

    pub(super) fn send(&self, order: LinkOrder) {
        send(self.link.as_ref(), order);
    }

    pub(super) fn renew(&mut self) {
        self.last_renew = Some(Instant::now());
        self.send(LinkOrder::Renew(self.settings.lease));
    }
}

pub(super) fn send(link: Option<&Link>, order: LinkOrder) {
    if let Some(link) = link {
        let _ = link.orders.send(order); // a link that ended ends the loop
    }
}

/// The routes that only take traffic from a candidate.
fn lowering(effects: &[Numbered]) -> Vec<(SlotKey, Route)> {
    let lowering = |numbered: &Numbered| match &numbered.effect {
        Effect::Route { slot, route, lowers_exposure: true } => Some((slot.clone(), route.clone())),
        _ => None,
    };
    effects.iter().filter_map(lowering).collect()
}

/// Notes routes that went out before the journal had them. Not on the loop's own thread: a disk that
/// hangs must not keep them from the proxy.
async fn spill(file: &mut Option<Spill>, routes: &[(SlotKey, Route)]) {
    let Some(mut open) = file.take() else { return };
    let at = clock();
    let lines: Vec<Spilled> = routes
        .iter()
        .map(|(slot, route)| {
            let what = "the route only lowers exposure, and the journal could not be written".to_owned();
            Spilled { at, slot: Some(slot.clone()), version: route.version, what }
        })
        .collect();
    let written = tokio::task::spawn_blocking(move || {
        for line in lines {
            let text = serde_json::to_string(&line).map_err(|error| error.to_string());
            if let Err(why) = text.and_then(|text| open.line(&text).map_err(|error| sentence(&error))) {
                tracing::error!(%why, ?line, "a route that lowers exposure is in force but recorded nowhere");
            }
        }
        open
    });
    *file = written.await.ok();
}
