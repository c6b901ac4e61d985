//! The loop.

use super::endings::Endings;
use super::feed::Feed;
use super::following::{Doing, now};
use super::inbox::{Done, Request, Watched};
use super::objectives::{self, Objectives};
use super::probes::{Probes, ask};
use super::recording::{is_observed, target_of};
use super::refusals::Refusals;
use super::settings::HubSettings;
use super::state::State;
use super::watchdog::Watchdog;
use flightdeck_board::Board;
use flightdeck_model::{Body, Entity, EntityRef, LinkState, Scope, Scoped};
use flightdeck_port::{Executor, Probe};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Updates of all sources that may wait for the loop; then the sources wait.
const UPDATES: usize = 1024;
/// History rows between two trims of the board.
const TRIM_AFTER: usize = 256;

/// How long the end waits for backends that are carrying something out.
const GOODBYE: Duration = Duration::from_secs(5);

/// The loop of a hub; does nothing until it is run.
pub struct HubTask {
    state: State,
    probes: Vec<Arc<dyn Probe>>,
    urgent: mpsc::UnboundedReceiver<Request>,
    ordinary: mpsc::Receiver<Request>,
}

impl std::fmt::Debug for HubTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubTask").field("hub", &self.state.settings.id).finish_non_exhaustive()
    }
}

impl HubTask {
    pub(super) fn new(
        settings: HubSettings,
        orchestrators: Vec<Arc<dyn Executor>>,
        urgent: mpsc::UnboundedReceiver<Request>,
        ordinary: mpsc::Receiver<Request>,
    ) -> HubTask {
        let feed = Feed::new(settings.id.clone(), settings.epoch, settings.ring, settings.lag);
        let (board, commands, tasks) = (Board::default(), BTreeMap::new(), JoinSet::new());
        let live = BTreeSet::new();
        let refusals = Refusals::default();
        let (probes, watchdog, endings) = (Probes::default(), Watchdog::default(), Endings::new());
        let state = State {
            settings,
            orchestrators,
            board,
            feed,
            commands,
            live,
            tasks,
            refusals,
            probes,
            watchdog,
            objectives: Objectives::default(),
            endings,
            untrimmed: 0,
        };
        HubTask { state, probes: Vec::new(), urgent, ordinary }
    }

    /// With probes, which measure the rows of sources that tell no numbers.
    #[must_use]
    pub fn measured_by(self, probes: Vec<Arc<dyn Probe>>) -> HubTask {
        let mut task = HubTask { probes, ..self };
        task.state.objectives.probes = task.probes.len();
        task
    }

    /// Runs until the last [`super::Hub`] is dropped; then ends its tasks and returns.
    pub async fn run(self) {
        let HubTask { mut state, probes, mut urgent, mut ordinary } = self;
        // Before anything of this hub is in the ledger, so that no other hub takes it for a dead one's.
        let presence = state.settings.ledger.appear(&state.settings.id);
        if let Err(error) = &presence {
            state.ledger_fails(error);
        }
        state.restore().await;
        let (sender, mut updates) = mpsc::channel(UPDATES);
        let mut sources = JoinSet::new();
        for orchestrator in &state.orchestrators {
            sources.spawn(watch(Arc::clone(orchestrator), sender.clone()));
        }
        for probe in probes {
            if !state.settings.objectives.is_empty() {
                sources.spawn(objectives::ask(Arc::clone(&probe), sender.clone()));
            }
            sources.spawn(ask(probe, sender.clone()));
        }
        drop(sender);
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waiting = state.is_waiting() || state.refusals.are_counted() || !state.endings.is_empty();
            tokio::select! {
                biased;
                request = urgent.recv() => match request {
                    Some(request) => state.serve(request),
                    None => break,
                },
                // The rest is fair: no lane can keep another from being served.
                () = async {
                    tokio::select! {
                        Some(done) = state.tasks.join_next() => match done {
                            Ok(done) => state.done(done),
                            Err(error) => tracing::error!(%error, "a task of the hub failed"),
                        },
                        Some(watched) = updates.recv() => state.watched(watched),
                        Some(request) = ordinary.recv() => state.serve(request),
                        _ = ticks.tick(), if waiting => {
                            state.record_sums();
                            state.tick();
                            state.end_silences();
                        }
                        // Everything but the urgent lane is closed or idle.
                        else => std::future::pending().await,
                    }
                } => {}
            }
        }
        // A command on its way is heard out, so that its outcome is recorded.
        let hears = async {
            while state.carries_out() {
                match state.tasks.join_next().await {
                    Some(Ok(done)) => state.done(done),
                    Some(Err(error)) => tracing::error!(%error, "a task of the hub failed"),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(GOODBYE, hears).await.is_err() {
            tracing::warn!("a backend did not answer before the end; the next start observes what it did");
        }
        sources.shutdown().await;
        state.tasks.shutdown().await;
        state.last_sums().await;
        drop(presence);
    }
}

async fn watch(orchestrator: Arc<dyn Executor>, updates: mpsc::Sender<Watched>) {
    let mut stream = orchestrator.watch();
    while let Some(scoped) = stream.next().await {
        if updates.send(Watched::Told(scoped)).await.is_err() {
            return;
        }
    }
    let _ = updates.send(Watched::Ended(orchestrator.capabilities().source)).await; // the hub may be gone
}

impl State {
    /// Is a backend carrying something out, or about to?
    fn carries_out(&self) -> bool {
        self.commands.values().any(|following| matches!(following.doing, Doing::Recording | Doing::Executing))
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Submit { actor, command, answer } => self.submit(actor, command, answer),
            Request::Query { actor, query, answer } => self.query(actor, query, answer),
            Request::Subscribe { from, answer } => {
                let own = self.own();
                let subscription = self.feed.subscribe(&self.board, &own, from, now());
                let _ = answer.send(subscription); // the asker may be gone
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Read { id, result } => self.was_read(&id, result),
            Done::Recorded { id, result } => self.was_recorded(&id, result),
            Done::Found { id, result } => self.was_found(&id, result),
            Done::Executed { id, results } => self.was_executed(&id, results),
            Done::Written { result } => self.was_written(result),
            Done::Ended { result, told } => {
                self.was_written(result);
                if let Some(told) = told {
                    self.tell(*told);
                }
            }
            Done::Spilled { result } => self.were_spilled(result),
            Done::Prepared { asked, live } => self.was_prepared(*asked, live),
            Done::Inspected { result, answer } => {
                let _ = answer.send(self.was_inspected(result)); // the asker may be gone
            }
            Done::Guarded { run, action, result } => self.was_guarded(&run, action, result),
            Done::Answered => {}
        }
    }

    fn watched(&mut self, watched: Watched) {
        match watched {
            Watched::Told(scoped) => self.on_update(scoped),
            Watched::Probing(probing) => self.probing(probing),
            Watched::Ended(source) => {
                let mut scopes: Vec<Scope> =
                    self.board.links().map(|(scope, _)| scope.clone()).filter(|scope| scope.source == source).collect();
                if scopes.is_empty() {
                    scopes.push(Scope { source, part: String::new() });
                }
                for scope in scopes {
                    let state = LinkState::stale(now(), "its watch has ended".to_owned());
                    self.tell(Scoped { scope, body: Body::Link(state) });
                }
            }
        }
    }

    /// Is it not known here? A rollout that was aborted, retried, and ended again has ended twice.
    fn is_new(&self, entity: &Entity) -> bool {
        match entity {
            Entity::RolloutRecord(new) => {
                let known = self.board.deployment(&new.run);
                known.is_none_or(|known| (known.ended, known.outcome) != (new.ended, new.outcome))
            }
            entity => self.board.scope(&entity.key()).is_none(),
        }
    }

    /// Applies what a source tells, records what must be, and looks at the commands concerned.
    fn on_update(&mut self, mut scoped: Scoped) {
        let alerts = scoped.scope.part == Scope::ALERTS_PART;
        let gone = match &scoped.body {
            Body::Remove(EntityRef::Rollout(target)) => Some(target.clone()),
            _ => None,
        };
        let target = match &scoped.body {
            Body::Upsert(entity) => {
                if is_observed(entity) && self.is_new(entity) {
                    self.observe(&scoped.scope, entity);
                }
                if matches!(entity, Entity::Note(_) | Entity::Evidence(_) | Entity::RolloutRecord(_)) {
                    self.untrimmed += 1;
                }
                target_of(entity, &self.board).cloned()
            }
            Body::Remove(EntityRef::Rollout(target)) => Some(target.clone()),
            Body::Samples(samples) => {
                for sample in samples {
                    self.measures_itself(&sample.target.source);
                }
                None
            }
            _ => None,
        };
        // Holds, releases and commands that are run have no target: those about them look at every change of a row.
        let other = matches!(
            &scoped.body,
            Body::Upsert(Entity::Hold(_) | Entity::Release(_) | Entity::Service(_))
                | Body::Remove(EntityRef::Hold(..) | EntityRef::Release(..))
        );
        // Alerts come as whole lists, followed by how their source is.
        let other = other || (alerts && matches!(&scoped.body, Body::SnapshotEnd | Body::Link(_)));
        match &mut scoped.body {
            Body::Upsert(Entity::RolloutRecord(deployment)) => *deployment = self.joined(deployment),
            Body::Upsert(Entity::Rollout(row)) => {
                self.guard(row);
                self.promise(row);
            }
            _ => {}
        }
        let samples = match &scoped.body {
            Body::Samples(samples) if !self.watchdog.is_empty() => samples.clone(),
            _ => Vec::new(),
        };
        self.tell(scoped);
        self.watch_samples(&samples);
        if let Some(target) = &target {
            self.reevaluate(target);
        }
        if other {
            self.tick();
        }
        match gone {
            Some(gone) => self.silences_of_gone(&gone),
            None if target.is_some() || (alerts && other) => self.end_silences(),
            None => {}
        }
        if self.untrimmed > TRIM_AFTER {
            self.trim();
        }
    }
}
