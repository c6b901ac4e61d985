//! The core under thousands of random stories: late, doubled, reordered and lost answers, crashes,
//! failing processes, wrong clocks, stale commands. After every input the invariants are checked.
//!
//! `FLIGHTDECK_SEED=17 cargo test --test suite engine::sim -- --nocapture` replays one story.
//! `FLIGHTDECK_SEEDS=10000 cargo test --config 'profile.dev.package.flightdeck.opt-level=2' --test suite
//! engine::sim -- --nocapture` plays more, and prints what was met.

mod check;
mod effect;
mod fake;
mod rng;

use crate::engine::world::{
    actor, address, applied, environment, golden, has, key, placement, release, seconds, service,
};
use check::{Checker, Coverage, step_kind};
use effect::Effects;
use fake::Fake;
use flightdeck::engine::core::{
    Input, JobEvent, Outcome, PoolWindow, SlotKey, State, Watched, project, restored, step,
};
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};
use rng::Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stories that are played unless `FLIGHTDECK_SEEDS` says how many.
const SEEDS: u64 = 2_000;
/// So many more have jobs.
const WITH_JOBS: u64 = 200;
const INPUTS: usize = 300;

struct Sim {
    rng: Rng,
    state: State,
    /// As last journalled.
    journal: Option<State>,
    /// As last backed up.
    backup: Option<State>,
    fake: Fake,
    now: Timestamp,
    checker: Checker,
    effects: Effects,
    commands: u64,
    spec: Spec,
    trace: bool,
    crashes: u32,
    /// Inputs until the next crash.
    to_crash: usize,
}

fn random_steps(rng: &mut Rng) -> Vec<Step> {
    let count = 2 + rng.below(5);
    (0..count)
        .map(|_| match rng.below(7) {
            0..=2 => Step::SetWeight(Ppm(rng.upto(1_000_001))),
            3 => Step::Pause { duration: None },
            4 => Step::Pause { duration: Some(SignedDuration::from_millis(500 + i64::from(rng.upto(4000)))) },
            5 => Step::Analysis { name: "golden".to_owned(), duration: seconds(1 + i64::from(rng.upto(4))) },
            _ => Step::Approval {
                count: 1 + rng.upto(2),
                from: Vec::new(),
                expires: rng.percent(30).then(|| seconds(30)),
            },
        })
        .collect()
}

fn hook(name: &str, on: HookOn, migration: Option<Migration>, rng: &mut Rng) -> HookSpec {
    HookSpec {
        name: name.to_owned(),
        run: vec!["run".to_owned()],
        on,
        timeout: seconds(5),
        retries: rng.upto(3),
        backoff: SignedDuration::from_millis(500),
        transient: vec![75],
        irreversible: rng.percent(20).then(|| "it drops a column".to_owned()),
        migration,
    }
}

/// One of the strategies, with some hooks, as its preset expands.
fn strategy(of: &mut Placement, rng: &mut Rng, listen: u64) {
    let mut hooks = Vec::new();
    for number in 0..rng.below(3) {
        let back = if rng.percent(60) { vec!["back".to_owned()] } else { Vec::new() };
        hooks.push(hook(&format!("migration-{number}"), HookOn::Before, Some(Migration { back }), rng));
    }
    let others = [
        ("ask", HookOn::Before),
        ("check", HookOn::Step),
        ("smoke", HookOn::After),
        ("tidy", HookOn::Rollback),
        ("buy", HookOn::While { every: seconds(2) }),
    ];
    for (name, on) in others {
        if rng.percent(25) {
            hooks.push(hook(name, on, None, rng));
        }
    }
    let named = |on: HookOn| {
        let of = hooks.iter().filter(move |hook| hook.on == on);
        of.map(|hook| Step::Hook { name: hook.name.clone() }).collect::<Vec<_>>()
    };
    let mut middle = match rng.below(5) {
        0 | 1 => of.steps.to_vec(),
        2 => {
            of.strategy = Strategy::BlueGreen;
            of.preview = rng.percent(70).then(|| address(100 + listen));
            let checks = of.steps.iter().filter(|step| !matches!(step, Step::SetWeight(_))).cloned();
            [Step::SetScale(Ppm::ALL), Step::Preview].into_iter().chain(checks).collect()
        }
        3 => {
            of.strategy = Strategy::Rolling;
            let unavailable = rng.upto(2);
            let size = 1 + rng.upto(2);
            let batch = |n: u32| Step::Batch { instances: (n * size).min(of.replicas), unavailable };
            (1..=of.replicas.div_ceil(size)).map(batch).collect()
        }
        _ => {
            of.strategy = Strategy::Recreate;
            vec![Step::TakeDown, Step::SetScale(Ppm::ALL)]
        }
    };
    middle.extend(named(HookOn::Step));
    if of.strategy == Strategy::Canary {
        of.sticky = rng.percent(30).then(|| StickyKey::Cookie("uid".to_owned()));
    }
    let after = named(HookOn::After);
    let last = (of.strategy != Strategy::Canary || !after.is_empty()).then_some(Step::SetWeight(Ppm::ALL));
    of.steps = named(HookOn::Before).into_iter().chain(middle).chain(last).chain(after).collect();
    of.hooks = hooks.into();
}

/// Every service has something run by the clock.
fn with_jobs(spec: &mut Spec) {
    for placement in spec.services.values_mut().flat_map(|service| service.placements.values_mut()) {
        let schedule = Schedule::Every(seconds(20));
        let job = JobSpec { run: vec!["run".to_owned()], schedule, timeout: seconds(5) };
        placement.jobs.insert("clock".to_owned(), job);
    }
}

/// The same service without an address: what shares out traffic, or judges it, leaves its plan.
fn as_worker(of: &mut ServiceSpec) {
    of.kind = ServiceKind::Worker;
    for placement in of.placements.values_mut() {
        (placement.listen, placement.preview, placement.sticky) = (None, None, None);
        (placement.background_analysis, placement.keep_warm) = (None, SignedDuration::ZERO);
        let fits = |step: &&Step| !matches!(step, Step::SetWeight(_) | Step::Analysis { .. } | Step::Preview);
        let canary = placement.strategy == Strategy::Canary;
        let whole = canary.then_some(Step::SetScale(Ppm::ALL));
        placement.steps = whole.into_iter().chain(placement.steps.iter().filter(fits).cloned()).collect();
        if canary {
            placement.strategy = Strategy::BlueGreen;
        }
    }
}

fn random_spec(rng: &mut Rng) -> Spec {
    let mut spec = Spec::default();
    for (name, order) in [("staging", 1), ("production", 2)] {
        let mut of = environment(order);
        of.concurrent_rollouts = rng.percent(40).then_some(1);
        of.allow_self = rng.percent(50);
        spec.environments.insert(name.into(), of);
    }
    let mut listen = 0;
    for (name, places) in [("shop", ["staging", "production"].as_slice()), ("cart", &["production"])] {
        let mut placements = BTreeMap::new();
        for place in places {
            listen += 1;
            let mut of = placement(listen, &random_steps(rng));
            of.replicas = 1 + rng.upto(3);
            strategy(&mut of, rng, listen);
            of.progress_deadline = seconds(8 + i64::from(rng.upto(30)));
            of.keep_warm = seconds(i64::from(rng.upto(60)));
            of.background_analysis = rng.percent(50).then(|| "golden".to_owned());
            of.concurrency = if rng.percent(50) { Concurrency::Queue } else { Concurrency::Supersede };
            placements.insert(EnvironmentName::from(*place), of);
        }
        spec.services.insert(name.into(), service(placements));
    }
    if rng.percent(20)
        && let Some(cart) = spec.services.get_mut(&ServiceName::from("cart"))
    {
        cart.depends_on = vec!["shop".into()];
    }
    let mut template = golden(if rng.percent(50) { Missing::Pause } else { Missing::Fail });
    template.window = seconds(5);
    template.min_requests = 10;
    spec.analyses.insert("golden".to_owned(), template);
    spec
}

impl Sim {
    fn new(seed: u64, trace: bool) -> Sim {
        let mut rng = Rng::new(seed);
        let mut spec = random_spec(&mut rng);
        if seed.is_multiple_of(3)
            && let Some(cart) = spec.services.get_mut(&ServiceName::from("cart"))
        {
            as_worker(cart);
        }
        if seed >= SEEDS {
            with_jobs(&mut spec);
        }
        let state = State::new("local".into());
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let (checker, effects) = (Checker::default(), Effects::default());
        let to_crash = rng.below(120);
        let fake = Fake::default();
        Sim {
            rng,
            state,
            journal: None,
            backup: None,
            fake,
            now,
            checker,
            effects,
            commands: 0,
            spec,
            trace,
            crashes: 0,
            to_crash,
        }
    }

    fn set_up(&mut self, cover: &mut Coverage) {
        let input = applied(self.spec.clone(), Vec::new());
        self.input(&input, cover);
        for service in ["shop", "cart"] {
            for version in ["1.0", "1.1", "1.2", "1.3", "1.4"] {
                self.input(&Input::ReleaseAdded(release(service, version)), cover);
            }
        }
        for slot in [key("shop", "production"), key("cart", "production"), key("shop", "staging")] {
            let input = self.deploy(&slot.service, &slot.environment, "1.0");
            self.input(&input, cover);
        }
        // Most stories begin with a version that serves; the others with none.
        if self.rng.percent(92) {
            self.fake.healed = true;
            self.drain(cover);
            self.agree(cover);
            self.drain(cover);
            self.fake.healed = false;
        }
    }

    /// Everybody says yes to what waits for it.
    fn agree(&mut self, cover: &mut Coverage) {
        while let Some(asked) = self.state.approvals.iter().find(|of| of.approval.state == ApprovalState::Pending) {
            let (id, run) = (asked.approval.id.clone(), asked.approval.run.clone());
            for who in ["ann", "bob", "eve"] {
                let subject = Subject::Approval { id: id.clone(), run: run.clone() };
                let mut input = self.command(Action::Approve, subject, None);
                if let Input::Command { actor: by, .. } = &mut input {
                    *by = actor(who);
                }
                self.input(&input, cover);
            }
            self.drain(cover);
        }
    }

    fn deploy(&mut self, service: &ServiceName, environment: &EnvironmentName, version: &str) -> Input {
        let subject = Subject::NewRollout {
            source: "local".into(),
            service: service.clone(),
            environment: environment.clone(),
            version: Some(version.into()),
            from: None,
        };
        self.command(Action::Deploy, subject, None)
    }

    fn command(&mut self, action: Action, subject: Subject, pin: Option<Pin>) -> Input {
        self.commands += 1;
        let id = CommandId::from(format!("c-{}", self.commands));
        let who = ["ann", "bob", "eve"][self.rng.below(3)];
        let command = Command { id, action, subject, pin, reason: None };
        Input::Command { command, actor: actor(who), decided: self.now }
    }

    fn input(&mut self, input: &Input, cover: &mut Coverage) -> Outcome {
        let stale = self.stale_pin(input, cover);
        self.checker.look(&self.state);
        for slot in self.state.slots.values() {
            *cover.met.entry((step_kind(slot), input_kind(input))).or_default() += 1;
        }
        cover.inputs += 1;
        let half = self.told_of(input);
        let before = Effects::before(&self.state, input, self.now);
        let outcome = step(&mut self.state, input, self.now);
        if self.trace {
            eprintln!("{} {input:?}\n    -> {outcome:?}", self.now);
            for slot in self.state.slots.values() {
                let run = slot.run.as_ref().map(|run| (&run.revision, run.kind, &run.progress, run.step, run.weight));
                eprintln!("    {} {run:?} stable {:?} candidate {:?}", slot.key, slot.stable, slot.candidate);
            }
        }
        if let ((data, applied), None) = (half, &outcome.refused) {
            for data in data {
                self.fake.put_right(data, applied);
            }
        }
        if let Some(before) = stale {
            self.nothing_changed(&before, &outcome);
        }
        if self.dies(&outcome) {
            return outcome;
        }
        for effect in &outcome.effects {
            self.fake.take(&effect.effect);
        }
        self.checker.after(&self.state, &self.fake, input, &outcome, cover);
        self.effects.after(&self.state, input, before, &outcome, (self.now, cover));
        outcome
    }

    /// A person says of migrations that they are applied, or not: they have put the data right.
    fn told_of(&self, input: &Input) -> (Vec<(SlotKey, String)>, bool) {
        if let Input::Command { command: Command { subject, .. }, .. } = input
            && let Subject::Migrations { service, environment, names, applied, .. } = subject
        {
            let key = SlotKey { service: service.clone(), environment: environment.clone() };
            return (names.iter().map(|name| (key.clone(), name.clone())).collect(), *applied);
        }
        self.half_way(input).map_or_else(Default::default, |(data, applied)| (vec![data], applied))
    }

    /// The same where a rollout waits for it.
    fn half_way(&self, input: &Input) -> Option<((SlotKey, String), bool)> {
        let Input::Command { command: Command { action, subject: Subject::Run(run), .. }, .. } = input else {
            return None;
        };
        let slot = self.state.slots.values().find(|slot| slot.target(&self.state.source) == run.target)?;
        let of = slot.run.as_ref().filter(|of| of.revision == run.revision && of.pauses.hook.is_some())?;
        let Some(Step::Hook { name }) = of.steps.get(of.step as usize) else { return None };
        let applied = match action {
            Action::Promote => true,
            Action::Resume => false,
            _ => return None,
        };
        Some(((slot.key.clone(), name.clone()), applied))
    }

    /// The server may die between deciding and journalling; what lowers exposure was sent already.
    /// Else the state is journalled; really copied only shortly before a crash, for speed.
    fn dies(&mut self, outcome: &Outcome) -> bool {
        self.to_crash = self.to_crash.saturating_sub(1);
        if self.fake.healed {
            self.journal = None;
        }
        if self.fake.healed || self.to_crash > 10 || !outcome.changed {
            return false;
        }
        let journal = self.journal.is_some();
        if self.to_crash == 0 && journal && self.rng.percent(50) {
            for effect in &outcome.effects {
                self.fake.lower_now(&effect.effect);
            }
            self.crash();
            return true;
        }
        self.journal = Some(self.state.clone());
        false
    }

    /// A command whose pin no longer holds: what the state is before it, with the time already told.
    fn stale_pin(&mut self, input: &Input, cover: &mut Coverage) -> Option<State> {
        let Input::Command { command: Command { id, .. }, .. } = input else { return None };
        if !id.as_str().ends_with("-stale") {
            return None;
        }
        *cover.could_fail.entry(7).or_default() += 1;
        self.input(&Input::Tick, cover);
        Some(self.state.clone())
    }

    fn nothing_changed(&mut self, before: &State, outcome: &Outcome) {
        let mut after = self.state.clone();
        after.commands.clone_from(&before.commands);
        let refused = outcome.refused.as_ref().is_some_and(|refused| refused.kind == RefusalKind::PinChanged);
        if !refused || after != *before || !outcome.effects.is_empty() {
            self.checker.faults.push(format!("invariant 7: a stale pin did something: {outcome:?}"));
        }
    }

    fn crash(&mut self) {
        let Some(journal) = self.journal.take() else { return };
        self.crashes += 1;
        self.to_crash = 10 + self.rng.below(120);
        if self.rng.percent(15) {
            self.fake.reboot();
        }
        let text = self.rng.percent(5);
        self.state =
            if text { serde_json::from_str(&serde_json::to_string(&journal).unwrap()).unwrap() } else { journal };
        for run in self.state.slots.values_mut().filter_map(|slot| slot.run.as_mut()) {
            run.watched = Watched { sequential: run.watched.sequential.clone(), ..Watched::default() };
        }
        self.fake.restart(&self.state);
    }

    /// All that is left is a backup, and the data as it is now.
    fn restore(&mut self) {
        let Some(backup) = self.backup.take() else { return };
        self.state = backup;
        restored(&mut self.state, self.now);
        self.journal = None;
        self.fake.new_machine(&self.state);
        self.checker.forget();
        self.effects.forget();
    }

    fn one(&mut self, cover: &mut Coverage) {
        match self.rng.below(100) {
            0..=54 => {
                if let Some(input) = self.fake.turn(&mut self.rng) {
                    self.crashes = 0;
                    self.input(&input, cover);
                    // Some are told twice, unless a crash came between.
                    if self.crashes == 0 && self.rng.percent(10) {
                        self.input(&input, cover);
                    }
                }
            }
            55..=70 => {
                self.now += SignedDuration::from_millis(i64::from(self.rng.upto(1500)));
                self.input(&Input::Tick, cover);
            }
            71..=80 => self.window(cover),
            81..=92 => {
                if let Some(input) = self.random_command() {
                    self.input(&input, cover);
                }
            }
            93 => self.fake.fail_one(&mut self.rng),
            95 => {
                let jump = [3600, -3600, 40, -2][self.rng.below(4)];
                self.now += seconds(jump);
                self.input(&Input::Tick, cover);
            }
            94 | 96 => self.fake.lapse(self.now),
            97 if self.to_crash == 0 => self.crash(),
            97 if self.rng.percent(10) => match self.backup {
                None => self.backup = Some(self.state.clone()),
                Some(_) => self.restore(),
            },
            98 => {
                self.input(&Input::WindowMissing, cover);
            }
            _ => self.reconfigure(cover),
        }
    }

    fn window(&mut self, cover: &mut Coverage) {
        let keys: Vec<_> = self.state.slots.keys().cloned().collect();
        let Some(slot) = self.rng.pick(&keys).cloned() else { return };
        let of = &self.state.slots[&slot];
        let mood = self.rng.below(10);
        let pools = [&of.stable, &of.candidate].into_iter().flatten().enumerate();
        let pools = pools.map(|(at, pool)| {
            let bad = at == 1 && mood == 0;
            let requests = if mood == 1 { 0 } else { 40 };
            let mut latency = Histogram::default();
            (0..requests).for_each(|_| latency.record(1000));
            PoolWindow { pool: pool.clone(), requests, errors: if bad { 30 } else { 0 }, latency }
        });
        let input = Input::Window { pools: pools.collect(), slot, window_ms: 1000 };
        self.input(&input, cover);
    }

    fn random_command(&mut self) -> Option<Input> {
        let keys: Vec<_> = self.state.slots.keys().cloned().collect();
        let slot = self.rng.pick(&keys)?.clone();
        let kind = self.rng.below(20);
        if kind < 4 {
            let version = ["1.0", "1.1", "1.2", "1.3", "1.4"][self.rng.below(5)];
            return Some(self.deploy(&slot.service, &slot.environment, version));
        }
        if kind == 5 && self.rng.percent(40) {
            let slot = &self.state.slots[&slot];
            let step = slot.run.iter().flat_map(|run| run.hooks.iter()).find(|hook| hook.migration.is_some());
            let name = slot.migrations.keys().next().or(step.map(|hook| &hook.name))?.clone();
            let (service, environment) = (slot.key.service.clone(), slot.key.environment.clone());
            let (names, applied) = (vec![name], self.rng.percent(50));
            let subject = Subject::Migrations { source: "local".into(), service, environment, names, applied };
            return Some(self.command(Action::Migration, subject, None));
        }
        if kind == 4 && self.state.holds.is_empty() && self.rng.percent(40) {
            let selector =
                Selector { environment: self.rng.percent(50).then_some(slot.environment), ..Selector::default() };
            return Some(self.command(Action::Hold, Subject::Scope { selector, frozen: Vec::new(), hold: None }, None));
        }
        if kind < 9 {
            let holds: Vec<_> = self.state.holds.iter().map(|hold| hold.id.clone()).collect();
            if let Some(hold) = self.rng.pick(&holds).cloned() {
                return Some(self.command(
                    Action::ReleaseHold,
                    Subject::Hold { source: Some("local".into()), id: hold },
                    None,
                ));
            }
        }
        let rows = project(&self.state, self.now);
        if kind < 13 {
            let approvals: Vec<_> = rows
                .iter()
                .filter_map(|row| match row {
                    Entity::Approval(of) if of.state == ApprovalState::Pending => Some(of),
                    _ => None,
                })
                .collect();
            if let Some(approval) = self.rng.pick(&approvals) {
                let action = if self.rng.percent(70) { Action::Approve } else { Action::Reject };
                let subject = Subject::Approval { id: approval.id.clone(), run: approval.run.clone() };
                return Some(self.pinned(action, subject, &approval.facts));
            }
        }
        let rollouts: Vec<_> =
            rows.iter().filter_map(|row| if let Entity::Rollout(of) = row { Some(of) } else { None }).collect();
        let rollout = *self.rng.pick(&rollouts)?;
        let all = [
            Action::Promote,
            Action::PromoteFull,
            Action::Pause,
            Action::Resume,
            Action::Abort,
            Action::Rollback,
            Action::Retry,
            Action::Restart,
            Action::Drill,
        ];
        let offered: Vec<_> = all.into_iter().filter(|action| rollout.offers.contains(*action)).collect();
        let useful = [Action::Promote, Action::Resume, Action::Retry, Action::PromoteFull];
        let go_on: Vec<_> = useful.into_iter().filter(|action| rollout.offers.contains(*action)).collect();
        let action = match self.rng.below(12) {
            0..=7 => *self.rng.pick(&go_on).or(self.rng.pick(&offered))?,
            8..=9 => *self.rng.pick(&offered)?,
            _ => *self.rng.pick(&all)?,
        };
        if matches!(action, Action::Abort | Action::Rollback) && rollout.phase.in_flight() && self.rng.percent(50) {
            return None;
        }
        Some(self.pinned(action, Subject::Run(rollout.run.clone()), &rollout.facts))
    }

    /// With a good pin, none, or one that can't hold.
    fn pinned(&mut self, action: Action, subject: Subject, facts: &Facts) -> Input {
        let mut pin = facts.pin(action);
        let mut stale = false;
        let kind = self.rng.below(10);
        if kind == 7 || kind == 8 {
            let facts: Vec<_> = pin.facts.keys().copied().collect();
            if let Some(fact) = self.rng.pick(&facts) {
                stale = true;
                if kind == 7 {
                    pin.facts.insert(*fact, "something else".to_owned());
                } else {
                    pin.facts.remove(fact);
                }
            }
        }
        let mut input = self.command(action, subject, (kind != 9).then_some(pin));
        if stale && let Input::Command { command, .. } = &mut input {
            command.id = CommandId::from(format!("{}-stale", command.id));
        }
        input
    }

    fn reconfigure(&mut self, cover: &mut Coverage) {
        let mut spec = self.spec.clone();
        for service in spec.services.values_mut() {
            for placement in service.placements.values_mut() {
                placement.replicas = 1 + self.rng.upto(3);
            }
        }
        if self.rng.percent(30) {
            spec.services.remove(&ServiceName::from("cart"));
        }
        let gone = self.state.slots.keys().filter(|key| !has(&spec, key));
        let remove = gone.map(|key| ServicePlace::of(&key.to_string())).collect();
        let input = applied(spec, remove);
        self.input(&input, cover);
        let service: ServiceName = "shop".into();
        let version: Version = "1.2".into();
        self.input(&Input::ReleaseRemoved { service, version }, cover);
        self.input(&Input::ReleaseAdded(release("shop", "1.2")), cover);
    }

    /// Nothing fails any more: whatever goes back must arrive, and processes are those of the state.
    fn heal(&mut self, cover: &mut Coverage) {
        self.fake.heal();
        for _ in 0..120 {
            self.drain(cover);
            if self.quiet() {
                break;
            }
            self.now += seconds(2);
            self.input(&Input::Tick, cover);
        }
        let back: Vec<_> = self
            .state
            .slots
            .values()
            .filter(|slot| step_kind(slot) == "rolling back")
            .map(|slot| slot.key.to_string())
            .collect();
        if !back.is_empty() {
            if self.trace {
                eprintln!(
                    "{:#?}",
                    self.state.slots.values().map(|slot| (&slot.key, &slot.routing, &slot.run)).collect::<Vec<_>>()
                );
            }
            self.checker.faults.push(format!("invariant 4: {back:?} never gets back though all is well"));
        }
        let known: Vec<_> = self
            .state
            .slots
            .values()
            .flat_map(|slot| slot.pools.values())
            .flat_map(|pool| pool.instances.keys())
            .collect();
        let running: Vec<_> = self.fake.processes.keys().collect();
        *cover.could_fail.entry(5).or_default() += 1;
        let mut known = known.clone();
        known.sort();
        if !self.fake.no_hook_runs() {
            self.checker.faults.push("invariant 5: a hook runs though all is quiet".to_owned());
        }
        if known != running {
            self.checker.faults.push(format!("invariant 5: known {known:?}, running {running:?}"));
        }
        if let Some(effect) = self.state.pending.first() {
            self.checker.faults.push(format!("invariant 5: all is quiet and this is unanswered: {effect:?}"));
        }
    }

    /// Nothing goes back, nothing is unanswered, and what should run runs.
    fn quiet(&self) -> bool {
        let back = self.state.slots.values().any(|slot| step_kind(slot) == "rolling back");
        let pools = self.state.slots.values().flat_map(|slot| slot.pools.values());
        let known: usize = pools.map(|pool| pool.instances.len()).sum();
        !back && self.state.pending.is_empty() && self.fake.processes.len() == known
    }

    fn drain(&mut self, cover: &mut Coverage) {
        while self.fake.busy() {
            if let Some(input) = self.fake.turn(&mut self.rng) {
                self.input(&input, cover);
            }
        }
    }

    fn faults(&mut self) -> Vec<String> {
        let mut faults = std::mem::take(&mut self.checker.faults);
        faults.append(&mut self.fake.faults);
        faults.append(&mut self.effects.faults);
        faults
    }
}

fn input_kind(input: &Input) -> &'static str {
    use flightdeck::engine::core::InstanceEvent as E;
    match input {
        Input::Command { command, .. } => command.action.name(),
        Input::Apply(_) => "apply",
        Input::Tried { .. } => "tried",
        Input::ReleaseAdded(_) => "release added",
        Input::ReleaseRemoved { .. } => "release removed",
        Input::Instance { event, .. } => match event {
            E::Started { .. } => "started",
            E::StartFailed { .. } => "start failed",
            E::Draining { .. } => "draining",
            E::Drained { .. } => "drained",
            E::Ready => "ready",
            E::Unhealthy { .. } => "unhealthy",
            E::Exited { .. } => "exited",
            E::Stopped => "stopped",
        },
        Input::Job { event: JobEvent::Ended { .. }, .. } => "job ended",
        Input::Job { event: JobEvent::Gone, .. } => "job gone",
        Input::RouteAcked { .. } => "route acked",
        Input::RouteLost { .. } => "route lost",
        Input::InFlight { .. } => "in flight",
        Input::Certificates { .. } => "certificates",
        Input::Redirect { .. } => "redirect",
        Input::RouteRefused { .. } => "route refused",
        Input::LeaseLapsed { .. } => "lease lapsed",
        Input::Window { .. } => "window",
        Input::WindowMissing => "window missing",
        Input::Tick => "tick",
    }
}

/// Plays one story; gives its faults.
fn play(seed: u64, cover: &mut Coverage, trace: bool) -> Vec<String> {
    let mut sim = Sim::new(seed, trace);
    sim.set_up(cover);
    let start = cover.inputs;
    while cover.inputs - start < INPUTS as u64 {
        sim.one(cover);
        let faults = sim.faults();
        if !faults.is_empty() {
            return faults;
        }
    }
    sim.heal(cover);
    sim.faults()
}

/// Plays stories, two at a time; panics with the first that breaks an invariant.
fn play_all(seeds: Range<u64>, trace: bool) -> Coverage {
    let next = AtomicU64::new(seeds.start);
    let worker = || {
        let mut cover = Coverage::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return cover;
            }
            let faults = play(seed, &mut cover, trace);
            if !faults.is_empty() {
                next.store(seeds.end, Ordering::Relaxed);
                panic!(
                    "seed {seed}: {faults:#?}\nreplay: FLIGHTDECK_SEED={seed} cargo test --test suite engine::sim -- --nocapture"
                );
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(worker), scope.spawn(worker)];
        let mut cover = Coverage::default();
        for thread in threads {
            cover.add(thread.join().expect("an invariant broke; the seed stands above"));
        }
        cover
    })
}

#[test]
fn the_invariants_hold_in_thousands_of_random_stories() {
    let one = std::env::var("FLIGHTDECK_SEED").ok().map(|seed| seed.parse::<u64>().expect("a number"));
    let seeds = std::env::var("FLIGHTDECK_SEEDS").map_or(SEEDS + WITH_JOBS, |seeds| seeds.parse().expect("a number"));
    let cover = play_all(one.map_or(0..seeds, |seed| seed..seed + 1), one.is_some());
    if one.is_none() {
        report(&cover, seeds);
    }
}

fn report(cover: &Coverage, seeds: u64) {
    println!("{seeds} seeds, {} inputs", cover.inputs);
    for (invariant, count) in &cover.could_fail {
        println!("invariant {invariant}: checked {count} times where it could fail");
    }
    let inputs: std::collections::BTreeSet<_> = cover.met.keys().map(|(_, input)| *input).collect();
    let steps: std::collections::BTreeSet<_> = cover.met.keys().map(|(step, _)| *step).collect();
    for step in &steps {
        let row: Vec<_> =
            inputs.iter().map(|input| format!("{input} {}", cover.met.get(&(step, input)).unwrap_or(&0))).collect();
        println!("{step}: {}", row.join(", "));
    }
    for (how, count) in &cover.ended {
        println!("ended {how}: {count}");
    }
    for ((action, strategy), count) in &cover.effective {
        println!("effective {action} {strategy}: {count}");
    }
    for invariant in 1..=13 {
        let count = cover.could_fail.get(&invariant).copied().unwrap_or(0);
        assert!(count > 0, "invariant {invariant} was never checked where it could fail");
    }
    for action in
        ["deploy", "promote", "promote-full", "approve", "resume", "abort", "rollback", "retry", "restart", "drill"]
    {
        for strategy in ["recreate", "rolling", "blue_green", "canary"] {
            let count = cover.effective.get(&(action, strategy)).copied().unwrap_or(0);
            // Only canary and blue/green have approvals in their plan.
            let none = action == "approve" && matches!(strategy, "recreate" | "rolling");
            assert!(count > 0 || none, "{action} of {strategy} was never effective");
        }
    }
    for step in [
        "set_weight",
        "pause",
        "timed pause",
        "analysis",
        "approval",
        "promoting",
        "rolling back",
        "restarting",
        "ended",
        "set_scale",
        "preview",
        "batch",
        "take_down",
        "hook",
    ] {
        for input in &inputs {
            let count = cover.met.get(&(step, *input)).copied().unwrap_or(0);
            assert!(count > 0, "{step} never met {input}");
        }
    }
}
