//! The loop: it owns the state, takes every input from one place, journals what changed, and only
//! then carries out what follows.

use super::keep;
use super::link::{self, LinkEvent, LinkOrder, ProxyHome};
use super::lock::Lock;
use super::publish::Publisher;
use super::windows::{self, Counters, PoolMetrics};
use super::{Ask, EngineError, Settings, StagedRelease, Stop, clock};
use crate::engine::core::{self, Effect, Input, InstanceStage, Numbered, Outcome, Sent, SlotKey, State};
use crate::engine::journal::{Journal, Spill};
use crate::engine::process::instance::{Drain, Report};
use crate::engine::process::room::Room;
use crate::engine::proxy::wire::{Lapse, Route, Stats};
use crate::engine::store::Store;
use crate::integration::orchestrator::{Accepted, NotDone};
use crate::model::{CommandId, Direction, LinkState, Refusal, RefusalKind, StopSpec};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
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
/// A route that only lowers exposure waits no longer than this for the journal.
const PATIENCE: Duration = Duration::from_millis(25);
/// A commit that takes longer is as good as lost.
const COMMIT: Duration = Duration::from_secs(2);
/// Uploads without a command that are remembered.
const MAX_STAGED: usize = 64;
/// Everything stops within its own grace and this.
const LAST: Duration = Duration::from_secs(15);
/// An instance that no journal knows is ended so.
const UNKNOWN: SignedDuration = SignedDuration::from_secs(1);

/// A line of the spill file: what was done although the journal could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spilled {
    /// When.
    pub at: Timestamp,
    /// A route that only lowers exposure was sent for this slot.
    pub slot: Option<SlotKey>,
    /// Its version.
    pub version: u64,
    /// Why, in words.
    pub what: String,
}

impl Spilled {
    /// A line that can't be read says nothing that could be acted on.
    pub fn parse(line: &str) -> Option<Spilled> {
        serde_json::from_str(line).inspect_err(|error| tracing::error!(%error, line, "an unreadable spill line")).ok()
    }
}

/// The engine's loop. Nothing happens before it runs.
#[derive(Debug)]
pub struct EngineTask {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) journal: Journal,
    /// Taken while a line is being written.
    pub(super) spill: Option<Spill>,
    pub(super) spilled: Vec<Spilled>,
    pub(super) store: Store,
    pub(super) room: Room,
    pub(super) publisher: Publisher,
    pub(super) counters: Counters,
    pub(super) metrics: watch::Sender<Vec<PoolMetrics>>,
    pub(super) staged: Vec<(CommandId, StagedRelease)>,
    pub(super) urgent: mpsc::UnboundedReceiver<Ask>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) link: Option<Link>,
    pub(super) link_parts: Option<(ProxyHome, mpsc::UnboundedReceiver<Drain>)>,
    pub(super) tasks: JoinSet<()>,
    /// The proxy is connected.
    pub(super) up: bool,
    /// The state in memory is newer than the journal's.
    pub(super) unsaved: bool,
    /// The rows may have changed since they were told.
    pub(super) dirty: bool,
    pub(super) last_renew: Option<Instant>,
    pub(super) last_sweep: Option<Instant>,
    pub(super) _lock: Lock,
}

/// The loop's ends of the link to the proxy.
#[derive(Debug)]
pub struct Link {
    orders: mpsc::UnboundedSender<LinkOrder>,
    events: mpsc::UnboundedReceiver<LinkEvent>,
}

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

    /// Adopts what the journal names, ends what it does not, and carries out what was not answered.
    async fn take_over(&mut self) {
        for spilled in std::mem::take(&mut self.spilled) {
            self.follow_spilled(&spilled).await;
        }
        let recorded = self.room.recorded().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read the instances' directories");
            Vec::new()
        });
        let pending: Vec<Numbered> = core::pending(&self.state).cloned().collect();
        let ordered: BTreeSet<&str> = pending.iter().filter_map(|numbered| instance_of(&numbered.effect)).collect();
        // One that backs off has no process, unless the server died before it heard of its end.
        let known: BTreeMap<String, bool> = self
            .instances()
            .map(|instance| (instance.id.clone(), !matches!(instance.stage, InstanceStage::BackingOff { .. })))
            .collect();
        for (id, expected) in &known {
            if !ordered.contains(id.as_str()) && (*expected || recorded.contains(id)) {
                self.room.adopt(id);
            }
        }
        for id in recorded.iter().filter(|id| !known.contains_key(*id) && !ordered.contains(id.as_str())) {
            tracing::warn!(instance = %id, "ending an instance that the journal does not know");
            self.room.stop(id, StopSpec { signal: "TERM".into(), grace: UNKNOWN });
        }
        // Routes are sent when the proxy is connected.
        self.carry_out(pending.into_iter().filter(|numbered| instance_of(&numbered.effect).is_some()).collect());
    }

    /// A route went to the proxy that the journal knows nothing of: the rollout is over, as after a
    /// lease that lapsed, and the next route needs a higher version.
    async fn follow_spilled(&mut self, spilled: &Spilled) {
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

    fn instances(&self) -> impl Iterator<Item = &core::InstanceRecord> {
        self.state.slots.values().flat_map(|slot| slot.pools.values()).flat_map(|pool| pool.instances.values())
    }

    /// Does time matter to anything?
    fn busy(&self) -> bool {
        self.unsaved
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
            Ask::Diff(spec, answer) => {
                let _ = answer.send(core::diff(&self.state, &spec)); // whoever asked may be gone
            }
            Ask::Shutdown(..) => {} // taken by `run`
        }
    }

    /// One command, in a commit of its own. If it can't be made durable, it did not happen, unless
    /// it reduces exposure: then it happens all the same.
    async fn command(&mut self, input: Input, direction: Direction) -> Result<Accepted, NotDone> {
        let before = (direction != Direction::Reduces).then(|| self.state.clone());
        let Outcome { effects, changed, refused, note } = core::step(&mut self.state, &input, clock());
        self.dirty = true;
        if changed && let Err(Unrecorded { why, certain }) = self.commit(&effects).await {
            if let Some(before) = before {
                self.state = before;
                if !certain {
                    return Err(NotDone::Unknown { why });
                }
                let why = format!("the journal can't be written: {why}; nothing was done");
                return Err(NotDone::Refused(Refusal::new(RefusalKind::NotRecorded, why)));
            }
            let note = note.map(|note| note + "; ").unwrap_or_default();
            let note = format!("{note}done, but the journal can't be written: {why}");
            return refused.map_or(Ok(Accepted { note: Some(note) }), |refusal| Err(NotDone::Refused(refusal)));
        }
        self.carry_out(effects);
        refused.map_or(Ok(Accepted { note }), |refusal| Err(NotDone::Refused(refusal)))
    }

    /// Steps through events, journals once, carries out what follows.
    async fn feed(&mut self, inputs: Vec<Input>) {
        let (mut effects, mut changed) = (Vec::new(), false);
        for input in inputs {
            let outcome = core::step(&mut self.state, &input, clock());
            changed |= outcome.changed;
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

    /// Makes the state durable, with the effects that follow from it. If that fails, or takes too
    /// long, those that only take traffic from a candidate are carried out all the same; the rest
    /// waits. The next change, or the next tick, tries again.
    async fn commit(&mut self, effects: &[Numbered]) -> Result<(), Unrecorded> {
        let text =
            serde_json::to_string(&self.state).map_err(|error| Unrecorded { why: error.to_string(), certain: true })?;
        let lowering = lowering(effects);
        let mut spilled = false;
        let result = {
            let mut commit = std::pin::pin!(self.journal.commit(text));
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
    fn recorded(&mut self, spilled: bool) {
        let was_behind = std::mem::take(&mut self.unsaved);
        if (was_behind || spilled)
            && let Some(Err(error)) = self.spill.as_mut().map(Spill::clear)
        {
            tracing::error!(error = %sentence(&error), "the spill file can't be cleared");
        }
        if was_behind {
            // More than was held back, perhaps: carrying out twice is the same as once.
            self.carry_out(core::pending(&self.state).cloned().collect());
        }
    }

    fn carry_out(&mut self, effects: Vec<Numbered>) {
        for numbered in effects {
            match numbered.effect {
                Effect::Start(launch) => self.room.start(*launch),
                Effect::Stop { instance, stop } => self.room.stop(&instance, stop),
                Effect::Route { route, .. } => {
                    let leased = route.fallback.is_some();
                    self.send(LinkOrder::Route(route));
                    if leased {
                        self.renew();
                    }
                }
                Effect::Unroute { slot, version } => {
                    self.send(LinkOrder::Unroute { listener: slot.to_string(), version });
                }
            }
        }
    }

    fn send(&self, order: LinkOrder) {
        send(self.link.as_ref(), order);
    }

    fn renew(&mut self) {
        self.last_renew = Some(Instant::now());
        self.send(LinkOrder::Renew(self.settings.lease));
    }

    async fn reported(&mut self, first: Report) {
        let mut inputs = Vec::new();
        let mut next = Some(first);
        while let Some(report) = next {
            self.room.heard(&report);
            inputs.push(Input::Instance { id: report.instance, event: report.event });
            next = if inputs.len() < MAX_BATCH { self.reports.try_recv().ok() } else { None };
        }
        self.feed(inputs).await;
    }

    async fn linked(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up { routes, lapsed } => self.reconcile(&routes, lapsed).await,
            LinkEvent::Down { why } => {
                self.up = false;
                self.publisher.proxy(LinkState::Stale { since: clock(), why });
            }
            LinkEvent::Acked { listener, version } => {
                if let Some(slot) = slot_of(&listener) {
                    self.feed(vec![Input::RouteAcked { slot, version }]).await;
                }
            }
            LinkEvent::Refused { listener, version, why } => {
                if let Some(slot) = slot_of(&listener) {
                    self.feed(vec![Input::RouteRefused { slot, version, why }]).await;
                }
            }
            LinkEvent::Stats(stats) => self.counted(stats).await,
        }
    }

    /// The proxy is there (again): leases that lapsed first, then every route that is not in force.
    async fn reconcile(&mut self, in_force: &[(String, u64)], lapsed: Vec<Lapse>) {
        self.up = true;
        self.publisher.proxy(LinkState::Live { as_of: clock() });
        self.lapsed(lapsed).await;
        let mut orders = Vec::new();
        for (slot, state) in &self.state.slots {
            let listener = slot.to_string();
            let there = in_force.iter().find(|(name, _)| *name == listener).map(|(_, version)| *version);
            let newest = state.routing.sent.last().or(state.routing.acked.as_ref());
            match newest {
                Some(Sent { route: Some(route), version })
                    if there != Some(*version) || !state.routing.sent.is_empty() =>
                {
                    orders.push(LinkOrder::Route(route.clone()));
                }
                Some(Sent { route: None, version }) if there.is_some() || !state.routing.sent.is_empty() => {
                    orders.push(LinkOrder::Unroute { listener, version: *version });
                }
                _ => {}
            }
        }
        for (listener, version) in in_force {
            if !slot_of(listener).is_some_and(|slot| self.state.slots.contains_key(&slot)) {
                orders.push(LinkOrder::Unroute { listener: listener.clone(), version: *version });
            }
        }
        for order in orders {
            self.send(order);
        }
        if self.leased() {
            self.renew();
        }
    }

    async fn lapsed(&mut self, lapsed: Vec<Lapse>) {
        let now = clock();
        let inputs: Vec<Input> = lapsed
            .into_iter()
            .filter_map(|lapse| {
                let ago = SignedDuration::from_millis(i64::try_from(lapse.ago_ms).unwrap_or(i64::MAX));
                let at = now.checked_sub(ago).unwrap_or(now);
                Some(Input::LeaseLapsed { slot: slot_of(&lapse.listener)?, version: lapse.version, at })
            })
            .collect();
        if !inputs.is_empty() {
            self.feed(inputs).await;
        }
    }

    fn routes(&self) -> impl Iterator<Item = (&SlotKey, &Route)> {
        self.state.slots.iter().filter_map(|(slot, state)| {
            let newest = state.routing.sent.last().or(state.routing.acked.as_ref());
            Some((slot, newest?.route.as_ref()?))
        })
    }

    fn leased(&self) -> bool {
        self.routes().any(|(_, route)| route.fallback.is_some())
    }

    async fn tick(&mut self) {
        if self.unsaved {
            let _ = self.commit(&[]).await; // said there, and tried again at the next tick
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
        if self.last_sweep.is_none_or(|last| last.elapsed() >= SWEEP) {
            self.last_sweep = Some(Instant::now());
            self.sweep().await;
        }
    }

    /// A tick while nothing is under way changes nothing that anybody sees.
    fn feed_quietly(&mut self) {
        let outcome = core::step(&mut self.state, &Input::Tick, clock());
        if outcome.changed || !outcome.effects.is_empty() {
            // It was not idle after all: made durable, then carried out, at the next tick.
            self.unsaved = true;
        }
    }

    async fn sweep(&mut self) {
        let old = keep::old_releases(&self.state, self.settings.retention);
        if !old.is_empty() {
            self.feed(old).await;
        }
        let (store, retention) = (self.store.clone(), self.settings.retention);
        let (used, instances) = (keep::used_digests(&self.state), self.settings.data.join("instances"));
        let mut live: BTreeSet<String> = self.instances().map(|instance| instance.id.clone()).collect();
        live.extend(self.room.supervised().cloned());
        self.tasks.spawn_blocking(move || keep::sweep(&store, &used, &instances, &live, retention));
    }

    async fn counted(&mut self, stats: Stats) {
        let lapsed = stats.lapsed.clone();
        let routes: Vec<_> = self.routes().map(|(slot, route)| (slot.clone(), route.clone())).collect();
        let windows = self.counters.read(stats, std_now(), routes.iter().map(|(slot, route)| (slot, route)));
        self.metrics.send_replace(self.counters.metrics());
        let (now, mut inputs, mut samples) = (clock(), Vec::new(), Vec::new());
        for window in windows {
            let Some(slot) = self.state.slots.get(&window.slot) else { continue };
            if window.traffic {
                let target = slot.target(&self.settings.source);
                let route = routes.iter().find(|(key, _)| *key == window.slot);
                samples.extend(route.iter().flat_map(|(_, route)| windows::samples(&window, route, &target, now)));
            }
            if window.traffic || slot.active().is_some() {
                inputs.push(Input::Window { slot: window.slot, pools: window.pools, window_ms: window.window_ms });
            }
        }
        self.publisher.samples(samples);
        self.lapsed(lapsed).await;
        if !inputs.is_empty() {
            self.feed(inputs).await;
        }
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.publisher.rows_are(core::project(&self.state, clock()));
        }
    }

    async fn end(mut self, stop: Stop, done: Option<oneshot::Sender<()>>) -> Result<(), EngineError> {
        if self.unsaved {
            let _ = self.commit(&[]).await; // said there; the spill file has what matters
        }
        match stop {
            Stop::LeaveRunning => self.send(LinkOrder::Detach),
            Stop::Everything => {
                let (ended, proxy_ended) = oneshot::channel();
                self.send(LinkOrder::Shutdown(ended));
                let stopped = self.stop_instances();
                if timeout(LAST, async { tokio::join!(stopped, proxy_ended) }).await.is_err() {
                    tracing::error!("not everything ended in time");
                }
            }
        }
        self.room.leave().await;
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

/// The task without which there is no traffic; its channel tells when it ended.
const LINK: &str = "link to the proxy";
/// Any other.
const SWEPT: &str = "sweep";

impl EngineTask {
    /// Stops every instance and waits for the ends. The journal keeps them: the next engine starts
    /// them again.
    async fn stop_instances(&mut self) {
        let known: BTreeMap<String, StopSpec> =
            self.instances().map(|instance| (instance.id.clone(), instance.stop.clone())).collect();
        let ids: Vec<String> = self.room.supervised().cloned().collect();
        for id in ids {
            let unknown = || StopSpec { signal: "TERM".into(), grace: UNKNOWN };
            self.room.stop(&id, known.get(&id).cloned().unwrap_or_else(unknown));
        }
        while self.room.supervised().next().is_some() {
            let Some(report) = self.reports.recv().await else { return };
            self.room.heard(&report);
        }
    }
}

/// The state is not on disk.
struct Unrecorded {
    why: String,
    /// False: it may get there yet.
    certain: bool,
}

fn send(link: Option<&Link>, order: LinkOrder) {
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

/// The instance that an effect is about.
fn instance_of(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::Start(launch) => Some(&launch.instance),
        Effect::Stop { instance, .. } => Some(instance),
        Effect::Route { .. } | Effect::Unroute { .. } => None,
    }
}

/// The slot of a listener's name, `service@environment`.
fn slot_of(listener: &str) -> Option<SlotKey> {
    let (service, environment) = listener.rsplit_once('@')?;
    Some(SlotKey { service: service.into(), environment: environment.into() })
}

/// An error with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The monotonic clock.
fn std_now() -> std::time::Instant {
    Instant::now().into_std()
}
