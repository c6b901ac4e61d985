//! The invariants of the engine, checked on the state, on each effect and on the fake proxy.

use super::fake::Fake;
use flightdeck::engine::core::{
    Effect, Input, Kind, LONGEST_TICK, MigrationState, Outcome, Pool, Progress, RunState, Slot, SlotKey, State,
};
use flightdeck::engine::proxy::wire::Route;
use flightdeck::model::{Action, DeploymentKind, DeploymentOutcome, Ppm, Step, Strategy, Subject};
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};

/// How often each invariant was checked where it could fail, and what was met.
#[derive(Default)]
pub struct Coverage {
    pub could_fail: BTreeMap<u32, u64>,
    pub met: BTreeMap<(&'static str, &'static str), u64>,
    pub ended: BTreeMap<String, u64>,
    /// How often a command was effective, by action and strategy.
    pub effective: BTreeMap<(&'static str, &'static str), u64>,
    pub inputs: u64,
}

/// What a slot looked like before an input.
struct Before {
    revision: String,
    step: u32,
    weight: Ppm,
    elapsed: SignedDuration,
    left: Option<SignedDuration>,
    progress: Progress,
    paused: bool,
    restricted: bool,
    exposed: Ppm,
    warm_full: bool,
}

#[derive(Default)]
pub struct Checker {
    before: BTreeMap<SlotKey, Before>,
    /// Runs that were aborted, by workload and revision: they never succeed.
    doomed: BTreeSet<(String, String)>,
    /// Pools of rollouts that ended without success: they never get traffic again.
    dead: BTreeSet<String>,
    seen: BTreeMap<SlotKey, Option<String>>,
    /// Each rollout's number, by workload and revision.
    numbers: BTreeMap<(String, String), u64>,
    /// The rollouts that brought in what served, by workload, oldest first; the last one's version is stable.
    succeeded: BTreeMap<String, Vec<u64>>,
    /// The rollout that ran a migration last.
    ran: BTreeMap<(SlotKey, String), u64>,
    pub faults: Vec<String>,
}

pub fn step_kind(slot: &Slot) -> &'static str {
    let Some(run) = slot.run.as_ref() else { return "nothing" };
    match &run.progress {
        Progress::Queued => "queued",
        Progress::Promoting => "promoting",
        Progress::RollingBack { .. } => "rolling back",
        Progress::Restarting { .. } => "restarting",
        Progress::Ended(_) => "ended",
        Progress::Steps => match run.steps.get(run.step as usize) {
            Some(Step::SetWeight(_)) => "set_weight",
            Some(Step::Pause { duration: None }) => "pause",
            Some(Step::Pause { .. }) => "timed pause",
            Some(Step::Analysis { .. }) => "analysis",
            Some(Step::Approval { .. }) => "approval",
            Some(Step::SetScale(_)) => "set_scale",
            Some(Step::Preview) => "preview",
            Some(Step::Batch { .. }) => "batch",
            Some(Step::TakeDown) => "take_down",
            Some(Step::Hook { .. }) => "hook",
            Some(Step::Other(_)) | None => "other",
        },
    }
}

/// Rolling and recreate state their own surge and downtime instead.
fn keeps_stable(run: &RunState) -> bool {
    !matches!(run.strategy, Strategy::Rolling | Strategy::Recreate)
}

fn stable(slot: &Slot) -> Option<&Pool> {
    slot.stable_pool()
}

fn weight(route: Option<&Route>, pool: Option<&String>) -> Ppm {
    let (Some(route), Some(pool)) = (route, pool) else { return Ppm::ZERO };
    route.pools.iter().find(|of| of.pool == *pool).map_or(Ppm::ZERO, |of| of.weight)
}

fn replicas(state: &State, key: &SlotKey) -> u32 {
    let service = state.spec.services.get(&key.service);
    service.and_then(|of| of.placements.get(&key.environment)).map_or(1, |of| of.replicas)
}

impl Coverage {
    pub fn add(&mut self, other: Coverage) {
        self.inputs += other.inputs;
        for (invariant, count) in other.could_fail {
            *self.could_fail.entry(invariant).or_default() += count;
        }
        for (met, count) in other.met {
            *self.met.entry(met).or_default() += count;
        }
        for (how, count) in other.effective {
            *self.effective.entry(how).or_default() += count;
        }
        for (how, count) in other.ended {
            *self.ended.entry(how).or_default() += count;
        }
    }
}

impl Checker {
    fn check(&mut self, holds: bool, invariant: u32, why: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(format!("invariant {invariant}: {}", why()));
        }
    }

    /// What comes now is another story of the same world: what was seen until now says nothing of it.
    pub fn forget(&mut self) {
        let faults = std::mem::take(&mut self.faults);
        *self = Checker { faults, ..Checker::default() };
    }

    pub fn look(&mut self, state: &State) {
        self.before.clear();
        for (key, slot) in &state.slots {
            let Some(run) = &slot.run else { continue };
            let left = match run.steps.get(run.step as usize) {
                Some(Step::Pause { duration: Some(duration) } | Step::Analysis { duration, .. })
                    if run.progress == Progress::Steps =>
                {
                    Some(*duration - run.elapsed)
                }
                _ => None,
            };
            let previous = slot.lineage.len().checked_sub(2).and_then(|at| slot.lineage.get(at));
            let warm = slot.warm.as_ref().and_then(|warm| slot.pools.get(&warm.pool));
            let warm_full = warm.is_some_and(|pool| {
                Some(&pool.release) == previous.map(|of| &of.release) && pool.ready() >= replicas(state, key)
            });
            let acked = slot.routing.acked.as_ref().and_then(|sent| sent.route.as_ref());
            let before = Before {
                revision: run.revision.clone(),
                step: run.step,
                weight: run.weight,
                elapsed: run.elapsed,
                left,
                progress: run.progress.clone(),
                paused: run.pauses.person.is_some(),
                restricted: run.pauses.person.is_some()
                    || !run.pauses.holds.is_empty()
                    || run.pauses.analysis.is_some()
                    || run.pauses.hook.is_some(),
                exposed: weight(acked, slot.candidate.as_ref()),
                warm_full,
            };
            self.before.insert(key.clone(), before);
        }
    }

    pub fn after(&mut self, state: &State, fake: &Fake, input: &Input, outcome: &Outcome, cover: &mut Coverage) {
        self.rollouts(state, outcome);
        for effect in &outcome.effects {
            self.effect(state, &effect.effect, cover);
        }
        let keys: Vec<_> = state.slots.keys().cloned().collect();
        for key in keys {
            let slot = &state.slots[&key];
            self.structure(state, slot, cover);
            self.truth(slot, fake, cover);
            self.moves(state, slot, input, outcome, cover);
            self.remember(slot);
        }
        self.command(state, input, outcome, cover);
        self.check(outcome.changed || outcome.effects.is_empty(), 5, || {
            "effects of a state that is not journalled".to_owned()
        });
    }

    /// Which rollouts there are, and what those that ended did to the line of what served.
    fn rollouts(&mut self, state: &State, outcome: &Outcome) {
        for slot in state.slots.values() {
            for run in slot.run.iter().chain(&slot.queue).chain(&slot.history) {
                self.numbers.insert((slot.uid.clone(), run.revision.clone()), run.asked);
            }
        }
        for ended in &outcome.ended {
            let line = self.succeeded.entry(ended.run.target.uid.clone()).or_default();
            match (ended.kind, ended.outcome) {
                (DeploymentKind::Deploy, DeploymentOutcome::Succeeded) => {
                    let number = self.numbers.get(&(ended.run.target.uid.clone(), ended.run.revision.clone()));
                    line.push(*number.expect("it was in the state before"));
                }
                (DeploymentKind::Rollback, DeploymentOutcome::RolledBack) => {
                    line.pop();
                }
                _ => {}
            }
        }
    }

    /// A migration is taken back by the rollout that ran it, or with the version that this rollout brought
    /// in, and never without one to return to.
    fn migration(&mut self, slot: &Slot, run: &RunState, hook: &str, back: bool) {
        let data = (slot.key.clone(), hook.to_owned());
        if !back {
            self.ran.insert(data, run.asked);
            return;
        }
        // Kept: a way back that could not be started is tried again. That it is not run twice the data tells.
        let ran = self.ran.get(&data).copied();
        let line = self.succeeded.get(&slot.uid).map(Vec::as_slice).unwrap_or_default();
        let own = match run.kind {
            Kind::Rollback => line.len() > 1 && line.last().copied() == ran,
            Kind::Canary => slot.stable.is_some() && ran == Some(run.asked),
            Kind::First | Kind::Restart => false,
        };
        let why =
            || format!("{}: {hook} was run by {ran:?} and is taken back by {:?} {}", slot.key, run.kind, run.asked);
        self.check(own && ran.is_some(), 12, why);
    }

    fn effect(&mut self, state: &State, effect: &Effect, cover: &mut Coverage) {
        match effect {
            Effect::Start(launch) => {
                let known = state.slots.get(&launch.slot).and_then(|slot| slot.pools.get(&launch.pool));
                *cover.could_fail.entry(5).or_default() += 1;
                self.check(known.is_some_and(|pool| pool.instances.contains_key(&launch.instance)), 5, || {
                    format!("{} is started and not written down", launch.instance)
                });
            }
            Effect::Route { slot: key, route, .. } if route.listener != key.to_string() => {
                let candidate = state.slots.get(key).and_then(|slot| slot.candidate.clone());
                let own = route.pools.iter().all(|pool| Some(&pool.pool) == candidate.as_ref());
                *cover.could_fail.entry(3).or_default() += 1;
                self.check(own, 3, || format!("{key}: the preview shows another than the candidate"));
            }
            Effect::Route { slot: key, route, lowers_exposure } => {
                let Some(slot) = state.slots.get(key) else { return };
                self.route(slot, route, *lowers_exposure, cover);
            }
            Effect::Stop { instance, .. } => {
                *cover.could_fail.entry(2).or_default() += 1;
                let routings = state.slots.values().flat_map(|slot| [&slot.routing, &slot.preview]);
                let sent = routings.flat_map(|routing| routing.acked.iter().chain(&routing.sent));
                let endpoints = sent
                    .filter_map(|sent| sent.route.as_ref())
                    .flat_map(|route| &route.pools)
                    .flat_map(|pool| &pool.endpoints);
                let routed = endpoints.into_iter().any(|endpoint| endpoint.instance == *instance);
                self.check(!routed, 2, || format!("{instance} is stopped before its removal was acknowledged"));
            }
            Effect::StartJob(launch) => {
                let slot = state.slots.get(&launch.slot);
                let run = slot.and_then(|slot| slot.run.as_ref());
                let by_clock = slot.iter().flat_map(|slot| &slot.jobs).filter_map(|job| job.running.as_ref());
                let watched = run.iter().flat_map(|run| run.watches.values()).filter_map(|watch| watch.job.as_ref());
                let around = run.iter().filter_map(|run| run.job.as_ref()).chain(watched).map(|job| &job.id);
                let known = around.chain(by_clock.map(|run| &run.id)).any(|id| *id == launch.job);
                *cover.could_fail.entry(5).or_default() += 1;
                self.check(known, 5, || format!("{} is run and not written down", launch.job));
                if let (Some(slot), true) = (state.slots.get(&launch.slot), launch.hook.starts_with("migration")) {
                    *cover.could_fail.entry(12).or_default() += 1;
                    let noted = slot.migrations.get(&launch.hook).map(|of| &of.state);
                    self.check(noted == Some(&MigrationState::Running), 12, || {
                        format!("{} begins, and the record says {noted:?}", launch.hook)
                    });
                    let back = launch.run.first().is_some_and(|word| word == "back");
                    if let Some(run) = run {
                        self.migration(slot, run, &launch.hook, back);
                    }
                }
            }
            Effect::Unroute { .. } | Effect::EndJob { .. } | Effect::StopJob { .. } => {}
        }
    }

    fn route(&mut self, slot: &Slot, route: &Route, lowers: bool, cover: &mut Coverage) {
        let key = slot.key.clone();
        let sum: u64 = route.pools.iter().map(|pool| u64::from(pool.weight.0)).sum();
        self.check(sum == 1_000_000, 1, || format!("{key}: weights sum to {sum}"));
        let ready =
            |id: &Option<String>| id.as_ref().and_then(|id| slot.pools.get(id)).is_some_and(|pool| pool.ready() > 0);
        let any = ready(&slot.stable)
            || ready(&slot.candidate) && slot.run.as_ref().is_some_and(|run| run.weight > Ppm::ZERO);
        let hollow = route.pools.iter().any(|pool| pool.weight > Ppm::ZERO && pool.endpoints.is_empty());
        if route.pools.len() > 1 || route.pools.iter().any(|pool| pool.endpoints.is_empty()) {
            *cover.could_fail.entry(1).or_default() += 1;
        }
        self.check(!(hollow && any), 1, || format!("{key}: traffic to a pool without a ready instance"));
        for pool in &route.pools {
            let dead = self.dead.contains(&pool.pool) && pool.weight > Ppm::ZERO;
            self.check(!dead, 4, || format!("{key}: {} ended without success and gets traffic again", pool.pool));
            let meant = slot.stable.as_ref() == Some(&pool.pool) || slot.candidate.as_ref() == Some(&pool.pool);
            self.check(meant, 6, || format!("{key}: {} is neither stable nor candidate", pool.pool));
        }
        let share = weight(Some(route), slot.candidate.as_ref());
        let whole = slot.run.as_ref().is_none_or(keeps_stable);
        if share > Ppm::ZERO && whole && stable(slot).is_some_and(|pool| pool.ready() > 0) {
            *cover.could_fail.entry(11).or_default() += 1;
            self.check(route.fallback == slot.stable, 11, || format!("{key}: a candidate has traffic without a lease"));
        }
        let earlier = slot.routing.acked.iter().chain(&slot.routing.sent).filter(|sent| sent.version < route.version);
        let earlier: Vec<_> = earlier.map(|sent| weight(sent.route.as_ref(), slot.candidate.as_ref())).collect();
        if lowers {
            self.check(earlier.iter().all(|of| share <= *of), 4, || {
                format!("{key}: said to lower exposure, but raises it")
            });
        }
        let Some(run) = &slot.run else { return };
        if matches!(run.progress, Progress::RollingBack { .. }) && stable(slot).is_some() {
            *cover.could_fail.entry(4).or_default() += 1;
            let raised = self.before.get(&key).is_some_and(|before| {
                before.revision == run.revision
                    && share > before.exposed.max(earlier.last().copied().unwrap_or(Ppm::ZERO))
                    && stable(slot).is_some_and(|pool| pool.ready() > 0)
            });
            self.check(!raised, 4, || format!("{key}: the candidate is raised to {share} while rolling back"));
        }
    }

    fn structure(&mut self, state: &State, slot: &Slot, cover: &mut Coverage) {
        let key = &slot.key;
        for (id, pool) in &slot.pools {
            let used = slot.stable.as_ref() == Some(id)
                || slot.candidate.as_ref() == Some(id)
                || slot.warm.as_ref().is_some_and(|warm| warm.pool == *id);
            if pool.retired {
                *cover.could_fail.entry(6).or_default() += 1;
            }
            self.check(used != pool.retired, 6, || format!("{key}: {id} belongs to nobody, or to two"));
        }
        let waiting = slot.queue.iter().all(|run| run.progress == Progress::Queued);
        self.check(waiting, 6, || format!("{key}: two rollouts at once"));
        if let Some(run) = slot.run.as_ref().filter(|run| run.active()) {
            let both = slot.candidate.is_some() || run.kind == Kind::Restart;
            self.check(both, 6, || format!("{key}: {} is in flight without a pool", run.revision));
            // The rollback's floor: as soon as stable can carry all, the newest route gives it all.
            let full = stable(slot).is_some_and(|pool| pool.ready() >= replicas(state, key));
            if matches!(run.progress, Progress::RollingBack { .. }) && full && slot.routing.retry.is_none() {
                *cover.could_fail.entry(4).or_default() += 1;
                let newest =
                    slot.routing.sent.last().or(slot.routing.acked.as_ref()).and_then(|sent| sent.route.as_ref());
                let share = weight(newest, slot.candidate.as_ref());
                self.check(share == Ppm::ZERO, 4, || {
                    format!("{key}: rolling back, stable is full, {share} at the candidate")
                });
            }
        }
        let whole = slot.run.as_ref().is_none_or(|run| !run.active() || keeps_stable(run));
        if let Some(pool) = stable(slot).filter(|_| !slot.removed && whole) {
            let staying = pool.instances.values().filter(|of| !of.leaving).count();
            let wanted = replicas(state, key) as usize;
            *cover.could_fail.entry(2).or_default() += u64::from(slot.run.as_ref().is_some_and(RunState::active));
            self.check(staying >= wanted, 2, || format!("{key}: stable has {staying} of {wanted} instances"));
        }
        if let Some(run) = slot.run.as_ref().filter(|run| run.active())
            && run.kind == Kind::Canary
        {
            let stayed = stable(slot).is_some_and(|pool| run.from.as_ref() == Some(&pool.release));
            self.check(stayed, 2, || format!("{key}: stable changed under a canary"));
        }
    }

    /// What the state says is acknowledged is what the proxy does.
    fn truth(&mut self, slot: &Slot, fake: &Fake, cover: &mut Coverage) {
        let (Some(acked), Some(listener)) = (&slot.routing.acked, fake.proxy.get(&slot.key)) else { return };
        let Some(candidate) = &slot.candidate else { return };
        if acked.version != listener.version {
            return;
        }
        let (said, real) =
            (weight(acked.route.as_ref(), Some(candidate)), weight(listener.route.as_ref(), Some(candidate)));
        if said == Ppm::ZERO || said == Ppm::ALL {
            *cover.could_fail.entry(3).or_default() += 1;
            let lapsed = real == Ppm::ZERO;
            self.check(said == real || lapsed, 3, || format!("{}: said {said}, is {real}", slot.key));
        }
    }

    fn moves(&mut self, _state: &State, slot: &Slot, input: &Input, outcome: &Outcome, cover: &mut Coverage) {
        let Some(run) = &slot.run else { return };
        let key = slot.key.clone();
        let Some(before) = self.before.get(&key).filter(|before| before.revision == run.revision) else { return };
        let command = matches!(input, Input::Command { .. }) && outcome.refused.is_none();
        let going_back = matches!(run.progress, Progress::RollingBack { .. } | Progress::Ended(_));
        let mut faults = Vec::new();
        if before.restricted && !command {
            *cover.could_fail.entry(8).or_default() += 1;
            if before.paused && run.pauses.person.is_none() && !going_back {
                faults.push((8, format!("{key}: a person's pause is gone")));
            }
            if before.paused
                && run.pauses.person.is_none()
                && !slot.notes.iter().any(|note| note.text.contains("ends the pause by"))
            {
                faults.push((8, format!("{key}: a pause was ended without a word")));
            }
            if run.step != before.step
                || run.weight > before.weight
                || run.progress == Progress::Ended(DeploymentOutcome::Succeeded)
            {
                faults.push((8, format!("{key}: moved while paused")));
            }
        }
        let was_back = matches!(before.progress, Progress::RollingBack { .. });
        if was_back && !going_back {
            faults.push((4, format!("{key}: came back from a rollback")));
        }
        if !command && run.step == before.step {
            let grown = run.elapsed - before.elapsed;
            if grown > LONGEST_TICK || grown < SignedDuration::ZERO {
                faults.push((10, format!("{key}: a wait moved by {grown}")));
            }
        }
        if let (Input::Tick, Some(left)) = (input, before.left)
            && left > LONGEST_TICK
        {
            *cover.could_fail.entry(10).or_default() += 1;
            if run.step != before.step {
                faults.push((10, format!("{key}: a step with {left} left is over after one tick")));
            }
        }
        if let Input::LeaseLapsed { slot: of, version, .. } = input
            && *of == key
            && before.exposed > Ppm::ZERO
            && slot.routing.acked.as_ref().is_some_and(|acked| acked.version == *version)
        {
            *cover.could_fail.entry(11).or_default() += 1;
            if !going_back {
                faults.push((11, format!("{key}: the lease lapsed and the rollout goes on")));
            }
        }
        if run.progress == Progress::Ended(DeploymentOutcome::Succeeded)
            && self.doomed.contains(&(slot.uid.clone(), run.revision.clone()))
        {
            faults.push((4, format!("{key}: {} was aborted and succeeded", run.revision)));
        }
        if !before.progress.eq(&run.progress)
            && let Progress::Ended(outcome) = run.progress
        {
            *cover.ended.entry(format!("{:?} {outcome:?}", run.kind)).or_default() += 1;
        }
        for (invariant, why) in faults {
            self.check(false, invariant, || why);
        }
    }

    fn remember(&mut self, slot: &Slot) {
        let key = slot.key.clone();
        let last = self.seen.insert(key, slot.candidate.clone()).flatten();
        if let Some(last) = last
            && slot.candidate.as_ref() != Some(&last)
            && slot.stable.as_ref() != Some(&last)
            && slot.warm.as_ref().is_none_or(|warm| warm.pool != last)
        {
            self.dead.insert(last);
        }
    }

    fn command(&mut self, state: &State, input: &Input, outcome: &Outcome, cover: &mut Coverage) {
        let Input::Command { command, .. } = input else { return };
        let (Subject::Run(run), None) = (&command.subject, &outcome.refused) else { return };
        let Some(slot) = state.slots.values().find(|slot| slot.target(&state.source) == run.target) else { return };
        let key = slot.key.clone();
        let was_active = self
            .before
            .get(&key)
            .is_some_and(|before| before.revision == run.revision && !matches!(before.progress, Progress::Ended(_)));
        match command.action {
            Action::Abort | Action::Rollback if was_active => {
                let of = slot.run.as_ref().filter(|of| of.revision == run.revision);
                let back = of.is_none_or(|of| matches!(of.progress, Progress::RollingBack { .. } | Progress::Ended(_)));
                *cover.could_fail.entry(4).or_default() += 1;
                self.check(back, 4, || format!("{key}: an abort was accepted and the rollout goes on"));
                if of.is_some_and(|of| of.kind != Kind::Rollback) {
                    self.doomed.insert((slot.uid.clone(), run.revision.clone()));
                }
            }
            Action::Rollback => {
                let warm = self.before.get(&key).is_some_and(|before| before.warm_full);
                if warm && slot.routing.retry.is_none() {
                    *cover.could_fail.entry(9).or_default() += 1;
                    let newest =
                        slot.routing.sent.last().or(slot.routing.acked.as_ref()).and_then(|sent| sent.route.as_ref());
                    let share = weight(newest, slot.stable.as_ref());
                    self.check(share == Ppm::ALL, 9, || format!("{key}: what is warm gets {share} at first"));
                }
            }
            _ => {}
        }
    }
}
