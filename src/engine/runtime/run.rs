//! The loop: it takes every input from one place, journals what changed, and only then carries out what follows.

use super::asks::{Ask, Stop};
use super::clock::clock;
use super::commit::Unrecorded;
use super::link::{self, LinkEvent, LinkOrder};
use super::retention;
use super::settings::EngineError;
use super::task::{EngineTask, Link, send};
use crate::process::context::Report;
use flightdeck_engine_core as core;
use flightdeck_engine_core::{Input, InstanceStage, Outcome, State};
use flightdeck_model::{Action, ConfigRevision, Direction, Refusal, RefusalKind, Renamed};
use flightdeck_platform::failpoint;
use flightdeck_port::{Accepted, Holding, NotDone};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// Between two ticks while something is under way; well below [`core::LONGEST_TICK`].
const BUSY: Duration = Duration::from_secs(1);
/// Between two ticks while nothing is.
const IDLE: Duration = Duration::from_secs(5);
/// What changed by itself is shown at most so often.
const COALESCE: Duration = Duration::from_millis(50);
/// Between two looks for what is kept no longer.
const SWEEP: Duration = Duration::from_hours(1);
/// Events that are stepped and journalled together.
const MAX_BATCH: usize = 64;
/// Uploads without a command that are remembered.
const MAX_STAGED: usize = 64;
/// Everything stops within its own grace and this.
const LAST: Duration = Duration::from_secs(15);

/// What the loop woke up for.
enum Woken {
    Ask(Option<Ask>),
    Report(Report),
    Link(LinkEvent),
    Tick,
    Publish,
    Ended(&'static str),
}

impl EngineTask {
    /// Runs until [`super::Engine::shutdown`], or until every handle is dropped, which leaves the
    /// instances running.
    pub async fn run(mut self) -> Result<(), EngineError> {
        self.warn_of_root();
        self.start_link();
        self.take_over().await;
        let mut tick = Instant::now();
        let mut publish: Option<Instant> = None;
        loop {
            if self.dirty && publish.is_none() {
                publish = Some(Instant::now() + COALESCE);
            }
            if self.busy() {
                tick = tick.min(Instant::now() + BUSY);
            }
            match self.wake(tick, publish).await {
                Woken::Ask(None) => return self.end(Stop::LeaveRunning, None).await,
                Woken::Ask(Some(Ask::Shutdown(stop, done))) => return self.end(stop, Some(done)).await,
                Woken::Ask(Some(ask)) => self.ask(ask).await,
                Woken::Report(report) => self.reported(report).await,
                Woken::Link(event) => self.linked(event).await,
                Woken::Tick => {
                    self.tick().await;
                    tick = Instant::now() + if self.busy() || self.counters.traffic() { BUSY } else { IDLE };
                }
                Woken::Publish => self.publish(),
                Woken::Ended(task) if task == LINK => return Err(EngineError::Ended(task)),
                Woken::Ended(_) => {}
            }
            if !self.dirty {
                publish = None;
            }
        }
    }

    fn warn_of_root(&self) {
        let places = self.state.spec.without_user();
        if rustix::process::geteuid().is_root() && !places.is_empty() {
            let places = places.join(", ");
            tracing::warn!(
                "the server runs as root, and so does {places}: name a user for it, such as user = \"www-data\""
            );
        }
    }

    fn start_link(&mut self) {
        let Some((home, drains)) = self.link_parts.take() else { return };
        let (orders, order_receiver) = mpsc::unbounded_channel();
        let (event_sender, events) = mpsc::unbounded_channel();
        self.tasks.spawn(link::run(home, order_receiver, drains, event_sender));
        self.link = Some(Link { orders, events });
    }

    /// The next thing to do. What reduces exposure comes first, whatever else waits.
    async fn wake(&mut self, tick: Instant, publish: Option<Instant>) -> Woken {
        let events = async {
            match &mut self.link {
                Some(link) => link.events.recv().await.map_or(Woken::Ended(LINK), Woken::Link),
                None => pending().await,
            }
        };
        let publish = async {
            match publish {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            ask = self.urgent.recv() => Woken::Ask(ask),
            Some(report) = self.reports.recv() => Woken::Report(report),
            event = events => event,
            () = sleep_until(tick) => Woken::Tick,
            ask = self.asks.recv() => Woken::Ask(ask),
            () = publish => Woken::Publish,
            Some(_) = self.tasks.join_next() => Woken::Ended(SWEPT),
        }
    }

    /// Does time matter to anything?
    fn busy(&self) -> bool {
        self.unsaved
            || core::soaking(&self.state)
            || self.state.slots.values().any(|slot| {
                let routing = &slot.routing;
                slot.active().is_some()
                    || !slot.queue.is_empty()
                    || slot.warm.is_some()
                    || slot.removed
                    || !routing.sent.is_empty()
                    || routing.retry.is_some()
                    || slot.pools.values().any(|pool| {
                        pool.retired || pool.instances.values().any(|it| it.stage != InstanceStage::Ready || it.leaving)
                    })
            })
    }

    async fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Input { input, direction, answer } => {
                let result = self.command(*input, direction).await;
                self.publish();
                let _ = answer.send(result); // whoever asked may be gone; it is done all the same
            }
            Ask::Staged(id, staged) => {
                self.staged.retain(|(other, _)| *other != id);
                self.staged.truncate(MAX_STAGED - 1);
                self.staged.insert(0, (id, staged));
            }
            Ask::TakeStaged(id, answer) => {
                let at = self.staged.iter().position(|(other, _)| *other == id);
                let _ = answer.send(at.map(|at| self.staged.remove(at).1)); // whoever asked may be gone
            }
            Ask::Watch(batches) => {
                self.publish();
                self.publisher.watch(batches);
            }
            Ask::Inspect(run, answer) => {
                let _ = answer.send(core::detail(&self.state, &run, clock())); // whoever asked may be gone
            }
            Ask::Configs(revision, answer) => self.journal.configs(revision, answer),
            Ask::Listening(answer) => {
                let _ = answer.send(self.silent()); // whoever asked may be gone
            }
            Ask::State(answer) => {
                let _ = answer.send(Box::new(self.state.clone())); // whoever asked may be gone
            }
            Ask::Shutdown(..) => {} // taken by `run`
        }
    }

    /// One command, in a commit of its own. If it can't be made durable, it did not happen, unless
    /// it reduces exposure: then it happens all the same.
    async fn command(&mut self, input: Input, direction: Direction) -> Result<Accepted, NotDone> {
        let before = (direction != Direction::Reduces).then(|| (self.state.clone(), self.ended.len()));
        let Outcome { effects, changed, refused, note, created, ended, renamed } =
            core::step(&mut self.state, &input, clock());
        self.dirty = true;
        self.ended.extend(ended.iter().cloned());
        self.config = config_of(&input, &self.state, &renamed).filter(|_| refused.is_none());
        let applied = self.config.is_some();
        if changed && let Err(Unrecorded { why, certain }) = self.commit(&effects).await {
            if let Some((before, ended_before)) = before {
                self.state = before;
                self.ended.truncate(ended_before);
                self.config = None;
                if !certain {
                    return Err(NotDone::Unknown { why });
                }
                let why = format!("the journal can't be written: {why}; nothing was done");
                return Err(NotDone::Refused(Refusal::new(RefusalKind::NotRecorded, why)));
            }
            self.news.extend(ended);
            let holding = holding(&input, note.as_deref());
            let note = note.map(|note| note + "; ").unwrap_or_default();
            let note = format!("{note}done, but the journal can't be written: {why}");
            let accepted = Accepted { note: Some(note), holding, created, ..Accepted::default() };
            return refused.map_or(Ok(accepted), |refusal| Err(NotDone::Refused(refusal)));
        }
        self.news.extend(ended);
        for one in &renamed {
            self.news.iter_mut().for_each(|of| of.rename(one));
            self.publisher.renamed(one);
        }
        self.carry_out(effects);
        if applied {
            self.try_addresses().await;
        }
        let holding = holding(&input, note.as_deref());
        let accepted = Accepted { note, holding, created, ..Accepted::default() };
        refused.map_or(Ok(accepted), |refusal| Err(NotDone::Refused(refusal)))
    }

    async fn reported(&mut self, first: Report) {
        failpoint::pass("report-before-step");
        let mut inputs = Vec::new();
        let mut next = Some(first);
        while let Some(report) = next {
            self.room.heard(&report);
            self.answered(&report);
            inputs.push(report.into());
            next = if inputs.len() < MAX_BATCH { self.reports.try_recv().ok() } else { None };
        }
        self.feed(inputs).await;
    }

    async fn tick(&mut self) {
        if self.unsaved {
            let _ = self.commit(&[]).await; // said there, and tried again at the next tick
            // What a quiet tick began, such as a job, is told once it is written down.
            self.dirty = true;
        }
        if self.busy() {
            let mut inputs = vec![Input::Tick];
            if !self.up && self.state.slots.values().any(|slot| slot.active().is_some()) {
                inputs.push(Input::WindowMissing);
            }
            self.feed(inputs).await;
        } else {
            // Nothing waits, but the core should know the time when something begins.
            self.feed_quietly();
        }
        if self.up {
            self.send(LinkOrder::Stats);
            let due = self.last_renew.is_none_or(|last| last.elapsed() >= self.settings.lease / 4);
            if self.leased() && due {
                self.renew();
            }
        }
        if self.state.slots.values().any(|slot| slot.taken.is_some()) {
            self.try_addresses().await;
        }
        if self.last_sweep.is_none_or(|last| last.elapsed() >= SWEEP) {
            self.last_sweep = Some(Instant::now());
            self.sweep().await;
        }
    }

    /// A tick while nothing is under way changes nothing that anybody sees.
    fn feed_quietly(&mut self) {
        let outcome = core::step(&mut self.state, &Input::Tick, clock());
        self.finished(outcome.ended);
        if outcome.changed || !outcome.effects.is_empty() {
            // It was not idle after all: made durable, then carried out, at the next tick.
            self.unsaved = true;
        }
    }

    async fn sweep(&mut self) {
        let old = retention::old_releases(&self.state, self.settings.retention);
        if !old.is_empty() {
            self.feed(old).await;
        }
        let (store, retention) = (self.store.clone(), self.settings.retention);
        let oldest = clock().checked_sub(retention.deployment_age).unwrap_or(Timestamp::MIN);
        self.journal.forget(retention.deployments, oldest);
        let (used, instances) = (retention::used_digests(&self.state), self.settings.data.join("instances"));
        let mut live: BTreeSet<String> = self.instances().map(|instance| instance.id.clone()).collect();
        live.extend(self.room.supervised().cloned());
        self.tasks.spawn_blocking(move || retention::sweep(&store, &used, &instances, &live, retention));
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.dirty) {
            let ended = std::mem::take(&mut self.news);
            self.publisher.rows_are(core::project(&self.state, clock()), ended);
        }
    }

    async fn end(mut self, stop: Stop, done: Option<oneshot::Sender<()>>) -> Result<(), EngineError> {
        if self.unsaved {
            let _ = self.commit(&[]).await; // said there; the spill file has what matters
        }
        match stop {
            Stop::LeaveRunning => {
                // Before the link ends, which would look to a drain as if nothing were in flight any more.
                self.room.leave().await;
                send(self.link.as_ref(), LinkOrder::Detach);
            }
            Stop::Everything => {
                let (ended, proxy_ended) = oneshot::channel();
                self.send(LinkOrder::Shutdown(ended));
                let stopped = self.stop_instances();
                if timeout(LAST, async { tokio::join!(stopped, proxy_ended) }).await.is_err() {
                    tracing::error!("not everything ended in time");
                }
                self.room.end().await;
            }
        }
        self.link = None;
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the engine failed");
            }
        }
        if let Some(done) = done {
            let _ = done.send(()); // whoever asked may be gone
        }
        Ok(())
    }
}

/// What the history keeps of a configuration that just came into force.
fn config_of(input: &Input, state: &State, renamed: &[Renamed]) -> Option<Box<ConfigRevision>> {
    let Input::Apply(applied) = input else { return None };
    Some(Box::new(ConfigRevision {
        revision: state.counters.config,
        name: applied.spec.name.clone(),
        in_force: !applied.spec.is_empty(),
        services: applied.spec.services.keys().cloned().collect(),
        renamed: renamed.to_vec(),
        at: clock(),
        by: applied.actor.name.clone(),
        reason: applied.reason.clone(),
        path: applied.path.clone(),
        digest: applied.digest.clone(),
        text: Some(applied.text.clone()),
    }))
}

/// What the core answers to a hold is the id that it is in force by.
fn holding(input: &Input, note: Option<&str>) -> Holding {
    let is_hold = matches!(input, Input::Command { command, .. } if command.action == Action::Hold);
    note.filter(|_| is_hold).map_or(Holding::Unsaid, |id| Holding::InForce(id.into()))
}

/// The task without which there is no traffic; its channel tells when it ended.
const LINK: &str = "link to the proxy";
/// Any other.
const SWEPT: &str = "sweep";
